//! What is stored of a payload that was stored before?

use neap_core::JobId;
use neap_core::exchange::Exchange;
use neap_store::segments::directory_of;
use neap_store::{Command, Reader, Ready};

use crate::support::{Crawl, NOW, crawl, done, exchange, linking, submit, url};

/// A payload that is long enough to be looked for again.
fn payload(seed: u8) -> Vec<u8> {
    vec![seed; 2000]
}

/// Fetches a page as a worker does.
async fn get(crawl: &mut Crawl, row: &Ready, exchange: &Exchange) {
    let mut record = done(row, 200);
    record.page.as_mut().unwrap().body_bytes = 2000;
    record.segment = crawl.writer.pack(&row.url, exchange, NOW, true);
    assert!(crawl.fetch(record).await);
}

async fn body_of(crawl: &Crawl, page: &str, job: JobId) -> neap_store::StoredBody {
    let reader = Reader::open(&crawl.path()).await.unwrap();
    reader.body(&url(page), Some(job)).await.unwrap().unwrap()
}

/// The records of a file, as text: heads and small blocks are stored uncompressed or are inflated here.
fn records_of(crawl: &Crawl, file: &str) -> String {
    let bytes = std::fs::read(directory_of(&crawl.path()).join(file)).unwrap();
    let mut text = Vec::new();
    std::io::Read::read_to_end(
        &mut flate2::read::MultiGzDecoder::new(&bytes[..]),
        &mut text,
    )
    .unwrap();
    String::from_utf8_lossy(&text).into_owned()
}

#[tokio::test]
async fn a_payload_met_again_is_stored_once_and_comes_back_for_each_page() {
    let pages = [
        "http://a.example/1",
        "http://a.example/2",
        "http://b.example/3",
    ];
    let (mut crawl, job_id) = crawl(&pages).await;
    for (n, page) in pages.iter().enumerate() {
        let row = crawl.find(job_id, page).await;
        let number = n.to_string();
        let headers = [("content-type", "text/html"), ("x-number", number.as_str())];
        get(&mut crawl, &row, &exchange(&headers, &payload(7))).await;
    }
    let rows = crawl
        .query(
            "SELECT count(*), count(original_id), count(DISTINCT original_id),
             count(DISTINCT payload_sha1), (SELECT url FROM originals) FROM pages",
        )
        .await;
    assert_eq!(rows, [["3", "2", "1", "1", pages[0]]]);
    for (n, page) in pages.iter().enumerate() {
        let body = body_of(&crawl, page, job_id).await;
        assert!(body.payload == payload(7), "{page}");
        assert!(
            body.head.contains(&format!("x-number: {n}")),
            "{}",
            body.head
        );
    }
    let text = records_of(&crawl, "neap-000001-00001.warc.gz");
    let count = |what: &str| text.matches(what).count();
    assert_eq!(count("WARC-Type: response\r\n"), 1);
    assert_eq!(count("WARC-Type: revisit\r\n"), 2);
    assert_eq!(count("WARC-Type: metadata\r\n"), 3);
    assert_eq!(
        count("WARC-Refers-To-Target-URI: http://a.example/1\r\nWARC-Refers-To-Date: 2026-01-01T"),
        2
    );
}

#[tokio::test]
async fn short_payloads_and_others_of_the_same_length_are_stored_each() {
    let pages = [
        "http://a.example/1",
        "http://a.example/2",
        "http://a.example/3",
    ];
    let (mut crawl, job_id) = crawl(&pages).await;
    for (page, payload) in pages.iter().zip([payload(1), payload(2), vec![1; 1023]]) {
        let row = crawl.find(job_id, page).await;
        get(&mut crawl, &row, &exchange(&[], &payload)).await;
        assert!(body_of(&crawl, page, job_id).await.payload == payload);
    }
    let rows = crawl.query("SELECT count(original_id) FROM pages").await;
    assert_eq!(rows, [["0"]]);
}

#[tokio::test]
async fn a_later_round_stores_only_what_changed() {
    let pages = ["http://a.example/same", "http://a.example/changed"];
    let (mut crawl, first) = crawl(&pages).await;
    for page in pages {
        let row = crawl.find(first, page).await;
        let seed = if page.ends_with("same") { 1 } else { 2 };
        get(&mut crawl, &row, &exchange(&[], &payload(seed))).await;
    }
    crawl.send(Command::FinishJob { job: first }).await;
    crawl.answer().await;
    // Each of these runs knows nothing but what the tables say.
    let mut rounds = vec![first];
    for _ in 0..2 {
        let next = submit(&crawl.store, "shop", &pages).await.job_id;
        crawl = crawl.killed().await;
        for page in pages {
            let row = crawl.find(next, page).await;
            let seed = match page.ends_with("same") {
                true => 1,
                false => 10 + u8::try_from(next.0).unwrap(),
            };
            get(&mut crawl, &row, &exchange(&[], &payload(seed))).await;
        }
        crawl.send(Command::FinishJob { job: next }).await;
        crawl.answer().await;
        rounds.push(next);
    }
    let rows = crawl
        .query(
            "SELECT r.job_id, r.url, o.segment_id, o.url FROM pages p JOIN requests r USING (request_id)
             JOIN originals o USING (original_id) ORDER BY r.job_id",
        )
        .await;
    let same = pages[0].to_owned();
    let expected = rounds[1..].iter().map(|round| {
        let segment = "1".to_owned();
        vec![round.0.to_string(), same.clone(), segment, same.clone()]
    });
    assert_eq!(rows, expected.collect::<Vec<_>>());
    for round in rounds {
        assert!(body_of(&crawl, pages[0], round).await.payload == payload(1));
    }
}

#[tokio::test]
async fn what_was_not_committed_is_nobodys_original() {
    let (mut crawl, job_id) = crawl(&["http://a.example/1", "http://a.example/2"]).await;
    let row = crawl.find(job_id, "http://a.example/1").await;
    let mut record = crate::support::retry(&row, 10, true);
    record.page = done(&row, 502).page;
    let packed = |crawl: &Crawl, row: &Ready| {
        let exchange = exchange(&[], &payload(1));
        crawl.writer.pack(&row.url, &exchange, NOW, false)
    };
    record.segment = packed(&crawl, &row);
    crawl.fetch(record).await;
    // The answer that was not the last word left no record, so this one is no revisit.
    let row = crawl.find(job_id, "http://a.example/2").await;
    let mut record = done(&row, 200);
    record.segment = packed(&crawl, &row);
    crawl.fetch(record).await;
    let body = body_of(&crawl, "http://a.example/2", job_id).await;
    assert!(body.payload == payload(1));
    let rows = crawl.query("SELECT count(original_id) FROM pages").await;
    assert_eq!(rows, [["0"]]);
}

#[tokio::test]
async fn metadata_names_the_page_that_led_there() {
    let (mut crawl, job_id) = crawl(&["http://a.example/"]).await;
    let row = crawl.find(job_id, "http://a.example/").await;
    let mut record = linking(&row, &["http://a.example/linked"]);
    record.segment = crawl
        .writer
        .pack(&row.url, &exchange(&[], b"top"), NOW, true);
    crawl.fetch(record).await;
    let row = crawl.find(job_id, "http://a.example/linked").await;
    get(&mut crawl, &row, &exchange(&[], b"linked")).await;
    let text = records_of(&crawl, "neap-000001-00001.warc.gz");
    assert!(
        text.contains("via: http://a.example/\r\nlinksFromInput: 1\r\nredirects: 0\r\n"),
        "{text}"
    );
    assert_eq!(text.matches("via: ").count(), 1, "{text}");
}
