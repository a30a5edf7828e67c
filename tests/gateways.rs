//! Does the limit find the slots behind a real gateway, nginx or haproxy, that refuses for itself?
//!
//! Where the program is not installed its tests say so and check nothing.

use std::time::Duration;

use neap_testkit::{Site, Tree};
use serde_json::Value;

use crate::support::gateway::{Gateway, haproxy, nginx};
use crate::support::{Place, load, site_job, with_status};

/// How many requests the hosts behind the gateways serve at once.
const SLOTS: usize = 4;

/// Pages of the hosts behind the gateways. Each takes a tenth of a second or more: where a gateway counts
/// in milliseconds, less would measure how busy the machine is.
const PAGES: usize = 200;

/// What stands behind a gateway.
fn behind(latency_ms: u64) -> neap_testkit::Builder {
    Site::builder()
        .tree(Tree::new(PAGES, 6, 500))
        .latency(Duration::from_millis(latency_ms))
}

/// How a crawl went.
#[derive(Debug)]
struct Crawled {
    /// Requests that the gateway refused.
    refused: i64,
    /// The mean of the limit in the second half.
    limit: f64,
}

impl Crawled {
    /// Checks that the limit found the slots at little cost.
    #[track_caller]
    fn check(&self, most_refused: i64) {
        let slots = SLOTS as f64;
        assert!(self.refused <= most_refused, "{self:?}, not {most_refused}");
        assert!(
            (0.5 * slots..=2.5 * slots).contains(&self.limit),
            "{self:?} for {slots} slots"
        );
    }
}

/// Crawls what is behind the gateway, and checks that all of it came and that the store tells how.
/// `status` is what the gateway answers for itself.
#[track_caller]
fn crawl(place: &Place, gateway: &Gateway, status: u16) -> Crawled {
    let _quiet = load::quiet();
    let base = gateway.base_url();
    let job = site_job(&format!("{base}/"), "[limits]\nper_host = 64\n");
    place.write("site.toml", &job);
    place.neap(&["run", "site.toml"]).expect(0);
    assert_eq!(
        with_status(&place.results(), 200),
        Tree::new(PAGES, 6, 500).urls(&base)
    );

    let refused = place.number("SELECT count(*) FROM attempts WHERE status IN (502, 503, 504)");
    let own = place.number(&format!(
        "SELECT count(*) FROM attempts WHERE status = {status}"
    ));
    let settled = &place.query(
        "SELECT avg(host_limit) AS mean, count(*) AS n FROM attempts WHERE attempt_id >
         (SELECT max(attempt_id) / 2 FROM attempts)",
    )[0];
    let limit = settled["mean"].as_f64().unwrap();
    assert!(own > 0, "the gateway never answered for itself");
    let said = place.neap(&["hosts", "--format", "json"]).expect(0);
    let hosts: Vec<Value> = serde_json::from_str(&said.out).unwrap();
    assert_eq!(hosts.len(), 1, "{hosts:?}");
    let row = &hosts[0];
    assert_eq!(
        (&row["host"], &row["done"], &row["state"]),
        (&base.as_str().into(), &PAGES.into(), &"steady".into())
    );
    assert!(
        (1.0..64.0).contains(&row["limit"].as_f64().unwrap()),
        "{row}"
    );
    let why = place.neap(&["why", &base]).expect(0).out;
    assert!(why.contains(&base), "{why}");
    assert!(
        why.contains(&format!("{PAGES} done, 0 failed, 0 ready")),
        "{why}"
    );
    assert!(why.contains("Its limit changed last"), "{why}");
    place.check_invariants();
    let crawled = Crawled { refused, limit };
    println!("{status} of {PAGES} pages: {crawled:?}");
    crawled
}

#[test]
fn nginx_that_opens_only_a_few_connections_answers_502_to_few() {
    let (place, site) = (Place::new(), behind(100).start());
    let server = format!("{} max_conns={SLOTS}", site.address());
    let Some(gateway) = nginx(&server, "") else {
        return;
    };
    // Sixteen runs on a busy machine: 6 and 7.
    crawl(&place, &gateway, 502).check(20);
    assert!(site.max_in_flight() <= SLOTS);
}

#[test]
fn haproxy_with_a_short_queue_answers_503_to_few() {
    // Of 58 runs 56 had 3 to 8, one 71 and one 129, when refusals were taken for failures without load: so
    // three are made, and the one between the others counts.
    let mut crawls = Vec::new();
    for _ in 0..3 {
        let (place, site) = (Place::new(), behind(100).start());
        let server = format!("{} maxconn {SLOTS}", site.address());
        // Half a service time: a longer queue is one that hides that there are more requests than slots.
        let Some(gateway) = haproxy(&server, "timeout queue 50ms") else {
            return;
        };
        crawls.push(crawl(&place, &gateway, 503));
        assert!(site.max_in_flight() <= SLOTS);
    }
    crawls.sort_by_key(|crawled| crawled.refused);
    // Three of nine crawls on a busy machine had 57 to 79 refused; a limit that is not found refuses half of all.
    crawls[1].check(80);
}

#[test]
fn nginx_that_gives_up_on_a_slow_host_answers_504_and_the_limit_comes_down() {
    // Twice the service time: with eight in flight the last one waits for too long.
    let (place, site) = (Place::new(), behind(200).workers(SLOTS).start());
    let server = site.address().to_string();
    let Some(gateway) = nginx(&server, "proxy_read_timeout 400ms;") else {
        return;
    };
    // Fourteen runs on a busy machine: 20 to 64, the limit was 6.2 to 8.2. The host still works on what nginx
    // gave up, so one step too far costs more requests than the step.
    crawl(&place, &gateway, 504).check(96);
}
