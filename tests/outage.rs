//! Does an outage cost no page, and few requests?

use std::time::Duration;

use neap_testkit::{Reply, Site, Tree};

use crate::support::{Place, load, site_job, with_status};

#[test]
fn an_outage_of_eight_seconds_loses_no_page_and_wastes_few_requests() {
    let tree = Tree::new(400, 4, 1000);
    let site = Site::builder()
        .tree(tree.clone())
        .latency(Duration::from_millis(50))
        .outage(
            Duration::from_millis(500),
            Duration::from_millis(8500),
            Reply::status(502),
        )
        .start();
    let place = Place::new();
    place.write("site.toml", &site_job(&site.url("/"), ""));
    place.neap(&["run", "site.toml"]).expect(0);
    assert_eq!(
        with_status(&place.results(), 200),
        tree.urls(&site.base_url())
    );
    let bad = place.number("SELECT count(*) FROM attempts WHERE status = 502");
    // What was on its way when the first 502 came back: one service time after the first was sent.
    let in_flight = place.number(
        "SELECT max(in_flight) FROM attempts
         WHERE started_ms <= (SELECT min(started_ms) + 50 FROM attempts WHERE status = 502)",
    );
    assert!(bad > 0, "the outage was missed");
    assert!(
        bad <= in_flight + 15,
        "{bad} requests went into the outage, {in_flight} were in flight at its start",
    );
    let lost = place.number("SELECT count(*) FROM requests WHERE state_name = 'failed'");
    assert_eq!(lost, 0);
    assert!(place.number("SELECT sum(answers) FROM bad_gateways") > 0);
    place.check_invariants();
}

#[test]
fn a_fragile_host_is_not_overwhelmed() {
    let _quiet = load::quiet();
    let tree = Tree::new(1000, 6, 500);
    let site = Site::builder()
        .tree(tree.clone())
        .latency(Duration::from_millis(20))
        .capacity(4, Reply::status(502))
        .start();
    let place = Place::new();
    place.write(
        "site.toml",
        &site_job(&site.url("/"), "[limits]\nper_host = 64\n"),
    );
    place.neap(&["run", "site.toml"]).expect(0);
    assert_eq!(
        with_status(&place.results(), 200),
        tree.urls(&site.base_url())
    );
    let log = site.log();
    let refused = |log: &[neap_testkit::Asked]| {
        let refused = log.iter().filter(|asked| asked.status == Some(502));
        refused.count()
    };
    // At the start, neap is as busy as the host, and how much is refused is a matter of the machine.
    let late = &log[log.len() / 2..];
    assert!(refused(&log) <= 150, "{} of {}", refused(&log), log.len());
    assert!(
        refused(late) * 10 <= late.len(),
        "{} of the last {} requests were too many at once",
        refused(late),
        late.len()
    );
}

#[test]
fn a_host_that_is_not_there_does_not_hold_up_the_others() {
    let refusing = neap_testkit::Refusing::take().unwrap();
    let site = Site::builder().tree(Tree::new(20, 3, 300)).start();
    let place = Place::new();
    let job = format!(
        "neap = 1\nname = \"mixed\"\n[input]\nurls = [\"{}\", \"{}\"]\n[crawl]\nscope = \"host\"\n\
         [adaptive]\ngive_up_after = \"2s\"\n",
        site.url("/"),
        refusing.url("/"),
    );
    place.write("mixed.toml", &job);
    let said = place.neap(&["run", "mixed.toml"]).expect(0);
    assert!(said.err.contains("given up"), "{}", said.err);
    let failed = place.query("SELECT url, cause FROM failures");
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert_eq!(failed[0]["url"], refusing.url("/"));
    assert_eq!(with_status(&place.results(), 200).len(), 20);
}

#[test]
fn a_run_that_can_fetch_nothing_says_so() {
    let refusing = neap_testkit::Refusing::take().unwrap();
    let place = Place::new();
    place.write(
        "dead.toml",
        &site_job(&refusing.url("/"), "[adaptive]\ngive_up_after = \"1s\"\n"),
    );
    place.neap(&["run", "dead.toml"]).expect(3);
}

#[test]
fn retry_after_is_waited_for() {
    let site = Site::builder()
        .page("/", Reply::html("top", [""; 0]))
        .first(1, Reply::status(503).header("retry-after", "2"))
        .spare("/robots.txt")
        .start();
    let place = Place::new();
    place.write("site.toml", &site_job(&site.url("/"), ""));
    place.neap(&["run", "site.toml"]).expect(0);
    let times: Vec<_> = site
        .log()
        .iter()
        .filter(|asked| asked.is_for("/"))
        .map(|asked| asked.micros)
        .collect();
    assert_eq!(times.len(), 2);
    assert!(
        times[1] - times[0] >= 1_900_000,
        "asked again after {} us",
        times[1] - times[0]
    );
}

#[test]
fn a_dead_host_that_is_linked_again_and_again_does_not_keep_the_crawl() {
    let dead = "http://no-such-host.invalid";
    let site = Site::builder()
        .page("/", Reply::html("top", ["/a", &format!("{dead}/1")]))
        .page(
            "/a",
            Reply::html("a", ["/b", &format!("{dead}/2")]).delay(Duration::from_millis(200)),
        )
        .page(
            "/b",
            Reply::html("b", [format!("{dead}/3")]).delay(Duration::from_millis(2000)),
        )
        .start();
    let place = Place::new();
    let job = site_job(&site.url("/"), "[adaptive]\ngive_up_after = \"1s\"\n");
    place.write(
        "site.toml",
        &job.replace("scope = \"host\"", "scope = \"any\""),
    );
    place.neap(&["run", "site.toml"]).expect(0);
    assert_eq!(
        place.number("SELECT count(*) FROM failures WHERE host = 'http://no-such-host.invalid'"),
        3
    );
    assert_eq!(with_status(&place.results(), 200).len(), 3);
    place.check_invariants();
}

#[test]
fn a_robots_file_that_is_elsewhere_and_out_of_reach_does_not_condemn_its_host() {
    let site = Site::builder()
        .in_turn(
            "/robots.txt",
            [
                Reply::redirect(302, "http://no-such-host.invalid/robots.txt"),
                Reply::ok("User-agent: *\nDisallow:\n"),
            ],
        )
        .page("/", Reply::html("top", [""; 0]))
        .start();
    let place = Place::new();
    place.write("site.toml", &site_job(&site.url("/"), ""));
    place.neap(&["run", "site.toml"]).expect(0);
    assert_eq!(with_status(&place.results(), 200).len(), 1);
}

#[test]
fn pages_that_always_fail_do_not_condemn_the_others_of_their_host() {
    let mut urls: Vec<String> = (0..8).map(|n| format!("/bad/{n}")).collect();
    urls.extend((0..60).map(|n| format!("/good/{n}")));
    let site = Site::builder()
        .fallback(|asked| match asked.path().starts_with("/bad/") {
            true => Reply::status(502),
            false => Reply::html("good", [""; 0]),
        })
        .start();
    let place = Place::new();
    let list: Vec<String> = urls.iter().map(|path| site.url(path)).collect();
    place.write("list.txt", &list.join("\n"));
    place.write(
        "list.toml",
        "neap = 1\nname = \"list\"\n[input]\nfiles = [\"list.txt\"]\n\
         [retry]\nattempts = 3\nbase = \"10ms\"\nmax = \"100ms\"\n",
    );
    place.neap(&["run", "list.toml"]).expect(0);
    assert_eq!(with_status(&place.results(), 200).len(), 60);
    let failed = place.query("SELECT DISTINCT cause FROM failures");
    assert_eq!(
        place.number("SELECT count(*) FROM failures"),
        8,
        "{failed:?}"
    );
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert_eq!(failed[0]["cause"], "http_502");
    assert_eq!(place.number("SELECT pages_lost FROM bad_gateways"), 8);
    place.check_invariants();
}

/// How a run over a list of several hosts went.
struct Sweep {
    /// Pages fetched with status 200.
    fetched: usize,
    /// Requests that the hosts received.
    asked: u64,
    /// From the first attempt of the run to the last page of the hosts without an outage.
    healthy_ms: i64,
}

/// Fetches 1,000 pages of 16 hosts; every fourth of them answers, for this long after its first
/// request, nothing but 502.
#[track_caller]
fn sweep(outage: Duration) -> Sweep {
    let is_sick = |n: usize| n.is_multiple_of(4);
    let sites: Vec<Site> = (0..16)
        .map(|n| {
            let site = Site::bind(&format!("127.0.0.{}", n + 1))
                .fallback(|_| Reply::html("page", [""; 0]))
                .latency(Duration::from_millis(20));
            match is_sick(n) && !outage.is_zero() {
                true => site.outage(Duration::ZERO, outage, Reply::status(502)),
                false => site,
            }
            .start()
        })
        .collect();
    let list: Vec<String> = (0..1000)
        .map(|n| sites[n % sites.len()].url(&format!("/{n}")))
        .collect();
    let place = Place::new();
    place.write("list.txt", &list.join("\n"));
    place.write(
        "list.toml",
        "neap = 1\nname = \"list\"\n[input]\nfiles = [\"list.txt\"]\n[limits]\nconcurrency = 64\n\
         [robots]\nmode = \"off\"\n",
    );
    place.neap(&["run", "list.toml"]).expect(0);
    place.check_invariants();
    let healthy: Vec<String> = (0..sites.len())
        .filter(|n| !is_sick(*n))
        .map(|n| format!("'{}'", sites[n].base_url()))
        .collect();
    Sweep {
        fetched: with_status(&place.results(), 200).len(),
        asked: sites.iter().map(Site::asked).sum(),
        healthy_ms: place.number(&format!(
            "SELECT max(p.fetched_ms) - (SELECT min(started_ms) FROM attempts)
             FROM pages p JOIN requests r USING (request_id) JOIN hosts h USING (host_id)
             WHERE h.name IN ({})",
            healthy.join(", ")
        )),
    }
}

#[test]
fn hosts_that_are_down_cost_few_requests_and_do_not_hold_up_the_others() {
    let calm = sweep(Duration::ZERO);
    assert_eq!((calm.fetched, calm.asked), (1000, 1000));
    let rough = sweep(Duration::from_secs(10));
    let extra = rough.asked - 1000;
    let ratio = rough.healthy_ms as f64 / calm.healthy_ms as f64;
    println!(
        "{extra} requests more than pages; the healthy hosts took {} ms instead of {} ms: {ratio:.2}",
        rough.healthy_ms, calm.healthy_ms
    );
    assert_eq!(rough.fetched, 1000);
    assert!((4..=100).contains(&extra), "{extra} requests too many");
    // The goal is 1.25; on a machine that does other things as well, twice tells a held up crawl.
    assert!(ratio < 2.0, "{ratio}");
}

#[test]
fn a_section_that_fails_by_itself_does_not_slow_the_rest() {
    let pages = (0..400).map(|n| (format!("/p/{n}"), Reply::ok("a page")));
    let broken = (0..40).map(|n| (format!("/checkout/{n}"), Reply::status(502)));
    let site = pages
        .chain(broken)
        .fold(Site::builder(), |site, (path, reply)| {
            site.page(&path, reply)
        })
        .latency(Duration::from_millis(5))
        .start();
    let place = Place::new();
    let mut urls = String::new();
    for n in 0..400 {
        urls += &format!("{}\n", site.url(&format!("/p/{n}")));
        if n % 10 == 0 {
            urls += &format!("{}\n", site.url(&format!("/checkout/{}", n / 10)));
        }
    }
    place.write("urls.txt", &urls);
    place.write(
        "job.toml",
        "neap = 1\nname = \"job\"\n[input]\nfiles = [\"urls.txt\"]\n[robots]\nmode = \"off\"\n\
         [retry]\nattempts = 3\nbase = \"10ms\"\nmax = \"20ms\"\n[store]\nbodies = \"none\"\n",
    );
    place.neap(&["run", "job.toml"]).expect(0);
    assert_eq!(with_status(&place.results(), 200).len(), 400);
    let failed = "SELECT count(*) FROM attempts WHERE status = 502";
    let known = place.number(&format!("{failed} AND evidence LIKE '%only /checkout/*%'"));
    let all = place.number(failed);
    assert!(
        known * 2 > all,
        "{known} of {all} were known to be the section's"
    );
    let lowered = place.number(
        "SELECT count(*) FROM limit_changes
         WHERE limit_after < limit_before AND reason <> 'answers took longer'",
    );
    assert!(lowered <= 4, "the limit fell {lowered} times");
}
