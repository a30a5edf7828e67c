//! Does a job that goes through proxies send what it can, and wait for what it cannot?

use std::time::Duration;

use neap_core::egress::{Charge, Member, PoolSettings, Pools, Seen, Select, Sticky, Ticket};
use neap_core::limiter::{Signal, SignalKind};
use neap_core::scheduler::{Dispatch, JobSettings, Position, Ready, Scheduler, Token, Wake};
use neap_core::{CanonicalUrl, Host, HostId, JobId, RequestId, Time, UnixMs};
use rand::SeedableRng;
use rand::rngs::SmallRng;

use crate::support::job as settings;

const JOB: JobId = JobId(1);
const OTHER: JobId = JobId(2);

/// What is in flight.
struct Flight {
    job: JobId,
    request: Option<RequestId>,
    host: HostId,
    token: Token,
    way: Option<Ticket>,
}

/// A run with a job through `proxies` proxies, each of which takes at most one request, and another job that goes directly.
struct Bed {
    scheduler: Scheduler,
    dice: SmallRng,
    now: Time,
}

impl Bed {
    fn new(proxies: u64, settings: &JobSettings) -> Bed {
        let pool = PoolSettings {
            name: "pool".into(),
            select: Select::RoundRobin,
            sticky: Sticky::None,
            max_per_proxy: 1,
            fallback: None,
        };
        let mut scheduler = Scheduler::new(64);
        scheduler.add_job(JOB, settings.clone());
        scheduler.add_job(OTHER, settings.clone());
        scheduler.set_pools(JOB, Pools::new(vec![pool], 1));
        let mut bed = Bed {
            scheduler,
            dice: SmallRng::seed_from_u64(1),
            now: Time::ZERO,
        };
        bed.list(0..proxies);
        bed
    }

    /// The pool has these proxies from now on.
    fn list(&mut self, marks: std::ops::Range<u64>) {
        let member = |mark| Member {
            name: format!("p{mark}").into(),
            is_direct: false,
            mark,
        };
        let members: Vec<Member> = marks.map(member).collect();
        self.scheduler.set_members(JOB, 0, &members, self.now);
    }

    /// A job has requests with these numbers for a host.
    fn add(&mut self, job: JobId, host: i64, numbers: std::ops::Range<i64>) {
        let host = HostId(host);
        let row = |number| Ready {
            request: RequestId(number),
            job,
            host,
            url: CanonicalUrl::parse("http://a.example/").expect("a plain URL"),
            depth: 0,
            hops: 0,
            charged: 0,
            deferrals: 0,
            lost: 0,
            earlier: 0,
            position: Position {
                priority: 0,
                due_ms: 0,
                request: RequestId(number),
            },
        };
        let rows: Vec<Ready> = numbers.map(row).collect();
        self.scheduler.handle_ready(job, host, rows[0].position);
        let name = Host::parse(&format!("http://h{host}.example")).expect("a plain host");
        let (now, scheduler) = (self.now, &mut self.scheduler);
        scheduler.handle_host(host, &name, None, None, now, UnixMs(0));
        if let Some(refill) = scheduler.poll_refill() {
            let last = rows.last().map(|row| row.position);
            scheduler.handle_refilled(&refill, rows, last, true);
        }
    }

    /// Everything that may go out now.
    fn send(&mut self) -> Vec<Flight> {
        let mut flights = Vec::new();
        while let Some(dispatch) = self.scheduler.poll_dispatch(self.now) {
            let (job, host, request, token) = match dispatch {
                Dispatch::Request { request, token, .. } => {
                    (request.job, request.host, Some(request.request), token)
                }
                Dispatch::Robots { host, job, token } => (job, host, None, token),
            };
            let (now, dice) = (self.now, &mut self.dice);
            let way = self.scheduler.take_way(job, host, request, now, dice);
            assert_eq!(way.is_some(), job == JOB, "a way for every job with pools");
            flights.push(Flight {
                job,
                request,
                host,
                token,
                way,
            });
        }
        flights
    }

    /// A request comes home; says who is charged.
    fn land(&mut self, flight: Flight, seen: Seen) -> Charge {
        let Flight {
            job,
            request,
            token,
            way,
            ..
        } = flight;
        let (now, dice) = (self.now, &mut self.dice);
        let charge = way.map_or(Charge::Nobody, |way| {
            self.scheduler.return_way(job, way, seen, now, dice)
        });
        let kind = if charge == Charge::Nobody {
            SignalKind::Ok
        } else {
            SignalKind::Nothing
        };
        let signal = Signal {
            kind,
            ..Signal::NOTHING
        };
        self.scheduler.handle_report(token, signal, now, dice);
        self.scheduler.handle_verdict(job, true);
        self.scheduler.handle_worker_free();
        if let Some(request) = request {
            self.scheduler.handle_recorded(request);
        }
        charge
    }
}

#[test]
fn what_finds_no_proxy_waits_and_goes_when_one_is_free() {
    let mut bed = Bed::new(2, &settings());
    for host in 1..=6 {
        bed.add(JOB, host, host * 10..host * 10 + 2);
    }
    let mut sent = 0;
    let mut out = bed.send();
    assert_eq!(out.len(), 2, "two proxies take one request each");
    while let Some(flight) = out.pop() {
        sent += 1;
        bed.land(flight, Seen::Worked);
        out.extend(bed.send());
        assert!(out.len() <= 2);
        assert!(
            sent + out.len() >= 12.min(sent + 2),
            "a free proxy stands idle"
        );
    }
    assert_eq!(sent, 12);
}

#[test]
fn a_job_that_waits_for_proxies_holds_no_other_up() {
    let mut bed = Bed::new(1, &settings());
    bed.add(JOB, 1, 10..14);
    bed.add(OTHER, 1, 20..22);
    let out = bed.send();
    let of = |job| out.iter().filter(|flight| flight.job == job).count();
    assert_eq!((of(JOB), of(OTHER)), (1, 1), "the host's limit is two");
}

#[test]
fn with_every_proxy_left_out_the_run_waits_for_the_first_to_be_tried_again() {
    let mut bed = Bed::new(2, &settings());
    for host in 1..=9 {
        bed.add(JOB, host, host * 10..host * 10 + 1);
    }
    let mut failures = 0;
    loop {
        let out = bed.send();
        if out.is_empty() {
            break;
        }
        for flight in out {
            failures += 1;
            let charge = bed.land(flight, Seen::ProxyFailed(SignalKind::Connect));
            assert_eq!(charge, Charge::Proxy);
        }
        bed.now = bed.now + Duration::from_millis(10);
    }
    assert!(
        failures < 9,
        "both are left out before every host was asked"
    );
    let (at, wake) = bed.scheduler.poll_timeout().expect("a time is known");
    assert_eq!(wake, Wake::Proxies(JOB));
    assert_eq!(bed.scheduler.standstill(), Some((at, wake)));
    assert!(at > bed.now);
    bed.now = at;
    let out = bed.send();
    assert_eq!(out.len(), 2, "one request tries each proxy again");
    for flight in out {
        bed.land(flight, Seen::Worked);
    }
    assert!(!bed.send().is_empty(), "it is used again");
}

#[test]
fn wrong_credentials_stop_the_job_until_its_proxies_change() {
    let mut bed = Bed::new(1, &settings());
    bed.add(JOB, 1, 10..13);
    let flight = bed.send().pop().unwrap();
    assert_eq!(
        bed.land(flight, Seen::WrongCredentials),
        Charge::Credentials
    );
    assert!(bed.send().is_empty());
    assert_eq!(bed.scheduler.poll_stopped(), Some(JOB));
    assert_eq!(bed.scheduler.poll_stopped(), None, "it is told once");
    assert_eq!(bed.scheduler.poll_timeout(), None);
    bed.list(5..7);
    assert_eq!(bed.send().len(), 2);
}

#[test]
fn a_robots_file_is_asked_for_through_the_pools_of_the_job() {
    let obeying = JobSettings {
        obeys_robots: true,
        ..settings()
    };
    let mut bed = Bed::new(1, &obeying);
    bed.add(JOB, 1, 10..11);
    let out = bed.send();
    assert!(out.len() == 1 && out[0].request.is_none() && out[0].way.is_some());
    bed.add(JOB, 2, 20..21);
    assert!(bed.send().is_empty(), "the only proxy is taken");
    for flight in out {
        let host = flight.host;
        bed.land(flight, Seen::Worked);
        bed.scheduler.handle_robots(host, None);
    }
    assert_eq!(bed.send().len(), 1);
}

#[test]
fn nothing_goes_out_while_our_own_network_is_down() {
    let mut bed = Bed::new(2, &settings());
    for host in 1..=8 {
        bed.add(OTHER, host, host * 10..host * 10 + 9);
    }
    let out = bed.send();
    let now = bed.now;
    let mut doubts = Vec::new();
    for flight in out {
        doubts.push(bed.scheduler.handle_silence(flight.host, true, now));
        bed.land(flight, Seen::Nothing);
    }
    assert_eq!(doubts[..5], [false, false, false, false, true]);
    assert!(bed.scheduler.poll_canary(now));
    assert!(!bed.scheduler.poll_canary(now), "one is out");
    bed.scheduler.handle_canary(false, now);
    assert!(bed.send().is_empty());
    let (at, wake) = bed.scheduler.poll_timeout().expect("a time is known");
    assert_eq!(wake, Wake::Network);
    bed.now = at;
    assert!(bed.send().is_empty(), "only the canary tells");
    assert!(bed.scheduler.poll_canary(at));
    bed.scheduler.handle_canary(true, at);
    assert!(!bed.send().is_empty());
}
