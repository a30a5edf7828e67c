//! Connections that are kept, and those that should not have been.

use neap_core::exchange::FailureKind;
use neap_testkit::{Reply, Site, Then};

use crate::support::*;

#[tokio::test]
async fn a_kept_connection_is_used_again_and_takes_no_time_to_make() {
    let site = Site::builder().page("/", Reply::ok("x")).start();
    let at = site.url("/").replace("127.0.0.1", "localhost");
    let fetcher = fetcher();
    let first = fetch(&fetcher, &at).await.exchange;
    assert!(first.result.is_ok(), "{:?}", first.result);
    assert!(first.timings.dns.is_some() && first.timings.connect.is_some());
    assert!(first.timings.first_byte.unwrap() <= first.timings.total);
    let second = fetch(&fetcher, &at).await.exchange;
    assert_eq!((second.timings.dns, second.timings.connect), (None, None));
    assert!(second.timings.first_byte.is_some());
    assert_eq!((site.asked(), site.accepted()), (2, 1));
}

#[tokio::test]
async fn an_address_needs_no_name_server() {
    let site = Site::builder().page("/", Reply::ok("x")).start();
    let timings = fetch(&fetcher(), &site.url("/")).await.exchange.timings;
    assert_eq!(timings.dns, None);
    assert!(timings.connect.is_some());
}

#[tokio::test]
async fn a_kept_connection_that_is_closed_as_it_is_used_costs_nothing() {
    for (what, lie) in [("closed", Reply::hang_up()), ("reset", Reply::reset())] {
        let site = Site::builder()
            .page("/first", Reply::ok("x"))
            .in_turn("/", [lie, Reply::ok("after all")])
            .start();
        let fetcher = fetcher();
        answer(&fetcher, &site.url("/first")).await;
        let fetched = fetch(&fetcher, &site.url("/")).await;
        assert_eq!(fetched.exchange.result.unwrap().body, "after all", "{what}");
        assert!(fetched.was_resent, "{what}");
        assert!(
            fetched.exchange.timings.connect.is_some(),
            "{what}: on a new connection"
        );
        let log = site.log();
        assert_eq!(
            log[0].connection, log[1].connection,
            "{what}: the kept connection came first"
        );
        assert_ne!(log[1].connection, log[2].connection, "{what}");
    }
}

#[tokio::test]
async fn a_request_is_sent_again_only_once() {
    let site = Site::builder()
        .page("/first", Reply::ok("x"))
        .page("/", Reply::hang_up())
        .start();
    let fetcher = fetcher();
    answer(&fetcher, &site.url("/first")).await;
    let fetched = fetch(&fetcher, &site.url("/")).await;
    assert_eq!(
        fetched.exchange.result.unwrap_err().kind,
        FailureKind::Reset
    );
    assert!(fetched.was_resent);
    assert_eq!(site.count("/"), 2);
}

#[tokio::test]
async fn a_body_cut_short_on_a_kept_connection_is_not_asked_for_again() {
    let site = Site::builder()
        .page("/first", Reply::ok("x"))
        .page("/", Reply::ok("x".repeat(5000)).cut_after(100))
        .start();
    let fetcher = fetcher();
    answer(&fetcher, &site.url("/first")).await;
    let fetched = fetch(&fetcher, &site.url("/")).await;
    assert_eq!(
        fetched.exchange.result.unwrap_err().kind,
        FailureKind::Reset
    );
    assert!(!fetched.was_resent);
    assert_eq!(site.count("/"), 1);
}

#[tokio::test]
async fn connections_closed_while_idle_are_not_noticed_by_anyone() {
    let site = Site::builder()
        .page("/", Reply::ok("x").then(Then::Close))
        .start();
    let fetcher = fetcher();
    for _ in 0..20 {
        assert_eq!(answer(&fetcher, &site.url("/")).await.body, "x");
    }
}

#[tokio::test]
async fn no_more_connections_are_kept_than_requests_were_in_flight() {
    let site = Site::builder().page("/", Reply::ok("x")).start();
    let fetcher = fetcher();
    for _ in 0..10 {
        let at = site.url("/");
        let round: Vec<_> = (0..4).map(|_| fetch(&fetcher, &at)).collect();
        for fetched in futures_util::future::join_all(round).await {
            assert!(fetched.exchange.result.is_ok());
        }
    }
    assert!(site.max_connections() <= 8, "{}", site.max_connections());
    assert!(
        site.accepted() <= 12,
        "{} connections for 40 requests",
        site.accepted()
    );
}
