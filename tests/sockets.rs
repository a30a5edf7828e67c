//! Does a run ever have more sockets open than requests may be in flight?
//!
//! Looked at from outside, in the list of files that the system keeps of the process, again and again while
//! it runs. That list is read from the lowest number up, and a new file gets the lowest number that is free,
//! so a socket that takes the place of another is never counted beside it.

#![cfg(target_os = "linux")]

use std::fs;
use std::net::{IpAddr, Ipv4Addr};

use neap_testkit::{ForwardProxy, Reply, Site};

use crate::support::{Place, list_job};

const LIMIT: usize = 16;

/// Sockets that are no connections: the pair by which signals are heard, and one to spare.
const OWN: usize = 3;

/// Hosts of a crawl, each with so many pages.
const HOSTS: u8 = 200;
const PAGES: usize = 3;

/// A site of as many hosts, each on an address of its own.
fn hosts() -> Site {
    let site = (1..=HOSTS).fold(Site::builder(), |site, n| {
        site.bind(&format!("127.0.2.{n}"))
    });
    let page = |site: neap_testkit::Builder, n| site.page(&format!("/{n}"), Reply::ok("a page"));
    (0..PAGES).fold(site, page).start()
}

fn urls(hosts: impl Iterator<Item = String>) -> String {
    let of_host = |host: String| (0..PAGES).map(move |n| format!("http://{host}/{n}\n"));
    hosts.flat_map(of_host).collect()
}

/// Sockets of a process, of whatever kind.
fn sockets(process: u32) -> usize {
    let files = fs::read_dir(format!("/proc/{process}/fd"));
    files.map_or(0, |files| {
        let links = files.filter_map(|file| fs::read_link(file.ok()?.path()).ok());
        let is_socket = |link: &std::path::PathBuf| link.to_string_lossy().starts_with("socket:[");
        links.filter(is_socket).count()
    })
}

/// Runs the job of all hosts, and checks that it never had more sockets than it may whenever it was looked.
#[track_caller]
fn check_sockets(place: &Place) {
    let mut running = place.start(&["run", "job.toml"]);
    let mut most = 0;
    while !running.has_ended() {
        most = most.max(sockets(running.id()));
    }
    running.wait().expect(0);
    assert_eq!(place.results().len(), usize::from(HOSTS) * PAGES);
    assert!((1..=LIMIT + OWN).contains(&most), "{most} sockets");
}

#[test]
fn a_crawl_of_many_hosts_never_has_more_sockets_than_requests_in_flight() {
    let (place, site) = (Place::new(), hosts());
    place.write(
        "urls.txt",
        &urls(site.addresses().iter().map(ToString::to_string)),
    );
    place.write(
        "job.toml",
        &format!(
            "neap = 1\nname = \"job\"\n[input]\nfiles = [\"urls.txt\"]\n[limits]\nconcurrency = {LIMIT}\n\
             [store]\nbodies = \"none\"\n"
        ),
    );
    check_sockets(&place);
}

#[test]
fn proxies_count_as_much() {
    let (place, site) = (Place::new(), hosts());
    let proxies = [(); 3].map(|()| {
        let proxy = ForwardProxy::builder().every_name(IpAddr::V4(Ipv4Addr::new(127, 0, 2, 1)));
        proxy.start()
    });
    let port = site.address().port();
    let names = (0..HOSTS).map(|n| format!("shop{n}.example:{port}"));
    let at: Vec<String> = proxies.iter().map(ForwardProxy::url).collect();
    let more = format!("[limits]\nconcurrency = {LIMIT}\n");
    list_job(&place, &urls(names), &at, &more);
    check_sockets(&place);
}

#[test]
fn one_host_is_crawled_over_no_more_connections_than_requests_in_flight() {
    let pages = 200;
    let page = |site: neap_testkit::Builder, n| site.page(&format!("/{n}"), Reply::ok("a page"));
    let site = (0..pages).fold(Site::builder(), page).start();
    let place = Place::new();
    let urls: Vec<String> = (0..pages)
        .map(|n| format!("{:?}", site.url(&format!("/{n}"))))
        .collect();
    place.write(
        "job.toml",
        &format!(
            "neap = 1\nname = \"job\"\n[input]\nurls = [{}]\n[limits]\nconcurrency = 8\n[store]\nbodies = \"none\"\n",
            urls.join(", ")
        ),
    );
    place.neap(&["run", "job.toml"]).expect(0);
    assert_eq!(place.results().len(), pages);
    assert!(
        site.accepted() <= 8,
        "{} connections for {pages} pages",
        site.accepted()
    );
}
