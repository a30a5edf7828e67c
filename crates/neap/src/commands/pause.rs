//! `neap pause` and `neap continue`: who says that a job rests, and that it goes on?

use neap_store::{JobRow, JobState, Liveness, Reader, SqliteStore};

use super::place::{Meant, existing, meant, store_of};
use super::run::no_such_job;
use crate::cli::Global;
use crate::exit::{self, Exit};
use crate::failure::Failure;

/// Pauses a job.
///
/// # Errors
/// There is no such job, or the store cannot be written.
pub(crate) async fn pause(global: &Global, job: &str) -> Result<Exit, Failure> {
    let (store, row) = named(global, job).await?;
    let name = &row.name;
    if store.pause_job(row.job_id).await? {
        let live = liveness(&store).await?;
        say!(
            "{name} is paused{}; `neap continue {name}` lets it go on",
            if live.is_running {
                ": what is in flight ends as ever"
            } else {
                ""
            },
        );
    } else {
        say!("nothing to pause: {}", standing(&store, &row).await?);
    }
    Ok(exit::DONE)
}

/// Lets a job go on.
///
/// # Errors
/// There is no such job, or the store cannot be written.
pub(crate) async fn continue_job(global: &Global, job: &str) -> Result<Exit, Failure> {
    let (store, row) = named(global, job).await?;
    let name = &row.name;
    if store.continue_job(row.job_id).await? {
        say!("{name} goes on{}", who(&liveness(&store).await?, name));
    } else {
        say!("nothing to continue: {}", standing(&store, &row).await?);
    }
    Ok(exit::DONE)
}

/// The newest round of the job that is meant, in a store that can be written.
///
/// # Errors
/// There is no store, or no such job in it.
pub(super) async fn named(global: &Global, job: &str) -> Result<(SqliteStore, JobRow), Failure> {
    let (path, name) = match meant(job, &[])? {
        Meant::File(file) => (store_of(global, Some(&file)), file.job.name),
        Meant::Name(name) => (store_of(global, None), name),
    };
    let store = existing(&path).await?;
    let row = store.latest_round(&name).await?;
    let row = row.ok_or_else(|| no_such_job(&name, &store))?;
    Ok((store, row))
}

/// Whether a run is going on.
///
/// # Errors
/// The store cannot be read.
pub(super) async fn liveness(store: &SqliteStore) -> Result<Liveness, Failure> {
    Ok(Reader::open(store.path()).await?.liveness().await?)
}

/// Who takes up what is to be done now, as the end of a sentence.
pub(super) fn who(live: &Liveness, name: &str) -> String {
    match (live.is_running, live.is_for_all) {
        (true, true) => ", in the run that is going on".to_owned(),
        (true, false) => format!(
            ", in the run that is going on if it works on {name}; if not, `neap resume` takes it up later"
        ),
        (false, _) => format!("; `neap resume {name}` does it"),
    }
}

/// How a job is, in words.
async fn standing(store: &SqliteStore, row: &JobRow) -> Result<String, Failure> {
    let state = store.job(row.job_id).await?.state;
    Ok(match state {
        JobState::Unfinished => format!("{} is not paused", row.name),
        JobState::Paused | JobState::Finished | JobState::Cancelled | JobState::Replaced => {
            format!("{} (round {}) is {}", row.name, row.round, state.as_str())
        }
    })
}
