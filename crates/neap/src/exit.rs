//! What does the exit code say?
//!
//! The codes are an interface: scripts and cron wrappers branch on them, so a code never changes its
//! meaning. `neap help exit-codes` prints [`table`]. Any code that is not listed is a failure.

use std::process::ExitCode;

/// One way for the process to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exit {
    /// What the shell sees in `$?`.
    pub(crate) code: u8,
    /// Its name in messages and documentation.
    pub(crate) name: &'static str,
    /// What happened, and what may be done next.
    pub(crate) meaning: &'static str,
}

/// The work is done; also: there was nothing to do.
pub(crate) const DONE: Exit = Exit {
    code: 0,
    name: "DONE",
    meaning: "done; also when there was nothing to resume",
};

/// neap itself failed.
pub(crate) const ERROR: Exit = Exit {
    code: 1,
    name: "ERROR",
    meaning: "neap itself failed (store, disk, a bug); the message names the next step",
};

/// The command line or the job file is wrong. The code that clap uses, too.
pub(crate) const USAGE: Exit = Exit {
    code: 2,
    name: "USAGE",
    meaning: "wrong command line or job file; nothing was fetched",
};

/// The crawl ended and did not bring what was expected of it.
pub(crate) const EXPECTATION: Exit = Exit {
    code: 3,
    name: "EXPECTATION",
    meaning: "finished, but an [expect] was not met; or, without one, nothing at all could be fetched",
};

/// The crawl ended and some requests failed, which was asked about.
pub(crate) const SOME_FAILED: Exit = Exit {
    code: 4,
    name: "SOME_FAILED",
    meaning: "finished, but some requests failed; only with --fail-on any, of jobs without [expect]",
};

/// A limit of the run was reached before its work was done.
pub(crate) const LIMIT_REACHED: Exit = Exit {
    code: 5,
    name: "LIMIT_REACHED",
    meaning: "stopped by a limit of the run; work is left, `neap resume` goes on",
};

/// Another run works on the same store.
pub(crate) const HELD: Exit = Exit {
    code: 6,
    name: "HELD",
    meaning: "another run holds the store",
};

/// The run was asked to stop and drained.
pub(crate) const DRAINED: Exit = Exit {
    code: 7,
    name: "DRAINED",
    meaning: "stopped cleanly by the first SIGINT or SIGTERM; work is left, `neap resume` goes on",
};

/// The store was written by another version and cannot be used.
pub(crate) const STORE_VERSION: Exit = Exit {
    code: 8,
    name: "STORE_VERSION",
    meaning: "the store is newer or older than this binary and was not migrated",
};

/// No proxy is left that a job could go through.
pub(crate) const PROXIES_STOPPED: Exit = Exit {
    code: 9,
    name: "PROXIES_STOPPED",
    meaning: "every proxy pool of a job refused its credentials; set them right, `neap resume` goes on",
};

/// A second SIGINT: 128 + 2, as a shell reports a process that died of it.
pub(crate) const ABORTED_INT: Exit = Exit {
    code: 130,
    name: "ABORTED",
    meaning: "aborted by the second SIGINT (the first while a job is submitted or a file exported); nothing recorded is lost",
};

/// A second SIGTERM: 128 + 15, as a shell reports a process that died of it.
pub(crate) const ABORTED_TERM: Exit = Exit {
    code: 143,
    name: "ABORTED",
    meaning: "aborted by the second SIGTERM (the first while a job is submitted or a file exported); nothing recorded is lost",
};

/// Every code there is, in ascending order.
pub(crate) const ALL: [Exit; 12] = [
    DONE,
    ERROR,
    USAGE,
    EXPECTATION,
    SOME_FAILED,
    LIMIT_REACHED,
    HELD,
    DRAINED,
    STORE_VERSION,
    PROXIES_STOPPED,
    ABORTED_INT,
    ABORTED_TERM,
];

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.code)
    }
}

/// The text of `neap help exit-codes`: one line a code, then what holds for all others.
pub(crate) fn table() -> String {
    let mut text = String::from("Exit codes\n\n");
    for Exit {
        code,
        name,
        meaning,
    } in ALL
    {
        text.push_str(&format!("{code:>5}  {name:<14} {meaning}\n"));
    }
    text.push_str("\nThe codes are stable. Treat one that is not listed as a failure.\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codes_that_scripts_rely_on() {
        let codes = ALL.map(|exit| (exit.code, exit.name));
        assert_eq!(
            codes,
            [
                (0, "DONE"),
                (1, "ERROR"),
                (2, "USAGE"),
                (3, "EXPECTATION"),
                (4, "SOME_FAILED"),
                (5, "LIMIT_REACHED"),
                (6, "HELD"),
                (7, "DRAINED"),
                (8, "STORE_VERSION"),
                (9, "PROXIES_STOPPED"),
                (130, "ABORTED"),
                (143, "ABORTED"),
            ]
        );
    }

    #[test]
    fn the_table_lists_every_code_with_its_meaning() {
        let table = table();
        for exit in ALL {
            let line = table
                .lines()
                .find(|line| line.trim_start().starts_with(&exit.code.to_string()));
            let line = line.unwrap_or_else(|| panic!("no line for {exit:?} in\n{table}"));
            assert!(
                line.contains(exit.name) && line.ends_with(exit.meaning),
                "{line}"
            );
        }
    }
}
