//! Is it our own network that is down?
//!
//! When exchanges with many hosts end in silence within seconds and none works, either all of them broke
//! at once or we did. A canary tells: one small request by the direct way, or whatever way there is. If
//! it fails too, everything pauses until a canary comes back, and nothing is held against anybody. Whom the
//! canary asks may itself be gone for good, so that after a while hosts are asked again in its place.

use std::collections::VecDeque;
use std::time::Duration;

use super::Party;
use crate::time::Time;

/// So many hosts fail ...
const HOSTS: usize = 5;
/// ... within this time, and nothing works.
const WITHIN: Duration = Duration::from_secs(10);
/// Bounds of the wait between canaries; it doubles in between.
const CANARIES: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(60));

/// Canaries that fail hold everything back for so long. If the network is still down, a few hosts show it again;
/// if only the one that canaries ask is, the others are not kept waiting for it.
const LONGEST: Duration = Duration::from_secs(10 * 60);

/// What is known of our own network.
#[derive(Debug, Default)]
pub struct Network {
    /// The last hosts that failed in silence, each once.
    failed: VecDeque<(Party, Time)>,
    standing: Standing,
    /// No canary before.
    not_before: Time,
}

/// How it stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Standing {
    /// Nothing is wrong with it, as far as is known.
    #[default]
    Fine,
    /// It may be down; a canary is to tell.
    Doubtful {
        /// Whether it is out.
        is_asked: bool,
    },
    /// It is down.
    Down {
        /// When that was found.
        since: Time,
        /// When the next canary goes.
        next: Time,
        /// The wait before it.
        wait: Duration,
    },
}

impl Network {
    /// How it stands.
    pub fn standing(&self) -> Standing {
        self.standing
    }

    /// Something came back from somewhere: it works.
    pub fn worked(&mut self) {
        self.failed.clear();
        self.standing = Standing::Fine;
    }

    /// An exchange with a host ended in silence: no name, no connection, no byte.
    pub fn failed(&mut self, host: Party, now: Time) {
        self.failed
            .retain(|(other, at)| *other != host && now.since(*at) < WITHIN);
        self.failed.push_back((host, now));
        if self.failed.len() > HOSTS {
            self.failed.pop_front();
        }
        if self.standing == Standing::Fine && self.failed.len() >= HOSTS {
            self.standing = Standing::Doubtful { is_asked: false };
        }
    }

    /// Whether a canary is to be sent now; says so once.
    pub fn poll_canary(&mut self, now: Time) -> bool {
        match &mut self.standing {
            Standing::Fine => false,
            Standing::Doubtful { is_asked } => {
                let is_due = !*is_asked && self.not_before <= now;
                if is_due {
                    *is_asked = true;
                    self.not_before = now + CANARIES.0;
                }
                is_due
            }
            Standing::Down { next, wait, .. } => {
                let is_due = *next <= now;
                if is_due {
                    *wait = (*wait * 2).min(CANARIES.1);
                    *next = now + *wait;
                }
                is_due
            }
        }
    }

    /// What came of a canary.
    pub fn handle_canary(&mut self, worked: bool, now: Time) {
        if worked {
            self.worked();
            return;
        }
        match self.standing {
            Standing::Doubtful { .. } => {
                let wait = CANARIES.0;
                self.standing = Standing::Down {
                    since: now,
                    next: now + wait,
                    wait,
                };
            }
            // Hosts are to show once more whether it is.
            Standing::Down { since, .. } if now.since(since) >= LONGEST => self.worked(),
            Standing::Fine | Standing::Down { .. } => {}
        }
    }

    /// Whether nothing is wrong with it, as far as is known.
    pub fn is_fine(&self) -> bool {
        self.standing == Standing::Fine
    }

    /// Until when nothing may go out, at least; `None` while it works.
    pub fn held_until(&self) -> Option<Time> {
        match self.standing {
            Standing::Down { next, .. } => Some(next),
            Standing::Fine | Standing::Doubtful { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(n: u64) -> Time {
        Time::ZERO + Duration::from_secs(n)
    }

    #[test]
    fn many_silent_hosts_at_once_ask_for_a_canary() {
        let mut network = Network::default();
        for host in 0..4 {
            network.failed(Party(host), second(host));
            network.failed(Party(host), second(host));
        }
        assert!(!network.poll_canary(second(4)));
        network.failed(Party(9), second(4));
        assert!(network.poll_canary(second(4)));
        assert!(!network.poll_canary(second(4)), "one is out");
        assert_eq!(network.held_until(), None);
        network.handle_canary(true, second(5));
        assert_eq!(network.standing(), Standing::Fine);
    }

    #[test]
    fn failures_that_are_far_apart_or_between_successes_are_the_hosts() {
        let mut network = Network::default();
        (0..20).for_each(|n| network.failed(Party(n), second(3 * n)));
        assert_eq!(network.standing(), Standing::Fine);
        for n in 0..20 {
            network.failed(Party(n), second(60));
            if n % 4 == 3 {
                network.worked();
            }
        }
        assert_eq!(network.standing(), Standing::Fine);
    }

    #[test]
    fn everything_pauses_until_a_canary_comes_back() {
        let mut network = Network::default();
        (0..5).for_each(|n| network.failed(Party(n), second(0)));
        assert!(network.poll_canary(second(0)));
        network.handle_canary(false, second(1));
        assert_eq!(network.held_until(), Some(second(3)));
        assert!(!network.poll_canary(second(2)));
        assert!(network.poll_canary(second(3)));
        network.handle_canary(false, second(4));
        assert_eq!(network.held_until(), Some(second(7)));
        assert!(network.poll_canary(second(7)));
        network.handle_canary(true, second(8));
        assert_eq!(network.held_until(), None);
    }

    #[test]
    fn canaries_that_never_come_back_hold_hosts_up_for_minutes_only() {
        let mut network = Network::default();
        let mut now = Time::ZERO;
        for _ in 0..3 {
            (0..5).for_each(|n| network.failed(Party(n), now));
            let since = now;
            assert!(network.poll_canary(now));
            network.handle_canary(false, now);
            while let Some(next) = network.held_until() {
                now = next;
                assert!(network.poll_canary(now));
                network.handle_canary(false, now);
            }
            let held = now.since(since);
            assert!(held >= LONGEST && held <= LONGEST + CANARIES.1, "{held:?}");
        }
    }
}
