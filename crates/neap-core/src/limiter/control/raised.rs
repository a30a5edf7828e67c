//! Is a higher limit that is being tried kept or taken back?

use crate::limiter::change::Reason;
use crate::limiter::latency::Level;
use crate::limiter::overload;
use crate::time::Time;

use super::settled::{FEW_SLOTS, STALE};
use super::slow::{self, ELASTIC, LONG, SURE};
use super::{Control, Phase};

/// A large step is judged when this share of its slots has answered, refusals being quicker than good
/// answers.
const QUICKLY: f64 = 0.6;
impl Control {
    /// Tries a higher limit.
    pub(super) fn raise(&mut self, rise: f64, level: Option<Level>, now: Time) {
        let from = self.limit as f32;
        let to = self
            .growth
            .target(self.limit, rise, &self.background, self.own_fault > 0)
            .min(self.most);
        self.raised_at = now;
        self.is_fallen = false;
        let is_free = self.is_doubtful() && self.limit < FEW_SLOTS;
        let is_search =
            self.growth.is_searching(self.limit) && !self.growth.is_near_wall(self.limit);
        let is_paid = !is_search && !is_free;
        let phase = Phase::Raised {
            from,
            level,
            is_paid,
            is_bold: false,
        };
        self.set(to, phase, Reason::Try, now);
        self.was_paid = is_paid;
    }

    /// Judges the window of a try from `from`, where the latency was `level`.
    pub(super) fn judge_raised(
        &mut self,
        from: f64,
        level: Option<Level>,
        is_ripe: bool,
        background: f64,
        now: Time,
    ) {
        let w = self.window;
        let step = self.limit / from - 1.0;
        let verdict = if self.growth.is_searching(from) || self.growth.ceiling().is_none() {
            // A large step: the next one will tell more.
            if overload::is_likely(w.failed, w.started, background) {
                Some(true)
            } else {
                (w.seen() >= (QUICKLY * self.limit).max(4.0)).then_some(false)
            }
        } else {
            let least = if self.is_told_by_one() { 1 } else { 2 };
            overload::judge_step((w.failed, least), w.good, step, self.limit, background)
        };
        // 1. Failures: back at once.
        if verdict == Some(true) {
            self.growth.failed(self.limit, w.failed, w.started);
            if !self.is_doubtful() {
                self.patience.failed(now);
            }
            self.set(from, Phase::Settled, Reason::TooHigh, now);
            return;
        }
        if verdict.is_none() || !is_ripe || w.seen() < (QUICKLY * self.limit).max(4.0) {
            if now.since(w.begun) > STALE && !w.was_full {
                self.set(from, Phase::Settled, Reason::NotUsed, now);
            }
            return;
        }
        // 2. Latency: if it follows the limit, nothing was gained.
        let after = self.level(now);
        let (rise, errors) = self.latency.rise(after);
        if slow::is_queueing(rise, errors, self.limit) {
            if errors < SURE.1 && w.seen() < LONG * self.limit {
                // It may be chance: look longer.
                return;
            }
            let follows = match (level, after) {
                (Some(before), Some(after)) => {
                    let (risen, _) = self.latency.difference(before, after);
                    risen / (self.limit / from).ln()
                }
                (None, _) | (_, None) => 1.0,
            };
            if follows >= ELASTIC {
                self.growth.found(self.limit);
                self.patience.in_vain(now);
                self.set(from, Phase::Settled, Reason::Slow, now);
                return;
            }
            if let Some(level) = after {
                self.latency.rebase(level);
            }
        }
        // 3. Passed.
        let was_full = w.was_full;
        let level = after;
        let rise = slow::certain(rise, errors);
        self.growth
            .succeeded(self.limit, w.failed, w.seen() as u32, &self.background);
        self.patience.succeeded();
        if was_full && self.growth.is_searching(self.limit) && self.may_raise(rise, now) {
            self.learn(now);
            self.raise(rise, level, now);
        } else {
            self.learn(now);
            self.phase = Phase::Settled;
        }
    }
}
