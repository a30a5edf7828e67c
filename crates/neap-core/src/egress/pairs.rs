//! Does one host refuse one proxy, while both are fine with all others?
//!
//! A host that bans an exit fails nearly everything that comes through it. Then neither is bad, and
//! the two are kept apart for a while.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Party, ProxyId};
use crate::time::Time;

/// How long the two are kept apart.
const APART: Duration = Duration::from_secs(30 * 60);
/// Of so many last exchanges ...
const LAST: u32 = 5;
/// ... so many failed.
const FAILED: u32 = 4;
/// The last two failed.
const TWICE: u8 = 0b11;
/// Parties whose share of failures is below this do well with others.
const DOES_WELL: f64 = 0.15;
/// Pairs that are kept, at most; only those with failures are.
const MOST: usize = 16_384;

/// The pairs of a proxy and a host with failures between them.
#[derive(Debug, Default)]
pub struct Pairs {
    pairs: BTreeMap<(ProxyId, Party), Pair>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Pair {
    /// The last exchanges, the newest in the lowest bit, 1 for one that failed.
    last: u8,
    apart_until: Time,
}

impl Pairs {
    /// An exchange between the two worked.
    pub fn worked(&mut self, proxy: ProxyId, host: Party) {
        if let Some(pair) = self.pairs.get_mut(&(proxy, host)) {
            pair.last = pair.last << 1 & mask();
            if pair.last == 0 {
                self.pairs.remove(&(proxy, host));
            }
        }
    }

    /// An exchange between the two failed, and not by the fault of one of them for sure. `rates` are their
    /// shares of failures. Says whether they are kept apart from now on.
    pub fn failed(&mut self, proxy: ProxyId, host: Party, rates: (f64, f64), now: Time) -> bool {
        if self.pairs.len() >= MOST {
            self.forget(now);
        }
        let pair = self.pairs.entry((proxy, host)).or_default();
        pair.last = (pair.last << 1 | 1) & mask();
        let fails = pair.last.count_ones() >= FAILED;
        if fails && rates.0 < DOES_WELL && rates.1 < DOES_WELL {
            pair.last = 0;
            pair.apart_until = now + APART;
        }
        pair.apart_until > now
    }

    /// The host refuses this proxy in so many words: keeps the two apart if nothing worked between them since it
    /// last did so. One page behind a wall is no ban.
    pub fn refused(&mut self, proxy: ProxyId, host: Party, now: Time) {
        if self.pairs.len() >= MOST {
            self.forget(now);
        }
        let pair = self.pairs.entry((proxy, host)).or_default();
        pair.last = (pair.last << 1 | 1) & mask();
        if pair.last & TWICE == TWICE {
            pair.apart_until = now + APART;
        }
    }

    /// Until when the two are kept apart, if they are.
    pub fn apart_until(&self, proxy: ProxyId, host: Party, now: Time) -> Option<Time> {
        let pair = self.pairs.get(&(proxy, host))?;
        (pair.apart_until > now).then_some(pair.apart_until)
    }

    fn forget(&mut self, now: Time) {
        self.pairs.retain(|_, pair| pair.apart_until > now);
        if self.pairs.len() >= MOST {
            self.pairs.clear();
        }
    }
}

const fn mask() -> u8 {
    (1 << LAST) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAIR: (ProxyId, Party) = (ProxyId(1), Party(9));

    #[test]
    fn a_pair_that_fails_is_kept_apart_for_half_an_hour() {
        let mut pairs = Pairs::default();
        let low = (0.02, 0.03);
        for _ in 0..2 {
            assert!(!pairs.failed(PAIR.0, PAIR.1, low, Time::ZERO));
        }
        pairs.worked(PAIR.0, PAIR.1);
        assert!(!pairs.failed(PAIR.0, PAIR.1, low, Time::ZERO));
        assert!(pairs.failed(PAIR.0, PAIR.1, low, Time::ZERO));
        let just_before = Time::ZERO + APART - Duration::from_secs(1);
        assert!(pairs.apart_until(PAIR.0, PAIR.1, just_before).is_some());
        assert!(
            pairs
                .apart_until(PAIR.0, PAIR.1, Time::ZERO + APART)
                .is_none()
        );
    }

    #[test]
    fn a_host_that_refuses_a_proxy_twice_in_a_row_is_kept_apart_from_it() {
        let mut pairs = Pairs::default();
        let is_apart = |pairs: &Pairs| pairs.apart_until(PAIR.0, PAIR.1, Time::ZERO).is_some();
        for _ in 0..9 {
            pairs.refused(PAIR.0, PAIR.1, Time::ZERO);
            assert!(!is_apart(&pairs), "one page behind a wall");
            pairs.worked(PAIR.0, PAIR.1);
        }
        pairs.refused(PAIR.0, PAIR.1, Time::ZERO);
        pairs.refused(PAIR.0, PAIR.1, Time::ZERO);
        assert!(is_apart(&pairs));
    }

    #[test]
    fn a_party_that_fails_elsewhere_is_no_matter_of_the_pair() {
        let mut pairs = Pairs::default();
        for rates in [(0.4, 0.01), (0.01, 0.4)] {
            assert!(!(0..9).any(|_| pairs.failed(PAIR.0, PAIR.1, rates, Time::ZERO)));
        }
    }

    #[test]
    fn pairs_that_work_take_no_memory() {
        let mut pairs = Pairs::default();
        pairs.failed(PAIR.0, PAIR.1, (0.0, 0.0), Time::ZERO);
        (0..LAST).for_each(|_| pairs.worked(PAIR.0, PAIR.1));
        assert!(pairs.pairs.is_empty());
        for host in 0..100_000 {
            pairs.failed(PAIR.0, Party(host), (0.0, 0.0), Time::ZERO);
        }
        assert!(pairs.pairs.len() <= MOST);
    }
}
