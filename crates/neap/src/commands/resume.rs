//! `neap resume`: go on with what is unfinished.

use neap_store::{JobRow, JobState, SqliteStore};

use super::crawl::{Jobs, crawl, now};
use super::place::{Meant, existing, meant, store_of};
use super::run::{no_such_job, refuse_paused};
use crate::cli::{Bounds, Global};
use crate::exit::{self, Exit};
use crate::failure::Failure;
use crate::signals::Signals;

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
    let signals = Signals::listen()?;
    let store = existing(&path).await?;
    let lock = store.lock(now()).await?;
    let jobs = match &name {
        None => Jobs::All(all(&store).await?),
        Some(name) => Jobs::These(one(&store, name).await?),
    };
    let (Jobs::These(rows) | Jobs::Once(rows) | Jobs::All(rows)) = &jobs;
    if rows.is_empty() {
        let why = match &name {
            None => "no job is open and not paused".to_owned(),
            Some(name) => {
                let row = store.latest_round(name).await?;
                let state = row.map_or("not there", |row| row.state.as_str());
                format!("{name} is {state}")
            }
        };
        say!("nothing to resume in {}: {why}", store.path().display());
        return Ok(exit::DONE);
    }
    crawl(global, &store, lock, jobs, bounds, signals).await
}

/// Every job that can be gone on with; tells which are left out.
async fn all(store: &SqliteStore) -> Result<Vec<JobRow>, Failure> {
    for row in store.jobs().await? {
        if row.state == JobState::Paused {
            let name = &row.name;
            say!("{name} is paused and left out; `neap continue {name}` lets it go on");
        }
    }
    Ok(store.unfinished_jobs().await?)
}

async fn one(store: &SqliteStore, name: &str) -> Result<Vec<JobRow>, Failure> {
    let row = store.latest_round(name).await?;
    let row = row.ok_or_else(|| no_such_job(name, store))?;
    refuse_paused(&row)?;
    let is_open = row.state.is_open();
    Ok(Some(row).filter(|_| is_open).into_iter().collect())
}
