//! Are exactly so many pages fetched as are wanted?

use neap_core::JobId;
use neap_core::scheduler::JobSettings;

use super::pages;
use super::support::{Host, Kind, Spec, State, World, job};

#[test]
fn a_job_gets_exactly_the_pages_it_wants() {
    for seed in 0..30 {
        let kinds = [
            Kind::Page,
            Kind::Redirect,
            Kind::Broken,
            Kind::Flaky(1),
            Kind::Refused,
        ];
        let input = (0..400).map(|i| Spec {
            kind: kinds[i % kinds.len()],
            lost: if i % 37 == 0 { 2 } else { 0 },
            ..Spec::page(i as i64 % 7 + 1)
        });
        let mut world = World::new(seed, 16, vec![Host::new(4, 30); 7]);
        world.add_job(
            1,
            JobSettings {
                pages_left: Some(50),
                ..job()
            },
            input.collect(),
        );
        world.add_job(2, job(), pages(3, 40));
        world.run();
        assert_eq!(world.pages[&JobId(1)], 50, "seed {seed}");
        assert_eq!(world.ended(2, State::Done), 40, "seed {seed}");
        assert!(world.ended(1, State::Skipped) > 0, "seed {seed}");
    }
}

#[test]
fn room_that_failures_give_back_reaches_every_lane() {
    // One page in a hundred, each on a host of its own: nearly all places are taken in vain.
    let input: Vec<Spec> = (0..600)
        .map(|i| Spec {
            kind: if i % 100 == 99 {
                Kind::Page
            } else {
                Kind::Refused
            },
            ..Spec::page(i + 1)
        })
        .collect();
    let mut world = World::new(8, 64, vec![Host::new(4, 30); 600]);
    world.add_job(
        1,
        JobSettings {
            pages_left: Some(7),
            ..job()
        },
        input,
    );
    world.run();
    assert_eq!(
        (world.ended(1, State::Done), world.ended(1, State::Failed)),
        (6, 594)
    );
}

#[test]
fn a_run_ends_exactly_at_the_pages_it_may_fetch() {
    let mut world = World::new(9, 16, vec![Host::new(8, 30); 3]);
    world.scheduler.limit_pages(25);
    let input = |host| {
        [
            pages(host, 30),
            vec![
                Spec {
                    kind: Kind::Refused,
                    ..Spec::page(host)
                };
                9
            ],
        ]
    };
    world.add_job(1, job(), input(1).concat());
    world.add_job(2, job(), input(2).concat());
    world.run_until(|world| world.scheduler.is_out_of_pages());
    world.scheduler.drain();
    world.come_home();
    assert_eq!(world.pages.values().sum::<u64>(), 25);
}
