//! Are there more failures than this host always has?
//!
//! A count of failures is compared with what the background share would bring by chance: mean and
//! standard deviation of the binomial. One failure is never evidence.

/// A share of failures this little above the background is left to the tries to find.
const LEAST: f64 = 0.003;
/// Standard deviations above the mean that a settled limit's failures must reach.
const SURE: f64 = 3.0;
/// The same while a higher limit is tried: a false alarm costs only the try.
const QUICK: f64 = 2.2;
/// Requests after which every try is judged.
const LONGEST: f64 = 1000.0;
/// At a limit that is too high, this share of the requests that were added fails.
const ADDED_IN_VAIN: f64 = 0.4;
/// How much likelier one of the two must be.
const SURE_OF_STEP: f64 = 6.0;
/// The excess that a settled limit should be free of before a higher one is tried.
const LEAST_SEEN: f64 = 0.02;

/// Whether `failed` of `started` requests shows overload at a limit that was good before.
pub(super) fn is_certain(failed: u32, started: u32, background: f64) -> bool {
    let (k, n) = (f64::from(failed), f64::from(started));
    failed >= 2 && k > chance(n, background, SURE) + 1.0 && k / n.max(1.0) >= background + LEAST
}

/// Whether a higher limit that is being tried already failed.
pub(super) fn is_likely(failed: u32, started: u32, background: f64) -> bool {
    failed >= 2 && f64::from(failed) > chance(f64::from(started), background, QUICK) + 0.5
}

/// Whether a settled limit has so few failures that a higher one may be tried.
pub(super) fn is_clean(failed: u32, seen: f64, background: f64) -> bool {
    f64::from(failed) <= chance(seen, background, 1.0) + 1.0
}

/// Whether there are surely fewer failures than the background says.
pub(super) fn is_less(failed: u32, seen: f64, background: f64) -> bool {
    f64::from(failed) < chance(seen, background, -2.0)
}

/// Whether a window that was as long as they get shows a little more failures than the background.
pub(super) fn is_slight(failed: u32, seen: f64, background: f64) -> bool {
    failed >= 2
        && f64::from(failed) > chance(seen, background, 1.2).max(seen * (background + LEAST))
}

/// Whether a limit raised by the share `step` is too high, as far as its answers tell. Sequential
/// probability ratio (Wald, 1945): failures are as many as before, or of the requests that were added
/// most fail. Fewer failures than `least` are none.
pub(super) fn judge_step(
    (failed, least): (u32, u32),
    good: u32,
    step: f64,
    limit: f64,
    background: f64,
) -> Option<bool> {
    let added = step / (1.0 + step);
    let more = (background + ADDED_IN_VAIN * added).min(0.95);
    let by_failures = f64::from(failed) * (more / background).ln();
    let by_good = f64::from(good) * ((1.0 - more) / (1.0 - background)).ln();
    let evidence = by_failures + by_good;
    if evidence > SURE_OF_STEP.ln() && failed >= least {
        Some(true)
    } else if evidence < -SURE_OF_STEP.ln() {
        Some(false)
    } else if f64::from(failed) + f64::from(good) > (SMALL_TRY * limit).min(LONGEST) {
        Some(evidence > 0.0)
    } else {
        None
    }
}

/// How many requests a settled limit should have seen before a higher one is tried: enough to know
/// that it is not too high itself.
pub(super) fn settled(limit: f64, background: f64) -> f64 {
    let least = LEAST_SEEN.max(background / 3.0);
    let by_noise = 4.0 * background * (1.0 - background) / (least * least);
    limit
        .max(4.0)
        .max(by_noise.min(SMALL_TRY * limit))
        .min(LONGEST)
}

/// A try at a small limit costs little, and need not be prepared by more than this multiple of the limit.
const SMALL_TRY: f64 = 16.0;

fn chance(n: f64, background: f64, deviations: f64) -> f64 {
    n * background + deviations * (n * background * (1.0 - background)).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_among_many_is_no_overload_and_a_third_is() {
        for (failed, started, background, expected) in [
            (1, 12, 0.005, false),
            (1, 1000, 0.005, false),
            (4, 12, 0.005, true),
            (9, 1000, 0.005, false),
            (20, 400, 0.05, false),
            (60, 400, 0.05, true),
        ] {
            assert_eq!(
                is_certain(failed, started, background),
                expected,
                "{failed} of {started} at {background}"
            );
        }
    }

    #[test]
    fn a_small_step_under_noise_takes_many_requests_to_judge() {
        assert_eq!(judge_step((2, 2), 20, 0.05, 100.0, 0.002), Some(true));
        assert_eq!(judge_step((1, 2), 20, 0.05, 100.0, 0.002), None);
        assert_eq!(judge_step((0, 2), 100, 0.05, 100.0, 0.002), Some(false));
        assert_eq!(judge_step((5, 2), 95, 0.05, 100.0, 0.05), None);
        assert_eq!(judge_step((50, 2), 950, 0.05, 100.0, 0.05), Some(false));
        assert_eq!(judge_step((60, 2), 600, 0.05, 100.0, 0.05), Some(true));
    }
}
