//! Answers that are too large, or no answers.

use neap_core::exchange::FailureKind;
use neap_fetch::{MAX_HEADER_BYTES, MAX_HEADER_FIELDS};
use neap_testkit::{Refusing, Reply, Site};

use crate::support::*;

#[tokio::test]
async fn an_announced_body_beyond_the_limit_is_not_waited_for() {
    let fetched = fetch_raw(
        &fetcher(),
        format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", MIB + 1),
    )
    .await;
    let failure = fetched.exchange.result.unwrap_err();
    assert_eq!(
        (failure.kind, failure.status),
        (FailureKind::TooLarge, Some(200))
    );
    assert!(failure.detail.contains("1048577"), "{}", failure.detail);
}

#[tokio::test]
async fn a_body_of_exactly_the_limit_is_read() {
    let body = vec![b'x'; usize::try_from(MIB).unwrap()];
    let site = Site::builder()
        .page("/plain", Reply::ok(body.clone()))
        .page("/chunked", Reply::ok(body.clone()).chunked())
        .start();
    for path in ["/plain", "/chunked"] {
        assert_eq!(
            answer(&fetcher(), &site.url(path)).await.body.len() as u64,
            MIB,
            "{path}"
        );
    }
}

#[tokio::test]
async fn an_endless_body_stops_at_the_limit() {
    let site = Site::builder()
        .page("/", Reply::endless("again and "))
        .start();
    let failure = failure(&fetcher(), &site.url("/")).await;
    assert_eq!(
        (failure.kind, failure.status),
        (FailureKind::TooLarge, Some(200))
    );
}

#[tokio::test]
async fn headers_are_read_up_to_their_limits() {
    let roomy = Reply::ok("x")
        .huge_header(MAX_HEADER_BYTES - 2000)
        .many_headers(10);
    let many = Reply::ok("x").many_headers(MAX_HEADER_FIELDS - 10);
    let site = Site::builder()
        .page("/roomy", roomy)
        .page("/many", many)
        .start();
    assert_eq!(answer(&fetcher(), &site.url("/roomy")).await.status, 200);
    assert_eq!(answer(&fetcher(), &site.url("/many")).await.status, 200);
}

#[tokio::test]
async fn a_header_beyond_its_limits_is_refused() {
    for (what, reply) in [
        (
            "a little too long",
            Reply::ok("x").huge_header(MAX_HEADER_BYTES),
        ),
        ("much too long", Reply::ok("x").huge_header(4 << 20)),
        (
            "too many fields",
            Reply::ok("x").many_headers(MAX_HEADER_FIELDS + 1),
        ),
    ] {
        let site = Site::builder().page("/", reply).start();
        let failure = failure(&fetcher(), &site.url("/")).await;
        assert_eq!(
            failure.kind,
            FailureKind::HeaderTooLarge,
            "{what}: {failure}"
        );
    }
}

#[tokio::test]
async fn a_body_cut_short_is_a_reset_with_its_status() {
    for (what, reply) in [
        ("length, closed", Reply::ok("x".repeat(5000)).cut_after(100)),
        (
            "length, reset",
            Reply::ok("x".repeat(5000)).reset_after(100),
        ),
        (
            "length, nothing came",
            Reply::ok("x".repeat(5000)).cut_after(0),
        ),
        (
            "chunks, closed",
            Reply::ok("x".repeat(5000)).chunks_of(50).cut_after(120),
        ),
        (
            "chunks, reset",
            Reply::ok("x".repeat(5000)).chunks_of(50).reset_after(120),
        ),
    ] {
        let site = Site::builder().page("/", reply).start();
        let failure = failure(&fetcher(), &site.url("/")).await;
        assert_eq!(
            (failure.kind, failure.status),
            (FailureKind::Reset, Some(200)),
            "{what}: {failure}"
        );
    }
}

#[tokio::test]
async fn chunks_without_their_end_are_a_reset() {
    let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    for body in ["", "5\r\nhello\r\n", "5\r\nhel", "5\r\nhello\r\n0\r\n"] {
        let kind = failure_kind_of_raw(format!("{head}{body}")).await;
        assert_eq!(kind, FailureKind::Reset, "{body:?}");
    }
}

#[tokio::test]
async fn what_is_no_http_is_a_protocol_failure() {
    for bytes in [
        "SSH-2.0-OpenSSH_9.2p1\r\n",
        "220 ftp.example ready\r\n",
        "<html>no header at all</html>\r\n\r\n",
        "HTTP/9.9 200 OK\r\n\r\n",
        "HTTP/1.1 banana\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon here\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello!",
        "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked, identity\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n",
    ] {
        assert_eq!(
            failure_kind_of_raw(bytes).await,
            FailureKind::Protocol,
            "{bytes:?}"
        );
    }
}

#[tokio::test]
async fn a_connection_without_an_answer_is_a_reset() {
    for (what, reply) in [("closed", Reply::hang_up()), ("reset", Reply::reset())] {
        let site = Site::builder().page("/", reply).start();
        let fetched = fetch(&fetcher(), &site.url("/")).await;
        let failure = fetched.exchange.result.unwrap_err();
        assert_eq!(
            (failure.kind, failure.status),
            (FailureKind::Reset, None),
            "{what}: {failure}"
        );
        assert!(!fetched.was_resent, "the connection was new");
        assert_eq!(site.asked(), 1, "{what}");
    }
    assert_eq!(
        failure_kind_of_raw("HTTP/1.1 200 OK\r\ncontent-").await,
        FailureKind::Reset
    );
}

#[tokio::test]
async fn a_port_where_nobody_listens_refuses() {
    let nobody = Refusing::take().unwrap();
    let failure = failure(&fetcher(), &nobody.url("/")).await;
    assert_eq!(failure.kind, FailureKind::ConnectRefused, "{failure}");
}

#[tokio::test]
async fn a_name_that_does_not_exist_fails_in_dns() {
    let fetched = fetch(&fetcher(), "http://no-such-host.invalid/").await;
    let failure = fetched.exchange.result.unwrap_err();
    // Without a network the system cannot ask, and says so.
    assert!(
        matches!(failure.kind, FailureKind::DnsNotFound | FailureKind::Dns),
        "{failure}"
    );
    assert!(fetched.exchange.timings.dns.is_some());
    assert_eq!(fetched.exchange.timings.connect, None);
}
