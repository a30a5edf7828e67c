//! Do turns go and wait as they should, and is nothing of them left behind?

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::*;
use crate::CanonicalUrl;
use crate::job::LimitKey;
use crate::limiter::{HostLimiter, Reason, Signal, SignalKind};
use crate::scheduler::{JobSettings, MAX_CHANGES, MAX_LANES, Position, Refill, Token, Wake};
use crate::{Host, UnixMs};

const JOB: JobId = JobId(1);
const HOST: HostId = HostId(1);
/// The number of a request that may have crashed the process.
const SUSPECT: i64 = 1_000_000;

fn settings() -> JobSettings {
    JobSettings {
        per_host: 16,
        spacing: Duration::ZERO,
        key: LimitKey::Host,
        retry_budget: Some(0.2),
        obeys_robots: false,
        crawl_delay_max: Duration::from_secs(30),
        give_up_after: Duration::from_secs(600),
        pages_left: None,
    }
}

fn row(job: JobId, host: HostId, number: i64) -> Ready {
    let request = RequestId(number);
    Ready {
        request,
        job,
        host,
        url: CanonicalUrl::parse("http://a.example/").unwrap(),
        depth: 0,
        hops: 0,
        charged: 0,
        deferrals: 0,
        lost: if number == SUSPECT {
            LOST_TO_SUSPECT
        } else {
            0
        },
        earlier: 0,
        position: Position {
            priority: 0,
            due_ms: 0,
            request,
        },
    }
}

/// A scheduler that is about to read the first request of each of these jobs for one host.
fn with_jobs(jobs: i64, settings: &JobSettings) -> (Scheduler, Vec<Refill>) {
    let mut scheduler = Scheduler::new(64);
    for job in (1..=jobs).map(JobId) {
        scheduler.add_job(job, settings.clone());
        scheduler.handle_ready(job, HOST, row(job, HOST, job.0).position);
    }
    load(&mut scheduler, HOST);
    let refills = std::iter::from_fn(|| scheduler.poll_refill()).collect();
    (scheduler, refills)
}

fn load(scheduler: &mut Scheduler, host: HostId) {
    let name = Host::parse(&format!("http://h{host}.example")).unwrap();
    scheduler.handle_host(host, &name, None, None, Time::ZERO, UnixMs(0));
}

fn bring(scheduler: &mut Scheduler, refill: &Refill, numbers: impl Iterator<Item = i64>) {
    let rows: Vec<_> = numbers.map(|n| row(refill.job, refill.host, n)).collect();
    let last = rows.last().map(|row| row.position);
    scheduler.handle_refilled(refill, rows, last, true);
}

fn assert_nothing_is_left(scheduler: &Scheduler) {
    assert!(scheduler.lanes.is_empty(), "{:?}", scheduler.lanes);
    assert!(scheduler.owned.is_empty(), "{:?}", scheduler.owned);
    assert_eq!((scheduler.buffered, scheduler.ordered), (0, 0));
    assert!(scheduler.ring.is_empty() && scheduler.hungry.is_empty());
    let mut doors = scheduler.hosts.values().filter_map(|host| host.door);
    let door = |id| scheduler.doors.get(id).unwrap();
    assert!(doors.all(|id| door(id).has_nobody_waiting() && door(id).fresh == 0));
}

#[test]
fn a_host_has_one_timer_however_many_lanes_wait_for_it() {
    let spaced = JobSettings {
        spacing: Duration::from_secs(1),
        ..settings()
    };
    let (mut scheduler, refills) = with_jobs(20, &spaced);
    for refill in &refills {
        bring(&mut scheduler, refill, std::iter::once(refill.job.0));
    }
    for millis in 0..3000 {
        let now = Time::from_micros(millis * 1000);
        while scheduler.poll_dispatch(now).is_some() {}
        assert!(scheduler.doors.timer_count() <= 1, "{:?}", scheduler.doors);
        assert_eq!(
            scheduler.doors.get(DoorId(HOST)).unwrap().timer.is_some(),
            scheduler.doors.next_timer().is_some()
        );
    }
    assert!(scheduler.busy() >= 2);
}

#[test]
fn a_paused_job_sends_nothing_until_it_is_continued_and_announced_again() {
    let (mut scheduler, refills) = with_jobs(2, &settings());
    bring(&mut scheduler, &refills[0], [1, SUSPECT].into_iter());
    scheduler.pause_job(JOB);
    // A read that was under way, and news of work: neither is for a paused job.
    let (mut other, paused) = (refills[1], refills[0]);
    bring(&mut scheduler, &other, std::iter::once(2));
    scheduler.handle_ready(JOB, HOST, row(JOB, HOST, 3).position);
    scheduler.handle_promoted(vec![row(JOB, HOST, 4)]);
    let sent = |scheduler: &mut Scheduler| match scheduler.poll_dispatch(Time::ZERO)? {
        Dispatch::Request { request, .. } => Some(request.request.0),
        Dispatch::Robots { .. } => None,
    };
    assert_eq!(sent(&mut scheduler), Some(2), "the other job goes on");
    assert_eq!(sent(&mut scheduler), None);
    assert!(scheduler.poll_refill().is_none());
    scheduler.continue_job(JOB);
    assert!(
        scheduler.poll_refill().is_none(),
        "nothing is announced yet"
    );
    scheduler.handle_ready(JOB, HOST, row(JOB, HOST, 1).position);
    other = scheduler.poll_refill().unwrap();
    assert_eq!((other.job, other.host), (JOB, paused.host));
    assert!(
        other.after < row(JOB, HOST, 1).position,
        "from the first on"
    );
    bring(&mut scheduler, &other, [1, 3].into_iter());
    assert_eq!(sent(&mut scheduler), Some(1));
}

#[test]
fn the_earliest_of_two_times_wakes_a_host() {
    let (mut scheduler, _) = with_jobs(1, &settings());
    for seconds in [5.0, 1.0, 9.0] {
        let at = Time::from_secs_f64(seconds);
        scheduler.doors.wake_at(DoorId(HOST), at, Hold::Pace);
    }
    assert_eq!(
        scheduler.poll_timeout(),
        Some((Time::from_secs_f64(1.0), Wake::Host(HOST, Hold::Pace)))
    );
    scheduler.wake_doors(Time::from_secs_f64(1.0));
    assert_eq!(scheduler.poll_timeout(), None);
}

#[test]
fn room_for_a_page_passes_by_a_lane_whose_host_is_held() {
    let mut scheduler = Scheduler::new(64);
    let narrow = JobSettings {
        per_host: 1,
        ..settings()
    };
    let one_page = JobSettings {
        pages_left: Some(1),
        ..narrow.clone()
    };
    scheduler.add_job(JOB, one_page);
    scheduler.add_job(JobId(2), narrow);
    let lanes = [(JOB, 1), (JOB, 2), (JOB, 3), (JobId(2), 2)];
    for (number, (job, host)) in (1..).zip(lanes) {
        let host = HostId(host);
        scheduler.handle_ready(job, host, row(job, host, number).position);
        load(&mut scheduler, host);
        let refill = scheduler.poll_refill().unwrap();
        bring(&mut scheduler, &refill, std::iter::once(number));
    }
    let sent = |scheduler: &mut Scheduler| {
        let dispatch = scheduler.poll_dispatch(Time::ZERO)?;
        match dispatch {
            Dispatch::Request { request, .. } => Some((request.job, request.host)),
            Dispatch::Robots { .. } => None,
        }
    };
    assert_eq!(sent(&mut scheduler), Some((JOB, HOST)));
    assert_eq!(sent(&mut scheduler), Some((JobId(2), HostId(2))));
    assert_eq!(sent(&mut scheduler), None, "job 1 may have its page");
    scheduler.handle_verdict(JOB, false);
    assert_eq!(
        sent(&mut scheduler),
        Some((JOB, HostId(3))),
        "host 2 is full"
    );
}

#[test]
fn work_that_is_dropped_leaves_nothing_behind() {
    let drops: [fn(&mut Scheduler); 3] = [
        |scheduler| assert!(scheduler.give_up(HOST) && !scheduler.give_up(HOST)),
        |scheduler| scheduler.remove_job(JOB),
        |scheduler| {
            scheduler.given_up.push_back(HOST);
            assert_eq!(scheduler.poll_given_up(), Some(HOST));
        },
    ];
    for drop_work in drops {
        // In the ring; parked at its host; and with a refill under way.
        for (spacing, polls, is_reading) in [(0, 0, false), (9, 2, false), (0, 0, true)] {
            let spaced = JobSettings {
                spacing: Duration::from_secs(spacing),
                ..settings()
            };
            let (mut scheduler, refills) = with_jobs(1, &spaced);
            let rows = || (1..9).chain([SUSPECT]);
            if !is_reading {
                bring(&mut scheduler, &refills[0], rows());
            }
            for _ in 0..polls {
                if let Some(Dispatch::Request { request, .. }) = scheduler.poll_dispatch(Time::ZERO)
                {
                    scheduler.handle_worker_free();
                    scheduler.handle_recorded(request.request);
                }
            }
            drop_work(&mut scheduler);
            if is_reading {
                bring(&mut scheduler, &refills[0], rows());
            }
            assert!(scheduler.poll_dispatch(Time::ZERO).is_none());
            assert!(scheduler.poll_refill().is_none());
            assert_nothing_is_left(&scheduler);
        }
    }
}

#[test]
fn a_lane_that_was_dropped_and_comes_back_has_one_turn() {
    let (mut scheduler, refills) = with_jobs(1, &settings());
    bring(&mut scheduler, &refills[0], 1..9);
    scheduler.give_up(HOST);
    scheduler.handle_ready(JOB, HOST, row(JOB, HOST, 20).position);
    let refill = scheduler.poll_refill().unwrap();
    bring(&mut scheduler, &refill, 20..30);
    assert_eq!(scheduler.ring, [Turn::Lane(JOB, HOST)]);
}

#[test]
fn what_a_refill_brings_of_dropped_work_is_not_sent() {
    let (mut scheduler, refills) = with_jobs(1, &settings());
    scheduler.give_up(HOST);
    scheduler.handle_ready(JOB, HOST, row(JOB, HOST, 20).position);
    bring(&mut scheduler, &refills[0], 1..9);
    assert!(scheduler.poll_dispatch(Time::ZERO).is_none());
    let refill = scheduler.poll_refill().unwrap();
    assert!(refill.after < row(JOB, HOST, 20).position);
}

#[test]
fn a_read_that_began_before_the_record_does_not_bring_a_request_back() {
    let (mut scheduler, refills) = with_jobs(1, &settings());
    bring(&mut scheduler, &refills[0], 1..2);
    assert!(scheduler.poll_dispatch(Time::ZERO).is_some());
    scheduler.handle_ready(JOB, HOST, row(JOB, HOST, 0).position);
    let refill = scheduler.poll_refill().unwrap();
    scheduler.handle_recorded(RequestId(1));
    bring(&mut scheduler, &refill, 0..2);
    let sent: Vec<_> = std::iter::from_fn(|| scheduler.poll_dispatch(Time::ZERO)).collect();
    assert!(matches!(&sent[..], [Dispatch::Request { request, .. }] if request.request.0 == 0));
}

#[test]
fn a_request_that_is_ready_again_before_word_of_its_record_is_looked_up() {
    let (mut scheduler, refills) = with_jobs(1, &settings());
    bring(&mut scheduler, &refills[0], 1..2);
    assert!(scheduler.poll_dispatch(Time::ZERO).is_some());
    scheduler.handle_promoted(vec![row(JOB, HOST, 1)]);
    let early = scheduler.poll_refill();
    if let Some(refill) = early {
        bring(&mut scheduler, &refill, 1..2);
    }
    scheduler.handle_recorded(RequestId(1));
    let refill = scheduler.poll_refill().expect("it is looked up once more");
    assert!(refill.after < row(JOB, HOST, 1).position);
    bring(&mut scheduler, &refill, 1..2);
    assert!(scheduler.poll_dispatch(Time::ZERO).is_some());
}

#[test]
fn what_a_host_takes_in_tables() {
    let sizes = [
        ("limiter", size_of::<HostLimiter>()),
        ("door", size_of::<Door>()),
        ("host", size_of::<HostEntry>()),
        ("lane", size_of::<Lane>()),
    ];
    println!("bytes: {sizes:?}");
    let entry: usize = sizes[1..3].iter().map(|(_, bytes)| bytes).sum();
    assert!(entry <= 1024, "{sizes:?}");
}

#[test]
fn hosts_beyond_the_lanes_wait_in_the_store_and_have_their_turn() {
    let (mut scheduler, mut dice) = (Scheduler::new(64), SmallRng::seed_from_u64(1));
    scheduler.add_job(JOB, settings());
    let hosts = 3 * MAX_LANES as i64;
    let announce = |scheduler: &mut Scheduler, from: i64| {
        // More than there may be room for.
        let until = (from + 2000).min(hosts + 1);
        for number in from..until {
            let host = HostId(number);
            scheduler.handle_ready(JOB, host, row(JOB, host, number).position);
            load(scheduler, host);
        }
        let next = (until <= hosts).then_some(HostId(until));
        scheduler.handle_announced(JOB, next);
    };
    announce(&mut scheduler, 1);
    let (mut seen, mut most, mut now) = (BTreeSet::new(), 0, Time::ZERO);
    while seen.len() < hosts as usize {
        while let Some((_, from)) = scheduler.poll_announce() {
            announce(&mut scheduler, from.0);
        }
        most = most.max(scheduler.lanes.len());
        while let Some(refill) = scheduler.poll_refill() {
            let host = refill.host.0;
            bring(&mut scheduler, &refill, host..=host);
        }
        now = now + Duration::from_millis(1);
        let Some(Dispatch::Request { request, token, .. }) = scheduler.poll_dispatch(now) else {
            panic!("{} of {hosts} hosts had their turn", seen.len());
        };
        assert!(seen.insert(request.host), "each once");
        scheduler.handle_report(token, Signal::NOTHING, now, &mut dice);
        scheduler.handle_worker_free();
        scheduler.handle_recorded(request.request);
    }
    assert!((MAX_LANES - 2000..=MAX_LANES).contains(&most), "{most}");
    assert!(scheduler.poll_announce().is_none());
}

#[test]
fn idle_hosts_are_forgotten_and_others_are_not() {
    let (mut scheduler, mut dice) = (Scheduler::new(64), SmallRng::seed_from_u64(1));
    scheduler.add_job(JOB, settings());
    let mut most = 0;
    for number in 1..=3 * REMEMBERED_HOSTS as i64 {
        let host = HostId(number);
        scheduler.handle_ready(JOB, host, row(JOB, host, number).position);
        load(&mut scheduler, host);
        let refill = scheduler.poll_refill().unwrap();
        bring(&mut scheduler, &refill, number..=number);
        let now = Time::from_micros(number as u64 * 1000);
        let Some(Dispatch::Request { token, .. }) = scheduler.poll_dispatch(now) else {
            panic!("host {number} has its turn");
        };
        // The first host never answers.
        if number > 1 {
            let kind = SignalKind::Ok;
            let signal = Signal {
                kind,
                ..Signal::NOTHING
            };
            scheduler.handle_report(token, signal, now, &mut dice);
            scheduler.handle_worker_free();
        }
        if number % 100 == 0 {
            scheduler.take_memories(now, UnixMs(0));
        }
        most = most.max(scheduler.hosts.len());
    }
    assert!(most <= REMEMBERED_HOSTS, "{most}");
    assert!(scheduler.hosts.contains_key(&HostId(1)));
}

#[test]
fn every_change_of_a_limit_is_told_once_from_the_start_on() {
    let (mut scheduler, refills) = with_jobs(1, &settings());
    let reasons = |scheduler: &mut Scheduler| -> Vec<_> {
        let changes = scheduler.take_changes().into_iter();
        changes.map(|(_, change)| change.reason).collect()
    };
    assert_eq!(reasons(&mut scheduler), [Reason::Start]);
    assert_eq!(reasons(&mut scheduler), []);
    bring(&mut scheduler, &refills[0], 1..2);
    // Another job allows the host one request at a time.
    let careful = JobSettings {
        per_host: 1,
        ..settings()
    };
    scheduler.add_job(JobId(2), careful);
    scheduler.handle_ready(JobId(2), HOST, row(JobId(2), HOST, 2).position);
    assert_eq!(reasons(&mut scheduler), [Reason::Ceiling]);
    assert_eq!(scheduler.host(HOST, Time::ZERO).unwrap().limit, 1.0);
}

#[test]
fn changes_for_which_there_is_no_room_are_told_the_next_time() {
    let (mut scheduler, hosts) = (Scheduler::new(64), MAX_CHANGES as i64 + 5);
    scheduler.add_job(JOB, settings());
    for number in 1..=hosts {
        let host = HostId(number);
        scheduler.handle_ready(JOB, host, row(JOB, host, number).position);
        load(&mut scheduler, host);
    }
    let first = scheduler.take_changes();
    assert_eq!(first.len(), MAX_CHANGES);
    let rest = scheduler.take_changes();
    assert_eq!((rest.len(), scheduler.take_changes().len()), (5, 0));
    let told: BTreeSet<_> = first.iter().chain(&rest).map(|(host, _)| *host).collect();
    assert_eq!(told.len() as i64, hosts, "each of them once");
}

#[test]
fn a_host_is_written_down_whenever_something_changed() {
    let (mut scheduler, refills) = with_jobs(1, &settings());
    let mut dice = SmallRng::seed_from_u64(1);
    let taken = |scheduler: &mut Scheduler, now| scheduler.take_memories(now, UnixMs(0));
    assert_eq!(taken(&mut scheduler, Time::ZERO), []);
    bring(&mut scheduler, &refills[0], 1..2);
    let Some(Dispatch::Request { token, .. }) = scheduler.poll_dispatch(Time::ZERO) else {
        panic!("it has its turn");
    };
    let (view, _) = taken(&mut scheduler, Time::ZERO).remove(0);
    assert_eq!((view.in_flight, view.rate > 0.0, view.p95), (1, true, None));
    let now = Time::from_secs_f64(0.3);
    let signal = Signal {
        kind: SignalKind::Ok,
        latency: Some(Duration::from_millis(250)),
        ..Signal::NOTHING
    };
    scheduler.handle_report(token, signal, now, &mut dice);
    let (view, _) = taken(&mut scheduler, now).remove(0);
    assert_eq!(
        (view.in_flight, view.p95),
        (0, Some(Duration::from_millis(250)))
    );
    // Its pace goes down by itself, and is written down until it is none.
    let (view, _) = taken(&mut scheduler, now).remove(0);
    assert!(view.rate > 0.05, "{view:?}");
    let later = Time::from_secs_f64(60.0);
    assert_eq!(taken(&mut scheduler, later), []);
}

/// The number of the first request of a host; none is [`SUSPECT`].
fn first_of(host: HostId) -> i64 {
    host.0 * 10_000 + 1
}

/// Hosts of one domain, each with so many requests in memory, that share a door for which all of them wait.
fn behind_one_door(hosts: i64, requests: i64, settings: &JobSettings) -> Scheduler {
    let mut scheduler = Scheduler::new(1000);
    let shared = JobSettings {
        key: LimitKey::Domain,
        ..settings.clone()
    };
    scheduler.add_job(JOB, shared);
    for number in 1..=hosts {
        let host = HostId(number);
        scheduler.handle_ready(JOB, host, row(JOB, host, first_of(host)).position);
        let name = Host::parse(&format!("http://h{number}.shop.example")).unwrap();
        scheduler.handle_host(host, &name, None, None, Time::ZERO, UnixMs(0));
        while let Some(refill) = scheduler.poll_refill() {
            let first = first_of(refill.host);
            bring(&mut scheduler, &refill, first..first + requests);
        }
    }
    scheduler
}

#[test]
fn a_permit_that_comes_back_is_offered_to_one_of_those_who_wait() {
    let (mut scheduler, mut dice) = (
        behind_one_door(2000, 3, &settings()),
        SmallRng::seed_from_u64(1),
    );
    let now = Time::ZERO;
    let mut out: VecDeque<_> = all_out(&mut scheduler, now).into();
    assert!(!out.is_empty() && scheduler.ring.is_empty());
    for step in 0..500 {
        let (request, token) = out.pop_front().expect("something is out");
        scheduler.handle_report(token, ok(), now, &mut dice);
        scheduler.handle_worker_free();
        scheduler.handle_recorded(request.request);
        assert!(
            scheduler.ring.len() <= 1,
            "{step}: {}",
            scheduler.ring.len()
        );
        out.extend(all_out(&mut scheduler, now));
    }
}

#[test]
fn hosts_that_share_a_door_go_through_it_in_turns() {
    for spacing in [0, 50] {
        let spaced = JobSettings {
            spacing: Duration::from_millis(spacing),
            ..settings()
        };
        let mut scheduler = behind_one_door(40, 5, &spaced);
        let mut dice = SmallRng::seed_from_u64(1);
        let (mut now, mut order) = (Time::ZERO, Vec::new());
        while order.len() < 200 {
            for (request, token) in all_out(&mut scheduler, now) {
                order.push(request.host);
                scheduler.handle_report(token, ok(), now, &mut dice);
                scheduler.handle_worker_free();
                scheduler.handle_recorded(request.request);
            }
            now = now + Duration::from_millis(10);
            assert!(now < Time::from_secs_f64(60.0), "{spacing}: {order:?}");
        }
        // Whoever is first again waited for the others.
        for (round, hosts) in order.chunks(40).enumerate() {
            let hosts: BTreeSet<HostId> = hosts.iter().copied().collect();
            assert!(hosts.len() >= 38, "{spacing}, {round}: {order:?}");
        }
    }
}

#[test]
fn retries_that_cannot_be_paid_do_not_keep_fresh_requests_of_other_hosts_waiting() {
    let none = JobSettings {
        retry_budget: Some(0.0),
        ..settings()
    };
    let mut scheduler = behind_one_door(60, 2, &none);
    let mut dice = SmallRng::seed_from_u64(1);
    let (mut now, mut fresh, mut retries) = (Time::ZERO, 0, 0);
    // Every second host has nothing but retries once its first request has failed.
    while fresh < 120 || retries < 30 {
        for (request, token) in all_out(&mut scheduler, now) {
            let is_retry = request.has_failed();
            let is_first = request.request.0 == first_of(request.host);
            let fails = !is_retry && is_first && request.host.0 % 2 == 1;
            (fresh, retries) = (
                fresh + usize::from(!is_retry),
                retries + usize::from(is_retry),
            );
            scheduler.handle_report(token, ok(), now, &mut dice);
            scheduler.handle_worker_free();
            scheduler.handle_recorded(request.request);
            if fails {
                let mut again = request.clone();
                again.charged = 1;
                again.position.due_ms = 1;
                scheduler.handle_promoted(vec![again]);
            }
        }
        if fresh == 120 {
            // Only now may those go for which nothing was earned beyond the allowance.
            assert!(retries >= 10);
        } else {
            assert!(retries <= 10, "{retries} retries beside {fresh} others");
        }
        while let Some(refill) = scheduler.poll_refill() {
            bring(&mut scheduler, &refill, 0..0);
        }
        now = now + Duration::from_millis(10);
        assert!(
            now < Time::from_secs_f64(60.0),
            "{fresh} {retries}: {scheduler:?}"
        );
    }
}

fn ok() -> Signal {
    Signal {
        kind: SignalKind::Ok,
        latency: Some(Duration::from_millis(10)),
        ..Signal::NOTHING
    }
}

/// Everything that may go out now.
fn all_out(scheduler: &mut Scheduler, now: Time) -> Vec<(Ready, Token)> {
    std::iter::from_fn(|| match scheduler.poll_dispatch(now)? {
        Dispatch::Request { request, token, .. } => Some((request, token)),
        Dispatch::Robots { .. } => None,
    })
    .collect()
}
