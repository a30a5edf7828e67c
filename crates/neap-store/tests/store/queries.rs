//! What somebody's own SQL can do.

use neap_store::{Command, Reader, StoreError, Value};

use crate::support::{crawl, done};

#[tokio::test]
async fn values_keep_their_types() {
    let (crawl, _) = crawl(&[]).await;
    let reader = Reader::open(&crawl.path()).await.unwrap();
    let rows = reader
        .query("SELECT 1 AS one, 2.5, 'x', NULL, x'00ff', '1' AS text;")
        .await
        .unwrap();
    assert_eq!(rows.columns()[0], "one");
    let expected = vec![
        Value::Integer(1),
        Value::Real(2.5),
        Value::Text("x".to_owned()),
        Value::Null,
        Value::Blob(vec![0, 255]),
        Value::Text("1".to_owned()),
    ];
    assert_eq!(rows.all().await.unwrap(), [expected]);
    let none = reader.query("SELECT name FROM jobs WHERE 0").await.unwrap();
    assert_eq!(none.columns(), ["name"]);
}

#[tokio::test]
async fn nothing_can_be_written() {
    let (crawl, _) = crawl(&["http://a.example/"]).await;
    let reader = Reader::open(&crawl.path()).await.unwrap();
    let other = crawl.directory.path().join("other.db");
    for sql in [
        "DELETE FROM requests".to_owned(),
        "WITH x AS (SELECT 1) DELETE FROM requests".to_owned(),
        "WITH x AS (SELECT 1) INSERT INTO store_meta VALUES ('a', 'b')".to_owned(),
        format!("ATTACH '{}' AS other", other.display()),
        "PRAGMA query_only = OFF".to_owned(),
        "SELECT 1; DELETE FROM requests".to_owned(),
        "CREATE TEMP TABLE x (y)".to_owned(),
    ] {
        let error = match reader.query(&sql).await {
            Ok(rows) => rows.all().await.unwrap_err(),
            Err(error) => error,
        };
        assert!(matches!(error, StoreError::Refused(_)), "{sql}: {error:?}");
    }
    assert!(!other.exists());
    assert_eq!(crawl.query("SELECT count(*) FROM requests").await, [["1"]]);
}

#[tokio::test]
async fn a_bad_query_is_answered_in_sqlite_s_words() {
    let (crawl, _) = crawl(&[]).await;
    let reader = Reader::open(&crawl.path()).await.unwrap();
    let error = reader.query("SELECT x FROM jobs").await.unwrap_err();
    assert!(
        matches!(&error, StoreError::BadQuery(words) if words == "no such column: x"),
        "{error:?}"
    );
    let late = reader
        .query("SELECT json('{') FROM jobs UNION SELECT json('{')")
        .await
        .unwrap();
    assert!(matches!(late.all().await, Err(StoreError::BadQuery(_))));
}

#[tokio::test]
async fn a_reader_that_holds_its_rows_keeps_nobody_waiting() {
    let (mut crawl, job_id) = crawl(&["http://a.example/"]).await;
    let reader = Reader::open(&crawl.path()).await.unwrap();
    let series = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)
        SELECT i, (SELECT count(*) FROM pages) FROM n";
    let mut rows = reader.query(series).await.unwrap();
    assert!(rows.next().await.unwrap().is_some());
    let row = crawl.find(job_id, "http://a.example/").await;
    assert!(crawl.fetch(done(&row, 200)).await, "the writer goes on");
    let last = rows.all().await.unwrap().pop().unwrap();
    assert_eq!(
        last,
        [Value::Integer(100_000), Value::Integer(0)],
        "one moment for all its rows"
    );
    crawl.send(Command::Close).await;
}
