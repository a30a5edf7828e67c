//! Connections that give way to others.

use std::time::Duration;

use futures_util::future::join_all;
use neap_fetch::Sockets;
use neap_testkit::{Reply, Site};

use crate::support::*;
use crate::tls::{self, Pki};

/// A site of as many hosts, each on an address of its own.
fn hosts(count: u8, reply: &Reply) -> Site {
    let bind = |site: neap_testkit::Builder, n: u8| site.bind(&format!("127.0.1.{n}"));
    (1..=count)
        .fold(Site::builder(), bind)
        .page("/", reply.clone())
        .start()
}

fn urls(site: &Site) -> Vec<String> {
    let of = |address: &std::net::SocketAddr| format!("http://{address}/");
    site.addresses().iter().map(of).collect()
}

#[tokio::test]
async fn a_kept_connection_gives_way_to_one_of_another_host() {
    let site = hosts(3, &Reply::ok("x"));
    let sockets = Sockets::new(2);
    let fetcher = fetcher_on(&sockets, &settings(request()));
    let urls = urls(&site);
    // The second host's connection is used last but one whenever a third is wanted.
    for (at, accepted) in [(0, 1), (1, 2), (0, 2), (2, 3), (0, 3), (1, 4), (0, 4)] {
        answer(&fetcher, &urls[at]).await;
        assert_eq!(site.accepted(), accepted, "host {at}");
        assert!(sockets.open() <= 2);
    }
}

#[tokio::test]
async fn who_finds_no_place_waits_for_one() {
    let site = hosts(20, &Reply::ok("x").delay(Duration::from_millis(5)));
    let sockets = Sockets::new(3);
    let fetchers = [(); 2].map(|()| fetcher_on(&sockets, &settings(request())));
    let urls = urls(&site);
    let asked = fetchers
        .iter()
        .flat_map(|fetcher| urls.iter().map(|at| answer(fetcher, at)));
    assert_eq!(join_all(asked).await.len(), 40);
    assert!(site.max_in_flight() <= 3, "{}", site.max_in_flight());
}

#[tokio::test]
async fn one_host_is_asked_over_as_few_connections_as_requests_are_in_flight() {
    let site = hosts(1, &Reply::ok("x"));
    let fetcher = fetcher();
    let at = site.url("/");
    for _ in 0..20 {
        join_all((0..4).map(|_| answer(&fetcher, &at))).await;
    }
    assert!(site.accepted() <= 4, "{} connections", site.accepted());
}

#[tokio::test]
async fn an_http_2_connection_that_nobody_uses_gives_way_too() {
    let pki = Pki::new();
    let at = tls::start(pki.host("localhost", "h2", |_| ()), tls::http2).await;
    let site = hosts(1, &Reply::ok("x"));
    let sockets = Sockets::new(1);
    let fetcher = fetcher_on(&sockets, &pki.trusting_settings());
    for _ in 0..3 {
        let both = join_all([answer(&fetcher, &at), answer(&fetcher, &at)]).await;
        assert!(both.iter().all(|answer| answer.body == "over two"));
        answer(&fetcher, &site.url("/")).await;
        assert_eq!(sockets.open(), 1);
    }
}

#[tokio::test]
async fn a_connection_is_not_kept_for_long() {
    let site = hosts(1, &Reply::ok("x"));
    let sockets = Sockets::new(2);
    let fetcher = fetcher_on(&sockets, &settings(request()));
    answer(&fetcher, &site.url("/")).await;
    assert_eq!(sockets.open(), 1);
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(11)).await;
    // The clock goes on only when everything else has had its turn.
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(sockets.open(), 0);
}

#[tokio::test]
async fn a_fetcher_takes_its_connections_with_it() {
    let site = hosts(1, &Reply::ok("x"));
    let sockets = Sockets::new(2);
    let fetchers = [(); 2].map(|()| fetcher_on(&sockets, &settings(request())));
    for fetcher in &fetchers {
        answer(fetcher, &site.url("/")).await;
    }
    assert_eq!(sockets.open(), 2);
    let [_stays, goes] = fetchers;
    drop(goes);
    assert_eq!(sockets.open(), 1);
}

#[tokio::test]
async fn an_exchange_that_is_given_up_leaves_no_socket() {
    let site = hosts(1, &Reply::silent());
    let sockets = Sockets::new(1);
    let fetcher = fetcher_on(&sockets, &settings(request()));
    let at = site.url("/");
    tokio::select! {
        _ = fetch(&fetcher, &at) => panic!("nobody answers"),
        seen = tokio::task::spawn_blocking(move || {
            let seen = site.wait_in_flight(1, Duration::from_secs(20));
            (site, seen)
        }) => seen.unwrap().1.unwrap(),
    }
    assert_eq!(sockets.open(), 0);
}
