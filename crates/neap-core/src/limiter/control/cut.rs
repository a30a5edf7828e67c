//! Was load the cause of the failures that a cut answered?
//!
//! While a cut is verified the limit is low enough for the failures of an overload to cease. If they go
//! on at their share, load was not their cause.

use crate::limiter::change::Reason;
use crate::limiter::growth::quantum;
use crate::time::Time;

use super::{Control, Phase};

/// A cut leaves at least this share of the limit, and takes at least a twenty-fifth.
const CUT: (f64, f64) = (0.25, 0.96);
/// While a cut is verified the limit is this share of the one before at most: enough for the failures of
/// a small overload to cease.
const VERIFIED: f64 = 0.86;
/// After a cut for load, failures are expected to fall to this share, or to the background.
const FALLEN: f64 = 0.15;
/// Failures below this share of those before the cut fell with it.
const LESS: f64 = 0.7;
/// How much likelier one explanation of the failures after a cut must be than the other: that load was
/// the cause, and that it was not.
const SURE: (f64, f64) = (8.0, 20.0);
/// A share of failures above this takes so many cuts before it is put down to the background: the first
/// ones may not have gone far enough.
const MANY: f64 = 0.15;
/// See [`MANY`].
const CUTS: u8 = 3;
/// From this limit on a cut takes a whole slot at least: less shows nothing.
const FEW_SLOTS: f64 = 2.0;
/// At a limit below this one cut shows little: it takes so many before failures are put down to the
/// background.
const SMALL: f64 = 8.0;
/// See [`SMALL`].
const CUTS_OF_SMALL: u8 = 2;
/// Unless so many answers came after the first.
const FEW: f64 = 24.0;
/// Below this limit a window is short, and what failed in it was load more often than chance.
const SHOWN: f32 = 24.0;
/// Standard deviations of a count of failures (Poisson) that may be chance.
const DOUBT: f64 = 1.3;
/// Answers after which a cut is judged by what is likelier.
const LONGEST: f64 = 200.0;
/// The same for each slot: a small limit brings few.
const LONGEST_A_SLOT: f64 = 16.0;

/// A cut that is being verified.
#[derive(Debug, Clone, Copy)]
pub(super) struct CutTest {
    /// The limit to go back to if load was not the cause.
    pub(super) from: f32,
    /// The limit that was too high if it was.
    pub(super) before: f32,
    /// The share of failures that led to the cut.
    pub(super) share: f32,
    /// How much of that may be chance: a cut comes when failures are many, so they will be fewer anyway.
    pub(super) doubt: f32,
    /// How many cuts there were for them.
    pub(super) cuts: u8,
}

impl Control {
    /// Cuts the limit by the share of failures, and waits for what becomes of them.
    pub(super) fn cut(&mut self, from: f64, share: f64, cuts: u8, now: Time) {
        let before = self.limit;
        let whole = if before >= FEW_SLOTS { 1.0 } else { 0.0 };
        let to = (before * (1.0 - share).clamp(CUT.0, VERIFIED)).min(before - whole);
        self.growth
            .cut(before, self.window.failed, self.window.started);
        let (k, n) = (
            f64::from(self.window.failed),
            f64::from(self.window.started.max(1)),
        );
        let phase = Phase::Cut {
            from: from as f32,
            before: before as f32,
            share: share as f32,
            doubt: (DOUBT * k.sqrt() / n) as f32,
            cuts: cuts.saturating_add(1),
        };
        self.set(to, phase, Reason::Overload, now);
    }

    /// Lowers the limit a little, without the test that could not tell so small a share of failures from
    /// the background. If it was background, the next measurement of it will tell.
    pub(super) fn lower(&mut self, share: f64, now: Time) {
        let least = quantum(self.limit).min(self.limit / 4.0);
        let to = (self.limit - least).min(self.limit * (1.0 - share).max(CUT.0));
        self.growth
            .cut(self.limit, self.window.failed, self.window.started);
        self.doubt_soon(now);
        self.set(to, Phase::Settled, Reason::Overload, now);
    }

    /// Judges the window after a cut.
    pub(super) fn judge_cut(&mut self, cut: CutTest, background: f64, now: Time) {
        let w = self.window;
        // Sequential probability ratio (Wald, 1945): the failures go on at their share, or they fell.
        let least = f64::from(cut.share) - f64::from(cut.doubt);
        let share = if cut.before < SHOWN {
            f64::from(cut.share)
        } else {
            least
        };
        let share = share.clamp(0.01, 0.9);
        let fallen = (share * FALLEN).max(background).min(share * 0.7);
        let good = ((1.0 - share) / (1.0 - fallen)).ln() * f64::from(w.good);
        let goes_on = (share / fallen).ln() * f64::from(w.failed) + good;
        let is_sure = goes_on <= -SURE.0.ln() || goes_on >= SURE.1.ln();
        let is_enough = is_sure && w.seen() >= self.limit.clamp(2.0, 20.0);
        if !is_enough && w.seen() < LONGEST.min(LONGEST_A_SLOT * self.limit.max(1.0)) {
            return;
        }
        let found = f64::from(w.failed) / w.seen().max(1.0);
        let most = found + f64::from(w.failed).sqrt() / w.seen().max(1.0);
        if goes_on < 0.0 {
            // 1. It was load: the limit is what was answered of the one before.
            let good = f64::from(cut.before) * (1.0 - share).clamp(CUT.0, CUT.1);
            self.patience.relax();
            self.learn(now);
            if good > self.limit {
                self.set(good, Phase::Settled, Reason::Load, now);
            } else {
                self.phase = Phase::Settled;
            }
        } else if most < LESS * share
            || least.max(found) > MANY && cut.cuts < CUTS
            || self.limit < SMALL && w.seen() < FEW && cut.cuts < CUTS_OF_SMALL
        {
            // 2. Fewer failures, but not few, or so many that the cut may not have gone far enough.
            let share = found.max(w.excess(background));
            self.cut(f64::from(cut.from), share, cut.cuts, now);
        } else {
            // 3. It was not: the failures are the host's background.
            self.background.replace(w.failed, w.seen() as u32);
            self.growth.retract();
            self.doubt_soon(now);
            self.set(f64::from(cut.from), Phase::Settled, Reason::NotLoad, now);
        }
    }
}
