//! Do `hosts`, `why` and `explain` say what happened, while a run goes on and after it?

use std::time::{Duration, Instant};

use neap_testkit::{Refusing, Reply, Site, Tree};
use serde_json::Value;

use crate::support::{Place, site_job};

/// Longest wait for something that happens within seconds unless it is broken.
const PATIENCE: Duration = Duration::from_secs(60);

/// What `neap hosts` prints of each host.
#[track_caller]
fn hosts(place: &Place, more: &[&str]) -> Vec<Value> {
    let arguments = [&["hosts", "--format", "json"], more].concat();
    let said = place.neap(&arguments).expect(0);
    serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {}", said.out))
}

#[track_caller]
fn told(place: &Place, arguments: &[&str]) -> String {
    place.neap(arguments).expect(0).out
}

/// Asks the store again and again until it says this; it is written every two seconds.
#[track_caller]
fn wait_until(what: &str, mut is_so: impl FnMut() -> Option<String>) -> String {
    let started = Instant::now();
    loop {
        if let Some(said) = is_so() {
            return said;
        }
        assert!(started.elapsed() < PATIENCE, "never came: {what}");
    }
}

#[test]
fn a_crawl_leaves_behind_how_its_host_did_and_how_the_limit_went() {
    let site = Site::builder()
        .tree(Tree::new(250, 6, 500))
        .latency(Duration::from_millis(20))
        .capacity(4, Reply::status(502))
        .start();
    let place = Place::new();
    place.write(
        "site.toml",
        &site_job(&site.url("/"), "[limits]\nper_host = 64\n"),
    );
    place.neap(&["run", "site.toml"]).expect(0);

    let row = &hosts(&place, &[])[0];
    let bad = place.number("SELECT count(*) FROM attempts WHERE status = 502");
    assert_eq!(row["host"], site.base_url(), "{row}");
    assert_eq!((&row["done"], &row["http_502"]), (&250.into(), &bad.into()));
    assert_eq!((&row["in_flight"], &row["rate"]), (&0.into(), &0.0.into()));
    assert_eq!(
        (&row["waiting"], &row["state"]),
        (&0.into(), &"steady".into())
    );
    let (limit, p95) = (
        row["limit"].as_f64().unwrap(),
        row["p95_ms"].as_f64().unwrap(),
    );
    assert!((1.0..64.0).contains(&limit), "{row}");
    assert!((20.0..2000.0).contains(&p95), "{row}");
    let share = 250.0 / (250 + bad) as f64;
    assert!(
        (row["ok_share"].as_f64().unwrap() - share).abs() < 0.02,
        "{row}"
    );

    // The way of the limit has no holes, and ends where the host stands.
    let history = hosts(&place, &["--history", &site.base_url()]);
    assert_eq!(history[0]["reason"], "start", "{history:?}");
    let last = history.last().unwrap();
    assert!(
        (last["after"].as_f64().unwrap() - limit).abs() < 0.011,
        "{last} {row}"
    );
    assert!(
        history
            .iter()
            .any(|change| change["after"].as_f64() > change["before"].as_f64()),
        "{history:?}"
    );
    let times: Vec<_> = history
        .iter()
        .map(|change| change["time"].as_str().unwrap())
        .collect();
    assert!(times.is_sorted(), "{times:?}");
    assert!(
        times[0].ends_with('Z') && times[0].contains('T'),
        "{times:?}"
    );
    let stored = place.number("SELECT count(*) FROM limit_changes");
    assert_eq!(stored, history.len() as i64);

    let why = told(&place, &["why", "127.0.0.1"]);
    for part in [
        &site.base_url(),
        "It could have",
        "250 done, 0 failed, 0 ready",
        "answered 502 (Bad Gateway)",
        "Its limit changed last",
    ] {
        assert!(why.contains(part), "{part:?} is not in\n{why}");
    }
}

#[test]
fn hosts_of_a_domain_show_the_limit_that_they_share_under_either_name() {
    let start = |letter: char| {
        Site::builder()
            .page(&format!("/{letter}"), Reply::ok("here"))
            .start()
    };
    let (first, second) = (start('a'), start('b'));
    let place = Place::new();
    // Two ports of an address are two hosts of one domain.
    let job = format!(
        "neap = 1\nname = \"two\"\n[input]\nurls = [\"{}\", \"{}\"]\n\
         [limits]\nkey = \"domain\"\n",
        first.url("/a"),
        second.url("/b")
    );
    place.write("two.toml", &job);
    place.neap(&["run", "two.toml"]).expect(0);
    let (first, second) = (first.base_url(), second.base_url());
    let history = |name: &str| hosts(&place, &["--history", name]);
    assert_eq!(history(&first), history(&second));
    let kept = history(&first)[0]["host"].as_str().unwrap().to_owned();
    for (host, other) in [(&first, &second), (&second, &first)] {
        let shares = format!("shares its limit with {other} (`limits.key = \"domain\"`)");
        let under = format!("its changes are kept under {kept}");
        let said = place
            .neap(&["hosts", "--history", host, "--svg", "limit.svg"])
            .expect(0);
        let why = told(&place, &["why", host]);
        for text in [&said.err, &why] {
            assert!(text.contains(&shares) && text.contains(&under), "{text}");
        }
        let svg = std::fs::read_to_string(place.path("limit.svg")).unwrap();
        assert!(
            svg.contains(&format!("limit of {host}, shared with {other}")),
            "{svg}"
        );
    }
}

#[test]
fn a_limit_is_drawn_into_a_file_that_stands_for_itself() {
    let site = Site::builder()
        .tree(Tree::new(120, 6, 500))
        .latency(Duration::from_millis(10))
        .capacity(3, Reply::status(502))
        .start();
    let place = Place::new();
    place.write("site.toml", &site_job(&site.url("/"), ""));
    place.neap(&["run", "site.toml"]).expect(0);
    let bad = place.number("SELECT count(*) FROM attempts WHERE status = 502");
    let changes = place.number("SELECT count(*) FROM limit_changes");
    told(
        &place,
        &["hosts", "--history", "127.0.0.1", "--svg", "limit.svg"],
    );
    let svg = std::fs::read_to_string(place.path("limit.svg")).unwrap();
    assert!(
        svg.starts_with("<svg ") && svg.ends_with("</svg>\n"),
        "{svg}"
    );
    assert_eq!(svg.matches("<circle").count() as i64, changes, "{svg}");
    let drawn: i64 = svg
        .split(" answered 502</title>")
        .filter_map(|part| part.rsplit(": ").next()?.parse::<i64>().ok())
        .sum();
    // Those before the first change of the limit have no place in its picture.
    assert!(drawn > 0 && drawn <= bad, "{drawn} of {bad} in {svg}");
    for forbidden in ["<script", "href", "<image", "url("] {
        assert!(!svg.contains(forbidden), "{forbidden} in {svg}");
    }
    let said = place
        .neap(&[
            "hosts",
            "--history",
            "127.0.0.1",
            "--svg",
            "no/such/place.svg",
        ])
        .expect(2);
    assert!(said.err.contains("no/such"), "{}", said.err);
    place.neap(&["hosts", "--svg", "x.svg"]).expect(2);
    assert!(!place.path("x.svg").exists());
}

#[test]
fn while_a_host_is_down_everybody_says_so_and_until_when() {
    let site = Site::builder()
        .tree(Tree::new(300, 6, 500))
        .latency(Duration::from_millis(20))
        .start();
    let place = Place::new();
    place.write("site.toml", &site_job(&site.url("/"), ""));
    let run = place.start(&["run", "site.toml"]);
    site.wait_answered(60, PATIENCE).unwrap();
    site.outage_now(Reply::status(502));

    let state = wait_until("a state of the failing host", || {
        let rows = hosts(&place, &[]);
        let state = rows.first()?["state"].as_str()?.to_owned();
        state.starts_with("only probed").then_some(state)
    });
    assert!(
        state.contains("next ") && state.contains("down since "),
        "{state}"
    );
    let why = told(&place, &["why", "127.0.0.1"]);
    for part in [
        "It may have",
        "It has done nothing but fail since",
        "the next probe goes",
    ] {
        assert!(why.contains(part), "{part:?} is not in\n{why}");
    }
    // A page that failed in the outage, and waits.
    let waiting = "SELECT url FROM requests WHERE state = 4 AND deferrals > 0 LIMIT 1";
    let url = wait_until("a page that waits", || {
        Some(place.query(waiting).first()?["url"].as_str()?.to_owned())
    });
    let explained = wait_until("a page that waits for its host", || {
        let said = told(&place, &["explain", &url]);
        said.contains("holds it back").then_some(said)
    });
    for part in [
        "answered 502 (Bad Gateway)",
        "the host's fault",
        "to be asked again after",
        "so it is only probed, one request at a time",
    ] {
        assert!(explained.contains(part), "{part:?} is not in\n{explained}");
    }

    site.recover();
    run.wait().expect(0);
    assert_eq!(hosts(&place, &[])[0]["state"], "steady");
    let explained = told(&place, &["explain", &url]);
    assert!(explained.contains("Done: answered 200 (OK)"), "{explained}");
    assert!(explained.contains("not charged to the page"), "{explained}");
    assert!(!explained.contains("holds it back"), "{explained}");
    let reasons = hosts(&place, &["--history", "127.0.0.1"]);
    assert!(!reasons.is_empty());
    place.check_invariants();
}

#[test]
fn a_host_that_is_given_up_and_its_pages_say_why() {
    let refusing = Refusing::take().unwrap();
    let place = Place::new();
    place.write(
        "dead.toml",
        &site_job(&refusing.url("/"), "[adaptive]\ngive_up_after = \"1s\"\n"),
    );
    place.neap(&["run", "dead.toml"]).expect(3);
    let row = &hosts(&place, &["--sort", "state"])[0];
    let state = row["state"].as_str().unwrap();
    assert!(state.starts_with("given up"), "{row}");
    assert!(!state.contains("next"), "the run is over: {row}");
    let why = told(&place, &["why", &refusing.url("/some/page")]);
    assert!(
        why.contains("longer than `adaptive.give_up_after`"),
        "{why}"
    );
    let explained = told(&place, &["explain", &refusing.url("/")]);
    assert!(
        explained.contains("Given up: its host did nothing but fail for too long"),
        "{explained}"
    );
}

#[test]
fn an_unreachable_robots_file_is_told_as_what_is_waited_for() {
    let site = Site::builder()
        .page("/", Reply::html("top", [""; 0]))
        .robots_reply(Reply::status(500))
        .start();
    let place = Place::new();
    place.write("site.toml", &site_job(&site.url("/"), ""));
    let run = place.start(&["run", "site.toml"]);
    let asked_for_rules = |log: &[neap_testkit::Asked]| !log.is_empty();
    site.wait_for(asked_for_rules, PATIENCE).unwrap();
    wait_until("a host that waits for robots.txt", || {
        let rows = hosts(&place, &[]);
        let state = rows.first()?["state"].as_str()?.to_owned();
        state.contains("not to be had since").then_some(state)
    });
    for arguments in [["why", "127.0.0.1"], ["explain", &site.url("/")]] {
        let said = told(&place, &arguments);
        assert!(
            said.contains("Its robots.txt could not be had since"),
            "{said}"
        );
        assert!(said.contains("it is asked for again"), "{said}");
    }
    run.kill();
    // The process is gone, and nobody promises a next time any more.
    let state = hosts(&place, &[])[0]["state"].clone();
    let state = state.as_str().unwrap();
    assert!(
        state.starts_with("waits for robots.txt") && !state.contains("next"),
        "{state}"
    );
    let explained = told(&place, &["explain", &site.url("/")]);
    assert!(explained.contains("No run is at work"), "{explained}");
}

#[test]
fn a_page_in_flight_is_told_so_until_its_run_dies() {
    let site = Site::builder()
        .page("/", Reply::silent())
        .robots("")
        .start();
    let place = Place::new();
    place.write("site.toml", &site_job(&site.url("/"), ""));
    let run = place.start(&["run", "site.toml"]);
    site.wait_for(|log| log.iter().any(|asked| asked.is_for("/")), PATIENCE)
        .unwrap();
    let explained = told(&place, &["explain", &site.url("/")]);
    assert!(explained.contains("It is in flight since"), "{explained}");
    wait_until("a host with a request in flight", || {
        let rows = hosts(&place, &[]);
        (rows.first()?["in_flight"] == 1).then(String::new)
    });
    run.kill();
    let explained = told(&place, &["explain", &site.url("/")]);
    assert!(
        explained.contains("the run died without a word"),
        "{explained}"
    );
    assert_eq!(hosts(&place, &[])[0]["in_flight"], 0);
}

#[test]
fn every_url_is_explained_with_what_decided() {
    let robots = "User-agent: *\nDisallow: /private/\n";
    let links = [
        "/gone",
        "/old",
        "/private/1",
        "/search?q=1",
        "http://other.example/",
    ];
    let site = Site::builder()
        .page("/", Reply::html("top", links))
        .page("/old", Reply::redirect(301, "/new"))
        .page("/new", Reply::ok("here"))
        .robots(robots)
        .start();
    let place = Place::new();
    let more = "exclude = [\"/search*\"]\n";
    place.write("site.toml", &site_job(&site.url("/"), more));
    place.neap(&["run", "site.toml"]).expect(0);
    let url = |path: &str| site.url(path);
    let top = url("/");
    let found = format!("found on {top}, 1 link from the input");
    for (asked, parts) in [
        (
            top.clone(),
            vec![
                "a URL of its input",
                "Attempt 1 at ",
                "Done: answered 200 (OK)",
                "segment ",
            ],
        ),
        (url("/gone"), vec![&found, "Done: answered 404 (Not Found)"]),
        (
            url("/old"),
            vec![&found, "answered 301 (Moved Permanently)", "/new (200)"],
        ),
        (
            url("/new"),
            vec!["the redirect of ", "/old led here", "answered 200 (OK)"],
        ),
        (
            url("/private/1"),
            vec!["robots.txt forbids it: disallow: /private/ (line 2)"],
        ),
        (
            url("/search?q=1"),
            vec!["`crawl.exclude` has the pattern `/search*`", "round 1, on"],
        ),
        (
            "http://other.example/".to_owned(),
            vec!["`crawl.scope = \"host\"` allows"],
        ),
    ] {
        let said = told(&place, &["explain", &asked]);
        for part in parts {
            assert!(said.contains(part), "{part:?} is not in\n{said}");
        }
    }
}

#[test]
fn what_is_not_known_is_answered_with_what_is_near() {
    let first = Site::builder().page("/product", Reply::ok("a")).start();
    let second = Site::builder().page("/", Reply::ok("b")).start();
    let place = Place::new();
    let job = format!(
        "neap = 1\nname = \"two\"\n[input]\nurls = [\"{}\", \"{}\"]\n",
        first.url("/product"),
        second.url("/")
    );
    place.write("two.toml", &job);
    place.neap(&["run", "two.toml"]).expect(0);
    let address = first.address().to_string();
    for (arguments, parts) in [
        // One name, two ports.
        (
            vec!["why", "127.0.0.1"],
            vec!["several hosts", &address, "write the scheme"],
        ),
        (
            vec!["hosts", "--history", "127.0.0.1"],
            vec!["several hosts"],
        ),
        (
            vec!["why", "127.0.0.2"],
            vec!["no host", "did you mean http://127.0.0.1"],
        ),
        (vec!["why", "zzz"], vec!["no host", "`neap hosts` lists"]),
        (vec!["why", "a b"], vec!["is no host"]),
        (vec!["why", ""], vec!["is no host"]),
        (vec!["why", "ftp://127.0.0.1/"], vec!["is no host"]),
        (vec!["explain", "product"], vec!["write the whole URL"]),
        (vec!["explain", "http://nowhere.invalid/"], vec!["no host"]),
        (
            vec!["hosts", "--sort", "beauty"],
            vec!["p95_ms", "ok_share"],
        ),
    ] {
        let said = place.neap(&arguments).expect(2);
        for part in parts {
            let err = said.err.replace("\n  │ ", " ").replace("\n        ", " ");
            assert!(
                err.contains(part),
                "{arguments:?}: {part:?} is not in\n{}",
                said.err
            );
        }
        assert_eq!(said.out, "", "{arguments:?}");
    }
    let said = place.neap(&["explain", &first.url("/prodct")]).expect(2);
    assert!(said.err.contains("/product"), "{}", said.err);
    // Whole enough to be meant.
    assert!(told(&place, &["why", &address]).starts_with(&first.base_url()));
    assert!(told(&place, &["why", &second.url("/x?y")]).starts_with(&second.base_url()));
    for column in ["host", "state", "p95_ms", "rate", "ok_share"] {
        assert_eq!(hosts(&place, &["--sort", column]).len(), 2);
    }
    let empty = Place::new();
    for arguments in [["why", "a.example"], ["explain", "http://a.example/"]] {
        let said = empty.neap(&arguments).expect(2);
        assert!(said.err.contains("neap.db"), "{}", said.err);
        assert!(!empty.path("neap.db").exists());
    }
}
