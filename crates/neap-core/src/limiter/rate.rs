//! How many requests a second does a host allow that said "too many" or "come back later"?
//!
//! Such an answer holds the whole host for as long as it asks, and tells the rate: what was accepted
//! since the last such answer. From then on requests are spaced. The allowed rate starts a little below
//! the rate found and follows a cubic around it (CUBIC, RFC 9438, on rate as botocore's adaptive mode
//! does): quickly back, slowly past it, then faster.

use std::time::Duration;

use rand::{Rng, RngCore};

use crate::backoff::RETRY_AFTER_MAX;
use crate::time::Time;

/// How far below the rate found the allowed rate starts, and how steeply it goes beyond it.
const DEPTH: f64 = 0.12;
/// The rate found is reached again after as long as it takes for this many requests ...
const PLATEAU: f64 = 120.0;
/// ... within these bounds in seconds.
const PLATEAU_BOUNDS: (f64, f64) = (6.0, 300.0);
/// Rates that differ by less than this share are the same. With each in a row the next one is looked for
/// half as often and half as far away, up to so many times.
const SAME: f64 = 0.2;
/// See [`SAME`].
const AGREED: u8 = 2;
/// Holds do not distort a time that is longer than this multiple of theirs.
const LONG_FLOW: u32 = 5;
/// What is allowed is believed up to this multiple of what was accepted.
const ABOVE: f64 = 1.3;
/// Accepted requests are counted over one to two times this.
const COUNTED: Duration = Duration::from_secs(2);
/// ... or as long as it takes for so many.
const COUNTED_LEAST: u32 = 8;
/// What was accepted in less time than this tells of a burst, not of a rate.
const RECENT: Duration = Duration::from_millis(500);
/// A rate is measured anew where so many requests should have been accepted since it was found ...
const EXPECTED: f64 = 6.0;
/// ... and else lowered to this multiple.
const LOWERED: f64 = 0.8;
/// Without a request for so long, although one might have started, what is accepted is counted anew.
const IDLE: Duration = Duration::from_secs(10);
/// The allowed rate never falls below this many requests a second: one in half a minute.
const LEAST: f64 = 1.0 / 30.0;
/// The rate is given up, as one that no longer holds, when it has grown to this multiple.
const FORGOTTEN: f64 = 20.0;
/// So many such answers with nothing accepted between them, and the host is only probed.
const STRIKES: u8 = 3;

/// The hold and the rate.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Rate {
    held_until: Time,
    /// The rate found, in requests a second; 0 if there is none.
    found: f32,
    found_at: Time,
    /// Seconds before this run began that it was found.
    earlier: u32,
    /// No start before this.
    next: Time,
    counted_from: Time,
    accepted: u32,
    accepted_before: u32,
    counted_before: Time,
    /// When something last happened: without requests nothing is accepted, which is no sign of a low rate.
    /// In seconds; here, as everywhere in an idle host, each byte is there a hundred thousand times.
    busy_s: u32,
    strikes: u8,
    /// How many rates in a row were found to be about the same.
    agreed: u8,
}

impl Rate {
    /// Of a host of which nothing is known.
    pub(super) fn new(now: Time) -> Rate {
        Rate::remembered(now, Duration::ZERO, 0.0, Duration::ZERO)
    }

    /// Takes up where another run left off: what is left of the hold, and the rate found so long ago.
    pub(super) fn remembered(now: Time, hold: Duration, found: f32, age: Duration) -> Rate {
        Rate {
            held_until: now + hold.min(RETRY_AFTER_MAX),
            found: if found.is_finite() && found > 0.0 {
                found.max(LEAST as f32)
            } else {
                0.0
            },
            found_at: now,
            earlier: u32::try_from(age.as_secs()).unwrap_or(u32::MAX),
            next: now,
            counted_from: now,
            counted_before: now,
            busy_s: seconds_of(now),
            ..Rate::default()
        }
    }

    /// Until when the host asked to be left alone.
    pub(super) fn held_until(&self) -> Time {
        self.held_until
    }

    /// The time before which nothing may start.
    pub(super) fn not_before(&self) -> Time {
        self.held_until.max(self.next)
    }

    /// The rate found and how long ago, if there is one.
    pub(super) fn found(&self, now: Time) -> Option<(f32, Duration)> {
        (self.found > 0.0).then(|| (self.found, self.age(now)))
    }

    fn age(&self, now: Time) -> Duration {
        now.since(self.found_at) + Duration::from_secs(u64::from(self.earlier))
    }

    /// A request starts.
    pub(super) fn start(&mut self, now: Time) {
        let busy_at = Time::ZERO + Duration::from_secs(u64::from(self.busy_s));
        if now.since(busy_at.max(self.not_before())) > IDLE {
            (self.counted_from, self.counted_before) = (now, now);
            (self.accepted, self.accepted_before) = (0, 0);
        }
        self.busy_s = seconds_of(now);
        if self.found > 0.0 {
            let allowed = self.allowed(now);
            if allowed > FORGOTTEN * f64::from(self.found) {
                self.found = 0.0;
            } else {
                self.next = now.max(self.next) + Duration::from_secs_f64(1.0 / allowed);
            }
        }
    }

    /// A request was accepted.
    pub(super) fn accepted(&mut self, now: Time) {
        self.strikes = 0;
        self.busy_s = seconds_of(now);
        if self.found == 0.0
            && now.since(self.counted_from) >= COUNTED
            && self.accepted >= COUNTED_LEAST
        {
            self.counted_before = self.counted_from;
            self.accepted_before = self.accepted;
            self.counted_from = now;
            self.accepted = 0;
        }
        self.accepted += 1;
    }

    /// The host asked for less. Says whether it has done nothing else for a while.
    pub(super) fn refused(
        &mut self,
        started: Time,
        retry_after: Option<Duration>,
        now: Time,
        dice: &mut dyn RngCore,
    ) -> bool {
        let held_before = self.held_until;
        self.busy_s = seconds_of(now);
        if let Some(wait) = retry_after {
            // A little later than asked for: all clients of a host are told the same time.
            let wait = wait
                .min(RETRY_AFTER_MAX)
                .mul_f64(dice.random_range(1.0..1.05));
            self.held_until = self.held_until.max(now + wait);
        }
        if self.found > 0.0 && started < self.found_at {
            return self.strikes >= STRIKES;
        }
        let accepted = self.accepted + self.accepted_before;
        let counted = now.since(self.counted_before);
        let held = held_before.since(self.counted_before).min(counted);
        let measured = self.measured(accepted, counted, held, now);
        let before = f64::from(self.found);
        let is_short = before * counted.as_secs_f64() < EXPECTED;
        let found = if before > 0.0 && is_short {
            // Too soon to have counted anything: what was allowed was too much.
            before * LOWERED
        } else if before > 0.0 && accepted < 2 {
            (before / 2.0).max(measured)
        } else if before > 0.0 {
            measured
        } else if accepted >= 2 {
            // The crawl may have begun slowly, so that less was accepted at first than the host allows.
            (measured + measured.max(self.recent(now))) / 2.0
        } else {
            // Nothing is known yet: as often as it may be asked again.
            1.0 / retry_after.map_or(1.0, |wait| wait.as_secs_f64()).max(1.0)
        };
        let is_same = (found / before.max(1e-9)).ln().abs() < SAME;
        self.agreed = if is_same {
            (self.agreed + 1).min(AGREED)
        } else {
            0
        };
        self.found = found.max(LEAST) as f32;
        (self.found_at, self.earlier) = (now, 0);
        self.next = self.next.max(now);
        (self.counted_from, self.counted_before) = (now, now);
        (self.accepted, self.accepted_before) = (0, 0);
        self.strikes = self.strikes.saturating_add(1);
        self.strikes >= STRIKES
    }

    /// What was accepted a second of late, where that can be told; else 0.
    fn recent(&self, now: Time) -> f64 {
        let time = now.since(self.counted_from);
        if self.accepted < COUNTED_LEAST || time < RECENT {
            return 0.0;
        }
        f64::from(self.accepted) / time.as_secs_f64()
    }

    /// The host's rate, from what it accepted in the time counted, for a part of which it was held.
    fn measured(&self, accepted: u32, counted: Duration, held: Duration, now: Time) -> f64 {
        let per_second = |time: Duration| f64::from(accepted) / time.as_secs_f64().max(1e-3);
        let flowing = counted - held;
        let flowed = per_second(flowing);
        if self.found > 0.0 && flowing > held * LONG_FLOW {
            // What was accepted began below the rate; what is allowed by now is above it.
            return (flowed + self.allowed(now).clamp(flowed, ABOVE * flowed)) / 2.0;
        }
        // A bucket of tokens fills up during a hold: counted with it the rate is at most the host's,
        // since a full bucket takes no more, without it at least.
        (flowed.min(2.0 * per_second(counted)) + per_second(counted)) / 2.0
    }

    /// Requests a second that are allowed now.
    fn allowed(&self, now: Time) -> f64 {
        let found = f64::from(self.found);
        let plateau = (PLATEAU / found).clamp(PLATEAU_BOUNDS.0, PLATEAU_BOUNDS.1);
        let free = now.since(self.held_until).min(self.age(now));
        let sure = f64::from(1 << self.agreed);
        let x = free.as_secs_f64() / (plateau * sure);
        found * (1.0 + DEPTH / sure.sqrt() * (x - 1.0).powi(3))
    }
}

fn seconds_of(now: Time) -> u32 {
    u32::try_from(now.since(Time::ZERO).as_secs()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    use super::*;

    fn seconds(at: f64) -> Time {
        Time::from_secs_f64(at)
    }

    #[test]
    fn the_rate_found_is_what_was_accepted() {
        let (mut rate, mut dice) = (Rate::default(), SmallRng::seed_from_u64(2));
        for i in 0..80 {
            rate.accepted(seconds(f64::from(i) * 0.1));
        }
        rate.refused(seconds(7.9), None, seconds(8.0), &mut dice);
        let (found, _) = rate.found(seconds(8.0)).unwrap();
        assert!((9.0..11.0).contains(&found), "{found}");
        assert!(rate.allowed(seconds(8.0)) < 0.95 * f64::from(found));
        assert!(rate.allowed(seconds(60.0)) > 1.1 * f64::from(found));
    }

    #[test]
    fn answers_to_requests_in_flight_together_are_one_event() {
        let (mut rate, mut dice) = (Rate::default(), SmallRng::seed_from_u64(2));
        for i in 0..80 {
            rate.accepted(seconds(f64::from(i) * 0.1));
        }
        rate.refused(seconds(7.9), None, seconds(8.0), &mut dice);
        let once = rate.found(seconds(8.1));
        for _ in 0..20 {
            assert!(!rate.refused(seconds(7.95), None, seconds(8.05), &mut dice));
        }
        assert_eq!(rate.found(seconds(8.1)), once);
    }

    #[test]
    fn a_hold_is_never_longer_than_a_day_and_a_bit() {
        let (mut rate, mut dice) = (Rate::default(), SmallRng::seed_from_u64(2));
        let forever = Some(Duration::from_secs(10_000_000));
        rate.refused(Time::ZERO, forever, Time::ZERO, &mut dice);
        assert!(rate.held_until() <= Time::ZERO + RETRY_AFTER_MAX.mul_f64(1.05));
    }
}
