//! In which directory is a segment file?
//!
//! In the store's own. A copy made by `neap export` has none: it remembers that of its original, which is
//! looked into for what its own does not have. What the original removes, its copies lose.

use std::path::{Path, PathBuf};

use sqlx::SqliteConnection;

use super::{RecordAt, Stored, directory_of};
use crate::StoreError;

/// The row of `store_meta` that a copy has.
pub(crate) const BODIES_OF_COPY: &str = "bodies_stay_in";

/// The directories in which the segment files of a store may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shelves {
    own: PathBuf,
    original: Option<PathBuf>,
}

impl Shelves {
    /// Those of the store at `path`.
    pub(crate) async fn read(
        path: &Path,
        connection: &mut SqliteConnection,
    ) -> Result<Shelves, StoreError> {
        let original: Option<String> =
            sqlx::query_scalar("SELECT value FROM store_meta WHERE name = ?")
                .bind(BODIES_OF_COPY)
                .fetch_optional(connection)
                .await
                .map_err(StoreError::sql(path))?;
        Ok(Shelves {
            own: directory_of(path),
            original: original.map(PathBuf::from),
        })
    }

    /// The store's own directory.
    pub(crate) fn own(&self) -> &Path {
        &self.own
    }

    /// That of the store of which this one is a copy.
    pub(crate) fn original(&self) -> Option<&Path> {
        self.original.as_deref()
    }

    /// Where a segment file is, or where it is missed.
    pub(crate) fn find(&self, file: &str) -> PathBuf {
        let own = self.own.join(file);
        match &self.original {
            Some(original) if !own.exists() => original.join(file),
            Some(_) | None => own,
        }
    }

    /// Whether a path is one in the original's directory.
    pub(crate) fn is_elsewhere(&self, path: &Path) -> bool {
        self.original.is_some() && path.parent() != Some(&self.own)
    }

    /// The file of an answer that stayed with the original and is not there.
    pub(crate) fn missed<'a>(&self, stored: &'a Stored) -> Option<&'a RecordAt> {
        let records = [Some(&stored.record), stored.original.as_ref()];
        let mut records = records.into_iter().flatten();
        records.find(|record| self.is_elsewhere(&record.path) && !record.path.exists())
    }
}
