//! What can go wrong with a store?

use std::path::{Path, PathBuf};

use crate::JobState;

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
    /// It is a directory, a device, a pipe or the like, and was not opened.
    #[error("{} is no regular file; it was left as it is", path.display())]
    NotFile {
        /// Its name.
        path: PathBuf,
    },
    /// A file that nothing else may replace; it was not touched.
    #[error("{} is a store or a part of one; it was left as it is", path.display())]
    OfStore {
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
    /// A log lies beside the name that a new database was to get; it would be taken for a part of that one.
    #[error("{} holds what was written last to a store that was at {}", log.display(), path.display())]
    Leftover {
        /// The name.
        path: PathBuf,
        /// The log.
        log: PathBuf,
    },
    /// The segment files beside a store are those of another one; none of them was touched.
    #[error("{} holds the bodies of another store", directory.display())]
    OtherSegments {
        /// Their directory.
        directory: PathBuf,
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
    /// A job to which something was to be added is over for good.
    #[error(
        "round {round} of {name} was {} meanwhile; nothing more of it is asked for", state.as_str()
    )]
    JobOver {
        /// The job.
        name: String,
        /// Its round.
        round: u32,
        /// Whether it was cancelled or replaced.
        state: JobState,
    },
    /// A stored body cannot be read.
    #[error("the body cannot be read from {}: {what}", path.display())]
    Damaged {
        /// The segment file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The store is a copy, and the bodies that stayed with its original are not there any more.
    #[error(
        "{} is a copy without bodies: {} is not there any more", path.display(), file.display()
    )]
    Elsewhere {
        /// The copy.
        path: PathBuf,
        /// The segment file.
        file: PathBuf,
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
    /// A query took longer than it may: meanwhile no run can empty its log.
    #[error("the query was stopped after {limit:?}")]
    TooLong {
        /// What it was given.
        limit: std::time::Duration,
    },
    /// What is to be written has the name of something that is there.
    #[error("{} exists already", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The directory in which something is to be written is not there.
    #[error("there is no directory {}", path.display())]
    NoDirectory {
        /// The directory.
        path: PathBuf,
    },
    /// There is no room left.
    #[error("no space left for {}", path.display())]
    Full {
        /// The store or the segment file.
        path: PathBuf,
    },
    /// The disk refused to do something for the store. What was done before it is whole.
    #[error("the disk failed: {} (SQLite error {code}: {what})", path.display())]
    Disk {
        /// The store.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// SQLite's extended result code.
        code: i32,
    },
    /// The store, or the directory it lies in, may not be written.
    #[error("{} cannot be written: it, its directory or its disk is read-only", path.display())]
    ReadOnly {
        /// The store.
        path: PathBuf,
    },
    /// The store is there and cannot be opened.
    #[error("{} cannot be opened", path.display())]
    Unopenable {
        /// The store.
        path: PathBuf,
    },
    /// The database is damaged. What was read of it is not used.
    #[error("{} is damaged: {what}", path.display())]
    Corrupt {
        /// The store.
        path: PathBuf,
        /// What SQLite said.
        what: String,
    },
    /// The store lost its name while a run wrote it; what was committed since is in no file of that name.
    #[error("{} was moved or deleted while it was written", path.display())]
    Moved {
        /// Where it was.
        path: PathBuf,
    },
    /// Another program kept the store locked for longer than is waited.
    #[error("{} is locked by another program", path.display())]
    Busy {
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
        use std::io::ErrorKind;
        move |source| {
            let path = path.to_owned();
            let is = |kinds: &[ErrorKind]| kinds.contains(&source.kind());
            if is(&[ErrorKind::StorageFull, ErrorKind::QuotaExceeded]) {
                StoreError::Full { path }
            } else if is(&[ErrorKind::ReadOnlyFilesystem]) {
                StoreError::ReadOnly { path }
            } else {
                StoreError::Io { path, source }
            }
        }
    }

    pub(crate) fn sql(path: &Path) -> impl FnOnce(sqlx::Error) -> StoreError + '_ {
        move |source| {
            let code = source.as_database_error().and_then(|error| error.code());
            let code = code.and_then(|code| code.parse().ok());
            named(path, code.unwrap_or(0), source)
        }
    }
}

/// The error for one of SQLite's extended result codes (<https://sqlite.org/rescode.html>).
fn named(path: &Path, code: i32, source: sqlx::Error) -> StoreError {
    const BUSY: i32 = 5;
    const LOCKED: i32 = 6;
    const READ_ONLY: i32 = 8;
    const IO_ERROR: i32 = 10;
    const CORRUPT: i32 = 11;
    const FULL: i32 = 13;
    const CANNOT_OPEN: i32 = 14;
    const NOT_A_DATABASE: i32 = 26;
    let words = || source.as_database_error().map(|error| error.message());
    let what = words().unwrap_or_default().to_owned();
    let path = path.to_owned();
    // The low byte is what happened, the rest is where.
    match code & 0xff {
        BUSY | LOCKED => StoreError::Busy { path },
        READ_ONLY => StoreError::ReadOnly { path },
        IO_ERROR => StoreError::Disk {
            path,
            what: tried(code),
            code,
        },
        CORRUPT | NOT_A_DATABASE => StoreError::Corrupt { path, what },
        FULL => StoreError::Full { path },
        // What can be read and not opened lacks the files beside it, and they cannot be made.
        CANNOT_OPEN if std::fs::File::open(&path).is_ok() => StoreError::ReadOnly { path },
        CANNOT_OPEN => StoreError::Unopenable { path },
        _ => StoreError::Sql { path, source },
    }
}

/// What SQLite tried when the disk failed.
fn tried(code: i32) -> &'static str {
    match code >> 8 {
        1 | 2 => "reading",
        3 => "writing; the disk may be full, or a limit on the size of files reached",
        4 | 5 => "making what was written durable",
        6 => "shortening a file",
        18..=21 => "sharing memory with other processes; the disk may be full",
        _ => "input or output",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_sqlite_says_is_named() {
        for (code, expected) in [
            (5, "/x.db is locked by another program"),
            (261, "/x.db is locked by another program"),
            (
                8,
                "/x.db cannot be written: it, its directory or its disk is read-only",
            ),
            (
                1544,
                "/x.db cannot be written: it, its directory or its disk is read-only",
            ),
            (
                1034,
                "the disk failed: /x.db (SQLite error 1034: making what was written durable)",
            ),
            (
                778,
                "the disk failed: /x.db (SQLite error 778: writing; the disk may be full, or a limit \
                 on the size of files reached)",
            ),
            (
                4874,
                "the disk failed: /x.db (SQLite error 4874: sharing memory with other processes; \
                 the disk may be full)",
            ),
            (11, "/x.db is damaged: "),
            (26, "/x.db is damaged: "),
            (13, "no space left for /x.db"),
            (14, "/x.db cannot be opened"),
        ] {
            let error = named(Path::new("/x.db"), code, sqlx::Error::RowNotFound);
            assert_eq!(error.to_string(), expected, "{code}");
        }
    }
}
