//! How does a store get smaller, and how is it copied while it grows?

use std::path::Path;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, SqliteConnection};

use crate::checkpoint::{Progress, checkpoint};
use crate::export::{Draft, Replaces};
use crate::place::refuse_log;
use crate::segments::{BODIES_OF_COPY, directory_of};
use crate::{Reader, RunLock, SqliteStore, StoreError};

/// What became of the write-ahead log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Emptied {
    /// Whether the log is empty, so that the main file alone is complete.
    pub is_empty: bool,
    /// Bytes of the log that are in the main file now.
    pub done_bytes: u64,
    /// Bytes that the log still holds, since somebody reads an older state.
    pub left_bytes: u64,
}

impl SqliteStore {
    /// Writes the log back into the database and empties it. A run may go on meanwhile; it waits for the
    /// moment that this takes.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be written.
    pub async fn empty_log(&self) -> Result<Emptied, StoreError> {
        /// Bytes of a page, see [`checkpoint`].
        const PAGE_BYTES: u64 = crate::checkpoint::PAGE_BYTES;
        let sql = || StoreError::sql(self.path());
        let mut connection = self.connect().await?;
        // Whoever writes waits as long as this waits for readers.
        sqlx::query("PRAGMA busy_timeout = 1000")
            .execute(&mut connection)
            .await
            .map_err(sql())?;
        // First beside everybody, so that the part that holds up the others is short.
        let beside = checkpoint(&mut connection, "PRAGMA wal_checkpoint(PASSIVE)")
            .await
            .map_err(sql())?;
        let rest = checkpoint(&mut connection, "PRAGMA wal_checkpoint(TRUNCATE)")
            .await
            .map_err(sql())?;
        connection.close().await.map_err(sql())?;
        let Progress {
            log_pages,
            done_pages,
            ..
        } = rest;
        let is_empty = !rest.is_busy && log_pages == 0;
        let left = if is_empty {
            0
        } else {
            log_pages.saturating_sub(done_pages)
        };
        Ok(Emptied {
            is_empty,
            done_bytes: beside.done_pages.max(done_pages) * PAGE_BYTES,
            left_bytes: left * PAGE_BYTES,
        })
    }

    /// Writes the database anew, without the room of what was deleted. Meanwhile what is left of it takes room
    /// twice more: as SQLite's temporary file (in `SQLITE_TMPDIR`, `TMPDIR` or /var/tmp) and in the log beside
    /// the store.
    ///
    /// # Errors
    /// [`StoreError`]; the store is as it was before.
    pub async fn vacuum(&self, _lock: &RunLock) -> Result<(), StoreError> {
        let sql = || StoreError::sql(self.path());
        let mut connection = self.connect().await?;
        // Or the new database would be built in memory.
        sqlx::query("PRAGMA temp_store = FILE")
            .execute(&mut connection)
            .await
            .map_err(sql())?;
        sqlx::query("VACUUM")
            .execute(&mut connection)
            .await
            .map_err(sql())?;
        connection.close().await.map_err(sql())
    }
}

impl Reader {
    /// Writes a compact copy of the database as it is now; a run may go on meanwhile. Segment files are not
    /// copied.
    ///
    /// # Errors
    /// Those of [`Draft::new`] and [`Draft::place`], `is_forced` letting it replace files and other copies; after any error
    /// there is no copy, and what was there is as it was.
    pub async fn copy_to(&self, to: &Path, is_forced: bool) -> Result<(), StoreError> {
        let replaces = if is_forced {
            Replaces::Copies
        } else {
            Replaces::Nothing
        };
        let draft = Draft::new(to, replaces)?;
        refuse_log(to)?;
        self.vacuum_into(draft.path(), to).await?;
        self.tell_copy(draft.path(), to).await?;
        draft.place()
    }

    /// Has the copy remember where its bodies are. A copy of a copy knows already.
    async fn tell_copy(&self, draft: &Path, to: &Path) -> Result<(), StoreError> {
        let io = || StoreError::io(self.path());
        let bodies = directory_of(&self.path().canonicalize().map_err(io())?);
        let bodies = bodies.to_str().ok_or_else(|| not_utf8(&bodies))?;
        let sql = || StoreError::sql(to);
        let mut connection: SqliteConnection = SqliteConnectOptions::new()
            .filename(draft)
            .disable_statement_logging()
            .connect()
            .await
            .map_err(sql())?;
        sqlx::query("INSERT INTO store_meta (name, value) VALUES (?, ?) ON CONFLICT DO NOTHING")
            .bind(BODIES_OF_COPY)
            .bind(bodies.to_owned())
            .execute(&mut connection)
            .await
            .map_err(sql())?;
        connection.close().await.map_err(sql())
    }

    async fn vacuum_into(&self, draft: &Path, to: &Path) -> Result<(), StoreError> {
        let sql = || StoreError::sql(self.path());
        // Not one of the pool: those refuse to write, into other files as well.
        let mut connection: SqliteConnection = SqliteConnectOptions::new()
            .filename(self.path())
            .read_only(true)
            .disable_statement_logging()
            .connect()
            .await
            .map_err(sql())?;
        let name = draft.to_str().ok_or_else(|| not_utf8(to))?;
        sqlx::query("VACUUM INTO ?")
            .bind(name.to_owned())
            .execute(&mut connection)
            .await
            .map_err(StoreError::sql(to))?;
        connection.close().await.map_err(sql())
    }
}

fn not_utf8(path: &Path) -> StoreError {
    StoreError::Refused(format!(
        "{} is no UTF-8, which SQLite wants",
        path.display()
    ))
}
