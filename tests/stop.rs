//! Does a run stop as people expect, and can it be gone on with?

use std::time::Duration;

use neap_testkit::{Reply, Site, Tree};
use nix::sys::signal::Signal;

use crate::support::{Place, site_job, with_status};

const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn the_first_signal_drains_and_the_job_can_be_resumed() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let tree = Tree::new(200, 4, 500);
        let site = Site::builder()
            .tree(tree.clone())
            .latency(Duration::from_millis(10))
            .start();
        let place = Place::new();
        place.write("site.toml", &site_job(&site.url("/"), ""));
        let run = place.start(&["run", "site.toml"]);
        site.wait_answered(20, PATIENCE).unwrap();
        run.signal(signal);
        let said = run.wait().expect(7);
        assert!(said.err.contains("nothing is lost"), "{}", said.err);
        place.check_invariants();
        assert_eq!(
            place.number("SELECT count(*) FROM attempts WHERE cause = 'lost'"),
            0
        );
        place.neap(&["resume"]).expect(0);
        assert_eq!(
            with_status(&place.results(), 200),
            tree.urls(&site.base_url())
        );
        for path in tree.paths() {
            assert_eq!(site.count(&path), 1, "{path} was asked for again");
        }
    }
}

#[test]
fn the_second_signal_aborts_at_once() {
    for (signal, code) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143)] {
        let site = Site::builder().page("/", Reply::silent()).start();
        let place = Place::new();
        place.write("site.toml", &site_job(&site.url("/"), ""));
        let mut run = place.start(&["run", "site.toml"]);
        site.wait_for(|log| log.iter().any(|asked| asked.is_for("/")), PATIENCE)
            .unwrap();
        run.signal(signal);
        run.hear("stopping");
        run.signal(signal);
        run.wait().expect(code);
        place.check_invariants();
        assert_eq!(place.number("SELECT ready FROM jobs"), 1);
    }
}

#[test]
fn a_second_run_on_a_store_is_refused_and_told_by_whom() {
    let site = Site::builder().page("/", Reply::silent()).start();
    let place = Place::new();
    place.write("site.toml", &site_job(&site.url("/"), ""));
    let run = place.start(&["run", "site.toml"]);
    site.wait_for(|log| log.iter().any(|asked| asked.is_for("/")), PATIENCE)
        .unwrap();
    let refused = place.neap(&["run", "site.toml"]).expect(6);
    assert!(refused.err.contains("process "), "{}", refused.err);
    assert_eq!(
        place.number("SELECT count(*) FROM in_flight"),
        1,
        "a store is read while it is run on"
    );
    run.kill();
}

#[test]
fn limits_of_a_run_leave_work_for_the_next() {
    let site = Site::builder().tree(Tree::new(40, 4, 300)).start();
    let place = Place::new();
    place.write("site.toml", &site_job(&site.url("/"), ""));
    place.neap(&["run", "site.toml", "--limit", "7"]).expect(5);
    assert_eq!(place.number("SELECT pages FROM jobs"), 7);
    place.neap(&["run", "site", "--limit", "5"]).expect(5);
    assert_eq!(place.number("SELECT pages FROM jobs"), 12);
    place.neap(&["resume", "site.toml"]).expect(0);
    assert_eq!(place.number("SELECT pages FROM jobs"), 40);
    let nothing = place.neap(&["resume"]).expect(0);
    assert!(nothing.err.contains("nothing to resume"), "{}", nothing.err);
}

#[test]
fn the_time_of_a_run_can_be_bounded() {
    let site = Site::builder().page("/", Reply::silent()).start();
    let place = Place::new();
    place.write("site.toml", &site_job(&site.url("/"), ""));
    place
        .neap(&["run", "site.toml", "--for", "1s", "--grace", "1s"])
        .expect(5);
    assert_eq!(place.number("SELECT ready FROM jobs"), 1);
}
