//! What the next run makes of what a dead one left.

use std::io::Write;

use neap_core::Epoch;
use neap_store::{Command, Event, Recovered, StoreError};

use crate::support::{crawl, done, exchange, retry, url};

const HOST: &str = "http://a.example/";

#[tokio::test]
async fn what_was_in_flight_is_ready_again_and_not_charged() {
    let (mut first, job_id) = crawl(&[HOST, "http://a.example/2"]).await;
    let rows = first.ready(job_id).await;
    first.lease(rows[0].request, false).await;
    let mut second = first.killed().await;
    assert_eq!(second.run.epoch, Epoch(2));
    assert_eq!(
        second.run.recovered,
        Recovered {
            lost: 1,
            ..Recovered::default()
        }
    );
    let row = second.find(job_id, HOST).await;
    assert_eq!((row.charged, row.deferrals, row.lost), (0, 0, 1));
    let attempts = second
        .query("SELECT cause, fault, is_charged, number, epoch FROM attempts")
        .await;
    assert_eq!(attempts, [["lost", "own_network", "0", "1", "1"]]);
    let runs = second.query("SELECT epoch, ending FROM runs").await;
    assert_eq!(runs, [["1", "lost"], ["2", "-"]]);
    second.assert_counters().await;
    assert!(second.fetch(done(&row, 200)).await);
}

#[tokio::test]
async fn a_request_that_kills_its_run_three_times_alone_is_quarantined() {
    let (mut crawl, job_id) = crawl(&[HOST, "http://a.example/2"]).await;
    let other = crawl.find(job_id, "http://a.example/2").await;
    for lost in 0..3 {
        // Company in flight proves nothing, however often.
        crawl.lease(other.request, false).await;
        let row = crawl.find(job_id, HOST).await;
        assert_eq!(row.lost, lost);
        assert_eq!(crawl.run.recovered.quarantined, 0);
        crawl.lease(row.request, true).await;
        crawl = crawl.killed().await;
    }
    assert_eq!(crawl.run.recovered.quarantined, 1);
    assert_eq!(crawl.ready(job_id).await.len(), 1);
    let failures = crawl
        .query("SELECT url, cause, attempts FROM failures")
        .await;
    assert_eq!(failures, [[HOST, "quarantined", "3"]]);
    crawl.assert_counters().await;
}

#[tokio::test]
async fn a_superseded_run_writes_nothing() {
    let (mut first, job_id) = crawl(&[HOST]).await;
    let row = first.find(job_id, HOST).await;
    first.lease(row.request, false).await;
    drop(first.lock.take());
    let lock = first.store.lock(crate::support::NOW).await.unwrap();
    let second = first
        .store
        .begin_run(&lock, crate::support::NOW)
        .await
        .unwrap();
    assert_eq!(second.epoch, Epoch(2));
    first.send(Command::Record(Box::new(done(&row, 200)))).await;
    let event = first.events.recv().await.unwrap();
    let Event::Broken(StoreError::Superseded {
        epoch: 1,
        newest: 2,
    }) = event
    else {
        panic!("{event:?}")
    };
    assert!(matches!(
        first.writer.send(Command::Close).await,
        Err(StoreError::Stopped)
    ));
    let rows = first
        .query("SELECT state_name, (SELECT count(*) FROM pages) FROM requests")
        .await;
    assert_eq!(rows, [["ready", "0"]]);
}

#[tokio::test]
async fn a_torn_segment_is_cut_to_what_is_committed() {
    let (mut crawl, job_id) = crawl(&[HOST, "http://a.example/2"]).await;
    let row = crawl.find(job_id, HOST).await;
    let mut record = done(&row, 200);
    record.segment =
        neap_store::segments::records(&row.url, &exchange(&[], b"hello"), crate::support::NOW);
    crawl.fetch(record).await;
    let directory = neap_store::segments::directory_of(&crawl.path());
    let file = directory.join("neap-000001-00001.warc.gz");
    let committed = std::fs::metadata(&file).unwrap().len();
    let mut torn = std::fs::OpenOptions::new()
        .append(true)
        .open(&file)
        .unwrap();
    torn.write_all(b"\x1f\x8b half a member").unwrap();

    let mut crawl = crawl.killed().await;
    assert_eq!(crawl.run.recovered.truncated_segments, 1);
    assert_eq!(std::fs::metadata(&file).unwrap().len(), committed);
    let sealed = crawl
        .query("SELECT file_bytes, sealed_ms IS NOT NULL FROM segments")
        .await;
    assert_eq!(sealed, [[committed.to_string(), "1".to_owned()]]);
    let row = crawl.find(job_id, "http://a.example/2").await;
    let mut record = done(&row, 200);
    record.segment =
        neap_store::segments::records(&row.url, &exchange(&[], b"again"), crate::support::NOW);
    crawl.fetch(record).await;
    assert!(directory.join("neap-000002-00001.warc.gz").exists());
    let reader = neap_store::Reader::open(&crawl.path()).await.unwrap();
    for (page, body) in [(HOST, "hello"), ("http://a.example/2", "again")] {
        let stored = reader.body(&url(page), None).await.unwrap().unwrap();
        assert_eq!(stored.payload, body.as_bytes());
    }
}

#[tokio::test]
async fn a_clean_end_leaves_nothing_to_recover() {
    let (mut crawl, job_id) = crawl(&[HOST]).await;
    let row = crawl.find(job_id, HOST).await;
    crawl.fetch(retry(&row, 500, false)).await;
    let (store, lock) = (crawl.store.clone(), crawl.lock.take());
    let directory = crawl.close().await;
    drop(lock);
    let wal = directory.path().join("neap.db-wal");
    assert!(
        std::fs::metadata(wal).map_or(0, |wal| wal.len()) == 0,
        "the log is emptied"
    );
    let mut next = crate::support::Crawl::begin(directory, store, Default::default()).await;
    assert_eq!(next.run.recovered, Recovered::default());
    assert!(next.ready(job_id).await.is_empty());
    let runs = next.query("SELECT ending FROM runs ORDER BY epoch").await;
    assert_eq!(runs, [["closed"], ["-"]]);
    next.send(Command::Promote {
        now: neap_core::UnixMs(i64::MAX),
        most: 1,
    })
    .await;
    let Event::Promoted(rows) = next.answer().await else {
        panic!("promoted")
    };
    assert_eq!(rows[0].deferrals, 1);
}

#[tokio::test]
async fn a_long_log_is_checkpointed_beside_the_writer_and_stays_bounded() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("neap.db");
    let store = neap_store::SqliteStore::open(&path, neap_store::Access::Create)
        .await
        .unwrap();
    let urls: Vec<_> = (0..1500).map(|n| format!("http://a.example/{n}")).collect();
    let urls: Vec<_> = urls.iter().map(String::as_str).collect();
    let job_id = crate::support::submit(&store, "shop", &urls).await.job_id;
    let settings = neap_store::Settings {
        wal_bytes: 256 << 10,
        ..Default::default()
    };
    let mut crawl = crate::support::Crawl::begin(directory, store, settings).await;
    let host = crawl.ready(job_id).await[0].host;
    let wal = path.with_file_name("neap.db-wal");
    let mut longest = 0;
    let rows = crawl
        .refill(job_id, host, neap_store::Position::START, 1500)
        .await
        .0;
    assert_eq!(rows.len(), 1500);
    for row in &rows {
        crawl.fetch(done(row, 200)).await;
        longest = longest.max(std::fs::metadata(&wal).unwrap().len());
    }
    // A log that is never emptied has 20 MB after these commits; with a checkpoint at each it would not reach
    // the limit.
    assert!(
        longest > 256 << 10,
        "{longest} bytes: checkpointed before it was due"
    );
    assert!(longest < 8 << 20, "{longest} bytes: not checkpointed");
}

#[tokio::test]
async fn segment_files_without_a_commit_are_removed_and_nothing_else() {
    let (mut crawl, job_id) = crawl(&[HOST]).await;
    let row = crawl.find(job_id, HOST).await;
    let mut record = done(&row, 200);
    record.segment =
        neap_store::segments::records(&row.url, &exchange(&[], b"hello"), crate::support::NOW);
    crawl.fetch(record).await;
    let directory = neap_store::segments::directory_of(&crawl.path());
    let kept = [
        "neap-000001-00001.warc.gz",
        "neap-notes-00001.warc.gz",
        "neap-000001-00002.warc.gz.bak",
        "other-000001-00002.warc.gz",
        "neap-1-2.warc.gz",
    ];
    for name in &kept[1..] {
        std::fs::write(directory.join(name), b"somebody's").unwrap();
    }
    std::fs::create_dir(directory.join("neap-000001-00003.warc.gz")).unwrap();
    std::fs::write(directory.join("neap-000001-00002.warc.gz"), b"torn").unwrap();
    let crawl = crawl.killed().await;
    assert_eq!(crawl.run.recovered.removed_segments, 1);
    assert!(!directory.join("neap-000001-00002.warc.gz").exists());
    assert!(directory.join("neap-000001-00003.warc.gz").is_dir());
    for name in kept {
        assert!(directory.join(name).exists(), "{name}");
    }
}
