//! How does one run write to a SQLite file?
//!
//! Over one connection, beside which another one writes the log back. What the run has learned on the way
//! (numbers of hosts, links seen lately) is kept in memory from batch to batch and is gone with it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use neap_core::job::{Durability, Job};
use neap_core::{Epoch, JobId, UnixMs};
use sqlx::SqliteConnection;

use crate::batch::{Command, Event};
use crate::checkpoint::{Checkpointer, close};
use crate::commit::{Heeded, Ledger, Trouble, commit};
use crate::discover::HostNumbers;
use crate::fingerprint::RecentLinks;
use crate::identity::Identity;
use crate::ownership::store_id;
use crate::segments::{Originals, SegmentWriter, directory_of};
use crate::store::{Partitions, Session, Steering, Store};
use crate::{InputRow, JobRow, Run, RunLock, Settings, SqliteStore, StoreError, Submitted, now};

/// What is left between two batches while others write: they ask every millisecond.
pub(crate) const GAP: Duration = Duration::from_millis(3);

/// One run's side of a SQLite file.
pub struct SqliteSession {
    ledger: Ledger,
    connection: SqliteConnection,
    checkpointer: Checkpointer,
    identity: Identity,
    /// What a power cut may take by now.
    durability: Durability,
}

impl std::fmt::Debug for SqliteSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The key of the fingerprints stays out of logs.
        f.debug_struct("SqliteSession")
            .field("path", &self.ledger.path)
            .field("epoch", &self.ledger.epoch)
            .finish_non_exhaustive()
    }
}

impl Store for SqliteStore {
    type Lock = RunLock;
    type Session = SqliteSession;

    async fn lock(&self, now: UnixMs) -> Result<RunLock, StoreError> {
        SqliteStore::lock(self, now).await
    }

    async fn submit_rows(&self, job: &Job, rows: &[InputRow]) -> Result<Submitted, StoreError> {
        let mut intake = self.begin_job(job).await?;
        match intake.add(rows).await {
            Ok(()) => intake.complete(&[]).await,
            Err(error) => {
                // What the failure left is cleared away now, or by whoever submits or runs next.
                let _ = intake.discard().await;
                Err(error)
            }
        }
    }

    async fn unfinished(&self) -> Result<Vec<JobRow>, StoreError> {
        self.unfinished_jobs().await
    }

    async fn steer(&self, job: JobId, wish: Steering) -> Result<bool, StoreError> {
        match wish {
            Steering::Pause => self.pause_job(job).await,
            Steering::Continue => self.continue_job(job).await,
            Steering::Cancel => self.cancel_job(job).await,
        }
    }

    async fn begin(
        &self,
        lock: &RunLock,
        now: UnixMs,
        is_for_all: bool,
    ) -> Result<Run, StoreError> {
        if is_for_all {
            self.begin_run_for_all(lock, now).await
        } else {
            self.begin_run(lock, now).await
        }
    }

    async fn session(&self, run: &Run, settings: Settings) -> Result<SqliteSession, StoreError> {
        let mut connection = self.connect_writer(settings.durability).await?;
        let has_hops: bool =
            sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM requests WHERE is_hop = 1)")
                .fetch_one(&mut connection)
                .await
                .map_err(StoreError::sql(self.path()))?;
        let directory = directory_of(self.path());
        let store_id = store_id(self.path(), &mut connection).await?;
        let ledger = Ledger {
            path: self.path().to_owned(),
            epoch: run.epoch,
            fingerprinter: self.fingerprinter.clone(),
            hosts: HostNumbers::default(),
            recent: RecentLinks::new(),
            segments: SegmentWriter::new(directory, store_id, run.epoch, settings.segment_bytes),
            originals: Arc::default(),
            stored: Vec::new(),
            rounds_before: Default::default(),
            has_hops,
            jobs: Default::default(),
            sweeps: Default::default(),
            kept_skips: Default::default(),
            proxies: Default::default(),
            heeded: Heeded::new(run.is_for_all),
        };
        let checkpointer = Checkpointer::new(
            self,
            settings.wal_bytes,
            settings.batch_commands,
            settings.wal_emptied_every,
        );
        Ok(SqliteSession {
            ledger,
            connection,
            checkpointer: checkpointer.await?,
            identity: Identity::of(self.path()),
            durability: settings.durability,
        })
    }
}

impl Session for SqliteSession {
    fn epoch(&self) -> Epoch {
        self.ledger.epoch
    }

    fn partitions(&self) -> Partitions {
        // The lock on the file is one on all of them.
        Partitions::all()
    }

    async fn commit(&mut self, batch: &mut Vec<Command>) -> Result<Vec<Event>, StoreError> {
        let committed = self.commit_durably(batch).await;
        let events = committed.map_err(|trouble| self.error(trouble))?;
        self.identity.check()?;
        Ok(events)
    }

    fn has_rest(&self) -> bool {
        !self.ledger.sweeps.is_empty()
    }

    async fn look_after(&mut self, commands: usize) -> Result<(), StoreError> {
        let ticked = self.checkpointer.tick(commands).await;
        ticked.map_err(|error| self.error(error.into()))
    }

    fn gap(&self, now: Instant) -> Duration {
        match self.ledger.heeded.others_are_at_it(now) {
            true => GAP,
            false => Duration::ZERO,
        }
    }

    fn next_look(&self) -> Option<Instant> {
        self.checkpointer.next_emptying()
    }

    fn originals(&self) -> Arc<Originals> {
        Arc::clone(&self.ledger.originals)
    }

    async fn close(mut self) -> Result<(), StoreError> {
        if let Err(error) = self.checkpointer.stop().await {
            let error = self.error(error.into());
            self.abandon().await;
            return Err(error);
        }
        let path = self.ledger.path.clone();
        let ended = self.end().await;
        ended.map_err(|trouble| trouble.at(&path))
    }

    async fn abandon(mut self) {
        // It has failed with the transaction, or there was none.
        let _ = sqlx::query("ROLLBACK").execute(&mut self.connection).await;
        // Closing the last connection would flush the log and move it into the database. After a flush that
        // failed, the next one may succeed without having written anything, so the connection stays open
        // until the process ends, and the next run decides by the log's checksums what is in it.
        std::mem::forget(self.connection);
    }
}

impl SqliteSession {
    async fn commit_durably(&mut self, batch: &mut Vec<Command>) -> Result<Vec<Event>, Trouble> {
        heed_durability(&mut self.durability, batch, &mut self.connection).await?;
        commit(&mut self.ledger, &mut self.connection, batch).await
    }

    async fn end(mut self) -> Result<(), Trouble> {
        self.ledger.segments.seal(&mut self.connection).await?;
        // What is still in flight was called off and not lost: the next run asks it again, and nobody
        // takes it for a request that kills processes.
        sqlx::query("DELETE FROM in_flight WHERE epoch = ?")
            .bind(self.ledger.epoch.0)
            .execute(&mut self.connection)
            .await?;
        sqlx::query("UPDATE runs SET ended_ms = ?, ending = 'closed' WHERE epoch = ?")
            .bind(now().0)
            .bind(self.ledger.epoch.0)
            .execute(&mut self.connection)
            .await?;
        close(self.connection).await?;
        self.ledger.segments.sign_off()?;
        Ok(())
    }

    fn error(&self, trouble: Trouble) -> StoreError {
        trouble.at(&self.ledger.path)
    }
}

/// Flushes at each commit from now on, if one of the jobs that are opened wants that. It cannot be changed
/// within a transaction.
async fn heed_durability(
    durability: &mut Durability,
    commands: &[Command],
    connection: &mut SqliteConnection,
) -> Result<(), sqlx::Error> {
    for command in commands {
        let Command::OpenJob(job) = command else {
            continue;
        };
        if *durability == Durability::Full {
            break;
        }
        let is_full: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM jobs WHERE job_id = ?
               AND spec ->> '$.store.durability' IS NOT 'normal')",
        )
        .bind(job.0)
        .fetch_one(&mut *connection)
        .await?;
        if is_full {
            sqlx::query("PRAGMA synchronous = FULL")
                .execute(&mut *connection)
                .await?;
            *durability = Durability::Full;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use neap_core::CanonicalUrl;
    use tempfile::TempDir;

    use super::*;
    use crate::{Access, JobChange, RunLock, Submission};

    /// A run on a store of its own with one job, and what keeps both.
    async fn begun() -> (SqliteStore, JobId, SqliteSession, (TempDir, RunLock)) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("neap.db");
        let store = SqliteStore::open(&path, Access::Create).await.unwrap();
        let job = crate::testing::job("shop");
        let urls = [CanonicalUrl::parse("http://a.example/").unwrap()];
        let submission = Submission { job: &job, urls };
        let job = store.submit(submission).await.unwrap().job_id;
        let lock = SqliteStore::lock(&store, UnixMs(0)).await.unwrap();
        let run = store.begin(&lock, UnixMs(0), false).await.unwrap();
        let session = store.session(&run, Settings::default()).await.unwrap();
        (store, job, session, (directory, lock))
    }

    #[tokio::test]
    async fn a_job_that_wants_every_commit_flushed_gets_it_whenever_it_is_opened() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("neap.db");
        let store = SqliteStore::open(&path, Access::Create).await.unwrap();
        let mut ids = Vec::new();
        for durability in [Durability::Normal, Durability::Full] {
            let mut job = crate::testing::job("shop");
            job.store.durability = durability;
            let urls = [CanonicalUrl::parse("http://a.example/").unwrap()];
            let submitted = store.submit(Submission { job: &job, urls }).await.unwrap();
            ids.push(submitted.job_id);
        }
        let mut connection = store.connect_writer(Durability::Normal).await.unwrap();
        let mut durability = Durability::Normal;
        for (job, expected) in [(ids[0], 1), (ids[1], 2), (ids[0], 2)] {
            let commands = [Command::Heed, Command::OpenJob(job)];
            heed_durability(&mut durability, &commands, &mut connection)
                .await
                .unwrap();
            let found: i64 = sqlx::query_scalar("PRAGMA synchronous")
                .fetch_one(&mut connection)
                .await
                .unwrap();
            assert_eq!(found, expected, "{job}");
        }
    }

    #[tokio::test]
    async fn a_run_leaves_a_gap_as_long_as_others_write() {
        let (store, job, mut session, _held) = begun().await;
        let now = Instant::now();
        session.commit(&mut vec![Command::Heed]).await.unwrap();
        assert_eq!(session.gap(now), Duration::ZERO, "nobody else is there");
        assert!(store.steer(job, Steering::Pause).await.unwrap());
        session.commit(&mut vec![Command::Heed]).await.unwrap();
        assert_eq!(session.gap(now), GAP);
        let later = Instant::now() + Duration::from_secs(2);
        assert_eq!(session.gap(later), Duration::ZERO, "they are gone");
        assert!(store.steer(job, Steering::Continue).await.unwrap());
        session.commit(&mut Vec::new()).await.unwrap();
        assert_eq!(session.gap(now), GAP, "they are back");
    }

    #[tokio::test]
    async fn a_batch_that_meets_somebody_elses_transaction_is_done_after_it() {
        let (store, job, mut session, _held) = begun().await;
        session
            .commit(&mut vec![Command::OpenJob(job)])
            .await
            .unwrap();
        for paused in [true, false] {
            let mut outside = store.outside().await.unwrap();
            let sql = "UPDATE jobs SET paused_ms = ? WHERE job_id = ?";
            sqlx::query(sql)
                .bind(paused.then_some(1))
                .bind(job.0)
                .execute(outside.begin().await.unwrap())
                .await
                .unwrap();
            // The batch is asked for while the other one holds the store.
            let mut batch = vec![Command::Heed];
            let other = async {
                tokio::task::yield_now().await;
                outside.commit().await
            };
            let (events, committed) = tokio::join!(session.commit(&mut batch), other);
            committed.unwrap();
            let expected = if paused {
                JobChange::Paused
            } else {
                JobChange::Continued
            };
            let events = events.unwrap();
            let is_told = |event: &Event| matches!(event, Event::JobChanged(of, change) if *of == job && *change == expected);
            assert!(events.iter().any(is_told), "{events:?}");
        }
    }
}
