//! Did a host answer lately by another way?
//!
//! A proxy that says "connection refused" may tell of the host or of its own broken network: both write the
//! same words. The word of a proxy without a record is doubted where another way brought an answer of that
//! host a moment ago.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Party, ProxyId};
use crate::time::Time;

/// How long an answer speaks for its host: longer than the pause between two requests to a slow host, shorter
/// than most outages.
const LATELY: Duration = Duration::from_secs(2 * 60);
/// Hosts that are remembered, at most.
const HOSTS: usize = 131_072;

/// The way by which each host answered last.
#[derive(Debug, Default)]
pub(super) struct Reached {
    hosts: BTreeMap<Party, (ProxyId, Time)>,
}

impl Reached {
    /// An answer of the host came this way.
    pub(super) fn worked(&mut self, host: Party, by: ProxyId, now: Time) {
        if self.hosts.len() >= HOSTS && !self.hosts.contains_key(&host) {
            self.hosts.retain(|_, (_, at)| now.since(*at) < LATELY);
            if self.hosts.len() >= HOSTS {
                self.hosts.clear();
            }
        }
        self.hosts.insert(host, (by, now));
    }

    /// Whether the last answer of the host came lately, and not by this proxy.
    pub(super) fn is_by_another(&self, host: Party, proxy: ProxyId, now: Time) -> bool {
        self.hosts
            .get(&host)
            .is_some_and(|(by, at)| *by != proxy && now.since(*at) < LATELY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_speaks_for_its_host_for_a_while() {
        let mut reached = Reached::default();
        reached.worked(Party(1), ProxyId(0), Time::ZERO);
        let is = |host, proxy, now| reached.is_by_another(Party(host), ProxyId(proxy), now);
        assert!(is(1, 5, Time::ZERO));
        assert!(!is(1, 0, Time::ZERO), "it was this proxy");
        assert!(!is(2, 5, Time::ZERO), "it was another host");
        assert!(!is(1, 5, Time::ZERO + LATELY), "it was long ago");
    }

    #[test]
    fn memory_is_bounded() {
        let mut reached = Reached::default();
        for host in 0..2 * HOSTS as u64 {
            reached.worked(Party(host), ProxyId(0), Time::ZERO);
        }
        assert!(reached.hosts.len() <= HOSTS);
        assert!(reached.is_by_another(Party(2 * HOSTS as u64 - 1), ProxyId(1), Time::ZERO));
    }
}
