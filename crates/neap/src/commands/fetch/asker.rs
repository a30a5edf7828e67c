//! How is one URL asked for until it answers or there is no point any more?

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use neap_core::attribution::{Action, Attribution, Evidence, attribute};
use neap_core::charge::charged;
use neap_core::classify::{Judgement, Outcome, classify};
use neap_core::egress::ProxyId;
use neap_core::exchange::Exchange;
use neap_core::job::Job;
use neap_core::verdict::History;
use neap_core::{CanonicalUrl, Time, UnixMs};
use neap_fetch::{Ask, BodyLimit, Fetched};
use neap_runner::{AllTerms, HostTerms, Session};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use tokio::time::Instant;

use super::next::{self, Next, Terms};
use super::trace::{Follows, Told, Trace};
use super::ways::{Shut, Way, Ways};
use crate::failure::Failure;

/// A wait from here on is announced, also to who did not ask for a trace.
const LONG: Duration = Duration::from_secs(3);

/// Asks for URLs, one after the other.
pub(super) struct Asker {
    job: Job,
    terms: AllTerms,
    session: Session,
    ways: Ways,
    dice: SmallRng,
    begun: Instant,
    trace: Trace,
    is_quiet: bool,
    /// Attempts so far, at all URLs.
    attempts: u32,
    /// URLs so far.
    urls: i64,
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// What a person wants, or where a redirect led.
    Page,
    /// The rules of a host.
    Robots,
}

/// What follows from an attempt.
enum Following {
    /// It is asked again after this wait.
    Again {
        after: Duration,
        /// The way; `None` if there is one only then.
        way: Option<Way>,
        /// Whether it is another one than before.
        is_other: bool,
        /// Whether the attempt counts.
        is_charged: bool,
    },
    /// This is the answer.
    Answer,
    /// It is not asked again, and why.
    GivenUp(&'static str),
}

impl Following {
    fn told(&self) -> Follows<'_> {
        match self {
            Following::Again {
                after,
                way,
                is_other,
                is_charged,
            } => {
                let other = way.as_ref().filter(|_| *is_other);
                Follows::Again {
                    after: *after,
                    other: other.map(|way| way.name.as_str()),
                    is_charged: *is_charged,
                }
            }
            Following::Answer => Follows::Nothing,
            Following::GivenUp(why) => Follows::GivenUp(why),
        }
    }
}

/// How it ended.
pub(super) struct Last {
    /// The last exchange.
    pub(super) fetched: Fetched,
    /// What it means.
    pub(super) judgement: Judgement,
    /// Whose doing it is.
    pub(super) attribution: Attribution,
    /// Attempts at this URL.
    pub(super) attempts: u32,
}

impl Last {
    /// Whether this is what was asked for.
    pub(super) fn is_wanted(&self) -> bool {
        matches!(self.judgement.outcome, Outcome::Success | Outcome::Redirect)
    }
}

impl Asker {
    pub(super) fn new(
        job: Job,
        terms: AllTerms,
        session: Session,
        ways: Ways,
        trace: Trace,
        is_quiet: bool,
    ) -> Asker {
        Asker {
            job,
            terms,
            session,
            ways,
            dice: SmallRng::from_os_rng(),
            begun: Instant::now(),
            trace,
            is_quiet,
            attempts: 0,
            urls: 0,
        }
    }

    /// Asks for one URL, with waits between the attempts. `None` if there is no way out at all any more.
    ///
    /// # Errors
    /// Standard output failed.
    pub(super) async fn ask(
        &mut self,
        what: What,
        url: &CanonicalUrl,
        limit: BodyLimit,
    ) -> Result<Option<Last>, Failure> {
        self.urls += 1;
        let mut history = History::default();
        let mut attempts = 0;
        let Ok(mut way) = self.way(url) else {
            return Ok(None);
        };
        loop {
            // 1. Ask, and say what it means and who is to blame.
            self.attempts += 1;
            attempts += 1;
            let name = way.name.clone();
            let cookie = match what {
                What::Page => self.session.cookie(url, unix_now()),
                What::Robots => None,
            };
            let ask = Ask {
                cookie,
                ..Ask::get(url, limit)
            };
            let fetcher = &self.terms_of(url).fetcher;
            let fetched = fetcher.fetch_by(&way.egress, &ask).await;
            self.session.learn(url, &fetched.exchange, unix_now());
            let mut last = self.judge(url, fetched, attempts);

            // 2. Decide what follows, and say so.
            let following = self.decide(way, &mut last, &mut history, url);
            self.trace.attempt(&Told {
                number: self.attempts,
                what,
                url,
                way: &name,
                exchange: &last.fetched.exchange,
                judgement: &last.judgement,
                attribution: &last.attribution,
                follows: following.told(),
            })?;
            self.trace.notes(&self.ways.news());

            // 3. Wait.
            let Following::Again {
                after, way: next, ..
            } = following
            else {
                return Ok(Some(last));
            };
            self.announce(after);
            tokio::time::sleep(after).await;
            way = match next.map_or_else(|| self.way(url), Ok) {
                Ok(next) => next,
                Err(_) => return Ok(Some(last)),
            };
        }
    }

    /// What holds for the host of a URL.
    pub(super) fn terms_of(&self, url: &CanonicalUrl) -> &HostTerms {
        self.terms.of(&self.job, &url.host())
    }

    fn judge(&self, url: &CanonicalUrl, fetched: Fetched, attempts: u32) -> Last {
        let exchange = &fetched.exchange;
        Last {
            judgement: classify(exchange, self.asked_to_wait(url, exchange), attempts > 1),
            attribution: attribute(&Evidence::from(exchange)),
            attempts,
            fetched,
        }
    }

    /// Tells the pools what came of an attempt, and decides what follows.
    fn decide(
        &mut self,
        way: Way,
        last: &mut Last,
        history: &mut History,
        url: &CanonicalUrl,
    ) -> Following {
        let (proxy, now) = (way.proxy(), self.now());
        let (exchange, attribution) = (&last.fetched.exchange, &last.attribution);
        let retry = &self.terms.of(&self.job, &url.host()).retry;
        let dice = &mut self.dice;
        let asked = last.judgement.signal.retry_after;
        let charge = self
            .ways
            .report(way, exchange, attribution, asked, now, dice);
        let has_failed_before = last.attempts > 1;
        last.judgement = charged(
            last.judgement,
            exchange,
            attribution,
            charge,
            has_failed_before,
        );
        match next::next(exchange, &last.judgement, history, retry, dice) {
            Next::Over => Following::Answer,
            Next::GivenUp(why) => Following::GivenUp(why),
            Next::Again(terms) => {
                let asked_for_pause = attribution.action == Action::EaseProxy;
                self.again(terms, proxy, asked_for_pause, url)
            }
        }
    }

    /// Finds the way by which it is asked again: whether it is another one decides about the wait. A person waits
    /// for a proxy that asked for a pause, and not for one that is left out.
    fn again(
        &mut self,
        terms: Terms,
        before: ProxyId,
        asked_for_pause: bool,
        url: &CanonicalUrl,
    ) -> Following {
        let is_charged = terms.is_charged;
        let following = |after, way, is_other| Following::Again {
            after,
            way,
            is_other,
            is_charged,
        };
        match (self.way(url), terms.by_same) {
            (Ok(way), _) if way.proxy() != before => following(terms.by_other, Some(way), true),
            (Ok(way), Some(after)) => following(after, Some(way), false),
            (Err(Shut::Until(at)), _) if asked_for_pause => {
                following(at.since(self.now()), None, false)
            }
            (Ok(_) | Err(Shut::Until(_) | Shut::Closed), _) => {
                Following::GivenUp("no other way out is left")
            }
        }
    }

    /// A way out, if there is one now.
    fn way(&mut self, url: &CanonicalUrl) -> Result<Way, Shut> {
        let now = self.now();
        let host = url.host();
        let pool = self.job.first_pool(&host);
        self.ways.take(&host, pool, self.urls, now, &mut self.dice)
    }

    fn announce(&self, wait: Duration) {
        if wait >= LONG && !self.is_quiet && !self.trace.is_on() {
            let wait = crate::tell::span(wait);
            say!("neap waits {wait} before it asks again; Ctrl-C ends it.");
        }
    }

    fn now(&self) -> Time {
        Time::ZERO + self.begun.elapsed()
    }

    /// What the answer's `Retry-After` asks for, as far as `retry.retry_after_max` believes it.
    fn asked_to_wait(&self, url: &CanonicalUrl, exchange: &Exchange) -> Option<Duration> {
        let value = exchange.result.as_ref().ok()?.header("retry-after")?;
        let asked = neap_parse::dates::retry_after(value, unix_now())?;
        Some(asked.min(self.terms_of(url).retry.retry_after_max))
    }
}

/// What time it is.
pub(super) fn unix_now() -> UnixMs {
    let since_1970 = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    UnixMs(i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX))
}
