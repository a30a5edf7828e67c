//! What is left of submissions whose process died?
//!
//! Whoever submits shares a lock on `<store>.submit`, of which the kernel lets go when the process dies. Who
//! gets that lock alone knows that nobody submits: every draft is one of the dead, and is cleared away.

use std::fs::{File, OpenOptions, TryLockError};
use std::time::Duration;

use neap_core::JobId;
use sqlx::{Row, SqliteConnection};

use crate::open::beside;
use crate::submit::InputFile;
use crate::values::Shape;
use crate::{SqliteStore, StoreError};

/// Rows that are cleared away in one transaction.
const SLICE: i64 = 4096;

/// The sign that a process submits; held until it is dropped or the process ends.
#[derive(Debug)]
pub(crate) struct Submitting {
    _file: File,
}

impl SqliteStore {
    /// Says that this process submits, after it has cleared away what others left.
    pub(crate) async fn start_submitting(&self) -> Result<Submitting, StoreError> {
        self.clear_drafts().await?;
        let file = self.open_submit_lock()?;
        loop {
            match file.try_lock_shared() {
                Ok(()) => return Ok(Submitting { _file: file }),
                // Somebody clears drafts away.
                Err(TryLockError::WouldBlock) => {
                    tokio::time::sleep(Duration::from_millis(20)).await
                }
                Err(TryLockError::Error(error)) => return Err(StoreError::io(self.path())(error)),
            }
        }
    }

    /// Clears away the drafts of processes that died, unless somebody submits at the moment.
    pub(crate) async fn clear_drafts(&self) -> Result<(), StoreError> {
        let mut connection = self.connect().await?;
        let drafts: Vec<i64> = sqlx::query_scalar("SELECT job_id FROM drafts")
            .fetch_all(&mut connection)
            .await
            .map_err(StoreError::sql(self.path()))?;
        drop(connection);
        if drafts.is_empty() {
            return Ok(());
        }
        let file = self.open_submit_lock()?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(()),
            Err(TryLockError::Error(error)) => return Err(StoreError::io(self.path())(error)),
        }
        for job in drafts {
            tracing::debug!(job, "half a submission is cleared away");
            self.clear_draft(JobId(job)).await?;
        }
        Ok(())
    }

    pub(crate) fn open_submit_lock(&self) -> Result<File, StoreError> {
        let path = beside(self.path(), ".submit");
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        options.open(&path).map_err(StoreError::io(&path))
    }

    /// Removes a draft with all its requests. One that was completed meanwhile is none.
    pub(crate) async fn clear_draft(&self, job: JobId) -> Result<(), StoreError> {
        let mut outside = self.outside().await?;
        let mut is_left = true;
        while is_left {
            let cleared = clear_slice(outside.begin().await?, job).await;
            is_left = cleared.map_err(|error| outside.error(error))?;
            outside.commit().await?;
            outside.rest().await;
        }
        outside.close().await
    }

    /// The input files of a job that were read to their end, as they were then.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    pub async fn input_files(&self, job: JobId) -> Result<Vec<InputFile>, StoreError> {
        let mut connection = self.connect().await?;
        let rows =
            sqlx::query("SELECT file, file_bytes, modified_ns FROM input_files WHERE job_id = ?")
                .bind(job.0)
                .fetch_all(&mut connection)
                .await
                .map_err(StoreError::sql(self.path()))?;
        let file = |row: &sqlx::sqlite::SqliteRow| InputFile {
            name: row.get(0),
            bytes: row.get::<i64, _>(1).unsigned_abs(),
            modified_ns: row.get(2),
        };
        Ok(rows.iter().map(file).collect())
    }
}

static DELETE_FIELDS: Shape = Shape::new("DELETE FROM inputs WHERE request_id IN (", "?", ")");
static DELETE_REQUESTS: Shape = Shape::new("DELETE FROM requests WHERE request_id IN (", "?", ")");

/// Removes some requests of a draft, or the draft if there are none; whether anything may be left.
async fn clear_slice(connection: &mut SqliteConnection, job: JobId) -> Result<bool, sqlx::Error> {
    let first: Option<i64> =
        sqlx::query_scalar("SELECT first_request_id FROM drafts WHERE job_id = ?")
            .bind(job.0)
            .fetch_optional(&mut *connection)
            .await?;
    let Some(first) = first else {
        return Ok(false);
    };
    let rows: Vec<i64> = sqlx::query_scalar(
        "SELECT request_id FROM requests WHERE request_id >= ? AND job_id = ?
         ORDER BY request_id LIMIT ?",
    )
    .bind(first)
    .bind(job.0)
    .bind(SLICE)
    .fetch_all(&mut *connection)
    .await?;
    let Some(last) = rows.last() else {
        for sql in [
            "DELETE FROM input_hosts WHERE job_id = ?",
            "DELETE FROM drafts WHERE job_id = ?",
        ] {
            sqlx::query(sql)
                .bind(job.0)
                .execute(&mut *connection)
                .await?;
        }
        return Ok(false);
    };
    for shape in [&DELETE_FIELDS, &DELETE_REQUESTS] {
        shape
            .execute(connection, &rows, |request, args| {
                args.int(*request);
            })
            .await?;
    }
    sqlx::query("UPDATE drafts SET first_request_id = ? WHERE job_id = ?")
        .bind(last + 1)
        .bind(job.0)
        .execute(connection)
        .await?;
    Ok(true)
}
