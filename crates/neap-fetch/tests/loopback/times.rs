//! Which time-out it was. The limits that must be met are short, all others far away, so that only
//! one can fire however slow the machine is.

use std::time::Duration;

use neap_core::exchange::{FailureKind, Stage};
use neap_core::job::Request;
use neap_fetch::Fetcher;
use neap_testkit::{Reply, Site};
use tokio::net::TcpListener;

use crate::support::*;

const SHORT: Duration = Duration::from_millis(100);

fn impatient(change: impl Fn(&mut Request)) -> Fetcher {
    let mut request = request();
    change(&mut request);
    fetcher_with(&settings(request))
}

#[tokio::test]
async fn silence_before_the_header() {
    let site = Site::builder().page("/", Reply::silent()).start();
    let failure = failure(&impatient(|r| r.read_timeout = SHORT), &site.url("/")).await;
    assert_eq!(
        (failure.kind, failure.status),
        (FailureKind::Timeout(Stage::Header), None)
    );
}

#[tokio::test]
async fn silence_within_the_body() {
    let site = Site::builder()
        .page("/", Reply::ok("x".repeat(5000)).stall_after(100))
        .start();
    let failure = failure(&impatient(|r| r.read_timeout = SHORT * 3), &site.url("/")).await;
    assert_eq!(
        (failure.kind, failure.status),
        (FailureKind::Timeout(Stage::Body), Some(200))
    );
}

#[tokio::test]
async fn a_header_that_takes_for_ever() {
    let site = Site::builder().page("/", Reply::silent()).start();
    let failure = failure(&impatient(|r| r.total_timeout = SHORT), &site.url("/")).await;
    assert_eq!(failure.kind, FailureKind::Timeout(Stage::Total));
}

#[tokio::test]
async fn a_body_that_drips_for_ever() {
    let reply = Reply::ok("x".repeat(5000)).drip(1, Duration::from_millis(10));
    let site = Site::builder().page("/", reply).start();
    let failure = failure(&impatient(|r| r.total_timeout = SHORT * 5), &site.url("/")).await;
    assert_eq!(
        (failure.kind, failure.status),
        (FailureKind::Timeout(Stage::Total), Some(200))
    );
}

#[tokio::test]
async fn a_tls_handshake_that_nobody_answers_is_part_of_connecting() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = format!("https://{}/", listener.local_addr().unwrap());
    let fetcher = impatient(|r| r.connect_timeout = SHORT);
    let fetched = fetch(&fetcher, &at).await;
    let failure = fetched.exchange.result.unwrap_err();
    assert_eq!(
        failure.kind,
        FailureKind::Timeout(Stage::Connect),
        "{failure}"
    );
    assert_eq!(fetched.exchange.timings.connect, None);
}

#[tokio::test]
async fn time_to_connect_is_not_silence() {
    // The read time-out is over long before the one for connecting, and does not fire first.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = format!("https://{}/", listener.local_addr().unwrap());
    let fetcher = impatient(|r| {
        r.read_timeout = SHORT / 10;
        r.connect_timeout = SHORT * 3;
    });
    let failure = failure(&fetcher, &at).await;
    assert_eq!(
        failure.kind,
        FailureKind::Timeout(Stage::Connect),
        "{failure}"
    );
}

#[tokio::test]
async fn the_phases_add_up() {
    let site = Site::builder()
        .page("/", Reply::ok("x").delay(SHORT))
        .start();
    let timings = fetch(&fetcher(), &site.url("/")).await.exchange.timings;
    assert!(timings.first_byte.unwrap() >= SHORT, "{timings:?}");
    assert!(
        timings.connect.unwrap() <= timings.first_byte.unwrap(),
        "{timings:?}"
    );
    assert!(timings.total >= timings.first_byte.unwrap(), "{timings:?}");
}
