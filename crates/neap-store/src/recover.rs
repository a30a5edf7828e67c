//! What did the last run leave behind?
//!
//! A run that was killed leaves requests in flight and a segment with a tail that belongs to nothing. The
//! next one takes over at once: the lock says that the other is dead. What was in flight becomes an
//! attempt with cause `lost`, which is not charged; what was in flight *alone* and is lost for the
//! third time killed the process itself, and is given up as `quarantined`.

use std::collections::HashSet;
use std::fs::OpenOptions;

use neap_core::{Epoch, UnixMs};
use sqlx::{Connection, Row, SqliteConnection};

use crate::checkpoint::settle;
use crate::lock::node;
use crate::segments::{SegmentFile, directory_of, segment_files};
use crate::{RunLock, SqliteStore, StoreError};

/// Losses of a request that was in flight alone, after which it is given up. Alone, because a process that
/// dies with 64 requests in flight has one culprit at most; three, because machines lose power too.
pub const LOST_ALONE_MAX: i64 = 3;

/// One run, from now on the only one that may write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Its fence.
    pub epoch: Epoch,
    /// Whether it takes up every job that it finds.
    pub is_for_all: bool,
    /// What it found of those before it.
    pub recovered: Recovered,
}

/// What a run found of those before it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Requests that were in flight when their run died; they are ready again.
    pub lost: u64,
    /// Of the lost ones, those that were given up.
    pub quarantined: u64,
    /// Segment files that had a tail that belongs to nothing.
    pub truncated_segments: u64,
    /// Segment files that nothing was committed of; they are gone.
    pub removed_segments: u64,
}

impl SqliteStore {
    /// Begins a run, and takes over from runs that died.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be written; then nothing has happened.
    pub async fn begin_run(&self, lock: &RunLock, now: UnixMs) -> Result<Run, StoreError> {
        self.begin(lock, now, false).await
    }

    /// Begins a run that takes up every job there is, those included that come while it goes on; and takes
    /// over from runs that died.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be written; then nothing has happened.
    pub async fn begin_run_for_all(&self, lock: &RunLock, now: UnixMs) -> Result<Run, StoreError> {
        self.begin(lock, now, true).await
    }

    async fn begin(
        &self,
        _lock: &RunLock,
        now: UnixMs,
        is_for_all: bool,
    ) -> Result<Run, StoreError> {
        let mut connection = self.connect().await?;
        let sql = || StoreError::sql(self.path());
        // If the last run ended since a flush failed, the log may be whole in memory and not on the disk, and
        // flushing it again would say nothing (Rebello et al., "Can Applications Recover from fsync
        // Failures?", USENIX ATC 2020). So nothing is added to it: it is written once more, into the database.
        settle(&mut connection).await.map_err(sql())?;
        let mut transaction = connection
            .begin_with("BEGIN IMMEDIATE")
            .await
            .map_err(sql())?;
        let mut recovered = recover_requests(&mut transaction).await.map_err(sql())?;
        let beside = self.look_beside(&mut transaction).await?;
        recovered.truncated_segments = self
            .seal_segments(&mut transaction, now, beside.is_newer)
            .await?;
        if beside.is_newer {
            tracing::warn!(
                "the segment files are newer than the store; what it does not know of them stays"
            );
            keep_unknown(&mut transaction).await.map_err(sql())?;
        }
        recovered.removed_segments = self.remove_orphans(&mut transaction).await?;
        let epoch = insert_run(&mut transaction, now, is_for_all, beside.last_epoch)
            .await
            .map_err(sql())?;
        transaction.commit().await.map_err(sql())?;
        self.own_segments(epoch, &mut connection).await?;
        connection.close().await.map_err(sql())?;
        self.finish_cancelled().await?;
        self.clear_drafts().await?;
        Ok(Run {
            epoch: Epoch(epoch),
            is_for_all,
            recovered,
        })
    }

    /// Cuts the segments of dead runs to what is committed and seals them; how many were cut. Cutting
    /// again after a crash in between does no harm. What a store that `is_older` does not know of them stays.
    async fn seal_segments(
        &self,
        connection: &mut SqliteConnection,
        now: UnixMs,
        is_older: bool,
    ) -> Result<u64, StoreError> {
        let sql = || StoreError::sql(self.path());
        let open = sqlx::query(
            "SELECT segment_id, file, file_bytes FROM segments WHERE sealed_ms IS NULL",
        )
        .fetch_all(&mut *connection)
        .await
        .map_err(sql())?;
        let mut truncated = 0;
        for row in open {
            let path = directory_of(self.path()).join(row.get::<&str, _>(1));
            let mut committed = row.get::<i64, _>(2).unsigned_abs();
            match OpenOptions::new().write(true).open(&path) {
                Err(_) => {
                    tracing::warn!(path = %path.display(), "a segment file is gone; its bodies are lost");
                }
                Ok(file) => {
                    let found = file.metadata().map_err(StoreError::io(&path))?.len();
                    if found > committed && is_older {
                        committed = found;
                    } else if found > committed {
                        file.set_len(committed).map_err(StoreError::io(&path))?;
                        file.sync_all().map_err(StoreError::io(&path))?;
                        truncated += 1;
                    } else if found < committed {
                        tracing::warn!(path = %path.display(), found, committed, "a segment file is cut short");
                    }
                }
            }
            sqlx::query("UPDATE segments SET sealed_ms = ?, file_bytes = ? WHERE segment_id = ?")
                .bind(now.0)
                .bind(committed.cast_signed())
                .bind(row.get::<i64, _>(0))
                .execute(&mut *connection)
                .await
                .map_err(sql())?;
        }
        Ok(truncated)
    }

    /// Removes segment files of runs that died before they committed anything of them; how many.
    /// Everything else in the directory stays, as do files of runs that the store does not know, or not to
    /// their end.
    async fn remove_orphans(&self, connection: &mut SqliteConnection) -> Result<u64, StoreError> {
        let directory = directory_of(self.path());
        let sql = || StoreError::sql(self.path());
        let known: Vec<String> = sqlx::query_scalar("SELECT file FROM segments")
            .fetch_all(&mut *connection)
            .await
            .map_err(sql())?;
        let runs: Vec<i64> = sqlx::query_scalar(
            "SELECT epoch FROM runs WHERE epoch > coalesce((SELECT CAST(value AS INTEGER) FROM store_meta
               WHERE name = 'files_stay_until_epoch'), 0)",
        )
        .fetch_all(connection)
        .await
        .map_err(sql())?;
        let known: HashSet<String> = known.into_iter().collect();
        let runs: HashSet<i64> = runs.into_iter().collect();
        let mut removed = 0;
        for SegmentFile { name, epoch } in
            segment_files(&directory).map_err(StoreError::io(&directory))?
        {
            if runs.contains(&epoch) && !known.contains(&name) {
                let path = directory.join(name);
                std::fs::remove_file(&path).map_err(StoreError::io(&path))?;
                tracing::debug!(path = %path.display(), "a segment file without a commit is removed");
                removed += 1;
            }
        }
        Ok(removed)
    }
}

/// What is in flight is few and is looked through first: all requests may be ten million.
const LOST: &str =
    "INSERT INTO attempts (request_id, host_id, epoch, number, started_ms, outcome, cause, fault,
         is_charged, in_flight)
     SELECT r.request_id, r.host_id, f.epoch, r.earlier + r.attempts + r.deferrals + r.lost + 1, f.started_ms,
         10, 'lost', 'own_network', 0, CASE f.is_alone WHEN 1 THEN 1 END
     FROM in_flight f CROSS JOIN requests r ON r.request_id = f.request_id
     WHERE r.state IN (0, 4)";

/// Turns what is in flight into lost attempts.
pub(crate) async fn recover_requests(
    connection: &mut SqliteConnection,
) -> Result<Recovered, sqlx::Error> {
    let lost = sqlx::query(LOST)
        .execute(&mut *connection)
        .await?
        .rows_affected();
    sqlx::query(
        "UPDATE requests SET lost = lost + 1
         WHERE request_id IN (SELECT request_id FROM in_flight) AND state IN (0, 4)",
    )
    .execute(&mut *connection)
    .await?;
    let quarantined = sqlx::query(
        "UPDATE requests SET state = 3, cause = 'quarantined'
         WHERE request_id IN (SELECT request_id FROM in_flight WHERE is_alone = 1) AND state = 0
           AND ? <= (SELECT count(*) FROM attempts a WHERE a.request_id = requests.request_id
                     AND a.cause = 'lost' AND a.in_flight = 1)
         RETURNING job_id, host_id",
    )
    .bind(LOST_ALONE_MAX)
    .fetch_all(&mut *connection)
    .await?;
    for row in &quarantined {
        sqlx::query("UPDATE jobs SET ready = ready - 1, failed = failed + 1 WHERE job_id = ?")
            .bind(row.get::<i64, _>(0))
            .execute(&mut *connection)
            .await?;
        sqlx::query("UPDATE hosts SET failed = failed + 1 WHERE host_id = ?")
            .bind(row.get::<i64, _>(1))
            .execute(&mut *connection)
            .await?;
    }
    sqlx::query("DELETE FROM in_flight")
        .execute(&mut *connection)
        .await?;
    sqlx::query("UPDATE runs SET ending = 'lost' WHERE ended_ms IS NULL AND ending IS NULL")
        .execute(connection)
        .await?;
    Ok(Recovered {
        lost,
        quarantined: quarantined.len() as u64,
        truncated_segments: 0,
        removed_segments: 0,
    })
}

/// Lets all files of the runs so far stay, from now on: this store saw only a part of what they wrote.
async fn keep_unknown(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO store_meta (name, value)
         SELECT 'files_stay_until_epoch', coalesce(max(epoch), 0) FROM runs WHERE true
         ON CONFLICT (name) DO UPDATE SET value = excluded.value",
    )
    .execute(connection)
    .await
    .map(drop)
}

/// Numbers a run after every other, those included of which only files are left.
async fn insert_run(
    connection: &mut SqliteConnection,
    now: UnixMs,
    is_for_all: bool,
    last_epoch: i64,
) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar(
        "INSERT INTO runs (epoch, node, pid, started_ms, is_for_all)
         SELECT max(coalesce(max(epoch), 0), ?) + 1, ?, ?, ?, ? FROM runs RETURNING epoch",
    )
    .bind(last_epoch)
    .bind(node())
    .bind(i64::from(std::process::id()))
    .bind(now.0)
    .bind(is_for_all)
    .fetch_one(connection)
    .await
}

#[cfg(test)]
mod tests {
    use sqlx::AssertSqlSafe;

    use super::*;
    use crate::Access;

    #[tokio::test]
    async fn what_was_in_flight_is_found_without_reading_all_requests() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("neap.db");
        let store = SqliteStore::open(&path, Access::Create).await.unwrap();
        let mut connection = store.connect().await.unwrap();
        let plan = sqlx::query(AssertSqlSafe(format!("EXPLAIN QUERY PLAN {LOST}")));
        let plan = plan.fetch_all(&mut connection).await.unwrap();
        let steps: Vec<&str> = plan.iter().map(|row| row.get(3)).collect();
        assert_eq!(steps[0], "SCAN f", "{steps:#?}");
        assert!(
            steps[1].starts_with("SEARCH r USING INTEGER PRIMARY KEY"),
            "{steps:#?}"
        );
    }
}
