//! `neap status`: which jobs are there, and how far are they?

use neap_store::{JobRow, JobState};

use super::place::{Meant, meant, reader_at, store_of};
use super::tables::print_rows;
use crate::cli::Global;
use crate::exit::{self, Exit};
use crate::failure::Failure;
use crate::print::{Format, Value};

/// Prints a row for each round of a job.
///
/// # Errors
/// There is no store, or no such job in it.
pub(crate) async fn status(
    global: &Global,
    job: Option<&str>,
    format: Format,
) -> Result<Exit, Failure> {
    let (path, name) = match job.map(|text| meant(text, &[])).transpose()? {
        Some(Meant::File(file)) => (store_of(global, Some(&file)), Some(file.job.name)),
        Some(Meant::Name(name)) => (store_of(global, None), Some(name)),
        None => (store_of(global, None), None),
    };
    let mut jobs = reader_at(&path).await?.jobs().await?;
    if let Some(name) = name {
        jobs.retain(|row| row.name == name);
        if jobs.is_empty() {
            return Err(Failure::usage(
                format!("there is no job `{name}` in {}", path.display()),
                "`neap status` without a name lists all jobs",
            ));
        }
    }
    print_rows(format, &COLUMNS, jobs.iter().map(row))?;
    Ok(exit::DONE)
}

const COLUMNS: [&str; 12] = [
    "job",
    "round",
    "state",
    "total",
    "done",
    "failed",
    "skipped",
    "waiting",
    "ready",
    "pages",
    "submitted_at",
    "finished_at",
];

fn row(job: &JobRow) -> Vec<Value> {
    let counts = &job.counts;
    let whole = |n: u64| Value::Integer(n.try_into().unwrap_or(i64::MAX));
    let time = |at| Value::Text(neap_store::rfc3339(at));
    let state = match job.state {
        JobState::Unfinished => "unfinished",
        JobState::Finished => "finished",
        JobState::Replaced => "replaced",
    };
    vec![
        Value::Text(job.name.clone()),
        whole(u64::from(job.round)),
        Value::Text(state.to_owned()),
        whole(counts.total()),
        whole(counts.done),
        whole(counts.failed),
        whole(counts.skipped),
        whole(counts.waiting),
        whole(counts.ready),
        whole(counts.pages),
        time(job.submitted),
        job.finished.map_or(Value::Null, time),
    ]
}
