//! What was seen since the limit last changed?
//!
//! Only requests that started after the last change of the limit speak of it. What was in flight
//! before belongs to the limit before, as in the recovery periods of QUIC (RFC 9002, section 7.3.2).

use crate::time::Time;

use super::latency::LogMean;

/// The answers to requests that started since the limit last changed.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Window {
    /// Its number; a permit carries the number of the window it was taken in.
    pub(super) number: u32,
    /// When it began.
    pub(super) begun: Time,
    /// Requests started in it whose answers are evidence or still to come.
    pub(super) started: u32,
    /// Good answers.
    pub(super) good: u32,
    /// Failures of requests that had not failed before.
    pub(super) failed: u32,
    /// Whether the limit was reached: a limit that nothing leans on was not tested.
    pub(super) was_full: bool,
    /// Latencies of the good answers.
    pub(super) latency: LogMean,
}

impl Window {
    /// The window after this one.
    pub(super) fn next(&self, now: Time) -> Window {
        Window {
            number: self.number.wrapping_add(1),
            begun: now,
            ..Window::default()
        }
    }

    /// Answers that are evidence.
    pub(super) fn seen(&self) -> f64 {
        f64::from(self.good) + f64::from(self.failed)
    }

    /// The share of failures among all requests started. Failures are often quicker than good
    /// answers, so their share among the answers seen so far would be too high: measured in
    /// simulation, a limit of 217 was cut to 54 by that.
    pub(super) fn share(&self) -> f64 {
        f64::from(self.failed) / f64::from(self.started.max(1))
    }

    /// The share of failures that cannot be put down to the background.
    pub(super) fn excess(&self, background: f64) -> f64 {
        ((self.share() - background) / (1.0 - background)).clamp(0.0, 1.0)
    }
}
