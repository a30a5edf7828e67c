//! Does every request end, and only once?

use std::time::Duration;

use neap_core::JobId;
use neap_core::job::LimitKey;
use neap_core::scheduler::JobSettings;
use proptest::prelude::*;

use super::support::{Host, Kind, Robots, Spec, State, World, job};

fn kinds() -> impl Strategy<Value = Kind> {
    prop_oneof![
        6 => Just(Kind::Page),
        1 => Just(Kind::Redirect),
        1 => Just(Kind::Gone),
        1 => Just(Kind::Refused),
        2 => (1u32..4).prop_map(Kind::Flaky),
        1 => Just(Kind::Broken),
    ]
}

/// Requests that lead to others, to all hosts, before and behind what was read already.
fn specs(hosts: i64) -> impl Strategy<Value = Spec> {
    let leaf = (1..=hosts, -3i32..4, kinds(), 0u32..20).prop_map(|(host, priority, kind, lost)| {
        // One of ten was in flight at two crashes.
        let lost = if lost < 2 { 2 } else { 0 };
        Spec {
            host,
            priority,
            kind,
            lost,
            links: Vec::new(),
        }
    });
    leaf.prop_recursive(3, 40, 6, |inner| {
        let links = prop::collection::vec(inner.clone(), 0..6);
        (inner, links).prop_map(|(spec, links)| Spec { links, ..spec })
    })
}

fn hosts() -> impl Strategy<Value = Host> {
    let robots = prop_oneof![
        Just(Robots::Absent),
        Just(Robots::CrawlDelay(Duration::from_millis(300))),
        Just(Robots::UnreachableUntil(12.0)),
    ];
    let outage = prop::option::of((0.0..3.0, 3.0..9.0));
    let domain = prop::option::of(Just("shop.example"));
    let host = (1u32..8, 1u64..400, robots, outage, domain);
    host.prop_map(|(capacity, service_ms, robots, outage, domain)| Host {
        outage,
        domain,
        ..Host::new(capacity, service_ms).with_robots(robots)
    })
}

fn jobs(hosts: i64) -> impl Strategy<Value = (JobSettings, Vec<Spec>)> {
    let input = prop::collection::vec(specs(hosts), 1..30);
    let spacing = prop_oneof![Just(0), 1u64..100];
    let key = prop_oneof![Just(LimitKey::Host), Just(LimitKey::Domain)];
    let retry_budget = prop::option::of(0.0f64..1.0);
    let asks = (any::<bool>(), 1u32..8, spacing, key, retry_budget, input);
    asks.prop_map(
        |(obeys_robots, per_host, spacing, key, retry_budget, input)| {
            let settings = JobSettings {
                obeys_robots,
                per_host,
                spacing: Duration::from_millis(spacing),
                key,
                retry_budget,
                ..job()
            };
            (settings, input)
        },
    )
}

fn in_all(specs: &[Spec]) -> usize {
    specs.iter().map(|spec| 1 + in_all(&spec.links)).sum()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    /// The store itself refuses a request that is sent while it is not ready, or ends twice.
    #[test]
    fn every_request_ends_exactly_once(
        seed: u64,
        concurrency in 1u32..20,
        store_ms in prop_oneof![Just(1u64), Just(20), Just(2000)],
        hosts in prop::collection::vec(hosts(), 4),
        jobs in prop::collection::vec(jobs(4), 1..4),
    ) {
        let mut world = World::new(seed, concurrency, hosts);
        world.store_ms = store_ms;
        for (number, (settings, input)) in (1..).zip(jobs.clone()) {
            world.add_job(number, settings, input);
        }
        world.run();
        prop_assert_eq!(world.open(), 0);
        prop_assert!(world.given_up.is_empty(), "{:?}", world.given_up);
        for (number, (_, input)) in (1..).zip(&jobs) {
            let found = world.store.rows.values().filter(|row| row.job == JobId(number)).count();
            prop_assert!(found <= in_all(input) && found >= input.len());
        }
        for row in world.store.rows.values() {
            let end = match row.spec.kind {
                Kind::Page | Kind::Redirect | Kind::Gone | Kind::Flaky(_) => State::Done,
                Kind::Refused | Kind::Broken => State::Failed,
            };
            // A 502 of an overloaded host may be the last attempt of a page that has others behind it.
            let is_worn_out = row.state == State::Failed && row.charged + 1 >= 6;
            prop_assert!(row.state == end || is_worn_out, "{:?}", row);
        }
        for sent in &world.sent {
            let Some(request) = sent.request else { continue };
            let lost = world.store.rows[&request].spec.lost;
            prop_assert_eq!(sent.is_alone, lost >= 2);
            prop_assert!(!sent.is_alone || sent.beside == 0);
        }
    }
}

#[test]
fn links_that_come_before_what_was_read_are_not_lost() {
    for seed in 0..20 {
        let link = |priority| Spec {
            priority,
            ..Spec::page(1)
        };
        let input: Vec<Spec> = (0..200)
            .map(|i| Spec {
                priority: i,
                links: vec![link(i - 50), link(i + 50)],
                ..Spec::page(1)
            })
            .collect();
        let mut world = World::new(seed, 8, vec![Host::new(8, 20)]);
        world.store_ms = 300;
        world.add_job(1, job(), input);
        world.run();
        assert_eq!(world.ended(1, State::Done), 600, "seed {seed}");
        assert_eq!(world.sent.len(), 600, "seed {seed}");
    }
}
