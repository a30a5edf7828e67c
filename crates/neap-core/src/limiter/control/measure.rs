//! Which share of failures has nothing to do with the limit?
//!
//! Close to the ceiling nobody can tell failures by load from others. Now and then the limit is lowered
//! for a moment, far enough for the load to be gone, and what still fails is counted.

use std::time::Duration;

use crate::limiter::change::Reason;
use crate::limiter::overload;
use crate::time::Time;

use super::{Control, Phase};

/// A background share above this is re-tested by a cut now and then: it might be load.
pub(super) const DOUBTED: f64 = 0.015;
/// Answers after which a settled limit with more failures than that is suspicious.
const BLOCKED: f64 = 60.0;
/// How often at first, and at last: the wait doubles with each test that the background passes.
pub(super) const DOUBT_EVERY: (f32, f32) = (4.0, 64.0);
/// The cut of that test: far enough below a limit that is a little too high.
const DOUBT_CUT: f64 = 0.8;
/// The same at limits below that: what keeps them low may be a rate, of which a slot more or less is much.
const DOUBT_CUT_OF_FEW: (f64, f64) = (0.6, 4.0);
/// A measurement of the background lasts until so many failures are expected.
const MEASURED: f64 = 12.0;
/// Answers after which a measurement is long enough whatever the background.
const LONGEST: f64 = 200.0;
/// No measurement is made that would bring fewer answers than this ...
const LEAST_MEASURED: f64 = 20.0;
/// ... within this many seconds: so long, at most, as they take where they are few, and else the shorter one.
const DOUBT_LASTS: (f64, f64) = (4.0, 12.0);

impl Control {
    /// Whether failures keep the limit from growing that are many for a limit that is no ceiling.
    pub(super) fn is_blocked(&self) -> bool {
        self.growth.ceiling().is_some()
            && self.window.share() > DOUBTED
            && self.window.seen() >= BLOCKED
    }

    /// The cut of a measurement, as a share of the limit.
    fn doubt_cut(&self) -> f64 {
        if self.limit < DOUBT_CUT_OF_FEW.1 {
            DOUBT_CUT_OF_FEW.0
        } else {
            DOUBT_CUT
        }
    }

    /// How many answers a second a measurement would bring.
    fn answers_a_second(&self) -> f64 {
        self.doubt_cut() * self.limit / self.latency.smoothed().as_secs_f64().max(1e-6)
    }

    /// How long a measurement lasts at most, at the limit lowered for it.
    fn measured_for(&self) -> Duration {
        let enough = LEAST_MEASURED * self.doubt_cut() / self.answers_a_second();
        Duration::from_secs_f64(enough.clamp(DOUBT_LASTS.0, DOUBT_LASTS.1))
    }

    /// How many answers a measurement of the background would bring.
    fn answers_to_measure(&self, share: f64) -> f64 {
        (self.answers_a_second() * DOUBT_LASTS.1)
            .min(MEASURED / share)
            .min(LONGEST)
    }

    /// Lowers the limit to measure the background, if it is time and worth it. Says whether it did.
    pub(super) fn measure(&mut self, now: Time) -> bool {
        let waited = now.since(self.doubted_at).as_secs_f32();
        if waited < self.doubt_wait || !self.window.was_full {
            return false;
        }
        self.doubted_at = now;
        let share = self.background.share().max(self.window.share());
        if self.answers_to_measure(share) < LEAST_MEASURED {
            return false;
        }
        self.learn(now);
        let from = self.limit as f32;
        let to = self.limit * self.doubt_cut();
        self.set(to, Phase::Measured { from }, Reason::Doubt, now);
        true
    }

    /// Judges the window of a measurement.
    pub(super) fn judge_measured(&mut self, from: f32, background: f64, now: Time) {
        let w = self.window;
        let is_long = now.since(w.begun) > self.measured_for();
        if w.seen() < LONGEST.min(MEASURED / background) && !is_long {
            return;
        }
        if overload::is_less(w.failed, w.seen(), background) {
            // What was learned before was load, or has gone.
            self.background.replace(w.failed, w.seen() as u32);
            self.doubt_soon(now);
        } else {
            self.background.learn(w.failed, w.seen() as u32);
            // What tries seemed to cost was background, too.
            self.budget.refund();
            self.doubt_wait = (2.0 * self.doubt_wait).min(DOUBT_EVERY.1);
        }
        if self.growth.review(self.background.share(), true) {
            self.patience.relax();
        }
        self.set(f64::from(from), Phase::Settled, Reason::Measured, now);
    }

    /// The background is not known well: it is measured before long.
    pub(super) fn doubt_soon(&mut self, now: Time) {
        self.doubt_wait = DOUBT_EVERY.0;
        self.doubted_at = now;
    }
}
