//! What is a moment, to code that may not look at a clock?
//!
//! Inside a run time is monotonic: [`Time`], counted from the start of the run by whoever drives the
//! core. What must outlive a run (a retry, a hold) is wall-clock time: [`UnixMs`]. Only the driver
//! knows both and turns one into the other, so a clock that is set back or forward while a crawl runs
//! moves nothing.

use std::ops::{Add, Sub};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A monotonic moment, in microseconds since the run began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time(u64);

impl Time {
    /// The moment at which the run began.
    pub const ZERO: Time = Time(0);
    /// A moment that is never reached.
    pub const NEVER: Time = Time(u64::MAX);

    /// The moment `micros` microseconds after the run began.
    pub const fn from_micros(micros: u64) -> Time {
        Time(micros)
    }

    /// The moment `seconds` after the run began; negative and non-finite values give the beginning.
    pub fn from_secs_f64(seconds: f64) -> Time {
        Time((seconds * 1e6) as u64)
    }

    /// Microseconds since the run began.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// Seconds since the run began.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e6
    }

    /// How long after `earlier` this is; zero if it is not after it.
    pub const fn since(self, earlier: Time) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Time {
    type Output = Time;

    fn add(self, wait: Duration) -> Time {
        Time(
            self.0
                .saturating_add(u64::try_from(wait.as_micros()).unwrap_or(u64::MAX)),
        )
    }
}

impl Sub<Duration> for Time {
    type Output = Time;

    fn sub(self, wait: Duration) -> Time {
        Time(
            self.0
                .saturating_sub(u64::try_from(wait.as_micros()).unwrap_or(u64::MAX)),
        )
    }
}

/// A wall-clock moment, in milliseconds since 1970-01-01T00:00:00Z; what SQL columns named `*_ms` hold.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct UnixMs(
    /// Milliseconds; negative before 1970.
    pub i64,
);

impl UnixMs {
    /// How long after `earlier` this is; zero if it is not after it.
    pub fn since(self, earlier: UnixMs) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl Add<Duration> for UnixMs {
    type Output = UnixMs;

    fn add(self, wait: Duration) -> UnixMs {
        UnixMs(
            self.0
                .saturating_add(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX)),
        )
    }
}
