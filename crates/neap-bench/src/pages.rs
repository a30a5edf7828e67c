//! What does a page cost, from a list and from a linked site?
//!
//! The neap executable and the bare loops take turns over the same pages of an origin on loopback, so that
//! whatever else the machine does falls on all of them. Ratios are taken within each round and their
//! median is told; so are the medians of the rest.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::{Args, ValueEnum};
use miette::{Context, IntoDiagnostic, Result, miette};
use serde::Serialize;

use crate::origin::{HOSTS, Origin, Seen};
use crate::spent::{Spent, measure};

/// neap's exit codes for work that is done, and for a run that was stopped by `--limit`.
const DONE: i32 = 0;
const LIMITED: i32 = 5;

/// Pages that a run fetches of a large and of a small frontier, and how many URLs these hold.
const FRONTIER_PAGES: u64 = 10_000;
const SMALL_FRONTIER: u64 = 10_000;
const LARGE_FRONTIER: u64 = 1_000_000;

/// What is measured.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Which workloads: all if none is named.
    #[arg(long, value_delimiter = ',')]
    only: Vec<Workload>,
    /// Pages of a list and of a linked site.
    #[arg(long, default_value = "40000")]
    pages: u64,
    /// Fetches in flight.
    #[arg(long, default_value = "64")]
    in_flight: usize,
    /// Times that each contender has its turn.
    #[arg(long, default_value = "3")]
    rounds: u32,
    /// The neap executable. Default: the one beside this program, built if cargo runs it.
    #[arg(long)]
    neap: Option<PathBuf>,
    /// Another build of neap, measured beside the first.
    #[arg(long)]
    against: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Workload {
    /// A list of pages of sixteen hosts.
    List,
    /// A site of one host whose pages link to each other.
    Linked,
    /// A part of a list that is in the store already, with a small and with a large frontier.
    Frontier,
}

/// The fields of [`Row`] in order.
pub(crate) const COLUMNS: [&str; 10] = [
    "workload",
    "contender",
    "pages",
    "cpu_ms_page",
    "user_ms_page",
    "ratio",
    "pages_s",
    "memory_mb",
    "most_sockets",
    "requests",
];

/// What one contender took, the median of its turns.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    workload: &'static str,
    contender: String,
    pages: u64,
    cpu_ms_page: f64,
    user_ms_page: f64,
    /// CPU time relative to the contender that is the measure of its workload.
    ratio: f64,
    pages_s: f64,
    memory_mb: f64,
    most_sockets: u64,
    requests: u64,
}

/// Measures; a row for each workload and contender.
pub(crate) fn run(options: &Options) -> Result<Vec<Row>> {
    let neaps = executables(options)?;
    let wanted = |workload| options.only.is_empty() || options.only.contains(&workload);
    let mut rows = Vec::new();
    if wanted(Workload::List) {
        rows.extend(list(options, &neaps)?);
    }
    if wanted(Workload::Linked) {
        rows.extend(linked(options, &neaps)?);
    }
    if wanted(Workload::Frontier) {
        rows.extend(frontier(options, &neaps)?);
    }
    Ok(rows)
}

/// A build of neap.
#[derive(Debug)]
struct Neap {
    label: &'static str,
    path: PathBuf,
}

fn executables(options: &Options) -> Result<Vec<Neap>> {
    let mut neaps = vec![Neap {
        label: "neap",
        path: executable(options.neap.as_deref())?,
    }];
    if let Some(path) = options.against.clone() {
        neaps.push(Neap {
            label: "other neap",
            path,
        });
    }
    for neap in &mut neaps {
        neap.path = executable(Some(&neap.path))?;
    }
    Ok(neaps)
}

/// The neap executable that is named, or else the one beside this program.
pub(crate) fn executable(named: Option<&Path>) -> Result<PathBuf> {
    let path = match named {
        Some(path) => path.to_owned(),
        None => built()?,
    };
    fs::canonicalize(&path)
        .into_diagnostic()
        .wrap_err_with(|| format!("there is no neap at {}", path.display()))
}

/// The neap beside this program, as new as its source where cargo is there to see to it.
pub(crate) fn built() -> Result<PathBuf> {
    if let Some(cargo) = std::env::var_os("CARGO") {
        let built = Command::new(cargo)
            .args([
                "build",
                "--release",
                "--locked",
                "--quiet",
                "--package",
                "neap",
            ])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status()
            .into_diagnostic()?;
        if !built.success() {
            return Err(miette!("neap does not build"));
        }
    }
    Ok(std::env::current_exe()
        .into_diagnostic()?
        .with_file_name("neap"))
}

/// Who takes part in a workload, in the order of their turns; the others are compared with the one whose
/// place is `measure`.
struct Field<'a> {
    workload: &'static str,
    pages: u64,
    measure: usize,
    contenders: Vec<Contender<'a>>,
}

type Prepare<'a> = Box<dyn Fn(&Path) -> Result<Command> + 'a>;

struct Contender<'a> {
    label: String,
    /// Gets an empty directory; what it returns is measured.
    prepare: Prepare<'a>,
    codes: &'static [i32],
}

impl Field<'_> {
    fn race(&self, rounds: u32, origin: &mut Origin) -> Result<Vec<Row>> {
        let mut turns: Vec<Vec<(Spent, Seen)>> = vec![Vec::new(); self.contenders.len()];
        for round in 1..=rounds {
            for (contender, turns) in self.contenders.iter().zip(&mut turns) {
                eprintln!("{} {round}/{rounds}: {}", self.workload, contender.label);
                let directory = tempfile::tempdir().into_diagnostic()?;
                let command = (contender.prepare)(directory.path())?;
                origin.seen()?;
                let spent = measure(&command, contender.codes)?;
                turns.push((spent, origin.seen()?));
            }
        }
        let rows = self.contenders.iter().zip(&turns);
        Ok(rows
            .map(|(contender, own)| self.row(contender, own, &turns[self.measure]))
            .collect())
    }

    fn row(
        &self,
        contender: &Contender<'_>,
        own: &[(Spent, Seen)],
        measure: &[(Spent, Seen)],
    ) -> Row {
        let pages = self.pages as f64;
        let of =
            |figure: &dyn Fn(&Spent) -> f64| median(own.iter().map(|(spent, _)| figure(spent)));
        let ratios = own.iter().zip(measure);
        let seen = |figure: fn(&Seen) -> u64| own.iter().map(|(_, seen)| figure(seen)).max();
        Row {
            workload: self.workload,
            contender: contender.label.clone(),
            pages: self.pages,
            cpu_ms_page: of(&|spent| spent.cpu().as_secs_f64() * 1e3 / pages),
            user_ms_page: of(&|spent| spent.user.as_secs_f64() * 1e3 / pages),
            ratio: median(
                ratios.map(|((own, _), (measure, _))| own.cpu().div_duration_f64(measure.cpu())),
            ),
            pages_s: of(&|spent| pages / spent.wall.as_secs_f64()),
            memory_mb: of(&|spent| spent.most_memory_kib as f64 / 1024.0),
            most_sockets: seen(|seen| seen.most_open).unwrap_or(0),
            requests: seen(|seen| seen.requests).unwrap_or(0),
        }
    }
}

fn median(figures: impl Iterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_unstable_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

fn list(options: &Options, neaps: &[Neap]) -> Result<Vec<Row>> {
    let mut origin = Origin::start(options.pages)?;
    let home = tempfile::tempdir().into_diagnostic()?;
    let urls = home.path().join("urls.txt");
    write_list(&origin, options.pages, &urls)?;
    let urls = urls.as_path();
    let mut contenders = vec![
        bare(
            options,
            "bare loop",
            false,
            vec!["--list".into(), urls.into()],
        )?,
        bare(
            options,
            "bare loop, recording",
            true,
            vec!["--list".into(), urls.into()],
        )?,
    ];
    for neap in neaps {
        for bodies in ["none", "all"] {
            let job = job(
                options,
                bodies,
                &format!("files = [{:?}]", urls.display().to_string()),
                "page",
            );
            contenders.push(neap.run(bodies, job));
        }
    }
    let field = Field {
        workload: "list",
        pages: options.pages,
        measure: 1,
        contenders,
    };
    field.race(options.rounds, &mut origin)
}

fn linked(options: &Options, neaps: &[Neap]) -> Result<Vec<Row>> {
    let mut origin = Origin::start(options.pages)?;
    let first = origin.url(0, 0);
    let mut contenders = vec![
        bare(
            options,
            "bare crawl",
            false,
            vec!["--site".into(), first.as_str().into()],
        )?,
        bare(
            options,
            "bare crawl, recording",
            true,
            vec!["--site".into(), first.as_str().into()],
        )?,
    ];
    for neap in neaps {
        for bodies in ["none", "all"] {
            let job = job(options, bodies, &format!("urls = [{first:?}]"), "host");
            contenders.push(neap.run(bodies, job));
        }
    }
    let field = Field {
        workload: "linked",
        pages: options.pages,
        measure: 0,
        contenders,
    };
    field.race(options.rounds, &mut origin)
}

fn frontier(options: &Options, neaps: &[Neap]) -> Result<Vec<Row>> {
    let mut origin = Origin::start(1)?;
    let home = tempfile::tempdir().into_diagnostic()?;
    let mut contenders = Vec::new();
    for neap in neaps {
        for size in [SMALL_FRONTIER, LARGE_FRONTIER] {
            let directory = home.path().join(format!("{}-{size}", neap.label));
            fs::create_dir_all(&directory).into_diagnostic()?;
            write_list(&origin, size, &directory.join("urls.txt"))?;
            fs::write(
                directory.join("job.toml"),
                job(options, "none", "files = [\"urls.txt\"]", "page"),
            )
            .into_diagnostic()?;
            let submitted = Command::new(&neap.path)
                .args(["submit", "job.toml"])
                .current_dir(&directory)
                .output()
                .into_diagnostic()?;
            if !submitted.status.success() {
                return Err(miette!("{}", String::from_utf8_lossy(&submitted.stderr)));
            }
            contenders.push(neap.resume(size, directory));
        }
    }
    let field = Field {
        workload: "frontier",
        pages: FRONTIER_PAGES,
        measure: 0,
        contenders,
    };
    field.race(options.rounds, &mut origin)
}

fn bare<'a>(
    options: &Options,
    label: &str,
    records: bool,
    what: Vec<std::ffi::OsString>,
) -> Result<Contender<'a>> {
    let (in_flight, pages) = (options.in_flight.to_string(), options.pages.to_string());
    let program = std::env::current_exe().into_diagnostic()?;
    let prepare = move |directory: &Path| {
        let mut command = Command::new(&program);
        command.arg("bare").args(&what);
        command.args(["--in-flight", &in_flight, "--expect", &pages]);
        if records {
            command.arg("--record").arg(directory.join("fetches.db"));
        }
        Ok(command)
    };
    Ok(Contender {
        label: label.to_owned(),
        prepare: Box::new(prepare),
        codes: &[DONE],
    })
}

impl Neap {
    /// Submits a job and runs it, all of which counts.
    fn run(&self, bodies: &str, job: String) -> Contender<'_> {
        let prepare = move |directory: &Path| {
            fs::write(directory.join("job.toml"), &job).into_diagnostic()?;
            let mut command = Command::new(&self.path);
            command.args(["run", "job.toml"]).current_dir(directory);
            Ok(command)
        };
        Contender {
            label: format!("{}, bodies {bodies}", self.label),
            prepare: Box::new(prepare),
            codes: &[DONE],
        }
    }

    /// Goes on with a copy of a store.
    fn resume(&self, size: u64, submitted: PathBuf) -> Contender<'_> {
        let prepare = move |directory: &Path| {
            fs::copy(submitted.join("neap.db"), directory.join("neap.db")).into_diagnostic()?;
            let mut command = Command::new(&self.path);
            command.args(["resume", "--limit", &FRONTIER_PAGES.to_string()]);
            command.current_dir(directory);
            Ok(command)
        };
        Contender {
            label: format!("{}, {size} URLs", self.label),
            prepare: Box::new(prepare),
            codes: &[DONE, LIMITED],
        }
    }
}

fn write_list(origin: &Origin, pages: u64, path: &Path) -> Result<()> {
    let mut text = String::new();
    for page in 0..pages {
        let _ = writeln!(text, "{}", origin.url(page % u64::from(HOSTS), page));
    }
    fs::write(path, text).into_diagnostic()
}

fn job(options: &Options, bodies: &str, input: &str, scope: &str) -> String {
    let in_flight = options.in_flight;
    format!(
        "neap = 1\nname = \"bench\"\n[input]\n{input}\n[crawl]\nscope = \"{scope}\"\n\
         [crawl.traps]\nmax_near_duplicates = 1_000_000\n\
         [limits]\nconcurrency = {in_flight}\nper_host = {in_flight}\n[store]\nbodies = \"{bodies}\"\n"
    )
}
