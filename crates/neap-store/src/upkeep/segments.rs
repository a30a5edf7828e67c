//! Are the segment files what the tables say of them?

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::PathBuf;

use futures_util::TryStreamExt;
use sqlx::Row;

use super::check::Check;
use crate::reader::stored_at;
use crate::segments::{Shelves, Stored, verify};
use crate::{Reader, StoreError};

/// Records that are read in one go, off the threads that wait.
const RECORDS: usize = 256;

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
        bodies(reader, check).await?;
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

/// Every body of a page, in the order of the files; a revisit by its own record, and each original once.
const BODIES: &str = "SELECT s.file, p.segment_offset, p.segment_bytes, NULL, NULL, NULL,
       p.payload_sha1, r.url, p.original_id IS NOT NULL, p.segment_id AS segment
     FROM pages p JOIN segments s USING (segment_id) JOIN requests r USING (request_id)
     UNION ALL
     SELECT s.file, o.segment_offset, o.segment_bytes, NULL, NULL, NULL,
       (SELECT p.payload_sha1 FROM pages p WHERE p.original_id = o.original_id), o.url, 0, o.segment_id
     FROM originals o JOIN segments s USING (segment_id)
     ORDER BY segment, 2";

struct Body {
    stored: Stored,
    url: String,
    is_revisit: bool,
}

async fn bodies(reader: &Reader, check: &mut Check) -> Result<(), StoreError> {
    let sql = || StoreError::sql(reader.path());
    let mut rows = sqlx::query(BODIES).fetch(reader.pool());
    let mut batch = Vec::with_capacity(RECORDS);
    loop {
        let row = rows.try_next().await.map_err(sql())?;
        let is_last = row.is_none();
        if let Some(row) = row
            && let Some(stored) = stored_at(&row, 0, reader.shelves())
            && reader.shelves().missed(&stored).is_none()
        {
            batch.push(Body {
                stored,
                url: row.get(7),
                is_revisit: row.get(8),
            });
        }
        if batch.len() == RECORDS || is_last {
            read_all(std::mem::take(&mut batch), check).await?;
        }
        if is_last {
            return Ok(());
        }
    }
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
