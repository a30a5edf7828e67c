//! Is the limit raised, kept, or cut?
//!
//! Each change of the limit is an experiment with a window of its own. A raise that brings failures or
//! latency is taken back at once. A cut is verified: if failures do not fall with the limit, load was
//! not their cause, the cut is undone and they are known as background.
//!
//! ```text
//!             ┌──────── passed ────────┐
//!             ▼                        │
//!   ┌──► settled ── covered, due ──► raised ── too high ──► settled at the limit before
//!   │      │  ▲
//!   │  overload └── load was the cause ──┐
//!   │      ▼                             │
//!   └── undone ◄── it was not ──────── cut
//! ```

use std::time::Duration;

use crate::time::Time;

use super::background::Background;
use super::budget::{Budget, Patience};
use super::change::{Change, Reason};
use super::growth::Growth;
use super::latency::{self, Latency, Level};
use super::overload;
use super::window::Window;

/// The limit that a host begins with of which nothing is known.
pub const START: f64 = 2.0;
/// The limit never falls below this: one request in flight for a fiftieth of the time.
pub const LEAST: f64 = 0.02;

/// A cut leaves at least this share of the limit, and takes at least a twenty-fifth.
const CUT: (f64, f64) = (0.25, 0.96);
/// A window is judged no sooner than this multiple of the latency after it began: the first good
/// answers of its own come then.
const SETTLING: f64 = 1.2;
/// After a cut for load, failures are expected to fall to this share, or to the background.
const FALLEN: f64 = 0.15;
/// Failures below this share of those before the cut fell with it.
const LESS: f64 = 0.7;
/// How much likelier one explanation of the failures after a cut must be than the other.
const SURE: f64 = 8.0;
/// A share of failures above this takes a second cut before it is put down to the background: the first
/// one may not have gone far enough.
const MANY: f64 = 0.3;
/// Answers after which a cut is judged by what is likelier.
const LONGEST: f64 = 200.0;
/// A doubt is tested only where it takes no longer than this.
const DOUBT_LASTS: Duration = Duration::from_secs(4);
/// Answers after which a settled window is renewed, at least.
const RENEWED: f64 = 1000.0;
/// A window in which nothing was decided is renewed after this time.
const STALE: Duration = Duration::from_secs(30);
/// A rise of latency by this factor means that the host's workers are all busy: more requests only wait
/// longer. In closed queues with the service times of web servers, nine tenths and more of the
/// throughput are reached there.
const QUEUEING: f64 = 1.13;
/// From a limit with a rise above this factor no higher one is tried.
const BUSY: f64 = 1.08;
/// A large step is judged when this share of its slots has answered, refusals being quicker than good
/// answers, ...
const QUICKLY: f64 = 0.6;
/// ... if it leads to no more than this limit. Above, a queue must have time to show in the latency.
const SMALL: f64 = 20.0;
/// The cut that finds out if a rise between those two is one of load.
const SLOW_DOUBT_CUT: f64 = 0.8;
/// A rise by this factor at a settled limit leads to a cut.
const SLOW: f64 = 1.45;
/// A cut for latency aims at this factor.
const SLOW_AIM: f64 = 1.2;
/// Standard errors that a rise must reach to take a try back, and to cut a settled limit.
const SLOW_SURE: (f64, f64) = (2.0, 3.0);
/// Below this limit latency tells nothing: its base is learned there.
const SLOW_LEAST: f64 = 4.0;
/// If the logarithm of the latency follows that of the limit by less than this, the host is slow for
/// another reason.
const ELASTIC: f64 = 0.25;
/// A background share above this is re-tested by a cut now and then: it might be load.
const DOUBTED: f64 = 0.015;
/// How often at first, and at last: the wait doubles with each test that the background passes.
const DOUBT_EVERY: (f32, f32) = (4.0, 64.0);
/// How often a rise of latency is tested that keeps the limit where it is.
const SLOW_DOUBT_EVERY: (f32, f32) = (15.0, 240.0);
/// The cut of that test.
const DOUBT_CUT: f64 = 0.7;
/// Share of the old limit from which a host is ramped up after an outage, and up to which.
const RAMP: (f64, f64) = (0.25, 0.95);

/// No try for so long after an outage that a try caused; doubles with each.
const OWN_FAULT: Duration = Duration::from_secs(60);

/// What the limit is doing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Phase {
    /// A limit that proved good, or the first one.
    Settled,
    /// A higher limit is tried.
    Raised {
        from: f32,
        /// The latency at the limit before.
        level: Option<Level>,
        /// Whether its failures are paid from the budget.
        is_paid: bool,
    },
    /// The limit was cut for failures.
    Cut {
        from: f32,
        before: f32,
        share: f32,
        cuts: u8,
        is_doubt: bool,
    },
    /// The limit was cut for latency.
    CutForLatency {
        from: f32,
        level: Level,
        is_doubt: bool,
    },
    /// The limit is ramped up after an outage.
    Ramped { to: f32 },
}

/// A cut that is being verified.
#[derive(Debug, Clone, Copy)]
struct CutTest {
    /// The limit to go back to if load was not the cause.
    from: f32,
    /// The limit that was too high if it was.
    before: f32,
    /// The share of failures that led to the cut.
    share: f32,
    cuts: u8,
    /// No cut for overload, but a test of the background.
    is_doubt: bool,
}

/// The limit and all that it is decided by.
#[derive(Debug)]
pub(super) struct Control {
    pub(super) limit: f64,
    pub(super) most: f64,
    pub(super) phase: Phase,
    pub(super) growth: Growth,
    pub(super) window: Window,
    pub(super) latency: Latency,
    pub(super) background: Background,
    pub(super) budget: Budget,
    pub(super) patience: Patience,
    pub(super) last_change: Change,
    doubted_at: Time,
    doubt_wait: f32,
    slow_doubted_at: Time,
    slow_doubt_wait: f32,
    raised_at: Time,
    own_fault: u8,
    /// Whether the last try was paid from the budget.
    was_paid: bool,
}

impl Control {
    pub(super) fn new(limit: f64, most: f64, ceiling: Option<f64>, now: Time) -> Control {
        let limit = limit.clamp(LEAST, most);
        Control {
            limit,
            most,
            phase: Phase::Settled,
            growth: Growth::new(ceiling),
            window: Window {
                begun: now,
                ..Window::default()
            },
            latency: Latency::default(),
            background: Background::default(),
            budget: Budget::default(),
            patience: Patience::default(),
            last_change: Change {
                at: now,
                from: limit as f32,
                to: limit as f32,
                reason: Reason::Start,
            },
            doubted_at: now,
            doubt_wait: 4.0 * DOUBT_EVERY.0,
            slow_doubted_at: now,
            slow_doubt_wait: SLOW_DOUBT_EVERY.0,
            raised_at: Time::ZERO,
            own_fault: 0,
            was_paid: false,
        }
    }

    /// Judges the window, if there is enough in it.
    pub(super) fn judge(&mut self, now: Time) {
        let background = self.background.share();
        let w = self.window;
        let is_ripe = now.since(w.begun) >= self.latency.smoothed().mul_f64(SETTLING);
        match self.phase {
            Phase::Settled => self.judge_settled(is_ripe, background, now),
            Phase::Raised { from, level, .. } => {
                self.judge_raised(f64::from(from), level, is_ripe, background, now);
            }
            Phase::Cut { .. } | Phase::CutForLatency { .. } if !is_ripe => {}
            Phase::Cut {
                from,
                before,
                share,
                cuts,
                is_doubt,
            } => {
                let cut = CutTest {
                    from,
                    before,
                    share,
                    cuts,
                    is_doubt,
                };
                self.judge_cut(cut, background, now);
            }
            Phase::CutForLatency {
                from,
                level,
                is_doubt,
            } => self.judge_latency_cut(from, level, is_doubt, now),
            Phase::Ramped { to } => self.judge_ramped(f64::from(to), is_ripe, background, now),
        }
    }

    /// The host seemed to have stopped, but was alive all the time: a try that did that is over.
    pub(super) fn was_alive(&mut self, now: Time) {
        if let Phase::Raised { from, .. } = self.phase {
            self.growth
                .failed(self.limit, self.window.failed, self.window.started);
            self.patience.failed(now);
            self.set(f64::from(from), Phase::Settled, Reason::TooHigh, now);
        }
    }

    /// The host answers again; it had stopped at `since`.
    pub(super) fn recovered(&mut self, since: Time, now: Time) {
        // An outage right after a raise was most likely caused by it: no such try for a while.
        let blamed = self
            .latency
            .smoothed()
            .mul_f64(3.0)
            .max(Duration::from_secs(1));
        let mut limit = self.limit;
        if let Phase::Raised { from, .. } = self.phase {
            limit = f64::from(from);
            if since.since(self.raised_at) <= blamed {
                self.growth.found(self.limit);
                self.own_fault = (self.own_fault + 1).min(6);
                let pause = OWN_FAULT * (1 << (self.own_fault - 1));
                self.patience.pause(now + pause);
            }
        }
        let to = match self.phase {
            Phase::Ramped { to } => f64::from(to),
            Phase::Settled
            | Phase::Raised { .. }
            | Phase::Cut { .. }
            | Phase::CutForLatency { .. } => RAMP.1 * limit,
        };
        let limit = (RAMP.0 * limit).max(limit.min(1.0));
        let to = to.max(limit) as f32;
        self.set(limit, Phase::Ramped { to }, Reason::Recovered, now);
    }

    /// Begins below a limit that worked before.
    pub(super) fn ramp_to(&mut self, to: f64) {
        self.phase = Phase::Ramped { to: to as f32 };
    }

    /// The last limit at which the host worked.
    pub(super) fn good_limit(&self) -> f64 {
        match self.phase {
            Phase::Settled => self.limit,
            Phase::Raised { from, .. } => f64::from(from),
            Phase::Cut { .. } | Phase::CutForLatency { .. } => self.limit,
            Phase::Ramped { to } => f64::from(to),
        }
    }

    fn judge_settled(&mut self, is_ripe: bool, background: f64, now: Time) {
        let w = self.window;
        if !is_ripe && w.failed < 5 {
            return;
        }
        // 1. More failures than usual: cut to the share that was good, and verify.
        let enough = f64::from(w.started) >= 12f64.max(self.limit / 2.0)
            || (w.failed > w.good && w.seen() >= 4.0);
        if enough && overload::is_certain(w.failed, w.started, background) {
            let share = w.excess(background);
            self.cut(self.limit, share, 0, now);
            return;
        }
        if !is_ripe || w.seen() < self.limit.max(4.0) {
            return;
        }
        // 2. Much slower than usual: cut, and verify.
        let (rise, errors) = self.latency.rise(&w.latency, self.limit);
        if let Some(level) = w.latency.level()
            && rise > SLOW.ln()
            && errors > SLOW_SURE.1
            && self.limit >= SLOW_LEAST
        {
            let from = self.limit as f32;
            let to = self.limit * (SLOW_AIM / rise.exp()).clamp(0.5, 0.85);
            let phase = Phase::CutForLatency {
                from,
                level,
                is_doubt: false,
            };
            self.set(to.max(1.0), phase, Reason::Slow, now);
            return;
        }
        // 3. What looked like a ceiling may be the background, now that more was seen.
        let reviewed = self.background.share_with(w.failed, w.seen() as u32);
        if self.growth.review(reviewed) {
            self.background.learn(w.failed, w.seen() as u32);
            self.patience = Patience::default();
        }
        // 4. A background that might be load is put to the test.
        if background > DOUBTED
            && now.since(self.doubted_at).as_secs_f32() >= self.doubt_wait
            && w.was_full
        {
            self.doubted_at = now;
            let answers = LONGEST.min(5.0 / background);
            let lasts = self
                .latency
                .smoothed()
                .mul_f64(answers / (DOUBT_CUT * self.limit));
            if lasts <= DOUBT_LASTS {
                self.learn(now);
                let phase = Phase::Cut {
                    from: self.limit as f32,
                    before: self.limit as f32,
                    share: background as f32,
                    cuts: 0,
                    is_doubt: true,
                };
                self.set(self.limit * DOUBT_CUT, phase, Reason::Doubt, now);
                return;
            }
        }
        // 5. So is a rise of latency that keeps the limit where it is.
        if let Some(level) = w.latency.level()
            && rise > BUSY.ln()
            && errors > SLOW_SURE.0
            && now.since(self.slow_doubted_at).as_secs_f32() >= self.slow_doubt_wait
            && self.limit >= SLOW_LEAST
            && w.seen() >= (latency::LONG * self.limit).max(40.0)
        {
            self.slow_doubted_at = now;
            let phase = Phase::CutForLatency {
                from: self.limit as f32,
                level,
                is_doubt: true,
            };
            self.set(self.limit * SLOW_DOUBT_CUT, phase, Reason::Doubt, now);
            return;
        }
        // 6. All is well: try more, if there is something to be had.
        let rise = certain_rise(rise, errors);
        if self.may_raise(rise, now) {
            let level = w.latency.level();
            self.learn(now);
            self.raise(rise, level, now);
        } else if w.seen() >= RENEWED.max(2.0 * self.limit)
            && overload::is_slight(w.failed, w.seen(), background)
        {
            let lower = self.limit - super::growth::quantum(self.limit).min(self.limit / 4.0);
            self.growth.found(self.limit);
            self.set(lower, Phase::Settled, Reason::Overload, now);
        } else if w.seen() >= RENEWED.max(2.0 * self.limit)
            || now.since(w.begun) >= STALE && w.seen() >= overload::settled(self.limit, background)
        {
            self.learn(now);
        }
    }

    fn may_raise(&self, rise: f64, now: Time) -> bool {
        let target = self.growth.target(self.limit, rise).min(self.most);
        let cost = 1.5 * (target - self.limit).max(1.0);
        let w = &self.window;
        let is_tryable = w.was_full
            && target > self.limit
            && (rise < BUSY.ln() || self.limit < SLOW_LEAST)
            && now >= self.patience.next;
        if self.growth.is_searching(self.limit) {
            return is_tryable;
        }
        let background = self.background.share();
        let enough = overload::settled(self.limit, background).max(latency::LONG * self.limit);
        is_tryable
            && w.seen() >= enough
            && overload::is_clean(w.failed, w.seen(), background)
            && self.budget.covers(cost)
    }

    fn judge_raised(
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
                let enough = if self.limit < SMALL { QUICKLY } else { 1.0 };
                (w.seen() >= (enough * self.limit).max(4.0)).then_some(false)
            }
        } else {
            overload::judge_step(w.failed, w.good, step, background)
        };
        // 1. Failures: back at once.
        if verdict == Some(true) {
            self.growth.failed(self.limit, w.failed, w.started);
            self.patience.failed(now);
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
        let (rise, errors) = self.latency.rise(&w.latency, self.limit);
        if rise > QUEUEING.ln() && errors > SLOW_SURE.0 && self.limit >= SLOW_LEAST {
            let follows = match (level, w.latency.level()) {
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
            self.latency.rebase(&w.latency, self.limit);
        }
        // 3. Passed.
        let was_full = w.was_full;
        let level = w.latency.level();
        let rise = certain_rise(rise, errors);
        self.growth.succeeded(self.limit);
        self.patience.succeeded();
        if was_full && self.growth.is_searching(self.limit) && self.may_raise(rise, now) {
            self.learn(now);
            self.raise(rise, level, now);
        } else {
            self.learn(now);
            self.phase = Phase::Settled;
        }
    }

    fn judge_cut(&mut self, cut: CutTest, background: f64, now: Time) {
        let w = self.window;
        // Sequential probability ratio (Wald, 1945): the failures go on at their share, or they fell.
        let share = f64::from(cut.share).clamp(0.01, 0.9);
        let fallen = if cut.is_doubt {
            share * 0.4
        } else {
            (share * FALLEN).max(background).min(share * 0.7)
        };
        let good = ((1.0 - share) / (1.0 - fallen)).ln() * f64::from(w.good);
        let goes_on = (share / fallen).ln() * f64::from(w.failed) + good;
        let is_sure = goes_on.abs() >= SURE.ln() && w.seen() >= self.limit.clamp(2.0, 20.0);
        if !is_sure && w.seen() < LONGEST {
            return;
        }
        // Fewer failures than before, but not few: the cut did not go far enough.
        let found = f64::from(w.failed) / w.seen().max(1.0);
        if goes_on > 0.0 && !cut.is_doubt && found < LESS * share {
            self.cut(
                f64::from(cut.from),
                found.max(w.excess(background)),
                cut.cuts,
                now,
            );
            return;
        }
        if goes_on < 0.0 {
            // It was load.
            if cut.is_doubt {
                self.background.replace(w.failed, w.seen() as u32);
            }
            self.growth.found(f64::from(cut.before));
            self.patience.failed(now);
            self.learn(now);
            self.phase = Phase::Settled;
        } else if !cut.is_doubt && share > MANY && cut.cuts < 2 {
            self.cut(f64::from(cut.from), w.excess(background), cut.cuts, now);
        } else {
            // It was not: the failures are the host's background.
            if cut.is_doubt {
                self.background.learn(w.failed, w.seen() as u32);
            } else {
                self.background.replace(w.failed, w.seen() as u32);
            }
            self.doubt_wait = if cut.is_doubt {
                (2.0 * self.doubt_wait).min(DOUBT_EVERY.1)
            } else {
                DOUBT_EVERY.0
            };
            self.doubted_at = now;
            self.set(f64::from(cut.from), Phase::Settled, Reason::NotLoad, now);
        }
    }

    fn judge_latency_cut(&mut self, from: f32, before: Level, is_doubt: bool, now: Time) {
        let w = self.window;
        if w.seen() < self.limit.max(8.0) {
            return;
        }
        let Some(after) = w.latency.level() else {
            // Nothing but failures: the test for those comes next.
            self.phase = Phase::Settled;
            return;
        };
        let fallen = -self.latency.difference(before, after).0;
        let elasticity = fallen / (f64::from(from) / self.limit).ln();
        if elasticity >= ELASTIC {
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
            self.latency.rebase(&w.latency, self.limit);
            self.set(f64::from(from), Phase::Settled, Reason::NotLoad, now);
        }
    }

    fn judge_ramped(&mut self, to: f64, is_ripe: bool, background: f64, now: Time) {
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
        let (rise, errors) = self.latency.rise(&w.latency, self.limit);
        let is_slow = rise > QUEUEING.ln() && errors > SLOW_SURE.0 && self.limit >= SLOW_LEAST;
        if self.limit >= to || is_slow {
            self.settle(now);
        } else {
            let next = (2.0 * self.limit).min(to);
            self.set(next, Phase::Ramped { to: to as f32 }, Reason::Ramp, now);
        }
    }

    fn raise(&mut self, rise: f64, level: Option<Level>, now: Time) {
        let from = self.limit as f32;
        let to = self.growth.target(self.limit, rise).min(self.most);
        self.raised_at = now;
        let is_paid = !self.growth.is_searching(self.limit);
        let phase = Phase::Raised {
            from,
            level,
            is_paid,
        };
        self.set(to, phase, Reason::Try, now);
        self.was_paid = is_paid;
    }

    fn cut(&mut self, from: f64, share: f64, cuts: u8, now: Time) {
        let before = self.limit;
        let to = before * (1.0 - share).clamp(CUT.0, CUT.1);
        let phase = Phase::Cut {
            from: from as f32,
            before: before as f32,
            share: share as f32,
            cuts: cuts + 1,
            is_doubt: false,
        };
        self.set(to, phase, Reason::Overload, now);
    }

    /// The limit stays as it is and a new window begins.
    fn settle(&mut self, now: Time) {
        self.phase = Phase::Settled;
        self.window = self.window.next(now);
    }

    /// The window was good: background and latency learn from it, and a new one begins.
    fn learn(&mut self, now: Time) {
        let w = self.window;
        // Close to the ceiling, failures may be those of load: learned, they would raise the ceiling
        // bit by bit (measured: 283 wasted requests per 1000 at four slots).
        let is_light = !self.growth.is_near_wall(self.limit);
        if is_light || w.share() < self.background.share() / 2.0 {
            self.background.learn(w.failed, w.seen() as u32);
        }
        self.latency.learn(&w.latency, self.limit, is_light);
        self.window = self.window.next(now);
    }

    /// A failure came to a request of this window. What a try caused is paid from the budget, also what
    /// comes after the try was taken back.
    pub(super) fn spend(&mut self, window: u32) {
        let is_of_try = match self.phase {
            Phase::Raised { is_paid, .. } => is_paid && window == self.window.number,
            Phase::Settled
            | Phase::Cut { .. }
            | Phase::CutForLatency { .. }
            | Phase::Ramped { .. } => {
                self.was_paid
                    && self.last_change.reason == Reason::TooHigh
                    && window.wrapping_add(1) == self.window.number
            }
        };
        if is_of_try {
            self.budget.spend();
        }
    }

    /// A good answer came to a request of this window.
    pub(super) fn earn(&mut self, window: u32) {
        let is_of_try = matches!(self.phase, Phase::Raised { is_paid: true, .. })
            && window == self.window.number;
        let background = if is_of_try {
            self.background.share()
        } else {
            0.0
        };
        self.budget.earn(background);
    }

    /// Changes the most that the limit may be; one above it comes down at once.
    pub(super) fn set_most(&mut self, most: f64) {
        self.most = most;
        if self.limit > most {
            let begun = self.window.begun;
            self.set(most, Phase::Settled, Reason::Ceiling, begun);
        }
    }

    fn set(&mut self, limit: f64, phase: Phase, reason: Reason, now: Time) {
        let limit = limit.clamp(LEAST.min(self.most), self.most);
        self.last_change = Change {
            at: now,
            from: self.limit as f32,
            to: limit as f32,
            reason,
        };
        self.limit = limit;
        self.phase = phase;
        self.window = self.window.next(now);
    }
}

/// The part of a rise that is more than chance.
fn certain_rise(rise: f64, errors: f64) -> f64 {
    if errors > 1.0 {
        rise * (1.0 - 1.0 / errors)
    } else {
        0.0
    }
}
