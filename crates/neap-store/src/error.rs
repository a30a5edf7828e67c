//! What can go wrong with a store?

use std::path::{Path, PathBuf};

/// Why the store could not do something.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no such file, and the command does not create one.
    #[error("there is no store at {}", path.display())]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The file has no content, and the command does not create a store.
    #[error("{} is empty: nothing was submitted to it yet", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The file is something else altogether; it was not touched.
    #[error("{} is not a SQLite database; it was left as it is", path.display())]
    NotSqlite {
        /// The file.
        path: PathBuf,
    },
    /// The file is the database of another program; it was not touched.
    #[error("{} is a SQLite database of another program; it was left as it is", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A later neap wrote the file; it was not touched.
    #[error(
        "{} was written by a newer neap (store version {version}, this one knows {known})", path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// The version of the file.
        version: i64,
        /// The newest version that this program knows.
        known: i64,
    },
    /// An earlier neap wrote the file, and it cannot be migrated by a reader.
    #[error(
        "{} was written by an older neap (store version {version}, this one needs {known}); \
         the next run migrates it", path.display()
    )]
    Older {
        /// The file.
        path: PathBuf,
        /// The version of the file.
        version: i64,
        /// The version that this program needs.
        known: i64,
    },
    /// The SQLite that this program is linked to has a known fault.
    #[error("SQLite {found} can damage a store; {needed} or newer is needed")]
    SqliteTooOld {
        /// The linked version.
        found: String,
        /// The oldest version that will do.
        needed: &'static str,
    },
    /// Another run works on the store.
    #[error("{} is in use by another run ({holder})", path.display())]
    Held {
        /// The store.
        path: PathBuf,
        /// What the other run wrote about itself.
        holder: String,
    },
    /// A newer run has taken the store over; nothing more may be written.
    #[error("run {epoch} was superseded by run {newest}; nothing more is written")]
    Superseded {
        /// The epoch of the run that wanted to write.
        epoch: i64,
        /// The newest epoch.
        newest: i64,
    },
    /// A stored body cannot be read.
    #[error("the body cannot be read from {}: {what}", path.display())]
    Damaged {
        /// The segment file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A row holds what this program cannot have written.
    #[error("the store holds something unexpected: {0}")]
    Unexpected(String),
    /// A query that is more, or something else, than one reading statement.
    #[error("{0}")]
    Refused(String),
    /// A query that SQLite does not take; its words are for the one who wrote it.
    #[error("{0}")]
    BadQuery(String),
    /// There is no room left.
    #[error("no space left for the store {}", path.display())]
    Full {
        /// The store.
        path: PathBuf,
    },
    /// The file system failed.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the file system said.
        source: std::io::Error,
    },
    /// SQLite failed.
    #[error("{}: {source}", path.display())]
    Sql {
        /// The store.
        path: PathBuf,
        /// What SQLite said.
        source: sqlx::Error,
    },
    /// The writer has stopped; its last event says why.
    #[error("the store is not written any more")]
    Stopped,
}

impl StoreError {
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> StoreError + '_ {
        move |source| {
            if source.kind() == std::io::ErrorKind::StorageFull {
                StoreError::Full {
                    path: path.to_owned(),
                }
            } else {
                StoreError::Io {
                    path: path.to_owned(),
                    source,
                }
            }
        }
    }

    pub(crate) fn sql(path: &Path) -> impl FnOnce(sqlx::Error) -> StoreError + '_ {
        /// `SQLITE_FULL`, <https://sqlite.org/rescode.html>.
        const SQLITE_FULL: &str = "13";
        move |source| {
            let code = source.as_database_error().and_then(|error| error.code());
            if code.as_deref() == Some(SQLITE_FULL) {
                StoreError::Full {
                    path: path.to_owned(),
                }
            } else {
                StoreError::Sql {
                    path: path.to_owned(),
                    source,
                }
            }
        }
    }
}
