//! `neap cancel`: how does a job end before its work does?

use neap_store::{JobState, StoreError};

use super::crawl::now;
use super::pause::named;
use crate::cli::Global;
use crate::exit::{self, Exit};
use crate::failure::Failure;
use crate::screen::{NowAndThen, number};

/// Cancels a job. What is in flight under a run ends there.
///
/// # Errors
/// There is no such job, or the store cannot be written; the same command again goes on.
pub(crate) async fn cancel(global: &Global, job: &str) -> Result<Exit, Failure> {
    let (store, row) = named(global, job).await?;
    let (name, round) = (&row.name, row.round);
    let was_open = store.cancel_job(row.job_id).await?;
    let state = store.job(row.job_id).await?.state;
    if !was_open && state != JobState::Cancelled {
        say!(
            "nothing to cancel: {name} (round {round}) is {}",
            state.as_str()
        );
        return Ok(exit::DONE);
    }
    let mut pace = NowAndThen::new();
    let mut told = |skipped| {
        if pace.is_due() {
            say!("{name}: {} skipped so far", number(skipped, "request"));
        }
    };
    let mut counts = store.empty_cancelled(row.job_id, &mut told).await?;
    if counts.open() > 0 {
        match store.lock(now()).await {
            // No run is going on: what one that died had in flight will not come back.
            Ok(lock) => {
                store.take_over(&lock).await?;
                counts = store.empty_cancelled(row.job_id, &mut told).await?;
            }
            Err(StoreError::Held { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let skipped = number(counts.skipped.saturating_sub(row.counts.skipped), "request");
    if !was_open && counts.open() == 0 && counts.skipped == row.counts.skipped {
        say!("nothing to cancel: {name} (round {round}) is cancelled already");
        return Ok(exit::DONE);
    }
    match counts.open() {
        0 => say!("{name} (round {round}) is cancelled: {skipped} skipped"),
        left => say!(
            "{name} (round {round}) is cancelled: {skipped} skipped, {} in flight under the run that is going on",
            number(left, "request"),
        ),
    }
    Ok(exit::DONE)
}
