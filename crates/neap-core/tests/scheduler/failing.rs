//! What becomes of hosts that fail, and of their pages?

use neap_core::HostId;

use super::pages;
use super::support::{Host, Kind, Spec, State, World, job, secs};

#[test]
fn an_outage_of_eight_seconds_loses_no_page_and_wastes_few_requests() {
    for seed in 0..10 {
        let mut world = World::new(seed, 64, vec![Host::new(16, 100).with_outage(0.0, 8.0)]);
        world.add_job(1, job(), pages(1, 300));
        world.run();
        assert_eq!(world.ended(1, State::Done), 300, "seed {seed}");
        let wasted = world.sent.len() - 300;
        assert!((1..60).contains(&wasted), "seed {seed}: {wasted}");
        assert!(world.now < secs(60.0), "seed {seed}: {:?}", world.now);
    }
}

#[test]
fn an_outage_in_the_middle_does_not_stop_other_hosts() {
    let hosts = vec![Host::new(16, 50).with_outage(2.0, 30.0), Host::new(16, 50)];
    let mut world = World::new(15, 16, hosts);
    world.add_job(1, job(), [pages(1, 1000), pages(2, 1000)].concat());
    world.run_until(|world| world.store.done(1, 2) == 1000);
    assert!(world.now < secs(25.0), "{:?}", world.now);
    world.run();
    assert_eq!(world.ended(1, State::Done), 2000);
}

#[test]
fn a_dead_host_is_given_up_and_the_others_finish() {
    let mut world = World::new(
        16,
        16,
        vec![Host::new(8, 50), Host::dead(), Host::new(8, 50)],
    );
    let suspect = Spec {
        lost: 2,
        ..Spec::page(2)
    };
    let input = [pages(1, 200), pages(2, 200), pages(3, 200), vec![suspect]];
    world.add_job(1, job(), input.concat());
    world.run();
    assert!(!world.given_up.is_empty() && world.given_up.iter().all(|host| *host == HostId(2)));
    assert_eq!(
        (world.ended(1, State::Done), world.ended(1, State::Failed)),
        (400, 201)
    );
    let wasted = world.sent_to(2).count();
    assert!(
        (5..200).contains(&wasted),
        "{wasted} requests to a dead host"
    );
    assert!(
        (30.0..600.0).contains(&world.now.as_secs_f64()),
        "{:?}",
        world.now
    );
}

#[test]
fn links_to_a_host_that_was_given_up_are_tried_and_do_not_bring_it_back_for_good() {
    let late = Spec {
        kind: Kind::Flaky(3),
        links: pages(2, 5),
        ..Spec::page(1)
    };
    let mut world = World::new(17, 4, vec![Host::new(1, 2000), Host::dead()]);
    world.add_job(1, job(), [pages(2, 10), pages(1, 100), vec![late]].concat());
    world.run();
    assert_eq!(
        (world.ended(1, State::Done), world.ended(1, State::Failed)),
        (101, 15)
    );
    assert!(world.given_up.len() >= 2, "{:?}", world.given_up);
}
