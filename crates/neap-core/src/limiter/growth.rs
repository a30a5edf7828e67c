//! Which limit is tried next?
//!
//! Without a ceiling the limit grows by half; between a good limit and the ceiling the gap is halved;
//! at the ceiling the next step up is tried again, and if that works the steps become larger.

use super::overload;

/// The largest step, as a share of the limit: that of a host of which no ceiling is known.
const LARGEST: f64 = 0.5;
/// The step beyond a ceiling that turned out to be none; doubles with each success.
const SMALLEST: f64 = 0.06;

/// A ceiling more than this multiple of the limit away is looked for without regard to the budget.
const WIDE: f64 = 1.15;

/// A ceiling is forgotten when a limit this many times as high proved good.
const FORGOTTEN: f64 = 1.1;
/// At this share of the ceiling and above, failures and latency may be those of load.
const NEAR: f64 = 0.85;

/// The so many-th failure on little evidence is not forgiven.
const FORGIVING: u8 = 3;
/// A try of fewer requests than this was one of a small limit, whose ceilings are easily mistaken.
const FEW: u32 = 40;
/// Ceilings that are taken for background before a higher limit must have proved good.
const REVIEWS: u8 = 2;
/// A share of failures above this is not taken for background without a cut that verifies it.
const REVIEWED: f64 = 0.15;

/// How the limit grows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Growth {
    /// The lowest limit that is known to be too high.
    ceiling: Option<f32>,
    /// The try that found the ceiling.
    failed: Option<FailedTry>,
    /// The last ceiling, also after it turned out to be none, until a much higher limit proves good;
    /// 0 if there is none.
    wall: f32,
    /// How often a ceiling turned out to be none since a higher limit last proved good.
    reviews: u8,
    /// How many failed tries were forgiven since then.
    forgiven: u8,
    step: f32,
}

/// A try that failed. What looks like a ceiling may turn out to be the background, once that is known.
#[derive(Debug, Clone, Copy)]
struct FailedTry {
    failed: u32,
    started: u32,
    ceiling_before: Option<f32>,
}

impl Growth {
    /// With nothing known, or a ceiling remembered.
    pub(super) fn new(ceiling: Option<f64>) -> Growth {
        Growth {
            ceiling: ceiling.map(|c| c as f32),
            failed: None,
            wall: ceiling.unwrap_or(0.0) as f32,
            reviews: 0,
            forgiven: 0,
            step: LARGEST as f32,
        }
    }

    /// The lowest limit that is known to be too high.
    pub(super) fn ceiling(&self) -> Option<f64> {
        self.ceiling.map(f64::from)
    }

    /// The limit to try from a good one. `rise` is how far the latency is above its base, as a
    /// logarithm: a host that begins to queue is approached in smaller steps.
    pub(super) fn target(&self, limit: f64, rise: f64) -> f64 {
        let smallest = quantum(limit);
        match self.ceiling() {
            Some(ceiling) if ceiling - limit > 1.01 * smallest => {
                between(limit, ceiling).unwrap_or(ceiling)
            }
            Some(_) => snap(limit + smallest.max(SMALLEST * limit)),
            None if self.is_near_wall(limit) => snap(limit + smallest.max(SMALLEST * limit)),
            None => {
                let slowed = (1.0 - rise / 0.2).clamp(0.2, 1.0);
                let step = f64::from(self.step) * slowed;
                let target = (limit * (1.0 + step)).max(limit + smallest);
                if limit >= 2.0 {
                    (target - 1e-6).ceil()
                } else {
                    target
                }
            }
        }
    }

    /// Whether the ceiling is so far off that to look for the place between is no luxury.
    pub(super) fn is_searching(&self, limit: f64) -> bool {
        let is_wide = |ceiling: f64| {
            let next = between(limit, ceiling).unwrap_or(ceiling);
            ceiling > WIDE * limit && next >= 1.1 * limit && next.fract() == 0.0 && next < ceiling
        };
        match self.ceiling() {
            Some(ceiling) => is_wide(ceiling),
            None => !self.is_near_wall(limit),
        }
    }

    /// A higher limit proved good.
    pub(super) fn succeeded(&mut self, limit: f64) {
        (self.reviews, self.forgiven) = (0, 0);
        if limit > FORGOTTEN * f64::from(self.wall) {
            self.wall = 0.0;
        }
        match self.ceiling() {
            // The ceiling is gone: the host became stronger.
            Some(ceiling) if limit >= ceiling - 1e-3 => {
                self.ceiling = None;
                self.failed = None;
                self.step = 2.0 * SMALLEST as f32;
            }
            Some(_) => {}
            None => self.step = (self.step * 2.0).min(LARGEST as f32),
        }
    }

    /// A limit proved too high, for latency or by an outage.
    pub(super) fn found(&mut self, ceiling: f64) {
        self.ceiling = Some(ceiling as f32);
        self.wall = ceiling as f32;
        self.failed = None;
    }

    /// A limit proved too high: so many of the requests started in it failed.
    pub(super) fn failed(&mut self, limit: f64, failed: u32, started: u32) {
        self.failed = Some(FailedTry {
            failed,
            started,
            ceiling_before: self.ceiling,
        });
        self.ceiling = Some(limit as f32);
        self.wall = limit as f32;
    }

    /// A try failed on little evidence. Says whether that is forgiven.
    pub(super) fn forgive(&mut self) -> bool {
        self.forgiven += u8::from(self.forgiven < FORGIVING);
        self.failed.is_none() && self.forgiven < FORGIVING
    }

    /// The last failure was no sign of a ceiling.
    pub(super) fn retract(&mut self) {
        if let Some(last) = self.failed.take() {
            self.ceiling = last.ceiling_before;
            self.wall = last.ceiling_before.unwrap_or(0.0);
        }
    }

    /// Whether this limit is close to the last one that was too high.
    pub(super) fn is_near_wall(&self, limit: f64) -> bool {
        self.wall > 0.0 && limit > NEAR * f64::from(self.wall)
    }

    /// The background is known better now, be it guessed or measured. Says whether the ceiling turned out to be none.
    pub(super) fn review(&mut self, background: f64, is_measured: bool) -> bool {
        match self.failed {
            Some(last)
                if (is_measured || self.reviews < REVIEWS && background <= REVIEWED)
                    && !overload::is_likely(last.failed, last.started, background) =>
            {
                self.reviews = self.reviews.saturating_add(1);
                if is_measured && last.started < FEW {
                    // So were the ceilings before it: they were found under the same illusion.
                    *self = Growth::new(None);
                } else {
                    self.retract();
                }
                true
            }
            Some(_) | None => false,
        }
    }
}

/// The smallest difference between two limits that is worth a try. Whole requests where a request is a
/// small part of the limit; below that fractions, since a host that limits the rate has no whole number
/// of slots.
pub(super) fn quantum(limit: f64) -> f64 {
    if limit < 2.0 {
        limit / 4.0
    } else if limit < 4.0 {
        0.25
    } else if limit < 8.0 {
        0.5
    } else {
        (0.04 * limit).max(1.0)
    }
}

/// A limit about in the middle: a whole number if there is one.
fn between(limit: f64, ceiling: f64) -> Option<f64> {
    let middle = ((limit + ceiling) / 2.0).min(limit * (1.0 + LARGEST));
    let whole = middle.round();
    let smallest = quantum(limit);
    if limit >= 1.0 && whole - limit > 0.5 * smallest && ceiling - whole > 0.5 * smallest {
        return Some(whole);
    }
    let whole = middle.floor();
    if limit >= 1.0 && whole - limit > 0.5 * smallest {
        return Some(whole);
    }
    let snapped = snap(middle);
    (snapped > limit && snapped < ceiling).then_some(snapped)
}

fn snap(limit: f64) -> f64 {
    if limit < 8.0 {
        let quantum = quantum(limit);
        let snapped = (limit / quantum).round() * quantum;
        if limit < 2.0 { limit } else { snapped }
    } else {
        limit.round()
    }
}
