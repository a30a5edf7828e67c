//! Which limit is tried next?
//!
//! Without a ceiling the limit grows by half. A try that failed tells where to go next: of so many requests some
//! were answered, and what failed is what the host had no room for, or chance. Where that tells nothing the gap to the
//! ceiling is halved; at the ceiling the next step up is tried again, and if that works the steps become larger.

use std::ops::Range;

use super::background::Background;
use super::evidence::Evidence;

/// The largest step, as a share of the limit: that of a host of which no ceiling is known.
const LARGEST: f64 = 0.5;
/// A ceiling that is doubted is approached in steps of so many requests at most: more would cost too much
/// if it is one.
const DOUBTED_STEP: f64 = 4.0;
/// From this limit on the step past a ceiling that is gone may be followed by the next at once. Below, a pass
/// is often luck: a host that limits the rate lets one by from what it had saved.
const STEPS_OF_ONE: f64 = 8.0;
/// The step beyond a ceiling that turned out to be none; doubles with each success.
const SMALLEST: f64 = 0.06;

/// Below this ceiling, in requests in flight, the failures of one try are too few to tell how many requests were too many.
const GUIDED: f64 = 8.0;
/// The step, as a share of the limit, towards a ceiling beyond which the host broke down: small enough for answers to
/// become slower first, where requests queue.
const CAREFUL: f64 = 0.12;
/// A ceiling more than this multiple of the limit away is looked for without regard to the budget.
const WIDE: f64 = 1.15;

/// A ceiling is forgotten when a limit this many times as high proved good: below [`STEPS_OF_ONE`], and above.
const FORGOTTEN: (f64, f64) = (1.3, 1.1);
/// At this share of the ceiling and above, failures and latency may be those of load.
const NEAR: f64 = 0.85;
/// The same at limits of a few slots, where one step below the ceiling is not far from it.
const NEAR_SMALL: (f64, Range<f64>) = (0.66, 1.0..8.0);

/// Ceilings that are taken for background before a higher limit must have proved good.
const REVIEWS: u8 = 2;
/// A share of failures above this is not taken for background without a cut that verifies it.
const REVIEWED: f64 = 0.15;

/// How the limit grows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Growth {
    /// The lowest limit that is known to be too high.
    ceiling: Option<f32>,
    /// The last ceiling, also after it turned out to be none, until a much higher limit proves good;
    /// 0 if there is none.
    wall: f32,
    /// Whether that ceiling was found by an outage or by latency, or by another run: what is beyond it may
    /// cost more than a few failures.
    is_hard: bool,
    /// How often a ceiling turned out to be none since a higher limit last proved good.
    reviews: u8,
    /// What speaks for the ceiling.
    evidence: Evidence,
    /// Failures among the requests of the last try that failed, and those requests.
    last: (u16, u16),
    step: f32,
}

impl Growth {
    /// With nothing known, or a ceiling remembered.
    pub(super) fn new(ceiling: Option<f64>) -> Growth {
        Growth {
            ceiling: ceiling.map(|c| c as f32),
            wall: ceiling.unwrap_or(0.0) as f32,
            reviews: 0,
            is_hard: ceiling.is_some(),
            evidence: Evidence::default(),
            last: (0, 0),
            step: LARGEST as f32,
        }
    }

    /// The lowest limit that is known to be too high.
    pub(super) fn ceiling(&self) -> Option<f64> {
        self.ceiling.map(f64::from)
    }

    /// Whether failures are what keeps the limit from growing.
    pub(super) fn is_held_by_failures(&self) -> bool {
        self.ceiling.is_some() && !self.is_hard
    }

    /// There is no ceiling.
    pub(super) fn forget(&mut self) {
        *self = Growth::new(None);
    }

    /// The limit to try from a good one. `rise` is how far the latency is above its base, as a
    /// logarithm: a host that begins to queue is approached in smaller steps.
    /// A host that such a step has broken is approached `carefully`.
    pub(super) fn target(
        &self,
        limit: f64,
        rise: f64,
        background: &Background,
        carefully: bool,
    ) -> f64 {
        let smallest = quantum(limit);
        match self.ceiling() {
            Some(ceiling) if self.is_doubtful(background) && ceiling > limit => {
                ceiling.min(limit + smallest.max((LARGEST * limit).clamp(1.0, DOUBTED_STEP)))
            }
            Some(ceiling) if carefully && ceiling - limit > 1.01 * smallest => {
                let next = self.next(limit, ceiling);
                next.min(snap(limit + smallest.max(CAREFUL * limit)))
            }
            Some(ceiling) if ceiling - limit > 1.01 * smallest => self.next(limit, ceiling),
            Some(_) => snap(limit + smallest.max(SMALLEST * limit)),
            None if self.is_near_wall(limit) => {
                snap(limit + smallest.max(f64::from(self.step) / 2.0 * limit))
            }
            None => {
                let slowed = (1.0 - rise / 0.2).clamp(0.2, 1.0);
                let step = f64::from(self.step) * slowed;
                let target = (limit * (1.0 + step)).max(limit + smallest);
                if limit >= 2.0 && f64::from(self.step) >= LARGEST {
                    (target - 1e-6).ceil()
                } else {
                    snap(target)
                }
            }
        }
    }

    /// The limit to try between a good one and the ceiling: as many as were answered when that was tried, since
    /// what failed was what the host had no room for; the middle if that is unknown.
    fn next(&self, limit: f64, ceiling: f64) -> f64 {
        if self.is_first_ceiling(limit) {
            return ceiling;
        }
        let (failed, started) = (f64::from(self.last.0), f64::from(self.last.1));
        if self.is_hard || failed == 0.0 || ceiling < GUIDED {
            return between(limit, ceiling).unwrap_or(ceiling);
        }
        let answered = ceiling - failed * (ceiling / started.max(1.0)).min(1.0) - 1.0;
        let next = snap(
            answered
                .min(limit * (1.0 + LARGEST))
                .max(limit + quantum(limit)),
        );
        if next < ceiling {
            next
        } else {
            between(limit, ceiling).unwrap_or(ceiling)
        }
    }

    /// Whether the ceiling is so far off that to look for the place between is no luxury.
    pub(super) fn is_searching(&self, limit: f64) -> bool {
        let is_wide = |ceiling: f64| {
            let next = self.next(limit, ceiling);
            ceiling > WIDE * limit && next >= 1.1 * limit && next.fract() == 0.0 && next < ceiling
        };
        match self.ceiling() {
            Some(_) if self.is_first_ceiling(limit) => true,
            Some(ceiling) => is_wide(ceiling),
            None => limit >= STEPS_OF_ONE && !self.is_hard || !self.is_near_wall(limit),
        }
    }

    /// Whether the ceiling is so low that few answers led to it: then it is tried again as it was, a few times.
    fn is_first_ceiling(&self, limit: f64) -> bool {
        let is_low = self.ceiling.is_some_and(|ceiling| {
            f64::from(ceiling) < GUIDED && f64::from(ceiling) > WIDE * limit
        });
        is_low && !self.is_hard && self.evidence.is_short()
    }

    /// A higher limit proved good.
    pub(super) fn succeeded(
        &mut self,
        limit: f64,
        failed: u32,
        seen: u32,
        background: &Background,
    ) {
        let is_reached = self
            .ceiling()
            .is_some_and(|ceiling| limit >= ceiling - 1e-3);
        if is_reached {
            self.evidence.passed(failed, seen);
        }
        if is_reached && self.is_doubtful(background) {
            // It was chance: the search goes on as if nothing had been found.
            *self = Growth::new(None);
            return;
        }
        self.reviews = 0;
        let forgotten = if limit < STEPS_OF_ONE {
            FORGOTTEN.0
        } else {
            FORGOTTEN.1
        };
        if limit > forgotten * f64::from(self.wall) {
            self.wall = 0.0;
        }
        match self.ceiling() {
            // The ceiling is gone: the host became stronger.
            Some(ceiling) if limit >= ceiling - 1e-3 => {
                self.ceiling = None;
                self.evidence = Evidence::default();
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
        self.is_hard = true;
        self.evidence = Evidence::default();
    }

    /// A limit proved too high: so many of the requests started in it failed.
    pub(super) fn failed(&mut self, limit: f64, failed: u32, started: u32) {
        self.evidence.failed(limit, failed, started, self.ceiling);
        let short = |count| u16::try_from(count).unwrap_or(u16::MAX);
        self.last = (short(failed), short(started));
        self.is_hard = false;
        self.ceiling = Some(limit as f32);
        self.wall = limit as f32;
    }

    /// A limit that had proved good is too high now. How many were answered is what the cut goes by; it may have
    /// been for a short fault, and then is no reason to go back up in small steps.
    pub(super) fn cut(&mut self, limit: f64, failed: u32, started: u32) {
        self.failed(limit, failed, started);
        self.last = (0, 0);
    }

    /// A failure of the last try that came after it was taken back.
    pub(super) fn failed_late(&mut self) {
        self.evidence.failed_late();
        self.last.0 = self.last.0.saturating_add(1).min(self.last.1);
    }

    /// Whether what looks like a ceiling may be chance.
    pub(super) fn is_doubtful(&self, background: &Background) -> bool {
        self.evidence.is_doubtful(background)
    }

    /// What failed was no sign of a ceiling.
    pub(super) fn retract(&mut self) {
        if let Some(before) = self.evidence.ceiling_before() {
            self.ceiling = before;
            self.wall = before.unwrap_or(0.0);
            self.evidence = Evidence::default();
            self.last = (0, 0);
        }
    }

    /// The answers were slow for another reason: what was found by them was no ceiling. Says whether
    /// the ceiling was.
    pub(super) fn retract_slow(&mut self) -> bool {
        let is_slow = self.ceiling.is_some() && self.evidence.ceiling_before().is_none();
        if is_slow {
            (self.ceiling, self.wall) = (None, 0.0);
        }
        is_slow
    }

    /// Whether this limit is close to the last one that was too high.
    pub(super) fn is_near_wall(&self, limit: f64) -> bool {
        let near = if NEAR_SMALL.1.contains(&limit) {
            NEAR_SMALL.0
        } else {
            NEAR
        };
        self.wall > 0.0 && limit > near * f64::from(self.wall)
    }

    /// The background is known better now, be it guessed or measured. Says whether the ceiling turned out to be none.
    pub(super) fn review(&mut self, background: f64, is_measured: bool) -> bool {
        let is_explained = self.evidence.is_explained_by(background);
        if !is_explained || !is_measured && (self.reviews >= REVIEWS || background > REVIEWED) {
            return false;
        }
        self.reviews = self.reviews.saturating_add(1);
        if is_measured && self.evidence.is_slight() {
            // So were the ceilings before it: they were found under the same illusion.
            *self = Growth::new(None);
        } else {
            self.retract();
        }
        true
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
        (0.025 * limit).max(1.0)
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
