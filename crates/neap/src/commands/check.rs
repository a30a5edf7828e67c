//! `neap check`: is a job file good? Nothing is stored and nothing is fetched.

use std::collections::{BTreeSet, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};

use neap_core::{CanonicalUrl, Host};

use crate::cli::Global;
use crate::exit::{self, Exit};
use crate::failure::Failure;
use crate::jobfile::{self, JobFile, Known};
use crate::screen::number;

/// Checks every file, and tells of each; the first bad one does not hide the others.
///
/// # Errors
/// None of its own: what is wrong is printed, and the exit code says that something is.
pub(crate) fn check(
    global: &Global,
    files: &[PathBuf],
    overrides: &[String],
) -> Result<Exit, Failure> {
    let mut exit = exit::DONE;
    for path in files {
        match check_one(path, overrides, global.verbose > 0) {
            Ok(line) => crate::print::line(&line)?,
            Err(failure) => {
                say!("{:?}", failure.report);
                exit = failure.exit;
            }
        }
    }
    Ok(exit)
}

fn check_one(path: &Path, overrides: &[String], many: bool) -> Result<String, Failure> {
    let file = jobfile::read(path, overrides)?;
    let mut hosts = BTreeSet::new();
    let mut seen = Seen::default();
    let mut input = file.input_rows(Known::default(), many)?;
    for row in input.by_ref() {
        let url = row?.url;
        seen.see(&url);
        hosts.insert(url.host());
    }
    super::submit::warn_of_malformed(&file, &input);
    if hosts.is_empty() {
        return Err(super::submit::nothing_to_ask(&file));
    }
    if let Err(error) = neap_runner::check_secrets(&file.job, |name| std::env::var(name).ok()) {
        say!("{}: a run would fail: {error}", file.path.display());
    }
    Ok(told(&file, input.rows(), seen.again, &hosts))
}

/// Digests of URLs that are remembered, to tell those that occur again: some 100 MB.
const MOST_SEEN: usize = 4_000_000;

/// Which URLs occurred already, and how often one occurred again. Only among the first few million.
#[derive(Default)]
struct Seen {
    urls: HashSet<u64>,
    hasher: RandomState,
    again: u64,
}

impl Seen {
    fn see(&mut self, url: &CanonicalUrl) {
        let digest = self.hasher.hash_one(url.as_str());
        if self.urls.contains(&digest) {
            self.again += 1;
        } else if self.urls.len() < MOST_SEEN {
            self.urls.insert(digest);
        }
    }
}

fn told(file: &JobFile, rows: u64, again: u64, hosts: &BTreeSet<Host>) -> String {
    format!(
        "{}  ok   job {}: {} on {}{}",
        file.path.display(),
        file.job.name,
        number(rows - again, "URL"),
        number(hosts.len() as u64, "host"),
        match again {
            0 => String::new(),
            again => format!(" ({} left out)", number(again, "duplicate")),
        },
    )
}
