//! Does a crawl find out where hosts are, once each, and does it tell a name that is not from one that cannot be asked for?

use neap_testkit::{NameServer, Naming, Reply, Site};

use crate::support::Place;

/// A job over a list of URLs whose names this server knows; all on loopback, so that must be allowed.
fn job(place: &Place, names: &NameServer, urls: &[String], more: &str) {
    place.write("urls.txt", &urls.join("\n"));
    place.write(
        "job.toml",
        &format!(
            "neap = 1\nname = \"job\"\n[input]\nfiles = [\"urls.txt\"]\n[request]\n\
             private_addresses = true\nname_servers = [\"{}\"]\n{more}\n",
            names.address()
        ),
    );
}

fn pages(host: &str, port: u16, count: usize) -> Vec<String> {
    (0..count)
        .map(|n| format!("http://{host}:{port}/{n}"))
        .collect()
}

#[test]
fn a_host_that_does_not_exist_fails_once_and_not_once_per_page() {
    let site = Site::builder()
        .fallback(|_| Reply::html("page", [""; 0]))
        .page("/robots.txt", Reply::status(404))
        .start();
    let port = site.address().port();
    for mode in ["obey", "off"] {
        let names = NameServer::builder()
            .name("shop.example", [Naming::addresses(["127.0.0.1"])])
            .name("gone.example", [Naming::NoSuchName])
            .start();
        let mut urls = pages("shop.example", port, 20);
        urls.extend(pages("gone.example", port, 300));
        let place = Place::new();
        job(
            &place,
            &names,
            &urls,
            &format!("[robots]\nmode = \"{mode}\""),
        );
        place.neap(&["run", "job.toml"]).expect(0);
        assert_eq!(place.results().len(), 20, "{mode}");
        let of_gone = "FROM requests r JOIN hosts h USING (host_id) WHERE h.name LIKE '%gone%'";
        let failed = place.number(&format!(
            "SELECT count(*) {of_gone} AND r.state_name = 'failed' AND r.cause = 'dns_not_found'"
        ));
        assert_eq!(failed, 300, "{mode}");
        // What was in flight already when the first of them failed: no more than one host may have.
        let attempts = place.number(
            "SELECT count(*) FROM attempts a JOIN requests r USING (request_id) \
             WHERE r.url LIKE '%gone%'",
        );
        assert!(attempts <= 16, "{mode}: {attempts} attempts");
        // Once, unless the machine is too busy to answer in time; not once a page.
        for name in ["gone.example", "shop.example"] {
            let asked = names.asked(name);
            assert!((1..=8).contains(&asked), "{mode}, {name}: {asked}");
        }
        place.check_invariants();
    }
}

#[test]
fn a_name_server_that_fails_now_and_then_costs_no_page() {
    let site = Site::builder()
        .fallback(|_| Reply::html("page", [""; 0]))
        .page("/robots.txt", Reply::status(404))
        .start();
    // One look-up asks up to four times.
    let mut says = vec![Naming::Failure; 6];
    says.push(Naming::addresses(["127.0.0.1"]));
    let names = NameServer::builder().name("shop.example", says).start();
    let place = Place::new();
    let urls = pages("shop.example", site.address().port(), 5);
    let more = "[retry]\nbase = \"10ms\"\nmax = \"50ms\"\n[robots]\nmode = \"off\"";
    job(&place, &names, &urls, more);
    place.neap(&["run", "job.toml"]).expect(0);
    assert_eq!(place.results().len(), 5);
    assert!(place.number("SELECT count(*) FROM attempts WHERE cause = 'dns'") > 0);
}
