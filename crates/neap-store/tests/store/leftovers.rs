//! What becomes of a log or of segment files whose store was moved away, or put back from a copy?

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use neap_core::JobId;
use neap_store::segments::directory_of;
use neap_store::{
    Access, Command, Event, GcRule, Reader, Recovered, Settings, SqliteStore, StoreError,
};

use crate::support::{Crawl, NOW, crawl, done, exchange, query, submit, url};

const ONE: &str = "http://a.example/1";
const TWO: &str = "http://a.example/2";
const FILE: &str = "neap-000001-00001.warc.gz";

/// Fetches a page with a body of its own.
async fn fetch(crawl: &mut Crawl, job: JobId, text: &str) {
    let row = crawl.find(job, text).await;
    let mut record = done(&row, 200);
    let body = exchange(&[], format!("the body of {text}").as_bytes());
    record.segment = crawl.writer.pack(&row.url, &body, NOW, false);
    assert!(crawl.fetch(record).await);
}

async fn has_body(path: &Path, text: &str) -> bool {
    let reader = Reader::open(path).await.unwrap();
    match reader.body(&url(text), None).await.unwrap() {
        Some(body) => body.payload == format!("the body of {text}").as_bytes(),
        None => false,
    }
}

/// The segment files of a store and their contents.
fn files(store: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(directory_of(store)).unwrap();
    entries
        .map(|entry| entry.unwrap())
        .map(|entry| {
            let name = entry.file_name().into_string().unwrap();
            (name, std::fs::read(entry.path()).unwrap())
        })
        .filter(|(name, _)| name.ends_with(".warc.gz"))
        .collect()
}

fn move_to(from: &Path, name: &str) -> PathBuf {
    let to = from.with_file_name(name);
    std::fs::rename(from, &to).unwrap();
    to
}

async fn damages(path: &Path) -> Vec<String> {
    let check = Reader::open(path).await.unwrap().check(true).await.unwrap();
    let damages = check.findings.into_iter().filter(|found| found.is_damage);
    damages.map(|found| found.what).collect()
}

#[tokio::test]
async fn no_store_is_made_beside_the_log_of_another() {
    let (mut crawl, job) = crawl(&[ONE]).await;
    let row = crawl.find(job, ONE).await;
    crawl.fetch(done(&row, 200)).await;
    let path = crawl.path();
    let kept = move_to(&path, "kept");
    for is_empty in [false, true] {
        if is_empty {
            std::fs::write(&path, "").unwrap();
        }
        let error = SqliteStore::open(&path, Access::Create).await.unwrap_err();
        assert!(matches!(error, StoreError::Leftover { .. }), "{error:?}");
        assert!(error.to_string().contains("neap.db-wal holds"), "{error}");
        assert!(std::fs::metadata(&path).map_or(0, |found| found.len()) == 0);
    }
    // Back at its place it has all that was written.
    std::fs::rename(kept, &path).unwrap();
    drop(crawl.lock.take());
    SqliteStore::open(&path, Access::Create).await.unwrap();
    assert_eq!(query(&path, "SELECT count(*) FROM pages").await, [["1"]]);

    let other = path.with_file_name("other.db");
    std::fs::write(path.with_file_name("other.db-journal"), "half a change").unwrap();
    let error = SqliteStore::open(&other, Access::Create).await.unwrap_err();
    assert!(matches!(error, StoreError::Leftover { .. }), "{error:?}");
}

#[tokio::test]
async fn a_store_in_the_place_of_one_that_is_still_open_gets_nothing_of_it() {
    let (mut crawl, job) = crawl(&[ONE]).await;
    let row = crawl.find(job, ONE).await;
    let path = crawl.path();
    let mut addition = crawl.store.begin_addition(job).await.unwrap();
    assert!(crawl.store.empty_log().await.unwrap().is_empty);
    move_to(&path, "kept");
    let error = SqliteStore::open(&path, Access::Create).await.unwrap_err();
    assert!(matches!(error, StoreError::Held { .. }), "{error:?}");
    drop(crawl.lock.take());
    let new = SqliteStore::open(&path, Access::Create).await.unwrap();
    submit(&new, "new", &[TWO]).await;
    let added = addition.add(&[url(TWO).into()]).await;
    assert!(matches!(added, Err(StoreError::Moved { .. })), "{added:?}");
    drop(addition);
    let lease = neap_store::Lease {
        request: row.request,
        is_alone: false,
    };
    crawl.send(Command::Lease(vec![lease])).await;
    loop {
        match crawl.events.recv().await.unwrap() {
            Event::Broken(error) => {
                assert!(matches!(error, StoreError::Moved { .. }), "{error:?}");
                break;
            }
            other => assert!(!matches!(other, Event::Leased { .. }), "{other:?}"),
        }
    }
    assert_eq!(query(&path, "SELECT name FROM jobs").await, [["new"]]);
    assert_eq!(damages(&path).await, [""; 0]);
}

#[tokio::test]
async fn a_submission_notices_that_its_store_was_moved() {
    let (crawl, job) = crawl(&[ONE]).await;
    let mut addition = crawl.store.begin_addition(job).await.unwrap();
    addition.add(&[url(TWO).into()]).await.unwrap();
    move_to(&crawl.path(), "kept");
    let completed = addition.complete(&[]).await;
    assert!(
        matches!(completed, Err(StoreError::Moved { .. })),
        "{completed:?}"
    );
}

#[tokio::test]
async fn no_copy_is_placed_beside_a_log() {
    let (crawl, _) = crawl(&[ONE]).await;
    let copy = crawl.directory.path().join("copy.db");
    let log = crawl.directory.path().join("copy.db-wal");
    let reader = Reader::open(&crawl.path()).await.unwrap();
    for (has_copy, is_forced) in [(false, false), (false, true), (true, true)] {
        if has_copy {
            std::fs::remove_file(&log).unwrap();
            reader.copy_to(&copy, false).await.unwrap();
        }
        let before = std::fs::read(&copy).ok();
        std::fs::write(&log, "what somebody wrote to another copy").unwrap();
        let error = reader.copy_to(&copy, is_forced).await.unwrap_err();
        assert!(matches!(error, StoreError::Leftover { .. }), "{error:?}");
        assert!(std::fs::read(&copy).ok() == before, "{has_copy}");
        assert!(log.exists());
    }
}

#[tokio::test]
async fn the_segments_of_another_store_are_refused_by_name() {
    let (mut crawl, job) = crawl(&[ONE]).await;
    fetch(&mut crawl, job, ONE).await;
    let path = crawl.path();
    let directory = crawl.close().await;
    let before = files(&path);
    assert_eq!(before.keys().collect::<Vec<_>>(), [FILE]);
    let kept = move_to(&path, "kept");
    let error = SqliteStore::open(&path, Access::Create).await.unwrap_err();
    assert!(
        matches!(error, StoreError::OtherSegments { .. }),
        "{error:?}"
    );
    assert!(error.to_string().contains("neap.segments holds"), "{error}");
    assert!(
        !path.exists(),
        "nothing new keeps the old store from its place"
    );

    // One that was made elsewhere is refused as well, by a run and by a gc.
    let elsewhere = directory.path().join("elsewhere.db");
    let store = SqliteStore::open(&elsewhere, Access::Create).await.unwrap();
    submit(&store, "other", &[ONE]).await;
    std::fs::rename(&elsewhere, &path).unwrap();
    let store = SqliteStore::open(&path, Access::Existing).await.unwrap();
    let lock = store.lock(NOW).await.unwrap();
    let error = store.begin_run(&lock, NOW).await.unwrap_err();
    assert!(
        matches!(error, StoreError::OtherSegments { .. }),
        "{error:?}"
    );
    let all = GcRule {
        keep_rounds: 0,
        over_before: None,
        only_bodies: false,
    };
    let error = store.remove(&lock, &[], all, |_| {}).await.unwrap_err();
    assert!(
        matches!(error, StoreError::OtherSegments { .. }),
        "{error:?}"
    );
    assert!(files(&path) == before);
    drop(lock);

    std::fs::remove_file(&path).unwrap();
    std::fs::rename(kept, &path).unwrap();
    let store = SqliteStore::open(&path, Access::Existing).await.unwrap();
    let crawl = Crawl::begin(directory, store, Settings::default()).await;
    assert_eq!(crawl.run.recovered, Recovered::default());
    assert!(has_body(&path, ONE).await);
}

/// How a copy came to be.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Copy {
    /// `neap export --to`, while the run went on.
    Exported,
    /// `cp`, while the run went on and its log was empty.
    Plain,
    /// `neap export --to`, before the run.
    Early,
}

#[tokio::test]
async fn a_copy_that_is_put_back_destroys_no_body() {
    for how in [Copy::Exported, Copy::Plain, Copy::Early] {
        let (crawl, job) = crawl(&[ONE, TWO]).await;
        let path = crawl.path();
        let copy = path.with_file_name("copy.db");
        let mut crawl = crawl;
        if how == Copy::Early {
            let reader = Reader::open(&path).await.unwrap();
            reader.copy_to(&copy, false).await.unwrap();
        }
        fetch(&mut crawl, job, ONE).await;
        match how {
            Copy::Exported => {
                let reader = Reader::open(&path).await.unwrap();
                reader.copy_to(&copy, false).await.unwrap();
            }
            Copy::Plain => {
                assert!(crawl.store.empty_log().await.unwrap().is_empty);
                std::fs::copy(&path, &copy).unwrap();
            }
            Copy::Early => {}
        }
        fetch(&mut crawl, job, TWO).await;
        drop(crawl.lock.take());
        let directory = crawl.close().await;
        // As a file that the run began after the copy was made.
        let later = directory_of(&path).join("neap-000001-00002.warc.gz");
        std::fs::write(later, "more of the run's bodies").unwrap();
        let before = files(&path);
        std::fs::rename(&copy, &path).unwrap();

        let mut directory = Some(directory);
        for round in 0..3 {
            let store = SqliteStore::open(&path, Access::Existing).await.unwrap();
            let mut crawl =
                Crawl::begin(directory.take().unwrap(), store, Settings::default()).await;
            let found = crawl.run.recovered;
            assert_eq!(
                (found.truncated_segments, found.removed_segments),
                (0, 0),
                "{how:?}, {round}"
            );
            if round == 0 {
                if how == Copy::Early {
                    fetch(&mut crawl, job, ONE).await;
                }
                assert!(has_body(&path, ONE).await, "{how:?}");
                fetch(&mut crawl, job, TWO).await;
            }
            assert!(has_body(&path, TWO).await, "{how:?}");
            assert!(!Reader::open(&path).await.unwrap().is_copy(), "{how:?}");
            drop(crawl.lock.take());
            directory = Some(crawl.close().await);
        }
        let mut after = files(&path);
        after.retain(|name, _| before.contains_key(name));
        assert!(after == before, "{how:?}");
        assert_eq!(damages(&path).await, [""; 0], "{how:?}");
    }
}

#[tokio::test]
async fn a_copy_that_runs_elsewhere_is_a_store_of_its_own() {
    let (mut crawl, job) = crawl(&[ONE, TWO]).await;
    fetch(&mut crawl, job, ONE).await;
    let path = crawl.path();
    drop(crawl.lock.take());
    let directory = crawl.close().await;
    let before = files(&path);
    let copy = path.with_file_name("copy.db");
    let reader = Reader::open(&path).await.unwrap();
    reader.copy_to(&copy, false).await.unwrap();
    drop(reader);
    let mut directory = Some(directory);
    for page in [Some(TWO), None] {
        let store = SqliteStore::open(&copy, Access::Existing).await.unwrap();
        let mut crawl = Crawl::begin(directory.take().unwrap(), store, Settings::default()).await;
        if let Some(page) = page {
            fetch(&mut crawl, job, page).await;
        }
        assert!(has_body(&copy, ONE).await && has_body(&copy, TWO).await);
        drop(crawl.lock.take());
        directory = Some(crawl.close().await);
    }
    assert!(files(&path) == before);
    // In the place of its original it is a stranger.
    std::fs::rename(&copy, &path).unwrap();
    let store = SqliteStore::open(&path, Access::Existing).await.unwrap();
    let lock = store.lock(NOW).await.unwrap();
    let error = store.begin_run(&lock, NOW).await.unwrap_err();
    assert!(
        matches!(error, StoreError::OtherSegments { .. }),
        "{error:?}"
    );
}
