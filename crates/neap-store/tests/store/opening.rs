//! Which files are opened, and which are left as they are.

use std::path::Path;

use neap_store::{Access, Reader, SqliteStore, StoreError};

use crate::support::{NOW, submit};

async fn made(path: &Path) -> SqliteStore {
    SqliteStore::open(path, Access::Create).await.unwrap()
}

fn patch(path: &Path, at: usize, number: i32) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[at..at + 4].copy_from_slice(&number.to_be_bytes());
    std::fs::write(path, bytes).unwrap();
}

#[tokio::test]
async fn only_create_creates() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("neap.db");
    let missing = SqliteStore::open(&path, Access::Existing).await;
    assert!(
        matches!(missing, Err(StoreError::Missing { .. })),
        "{missing:?}"
    );
    assert!(matches!(
        Reader::open(&path).await,
        Err(StoreError::Missing { .. })
    ));
    assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 0);

    std::fs::write(&path, "").unwrap();
    let empty = SqliteStore::open(&path, Access::Existing).await;
    assert!(matches!(empty, Err(StoreError::Empty { .. })), "{empty:?}");
    assert_eq!(std::fs::metadata(&path).unwrap().len(), 0);

    drop(made(&path).await);
    SqliteStore::open(&path, Access::Existing).await.unwrap();
    Reader::open(&path).await.unwrap();
    let names: Vec<_> = std::fs::read_dir(&directory)
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    let is_draft = |name: &std::ffi::OsString| name.to_string_lossy().contains(".new-");
    assert!(!names.iter().any(is_draft), "{names:?}");
}

#[tokio::test]
async fn a_store_that_nothing_was_submitted_to_goes_with_who_created_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("neap.db");
    let left = || std::fs::read_dir(&directory).unwrap().count();
    let store = made(&path).await;
    let lock = store.lock(NOW).await.unwrap();
    store.remove_unused(lock).await.unwrap();
    assert_eq!(left(), 0);

    drop(made(&path).await);
    let opened = made(&path).await;
    let lock = opened.lock(NOW).await.unwrap();
    opened.remove_unused(lock).await.unwrap();
    assert!(path.exists(), "another one created it");

    std::fs::remove_file(&path).unwrap();
    let store = made(&path).await;
    submit(&store, "shop", &["http://a.example/"]).await;
    let lock = store.lock(NOW).await.unwrap();
    store.remove_unused(lock).await.unwrap();
    assert!(path.exists(), "there is a job in it");
}

#[tokio::test]
async fn what_a_kill_left_of_a_new_store_goes_when_it_is_opened() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("neap.db");
    let draft = format!("neap.db.new-{}", "a".repeat(32));
    let draft = directory.path().join(draft);
    for access in [Access::Create, Access::Existing] {
        std::fs::write(&draft, "half").unwrap();
        std::fs::write(
            draft.with_extension(format!("new-{}-wal", "a".repeat(32))),
            "",
        )
        .unwrap();
        SqliteStore::open(&path, access).await.unwrap();
        let names: Vec<_> = std::fs::read_dir(&directory)
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.contains(".new-"))
            .collect();
        assert_eq!(names, [""; 0]);
    }
}

#[tokio::test]
async fn what_is_no_store_of_ours_is_named_and_left_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    std::fs::write(path("text"), "# my notes\n".repeat(50)).unwrap();
    std::fs::write(path("short"), "x").unwrap();
    for (name, at, number) in [("foreign", 68, 0x1234), ("newer", 60, 99)] {
        drop(made(&path(name)).await);
        patch(&path(name), at, number);
    }
    for (name, expected) in [
        ("text", "not a SQLite database"),
        ("short", "not a SQLite database"),
        ("foreign", "of another program"),
        ("newer", "newer neap (store version 99"),
    ] {
        let before = std::fs::read(path(name)).unwrap();
        for access in [Access::Create, Access::Existing] {
            let error = SqliteStore::open(&path(name), access)
                .await
                .unwrap_err()
                .to_string();
            assert!(
                error.contains(expected) && error.contains(name),
                "{name}: {error}"
            );
        }
        assert!(
            Reader::open(&path(name))
                .await
                .unwrap_err()
                .to_string()
                .contains(expected)
        );
        assert!(
            std::fs::read(path(name)).unwrap() == before,
            "{name} was changed"
        );
    }
}

#[tokio::test]
async fn an_older_store_is_no_reader_s_to_migrate() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("neap.db");
    drop(made(&path).await);
    patch(&path, 60, 0);
    let error = Reader::open(&path).await.unwrap_err();
    assert!(
        matches!(error, StoreError::Older { version: 0, .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn two_that_create_at_once_share_one_store() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("neap.db");
    let (one, two) = tokio::join!(made(&path), made(&path));
    submit(&one, "a", &["http://a.example/"]).await;
    submit(&two, "b", &["http://a.example/"]).await;
    assert_eq!(one.jobs().await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_second_run_hears_who_holds_the_store() {
    let directory = tempfile::tempdir().unwrap();
    let store = made(&directory.path().join("neap.db")).await;
    let lock = store.lock(NOW).await.unwrap();
    let error = store.lock(NOW).await.unwrap_err();
    let pid = std::process::id();
    let expected = format!("epoch 1, process {pid}, on ");
    assert!(matches!(error, StoreError::Held { .. }));
    assert!(error.to_string().contains(&expected), "{error}");
    assert!(
        error.to_string().contains("since 2026-01-01T00:00:00.000Z"),
        "{error}"
    );
    drop(lock);
    let again = store.lock(NOW).await.unwrap();
    assert_eq!(store.begin_run(&again, NOW).await.unwrap().epoch.0, 1);
}
