//! A store of one SQLite file, in a directory of its own.

use neap_store::{Access, SqliteStore};

use crate::rig::Kind;

pub(crate) struct Sqlite {
    store: SqliteStore,
    /// Removed with it.
    _directory: tempfile::TempDir,
}

impl Kind for Sqlite {
    type Store = SqliteStore;

    async fn make() -> Sqlite {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("neap.db");
        Sqlite {
            store: SqliteStore::open(&path, Access::Create).await.unwrap(),
            _directory: directory,
        }
    }

    fn store(&self) -> &SqliteStore {
        &self.store
    }
}
