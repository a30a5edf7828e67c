//! Do slow answers come from the limit, or is the origin just slow?
//!
//! If they come from the limit, they become quicker when it is lowered.

use crate::limiter::change::Reason;
use crate::limiter::latency::Level;
use crate::time::Time;

use super::{Control, Phase};

/// A window is long when each slot was used so many times.
pub(super) const LONG: f64 = 3.0;
/// A rise of latency by this factor means that the host's workers are all busy: more requests only wait
/// longer. In closed queues with the service times of web servers, nine tenths and more of the
/// throughput are reached there.
const QUEUEING: f64 = 1.2;
/// From a limit with a rise above this factor no higher one is tried.
const BUSY: f64 = 1.14;
/// A rise by this factor at a settled limit leads to a cut.
const SLOW: f64 = 1.6;
/// A cut for latency aims at this factor.
const SLOW_AIM: f64 = 1.2;
/// Standard errors that a rise must reach: in a long window to take a try back, and in a short one or to
/// cut a settled limit.
pub(super) const SURE: (f64, f64) = (2.0, 3.5);
/// Below this limit latency tells nothing: its base is learned there.
const SLOW_LEAST: f64 = 4.0;
/// If the logarithm of the latency follows that of the limit by less than this, the host is slow for
/// another reason.
pub(super) const ELASTIC: f64 = 0.25;
/// Standard errors by which the latency must have fallen after a cut to have been caused by load.
const FELL: f64 = 1.5;
/// How often a rise of latency is tested that keeps the limit where it is.
pub(super) const SLOW_DOUBT_EVERY: (f32, f32) = (3.0, 240.0);
/// The cut that finds out if a rise between those two is one of load.
const SLOW_DOUBT_CUT: f64 = 0.8;

impl Control {
    /// Lowers a limit at which answers became slow.
    pub(super) fn cut_for_latency(&mut self, level: Level, rise: f64, now: Time) {
        let to = self.limit * (SLOW_AIM / rise.exp()).clamp(0.5, 0.85);
        let phase = Phase::CutForLatency {
            from: self.limit as f32,
            level,
            is_doubt: false,
        };
        self.set(to.max(1.0), phase, Reason::Slow, now);
    }

    /// Whether a rise that keeps the limit where it is should be tested now.
    pub(super) fn is_slowness_doubted(&self, rise: f64, errors: f64, now: Time) -> bool {
        let waited = now.since(self.slow_doubted_at).as_secs_f32();
        is_busy(rise, self.limit)
            && errors > SURE.0
            && waited >= self.slow_doubt_wait
            && self.window.seen() >= (LONG * self.limit).max(40.0)
    }

    /// Lowers the limit for a moment to see if answers become quicker.
    pub(super) fn doubt_slowness(&mut self, level: Level, now: Time) {
        self.slow_doubted_at = now;
        let phase = Phase::CutForLatency {
            from: self.limit as f32,
            level,
            is_doubt: true,
        };
        self.set(self.limit * SLOW_DOUBT_CUT, phase, Reason::Doubt, now);
    }

    /// Says whether the latency followed the limit.
    pub(super) fn judge_latency_cut(
        &mut self,
        from: f32,
        before: Level,
        is_doubt: bool,
        now: Time,
    ) {
        let w = self.window;
        if w.seen() < LONG * self.limit.max(4.0) {
            return;
        }
        let Some(after) = self.level(now) else {
            // Nothing but failures: the test for those comes next.
            self.phase = Phase::Settled;
            return;
        };
        let (risen, errors) = self.latency.difference(before, after);
        let elasticity = -risen / (f64::from(from) / self.limit).ln();
        if elasticity >= ELASTIC && -errors >= FELL {
            if is_doubt {
                self.slow_doubt_wait = (2.0 * self.slow_doubt_wait).min(SLOW_DOUBT_EVERY.1);
                self.set(f64::from(from), Phase::Settled, Reason::Load, now);
            } else {
                self.growth.found(f64::from(from));
                self.patience.failed(now);
                self.settle(now);
            }
        } else {
            self.slow_doubt_wait = SLOW_DOUBT_EVERY.0;
            self.latency.rebase(after);
            if self.growth.retract_slow() {
                self.patience.relax();
            }
            self.set(f64::from(from), Phase::Settled, Reason::NotLoad, now);
        }
    }
}

/// Whether answers are slower than the base, beyond doubt, so that a cut is due.
pub(super) fn is_slow(rise: f64, errors: f64, limit: f64) -> bool {
    rise > SLOW.ln() && errors > SURE.1 && limit >= SLOW_LEAST
}

/// Whether the host's workers seem to be all busy.
pub(super) fn is_queueing(rise: f64, errors: f64, limit: f64) -> bool {
    rise > QUEUEING.ln() && errors > SURE.0 && limit >= SLOW_LEAST
}

/// Whether a rise, as far as it is more than chance, forbids to try a higher limit.
pub(super) fn is_busy(rise: f64, limit: f64) -> bool {
    rise >= BUSY.ln() && limit >= SLOW_LEAST
}

/// The part of a rise that is more than chance.
pub(super) fn certain(rise: f64, errors: f64) -> f64 {
    if errors > 1.0 {
        rise * (1.0 - 1.0 / errors)
    } else {
        0.0
    }
}
