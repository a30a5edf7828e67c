//! Are bad proxies found soon, and good ones left in peace?
//!
//! Pages of many hosts are fetched through the pools of `neap-core` in virtual time, through proxies and
//! from hosts of which some are bad. No failure says who caused it: all that tells is who failed with whom.
//! A page that failed goes again, as in a crawl.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, VecDeque};
use std::time::Duration;

use neap_core::egress::{
    Ask, Charge, Event, Member, Party, Pass, PoolSettings, Pools, Seen, Select, Sticky, Ticket,
};
use neap_core::{CanonicalUrl, HostId, RequestId, Time};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use serde::Serialize;

/// Requests at which a run is looked at.
pub const LOOKS: [u32; 3] = [300, 1_000, 3_000];
/// A proxy that took so many requests was used: fewer are not evidence enough for a verdict.
pub const USED: u32 = 8;
/// Requests in flight, at most.
const WORKERS: usize = 40;
/// Between two starts.
const PACE: Duration = Duration::from_millis(100);
/// A page is given up after so many failures.
const ATTEMPTS: u32 = 8;

/// A mix of good and bad.
#[derive(Debug, Clone, Copy)]
pub struct Mix {
    /// Its name.
    pub name: &'static str,
    /// Proxies.
    pub proxies: u32,
    /// Of which bad.
    pub bad_proxies: u32,
    /// Hosts, of which the first are asked most (Zipf).
    pub hosts: u32,
    /// Of which bad.
    pub bad_hosts: u32,
    /// The share of pages that are of the first host, which is a bad one then; 0 for Zipf alone.
    pub hot: f64,
    /// What stays with one proxy.
    pub sticky: Sticky,
    /// The range of shares that a bad one fails.
    pub bad: (f64, f64),
}

/// The share that is failed by each good proxy and host.
const GOOD: f64 = 0.01;

const fn mix(name: &'static str, proxies: (u32, u32), hosts: (u32, u32)) -> Mix {
    Mix {
        name,
        proxies: proxies.0,
        bad_proxies: proxies.1,
        hosts: hosts.0,
        bad_hosts: hosts.1,
        hot: 0.0,
        sticky: Sticky::None,
        bad: (0.6, 1.0),
    }
}

/// The mixes.
pub const MIXES: [Mix; 7] = [
    mix("rotation", (20, 2), (60, 2)),
    Mix {
        hot: 0.5,
        ..mix("hot_host", (20, 2), (60, 2))
    },
    Mix {
        sticky: Sticky::Host,
        ..mix("sticky", (20, 2), (60, 2))
    },
    mix("few", (3, 1), (4, 1)),
    mix("many_bad", (20, 5), (16, 0)),
    mix("nothing_bad", (20, 0), (60, 0)),
    Mix {
        bad: (0.1, 0.3),
        ..mix("mild", (20, 2), (60, 2))
    },
];

/// How a mix went, over several runs.
#[derive(Debug, Clone, Serialize)]
pub struct Score {
    /// The mix.
    pub mix: &'static str,
    /// The share of bad proxies that were left out by each of [`LOOKS`].
    pub found: [f64; 3],
    /// The same of those that were used [`USED`] times by then, or found sooner.
    pub found_of_used: [f64; 3],
    /// Good proxies that were left out by then, a run.
    pub accused: [f64; 3],
    /// Failures of a bad proxy for which a host was charged, a run, to the end.
    pub hosts_charged: f64,
    /// Requests to find out about a proxy, a run, to the end.
    pub probes: f64,
    /// Requests that failed by a bad proxy, a run, to the end.
    pub wasted: f64,
}

/// Runs a mix with each of these seeds.
pub fn score(mix: &Mix, seeds: &[u64]) -> Score {
    let runs: Vec<World> = seeds.iter().map(|seed| World::run(*mix, *seed)).collect();
    let count = runs.len() as f64;
    let mean = |of: &dyn Fn(&World) -> f64| runs.iter().map(of).sum::<f64>() / count;
    let at = |of: &dyn Fn(&World, usize) -> f64| [0, 1, 2].map(|look| mean(&|run| of(run, look)));
    let bad = f64::from(mix.bad_proxies.max(1));
    Score {
        mix: mix.name,
        found: at(&|run, look| f64::from(run.looks[look].found) / bad),
        found_of_used: [0, 1, 2].map(|look| {
            let sum = |of: fn(&Look) -> u32| -> f64 {
                runs.iter().map(|run| f64::from(of(&run.looks[look]))).sum()
            };
            sum(|look| look.found) / sum(|look| look.found + look.missed).max(1.0)
        }),
        accused: at(&|run, look| f64::from(run.looks[look].accused)),
        hosts_charged: mean(&|run| f64::from(run.hosts_charged)),
        probes: mean(&|run| f64::from(run.probes)),
        wasted: mean(&|run| f64::from(run.wasted)),
    }
}

struct World {
    mix: Mix,
    pools: Pools,
    dice: SmallRng,
    now: Time,
    proxy_fails: Vec<f64>,
    host_fails: Vec<f64>,
    flights: BinaryHeap<Reverse<(Time, u64)>>,
    out: Vec<Option<Flight>>,
    /// Pages that go again at once, and those that wait, by when.
    again: VecDeque<Page>,
    waiting: BinaryHeap<Reverse<(Time, i64, u32, u32)>>,
    pages: i64,
    requests: u32,
    left_out: BTreeSet<String>,
    looks: Vec<Look>,
    /// Requests that each proxy took.
    took: Vec<u32>,
    hosts_charged: u32,
    probes: u32,
    wasted: u32,
}

#[derive(Clone, Copy)]
struct Page {
    request: RequestId,
    host: u32,
    failures: u32,
}

/// How things stand at one moment.
#[derive(Default)]
struct Look {
    /// Bad proxies that were left out.
    found: u32,
    /// Those that were not, though they were used.
    missed: u32,
    /// Good ones that were left out.
    accused: u32,
}

struct Flight {
    ticket: Ticket,
    page: Option<Page>,
    host: u32,
}

impl World {
    fn run(mix: Mix, seed: u64) -> World {
        let mut world = World::new(mix, seed);
        let last = LOOKS[LOOKS.len() - 1];
        while world.requests < last {
            world.now = world.now + PACE;
            world.land();
            world.probe();
            world.launch();
            if LOOKS.get(world.looks.len()) <= Some(&world.requests)
                && world.looks.len() < LOOKS.len()
            {
                world.look();
            }
        }
        world
    }

    fn new(mix: Mix, seed: u64) -> World {
        let mut dice = SmallRng::seed_from_u64(seed);
        let settings = PoolSettings {
            name: "pool".into(),
            select: Select::Random,
            sticky: mix.sticky,
            max_per_proxy: 16,
            fallback: None,
        };
        let mut pools = Pools::new(vec![settings], 1);
        let member = |n: u32| Member {
            name: format!("p{n}").into(),
            is_direct: false,
            mark: u64::from(n),
        };
        let members: Vec<Member> = (0..mix.proxies).map(member).collect();
        pools.set_members(0, &members, Time::ZERO);
        let mut fails = |count: u32, bad: u32, from: u32| -> Vec<f64> {
            let is_bad = |n: u32| (from..from + bad).contains(&n);
            let mut share = |n| {
                if is_bad(n) {
                    dice.random_range(mix.bad.0..=mix.bad.1)
                } else {
                    GOOD
                }
            };
            (0..count).map(&mut share).collect()
        };
        let proxy_fails = fails(mix.proxies, mix.bad_proxies, 0);
        // A bad host is the one that is asked most, or two of the middle.
        let first_bad = if mix.hot > 0.0 { 0 } else { mix.hosts / 6 };
        let host_fails = fails(mix.hosts, mix.bad_hosts, first_bad);
        World {
            mix,
            pools,
            dice,
            now: Time::ZERO,
            proxy_fails,
            host_fails,
            flights: BinaryHeap::new(),
            out: Vec::new(),
            again: VecDeque::new(),
            waiting: BinaryHeap::new(),
            pages: 0,
            requests: 0,
            left_out: BTreeSet::new(),
            looks: Vec::new(),
            took: vec![0; mix.proxies as usize],
            hosts_charged: 0,
            probes: 0,
            wasted: 0,
        }
    }

    fn launch(&mut self) {
        if self.flights.len() >= WORKERS {
            return;
        }
        let page = self.again.pop_front().or_else(|| self.due());
        let page = page.unwrap_or_else(|| self.next_page());
        let ask = ask(page.host, Some(page.request));
        match self.pools.gate(&ask, self.now) {
            Pass::Open => {
                let ticket = self.pools.start(&ask, self.now, &mut self.dice);
                self.fly(ticket.expect("the gate is open"), Some(page), page.host);
            }
            Pass::Full | Pass::Until(_) | Pass::Never => self.again.push_back(page),
        }
    }

    fn probe(&mut self) {
        if let Some(probe) = self.pools.poll_probe(self.now, |_| true) {
            self.probes += 1;
            self.fly(probe.ticket, None, probe.host.0 as u32 - 1);
        }
    }

    fn fly(&mut self, ticket: Ticket, page: Option<Page>, host: u32) {
        self.requests += 1;
        self.took[ticket.proxy.index()] += 1;
        let takes = Duration::from_millis(self.dice.random_range(50..400));
        self.flights
            .push(Reverse((self.now + takes, self.out.len() as u64)));
        self.out.push(Some(Flight { ticket, page, host }));
    }

    fn land(&mut self) {
        while let Some(Reverse((at, place))) = self.flights.peek().copied() {
            if at > self.now {
                return;
            }
            self.flights.pop();
            let flight = self.out[place as usize].take().expect("each lands once");
            self.end(flight, at);
        }
    }

    fn end(&mut self, flight: Flight, at: Time) {
        let proxy = flight.ticket.proxy.index();
        let by_proxy = self.dice.random_bool(self.proxy_fails[proxy]);
        let by_host = self.dice.random_bool(self.host_fails[flight.host as usize]);
        let is_bad = proxy < self.mix.bad_proxies as usize;
        self.wasted += u32::from(by_proxy && is_bad);
        let seen = if by_proxy || by_host {
            Seen::Unsure
        } else {
            Seen::Worked
        };
        match flight.page {
            None => self
                .pools
                .report_probe(flight.ticket, seen, at, &mut self.dice),
            Some(mut page) => {
                let ask = ask(page.host, Some(page.request));
                let charge = self.pools.report(flight.ticket, seen, at, &mut self.dice);
                let is_wrong = by_proxy && !by_host && is_bad && charge == Charge::Host;
                self.hosts_charged += u32::from(is_wrong);
                page.failures += 1;
                if seen == Seen::Worked {
                    self.pools.came(&ask, || url(page.host), at);
                    self.pools.forget(page.request);
                } else if page.failures >= ATTEMPTS {
                    self.pools.forget(page.request);
                } else if charge == Charge::Host {
                    let most = f64::from(1 << page.failures.min(6));
                    let wait = Duration::from_secs_f64(self.dice.random_range(0.0..most));
                    let Page {
                        request,
                        host,
                        failures,
                    } = page;
                    self.waiting
                        .push(Reverse((at + wait, request.0, host, failures)));
                } else {
                    self.again.push_back(page);
                }
            }
        }
        for event in self.pools.take_events() {
            if let Event::LeftOut { proxy, .. } = event {
                self.left_out.insert(proxy.to_string());
            }
        }
    }

    /// A page whose wait is over.
    fn due(&mut self) -> Option<Page> {
        let Reverse((at, request, host, failures)) = self.waiting.peek().copied()?;
        if at > self.now {
            return None;
        }
        self.waiting.pop();
        Some(Page {
            request: RequestId(request),
            host,
            failures,
        })
    }

    fn next_page(&mut self) -> Page {
        self.pages += 1;
        let host = if self.dice.random_bool(self.mix.hot) {
            0
        } else {
            self.zipf()
        };
        Page {
            request: RequestId(self.pages),
            host,
            failures: 0,
        }
    }

    /// A host, the n-th with a weight of 1 / n.
    fn zipf(&mut self) -> u32 {
        let all: f64 = (1..=self.mix.hosts).map(|n| 1.0 / f64::from(n)).sum();
        let mut left = self.dice.random_range(0.0..all);
        for host in 0..self.mix.hosts {
            left -= 1.0 / f64::from(host + 1);
            if left <= 0.0 {
                return host;
            }
        }
        self.mix.hosts - 1
    }

    fn look(&mut self) {
        let mut look = Look::default();
        for n in 0..self.mix.proxies {
            let is_bad = n < self.mix.bad_proxies;
            let is_out = self.left_out.contains(&format!("p{n}"));
            let was_used = self.took[n as usize] >= USED;
            look.found += u32::from(is_bad && is_out);
            look.missed += u32::from(is_bad && !is_out && was_used);
            look.accused += u32::from(!is_bad && is_out);
        }
        self.looks.push(look);
    }
}

fn ask(host: u32, request: Option<RequestId>) -> Ask {
    Ask {
        host: HostId(i64::from(host) + 1),
        party: Party(u64::from(host)),
        request,
    }
}

fn url(host: u32) -> CanonicalUrl {
    CanonicalUrl::parse(&format!("http://h{host}.example/")).expect("it is one")
}

/// The scores as a table.
pub fn table(scores: &[Score]) -> String {
    let mut text = String::from(
        "mix          found at 300  1000  3000   of used at 300  1000  3000   accused at 300  1000  3000   \
         hosts charged  probes  wasted\n",
    );
    for score in scores {
        let [a, b, c] = score.found;
        let [d, e, f] = score.found_of_used;
        let [x, y, z] = score.accused;
        text += &format!(
            "{:<12} {a:>12.2} {b:>5.2} {c:>5.2}   {d:>14.2} {e:>5.2} {f:>5.2}   {x:>14.2} {y:>5.2} {z:>5.2}   \
             {:>13.1} {:>7.1} {:>7.1}\n",
            score.mix, score.hosts_charged, score.probes, score.wasted
        );
    }
    text
}
