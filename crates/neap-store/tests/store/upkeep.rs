//! Is a store looked through, measured, copied and cleared as it should be, also while a run goes on?

use std::time::Duration;

use neap_core::{JobId, UnixMs};
use neap_store::segments::directory_of;
use neap_store::{Access, Command, GcRule, PartKind, Reader, SqliteStore, StoreError};
use sqlx::ConnectOptions;

use crate::support::{Crawl, NOW, crawl, done, exchange, linking, query, submit, url};

const PAGES: [&str; 3] = [
    "http://a.example/1",
    "http://a.example/2",
    "http://b.example/3",
];

/// A body of some length, the same for the same seed.
fn payload(seed: u8) -> Vec<u8> {
    (0..3000u32).map(|n| ((n * n) >> 3) as u8 ^ seed).collect()
}

/// Fetches all pages of a job, each with a body of its own but those of `seed` 0, and finishes it.
async fn fetch_all(crawl: &mut Crawl, job: JobId, seed: u8) {
    for (n, row) in crawl.ready(job).await.iter().enumerate() {
        let body = payload(if seed == 0 { 0 } else { seed + n as u8 });
        let mut record = linking(row, &[]);
        record.page.as_mut().unwrap().body_bytes = 3000;
        record.segment = crawl
            .writer
            .pack(&row.url, &exchange(&[], &body), NOW, true);
        assert!(crawl.fetch(record).await);
    }
    crawl.send(Command::FinishJob { job }).await;
    crawl.answer().await;
}

/// Statements that no neap would do.
async fn spoil(path: &std::path::Path, sql: &'static str) {
    let mut connection = sqlx::sqlite::SqliteConnectOptions::new()
        .filename(path)
        .foreign_keys(false)
        .connect()
        .await
        .unwrap();
    sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
}

async fn findings(path: &std::path::Path) -> (u64, String) {
    let check = Reader::open(path).await.unwrap().check(true).await.unwrap();
    let told: Vec<_> = check
        .findings
        .iter()
        .map(|found| found.what.as_str())
        .collect();
    (check.damages, told.join("\n"))
}

#[tokio::test]
async fn a_store_that_is_whole_is_found_whole_while_and_after_a_run() {
    let (mut crawl, job) = crawl(&PAGES).await;
    fetch_all(&mut crawl, job, 0).await;
    let reader = Reader::open(&crawl.path()).await.unwrap();
    let check = reader.check(true).await.unwrap();
    assert_eq!((check.damages, &check.findings[..]), (0, &[][..]));
    // Three records of pages, and the original that two of them refer to.
    assert_eq!((check.rounds, check.segments, check.bodies), (1, 1, 4));
    let path = crawl.path();
    let _directory = crawl.close().await;
    assert_eq!(findings(&path).await, (0, String::new()));
}

#[tokio::test]
async fn what_is_wrong_is_named_with_its_place() {
    for (sql, expected) in [
        (
            "UPDATE jobs SET done = done + 1",
            "counters differ from the rows of shop, round 1: ready 0 and 0",
        ),
        (
            "DELETE FROM pages WHERE request_id = 1",
            "done requests that have no page: 1 of shop, round 1",
        ),
        (
            "UPDATE requests SET state = 0 WHERE request_id = 2; UPDATE jobs SET ready = 1, done = 2",
            "open requests that have a page already: 1 of shop, round 1, such as http://a.example/2",
        ),
        (
            "UPDATE attempts SET request_id = 999",
            "3 rows of attempts refer to rows of requests that are not there",
        ),
        (
            "UPDATE pages SET segment_offset = 1000000000",
            "3 bodies lie beyond the end of neap-000001-00001.warc.gz",
        ),
        (
            "UPDATE pages SET payload_sha1 = zeroblob(20)",
            "the payload is not the one that was stored",
        ),
        (
            "UPDATE pages SET segment_offset = segment_offset + 1",
            "neap-000001-00001.warc.gz",
        ),
    ] {
        let (mut crawl, job) = crawl(&PAGES).await;
        fetch_all(&mut crawl, job, 1).await;
        let path = crawl.path();
        let _directory = crawl.close().await;
        spoil(&path, sql).await;
        let (damages, told) = findings(&path).await;
        assert!(
            damages > 0 && told.contains(expected),
            "{sql}: {damages} damages: {told}"
        );
    }
}

#[tokio::test]
async fn files_that_are_cut_flipped_gone_or_too_long_are_told_apart() {
    let (mut crawl, job) = crawl(&PAGES).await;
    fetch_all(&mut crawl, job, 1).await;
    let path = crawl.path();
    let _directory = crawl.close().await;
    let file = directory_of(&path).join("neap-000001-00001.warc.gz");
    let whole = std::fs::read(&file).unwrap();
    let mut flipped = whole.clone();
    let middle = whole.len() / 2;
    flipped[middle] ^= 1;
    for (what, content, expected) in [
        (
            "cut",
            whole[..middle].to_vec(),
            "are committed: the bodies behind are lost",
        ),
        ("flipped", flipped, "the body cannot be read from"),
        (
            "longer",
            [&whole[..], b"tail"].concat(),
            "though it was ended with",
        ),
    ] {
        std::fs::write(&file, content).unwrap();
        let (damages, told) = findings(&path).await;
        assert!(damages > 0 && told.contains(expected), "{what}: {told}");
    }
    std::fs::remove_file(&file).unwrap();
    let (damages, told) = findings(&path).await;
    assert!(damages > 0 && told.contains("No such file"), "{told}");
    std::fs::write(&file, whole).unwrap();
    std::fs::write(file.with_file_name("neap-000009-00001.warc.gz"), "stray").unwrap();
    let (damages, told) = findings(&path).await;
    assert!(
        damages == 0 && told.contains("is not known to the store"),
        "{told}"
    );
}

#[tokio::test]
async fn a_tail_that_a_kill_left_is_no_damage() {
    let (mut crawl, job) = crawl(&PAGES).await;
    fetch_all(&mut crawl, job, 1).await;
    let file = directory_of(&crawl.path()).join("neap-000001-00001.warc.gz");
    let mut content = std::fs::read(&file).unwrap();
    content.extend_from_slice(b"torn");
    std::fs::write(&file, content).unwrap();
    let (damages, told) = findings(&crawl.path()).await;
    assert!(
        damages == 0 && told.contains("4 bytes that are not committed"),
        "{told}"
    );
    let crawl = crawl.killed().await;
    assert_eq!(findings(&crawl.path()).await, (0, String::new()));
}

#[tokio::test]
async fn every_table_and_index_has_its_rows_and_bytes() {
    let (mut crawl, job) = crawl(&PAGES).await;
    fetch_all(&mut crawl, job, 1).await;
    let parts = Reader::open(&crawl.path())
        .await
        .unwrap()
        .stats()
        .await
        .unwrap();
    let part = |name: &str| parts.iter().find(|part| part.name == name).unwrap();
    for (name, kind, rows) in [
        ("requests", PartKind::Table, 3),
        ("pages", PartKind::Table, 3),
        ("sqlite_autoindex_requests_1", PartKind::Index, 3),
        ("requests_ready", PartKind::Index, 0),
        ("attempts_request", PartKind::Index, 3),
        ("neap.segments", PartKind::Segments, 1),
    ] {
        let found = part(name);
        assert_eq!((found.kind, found.rows), (kind, Some(rows)), "{name}");
        assert!(found.bytes > 0, "{name}");
    }
    assert_eq!(part("requests_ready").table.as_deref(), Some("requests"));
    assert!(part("neap.db-wal").bytes > 0, "a run goes on");
}

#[tokio::test]
async fn a_copy_is_whole_while_a_run_writes_and_never_takes_the_place_of_a_file() {
    let (mut crawl, job) = crawl(&PAGES).await;
    fetch_all(&mut crawl, job, 1).await;
    let copy = crawl.directory.path().join("copy.db");
    let reader = Reader::open(&crawl.path()).await.unwrap();
    reader.copy_to(&copy, false).await.unwrap();
    let rows = query(&copy, "SELECT count(*) FROM results").await;
    assert_eq!(rows, [["3"]]);
    std::fs::write(&copy, "mine").unwrap();
    let error = reader.copy_to(&copy, false).await.unwrap_err();
    assert!(matches!(error, StoreError::Exists { .. }), "{error:?}");
    assert_eq!(std::fs::read_to_string(&copy).unwrap(), "mine");
    reader.copy_to(&copy, true).await.unwrap();
    let opened = SqliteStore::open(&copy, Access::Existing).await.unwrap();
    assert_eq!(opened.jobs().await.unwrap().len(), 1);
    let nowhere = crawl.directory.path().join("no/such/copy.db");
    assert!(reader.copy_to(&nowhere, false).await.is_err());
    let names = std::fs::read_dir(crawl.directory.path()).unwrap();
    let drafts = names.filter(|entry| {
        let name = entry.as_ref().unwrap().file_name();
        name.to_string_lossy().contains(".new-")
    });
    assert_eq!(drafts.count(), 0);
}

#[tokio::test]
async fn vacuum_and_gc_wait_for_no_run_but_are_refused() {
    let (crawl, _) = crawl(&PAGES).await;
    let error = crawl
        .store
        .lock_for("neap db vacuum", NOW)
        .await
        .unwrap_err();
    assert!(matches!(error, StoreError::Held { .. }), "{error:?}");
    let path = crawl.path();
    let store = crawl.store.clone();
    let directory = crawl.close().await;
    // The lock goes with the run; this is another one.
    let lock = store.lock_for("neap db vacuum", NOW).await.unwrap();
    let error = store.lock(NOW).await.unwrap_err();
    assert!(
        error.to_string().contains("neap db vacuum, process "),
        "{error}"
    );
    store.vacuum(&lock).await.unwrap();
    assert_eq!(query(&path, "SELECT count(*) FROM requests").await, [["3"]]);
    assert_eq!(
        SqliteStore::version_at(&path).await.unwrap(),
        neap_store::STORE_VERSION
    );
    drop(directory);
}

/// A store with three rounds of a job, of which the second and third share bodies with the first, and one
/// round of another that is not finished.
async fn rounds() -> (Crawl, Vec<JobId>) {
    let (mut crawl, first) = crawl(&PAGES).await;
    fetch_all(&mut crawl, first, 10).await;
    let mut rounds = vec![first];
    for seed in [20, 10] {
        let next = submit(&crawl.store, "shop", &PAGES).await.job_id;
        crawl = crawl.killed().await;
        fetch_all(&mut crawl, next, seed).await;
        rounds.push(next);
    }
    submit(&crawl.store, "other", &["http://c.example/"]).await;
    (crawl, rounds)
}

const ONE: GcRule = GcRule {
    keep_rounds: 1,
    over_before: None,
    only_bodies: false,
};

#[tokio::test]
async fn gc_removes_old_rounds_and_the_files_that_nothing_refers_to() {
    let (crawl, rounds) = rounds().await;
    let path = crawl.path();
    let store = crawl.store.clone();
    let _directory = crawl.close().await;
    spoil(
        &path,
        "INSERT INTO inputs SELECT request_id, '{}' FROM requests;
         INSERT INTO input_files SELECT job_id, 'urls.txt', 1, 1 FROM jobs;
         INSERT INTO skips (job_id, reason, parent_id, url) SELECT job_id, 0, request_id, url FROM requests;
         INSERT INTO skip_counts SELECT job_id, 0, count(*), count(*) FROM skips GROUP BY 1;",
    )
    .await;
    let reader = Reader::open(&path).await.unwrap();
    let doomed = reader.doomed(ONE).await.unwrap();
    let ids: Vec<_> = doomed.iter().map(|round| round.job_id).collect();
    assert_eq!(ids, rounds[..2], "the newest and the unfinished stay");
    let planned = reader.would_remove(&doomed).await.unwrap();

    let lock = store.lock_for("neap gc", NOW).await.unwrap();
    let mut told = Vec::new();
    let removed = store
        .remove(&lock, &doomed, ONE, |requests| told.push(requests))
        .await
        .unwrap();
    assert_eq!((removed, &told[..]), (planned, &[6][..]));
    assert_eq!((removed.rounds, removed.requests), (2, 6));
    let left = query(
        &path,
        "SELECT (SELECT count(*) FROM requests), (SELECT count(*) FROM attempts),
           (SELECT count(*) FROM pages), (SELECT count(*) FROM jobs), (SELECT count(*) FROM inputs),
           (SELECT count(*) FROM input_files), (SELECT count(*) FROM skips)",
    )
    .await;
    assert_eq!(left, [["4", "3", "3", "2", "4", "2", "4"]]);
    let names = std::fs::read_dir(directory_of(&path)).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let files = names.filter(|name| name.ends_with(".warc.gz")).count();
    let rows = query(&path, "SELECT count(*) FROM segments").await;
    assert_eq!(rows, [[files.to_string()]]);
    assert_eq!(findings(&path).await, (0, String::new()));
    for (n, page) in PAGES.iter().enumerate() {
        let body = reader.body(&url(page), None).await.unwrap().unwrap();
        assert!(body.payload == payload(10 + n as u8), "{page}");
    }
}

#[tokio::test]
async fn a_gc_that_is_cut_off_leaves_counters_that_fit_and_goes_on_later() {
    let (crawl, _) = rounds().await;
    let path = crawl.path();
    let store = crawl.store.clone();
    let _directory = crawl.close().await;
    let reader = Reader::open(&path).await.unwrap();
    let doomed = reader.doomed(ONE).await.unwrap();
    let lock = store.lock_for("neap gc", NOW).await.unwrap();
    let cut_off = {
        let (store, doomed) = (store.clone(), doomed.clone());
        tokio::spawn(async move {
            let stop = |_| panic!("as a kill does");
            store.remove(&lock, &doomed, ONE, stop).await.map(drop)
        })
    };
    assert!(cut_off.await.unwrap_err().is_panic());
    assert_eq!(findings(&path).await, (0, String::new()));
    let lock = store.lock_for("neap gc", NOW).await.unwrap();
    let left = reader.doomed(ONE).await.unwrap();
    assert_eq!(
        left.len(),
        doomed.len(),
        "the rounds are there, without requests"
    );
    let removed = store.remove(&lock, &left, ONE, |_| {}).await.unwrap();
    assert!(removed.segments > 0);
    assert_eq!(query(&path, "SELECT count(*) FROM jobs").await, [["2"]]);
    assert_eq!(findings(&path).await, (0, String::new()));
}

#[tokio::test]
async fn a_round_that_is_opened_again_meanwhile_stays() {
    let (crawl, rounds) = rounds().await;
    let path = crawl.path();
    let store = crawl.store.clone();
    let _directory = crawl.close().await;
    let reader = Reader::open(&path).await.unwrap();
    let doomed = reader.doomed(ONE).await.unwrap();
    spoil(
        &path,
        "UPDATE jobs SET state = 0, finished_ms = NULL WHERE job_id = 1",
    )
    .await;
    let lock = store.lock_for("neap gc", NOW).await.unwrap();
    let removed = store.remove(&lock, &doomed, ONE, |_| {}).await.unwrap();
    assert_eq!(removed.requests, 3);
    assert_eq!(removed.rounds, 1);
    for page in PAGES {
        let body = reader.body(&url(page), Some(rounds[0])).await.unwrap();
        assert!(body.is_some(), "{page}");
    }
    assert_eq!(findings(&path).await, (0, String::new()));
}

#[tokio::test]
async fn a_job_that_is_being_submitted_is_no_damage() {
    let (crawl, _) = crawl(&PAGES).await;
    spoil(
        &crawl.path(),
        "INSERT INTO drafts VALUES (77, 'half', 1, 0);
         INSERT INTO requests (job_id, host_id, fingerprint, url) VALUES (77, 1, 1, 'http://a.example/x');",
    )
    .await;
    assert_eq!(findings(&crawl.path()).await, (0, String::new()));
    spoil(&crawl.path(), "DELETE FROM drafts").await;
    let (damages, told) = findings(&crawl.path()).await;
    assert_eq!(damages, 1, "{told}");
}

#[tokio::test]
async fn a_file_that_a_later_revisit_refers_to_stays_until_that_goes_too() {
    // The second round says the same as the first, so that all its bodies lie in the first one's file.
    let (mut crawl, first) = crawl(&PAGES).await;
    fetch_all(&mut crawl, first, 10).await;
    let second = submit(&crawl.store, "shop", &PAGES).await.job_id;
    crawl = crawl.killed().await;
    fetch_all(&mut crawl, second, 10).await;
    let path = crawl.path();
    let store = crawl.store.clone();
    let _directory = crawl.close().await;
    let reader = Reader::open(&path).await.unwrap();
    let doomed = reader.doomed(ONE).await.unwrap();
    let lock = store.lock_for("neap gc", NOW).await.unwrap();
    let removed = store.remove(&lock, &doomed, ONE, |_| {}).await.unwrap();
    assert_eq!((removed.rounds, removed.segments), (1, 0));
    let body = reader.body(&url(PAGES[1]), Some(second)).await.unwrap();
    assert!(body.unwrap().payload == payload(11));
    assert_eq!(findings(&path).await, (0, String::new()));

    // Without the bodies of the second round nothing refers to either file.
    let rule = GcRule {
        keep_rounds: 0,
        only_bodies: true,
        ..ONE
    };
    let doomed = reader.doomed(rule).await.unwrap();
    let removed = store.remove(&lock, &doomed, rule, |_| {}).await.unwrap();
    assert_eq!((removed.rounds, removed.segments), (1, 2));
    assert_eq!(query(&path, "SELECT count(*) FROM results").await, [["3"]]);
    assert!(reader.body(&url(PAGES[1]), None).await.unwrap().is_none());
    assert_eq!(findings(&path).await, (0, String::new()));
    assert_eq!(
        reader.doomed(rule).await.unwrap(),
        [],
        "nothing is left to do"
    );
}

#[tokio::test]
async fn rounds_go_by_age_and_number_both() {
    let (crawl, rounds) = rounds().await;
    let reader = Reader::open(&crawl.path()).await.unwrap();
    let over: Vec<i64> = crawl
        .query("SELECT finished_ms FROM jobs WHERE state = 1 ORDER BY job_id")
        .await
        .iter()
        .map(|row| row[0].parse().unwrap())
        .collect();
    for (keep_rounds, over_before, expected) in [
        (0, None, &rounds[..]),
        (2, None, &rounds[..1]),
        (3, None, &[]),
        (0, Some(over[0]), &[]),
        (0, Some(over[2] + 1), &rounds[..]),
        (2, Some(over[2] + 1), &rounds[..1]),
    ] {
        let rule = GcRule {
            keep_rounds,
            over_before: over_before.map(UnixMs),
            only_bodies: false,
        };
        let doomed = reader.doomed(rule).await.unwrap();
        let ids: Vec<_> = doomed.iter().map(|round| round.job_id).collect();
        assert_eq!(ids, expected, "{rule:?}");
    }
}

#[tokio::test]
async fn a_query_is_stopped_when_its_time_is_over() {
    let (crawl, _) = crawl(&PAGES).await;
    let reader = Reader::open(&crawl.path()).await.unwrap();
    let endless =
        "WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n";
    let limit = Some(Duration::from_millis(20));
    let error = reader
        .query_within(endless, limit)
        .await
        .unwrap()
        .all()
        .await;
    assert!(
        matches!(error, Err(StoreError::TooLong { .. })),
        "{error:?}"
    );
    // Whoever takes no rows holds a snapshot as well.
    let rows = "WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x FROM n";
    let error = reader.query_within(rows, limit).await.unwrap().all().await;
    assert!(
        matches!(error, Err(StoreError::TooLong { .. })),
        "{error:?}"
    );
    // The connection is as good as before.
    for _ in 0..3 {
        let rows = reader
            .query_within("SELECT 1", Some(Duration::from_secs(60)))
            .await;
        assert_eq!(rows.unwrap().all().await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn an_index_of_the_bodies_is_in_the_order_that_pywb_wants() {
    let (mut crawl, job) = crawl(&[
        "http://b.example/2",
        "http://www.a.example/z?b=1&a=2",
        "http://a.example/A",
    ])
    .await;
    fetch_all(&mut crawl, job, 0).await;
    let reader = Reader::open(&crawl.path()).await.unwrap();
    let mut out = Vec::new();
    let records = reader
        .cdxj(None, crawl.directory.path(), &mut out)
        .await
        .unwrap();
    assert_eq!(records, 3);
    let text = String::from_utf8(out).unwrap();
    let keys: Vec<_> = text
        .lines()
        .map(|line| line.split(" {").next().unwrap())
        .collect();
    assert_eq!(
        keys,
        [
            "example,a)/a 20260101000000",
            "example,a)/z?a=2&b=1 20260101000000",
            "example,b)/2 20260101000000"
        ]
    );
    let first = text.lines().next().unwrap();
    let json: serde_json::Value = serde_json::from_str(&first[first.find('{').unwrap()..]).unwrap();
    assert_eq!(json["url"], "http://a.example/A");
    assert_eq!(json["status"], "200");
    assert_eq!(json["filename"], "neap-000001-00001.warc.gz");
    let revisits = text.matches("\"mime\": \"warc/revisit\"").count();
    assert_eq!(revisits, 2, "{text}");
    let mut none = Vec::new();
    let of_other = reader
        .cdxj(Some("other"), crawl.directory.path(), &mut none)
        .await;
    assert_eq!((of_other.unwrap(), none.len()), (0, 0));
}

#[tokio::test]
async fn a_copy_finds_the_bodies_of_its_original_and_removes_none() {
    let (mut crawl, job) = crawl(&PAGES).await;
    fetch_all(&mut crawl, job, 1).await;
    let path = crawl.path();
    let directory = crawl.close().await;
    let elsewhere = directory.path().join("backup");
    std::fs::create_dir(&elsewhere).unwrap();
    let (copy, second) = (elsewhere.join("copy.db"), elsewhere.join("second.db"));
    let original = Reader::open(&path).await.unwrap();
    original.copy_to(&copy, false).await.unwrap();
    let reader = Reader::open(&copy).await.unwrap();
    reader.copy_to(&second, false).await.unwrap();
    assert!(!original.is_copy());
    let url = neap_core::CanonicalUrl::parse(PAGES[0]).unwrap();
    let expected = original.body(&url, None).await.unwrap();
    assert!(expected.is_some());
    let all = GcRule {
        keep_rounds: 0,
        over_before: None,
        only_bodies: true,
    };
    for copy in [&copy, &second] {
        let reader = Reader::open(copy).await.unwrap();
        let bodies = directory_of(&path.canonicalize().unwrap());
        assert!(reader.is_copy() && reader.bodies() == bodies, "{reader:?}");
        assert_eq!(reader.body(&url, None).await.unwrap(), expected);
        let check = reader.check(true).await.unwrap();
        assert_eq!((check.damages, check.findings), (0, vec![]));
        assert_eq!(check.bodies, PAGES.len() as u64);
        let doomed = reader.doomed(all).await.unwrap();
        let removed = reader.would_remove(&doomed).await.unwrap();
        assert_eq!((removed.segments, removed.segment_bytes), (0, 0));
        let parts = reader.stats().await.unwrap();
        let files = parts.iter().find(|p| p.kind == PartKind::Segments).unwrap();
        assert_eq!((files.rows, files.bytes), (Some(0), 0));
    }
    let kept = directory_of(&path).with_file_name("kept");
    std::fs::rename(directory_of(&path), &kept).unwrap();
    let gone = reader.body(&url, None).await.unwrap_err();
    assert!(matches!(gone, StoreError::Elsewhere { .. }), "{gone:?}");
    let (damages, told) = findings(&copy).await;
    assert!(
        damages == 0 && told.contains("is a copy without bodies, and 1 of its 1 segment files"),
        "{told}"
    );
    // Whoever brings the files along has a store of its own.
    std::fs::rename(&kept, directory_of(&copy)).unwrap();
    assert_eq!(reader.body(&url, None).await.unwrap(), expected);
}

#[tokio::test]
async fn a_run_empties_its_log_from_time_to_time_unless_somebody_reads() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("neap.db");
    let store = SqliteStore::open(&path, Access::Create).await.unwrap();
    let job = submit(&store, "shop", &PAGES).await.job_id;
    let settings = neap_store::Settings {
        wal_emptied_every: Duration::ZERO,
        ..Default::default()
    };
    let mut crawl = Crawl::begin(directory, store, settings).await;
    let rows = crawl.ready(job).await;
    let log =
        || std::fs::metadata(path.with_file_name("neap.db-wal")).map_or(0, |found| found.len());
    crawl.fetch(done(&rows[0], 200)).await;
    // Whoever is answered after a batch knows that the log was seen to after the one before.
    crawl.ready(job).await;
    assert_eq!(log(), 0, "nobody reads");
    // The main file alone is complete.
    let copy = crawl.directory.path().join("copy.db");
    std::fs::copy(&path, &copy).unwrap();
    assert_eq!(query(&copy, "SELECT count(*) FROM pages").await, [["1"]]);

    let mut reader = sqlx::sqlite::SqliteConnectOptions::new()
        .filename(&path)
        .connect()
        .await
        .unwrap();
    sqlx::raw_sql("BEGIN; SELECT count(*) FROM pages;")
        .execute(&mut reader)
        .await
        .unwrap();
    crawl.fetch(done(&rows[1], 200)).await;
    crawl.ready(job).await;
    assert!(log() > 0, "the reader's moment must stay readable");
    let emptied = crawl.store.empty_log().await;
    assert!(!emptied.unwrap().is_empty);
    sqlx::raw_sql("COMMIT").execute(&mut reader).await.unwrap();
    crawl.fetch(done(&rows[2], 200)).await;
    crawl.ready(job).await;
    assert_eq!(log(), 0, "the reader has ended");
    assert!(crawl.store.empty_log().await.unwrap().is_empty);
    let _directory = crawl.close().await;
}
