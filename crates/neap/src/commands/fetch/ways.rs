//! By which way does the next attempt go out?
//!
//! The pools of a crawl decide, so one URL is treated as a crawl would treat it. Proxies of the command line are one
//! pool, taken in order; each has credentials of its own, so wrong ones stop that proxy and not the others.

use std::sync::Arc;
use std::time::Duration;

use neap_core::attribution::Attribution;
use neap_core::egress::{
    Ask, Charge, Event, Party, Pass, PoolSettings, Pools, ProxyId, Seen, Select, Sticky, Ticket,
    seen,
};
use neap_core::exchange::Exchange;
use neap_core::job::Job;
use neap_core::limiter::SignalKind;
use neap_core::{Host, HostId, RequestId, Time};
use neap_fetch::Egress;
use neap_runner::ProxyLists;
use rand::rngs::SmallRng;

/// What the pool of the command line is called, and no pool of a job file: their names have no blanks.
const GIVEN: &str = "command line";

/// The ways out.
pub(super) struct Ways {
    pools: Pools,
    /// By the number of the proxy: how it is reached, and what people call it.
    known: Vec<(Egress, String)>,
    /// The proxies of the command line that are still used; none if a job's pools are.
    given: Vec<Egress>,
}

/// A way that an attempt takes.
pub(super) struct Way {
    /// How it goes out.
    pub(super) egress: Egress,
    /// What people call it: `direct`, `host:port`, or `pool/host:port`.
    pub(super) name: String,
    ticket: Ticket,
}

impl Way {
    /// Its number, the same for every attempt by it.
    pub(super) fn proxy(&self) -> ProxyId {
        self.ticket.proxy
    }
}

/// Why there is no way out now.
pub(super) enum Shut {
    /// There is one then.
    Until(Time),
    /// None comes by itself.
    Closed,
}

impl Ways {
    /// Through these proxies in turn, of which there is at least one; `direct` may be among them.
    pub(super) fn through(given: Vec<Egress>, swap_after: u32) -> Ways {
        let settings = PoolSettings {
            name: GIVEN.into(),
            select: Select::RoundRobin,
            sticky: Sticky::None,
            max_per_proxy: 1,
            fallback: None,
        };
        let mut ways = Ways {
            pools: Pools::new(vec![settings], swap_after),
            known: Vec::new(),
            given,
        };
        ways.list();
        ways
    }

    /// Through the pools of a job, or directly if it has none.
    pub(super) fn of_job(job: &Job, lists: &ProxyLists) -> Ways {
        let swap_after = job.retry.swap_proxy_after;
        let settings = neap_core::egress::pools(job);
        if settings.is_empty() {
            return Ways::through(vec![Egress::DIRECT], swap_after);
        }
        let names: Vec<Arc<str>> = settings.iter().map(|pool| pool.name.clone()).collect();
        let mut ways = Ways {
            pools: Pools::new(settings, swap_after),
            known: Vec::new(),
            given: Vec::new(),
        };
        for (place, (name, members)) in names.iter().zip(lists.pools()).enumerate() {
            ways.add(place, members, |egress| match egress.is_direct() {
                true => egress.to_string(),
                false => format!("{name}/{egress}"),
            });
        }
        ways
    }

    /// Makes what is left of the given proxies the members of their pool.
    fn list(&mut self) {
        let given = self.given.clone();
        self.add(0, &given, Egress::to_string);
    }

    fn add(&mut self, pool: usize, members: &[Egress], name: impl Fn(&Egress) -> String) {
        let listed: Vec<_> = members.iter().map(Egress::member).collect();
        let ids = self.pools.set_members(pool, &listed, Time::ZERO);
        for (id, egress) in ids.into_iter().zip(members) {
            // Numbers are given in order, and one that is known has been given before.
            if id.index() == self.known.len() {
                self.known.push((egress.clone(), name(egress)));
            }
        }
    }

    /// Takes a way for one attempt at a URL of this host, with this pool first if one is named; `number` tells URLs
    /// apart.
    pub(super) fn take(
        &mut self,
        host: &Host,
        pool: Option<&str>,
        number: i64,
        now: Time,
        dice: &mut SmallRng,
    ) -> Result<Way, Shut> {
        self.pools.begin_with(HostId(1), pool);
        let ask = Ask {
            host: HostId(1),
            party: Party::of(host),
            request: Some(RequestId(number)),
        };
        let Some(ticket) = self.pools.start(&ask, now, dice) else {
            return Err(match self.pools.gate(&ask, now) {
                Pass::Until(at) => Shut::Until(at),
                Pass::Never | Pass::Full | Pass::Open => Shut::Closed,
            });
        };
        let (egress, name) = self.known[ticket.proxy.index()].clone();
        Ok(Way {
            egress,
            name,
            ticket,
        })
    }

    /// Tells the pools what came of an attempt; says who is charged.
    pub(super) fn report(
        &mut self,
        way: Way,
        exchange: &Exchange,
        attribution: &Attribution,
        retry_after: Option<Duration>,
        now: Time,
        dice: &mut SmallRng,
    ) -> Charge {
        let mut seen = seen(exchange, attribution, retry_after);
        if let Seen::ProxyFailed(load) = &mut seen {
            // How much at once a proxy bears is no question of one URL.
            *load = SignalKind::Nothing;
        }
        let charge = self.pools.report(way.ticket, seen, now, dice);
        if charge == Charge::Credentials && self.given.len() > 1 {
            self.given.retain(|egress| *egress != way.egress);
            self.list();
        }
        charge
    }

    /// What became of the pools since this was last asked, a sentence each.
    pub(super) fn news(&mut self) -> Vec<String> {
        let told = |event| match event {
            Event::LeftOut { proxy, why, .. } => {
                Some(format!("{proxy} is left out: it {}.", why.as_str()))
            }
            Event::Stopped { pool, proxy } if &*pool != GIVEN => Some(format!(
                "The pool {pool} is not used any more: {proxy} refused its credentials."
            )),
            Event::Stopped { proxy, .. } => Some(format!(
                "{proxy} is not used any more: it refused its credentials."
            )),
            Event::Back { .. } | Event::Apart { .. } => None,
        };
        self.pools
            .take_events()
            .into_iter()
            .filter_map(told)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use neap_core::attribution::{Evidence, attribute};
    use neap_core::exchange::{Failure, FailureKind, Timings};
    use neap_core::job::{ProxyPool, Template};
    use neap_core::route::{Phase, Refusal, Route, Way as How};
    use rand::SeedableRng;

    use super::*;

    /// Where nobody listens.
    const DEAD: u16 = 0;

    /// A proxy that answers this to CONNECT, or is dead.
    fn refused(status: u16) -> Exchange {
        let kind = match status {
            DEAD => FailureKind::ProxyConnect,
            407 => FailureKind::ProxyAuth,
            _ => FailureKind::ProxyRefused,
        };
        let refusal = Refusal {
            status,
            reason: String::new(),
            headers: Default::default(),
            body: Default::default(),
        };
        Exchange {
            result: Err(Failure {
                kind,
                status: None,
                detail: String::new(),
            }),
            timings: Timings::default(),
            sent: Default::default(),
            route: Route {
                way: How::Tunnel,
                reached: Phase::Open,
                refusal: (status != DEAD).then(|| Box::new(refusal)),
                ..Route::default()
            },
        }
    }

    /// The ways of so many attempts whose CONNECT is answered like this, as far as there are any.
    fn taken(mut ways: Ways, status: u16, attempts: usize) -> Vec<String> {
        let mut dice = SmallRng::seed_from_u64(1);
        let host = Host::parse("https://shop.example").unwrap();
        let exchange = refused(status);
        let mut names = Vec::new();
        for _ in 0..attempts {
            let Ok(way) = ways.take(&host, None, 1, Time::ZERO, &mut dice) else {
                break;
            };
            names.push(way.name.clone());
            let attribution = attribute(&Evidence::from(&exchange));
            ways.report(way, &exchange, &attribution, None, Time::ZERO, &mut dice);
        }
        names
    }

    fn given(texts: &[&str]) -> Ways {
        let given = texts.iter().map(|text| Egress::parse(text).unwrap());
        Ways::through(given.collect(), 2)
    }

    #[test]
    fn proxies_of_the_command_line_are_taken_in_order_and_each_once_first() {
        let ways = || given(&["a:1", "b:2", "a:1", "c:3"]);
        assert_eq!(taken(ways(), 403, 4), ["a:1", "b:2", "c:3", "a:1"]);
        // Three failures of its own leave a proxy out.
        assert_eq!(taken(ways(), DEAD, 99).len(), 9);
    }

    #[test]
    fn a_wrong_password_costs_a_given_proxy_and_no_other() {
        let ways = given(&["http://u:one@a:1", "http://u:two@a:1", "direct"]);
        assert_eq!(taken(ways, 407, 99), ["a:1", "a:1", "direct"]);
    }

    #[test]
    fn pools_of_a_job_come_in_order_and_one_with_a_wrong_password_is_left() {
        let mut job = Job::named("prices");
        for (name, urls) in [("cheap", ["a:1", "b:2"]), ("dear", ["c:3", "direct"])] {
            job.proxy.pools.push(ProxyPool {
                urls: urls.map(|url| Template(url.to_owned())).into(),
                ..ProxyPool::named(name)
            });
        }
        let ways = |job: &Job| Ways::of_job(job, &ProxyLists::load(job, |_| None).unwrap());
        assert_eq!(
            taken(ways(&job), 403, 3),
            ["cheap/a:1", "cheap/b:2", "dear/c:3"]
        );
        assert_eq!(taken(ways(&job), 407, 2), ["cheap/a:1", "dear/c:3"]);
        job.proxy.pools.clear();
        assert_eq!(taken(ways(&job), 403, 1), ["direct"]);
    }
}
