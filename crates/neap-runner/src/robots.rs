//! What may be asked of a host?
//!
//! The robots file decides (RFC 9309). It is asked for before anything else, under a permit of its
//! host, and its answer is kept in the store for a day, so that a resumed crawl does not ask 100,000
//! hosts again. Its redirects are followed here, five at most as the RFC says, wherever they lead.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use neap_core::attribution::Attribution;
use neap_core::classify::{Cause, Judgement, Outcome, classify};
use neap_core::egress::ProxyId;
use neap_core::exchange::{Exchange, FailureKind};
use neap_core::{CanonicalUrl, Host, HostId, JobId, UnixMs};
use neap_fetch::{Ask, BodyLimit, Egress, Fetched};
use neap_parse::Robots;
use neap_store::RobotsAnswer;
use tracing::warn;

use crate::desk::{Desk, Judged, Permit};
use crate::jobs::JobContext;

/// How long a robots file is used (RFC 9309, section 2.4: "up to 24 hours").
const USED_FOR: Duration = Duration::from_secs(24 * 3600);

/// Redirects that are followed from a robots file (RFC 9309, section 2.3.1.2: "at least five").
const MOST_REDIRECTS: usize = 5;

/// Bytes of a robots file that are read: twice what its reader looks at.
const MOST_BYTES: u64 = 1 << 20;

/// Ways by which a robots file is asked for one after the other, when they fail.
const MOST_WAYS: usize = 5;

/// Bounds of the wait before an unreachable robots file is asked for again; it doubles in between.
const ASK_AGAIN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// What came of asking for a robots file.
#[derive(Debug)]
pub(crate) enum Asked {
    /// It is known what may be asked.
    Known(RobotsAnswer),
    /// Nobody can tell now: nothing may be asked (RFC 9309, section 2.3.1.4). With the time that the
    /// host asked to wait, if it did.
    Unreachable(Option<Duration>),
    /// The host has no address or no certificate to trust: it cannot be asked anything.
    Hopeless(Cause),
}

/// Asks for a host's robots file.
pub(crate) async fn ask(
    desk: &Desk,
    job: &JobContext,
    host: HostId,
    name: &Host,
    permit: Permit,
) -> Asked {
    let mut url = CanonicalUrl::of(name.robots_url()).expect("a robots URL is short and http");
    let mut ways = Ways::new(permit);
    for hop in 0..=MOST_REDIRECTS {
        let (fetched, judgement) = ways.ask(desk, job, &url).await;
        let exchange = &fetched.exchange;
        let retry_after = job.asked_to_wait(&url.host(), exchange, desk.clock.unix());
        match judgement.outcome {
            Outcome::Redirect => match target(&url, exchange) {
                Some(next) => url = next,
                None => return Asked::Known(kept(host, exchange, desk.clock.unix())),
            },
            Outcome::Success | Outcome::Gone | Outcome::Refused | Outcome::ClientError => {
                return Asked::Known(kept(host, exchange, desk.clock.unix()));
            }
            // What a redirect led to says nothing about the host that was asked.
            Outcome::Permanent => match judgement.cause {
                Some(cause) if hop == 0 && is_hopeless(cause) => return Asked::Hopeless(cause),
                // It leads where nobody may follow: as if there were no robots file.
                Some(Cause::Failure(FailureKind::PrivateAddress)) => {
                    return Asked::Known(none(host, desk.clock.unix()));
                }
                Some(_) | None => return Asked::Unreachable(None),
            },
            Outcome::RateLimited
            | Outcome::Overload
            | Outcome::ServerError
            | Outcome::Transient
            | Outcome::Internal => return Asked::Unreachable(retry_after),
        }
    }
    // More redirects than that: as if there were no robots file (RFC 9309, section 2.3.1.2).
    Asked::Known(none(host, desk.clock.unix()))
}

/// What is kept of a robots file that is not to be had, whatever the host answered.
fn none(host: HostId, now: UnixMs) -> RobotsAnswer {
    RobotsAnswer {
        host,
        status: None,
        body: None,
        fetched: now,
        expires: now + USED_FOR,
    }
}

/// By which ways a robots file and what it redirects to are asked for.
struct Ways {
    /// Until the host itself has answered: a redirect may lead to another one.
    permit: Option<Permit>,
    proxy: Option<ProxyId>,
}

impl Ways {
    fn new(permit: Permit) -> Ways {
        Ways {
            permit: Some(permit),
            proxy: None,
        }
    }

    /// Asks for a URL. A way that fails and is not the host's fault gives way to another one.
    async fn ask(
        &mut self,
        desk: &Desk,
        job: &JobContext,
        url: &CanonicalUrl,
    ) -> (Fetched, Judgement) {
        let mut ways = 0;
        while let Some(permit) = self.permit.as_mut() {
            ways += 1;
            self.proxy = permit.proxy();
            let (fetched, judgement, attribution) = fetch(desk, job, self.proxy, url).await;
            let judged = Judged {
                exchange: &fetched.exchange,
                judgement,
                attribution: &attribution,
                url,
                has_failed_before: ways > 1,
            };
            let (judgement, goes_on) = permit.go_elsewhere(&judged);
            if !goes_on || ways == MOST_WAYS {
                if let Some(permit) = self.permit.take() {
                    permit.settle(judgement.signal);
                }
                return (fetched, judgement);
            }
        }
        let (fetched, judgement, _) = fetch(desk, job, self.proxy, url).await;
        (fetched, judgement)
    }
}

async fn fetch(
    desk: &Desk,
    job: &JobContext,
    proxy: Option<ProxyId>,
    url: &CanonicalUrl,
) -> (Fetched, Judgement, Attribution) {
    let exit = proxy.map(|proxy| job.learned.exits.of(proxy));
    let egress = exit.as_ref().map_or(&Egress::DIRECT, |exit| &exit.egress);
    let limit = BodyLimit::CutAt(MOST_BYTES);
    let host = url.host();
    let fetcher = &job.terms(&host).fetcher;
    let fetched = fetcher.fetch_by(egress, &Ask::get(url, limit)).await;
    let retry_after = job.asked_to_wait(&host, &fetched.exchange, desk.clock.unix());
    let judgement = classify(&fetched.exchange, retry_after, false);
    let attribution = job.learned.exits.attribute(proxy, url, &fetched.exchange);
    (fetched, judgement, attribution)
}

fn is_hopeless(cause: Cause) -> bool {
    has_no_address(cause) || cause == Cause::Failure(FailureKind::TlsCertificate)
}

/// Whether a host cannot be asked anything since its name has no address, or none that may be connected to.
pub(crate) fn has_no_address(cause: Cause) -> bool {
    matches!(
        cause,
        Cause::Failure(FailureKind::DnsNotFound | FailureKind::PrivateAddress)
    )
}

fn target(from: &CanonicalUrl, exchange: &Exchange) -> Option<CanonicalUrl> {
    let location = exchange.result.as_ref().ok()?.header("location")?;
    CanonicalUrl::join(from.url(), location).ok()
}

/// The answer as it is kept: its body only if it is a file.
fn kept(host: HostId, exchange: &Exchange, now: UnixMs) -> RobotsAnswer {
    let answer = exchange.result.as_ref().ok();
    let is_file = answer.is_some_and(|answer| (200..300).contains(&answer.status));
    RobotsAnswer {
        host,
        status: answer.map(|answer| answer.status),
        body: answer
            .filter(|_| is_file)
            .map(|answer| answer.body.to_vec()),
        fetched: now,
        expires: now + USED_FOR,
    }
}

/// The rules of every host that takes part, for each job as it calls itself.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    by_host: HashMap<HostId, HashMap<JobId, Arc<Robots>>>,
    tries: HashMap<HostId, u32>,
}

impl Rules {
    /// Takes up what a host answered, and says which crawl delay it asks for.
    pub(crate) fn learn<'a>(
        &mut self,
        name: &Host,
        answer: &RobotsAnswer,
        jobs: impl Iterator<Item = &'a Arc<JobContext>>,
    ) -> Option<Duration> {
        self.tries.remove(&answer.host);
        let of_host = self.by_host.entry(answer.host).or_default();
        for job in jobs {
            let rules = match &answer.body {
                Some(body) => Robots::parse(body, &job.terms(name).product_token),
                None => Robots::allow_all(),
            };
            of_host.insert(job.id, Arc::new(rules));
        }
        of_host
            .values()
            .filter_map(|rules| rules.crawl_delay())
            .max()
    }

    /// Whether a job may ask a host for a URL; `None` as long as it is not known what the host says to it.
    pub(crate) fn allow(&self, job: &JobContext, host: HostId, url: &CanonicalUrl) -> Option<bool> {
        let terms = job.terms(&url.host());
        if !terms.obeys_robots() {
            return Some(true);
        }
        let rules = self.by_host.get(&host)?.get(&job.id)?;
        let is_allowed = rules.allows(url.url());
        if !is_allowed && terms.only_warns() {
            warn!(%url, job = job.job.name, "robots.txt forbids it; it is asked for all the same");
            return Some(true);
        }
        Some(is_allowed)
    }

    /// Whether a host is to be given up for this cause: at once if it has no address, and else the second time, since
    /// one server of several may show a bad certificate.
    pub(crate) fn is_settled(&self, host: HostId, cause: Cause) -> bool {
        has_no_address(cause) || self.tries.contains_key(&host)
    }

    /// How long to wait before a robots file that could not be had is asked for again.
    pub(crate) fn wait(&mut self, host: HostId) -> Duration {
        let tries = self.tries.entry(host).or_default();
        *tries += 1;
        (ASK_AGAIN.0 * (1 << (*tries - 1).min(10))).min(ASK_AGAIN.1)
    }
}
