//! What is learned from what came of a request, and who is charged for it?

use std::time::Duration;

use rand::RngCore;

use super::{Event, Pools, Ticket};
use crate::canonical::CanonicalUrl;
use crate::egress::blame::Shares;
use crate::egress::proxy::Why;
use crate::egress::{Party, ProxyId};
use crate::limiter::SignalKind;
use crate::time::Time;

/// The host is charged for a failure that falls on it by so much, whatever the proxy's record.
const PLAINLY: f64 = 0.8;
/// And by so much, if the proxy worked a few times in a row before.
const RATHER: f64 = 0.5;
/// So many times.
const IN_ROW: u32 = 3;

/// Refusals in a row by a pool that took our credentials before, until its word is believed: what a host writes may
/// look like the refusal of a proxy that relays it.
const REFUSALS: u32 = 5;

/// What an exchange showed of the way that it took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// An answer that came from the host, whatever it says, and is no failure.
    Worked,
    /// A failure of the host, beyond doubt: the proxy did its part.
    HostFailed,
    /// The proxy says that the host failed. Nothing of the host itself was seen: a proxy whose own network is
    /// broken writes the same.
    Told,
    /// The host refuses this exit: a challenge, a ban.
    Blocked,
    /// The proxy does not go to this host, by its own rules. It is fine otherwise.
    Barred,
    /// A failure of the proxy, beyond doubt, and what it says of the proxy's load.
    ProxyFailed(SignalKind),
    /// The proxy asks for fewer requests, and perhaps for a pause.
    ProxyBusy(Option<Duration>),
    /// A failure of one of the two.
    Unsure,
    /// The proxy refused our credentials.
    WrongCredentials,
    /// Nothing that tells of either: it was called off, or our own side failed.
    Nothing,
}

/// Who is charged for a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Charge {
    /// The host: its limiter hears of it, and the request is charged.
    Host,
    /// The proxy: neither is.
    Proxy,
    /// Our credentials: neither is.
    Credentials,
    /// It is not known who: neither is, and another way will tell.
    Unknown,
    /// There was no failure.
    Nobody,
}

impl Pools {
    /// Gives a ticket back and learns from what came of it. Says who is charged.
    pub fn report(
        &mut self,
        ticket: Ticket,
        seen: Seen,
        now: Time,
        dice: &mut dyn RngCore,
    ) -> Charge {
        let Ticket {
            proxy,
            ask,
            level,
            permit,
        } = ticket;
        let is_try = permit.is_try;
        let seen = self.weigh(seen, proxy, ask.party, now);
        let (kind, wait) = to_limiter(seen);
        self.proxies[proxy.index()].end(permit, kind, wait, now, dice);
        let arm = self.arm(proxy);
        if let Some(worked) = worked(seen) {
            self.prober.saw(proxy, ask.party, worked);
        }
        let is_alone = self.is_alone(proxy, ask.party, now);
        let mut shares = None;
        let charge = match seen {
            Seen::Worked => {
                self.blame.worked(arm, ask.party, now);
                self.pairs.worked(proxy, ask.party);
                self.ways.worked(ask.party, level, now);
                self.reached.worked(ask.party, proxy, now);
                Charge::Nobody
            }
            Seen::HostFailed => {
                self.blame.failed_by_host(arm, ask.party, now);
                Charge::Host
            }
            // Its word is held against the host and says nothing good of the proxy.
            Seen::Told => {
                self.blame.told_of(proxy, ask.party, now);
                Charge::Host
            }
            Seen::Blocked => {
                self.pairs.refused(proxy, ask.party, now);
                Charge::Host
            }
            Seen::Barred => {
                // Where nobody goes to the host, waiting for who is kept apart would be for nothing.
                if self.reached.is_by_another(ask.party, proxy, now) {
                    self.pairs.refused(proxy, ask.party, now);
                }
                Charge::Proxy
            }
            Seen::ProxyFailed(_) => {
                self.blame.failed_by_proxy(proxy, ask.party, now);
                Charge::Proxy
            }
            Seen::ProxyBusy(_) => Charge::Proxy,
            Seen::Unsure => {
                let found = self.blame.failed(arm, ask.party, now);
                shares = Some(found);
                self.charge(proxy, found, is_alone)
            }
            Seen::WrongCredentials => {
                self.refused(proxy);
                Charge::Credentials
            }
            Seen::Nothing => Charge::Nobody,
        };
        self.remember(&ask, proxy, level, seen, now);
        let brought_nothing = matches!(seen, Seen::Unsure | Seen::Barred);
        let is_often_alone =
            brought_nothing && is_alone && self.proxies[proxy.index()].did_fail_alone();
        if is_often_alone && !is_try && self.proxies[proxy.index()].quarantine.until().is_none() {
            self.leave_out(proxy, Why::FailsWithMany, now);
        }
        if seen == Seen::Unsure {
            self.consider_pair(proxy, &ask, now);
        }
        self.judge(proxy, seen, charge, is_try, shares, now);
        charge
    }

    /// A page came by a way that works: it may serve as a canary.
    pub fn came(&mut self, ask: &super::Ask, url: impl FnOnce() -> CanonicalUrl, now: Time) {
        self.prober.came(ask.host, ask.party, url, now);
    }

    /// What came of a probe.
    pub fn report_probe(&mut self, ticket: Ticket, seen: Seen, now: Time, dice: &mut dyn RngCore) {
        let proxy = ticket.proxy;
        let seen = self.weigh(seen, proxy, ticket.ask.party, now);
        let (kind, wait) = to_limiter(seen);
        self.proxies[proxy.index()].end(ticket.permit, kind, wait, now, dice);
        let worked = match seen {
            Seen::Worked => Some(true),
            Seen::Unsure | Seen::ProxyFailed(_) => Some(false),
            Seen::HostFailed
            | Seen::Told
            | Seen::Blocked
            | Seen::Barred
            | Seen::ProxyBusy(_)
            | Seen::WrongCredentials
            | Seen::Nothing => None,
        };
        self.prober.handle(proxy, worked);
        if seen == Seen::WrongCredentials {
            self.refused(proxy);
        }
        let is_out = self.proxies[proxy.index()].quarantine.until().is_some();
        if !is_out && self.prober.is_convicted(proxy, &self.blame, now) {
            self.leave_out(proxy, Why::FailedProbe, now);
        }
    }

    /// What a proxy says of a host is one of two stories where it has no record and the host answers others.
    fn weigh(&self, seen: Seen, proxy: ProxyId, host: Party, now: Time) -> Seen {
        let is_witness = self.proxies[proxy.index()].worked_in_row >= IN_ROW;
        if seen == Seen::Told && !is_witness && self.reached.is_by_another(host, proxy, now) {
            Seen::Unsure
        } else {
            seen
        }
    }

    /// Whether a proxy has brought nothing since it was last doubted, from a host that answers others.
    fn is_alone(&self, proxy: ProxyId, host: Party, now: Time) -> bool {
        let of = &self.proxies[proxy.index()];
        !of.is_direct && of.worked_in_row == 0 && self.reached.is_by_another(host, proxy, now)
    }

    /// Who is charged for a failure that may be of either. A proxy without a record is no witness against
    /// a host, and one that is alone with its failures (`is_alone`) never is.
    fn charge(&self, proxy: ProxyId, shares: Shares, is_alone: bool) -> Charge {
        let of = &self.proxies[proxy.index()];
        let all = (shares.proxy + shares.host).max(f64::MIN_POSITIVE);
        let on_host = shares.host / all;
        let is_witness = of.worked_in_row >= IN_ROW;
        let is_hosts = on_host >= PLAINLY || (is_witness && on_host >= RATHER);
        if of.is_direct || (is_hosts && !is_alone) {
            Charge::Host
        } else if 1.0 - on_host >= PLAINLY {
            Charge::Proxy
        } else {
            Charge::Unknown
        }
    }

    /// What the request and its host remember.
    fn remember(&mut self, ask: &super::Ask, proxy: ProxyId, level: usize, seen: Seen, now: Time) {
        let is_proxys = matches!(seen, Seen::ProxyFailed(_) | Seen::ProxyBusy(_));
        let leaves = match seen {
            Seen::Unsure
            | Seen::Told
            | Seen::Blocked
            | Seen::Barred
            | Seen::ProxyFailed(_)
            | Seen::ProxyBusy(_) => true,
            Seen::Worked | Seen::HostFailed | Seen::WrongCredentials | Seen::Nothing => false,
        };
        if leaves && self.ways.session(ask.party, now) == Some(proxy) {
            self.ways.set_session(ask.party, None, now);
        }
        if let Some(request) = ask.request.filter(|_| leaves) {
            let levels = self.chain.len();
            let swap_after = match seen {
                Seen::Blocked | Seen::Barred => 1,
                Seen::Unsure
                | Seen::Told
                | Seen::ProxyFailed(_)
                | Seen::ProxyBusy(_)
                | Seen::Worked
                | Seen::HostFailed
                | Seen::WrongCredentials
                | Seen::Nothing => self.swap_after,
            };
            self.ways
                .failed(request, proxy, level, is_proxys, swap_after, levels);
        }
    }

    fn consider_pair(&mut self, proxy: ProxyId, ask: &super::Ask, now: Time) {
        if self.proxies[proxy.index()].is_direct {
            return;
        }
        let rates = (
            self.blame.proxy_rate(Some(proxy), now),
            self.blame.host_rate(ask.party, now),
        );
        if self.pairs.failed(proxy, ask.party, rates, now) {
            let event = Event::Apart {
                proxy: self.proxies[proxy.index()].name.clone(),
                host: ask.host,
            };
            self.tell(event);
        }
    }

    /// Decides whether the proxy is used any further.
    fn judge(
        &mut self,
        proxy: ProxyId,
        seen: Seen,
        charge: Charge,
        is_try: bool,
        shares: Option<Shares>,
        now: Time,
    ) {
        if self.proxies[proxy.index()].is_direct {
            return;
        }
        let of = &mut self.proxies[proxy.index()];
        let mut why = None;
        match seen {
            Seen::Worked | Seen::HostFailed | Seen::Blocked => {
                of.did_well();
                self.pools[of.pool].refusals = 0;
            }
            Seen::ProxyFailed(_) => {
                if of.did_fail() {
                    why = Some(Why::Failed);
                }
            }
            Seen::Unsure => {
                if charge != Charge::Host {
                    of.worked_in_row = 0;
                }
                if charge == Charge::Proxy {
                    of.failed += 1;
                }
                self.suspects.insert(proxy);
            }
            Seen::Told
            | Seen::Barred
            | Seen::ProxyBusy(_)
            | Seen::WrongCredentials
            | Seen::Nothing => {}
        }
        if is_try {
            self.end_try(proxy, seen, charge, shares, now);
            return;
        }
        let is_bad = self.blame.is_proxy_bad(proxy);
        let is_convicted = || self.prober.is_convicted(proxy, &self.blame, now);
        if why.is_none() && is_bad {
            why = Some(Why::FailsWithMany);
        } else if why.is_none() && seen == Seen::Unsure && is_convicted() {
            why = Some(Why::FailedProbe);
        }
        let is_out = self.proxies[proxy.index()].quarantine.until().is_some();
        if let Some(why) = why.filter(|_| !is_out) {
            self.leave_out(proxy, why, now);
        }
    }

    /// The one request that tried a proxy again is back.
    fn end_try(
        &mut self,
        proxy: ProxyId,
        seen: Seen,
        charge: Charge,
        shares: Option<Shares>,
        now: Time,
    ) {
        let worked = match seen {
            Seen::Worked | Seen::HostFailed | Seen::Blocked => Some(true),
            Seen::ProxyFailed(_) | Seen::ProxyBusy(_) => Some(false),
            Seen::Unsure if charge == Charge::Host => None,
            Seen::Unsure => Some(shares.is_some_and(|shares| shares.host > shares.proxy * 4.0)),
            Seen::Told | Seen::Barred | Seen::WrongCredentials | Seen::Nothing => None,
        };
        let of = &mut self.proxies[proxy.index()];
        of.quarantine.tried(worked, now);
        match worked {
            Some(true) => {
                of.why = None;
                let (proxy, pool) = (of.name.clone(), of.pool);
                let pool = self.pools[pool].settings.name.clone();
                self.tell(Event::Back { proxy, pool });
            }
            Some(false) => {
                of.renew(now);
                of.why = Some(Why::FailedTry);
                self.blame.forgive(proxy);
                self.tell_left_out(proxy, Why::FailedTry);
            }
            None => {}
        }
    }

    fn leave_out(&mut self, proxy: ProxyId, why: Why, now: Time) {
        self.proxies[proxy.index()].leave_out(why, now);
        self.blame.forgive(proxy);
        self.prober.forgive(proxy);
        self.suspects.remove(&proxy);
        self.tell_left_out(proxy, why);
    }

    fn tell_left_out(&mut self, proxy: ProxyId, why: Why) {
        let of = &self.proxies[proxy.index()];
        if let Some(until) = of.quarantine.until() {
            let (proxy, pool) = (of.name.clone(), of.pool);
            let pool = self.pools[pool].settings.name.clone();
            self.tell(Event::LeftOut {
                proxy,
                pool,
                until,
                why,
            });
        }
    }

    /// Stops the pool of a proxy that refused our credentials: its other proxies have the same, and asking
    /// on may have the account locked. At once, unless the proxy took them before.
    fn refused(&mut self, proxy: ProxyId) {
        let of = &self.proxies[proxy.index()];
        let (proxy, index) = (of.name.clone(), of.pool);
        let pool = &mut self.pools[index];
        pool.refusals += 1;
        let is_believed = of.worked == 0 || pool.refusals >= REFUSALS;
        if is_believed && !pool.is_stopped {
            pool.is_stopped = true;
            let pool = pool.settings.name.clone();
            self.tell(Event::Stopped { pool, proxy });
        }
    }
}

/// Whether a proxy did its part; `None` if the exchange does not tell.
fn worked(seen: Seen) -> Option<bool> {
    match seen {
        Seen::Worked | Seen::HostFailed | Seen::Blocked => Some(true),
        Seen::Unsure => Some(false),
        Seen::Told
        | Seen::Barred
        | Seen::ProxyFailed(_)
        | Seen::ProxyBusy(_)
        | Seen::WrongCredentials
        | Seen::Nothing => None,
    }
}

/// What a proxy's limiter is told: only what the proxy itself did.
fn to_limiter(seen: Seen) -> (SignalKind, Option<Duration>) {
    match seen {
        Seen::Worked | Seen::HostFailed | Seen::Blocked | Seen::Barred => (SignalKind::Ok, None),
        Seen::ProxyFailed(kind) => (kind, None),
        Seen::ProxyBusy(wait) => (SignalKind::RateLimited, wait),
        Seen::Unsure | Seen::Told | Seen::WrongCredentials | Seen::Nothing => {
            (SignalKind::Nothing, None)
        }
    }
}
