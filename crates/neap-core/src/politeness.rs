//! How soon after one request may the next one start on the same host?
//!
//! A job's delay, its rate and the host's crawl delay all set a shortest time between two starts; the
//! longest of them holds. The time is kept by governor's GCRA limiter with a burst of one, on a clock
//! that is told the time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

use crate::time::Time;

/// Keeps the shortest time between two starts on one host.
#[derive(Debug)]
pub struct Politeness {
    spacing: Duration,
    limiter: Option<RateLimiter<NotKeyed, InMemoryState, ToldClock, NoOpMiddleware<Nanos>>>,
    clock: ToldClock,
}

impl Politeness {
    /// Two starts are at least `spacing` apart; zero sets no limit.
    pub fn new(spacing: Duration) -> Politeness {
        let clock = ToldClock(Arc::new(AtomicU64::new(0)));
        let limiter = Quota::with_period(spacing)
            .map(|quota| RateLimiter::direct_with_clock(quota, clock.clone()));
        Politeness {
            spacing,
            limiter,
            clock,
        }
    }

    /// The shortest time between two starts.
    pub fn spacing(&self) -> Duration {
        self.spacing
    }

    /// Takes the right to start now, or says when to ask again.
    ///
    /// # Errors
    /// The earliest time at which a start is allowed; nothing was taken.
    pub fn check(&self, now: Time) -> Result<(), Time> {
        let Some(limiter) = &self.limiter else {
            return Ok(());
        };
        self.clock
            .0
            .store(now.as_micros().saturating_mul(1000), Ordering::Relaxed);
        limiter.check().map_err(|refused| {
            let wait = refused.wait_time_from(self.clock.now());
            // Rounded up to whole microseconds, or the next check would come a moment too early.
            now + wait + Duration::from_micros(1)
        })
    }
}

/// A clock that shows what it was told last.
#[derive(Debug, Clone)]
struct ToldClock(Arc<AtomicU64>);

impl Clock for ToldClock {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        Nanos::from(self.0.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn starts_are_spaced() {
        let politeness = Politeness::new(Duration::from_millis(250));
        let mut now = Time::from_secs_f64(3.0);
        let mut starts = Vec::new();
        while starts.len() < 5 {
            match politeness.check(now) {
                Ok(()) => starts.push(now),
                Err(at) => now = at,
            }
        }
        for pair in starts.windows(2) {
            let gap = pair[1].since(pair[0]);
            assert!((249..=252).contains(&gap.as_millis()), "{gap:?}");
        }
    }

    #[test]
    fn no_spacing_is_no_limit() {
        let politeness = Politeness::new(Duration::ZERO);
        assert!((0..1000).all(|_| politeness.check(Time::ZERO).is_ok()));
    }

    proptest! {
        #[test]
        fn a_refusal_names_a_time_at_which_it_is_allowed(
            spacing_ms in 1u64..10_000, steps in proptest::collection::vec(0u64..5_000, 1..50),
        ) {
            let politeness = Politeness::new(Duration::from_millis(spacing_ms));
            let mut now = Time::ZERO;
            for step in steps {
                now = now + Duration::from_millis(step);
                if let Err(at) = politeness.check(now) {
                    prop_assert!(at > now && at.since(now) <= Duration::from_millis(spacing_ms + 1));
                    prop_assert!(politeness.check(at).is_ok());
                    now = at;
                }
            }
        }
    }
}
