//! Can a crawl be steered from another terminal, and does it hold whatever happens?

use std::time::{Duration, Instant};

use neap_testkit::{Reply, Site, Tree};
use nix::sys::signal::Signal;

use crate::support::{Place, site_job, with_status};

const PATIENCE: Duration = Duration::from_secs(60);

fn slow(tree: &Tree) -> Site {
    Site::builder()
        .tree(tree.clone())
        .latency(Duration::from_millis(20))
        .start()
}

/// Asks the store again and again until it is so.
#[track_caller]
fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < PATIENCE, "never came: {what}");
    }
}

#[test]
fn a_job_is_paused_and_continued_while_its_run_goes_on() {
    let tree = Tree::new(150, 4, 500);
    let site = slow(&tree);
    let place = Place::new();
    place.write(
        "site.toml",
        &site_job(&site.url("/"), "[limits]\nper_host = 4\n"),
    );
    let mut run = place.start(&["run", "site.toml", "--progress", "json"]);
    site.wait_answered(20, PATIENCE).unwrap();
    let said = place.neap(&["pause", "site"]).expect(0);
    assert!(said.err.contains("`neap continue site`"), "{}", said.err);
    run.hear("\"paused\":[\"site\"]");
    let state = place.query("SELECT state_name, ready > 0 AS is_open FROM jobs");
    assert_eq!(state[0]["state_name"], "paused");
    assert_eq!(
        state[0]["is_open"], 1,
        "all was fetched before it was paused"
    );
    place.neap(&["pause", "site"]).expect(0);
    place.neap(&["continue", "site.toml"]).expect(0);
    run.wait().expect(0);
    assert_eq!(
        with_status(&place.results(), 200),
        tree.urls(&site.base_url())
    );
    for path in tree.paths() {
        assert_eq!(site.count(&path), 1, "{path} was asked for again");
    }
    place.check_invariants();
    let said = place.neap(&["continue", "site"]).expect(0);
    assert!(said.err.contains("is finished"), "{}", said.err);
}

#[test]
fn a_pause_outlives_the_run_and_is_told_to_the_next() {
    let tree = Tree::new(100, 4, 500);
    let site = slow(&tree);
    let place = Place::new();
    place.write(
        "site.toml",
        &site_job(&site.url("/"), "[limits]\nper_host = 4\n"),
    );
    let mut run = place.start(&["run", "site.toml", "--progress", "json"]);
    site.wait_answered(10, PATIENCE).unwrap();
    place.neap(&["pause", "site"]).expect(0);
    run.hear("\"paused\":[\"site\"]");
    run.signal(Signal::SIGINT);
    run.wait().expect(7);
    let asked = site.asked();
    let open = "SELECT url FROM open_requests WHERE NOT is_in_flight LIMIT 1";
    let open = place.query(open)[0]["url"].as_str().unwrap().to_owned();
    for (command, told) in [
        (vec!["status"], "paused"),
        (vec!["hosts"], "paused"),
        (
            vec!["why", &open],
            "while the job site rests: `neap continue site`",
        ),
        (
            vec!["explain", &open],
            "Its job is paused, so nobody asks for it: `neap continue site`",
        ),
    ] {
        let said = place.neap(&command).expect(0);
        assert!(said.out.contains(told), "{command:?}: {}", said.out);
    }
    let said = place.neap(&["resume"]).expect(0);
    assert!(said.err.contains("site is paused"), "{}", said.err);
    for command in [["resume", "site"], ["run", "site"], ["run", "site.toml"]] {
        let said = place.neap(&command).expect(2);
        assert!(said.err.contains("neap continue site"), "{}", said.err);
    }
    assert_eq!(site.asked(), asked);
    place.neap(&["continue", "site"]).expect(0);
    place.neap(&["resume"]).expect(0);
    assert_eq!(place.results().len(), tree.paths().count());
    place.check_invariants();
}

#[test]
fn a_cancelled_job_ends_under_its_run_and_stays_ended() {
    let tree = Tree::new(150, 4, 500);
    let site = slow(&tree);
    let place = Place::new();
    place.write(
        "site.toml",
        &site_job(&site.url("/"), "[limits]\nper_host = 4\n"),
    );
    let run = place.start(&["run", "site.toml"]);
    site.wait_answered(20, PATIENCE).unwrap();
    place.neap(&["cancel", "site"]).expect(0);
    run.wait().expect(0);
    let answered = place.results().len();
    assert!((20..150).contains(&answered), "{answered} pages");
    let jobs = place.query("SELECT state_name, ready + waiting AS open, skipped FROM jobs");
    assert_eq!(jobs[0]["state_name"], "cancelled");
    assert_eq!(jobs[0]["open"], 0);
    assert!(place.number("SELECT count(*) FROM skipped WHERE reason = 'cancelled'") > 0);
    place.check_invariants();
    let said = place.neap(&["resume"]).expect(0);
    assert!(said.err.contains("nothing to resume"), "{}", said.err);
    place.neap(&["retry", "site"]).expect(2);
    let said = place.neap(&["cancel", "site"]).expect(0);
    assert!(
        said.err.contains("nothing to cancel") && said.err.contains("is cancelled already"),
        "{}",
        said.err
    );
    // Its file starts a new round.
    place.neap(&["run", "site.toml"]).expect(0);
    assert_eq!(place.number("SELECT pages FROM jobs WHERE round = 2"), 150);
}

#[test]
fn a_job_is_cancelled_without_a_run_even_after_a_crash() {
    let tree = Tree::new(100, 4, 500);
    let site = slow(&tree);
    let place = Place::new();
    place.write(
        "site.toml",
        &site_job(&site.url("/"), "[limits]\nper_host = 4\n"),
    );
    let run = place.start(&["run", "site.toml"]);
    site.wait_answered(10, PATIENCE).unwrap();
    run.kill();
    let said = place.neap(&["cancel", "site"]).expect(0);
    assert!(said.err.contains("skipped"), "{}", said.err);
    assert_eq!(place.number("SELECT ready + waiting FROM jobs"), 0);
    place.check_invariants();
    let said = place.neap(&["resume"]).expect(0);
    assert!(said.err.contains("nothing to resume"), "{}", said.err);
}

#[test]
fn what_failed_is_retried_and_its_result_replaced() {
    let site = Site::builder()
        .page("/", Reply::html("top", ["/a", "/b", "/c"]))
        .page("/a", Reply::status(500))
        .page("/b", Reply::status(403))
        .page("/c", Reply::status(404))
        .start();
    let place = Place::new();
    let job = site_job(&site.url("/"), "[retry]\nattempts = 2\nbase = \"1ms\"\n");
    place.write("site.toml", &job);
    place.neap(&["run", "site.toml"]).expect(0);
    let failed = "SELECT count(*) FROM failures";
    assert_eq!(place.number(failed), 2);
    let said = place.neap(&["retry", "site", "--status", "404"]).expect(0);
    let causes = "failed, for http_403 (1), http_500 (1), and none of them is meant";
    assert!(
        said.err.contains("nothing to retry") && said.err.contains(causes),
        "{}",
        said.err
    );
    let said = place.neap(&["retry", "site", "--cause", "bogus"]).expect(2);
    assert!(
        said.err.contains("failed for http_403 (1), http_500 (1)"),
        "{}",
        said.err
    );
    for bad in [
        vec!["retry", "site", "--where", "nonsense > 1"],
        vec!["retry", "site", "--where", "1; DELETE FROM requests"],
        vec!["retry", "site", "--host", "elsewhere.example"],
        vec!["retry", "other"],
        vec!["skip", "site"],
    ] {
        place.neap(&bad).expect(2);
    }
    assert_eq!(place.number(failed), 2, "what is wrong changes nothing");

    site.set_page("/a", Reply::html("a", [""; 0]));
    site.set_page("/b", Reply::html("b", ["/d"]));
    site.set_page("/d", Reply::html("d", [""; 0]));
    let said = place
        .neap(&["retry", "site", "--where", "status = 403"])
        .expect(0);
    assert!(
        said.err.contains("1 request is asked again"),
        "{}",
        said.err
    );
    assert_eq!(place.number("SELECT ready FROM jobs"), 1);
    place.neap(&["resume", "site"]).expect(0);
    assert_eq!(place.number(failed), 1);
    place
        .neap(&["retry", "site.toml", "--cause", "http_500"])
        .expect(0);
    place.neap(&["resume"]).expect(0);
    assert_eq!(place.number(failed), 0);
    let base = site.base_url();
    let results = place.results();
    assert_eq!(results.len(), 5, "{results:?}");
    assert_eq!(results[&format!("{base}/b")], 200);
    let attempts = place.query(
        "SELECT number FROM attempts JOIN requests USING (request_id) WHERE url LIKE '%/a' ORDER BY 1",
    );
    let numbers: Vec<_> = attempts.iter().map(|row| row["number"].as_i64()).collect();
    assert_eq!(numbers, [Some(1), Some(2), Some(3)]);
    assert_eq!(
        place.number("SELECT count(*) FROM jobs"),
        1,
        "the same round"
    );
    let body = place.neap(&["body", &format!("{base}/b")]).expect(0);
    assert!(body.out.contains("/d"), "{}", body.out);
    place.check_invariants();
}

#[test]
fn a_host_that_was_given_up_is_tried_again_by_a_retry() {
    let site = Site::builder().tree(Tree::new(20, 4, 300)).start();
    site.outage_now(Reply::status(502));
    let place = Place::new();
    let more = "[adaptive]\ngive_up_after = \"1s\"\n[retry]\nattempts = 100\nbase = \"50ms\"\nmax = \"100ms\"\n[robots]\nmode = \"off\"\n";
    place.write("site.toml", &site_job(&site.url("/"), more));
    place.neap(&["run", "site.toml"]).expect(3);
    assert_eq!(
        place.number("SELECT count(*) FROM failures WHERE cause = 'host_given_up'"),
        1
    );
    site.recover();
    place
        .neap(&["retry", "site", "--cause", "host_given_up"])
        .expect(0);
    place.neap(&["resume"]).expect(0);
    assert_eq!(place.results().len(), 20);
    place.check_invariants();
}

#[test]
fn what_is_still_to_be_asked_for_is_skipped_by_hand() {
    let tree = Tree::new(120, 4, 500);
    let site = slow(&tree);
    let place = Place::new();
    place.write(
        "site.toml",
        &site_job(&site.url("/"), "[limits]\nper_host = 2\n"),
    );
    place.neap(&["run", "site.toml", "--limit", "10"]).expect(5);
    let open = place.query("SELECT url FROM open_requests ORDER BY request_id");
    let first = open[0]["url"].as_str().unwrap();
    let said = place.neap(&["skip", "site", "--url", first]).expect(0);
    assert!(said.err.contains("1 request skipped"), "{}", said.err);
    let said = place.neap(&["skip", "site", "--url", first]).expect(0).err;
    assert!(
        said.contains("nothing to skip: of ") && said.contains("none is meant"),
        "{said}"
    );
    let run = place.start(&["resume"]);
    site.wait_answered(20, PATIENCE).unwrap();
    place
        .neap(&["skip", "site", "--host", &site.base_url()])
        .expect(0);
    place.neap(&["skip", "site", "--where", "1"]).expect(0);
    run.wait().expect(0);
    let by_hand = place.query("SELECT url FROM skipped WHERE reason = 'by_hand'");
    assert!(by_hand.iter().any(|row| row["url"] == first), "{by_hand:?}");
    for row in &by_hand {
        let path = row["url"].as_str().unwrap().replace(&site.base_url(), "");
        assert_eq!(site.count(&path), 0, "{path} was asked for");
    }
    place.check_invariants();
}

#[test]
fn a_job_that_is_finished_is_opened_again_under_the_run_that_finished_it() {
    let tree = Tree::new(150, 4, 400);
    let long = slow(&tree);
    let short = Site::builder()
        .page("/", Reply::html("top", ["/a"]))
        .page("/a", Reply::status(403))
        .start();
    let place = Place::new();
    let more = "[limits]\nper_host = 4\n";
    place.write("site.toml", &site_job(&long.url("/"), more));
    let two = site_job(&short.url("/"), "").replace("\"site\"", "\"two\"");
    place.write("two.toml", &two);
    place.neap(&["submit", "site.toml"]).expect(0);
    place.neap(&["submit", "two.toml"]).expect(0);
    let run = place.start(&["resume"]);
    let state = "SELECT state FROM jobs WHERE name = 'two'";
    wait_until("two is finished", || place.number(state) != 0);
    short.set_page("/a", Reply::html("a", ["/b"]));
    short.set_page("/b", Reply::html("b", [""; 0]));
    let said = place.neap(&["retry", "two"]).expect(0);
    assert!(
        said.err.contains("in the run that is going on"),
        "{}",
        said.err
    );
    run.wait().expect(0);
    assert_eq!(short.count("/b"), 1);
    assert_eq!(place.results().len(), 153);
    assert_eq!(place.number(state), 1);
    place.check_invariants();
}

#[test]
fn a_job_that_is_found_obeys_a_robots_file_that_is_known() {
    let tree = Tree::new(200, 4, 400);
    let site = Site::builder()
        .tree(tree)
        .robots("User-agent: *\nDisallow: /private/\n")
        .page("/private/x", Reply::html("x", [""; 0]))
        .page("/open", Reply::html("open", [""; 0]))
        .latency(Duration::from_millis(20))
        .start();
    let place = Place::new();
    let more = "[limits]\nper_host = 2\n";
    place.write("site.toml", &site_job(&site.url("/"), more));
    place.neap(&["submit", "site.toml"]).expect(0);
    let run = place.start(&["resume"]);
    site.wait_answered(10, PATIENCE).unwrap();
    let two = format!(
        "neap = 1\nname = \"two\"\n[input]\nurls = [\"{}\", \"{}\"]\n",
        site.url("/private/x"),
        site.url("/open")
    );
    place.write("two.toml", &two);
    place.neap(&["submit", "two.toml"]).expect(0);
    run.wait().expect(0);
    assert_eq!(site.count("/open"), 1, "the run took it up");
    assert_eq!(site.count("/private/x"), 0, "robots.txt forbids it");
    assert_eq!(site.count("/robots.txt"), 1, "it is kept for a day");
    let skipped = "SELECT count(*) FROM skipped WHERE job = 'two' AND reason = 'robots'";
    assert_eq!(place.number(skipped), 1);
    place.check_invariants();
}

#[test]
fn input_on_a_new_host_goes_out_with_the_headers_of_its_running_job() {
    let mut long = Site::builder().latency(Duration::from_millis(20));
    let paths: Vec<String> = (0..150).map(|n| format!("/{n}")).collect();
    for path in &paths {
        long = long.page(path, Reply::html("page", [""; 0]));
    }
    let (long, late) = (
        long.start(),
        Site::builder()
            .page("/late", Reply::html("late", [""; 0]))
            .start(),
    );
    let place = Place::new();
    let mut urls: Vec<String> = paths.iter().map(|path| long.url(path)).collect();
    let job = |urls: &[String]| {
        format!(
            "neap = 1\nname = \"list\"\n[input]\nurls = {urls:?}\n[limits]\nper_host = 2\n\
             [identity.headers]\nx-shop = \"seven\"\n"
        )
    };
    place.write("list.toml", &job(&urls));
    let run = place.start(&["run", "list.toml"]);
    long.wait_answered(10, PATIENCE).unwrap();
    urls.push(late.url("/late"));
    place.write("list.toml", &job(&urls));
    place.neap(&["submit", "list.toml"]).expect(0);
    run.wait().expect(0);
    assert_eq!(place.results().len(), 151);
    for (site, path) in [(&long, "/7"), (&late, "/late")] {
        let log = site.log();
        let asked = log.iter().find(|asked| asked.is_for(path)).unwrap();
        assert_eq!(asked.header("x-shop"), Some("seven"), "{path}");
    }
    place.check_invariants();
}

#[test]
fn a_host_that_is_given_up_fails_nothing_of_a_round_that_was_replaced() {
    let site = slow(&Tree::new(400, 4, 400));
    let place = Place::new();
    let more = "[limits]\nper_host = 2\n[adaptive]\ngive_up_after = \"1s\"\n\
                [retry]\nattempts = 100\nbase = \"50ms\"\nmax = \"100ms\"\n";
    place.write("site.toml", &site_job(&site.url("/"), more));
    place.neap(&["submit", "site.toml"]).expect(0);
    let run = place.start(&["resume"]);
    site.wait_answered(10, PATIENCE).unwrap();
    place.neap(&["submit", "site.toml", "--fresh"]).expect(0);
    wait_until("a page of the new round", || {
        place.number("SELECT count(*) FROM results WHERE round = 2 AND state = 'done'") > 0
    });
    site.outage_now(Reply::status(502));
    run.wait().expect(0);
    let given_up = |round| {
        let of = "SELECT count(*) FROM failures WHERE cause = 'host_given_up' AND round =";
        place.number(&format!("{of} {round}"))
    };
    assert!(given_up(2) > 0);
    assert_eq!(given_up(1), 0, "nobody works on that round any more");
    assert!(place.number("SELECT ready FROM jobs WHERE round = 1") > 0);
    place.check_invariants();
}

#[test]
fn a_condition_that_waits_for_a_value_is_refused() {
    let place = Place::new();
    let site = Site::builder()
        .page("/", Reply::html("top", [""; 0]))
        .start();
    place.write("site.toml", &site_job(&site.url("/"), ""));
    place.neap(&["submit", "site.toml"]).expect(0);
    for command in [
        vec!["skip", "site", "--where", "url = ?"],
        vec!["retry", "site", "--where", ":cause"],
        vec!["export", "results", "--where", "?1"],
        vec!["query", "SELECT @x"],
    ] {
        let said = place.neap(&command).expect(2).err;
        assert!(
            said.contains("a value that nobody gives"),
            "{command:?}: {said}"
        );
    }
    let said = place
        .neap(&["skip", "site", "--where", "url <> '?'"])
        .expect(0)
        .err;
    assert!(said.contains("1 request skipped"), "{said}");
    let said = place.neap(&["resume", "site"]).expect(0).err;
    assert!(said.contains("nothing to resume"), "{said}");
}
