//! Does every host get its turn?

use neap_core::scheduler::JobSettings;

use super::pages;
use super::support::{Host, World, job};

#[test]
fn a_host_with_100_000_pages_does_not_starve_a_host_with_ten() {
    let time = |with_giant: usize| {
        let mut world = World::new(1, 4, vec![Host::new(64, 100), Host::new(64, 100)]);
        world.add_job(1, job(), [pages(1, with_giant), pages(2, 10)].concat());
        world.run_until(|world| world.store.done(1, 2) == 10);
        (world.now, world.sent_to(1).count())
    };
    let ((alone, _), (beside, sent_to_giant)) = (time(0), time(100_000));
    assert!(
        beside.as_secs_f64() < 2.5 * alone.as_secs_f64(),
        "{alone:?} {beside:?}"
    );
    assert!((5..=40).contains(&sent_to_giant), "{sent_to_giant}");
}

#[test]
fn hosts_take_turns() {
    let mut world = World::new(2, 3, vec![Host::new(9, 50); 6]);
    let settings = JobSettings {
        per_host: 1,
        ..job()
    };
    world.add_job(
        1,
        settings,
        (1..=6).flat_map(|host| pages(host, 300)).collect(),
    );
    world.run_until(|world| world.sent.len() >= 600);
    let counts: Vec<usize> = (1..=6).map(|host| world.sent_to(host).count()).collect();
    assert!(
        counts.iter().all(|count| (90..=110).contains(count)),
        "{counts:?}"
    );
}
