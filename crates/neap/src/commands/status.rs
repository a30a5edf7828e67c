//! `neap status`: which jobs are there, and how far are they?

use neap_store::JobRow;

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
    let shown = match format {
        Format::Table | Format::Markdown => NARROW,
        Format::Json | Format::Jsonl | Format::Csv | Format::Tsv => COLUMNS.len(),
    };
    let cut = |mut row: Vec<Value>| {
        row.truncate(shown);
        row
    };
    print_rows(format, &COLUMNS[..shown], jobs.iter().map(row).map(cut))?;
    Ok(exit::DONE)
}

const COLUMNS: [&str; 13] = [
    "job",
    "round",
    "state",
    "pages",
    "done",
    "failed",
    "skipped",
    "left",
    "total",
    "waiting",
    "ready",
    "submitted_at",
    "finished_at",
];

/// The columns that fit a terminal: the first so many.
const NARROW: usize = 8;

fn row(job: &JobRow) -> Vec<Value> {
    let counts = &job.counts;
    let whole = |n: u64| Value::Integer(n.try_into().unwrap_or(i64::MAX));
    let time = |at| Value::Text(neap_store::rfc3339(at));
    vec![
        Value::Text(job.name.clone()),
        whole(u64::from(job.round)),
        Value::Text(job.state.as_str().to_owned()),
        whole(counts.pages),
        whole(counts.done),
        whole(counts.failed),
        whole(counts.skipped),
        whole(counts.open()),
        whole(counts.total()),
        whole(counts.waiting),
        whole(counts.ready),
        time(job.submitted),
        job.finished.map_or(Value::Null, time),
    ]
}
