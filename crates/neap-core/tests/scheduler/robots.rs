//! Do robots files come first, and only for those who obey them?

use std::time::Duration;

use neap_core::HostId;
use neap_core::scheduler::JobSettings;

use super::pages;
use super::support::{Host, Robots, State, World, job, secs};

#[test]
fn robots_come_first_for_jobs_that_obey_and_hold_nobody_else_back() {
    let mut host = Host::new(8, 20).with_robots(Robots::UnreachableUntil(20.0));
    host.service = Duration::from_millis(50);
    let mut world = World::new(10, 8, vec![host]);
    // That nothing of job 1 goes out before is checked at every start.
    world.add_job(
        1,
        JobSettings {
            obeys_robots: true,
            ..job()
        },
        pages(1, 20),
    );
    world.add_job(2, job(), pages(1, 20));
    world.run_until(|world| world.store.done(2, 1) == 20);
    assert!(
        world.now < secs(10.0),
        "job 2 waited for robots: {:?}",
        world.now
    );
    assert_eq!(world.ended(1, State::Ready), 20);
    world.run();
    assert_eq!(world.ended(1, State::Done), 20);
    let asked: Vec<_> = world.robots_asked.iter().map(|(at, _)| *at).collect();
    assert!((2..=6).contains(&asked.len()), "{asked:?}");
    let waits = asked.windows(2).map(|pair| pair[1].since(pair[0]));
    assert!(
        waits.min() >= Some(world.robots_wait),
        "asked too soon: {asked:?}"
    );
}

#[test]
fn a_job_that_obeys_gets_its_robots_file_from_a_host_that_others_use_already() {
    let mut world = World::new(11, 8, vec![Host::new(8, 50)]);
    world.add_job(1, job(), pages(1, 500));
    world.run_until(|world| world.sent.len() > 20);
    world.add_job(
        2,
        JobSettings {
            obeys_robots: true,
            ..job()
        },
        pages(1, 20),
    );
    world.run();
    assert_eq!(world.ended(2, State::Done), 20);
    assert_eq!(world.robots_asked.len(), 1);
}

/// A host whose robots file is known, with a job at work on it that goes on for long.
fn crawled(seed: u64) -> World {
    let mut world = World::new(seed, 8, vec![Host::new(8, 50)]);
    let settings = JobSettings {
        obeys_robots: true,
        ..job()
    };
    world.add_job(1, settings.clone(), pages(1, 500));
    world.run_until(|world| world.store.done(1, 1) > 20);
    // That nothing of it goes out before it knows the file is checked at every start.
    world.add_job(2, settings, pages(1, 20));
    world
}

#[test]
fn a_job_that_comes_late_hears_what_the_known_robots_file_says_to_it() {
    let mut world = crawled(15);
    let delay = Duration::from_secs(1);
    world.robots_stored.insert(HostId(1), Some(delay));
    world.run_until(|world| world.store.done(2, 1) > 0);
    let (came, sent) = (world.now, world.sent.len());
    world.run();
    assert_eq!(world.ended(2, State::Done), 20);
    assert_eq!(
        world.robots_asked.len(),
        1,
        "what is stored need not be asked"
    );
    let after: Vec<_> = world.sent[sent..].iter().map(|sent| sent.at).collect();
    let gaps = after.windows(2).map(|pair| pair[1].since(pair[0]));
    assert!(
        gaps.min() >= Some(delay - Duration::from_millis(1)),
        "after {came:?}: {after:?}"
    );
}

#[test]
fn a_robots_file_that_is_stale_is_asked_for_again_when_a_job_comes_late() {
    let mut world = crawled(16);
    world.robots_stored.clear();
    world.run();
    assert_eq!(world.ended(1, State::Done), 500);
    assert_eq!(world.ended(2, State::Done), 20);
    assert_eq!(world.robots_asked.len(), 2);
}

#[test]
fn a_host_whose_robots_file_stays_unreachable_is_given_up() {
    let host = Host::new(8, 50).with_robots(Robots::UnreachableUntil(1e9));
    let mut world = World::new(12, 8, vec![host, Host::new(8, 50)]);
    let settings = JobSettings {
        obeys_robots: true,
        ..job()
    };
    world.add_job(1, settings, [pages(1, 20), pages(2, 20)].concat());
    world.run();
    assert_eq!(world.given_up, [HostId(1)]);
    assert_eq!(
        (world.ended(1, State::Failed), world.ended(1, State::Done)),
        (20, 20)
    );
    assert!(
        (60.0..120.0).contains(&world.now.as_secs_f64()),
        "{:?}",
        world.now
    );
}

#[test]
fn a_host_that_was_given_up_is_asked_for_robots_no_more() {
    let dead = Host::new(8, 50).with_robots(Robots::UnreachableUntil(1e9));
    let mut world = World::new(13, 8, vec![dead, Host::new(1, 1000)]);
    let settings = JobSettings {
        obeys_robots: true,
        ..job()
    };
    world.add_job(1, settings, [pages(1, 20), pages(2, 600)].concat());
    let asked = |world: &World| {
        let hosts = world.robots_asked.iter().map(|(_, host)| *host);
        hosts.filter(|host| *host == HostId(1)).count()
    };
    world.run_until(|world| !world.given_up.is_empty());
    let before = asked(&world);
    world.run();
    assert!(
        world.now > secs(500.0),
        "the other host goes on long after: {:?}",
        world.now
    );
    assert_eq!(asked(&world), before);
}

#[test]
fn pages_of_a_host_are_not_given_up_for_a_robots_file_that_their_job_ignores() {
    let host = Host::new(8, 500).with_robots(Robots::UnreachableUntil(1e9));
    let mut world = World::new(14, 1, vec![host]);
    world.add_job(
        1,
        JobSettings {
            obeys_robots: true,
            ..job()
        },
        pages(1, 20),
    );
    world.add_job(
        2,
        JobSettings {
            give_up_after: Duration::from_secs(30),
            ..job()
        },
        pages(1, 2000),
    );
    world.run();
    assert_eq!(world.ended(2, State::Done), 2000);
    assert_eq!(world.ended(1, State::Failed), 20);
}
