//! What can be seen of a store from outside, while a run writes?
//!
//! Everything that is committed. Readers take no lock and keep nobody waiting; each query sees the store
//! as it was when the query began.

use std::path::{Path, PathBuf};
use std::time::Duration;

use neap_core::{CanonicalUrl, JobId};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions, SqliteRow};
use sqlx::{ConnectOptions, Row, SqlitePool};

use crate::StoreError;
use crate::commit::LONGEST_CHAIN;
use crate::discover::host_name;
use crate::jobs::{self, JobRow};
use crate::migrate::{KNOWN_VERSION, version};
use crate::open::{beside, inspect, newer, read_key};
use crate::segments::{RecordAt, Shelves, Stored, StoredBody, read};

/// Connections: one that reads rows, and one for what is asked meanwhile.
const CONNECTIONS: u32 = 2;

/// A store that can only be read.
#[derive(Debug, Clone)]
pub struct Reader {
    path: PathBuf,
    pool: SqlitePool,
    shelves: Shelves,
}

impl Reader {
    /// Opens a store for reading.
    ///
    /// # Errors
    /// As [`crate::SqliteStore::open`], and [`StoreError::Older`] for a store that must be migrated first.
    pub async fn open(path: &Path) -> Result<Reader, StoreError> {
        inspect(path)?;
        let (pool, found) = match connect(path, false).await {
            // Nobody can change it either where nothing can be written and no log waits.
            Err(StoreError::ReadOnly { .. }) if !has_log(path) => connect(path, true).await?,
            connected => connected?,
        };
        if found > KNOWN_VERSION {
            return Err(newer(path, found));
        }
        if found < KNOWN_VERSION {
            return Err(StoreError::Older {
                path: path.to_owned(),
                version: found,
                known: KNOWN_VERSION,
            });
        }
        let sql = StoreError::sql(path);
        let mut connection = pool.acquire().await.map_err(sql)?;
        let shelves = Shelves::read(path, &mut connection).await?;
        drop(connection);
        Ok(Reader {
            path: path.to_owned(),
            pool,
            shelves,
        })
    }

    /// The database file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The directory of the store's segments; for a copy, that of its original.
    pub fn bodies(&self) -> &Path {
        self.shelves.original().unwrap_or(self.shelves.own())
    }

    /// Whether this is a copy, whose bodies stayed with its original.
    pub fn is_copy(&self) -> bool {
        self.shelves.original().is_some()
    }

    pub(crate) fn shelves(&self) -> &Shelves {
        &self.shelves
    }

    pub(crate) fn pool(&self) -> &SqlitePool {
        &self.pool
    }

    /// Every round of every job, the oldest first.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    pub async fn jobs(&self) -> Result<Vec<JobRow>, StoreError> {
        jobs::read(&self.pool, &self.path, jobs::ALL, None).await
    }

    /// The stored page of a URL, wherever its redirects led; of one job, or of the newest that has it.
    /// The target of a redirect can be asked for as well. `None` if there is no such page or its body was
    /// not kept.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if it is there and cannot be read, [`StoreError::Elsewhere`] if this is a copy
    /// and its original does not have it any more.
    pub async fn body(
        &self,
        url: &CanonicalUrl,
        job: Option<JobId>,
    ) -> Result<Option<StoredBody>, StoreError> {
        let sql = || StoreError::sql(&self.path);
        let mut connection = self.pool.acquire().await.map_err(sql())?;
        let fingerprinter = read_key(&mut connection, &self.path).await?;
        let jobs: Vec<i64> = match job {
            Some(job) => vec![job.0],
            None => sqlx::query_scalar("SELECT job_id FROM jobs")
                .fetch_all(&mut *connection)
                .await
                .map_err(sql())?,
        };
        let fingerprints: Vec<i64> = jobs
            .iter()
            .map(|job| fingerprinter.of(JobId(*job), url))
            .collect();
        let row = sqlx::query(BODY)
            .bind(host_name(url).to_owned())
            .bind(serde_json::json!(fingerprints).to_string())
            .bind(url.as_str().to_owned())
            .bind(LONGEST_CHAIN)
            .fetch_optional(&mut *connection)
            .await
            .map_err(sql())?;
        drop(connection);
        let Some(row) = row else { return Ok(None) };
        let stored = stored_at(&row, 0, &self.shelves)
            .ok_or_else(|| StoreError::Unexpected("a page has no place for its body".to_owned()))?;
        if let Some(missed) = self.shelves.missed(&stored) {
            return Err(StoreError::Elsewhere {
                path: self.path.clone(),
                file: missed.path.clone(),
            });
        }
        let body = tokio::task::spawn_blocking(move || read(&stored)).await;
        body.map_err(|error| StoreError::Unexpected(error.to_string()))?
            .map(Some)
    }
}

/// Where an answer is, from seven columns: file, offset and length of its own record and of the one with its
/// payload, and the payload's digest. `None` if it is not stored.
pub(crate) fn stored_at(row: &SqliteRow, first: usize, shelves: &Shelves) -> Option<Stored> {
    let record = |at: usize| {
        let number = |at| row.get::<Option<i64>, _>(at).map(i64::unsigned_abs);
        Some(RecordAt {
            path: shelves.find(row.get::<Option<&str>, _>(at)?),
            offset: number(at + 1)?,
            bytes: number(at + 2)?,
        })
    };
    let sha1 = row.get::<Option<&[u8]>, _>(first + 6);
    Some(Stored {
        record: record(first)?,
        original: record(first + 3),
        payload_sha1: sha1.and_then(|sha1| sha1.try_into().ok()),
    })
}

/// Connects readers to a store, whose version is told. With `is_immutable` SQLite looks for no other file
/// and takes no lock.
async fn connect(path: &Path, is_immutable: bool) -> Result<(SqlitePool, i64), StoreError> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .read_only(true)
        .immutable(is_immutable)
        .busy_timeout(Duration::from_secs(10))
        .foreign_keys(false)
        .pragma("query_only", "ON")
        .disable_statement_logging();
    let pool = SqlitePoolOptions::new()
        .max_connections(CONNECTIONS)
        .connect_lazy_with(options);
    let sql = || StoreError::sql(path);
    let mut connection = pool.acquire().await.map_err(sql())?;
    let found = version(&mut connection).await.map_err(sql())?;
    drop(connection);
    Ok((pool, found))
}

/// Whether there is a write-ahead log that may hold what the database does not.
fn has_log(path: &Path) -> bool {
    std::fs::metadata(beside(path, "-wal")).is_ok_and(|log| log.len() > 0)
}

/// Where the page of a URL is. Host and fingerprint find the request of each job, the URL tells apart what
/// shares a fingerprint by chance.
const BODY: &str = "WITH RECURSIVE chain (job_id, request_id, next, hop) AS (
       SELECT r.job_id, r.request_id, r.redirect_to, 0
       FROM hosts h JOIN requests r ON r.host_id = h.host_id
       WHERE h.name = ?1 AND r.fingerprint IN (SELECT value FROM json_each(?2)) AND r.url = ?3
       UNION ALL
       SELECT chain.job_id, n.request_id, n.redirect_to, hop + 1
       FROM chain JOIN requests n ON n.request_id = chain.next WHERE hop < ?4)
     SELECT s.file, p.segment_offset, p.segment_bytes,
       os.file, o.segment_offset, o.segment_bytes, p.payload_sha1
     FROM chain JOIN pages p ON p.request_id = chain.request_id
     JOIN segments s ON s.segment_id = p.segment_id
     LEFT JOIN originals o ON o.original_id = p.original_id
     LEFT JOIN segments os ON os.segment_id = o.segment_id
     WHERE chain.next IS NULL ORDER BY chain.job_id DESC LIMIT 1";
