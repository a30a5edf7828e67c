//! Are ceilings, delays and the bound of memory kept?

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use neap_core::scheduler::{Dispatch, JobSettings, MAX_BUFFERED, Position, Ready, Scheduler};
use neap_core::{CanonicalUrl, HostId, JobId, RequestId, Time};

use super::pages;
use super::support::{Host, Robots, Sent, State, World, job, secs};

#[test]
fn concurrency_is_used_and_never_exceeded() {
    let mut world = World::new(3, 10, vec![Host::new(50, 30); 8]);
    world.add_job(
        1,
        job(),
        (1..=8).flat_map(|host| pages(host, 100)).collect(),
    );
    world.run();
    assert_eq!(world.most_busy, 10);
    assert_eq!(world.ended(1, State::Done), 800);
}

#[test]
fn of_two_jobs_the_stricter_ceiling_holds_until_its_job_is_over() {
    let mut world = World::new(4, 64, vec![Host::new(64, 50)]);
    world.add_job(
        1,
        JobSettings {
            per_host: 12,
            ..job()
        },
        pages(1, 3000),
    );
    world.add_job(
        2,
        JobSettings {
            per_host: 2,
            ..job()
        },
        pages(1, 200),
    );
    // Job 2 is made known within the store's time; what job 1 sent before that comes home.
    world.run_until(|world| world.now > secs(0.2));
    world.most_in_flight.clear();
    world.run_until(|world| world.store.done(2, 1) == 200);
    assert_eq!(world.most_in_flight[&HostId(1)], 2);
    world.run();
    let most = world.most_in_flight[&HostId(1)];
    assert!((3..=12).contains(&most), "{most}");
}

#[test]
fn starts_on_one_host_keep_the_delay() {
    let mut world = World::new(5, 64, vec![Host::new(64, 5), Host::new(64, 5)]);
    let slow = JobSettings {
        spacing: Duration::from_millis(200),
        ..job()
    };
    world.add_job(1, slow, pages(1, 50));
    world.add_job(2, job(), [pages(1, 50), pages(2, 50)].concat());
    world.run();
    // The two lanes of host 1 are made known one after the other, within the store's time; and once
    // job 1 is over, its delay is lifted.
    let last = world
        .sent
        .iter()
        .filter(|s| s.job == JobId(1))
        .map(|s| s.at)
        .max();
    let is_settled = |s: &&Sent| s.at > secs(0.1) && Some(s.at) <= last;
    let settled: Vec<_> = world.sent.iter().filter(is_settled).copied().collect();
    assert!(
        settled.len() > 80,
        "both jobs share host 1: {}",
        settled.len()
    );
    assert!(shortest_gap(&settled, 1) >= Duration::from_millis(200));
    assert!(
        (10.0..25.0).contains(&world.now.as_secs_f64()),
        "{:?}",
        world.now
    );
}

#[test]
fn a_crawl_delay_counts_from_the_robots_file_on() {
    let delay = Duration::from_secs(2);
    let mut world = World::new(
        6,
        64,
        vec![Host::new(9, 5).with_robots(Robots::CrawlDelay(delay))],
    );
    world.add_job(
        1,
        JobSettings {
            obeys_robots: true,
            ..job()
        },
        pages(1, 10),
    );
    world.run();
    assert!(shortest_gap(&world.sent, 1) >= delay);
}

#[test]
fn a_crawl_delay_is_cut_to_what_the_job_honours() {
    let delay = Duration::from_secs(3600);
    let mut world = World::new(
        7,
        64,
        vec![Host::new(9, 5).with_robots(Robots::CrawlDelay(delay))],
    );
    let crawl_delay_max = Duration::from_secs(1);
    world.add_job(
        1,
        JobSettings {
            obeys_robots: true,
            crawl_delay_max,
            ..job()
        },
        pages(1, 10),
    );
    world.run();
    assert!(
        (10.0..13.0).contains(&world.now.as_secs_f64()),
        "{:?}",
        world.now
    );
}

#[test]
fn a_crawl_delay_holds_while_a_job_that_obeys_is_there() {
    let delay = Duration::from_secs(5);
    let host = Host::new(9, 5).with_robots(Robots::CrawlDelay(delay));
    let mut world = World::new(8, 64, vec![host]);
    let obeying = JobSettings {
        obeys_robots: true,
        ..job()
    };
    world.add_job(1, obeying, pages(1, 3));
    world.add_job(2, job(), pages(1, 200));
    world.run_until(|world| world.store.done(1, 1) == 3);
    // The other job's pages take turns with these three.
    assert!(
        (14.0..60.0).contains(&world.now.as_secs_f64()),
        "{:?}",
        world.now
    );
    let then = world.now;
    world.run();
    let rest = world.now.since(then);
    assert!(rest < Duration::from_secs(20), "{rest:?}");
}

#[test]
fn memory_is_bounded_whatever_the_number_of_hosts() {
    const HOSTS: i64 = 5_000;
    let (job_id, row) = (JobId(1), |host: i64, number: i64| {
        ready(host, host * 100 + number)
    });
    let mut scheduler = Scheduler::new(64);
    scheduler.add_job(job_id, job());
    let mut read = BTreeMap::new();
    // Hosts are found one after the other, as in a crawl, and each has more than is taken at a time.
    for host in 1..=HOSTS {
        scheduler.handle_ready(job_id, HostId(host), row(host, 1).position);
        assert_eq!(scheduler.poll_load(), Some(HostId(host)));
        load(&mut scheduler, HostId(host));
        let refills: Vec<_> = std::iter::from_fn(|| scheduler.poll_refill()).collect();
        for refill in refills {
            let from = refill.after.request.0 + 1;
            let numbers = from..from + refill.count as i64;
            let rows: Vec<_> = numbers.map(|number| ready(refill.host.0, number)).collect();
            *read.entry(refill.host).or_insert(0) += rows.len();
            let last = rows.last().map(|row| row.position);
            scheduler.handle_refilled(&refill, rows, last, false);
        }
        // Requests whose wait is over come whether they were asked for or not.
        scheduler.handle_promoted(vec![row(host, 99)]);
        assert!(scheduler.buffered() <= MAX_BUFFERED);
    }
    assert!(read.values().sum::<usize>() > MAX_BUFFERED / 2);
    assert_eq!(
        read.len() as i64,
        HOSTS,
        "those that are found late get their share"
    );
    let first: BTreeSet<HostId> = std::iter::from_fn(|| scheduler.poll_dispatch(Time::ZERO))
        .map(|dispatch| match dispatch {
            Dispatch::Request { request, .. } => request.host,
            Dispatch::Robots { host, .. } => host,
        })
        .collect();
    assert_eq!(first.len(), 64, "hosts take turns");
}

#[test]
fn what_is_asked_of_the_store_fits_into_memory_before_any_of_it_came() {
    let mut scheduler = Scheduler::new(64);
    scheduler.add_job(JobId(1), job());
    for host in 1..=4_000 {
        scheduler.handle_ready(JobId(1), HostId(host), ready(host, 1).position);
        load(&mut scheduler, HostId(host));
    }
    let asked: usize = std::iter::from_fn(|| scheduler.poll_refill())
        .map(|r| r.count)
        .sum();
    assert!((4_000..=MAX_BUFFERED).contains(&asked), "{asked}");
}

fn load(scheduler: &mut Scheduler, host: HostId) {
    let name = neap_core::Host::parse(&format!("http://h{host}.example")).expect("a plain host");
    scheduler.handle_host(host, &name, None, None, Time::ZERO, neap_core::UnixMs(0));
}

pub(super) fn ready(host: i64, number: i64) -> Ready {
    let request = RequestId(number);
    Ready {
        request,
        job: JobId(1),
        host: HostId(host),
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
            request,
        },
    }
}

/// Shortest time between two starts, robots files included.
fn shortest_gap(sent: &[Sent], host: i64) -> Duration {
    let starts: Vec<_> = sent
        .iter()
        .filter(|s| s.host == HostId(host))
        .map(|s| s.at)
        .collect();
    starts
        .windows(2)
        .map(|pair| pair[1].since(pair[0]))
        .min()
        .expect("more than one start")
}
