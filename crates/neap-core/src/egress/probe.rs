//! Is one more request worth it, to find out if a suspected proxy is bad?
//!
//! A canary, a page of another host that came a moment ago, asked by the suspect's way: only when its
//! answer would change what is done with the proxy, never more than one a proxy in ten seconds and one a
//! host in a minute. The other half of the question, the same page by another way, needs no request of
//! its own: a page that failed goes again by another way anyway. A canary that failed is followed at once by one of
//! another host, since the first may have failed by its own host.
//!
//! A bad proxy fails 6 of 10 exchanges or more and a good one 3 of 100: a canary that fails multiplies the
//! odds that the suspect is bad by 20, one that comes back by 0.41 (Bayes' rule).

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::blame::Blame;
use super::lately::Records;
use super::{Party, ProxyId};
use crate::canonical::CanonicalUrl;
use crate::ids::HostId;
use crate::time::Time;

/// What a canary that fails does to the odds.
const FAILED: f64 = 20.0;
/// What one that comes back does.
const WORKED: f64 = 0.41;
/// A suspect with odds from here on is asked for a canary; below it two that fail would not convict it. One that failed
/// and never worked is above, whatever its host: nothing speaks for it.
pub(super) const SUSPECT: f64 = 0.115;
/// A proxy with odds from here on is bad. With 4, one canary that failed by chance left out a good proxy in every second
/// run beside a hot bad host; with 40, bad ones were found later everywhere.
const CONVICTED: f64 = 20.0;
/// Between two canaries by one proxy, unless the first failed.
const A_PROXY: Duration = Duration::from_secs(10);
/// Between two canaries of one host.
const A_HOST: Duration = Duration::from_secs(60);
/// A page is good for a canary so long after it came.
const FRESH: Duration = Duration::from_secs(600);
/// A page of the same host does not replace one that is younger than this.
const RENEWED: Duration = Duration::from_secs(30);
/// Pages that are kept, each of another host.
const CANARIES: usize = 32;
/// A host that fails more than this is no canary.
const DOES_WELL: f64 = 0.05;

/// A page that came lately.
#[derive(Debug, Clone, PartialEq)]
pub struct Canary {
    /// Its host.
    pub host: HostId,
    /// Its host, as far as blame goes.
    pub party: Party,
    /// The page.
    pub url: CanonicalUrl,
    at: Time,
}

/// What is found out by asking.
#[derive(Debug, Default)]
pub struct Prober {
    canaries: VecDeque<Canary>,
    suspects: Vec<Suspect>,
    records: Records,
    /// When each host was asked for a canary last.
    asked: BTreeMap<Party, Time>,
}

#[derive(Debug, Clone)]
struct Suspect {
    /// What its canaries said: a factor for its odds.
    factor: f64,
    next: Time,
    is_asked: bool,
}

impl Default for Suspect {
    fn default() -> Suspect {
        Suspect {
            factor: 1.0,
            next: Time::ZERO,
            is_asked: false,
        }
    }
}

impl Prober {
    /// A page of a host came: it may serve as a canary. `url` is called if it is wanted.
    pub fn came(
        &mut self,
        host: HostId,
        party: Party,
        url: impl FnOnce() -> CanonicalUrl,
        now: Time,
    ) {
        let known = self
            .canaries
            .iter()
            .position(|canary| canary.party == party);
        match known {
            Some(place) if now.since(self.canaries[place].at) < RENEWED => return,
            Some(place) => _ = self.canaries.remove(place),
            None if self.canaries.len() == CANARIES => {
                let oldest = self.canaries.front().map(|canary| canary.at);
                if oldest.is_some_and(|at| now.since(at) < RENEWED) {
                    return;
                }
                self.canaries.pop_front();
            }
            None => {}
        }
        self.canaries.push_back(Canary {
            host,
            party,
            url: url(),
            at: now,
        });
    }

    /// An exchange by a proxy with a host worked as far as the proxy is concerned, or failed by one of the two.
    pub fn saw(&mut self, proxy: ProxyId, host: Party, worked: bool) {
        self.records.saw(proxy, host, worked);
    }

    /// The odds that a proxy is bad: by all that was seen of it, or by its last exchanges if these say worse.
    pub fn odds(&self, proxy: ProxyId, blame: &Blame, now: Time) -> f64 {
        let doubt = blame.doubt(proxy, now);
        let lately = self.records.odds(proxy, blame, now);
        let factor = self
            .suspects
            .get(proxy.index())
            .map_or(1.0, |suspect| suspect.factor);
        factor * lately.max(doubt / (1.0 - doubt).max(1e-9))
    }

    /// Whether a proxy is bad by what canaries and traffic said together.
    pub fn is_convicted(&self, proxy: ProxyId, blame: &Blame, now: Time) -> bool {
        let was_asked = self
            .suspects
            .get(proxy.index())
            .is_some_and(|suspect| suspect.factor != 1.0);
        was_asked && self.odds(proxy, blame, now) >= CONVICTED
    }

    /// A canary that `proxy` is to be asked for now. It counts as asked; [`Prober::handle`] says what came
    /// of it. `may_ask` says whether a host takes a request.
    pub fn poll(
        &mut self,
        proxy: ProxyId,
        blame: &Blame,
        now: Time,
        mut may_ask: impl FnMut(HostId) -> bool,
    ) -> Option<Canary> {
        let odds = self.odds(proxy, blame, now);
        if odds < SUSPECT {
            return None;
        }
        let suspect = self.suspect(proxy);
        if suspect.is_asked || now < suspect.next {
            return None;
        }
        self.asked.retain(|_, at| now.since(*at) < A_HOST);
        let mut is_good = |canary: &&Canary| {
            now.since(canary.at) < FRESH
                && !self.asked.contains_key(&canary.party)
                && blame.host_rate(canary.party, now) < DOES_WELL
                && may_ask(canary.host)
        };
        let canary = self.canaries.iter().rev().find(&mut is_good)?.clone();
        self.asked.insert(canary.party, now);
        let suspect = self.suspect(proxy);
        suspect.is_asked = true;
        suspect.next = now + A_PROXY;
        Some(canary)
    }

    /// What came of a canary: whether it worked, or nothing that tells of the proxy.
    pub fn handle(&mut self, proxy: ProxyId, worked: Option<bool>) {
        let suspect = self.suspect(proxy);
        suspect.is_asked = false;
        match worked {
            Some(true) => suspect.factor = (suspect.factor * WORKED).max(1e-3),
            // A second opinion, of another host, is worth asking for at once.
            Some(false) => {
                suspect.next = Time::ZERO;
                suspect.factor = (suspect.factor * FAILED).min(1e3);
            }
            None => {}
        }
    }

    /// Forgets what a proxy's canaries said, as that of one that was given another chance.
    pub fn forgive(&mut self, proxy: ProxyId) {
        let suspect = self.suspect(proxy);
        suspect.factor = 1.0;
        self.records.forget(proxy);
    }

    fn suspect(&mut self, proxy: ProxyId) -> &mut Suspect {
        if self.suspects.len() <= proxy.index() {
            self.suspects
                .resize_with(proxy.index() + 1, Suspect::default);
        }
        &mut self.suspects[proxy.index()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url() -> CanonicalUrl {
        CanonicalUrl::parse("http://a.example/").unwrap()
    }

    fn second(n: u64) -> Time {
        Time::ZERO + Duration::from_secs(n)
    }

    fn suspected(proxy: ProxyId) -> Blame {
        let mut blame = Blame::default();
        for host in 0..20 {
            blame.worked(None, Party(host), Time::ZERO);
        }
        for host in 20..23 {
            blame.failed(Some(proxy), Party(host), Time::ZERO);
        }
        blame
    }

    #[test]
    fn one_failed_canary_convicts_and_a_good_one_eases() {
        let proxy = ProxyId(4);
        let blame = suspected(proxy);
        let mut prober = Prober::default();
        prober.came(HostId(1), Party(1), url, Time::ZERO);
        assert!(prober.poll(proxy, &blame, Time::ZERO, |_| true).is_some());
        let mut eased = Prober::default();
        prober.handle(proxy, Some(false));
        eased.handle(proxy, Some(true));
        assert!(prober.is_convicted(proxy, &blame, Time::ZERO));
        assert!(!eased.is_convicted(proxy, &blame, Time::ZERO));
        let untold = Prober::default().odds(proxy, &blame, Time::ZERO);
        assert!(eased.odds(proxy, &blame, Time::ZERO) < untold / 2.0);
    }

    #[test]
    fn canaries_are_rare() {
        let proxy = ProxyId(0);
        let blame = suspected(proxy);
        let mut prober = Prober::default();
        assert!(
            prober.poll(proxy, &blame, Time::ZERO, |_| true).is_none(),
            "nothing came yet"
        );
        prober.came(HostId(1), Party(1), url, Time::ZERO);
        prober.came(HostId(2), Party(2), url, Time::ZERO);
        assert!(prober.poll(proxy, &blame, Time::ZERO, |_| true).is_some());
        assert!(
            prober.poll(proxy, &blame, second(11), |_| true).is_none(),
            "one is out"
        );
        prober.handle(proxy, None);
        assert!(
            prober.poll(proxy, &blame, second(9), |_| true).is_none(),
            "ten seconds"
        );
        assert!(prober.poll(proxy, &blame, second(10), |_| true).is_some());
        prober.handle(proxy, None);
        assert!(
            prober.poll(proxy, &blame, second(20), |_| true).is_none(),
            "a minute a host"
        );
        assert!(prober.poll(proxy, &blame, second(60), |_| true).is_some());
    }

    #[test]
    fn a_proxy_without_suspicion_is_not_asked() {
        let mut prober = Prober::default();
        prober.came(HostId(1), Party(1), url, Time::ZERO);
        assert!(
            prober
                .poll(ProxyId(0), &Blame::default(), Time::ZERO, |_| true)
                .is_none()
        );
    }
}
