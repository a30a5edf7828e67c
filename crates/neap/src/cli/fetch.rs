//! What can be said about fetching one URL?

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::Overrides;

/// `neap fetch`.
#[derive(Debug, Args)]
pub(crate) struct Fetch {
    /// The URL.
    #[arg(value_name = "URL")]
    pub(crate) url: String,
    /// Ask as the job of this file would: its identity, limits of a request, retries, proxies and `robots.mode`. Its
    /// headers are sent to the host of the URL.
    #[arg(long, value_name = "FILE")]
    pub(crate) job: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) overrides: Overrides,
    /// Go through this proxy: `host:port`, or with `http://`, `https://`, `socks5://` or `socks5h://` before it.
    ///
    /// Can be repeated: where one fails, the next is taken. `direct` is one, too. User and password stand before the
    /// host; what is written as `${env:NAME}` is taken from the environment and so seen by nobody. Wins over the
    /// proxies of the job.
    #[arg(long, value_name = "URL")]
    pub(crate) proxy: Vec<String>,
    /// Say on standard error what happened: each attempt with who answered, whose fault it was, why, and how long
    /// each phase took. With -v a line for each.
    #[arg(long)]
    pub(crate) trace: bool,
    /// Write the status and the header of the answer before its body.
    #[arg(long)]
    pub(crate) head: bool,
    /// Write the body as it was sent: gzip and other codings are not undone.
    #[arg(long)]
    pub(crate) raw: bool,
    /// What is written on standard output.
    #[arg(long, value_enum, default_value = "body")]
    pub(crate) format: FetchFormat,
    /// Ask although the robots file forbids it, or without one. It is looked at only for a job that obeys it.
    #[arg(long)]
    pub(crate) ignore_robots: bool,
}

/// What `neap fetch` writes on standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FetchFormat {
    /// The body of the last answer.
    Body,
    /// A JSON object for each attempt, one a line; no body.
    Json,
}
