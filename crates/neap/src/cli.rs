//! What can be said on the command line?

mod fetch;
mod upkeep;

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use neap_core::attribution::Fault;
use neap_store::{BlameBy, HostColumn, ProxyColumn};

use crate::print::Format;

pub(crate) use fetch::{Fetch, FetchFormat};
pub(crate) use upkeep::{Db, Export, Exported, Gc};

/// A concurrent crawl job runner: submit job files, resume interrupted crawls, query results in SQLite.
#[derive(Debug, Parser)]
#[command(name = "neap", version, propagate_version = true, max_term_width = 100)]
#[command(
    disable_help_subcommand = true,
    after_help = "Exit codes: `neap help exit-codes`."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command understands.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// Change to this directory before anything else.
    #[arg(short = 'C', value_name = "DIR", global = true)]
    pub(crate) directory: Option<PathBuf>,
    /// The store. Default: the job file's `[store] path`, else `neap.db` here.
    #[arg(long, value_name = "FILE", env = "NEAP_DB", global = true)]
    pub(crate) db: Option<PathBuf>,
    /// Say more: once for what is done, twice for how.
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub(crate) verbose: u8,
    /// Say less: once for no progress, twice for errors only.
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub(crate) quiet: u8,
    /// Log filter, such as `neap_runner=debug,hyper=warn`; wins over -v and -q.
    #[arg(long, value_name = "FILTER", env = "NEAP_LOG", global = true)]
    pub(crate) log: Option<String>,
    /// How log lines are written.
    #[arg(
        long,
        value_enum,
        default_value = "text",
        env = "NEAP_LOG_FORMAT",
        global = true
    )]
    pub(crate) log_format: LogFormat,
    /// How a run shows how far it is: `auto` is a bar on a terminal and a line now and then elsewhere.
    #[arg(
        long,
        value_enum,
        default_value = "auto",
        env = "NEAP_PROGRESS",
        global = true
    )]
    pub(crate) progress: ProgressMode,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProgressMode {
    /// A bar on a terminal, lines elsewhere.
    Auto,
    /// Redrawn in place.
    Bar,
    /// A line every few seconds.
    Line,
    /// A JSON object every second.
    Json,
    /// Nothing.
    None,
}

/// What is to be done.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Check job files, without storing or fetching anything.
    Check {
        /// The job files.
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// Also say what holds for this host: `https://shop.example:8443`, or a name for https.
        #[arg(long, value_name = "HOST")]
        host: Option<String>,
        #[command(flatten)]
        overrides: Overrides,
    },
    /// Put a job into the store, to be run later by `neap resume`.
    Submit {
        /// The job file.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        #[command(flatten)]
        overrides: Overrides,
        /// Start a new round, even if the last one is not finished.
        #[arg(long)]
        fresh: bool,
    },
    /// Run a job: submit its file and crawl, or go on where the last run of it stopped.
    Run {
        /// A job file, or the name of a job in the store.
        #[arg(value_name = "FILE|JOB")]
        job: String,
        #[command(flatten)]
        overrides: Overrides,
        /// Start a new round, even if the last one is not finished.
        #[arg(long)]
        fresh: bool,
        #[command(flatten)]
        bounds: Bounds,
    },
    /// Go on with unfinished jobs: one of them, or all in the store.
    Resume {
        /// A job file, or the name of a job in the store. Default: every unfinished job.
        #[arg(value_name = "FILE|JOB")]
        job: Option<String>,
        #[command(flatten)]
        bounds: Bounds,
    },
    /// Ask for nothing more of a job until it is continued; what is in flight ends. Also while a run goes on.
    Pause {
        /// A job file, or the name of a job in the store.
        #[arg(value_name = "FILE|JOB")]
        job: String,
    },
    /// Let a paused job go on: in the run that is going on, or in the next.
    Continue {
        /// A job file, or the name of a job in the store.
        #[arg(value_name = "FILE|JOB")]
        job: String,
    },
    /// End a job: what is in flight ends as ever, the rest is skipped. Also while a run goes on.
    Cancel {
        /// A job file, or the name of a job in the store.
        #[arg(value_name = "FILE|JOB")]
        job: String,
    },
    /// Ask again what failed of a job, from its first attempt on; the next `neap resume` does it, or the run
    /// that is going on.
    Retry {
        /// A job file, or the name of a job in the store.
        #[arg(value_name = "FILE|JOB")]
        job: String,
        #[command(flatten)]
        failed: Failed,
    },
    /// Skip requests of a job that are still to be asked for. Also while a run goes on.
    Skip {
        /// A job file, or the name of a job in the store.
        #[arg(value_name = "FILE|JOB")]
        job: String,
        #[command(flatten)]
        open: Open,
    },
    /// Show the jobs of the store and how far they are.
    Status {
        /// A job file, or the name of a job in the store. Default: all jobs.
        #[arg(value_name = "FILE|JOB")]
        job: Option<String>,
        #[command(flatten)]
        output: Output,
    },
    /// Ask the store in SQL; it cannot be changed that way.
    Query {
        /// The statement, or `-` to read it from standard input.
        #[arg(value_name = "SQL")]
        sql: String,
        /// Stop the query after this time: while one goes on, no run can empty its log.
        #[arg(long, value_name = "TIME", default_value = "10m", value_parser = crate::jobfile::duration)]
        time_limit: Duration,
        #[command(flatten)]
        output: Output,
    },
    /// Write the stored body of a URL to standard output.
    Body {
        /// The URL.
        #[arg(value_name = "URL")]
        url: String,
        /// As it was sent: gzip and other codings are not undone.
        #[arg(long)]
        raw: bool,
        /// The header of the answer, before the body.
        #[arg(long)]
        head: bool,
    },
    /// Fetch one URL as a crawl would, without a store, and write its body to standard output.
    ///
    /// A failed attempt is followed by others after a wait, by another proxy where the proxy failed, and redirects are
    /// followed. The exit code is 0 if a page came; 3 if none did, and then the body of the last answer is
    /// written all the same.
    Fetch(Fetch),
    /// Show the hosts of the store: limits, failures, what they wait for. Also while a run goes on.
    Hosts {
        /// The column that the hosts are sorted by; of most the largest value comes first.
        #[arg(long, value_name = "COLUMN", default_value = "http_502", value_parser = host_column())]
        sort: HostColumn,
        /// How the limit of this host went, instead: a URL, a name, or a name and a port.
        #[arg(long, value_name = "HOST", conflicts_with = "sort")]
        history: Option<String>,
        /// Draw that as well, with its 502s, into this SVG file.
        #[arg(long, value_name = "FILE", requires = "history")]
        svg: Option<PathBuf>,
        #[command(flatten)]
        output: Output,
    },
    /// Show the proxies of jobs: limits, failures, which are left out and until when. Also while a run goes on.
    Proxies {
        /// A job file, or the name of a job in the store. Default: all jobs.
        #[arg(value_name = "FILE|JOB")]
        job: Option<String>,
        /// The column that the proxies are sorted by; of most the largest value comes first.
        #[arg(long, value_name = "COLUMN", default_value = "failures", value_parser = proxy_column())]
        sort: ProxyColumn,
        #[command(flatten)]
        output: Output,
    },
    /// Show what failed in the newest rounds: whose fault it was, what it cost, and what is to be done.
    Errors {
        /// A job file, or the name of a job in the store. Default: all jobs.
        #[arg(value_name = "FILE|JOB")]
        job: Option<String>,
        /// What the failures are grouped by.
        #[arg(long, value_name = "WHAT", default_value = "cause", value_parser = blame_by())]
        by: BlameBy,
        #[command(flatten)]
        output: Output,
    },
    /// Say what happened to a host, why its requests wait and until when.
    Why {
        /// A URL, a name, or a name and a port.
        #[arg(value_name = "HOST")]
        host: String,
    },
    /// Say what happened to a URL: its attempts, what became of it, what it waits for.
    Explain {
        /// The URL.
        #[arg(value_name = "URL")]
        url: String,
    },
    /// Say whether robots.txt allows URLs, and which line of it decides; as the runs of the store have read it.
    Robots {
        /// The URLs.
        #[arg(value_name = "URL", required = true)]
        urls: Vec<String>,
        /// The crawler's User-Agent or its name. Default: that of the newest job.
        #[arg(long = "as", value_name = "AGENT")]
        agent: Option<String>,
        /// A robots.txt on this machine, in place of those of the hosts.
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
        #[command(flatten)]
        output: Output,
    },
    /// Name the culprit of captured answers: JSON Lines on standard input, a verdict a line on standard output.
    ///
    /// Each line is an object with what a client saw, all of it optional: mode (plain, connect, socks5), raw_proxy_used,
    /// status, status_line, headers (pairs), body_prefix, body_len, body_complete, connect (status_line, headers,
    /// body_prefix of the answer to CONNECT), socks_reply, error, stage, elapsed_ms, first_byte_ms, close_how,
    /// close_delimited, raw_prefix, parse_error. The verdict has producer, fault, cause, confidence, action, evidence. A line that is no
    /// such object gets an object with `error`, and the exit code is 2.
    #[command(verbatim_doc_comment)]
    Classify {
        /// Judge as if the pages of this product were not known, to see how far the rest carries.
        #[arg(long, value_name = "PRODUCT")]
        without: Option<String>,
    },
    /// Write rows, an index of the bodies, or a copy of the whole store to a file.
    Export(Export),
    /// Look after the store: check, measure, shrink.
    #[command(subcommand)]
    Db(Db),
    /// Remove old rounds of jobs and the bodies that nothing refers to any more.
    Gc(Gc),
    /// Crawl a small flaky shop on this machine and show how it goes.
    Demo {
        #[command(flatten)]
        bounds: Bounds,
    },
    /// Show help for a command, or for `exit-codes`.
    Help {
        /// A command, or `exit-codes`.
        #[arg(value_name = "TOPIC")]
        topic: Option<String>,
    },
}

/// Values that win over those of a job file.
#[derive(Debug, Default, Args)]
pub(crate) struct Overrides {
    /// Override a value of the job file, such as `limits.concurrency=50`. Can be repeated.
    #[arg(long, value_name = "SECTION.KEY=VALUE")]
    pub(crate) set: Vec<String>,
}

/// Which failed requests are meant; all that is given must hold. Default: all of the job.
#[derive(Debug, Default, Args)]
pub(crate) struct Failed {
    /// Of which the last attempt was answered with this status. Can be repeated.
    #[arg(long, value_name = "STATUS")]
    pub(crate) status: Vec<u16>,
    /// Which failed for this cause, such as `timeout_header` or `host_given_up`. Can be repeated.
    #[arg(long, value_name = "CAUSE")]
    pub(crate) cause: Vec<String>,
    /// Of which the last attempt failed by the fault of this one. Can be repeated.
    #[arg(long, value_name = "WHOSE", value_parser = faults())]
    pub(crate) fault: Vec<String>,
    /// Of this host: a URL, a name, or a name and a port. Can be repeated.
    #[arg(long, value_name = "HOST")]
    pub(crate) host: Vec<String>,
    /// A condition in SQL over the columns of the view `failures`.
    #[arg(long = "where", value_name = "SQL")]
    pub(crate) condition: Option<String>,
}

/// Which open requests are meant; all that is given must hold, and something must be given.
#[derive(Debug, Default, Args)]
#[group(required = true, multiple = true)]
pub(crate) struct Open {
    /// Of this host: a URL, a name, or a name and a port. Can be repeated.
    #[arg(long, value_name = "HOST")]
    pub(crate) host: Vec<String>,
    /// This URL. Can be repeated.
    #[arg(long, value_name = "URL")]
    pub(crate) url: Vec<String>,
    /// A condition in SQL over the columns of the view `open_requests`.
    #[arg(long = "where", value_name = "SQL")]
    pub(crate) condition: Option<String>,
}

/// Where a run ends before its work does; it can be resumed (exit code 5).
#[derive(Debug, Default, Args)]
pub(crate) struct Bounds {
    /// Stop after this many pages.
    #[arg(long, value_name = "PAGES")]
    pub(crate) limit: Option<u64>,
    /// Stop after this time, such as `30m`.
    #[arg(long = "for", value_name = "TIME", value_parser = crate::jobfile::duration)]
    pub(crate) time: Option<Duration>,
    /// End with exit code 4 if requests failed of a job that says nothing about it in its `expect` table.
    #[arg(long, value_enum, default_value = "none")]
    pub(crate) fail_on: FailOn,
    /// How long requests in flight may take when the run is stopped.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = crate::jobfile::duration)]
    pub(crate) grace: Option<Duration>,
}

/// Which failures are told by the exit code.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum FailOn {
    /// Those that `[expect]` names.
    #[default]
    None,
    /// Any failed request.
    Any,
}

/// How rows are printed.
#[derive(Debug, Args)]
pub(crate) struct Output {
    /// The form of the output.
    #[arg(long, value_enum, default_value = "table")]
    pub(crate) format: Format,
}

/// Reads the name of a column of `neap hosts`.
fn host_column() -> impl TypedValueParser<Value = HostColumn> {
    one_of(&HostColumn::ALL, HostColumn::as_str)
}

/// Reads the name of a column of `neap proxies`.
fn proxy_column() -> impl TypedValueParser<Value = ProxyColumn> {
    one_of(&ProxyColumn::ALL, ProxyColumn::as_str)
}

/// Reads what `neap errors` groups by.
fn blame_by() -> impl TypedValueParser<Value = BlameBy> {
    one_of(&BlameBy::ALL, BlameBy::as_str)
}

/// Reads whose fault an attempt was: what is nobody's has no word in the store.
fn faults() -> PossibleValuesParser {
    let named = |fault: &&Fault| **fault != Fault::Nobody;
    let words = Fault::ALL.iter().filter(named).map(|fault| fault.as_str());
    PossibleValuesParser::new(words)
}

/// Reads one of these by its name.
fn one_of<T: Copy + Send + Sync + 'static>(
    all: &'static [T],
    name: fn(T) -> &'static str,
) -> impl TypedValueParser<Value = T> {
    let names = all.iter().map(move |one| name(*one));
    PossibleValuesParser::new(names).map(move |text| {
        let named = |one: &T| name(*one) == text;
        let found = all.iter().copied().find(named);
        found.expect("no other name is taken")
    })
}
