//! Is a small limit among noise the host's, or was it found by chance?
//!
//! Where requests fail whatever the limit, small tries cannot tell a ceiling from bad luck: each adds a
//! fraction of a slot, and two failures take it back. So now and then much more is tried at once: past a real
//! ceiling most of what was added fails, and among noise no more than before. A limit that fell below the one that
//! every host begins with is tried there again.

use crate::limiter::change::Reason;
use crate::limiter::overload;
use crate::time::Time;

use super::measure::DOUBTED;
use super::settled::STALE;
use super::{Control, Phase, START};

/// Seconds between bold tries at first, and at most: each that fails doubles them.
pub(super) const WAIT: (f32, f32) = (3.0, 64.0);
/// A bold try adds so many slots and this share of the limit.
const ADDED: (f64, f64) = (2.0, 0.25);
/// Below this limit it is often a rate that holds a host, and what it had saved lets a bold try pass: without this
/// bound 40 to 76 of 1000 requests to a host that tells its rate by a plain 503 were wasted.
const LEAST: f64 = 4.0;
/// Above this limit tries are of enough requests to tell chance from load.
const MOST: f64 = 24.0;

/// Answers that a bold try takes to pass: the first may be paid from what a host that limits the rate had saved.
const PASSED: f64 = 12.0;
/// As far as this the failures of the try itself may raise what is taken for noise, which is known badly then.
const NOISE: f64 = 0.08;

impl Control {
    /// Whether a bold try is due.
    pub(super) fn is_bold_due(&self, now: Time) -> bool {
        let w = &self.window;
        self.background.share() > DOUBTED
            && w.was_full
            && (self.limit < START && self.most >= 2.0 * START
                || (LEAST..=MOST.min(self.most - 1.0)).contains(&self.limit))
            && self.growth.is_held_by_failures()
            && !self.patience.is_paused(now)
            && now.since(self.bold_at).as_secs_f32() >= self.bold_wait
    }

    /// Tries much more.
    pub(super) fn raise_boldly(&mut self, now: Time) {
        let from = self.limit as f32;
        let to = if self.limit < START {
            START.max(2.0 * self.limit)
        } else {
            (self.limit + ADDED.0 + ADDED.1 * self.limit).ceil()
        };
        self.bold_at = now;
        self.learn(now);
        let phase = Phase::Raised {
            from,
            level: None,
            is_paid: false,
            is_bold: true,
        };
        self.set(to.min(self.most), phase, Reason::Try, now);
        self.was_paid = false;
    }

    /// Judges the window of a bold try.
    pub(super) fn judge_bold(&mut self, from: f64, is_ripe: bool, background: f64, now: Time) {
        let w = self.window;
        let usual = self.background.share_with(w.failed, w.seen() as u32);
        let usual = usual.min(NOISE).max(background);
        let step = self.limit / from - 1.0;
        match overload::judge_step((w.failed, 2), w.good, step, self.limit, usual) {
            Some(true) => {
                self.bold_wait = (2.0 * self.bold_wait).min(WAIT.1);
                self.set(from, Phase::Settled, Reason::TooHigh, now);
            }
            Some(false) if is_ripe && w.seen() >= PASSED => {
                self.bold_wait = WAIT.0;
                self.growth.forget();
                self.patience.relax();
                self.learn(now);
                self.phase = Phase::Settled;
            }
            Some(false) | None if now.since(w.begun) > STALE && !w.was_full => {
                self.set(from, Phase::Settled, Reason::NotUsed, now);
            }
            Some(false) | None => {}
        }
    }
}
