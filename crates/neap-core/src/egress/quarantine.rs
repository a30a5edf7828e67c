//! When is a proxy that turned out bad tried again?
//!
//! ```text
//!   free ──found bad──► out for 1 min ──over──► one request tries it ──worked──► free
//!                        ▲    2, 4 .. 60 min             │
//!                        └───────────── failed ──────────┘
//! ```
//!
//! The next absence is twice as long, an hour at most; a proxy that did well for as long as it was away
//! last begins anew.

use std::time::Duration;

use crate::time::Time;

/// The first absence.
const FIRST: Duration = Duration::from_secs(60);
/// The longest.
const LONGEST: Duration = Duration::from_secs(60 * 60);

/// Whether one proxy is left out.
#[derive(Debug, Clone, Copy, Default)]
pub struct Quarantine {
    stage: Stage,
    /// How long the last absence was; nothing if there was none.
    last: Duration,
    /// When the last absence ended.
    back_since: Time,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Free,
    Out {
        until: Time,
    },
    /// One request is out to see if it works again.
    Trying,
}

/// What may go through a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Everything.
    Free,
    /// One request, to see if it works again.
    OneTry,
    /// Nothing until then.
    Until(Time),
    /// Nothing until the one request that tries it is back.
    Trying,
}

impl Quarantine {
    /// What may go through now.
    pub fn access(&self, now: Time) -> Access {
        match self.stage {
            Stage::Free => Access::Free,
            Stage::Out { until } if until <= now => Access::OneTry,
            Stage::Out { until } => Access::Until(until),
            Stage::Trying => Access::Trying,
        }
    }

    /// When the proxy may be tried again, while it is left out; `None` while it is used.
    pub fn until(&self) -> Option<Time> {
        match self.stage {
            Stage::Out { until } => Some(until),
            Stage::Free | Stage::Trying => None,
        }
    }

    /// Leaves the proxy out, twice as long as the last time.
    pub fn leave_out(&mut self, now: Time) {
        let was_good_long = self.stage == Stage::Free && now.since(self.back_since) >= self.last;
        self.last = if self.last.is_zero() || was_good_long {
            FIRST
        } else {
            (self.last * 2).min(LONGEST)
        };
        self.stage = Stage::Out {
            until: now + self.last,
        };
    }

    /// The one request that tries it goes out.
    pub fn start_try(&mut self) {
        self.stage = Stage::Trying;
    }

    /// The one request that tried it is back: it worked, failed, or told nothing (`None`).
    pub fn tried(&mut self, worked: Option<bool>, now: Time) {
        match worked {
            Some(true) => {
                self.stage = Stage::Free;
                self.back_since = now;
            }
            Some(false) => self.leave_out(now),
            None => self.stage = Stage::Out { until: now },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minutes(n: u64) -> Duration {
        Duration::from_secs(60 * n)
    }

    #[test]
    fn each_absence_is_twice_as_long_up_to_an_hour() {
        let mut quarantine = Quarantine::default();
        let mut now = Time::ZERO;
        quarantine.leave_out(now);
        for wait in [1, 2, 4, 8, 16, 32, 60, 60] {
            let end = now + minutes(wait);
            assert_eq!(quarantine.access(now), Access::Until(end));
            now = end;
            assert_eq!(quarantine.access(now), Access::OneTry);
            quarantine.start_try();
            assert_eq!(quarantine.access(now), Access::Trying);
            quarantine.tried(Some(false), now);
        }
    }

    #[test]
    fn one_success_brings_it_back_and_a_good_time_begins_anew() {
        let mut quarantine = Quarantine::default();
        quarantine.leave_out(Time::ZERO);
        let now = Time::ZERO + minutes(1);
        quarantine.start_try();
        quarantine.tried(Some(true), now);
        assert_eq!(quarantine.access(now), Access::Free);
        let mut soon = quarantine;
        soon.leave_out(now + Duration::from_secs(5));
        assert_eq!(soon.last, minutes(2));
        quarantine.leave_out(now + minutes(1));
        assert_eq!(quarantine.last, minutes(1));
    }

    #[test]
    fn a_try_that_tells_nothing_is_made_again() {
        let mut quarantine = Quarantine::default();
        quarantine.leave_out(Time::ZERO);
        let now = Time::ZERO + minutes(1);
        quarantine.start_try();
        quarantine.tried(None, now);
        assert_eq!(quarantine.access(now), Access::OneTry);
    }
}
