//! What time is it, for the core and for the store?
//!
//! One reading of the wall clock at the start of the run, and the monotonic clock from there on: what
//! the store is told never jumps, even if somebody sets the machine's clock while the crawl runs.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use neap_core::{Time, UnixMs};
use tokio::time::Instant;

/// The clock of one run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    started: Instant,
    started_unix: UnixMs,
}

impl Clock {
    /// Starts now.
    pub(crate) fn start() -> Clock {
        let since_1970 = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let started_unix = UnixMs(i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX));
        Clock {
            started: Instant::now(),
            started_unix,
        }
    }

    /// Monotonic time, for the core.
    pub(crate) fn now(&self) -> Time {
        Time::ZERO + self.started.elapsed()
    }

    /// Wall-clock time, for the store.
    pub(crate) fn unix(&self) -> UnixMs {
        self.started_unix + self.started.elapsed()
    }

    /// When a stored moment comes, as the core counts; at once if it is past.
    pub(crate) fn time_of(&self, at: UnixMs) -> Time {
        Time::ZERO + at.since(self.started_unix)
    }

    /// What the wall clock shows at a moment of the core.
    pub(crate) fn unix_of(&self, at: Time) -> UnixMs {
        self.started_unix + at.since(Time::ZERO)
    }

    /// When a moment of the core comes, as the runtime counts.
    pub(crate) fn instant_of(&self, at: Time) -> Instant {
        // A year is for ever here, and keeps the sum within what an instant can hold.
        self.started + at.since(Time::ZERO).min(Duration::from_secs(365 * 86_400))
    }
}
