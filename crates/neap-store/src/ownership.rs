//! Are the segment files beside a store its own, and does it know all of them?
//!
//! Asked before a run cuts or removes any, see [`Owner`]. Files of another store are refused. A store that is
//! older than its files was put back from a copy: what it does not know is somebody's crawl and stays.

use std::path::Path;

use sqlx::SqliteConnection;

use crate::segments::{BODIES_OF_COPY, Owner, directory_of, segment_files};
use crate::{SqliteStore, StoreError};

/// What a run finds beside its store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Beside {
    /// Whether the files were written after the store was, so that nothing unknown is what a crash left.
    pub(crate) is_newer: bool,
    /// The last run that any of the files is of.
    pub(crate) last_epoch: i64,
}

impl SqliteStore {
    /// Makes sure that the segment files are the store's own. A copy that runs where it has none becomes a
    /// store of its own; one that lies where its original lay takes its place.
    pub(crate) async fn look_beside(
        &self,
        connection: &mut SqliteConnection,
    ) -> Result<Beside, StoreError> {
        let directory = directory_of(self.path());
        let io = || StoreError::io(&directory);
        let sql = || StoreError::sql(self.path());
        let has_come_back = self.come_back(&directory, connection).await?;
        if !directory.exists() {
            return Ok(Beside::default());
        }
        let files = segment_files(&directory).map_err(io())?;
        let store_id = store_id(self.path(), connection).await?;
        let owner = Owner::read(&directory).map_err(io())?;
        let is_own = match &owner {
            Some(owner) => owner.store_id == store_id,
            // An earlier neap told nothing; any file that is known says as much.
            None => files.is_empty() || knows_one(connection).await.map_err(sql())?,
        };
        if !is_own {
            return Err(StoreError::OtherSegments { directory });
        }
        let last_epoch = files.iter().map(|file| file.epoch).max().unwrap_or(0);
        let last_epoch = owner
            .as_ref()
            .map_or(0, |owner| owner.epoch)
            .max(last_epoch);
        let (newest, is_open): (i64, bool) = sqlx::query_as(
            "SELECT coalesce(max(epoch), 0), coalesce(max(ended_ms IS NULL), 0)
             FROM (SELECT epoch, ended_ms FROM runs ORDER BY epoch DESC LIMIT 1)",
        )
        .fetch_one(connection)
        .await
        .map_err(sql())?;
        let has_missed_its_end =
            is_open && owner.is_some_and(|owner| owner.epoch == newest && owner.has_ended);
        Ok(Beside {
            is_newer: has_come_back || last_epoch > newest || has_missed_its_end,
            last_epoch,
        })
    }

    /// Refuses to remove segment files of another store.
    pub(crate) async fn check_owner(
        &self,
        connection: &mut SqliteConnection,
    ) -> Result<(), StoreError> {
        let directory = directory_of(self.path());
        let owner = Owner::read(&directory).map_err(StoreError::io(&directory))?;
        let store_id = store_id(self.path(), connection).await?;
        match owner {
            Some(owner) if owner.store_id != store_id => {
                Err(StoreError::OtherSegments { directory })
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Lets a copy have what its place means; whether it is the place of its original.
    async fn come_back(
        &self,
        directory: &Path,
        connection: &mut SqliteConnection,
    ) -> Result<bool, StoreError> {
        let sql = || StoreError::sql(self.path());
        let original: Option<String> =
            sqlx::query_scalar("SELECT value FROM store_meta WHERE name = ?")
                .bind(BODIES_OF_COPY)
                .fetch_optional(&mut *connection)
                .await
                .map_err(sql())?;
        let Some(original) = original else {
            return Ok(false);
        };
        let path = self.path().canonicalize();
        let is_back =
            directory_of(&path.map_err(StoreError::io(self.path()))?) == Path::new(&original);
        let change = if is_back {
            sqlx::query("DELETE FROM store_meta WHERE name = ?").bind(BODIES_OF_COPY)
        } else if directory.exists() {
            return Ok(false);
        } else {
            sqlx::query("UPDATE store_meta SET value = lower(hex(randomblob(16))) WHERE name = ?")
                .bind(STORE_ID)
        };
        change.execute(connection).await.map_err(sql())?;
        Ok(is_back)
    }

    /// Tells in the directory of the segments, if there is one, which run has them.
    pub(crate) async fn own_segments(
        &self,
        epoch: i64,
        connection: &mut SqliteConnection,
    ) -> Result<(), StoreError> {
        let directory = directory_of(self.path());
        if !directory.exists() {
            return Ok(());
        }
        let owner = Owner {
            store_id: store_id(self.path(), connection).await?,
            epoch,
            has_ended: false,
        };
        owner.write(&directory).map_err(StoreError::io(&directory))
    }
}

/// Refuses a place for a new store beside which segment files of another one lie.
pub(crate) fn refuse_segments(store: &Path) -> Result<(), StoreError> {
    let directory = directory_of(store);
    let io = || StoreError::io(&directory);
    let is_owned = Owner::read(&directory).map_err(io())?.is_some();
    if is_owned || !segment_files(&directory).map_err(io())?.is_empty() {
        return Err(StoreError::OtherSegments { directory });
    }
    Ok(())
}

/// The row of `store_meta` by which a store is told from others; its copies have the same.
const STORE_ID: &str = "store_id";

/// The id of a store.
pub(crate) async fn store_id(
    path: &Path,
    connection: &mut SqliteConnection,
) -> Result<String, StoreError> {
    sqlx::query_scalar("SELECT value FROM store_meta WHERE name = ?")
        .bind(STORE_ID)
        .fetch_one(connection)
        .await
        .map_err(StoreError::sql(path))
}

async fn knows_one(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM segments)")
        .fetch_one(connection)
        .await
}
