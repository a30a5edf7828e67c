//! For how long is failing borne with?
//!
//! For as long as the jobs say, and for as long as the host itself asked to be left alone on top: who is
//! told to come back in an hour and comes back in an hour has not waited in vain. Only the longest pause
//! counts, so that a host which asks for another one each time is given up all the same.

use std::time::Duration;

use crate::backoff::RETRY_AFTER_MAX;
use crate::limiter::{Memory, Signal, SignalKind};
use crate::time::Time;

/// A host that never gave any answer is given up after this time: most such hosts are gone for good,
/// and a list of links has many of them.
const NEVER_ANSWERED: Duration = Duration::from_secs(60);

/// Failures in a row that make a host one that does nothing but fail, where others that share its limiter
/// still answer; as many as stop a limiter.
const ROW: u32 = 4;

/// Whether a host gave a good answer in an earlier run: only such answers have a latency that is stored.
pub(super) fn has_worked(memory: &Memory) -> bool {
    memory.latency_s > 0.0
}

/// What was heard since the last good answer.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Patience {
    has_answered: bool,
    failing_since: Option<Time>,
    row: u32,
    longest_pause: Duration,
}

impl Patience {
    /// An exchange is over.
    pub(super) fn hear(&mut self, signal: &Signal, now: Time) {
        match signal.kind {
            SignalKind::Nothing => {}
            SignalKind::Ok | SignalKind::Alive => {
                *self = Patience {
                    has_answered: true,
                    ..Patience::default()
                }
            }
            SignalKind::Overload
            | SignalKind::RateLimited
            | SignalKind::Connect
            | SignalKind::Timeout => {
                self.failing_since.get_or_insert(now);
                self.row += 1;
                self.pause(signal.retry_after.unwrap_or_default());
            }
        }
    }

    /// It gave a good answer in an earlier run.
    pub(super) fn has_worked(&mut self) {
        self.has_answered = true;
    }

    /// Others come to share what it is the patience with.
    pub(super) fn join(&mut self, other: &Patience) {
        self.has_answered |= other.has_answered;
        self.longest_pause = self.longest_pause.max(other.longest_pause);
    }

    /// It asked for a pause, in this run or an earlier one.
    pub(super) fn pause(&mut self, pause: Duration) {
        self.longest_pause = self.longest_pause.max(pause.min(RETRY_AFTER_MAX));
    }

    /// Since when there was nothing but failures, if there were several in a row.
    pub(super) fn failing_since(&self) -> Option<Time> {
        self.failing_since.filter(|_| self.row >= ROW)
    }

    /// Since when there was nothing but failures, if it was told to wait meanwhile.
    pub(super) fn paused_since(&self) -> Option<Time> {
        self.failing_since.filter(|_| !self.longest_pause.is_zero())
    }

    /// Whether it is used up by what has been going on `since`.
    pub(super) fn is_used_up(&self, since: Time, give_up_after: Duration, now: Time) -> bool {
        let most = if self.has_answered {
            give_up_after
        } else {
            give_up_after.min(NEVER_ANSWERED)
        };
        now.since(since) >= most + self.longest_pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn hear(patience: &mut Patience, kind: SignalKind, pause: Duration, at: Duration) {
        let signal = Signal {
            kind,
            retry_after: (!pause.is_zero()).then_some(pause),
            ..Signal::NOTHING
        };
        patience.hear(&signal, Time::ZERO + at);
    }

    #[test]
    fn the_longest_pause_comes_on_top() {
        let mut patience = Patience::default();
        hear(
            &mut patience,
            SignalKind::Ok,
            Duration::ZERO,
            Duration::ZERO,
        );
        for (pause, at) in [(30, 1), (60, 31), (5, 91)] {
            hear(
                &mut patience,
                SignalKind::RateLimited,
                pause * MINUTE,
                at * MINUTE,
            );
        }
        let since = patience.paused_since().unwrap();
        let is_used_up =
            |at: u32| patience.is_used_up(since, 10 * MINUTE, Time::ZERO + at * MINUTE);
        assert!(!is_used_up(70) && is_used_up(71));
    }

    #[test]
    fn a_good_answer_begins_it_anew() {
        let mut patience = Patience::default();
        for minute in 0..9 {
            hear(&mut patience, SignalKind::Connect, MINUTE, minute * MINUTE);
        }
        assert!(patience.failing_since().is_some() && patience.paused_since().is_some());
        hear(&mut patience, SignalKind::Ok, Duration::ZERO, 9 * MINUTE);
        assert_eq!(
            (patience.failing_since(), patience.paused_since()),
            (None, None)
        );
    }

    #[test]
    fn what_never_answered_gets_a_minute() {
        let patience = Patience::default();
        assert!(!patience.is_used_up(Time::ZERO, 10 * MINUTE, Time::from_secs_f64(59.0)));
        assert!(patience.is_used_up(Time::ZERO, 10 * MINUTE, Time::from_secs_f64(60.0)));
    }
}
