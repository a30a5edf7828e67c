//! What of a host is worth knowing in the next run?
//!
//! Moments are kept in wall-clock time. What a host can bear ages, since hosts change; when it asked to
//! be left alone does not.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::backoff::RETRY_AFTER_MAX;
use crate::time::UnixMs;

/// What outlives a run, as JSON in the store.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    /// When this was written down.
    pub saved_at: UnixMs,
    /// The last limit at which the host worked.
    pub limit: f64,
    /// The lowest limit that was known to be too high.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ceiling: Option<f64>,
    /// Share of requests that fail whatever the load, 0 to 1.
    #[serde(default)]
    pub background: f64,
    /// Smoothed latency to the header in seconds; 0 if unknown.
    #[serde(default)]
    pub latency_s: f32,
    /// Natural logarithm of the latency in seconds without queueing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_ln: Option<f32>,
    /// Requests a second that the host was found to allow; 0 if it never said "too many".
    #[serde(default)]
    pub rate: f32,
    /// When that was found.
    #[serde(default)]
    pub rate_at: UnixMs,
    /// The host asked to be left alone until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_until: Option<UnixMs>,
    /// Since when the host did nothing but fail, if it is only probed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing_since: Option<UnixMs>,
}

/// Within this time a host is taken to be what it was.
const FRESH: Duration = Duration::from_secs(3600);

impl Memory {
    /// Whether the limit, the ceiling and the background still count.
    pub(super) fn is_fresh(&self, now: UnixMs) -> bool {
        self.limit.is_finite() && self.limit > 0.0 && now.since(self.saved_at) <= FRESH
    }

    /// What is left of the hold; at most a day, whatever the clock did meanwhile.
    pub(super) fn hold_left(&self, now: UnixMs) -> Duration {
        self.held_until
            .map_or(Duration::ZERO, |until| until.since(now))
            .min(RETRY_AFTER_MAX)
    }

    /// How long the host has been failing, if it was only probed.
    pub(super) fn failing_for(&self, now: UnixMs) -> Option<Duration> {
        self.failing_since.map(|since| now.since(since))
    }
}
