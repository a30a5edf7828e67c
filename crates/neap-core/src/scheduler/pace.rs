//! How many requests a second does a host get lately?
//!
//! A count that fades: a request counts one when it starts and less and less after that, so that no
//! times need to be kept.

use crate::time::Time;

/// Seconds in which a request fades to 37 %.
const FADES_IN: f64 = 5.0;

/// Requests of late; twenty-four bytes.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Pace {
    faded: f64,
    at: Time,
    /// When counting began; before it nothing is known.
    since: Option<Time>,
}

impl Pace {
    /// A request starts.
    pub(super) fn start(&mut self, now: Time) {
        self.faded = self.left(now) + 1.0;
        self.at = self.at.max(now);
        self.since.get_or_insert(now);
    }

    /// Requests a second, over about the last five seconds.
    pub(super) fn per_second(&self, now: Time) -> f64 {
        let Some(since) = self.since else { return 0.0 };
        // Less than five seconds after the first request the average is over a shorter time; a second is
        // the least, or the very first request would be a million a second.
        let age = now.since(since).as_secs_f64().max(1.0);
        let seconds = FADES_IN * (1.0 - (-age / FADES_IN).exp());
        self.left(now) / seconds
    }

    fn left(&self, now: Time) -> f64 {
        self.faded * (-now.since(self.at).as_secs_f64() / FADES_IN).exp()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn steady(per_second: f64, seconds: f64) -> (Pace, Time) {
        let mut pace = Pace::default();
        let count = (per_second * seconds) as u64;
        for n in 0..count {
            pace.start(Time::from_secs_f64(100.0 + n as f64 / per_second));
        }
        (pace, Time::from_secs_f64(100.0 + seconds))
    }

    #[test]
    fn before_the_first_request_there_is_no_pace() {
        assert_eq!(Pace::default().per_second(Time::from_secs_f64(9.0)), 0.0);
    }

    #[test]
    fn a_pause_fades_it_away() {
        let (pace, now) = steady(50.0, 20.0);
        let later = pace.per_second(now + std::time::Duration::from_secs(30));
        assert!(later < 0.2, "{later}");
    }

    proptest! {
        #[test]
        fn a_steady_pace_is_found_soon_and_kept(per_second in 5.0f64..500.0, seconds in 2.0f64..60.0) {
            let (pace, now) = steady(per_second, seconds);
            let found = pace.per_second(now);
            prop_assert!((found / per_second - 1.0).abs() < 0.15, "{found} for {per_second}");
        }

        #[test]
        fn a_clock_that_stands_or_steps_back_breaks_nothing(times in prop::collection::vec(0u64..9_000_000, 1..50)) {
            let mut pace = Pace::default();
            for micros in &times {
                pace.start(Time::from_micros(*micros));
            }
            let found = pace.per_second(Time::from_micros(times[0]));
            prop_assert!(found.is_finite() && (0.0..=1.2 * times.len() as f64).contains(&found), "{found}");
        }
    }
}
