//! How many requests are in which state, and how does each host do?
//!
//! Kept with every change, so that nobody has to count ten million rows to say how far a crawl is.

use neap_core::JobId;
use neap_core::attribution::{Cause, Producer};
use neap_core::classify::{Fault, Outcome};
use neap_core::exchange::FailureKind;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use super::{Changes, State};
use crate::batch::{Attempt, Event};
use crate::jobs::counts_at;
use crate::values::Shape;

/// What a batch adds to and takes from the counters of a job.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct JobDelta {
    ready: i64,
    waiting: i64,
    done: i64,
    failed: i64,
    skipped: i64,
    pub(super) pages: i64,
    pub(super) fetched: i64,
}

impl JobDelta {
    pub(super) fn add(&mut self, state: State, requests: i64) {
        match state {
            State::Ready => self.ready += requests,
            State::Waiting => self.waiting += requests,
            State::Done => self.done += requests,
            State::Failed => self.failed += requests,
            State::Skipped => self.skipped += requests,
        }
    }

    pub(crate) fn shift(&mut self, from: State, to: State, requests: i64) {
        self.add(from, -requests);
        self.add(to, requests);
    }
}

/// What a batch adds to the counters of a host.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct HostDelta {
    attempts: i64,
    ok: i64,
    done: i64,
    failed: i64,
    gateway_errors: i64,
    http_502: i64,
    http_503: i64,
    http_429: i64,
    timeouts: i64,
    proxy_failures: i64,
    proxy_502: i64,
}

impl HostDelta {
    /// Counts an attempt. What a proxy spoilt says nothing of the host, and what a proxy wrote is not the host's.
    pub(super) fn add_attempt(&mut self, attempt: &Attempt) {
        self.attempts += 1;
        let is_by_proxy = is_by_proxy(attempt);
        let is_502 = attempt.status == Some(502) || attempt.connect_status == Some(502);
        let is_written_by_proxy = attempt
            .attribution
            .as_ref()
            .is_some_and(|it| it.producer == Producer::ForwardProxy);
        self.proxy_failures += i64::from(is_by_proxy);
        self.proxy_502 += i64::from(is_502 && (is_by_proxy || is_written_by_proxy));
        self.http_502 += i64::from(is_502 && !is_by_proxy && !is_written_by_proxy);
        if is_by_proxy {
            return;
        }
        match attempt.outcome {
            Outcome::Success | Outcome::Redirect | Outcome::Gone => self.ok += 1,
            Outcome::Overload => self.gateway_errors += 1,
            // Of a gateway's error it may not be known whose it is; then it is not held against the host.
            Outcome::Transient => {
                let is_gateways = matches!(attempt.status, Some(502..=504 | 520..=524));
                self.gateway_errors += i64::from(is_gateways);
            }
            Outcome::Refused
            | Outcome::ClientError
            | Outcome::RateLimited
            | Outcome::ServerError
            | Outcome::Permanent
            | Outcome::Internal => {}
        }
        match attempt.status {
            Some(503) => self.http_503 += 1,
            Some(429) => self.http_429 += 1,
            Some(_) | None => {}
        }
        let is_timeout = attempt
            .cause
            .as_deref()
            .is_some_and(|cause| cause.starts_with("timeout"));
        self.timeouts += i64::from(is_timeout);
    }

    pub(crate) fn add_final(&mut self, state: State, requests: i64) {
        match state {
            State::Done => self.done += requests,
            State::Failed => self.failed += requests,
            State::Ready | State::Waiting | State::Skipped => {}
        }
    }
}

/// What a batch adds to the counters of a proxy.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct ProxyDelta {
    attempts: i64,
    ok: i64,
    failures: i64,
}

impl ProxyDelta {
    pub(super) fn add_attempt(&mut self, attempt: &Attempt) {
        self.attempts += 1;
        if is_by_proxy(attempt) {
            self.failures += 1;
            return;
        }
        // Its own word that the host fails is no proof that it works: one whose network is broken says so too.
        let producer = attempt.attribution.as_ref().map(|it| it.producer);
        if matches!(producer, Some(Producer::ForwardProxy | Producer::Nobody)) {
            return;
        }
        match attempt.fault {
            // It brought what the host had to say.
            Fault::Host | Fault::Nobody => self.ok += 1,
            // A 401 of the host: what the proxy refuses is not among these.
            Fault::OwnCredentials => self.ok += 1,
            Fault::Proxy | Fault::OwnNetwork | Fault::Unknown => {}
        }
    }
}

/// Whether a proxy spoilt an attempt: by its own fault, or since it does not take our credentials. Those that
/// a host does not take are another thing.
fn is_by_proxy(attempt: &Attempt) -> bool {
    match attempt.fault {
        Fault::Proxy => true,
        Fault::OwnCredentials => {
            let diagnosis = attempt.attribution.as_ref().map(|it| it.cause);
            attempt.cause.as_deref() == Some(FailureKind::ProxyAuth.as_str())
                || matches!(diagnosis, Some(Cause::ProxyAuth | Cause::ProxyQuota))
        }
        Fault::Host | Fault::OwnNetwork | Fault::Nobody | Fault::Unknown => false,
    }
}

static UPDATE_JOBS: Shape = Shape::filled(
    "WITH v (id, ready, waiting, done, failed, skipped, pages, fetched) AS (VALUES ",
    "(?,?,?,?,?,?,?,?)",
    ") UPDATE jobs SET ready = jobs.ready + v.ready, waiting = jobs.waiting + v.waiting,
     done = jobs.done + v.done, failed = jobs.failed + v.failed, skipped = jobs.skipped + v.skipped,
     pages = jobs.pages + v.pages, fetched = jobs.fetched + v.fetched FROM v WHERE jobs.job_id = v.id
     RETURNING job_id, ready, waiting, done, failed, skipped, pages",
);
static UPDATE_HOSTS: Shape = Shape::filled(
    "WITH v (id, attempts, ok, done, failed, gateway, h502, h503, h429, timeouts, by_proxy, p502)
     AS (VALUES ",
    "(?,?,?,?,?,?,?,?,?,?,?,?)",
    ") UPDATE hosts SET attempts = hosts.attempts + v.attempts, ok = hosts.ok + v.ok,
     done = hosts.done + v.done, failed = hosts.failed + v.failed,
     gateway_errors = hosts.gateway_errors + v.gateway, http_502 = http_502 + v.h502,
     http_503 = http_503 + v.h503, http_429 = http_429 + v.h429,
     timeouts = hosts.timeouts + v.timeouts, proxy_failures = proxy_failures + v.by_proxy,
     proxy_502 = proxy_502 + v.p502 FROM v WHERE hosts.host_id = v.id",
);
static UPDATE_PROXIES: Shape = Shape::filled(
    "WITH v (id, attempts, ok, failures) AS (VALUES ",
    "(?,?,?,?)",
    ") UPDATE proxies SET attempts = proxies.attempts + v.attempts, ok = proxies.ok + v.ok,
     failures = proxies.failures + v.failures FROM v WHERE proxies.proxy_id = v.id",
);

/// Writes what a batch changed; how far the jobs are then that it changed or opened.
pub(crate) async fn write(
    changes: &Changes,
    connection: &mut SqliteConnection,
) -> Result<Vec<Event>, sqlx::Error> {
    let jobs: Vec<_> = changes.jobs.iter().collect();
    let rows = UPDATE_JOBS.fetch(connection, &jobs, |(job, delta), args| {
        args.int(job.0)
            .int(delta.ready)
            .int(delta.waiting)
            .int(delta.done);
        args.int(delta.failed)
            .int(delta.skipped)
            .int(delta.pages)
            .int(delta.fetched);
    });
    let rows = rows.await?;
    let hosts: Vec<_> = changes.hosts.iter().collect();
    UPDATE_HOSTS
        .execute(connection, &hosts, |(host, delta), args| {
            args.int(host.0)
                .int(delta.attempts)
                .int(delta.ok)
                .int(delta.done)
                .int(delta.failed);
            args.int(delta.gateway_errors)
                .int(delta.http_502)
                .int(delta.http_503);
            args.int(delta.http_429).int(delta.timeouts);
            args.int(delta.proxy_failures).int(delta.proxy_502);
        })
        .await?;
    let proxies: Vec<_> = changes.proxies.iter().collect();
    UPDATE_PROXIES
        .execute(connection, &proxies, |(proxy, delta), args| {
            args.int(**proxy).int(delta.attempts);
            args.int(delta.ok).int(delta.failures);
        })
        .await?;
    let counts = |row: &SqliteRow| Event::Counts(JobId(row.get(0)), counts_at(row, 1));
    Ok(rows.iter().map(counts).collect())
}
