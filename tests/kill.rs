//! Does a run that is killed lose nothing, and repeat nothing, when the same command is run again?

use std::time::Duration;

use neap_testkit::{Site, Tree};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::support::{Place, Running, site_job, with_status};

/// Longest wait for something that happens in milliseconds unless it is broken.
const PATIENCE: Duration = Duration::from_secs(60);

/// Longest wait for answers to a run that may have ended.
const PATIENCE_WITH_RUNS: Duration = Duration::from_millis(500);

/// Pages of the site that is crawled under kills.
const PAGES: usize = 60;

/// What may be in flight when a run is killed.
const IN_FLIGHT: u64 = 4;

/// `NEAP_KILL_CYCLES=1000 cargo test -p neap --test system kill` kills so many times; without it, 200.
#[test]
fn runs_killed_at_random_moments_lose_nothing_and_repeat_nothing() {
    let given = std::env::var("NEAP_KILL_CYCLES").ok();
    let cycles = given.map_or(200, |text| {
        text.parse().expect("NEAP_KILL_CYCLES is a number")
    });
    let mut kills = Kills::default();
    for seed in 1.. {
        if kills.cycles >= cycles {
            break;
        }
        // Half of the crawls ask for less: a kill takes nothing from them either.
        let durability = if seed % 2 == 0 { "normal" } else { "full" };
        crawl_under_kills(seed, durability, &mut kills);
    }
    println!("{kills:?}");
    assert!(
        kills.lost > 0,
        "nothing was in flight at any of them: {kills:?}"
    );
}

/// What was seen of many kills.
#[derive(Debug, Default)]
struct Kills {
    cycles: u64,
    crawls: u64,
    before_the_store: u64,
    before_the_first_page: u64,
    /// Requests that were in flight at one of them.
    lost: i64,
    /// Pages that were in flight at so many kills that they were taken for the culprits.
    quarantined: i64,
}

/// Crawls a site to its end by runs that are killed, each at another moment.
fn crawl_under_kills(seed: u64, durability: &str, kills: &mut Kills) {
    let tree = Tree::new(PAGES, 4, 1500);
    let site = Site::builder()
        .tree(tree.clone())
        .latency(Duration::from_millis(1))
        .start();
    let place = Place::new();
    let more =
        format!("[limits]\nper_host = {IN_FLIGHT}\n[store]\ndurability = \"{durability}\"\n");
    place.write("site.toml", &site_job(&site.url("/"), &more));
    let mut dice = SmallRng::seed_from_u64(seed);
    let mut recorded = 0;
    let mut kills_of_this = 0;
    while !is_finished(&place) {
        let run = place.start(&["run", "site.toml"]);
        kill_at_random(run, &site, &mut dice);
        kills_of_this += 1;
        if !place.path("neap.db").exists() {
            kills.before_the_store += 1;
            continue;
        }
        let now = check_after_kill(&place);
        assert!(
            now >= recorded,
            "seed {seed}: {recorded} pages before the kill, {now} after it"
        );
        kills.before_the_first_page += u64::from(now == 0);
        recorded = now;
    }
    let what = format!("seed {seed}, {durability}, {kills_of_this} kills");
    kills.quarantined += take_out_of_quarantine(&place, &what);
    assert_eq!(
        with_status(&place.results(), 200),
        tree.urls(&site.base_url()),
        "{what}"
    );
    // Asked again was at most what was in flight, and the robots file once a run; the last run may have been
    // followed by one more.
    let most = PAGES as u64 + (kills_of_this + 2) * (IN_FLIGHT + 1);
    assert!(site.asked() <= most, "{what}: asked {} times", site.asked());
    place.check_invariants();
    kills.cycles += kills_of_this;
    kills.crawls += 1;
    kills.lost += place.number("SELECT count(*) FROM attempts WHERE cause = 'lost'");
}

/// Kills a run while it starts, or a moment after the site has answered it some times.
fn kill_at_random(run: Running, site: &Site, dice: &mut SmallRng) {
    let answers = dice.random_range(0..=8);
    // A moment is all that is wanted of this wait: whatever is going on is cut off.
    let moment = if answers == 0 {
        dice.random_range(0..60_000)
    } else {
        // A run that has less left than that ends by itself.
        let _ = site.wait_answered(site.answered() + answers, PATIENCE_WITH_RUNS);
        dice.random_range(0..4_000)
    };
    std::thread::sleep(Duration::from_micros(moment));
    run.kill();
}

/// Asks for pages that were in flight at five kills, at three of them alone: nothing tells such a kill from a
/// process that died of the page, so they were given up, and a person asks for them again. How many it were.
fn take_out_of_quarantine(place: &Place, what: &str) -> i64 {
    let failed = place.number("SELECT count(*) FROM failures");
    if failed == 0 {
        return 0;
    }
    let rightly = place.number(
        "SELECT count(*) FROM failures f WHERE cause = 'quarantined' AND 5 = (SELECT count(*) FROM attempts a
           WHERE a.request_id = f.request_id AND a.cause = 'lost')",
    );
    assert_eq!(
        rightly,
        failed,
        "{what}: {:?}",
        place.query("SELECT * FROM failures")
    );
    let job = place.query("SELECT name FROM jobs");
    let job = job[0]["name"].as_str().expect("jobs have names");
    place
        .neap(&["retry", job, "--cause", "quarantined"])
        .expect(0);
    place.neap(&["resume"]).expect(0);
    failed
}

fn is_finished(place: &Place) -> bool {
    place.path("neap.db").exists()
        && place.number("SELECT count(*) FROM jobs WHERE state_name = 'finished'") == 1
}

/// Checks what must hold of a store at any moment; the pages that it has.
fn check_after_kill(place: &Place) -> i64 {
    let rows = place.query(
        "SELECT (SELECT group_concat(integrity_check) FROM pragma_integrity_check) AS integrity,
           (SELECT count(*) FROM (SELECT 1 FROM attempts WHERE outcome = 0
             GROUP BY request_id HAVING count(*) > 1)) AS repeated,
           (SELECT count(*) FROM requests r LEFT JOIN pages p USING (request_id)
             WHERE (r.state = 2) IS NOT (p.request_id IS NOT NULL)) AS halved,
           (SELECT count(*) FROM pages) AS pages",
    );
    let row = &rows[0];
    assert_eq!(row["integrity"], "ok");
    assert_eq!((&row["repeated"], &row["halved"]), (&0.into(), &0.into()));
    row["pages"].as_i64().unwrap()
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
        if path.extension().is_none_or(|ending| ending != "gz") {
            continue;
        }
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
