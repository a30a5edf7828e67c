//! Where is the store, and which job is meant?

use std::path::{Path, PathBuf};

use neap_store::{Access, Reader, SqliteStore};

use crate::cli::Global;
use crate::failure::Failure;
use crate::jobfile::{self, JobFile};

/// The store of a command that names no job file.
const DEFAULT_STORE: &str = "neap.db";

/// The store for a job file: `--db`, else its `[store] path` relative to the file, else `neap.db` here.
pub(crate) fn store_of(global: &Global, file: Option<&JobFile>) -> PathBuf {
    let of_file = || {
        let file = file?;
        Some(file.dir.join(file.job.store.path.as_ref()?))
    };
    global
        .db
        .clone()
        .or_else(of_file)
        .unwrap_or_else(|| PathBuf::from(DEFAULT_STORE))
}

/// What a person meant by `FILE|JOB`.
#[derive(Debug)]
pub(crate) enum Meant {
    /// A job file.
    File(Box<JobFile>),
    /// A job in the store, by name.
    Name(String),
}

/// Reads `FILE|JOB`: a file if there is one, or if it is written like one.
///
/// # Errors
/// The file is not a good job file.
pub(crate) fn meant(text: &str, overrides: &[String]) -> Result<Meant, Failure> {
    let is_file = text.ends_with(".toml") || text.contains('/') || Path::new(text).is_file();
    if is_file {
        return Ok(Meant::File(Box::new(jobfile::read(
            Path::new(text),
            overrides,
        )?)));
    }
    if !overrides.is_empty() {
        return Err(Failure::usage(
            format!("--set changes values of a job file, and `{text}` is not one"),
            "name the job file; what it changes is taken over by the job in the store",
        ));
    }
    Ok(Meant::Name(text.to_owned()))
}

/// Opens a store that is there already, to write.
///
/// # Errors
/// There is none, or it cannot be used.
pub(crate) async fn existing(path: &Path) -> Result<SqliteStore, Failure> {
    Ok(SqliteStore::open(path, Access::Existing).await?)
}

/// Opens a store that is there already, to read; a run may go on meanwhile.
///
/// # Errors
/// There is none, or it cannot be used.
pub(crate) async fn reader(global: &Global) -> Result<Reader, Failure> {
    reader_at(&store_of(global, None)).await
}

/// Opens the store that a job is in, to read, and says what the job is called; or the usual store, if no job
/// is named.
///
/// # Errors
/// There is no store, it cannot be used, or there is no such job in it.
pub(crate) async fn of_job(
    global: &Global,
    job: Option<&str>,
) -> Result<(Reader, Option<String>), Failure> {
    let (path, name) = match job.map(|text| meant(text, &[])).transpose()? {
        Some(Meant::File(file)) => (store_of(global, Some(&file)), Some(file.job.name)),
        Some(Meant::Name(name)) => (store_of(global, None), Some(name)),
        None => (store_of(global, None), None),
    };
    let reader = reader_at(&path).await?;
    if let Some(name) = &name
        && !reader.jobs().await?.iter().any(|job| job.name == *name)
    {
        return Err(Failure::usage(
            format!("there is no job `{name}` in {}", path.display()),
            "`neap status` lists all jobs",
        ));
    }
    Ok((reader, name))
}

/// Opens the store at a path, to read.
///
/// # Errors
/// There is none, or it cannot be used.
pub(crate) async fn reader_at(path: &Path) -> Result<Reader, Failure> {
    Ok(Reader::open(path).await?)
}

/// Says of a copy that its bodies are not its own.
pub(crate) fn say_if_copy(reader: &Reader) {
    if reader.is_copy() {
        let (path, bodies) = (reader.path().display(), reader.bodies().display());
        say!("{path} is a copy: the bodies stay in {bodies}");
    }
}

/// Opens the store at a path to write, creating it if there is none.
///
/// # Errors
/// Its directory is not there, or what is there is no store that can be used.
pub(crate) async fn created(path: &Path) -> Result<SqliteStore, Failure> {
    let directory = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    if let Some(directory) = directory.filter(|directory| !directory.is_dir()) {
        return Err(Failure::usage(
            format!(
                "there is no directory {} for the store",
                directory.display()
            ),
            "create it, or name another place with --db or `[store] path`",
        ));
    }
    Ok(SqliteStore::open(path, Access::Create).await?)
}
