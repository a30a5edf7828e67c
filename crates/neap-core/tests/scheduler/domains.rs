//! Do hosts of one domain share what they can bear, if a job says so?

use std::time::Duration;

use neap_core::job::LimitKey;
use neap_core::limiter::{HostLimiter, Settings, State as Limiter};
use neap_core::scheduler::{JobSettings, Scheduler};
use neap_core::{HostId, JobId, Time, UnixMs};

use super::pages;
use super::support::{Host, Spec, State, World, job, secs};

fn by_domain() -> JobSettings {
    JobSettings {
        key: LimitKey::Domain,
        ..job()
    }
}

/// Three hosts of one shop and one that has nothing to do with it.
fn shop(host: &Host) -> Vec<Host> {
    let of_shop = host.clone().of_domain("shop.example");
    vec![of_shop.clone(), of_shop.clone(), of_shop, host.clone()]
}

fn on_all(count: usize) -> Vec<Spec> {
    (1..=4).flat_map(|host| pages(host, count)).collect()
}

/// Most requests in flight to the hosts of the shop together, from what was sent and when it ended.
fn starts_within(world: &World, hosts: &[i64], span: Duration) -> usize {
    let starts: Vec<Time> = world
        .sent
        .iter()
        .filter(|sent| hosts.contains(&sent.host.0))
        .map(|sent| sent.at)
        .collect();
    let within = |at: &Time| {
        starts
            .iter()
            .filter(|s| **s >= *at && s.since(*at) < span)
            .count()
    };
    starts.iter().map(within).max().unwrap_or(0)
}

#[test]
fn hosts_of_a_domain_share_a_ceiling() {
    let narrow = JobSettings {
        per_host: 3,
        ..by_domain()
    };
    let mut world = World::new(40, 64, shop(&Host::new(50, 100)));
    world.add_job(1, narrow, on_all(60));
    world.run();
    assert_eq!(world.ended(1, State::Done), 240);
    // In no tenth of a second, which is what a request takes, more than three begin.
    let span = Duration::from_millis(100);
    assert_eq!(starts_within(&world, &[1, 2, 3], span), 3);
    assert!(starts_within(&world, &[1, 2, 3, 4], span) > 3);
}

#[test]
fn hosts_of_a_domain_share_a_delay_and_take_turns() {
    let spaced = JobSettings {
        spacing: Duration::from_millis(500),
        ..by_domain()
    };
    let mut world = World::new(41, 64, shop(&Host::new(50, 20)));
    world.add_job(1, spaced, on_all(40));
    world.run_until(|world| world.sent_to(4).count() == 40);
    let of_shop: Vec<_> = world.sent.iter().filter(|s| s.host.0 <= 3).collect();
    let gaps = of_shop.windows(2).map(|pair| pair[1].at.since(pair[0].at));
    assert!(gaps.min() >= Some(Duration::from_millis(500)));
    for host in 1..=3 {
        let count = world.sent_to(host).count();
        assert!((12..=15).contains(&count), "host {host}: {count}");
    }
    world.run();
    assert!(world.now > secs(59.0), "{:?}", world.now);
}

#[test]
fn by_host_each_has_a_ceiling_of_its_own() {
    let narrow = JobSettings {
        per_host: 3,
        ..job()
    };
    let mut world = World::new(42, 64, shop(&Host::new(50, 100)));
    world.add_job(1, narrow, on_all(60));
    world.run();
    assert!(starts_within(&world, &[1, 2, 3], Duration::from_millis(100)) > 6);
}

#[test]
fn one_job_that_says_domain_makes_all_hosts_of_the_domain_share() {
    let narrow = JobSettings {
        per_host: 4,
        ..job()
    };
    let mut world = World::new(43, 64, shop(&Host::new(50, 100)));
    world.add_job(1, narrow, on_all(400));
    world.run_until(|world| world.now > secs(5.0));
    world.add_job(2, by_domain(), pages(2, 1));
    // What is in flight comes home before a host changes doors; that no limit is exceeded meanwhile is
    // checked at every start.
    world.run_until(|world| world.store.done(2, 2) == 1);
    let from = world.sent.len();
    world.run_until(|world| world.sent.len() > from + 200);
    world.sent.drain(..from);
    assert_eq!(
        starts_within(&world, &[1, 2, 3], Duration::from_millis(100)),
        4
    );
    let leaders: Vec<_> = (1..=4)
        .map(|host| world.scheduler.host(HostId(host), world.now))
        .map(|view| view.expect("it takes part").leader)
        .collect();
    assert!(
        leaders[0] == leaders[1] && leaders[1] == leaders[2],
        "{leaders:?}"
    );
    assert_eq!(leaders[3], HostId(4));
    world.run();
    assert_eq!(world.ended(1, State::Done), 1600);
}

#[test]
fn robots_files_stay_each_hosts_own() {
    let obeying = JobSettings {
        obeys_robots: true,
        ..by_domain()
    };
    let mut world = World::new(44, 16, shop(&Host::new(50, 20)));
    world.add_job(1, obeying, on_all(5));
    world.run();
    assert_eq!(world.robots_asked.len(), 4);
    assert_eq!(world.ended(1, State::Done), 20);
}

#[test]
fn a_dead_host_among_others_of_its_domain_is_given_up_alone() {
    let live = Host::new(20, 50).of_domain("shop.example");
    let dead = Host::dead().of_domain("shop.example");
    let mut world = World::new(45, 16, vec![live.clone(), dead, live]);
    // Slow enough that the others still answer when the patience with the dead one ends.
    let slow = JobSettings {
        spacing: Duration::from_millis(100),
        ..by_domain()
    };
    let input = [pages(1, 1500), pages(2, 400), pages(3, 1500)];
    world.add_job(1, slow, input.concat());
    world.run();
    // What was in flight at that moment is tried once more.
    assert!(!world.given_up.is_empty());
    assert!(world.given_up.iter().all(|host| *host == HostId(2)));
    assert_eq!(
        (world.ended(1, State::Done), world.ended(1, State::Failed)),
        (3000, 400)
    );
}

#[test]
fn a_domain_that_only_fails_is_given_up_as_a_whole() {
    let dead = Host::dead().of_domain("shop.example");
    let hosts = vec![dead.clone(), dead.clone(), dead, Host::new(8, 50)];
    let mut world = World::new(46, 16, hosts);
    world.add_job(1, by_domain(), on_all(50));
    world.run();
    assert_eq!(
        (world.ended(1, State::Done), world.ended(1, State::Failed)),
        (50, 150)
    );
    let mut given_up = world.given_up.clone();
    given_up.sort();
    given_up.dedup();
    assert_eq!(given_up, [HostId(1), HostId(2), HostId(3)]);
    assert!(world.now < secs(400.0), "{:?}", world.now);
    let wasted: usize = (1..=3).map(|host| world.sent_to(host).count()).sum();
    assert!(wasted < 60, "{wasted} requests to a dead domain");
}

#[test]
fn a_pause_that_one_host_asks_for_holds_its_whole_domain_and_is_stored_with_all() {
    let day = Duration::from_secs(24 * 3600);
    let mut hosts = shop(&Host::new(20, 50));
    hosts[0] = hosts[0]
        .clone()
        .with_pause(2.0, 3.0, Duration::from_secs(3600));
    let mut world = World::new(47, 16, hosts);
    let spaced = JobSettings {
        spacing: Duration::from_millis(50),
        give_up_after: day,
        ..by_domain()
    };
    world.add_job(1, spaced, on_all(100));
    world.run_until(|world| world.now > secs(100.0));
    let during = |s: &&super::support::Sent| s.host.0 <= 3 && s.at > secs(3.0);
    assert_eq!(world.sent.iter().filter(during).count(), 0);
    let memories = world.scheduler.take_memories(world.now, UnixMs(0));
    let held = memories
        .iter()
        .filter(|(_, memory)| memory.held_until.is_some());
    assert_eq!(held.count(), 3);
    world.run();
    assert_eq!(world.ended(1, State::Done), 400);
    assert!(
        (3600.0..3900.0).contains(&world.now.as_secs_f64()),
        "{:?}",
        world.now
    );
}

#[test]
fn a_pause_of_a_host_that_is_only_probed_holds_the_domain_that_it_joins() {
    let of_shop = Host::new(20, 50).of_domain("shop.example");
    let pause = Duration::from_secs(3600);
    let failing = of_shop.clone().with_outage(1.0, 2.0);
    let failing = failing.with_pause(2.0, 20.0, pause);
    let mut world = World::new(48, 16, vec![of_shop, failing]);
    let patient = JobSettings {
        spacing: Duration::from_millis(50),
        give_up_after: Duration::from_secs(24 * 3600),
        ..job()
    };
    let by_domain = JobSettings {
        key: LimitKey::Domain,
        ..patient.clone()
    };
    world.add_job(1, patient, [pages(1, 400), pages(2, 400)].concat());
    world.run_until(|world| world.now > secs(10.0));
    let view = world.scheduler.host(HostId(2), world.now);
    let state = view.expect("it takes part").state;
    assert!(matches!(state, Limiter::OnlyProbed { next, .. } if next > secs(3600.0)));
    world.add_job(2, by_domain, pages(1, 1));
    world.run_until(|world| world.now > secs(1000.0));
    let during = |sent: &&super::support::Sent| sent.at > secs(11.0);
    assert_eq!(world.sent.iter().filter(during).count(), 0);
    world.run();
    assert_eq!(world.ended(1, State::Done), 800);
}

#[test]
fn what_a_domain_learned_is_found_again_whichever_host_comes_first() {
    let settings = Settings { ceiling: 16 };
    let known = HostLimiter::new(settings, None, Time::ZERO, UnixMs(0));
    let mut memory = known.memory(Time::ZERO, UnixMs(0));
    memory.limit = 14.0;
    let mut held = memory;
    held.held_until = Some(UnixMs(60_000));
    for order in [
        [None, Some(memory), Some(held)],
        [Some(held), None, Some(memory)],
    ] {
        let mut scheduler = Scheduler::new(8);
        scheduler.add_job(JobId(1), by_domain());
        for (host, memory) in (1..).zip(order) {
            let name = neap_core::Host::parse(&format!("https://h{host}.shop.example"));
            let name = name.expect("a plain host");
            let position = neap_core::scheduler::Position::START;
            scheduler.handle_ready(JobId(1), HostId(host), position);
            scheduler.handle_host(HostId(host), &name, memory, None, Time::ZERO, UnixMs(0));
        }
        for host in 1..=3 {
            let view = scheduler
                .host(HostId(host), Time::ZERO)
                .expect("it is known");
            assert_eq!(view.leader, HostId(1));
            assert_eq!(view.limit, 7.0, "taken up at half");
            let until = secs(60.0);
            assert_eq!(view.state, Limiter::Held { until });
        }
    }
}
