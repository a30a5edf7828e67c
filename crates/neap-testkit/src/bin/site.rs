//! Serves a generated site on one or many loopback hosts: an origin for benchmarks by hand.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::process::ExitCode;
use std::time::Duration;

use neap_testkit::{Site, Tree};

/// Hosts are 127.0.0.1 to 127.0.0.254.
const MAX_HOSTS: usize = 254;

const USAGE: &str = "\
usage: site [options]        serves a generated site until it is killed
  --pages N        pages of each host (1000)
  --bytes N        bytes of each page, or more if its links need them (10000)
  --links N        links of each page (20)
  --hosts N        hosts, 127.0.0.1 and on; 1 to 254 (1)
  --port N         port of all hosts; 0 is a free one (0)
  --latency-ms N   service time of each page in milliseconds (0)
  --workers N      pages of a host that are served at once, the others queue; 0 is no bound (0)
  --list FILE      writes the URLs of all pages of all hosts, host by host in turn
Prints the URL of each host on a line of its own.";

/// What was asked for on the command line.
struct Options {
    pages: usize,
    bytes: usize,
    links: usize,
    hosts: usize,
    port: u16,
    latency: Duration,
    workers: usize,
    list: Option<String>,
}

fn main() -> ExitCode {
    let options = match options(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(message) => {
            eprintln!("{message}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn options(mut args: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options {
        pages: 1_000,
        bytes: 10_000,
        links: 20,
        hosts: 1,
        port: 0,
        latency: Duration::ZERO,
        workers: 0,
        list: None,
    };
    while let Some(name) = args.next() {
        let value = args.next().ok_or_else(|| format!("{name} needs a value"))?;
        match name.as_str() {
            "--pages" => options.pages = number(&name, &value, 1, usize::MAX)?,
            "--bytes" => options.bytes = number(&name, &value, 0, usize::MAX)?,
            "--links" => options.links = number(&name, &value, 1, usize::MAX)?,
            "--hosts" => options.hosts = number(&name, &value, 1, MAX_HOSTS)?,
            "--port" => options.port = number(&name, &value, 0, u16::MAX)?,
            "--latency-ms" => {
                options.latency = Duration::from_millis(number(&name, &value, 0, u64::MAX)?);
            }
            "--workers" => options.workers = number(&name, &value, 0, usize::MAX)?,
            "--list" => options.list = Some(value),
            _ => return Err(format!("{name} is not an option")),
        }
    }
    Ok(options)
}

fn number<N>(name: &str, value: &str, least: N, most: N) -> Result<N, String>
where
    N: std::str::FromStr + PartialOrd + std::fmt::Display,
{
    match value.parse() {
        Ok(number) if number >= least && number <= most => Ok(number),
        Ok(_) | Err(_) => Err(format!(
            "{name} {value:?} is not a number from {least} to {most}"
        )),
    }
}

fn run(options: &Options) -> io::Result<()> {
    let tree = Tree::new(options.pages, options.links, options.bytes);
    let mut builder = Site::builder()
        .tree(tree.clone())
        .latency(options.latency)
        .port(options.port)
        .without_log();
    if options.workers > 0 {
        builder = builder.workers(options.workers);
    }
    for host in 1..=options.hosts {
        builder = builder.bind(&format!("127.0.0.{host}"));
    }
    let site = builder.try_start()?;
    let bases: Vec<String> = site
        .addresses()
        .iter()
        .map(|address| format!("http://{address}"))
        .collect();
    if let Some(file) = &options.list {
        list(file, &tree, &bases)?;
    }
    for base in &bases {
        println!("{base}");
    }
    loop {
        std::thread::park();
    }
}

/// Writes the URLs so that neighbours are on different hosts, as in a mixed list.
fn list(file: &str, tree: &Tree, bases: &[String]) -> io::Result<()> {
    let mut out = BufWriter::new(File::create(file)?);
    for path in tree.paths() {
        for base in bases {
            writeln!(out, "{base}{path}")?;
        }
    }
    out.flush()
}
