//! Which of the proxies of one pool is next?

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use rand::{Rng, RngCore};
use serde::{Deserialize, Serialize};

use super::proxy::Proxy;
use super::{Party, ProxyId};

/// How a pool is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolSettings {
    /// Its name in the job file.
    pub name: Arc<str>,
    /// How the next proxy is taken.
    pub select: Select,
    /// What stays with one proxy.
    pub sticky: Sticky,
    /// Requests in flight through one proxy, at most; 1 to 1,024.
    pub max_per_proxy: u32,
    /// The pool to go on with when this one does not help, by its place in the list.
    pub fallback: Option<usize>,
}

/// How the next proxy is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Select {
    /// One after the other.
    #[default]
    RoundRobin,
    /// Any.
    Random,
    /// The one with the fewest requests in flight.
    LeastLoaded,
}

/// What stays with one proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sticky {
    /// Nothing.
    #[default]
    None,
    /// A host: always the same one while it is used, in later runs too.
    Host,
    /// A session with a host: one that is taken for its first request and kept until it fails the host,
    /// or the host is not asked for ten minutes.
    Session,
}

/// One member of a pool, as the job file or a list has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its name: `host:port`, or `direct`; no credentials.
    pub name: Arc<str>,
    /// Whether it is the direct way.
    pub is_direct: bool,
    /// A hash of all that it is: its scheme, address and credentials.
    pub mark: u64,
}

/// A pool while it is used.
#[derive(Debug)]
pub(super) struct Pool {
    pub(super) settings: PoolSettings,
    /// In the order of their numbers.
    pub(super) members: Vec<ProxyId>,
    /// Wrong credentials stopped it.
    pub(super) is_stopped: bool,
    /// Refusals of our credentials since it last worked.
    pub(super) refusals: u32,
    /// Behind the member that was taken last.
    cursor: usize,
}

impl Pool {
    pub(super) fn new(settings: PoolSettings) -> Pool {
        Pool {
            settings,
            members: Vec::new(),
            is_stopped: false,
            refusals: 0,
            cursor: 0,
        }
    }

    /// Takes one of `open`, which are in the order of the members and not empty.
    pub(super) fn take(
        &mut self,
        open: &[ProxyId],
        proxies: &[Proxy],
        dice: &mut dyn RngCore,
    ) -> ProxyId {
        let taken = match self.settings.select {
            Select::Random => open[dice.random_range(0..open.len())],
            Select::RoundRobin => self.next_of(open.iter().copied()),
            Select::LeastLoaded => {
                let load = |id: &ProxyId| proxies[id.index()].in_flight;
                let least = open.iter().map(load).min().unwrap_or(0);
                self.next_of(open.iter().copied().filter(|id| load(id) == least))
            }
        };
        self.cursor = taken.index() + 1;
        taken
    }

    /// The first from the cursor on, or the first of all.
    fn next_of(&self, open: impl Iterator<Item = ProxyId>) -> ProxyId {
        let mut first = None;
        for id in open {
            if id.index() >= self.cursor {
                return id;
            }
            first = first.or(Some(id));
        }
        first.expect("only asked with a proxy that is open")
    }
}

/// The proxy that a host stays with: the one with the highest hash of both, so that the hosts of one that
/// is left out spread over all others, and come back with it (rendezvous hashing, Thaler and Ravishankar
/// 1998). By its mark, since all users of a provider's gateway have one name.
pub(super) fn home(usable: &[ProxyId], proxies: &[Proxy], host: Party) -> Option<ProxyId> {
    usable.iter().copied().max_by_key(|id| {
        let mut hasher = DefaultHasher::new();
        (host, proxies[id.index()].mark).hash(&mut hasher);
        hasher.finish()
    })
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    use super::*;
    use crate::time::Time;

    fn world(select: Select) -> (Pool, Vec<Proxy>, SmallRng) {
        let pool = Pool::new(PoolSettings {
            name: "p".into(),
            select,
            sticky: Sticky::None,
            max_per_proxy: 8,
            fallback: None,
        });
        let proxy = |n: u64| Proxy::new(format!("p{n}:1").into(), 0, false, n, 8, Time::ZERO);
        (
            pool,
            (0..5).map(proxy).collect(),
            SmallRng::seed_from_u64(1),
        )
    }

    fn taken(select: Select, open: &[u32], loads: &[u32], times: usize) -> Vec<u32> {
        let (mut pool, mut proxies, mut dice) = world(select);
        for (proxy, load) in proxies.iter_mut().zip(loads) {
            proxy.in_flight = *load;
        }
        let open: Vec<ProxyId> = open.iter().copied().map(ProxyId).collect();
        let take = |_| pool.take(&open, &proxies, &mut dice).0;
        (0..times).map(take).collect()
    }

    #[test]
    fn round_robin_skips_those_that_are_full() {
        assert_eq!(
            taken(Select::RoundRobin, &[0, 2, 3], &[], 5),
            [0, 2, 3, 0, 2]
        );
    }

    #[test]
    fn the_least_loaded_take_turns() {
        let found = taken(Select::LeastLoaded, &[0, 1, 2, 4], &[3, 1, 1, 0, 1], 4);
        assert_eq!(found, [1, 2, 4, 1]);
    }

    #[test]
    fn random_takes_all() {
        let found = taken(Select::Random, &[1, 2, 4], &[], 300);
        for proxy in [1, 2, 4] {
            let times = found.iter().filter(|taken| **taken == proxy).count();
            assert!((70..130).contains(&times), "{proxy}: {times}");
        }
    }

    #[test]
    fn hosts_of_a_lost_proxy_spread_and_the_others_stay() {
        let (_, proxies, _) = world(Select::Random);
        let all: Vec<ProxyId> = (0..5).map(ProxyId).collect();
        let without: Vec<ProxyId> = all[1..].to_vec();
        let mut moved_to = [0; 5];
        for host in (0..1000).map(Party) {
            let before = home(&all, &proxies, host).unwrap();
            let after = home(&without, &proxies, host).unwrap();
            if before == ProxyId(0) {
                moved_to[after.index()] += 1;
            } else {
                assert_eq!(before, after);
            }
        }
        assert!(
            moved_to[1..].iter().all(|n| (20..90).contains(n)),
            "{moved_to:?}"
        );
    }

    #[test]
    fn hosts_spread_over_the_users_of_one_address() {
        let user = |mark| Proxy::new("gateway:1".into(), 0, false, mark, 8, Time::ZERO);
        let proxies: Vec<Proxy> = (0..5).map(user).collect();
        let all: Vec<ProxyId> = (0..5).map(ProxyId).collect();
        let mut hosts = [0; 5];
        for host in (0..1000).map(Party) {
            hosts[home(&all, &proxies, host).unwrap().index()] += 1;
        }
        assert!(hosts.iter().all(|n| (130..270).contains(n)), "{hosts:?}");
    }
}
