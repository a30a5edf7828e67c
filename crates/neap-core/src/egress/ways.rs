//! Which pool works for a host, and what has a request tried?
//!
//! A request that failed by one proxy goes by another one next, and after some more by the next pool.
//! Where that helps, the host's other requests begin there, for half an hour after it last did.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::{Party, ProxyId};
use crate::ids::RequestId;
use crate::time::Time;

/// How long it is remembered which pool works for a host.
const REMEMBERED: Duration = Duration::from_secs(30 * 60);
/// A session ends when its host is not asked for so long.
const SESSION: Duration = Duration::from_secs(10 * 60);
/// Requests whose tries are remembered; the oldest are forgotten.
const REQUESTS: usize = 65_536;
/// Hosts of which something is remembered, at most.
const HOSTS: usize = 131_072;
/// Proxies of a request that are remembered, the last ones.
const TRIED: usize = 8;

/// What is remembered of the ways of hosts and requests.
#[derive(Debug, Default)]
pub(super) struct Ways {
    hosts: BTreeMap<Party, HostWay>,
    requests: BTreeMap<RequestId, Tried>,
    order: VecDeque<RequestId>,
}

#[derive(Debug, Clone, Copy, Default)]
struct HostWay {
    /// Pools that are passed over.
    level: usize,
    /// The proxy of its session.
    session: Option<ProxyId>,
    used: Time,
}

/// What a request has tried.
#[derive(Debug, Clone, Default)]
pub(super) struct Tried {
    /// Its own level.
    pub(super) level: usize,
    /// Failures since it came to that level.
    pub(super) failures: u32,
    /// The proxies that are not taken again as long as there are others.
    pub(super) avoid: Vec<ProxyId>,
}

impl Ways {
    /// The level that a host begins at.
    pub(super) fn level(&self, host: Party, now: Time) -> usize {
        let way = self.hosts.get(&host);
        way.filter(|way| now.since(way.used) < REMEMBERED)
            .map_or(0, |way| way.level)
    }

    /// The proxy of a host's session.
    pub(super) fn session(&self, host: Party, now: Time) -> Option<ProxyId> {
        let way = self.hosts.get(&host)?;
        way.session.filter(|_| now.since(way.used) < SESSION)
    }

    /// A host's session is with this proxy from now on, or it has none.
    pub(super) fn set_session(&mut self, host: Party, proxy: Option<ProxyId>, now: Time) {
        let way = self.host(host, now);
        way.session = proxy;
        way.used = now;
    }

    /// A request to a host worked at this level.
    pub(super) fn worked(&mut self, host: Party, level: usize, now: Time) {
        if level == 0 && !self.hosts.contains_key(&host) {
            return;
        }
        let way = self.host(host, now);
        // A session may have been kept alive while the level was left.
        way.level = level;
        way.used = now;
    }

    /// What a request has tried.
    pub(super) fn tried(&self, request: RequestId) -> Option<&Tried> {
        self.requests.get(&request)
    }

    /// A request failed by this proxy. `is_proxys` says that it was the proxy's own failure, which is no
    /// reason to try a better pool; `swap_after` is the number of failures after which a request leaves a
    /// proxy, and after so many more a pool. `levels` is the number of pools in a row.
    pub(super) fn failed(
        &mut self,
        request: RequestId,
        proxy: ProxyId,
        level: usize,
        is_proxys: bool,
        swap_after: u32,
        levels: usize,
    ) {
        let tried = self.request(request);
        if tried.level < level {
            *tried = Tried {
                level,
                ..Tried::default()
            };
        }
        if !is_proxys {
            tried.failures += 1;
        }
        let swaps = is_proxys || tried.failures >= swap_after;
        if swaps && !tried.avoid.contains(&proxy) {
            if tried.avoid.len() == TRIED {
                tried.avoid.remove(0);
            }
            tried.avoid.push(proxy);
        }
        if tried.failures >= 2 * swap_after && tried.level + 1 < levels {
            *tried = Tried {
                level: tried.level + 1,
                ..Tried::default()
            };
        }
    }

    /// A request is over.
    pub(super) fn forget(&mut self, request: RequestId) {
        self.requests.remove(&request);
    }

    fn request(&mut self, request: RequestId) -> &mut Tried {
        if !self.requests.contains_key(&request) {
            while self.order.len() >= REQUESTS {
                if let Some(oldest) = self.order.pop_front() {
                    self.requests.remove(&oldest);
                }
            }
            self.order.push_back(request);
        }
        self.requests.entry(request).or_default()
    }

    fn host(&mut self, host: Party, now: Time) -> &mut HostWay {
        if self.hosts.len() >= HOSTS && !self.hosts.contains_key(&host) {
            self.hosts.retain(|_, way| now.since(way.used) < SESSION);
            if self.hosts.len() >= HOSTS {
                self.hosts.clear();
            }
        }
        self.hosts.entry(host).or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: RequestId = RequestId(1);

    #[test]
    fn a_request_leaves_its_proxy_and_then_its_pool() {
        let mut ways = Ways::default();
        let fail = |ways: &mut Ways, proxy| {
            let level = ways.tried(REQUEST).map_or(0, |tried| tried.level);
            ways.failed(REQUEST, ProxyId(proxy), level, false, 2, 2);
            let tried = ways.tried(REQUEST).unwrap();
            (tried.level, tried.avoid.len())
        };
        assert_eq!(fail(&mut ways, 0), (0, 0));
        assert_eq!(fail(&mut ways, 0), (0, 1));
        assert_eq!(fail(&mut ways, 1), (0, 2));
        assert_eq!(fail(&mut ways, 1), (1, 0));
        assert_eq!(
            (0..9).map(|_| fail(&mut ways, 5).0).max(),
            Some(1),
            "there is no further pool"
        );
    }

    #[test]
    fn a_proxys_own_failure_moves_to_another_proxy_and_no_other_pool() {
        let mut ways = Ways::default();
        for proxy in 0..20 {
            ways.failed(REQUEST, ProxyId(proxy), 0, true, 2, 2);
        }
        let tried = ways.tried(REQUEST).unwrap();
        assert_eq!((tried.level, tried.avoid.len()), (0, TRIED));
    }

    #[test]
    fn a_host_remembers_which_pool_works() {
        let mut ways = Ways::default();
        let host = Party(1);
        ways.worked(host, 0, Time::ZERO);
        assert!(ways.hosts.is_empty());
        ways.worked(host, 1, Time::ZERO);
        assert_eq!(ways.level(host, Time::ZERO), 1);
        assert_eq!(ways.level(host, Time::ZERO + REMEMBERED), 0);
    }

    #[test]
    fn memory_is_bounded() {
        let mut ways = Ways::default();
        for n in 0..200_000 {
            ways.failed(RequestId(n), ProxyId(0), 0, false, 1, 1);
            ways.forget(RequestId(n - 5));
            ways.worked(Party(n as u64), 1, Time::ZERO);
        }
        assert!(ways.requests.len() <= REQUESTS && ways.order.len() <= REQUESTS);
        assert!(ways.hosts.len() <= HOSTS);
    }
}
