//! How does a host come back from an outage?
//!
//! At a share of the limit before, in few large steps. If the outage came right after a raise, the limit
//! before the raise is what it comes back to, and no such raise is tried for a while.

use std::time::Duration;

use crate::limiter::change::Reason;
use crate::limiter::overload;
use crate::time::Time;

use super::{Control, Phase, slow};

/// Share of the old limit from which a host is ramped up after an outage, and up to which.
const RAMP: (f64, f64) = (0.32, 0.95);
/// How much the limit grows in each clean window after an outage.
const RAMPED: f64 = 3.0;
/// A step to more than this multiple of the limit is a large one.
const LARGE_STEP: f64 = 1.06;
/// No try for so long after the first outage that a try caused: from now on they are careful.
const FIRST_FAULT: Duration = Duration::from_secs(3);
/// No try for so long after the second; doubles with each.
const OWN_FAULT: Duration = Duration::from_secs(60);

impl Control {
    /// The host seemed to have stopped, but was alive all the time: a try that did that is over.
    pub(in crate::limiter) fn was_alive(&mut self, now: Time) {
        if let Phase::Raised { from, .. } = self.phase {
            self.growth
                .failed(self.limit, self.window.failed, self.window.started);
            self.patience.failed(now);
            self.set(f64::from(from), Phase::Settled, Reason::TooHigh, now);
        }
    }

    /// Whether a large try did that: it is no wonder that a small one was under way when a host stopped.
    pub(in crate::limiter) fn is_broken_by_step(&self, since: Time) -> bool {
        self.blamed_try(since)
            .is_some_and(|(tried, from)| tried > LARGE_STEP * from)
    }

    /// The try that most likely stopped the host at `since`, and the limit before it. A large one may have been taken
    /// back a moment earlier, for the first failures.
    fn blamed_try(&self, since: Time) -> Option<(f64, f64)> {
        let blamed = self
            .latency
            .smoothed()
            .mul_f64(3.0)
            .max(Duration::from_secs(1));
        if since.since(self.raised_at) > blamed {
            return None;
        }
        let last = self.changes.last();
        match self.phase {
            Phase::Raised { from, .. } => Some((self.limit, f64::from(from))),
            Phase::Settled if last.reason == Reason::TooHigh => {
                let tried = f64::from(last.from);
                (tried > LARGE_STEP * self.limit).then_some((tried, self.limit))
            }
            Phase::Settled
            | Phase::Cut { .. }
            | Phase::Measured { .. }
            | Phase::CutForLatency { .. }
            | Phase::Ramped { .. } => None,
        }
    }

    /// The host answers again; it had stopped at `since`.
    pub(in crate::limiter) fn recovered(&mut self, since: Time, now: Time) {
        let mut limit = match self.phase {
            Phase::Raised { from, .. } => f64::from(from),
            Phase::Settled
            | Phase::Cut { .. }
            | Phase::Measured { .. }
            | Phase::CutForLatency { .. }
            | Phase::Ramped { .. } => self.limit,
        };
        let mut reason = Reason::Recovered;
        if let Some((tried, from)) = self.blamed_try(since) {
            limit = from;
            reason = Reason::Outage;
            self.growth.found(tried);
            self.own_fault = (self.own_fault + 1).min(6);
            let pause = match self.own_fault {
                1 => FIRST_FAULT,
                more => OWN_FAULT * (1 << (more - 2)),
            };
            self.patience.pause(now + pause);
        } else if !matches!(self.phase, Phase::Raised { .. }) {
            self.budget.forgive();
        }
        let to = match self.phase {
            Phase::Ramped { to, .. } => f64::from(to),
            Phase::Settled
            | Phase::Raised { .. }
            | Phase::Cut { .. }
            | Phase::Measured { .. }
            | Phase::CutForLatency { .. } => RAMP.1 * limit,
        };
        let limit = (RAMP.0 * limit).max(limit.min(1.0));
        let to = to.max(limit) as f32;
        let is_warm = false;
        self.set(limit, Phase::Ramped { to, is_warm }, reason, now);
    }

    /// Begins below a limit that worked before.
    pub(in crate::limiter) fn ramp_to(&mut self, to: f64) {
        let (to, is_warm) = (to as f32, true);
        self.phase = Phase::Ramped { to, is_warm };
    }

    /// Judges the window of a step back up.
    pub(super) fn judge_ramped(
        &mut self,
        (to, is_warm): (f32, bool),
        is_ripe: bool,
        background: f64,
        now: Time,
    ) {
        // The ceiling may have come down meanwhile.
        let to = to.min(self.most as f32);
        let w = self.window;
        if overload::is_likely(w.failed, w.started, background) && is_ripe {
            let share = w.excess(background);
            self.phase = Phase::Settled;
            self.cut(self.limit, share, 0, now);
            return;
        }
        if !is_ripe || w.seen() < (self.limit / 2.0).max(2.0) {
            return;
        }
        let (rise, errors) = self.latency.rise(self.level(now));
        let is_slow = slow::is_queueing(rise, errors, self.limit);
        if self.limit >= f64::from(to) || is_slow {
            self.patience.renew();
            self.settle(now);
        } else {
            let next = (RAMPED * self.limit).min(f64::from(to));
            let reason = if is_warm { Reason::Warm } else { Reason::Ramp };
            self.set(next, Phase::Ramped { to, is_warm }, reason, now);
        }
    }
}
