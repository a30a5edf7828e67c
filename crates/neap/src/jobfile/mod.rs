//! What job does a job file describe?
//!
//! A job file is TOML with the keys of [`keys::KEYS`] and no others. It is read in three steps: its text
//! and the `--set` overrides are taken apart into one field a key ([`fields`]), each field is read and
//! checked ([`build`]), and all that is wrong is reported at once, with file, line, column and advice
//! ([`problem`]).

mod build;
pub(crate) mod compare;
mod fields;
mod files;
mod headers;
mod identity;
pub(crate) mod input;
mod keys;
pub(crate) mod problem;
mod proxies;
mod reader;
mod rules;
mod source;
mod values;
mod words;

use std::path::{Path, PathBuf};
use std::time::Duration;

use neap_core::job::Job;

pub(crate) use self::compare::{at_most_text, compare, size_text, statuses_text};
pub(crate) use self::input::{InputRows, Known};
#[cfg(test)]
pub(crate) use self::keys::is_key;
pub(crate) use self::problem::JobFileError;
pub(crate) use self::rules::differences;

use self::fields::{Fields, Override};
use self::problem::Problems;
use self::reader::Reader;
use self::source::{Source, Spot};

/// A job, and where it was read from.
#[derive(Debug)]
pub(crate) struct JobFile {
    /// What it asks for.
    pub(crate) job: Job,
    /// The file, as it was named.
    pub(crate) path: PathBuf,
    /// The directory that paths in it are relative to.
    pub(crate) dir: PathBuf,
    /// Where each of `job.input.files` is written.
    file_spots: Vec<Spot>,
}

/// Reads a job file. Each override is `section.key=value`, its value TOML or plain text, and replaces
/// what the file says; the last one of a key wins.
///
/// # Errors
/// Everything that is wrong with file and overrides. Nothing was done.
pub(crate) fn read(path: &Path, overrides: &[String]) -> Result<JobFile, JobFileError> {
    of_source(path, Source::read(path)?, overrides)
}

/// Reads the text of a job file that is not on the disk; paths in it are relative to that of `name`.
///
/// # Errors
/// As [`read`].
pub(crate) fn read_text(
    name: &str,
    text: &str,
    overrides: &[String],
) -> Result<JobFile, JobFileError> {
    of_source(Path::new(name), Source::of_text(name, text)?, overrides)
}

/// Reads a duration from the command line, written as in a job file: `30s`, `1h 30m`, `1d`.
///
/// # Errors
/// Why it is none, and what to write instead.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    values::duration(text).map_err(|complaint| complaint.message)
}

fn of_source(path: &Path, file: Source, overrides: &[String]) -> Result<JobFile, JobFileError> {
    let overrides: Vec<Override> = overrides
        .iter()
        .map(|text| Override::read(text))
        .collect::<Result<_, _>>()?;
    let mut problems = Problems::default();
    let fields = Fields::gather(&file, &overrides, &mut problems)?;
    let mut reader = Reader {
        fields,
        problems,
        within: String::new(),
    };
    let job = build::job(&mut reader, &file, path);
    let file_spots = reader.element_spots("input.files");
    match reader.problems.into_error(&file.name) {
        Some(error) => Err(error),
        None => {
            let dir = path.parent().unwrap_or(Path::new("")).to_owned();
            Ok(JobFile {
                job,
                path: path.to_owned(),
                dir,
                file_spots,
            })
        }
    }
}

#[cfg(test)]
mod tests;
