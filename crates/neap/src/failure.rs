//! How does neap say that it cannot go on?
//!
//! A [`Failure`] is what people read (what happened, where, what to do next) and the exit code for
//! scripts. Every error of the crates below becomes one here, and nowhere else.

use std::io::ErrorKind;

use miette::{Diagnostic, Report};
use neap_runner::RunError;
use neap_store::StoreError;

use crate::exit::{self, Exit};
use crate::jobfile::JobFileError;
use crate::print::escape::for_terminal;

/// Why neap cannot go on.
#[derive(Debug)]
pub(crate) struct Failure {
    /// What the shell hears.
    pub(crate) exit: Exit,
    /// What people read.
    pub(crate) report: Report,
}

#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("{message}")]
struct Plain {
    message: String,
    #[help]
    help: Option<String>,
}

impl Failure {
    /// Something is wrong with what was asked for.
    pub(crate) fn usage(message: impl Into<String>, help: impl Into<String>) -> Failure {
        Failure::new(exit::USAGE, message, Some(help.into()))
    }

    /// neap itself cannot go on.
    pub(crate) fn error(message: impl Into<String>) -> Failure {
        Failure::new(exit::ERROR, message, None)
    }

    /// As [`Failure::error`], with what to do next.
    pub(crate) fn error_with(message: impl Into<String>, help: impl Into<String>) -> Failure {
        Failure::new(exit::ERROR, message, Some(help.into()))
    }

    /// A signal came before the work was done.
    pub(crate) fn stopped(exit: Exit, message: impl Into<String>) -> Failure {
        Failure::new(exit, message, None)
    }

    /// What was asked for did not come about; with what to do next.
    pub(crate) fn with_help(
        exit: Exit,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Failure {
        Failure::new(exit, message, Some(help.into()))
    }

    fn new(exit: Exit, message: impl Into<String>, help: Option<String>) -> Failure {
        Failure {
            exit,
            report: Report::new(Plain {
                message: message.into(),
                help,
            }),
        }
    }
}

impl From<JobFileError> for Failure {
    fn from(error: JobFileError) -> Failure {
        Failure {
            exit: exit::USAGE,
            report: Report::new(error),
        }
    }
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Failure {
        match error {
            RunError::Store(error) => error.into(),
            RunError::NoSecret { .. }
            | RunError::BadHeader { .. }
            | RunError::Proxies { .. }
            | RunError::Cookies { .. }
            | RunError::Certificates { .. }
            | RunError::Fetch(_) => Failure::new(exit::USAGE, for_terminal(&words(&error)), None),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Failure {
        let (exit, help) = advice(&error);
        Failure::new(exit, words(&error), help.map(str::to_owned))
    }
}

/// What scripts hear of a store error, and what people may do about it.
fn advice(error: &StoreError) -> (Exit, Option<&'static str>) {
    use StoreError as E;
    match error {
        E::Held { .. } => (
            exit::HELD,
            Some("wait for it to end, or stop it with Ctrl-C; then run this again"),
        ),
        E::Newer { .. } => (
            exit::STORE_VERSION,
            Some("use a neap that is as new as the store"),
        ),
        E::Older { .. } => (
            exit::STORE_VERSION,
            Some("`neap db migrate` brings it up to date, as does any command that writes"),
        ),
        E::Missing { .. } | E::Empty { .. } => (
            exit::USAGE,
            Some("`neap run FILE` creates one; --db FILE or -C DIR names another place"),
        ),
        E::Refused(_) | E::BadQuery(_) => (exit::USAGE, None),
        E::Exists { .. } => (
            exit::USAGE,
            Some("name another file, or let --force replace it"),
        ),
        E::TooLong { .. } => (
            exit::ERROR,
            Some(
                "--time-limit gives it more; a copy (`neap export --to copy.db`) can be asked for days",
            ),
        ),
        E::Full { .. } => (
            exit::ERROR,
            Some("make room and run the same command again: nothing is lost"),
        ),
        E::NotFile { .. } | E::OfStore { .. } => (exit::USAGE, Some("name another file")),
        E::NotSqlite { .. } | E::Foreign { .. } => (
            exit::ERROR,
            Some("--db FILE names another place for the store"),
        ),
        E::NoDirectory { .. } => (exit::USAGE, Some("create it, or name another place")),
        E::Io { source, .. } if source.kind() == ErrorKind::PermissionDenied => (
            exit::ERROR,
            Some("see that you may read and write it, and its directory; or name another place"),
        ),
        E::Io { source, .. } if is_place(source.kind()) => (
            exit::ERROR,
            Some("see that its directory is there; or name another place"),
        ),
        E::Io { .. } | E::Disk { .. } => (
            exit::ERROR,
            Some(
                "look at the disk, its quota and `ulimit -f`; then run the same command again: \
                 it goes on from what was recorded",
            ),
        ),
        E::ReadOnly { .. } => (
            exit::ERROR,
            Some("a run needs to write the store and beside it; --db FILE names another place"),
        ),
        E::Moved { .. } => (
            exit::ERROR,
            Some(
                "put it back, with the -wal file that lay beside it, and run the same command again; \
                 what is gone is asked for once more",
            ),
        ),
        E::Leftover { .. } => (
            exit::ERROR,
            Some(
                "put that store back where it was and run this again; if nothing of it is wanted, move \
                 the log away",
            ),
        ),
        E::OtherSegments { .. } => (
            exit::ERROR,
            Some(
                "put them where their store is (x.segments beside x.db), or name another place for this \
                 one with --db",
            ),
        ),
        E::JobOver { .. } => (
            exit::ERROR,
            Some("run the same command again: it looks for the newest round"),
        ),
        E::Unopenable { .. } => (
            exit::ERROR,
            Some("see that you may read it, and that `ulimit -n` leaves files to open"),
        ),
        E::Corrupt { .. } => (
            exit::ERROR,
            Some(
                "keep a copy of it; `sqlite3 FILE .recover` saves the rows that can be read. The bodies are \
                 in files of their own, in the `.segments` directory beside it",
            ),
        ),
        E::Busy { .. } => (
            exit::ERROR,
            Some("end the program that has it open for writing, then run this again"),
        ),
        E::Elsewhere { .. } => (
            exit::ERROR,
            Some(
                "ask the store that it was copied from, or put that one's segment files into the `.segments` \
                 directory beside the copy",
            ),
        ),
        E::Damaged { .. }
        | E::SqliteTooOld { .. }
        | E::Superseded { .. }
        | E::Unexpected(_)
        | E::Sql { .. }
        | E::Stopped => (exit::ERROR, None),
    }
}

/// Whether a name leads nowhere, so that the disk is not to blame.
fn is_place(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::IsADirectory
    )
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Failure {
        Failure::error(words(&error))
    }
}

/// An error and what caused it, in one line.
pub(crate) fn words(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_fits_what_went_wrong() {
        for (kind, part) in [
            (
                ErrorKind::PermissionDenied,
                "see that you may read and write it",
            ),
            (ErrorKind::NotADirectory, "see that its directory is there"),
            (ErrorKind::FileTooLarge, "`ulimit -f`"),
        ] {
            let error = StoreError::Io {
                path: "neap.db".into(),
                source: kind.into(),
            };
            let help = advice(&error).1.unwrap();
            assert!(help.contains(part), "{kind:?}: {help}");
        }
    }
}
