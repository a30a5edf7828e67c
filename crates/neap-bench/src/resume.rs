//! How soon does a killed run go on, and how much memory does it take?
//!
//! The neap executable crawls a list of ten million URLs on 100,000 hosts, all of them addresses of the
//! loopback network that one origin answers for. It is killed without warning, started again, and watched for
//! the time until the origin sees its first request, and the first that is no robots file. The last run
//! goes on for some pages. Memory is the most that each process ever held.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use clap::Args;
use miette::{IntoDiagnostic, Result, miette};
use serde::Serialize;

use crate::origin::Origin;
use crate::pages;

/// URLs of a host that stand together in the list.
const TOGETHER: u64 = 10;

/// How often the origin is asked.
const ASK_EVERY: Duration = Duration::from_millis(2);

/// How long nothing may happen before that is an error.
const PATIENCE: Duration = Duration::from_secs(300);

/// What is measured.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// URLs of the list.
    #[arg(long, default_value = "10M", value_parser = crate::number::parse)]
    urls: u64,
    /// Hosts that they are on.
    #[arg(long, default_value = "100k", value_parser = crate::number::parse)]
    hosts: u64,
    /// Times that the run is killed.
    #[arg(long, default_value = "3")]
    kills: u32,
    /// Pages after which it is killed.
    #[arg(long, default_value = "20k", value_parser = crate::number::parse)]
    pages: u64,
    /// Pages that the last run fetches before it is stopped.
    #[arg(long, default_value = "100k", value_parser = crate::number::parse)]
    last: u64,
    /// The neap executable. Default: the one beside this program, built if cargo runs it.
    #[arg(long)]
    neap: Option<PathBuf>,
    /// Where the store is made; it is removed in the end. Default: the directory for temporary files.
    #[arg(long)]
    directory: Option<PathBuf>,
}

/// The fields of [`Row`] in order.
pub(crate) const COLUMNS: [&str; 7] = [
    "run",
    "first_request_s",
    "first_page_s",
    "cpu_until_page_s",
    "pages",
    "pages_s",
    "memory_mb",
];

/// What one process did.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    run: String,
    /// From the start of the process.
    first_request_s: Option<f64>,
    first_page_s: Option<f64>,
    cpu_until_page_s: Option<f64>,
    pages: u64,
    pages_s: Option<f64>,
    memory_mb: Option<f64>,
}

/// Measures; a row for each process.
pub(crate) fn run(options: &Options) -> Result<Vec<Row>> {
    let neap = pages::executable(options.neap.as_deref())?;
    let directory = match &options.directory {
        Some(directory) => tempfile::tempdir_in(directory),
        None => tempfile::tempdir(),
    };
    let directory = directory.into_diagnostic()?;
    let of_host = options.urls.div_ceil(options.hosts);
    let mut origin = Origin::start_everywhere(of_host)?;
    std::fs::write(directory.path().join("job.toml"), JOB).into_diagnostic()?;
    let mut rows = vec![submit(options, &neap, &origin, directory.path())?];
    for kill in 0..=options.kills {
        let mut running = Running::start(&neap, directory.path(), &mut origin)?;
        let is_last = kill == options.kills;
        let pages = if is_last { options.last } else { options.pages };
        running.watch(pages, &mut origin)?;
        let label = match kill {
            0 => "first run".to_owned(),
            1 => "after kill -9".to_owned(),
            _ => format!("after kill -9, {kill}"),
        };
        rows.push(running.end(label)?);
        eprintln!("{:?}", rows.last());
    }
    Ok(rows)
}

const JOB: &str = "neap = 1\nname = \"bench\"\n[input]\nfiles = [\"-\"]\n[crawl]\nscope = \"page\"\n\
                   [store]\nbodies = \"none\"\n";

/// Puts the list into a store.
fn submit(options: &Options, neap: &Path, origin: &Origin, directory: &Path) -> Result<Row> {
    let started = Instant::now();
    let mut child = Command::new(neap)
        .args(["submit", "job.toml"])
        .current_dir(directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .into_diagnostic()?;
    let mut list = BufWriter::new(child.stdin.take().expect("it is piped"));
    let of_host = options.urls.div_ceil(options.hosts);
    let mut left = options.urls;
    for first in (0..of_host).step_by(TOGETHER as usize) {
        for host in 0..options.hosts {
            for page in (first..of_host.min(first + TOGETHER)).take(left as usize) {
                writeln!(list, "{}", origin.url_anywhere(host, page)).into_diagnostic()?;
                left -= 1;
            }
        }
    }
    drop(list);
    let memory = memory_mb(child.id());
    let status = child.wait().into_diagnostic()?;
    if !status.success() {
        return Err(miette!("neap submit ended with {status}"));
    }
    Ok(Row {
        run: format!("submit in {:.0} s", started.elapsed().as_secs_f64()),
        first_request_s: None,
        first_page_s: None,
        cpu_until_page_s: None,
        pages: 0,
        pages_s: None,
        memory_mb: memory,
    })
}

/// A run that is watched, and killed at the latest when it is dropped.
struct Running {
    child: Child,
    started: Instant,
    first_request: Option<Duration>,
    first_page: Option<Duration>,
    cpu_until_page: Option<f64>,
    pages: u64,
    watched: Duration,
}

impl Running {
    fn start(neap: &Path, directory: &Path, origin: &mut Origin) -> Result<Running> {
        origin.seen()?;
        let child = Command::new(neap)
            .args(["run", "bench"])
            .current_dir(directory)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .into_diagnostic()?;
        Ok(Running {
            child,
            started: Instant::now(),
            first_request: None,
            first_page: None,
            cpu_until_page: None,
            pages: 0,
            watched: Duration::ZERO,
        })
    }

    /// Waits until so many pages were asked for.
    fn watch(&mut self, pages: u64, origin: &mut Origin) -> Result<()> {
        let mut heard = Instant::now();
        while self.pages < pages {
            let seen = origin.seen()?;
            let now = self.started.elapsed();
            if seen.requests > 0 {
                heard = Instant::now();
                self.first_request.get_or_insert(now);
            }
            if seen.pages > 0 && self.first_page.is_none() {
                self.first_page = Some(now);
                self.cpu_until_page = cpu_s(self.child.id());
            }
            self.pages += seen.pages;
            if let Some(status) = self.child.try_wait().into_diagnostic()? {
                return Err(miette!("neap run ended with {status}"));
            }
            if heard.elapsed() > PATIENCE {
                return Err(miette!("neap asks for nothing any more"));
            }
            std::thread::sleep(ASK_EVERY);
        }
        self.watched = self.started.elapsed();
        Ok(())
    }

    /// Kills it.
    fn end(mut self, run: String) -> Result<Row> {
        let memory_mb = memory_mb(self.child.id());
        self.child.kill().into_diagnostic()?;
        self.child.wait().into_diagnostic()?;
        let crawling = self
            .watched
            .saturating_sub(self.first_page.unwrap_or_default());
        Ok(Row {
            run,
            first_request_s: self.first_request.map(|after| after.as_secs_f64()),
            first_page_s: self.first_page.map(|after| after.as_secs_f64()),
            cpu_until_page_s: self.cpu_until_page,
            pages: self.pages,
            pages_s: Some(self.pages as f64 / crawling.as_secs_f64()),
            memory_mb,
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The most memory that a process held so far.
fn memory_mb(process: u32) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib / 1024.0)
}

/// CPU time of a process so far; Linux counts it in hundredths of a second.
fn cpu_s(process: u32) -> Option<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let after_name = stat.rsplit(')').next()?;
    let ticks = after_name.split_whitespace().skip(11).take(2);
    let ticks: f64 = ticks.filter_map(|text| text.parse::<f64>().ok()).sum();
    Some(ticks / 100.0)
}
