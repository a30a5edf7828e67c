//! Do answers take longer because requests queue up in the host?
//!
//! Latencies are compared as means of their logarithms: robust against heavy tails, and with a spread
//! that is measured, so a difference has a significance. A rise alone proves nothing, since an origin
//! may just have become slower; it is load if the latency follows the limit.

use std::time::Duration;

/// Answers after which the base is as sure as it gets; keeps it able to follow the host.
const BASE_KEPT: f32 = 400.0;
/// Weight of the variance known so far, in answers, when a window of up to 50 is added to it.
const VARIANCE_KEPT: f32 = 30.0;
/// Share of that correction that may be wrong.
const BLUR: f32 = 0.5;
/// See [`Latency::level`].
const CENSORED: f32 = 0.5;
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
const SPREAD_PRIOR: f32 = 6.0;
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

    fn deviation_sum(&self) -> f32 {
        (self.squares - self.sum * self.sum / self.count.max(1.0)).max(0.0)
    }
}

/// A mean of logarithms and how many answers it rests on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Level {
    pub(super) mean: f32,
    /// How many answers would give a mean that is as sure.
    pub(super) count: f32,
}

/// What is known of a host's latency.
#[derive(Debug, Clone, Copy)]
pub(super) struct Latency {
    /// Smoothed mean in seconds; 0 before the first answer.
    smoothed: f32,
    /// The level without queueing.
    base: Option<Level>,
    /// Variance of the logarithm within a window.
    variance: f32,
}

impl Default for Latency {
    fn default() -> Latency {
        Latency {
            smoothed: 0.0,
            base: None,
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
            base: base
                .filter(|b| b.is_finite())
                .map(|mean| Level { mean, count: 30.0 }),
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
        (self.smoothed, self.base.map(|base| base.mean))
    }

    /// The mean of a window that has lasted so long, if it has one.
    ///
    /// In a short window the quicker answers are over-represented, since the slower ones are still out
    /// when it is judged: of those that take x, the share 1 - x / length has come, except of those that
    /// were started when the window began. Computed for exponential, lognormal and Pareto latencies,
    /// that lowers the mean of the logarithm by about half a spread times latency / length.
    pub(super) fn level(&self, window: &LogMean, length: Duration) -> Option<Level> {
        let r = (self.smoothed / length.as_secs_f32().max(1e-6)).min(1.0);
        let missing = CENSORED * self.variance.sqrt() * r;
        let doubt = (BLUR * CENSORED * r).powi(2);
        (window.count > 0.0).then(|| Level {
            mean: window.sum / window.count + missing,
            count: 1.0 / (1.0 / window.count + doubt),
        })
    }

    /// How far a level is above the base, as a logarithm, and in standard errors.
    pub(super) fn rise(&self, level: Option<Level>) -> (f64, f64) {
        match (self.base, level) {
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
    pub(super) fn learn(&mut self, window: &LogMean, length: Duration, is_light: bool) {
        let Some(level) = self.level(window, length) else {
            return;
        };
        let known = self.base.map_or(0.0, |base| base.count);
        let freedom = (window.count - 1.0).max(0.0);
        let fresh = window.deviation_sum() / freedom.max(1.0);
        // A few answers may look alike by chance: a spread that is taken for too small sees rises where there are none.
        let known = if fresh > self.variance {
            (SPREAD_PRIOR + known).min(VARIANCE_KEPT)
        } else {
            VARIANCE_KEPT
        };
        let share = freedom.min(50.0) / (freedom.min(50.0) + known);
        self.variance += (fresh - self.variance) * share;
        let (_, errors) = self.rise(Some(level));
        let most = if is_light { SAME } else { 0.0 };
        match &mut self.base {
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
            None => self.base = Some(level),
        }
    }

    /// Takes a level as the base: the origin itself became slower.
    pub(super) fn rebase(&mut self, level: Level) {
        self.base = Some(level);
    }
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

    const LONG: Duration = Duration::from_secs(100);

    fn known() -> Latency {
        let mut latency = Latency::default();
        let base = [90, 100, 110, 100, 95, 105, 100, 100, 90, 110];
        for ms in base {
            latency.observe(Duration::from_millis(ms));
        }
        latency.learn(&window(&base), LONG, true);
        latency
    }

    #[test]
    fn a_doubled_latency_is_a_rise_of_ln_2_and_significant() {
        let latency = known();
        let level = latency.level(&window(&[180, 200, 220, 200, 190, 210, 200, 200]), LONG);
        let (rise, errors) = latency.rise(level);
        assert!((rise - 2f64.ln()).abs() < 0.01, "{rise}");
        assert!(errors > 2.5, "{errors}");
    }

    #[test]
    fn one_outlier_is_no_significant_rise() {
        let latency = known();
        let level = latency.level(&window(&[100, 100, 100, 100, 100, 100, 100, 1500]), LONG);
        let (_, errors) = latency.rise(level);
        assert!(errors < 2.0, "{errors}");
    }

    #[test]
    fn a_short_window_is_taken_to_miss_its_slower_answers() {
        let latency = known();
        let seen = window(&[90, 95, 100]);
        let in_time = |ms| {
            latency
                .level(&seen, Duration::from_millis(ms))
                .unwrap()
                .mean
        };
        assert!(in_time(150) > in_time(400) && in_time(400) > in_time(100_000));
    }
}
