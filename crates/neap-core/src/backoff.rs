//! How long does a failed request wait before it is asked again?
//!
//! The upper bound doubles with each charged attempt, `base * 2^(attempts - 1)` up to `max`, and the
//! wait is drawn below it, so that requests which failed together do not come back together
//! ("Exponential Backoff And Jitter", AWS Architecture Blog, 2015). A `Retry-After` of the server is a
//! lower bound, itself bounded by [`RETRY_AFTER_MAX`].

use std::time::Duration;

use rand::{Rng, RngCore};

use crate::job::{Jitter, Retry};

/// Longest `Retry-After` that a request waits for. Longer ones are cut to it: a header must not be
/// able to park a page for good.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 3600);

/// The wait after the `attempts`-th charged attempt (1 and up) failed.
pub fn backoff(
    retry: &Retry,
    attempts: u32,
    retry_after: Option<Duration>,
    dice: &mut dyn RngCore,
) -> Duration {
    let doublings = attempts.saturating_sub(1).min(31);
    let bound = retry.base.saturating_mul(1 << doublings).min(retry.max);
    let drawn = match retry.jitter {
        Jitter::Full => bound.mul_f64(dice.random::<f64>()),
        Jitter::Equal => bound.mul_f64(0.5 + 0.5 * dice.random::<f64>()),
        Jitter::None => bound,
    };
    drawn.max(retry_after.unwrap_or(Duration::ZERO).min(RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    use super::*;

    #[test]
    fn without_jitter_the_wait_doubles_up_to_the_maximum() {
        let retry = Retry {
            jitter: Jitter::None,
            ..Retry::default()
        };
        let mut dice = SmallRng::seed_from_u64(1);
        for (attempts, seconds) in [
            (1, 1),
            (2, 2),
            (3, 4),
            (8, 128),
            (9, 256),
            (10, 300),
            (99, 300),
        ] {
            let wait = backoff(&retry, attempts, None, &mut dice);
            assert_eq!(
                wait,
                Duration::from_secs(seconds),
                "after attempt {attempts}"
            );
        }
    }

    #[test]
    fn full_jitter_is_spread_over_the_whole_range() {
        let (retry, mut dice) = (Retry::default(), SmallRng::seed_from_u64(7));
        let waits: Vec<f64> = (0..4000)
            .map(|_| backoff(&retry, 4, None, &mut dice).as_secs_f64())
            .collect();
        let mean = waits.iter().sum::<f64>() / waits.len() as f64;
        assert!((3.8..4.2).contains(&mean), "mean of U(0, 8 s): {mean}");
        assert!(waits.iter().any(|w| *w < 0.2) && waits.iter().any(|w| *w > 7.8));
    }

    proptest! {
        #[test]
        fn a_wait_keeps_its_bounds(
            seed: u64, attempts in 1u32..1000, base in 0u64..100_000, max in 0u64..10_000_000,
            retry_after in proptest::option::of(0u64..u64::MAX / 1000),
        ) {
            let retry = Retry {
                base: Duration::from_millis(base),
                max: Duration::from_millis(max),
                ..Retry::default()
            };
            let asked = retry_after.map(Duration::from_secs);
            let wait = backoff(&retry, attempts, asked, &mut SmallRng::seed_from_u64(seed));
            let floor = asked.unwrap_or_default().min(RETRY_AFTER_MAX);
            prop_assert!(wait >= floor);
            prop_assert!(wait <= retry.max.max(floor));
        }
    }
}
