//! What becomes of a request after an attempt?
//!
//! A final answer makes it done, a refusal or its last failed attempt makes it failed, and everything
//! else is asked again later. A failure that happened while the whole host was failing is the host's
//! business: it is not charged to the request, [`MAX_DEFERRALS`] times at most.

use std::time::Duration;

use rand::RngCore;

use crate::backoff::backoff;
use crate::classify::{Judgement, Outcome};
use crate::egress::Charge;
use crate::exchange::Exchange;
use crate::job::Retry;
use crate::scope::SkipReason;

/// Failed attempts that one request is not charged for. A bound is needed: without one a crawl whose
/// last pages always fail never ends (simulated: it ran into its stop at 500,001 requests). 20 lets a
/// page be the probe of a host through an hour of outage.
pub const MAX_DEFERRALS: u32 = 20;

/// So often a request goes by another way at once when its way failed and not the host; then it waits as after
/// other failures, since the next way may be as bad.
const AT_ONCE: u32 = 3;

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Verdict {
    /// Answered for good.
    Done,
    /// To be asked again after a wait.
    Retry {
        /// The wait, from now.
        after: Duration,
        /// Whether the attempt counts towards `retry.attempts`.
        is_charged: bool,
    },
    /// Given up.
    Failed,
    /// Never asked for, and why.
    Skipped(SkipReason),
}

/// What is known of a request before an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct History {
    /// Attempts that were charged so far.
    pub charged: u32,
    /// Failed attempts that were not charged so far.
    pub deferrals: u32,
}

/// Decides what becomes of a request after an exchange. `host_is_failing` says that the limiter holds
/// the whole host for failing, so that this failure tells nothing about the page.
pub fn decide(
    exchange: &Exchange,
    judgement: &Judgement,
    history: History,
    host_is_failing: bool,
    retry: &Retry,
    dice: &mut dyn RngCore,
) -> Verdict {
    let status = exchange.result.as_ref().map_or(0, |answer| answer.status);
    let is_retried = match judgement.outcome {
        Outcome::Success | Outcome::Redirect => return Verdict::Done,
        Outcome::Permanent => return Verdict::Failed,
        Outcome::Transient | Outcome::Internal => true,
        Outcome::Gone
        | Outcome::ClientError
        | Outcome::Refused
        | Outcome::RateLimited
        | Outcome::Overload
        | Outcome::ServerError => judgement.goes_elsewhere || retry.statuses.contains(&status),
    };
    if !is_retried {
        let is_answer = matches!(judgement.outcome, Outcome::Gone | Outcome::ClientError);
        return if is_answer {
            Verdict::Done
        } else {
            Verdict::Failed
        };
    }
    let speaks_of_host = judgement.signal.kind.is_load_failure();
    let is_others = match judgement.charge {
        Charge::Proxy | Charge::Credentials | Charge::Unknown => true,
        Charge::Host | Charge::Nobody => false,
    };
    // Who refuses may be one of many that do: that goes on for as long as the request has attempts.
    let is_free = (speaks_of_host && host_is_failing)
        || (is_others && !judgement.goes_elsewhere)
        || judgement.outcome == Outcome::Internal;
    let is_charged = !is_free || history.deferrals >= MAX_DEFERRALS;
    let charged = history.charged + u32::from(is_charged);
    if charged >= retry.attempts {
        return Verdict::Failed;
    }
    let retry_after = judgement.signal.retry_after;
    let after = match history.deferrals.checked_sub(AT_ONCE) {
        None if is_others => Duration::ZERO,
        Some(more) if is_others => backoff(retry, charged.max(more + 1), retry_after, dice),
        Some(_) | None => backoff(retry, charged.max(1), retry_after, dice),
    };
    let useless_until = judgement.not_before.unwrap_or_default();
    Verdict::Retry {
        after: after.max(useless_until.min(retry.retry_after_max)),
        is_charged,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    use super::*;
    use crate::classify::classify;
    use crate::exchange::{Answer, Failure, FailureKind, Stage, Timings};

    fn exchange(result: Result<u16, FailureKind>) -> Exchange {
        let answer = |status| Answer {
            status,
            version: http::Version::HTTP_11,
            headers: HeaderMap::new(),
            payload: Default::default(),
            body: Default::default(),
            address: None,
        };
        let failure = |kind| Failure {
            kind,
            status: None,
            detail: String::new(),
        };
        Exchange {
            result: result.map(answer).map_err(failure),
            timings: Timings::default(),
            sent: HeaderMap::new(),
            route: Default::default(),
        }
    }

    fn verdict(result: Result<u16, FailureKind>, history: History, is_failing: bool) -> Verdict {
        let exchange = exchange(result);
        let judgement = classify(&exchange, None, false);
        let mut dice = SmallRng::seed_from_u64(1);
        decide(
            &exchange,
            &judgement,
            history,
            is_failing,
            &Retry::default(),
            &mut dice,
        )
    }

    #[test]
    fn a_failure_that_is_not_the_hosts_goes_another_way_at_once_and_not_for_ever() {
        let exchange = exchange(Err(FailureKind::ProxyRefused));
        let mut dice = SmallRng::seed_from_u64(1);
        let mut after = |charge, deferrals| {
            let judgement = Judgement {
                charge,
                ..classify(&exchange, None, false)
            };
            let history = History {
                charged: 0,
                deferrals,
            };
            let retry = Retry::default();
            let verdict = decide(&exchange, &judgement, history, false, &retry, &mut dice);
            let Verdict::Retry { after, is_charged } = verdict else {
                panic!("{verdict:?}");
            };
            (after, is_charged)
        };
        for charge in [Charge::Proxy, Charge::Unknown, Charge::Credentials] {
            for deferrals in 0..AT_ONCE {
                assert_eq!(
                    after(charge, deferrals),
                    (Duration::ZERO, false),
                    "{charge:?}"
                );
            }
            let (wait, is_charged) = after(charge, AT_ONCE);
            assert!(!wait.is_zero() && !is_charged, "{charge:?}");
            assert!(after(charge, MAX_DEFERRALS).1, "{charge:?}");
        }
        assert!(after(Charge::Host, 0).1);
    }

    #[test]
    fn a_proxy_that_bars_a_host_costs_the_page_an_attempt_and_no_wait() {
        let refused = exchange(Err(FailureKind::ProxyRefused));
        let judgement = Judgement {
            charge: Charge::Proxy,
            outcome: Outcome::Refused,
            goes_elsewhere: true,
            ..classify(&refused, None, false)
        };
        let retry = Retry::default();
        let mut dice = SmallRng::seed_from_u64(1);
        let mut after = |charged| {
            let history = History {
                charged,
                deferrals: 0,
            };
            decide(&refused, &judgement, history, false, &retry, &mut dice)
        };
        let at_once = Verdict::Retry {
            after: Duration::ZERO,
            is_charged: true,
        };
        assert_eq!(after(0), at_once);
        assert_eq!(after(retry.attempts - 1), Verdict::Failed);
    }

    #[test]
    fn what_a_cache_still_says_is_not_asked_again_before_and_nobody_makes_us_wait_for_ever() {
        let exchange = exchange(Ok(502));
        let mut dice = SmallRng::seed_from_u64(1);
        let retry = Retry::default();
        for (told, least) in [
            (30, Duration::from_secs(30)),
            (u64::MAX, retry.retry_after_max),
        ] {
            let judgement = Judgement {
                not_before: Some(Duration::from_secs(told)),
                ..classify(&exchange, None, false)
            };
            let history = History::default();
            let verdict = decide(&exchange, &judgement, history, false, &retry, &mut dice);
            let Verdict::Retry { after, .. } = verdict else {
                panic!("{verdict:?}");
            };
            assert_eq!(after, least);
        }
    }

    #[test]
    fn first_attempts() {
        let first = History::default();
        for status in [200, 204, 302, 304, 400, 404, 405, 410] {
            assert_eq!(verdict(Ok(status), first, false), Verdict::Done, "{status}");
        }
        for status in [401, 403, 407, 451, 501, 505] {
            assert_eq!(
                verdict(Ok(status), first, false),
                Verdict::Failed,
                "{status}"
            );
        }
        for status in [408, 429, 500, 502, 503, 504, 522] {
            let found = verdict(Ok(status), first, false);
            assert!(
                matches!(
                    found,
                    Verdict::Retry {
                        is_charged: true,
                        ..
                    }
                ),
                "{status}: {found:?}"
            );
        }
        for kind in [
            FailureKind::DnsNotFound,
            FailureKind::PrivateAddress,
            FailureKind::TlsCertificate,
            FailureKind::TooLarge,
        ] {
            assert_eq!(
                verdict(Err(kind), first, false),
                Verdict::Failed,
                "{kind:?}"
            );
        }
        for kind in [
            FailureKind::Reset,
            FailureKind::Timeout(Stage::Header),
            FailureKind::Decode,
        ] {
            let found = verdict(Err(kind), first, false);
            assert!(
                matches!(
                    found,
                    Verdict::Retry {
                        is_charged: true,
                        ..
                    }
                ),
                "{kind:?}: {found:?}"
            );
        }
    }

    #[test]
    fn the_last_attempt_fails_the_request() {
        let history = History {
            charged: 5,
            deferrals: 0,
        };
        assert_eq!(verdict(Ok(502), history, false), Verdict::Failed);
        assert_eq!(
            verdict(Err(FailureKind::Reset), history, false),
            Verdict::Failed
        );
    }

    #[test]
    fn a_failing_host_is_not_charged_to_its_pages_within_bounds() {
        let history = History {
            charged: 5,
            deferrals: MAX_DEFERRALS - 1,
        };
        let found = verdict(Ok(502), history, true);
        assert!(
            matches!(
                found,
                Verdict::Retry {
                    is_charged: false,
                    ..
                }
            ),
            "{found:?}"
        );
        let used_up = History {
            charged: 5,
            deferrals: MAX_DEFERRALS,
        };
        assert_eq!(verdict(Ok(502), used_up, true), Verdict::Failed);
        let page_of_its_own = verdict(Ok(500), history, true);
        assert_eq!(
            page_of_its_own,
            Verdict::Failed,
            "a 500 is the page's, whatever its host does"
        );
    }
}
