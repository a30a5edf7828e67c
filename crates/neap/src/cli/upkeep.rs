//! What can be said about exporting from a store and looking after it?

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use crate::print::Format;

/// `neap export`.
#[derive(Debug, Args)]
pub(crate) struct Export {
    /// What is written. Left out, with `--to FILE.db`: a copy of the whole store, also while a run goes on.
    #[arg(value_enum, value_name = "WHAT")]
    pub(crate) what: Option<Exported>,
    /// The file; its ending (csv, tsv, json, jsonl, md, cdxj, db) says the form. Default: standard output.
    #[arg(long, value_name = "FILE")]
    pub(crate) to: Option<PathBuf>,
    /// Only what belongs to this job: a job file, or the name of a job in the store.
    #[arg(long, value_name = "FILE|JOB")]
    pub(crate) job: Option<String>,
    /// Only rows for which this SQL expression over their columns holds, such as `status = 404`.
    #[arg(long = "where", value_name = "SQL")]
    pub(crate) condition: Option<String>,
    /// The form of the rows. Default: by the ending of the file, else csv.
    #[arg(long, value_enum)]
    pub(crate) format: Option<Format>,
    /// Leave out the quote in CSV and TSV that keeps spreadsheets from running a cell as a formula.
    #[arg(long)]
    pub(crate) raw: bool,
    /// Replace the file if it exists.
    #[arg(long, requires = "to")]
    pub(crate) force: bool,
}

/// What can be exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Exported {
    /// What became of each request: of the input, and of links that were followed.
    Results,
    /// Every try of every request.
    Attempts,
    /// Requests that were given up.
    Failures,
    /// URLs that were found and not asked for, and why.
    Skipped,
    /// Links of the pages: where they lead, what is clicked on, what became of them.
    Links,
    /// How each host does.
    Hosts,
    /// A CDXJ index of the stored bodies, for pywb and other web archives.
    Cdxj,
}

/// `neap db`.
#[derive(Debug, Subcommand)]
pub(crate) enum Db {
    /// Look whether the store is whole: tables, counters, segment files. Also while a run goes on.
    Check {
        /// Read every stored body, too, and compare it with its digest.
        #[arg(long)]
        bodies: bool,
    },
    /// Bring a store of an older neap to the version of this one.
    Migrate,
    /// Show what takes how much room: tables, indexes, log, segment files.
    Stats {
        #[command(flatten)]
        output: super::Output,
    },
    /// Write the log back, so that the store's one file is complete. Also while a run goes on.
    Checkpoint,
    /// Give the room of what was deleted back to the disk.
    Vacuum,
}

/// `neap gc`.
#[derive(Debug, Args)]
pub(crate) struct Gc {
    /// Keep the newest so many rounds of each job; with --older alone, 1. Unfinished rounds always stay.
    #[arg(long, value_name = "ROUNDS")]
    pub(crate) keep: Option<u32>,
    /// Remove only rounds that were over this long ago, such as `30d`.
    #[arg(long, value_name = "TIME", value_parser = crate::jobfile::duration)]
    pub(crate) older: Option<Duration>,
    /// Remove the bodies of these rounds alone; their rows stay.
    #[arg(long)]
    pub(crate) bodies: bool,
    /// Show what would be removed, and remove nothing.
    #[arg(long, short = 'n')]
    pub(crate) dry_run: bool,
}
