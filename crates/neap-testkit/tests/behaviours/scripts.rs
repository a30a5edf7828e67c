//! Does the host as a whole behave as its script says?

use std::time::Duration;

use neap_testkit::{Asked, Reply, Site, Tree};

use crate::client::{Client, PATIENCE, get};

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn more_than_the_capacity_is_refused_at_once() {
    let site = Site::builder()
        .page("/slow", Reply::silent())
        .page("/fast", Reply::ok(""))
        .capacity(2, Reply::status(502))
        .start();
    let mut slow = [Client::connect(&site), Client::connect(&site)];
    for client in &mut slow {
        client.ask("/slow");
    }
    site.wait_in_flight(2, PATIENCE).unwrap();
    assert_eq!(get(&site, "/fast").status, 502);
    assert_eq!(get(&site, "/fast").status, 502);

    let [first, _second] = slow;
    drop(first);
    site.wait_in_flight(1, PATIENCE).unwrap();
    assert_eq!(get(&site, "/fast").status, 200);
}

#[test]
fn a_request_too_many_waits_for_a_worker() {
    let site = Site::builder()
        .page("/slow", Reply::silent())
        .page("/fast", Reply::ok("done"))
        .workers(1)
        .start();
    let mut slow = Client::connect(&site);
    slow.ask("/slow");
    site.wait_in_flight(1, PATIENCE).unwrap();
    let mut fast = Client::connect(&site);
    fast.ask("/fast");
    site.wait_in_flight(2, PATIENCE).unwrap();
    assert_eq!(site.answered(), 0);
    drop(slow);
    assert_eq!(fast.answer().body, b"done");
}

#[test]
fn the_latency_of_the_host_is_added_to_each_page() {
    let latency = Duration::from_millis(30);
    let site = Site::builder()
        .page("/", Reply::ok("").delay(latency))
        .fallback(|_| Reply::status(404))
        .latency(latency)
        .start();
    for (target, least) in [("/", latency * 2), ("/other", latency)] {
        let began = std::time::Instant::now();
        get(&site, target);
        assert!(began.elapsed() >= least, "{target}: {:?}", began.elapsed());
    }
}

#[test]
fn a_scripted_outage_counts_from_the_first_request() {
    for (from, to, status) in [
        (Duration::ZERO, HOUR, 503),
        (HOUR, HOUR * 2, 200),
        (Duration::ZERO, Duration::ZERO, 200),
    ] {
        let site = Site::builder()
            .page("/", Reply::ok(""))
            .outage(from, to, Reply::status(503))
            .start();
        assert_eq!(get(&site, "/").status, status, "{from:?} to {to:?}");
    }
}

#[test]
fn an_outage_passes() {
    let length = Duration::from_millis(40);
    let site = Site::builder()
        .page("/", Reply::ok(""))
        .outage(Duration::ZERO, length, Reply::status(503))
        .start();
    let mut client = Client::connect(&site);
    let began = std::time::Instant::now();
    assert_eq!(client.get("/").status, 503);
    while client.get("/").status == 503 {
        assert!(began.elapsed() < PATIENCE, "the outage never ended");
    }
    assert!(began.elapsed() >= length);
}

#[test]
fn the_test_can_switch_an_outage() {
    let site = Site::builder().page("/", Reply::ok("")).start();
    let mut client = Client::connect(&site);
    assert_eq!(client.get("/").status, 200);
    site.outage_now(Reply::status(502).header("retry-after", "1"));
    assert_eq!(client.get("/").status, 502);
    assert_eq!(client.get("/any").status, 502);
    site.recover();
    assert_eq!(client.get("/").status, 200);
}

#[test]
fn the_first_requests_of_each_url_are_answered_otherwise() {
    let site = Site::builder()
        .page("/", Reply::ok(""))
        .first(2, Reply::status(502))
        .first(1, Reply::status(503))
        .start();
    for target in ["/", "/?page=2"] {
        let statuses = [(); 5].map(|()| get(&site, target).status);
        assert_eq!(statuses, [502, 502, 503, 200, 200], "{target}");
    }
}

#[test]
fn replies_can_come_in_turn() {
    let replies = [429, 200, 304].map(Reply::status);
    let site = Site::builder().in_turn("/", replies).start();
    assert_eq!(
        [(); 4].map(|()| get(&site, "/").status),
        [429, 200, 304, 304]
    );
}

#[test]
fn a_spared_path_is_served_whatever_happens() {
    let site = Site::builder()
        .robots("User-agent: *\nDisallow: /private\n")
        .page("/", Reply::ok(""))
        .capacity(0, Reply::status(502))
        .first(1, Reply::status(502))
        .spare("/robots.txt")
        .start();
    site.outage_now(Reply::hang_up());
    let answer = get(&site, "/robots.txt");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.body, b"User-agent: *\nDisallow: /private\n");
    site.recover();
    assert_eq!(get(&site, "/").status, 502);
}

#[test]
fn the_robots_file_can_have_any_status() {
    let site = Site::builder().robots_reply(Reply::status(503)).start();
    assert_eq!(get(&site, "/robots.txt").status, 503);
}

#[test]
fn a_reply_can_be_computed_from_the_request() {
    let site = Site::builder()
        .route("/echo", |asked: &Asked| {
            Reply::ok(format!("{} {:?}", asked.target, asked.header("x-name")))
        })
        .start();
    let mut client = Client::connect(&site);
    client.send("GET /echo?a=1 HTTP/1.1\r\nX-Name: neap\r\n\r\n");
    assert_eq!(client.answer().body, b"/echo?a=1 Some(\"neap\")");
}

#[test]
fn a_page_with_a_query_goes_before_the_one_without() {
    let site = Site::builder()
        .page("/list", Reply::ok("any"))
        .page("/list?page=2", Reply::ok("two"))
        .start();
    for (target, body) in [
        ("/list", "any"),
        ("/list?page=1", "any"),
        ("/list?page=2", "two"),
    ] {
        assert_eq!(get(&site, target).body, body.as_bytes(), "{target}");
    }
}

#[test]
fn a_page_can_change_while_the_site_runs() {
    let site = Site::builder().page("/", Reply::ok("old")).start();
    assert_eq!(get(&site, "/").body, b"old");
    site.set_page("/", Reply::ok("new"));
    assert_eq!(get(&site, "/").body, b"new");
}

#[test]
fn a_tree_serves_exactly_its_urls() {
    let tree = Tree::new(30, 4, 1_000);
    let site = Site::builder().tree(tree.clone()).start();
    let mut client = Client::connect(&site);
    for (number, path) in tree.paths().enumerate() {
        let answer = client.get(&path);
        assert_eq!(
            (answer.status, answer.body),
            (200, tree.body(number).to_vec()),
            "{path}"
        );
    }
    assert_eq!(client.get("/p/30").status, 404);
    assert_eq!(tree.urls(&site.base_url()).len(), 30);
    assert!(tree.urls(&site.base_url()).contains(&site.url("/p/29")));
}
