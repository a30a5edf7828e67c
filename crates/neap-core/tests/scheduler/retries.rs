//! Do retries stay a share of the traffic, and do they all go out in the end?

use neap_core::RequestId;
use neap_core::scheduler::JobSettings;
use proptest::prelude::*;

use super::pages;
use super::support::{Host, Kind, Spec, State, World, job, secs};

/// Whether each start was a retry, in order.
fn retries(world: &World) -> Vec<bool> {
    let mut seen = std::collections::BTreeSet::new();
    let requests = world.sent.iter().filter_map(|sent| sent.request);
    requests.map(|request| !seen.insert(request)).collect()
}

/// Up to the last fresh request there are no more retries than the share and the allowance of ten.
fn assert_within(world: &World, share: f64) {
    let retries = retries(world);
    let last_fresh = retries.iter().rposition(|is_retry| !is_retry).unwrap_or(0);
    let mut count = 0;
    for (starts, is_retry) in (1u32..).zip(&retries[..=last_fresh]) {
        count += u32::from(*is_retry);
        // For as long as a read takes, the store may hold fresh requests that are not in memory.
        let most = 10.0 + share * f64::from(starts) + 3.0;
        assert!(
            f64::from(count) <= most,
            "{count} retries in {starts} requests"
        );
    }
}

fn with_budget(retry_budget: Option<f64>) -> JobSettings {
    JobSettings {
        retry_budget,
        ..job()
    }
}

/// Of ten pages, so many always fail.
fn poisoned(host: i64, count: usize, of_ten: usize) -> Vec<Spec> {
    let kind = |i: usize| {
        if i % 10 < of_ten {
            Kind::Broken
        } else {
            Kind::Page
        }
    };
    let spec = |i| Spec {
        kind: kind(i),
        ..Spec::page(host)
    };
    (0..count).map(spec).collect()
}

#[test]
fn retries_stay_at_their_share_while_there_is_fresh_work_and_end_all_the_same() {
    let mut world = World::new(60, 16, vec![Host::new(16, 50)]);
    world.add_job(1, with_budget(Some(0.2)), poisoned(1, 3000, 4));
    world.run();
    assert_within(&world, 0.2);
    let retries = retries(&world).iter().filter(|r| **r).count();
    assert_eq!(retries, 1200 * 5, "each gets its six attempts");
    assert_eq!(
        (world.ended(1, State::Done), world.ended(1, State::Failed)),
        (1800, 1200)
    );
}

#[test]
fn when_only_retries_are_left_they_flow_at_ten_a_second() {
    let mut world = World::new(61, 64, vec![Host::new(64, 20)]);
    world.add_job(1, with_budget(Some(0.0)), poisoned(1, 100, 10));
    world.run();
    assert_eq!(world.ended(1, State::Failed), 100);
    // 500 retries, of which the allowance lets ten go at once.
    let rest = world.sent.iter().skip(100 + 10);
    let starts: Vec<_> = rest.map(|sent| sent.at).collect();
    let gaps = starts.windows(2).map(|pair| pair[1].since(pair[0]));
    let least = gaps.min().expect("more than one");
    assert!(least >= std::time::Duration::from_millis(99), "{least:?}");
    assert!(
        (49.0..90.0).contains(&world.now.as_secs_f64()),
        "{:?}",
        world.now
    );
}

#[test]
fn without_a_budget_retries_go_first_whatever_their_share() {
    let mut world = World::new(62, 16, vec![Host::new(16, 50)]);
    world.add_job(1, with_budget(None), poisoned(1, 3000, 4));
    world.run();
    let retries = retries(&world);
    let early = retries[..3000].iter().filter(|is_retry| **is_retry).count();
    assert!(early > 1000, "{early}");
}

#[test]
fn a_lone_retry_is_never_stuck_and_does_not_wait_for_its_budget() {
    let flaky = Spec {
        kind: Kind::Flaky(5),
        ..Spec::page(1)
    };
    let mut world = World::new(63, 4, vec![Host::new(4, 20)]);
    world.add_job(1, with_budget(Some(0.0)), vec![flaky]);
    world.run();
    assert_eq!(world.ended(1, State::Done), 1);
    assert!(world.now < secs(32.0), "backoff alone: {:?}", world.now);
}

#[test]
fn of_two_jobs_the_smaller_budget_holds_on_their_common_host() {
    let mut world = World::new(64, 16, vec![Host::new(16, 50)]);
    world.add_job(1, with_budget(None), poisoned(1, 1500, 5));
    world.add_job(2, with_budget(Some(0.1)), poisoned(1, 1500, 5));
    world.run_until(|world| world.sent.len() > 1000);
    assert_within(&world, 0.1);
    world.run();
    assert_eq!(world.open(), 0);
}

#[test]
fn probes_of_a_dead_host_are_no_matter_of_budget() {
    for budget in [Some(0.0), Some(0.2), None] {
        let mut world = World::new(65, 16, vec![Host::new(8, 50).with_outage(1.0, 41.0)]);
        world.add_job(1, with_budget(budget), pages(1, 400));
        world.run();
        assert_eq!(world.ended(1, State::Done), 400);
        assert!(world.now < secs(80.0), "{budget:?}: {:?}", world.now);
    }
}

#[test]
fn more_retries_than_a_lane_holds_in_memory_are_left_in_the_store_and_not_lost() {
    for seed in 0..10 {
        let flaky = Spec {
            kind: Kind::Flaky(2),
            ..Spec::page(1)
        };
        let mut world = World::new(seed, 64, vec![Host::new(64, 20)]);
        world.store_ms = 200;
        let input = [vec![flaky; 1500], pages(1, 1500)].concat();
        world.add_job(1, with_budget(Some(0.1)), input);
        let most = std::cell::Cell::new(0);
        world.run_until(|world| {
            most.set(most.get().max(world.scheduler.buffered()));
            false
        });
        world.run();
        let most = most.get();
        assert!(most <= 400, "seed {seed}: {most} in memory");
        assert_eq!(world.ended(1, State::Done), 3000, "seed {seed}");
        assert_eq!(world.sent.len(), 6000, "seed {seed}");
        let first = |request: i64| {
            let mut sent = world.sent.iter();
            sent.position(|sent| sent.request == Some(RequestId(request)))
        };
        assert!(
            first(3000) < Some(3500),
            "fresh ones do not wait for retries"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn the_share_is_kept_and_the_crawl_ends(
        seed: u64,
        share in 0.0f64..0.6,
        capacity in 2u32..32,
        fails_each in prop_oneof![Just(0u32), 2u32..12],
        of_ten in 0usize..9,
        count in 50usize..800,
    ) {
        let host = Host { fails_each, ..Host::new(capacity, 30) };
        let mut world = World::new(seed, 32, vec![host.clone(), host]);
        world.store_ms = 5;
        let input = [poisoned(1, count, of_ten), poisoned(2, count / 3, 9 - of_ten)];
        world.add_job(1, with_budget(Some(share)), input.concat());
        world.run();
        prop_assert_eq!(world.open(), 0);
        for host in [1, 2] {
            let mut of_host = World::new(seed, 1, Vec::new());
            of_host.sent = world.sent_to(host).copied().collect();
            if world.probed.iter().all(|h| h.0 != host) {
                assert_within(&of_host, share);
            }
        }
    }
}
