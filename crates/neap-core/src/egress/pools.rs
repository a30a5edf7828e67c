//! Which proxy does a request take, and what is learned from what came of it?
//!
//! [`Pools::gate`] says whether there is a way out now, [`Pools::start`] takes one, and [`Pools::report`]
//! learns what came of it and says who is charged for it. Pools are tried in order; one in which all proxies
//! are left out gives way to the next at once.

mod learn;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use rand::RngCore;

use super::blame::Blame;
use super::pairs::Pairs;
use super::pool::{Member, Pool, PoolSettings, Sticky, home};
use super::probe::{Canary, Prober, SUSPECT};
use super::proxy::{Permit, Proxy, ProxyView, Why};
use super::reached::Reached;
use super::ways::Ways;
use super::{Party, ProxyId};
use crate::canonical::CanonicalUrl;
use crate::ids::{HostId, RequestId};
use crate::limiter::Gate;
use crate::time::Time;

pub use learn::{Charge, Seen};

/// Events that wait to be taken; further ones are lost.
const MOST_EVENTS: usize = 1_000;

/// Who asks for a way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ask {
    /// The host that is to be reached.
    pub host: HostId,
    /// Whom its failures count for.
    pub party: Party,
    /// The request; `None` for what is no request of a job, such as a robots file.
    pub request: Option<RequestId>,
}

/// Whether there is a way out now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pass {
    /// Yes.
    Open,
    /// No, until a request that is in flight ends.
    Full,
    /// No, until then, or until a request that is in flight ends.
    Until(Time),
    /// No, and none will come by itself: every pool is stopped or empty.
    Never,
}

/// The right to send one request by one way. Given back by [`Pools::report`].
#[derive(Debug, PartialEq, Eq)]
pub struct Ticket {
    /// The proxy, or the direct way as a member.
    pub proxy: ProxyId,
    ask: Ask,
    level: usize,
    permit: Permit,
}

/// A request to be sent only to find out about a proxy. Given back by [`Pools::report_probe`].
#[derive(Debug, PartialEq, Eq)]
pub struct Probe {
    /// The way by which it goes.
    pub ticket: Ticket,
    /// The host that it goes to.
    pub host: HostId,
    /// The page.
    pub url: CanonicalUrl,
}

/// What people should hear of.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A proxy is left out.
    LeftOut {
        /// Which.
        proxy: Arc<str>,
        /// Its pool.
        pool: Arc<str>,
        /// Until when.
        until: Time,
        /// And why.
        why: Why,
    },
    /// A proxy that was left out is used again.
    Back {
        /// Which.
        proxy: Arc<str>,
        /// Its pool.
        pool: Arc<str>,
    },
    /// A pool is stopped: a proxy of it refused our credentials.
    Stopped {
        /// Which.
        pool: Arc<str>,
        /// The proxy that said so.
        proxy: Arc<str>,
    },
    /// A host refuses a proxy that is fine with others; the two are kept apart.
    Apart {
        /// The proxy.
        proxy: Arc<str>,
        /// The host.
        host: HostId,
    },
}

/// The pools of one job.
#[derive(Debug)]
pub struct Pools {
    pools: Vec<Pool>,
    /// The pools that are used, in order.
    chain: Vec<usize>,
    proxies: Vec<Proxy>,
    /// Failures of a request after which it leaves a proxy.
    swap_after: u32,
    ways: Ways,
    /// Where in the chain requests to some hosts begin.
    begins: HashMap<HostId, usize>,
    reached: Reached,
    blame: Blame,
    pairs: Pairs,
    prober: Prober,
    /// Proxies about which asking may tell something.
    suspects: BTreeSet<ProxyId>,
    events: Vec<Event>,
}

impl Pools {
    /// Pools without members. The first is where requests begin; `swap_after` is the number of failures
    /// after which a request leaves a proxy, 1 and up.
    pub fn new(settings: Vec<PoolSettings>, swap_after: u32) -> Pools {
        let pools: Vec<Pool> = settings.into_iter().map(Pool::new).collect();
        let mut chain = Vec::new();
        let mut next = (!pools.is_empty()).then_some(0);
        while let Some(pool) = next.filter(|pool| *pool < pools.len() && !chain.contains(pool)) {
            chain.push(pool);
            next = pools[pool].settings.fallback;
        }
        Pools {
            pools,
            chain,
            proxies: Vec::new(),
            swap_after: swap_after.max(1),
            ways: Ways::default(),
            begins: HashMap::new(),
            reached: Reached::default(),
            blame: Blame::default(),
            pairs: Pairs::default(),
            prober: Prober::default(),
            suspects: BTreeSet::new(),
            events: Vec::new(),
        }
    }

    /// Gives a pool its members. Those that it has or had already stay as they are, others go as soon as what is
    /// in flight is back; a pool that wrong credentials stopped goes on if anything changed. Returns the
    /// members' numbers, in order; a member that is listed twice has one.
    pub fn set_members(&mut self, pool: usize, members: &[Member], now: Time) -> Vec<ProxyId> {
        let ceiling = self.pools[pool].settings.max_per_proxy;
        let known = self.proxies.iter().zip(0..);
        let known = known.filter(|(proxy, _)| proxy.pool == pool);
        let mut ids: Vec<ProxyId> = Vec::with_capacity(members.len());
        let mut by_mark: std::collections::BTreeMap<u64, ProxyId> = known
            .map(|(proxy, number)| (proxy.mark, ProxyId(number)))
            .collect();
        for member in members {
            let id = *by_mark.entry(member.mark).or_insert_with(|| {
                let id = ProxyId(self.proxies.len() as u32);
                let name = member.name.clone();
                let is_direct = member.is_direct;
                self.proxies
                    .push(Proxy::new(name, pool, is_direct, member.mark, ceiling, now));
                id
            });
            ids.push(id);
        }
        let mut listed = ids.clone();
        listed.sort();
        listed.dedup();
        let pool = &mut self.pools[pool];
        if pool.members != listed {
            pool.members = listed;
            pool.is_stopped = false;
            pool.refusals = 0;
        }
        ids
    }

    /// Requests to a host begin with the pool of this name, if it is used, or with the first one again. Where that
    /// pool and those behind it do not help, they go on with those before it.
    pub fn begin_with(&mut self, host: HostId, pool: Option<&str>) {
        let place = |name: &str| {
            let is_it = |pool: &usize| &*self.pools[*pool].settings.name == name;
            self.chain.iter().position(is_it)
        };
        match pool.and_then(place) {
            Some(level) => self.begins.insert(host, level),
            None => self.begins.remove(&host),
        };
    }

    /// Whether there is a way out.
    pub fn gate(&self, ask: &Ask, now: Time) -> Pass {
        match self.find(ask, now) {
            Ok(_) => Pass::Open,
            Err(pass) => pass,
        }
    }

    /// Takes a way out; `None` unless [`Pools::gate`] says [`Pass::Open`].
    pub fn start(&mut self, ask: &Ask, now: Time, dice: &mut dyn RngCore) -> Option<Ticket> {
        let (level, open) = self.find(ask, now).ok()?;
        let pool = &mut self.pools[self.chain[level]];
        let proxy = pool.take(&open, &self.proxies, dice);
        if pool.settings.sticky == Sticky::Session {
            self.ways.set_session(ask.party, Some(proxy), now);
        }
        let permit = self.proxies[proxy.index()].start(now);
        Some(Ticket {
            proxy,
            ask: *ask,
            level,
            permit,
        })
    }

    /// A request to send now to find out about a proxy. `may_ask` says whether a host takes one; the host for
    /// which it first says so is asked.
    pub fn poll_probe(
        &mut self,
        now: Time,
        mut may_ask: impl FnMut(HostId) -> bool,
    ) -> Option<Probe> {
        for (proxy, _) in self.suspects_by_odds(now) {
            if self.proxies[proxy.index()].gate(now) != Gate::Open {
                continue;
            }
            if let Some(canary) = self.prober.poll(proxy, &self.blame, now, &mut may_ask) {
                return Some(self.probe(proxy, canary, now));
            }
        }
        None
    }

    /// Those that are worth a canary, the most suspect first: there are few canaries. Others are no suspects any more.
    fn suspects_by_odds(&mut self, now: Time) -> Vec<(ProxyId, f64)> {
        let odds = |proxy: ProxyId| self.prober.odds(proxy, &self.blame, now);
        let is_used = |proxy: ProxyId| {
            self.is_member(proxy) && self.proxies[proxy.index()].quarantine.until().is_none()
        };
        let mut suspects: Vec<(ProxyId, f64)> = self
            .suspects
            .iter()
            .filter(|proxy| is_used(**proxy))
            .map(|proxy| (*proxy, odds(*proxy)))
            .filter(|(_, odds)| *odds >= SUSPECT)
            .collect();
        self.suspects = suspects.iter().map(|(proxy, _)| *proxy).collect();
        suspects.sort_by(|(_, one), (_, other)| other.total_cmp(one));
        suspects
    }

    /// The statistics.
    pub fn blame(&self) -> &Blame {
        &self.blame
    }

    /// Whether every pool is stopped or has no members, so that nothing can go out any more.
    pub fn are_all_stopped(&self) -> bool {
        let is_dead = |pool: &usize| {
            let pool = &self.pools[*pool];
            pool.is_stopped || pool.members.is_empty()
        };
        self.chain.iter().all(is_dead)
    }

    /// Until when no proxy is used at all, if all of them are left out.
    pub fn none_until(&self, now: Time) -> Option<Time> {
        let running = self
            .chain
            .iter()
            .filter(|pool| !self.pools[**pool].is_stopped);
        let members = running.flat_map(|pool| &self.pools[*pool].members);
        let mut first: Option<Time> = None;
        for id in members {
            let until = self.proxies[id.index()]
                .quarantine
                .until()
                .filter(|at| *at > now)?;
            first = Some(first.map_or(until, |first| first.min(until)));
        }
        first
    }

    /// The request is over: what it tried is forgotten.
    pub fn forget(&mut self, request: RequestId) {
        self.ways.forget(request);
    }

    /// What people should hear of, since it was last asked.
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// How all proxies stand that are members of a pool.
    pub fn views(&self, now: Time) -> Vec<ProxyView> {
        let members = self.pools.iter().flat_map(|pool| &pool.members);
        members.map(|id| self.view(*id, now)).collect()
    }

    fn view(&self, id: ProxyId, now: Time) -> ProxyView {
        let proxy = &self.proxies[id.index()];
        let until = proxy.quarantine.until();
        ProxyView {
            name: proxy.name.clone(),
            pool: self.pools[proxy.pool].settings.name.clone(),
            worked: proxy.worked,
            failed: proxy.failed,
            in_flight: proxy.in_flight,
            limit: proxy.limit(),
            is_stopped: self.pools[proxy.pool].is_stopped,
            left_out: until.zip(proxy.why),
            rate: self.blame.proxy_rate(self.arm(id), now),
        }
    }

    // ---- choosing -----------------------------------------------------------------------------

    /// The pool, as a place in the chain, and those of its proxies that may be taken; or why there is none.
    fn find(&self, ask: &Ask, now: Time) -> Result<(usize, Vec<ProxyId>), Pass> {
        let tried = ask.request.and_then(|request| self.ways.tried(request));
        let own = tried.map_or(0, |tried| tried.level);
        let of_host = self.begins.get(&ask.host).copied().unwrap_or(0);
        let begin = own.max(of_host).max(self.ways.level(ask.party, now));
        let levels = (begin..self.chain.len()).chain(0..begin.min(self.chain.len()));
        let mut shut = Pass::Never;
        for level in levels {
            let pool = &self.pools[self.chain[level]];
            if pool.is_stopped {
                continue;
            }
            match self.usable(pool, ask.party, now) {
                Err(pass) => shut = sooner(shut, pass),
                Ok(usable) => {
                    let avoid = tried.map_or(&[][..], |tried| &tried.avoid);
                    return self
                        .open(pool, &usable, avoid, ask.party, now)
                        .map(|open| (level, open));
                }
            }
        }
        Err(shut)
    }

    /// Those of a pool that are used now and not kept apart from the host; or when there will be one.
    fn usable(&self, pool: &Pool, host: Party, now: Time) -> Result<Vec<ProxyId>, Pass> {
        let mut usable = Vec::new();
        let mut shut = Pass::Never;
        for id in &pool.members {
            let proxy = &self.proxies[id.index()];
            if let Some(at) = self.pairs.apart_until(*id, host, now) {
                shut = sooner(shut, Pass::Until(at));
            } else if proxy.is_usable(now) {
                usable.push(*id);
            } else {
                let until = proxy.quarantine.until();
                shut = sooner(shut, until.map_or(Pass::Full, Pass::Until));
            }
        }
        if usable.is_empty() {
            Err(shut)
        } else {
            Ok(usable)
        }
    }

    /// Those of `usable` that take a request now: of all of them, of those not tried yet, or only the one
    /// that the host stays with.
    fn open(
        &self,
        pool: &Pool,
        usable: &[ProxyId],
        avoid: &[ProxyId],
        host: Party,
        now: Time,
    ) -> Result<Vec<ProxyId>, Pass> {
        let mut wanted: Vec<ProxyId> = usable
            .iter()
            .copied()
            .filter(|id| !avoid.contains(id))
            .collect();
        if wanted.is_empty() {
            wanted = usable.to_vec();
        }
        let home = match pool.settings.sticky {
            Sticky::None => None,
            Sticky::Host => home(&wanted, &self.proxies, host),
            Sticky::Session => self
                .ways
                .session(host, now)
                .filter(|id| wanted.contains(id)),
        };
        if let Some(home) = home {
            wanted = vec![home];
        }
        let mut shut = Pass::Never;
        wanted.retain(|id| match self.proxies[id.index()].gate(now) {
            Gate::Open => true,
            Gate::Full => {
                shut = sooner(shut, Pass::Full);
                false
            }
            Gate::Until(at) => {
                shut = sooner(shut, Pass::Until(at));
                false
            }
        });
        if !avoid.is_empty() && wanted.len() > 1 {
            // What failed already goes by those that have shown that they work, if there are any.
            let best = |id: &ProxyId| self.proxies[id.index()].worked_in_row > 0;
            if wanted.iter().any(best) {
                wanted.retain(best);
            }
        }
        if wanted.is_empty() {
            Err(shut)
        } else {
            Ok(wanted)
        }
    }

    fn probe(&mut self, proxy: ProxyId, canary: Canary, now: Time) -> Probe {
        let ask = Ask {
            host: canary.host,
            party: canary.party,
            request: None,
        };
        let permit = self.proxies[proxy.index()].start(now);
        let ticket = Ticket {
            proxy,
            ask,
            level: 0,
            permit,
        };
        Probe {
            ticket,
            host: canary.host,
            url: canary.url,
        }
    }

    fn is_member(&self, proxy: ProxyId) -> bool {
        let pool = &self.pools[self.proxies[proxy.index()].pool];
        pool.members.binary_search(&proxy).is_ok()
    }

    /// A proxy as blame knows it: the direct way is nobody.
    fn arm(&self, proxy: ProxyId) -> Option<ProxyId> {
        (!self.proxies[proxy.index()].is_direct).then_some(proxy)
    }

    fn tell(&mut self, event: Event) {
        if self.events.len() < MOST_EVENTS {
            self.events.push(event);
        }
    }
}

/// The pass that opens first. What is full may open any moment.
fn sooner(one: Pass, other: Pass) -> Pass {
    match (one, other) {
        (Pass::Open, _) | (_, Pass::Open) => Pass::Open,
        (Pass::Never, pass) | (pass, Pass::Never) => pass,
        (Pass::Until(a), Pass::Until(b)) => Pass::Until(a.min(b)),
        // Until the earlier of a time and a return: a return is heard of anyway.
        (Pass::Until(at), Pass::Full) | (Pass::Full, Pass::Until(at)) => Pass::Until(at),
        (Pass::Full, Pass::Full) => Pass::Full,
    }
}

#[cfg(test)]
mod tests;
