//! What becomes of hosts that fail, and of their pages?

use std::time::Duration;

use neap_core::job::LimitKey;
use neap_core::limiter::{HostLimiter, Memory, Settings, State as Limiter};
use neap_core::scheduler::{Hold, JobSettings, Position, Scheduler, Wake};
use neap_core::{HostId, JobId, Time, UnixMs};

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

#[test]
fn a_host_that_worked_is_given_up_after_the_time_that_the_job_says() {
    for minutes in [2, 10] {
        let hosts = vec![Host::new(8, 50).with_outage(5.0, 1e9), Host::new(8, 50)];
        let mut world = World::new(48, 16, hosts);
        let give_up_after = Duration::from_secs(60 * minutes);
        let settings = JobSettings {
            give_up_after,
            ..job()
        };
        world.add_job(1, settings, [pages(1, 2000), pages(2, 500)].concat());
        world.run_until(|world| !world.given_up.is_empty());
        let after = world.now.since(secs(5.0));
        let late = after.saturating_sub(give_up_after);
        assert!(
            after >= give_up_after && late < Duration::from_secs(75),
            "{after:?}"
        );
        world.run();
        assert!(world.given_up.iter().all(|host| *host == HostId(1)));
        assert!(
            world.ended(1, State::Failed) > 1000,
            "pages of the host fail with it"
        );
        assert_eq!(world.store.done(1, 2), 500);
        let open = world.open();
        assert_eq!(open, 0);
    }
}

#[test]
fn a_host_under_a_long_pause_is_not_given_up_before_it_ends() {
    // An hour is asked for, ten minutes are the patience; afterwards it works.
    let hour = Duration::from_secs(3600);
    let mut world = World::new(49, 16, vec![Host::new(8, 50).with_pause(5.0, 3000.0, hour)]);
    world.add_job(1, job(), pages(1, 2000));
    world.run();
    assert!(world.given_up.is_empty(), "{:?}", world.given_up);
    assert_eq!(world.ended(1, State::Done), 2000);
    assert!(
        (3605.0..4200.0).contains(&world.now.as_secs_f64()),
        "{:?}",
        world.now
    );
}

#[test]
fn a_host_that_asks_for_a_pause_again_and_again_is_given_up_after_the_patience_and_a_pause() {
    let hour = Duration::from_secs(3600);
    let hosts = vec![Host::new(8, 50).with_pause(5.0, 1e9, hour)];
    let mut world = World::new(50, 16, hosts);
    world.add_job(1, job(), pages(1, 2000));
    world.run_until(|world| !world.given_up.is_empty());
    // Good answers that were under way when it first asked begin the patience anew, at the second answer:
    // it is used up an hour and ten minutes later, in the third pause, and that one is waited out.
    let at = world.now.as_secs_f64();
    assert!((2.0 * 3600.0..3.2 * 3600.0).contains(&at), "{at}");
    world.run();
    assert!(world.ended(1, State::Failed) > 1000);
    assert_eq!(world.open(), 0);
}

#[test]
fn a_day_that_a_host_asked_for_holds_it_in_the_next_run_too() {
    let mut memory = HostLimiter::new(Settings { ceiling: 16 }, None, Time::ZERO, UnixMs(0))
        .memory(Time::ZERO, UnixMs(0));
    let (hour, day) = (3_600_000, 86_400_000);
    memory.held_until = Some(UnixMs(day));
    let mut scheduler = Scheduler::new(8);
    scheduler.add_job(JobId(1), job());
    let name = neap_core::Host::parse("https://a.example").expect("a plain host");
    scheduler.handle_ready(JobId(1), HostId(1), Position::START);
    // The next run begins an hour later, and a second of its own time has gone by.
    let now = secs(1.0);
    scheduler.handle_host(HostId(1), &name, Some(memory), None, now, UnixMs(hour));
    let until = now + Duration::from_secs(23 * 3600);
    let refill = scheduler.poll_refill().expect("there is work");
    let rows = vec![super::limits::ready(1, 1)];
    scheduler.handle_refilled(&refill, rows, None, true);
    assert_eq!(scheduler.poll_dispatch(now), None);
    assert_eq!(
        scheduler.poll_timeout(),
        Some((until, Wake::Host(HostId(1), Hold::Pause)))
    );
    assert_eq!(scheduler.standstill(), scheduler.poll_timeout());
    let state = scheduler.host(HostId(1), now).map(|view| view.state);
    assert_eq!(state, Some(Limiter::Held { until }));
    let just_before = secs(23.0 * 3600.0);
    assert_eq!(scheduler.poll_dispatch(just_before), None);
    assert!(scheduler.poll_dispatch(until).is_some());
}

/// What a run stores of a host that it got answers from.
fn memory_of_a_good_run() -> Memory {
    let mut world = World::new(70, 16, vec![Host::new(8, 50)]);
    world.add_job(1, job(), pages(1, 200));
    world.run_until(|world| world.store.done(1, 1) >= 100);
    let memories = world.scheduler.take_memories(world.now, UnixMs(0));
    memories[0].1
}

#[test]
fn a_host_that_worked_in_an_earlier_run_is_borne_with_as_long_as_the_job_says() {
    let known = memory_of_a_good_run();
    // A day later the limiter makes nothing of it, and a run that saw no answer stores it on.
    let stale = Memory {
        saved_at: UnixMs(-24 * 3600 * 1000),
        ..known
    };
    for (memory, is_given_up) in [(Some(known), false), (Some(stale), false), (None, true)] {
        let mut world = World::new(71, 16, vec![Host::new(8, 50).with_outage(0.0, 300.0)]);
        world
            .memories
            .extend(memory.map(|memory| (HostId(1), memory)));
        world.add_job(1, job(), pages(1, 100));
        world.run_until(|world| world.now > secs(200.0));
        let (_, stored) = world
            .scheduler
            .take_memories(world.now, UnixMs(0))
            .remove(0);
        assert_eq!(stored.latency_s > 0.0, memory.is_some(), "{stored:?}");
        world.run();
        assert_eq!(!world.given_up.is_empty(), is_given_up, "{memory:?}");
    }
}

#[test]
fn a_host_that_worked_is_borne_with_beside_others_of_its_domain_that_answer() {
    let memory = memory_of_a_good_run();
    let live = Host::new(20, 50).of_domain("shop.example");
    let down = live.clone().with_outage(0.0, 300.0);
    let mut world = World::new(72, 16, vec![live, down]);
    world.memories.insert(HostId(2), memory);
    let slow = JobSettings {
        spacing: Duration::from_millis(100),
        key: LimitKey::Domain,
        ..job()
    };
    world.add_job(1, slow, [pages(1, 5000), pages(2, 100)].concat());
    world.run_until(|world| world.now > secs(299.0));
    assert_eq!(world.given_up, []);
}
