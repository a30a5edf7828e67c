//! `neap run`: submit and crawl, or go on where the last run stopped.

use neap_store::{JobRow, JobState, SqliteStore};

use super::crawl::{Jobs, crawl, now};
use super::place::{Meant, created, existing, meant, store_of};
use super::submit::{take_in, undone};
use crate::cli::{Bounds, Global};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::signals::Signals;

/// Runs the job that a file describes or a name means.
///
/// # Errors
/// The job cannot be found or read, a run holds the store, or the store cannot be written.
pub(crate) async fn run(
    global: &Global,
    job: &str,
    overrides: &[String],
    fresh: bool,
    bounds: &Bounds,
) -> Result<Exit, Failure> {
    let mut signals = Signals::listen()?;
    match meant(job, overrides)? {
        Meant::File(file) => {
            // Before a new round takes the place of an unfinished one.
            neap_runner::check_secrets(&file.job, |name| std::env::var(name).ok())?;
            let store = created(&store_of(global, Some(&file))).await?;
            let lock = store.lock(now()).await?;
            let row = match take_in(global, &store, &file, fresh, true, &mut signals).await {
                Ok(row) => row,
                Err(failure) => return Err(undone(store, lock, failure).await),
            };
            refuse_paused(&row)?;
            crawl(
                global,
                &store,
                lock,
                Jobs::These(vec![row]),
                bounds,
                signals,
            )
            .await
        }
        Meant::Name(name) => {
            let store = existing(&store_of(global, None)).await?;
            let lock = store.lock(now()).await?;
            let row = store.latest_round(&name).await?;
            let row = row.ok_or_else(|| no_such_job(&name, &store))?;
            if fresh || !row.state.is_open() {
                let state = if fresh {
                    "in the store"
                } else {
                    row.state.as_str()
                };
                return Err(Failure::usage(
                    format!("round {} of {name} is {state}", row.round),
                    "a new round needs its input again: `neap run` with the job file",
                ));
            }
            refuse_paused(&row)?;
            crawl(
                global,
                &store,
                lock,
                Jobs::These(vec![row]),
                bounds,
                signals,
            )
            .await
        }
    }
}

/// Refuses to work on a job that is paused.
pub(super) fn refuse_paused(row: &JobRow) -> Result<(), Failure> {
    if row.state != JobState::Paused {
        return Ok(());
    }
    let name = &row.name;
    Err(Failure::usage(
        format!("{name} (round {}) is paused", row.round),
        format!("`neap continue {name}` lets it go on; then run this again"),
    ))
}

/// A name that means no job here.
pub(super) fn no_such_job(name: &str, store: &SqliteStore) -> Failure {
    Failure::usage(
        format!("there is no job `{name}` in {}", store.path().display()),
        "`neap status` lists the jobs; to run a job file, name the file",
    )
}
