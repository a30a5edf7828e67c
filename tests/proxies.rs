//! Does a crawl that goes through proxies blame the right one, and bring every page?

use std::net::{IpAddr, Ipv4Addr};

use neap_testkit::{ForwardProxy, Manner, Reply, Site};

use crate::support::{Place, is_left_out, list_job};

/// Where the names of all sites lead.
const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A site with `pages` pages `/0`, `/1` and so on, whatever it is called.
fn site(pages: usize) -> Site {
    let pages = (0..pages).map(|n| (format!("/{n}"), Reply::ok("a page")));
    let site = pages.fold(Site::builder(), |site, (path, reply)| {
        site.page(&path, reply)
    });
    site.start()
}

/// The URLs of `pages` pages of each of `hosts` names of a site.
fn urls(site: &Site, hosts: usize, pages: usize) -> String {
    let port = site.address().port();
    let of_host = |host| (0..pages).map(move |n| format!("http://shop{host}.example:{port}/{n}\n"));
    (0..hosts).flat_map(of_host).collect()
}

fn proxy() -> ForwardProxy {
    ForwardProxy::builder().every_name(LOOPBACK).start()
}

/// A job of a list through one pool, with these proxies.
fn job(place: &Place, list: &str, proxies: &[&ForwardProxy], more: &str) {
    let proxies: Vec<String> = proxies.iter().map(|proxy| proxy.url()).collect();
    list_job(place, list, &proxies, more);
}

fn requests(proxies: &[ForwardProxy]) -> usize {
    proxies.iter().map(|proxy| proxy.passed().len()).sum()
}

#[test]
fn a_quarter_of_bad_proxies_costs_no_page_and_slows_no_host() {
    const HOSTS: usize = 16;
    const PAGES: usize = 75;
    let site = site(PAGES);
    let proxies: Vec<ForwardProxy> = (0..20).map(|_| proxy()).collect();
    for proxy in &proxies[..5] {
        proxy.set(Manner::status(502));
    }
    let place = Place::new();
    let all: Vec<&ForwardProxy> = proxies.iter().collect();
    job(&place, &urls(&site, HOSTS, PAGES), &all, "");
    let said = place.neap(&["run", "job.toml"]).expect(0);
    assert_eq!(place.results().len(), HOSTS * PAGES, "{}", said.err);
    let extra = requests(&proxies) - HOSTS * PAGES;
    assert!(
        extra * 20 <= HOSTS * PAGES,
        "{extra} more requests than pages"
    );
    let bad = proxies[..5]
        .iter()
        .filter(|proxy| is_left_out(&said, proxy.address()));
    assert_eq!(bad.count(), 5, "{}", said.err);
    let good = proxies[5..]
        .iter()
        .filter(|proxy| is_left_out(&said, proxy.address()));
    assert_eq!(good.count(), 0, "{}", said.err);
    let lowered = place.query(
        "SELECT h.name, c.reason, c.limit_before, c.limit_after FROM limit_changes c
         JOIN hosts h USING (host_id) WHERE c.limit_after < c.limit_before AND c.reason <> 'answers took longer'",
    );
    assert_eq!(lowered.len(), 0, "{lowered:?}");
    let charged =
        place.number("SELECT count(*) FROM attempts WHERE status = 502 AND is_charged = 1");
    assert_eq!(charged, 0);
    place.check_invariants();
}

#[test]
fn of_two_proxies_the_bad_one_is_left_alone() {
    let site = site(60);
    let (good, bad) = (proxy(), proxy());
    for manner in [
        Manner::status(502),
        Manner::Close,
        Manner::Reset,
        Manner::answer(
            503,
            "Service Unavailable",
            &[("Proxy-Status", "exit7; error=proxy_internal_error")],
            "no",
        ),
    ] {
        bad.set(manner.clone());
        let place = Place::new();
        job(&place, &urls(&site, 6, 60), &[&good, &bad], "");
        let said = place.neap(&["run", "job.toml"]).expect(0);
        assert_eq!(place.results().len(), 360, "{manner:?}: {}", said.err);
        assert!(
            is_left_out(&said, bad.address()),
            "{manner:?}: {}",
            said.err
        );
        assert!(
            !is_left_out(&said, good.address()),
            "{manner:?}: {}",
            said.err
        );
        let lowered = place.query(
            "SELECT h.name, c.reason, c.limit_before, c.limit_after FROM limit_changes c
             JOIN hosts h USING (host_id) WHERE c.limit_after < c.limit_before AND c.reason <> 'answers took longer'",
        );
        let hosts = place.query(
            "SELECT cause, fault, diagnosis, is_charged, count(*) AS n FROM attempts GROUP BY 1, 2, 3, 4",
        );
        assert_eq!(lowered.len(), 0, "{manner:?}: {lowered:?} {hosts:?}");
        let blamed = place.query("SELECT DISTINCT fault FROM attempts WHERE fault IS NOT NULL");
        let is_blamed = |fault: &str| blamed.iter().any(|row| row["fault"] == fault);
        assert!(!is_blamed("host"), "{manner:?}: {blamed:?}");
    }
}

#[test]
fn a_failing_host_is_blamed_and_no_proxy_is() {
    let good = site(40);
    let bad = Site::builder()
        .fallback(|_| Reply::status(502).header("Server", "nginx").body(
            "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n\
             <center><h1>502 Bad Gateway</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n",
        ))
        .start();
    let proxies: Vec<ForwardProxy> = (0..4).map(|_| proxy()).collect();
    let all: Vec<&ForwardProxy> = proxies.iter().collect();
    let place = Place::new();
    let mut list = urls(&good, 5, 40);
    let port = bad.address().port();
    list.extend((0..10).map(|n| format!("http://bad.example:{port}/{n}\n")));
    job(
        &place,
        &list,
        &all,
        "[retry]\nattempts = 2\nbase = \"10ms\"\nmax = \"20ms\"\n[adaptive]\ngive_up_after = \"2s\"\n",
    );
    let said = place.neap(&["run", "job.toml"]).expect(0);
    assert_eq!(place.results().len(), 200, "{}", said.err);
    for proxy in &proxies {
        assert!(!is_left_out(&said, proxy.address()), "{}", said.err);
    }
    let faults = place.query(
        "SELECT a.fault, count(*) AS n FROM attempts a JOIN hosts h USING (host_id)
         WHERE h.name LIKE '%bad.example%' GROUP BY 1",
    );
    assert!(
        faults.iter().all(|row| row["fault"] == "host"),
        "{faults:?}"
    );
}

#[test]
fn a_wrong_password_stops_the_run_at_once_and_says_so() {
    let site = site(50);
    let proxy = ForwardProxy::builder()
        .every_name(LOOPBACK)
        .login("ann", "right")
        .start();
    let place = Place::new();
    job(&place, &urls(&site, 4, 50), &[], "");
    place.write(
        "proxies.txt",
        &format!("http://ann:wr0ng-s3cret@{}\n", proxy.address()),
    );
    let said = place.neap(&["run", "job.toml"]).expect(9);
    assert!(
        said.err.contains("refused the user name or the password"),
        "{}",
        said.err
    );
    assert!(said.err.contains("neap resume"), "{}", said.err);
    let errors = place.neap(&["errors"]).expect(0);
    assert!(
        errors.err.contains(" is stopped, its proxies refuse"),
        "{}",
        errors.err
    );
    assert!(
        proxy.passed().len() <= 64,
        "{} requests",
        proxy.passed().len()
    );
    assert_eq!(
        place.number("SELECT count(*) FROM attempts WHERE is_charged = 1"),
        0
    );
    let stored = std::fs::read(place.path("neap.db")).unwrap();
    let all = [said.err.as_bytes(), said.out.as_bytes(), &stored].concat();
    assert!(!all.windows(11).any(|part| part == b"wr0ng-s3cre"));

    // Set right, the same crawl goes on.
    place.write("proxies.txt", &format!("{}\n", proxy.url()));
    place.neap(&["resume"]).expect(0);
    assert_eq!(place.results().len(), 200);
}

#[test]
fn with_every_proxy_dead_the_run_waits_and_ends_when_it_is_told_to() {
    let site = site(20);
    let proxies: Vec<ForwardProxy> = (0..2).map(|_| proxy()).collect();
    let dead: Vec<String> = proxies.iter().map(ForwardProxy::url).collect();
    drop(proxies);
    let place = Place::new();
    job(&place, &urls(&site, 2, 20), &[], "");
    place.write("proxies.txt", &dead.join("\n"));
    let said = place.neap(&["run", "job.toml", "--for", "4s"]).expect(5);
    assert_eq!(
        place.number("SELECT count(*) FROM attempts WHERE is_charged = 1"),
        0
    );
    let attempts = place.number("SELECT count(*) FROM attempts");
    assert!(
        (6..=40).contains(&attempts),
        "{attempts} attempts: {}",
        said.err
    );
    assert_eq!(
        place.number("SELECT count(*) FROM attempts WHERE fault <> 'proxy'"),
        0
    );
}

#[test]
fn a_pool_that_does_not_help_gives_way_to_the_next() {
    let site = site(30);
    let (walled, free) = (proxy(), proxy());
    walled.set(Manner::answer(
        403,
        "Forbidden",
        &[
            ("Cf-Mitigated", "challenge"),
            ("Server", "cloudflare"),
            ("Content-Type", "text/html"),
        ],
        "<title>Just a moment...</title>",
    ));
    let place = Place::new();
    let more = format!(
        "\n[[proxy.pool]]\nname = \"second\"\nurls = [\"{}\"]\n",
        free.url()
    );
    job(&place, &urls(&site, 3, 30), &[&walled], "");
    let text = std::fs::read_to_string(place.path("job.toml")).unwrap();
    place.write("job.toml", &(text + &more));
    let said = place.neap(&["run", "job.toml"]).expect(0);
    assert_eq!(place.results().len(), 90, "{}", said.err);
    assert_eq!(
        place.number("SELECT count(*) FROM attempts WHERE diagnosis = 'challenge'") as usize,
        walled.passed().len()
    );
    assert!(
        walled.passed().len() < 45,
        "{} of 90 pages tried the wall",
        walled.passed().len()
    );
}
