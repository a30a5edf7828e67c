//! Was a limit too high, or did a few requests just fail by chance?
//!
//! At a small limit two failures take a try back, and two failures are often nothing. So the tries that
//! came to the same ceiling are counted together and compared with what fails at the limit below it: as
//! long as the two shares may be one, the ceiling is doubted and soon tried again, at no cost to the
//! budget. Chance passes one of the next tries; a real ceiling is proven after two or three.

use super::background::Background;
use super::overload;

/// Standard errors between the two shares that prove a ceiling (two-proportion z-test).
const PROVEN: f64 = 2.3;
/// Tries in a row after which a ceiling counts as proven all the same.
const MOST_TRIES: u8 = 4;
/// Tries of limits between these multiples of a ceiling speak of the same one.
const SAME: (f32, f32) = (0.6, 1.3);
/// Share of failures that is allowed for where none was seen.
const LEAST: f64 = 0.01;
/// Above this limit a try costs too much to be repeated without regard to the budget.
const MOST_LIMIT: f32 = 48.0;
/// Fewer requests than this at a limit below that are few.
const FEW: f32 = 40.0;
/// See [`FEW`].
const SLIGHT: f32 = 16.0;
/// Fewer tries than this, of fewer requests than that, show little. With two tries more hosts that tell a rate by a plain
/// 503 had 30 of 1000 requests refused instead of 25.
const SHORT: (u8, f32) = (2, 16.0);
/// What speaks for a ceiling, and what against it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Evidence {
    /// The limit that was tried; 0 if none was.
    limit: f32,
    tries: u8,
    /// The ceiling that was known before; 0 if none was.
    ceiling_before: f32,
    failed: f32,
    started: f32,
}

impl Evidence {
    /// A limit was too high: so many of the requests started in it failed.
    pub(super) fn failed(
        &mut self,
        limit: f64,
        failed: u32,
        started: u32,
        ceiling_before: Option<f32>,
    ) {
        let limit = limit as f32;
        if !(SAME.0 * self.limit..=SAME.1 * self.limit).contains(&limit) {
            *self = Evidence {
                ceiling_before: ceiling_before.unwrap_or(0.0),
                ..Evidence::default()
            };
        }
        self.limit = limit;
        self.tries = self.tries.saturating_add(1);
        self.failed += failed as f32;
        self.started += started as f32;
    }

    /// One more of the requests that were started at the limit failed.
    pub(super) fn failed_late(&mut self) {
        self.failed = (self.failed + 1.0).min(self.started);
    }

    /// The limit was tried again and proved good.
    pub(super) fn passed(&mut self, failed: u32, seen: u32) {
        self.failed += failed as f32;
        self.started += seen as f32;
    }

    /// Whether few tries of few requests came to this ceiling.
    pub(super) fn is_short(&self) -> bool {
        self.limit > 0.0 && self.tries < SHORT.0 && self.started < SHORT.1
    }

    /// The ceiling that was known before these tries, if there were any.
    pub(super) fn ceiling_before(&self) -> Option<Option<f32>> {
        let before = (self.ceiling_before > 0.0).then_some(self.ceiling_before);
        (self.limit > 0.0).then_some(before)
    }

    /// Whether so many failures are what this background share brings.
    pub(super) fn is_explained_by(&self, background: f64) -> bool {
        self.limit > 0.0
            && !overload::is_likely(self.failed as u32, self.started as u32, background)
    }

    /// Whether the tries were of few requests: those of a small limit, whose ceilings are easily
    /// mistaken.
    pub(super) fn is_slight(&self) -> bool {
        self.limit < SLIGHT && self.started < FEW
    }

    /// Whether the ceiling may be none, given what fails below it.
    pub(super) fn is_doubtful(&self, background: &Background) -> bool {
        if self.limit == 0.0 || self.tries >= MOST_TRIES || self.limit > MOST_LIMIT {
            return false;
        }
        let (failed, seen) = background.counts();
        let (n1, n0) = (f64::from(self.started), f64::from(seen));
        if n1 < 1.0 || n0 < 1.0 {
            return true;
        }
        let (p1, p0) = (f64::from(self.failed) / n1, f64::from(failed) / n0);
        let both = f64::from(self.failed + failed) / (n1 + n0);
        let both = both.clamp(LEAST, 1.0 - LEAST);
        let error = (both * (1.0 - both) * (1.0 / n1 + 1.0 / n0)).sqrt();
        p1 - p0 < PROVEN * error
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn background(failed: u32, seen: u32) -> Background {
        let mut background = Background::default();
        background.learn(failed, seen);
        background
    }

    #[test]
    fn one_short_try_proves_nothing_and_the_third_does() {
        let mut evidence = Evidence::default();
        evidence.failed(3.0, 2, 6, None);
        assert!(evidence.is_doubtful(&background(0, 5)));
        evidence.failed(3.0, 2, 6, Some(3.0));
        evidence.failed(2.75, 3, 6, Some(3.0));
        assert!(!evidence.is_doubtful(&background(0, 12)));
        assert_eq!(evidence.ceiling_before(), Some(None));
    }

    #[test]
    fn failures_that_are_as_frequent_below_the_ceiling_speak_against_it() {
        let mut evidence = Evidence::default();
        evidence.failed(8.0, 6, 30, None);
        assert!(evidence.is_doubtful(&background(20, 100)));
        assert!(!evidence.is_doubtful(&background(1, 100)));
        assert!(evidence.is_explained_by(0.2) && !evidence.is_explained_by(0.01));
    }

    #[test]
    fn a_try_far_from_the_last_one_begins_anew_and_doubt_has_an_end() {
        let mut evidence = Evidence::default();
        evidence.failed(8.0, 6, 12, None);
        evidence.failed(2.0, 2, 4, Some(8.0));
        assert_eq!(evidence.ceiling_before(), Some(Some(8.0)));
        assert!(evidence.is_doubtful(&background(0, 3)));
        for _ in 0..MOST_TRIES {
            evidence.failed(2.0, 0, 1, Some(2.0));
        }
        assert!(!evidence.is_doubtful(&background(0, 3)));
    }
}
