//! What may others than the run change, while it goes on?
//!
//! Jobs and requests that are not in flight, in short transactions of their own. Each counts itself in
//! `controls`, by which the run hears of it; what is in flight under the run stays the run's.
//!
//! Neither side starves the other. SQLite lets one write at a time and has the others ask again, at longer
//! and longer intervals: who writes without a pause is hardly ever caught between two transactions. So
//! others ask every millisecond and rest after each of theirs for as long as it took; the run's writer
//! leaves a gap after each batch while it sees others at work.

mod jobs;
mod requests;
mod select;

pub use select::Chosen;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use neap_core::JobId;
use sqlx::{Connection, SqliteConnection};

use crate::checkpoint::truncate;
use crate::identity::Identity;
use crate::jobs::state_named;
use crate::lock::is_held;
use crate::{JobState, SqliteStore, StoreError};

/// How often it is asked whether the store can be written now.
const ASK_EVERY: Duration = Duration::from_millis(1);
/// How long it is asked: as long as a connection waits anyway.
const ASK_FOR: Duration = Duration::from_secs(60);
/// Longest rest after a transaction.
const LONGEST_REST: Duration = Duration::from_millis(100);

/// A connection for short transactions beside a run.
pub(crate) struct Outside {
    connection: SqliteConnection,
    path: PathBuf,
    identity: Identity,
    began: Instant,
    /// Whether a run may want to write, too.
    has_run: bool,
}

impl SqliteStore {
    /// Opens a connection for short transactions beside a run.
    pub(crate) async fn outside(&self) -> Result<Outside, StoreError> {
        let identity = Identity::of(self.path());
        let mut connection = self.connect().await?;
        // The log is checkpointed here, too, when it is as long as a run lets it grow: there may be none.
        for sql in [
            "PRAGMA busy_timeout = 0",
            "PRAGMA wal_autocheckpoint = 16384",
        ] {
            sqlx::query(sql)
                .execute(&mut connection)
                .await
                .map_err(StoreError::sql(self.path()))?;
        }
        Ok(Outside {
            connection,
            path: self.path().to_owned(),
            identity,
            began: Instant::now(),
            has_run: false,
        })
    }
}

impl Outside {
    /// Begins a transaction. It ends with [`Outside::commit`], or undone with the connection.
    pub(crate) async fn begin(&mut self) -> Result<&mut SqliteConnection, StoreError> {
        let asked = Instant::now();
        loop {
            let begun = sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut self.connection);
            match begun.await {
                Ok(_) => break,
                Err(error) if is_busy(&error) && asked.elapsed() < ASK_FOR => {
                    tokio::time::sleep(ASK_EVERY).await;
                }
                Err(error) => return Err(StoreError::sql(&self.path)(error)),
            }
        }
        self.began = Instant::now();
        Ok(&mut self.connection)
    }

    /// Whether a run may want to write, too, as far as was seen at the last commit.
    pub(crate) fn has_run(&self) -> bool {
        self.has_run
    }

    /// The connection, within a transaction.
    pub(crate) fn connection(&mut self) -> &mut SqliteConnection {
        &mut self.connection
    }

    /// Makes sure, within a transaction, that more of a job may be asked for, now or once it is continued.
    pub(crate) async fn check_takes_work(&mut self, job: JobId) -> Result<(), StoreError> {
        let row: Option<(String, u32, String)> =
            sqlx::query_as("SELECT name, round, state_name FROM jobs WHERE job_id = ?")
                .bind(job.0)
                .fetch_optional(&mut self.connection)
                .await
                .map_err(StoreError::sql(&self.path))?;
        let (name, round, state) =
            row.ok_or_else(|| StoreError::Unexpected(format!("there is no job {job}")))?;
        match state_named(&state) {
            JobState::Unfinished | JobState::Paused | JobState::Finished => Ok(()),
            state @ (JobState::Cancelled | JobState::Replaced) => {
                Err(StoreError::JobOver { name, round, state })
            }
        }
    }

    /// Commits and lets the run know.
    ///
    /// # Errors
    /// [`StoreError::Moved`] as well: what was committed is in no file of that name then.
    pub(crate) async fn commit(&mut self) -> Result<(), StoreError> {
        let has_run = sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM runs WHERE epoch = (SELECT max(epoch) FROM runs)
             AND ended_ms IS NULL AND ending IS NULL)",
        )
        .fetch_one(&mut self.connection)
        .await;
        let has_run: bool = has_run.map_err(StoreError::sql(&self.path))?;
        // A run that was killed says nothing; its lock does.
        self.has_run = has_run && is_held(&self.path);
        // Or a store that has the name now would get the log.
        self.identity.check()?;
        let sql = "UPDATE controls SET changes = changes + 1; COMMIT";
        let done = sqlx::raw_sql(sql).execute(&mut self.connection).await;
        done.map_err(StoreError::sql(&self.path))?;
        self.identity.check()
    }

    /// Leaves the store to the run, if there is one, for as long as the last transaction took.
    pub(crate) async fn rest(&self) {
        if self.has_run {
            tokio::time::sleep(rest_after(self.began.elapsed())).await;
        }
    }

    /// Gives the connection up. Without a run the log is emptied, as far as readers let it be, so that the one
    /// file is complete.
    pub(crate) async fn close(mut self) -> Result<(), StoreError> {
        if !self.has_run {
            let emptied = truncate(&mut self.connection).await;
            emptied.map_err(StoreError::sql(&self.path))?;
        }
        let path = self.path;
        self.connection
            .close()
            .await
            .map_err(StoreError::sql(&path))
    }

    /// What SQLite said, as an error of this store.
    pub(crate) fn error(&self, error: sqlx::Error) -> StoreError {
        StoreError::sql(&self.path)(error)
    }
}

/// How long the store is left to the run after a transaction that took so long.
fn rest_after(took: Duration) -> Duration {
    took.min(LONGEST_REST)
}

/// Whether another connection writes, <https://sqlite.org/rescode.html#busy>.
fn is_busy(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    let code = code.and_then(|code| code.parse::<u32>().ok());
    code.is_some_and(|code| code & 0xff == 5)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commit::OTHERS_ARE_AT_IT;
    use crate::session::GAP;

    /// How long SQLite waits before it asks again, and after that every 100 ms (`sqliteDefaultBusyCallback`).
    const SQLITE_ASKS_AFTER_MS: [u64; 12] = [1, 2, 5, 10, 15, 20, 25, 25, 25, 50, 50, 100];

    /// What the run does between two batches: it hands out events.
    const BETWEEN_BATCHES: Duration = Duration::from_micros(100);

    /// A run that always has something to write and others that do, in modelled time: how long each of them
    /// wrote within a minute.
    fn a_minute(batch: Duration, transaction: Duration) -> (Duration, Duration) {
        let minute = Duration::from_secs(60);
        let (mut by_run, mut by_others) = (Duration::ZERO, Duration::ZERO);
        // When each of them asks next, how often the run asked in vain, and until when somebody writes.
        let (mut run_asks, mut others_ask) = (Duration::ZERO, Duration::from_micros(300));
        let (mut asked, mut busy_until) = (0, Duration::ZERO);
        let mut batches = 0;
        let mut others_wrote: Option<Duration> = None;
        loop {
            let now = run_asks.min(others_ask);
            if now >= minute {
                return (by_run, by_others);
            }
            let is_busy = now < busy_until;
            if now == run_asks && is_busy {
                let wait = SQLITE_ASKS_AFTER_MS[asked.min(SQLITE_ASKS_AFTER_MS.len() - 1)];
                run_asks = now + Duration::from_millis(wait);
                asked += 1;
            } else if now == run_asks {
                let sees_others = others_wrote.is_some_and(|at| now - at < OTHERS_ARE_AT_IT);
                let gap = if sees_others { GAP } else { Duration::ZERO };
                // No two are alike, so that the beat of the others' questions does not matter.
                batches += 1;
                busy_until = now + batch + Duration::from_micros(batches * 617 % 1000);
                by_run += batch;
                run_asks = busy_until + BETWEEN_BATCHES + gap;
                asked = 0;
            } else if is_busy {
                others_ask = now + ASK_EVERY;
            } else {
                busy_until = now + transaction;
                by_others += transaction;
                others_wrote = Some(busy_until);
                others_ask = busy_until + rest_after(transaction);
            }
        }
    }

    #[test]
    fn neither_the_run_nor_others_keep_the_store_for_themselves() {
        for batch in [2, 10, 50, 300] {
            for transaction in [1, 10, 50, 300] {
                let of = Duration::from_millis;
                let (by_run, by_others) = a_minute(of(batch), of(transaction));
                let told = format!("{batch} ms, {transaction} ms: {by_run:?}, {by_others:?}");
                assert!(by_run >= Duration::from_secs(3), "{told}");
                // One of theirs for each batch is what there is room for.
                let least = Duration::from_secs(60) * transaction as u32
                    / (4 * (batch + transaction + 6) as u32);
                assert!(by_others >= least, "{told}, at least {least:?}");
            }
        }
    }
}
