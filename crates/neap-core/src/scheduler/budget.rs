//! May this request be asked again now, or do fresh ones go first?
//!
//! Every request to a host earns a share of a retry, and every retry costs a whole one, as in Finagle's
//! RetryBudget: so retries stay a share of the traffic, whatever part of the pages fails. A small
//! allowance lets lone retries through on hosts with little traffic. When a host has no fresh request
//! left, nothing can be earned any more: then retries flow at a steady rate instead.

use std::time::Duration;

use crate::time::Time;

/// Retries that a host has from the start. Finagle's RetryBudget allows ten a second beyond the share; a
/// crawl may go on for days, so it is ten in all here.
const ALLOWANCE: f64 = 10.0;

/// Retries that can be saved up: those of one outage, when all that was in flight failed together. What a
/// host earned on a good day must not all be spent in a bad minute.
const MOST_SAVED: f64 = 100.0;

/// Time between two retries beyond the budget, when no fresh request is left: ten a second, Finagle's
/// `minRetriesPerSec`.
const BEYOND: Duration = Duration::from_millis(100);

/// A retry beyond the budget that has fresh requests before it looks again after this time, if nothing
/// happens that calls it up earlier.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// What a host's retries may cost.
#[derive(Debug)]
pub struct RetryBudget {
    saved: f64,
    /// No retry beyond the budget before this.
    next_beyond: Time,
}

impl Default for RetryBudget {
    fn default() -> RetryBudget {
        RetryBudget {
            saved: ALLOWANCE,
            next_beyond: Time::ZERO,
        }
    }
}

impl RetryBudget {
    /// Whether a retry may start now, when retries may be this `share` of all requests.
    ///
    /// # Errors
    /// When to ask again.
    pub fn check(&self, share: Option<f64>, has_fresh: bool, now: Time) -> Result<(), Time> {
        let is_paid = share.is_none_or(|share| self.saved + share >= 1.0);
        if is_paid || (!has_fresh && now >= self.next_beyond) {
            Ok(())
        } else if has_fresh {
            Err(now + LOOK_AGAIN)
        } else {
            Err(self.next_beyond)
        }
    }

    /// A request starts.
    pub fn start(&mut self, share: Option<f64>, is_retry: bool, now: Time) {
        let price = if is_retry { 1.0 } else { 0.0 };
        let saved = self.saved + share.unwrap_or(1.0) - price;
        if saved < 0.0 {
            self.next_beyond = now + BEYOND;
        }
        self.saved = saved.clamp(0.0, MOST_SAVED);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn beside_fresh_requests_retries_stay_within_their_share(
            share in 0.0f64..=1.0,
            wishes in prop::collection::vec(prop::bool::weighted(0.7), 1..2000),
        ) {
            let mut budget = RetryBudget::default();
            let (mut starts, mut retries) = (0.0, 0.0);
            for is_retry in wishes {
                if is_retry && budget.check(Some(share), true, Time::ZERO).is_err() {
                    continue;
                }
                budget.start(Some(share), is_retry, Time::ZERO);
                starts += 1.0;
                retries += if is_retry { 1.0 } else { 0.0 };
                prop_assert!(retries <= ALLOWANCE + share * starts + 1e-6);
            }
        }

        #[test]
        fn a_refusal_names_a_time_at_which_a_lone_retry_may_go(
            share in 0.0f64..0.9, steps in prop::collection::vec(0u64..200, 1..200),
        ) {
            let (mut budget, mut now) = (RetryBudget::default(), Time::ZERO);
            for step in steps {
                now = now + Duration::from_millis(step);
                if let Err(at) = budget.check(Some(share), false, now) {
                    prop_assert!(at > now && at.since(now) <= BEYOND);
                    prop_assert!(budget.check(Some(share), false, at).is_ok());
                    now = at;
                }
                budget.start(Some(share), true, now);
            }
        }
    }

    #[test]
    fn a_good_day_does_not_pay_for_a_bad_minute() {
        let mut budget = RetryBudget::default();
        for _ in 0..100_000 {
            budget.start(Some(0.2), false, Time::ZERO);
        }
        let retries = (0..10_000)
            .take_while(|_| {
                let may_go = budget.check(Some(0.2), true, Time::ZERO).is_ok();
                budget.start(Some(0.2), true, Time::ZERO);
                may_go
            })
            .count();
        assert!((100..=130).contains(&retries), "{retries}");
    }

    #[test]
    fn without_a_budget_nothing_is_refused() {
        let mut budget = RetryBudget::default();
        for _ in 0..1000 {
            assert!(budget.check(None, true, Time::ZERO).is_ok());
            budget.start(None, true, Time::ZERO);
        }
    }
}
