//! Does a run that is killed lose nothing, and repeat nothing, when the same command is run again?

use std::collections::BTreeSet;
use std::time::Duration;

use neap_testkit::{Site, Tree};

use crate::support::{Place, site_job, with_status};

/// Longest wait for something that happens in milliseconds unless it is broken.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn a_killed_run_resumes_without_losing_or_repeating() {
    let tree = Tree::new(90, 4, 1500);
    let mut recorded_at_kill = BTreeSet::new();
    for answered in (2..=80).chain(2..=80) {
        if recorded_at_kill.len() == 50 {
            return;
        }
        let site = Site::builder()
            .tree(tree.clone())
            .latency(Duration::from_millis(2))
            .start();
        let place = Place::new();
        place.write(
            "site.toml",
            &site_job(&site.url("/"), "[limits]\nper_host = 4\n"),
        );
        let run = place.start(&["run", "site.toml"]);
        site.wait_answered(answered, PATIENCE).unwrap();
        run.kill();
        let recorded = place.number("SELECT count(*) FROM pages");
        if !recorded_at_kill.insert(recorded) {
            continue;
        }

        place.neap(&["run", "site.toml"]).expect(0);
        let results = place.results();
        let expected = tree.urls(&site.base_url());
        assert_eq!(
            with_status(&results, 200),
            expected,
            "killed after {recorded} pages"
        );
        let repeated = place.number(
            "SELECT count(*) FROM (SELECT 1 FROM attempts WHERE outcome = 0 GROUP BY request_id
             HAVING count(*) > 1)",
        );
        assert_eq!(
            repeated, 0,
            "recorded twice after a kill at {recorded} pages"
        );
        place.check_invariants();
    }
    panic!(
        "only {} different numbers of recorded pages: {recorded_at_kill:?}",
        recorded_at_kill.len()
    );
}

#[test]
fn a_run_killed_again_and_again_gets_through() {
    let tree = Tree::new(300, 4, 3000);
    let site = Site::builder()
        .tree(tree.clone())
        .latency(Duration::from_millis(2))
        .start();
    let place = Place::new();
    place.write("site.toml", &site_job(&site.url("/"), ""));
    for _ in 1..=12 {
        let run = place.start(&["run", "site.toml"]);
        site.wait_answered(site.answered() + 15, PATIENCE).unwrap();
        run.kill();
    }
    place.neap(&["resume"]).expect(0);
    assert_eq!(
        with_status(&place.results(), 200),
        tree.urls(&site.base_url())
    );
    let lost = place.number("SELECT count(*) FROM attempts WHERE cause = 'lost'");
    assert!(
        lost > 0,
        "twelve kills and nothing was in flight at any of them?"
    );
    assert_eq!(
        place.number("SELECT count(*) FROM runs WHERE ending = 'lost'"),
        12
    );
    place.check_invariants();
    check_warc(&place);
}

/// Has warcio check every segment, where it is installed.
pub(crate) fn check_warc(place: &Place) {
    let has_warcio = std::process::Command::new("python3")
        .args(["-c", "import warcio"])
        .output();
    if !has_warcio.is_ok_and(|output| output.status.success()) {
        println!("warcio is not installed: segments were not checked by it");
        return;
    }
    for entry in std::fs::read_dir(place.path("neap.segments")).unwrap() {
        let path = entry.unwrap().path();
        let output = std::process::Command::new("python3")
            .args(["-m", "warcio.cli", "check", "-v"])
            .arg(&path)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && !said.contains("fail"),
            "{}: {said}",
            path.display()
        );
    }
}
