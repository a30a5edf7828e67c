//! Does a crawl that goes through proxies blame the right one, and bring every page?

use std::net::{IpAddr, Ipv4Addr};

use neap_testkit::{ForwardProxy, Manner, Reply, Site};

use crate::support::{Place, Said};

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
    let of_host =
        |host| (0..pages).map(move |n| format!("http://shop{host}.example:{port}/{n}\n"));
    (0..hosts).flat_map(of_host).collect()
}

fn proxy() -> ForwardProxy {
    ForwardProxy::builder().every_name(LOOPBACK).start()
}

/// A job of a list through one pool, with these proxies.
fn job(place: &Place, list: &str, proxies: &[&ForwardProxy], more: &str) {
    place.write("urls.txt", list);
    let lines: Vec<String> = proxies.iter().map(|proxy| proxy.url()).collect();
    place.write("proxies.txt", &lines.join("\n"));
    place.write(
        "job.toml",
        &format!(
            "neap = 1\nname = \"job\"\n[input]\nfiles = [\"urls.txt\"]\n[robots]\nmode = \"off\"\n\
             [store]\nbodies = \"none\"\n{more}\n[[proxy.pool]]\nname = \"pool\"\nfile = \"proxies.txt\"\n"
        ),
    );
}

fn requests(proxies: &[ForwardProxy]) -> usize {
    proxies.iter().map(|proxy| proxy.passed().len()).sum()
}

/// How a proxy stands in the end, by the summary.
fn is_left_out(said: &Said, proxy: &ForwardProxy) -> bool {
    let name = proxy.address().to_string();
    let mut lines = said.err.lines();
    lines.any(|line| line.contains("left out") && line.contains(&name))
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
    let bad = proxies[..5].iter().filter(|proxy| is_left_out(&said, proxy));
    assert_eq!(bad.count(), 5, "{}", said.err);
    let good = proxies[5..].iter().filter(|proxy| is_left_out(&said, proxy));
    assert_eq!(good.count(), 0, "{}", said.err);
    let lowered = place.query(
        "SELECT h.name, c.reason, c.limit_before, c.limit_after FROM limit_changes c
         JOIN hosts h USING (host_id) WHERE c.limit_after < c.limit_before",
    );
    assert_eq!(lowered.len(), 0, "{lowered:?}");
    let charged = place.number("SELECT count(*) FROM attempts WHERE status = 502 AND is_charged = 1");
    assert_eq!(charged, 0);
    place.check_invariants();
}
