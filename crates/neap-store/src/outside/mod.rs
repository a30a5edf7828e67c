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
            tokio::time::sleep(self.began.elapsed().min(LONGEST_REST)).await;
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

/// Whether another connection writes, <https://sqlite.org/rescode.html#busy>.
fn is_busy(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    let code = code.and_then(|code| code.parse::<u32>().ok());
    code.is_some_and(|code| code & 0xff == 5)
}
