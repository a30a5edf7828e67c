//! Is a real squid blamed for what it does itself, and for nothing that it only tells?
//!
//! Where squid, or the gateway behind it, is not installed a test says so and checks nothing.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use neap_testkit::{ForwardProxy, Refusing, Reply, Site};
use serde_json::{Value, json};

use crate::support::gateway::{Gateway, LOGIN, OPEN, haproxy, nginx, squid};
use crate::support::{Place, Said, is_left_out, list_job, site_job};

/// Longest wait for a site to be asked, which takes a moment unless nothing works.
const PATIENCE: Duration = Duration::from_secs(60);

/// Two tries of a page, and a host that never answers is given up soon.
const BRIEF: &str =
    "[retry]\nattempts = 2\nbase = \"10ms\"\nmax = \"20ms\"\n[adaptive]\ngive_up_after = \"2s\"\n";

/// A site with pages `/0` to `/99`, whatever it is called.
fn site() -> neap_testkit::Builder {
    (0..100).fold(Site::builder(), |site, n| {
        site.page(&format!("/{n}"), Reply::ok("a page"))
    })
}

/// Names of hosts of which squid knows the address.
fn names(hosts: usize) -> Vec<String> {
    (0..hosts).map(|n| format!("shop{n}.example")).collect()
}

/// The URLs of `pages` pages of each of these hosts.
fn urls(names: &[String], at: SocketAddr, pages: usize) -> String {
    let port = at.port();
    let of_host = |name| (0..pages).map(move |n| format!("http://{name}:{port}/{n}\n"));
    names.iter().flat_map(of_host).collect()
}

/// What squid was asked, a line of its log each. That something connected and asked nothing is no such line.
fn asked(squid: &Gateway) -> Vec<String> {
    let log = squid.file("access.log");
    let lines = log.lines().filter(|line| line.contains(" http://"));
    lines.map(str::to_owned).collect()
}

/// Checks that nobody is blamed but as `expected` says: rows of host, fault, producer and diagnosis.
#[track_caller]
fn check_blame(place: &Place, expected: &[Value]) {
    let blamed = place.query(
        "SELECT DISTINCT h.name AS host, a.fault, a.producer, a.diagnosis FROM attempts a
         JOIN hosts h USING (host_id) WHERE a.fault IS NOT NULL ORDER BY 1, 2, 3, 4",
    );
    let told = place.query(
        "SELECT cause, status, evidence, confidence FROM attempts WHERE fault IS NOT NULL LIMIT 4",
    );
    assert_eq!(blamed, expected, "{told:?}");
}

/// Checks that no host's limit was lowered for a failure.
#[track_caller]
fn check_no_host_is_slowed(place: &Place) {
    let lowered = place.query(
        "SELECT h.name, c.reason, c.limit_before, c.limit_after FROM limit_changes c
         JOIN hosts h USING (host_id) WHERE c.limit_after < c.limit_before AND c.reason <> 'answers took longer'",
    );
    assert_eq!(lowered.len(), 0, "{lowered:?}");
}

#[test]
fn through_a_squid_that_works_every_page_comes_and_nobody_is_blamed() {
    let names = names(4);
    let Some(squid) = squid(OPEN, &names) else {
        return;
    };
    let (place, site) = (Place::new(), site().start());
    let list = urls(&names, site.address(), 50);
    list_job(&place, &list, &[squid.base_url()], "");
    let said = place.neap(&["run", "job.toml"]).expect(0);
    assert_eq!(place.results().len(), 200, "{}", said.err);
    let ways = place.query(
        "SELECT x.name, count(*) AS n FROM attempts a LEFT JOIN proxies x USING (proxy_id) GROUP BY 1",
    );
    assert_eq!(
        ways,
        [json!({"name": squid.address().to_string(), "n": 200})]
    );
    assert_eq!(asked(&squid).len(), 200);
    check_blame(&place, &[]);
    check_no_host_is_slowed(&place);
    assert!(!is_left_out(&said, squid.address()), "{}", said.err);
    place.check_invariants();
}

#[test]
fn a_host_that_squid_cannot_reach_is_blamed_and_squid_is_not() {
    let names = names(5);
    let Some(squid) = squid(OPEN, &names) else {
        return;
    };
    let (place, site, refusing) = (Place::new(), site().start(), Refusing::take().unwrap());
    let (bad, good) = names.split_at(1);
    let list = urls(good, site.address(), 50) + &urls(bad, refusing.address(), 10);
    list_job(&place, &list, &[squid.base_url()], BRIEF);
    let said = place.neap(&["run", "job.toml"]).expect(0);
    let results = place.results();
    assert_eq!(results.len(), 200, "{}", said.err);
    let host = format!("http://{}:{}", bad[0], refusing.address().port());
    check_blame(
        &place,
        &[
            json!({"host": host, "fault": "host", "producer": "forward_proxy", "diagnosis": "connect_refused"}),
        ],
    );
    let told =
        place.number("SELECT count(*) FROM attempts WHERE evidence LIKE '%ERR_CONNECT_FAIL%'");
    assert!(told > 0, "squid's word is not in the evidence");
    assert!(!is_left_out(&said, squid.address()), "{}", said.err);
    place.check_invariants();
}

#[test]
fn a_squid_that_is_dead_is_left_out_and_no_host_pays() {
    let names = names(6);
    let Some(mut squid) = squid(OPEN, &names) else {
        return;
    };
    squid.kill();
    let (place, site, other) = (Place::new(), site().start(), other_proxy());
    let list = urls(&names, site.address(), 50);
    list_job(&place, &list, &[squid.base_url(), other.url()], "");
    let said = place.neap(&["run", "job.toml"]).expect(0);
    assert_eq!(place.results().len(), 300, "{}", said.err);
    assert!(is_left_out(&said, squid.address()), "{}", said.err);
    assert!(!is_left_out(&said, other.address()), "{}", said.err);
    let faults = place.query("SELECT DISTINCT fault FROM attempts WHERE fault IS NOT NULL");
    assert_eq!(faults, [json!({"fault": "proxy"})]);
    check_no_host_is_slowed(&place);
    place.check_invariants();
}

#[test]
fn a_squid_that_dies_in_a_crawl_is_left_out_and_no_page_is_lost() {
    let names = names(6);
    let Some(mut squid) = squid(OPEN, &names) else {
        return;
    };
    let latency = Duration::from_millis(20);
    let (place, site, other) = (Place::new(), site().latency(latency).start(), other_proxy());
    let list = urls(&names, site.address(), 100);
    list_job(&place, &list, &[squid.base_url(), other.url()], "");
    let running = place.start(&["run", "job.toml"]);
    site.wait_answered(150, PATIENCE).unwrap();
    squid.kill();
    assert!(!asked(&squid).is_empty());
    let said = running.wait().expect(0);
    assert_eq!(place.results().len(), 600, "{}", said.err);
    assert!(is_left_out(&said, squid.address()), "{}", said.err);
    assert!(!is_left_out(&said, other.address()), "{}", said.err);
    // Squid had worked, so what was under way when it died may fall on the hosts: once a page, and once a host.
    let twice = place.query(
        "SELECT request_id, count(*) AS n FROM attempts WHERE is_charged = 1 AND fault IS NOT NULL
         GROUP BY 1 HAVING n > 1",
    );
    assert_eq!(twice.len(), 0, "{twice:?}");
    let lowered = place.query(
        "SELECT host_id, count(*) AS n FROM limit_changes WHERE limit_after < limit_before
         AND reason <> 'answers took longer' GROUP BY 1 HAVING n > 1",
    );
    assert_eq!(lowered.len(), 0, "{lowered:?}");
    place.check_invariants();
}

/// A proxy of the kit, for which all names are on 127.0.0.1.
fn other_proxy() -> ForwardProxy {
    ForwardProxy::builder()
        .every_name(IpAddr::V4(Ipv4Addr::LOCALHOST))
        .start()
}

#[test]
fn squid_that_refuses_the_password_ends_the_run_and_the_right_one_goes_on() {
    const SECRET: &str = "wr0ng-s3cret";
    let names = names(4);
    let Some(squid) = squid(LOGIN, &names) else {
        return;
    };
    let (place, site) = (Place::new(), site().start());
    let list = urls(&names, site.address(), 50);
    let wrong = format!("http://ann:{SECRET}@{}", squid.address());
    list_job(&place, &list, &[wrong], "");
    let said = place.neap(&["run", "job.toml"]).expect(9);
    for words in ["refused the user name or the password", "neap resume"] {
        assert!(said.err.contains(words), "{}", said.err);
    }
    let log = asked(&squid);
    assert!((1..=64).contains(&log.len()), "{log:?}");
    let is_denied = |line: &String| line.contains("TCP_DENIED/407");
    assert!(log.iter().all(is_denied), "{log:?}");
    assert!(place.number("SELECT count(*) FROM attempts") <= 64);
    assert_eq!(
        place.number("SELECT count(*) FROM attempts WHERE is_charged = 1"),
        0
    );
    assert_eq!(site.asked(), 0);
    check_tells_no(&place, &said, SECRET);

    // Set right, the same crawl goes on.
    place.write(
        "proxies.txt",
        &format!("http://ann:right@{}\n", squid.address()),
    );
    place.neap(&["resume"]).expect(0);
    assert_eq!(place.results().len(), 200);
    check_no_host_is_slowed(&place);
    place.check_invariants();
}

#[test]
fn a_502_of_nginx_without_a_host_behind_it_is_the_hosts_directly_and_through_squid() {
    let refusing = Refusing::take().unwrap();
    let Some(gateway) = nginx(&refusing.address().to_string(), "") else {
        return;
    };
    let blame = |host: &str| json!({"host": host, "fault": "host", "producer": "origin_gateway", "diagnosis": "gateway_error"});
    let place = Place::new();
    let more = format!("[robots]\nmode = \"off\"\n{BRIEF}");
    let base = gateway.base_url();
    place.write("site.toml", &site_job(&format!("{base}/0"), &more));
    // Nothing was fetched.
    place.neap(&["run", "site.toml"]).expect(3);
    check_blame(&place, &[blame(&base)]);

    let names = names(1);
    let Some(squid) = squid(OPEN, &names) else {
        return;
    };
    let place = Place::new();
    let list = urls(&names, gateway.address(), 10);
    list_job(&place, &list, &[squid.base_url()], BRIEF);
    let said = place.neap(&["run", "job.toml"]).expect(3);
    let host = format!("http://{}:{}", names[0], gateway.address().port());
    check_blame(&place, &[blame(&host)]);
    assert!(!is_left_out(&said, squid.address()), "{}", said.err);
}

#[test]
fn a_503_of_haproxy_that_is_full_is_the_hosts_and_squid_is_not_left_out() {
    const SLOTS: usize = 4;
    let names = names(1);
    let site = site().latency(Duration::from_millis(100)).start();
    let server = format!("{} maxconn {SLOTS}", site.address());
    let Some(gateway) = haproxy(&server, "timeout queue 50ms") else {
        return;
    };
    let Some(squid) = squid(OPEN, &names) else {
        return;
    };
    let place = Place::new();
    let list = urls(&names, gateway.address(), 100);
    let more = "[limits]\nper_host = 64\n";
    list_job(&place, &list, &[squid.base_url()], more);
    let said = place.neap(&["run", "job.toml"]).expect(0);
    assert_eq!(place.results().len(), 100, "{}", said.err);
    let host = format!("http://{}:{}", names[0], gateway.address().port());
    // It says the same of a full queue as of a dead server.
    check_blame(
        &place,
        &[
            json!({"host": host, "fault": "host", "producer": "origin_gateway", "diagnosis": "no_healthy_upstream"}),
        ],
    );
    assert!(!is_left_out(&said, squid.address()), "{}", said.err);
    assert!(site.max_in_flight() <= SLOTS);
    place.check_invariants();
}

/// Checks that neither the store nor what was said holds a secret.
#[track_caller]
fn check_tells_no(place: &Place, said: &Said, secret: &str) {
    let stored = std::fs::read(place.path("neap.db")).unwrap();
    let all = [said.err.as_bytes(), said.out.as_bytes(), &stored].concat();
    let is_told = all
        .windows(secret.len())
        .any(|part| part == secret.as_bytes());
    assert!(!is_told, "{} {}", said.err, said.out);
}
