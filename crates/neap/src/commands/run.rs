//! `neap run`: submit and crawl, or go on where the last run stopped.

use neap_store::{JobState, Store};

use super::crawl::{crawl, now};
use super::place::{Meant, created, existing, meant, store_of};
use super::submit::take_in;
use crate::cli::{Bounds, Global};
use crate::exit::Exit;
use crate::failure::Failure;

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
    match meant(job, overrides)? {
        Meant::File(file) => {
            // Before a new round takes the place of an unfinished one.
            neap_runner::check_headers(&file.job, |name| std::env::var(name).ok())?;
            let store = created(&store_of(global, Some(&file))).await?;
            let lock = store.lock(now()).await?;
            let row = take_in(&store, &file, fresh).await?;
            crawl(global, &store, lock, vec![row], bounds).await
        }
        Meant::Name(name) => {
            let store = existing(&store_of(global, None)).await?;
            let lock = store.lock(now()).await?;
            let row = store.latest_round(&name).await?;
            let row = row.ok_or_else(|| no_such_job(&name, &store))?;
            if row.state == JobState::Finished || fresh {
                return Err(Failure::usage(
                    format!(
                        "round {} of {name} is {}",
                        row.round,
                        if fresh { "in the store" } else { "finished" }
                    ),
                    "a new round needs its input again: `neap run` with the job file",
                ));
            }
            crawl(global, &store, lock, vec![row], bounds).await
        }
    }
}

/// A name that means no job here.
pub(super) fn no_such_job(name: &str, store: &Store) -> Failure {
    Failure::usage(
        format!("there is no job `{name}` in {}", store.path().display()),
        "`neap status` lists the jobs; to run a job file, name the file",
    )
}
