//! Does a crawl find everything that is there, once, and nothing else?

use std::collections::BTreeSet;

use neap_testkit::{Coding, Reply, Site, Tree};

use crate::support::{Place, site_job, with_status};

#[test]
fn every_page_of_a_site_is_fetched_once() {
    let tree = Tree::new(200, 5, 2000);
    let site = Site::builder().tree(tree.clone()).start();
    let place = Place::new();
    place.write("site.toml", &site_job(&site.url("/"), ""));
    let said = place.neap(&["run", "site.toml"]).expect(0);
    assert!(said.err.contains("finished"), "{}", said.err);
    assert_eq!(
        with_status(&place.results(), 200),
        tree.urls(&site.base_url())
    );
    for path in tree.paths() {
        assert_eq!(site.count(&path), 1, "{path}");
    }
    place.check_invariants();
}

#[test]
fn bodies_come_back_as_they_were_whatever_their_coding() {
    let mut builder = Site::builder();
    let mut links = Vec::new();
    for coding in [Coding::Gzip, Coding::Brotli, Coding::Zstd, Coding::Deflate] {
        let path = format!("/{coding:?}");
        let reply = Reply::ok(format!("<p>this is {coding:?}")).header("content-type", "text/html");
        builder = builder.page(&path, reply.encoded(coding));
        links.push(path);
    }
    let links: Vec<&str> = links.iter().map(String::as_str).collect();
    let site = builder
        .page("/", Reply::html("codings", links.clone()))
        .start();
    let place = Place::new();
    place.write("site.toml", &site_job(&site.url("/"), ""));
    place.neap(&["run", "site.toml"]).expect(0);
    for path in links {
        let body = place.neap(&["body", &site.url(path)]).expect(0).out;
        assert_eq!(body, format!("<p>this is {}", &path[1..]));
        let mut raw = place.command(&["body", "--raw", &site.url(path)]);
        assert_ne!(
            raw.output().unwrap().stdout,
            body.as_bytes(),
            "{path} is sent coded"
        );
    }
}

#[test]
fn scope_robots_and_depth_leave_out_what_they_should_and_say_so() {
    let away = Site::builder()
        .page("/", Reply::html("away", [""; 0]))
        .start();
    let abroad = away.url("/");
    let site = Site::builder()
        .robots("User-agent: *\nDisallow: /private\n")
        .page(
            "/",
            Reply::html("top", ["/a", "/private/x", "/print/1", &abroad]),
        )
        .page("/a", Reply::html("a", ["/a/b"]))
        .page("/a/b", Reply::html("b", ["/a/b/c"]))
        .start();
    let place = Place::new();
    place.write(
        "site.toml",
        &site_job(&site.url("/"), "exclude = [\"/print/*\"]\nmax_depth = 2\n"),
    );
    place.neap(&["run", "site.toml"]).expect(0);
    let expected: BTreeSet<String> = ["/", "/a", "/a/b"].map(|path| site.url(path)).into();
    assert_eq!(with_status(&place.results(), 200), expected);
    assert_eq!(
        (
            away.asked(),
            site.count("/private/x"),
            site.count("/print/1")
        ),
        (0, 0, 0)
    );
    for (url, reason) in [
        (site.url("/private/x"), "robots"),
        (site.url("/print/1"), "excluded"),
        (site.url("/a/b/c"), "too_deep"),
        (away.url("/"), "scope"),
    ] {
        let sql =
            format!("SELECT count(*) FROM skipped WHERE url = '{url}' AND reason = '{reason}'");
        assert_eq!(
            place.number(&sql),
            1,
            "{url} should be skipped for {reason}"
        );
    }
    let robots = site
        .log()
        .iter()
        .position(|asked| asked.is_for("/robots.txt"));
    assert_eq!(
        robots,
        Some(0),
        "the robots file is asked for before anything else"
    );
    place.check_invariants();
}

#[test]
fn redirects_are_requests_of_their_own() {
    let site = Site::builder()
        .page("/", Reply::html("top", ["/old", "/loop", "/gone"]))
        .page("/old", Reply::redirect(301, "/newer"))
        .page("/newer", Reply::redirect(302, "/new"))
        .page("/new", Reply::html("new", [""; 0]))
        .page("/loop", Reply::redirect(302, "/loop"))
        .page("/gone", Reply::status(410))
        .start();
    let place = Place::new();
    place.write(
        "site.toml",
        &site_job(&site.url("/"), "[request]\nredirects = 4\n"),
    );
    place.neap(&["run", "site.toml"]).expect(0);
    let old = place.query(&format!(
        "SELECT status, first_status, final_url, redirects FROM results WHERE url = '{}'",
        site.url("/old")
    ));
    assert_eq!(old[0]["status"], 200);
    assert_eq!(old[0]["first_status"], 301);
    assert_eq!(old[0]["redirects"], 2);
    assert_eq!(old[0]["final_url"], site.url("/new"));
    assert_eq!(place.results()[&site.url("/gone")], 410);
    assert!(
        site.count("/loop") <= 5,
        "asked {} times",
        site.count("/loop")
    );
    assert_eq!(
        place.number("SELECT count(*) FROM requests WHERE cause = 'too_many_redirects'"),
        1
    );
    place.check_invariants();
}

#[test]
fn headers_of_the_job_stay_with_the_hosts_of_its_input() {
    let away = Site::builder()
        .page("/", Reply::html("away", [""; 0]))
        .start();
    let site = Site::builder()
        .page("/", Reply::redirect(302, away.url("/")))
        .start();
    let place = Place::new();
    let job = format!(
        "neap = 1\nname = \"headers\"\n[input]\nurls = [\"{}\"]\n[identity]\nuser_agent = \"tester/1\"\n\
         headers = {{ authorization = \"Bearer ${{env:TOKEN}}\", x-team = \"blue\" }}\n\
         [request]\nprivate_addresses = true\n",
        site.url("/")
    );
    place.write("headers.toml", &job);
    let said: crate::support::Said = place
        .command(&["run", "headers.toml"])
        .env("TOKEN", "SECRET-1")
        .output()
        .unwrap()
        .into();
    said.expect(0);
    let at_home = site
        .log()
        .into_iter()
        .find(|asked| asked.is_for("/"))
        .unwrap();
    assert_eq!(at_home.header("authorization"), Some("Bearer SECRET-1"));
    assert_eq!(at_home.header("x-team"), Some("blue"));
    let abroad = away
        .log()
        .into_iter()
        .find(|asked| asked.is_for("/"))
        .unwrap();
    assert_eq!(
        (abroad.header("authorization"), abroad.header("x-team")),
        (None, None)
    );
    assert_eq!(abroad.header("user-agent"), Some("tester/1"));
    let mut files = vec![place.path("neap.db")];
    let segments = std::fs::read_dir(place.path("neap.segments")).unwrap();
    files.extend(segments.map(|entry| entry.unwrap().path()));
    for file in files {
        let bytes = std::fs::read(&file).unwrap();
        let mut text = bytes.clone();
        if file.extension().is_some_and(|extension| extension == "gz") {
            text.clear();
            let mut reader = flate2::read::MultiGzDecoder::new(&bytes[..]);
            std::io::Read::read_to_end(&mut reader, &mut text).unwrap();
        }
        let holds = text.windows(8).any(|window| window == b"SECRET-1");
        assert!(!holds, "{} holds the secret", file.display());
    }
    let missing = place.neap(&["run", "headers.toml", "--fresh"]).expect(2);
    assert!(missing.err.contains("TOKEN"), "{}", missing.err);
    assert_eq!(
        place.number("SELECT count(*) FROM jobs"),
        1,
        "no round was started"
    );
}

#[test]
fn two_rounds_and_changed_files() {
    let site = Site::builder().tree(Tree::new(10, 3, 500)).start();
    let place = Place::new();
    place.write("site.toml", &site_job(&site.url("/"), ""));
    place.neap(&["run", "site.toml", "--limit", "4"]).expect(5);
    assert_eq!(place.number("SELECT pages FROM jobs"), 4);

    place.write("site.toml", &site_job(&site.url("/"), "max_depth = 1\n"));
    let refused = place.neap(&["run", "site.toml"]).expect(2);
    assert!(
        refused.err.contains("max_depth") && refused.err.contains("--fresh"),
        "{}",
        refused.err
    );

    place.write(
        "site.toml",
        &site_job(&site.url("/"), "[limits]\nper_host = 2\n"),
    );
    place.neap(&["run", "site.toml"]).expect(0);
    assert_eq!(place.number("SELECT count(*) FROM jobs"), 1);
    assert_eq!(place.results().len(), 10);

    place.neap(&["run", "site.toml"]).expect(0);
    assert_eq!(place.number("SELECT max(round) FROM jobs"), 2);
    assert_eq!(
        place.number("SELECT count(*) FROM results WHERE round = 2 AND status = 200"),
        10
    );
    place.check_invariants();
}

#[test]
fn a_delay_spaces_the_starts_of_requests() {
    let site = Site::builder().tree(Tree::new(8, 8, 200)).start();
    let place = Place::new();
    place.write(
        "site.toml",
        &site_job(&site.url("/"), "[limits]\ndelay = \"100ms\"\n"),
    );
    place.neap(&["run", "site.toml"]).expect(0);
    let log = site.log();
    let (first, last) = (log.first().unwrap(), log.last().unwrap());
    let spaced = 100_000 * (log.len() as u64 - 1);
    let took = last.micros - first.micros;
    // The starts are spaced. What the site sees has the jitter of the way there, in all once.
    assert!(
        took + 50_000 >= spaced,
        "{} requests within {took} us",
        log.len()
    );
}

#[test]
fn as_many_pages_as_wanted_and_no_more() {
    let tree = Tree::new(120, 20, 60_000);
    let site = Site::builder().tree(tree).start();
    let place = Place::new();
    place.write("site.toml", &site_job(&site.url("/"), "max_pages = 30\n"));
    place.neap(&["run", "site.toml"]).expect(0);
    assert_eq!(
        place.number("SELECT pages FROM jobs WHERE state_name = 'finished'"),
        30
    );
    assert!(place.number("SELECT count(*) FROM skipped WHERE reason = 'max_pages'") > 0);
    assert_eq!(place.results().len(), 30);
    place.check_invariants();
}

#[test]
fn a_limit_that_is_just_enough_finishes_the_job() {
    let site = Site::builder().tree(Tree::new(12, 3, 300)).start();
    let place = Place::new();
    place.write("site.toml", &site_job(&site.url("/"), ""));
    place.neap(&["run", "site.toml", "--limit", "12"]).expect(0);
    assert_eq!(
        place.number("SELECT count(*) FROM jobs WHERE state_name = 'finished'"),
        1
    );
}

#[test]
fn a_run_leaves_the_other_jobs_of_its_store_alone() {
    let slow = Site::builder()
        .page("/", Reply::html("slow", [""; 0]))
        .first(1, Reply::status(503).header("retry-after", "3600"))
        .spare("/robots.txt")
        .start();
    let site = Site::builder().tree(Tree::new(20, 3, 300)).start();
    let place = Place::new();
    let job = site_job(&slow.url("/"), "[retry]\nbase = \"1ms\"\nmax = \"1ms\"\n");
    place.write("slow.toml", &job.replace("\"site\"", "\"slow\""));
    place.write("site.toml", &site_job(&site.url("/"), ""));
    place
        .neap(&["run", "slow.toml", "--for", "1s", "--grace", "1s"])
        .expect(5);
    assert_eq!(
        place.number("SELECT waiting FROM jobs WHERE name = 'slow'"),
        1
    );
    place.neap(&["run", "site.toml"]).expect(0);
    assert_eq!(
        place.number("SELECT pages FROM jobs WHERE name = 'site'"),
        20
    );
    let slow_job = place.query("SELECT state_name, waiting, skipped FROM jobs WHERE name = 'slow'");
    assert_eq!(slow_job[0]["state_name"], "unfinished", "{slow_job:?}");
    assert_eq!(
        (&slow_job[0]["waiting"], &slow_job[0]["skipped"]),
        (&1.into(), &0.into())
    );
}

#[test]
fn several_jobs_are_resumed_in_one_run() {
    let site = Site::builder().tree(Tree::new(60, 3, 300)).start();
    let place = Place::new();
    for name in ["one", "two"] {
        let file = format!("{name}.toml");
        let job = site_job(&site.url("/"), "").replace("\"site\"", &format!("\"{name}\""));
        place.write(&file, &job);
        place.neap(&["submit", &file]).expect(0);
    }
    place.neap(&["resume"]).expect(0);
    assert_eq!(
        place.number("SELECT sum(pages) FROM jobs WHERE state_name = 'finished'"),
        120
    );
    place.check_invariants();
}

#[test]
fn the_body_of_a_page_is_found_by_its_own_url_and_by_the_one_that_led_there() {
    let site = Site::builder()
        .page("/old", Reply::redirect(301, "/new"))
        .page(
            "/new",
            Reply::ok("the page").header("content-type", "text/plain"),
        )
        .start();
    let place = Place::new();
    let job = format!(
        "neap = 1\nname = \"moved\"\n[input]\nurls = [\"{}\"]\n",
        site.url("/old")
    );
    place.write("moved.toml", &job);
    place.neap(&["run", "moved.toml"]).expect(0);
    for path in ["/old", "/new"] {
        assert_eq!(
            place.neap(&["body", &site.url(path)]).expect(0).out,
            "the page",
            "{path}"
        );
    }
}
