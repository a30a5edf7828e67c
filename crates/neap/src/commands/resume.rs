//! `neap resume`: go on with what is unfinished.

use neap_store::{JobRow, JobState, Store};

use super::crawl::{crawl, now};
use super::place::{Meant, existing, meant, store_of};
use super::run::no_such_job;
use crate::cli::{Bounds, Global};
use crate::exit::{self, Exit};
use crate::failure::Failure;

/// Goes on with one job, or with every unfinished one.
///
/// # Errors
/// The job cannot be found, a run holds the store, or the store cannot be written.
pub(crate) async fn resume(
    global: &Global,
    job: Option<&str>,
    bounds: &Bounds,
) -> Result<Exit, Failure> {
    let (path, name) = match job.map(|text| meant(text, &[])).transpose()? {
        Some(Meant::File(file)) => (store_of(global, Some(&file)), Some(file.job.name)),
        Some(Meant::Name(name)) => (store_of(global, None), Some(name)),
        None => (store_of(global, None), None),
    };
    let store = existing(&path).await?;
    let lock = store.lock(now()).await?;
    let jobs = unfinished(&store, name.as_deref()).await?;
    if jobs.is_empty() {
        let what = name.unwrap_or_else(|| "every job".to_owned());
        say!(
            "nothing to resume: {what} in {} is finished",
            store.path().display()
        );
        return Ok(exit::DONE);
    }
    crawl(global, &store, lock, jobs, bounds).await
}

async fn unfinished(store: &Store, name: Option<&str>) -> Result<Vec<JobRow>, Failure> {
    match name {
        None => Ok(store.unfinished_jobs().await?),
        Some(name) => {
            let row = store.latest_round(name).await?;
            let row = row.ok_or_else(|| no_such_job(name, store))?;
            Ok(Some(row)
                .filter(|row| row.state == JobState::Unfinished)
                .into_iter()
                .collect())
        }
    }
}
