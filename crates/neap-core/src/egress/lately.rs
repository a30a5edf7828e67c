//! What do a proxy's last exchanges say of it, by what is known of their hosts now?
//!
//! A failure with a host that fails everybody says nothing, and the same failure with one that answers others says
//! much. Which of the two a host is often shows only later: so the last few exchanges are kept and weighed anew each
//! time, as the logarithm of how much likelier they are if the proxy is bad (the likelihood ratio of Wald's
//! sequential test, over a window).

use super::blame::Blame;
use super::{Party, ProxyId};
use crate::time::Time;

/// Exchanges that are kept.
const LAST: usize = 8;
/// The share that a bad proxy spoils, as in [`super::probe`].
const BAD: f64 = 0.6;
/// The share that a good one spoils.
const GOOD: f64 = 0.03;
/// The odds that a proxy is bad before anything is seen of it: one of six. With one of ten, bad proxies that carried
/// little but a hot bad host were found in 90 of 100 cases instead of 93.
const BEFORE: f64 = 0.2;
/// Traffic alone raises the odds to this and no further: hosts of which nothing is known yet may be down, all of them.
/// It takes a canary that fails. (With 2, fewer good proxies were left out, .17 a run instead of .22, and fewer bad ones.)
const MOST: f64 = 3.0;

/// The last exchanges of one proxy of which it may have spoiled some.
#[derive(Debug, Clone, Default)]
pub(super) struct Lately {
    /// With whom, and whether it worked; the oldest is replaced next.
    last: [Option<(Party, bool)>; LAST],
    next: u8,
}

impl Lately {
    /// An exchange with a host worked as far as the proxy is concerned, or failed by one of the two.
    pub(super) fn saw(&mut self, host: Party, worked: bool) {
        let place = usize::from(self.next);
        self.last[place] = Some((host, worked));
        self.next = ((place + 1) % LAST) as u8;
    }

    /// The odds that the proxy is bad.
    pub(super) fn odds(&self, blame: &Blame, now: Time) -> f64 {
        let said: f64 = self
            .last
            .iter()
            .flatten()
            .map(|(host, worked)| weight(*worked, blame.host_rate(*host, now)))
            .sum();
        (BEFORE * said.exp()).min(MOST)
    }
}

/// What an exchange with a host that fails the share `host` says, above 0 against the proxy.
fn weight(worked: bool, host: f64) -> f64 {
    let worked_if = |proxy: f64| (1.0 - proxy) * (1.0 - host);
    if worked {
        (worked_if(BAD) / worked_if(GOOD)).ln()
    } else {
        ((1.0 - worked_if(BAD)) / (1.0 - worked_if(GOOD))).ln()
    }
}

/// What is known of all proxies.
#[derive(Debug, Default)]
pub(super) struct Records(Vec<Lately>);

impl Records {
    /// See [`Lately::saw`].
    pub(super) fn saw(&mut self, proxy: ProxyId, host: Party, worked: bool) {
        self.of(proxy).saw(host, worked);
    }

    /// The odds that a proxy is bad.
    pub(super) fn odds(&self, proxy: ProxyId, blame: &Blame, now: Time) -> f64 {
        self.0
            .get(proxy.index())
            .map_or(BEFORE, |lately| lately.odds(blame, now))
    }

    /// Forgets what was seen of a proxy, as of one that was given another chance.
    pub(super) fn forget(&mut self, proxy: ProxyId) {
        *self.of(proxy) = Lately::default();
    }

    fn of(&mut self, proxy: ProxyId) -> &mut Lately {
        if self.0.len() <= proxy.index() {
            self.0.resize_with(proxy.index() + 1, Lately::default);
        }
        &mut self.0[proxy.index()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROXY: ProxyId = ProxyId(0);
    const HOST: Party = Party(7);

    fn record(exchanges: &[bool]) -> Records {
        let mut records = Records::default();
        for worked in exchanges {
            records.saw(PROXY, HOST, *worked);
        }
        records
    }

    /// What is known when this many exchanges of the host worked and failed by other ways.
    fn host(worked: u32, failed: u32) -> Blame {
        let mut blame = Blame::default();
        for n in 0..worked.max(failed) {
            if n < worked {
                blame.worked(None, HOST, Time::ZERO);
            }
            if n < failed {
                blame.failed_by_host(None, HOST, Time::ZERO);
            }
        }
        blame
    }

    #[test]
    fn a_failure_weighs_what_its_host_is_worth_by_now() {
        let records = record(&[false]);
        let odds = |blame: &Blame| records.odds(PROXY, blame, Time::ZERO);
        let (good, unknown, bad) = (host(40, 0), host(0, 0), host(0, 400));
        assert!(odds(&good) > odds(&unknown), "it answers others");
        assert!(odds(&unknown) > 2.0 * BEFORE);
        assert!(odds(&bad) < 1.05 * BEFORE, "it fails everybody");
    }

    #[test]
    fn traffic_alone_never_convicts_and_what_works_clears() {
        let blame = host(40, 0);
        let odds = |exchanges: &[bool]| record(exchanges).odds(PROXY, &blame, Time::ZERO);
        assert!((odds(&[false; 8]) - MOST).abs() < 1e-9);
        assert!(odds(&[true; 8]) < 0.001);
        assert!(odds(&[false, true, true, true]) < odds(&[false]) / 10.0);
    }

    #[test]
    fn only_the_last_few_count_and_another_chance_starts_anew() {
        let blame = host(40, 0);
        let mut records = record(&[false, true, true, true, true, true, true, true, true]);
        let clean = record(&[true; 8]);
        let odds = |records: &Records| records.odds(PROXY, &blame, Time::ZERO);
        assert!((odds(&records) - odds(&clean)).abs() < 1e-9);
        records.forget(PROXY);
        assert!((odds(&records) - BEFORE).abs() < 1e-9);
    }
}
