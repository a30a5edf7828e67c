//! How is an attempt recorded?
//!
//! Verdict, attempt, page, links and redirect of a request together, or nothing of it if the request is not
//! in flight under this run.

use std::time::Duration;

use neap_core::CanonicalUrl;
use neap_core::attribution::Attribution;
use neap_core::classify::{Fault, Outcome};
use neap_core::verdict::Verdict;
use sqlx::SqliteConnection;

use super::guard::{InFlight, in_flight};
use super::leases::LAND;
use super::{Changes, Ledger, State, Trouble, anchors, bodies, controls, links, redirects, skips};
use crate::batch::{About, Attempt, Event, MAX_ERROR_BYTES, Record, Recorded, RedirectVerdict};
use crate::now;
use crate::values::{Args, Bind, Bundle, Shape};

/// A record that counts, with what it was before and what becomes of it.
pub(super) struct Accepted {
    pub(super) record: Record,
    pub(super) before: InFlight,
    pub(super) after: After,
    pub(super) body: Option<bodies::Body>,
    /// The number of the proxy that it went through.
    pub(super) proxy: Option<i64>,
}

/// What becomes of a request.
pub(super) struct After {
    state: State,
    due_ms: i64,
    skip_reason: Option<i64>,
    cause: Option<String>,
}

/// Records attempts.
pub(super) async fn record(
    records: Vec<Record>,
    ledger: &mut Ledger,
    connection: &mut SqliteConnection,
    changes: &mut Changes,
) -> Result<(), Trouble> {
    // 1. Only what is in flight under this run counts, and only once.
    let mut open = in_flight(&records, ledger.epoch, connection).await?;
    let mut accepted = Vec::with_capacity(records.len());
    for mut record in records {
        if ledger.heeded.is_cancelled(record.job) {
            controls::cancel(&mut record);
        }
        let before = open.remove(&record.request);
        changes.events.push(Event::Recorded(Recorded {
            request: record.request,
            job: record.job,
            host: record.host,
            was_in_flight: before.is_some(),
        }));
        if let Some(before) = before {
            let after = after(&record);
            accepted.push(Accepted {
                record,
                before,
                after,
                body: None,
                proxy: None,
            });
        }
    }
    // 2. Bodies go to their file before anything points there.
    bodies::append(&mut accepted, ledger, connection).await?;
    // 3. The attempt, the page, and what becomes of the request.
    number_proxies(&mut accepted, ledger, connection).await?;
    let epoch = ledger.epoch.0;
    let bind: [Bind<'_, Accepted>; 4] = [
        &|accepted, args| attempt(accepted, epoch, args),
        &page,
        &request,
        &|accepted, args| {
            args.int(accepted.record.request.0);
        },
    ];
    RECORD.execute(connection, &accepted, bind).await?;
    count(&accepted, changes);
    // 4. What the answers lead to.
    links::discover(&accepted, ledger, connection, changes).await?;
    skips::keep(&accepted, ledger, connection).await?;
    anchors::keep(&accepted, ledger, connection).await?;
    redirects::follow(&accepted, ledger, connection, changes).await
}

/// Finds the numbers of the proxies that the attempts went through.
async fn number_proxies(
    accepted: &mut [Accepted],
    ledger: &mut Ledger,
    connection: &mut SqliteConnection,
) -> Result<(), Trouble> {
    let egress = |accepted: &Accepted| accepted.record.attempt.egress.clone();
    let named: Vec<_> = accepted
        .iter()
        .filter_map(|accepted| Some((accepted.before.job, egress(accepted)?)))
        .collect();
    let wanted = named.iter().map(|(job, name)| (*job, name));
    ledger.proxies.learn(wanted, connection).await?;
    for accepted in accepted {
        let name = accepted.record.attempt.egress.as_ref();
        accepted.proxy = name.and_then(|name| ledger.proxies.get(accepted.before.job, name));
    }
    Ok(())
}

/// What becomes of a request by its verdict; one redirect too many makes it failed.
fn after(record: &Record) -> After {
    let redirect = record.redirect.as_ref().map(|redirect| redirect.verdict);
    let plain = |state| After {
        state,
        due_ms: 0,
        skip_reason: None,
        cause: None,
    };
    let failed = |cause: Option<&str>| After {
        cause: cause.map(str::to_owned),
        ..plain(State::Failed)
    };
    match record.verdict {
        Verdict::Done if redirect == Some(RedirectVerdict::TooMany) => {
            failed(Some("too_many_redirects"))
        }
        Verdict::Done => plain(State::Done),
        Verdict::Retry { after, .. } => {
            let due = record.due.unwrap_or_else(|| now() + after);
            After {
                due_ms: due.0,
                ..plain(State::Waiting)
            }
        }
        Verdict::Failed => failed(record.attempt.cause.as_deref()),
        Verdict::Skipped(reason) => After {
            skip_reason: Some(reason.code()),
            ..plain(State::Skipped)
        },
    }
}

impl Accepted {
    /// Whether there is an answer that stays: one that is asked for again does not.
    pub(super) fn has_page(&self) -> bool {
        self.record.page.is_some() && self.after.state != State::Waiting
    }
}

/// All that is written of every record.
static RECORD: Bundle<4> = Bundle::new([&INSERT_ATTEMPTS, &INSERT_PAGES, &UPDATE_REQUESTS, &LAND]);

static INSERT_ATTEMPTS: Shape = Shape::filled(
    "INSERT INTO attempts (request_id, host_id, epoch, number, started_ms, dns_us, connect_us,
     first_byte_us, duration_us, status, outcome, cause, fault, error, is_charged, backoff_ms,
     body_bytes, host_limit, in_flight, producer, diagnosis, confidence, evidence, proxy_id,
     connect_status) SELECT * FROM (VALUES ",
    "(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
    ") WHERE column1 IS NOT NULL",
);

fn attempt(accepted: &Accepted, epoch: i64, args: &mut Args) {
    let (record, attempt) = (&accepted.record, &accepted.record.attempt);
    let timings = &attempt.timings;
    args.int(record.request.0)
        .int(accepted.before.host.0)
        .int(epoch);
    args.int(i64::from(attempt.number)).int(attempt.started.0);
    args.maybe_int(timings.dns.map(micros))
        .maybe_int(timings.connect.map(micros));
    args.maybe_int(timings.first_byte.map(micros))
        .int(micros(timings.total));
    args.maybe_int(attempt.status.map(i64::from))
        .int(attempt.outcome.code());
    args.maybe_text(attempt.cause.as_deref());
    // Nobody's fault is written as nothing, like no cause and no error.
    let has_culprit = attempt.fault != Fault::Nobody;
    args.maybe_text(has_culprit.then(|| attempt.fault.as_str()));
    args.maybe_text(attempt.error.as_deref().map(cut))
        .int(i64::from(attempt.is_charged));
    args.maybe_int(attempt.backoff.map(millis))
        .int(bytes(attempt.body_bytes));
    args.real(attempt.limit).int(i64::from(attempt.in_flight));
    attribution(attempt, args);
    args.maybe_int(accepted.proxy)
        .maybe_int(attempt.connect_status.map(i64::from));
}

/// Who answered, and of what somebody is to blame for, on what evidence.
fn attribution(attempt: &Attempt, args: &mut Args) {
    let attribution = attempt.attribution.as_ref();
    let has_culprit = attempt.fault != Fault::Nobody;
    let evidence = attribution.filter(|_| has_culprit);
    args.maybe_text(attribution.map(|it| it.producer.as_str()))
        .maybe_text(attribution.map(|it| it.cause.as_str()))
        .maybe_real(attribution.map(|it| it.confidence))
        .maybe_text(evidence.map(|it| reasons(&it.reasons)).as_deref());
}

/// Reasons as JSON, no more and no longer than an attribution has them.
fn reasons(reasons: &[String]) -> String {
    let short =
        |reason: &String| reason[..reason.floor_char_boundary(Attribution::MAX_REASON)].to_owned();
    let kept = reasons.iter().take(Attribution::MAX_REASONS).map(short);
    serde_json::Value::from_iter(kept).to_string()
}

static INSERT_PAGES: Shape = Shape::filled(
    "INSERT INTO pages (request_id, status, fetched_ms, content_type, body_bytes,
     segment_id, segment_offset, segment_bytes, payload_sha1, original_id, title, h1, description,
     language, canonical, is_noindex, simhash) SELECT * FROM (VALUES ",
    "(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
    ") WHERE column1 IS NOT NULL ON CONFLICT DO NOTHING",
);

fn page(accepted: &Accepted, args: &mut Args) {
    let Some(page) = accepted
        .record
        .page
        .as_ref()
        .filter(|_| accepted.has_page())
    else {
        return;
    };
    args.int(accepted.record.request.0)
        .int(i64::from(page.status))
        .int(page.fetched.0);
    args.maybe_text(page.content_type.as_deref().map(cut))
        .int(bytes(page.body_bytes));
    let body = accepted.body.as_ref();
    let place = body.map(|body| body.place);
    args.maybe_int(place.map(|place| place.segment));
    args.maybe_int(place.map(|place| bytes(place.offset)));
    args.maybe_int(place.map(|place| bytes(place.bytes as u64)));
    args.maybe_blob(body.map(|body| &body.payload_sha1[..]));
    args.maybe_int(body.and_then(|body| body.original_id));
    let about = page.about.as_deref();
    let text = |of: fn(&About) -> &Option<String>| about.and_then(|about| of(about).as_deref());
    args.maybe_text(text(|about| &about.title))
        .maybe_text(text(|about| &about.h1))
        .maybe_text(text(|about| &about.description))
        .maybe_text(text(|about| &about.language));
    let canonical = about.and_then(|about| about.canonical.as_ref());
    args.maybe_text(canonical.map(CanonicalUrl::as_str))
        .maybe_int(about.map(|about| i64::from(about.is_noindex)))
        .maybe_int(about.and_then(|about| about.simhash).map(u64::cast_signed));
}

static UPDATE_REQUESTS: Shape = Shape::filled(
    "WITH v (id, state, charged, deferred, due, reason, cause) AS (VALUES ",
    "(?,?,?,?,?,?,?)",
    ") UPDATE requests SET state = v.state, attempts = attempts + v.charged,
     deferrals = deferrals + v.deferred, due_ms = v.due, skip_reason = v.reason, cause = v.cause
     FROM v WHERE requests.request_id = v.id AND requests.state IN (0, 4)",
);

fn request(Accepted { record, after, .. }: &Accepted, args: &mut Args) {
    let is_charged = record.attempt.is_charged;
    args.int(record.request.0).int(after.state as i64);
    args.int(i64::from(is_charged))
        .int(i64::from(!is_charged))
        .int(after.due_ms);
    args.maybe_int(after.skip_reason)
        .maybe_text(after.cause.as_deref());
}

fn count(accepted: &[Accepted], changes: &mut Changes) {
    for Accepted {
        record,
        before,
        after,
        proxy,
        ..
    } in accepted
    {
        let job = changes.jobs.entry(before.job).or_default();
        job.shift(before.state, after.state, 1);
        let is_page = after.state == State::Done && record.attempt.outcome != Outcome::Redirect;
        job.pages += i64::from(is_page);
        let status = record.page.as_ref().map(|page| page.status);
        let is_fetched = is_page && status.is_some_and(|status| status < 300 || status == 304);
        job.fetched += i64::from(is_fetched);
        let host = changes.hosts.entry(before.host).or_default();
        host.add_attempt(&record.attempt);
        if let Some(proxy) = proxy {
            let proxy = changes.proxies.entry(*proxy).or_default();
            proxy.add_attempt(&record.attempt);
        }
        host.add_final(after.state, 1);
        changes.is_due_changed |= after.state == State::Waiting || before.state == State::Waiting;
    }
}

pub(super) fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

fn bytes(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Cuts what came from elsewhere to what is stored of it.
fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_ERROR_BYTES)]
}
