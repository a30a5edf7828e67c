//! Do answers take longer because requests queue up in the host?
//!
//! Latencies are compared as means of their logarithms: robust against heavy tails, and with a spread
//! that is measured, so a difference has a significance. A rise alone proves nothing, since an origin
//! may just have become slower; it is load if the latency follows the limit.

use std::time::Duration;

/// Answers after which the base is as sure as it gets; keeps it able to follow the host.
const BASE_KEPT: f32 = 400.0;
/// A window is long when each slot was used so many times.
pub(super) const LONG: f64 = 3.0;
/// Standard errors above the base within which a level is the same as the base.
const SAME: f64 = 1.0;
/// Standard errors below the base from which a level replaces it.
const LOWER: f64 = 2.5;
/// Answers that it takes to replace it.
const ENOUGH: f32 = 8.0;
/// Spread of the logarithm that is assumed before it is measured: that of a lognormal with a quartile
/// ratio of about two.
const SPREAD: f32 = 0.5;
/// Weight of that assumption, in answers.
const SPREAD_PRIOR: f32 = 8.0;
/// Weight of one answer in the smoothed latency once it is known (RFC 6298 uses 1/8; one host has many
/// answers in one round trip, so less).
const SMOOTHING: f32 = 1.0 / 24.0;
/// The smoothed latency before any answer, in seconds.
const UNKNOWN: f64 = 0.25;
/// An outlier moves the smoothed latency by no more than this multiple of it.
const OUTLIER: f32 = 8.0;

/// Mean of logarithms, with what is needed for their spread.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct LogMean {
    sum: f32,
    squares: f32,
    count: f32,
}

impl LogMean {
    pub(super) fn add(&mut self, latency: Duration) {
        let log = latency.as_secs_f32().max(1e-6).ln();
        self.sum += log;
        self.squares += log * log;
        self.count += 1.0;
    }

    /// The mean, if there is one.
    pub(super) fn level(&self) -> Option<Level> {
        (self.count > 0.0).then(|| Level {
            mean: self.sum / self.count,
            count: self.count,
        })
    }

    fn deviation_sum(&self) -> f32 {
        (self.squares - self.sum * self.sum / self.count.max(1.0)).max(0.0)
    }
}

/// A mean of logarithms and how many answers it rests on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Level {
    pub(super) mean: f32,
    pub(super) count: f32,
}

/// What is known of a host's latency.
#[derive(Debug, Clone, Copy)]
pub(super) struct Latency {
    /// Smoothed mean in seconds; 0 before the first answer.
    smoothed: f32,
    /// The levels without queueing, of short windows and of long ones. In a short window the quicker
    /// answers are over-represented, since the slower ones are still out when it ends.
    bases: [Option<Level>; 2],
    /// Variance of the logarithm within a window.
    variance: f32,
}

impl Default for Latency {
    fn default() -> Latency {
        Latency {
            smoothed: 0.0,
            bases: [None; 2],
            variance: SPREAD * SPREAD,
        }
    }
}

impl Latency {
    /// Takes up where another run left off: smoothed latency in seconds and logarithm of the base.
    pub(super) fn remembered(smoothed: f32, base: Option<f32>) -> Latency {
        Latency {
            smoothed: if smoothed.is_finite() {
                smoothed.clamp(0.0, 600.0)
            } else {
                0.0
            },
            bases: [
                None,
                base.filter(|b| b.is_finite())
                    .map(|mean| Level { mean, count: 30.0 }),
            ],
            ..Latency::default()
        }
    }

    /// A good answer took so long.
    pub(super) fn observe(&mut self, latency: Duration) {
        let seconds = latency.as_secs_f32();
        if self.smoothed == 0.0 {
            self.smoothed = seconds;
        } else {
            let step = seconds.min(self.smoothed * OUTLIER) - self.smoothed;
            self.smoothed += step * SMOOTHING;
        }
    }

    /// The smoothed latency; a guess before the first answer.
    pub(super) fn smoothed(&self) -> Duration {
        if self.smoothed == 0.0 {
            Duration::from_secs_f64(UNKNOWN)
        } else {
            Duration::from_secs_f32(self.smoothed)
        }
    }

    /// The smoothed latency in seconds, 0 if unknown, and the logarithm of the base.
    pub(super) fn memory(&self) -> (f32, Option<f32>) {
        (self.smoothed, self.bases[1].map(|base| base.mean))
    }

    /// How far a window's latency is above the base, as a logarithm, and in standard errors.
    pub(super) fn rise(&self, window: &LogMean, limit: f64) -> (f64, f64) {
        match (self.bases[kind(window, limit)], window.level()) {
            (Some(base), Some(level)) => self.difference(base, level),
            (None, _) | (_, None) => (0.0, 0.0),
        }
    }

    /// How far `after` is above `before`, as a logarithm, and in standard errors.
    pub(super) fn difference(&self, before: Level, after: Level) -> (f64, f64) {
        let rise = after.mean - before.mean;
        let error = (self.variance * (1.0 / before.count + 1.0 / after.count)).sqrt();
        (f64::from(rise), f64::from(rise / error.max(1e-3)))
    }

    /// Learns from a window. `is_light` says that its limit was well below what the host bears, so that
    /// its latency may be higher than the base for no reason of load.
    pub(super) fn learn(&mut self, window: &LogMean, limit: f64, is_light: bool) {
        let kind = kind(window, limit);
        let Some(level) = window.level() else { return };
        let weight = window.count.min(50.0);
        let fresh =
            (window.deviation_sum() + SPREAD_PRIOR * self.variance) / (window.count + SPREAD_PRIOR);
        self.variance += (fresh - self.variance) * weight / (weight + 50.0);
        let (_, errors) = self.rise(window, limit);
        let most = if is_light { SAME } else { 0.0 };
        match &mut self.bases[kind] {
            // Not told apart from the base: the two are one.
            Some(base) if (-LOWER..most).contains(&errors) => {
                let total = base.count + level.count;
                base.mean += (level.mean - base.mean) * level.count / total;
                base.count = total.min(BASE_KEPT);
            }
            // Surely lower: this is the base.
            Some(base) if errors <= -LOWER && level.count >= ENOUGH => *base = level,
            // Some queueing: no base.
            Some(_) => {}
            None => self.bases[kind] = Some(level),
        }
    }

    /// Takes a level as the base: the origin itself became slower.
    pub(super) fn rebase(&mut self, window: &LogMean, limit: f64) {
        self.bases = [None; 2];
        self.bases[kind(window, limit)] = window.level();
    }
}

/// 0 for a short window, 1 for a long one.
fn kind(window: &LogMean, limit: f64) -> usize {
    usize::from(f64::from(window.count) >= LONG * limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(millis: &[u64]) -> LogMean {
        let mut mean = LogMean::default();
        for ms in millis {
            mean.add(Duration::from_millis(*ms));
        }
        mean
    }

    #[test]
    fn a_doubled_latency_is_a_rise_of_ln_2_and_significant() {
        let mut latency = Latency::default();
        latency.learn(
            &window(&[90, 100, 110, 100, 95, 105, 100, 100, 90, 110]),
            10.0,
            true,
        );
        let (rise, errors) = latency.rise(&window(&[180, 200, 220, 200, 190, 210, 200, 200]), 10.0);
        assert!((rise - 2f64.ln()).abs() < 0.01, "{rise}");
        assert!(errors > 2.5, "{errors}");
    }

    #[test]
    fn one_outlier_is_no_significant_rise() {
        let mut latency = Latency::default();
        latency.learn(
            &window(&[90, 100, 110, 100, 95, 105, 100, 100, 90, 110]),
            10.0,
            true,
        );
        let (_, errors) = latency.rise(&window(&[100, 100, 100, 100, 100, 100, 100, 1500]), 10.0);
        assert!(errors < 2.0, "{errors}");
    }
}
