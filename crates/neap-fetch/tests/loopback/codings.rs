//! Bodies that are coded, well and badly.

use neap_core::exchange::FailureKind;
use neap_testkit::{Coding, Reply, Site};

use crate::support::*;

const CODINGS: [Coding; 5] = [
    Coding::Gzip,
    Coding::Brotli,
    Coding::Zstd,
    Coding::Deflate,
    Coding::RawDeflate,
];

fn page() -> String {
    "<p>once upon a time</p>\n".repeat(2000)
}

#[tokio::test]
async fn every_coding_is_undone_and_the_payload_kept_as_sent() {
    for coding in CODINGS {
        let site = Site::builder()
            .page("/", Reply::ok(page()).encoded(coding))
            .start();
        let answer = answer(&fetcher(), &site.url("/")).await;
        assert_eq!(answer.body, page(), "{coding:?}");
        assert!(answer.payload.len() < answer.body.len() / 4, "{coding:?}");
        assert_eq!(
            answer.header("content-length"),
            Some(&*answer.payload.len().to_string())
        );
    }
}

#[tokio::test]
async fn stacked_codings_are_undone() {
    let reply = Reply::ok(page())
        .encoded(Coding::Gzip)
        .encoded(Coding::Brotli);
    let site = Site::builder().page("/", reply.chunked()).start();
    assert_eq!(answer(&fetcher(), &site.url("/")).await.body, page());
}

#[tokio::test]
async fn a_bomb_is_too_large_in_every_coding() {
    for coding in CODINGS {
        let site = Site::builder()
            .page("/", Reply::bomb(coding, 64 * MIB))
            .start();
        let failure = failure(&fetcher(), &site.url("/")).await;
        assert_eq!(
            (failure.kind, failure.status),
            (FailureKind::TooLarge, Some(200)),
            "{coding:?}"
        );
    }
}

#[tokio::test]
async fn a_body_that_lies_about_its_coding_is_no_success() {
    let reply = |coding: &'static str| Reply::ok(page()).header("content-encoding", coding);
    for coding in [
        "gzip",
        "br",
        "zstd",
        "deflate",
        "gzip, br",
        "rot13",
        "gzip, gzip, gzip, gzip",
    ] {
        let site = Site::builder().page("/", reply(coding)).start();
        let failure = failure(&fetcher(), &site.url("/")).await;
        assert_eq!(failure.kind, FailureKind::Decode, "{coding}");
    }
    let site = Site::builder().page("/", reply("rot13")).start();
    assert!(
        failure(&fetcher(), &site.url("/"))
            .await
            .detail
            .contains("rot13")
    );
}

#[tokio::test]
async fn coded_data_that_ends_early_is_no_success_though_its_length_is_right() {
    let site = Site::builder()
        .page("/", Reply::ok(page()).encoded(Coding::Gzip))
        .start();
    let whole = answer(&fetcher(), &site.url("/")).await.payload;
    let half = whole.slice(..whole.len() / 2);
    let site = Site::builder()
        .page("/", Reply::ok(half).header("content-encoding", "gzip"))
        .start();
    assert_eq!(
        failure(&fetcher(), &site.url("/")).await.kind,
        FailureKind::Decode
    );
}

#[tokio::test]
async fn a_coding_without_a_body_is_an_empty_body() {
    for status in [200, 204, 304] {
        let reply = Reply::status(status).header("content-encoding", "gzip");
        let site = Site::builder().page("/", reply).start();
        let answer = answer(&fetcher(), &site.url("/")).await;
        assert_eq!((answer.status, answer.body.len()), (status, 0));
    }
}

#[tokio::test]
async fn identity_and_none_are_no_codings() {
    for coding in ["identity", "none", ""] {
        let reply = Reply::ok(page()).header("content-encoding", coding);
        let site = Site::builder().page("/", reply).start();
        assert_eq!(
            answer(&fetcher(), &site.url("/")).await.body,
            page(),
            "{coding:?}"
        );
    }
}
