//! In what order do requests go, and what do those wait for that do not?

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::time::Duration;

use neap_core::scheduler::{Hold, JobSettings, Wake};
use neap_core::{HostId, RequestId};

use super::pages;
use super::support::{Host, Kind, Spec, State, World, job, secs};

#[test]
fn a_retried_request_goes_before_fresh_ones() {
    let flaky = Spec {
        kind: Kind::Flaky(1),
        ..Spec::page(1)
    };
    let mut world = World::new(18, 1, vec![Host::new(1, 100)]);
    world.add_job(1, job(), [vec![flaky], pages(1, 300)].concat());
    world.run();
    let tries: Vec<usize> = (0..)
        .zip(&world.sent)
        .filter(|(_, sent)| sent.request == Some(RequestId(1)))
        .map(|(place, _)| place)
        .collect();
    // The first backoff is a second at most, in which ten others go.
    assert_eq!(tries.len(), 2);
    assert!(tries[1] - tries[0] <= 13, "{tries:?}");
}

#[test]
fn a_suspect_goes_alone_even_if_its_host_is_never_idle() {
    let mut world = World::new(19, 32, vec![Host::new(16, 100), Host::new(16, 100)]);
    let suspects = vec![
        Spec {
            lost: 2,
            ..Spec::page(1)
        };
        3
    ];
    world.add_job(
        1,
        job(),
        [suspects, pages(1, 2000), pages(2, 2000)].concat(),
    );
    world.run_until(|world| world.sent.iter().filter(|s| s.is_alone).count() == 3);
    assert!(
        world.sent.len() < 1000,
        "they waited for {} others",
        world.sent.len()
    );
    // That nothing starts beside them is checked at every start.
    let mut suspects = world.sent.iter().filter(|s| s.is_alone);
    assert!(suspects.all(|suspect| suspect.beside == 0));
    world.run();
    assert_eq!(world.ended(1, State::Done), 4003);
}

#[test]
fn a_suspect_whose_host_is_held_does_not_hold_the_others() {
    let mut world = World::new(20, 16, vec![Host::new(4, 50), Host::new(64, 50)]);
    let slow = JobSettings {
        spacing: Duration::from_secs(20),
        ..job()
    };
    world.add_job(
        1,
        slow,
        vec![
            Spec {
                lost: 2,
                ..Spec::page(1)
            };
            3
        ],
    );
    world.add_job(2, job(), pages(2, 1500));
    world.run_until(|world| world.store.done(2, 2) == 1500);
    assert!(world.now < secs(15.0), "{:?}", world.now);
    world.run();
    assert_eq!(world.ended(1, State::Done), 3);
}

#[test]
fn nothing_new_goes_out_once_a_run_drains() {
    let mut world = World::new(21, 16, vec![Host::new(8, 50).with_outage(1.0, 2.0); 3]);
    world.add_job(
        1,
        job(),
        (1..=3).flat_map(|host| pages(host, 500)).collect(),
    );
    world.run_until(|world| world.now > secs(1.5));
    world.scheduler.drain();
    let before = world.sent.len();
    world.come_home();
    assert_eq!(world.sent.len(), before);
    assert_eq!(world.scheduler.busy(), 0);
    assert_eq!(world.wake(), None);
    let in_flight = world.ended(1, State::InFlight);
    assert_eq!(in_flight, 0, "what was in flight came home");
    assert!(world.open() > 0);
}

#[test]
fn waiting_has_a_time_and_a_reason() {
    let mut world = World::new(22, 4, vec![Host::new(4, 10)]);
    let spacing = Duration::from_secs(7);
    world.add_job(1, JobSettings { spacing, ..job() }, pages(1, 2));
    world.run_until(|world| world.scheduler.busy() == 0 && world.sent.len() == 1);
    let (at, wake) = world.wake().expect("the second request waits");
    assert_eq!(wake, Wake::Host(HostId(1), Hold::Pace));
    let wait = at.since(world.sent[0].at).as_secs_f64();
    assert!((7.0..7.001).contains(&wait), "{wait}");

    let mut world = World::new(23, 4, vec![Host::new(4, 10)]);
    world.add_job(
        1,
        job(),
        vec![Spec {
            kind: Kind::Flaky(1),
            ..Spec::page(1)
        }],
    );
    world.run_until(|world| world.wake().is_some());
    let (at, wake) = world.wake().expect("a retry waits");
    assert_eq!(wake, Wake::RetryDue);
    assert_eq!(Some(at), world.store.next_due());
}

#[test]
fn a_run_whose_hosts_are_all_held_says_so_and_does_not_spin() {
    let hosts = vec![
        Host::new(8, 50).with_outage(1.0, 301.0),
        Host::new(8, 50).with_pause(1.0, 3.0, Duration::from_secs(240)),
    ];
    let mut world = World::new(25, 16, hosts);
    world.add_job(1, job(), [pages(1, 500), pages(2, 500)].concat());
    // That it looks up a few times a second at most is checked all the time; here, how often in all.
    let (polls, seen) = (Cell::new(0u32), RefCell::new(Vec::new()));
    world.run_until(|world| {
        let is_held = (secs(10.0)..secs(200.0)).contains(&world.now);
        polls.set(polls.get() + u32::from(is_held));
        seen.borrow_mut().extend(
            world
                .scheduler
                .standstill()
                .filter(|_| is_held)
                .map(|(_, wake)| wake),
        );
        world.now > secs(200.0)
    });
    assert!(polls.get() < 1500, "{} steps in 190 s", polls.get());
    let seen = seen.into_inner();
    let probes = Wake::Host(HostId(1), Hold::Probe);
    assert!(seen.contains(&probes), "{seen:?}");
    let paces = |wake: &&Wake| matches!(wake, Wake::Host(_, hold) if !hold.is_trouble());
    assert_eq!(seen.iter().filter(paces).count(), 0);
    world.run();
    assert_eq!(world.ended(1, State::Done), 1000);
    assert_eq!(world.scheduler.standstill(), None);
}

#[test]
fn a_run_that_keeps_a_delay_does_not_stand_still() {
    let mut world = World::new(26, 4, vec![Host::new(4, 10)]);
    let spacing = Duration::from_secs(7);
    world.add_job(1, JobSettings { spacing, ..job() }, pages(1, 5));
    let stood_still = Cell::new(false);
    world.run_until(|world| {
        stood_still.set(stood_still.get() || world.scheduler.standstill().is_some());
        false
    });
    assert!(!stood_still.get());
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = || {
        let hosts = vec![Host::new(3, 70).with_outage(1.0, 4.0), Host::new(5, 30)];
        let mut world = World::new(24, 9, hosts);
        world.add_job(1, job(), [pages(1, 200), pages(2, 200)].concat());
        world.run();
        world.sent
    };
    assert_eq!(run(), run());
    let by_host = run().iter().fold(BTreeMap::new(), |mut counts, sent| {
        *counts.entry(sent.host).or_insert(0) += 1;
        counts
    });
    assert!(by_host.values().all(|count| *count >= 200));
}
