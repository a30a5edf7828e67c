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

mod bold;
mod cut;
mod measure;
mod raised;
mod ramp;
mod settled;
mod slow;

use crate::time::Time;

use super::background::Background;
use super::budget::{Budget, Patience};
use super::change::{Change, Changes, Reason};
use super::growth::Growth;
use super::latency::{Latency, Level};
use super::window::Window;

use cut::CutTest;
use measure::DOUBT_EVERY;
use settled::FEW_SLOTS;
use slow::SLOW_DOUBT_EVERY;

/// The limit that a host begins with of which nothing is known.
pub const START: f64 = 2.0;
/// The limit never falls below this: one request in flight for a fiftieth of the time.
pub const LEAST: f64 = 0.02;

/// A window is judged no sooner than this multiple of the latency after it began: the first good
/// answers of its own come then.
const SETTLING: f64 = 1.2;

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
        /// Whether it goes far past a ceiling that noise may have feigned.
        is_bold: bool,
    },
    /// The limit was cut for failures.
    Cut {
        from: f32,
        before: f32,
        share: f32,
        doubt: f32,
        cuts: u8,
    },
    /// The limit was lowered for a moment to measure the background where load cannot be.
    Measured { from: f32 },
    /// The limit was cut for latency.
    CutForLatency {
        from: f32,
        level: Level,
        is_doubt: bool,
    },
    /// The limit is ramped up, after an outage or at the begin of a run that knows its host.
    Ramped { to: f32, is_warm: bool },
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
    pub(super) changes: Changes,
    doubted_at: Time,
    doubt_wait: f32,
    slow_doubted_at: Time,
    slow_doubt_wait: f32,
    raised_at: Time,
    bold_at: Time,
    bold_wait: f32,
    own_fault: u8,
    /// Whether the first ceiling is another run's.
    is_remembered: bool,
    /// Whether the limit was cut since more was last tried.
    is_fallen: bool,
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
            changes: Changes::new(Change {
                at: now,
                from: limit as f32,
                to: limit as f32,
                reason: Reason::Start,
            }),
            doubted_at: now,
            doubt_wait: 4.0 * DOUBT_EVERY.0,
            slow_doubted_at: now,
            slow_doubt_wait: SLOW_DOUBT_EVERY.0,
            raised_at: Time::ZERO,
            bold_at: Time::ZERO,
            bold_wait: bold::WAIT.0,
            own_fault: 0,
            is_remembered: ceiling.is_some(),
            is_fallen: false,
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
            Phase::Raised {
                from,
                is_bold: true,
                ..
            } => self.judge_bold(f64::from(from), is_ripe, background, now),
            Phase::Raised { from, level, .. } => {
                self.judge_raised(f64::from(from), level, is_ripe, background, now);
            }
            Phase::Cut { .. } | Phase::Measured { .. } | Phase::CutForLatency { .. }
                if !is_ripe => {}
            Phase::Cut {
                from,
                before,
                share,
                doubt,
                cuts,
            } => {
                let cut = CutTest {
                    from,
                    before,
                    share,
                    doubt,
                    cuts,
                };
                self.judge_cut(cut, background, now);
            }
            Phase::Measured { from } => self.judge_measured(from, background, now),
            Phase::CutForLatency {
                from,
                level,
                is_doubt,
            } => self.judge_latency_cut(from, level, is_doubt, now),
            Phase::Ramped { to, is_warm } => {
                self.judge_ramped((to, is_warm), is_ripe, background, now)
            }
        }
    }

    /// The last limit at which the host worked.
    pub(super) fn good_limit(&self) -> f64 {
        match self.phase {
            Phase::Settled => self.limit,
            Phase::Raised { from, .. } => f64::from(from),
            Phase::Cut { .. } | Phase::CutForLatency { .. } => self.limit,
            Phase::Measured { from } => f64::from(from),
            Phase::Ramped { to, .. } => f64::from(to),
        }
    }

    /// The ceiling that another run should know. A small one that may be none is none: that run could not doubt
    /// it, and would stay below it.
    pub(super) fn lasting_ceiling(&self) -> Option<f64> {
        let is_lasting = |ceiling: &f64| *ceiling > FEW_SLOTS || !self.is_doubtful();
        self.growth.ceiling().filter(is_lasting)
    }

    fn level(&self, now: Time) -> Option<Level> {
        self.latency
            .level(&self.window.latency, now.since(self.window.begun))
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
        self.latency.learn(&w.latency, now.since(w.begun), is_light);
        self.window = self.window.next(now);
    }

    /// A failure came to a request of this window. What a try caused is paid from the budget, also what
    /// comes after the try was taken back.
    pub(super) fn spend(&mut self, window: u32) {
        let is_of_try = match self.phase {
            Phase::Raised { is_paid, .. } => is_paid && window == self.window.number,
            Phase::Settled
            | Phase::Cut { .. }
            | Phase::Measured { .. }
            | Phase::CutForLatency { .. }
            | Phase::Ramped { .. } => {
                self.was_paid
                    && self.changes.last().reason == Reason::TooHigh
                    && window.wrapping_add(1) == self.window.number
            }
        };
        if is_of_try {
            self.budget.spend();
        }
        let last = self.changes.last().reason;
        let was_too_high = last == Reason::TooHigh || last == Reason::Overload;
        if was_too_high && window.wrapping_add(1) == self.window.number {
            self.growth.failed_late();
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
        self.changes.push(Change {
            at: now,
            from: self.limit as f32,
            to: limit as f32,
            reason,
        });
        self.window = self.window.next(now);
        self.limit = limit;
        self.phase = phase;
    }
}
