//! When does the write-ahead log go back into the database?
//!
//! SQLite by itself would do it within whichever commit makes the log long. Here a second connection does it
//! beside the writer, when the log has grown by so many bytes, and passively: it never waits for a
//! reader. From time to time, and when the run ends, the log is emptied, so that a copy of the main file
//! alone is complete; that waits for readers a tenth of a second. A reader that holds an old snapshot keeps
//! the log growing, which is said.

use std::time::{Duration, Instant};

use sqlx::{Connection, Row, SqliteConnection};
use tokio::task::JoinHandle;

use crate::{SqliteStore, StoreError};

/// Bytes of a page of the log; the page size of every store.
pub(crate) const PAGE_BYTES: u64 = 4096;

/// Writes back what no reader needs and waits for nobody.
const PASSIVE: &str = "PRAGMA wal_checkpoint(PASSIVE)";

/// Pages of a log that is emptied at once: 4 MiB take some ten milliseconds. A longer one is written back
/// beside the writer first.
const SHORT_LOG_PAGES: u64 = 1024;

/// How long a checkpoint that goes on beside is left alone when nothing else happens.
const BUSY_PAUSE: Duration = Duration::from_millis(50);

/// How long emptying the log waits for readers: a run does not stand still for somebody's query.
const READERS_TIMEOUT: &str = "PRAGMA busy_timeout = 100";

/// Checkpoints the log of one store from a connection of its own.
pub(crate) struct Checkpointer {
    limit_pages: u64,
    /// Pages in the log at which the next checkpoint starts.
    due_at_pages: u64,
    interval: Interval,
    /// How often the log is emptied, when that is due next, and whether anything was written since.
    empty_every: Duration,
    empty_at: Instant,
    is_written: bool,
    state: State,
}

enum State {
    Idle(SqliteConnection),
    Busy(JoinHandle<(SqliteConnection, Result<Progress, sqlx::Error>)>),
    /// While it changes, and for good if that fails, with which the run fails.
    Gone,
}

/// What `wal_checkpoint` says.
pub(crate) struct Progress {
    /// Whether somebody was in the way of all of it.
    pub(crate) is_busy: bool,
    pub(crate) log_pages: u64,
    pub(crate) done_pages: u64,
}

impl Checkpointer {
    /// `most_commands` is what a batch can hold.
    pub(crate) async fn new(
        store: &SqliteStore,
        limit_bytes: u64,
        most_commands: usize,
        empty_every: Duration,
    ) -> Result<Checkpointer, StoreError> {
        let limit_pages = (limit_bytes / PAGE_BYTES).max(1);
        let mut connection = store.connect().await?;
        sqlx::query(READERS_TIMEOUT)
            .execute(&mut connection)
            .await
            .map_err(StoreError::sql(store.path()))?;
        Ok(Checkpointer {
            limit_pages,
            due_at_pages: limit_pages,
            interval: Interval::of(most_commands, limit_pages),
            empty_every,
            empty_at: Instant::now() + empty_every,
            is_written: false,
            state: State::Idle(connection),
        })
    }

    /// To be called between batches, with the commands of the last one: starts a checkpoint if the log is
    /// long, and notes the end of one.
    ///
    /// # Errors
    /// The disk failed. What is in the log may be flushed no more, so that nothing may be added to it.
    pub(crate) async fn tick(&mut self, commands: usize) -> Result<(), sqlx::Error> {
        self.is_written |= commands > 0;
        let is_idle = matches!(self.state, State::Idle(_));
        if !self.interval.is_over(commands) && is_idle && !self.is_emptying_due() {
            return Ok(());
        }
        self.state = match std::mem::replace(&mut self.state, State::Gone) {
            State::Busy(job) if job.is_finished() => self.finish(job).await?,
            State::Idle(connection) => self.begin(connection).await?,
            state @ (State::Busy(_) | State::Gone) => state,
        };
        Ok(())
    }

    /// When this wants to be called, though nothing was written: the log is emptied then.
    pub(crate) fn next_emptying(&self) -> Option<Instant> {
        match self.state {
            State::Idle(_) => self.is_written.then_some(self.empty_at),
            State::Busy(_) => Some(Instant::now() + BUSY_PAUSE),
            State::Gone => None,
        }
    }

    fn is_emptying_due(&self) -> bool {
        self.is_written && self.empty_at <= Instant::now()
    }

    /// Starts a checkpoint beside the writer if the log is long; empties a short one if that is due.
    async fn begin(&mut self, mut connection: SqliteConnection) -> Result<State, sqlx::Error> {
        let is_emptying_due = self.is_emptying_due();
        let long = if is_emptying_due {
            self.due_at_pages.min(SHORT_LOG_PAGES)
        } else {
            self.due_at_pages
        };
        if log_pages(&mut connection).await? >= long {
            return Ok(State::Busy(tokio::spawn(async move {
                let progress = checkpoint(&mut connection, PASSIVE).await;
                (connection, progress)
            })));
        }
        if is_emptying_due {
            self.empty(&mut connection).await?;
        }
        Ok(State::Idle(connection))
    }

    /// Writes what is left in the log back and starts it anew, unless a reader is in the way.
    async fn empty(&mut self, connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        self.empty_at = Instant::now() + self.empty_every;
        let progress = checkpoint(connection, "PRAGMA wal_checkpoint(TRUNCATE)").await?;
        if progress.is_busy {
            tracing::debug!("a reader keeps the write-ahead log from being emptied");
        } else {
            self.is_written = false;
            self.due_at_pages = self.limit_pages;
        }
        Ok(())
    }

    /// Waits for a running checkpoint and gives the connection up; there is no checkpoint after that.
    ///
    /// # Errors
    /// As [`Checkpointer::tick`].
    pub(crate) async fn stop(&mut self) -> Result<(), sqlx::Error> {
        match std::mem::replace(&mut self.state, State::Gone) {
            State::Busy(job) => match job.await {
                Ok((_, Err(error))) => Err(error),
                Ok((_, Ok(_))) => Ok(()),
                Err(_) => Err(sqlx::Error::WorkerCrashed),
            },
            State::Idle(_) | State::Gone => Ok(()),
        }
    }

    async fn finish(
        &mut self,
        job: JoinHandle<(SqliteConnection, Result<Progress, sqlx::Error>)>,
    ) -> Result<State, sqlx::Error> {
        // It can only have panicked: nobody calls it off, and what it was at is not known.
        let (mut connection, beside) = job.await.map_err(|_| sqlx::Error::WorkerCrashed)?;
        beside?;
        // What was written meanwhile is not in it yet, and the log starts over only when all of it is. That
        // little is done now, while nobody writes.
        if self.is_emptying_due() {
            self.empty(&mut connection).await?;
            return Ok(State::Idle(connection));
        }
        let Progress {
            log_pages,
            done_pages,
            ..
        } = checkpoint(&mut connection, PASSIVE).await?;
        tracing::debug!(log_pages, done_pages, "checkpoint");
        // What is done is overwritten from the start; what is not waits for a reader to end.
        let left = log_pages.saturating_sub(done_pages);
        self.due_at_pages = if left == 0 {
            self.limit_pages
        } else {
            log_pages + self.limit_pages
        };
        if left > self.limit_pages {
            tracing::warn!(
                left,
                "a reader keeps the write-ahead log from being emptied"
            );
        }
        Ok(State::Idle(connection))
    }
}

/// When the length of the log is asked for: once for as many commands as a batch can hold, or as there are
/// pages in the limit. Small batches are spared the question.
struct Interval {
    commands: usize,
    since: usize,
}

impl Interval {
    fn of(most_commands: usize, limit_pages: u64) -> Interval {
        let pages = usize::try_from(limit_pages).unwrap_or(usize::MAX);
        Interval {
            commands: most_commands.min(pages),
            since: 0,
        }
    }

    /// Counts commands; whether enough have come since this was so last.
    fn is_over(&mut self, commands: usize) -> bool {
        self.since += commands;
        let is_over = self.since >= self.commands;
        if is_over {
            self.since = 0;
        }
        is_over
    }
}

/// Moves what the log holds into the database, as far as no reader needs it there.
pub(crate) async fn settle(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    checkpoint(connection, "PRAGMA wal_checkpoint(PASSIVE)").await?;
    Ok(())
}

/// Empties the log; whether nobody kept it from being emptied.
pub(crate) async fn truncate(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    let progress = checkpoint(connection, "PRAGMA wal_checkpoint(TRUNCATE)").await?;
    Ok(!progress.is_busy && progress.log_pages == progress.done_pages)
}

/// Pages in the log, without doing anything about it.
async fn log_pages(connection: &mut SqliteConnection) -> Result<u64, sqlx::Error> {
    Ok(checkpoint(connection, "PRAGMA wal_checkpoint(NOOP)")
        .await?
        .log_pages)
}

/// Does one of SQLite's checkpoints and says how far it came.
pub(crate) async fn checkpoint(
    connection: &mut SqliteConnection,
    sql: &'static str,
) -> Result<Progress, sqlx::Error> {
    let row = sqlx::query(sql).fetch_one(connection).await?;
    let pages = |at: usize| u64::try_from(row.get::<i64, _>(at)).unwrap_or(0);
    Ok(Progress {
        is_busy: row.get::<i64, _>(0) != 0,
        log_pages: pages(1),
        done_pages: pages(2),
    })
}

/// Ends a connection that wrote for a whole run: lets SQLite look at its statistics, empties the log.
pub(crate) async fn close(mut connection: SqliteConnection) -> Result<(), sqlx::Error> {
    // A reader may hold on to the log for as long as it likes; the run does not wait for it.
    sqlx::query("PRAGMA busy_timeout = 1000")
        .execute(&mut connection)
        .await?;
    sqlx::query("PRAGMA optimize")
        .execute(&mut connection)
        .await?;
    if !truncate(&mut connection).await? {
        tracing::debug!("a reader keeps the write-ahead log");
    }
    connection.close().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_checkpoint_that_panics_ends_the_run() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("neap.db");
        let store = SqliteStore::open(&path, crate::Access::Create)
            .await
            .unwrap();
        for stops in [true, false] {
            let made = Checkpointer::new(&store, 1 << 20, 1, Duration::from_secs(60)).await;
            let mut checkpointer = made.unwrap();
            let job = tokio::spawn(async { panic!("as a fault in it does") });
            checkpointer.state = State::Busy(job);
            let ended = if stops {
                checkpointer.stop().await
            } else {
                let State::Busy(job) = std::mem::replace(&mut checkpointer.state, State::Gone)
                else {
                    unreachable!("it was just put there")
                };
                checkpointer.finish(job).await.map(drop)
            };
            assert!(ended.is_err(), "{stops}");
        }
    }

    #[test]
    fn the_log_is_measured_once_for_as_many_commands_as_a_batch_can_hold() {
        let mut interval = Interval::of(512, 16_384);
        let of_small_batches = (0..1024).filter(|_| interval.is_over(2)).count();
        assert_eq!(of_small_batches, 4);
        assert!(interval.is_over(512), "after every full batch");
        assert!(interval.is_over(512));
        let mut short = Interval::of(512, 64);
        assert_eq!((0..64).filter(|_| short.is_over(2)).count(), 2);
    }
}
