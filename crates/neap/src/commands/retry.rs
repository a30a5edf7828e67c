//! `neap retry`: what failed is asked again.

use neap_store::{Chosen, JobState, Reader};

use super::pause::{liveness, named, who};
use super::which;
use crate::cli::{Failed, Global};
use crate::exit::{self, Exit};
use crate::failure::Failure;
use crate::screen::{NowAndThen, number};

/// Has failed requests of the newest round of a job asked again.
///
/// # Errors
/// There is no such job, it was cancelled or replaced, the condition is none, or the store cannot be
/// written.
pub(crate) async fn retry(global: &Global, job: &str, failed: &Failed) -> Result<Exit, Failure> {
    let (store, row) = named(global, job).await?;
    let name = &row.name;
    if matches!(row.state, JobState::Cancelled | JobState::Replaced) {
        return Err(Failure::usage(
            format!("round {} of {name} is {}", row.round, row.state.as_str()),
            "`neap run` with its job file starts a new round",
        ));
    }
    let reader = Reader::open(store.path()).await?;
    let chosen = Chosen {
        statuses: failed.status.clone(),
        causes: failed.cause.clone(),
        hosts: which::hosts(&reader, &failed.host).await?,
        urls: Vec::new(),
        condition: failed.condition.clone(),
    };
    let meant = reader.failed_requests(&row, &chosen).await?;
    let mut pace = NowAndThen::new();
    let told = |done| {
        if pace.is_due() {
            say!("{name}: {} so far", number(done, "request"));
        }
    };
    let retried = store.retry_requests(row.job_id, &meant, told).await?;
    if retried == 0 {
        say!(
            "nothing to retry: of {} of round {} of {name} none is meant; an answer such as 404 is no failure",
            number(row.counts.failed, "failed request"),
            row.round,
        );
        return Ok(exit::DONE);
    }
    let is_paused = store.job(row.job_id).await?.state == JobState::Paused;
    let who = match is_paused {
        true => format!("; it is paused: `neap continue {name}` lets it go on"),
        false => who(&liveness(&store).await?, name),
    };
    say!("{name}: {} asked again{who}", are(retried));
    Ok(exit::DONE)
}

fn are(requests: u64) -> String {
    let verb = if requests == 1 { "is" } else { "are" };
    format!("{} {verb}", number(requests, "request"))
}
