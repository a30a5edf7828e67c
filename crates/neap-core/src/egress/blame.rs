//! On whom does a failure fall, when the answer does not say who spoiled it?
//!
//! An exchange needs its proxy and its host, so it fails if either fails (noisy-OR):
//! P(fail) = 1 - (1 - a)(1 - b)(1 - c), with `a` the proxy's share of failures, `b` the host's, and `c`
//! what fails by chance. A failure is split by how likely each is to have caused it, online and without
//! keeping what was seen: the proxy gets a / P and the host b / P. Who fails with everybody soon draws the
//! blame of its own failures, and frees the others of it. (Expectation-maximisation of Pearl's noisy-OR,
//! one step an observation.) In simulations it accuses fewer healthy proxies than a count for each party
//! or a two-way logit does, `cargo run -p neap-sim -- proxies`.

use std::collections::BTreeMap;

use super::arm::Arm;
use super::{Party, ProxyId};
use crate::time::Time;

/// What fails by chance.
const CHANCE: f64 = 0.01;
/// A party with an expected share of failures above this explains the failures that it takes part in.
const BAD: f64 = 0.15;
/// The share of failures of the direct way, which is never doubted.
const DIRECT: f64 = 0.005;
/// Hosts that are remembered before those without failures are forgotten.
const REMEMBERED: usize = 16_384;

/// How a failure falls on proxy and host; what is left to 1 is chance, or both.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shares {
    /// The proxy's, 0 to 1.
    pub proxy: f64,
    /// The host's, 0 to 1.
    pub host: f64,
}

/// The statistics over all proxies and hosts of a job.
#[derive(Debug)]
pub struct Blame {
    proxies: Vec<Arm>,
    hosts: BTreeMap<Party, Arm>,
    forget_at: usize,
}

impl Default for Blame {
    fn default() -> Blame {
        Blame {
            proxies: Vec::new(),
            hosts: BTreeMap::new(),
            forget_at: REMEMBERED,
        }
    }
}

impl Blame {
    /// An exchange through `proxy` (`None` for the direct way) with `host` worked.
    pub fn worked(&mut self, proxy: Option<ProxyId>, host: Party, now: Time) {
        if let Some(proxy) = proxy {
            self.vouch(proxy, now);
        }
        let arm = self.host(host, now);
        arm.worked(now);
        if arm.is_bad() {
            arm.judge(now);
        }
    }

    /// An exchange failed, and nothing tells whether by `proxy` or by `host`.
    pub fn failed(&mut self, proxy: Option<ProxyId>, host: Party, now: Time) -> Shares {
        let shares = self.shares(proxy, host, now);
        // A failure that a bad party explains is hardly an observation of the other one.
        let weight = |rate: f64, share: f64| {
            if rate > BAD {
                1.0 - share.min(1.0)
            } else {
                1.0
            }
        };
        let of_proxy = weight(self.host_rate(host, now), shares.host);
        let of_host = weight(self.proxy_rate(proxy, now), shares.proxy);
        if let Some(proxy) = proxy {
            self.accuse(proxy, shares.proxy, of_proxy, host, now);
        }
        self.blame_host(proxy, host, shares.host, of_host, now);
        shares
    }

    /// An exchange failed by the proxy, beyond doubt: it tells nothing of the host.
    pub fn failed_by_proxy(&mut self, proxy: ProxyId, host: Party, now: Time) {
        self.accuse(proxy, 1.0, 1.0, host, now);
    }

    /// An exchange failed by the host, beyond doubt: the proxy did its part.
    pub fn failed_by_host(&mut self, proxy: Option<ProxyId>, host: Party, now: Time) {
        if let Some(proxy) = proxy {
            self.vouch(proxy, now);
        }
        self.blame_host(proxy, host, 1.0, 1.0, now);
    }

    /// An exchange failed, and `proxy` says that `host` did: it is held against the host, and nothing was seen that
    /// speaks for the proxy.
    pub fn told_of(&mut self, proxy: ProxyId, host: Party, now: Time) {
        self.blame_host(Some(proxy), host, 1.0, 1.0, now);
    }

    /// How a failure would fall on both as things stand.
    pub fn shares(&self, proxy: Option<ProxyId>, host: Party, now: Time) -> Shares {
        let a = self.proxy_rate(proxy, now);
        let b = self.host_rate(host, now);
        let failing = 1.0 - (1.0 - a) * (1.0 - b) * (1.0 - CHANCE);
        Shares {
            proxy: a / failing,
            host: b / failing,
        }
    }

    /// The expected share of failures of a proxy, or of the direct way.
    pub fn proxy_rate(&self, proxy: Option<ProxyId>, now: Time) -> f64 {
        match proxy {
            Some(proxy) => match self.proxies.get(proxy.index()) {
                Some(arm) => arm.rate(now),
                None => Arm::default().rate(now),
            },
            None => DIRECT,
        }
    }

    /// The expected share of failures of a host.
    pub fn host_rate(&self, host: Party, now: Time) -> f64 {
        match self.hosts.get(&host) {
            Some(arm) => arm.rate(now),
            None => Arm::default().rate(now),
        }
    }

    /// The probability that a proxy is not worth using, by what was seen in passing.
    pub fn doubt(&self, proxy: ProxyId, now: Time) -> f64 {
        let blank = Arm::default();
        self.proxies.get(proxy.index()).unwrap_or(&blank).doubt(now)
    }

    /// Whether a proxy is bad, beyond reasonable doubt.
    pub fn is_proxy_bad(&self, proxy: ProxyId) -> bool {
        self.proxies.get(proxy.index()).is_some_and(Arm::is_bad)
    }

    /// Whether a host is bad, beyond reasonable doubt.
    pub fn is_host_bad(&self, host: Party) -> bool {
        self.hosts.get(&host).is_some_and(Arm::is_bad)
    }

    /// Forgets what was held against a proxy, as one that was given another chance.
    pub fn forgive(&mut self, proxy: ProxyId) {
        *self.proxy(proxy) = Arm::default();
    }

    fn vouch(&mut self, proxy: ProxyId, now: Time) {
        let arm = self.proxy(proxy);
        arm.worked(now);
        if arm.is_bad() {
            arm.judge(now);
        }
    }

    fn accuse(&mut self, proxy: ProxyId, share: f64, weight: f64, host: Party, now: Time) {
        let arm = self.proxy(proxy);
        arm.failed(share, weight, host.0, now);
        arm.judge(now);
    }

    fn blame_host(
        &mut self,
        proxy: Option<ProxyId>,
        host: Party,
        share: f64,
        weight: f64,
        now: Time,
    ) {
        let arm = self.host(host, now);
        arm.failed(
            share,
            weight,
            proxy.map_or(u64::MAX, |proxy| u64::from(proxy.0)),
            now,
        );
        arm.judge(now);
    }

    fn proxy(&mut self, proxy: ProxyId) -> &mut Arm {
        if self.proxies.len() <= proxy.index() {
            self.proxies.resize_with(proxy.index() + 1, Arm::default);
        }
        &mut self.proxies[proxy.index()]
    }

    fn host(&mut self, host: Party, now: Time) -> &mut Arm {
        if self.hosts.len() >= self.forget_at {
            self.hosts.retain(|_, arm| !arm.is_blank(now));
            self.forget_at = REMEMBERED.max(2 * self.hosts.len());
        }
        self.hosts.entry(host).or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time::from_micros(1);

    #[test]
    fn who_fails_with_everybody_draws_the_blame() {
        let mut blame = Blame::default();
        for round in 0..40 {
            for proxy in 0..5 {
                let host = Party(round % 10);
                if proxy == 3 {
                    blame.failed(Some(ProxyId(3)), host, NOW);
                } else {
                    blame.worked(Some(ProxyId(proxy)), host, NOW);
                }
            }
        }
        assert!(blame.is_proxy_bad(ProxyId(3)));
        assert!((0..10).all(|host| !blame.is_host_bad(Party(host))));
        let shares = blame.shares(Some(ProxyId(3)), Party(1), NOW);
        assert!(shares.proxy > 0.9 && shares.host < 0.1, "{shares:?}");
    }

    #[test]
    fn a_host_that_fails_with_everybody_does_not_hurt_the_proxies() {
        let mut blame = Blame::default();
        for round in 0..60 {
            let proxy = Some(ProxyId(round % 5));
            blame.worked(proxy, Party(u64::from(round % 7)), NOW);
            blame.failed(proxy, Party(100), NOW);
        }
        assert!(blame.is_host_bad(Party(100)));
        assert!((0..5).all(|proxy| !blame.is_proxy_bad(ProxyId(proxy))));
    }

    #[test]
    fn what_is_beyond_doubt_touches_one_party_only() {
        let mut blame = Blame::default();
        let (proxy, host) = (ProxyId(0), Party(7));
        for n in 0..10 {
            blame.failed_by_proxy(proxy, Party(n), NOW);
        }
        assert!(blame.is_proxy_bad(proxy));
        assert!(blame.host_rate(host, NOW) < 0.051);
        for n in 0..10 {
            blame.failed_by_host(Some(ProxyId(1 + n)), host, NOW);
        }
        assert!(blame.is_host_bad(host));
        assert!(blame.proxy_rate(Some(ProxyId(1)), NOW) < 0.05);
    }

    #[test]
    fn hosts_without_failures_are_forgotten_when_there_are_many() {
        let mut blame = Blame::default();
        (0..10).for_each(|n| blame.failed_by_host(Some(ProxyId(n)), Party(5), NOW));
        for host in 100..100_000 {
            blame.worked(None, Party(host), NOW);
        }
        assert!(blame.hosts.len() <= 2 * REMEMBERED && blame.is_host_bad(Party(5)));
    }
}
