//! What is kept of an answer's body, and whether other programs can read it.

use std::process::Command as Process;

use futures_util::FutureExt;
use neap_core::exchange::{Failure, FailureKind};
use neap_core::{HostId, RequestId};
use neap_store::segments::{directory_of, records};
use neap_store::{Command, Event, Position, Reader, Ready, RedirectVerdict, Settings, StoreError};
use sqlx::ConnectOptions;

use crate::support::{Crawl, NOW, crawl, done, exchange, redirect, submit, url};

const PAGE: &str = "http://a.example/page?x=1";

#[tokio::test]
async fn a_body_comes_back_as_it_was_sent() {
    let (mut crawl, job_id) = crawl(&[PAGE, "http://a.example/old"]).await;
    let row = crawl.find(job_id, PAGE).await;
    let headers = [
        ("content-type", "text/html"),
        ("content-encoding", "gzip"),
        ("transfer-encoding", "chunked"),
        ("content-length", "999"),
        ("x-note", "caf\u{e9}"),
    ];
    let payload: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    let mut record = done(&row, 200);
    record.segment = records(&row.url, &exchange(&headers, &payload), NOW);
    crawl.fetch(record).await;
    let old = crawl.find(job_id, "http://a.example/old").await;
    crawl
        .fetch(redirect(&old, PAGE, RedirectVerdict::Follow))
        .await;

    let reader = Reader::open(&crawl.path()).await.unwrap();
    for page in [PAGE, "http://a.example/old"] {
        let body = reader
            .body(&url(page), Some(job_id))
            .await
            .unwrap()
            .unwrap();
        assert!(body.payload == payload, "{page}");
        assert_eq!(body.status, 200);
        assert_eq!(body.content_encoding.as_deref(), Some("gzip"));
        assert_eq!(body.content_type.as_deref(), Some("text/html"));
        assert!(
            body.head.starts_with("HTTP/1.1 200 OK\r\n"),
            "{}",
            body.head
        );
        assert!(
            body.head
                .contains("x-archive-orig-transfer-encoding: chunked"),
            "{}",
            body.head
        );
        assert!(
            body.head.contains("content-length: 100000"),
            "{}",
            body.head
        );
        assert!(!body.head.contains("999") && !body.head.contains("\r\ntransfer-encoding"));
    }
    assert!(
        reader
            .body(&url("http://a.example/none"), None)
            .await
            .unwrap()
            .is_none()
    );
    assert!(
        reader
            .body(&url(PAGE), Some(neap_core::JobId(77)))
            .await
            .unwrap()
            .is_none()
    );
}

#[tokio::test]
async fn a_damaged_segment_is_named_and_never_a_wrong_body() {
    let (mut crawl, job_id) = crawl(&[PAGE]).await;
    let row = crawl.find(job_id, PAGE).await;
    let mut record = done(&row, 200);
    let payload = [b"hello".repeat(5000), (0..255).collect()].concat();
    record.segment = records(&row.url, &exchange(&[], &payload), NOW);
    crawl.fetch(record).await;
    let file = directory_of(&crawl.path()).join("neap-000001-00001.warc.gz");
    let reader = Reader::open(&crawl.path()).await.unwrap();
    let whole = std::fs::read(&file).unwrap();
    let place = crawl
        .query("SELECT segment_offset, segment_bytes FROM pages")
        .await;
    let offset: usize = place[0][0].parse().unwrap();
    let bytes: usize = place[0][1].parse().unwrap();
    let mut flipped = whole.clone();
    flipped[offset + bytes / 2] ^= 0x55;
    for (what, content) in [
        ("a flipped byte", Some(flipped)),
        ("a cut", Some(whole[..offset + bytes - 9].to_vec())),
        ("an empty file", Some(Vec::new())),
        ("no file", None),
    ] {
        match content {
            Some(content) => std::fs::write(&file, content).unwrap(),
            None => std::fs::remove_file(&file).unwrap(),
        }
        let error = reader.body(&url(PAGE), None).await.unwrap_err();
        assert!(
            matches!(error, StoreError::Damaged { .. }),
            "{what}: {error:?}"
        );
        assert!(
            error.to_string().contains("neap-000001-00001.warc.gz"),
            "{what}: {error}"
        );
    }
}

#[tokio::test]
async fn a_full_segment_is_followed_by_another() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("neap.db");
    let store = neap_store::SqliteStore::open(&path, neap_store::Access::Create)
        .await
        .unwrap();
    let urls: Vec<_> = (0..5).map(|n| format!("http://a.example/{n}")).collect();
    let urls: Vec<_> = urls.iter().map(String::as_str).collect();
    let job_id = submit(&store, "shop", &urls).await.job_id;
    let settings = Settings {
        segment_bytes: 2000,
        ..Settings::default()
    };
    let mut crawl = Crawl::begin(directory, store, settings).await;
    for row in crawl.ready(job_id).await {
        let mut record = done(&row, 200);
        record.segment = records(&row.url, &exchange(&[], row.url.as_str().as_bytes()), NOW);
        crawl.fetch(record).await;
    }
    let reader = Reader::open(&path).await.unwrap();
    for page in urls {
        let body = reader.body(&url(page), None).await.unwrap().unwrap();
        assert_eq!(body.payload, page.as_bytes());
    }
    let rows = crawl
        .query("SELECT count(*), sum(sealed_ms IS NULL) FROM segments")
        .await;
    assert!(rows[0][0].parse::<u32>().unwrap() >= 2, "{rows:?}");
    assert_eq!(rows[0][1], "1");
    let _directory = crawl.close().await;
    let open = crate::support::query(
        &path,
        "SELECT count(*) FROM segments WHERE sealed_ms IS NULL",
    )
    .await;
    assert_eq!(open, [["0"]]);
}

#[tokio::test]
async fn what_is_asked_for_again_leaves_no_body() {
    let (mut crawl, job_id) = crawl(&[PAGE]).await;
    let row = crawl.find(job_id, PAGE).await;
    let mut record = crate::support::retry(&row, 10, true);
    record.page = done(&row, 502).page;
    record.segment = records(&row.url, &exchange(&[], b"bad gateway"), NOW);
    crawl.fetch(record).await;
    let rows = crawl
        .query("SELECT (SELECT count(*) FROM pages), (SELECT count(*) FROM segments)")
        .await;
    assert_eq!(rows, [["0", "0"]]);
}

#[test]
fn no_answer_has_no_records() {
    let mut failed = exchange(&[], b"");
    let detail = "reset by peer".to_owned();
    failed.result = Err(Failure {
        kind: FailureKind::Reset,
        status: None,
        detail,
    });
    assert_eq!(records(&url(PAGE), &failed, NOW), None);
}

#[tokio::test]
async fn warcio_finds_every_record_and_every_digest_right() {
    let has_warcio = Process::new("python3")
        .args(["-c", "import warcio"])
        .output();
    if !has_warcio.is_ok_and(|output| output.status.success()) {
        eprintln!("not checked: python3 with the module warcio was not found");
        return;
    }
    let pages = [
        PAGE,
        "http://a.example/empty",
        "http://a.example/long",
        "http://a.example/twice",
    ];
    let (mut crawl, job_id) = crawl(&pages).await;
    let long = b"<p>hello".repeat(1000);
    for (row, payload) in
        crawl
            .ready(job_id)
            .await
            .iter()
            .zip([&b"<p>hello"[..], b"", &long, &long])
    {
        let mut record = done(row, 200);
        let headers = [
            ("content-type", "text/html"),
            ("transfer-encoding", "chunked"),
            ("x", "\u{fc}"),
        ];
        let exchange = exchange(&headers, payload);
        record.segment = crawl.writer.pack(&row.url, &exchange, NOW, true);
        crawl.fetch(record).await;
    }
    let path = crawl.path();
    let _directory = crawl.close().await;
    let file = directory_of(&path).join("neap-000001-00001.warc.gz");
    let warcio = |arguments: &[&str]| {
        let run = "import sys; from warcio.cli import main; main(sys.argv[1:])";
        let output = Process::new("python3")
            .args(["-c", run])
            .args(arguments)
            .arg(&file)
            .output();
        let output = output.unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "{text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        text
    };
    let checked = warcio(&["check", "-v"]);
    assert!(
        !checked.contains("fail") && checked.contains("digest pass"),
        "{checked}"
    );
    let index = warcio(&[
        "index",
        "-f",
        "warc-type,warc-target-uri,http:status,http:content-length",
    ]);
    let kind = |kind: &str| index.matches(&format!("\"warc-type\": \"{kind}\"")).count();
    let kinds = ["warcinfo", "response", "revisit", "request", "metadata"].map(kind);
    assert_eq!(kinds, [1, 3, 1, 4, 4], "{index}");
    assert!(
        index.contains("\"http:status\": \"200\", \"http:content-length\": \"8\""),
        "{index}"
    );
}

#[tokio::test]
async fn a_body_is_found_by_the_url_of_any_of_its_redirects() {
    let (mut crawl, first) = crawl(&["http://a.example/old"]).await;
    for round in ["first", "second"] {
        let job = match round {
            "first" => first,
            _ => {
                submit(&crawl.store, "shop", &["http://a.example/old"])
                    .await
                    .job_id
            }
        };
        let old = crawl.find(job, "http://a.example/old").await;
        let to = |to| redirect(&old, to, RedirectVerdict::Follow);
        crawl.fetch(to("http://b.example/moved")).await;
        let moved = crawl.find(job, "http://b.example/moved").await;
        crawl
            .fetch(redirect(&moved, PAGE, RedirectVerdict::Follow))
            .await;
        let page = crawl.find(job, PAGE).await;
        let mut record = done(&page, 200);
        record.segment = records(&page.url, &exchange(&[], round.as_bytes()), NOW);
        crawl.fetch(record).await;
    }
    let reader = Reader::open(&crawl.path()).await.unwrap();
    for page in ["http://a.example/old", "http://b.example/moved", PAGE] {
        for (job, round) in [(None, "second"), (Some(first), "first")] {
            let body = reader.body(&url(page), job).await.unwrap();
            let body = body.unwrap_or_else(|| panic!("{page} is not stored"));
            assert_eq!(body.payload, round.as_bytes(), "{page}");
        }
    }
    // A newer round that has not come to the page does not hide it.
    let third = submit(&crawl.store, "shop", &["http://a.example/old"]).await;
    let body = reader.body(&url("http://a.example/old"), None).await;
    assert_eq!(body.unwrap().unwrap().payload, "second");
    let body = reader.body(&url(PAGE), Some(third.job_id)).await.unwrap();
    assert!(body.is_none());
}

#[tokio::test]
async fn bodies_that_wait_to_be_written_have_a_bound() {
    let (crawl, job_id) = crawl(&[PAGE]).await;
    let holder = sqlx::sqlite::SqliteConnectOptions::new().filename(crawl.path());
    let mut holder = holder.connect().await.unwrap();
    sqlx::query("BEGIN IMMEDIATE")
        .execute(&mut holder)
        .await
        .unwrap();
    // None of these is in flight, so that none is written.
    let command = |mib: usize| {
        let row = Ready {
            request: RequestId(999),
            job: job_id,
            host: HostId(1),
            url: url(PAGE),
            position: Position::START,
            depth: 0,
            hops: 0,
            charged: 0,
            deferrals: 0,
            lost: 0,
            earlier: 0,
        };
        let mut record = done(&row, 200);
        record.segment = records(&row.url, &exchange(&[], b""), NOW);
        record.segment.as_mut().unwrap().bytes = vec![0; mib << 20];
        Command::Record(Box::new(record))
    };
    for _ in 0..4 {
        let sent = crawl.writer.send(command(16)).now_or_never();
        assert!(sent.is_some(), "64 MiB have room");
    }
    let fifth = crawl.writer.send(command(16)).now_or_never();
    assert!(fifth.is_none(), "nothing is committed, and 64 MiB wait");
    let small = crawl.writer.send(command(0)).now_or_never();
    assert!(small.is_some(), "what holds nothing waits for nobody");
    sqlx::query("ROLLBACK").execute(&mut holder).await.unwrap();

    // More senders than there is room for, some with more than all of it: everyone has their turn.
    let senders = [1, 40, 70, 100, 33].map(|mib| {
        let writer = crawl.writer.clone();
        let commands: Vec<_> = (0..4).map(|_| command(mib)).collect();
        tokio::spawn(async move {
            for command in commands {
                writer.send(command).await.unwrap();
            }
        })
    });
    for sender in senders {
        sender.await.unwrap();
    }
    let mut crawl = crawl;
    for _ in 0..4 + 1 + 20 {
        let Event::Recorded(recorded) = crawl.event().await else {
            panic!("recorded")
        };
        assert!(!recorded.was_in_flight);
    }
    let _directory = crawl.close().await;
}
