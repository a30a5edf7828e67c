//! Where do web archives find each page in the segments?
//!
//! A CDXJ index, as cdxj-indexer writes it and pywb reads it: one line a response or revisit record, its
//! SURT key, the date of the record in 14 digits, and a JSON object, all lines in the order of their bytes.
//! It comes from the tables; no segment is read.

use std::io::Write;
use std::path::Path;

use data_encoding::BASE32;
use futures_util::TryStreamExt;
use neap_core::surt::surt;
use serde_json::json;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::sorted::Sorter;
use crate::{Reader, StoreError};

impl Reader {
    /// Writes the index of all stored bodies, or of one job's; how many there are. `scratch` is a
    /// directory for what does not fit the memory.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read, [`StoreError::Io`] if `out` cannot be written.
    pub async fn cdxj(
        &self,
        job: Option<&str>,
        scratch: &Path,
        out: impl Write,
    ) -> Result<u64, StoreError> {
        let mut rows = sqlx::query(RECORDS)
            .bind(job.map(str::to_owned))
            .fetch(self.pool());
        let mut sorter = Sorter::new(scratch);
        let mut records = 0;
        let sql = || StoreError::sql(self.path());
        while let Some(row) = rows.try_next().await.map_err(sql())? {
            sorter.push(line(&row)?).map_err(StoreError::io(scratch))?;
            records += 1;
        }
        drop(rows);
        sorter.write(out).map_err(StoreError::io(scratch))?;
        Ok(records)
    }
}

/// The date is that of the record: when the attempt that brought the page began.
const RECORDS: &str =
    "SELECT r.url, coalesce(a.started_ms, p.fetched_ms), p.content_type, p.status,
       p.payload_sha1, p.segment_bytes, p.segment_offset, s.file, p.original_id IS NOT NULL
     FROM pages p CROSS JOIN requests r ON r.request_id = p.request_id
     CROSS JOIN jobs j ON j.job_id = r.job_id
     CROSS JOIN segments s ON s.segment_id = p.segment_id
     LEFT JOIN attempts a ON a.attempt_id =
       (SELECT max(x.attempt_id) FROM attempts x WHERE x.request_id = p.request_id)
     WHERE ?1 IS NULL OR j.name = ?1";

fn line(row: &SqliteRow) -> Result<String, StoreError> {
    let url: &str = row.get(0);
    let parsed =
        url::Url::parse(url).map_err(|error| StoreError::Unexpected(format!("{error}: {url}")))?;
    let is_revisit: bool = row.get(8);
    let mut fields = vec![("url", json!(url))];
    if let Some(mime) = mime(row.get(2), is_revisit) {
        fields.push(("mime", json!(mime)));
    }
    fields.push(("status", json!(row.get::<i64, _>(3).to_string())));
    if let Some(sha1) = row.get::<Option<&[u8]>, _>(4) {
        fields.push(("digest", json!(format!("sha1:{}", BASE32.encode(sha1)))));
    }
    // Numbers are text in this format.
    fields.push(("length", json!(row.get::<i64, _>(5).to_string())));
    fields.push(("offset", json!(row.get::<i64, _>(6).to_string())));
    fields.push(("filename", json!(row.get::<&str, _>(7))));
    let fields: Vec<String> = fields
        .iter()
        .map(|(name, value)| format!("\"{name}\": {value}"))
        .collect();
    Ok(format!(
        "{} {} {{{}}}",
        surt(&parsed),
        timestamp(row.get(1)),
        fields.join(", ")
    ))
}

/// The media type without its parameters.
fn mime(content_type: Option<&str>, is_revisit: bool) -> Option<&str> {
    if is_revisit {
        return Some("warc/revisit");
    }
    let end = |c: char| c == ';' || c.is_whitespace();
    content_type?
        .split(end)
        .next()
        .filter(|mime| !mime.is_empty())
}

/// A moment as `YYYYMMDDhhmmss`.
fn timestamp(unix_ms: i64) -> String {
    let text = crate::rfc3339(neap_core::UnixMs(unix_ms));
    let digits = text.chars().filter(char::is_ascii_digit);
    digits.take(14).collect()
}
