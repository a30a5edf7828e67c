//! What is known of how often one party, a proxy or a host, is at fault?
//!
//! Two fading counts and the distribution that they make likely. A party is called bad when nearly all
//! of that distribution is above the bound, on enough evidence with enough others, and is cleared only
//! when nearly all of it is below: in between nothing changes.

use std::time::Duration;

use super::beta::above;
use crate::time::Time;

/// The evidence before any: half a failure and 9.5 successes.
const PRIOR: (f64, f64) = (0.5, 9.5);
/// Evidence is halved by so many further observations ...
const HALVED_BY: f64 = 400.0;
/// ... and by so much time.
const HALVED_AFTER: Duration = Duration::from_secs(30 * 60);
/// A party with a share of failures above this is not worth using.
const BOUND: f64 = 0.15;
/// The share of the distribution that must be on one side of the bound.
const SURE: f64 = 0.95;
/// Observations, faded ones counted as what is left of them, before a party is called bad.
const ENOUGH: f64 = 8.0;
/// Others that took part in its failures before a party is called bad.
const COUNTERPARTS: usize = 3;
/// Failures, faded, that are as good as none: who took part in them is forgotten.
const FORGOTTEN: f64 = 0.25;

/// One party.
#[derive(Debug, Clone, Default)]
pub(super) struct Arm {
    failed: f64,
    worked: f64,
    at: Time,
    with: [Option<u64>; COUNTERPARTS],
    is_bad: bool,
}

impl Arm {
    /// The expected share of exchanges that it spoils, above 0, below 1.
    pub(super) fn rate(&self, now: Time) -> f64 {
        let left = self.fading(now);
        let failed = PRIOR.0 + self.failed * left;
        failed / (failed + PRIOR.1 + self.worked * left)
    }

    /// The probability that it is not worth using.
    pub(super) fn doubt(&self, now: Time) -> f64 {
        let left = self.fading(now);
        above(
            PRIOR.0 + self.failed * left,
            PRIOR.1 + self.worked * left,
            BOUND,
        )
    }

    /// An exchange with `other` failed, and the share `blame` of that, 0 to 1, falls on this one. It counts
    /// as `weight` of an observation, 0 to 1.
    pub(super) fn failed(&mut self, blame: f64, weight: f64, other: u64, now: Time) {
        self.fade(now);
        self.failed += weight * blame;
        self.worked += weight * (1.0 - blame);
        if !self.with.contains(&Some(other))
            && let Some(free) = self.with.iter_mut().find(|with| with.is_none())
        {
            *free = Some(other);
        }
    }

    /// An exchange worked as far as this one is concerned.
    pub(super) fn worked(&mut self, now: Time) {
        self.fade(now);
        self.worked += 1.0;
    }

    /// Whether it is bad, by all that was seen. Asked after every failure, and after successes of one that
    /// was called bad.
    pub(super) fn judge(&mut self, now: Time) -> bool {
        let doubt = self.doubt(now);
        let has_enough = (self.failed + self.worked) * self.fading(now) >= ENOUGH
            && self.with.iter().all(Option::is_some);
        if doubt > SURE && has_enough {
            self.is_bad = true;
        } else if doubt < 1.0 - SURE {
            self.is_bad = false;
        }
        self.is_bad
    }

    pub(super) fn is_bad(&self) -> bool {
        self.is_bad
    }

    /// Whether nothing is known that it would be a loss to forget.
    pub(super) fn is_blank(&self, now: Time) -> bool {
        !self.is_bad && self.failed * self.fading(now) < FORGOTTEN
    }

    fn fade(&mut self, now: Time) {
        let left = self.fading(now) * (-1.0 / HALVED_BY).exp2();
        self.failed *= left;
        self.worked *= left;
        self.at = now;
        if self.failed < FORGOTTEN {
            self.with = Default::default();
        }
    }

    fn fading(&self, now: Time) -> f64 {
        (-now.since(self.at).div_duration_f64(HALVED_AFTER)).exp2()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_takes_enough_failures_with_enough_others_to_be_bad() {
        let mut arm = Arm::default();
        for n in 0..8 {
            arm.failed(1.0, 1.0, n, Time::ZERO);
            assert!(!arm.judge(Time::ZERO), "after {n}");
        }
        arm.failed(1.0, 1.0, 8, Time::ZERO);
        assert!(arm.judge(Time::ZERO));

        let mut alone = Arm::default();
        for n in 0..50 {
            alone.failed(1.0, 1.0, n % 2, Time::ZERO);
        }
        assert!(!alone.judge(Time::ZERO), "only two others took part");
    }

    #[test]
    fn the_verdict_stays_until_the_opposite_is_as_sure() {
        let mut arm = Arm::default();
        (0..10).for_each(|n| arm.failed(1.0, 1.0, n, Time::ZERO));
        assert!(arm.judge(Time::ZERO));
        let mut good = 0;
        while arm.judge(Time::ZERO) {
            arm.worked(Time::ZERO);
            good += 1;
        }
        assert!((60..200).contains(&good), "{good} successes");
    }

    #[test]
    fn evidence_fades_with_time() {
        let mut arm = Arm::default();
        (0..10).for_each(|n| arm.failed(1.0, 1.0, n, Time::ZERO));
        let now = Time::ZERO + HALVED_AFTER * 8;
        assert!(arm.rate(Time::ZERO) > 0.5 && arm.rate(now) < 0.06);
        assert!(arm.doubt(Time::ZERO) > 0.99 && arm.doubt(now) < 0.2);
    }
}
