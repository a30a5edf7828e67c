//! `neap submit`, and what `neap run FILE` does before it runs: how does a job file get into the store?
//!
//! A job that is new, or whose last round is finished, starts a new round. A job that is unfinished is
//! gone on with: what may change while a crawl goes on is taken over, new input is added, and a
//! changed scope or identity is refused, since it would make one crawl of two different ones.

use std::path::Path;

use neap_core::CanonicalUrl;
use neap_store::{JobRow, Store, Submission};

use super::place::{created, store_of};
use crate::cli::Global;
use crate::exit::{self, Exit};
use crate::failure::Failure;
use crate::jobfile::{self, InputUrls, JobFile};
use crate::screen::number;

/// Puts a job file into the store.
///
/// # Errors
/// The file is no good, a run holds the store, or the store cannot be written; nothing is half done.
pub(crate) async fn submit(
    global: &Global,
    path: &Path,
    overrides: &[String],
    fresh: bool,
) -> Result<Exit, Failure> {
    let file = jobfile::read(path, overrides)?;
    let store = created(&store_of(global, Some(&file))).await?;
    let _lock = store.lock(super::crawl::now()).await?;
    let row = take_in(&store, &file, fresh).await?;
    crate::print::line(&format!(
        "{} round {} (job {}) in {}",
        row.name,
        row.round,
        row.job_id,
        store.path().display()
    ))?;
    Ok(exit::DONE)
}

/// Makes the store hold what a job file asks for, and gives the round to be run.
///
/// # Errors
/// An input file cannot be read, the file changed what cannot be changed, or the store cannot be
/// written; the store is as it was.
pub(crate) async fn take_in(store: &Store, file: &JobFile, fresh: bool) -> Result<JobRow, Failure> {
    let last = store.latest_round(&file.job.name).await?;
    let row = match last.filter(|row| row.state.is_open() && !fresh) {
        Some(row) => go_on(store, file, &row).await?,
        None => start(store, file).await?,
    };
    Ok(store.job(row).await?)
}

async fn start(store: &Store, file: &JobFile) -> Result<neap_core::JobId, Failure> {
    let urls = all_input(file)?;
    let submitted = store
        .submit(Submission {
            job: &file.job,
            urls,
        })
        .await?;
    say!(
        "{}: round {} starts with {}{}",
        file.job.name,
        submitted.round,
        number(submitted.added, "URL"),
        match submitted.already_known {
            0 => String::new(),
            n => format!(" ({} left out)", number(n, "duplicate")),
        },
    );
    Ok(submitted.job_id)
}

async fn go_on(store: &Store, file: &JobFile, row: &JobRow) -> Result<neap_core::JobId, Failure> {
    let changes = jobfile::compare(&row.spec, &file.job);
    if !changes.refused.is_empty() {
        return Err(Failure::usage(
            format!(
                "{} is unfinished (round {}), and its file now differs in what cannot change on the way:\n  {}",
                row.name,
                row.round,
                changes.refused.join("\n  "),
            ),
            "undo the change to go on with that round, or start a new one with --fresh",
        ));
    }
    let urls = all_input(file)?;
    let submitted = store.add_input(row.job_id, urls).await?;
    store.update_spec(row.job_id, &file.job).await?;
    for change in &changes.at_once {
        say!("{}: {change}", row.name);
    }
    if submitted.added > 0 {
        say!(
            "{}: {} new in the input",
            row.name,
            number(submitted.added, "URL")
        );
    }
    Ok(row.job_id)
}

/// Every input URL, read before anything is stored: a file that cannot be read stops here.
fn all_input(file: &JobFile) -> Result<Vec<CanonicalUrl>, Failure> {
    let mut input = file.input_urls()?;
    let urls = input.by_ref().collect::<Result<Vec<_>, _>>()?;
    warn_of_malformed(file, &input);
    if urls.is_empty() {
        return Err(nothing_to_ask(file));
    }
    Ok(urls)
}

/// A job whose files hold no URL.
pub(super) fn nothing_to_ask(file: &JobFile) -> Failure {
    Failure::usage(
        format!("{}: the input holds no URL", file.path.display()),
        "`[input] urls` lists some, or `files` names text files with one a line",
    )
}

/// Tells which lines of the input were no URLs; they are left out.
pub(super) fn warn_of_malformed(file: &JobFile, input: &InputUrls) {
    if input.malformed() == 0 {
        return;
    }
    let lines = number(input.malformed(), "malformed line");
    say!("{}: {lines} of the input left out:", file.job.name);
    for line in input.kept() {
        say!("  {line}");
    }
}
