//! What must hold of a store, whatever happened to it.

use std::collections::HashSet;
use std::io::Read;
use std::path::Path;

use neap_store::segments::directory_of;
use neap_store::{Reader, Value};

use crate::crawl::Ack;
use crate::site::{body, url};

/// What a crawl found: everything that does not depend on the order in which it was found.
pub(crate) type Found = Vec<Vec<String>>;

const FOUND: &str = "SELECT url, state, status, final_url, redirects, cause, body_bytes,
    segment IS NOT NULL FROM results ORDER BY url";

/// That the database is whole, and that the bodies it tells of can be read and are the right ones.
pub(crate) async fn is_whole(directory: &Path) {
    let reader = Reader::open(&directory.join("neap.db")).await.unwrap();
    let rows = query(&reader, "SELECT * FROM pragma_integrity_check").await;
    assert_eq!(rows, [["ok"]]);
    for (what, sql) in [
        (
            "counters that differ from the rows",
            "SELECT 1 FROM jobs j
             LEFT JOIN (SELECT job_id, sum(state = 0) AS r, sum(state = 4) AS w, sum(state = 2) AS d,
                 sum(state = 3) AS f, sum(state = 5) AS s FROM requests GROUP BY job_id) c
             USING (job_id)
             WHERE (j.ready, j.waiting, j.done, j.failed, j.skipped)
               IS NOT (ifnull(r, 0), ifnull(w, 0), ifnull(d, 0), ifnull(f, 0), ifnull(s, 0))",
        ),
        (
            "attempts that are there twice",
            "SELECT 1 FROM attempts GROUP BY request_id, number HAVING count(*) > 1",
        ),
        (
            "pages that were fetched twice",
            "SELECT 1 FROM attempts WHERE outcome = 0 GROUP BY request_id HAVING count(*) > 1",
        ),
        (
            "pages of requests that are open, or the other way round",
            "SELECT 1 FROM requests r LEFT JOIN pages p USING (request_id)
             WHERE (r.state = 2) IS NOT (p.request_id IS NOT NULL)",
        ),
        (
            "pages without what their links say, or the other way round",
            "SELECT 1 FROM pages p FULL JOIN (SELECT DISTINCT request_id FROM found_links) l USING (request_id)
             WHERE p.request_id IS NULL OR l.request_id IS NULL",
        ),
        (
            "links to a request that is not there",
            "SELECT 1 FROM links WHERE target IS NULL",
        ),
    ] {
        let rows = query(&reader, sql).await;
        assert!(rows.is_empty(), "{what}: {rows:?}");
    }
    bodies_are_right(directory, &reader).await;
}

async fn bodies_are_right(directory: &Path, reader: &Reader) {
    let segments = directory_of(&directory.join("neap.db"));
    for row in query(reader, "SELECT file, file_bytes FROM segments").await {
        let file = std::fs::File::open(segments.join(&row[0])).unwrap();
        let mut all = Vec::new();
        let committed = file.take(row[1].parse().unwrap());
        let mut members = flate2::read::MultiGzDecoder::new(committed);
        let read = members.read_to_end(&mut all);
        assert!(read.is_ok(), "{}: {read:?}", row[0]);
    }
    let with_body = "SELECT r.url FROM pages p JOIN requests r USING (request_id)
        WHERE p.segment_id IS NOT NULL AND r.redirect_to IS NULL";
    for row in query(reader, with_body).await {
        let page = url(&row[0]);
        let stored = reader.body(&page, None).await.unwrap().unwrap();
        assert!(stored.payload == body(&page), "{page}");
    }
}

/// How much of what was acknowledged is not there.
pub(crate) async fn lost(directory: &Path, acks: &[Ack]) -> usize {
    let path = directory.join("neap.db");
    if !path.exists() {
        return acks.len();
    }
    let reader = Reader::open(&path).await.unwrap();
    let numbers = |rows: Vec<Vec<String>>| -> HashSet<Vec<i64>> {
        let number = |text: &String| text.parse().unwrap();
        rows.iter()
            .map(|row| row.iter().map(number).collect())
            .collect()
    };
    let jobs = numbers(query(&reader, "SELECT job_id FROM jobs").await);
    let attempts = numbers(query(&reader, "SELECT request_id, number FROM attempts").await);
    let open = numbers(
        query(
            &reader,
            "SELECT request_id FROM requests WHERE state IN (0, 4)",
        )
        .await,
    );
    let in_flight = numbers(query(&reader, "SELECT request_id FROM in_flight").await);
    let tried: HashSet<i64> = attempts.iter().map(|row| row[0]).collect();
    let is_there = |ack: &&Ack| match **ack {
        Ack::Made => true,
        Ack::Submitted(job) => jobs.contains(&vec![job.0]),
        Ack::Leased(request) => in_flight.contains(&vec![request.0]) || tried.contains(&request.0),
        Ack::Recorded(request, number, is_final) => {
            let row = vec![request.0, i64::from(number)];
            attempts.contains(&row) && !(is_final && open.contains(&vec![request.0]))
        }
    };
    acks.iter().filter(|ack| !is_there(ack)).count()
}

pub(crate) async fn found(directory: &Path) -> Found {
    let reader = Reader::open(&directory.join("neap.db")).await.unwrap();
    let found = query(&reader, FOUND).await;
    let left = "SELECT 1 FROM requests WHERE state IN (0, 4) UNION ALL SELECT 1 FROM in_flight";
    assert!(
        query(&reader, left).await.is_empty(),
        "something is left to do"
    );
    found
}

pub(crate) async fn query(reader: &Reader, sql: &str) -> Vec<Vec<String>> {
    let rows = reader.query(sql).await.unwrap().all().await.unwrap();
    let text = |value: &Value| match value {
        Value::Null => "-".to_owned(),
        Value::Integer(number) => number.to_string(),
        Value::Real(number) => number.to_string(),
        Value::Text(text) => text.clone(),
        Value::Blob(bytes) => format!("{bytes:?}"),
    };
    rows.iter()
        .map(|row| row.iter().map(text).collect())
        .collect()
}
