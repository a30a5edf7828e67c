//! What does the store cost when it is empty, and when it holds a million or ten million URLs?
//!
//! One database grows from size to size by what is submitted. At each size the scheduler and the writer of a
//! run do three kinds of work on it, under full durability: pages that bring many links, pages without
//! links, and pages as they are. What counts is the CPU time of this process, without that of
//! making up the pages; emptying the write-ahead log at the end of each work counts as well.

mod crawl;
mod meter;
mod urls;

use std::path::PathBuf;

use clap::Args;
use miette::{IntoDiagnostic, Result};
use neap_core::job::{Job, RobotsMode};
use neap_core::{CanonicalUrl, JobId};
use neap_store::{Access, PartKind, Reader, SqliteStore, Submission};
use serde::Serialize;

use crawl::Crawl;
use meter::{Listener, Meter, Reading};
use urls::Urls;

/// Links of a page that brings only new ones.
const FRESH_LINKS: u64 = 40;
/// Links of a page as it is, and how many of them are new.
const LINKS: u64 = 20;
const NEW_LINKS: u64 = 2;

/// What is measured.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Sizes in URLs, ascending, such as `0,1M,10M`.
    #[arg(long, value_delimiter = ',', default_value = "0,1M,10M", value_parser = crate::number::parse)]
    urls: Vec<u64>,
    /// Hosts that the URLs are spread over.
    #[arg(long, default_value = "20000", value_parser = crate::number::parse)]
    hosts: u64,
    /// New links of which the insertion is measured at each size.
    #[arg(long, default_value = "400k", value_parser = crate::number::parse)]
    links: u64,
    /// Pages of each of the other measurements at each size.
    #[arg(long, default_value = "50k", value_parser = crate::number::parse)]
    pages: u64,
    /// Where the database is made; it is removed in the end. Default: the directory for temporary files.
    #[arg(long)]
    directory: Option<PathBuf>,
}

/// The fields of [`Row`] in order.
pub(crate) const COLUMNS: [&str; 8] = [
    "urls",
    "work",
    "count",
    "per_cpu_s",
    "goal",
    "per_s",
    "commit_p99_ms",
    "log_mb",
];

/// One measurement.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    /// URLs that the store held before.
    urls: u64,
    work: &'static str,
    /// How much of it was done.
    count: u64,
    per_cpu_s: f64,
    goal: Option<u64>,
    per_s: f64,
    commit_p99_ms: Option<f64>,
    /// The most that the write-ahead log grew to.
    log_mb: Option<f64>,
}

/// Measures; a row for each size and work, and in the end how many bytes a URL takes.
pub(crate) fn run(options: &Options) -> Result<Vec<Row>> {
    let listening = tracing::subscriber::set_global_default(Listener);
    listening.into_diagnostic()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .into_diagnostic()?;
    runtime.block_on(measure(options))
}

async fn measure(options: &Options) -> Result<Vec<Row>> {
    let directory = match &options.directory {
        Some(directory) => tempfile::tempdir_in(directory),
        None => tempfile::tempdir(),
    };
    let directory = directory.into_diagnostic()?;
    let path = directory.path().join("neap.db");
    let store = SqliteStore::open(&path, Access::Create)
        .await
        .into_diagnostic()?;
    let job = job()?;
    let mut bench = Bench {
        options,
        job_id: JobId(0),
        job,
        store,
        urls: Urls::new(u32::try_from(options.hosts).into_diagnostic()?),
        held: 0,
        rows: Vec::new(),
    };
    // So many that every page has a request to be the answer to.
    bench.grow(3 * options.pages).await?;
    for size in &options.urls {
        if bench.held < *size {
            bench.grow(size - bench.held).await?;
        }
        bench.links().await?;
        bench.pages_alone().await?;
        bench
            .pages_as_they_are(
                "pages, 20 links: 18 any of the hosts' known",
                Urls::known_near,
            )
            .await?;
        bench
            .pages_as_they_are("pages, 20 links: 18 on many pages", Urls::of_menu)
            .await?;
    }
    bench.room().await?;
    Ok(bench.rows)
}

struct Bench<'a> {
    options: &'a Options,
    job_id: JobId,
    job: Job,
    store: SqliteStore,
    urls: Urls,
    /// URLs in the store.
    held: u64,
    rows: Vec<Row>,
}

impl Bench<'_> {
    /// Submits so many URLs more.
    async fn grow(&mut self, count: u64) -> Result<()> {
        let meter = Meter::start()?;
        eprintln!("submitting {count} URLs");
        let urls = (0..count).map(|_| self.urls.fresh());
        if self.held == 0 {
            let job = &self.job;
            let submitted = self.store.submit(Submission { job, urls }).await;
            self.job_id = submitted.into_diagnostic()?.job_id;
        } else {
            let added = self.store.add_input(self.job_id, urls).await;
            added.into_diagnostic()?;
        }
        self.note(
            "URLs submitted, made up",
            count,
            None,
            (&meter.stop()?, None),
        );
        self.held += count;
        Ok(())
    }

    /// Pages whose links are all new.
    async fn links(&mut self) -> Result<()> {
        let pages = self.options.links / FRESH_LINKS;
        let urls = &mut self.urls;
        let mut links = |_: &CanonicalUrl| (0..FRESH_LINKS).map(|_| urls.fresh()).collect();
        let (reading, log) =
            crawled(&self.store, self.job_id, &self.job, pages, &mut links).await?;
        let count = pages * FRESH_LINKS;
        let goal = (self.held >= 10_000_000).then_some(40_000);
        self.note("new links", count, goal, (&reading, Some(log)));
        self.held += count;
        Ok(())
    }

    async fn pages_alone(&mut self) -> Result<()> {
        let pages = self.options.pages;
        let mut links = |_: &CanonicalUrl| Vec::new();
        let (reading, log) =
            crawled(&self.store, self.job_id, &self.job, pages, &mut links).await?;
        self.note(
            "pages without links",
            pages,
            Some(25_000),
            (&reading, Some(log)),
        );
        Ok(())
    }

    async fn pages_as_they_are(
        &mut self,
        work: &'static str,
        known: fn(&mut Urls, usize) -> CanonicalUrl,
    ) -> Result<()> {
        let pages = self.options.pages;
        let urls = &mut self.urls;
        let mut links = |page: &CanonicalUrl| {
            let host = Urls::host_of(page);
            let mut links = Vec::with_capacity(LINKS as usize);
            links.extend((0..NEW_LINKS).map(|_| urls.fresh_near(host)));
            links.extend((NEW_LINKS..LINKS).map(|_| known(urls, host)));
            links
        };
        let (reading, log) =
            crawled(&self.store, self.job_id, &self.job, pages, &mut links).await?;
        let goal = if self.held >= 10_000_000 {
            2_500
        } else {
            7_500
        };
        self.note(work, pages, Some(goal), (&reading, Some(log)));
        self.held += pages * NEW_LINKS;
        Ok(())
    }

    /// Bytes of each URL in the table of requests and its indexes.
    async fn room(&mut self) -> Result<()> {
        let reader = Reader::open(self.store.path()).await.into_diagnostic()?;
        for part in reader.stats().await.into_diagnostic()? {
            let is_table = part.name == "requests";
            let is_index = part.table.as_deref() == Some("requests");
            if part.kind == PartKind::Log || !(is_table || is_index) {
                continue;
            }
            eprintln!("{}: {} bytes", part.name, part.bytes);
        }
        Ok(())
    }

    fn note(
        &mut self,
        work: &'static str,
        count: u64,
        goal: Option<u64>,
        read: (&Reading, Option<u64>),
    ) {
        let (reading, log) = read;
        self.rows.push(Row {
            urls: self.held,
            work,
            count,
            per_cpu_s: count as f64 / reading.cpu.as_secs_f64(),
            goal,
            per_s: count as f64 / reading.wall.as_secs_f64(),
            commit_p99_ms: reading.commit_p99().map(|took| took.as_secs_f64() * 1e3),
            log_mb: log.map(|bytes| bytes as f64 / 1e6),
        });
        let row = self.rows.last();
        eprintln!("{row:?}");
    }
}

/// A run of so many pages: what it took, and how long the write-ahead log became.
async fn crawled(
    store: &SqliteStore,
    job_id: JobId,
    job: &Job,
    pages: u64,
    links: crawl::Links<'_>,
) -> Result<(Reading, u64)> {
    let mut crawl = Crawl::begin(store, job_id, job).await?;
    let mut meter = Meter::start()?;
    crawl.go_on(pages, links, &mut meter).await?;
    let log = crawl.longest_log;
    Ok((crawl.end(meter).await?, log))
}

/// A job with every key at its default, but for robots files: nobody would answer for them.
fn job() -> Result<Job> {
    let keys = r#"{"name": "bench", "description": "", "input": {}, "crawl": {}, "identity": {}, "request": {},
        "limits": {}, "adaptive": {}, "retry": {}, "robots": {}, "store": {}}"#;
    let mut job: Job = serde_json::from_str(keys).into_diagnostic()?;
    job.robots.mode = RobotsMode::Off;
    Ok(job)
}
