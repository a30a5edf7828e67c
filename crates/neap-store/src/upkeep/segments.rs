//! Are the segment files what the tables say of them?

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::PathBuf;

use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::check::Check;
use crate::reader::stored_at;
use crate::segments::{Shelves, Stored, verify};
use crate::{Reader, StoreError};

/// Records that are read in one go, off the threads that wait.
const RECORDS: usize = 256;

/// Rows of bodies that are read at one moment.
const ROWS: i64 = 4096;

/// Compares files with rows, and with `with_bodies` reads every record that a page has.
pub(super) async fn check(
    reader: &Reader,
    with_bodies: bool,
    check: &mut Check,
) -> Result<(), StoreError> {
    let known = lengths(reader, check).await?;
    strangers(reader.shelves(), &known, check);
    ranges(reader, check).await?;
    if with_bodies {
        bodies(reader, ROWS, check).await?;
    }
    Ok(())
}

/// Compares the length of each file with what is committed of it.
async fn lengths(reader: &Reader, check: &mut Check) -> Result<BTreeMap<String, u64>, StoreError> {
    let rows = sqlx::query("SELECT file, file_bytes, sealed_ms FROM segments ORDER BY segment_id")
        .fetch_all(reader.pool())
        .await
        .map_err(StoreError::sql(reader.path()))?;
    let mut known = BTreeMap::new();
    let mut missed = 0;
    for row in rows {
        let (file, committed) = (row.get::<String, _>(0), row.get::<i64, _>(1).unsigned_abs());
        let is_sealed = row.get::<Option<i64>, _>(2).is_some();
        check.segments += 1;
        let path = reader.shelves().find(&file);
        let is_elsewhere = reader.shelves().is_elsewhere(&path);
        match std::fs::metadata(&path).map(|found| found.len()) {
            Ok(found) if found < committed => check.damage(format!(
                "{} has {found} bytes, {committed} are committed: the bodies behind are lost",
                path.display()
            )),
            // The original may have gone on with it.
            Ok(_) if is_elsewhere => {}
            Ok(found) if found > committed && is_sealed => check.damage(format!(
                "{} has {found} bytes, though it was ended with {committed}",
                path.display()
            )),
            Ok(found) if found > committed => check.leftover(format!(
                "{} has {} bytes that are not committed (yet); if no run goes on, the next one cuts \
                 them off and fetches their pages again",
                path.display(),
                found - committed
            )),
            Ok(_) => {}
            Err(error) if is_elsewhere && error.kind() == ErrorKind::NotFound => missed += 1,
            Err(error) => check.damage(format!("{}: {error}", path.display())),
        }
        known.insert(file, committed);
    }
    if missed > 0 {
        check.leftover(format!(
            "{} is a copy without bodies, and {missed} of its {} segment files are not in {} any more",
            reader.path().display(),
            known.len(),
            reader.bodies().display()
        ));
    }
    Ok(known)
}

/// Tells of files in the directory that no row names.
fn strangers(shelves: &Shelves, known: &BTreeMap<String, u64>, check: &mut Check) {
    let found = std::fs::read_dir(shelves.own())
        .into_iter()
        .flatten()
        .flatten();
    let mut names: Vec<PathBuf> = found
        .filter(|entry| {
            let name = entry.file_name().into_string().unwrap_or_default();
            name.ends_with(".warc.gz") && !known.contains_key(&name)
        })
        .map(|entry| entry.path())
        .collect();
    names.sort();
    for path in names {
        check.leftover(format!(
            "{} is not known to the store; the next run removes it if a killed one left it, and leaves it \
             alone otherwise",
            path.display()
        ));
    }
}

/// Finds places of bodies that lie beyond what is committed.
async fn ranges(reader: &Reader, check: &mut Check) -> Result<(), StoreError> {
    let rows = sqlx::query(
        "SELECT s.file, count(*), min(r.url) FROM pages p JOIN segments s USING (segment_id)
         JOIN requests r USING (request_id)
         WHERE p.segment_offset + p.segment_bytes > s.file_bytes GROUP BY 1
         UNION ALL
         SELECT s.file, count(*), min(o.url) FROM originals o JOIN segments s USING (segment_id)
         WHERE o.segment_offset + o.segment_bytes > s.file_bytes GROUP BY 1",
    )
    .fetch_all(reader.pool())
    .await
    .map_err(StoreError::sql(reader.path()))?;
    for row in rows {
        let (file, bodies, url): (&str, i64, &str) = (row.get(0), row.get(1), row.get(2));
        check.damage(format!(
            "{bodies} bodies lie beyond the end of {file}, such as that of {url}"
        ));
    }
    Ok(())
}

/// Bodies of pages behind a request, some of them; a revisit by its own record.
const OF_PAGES: &str = "SELECT s.file, p.segment_offset, p.segment_bytes, NULL, NULL, NULL,
       p.payload_sha1, r.url, p.original_id IS NOT NULL, p.request_id, p.segment_id
     FROM pages p CROSS JOIN segments s USING (segment_id) CROSS JOIN requests r USING (request_id)
     WHERE p.request_id > ? ORDER BY p.request_id LIMIT ?";

/// Originals behind one of them, some of them.
const OF_ORIGINALS: &str = "SELECT s.file, o.segment_offset, o.segment_bytes, NULL, NULL, NULL,
       (SELECT p.payload_sha1 FROM pages p WHERE p.original_id = o.original_id), o.url, 0,
       o.original_id, o.segment_id
     FROM originals o CROSS JOIN segments s USING (segment_id)
     WHERE o.original_id > ? ORDER BY o.original_id LIMIT ?";

struct Body {
    stored: Stored,
    url: String,
    is_revisit: bool,
    /// Where it is among all: number of the file, and offset.
    at: (i64, u64),
}

/// Reads all bodies, so many rows at a time: whoever reads one moment of the store for long keeps the log of
/// a run from being emptied. A page and its row in `requests` are found by the same number.
async fn bodies(reader: &Reader, rows: i64, check: &mut Check) -> Result<(), StoreError> {
    for sql in [OF_PAGES, OF_ORIGINALS] {
        let mut behind = i64::MIN;
        loop {
            let found = sqlx::query(sql)
                .bind(behind)
                .bind(rows)
                .fetch_all(reader.pool())
                .await
                .map_err(StoreError::sql(reader.path()))?;
            let Some(last) = found.last() else { break };
            behind = last.get(9);
            // In the order of the files, which is nearly that of the disk.
            let mut bodies: Vec<Body> = found
                .iter()
                .filter_map(|row| body(row, reader.shelves()))
                .collect();
            bodies.sort_by_key(|body| body.at);
            let mut bodies = bodies.into_iter().peekable();
            while bodies.peek().is_some() {
                read_all(bodies.by_ref().take(RECORDS).collect(), check).await?;
            }
        }
    }
    Ok(())
}

fn body(row: &SqliteRow, shelves: &Shelves) -> Option<Body> {
    let stored = stored_at(row, 0, shelves)?;
    if shelves.missed(&stored).is_some() {
        return None;
    }
    Some(Body {
        at: (row.get(10), stored.record.offset),
        stored,
        url: row.get(7),
        is_revisit: row.get(8),
    })
}

async fn read_all(batch: Vec<Body>, check: &mut Check) -> Result<(), StoreError> {
    check.bodies += batch.len() as u64;
    let verified = tokio::task::spawn_blocking(move || {
        let wrong = |body: Body| {
            let error = verify(&body.stored, body.is_revisit).err()?;
            Some(format!("{}: {error}", body.url))
        };
        batch.into_iter().filter_map(wrong).collect::<Vec<_>>()
    });
    let wrong = verified
        .await
        .map_err(|error| StoreError::Unexpected(error.to_string()))?;
    wrong.into_iter().for_each(|what| check.damage(what));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::job;
    use crate::{Access, SqliteStore, Submission};
    use neap_core::CanonicalUrl;

    #[tokio::test]
    async fn bodies_are_read_a_few_rows_at_a_time_and_none_is_left_out() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("neap.db");
        let store = SqliteStore::open(&path, Access::Create).await.unwrap();
        let urls = (0..7).map(|n| CanonicalUrl::parse(&format!("http://a.example/{n}")).unwrap());
        let job = &job("shop");
        store.submit(Submission { job, urls }).await.unwrap();
        let mut connection = store.connect().await.unwrap();
        // Files that are not there: each body is told to be damaged.
        sqlx::raw_sql(
            "INSERT INTO segments (segment_id, file, epoch, file_bytes) VALUES (1, 'x', 1, 999);
             INSERT INTO pages (request_id, status, fetched_ms, body_bytes, segment_id, segment_offset,
                 segment_bytes) SELECT request_id, 200, 0, 0, 1, 100 - request_id, 1 FROM requests;
             INSERT INTO originals SELECT request_id, 1, 100 + request_id, 1, url, 0 FROM requests
               WHERE request_id < 4;",
        )
        .execute(&mut connection)
        .await
        .unwrap();
        let reader = Reader::open(&path).await.unwrap();
        for rows in [1, 2, 7, 100] {
            let mut check = Check::default();
            bodies(&reader, rows, &mut check).await.unwrap();
            assert_eq!((check.bodies, check.damages), (10, 10), "{rows}");
            let urls: std::collections::BTreeSet<_> =
                check.findings.iter().map(|found| &found.what).collect();
            assert_eq!(urls.len(), 10, "{rows}: {urls:?}");
        }
    }
}
