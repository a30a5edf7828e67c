//! Does this host still answer at all?
//!
//! A row of failures with nothing good between them stops new requests; from then on the host is only
//! probed, by one request at a time, until one is answered.
//!
//! ```text
//!   answering ──row of failures──► only probed ──a probe succeeds──► answering, limit is ramped up
//!       ▲                              │ a request that started within the row succeeds:
//!       └──────────── limit as before ─┘ the host was only overloaded
//! ```

use std::time::Duration;

use rand::{Rng, RngCore};

use crate::time::Time;

/// A row this long stops a host if the background is small: with one failure in twenty by chance, four
/// in a row happen once in 160,000, and a false alarm costs less than a latency.
const LEAST_ROW: f64 = 4.0;
/// A row must be as unlikely as this under the background.
const UNLIKELY: f64 = 1e-5;
/// A background below this is not trusted to be that small.
const LEAST_BACKGROUND: f64 = 0.05;
/// Share of the limit that a row must reach: many requests in flight fail together by one short fault.
const SHARE_OF_LIMIT: f64 = 0.05;
/// A good answer to a request that started before the row takes this much off it, and this multiple of
/// the background. Such answers still come when a host has just died.
const OLD_ANSWER: (f64, f64) = (0.1, 1.5);
/// A failure of a request that failed before counts this much: the page may be at fault.
const RETRIED: f32 = 0.1;
/// The time between two probes is this share of the outage's age.
const PROBE_SHARE: f64 = 0.22;
/// Bounds of the time between two probes in seconds. With them an outage of two minutes costs about
/// 20 probes, one of ten seconds is noticed to be over after a second, one of two minutes after five and
/// a half.
const PROBE_WAIT: (f64, f64) = (0.8, 11.0);
/// In long outages the upper bound is this share of the age, up to `LONG_WAIT`.
const LONG_SHARE: f64 = 0.05;
/// The longest time between two probes in seconds.
const LONG_WAIT: f64 = 60.0;
/// The least time between two probes of a host that broke down under our own load: requests, of whatever
/// number, may be what keeps it down.
const REST: Duration = Duration::from_millis(2500);
/// Bounds of the time from the end of the row to the first probe: about one latency, for then the
/// requests in flight have shown whether the host is alive.
const FIRST_WAIT: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(2));

/// What an answer changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// Nothing.
    None,
    /// From now on the host is only probed.
    Stopped,
    /// A probe succeeded.
    Recovered,
    /// The host was alive all the time.
    FalseAlarm,
}

/// The row of failures, and the probing.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Breaker {
    row: f32,
    /// When a failed request in the middle of the row was started.
    row_started: Time,
    /// When the row's first failure came.
    since: Time,
    /// Seconds that the outage had lasted before this run began.
    earlier: u32,
    probing: Option<Probing>,
}

#[derive(Debug, Clone, Copy)]
struct Probing {
    /// When the host was stopped: a probe of an earlier time is none of this one's.
    begun: Time,
    next: Time,
    is_out: bool,
    /// A try of ours broke the host.
    rests: bool,
}

impl Breaker {
    /// A host that did nothing but fail for `earlier` before this run began: it is probed at once.
    pub(super) fn stopped(now: Time, earlier: Duration) -> Breaker {
        Breaker {
            row: 0.0,
            row_started: now,
            since: now,
            earlier: u32::try_from(earlier.as_secs()).unwrap_or(u32::MAX),
            probing: Some(Probing {
                begun: now,
                next: now,
                is_out: false,
                rests: false,
            }),
        }
    }

    /// When the next probe may start, if the host is only probed; `None` while one is out.
    pub(super) fn next_probe(&self) -> Option<Option<Time>> {
        self.probing.map(|p| (!p.is_out).then_some(p.next))
    }

    /// Since when the host did nothing but fail, if it is only probed.
    pub(super) fn stopped_since(&self) -> Option<Time> {
        self.probing.map(|_| self.since)
    }

    /// How long the host has been failing, time before this run included.
    pub(super) fn age(&self, now: Time) -> Duration {
        now.since(self.since) + Duration::from_secs(u64::from(self.earlier))
    }

    /// A request starts. Says whether it is a probe.
    pub(super) fn start(&mut self) -> bool {
        match &mut self.probing {
            Some(probing) => {
                probing.is_out = true;
                true
            }
            None => false,
        }
    }

    /// A probe came back without evidence: another is made as if it had failed.
    pub(super) fn forget_probe(&mut self, started: Time, now: Time) {
        let wait = probe_wait(self.age(now).as_secs_f64());
        if let Some(probing) = &mut self.probing
            && started >= probing.begun
        {
            probing.is_out = false;
            probing.next = now + wait;
        }
    }

    /// A good answer came to a request that started then.
    pub(super) fn answered(&mut self, started: Time, is_probe: bool, background: f64) -> Turn {
        let is_after = started > self.row_started || is_probe;
        match (self.probing, is_after) {
            (None, true) => {
                self.row = 0.0;
                Turn::None
            }
            (None, false) => {
                let taken = OLD_ANSWER.0 + OLD_ANSWER.1 * background;
                self.row = (self.row - taken as f32).max(0.0);
                Turn::None
            }
            (Some(_), false) => Turn::None,
            (Some(_), true) => {
                *self = Breaker::default();
                if is_probe {
                    Turn::Recovered
                } else {
                    Turn::FalseAlarm
                }
            }
        }
    }

    /// A failure came.
    pub(super) fn failed(&mut self, seen: Failed, dice: &mut dyn RngCore) -> Turn {
        if let Some(mut probing) = self.probing {
            if seen.is_probe && seen.started >= probing.begun {
                let rest = if probing.rests { REST } else { Duration::ZERO };
                let wait = probe_wait(self.age(seen.now).as_secs_f64()).max(rest);
                probing.next = seen.now + wait.mul_f64(dice.random_range(0.8..1.2));
                probing.is_out = false;
                self.probing = Some(probing);
            }
            return Turn::None;
        }
        let by_chance = UNLIKELY.ln() / seen.background.max(LEAST_BACKGROUND).ln();
        let enough = LEAST_ROW.max(by_chance).max(SHARE_OF_LIMIT * seen.limit);
        if self.row <= 0.0 {
            self.since = seen.now;
            self.earlier = 0;
        }
        if f64::from(self.row) < enough / 2.0 {
            // The first failures may be chance, with the outage beginning just after them.
            self.row_started = seen.started;
        }
        self.row += if seen.is_retry { RETRIED } else { 1.0 };
        if f64::from(self.row) < enough {
            return Turn::None;
        }
        self.stop(seen.now, seen.latency)
    }

    /// A try of ours was what stopped the host.
    pub(super) fn let_rest(&mut self) {
        if let Some(probing) = &mut self.probing {
            probing.rests = true;
        }
    }

    /// Stops the host at once.
    pub(super) fn stop(&mut self, now: Time, latency: Duration) -> Turn {
        if self.row <= 0.0 {
            (self.row_started, self.since) = (now, now);
        }
        self.probing = Some(Probing {
            begun: now,
            next: now + latency.clamp(FIRST_WAIT.0, FIRST_WAIT.1),
            is_out: false,
            rests: false,
        });
        Turn::Stopped
    }
}

/// A failure, as the breaker needs to know it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Failed {
    pub(super) started: Time,
    pub(super) now: Time,
    pub(super) is_probe: bool,
    pub(super) is_retry: bool,
    pub(super) limit: f64,
    pub(super) background: f64,
    pub(super) latency: Duration,
}

fn probe_wait(age: f64) -> Duration {
    let most = (age * LONG_SHARE).clamp(PROBE_WAIT.1, LONG_WAIT);
    Duration::from_secs_f64((age * PROBE_SHARE).clamp(PROBE_WAIT.0, most))
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    use super::*;

    fn failure(started: f64, now: f64, is_probe: bool) -> Failed {
        Failed {
            started: Time::from_secs_f64(started),
            now: Time::from_secs_f64(now),
            is_probe,
            is_retry: false,
            limit: 40.0,
            background: 0.005,
            latency: Duration::from_millis(300),
        }
    }

    #[test]
    fn two_minutes_of_outage_take_at_most_23_probes() {
        let (mut breaker, mut dice) = (Breaker::default(), SmallRng::seed_from_u64(5));
        for _ in 0..5 {
            breaker.failed(failure(1.0, 1.06, false), &mut dice);
        }
        let mut probes = 0;
        while let Some(Some(next)) = breaker.next_probe()
            && next < Time::from_secs_f64(121.0)
        {
            assert!(breaker.start());
            assert_eq!(breaker.next_probe(), Some(None), "one probe at a time");
            let at = next.as_secs_f64();
            breaker.failed(failure(at, at + 0.06, true), &mut dice);
            probes += 1;
        }
        assert!((15..=23).contains(&probes), "{probes}");
    }

    #[test]
    fn failures_among_good_answers_are_no_row() {
        let (mut breaker, mut dice) = (Breaker::default(), SmallRng::seed_from_u64(5));
        for i in 0..1000 {
            let now = f64::from(i) * 0.01;
            if i % 5 == 0 {
                breaker.failed(failure(now - 0.05, now, false), &mut dice);
            } else {
                breaker.answered(Time::from_secs_f64(now - 0.3), false, 0.2);
            }
        }
        assert_eq!(breaker.stopped_since(), None);
    }
}
