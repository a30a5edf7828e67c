//! `neap retry`: what failed is asked again.

use neap_store::{Chosen, JobRow, JobState, Reader, Value};

use super::pause::{liveness, named, who};
use super::which;
use crate::cli::{Failed, Global};
use crate::exit::{self, Exit};
use crate::failure::Failure;
use crate::print::escape::{for_terminal, quoted};
use crate::screen::{NowAndThen, grouped, number};
use crate::tell::is_cause;

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
    let causes = causes(&reader, &row).await?;
    if let Some(word) = failed.cause.iter().find(|word| !is_cause(word)) {
        return Err(Failure::usage(
            format!("no request fails for the cause {}", quoted(word)),
            match causes.is_empty() {
                true => {
                    "no request of this round failed; `http_502` and `timeout_header` are causes"
                        .to_owned()
                }
                false => format!("the requests of this round failed for {causes}"),
            },
        ));
    }
    let chosen = Chosen {
        statuses: failed.status.clone(),
        causes: failed.cause.clone(),
        faults: failed.fault.clone(),
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
            "nothing to retry: {} of round {} of {name} failed{}; an answer such as 404 is no failure",
            match row.counts.failed {
                0 => "no request".to_owned(),
                failed => number(failed, "request"),
            },
            row.round,
            match causes.is_empty() {
                true => String::new(),
                false => format!(", for {causes}, and none of them is meant"),
            },
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

/// What the requests of a round failed for, and how many for each, as a list.
async fn causes(reader: &Reader, row: &JobRow) -> Result<String, Failure> {
    let name = row.name.replace('\'', "''");
    let sql = format!(
        "SELECT cause, count(*) FROM failures WHERE job = '{name}' AND round = {}
         GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 20",
        row.round
    );
    let mut rows = reader.query(&sql).await?;
    let mut causes = Vec::new();
    while let Some(row) = rows.next().await? {
        if let [Value::Text(cause), Value::Integer(requests)] = &row[..] {
            let requests = grouped(requests.unsigned_abs());
            causes.push(format!("{} ({requests})", for_terminal(cause)));
        }
    }
    Ok(causes.join(", "))
}

fn are(requests: u64) -> String {
    let verb = if requests == 1 { "is" } else { "are" };
    format!("{} {verb}", number(requests, "request"))
}
