//! When may more be read, so that no more than so many bytes a second come?
//!
//! A token bucket, kept as the moment at which it is even again (the generic cell rate algorithm, ITU-T I.371): what
//! comes moves that moment on, and nothing more is read before it. What was not used of the last
//! quarter of a second may come at once, so that small pages do not wait for each other. Time is a parameter.

use std::time::Duration;

use crate::time::Time;

/// How far behind the rate may be and catch up at once. Long enough to let a page through in one go, short enough
/// for a meter that shows seconds.
pub const BURST: Duration = Duration::from_millis(250);

/// Lowest rate, in bytes a second: below, a single read would take minutes.
pub const LEAST_BYTES_PER_SECOND: u64 = 1 << 10;

/// The bytes of many readers together.
#[derive(Debug)]
pub struct Bandwidth {
    bytes_per_second: u64,
    /// When as much has come as may have come.
    even_at: Time,
}

impl Bandwidth {
    /// So many bytes a second, at least [`LEAST_BYTES_PER_SECOND`].
    pub fn new(bytes_per_second: u64) -> Bandwidth {
        Bandwidth {
            bytes_per_second: bytes_per_second.max(LEAST_BYTES_PER_SECOND),
            even_at: Time::ZERO,
        }
    }

    /// Takes bytes that have come. Whoever brought them reads on after this time, which may be zero.
    pub fn take(&mut self, bytes: u64, now: Time) -> Duration {
        let micros = u128::from(bytes) * 1_000_000 / u128::from(self.bytes_per_second);
        let takes = Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX));
        let earliest = Time::from_micros(now.as_micros().saturating_sub(BURST_MICROS));
        self.even_at = self.even_at.max(earliest) + takes;
        self.even_at.since(now)
    }
}

/// [`BURST`] in the unit of [`Time`].
const BURST_MICROS: u64 = BURST.as_micros() as u64;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_was_not_used_lately_comes_at_once_and_the_rest_waits() {
        let mut bandwidth = Bandwidth::new(1_000_000);
        let at = |ms: u64| Time::from_micros(10_000_000 + ms * 1_000);
        assert_eq!(bandwidth.take(250_000, at(0)), Duration::ZERO);
        assert_eq!(bandwidth.take(100_000, at(0)), Duration::from_millis(100));
        assert_eq!(bandwidth.take(100_000, at(0)), Duration::from_millis(200));
        assert_eq!(bandwidth.take(0, at(200)), Duration::ZERO);
        assert_eq!(bandwidth.take(50_000, at(200)), Duration::from_millis(50));
        // A pause gives a quarter of a second back, and no more.
        assert_eq!(
            bandwidth.take(300_000, at(60_000)),
            Duration::from_millis(50)
        );
        assert_eq!(
            Bandwidth::new(0).take(1 << 10, at(0)),
            Duration::from_millis(750)
        );
        assert!(bandwidth.take(u64::MAX, at(60_000)) > Duration::from_secs(1 << 30));
    }

    proptest! {
        /// Many readers who wait as they are told never get more than the rate, a burst and a read each.
        #[test]
        fn no_more_than_the_rate_comes(
            rate in 1_000_u64..10_000_000,
            reads in prop::collection::vec((1_u64..65_536, 0_usize..8), 1..200),
        ) {
            let mut bandwidth = Bandwidth::new(rate);
            let mut ready = [Time::from_micros(1_000_000); 8];
            let mut events = Vec::new();
            for (bytes, reader) in reads {
                // Events are in the order of time: whoever is ready first reads first.
                let reader = (0..8).map(|n| (n + reader) % 8).min_by_key(|n| ready[*n]).unwrap();
                let now = ready[reader];
                ready[reader] = now + bandwidth.take(bytes, now);
                events.push((now, bytes));
            }
            let begin = events[0].0;
            let mut sum = 0;
            for (now, bytes) in events {
                let rate = rate.max(LEAST_BYTES_PER_SECOND) as f64;
                let allowed = rate * (now.since(begin) + BURST).as_secs_f64() + 8.0 * 65_536.0;
                prop_assert!(sum as f64 <= allowed, "{sum} bytes by {now:?}, {allowed} allowed");
                sum += bytes;
            }
        }
    }
}
