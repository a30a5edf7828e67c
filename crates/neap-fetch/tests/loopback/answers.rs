//! What a good answer comes to.

use neap_fetch::{Ask, BodyLimit, DEFAULT_MEMORY_BYTES};
use neap_testkit::{Reply, Site};

use crate::support::*;

#[tokio::test]
async fn an_answer_is_complete_with_what_was_sent_for_it() {
    let site = Site::builder()
        .page("/a", Reply::ok("hello").header("x-mark", "1"))
        .start();
    let fetched = fetch(&fetcher(), &site.url("/a?q=1")).await;
    let answer = fetched.exchange.result.unwrap();
    assert_eq!(
        (answer.status, answer.version),
        (200, http::Version::HTTP_11)
    );
    assert_eq!(answer.header("x-mark"), Some("1"));
    assert_eq!(
        (&answer.body[..], answer.address),
        (&b"hello"[..], Some(site.address()))
    );
    assert!(
        std::ptr::eq(answer.payload.as_ptr(), answer.body.as_ptr()),
        "one copy"
    );
    assert!(!fetched.was_resent);

    let asked = &site.log()[0];
    assert_eq!(
        (asked.method.as_str(), asked.target.as_str()),
        ("GET", "/a?q=1")
    );
    // What is recorded is exactly what went over the wire.
    let mut sent: Vec<_> = fetched.exchange.sent.iter().collect();
    sent.sort_by_key(|(name, _)| name.as_str());
    let mut received = asked.headers.clone();
    received.sort();
    let sent: Vec<_> = sent
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), value.to_str().unwrap().to_owned()))
        .collect();
    assert_eq!(sent, received);
    let names: Vec<_> = sent.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["accept", "accept-encoding", "host", "user-agent"]);
}

#[tokio::test]
async fn every_status_is_an_answer() {
    for status in [204, 304, 404, 429, 500, 502, 999] {
        let site = Site::builder().page("/", Reply::status(status)).start();
        assert_eq!(answer(&fetcher(), &site.url("/")).await.status, status);
    }
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let site = Site::builder()
        .page("/old", Reply::redirect(301, "/new"))
        .page("/new", Reply::ok("here"))
        .start();
    let answer = answer(&fetcher(), &site.url("/old")).await;
    assert_eq!(
        (answer.status, answer.header("location")),
        (301, Some("/new"))
    );
    assert_eq!(site.count("/new"), 0);
}

#[tokio::test]
async fn chunks_are_put_together() {
    let body = vec![b'x'; 100_000];
    let site = Site::builder()
        .page("/", Reply::ok(body.clone()).chunks_of(333))
        .start();
    assert_eq!(answer(&fetcher(), &site.url("/")).await.body, body);
}

#[tokio::test]
async fn a_body_without_length_ends_with_its_connection() {
    let fetched = fetch_raw(&fetcher(), "HTTP/1.1 200 OK\r\n\r\nall of it").await;
    assert_eq!(fetched.exchange.result.unwrap().body, "all of it");
}

#[tokio::test]
async fn header_lines_may_be_folded() {
    let fetched = fetch_raw(
        &fetcher(),
        "HTTP/1.1 200 OK\r\nx-a: one\r\n two\r\ncontent-length: 0\r\n\r\n",
    )
    .await;
    assert_eq!(
        fetched.exchange.result.unwrap().header("x-a"),
        Some("one two")
    );
}

#[tokio::test]
async fn a_robots_file_is_cut_and_not_refused() {
    let lines = "User-agent: *\nDisallow: /private\n".repeat(50_000);
    assert!(lines.len() as u64 > MIB);
    let site = Site::builder()
        .page("/plain", Reply::text(lines.clone()))
        .page("/chunked", Reply::text(lines.clone()).chunked())
        .page(
            "/coded",
            Reply::text(lines.clone()).encoded(neap_testkit::Coding::Gzip),
        )
        .page("/short", Reply::text("User-agent: *\n"))
        .start();
    for path in ["/plain", "/chunked", "/coded"] {
        let fetched = fetcher()
            .fetch(&Ask::get(&url(&site.url(path)), BodyLimit::CutAt(4321)))
            .await;
        let answer = fetched.exchange.result.unwrap();
        assert_eq!(answer.body, &lines.as_bytes()[..4321], "{path}");
        assert!(answer.payload.len() <= 4321, "{path}");
    }
    let fetched = fetcher()
        .fetch(&Ask::get(&url(&site.url("/short")), BodyLimit::CutAt(4321)))
        .await;
    assert_eq!(fetched.exchange.result.unwrap().body, "User-agent: *\n");
}

#[test]
fn the_default_budget_is_half_a_gibibyte() {
    assert_eq!(
        neap_fetch::MemoryBudget::default().free_bytes(),
        DEFAULT_MEMORY_BYTES
    );
}
