//! What follows from the answers at a limit that proved good?
//!
//! Too many failures or too slow answers cut it, doubts are measured, and if all is well a higher one is
//! tried.

use std::time::Duration;

use crate::limiter::overload;
use crate::time::Time;

use super::Control;
use super::measure::DOUBTED;
use super::slow::{self, LONG};

/// A share of failures below this multiple of a noticeable background is not worth a verification.
const PLAIN: f64 = 2.5;
/// Far from any ceiling the failures of so many answers a slot are those that the host always has, ...
const LIGHT: f64 = 8.0;
/// ... at small limits, where a wrong guess costs little.
const LIGHT_MOST: f64 = 16.0;
/// Below this limit a doubted ceiling is tried again whatever tries have cost: a crawl that is stuck there by
/// chance loses far more.
pub(super) const FEW_SLOTS: f64 = 4.0;
/// Of two cuts in a row of a limit below this, for a share of failures below that, the second is not made.
const FALLEN: (f64, f64) = (8.0, 0.25);
/// Failures that a try costs for each slot that it adds, where the first tells and where it does not.
const COST: (f64, f64) = (1.2, 1.5);
/// Answers after which a settled window is renewed, at least.
const RENEWED: f64 = 1000.0;
/// A window in which nothing was decided is renewed after this time.
pub(super) const STALE: Duration = Duration::from_secs(30);

impl Control {
    /// Judges the window of a settled limit.
    pub(super) fn judge_settled(&mut self, is_ripe: bool, background: f64, now: Time) {
        let w = self.window;
        if !is_ripe && w.failed < 5 {
            return;
        }
        // 1. More failures than usual: cut to the share that was good, and verify.
        let enough = f64::from(w.started) >= 12f64.max(self.limit / 2.0)
            || (w.failed > w.good && w.seen() >= 4.0);
        if enough && overload::is_certain(w.failed, w.started, background) {
            if self.is_fallen && self.limit < FALLEN.0 && w.share() < FALLEN.1 {
                // What was found good a moment ago is not too much now: these failures may have no load in them.
                self.is_fallen = false;
                self.background.learn(w.failed, w.seen() as u32);
                self.window = w.next(now);
                return;
            }
            self.is_fallen = true;
            let share = w.excess(background);
            if background > DOUBTED && w.share() < PLAIN * background {
                self.lower(share, now);
            } else {
                self.cut(self.limit, share, 0, now);
            }
            return;
        }
        if !is_ripe || w.seen() < self.limit.max(4.0) {
            return;
        }
        // 2. Much slower than usual: cut, and verify.
        let level = self.level(now);
        let (rise, errors) = self.latency.rise(level);
        if let Some(level) = level
            && slow::is_slow(rise, errors, self.limit)
        {
            self.cut_for_latency(level, rise, now);
            return;
        }
        // 3. What looked like a ceiling may be the background, now that more was seen.
        let reviewed = self.background.share_with(w.failed, w.seen() as u32);
        if self.growth.review(reviewed, false) {
            self.patience.relax();
        }
        let is_long = w.seen() >= RENEWED.max(2.0 * self.limit);
        let is_slight = is_long && overload::is_slight(w.failed, w.seen(), background);
        // 4. A small ceiling among noise is tried boldly now and then.
        if self.is_bold_due(now) {
            self.raise_boldly(now);
            return;
        }
        // 4b. A background that might be load, or failures that might be background, are measured.
        if (background > DOUBTED || is_slight || self.is_blocked()) && self.measure(now) {
            return;
        }
        // 5. So is a rise of latency that keeps the limit where it is.
        if let Some(level) = level
            && self.is_slowness_doubted(rise, errors, now)
        {
            self.doubt_slowness(level, now);
            return;
        }
        // 6. All is well: try more, if there is something to be had.
        let rise = slow::certain(rise, errors);
        if self.may_raise(rise, now) {
            self.learn(now);
            self.raise(rise, level, now);
        } else if is_slight {
            self.lower(0.0, now);
        } else if is_long
            || self.limit < LIGHT_MOST
                && !overload::is_clean(w.failed, w.seen(), background)
                && !self.growth.is_near_wall(self.limit)
                && w.seen() >= (LIGHT * self.limit).max(24.0)
            || now.since(w.begun) >= STALE && w.seen() >= overload::settled(self.limit, background)
        {
            self.learn(now);
        }
    }

    /// Whether the ceiling may be none, and is soon tried again.
    pub(super) fn is_doubtful(&self) -> bool {
        self.growth.is_doubtful(&self.background)
    }

    /// Whether one failure takes a try back: where nothing fails without load. At a few slots it does not, since
    /// what limits a host there is often a rate, which one failure does not show. Nor where
    /// a try may break the host: it did, or nobody knows how the ceiling was found.
    pub(super) fn is_told_by_one(&self) -> bool {
        let may_break = self.own_fault > 0 || self.is_remembered;
        !may_break && self.limit >= FEW_SLOTS && self.background.is_clean() && !self.is_doubtful()
    }

    /// Whether a higher limit may be tried now.
    pub(super) fn may_raise(&self, rise: f64, now: Time) -> bool {
        let target = self
            .growth
            .target(self.limit, rise, &self.background, self.own_fault > 0)
            .min(self.most);
        let each = if self.is_told_by_one() {
            COST.0
        } else {
            COST.1
        };
        let cost = each * (target - self.limit).max(1.0);
        let w = &self.window;
        let is_tryable = w.was_full
            && target > self.limit
            && !slow::is_busy(rise, self.limit)
            && now >= self.patience.next;
        if self.growth.is_searching(self.limit) {
            return is_tryable;
        }
        if self.is_doubtful() {
            return is_tryable && (self.limit < FEW_SLOTS || self.budget.covers(cost / 3.0));
        }
        let background = self.background.share();
        let enough = overload::settled(self.limit, background).max(LONG * self.limit);
        is_tryable
            && w.seen() >= enough
            && overload::is_clean(w.failed, w.seen(), background)
            && self.budget.covers(cost)
    }
}
