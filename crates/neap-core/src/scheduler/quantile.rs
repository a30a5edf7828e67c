//! How long do the slowest answers of a host take?
//!
//! An estimate of one quantile that keeps a value and a count, whatever it has seen: each observation
//! above the estimate moves it up by a share of itself, each one below moves it down, by steps whose
//! ratio puts the balance where the quantile is (stochastic approximation as by Robbins and Monro, 1951,
//! on the logarithm, since latencies spread over orders of magnitude). Steps shrink while there is little
//! to go by and then stay, so that the estimate follows a host that changes.

use std::time::Duration;

/// The quantile: 95 of 100 answers are at least as quick.
const QUANTILE: f32 = 0.95;
/// Steps are this over the number of observations: the best is one over the density at the quantile,
/// which is 0.2 for latencies whose logarithm has a deviation of one half ...
const FIRST_STEPS: f32 = 5.0;
/// ... and never less than this: a memory of about a hundred answers, and an error of some 8 %.
const LEAST_STEP: f32 = 0.05;
/// Nor more: one answer does not move the estimate by a multiple of itself.
const MOST_STEP: f32 = 0.7;

/// An estimate of the 95th percentile; eight bytes.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct SlowLatency {
    /// In seconds; nothing before the first observation.
    seconds: f32,
    seen: u32,
}

impl SlowLatency {
    /// An answer took so long.
    pub(super) fn observe(&mut self, latency: Duration) {
        // A microsecond is the least that a clock here can tell.
        let seconds = latency.as_secs_f32().max(1e-6);
        self.seen = self.seen.saturating_add(1);
        if self.seen == 1 {
            self.seconds = seconds;
            return;
        }
        let step = (FIRST_STEPS / self.seen as f32).clamp(LEAST_STEP, MOST_STEP);
        let moved = if seconds > self.seconds {
            // Not beyond what was seen: a first answer that was too quick is caught up with at once.
            (self.seconds * (step * QUANTILE).exp()).min(seconds)
        } else {
            (self.seconds * (-step * (1.0 - QUANTILE)).exp()).max(seconds)
        };
        self.seconds = moved;
    }

    /// The estimate, if there was an answer.
    pub(super) fn get(&self) -> Option<Duration> {
        (self.seen > 0).then(|| Duration::from_secs_f32(self.seconds))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::rngs::SmallRng;
    use rand::{Rng, SeedableRng};

    use super::*;

    fn estimate(latencies: impl IntoIterator<Item = f64>) -> f64 {
        let mut slow = SlowLatency::default();
        for seconds in latencies {
            slow.observe(Duration::from_secs_f64(seconds));
        }
        slow.get().unwrap().as_secs_f64()
    }

    /// Latencies around `median` seconds whose logarithm is spread evenly by a factor of `spread` to
    /// each side; their 95th percentile is `median * spread^0.9`.
    fn spread(seed: u64, median: f64, spread: f64, count: usize) -> Vec<f64> {
        let mut dice = SmallRng::seed_from_u64(seed);
        let mut one = || median * spread.powf(dice.random_range(-1.0..1.0));
        (0..count).map(|_| one()).collect()
    }

    #[test]
    fn nothing_is_known_before_the_first_answer() {
        assert_eq!(SlowLatency::default().get(), None);
        assert!((estimate([0.25]) - 0.25).abs() < 1e-6);
    }

    #[test]
    fn it_follows_a_host_that_becomes_slower_and_quicker() {
        let (fast, slow) = (spread(1, 0.02, 2.0, 1000), spread(2, 0.5, 2.0, 1000));
        let up = estimate(fast.iter().chain(&slow).copied());
        assert!((0.5..1.2).contains(&up), "{up}");
        // Downwards it is slower by the ratio of the steps: an hour of outage is not forgotten at once.
        let down = estimate(slow.iter().chain(&spread(3, 0.02, 2.0, 3000)).copied());
        assert!(down < 0.06, "{down}");
    }

    proptest! {
        #[test]
        fn it_stays_within_what_was_seen(latencies in prop::collection::vec(1e-5f64..600.0, 1..300)) {
            let (least, most) = latencies.iter().fold((f64::MAX, 0f64), |(a, b), x| (a.min(*x), b.max(*x)));
            let found = estimate(latencies);
            prop_assert!(least * 0.999 <= found && found <= most * 1.001, "{least} {found} {most}");
        }

        #[test]
        fn after_some_hundred_answers_it_is_near(
            seed in 0u64..1_000_000, median in 0.001f64..10.0, width in 1.1f64..6.0,
        ) {
            let found = estimate(spread(seed, median, width, 600));
            let truth = median * width.powf(0.9);
            let off = (found / truth).ln().abs();
            prop_assert!(off < 0.1 + 0.35 * width.ln(), "{found} for {truth}");
        }
    }
}
