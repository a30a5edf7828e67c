//! What follows from an attempt?
//!
//! What a crawl would do, but for this: a person does not wait for a way to come back, so what only another way may bring
//! is given up where there is none.

use std::time::Duration;

use neap_core::backoff::backoff;
use neap_core::classify::Judgement;
use neap_core::egress::Charge;
use neap_core::exchange::Exchange;
use neap_core::job::Retry;
use neap_core::verdict::{History, Verdict, decide};
use rand::rngs::SmallRng;

/// What follows from an attempt.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Next {
    /// This is the answer.
    Over,
    /// It is to be asked again, on these terms.
    Again(Terms),
    /// It is not, and why.
    GivenUp(&'static str),
}

/// How something is to be asked again.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Terms {
    /// The wait before it goes out by another way.
    pub(super) by_other: Duration,
    /// The wait before it goes out by the same; `None` if that makes no sense.
    pub(super) by_same: Option<Duration>,
    /// Whether the attempt counts.
    pub(super) is_charged: bool,
}

/// Decides what follows, and counts the attempt.
pub(super) fn next(
    exchange: &Exchange,
    judgement: &Judgement,
    history: &mut History,
    retry: &Retry,
    dice: &mut SmallRng,
) -> Next {
    match decide(exchange, judgement, *history, false, retry, dice) {
        Verdict::Done | Verdict::Skipped(_) => Next::Over,
        Verdict::Failed if history.charged + 1 >= retry.attempts => {
            Next::GivenUp("its attempts are used up (`retry.attempts`)")
        }
        Verdict::Failed => Next::GivenUp("asking again would not help"),
        Verdict::Retry { after, is_charged } => {
            if is_charged {
                history.charged += 1;
            } else {
                history.deferrals += 1;
            }
            let is_elsewhere = judgement.goes_elsewhere || judgement.charge == Charge::Credentials;
            let again = || match after {
                Duration::ZERO => backoff(retry, history.deferrals.max(1), None, dice),
                after => after,
            };
            Next::Again(Terms {
                by_other: after,
                by_same: (!is_elsewhere).then(again),
                is_charged,
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use neap_core::attribution::{Evidence, attribute};
    use neap_core::charge::charged;
    use neap_core::classify::classify;
    use neap_core::exchange::{Answer, Timings};
    use rand::SeedableRng;

    use super::*;

    fn answer(status: u16, fields: &[(&'static str, &'static str)]) -> Exchange {
        let fields = fields
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        Exchange {
            result: Ok(Answer {
                status,
                version: http::Version::HTTP_11,
                headers: fields.collect(),
                payload: "<p>".into(),
                body: "<p>".into(),
                address: None,
            }),
            timings: Timings::default(),
            sent: Default::default(),
            route: Default::default(),
        }
    }

    /// What follows from the first attempt, in a few words.
    fn told(exchange: &Exchange, charge: Charge) -> &'static str {
        let attribution = attribute(&Evidence::from(exchange));
        let judgement = classify(exchange, None, false);
        let judgement = charged(judgement, exchange, &attribution, charge, false);
        let mut dice = SmallRng::seed_from_u64(1);
        let (retry, mut history) = (Retry::default(), History::default());
        match next(exchange, &judgement, &mut history, &retry, &mut dice) {
            Next::Over => "over",
            Next::GivenUp(_) => "given up",
            Next::Again(terms) => {
                assert_eq!(history.charged, u32::from(terms.is_charged));
                match (terms.by_other.is_zero(), terms.by_same) {
                    (true, None) => "elsewhere at once",
                    (true, Some(same)) if !same.is_zero() => "elsewhere at once, here later",
                    (false, Some(same)) if same == terms.by_other => "later",
                    (false, None) => "elsewhere later",
                    (_, Some(_)) => "odd",
                }
            }
        }
    }

    #[test]
    fn what_follows_from_a_first_attempt() {
        let page = [("content-type", "text/html"), ("date", "x")];
        let wall = [("content-type", "text/html"), ("cf-mitigated", "challenge")];
        for (status, fields, charge, expected) in [
            (200, page, Charge::Nobody, "over"),
            (404, page, Charge::Nobody, "over"),
            (403, page, Charge::Nobody, "given up"),
            (502, page, Charge::Host, "later"),
            (502, page, Charge::Proxy, "elsewhere at once, here later"),
            (502, page, Charge::Unknown, "elsewhere at once, here later"),
            (407, page, Charge::Credentials, "elsewhere at once"),
            (403, wall, Charge::Host, "elsewhere later"),
            (200, wall, Charge::Host, "elsewhere later"),
        ] {
            let found = told(&answer(status, &fields), charge);
            assert_eq!(found, expected, "{status} {fields:?} {charge:?}");
        }
    }

    #[test]
    fn the_last_attempt_says_that_it_was() {
        let (retry, mut dice) = (Retry::default(), SmallRng::seed_from_u64(1));
        let exchange = answer(502, &[]);
        let judgement = classify(&exchange, None, false);
        let mut history = History::default();
        for _ in 1..retry.attempts {
            let next = next(&exchange, &judgement, &mut history, &retry, &mut dice);
            assert!(matches!(next, Next::Again(_)), "{next:?}");
        }
        let last = next(&exchange, &judgement, &mut history, &retry, &mut dice);
        let Next::GivenUp(why) = last else {
            panic!("{last:?}");
        };
        assert!(why.contains("used up"), "{why}");
    }
}
