//! `neap export`: how do rows, an index of the bodies or the whole store get into a file?
//!
//! A file is written under another name and gets its own when it is complete.

use std::io::{BufWriter, Write};
use std::path::Path;

use neap_store::{Draft, Reader, Replaces};

use super::place::{of_job, reader_at, store_of};
use super::tables::write_rows;
use crate::cli::{Export, Exported, Global};
use crate::exit::{self, Exit};
use crate::failure::Failure;
use crate::print::{Format, Place, until_closed};
use crate::screen::number;
use crate::signals::Signals;

/// Writes what was asked for.
///
/// # Errors
/// There is no store or no such job, the file is there already or cannot be written; then there is no
/// new file.
pub(crate) async fn export(global: &Global, export: &Export) -> Result<Exit, Failure> {
    let ending = export.to.as_deref().and_then(Path::extension);
    let ending = ending.map(|ending| ending.to_string_lossy().to_ascii_lowercase());
    let form = match export.what {
        None => return copy(global, export, ending.as_deref()).await,
        Some(Exported::Cdxj) => None,
        Some(_) => Some(format(export, ending.as_deref())?),
    };
    check_options(export)?;
    let mut signals = Signals::listen()?;
    let (reader, job) = of_job(global, export.job.as_deref()).await?;
    let (what, written) = match &export.to {
        None => {
            let place = Place::stdout(export.raw);
            write(
                &reader,
                export,
                job.as_deref(),
                form,
                place,
                std::io::stdout(),
                &std::env::temp_dir(),
            )
            .await?
        }
        Some(to) => {
            let replaces = match export.force {
                true => Replaces::Files,
                false => Replaces::Nothing,
            };
            let draft = Draft::new(to, replaces)?;
            let place = Place {
                width: None,
                is_raw: export.raw,
            };
            let file = draft.create()?;
            let scratch = draft.directory().to_owned();
            let write = write(&reader, export, job.as_deref(), form, place, file, &scratch);
            let written = unless_stopped(&mut signals, to, write).await?;
            draft.place()?;
            written
        }
    };
    if let Some(to) = &export.to {
        say!("{}: {}", to.display(), number(written, what));
    }
    Ok(exit::DONE)
}

/// Does it, unless a signal comes first: then there is no new file.
async fn unless_stopped<T>(
    signals: &mut Signals,
    to: &Path,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    tokio::select! {
        exit = signals.next() => Err(Failure::stopped(
            exit,
            format!("stopped before {} was complete; nothing is left of it", to.display()),
        )),
        done = work => done,
    }
}

/// Writes rows or index; what that was and how much.
async fn write(
    reader: &Reader,
    export: &Export,
    job: Option<&str>,
    form: Option<Format>,
    place: Place,
    out: impl Write,
    scratch: &Path,
) -> Result<(&'static str, u64), Failure> {
    let Some((form, sql)) = form.zip(sql(export, job)) else {
        let mut out = BufWriter::new(out);
        let records = reader.cdxj(job, scratch, &mut out).await?;
        until_closed(out.flush())?;
        return Ok(("record", records));
    };
    let mut rows = reader.query(&sql).await?;
    Ok(("row", write_rows(&mut rows, form, place, out).await?))
}

/// The form that was asked for, or that the file's ending means.
fn format(export: &Export, ending: Option<&str>) -> Result<Format, Failure> {
    let meant = match ending {
        Some("csv") => Some(Format::Csv),
        Some("tsv") => Some(Format::Tsv),
        Some("json") => Some(Format::Json),
        Some("jsonl" | "ndjson") => Some(Format::Jsonl),
        Some("md") => Some(Format::Markdown),
        Some(_) | None => None,
    };
    match (export.format, meant) {
        (Some(format), Some(meant)) if format != meant => {
            return Err(Failure::usage(
                "--format says another form than the ending of the file",
                "leave --format out, or let the file end in what it says",
            ));
        }
        (Some(format), _) | (None, Some(format)) => return Ok(format),
        (None, None) => {}
    }
    match ending {
        None if export.to.is_none() => Ok(Format::Csv),
        Some("db") => Err(Failure::usage(
            "rows cannot be written as a database",
            "`neap export --to FILE.db` without anything else copies the whole store",
        )),
        Some(_) | None => Err(Failure::usage(
            "the ending of the file does not say its form",
            "let it end in .csv, .tsv, .json, .jsonl or .md, or say --format",
        )),
    }
}

/// Refuses what an index has no use for.
fn check_options(export: &Export) -> Result<(), Failure> {
    let useless = [
        ("--where", export.condition.is_some()),
        ("--format", export.format.is_some()),
        ("--raw", export.raw),
    ];
    let is_cdxj = export.what == Some(Exported::Cdxj);
    match useless
        .into_iter()
        .find(|(_, is_given)| is_cdxj && *is_given)
    {
        None => Ok(()),
        Some((flag, _)) => Err(Failure::usage(
            format!("{flag} means nothing for an index"),
            "only --job, --to and --force do",
        )),
    }
}

/// The statement whose rows are exported; none for an index.
fn sql(export: &Export, job: Option<&str>) -> Option<String> {
    let from = match export.what? {
        Exported::Results => "results",
        Exported::Failures => "failures",
        Exported::Skipped => "skipped",
        Exported::Links => "links",
        Exported::Hosts => "host_health",
        Exported::Attempts => ATTEMPTS,
        Exported::Cdxj => return None,
    };
    let mut sql = format!("SELECT * FROM {from} WHERE TRUE");
    if let Some(job) = job {
        let quoted = job.replace('\'', "''");
        sql.push_str(&match export.what {
            Some(Exported::Hosts) => format!(
                " AND host IN (SELECT h.name FROM hosts h WHERE EXISTS (SELECT 1 FROM requests r \
                 JOIN jobs j ON j.job_id = r.job_id WHERE r.host_id = h.host_id AND j.name = '{quoted}'))"
            ),
            Some(_) | None => format!(" AND job = '{quoted}'"),
        });
    }
    if let Some(condition) = &export.condition {
        // On lines of its own, so that a comment at its end hides nothing.
        sql.push_str(&format!(" AND (\n{condition}\n)"));
    }
    Some(sql)
}

/// Attempts with the names of what they refer to.
const ATTEMPTS: &str = "(SELECT j.name AS job, j.round, r.url, h.name AS host, a.number,
     strftime('%Y-%m-%dT%H:%M:%fZ', a.started_ms / 1000.0, 'unixepoch') AS started_at,
     a.dns_us, a.connect_us, a.first_byte_us, a.duration_us, a.status, a.outcome_name AS outcome,
     a.cause, a.fault, a.error, a.is_charged, a.backoff_ms, a.body_bytes, a.host_limit, a.in_flight,
     a.epoch AS run, a.producer, a.diagnosis, a.confidence, a.evidence, x.pool, x.name AS proxy, a.connect_status
   FROM attempts a LEFT JOIN proxies x ON x.proxy_id = a.proxy_id JOIN requests r ON r.request_id = a.request_id
   JOIN jobs j ON j.job_id = r.job_id JOIN hosts h ON h.host_id = a.host_id)";

/// Copies the whole store, bodies excepted.
async fn copy(global: &Global, export: &Export, ending: Option<&str>) -> Result<Exit, Failure> {
    let to = match (&export.to, ending) {
        (Some(to), Some("db" | "sqlite" | "sqlite3")) => to,
        (Some(_), _) => {
            return Err(Failure::usage(
                "what is to be exported?",
                "say `results`, `attempts`, `failures`, `skipped`, `links`, `hosts` or `cdxj`; a copy of the \
                 whole store ends in .db",
            ));
        }
        (None, _) => {
            return Err(Failure::usage(
                "what is to be exported, and where to?",
                "e.g. `neap export results --to results.csv`, or `neap export --to copy.db`",
            ));
        }
    };
    let rows_only = [
        ("--job", export.job.is_some()),
        ("--where", export.condition.is_some()),
        ("--format", export.format.is_some()),
        ("--raw", export.raw),
    ];
    if let Some((flag, _)) = rows_only.into_iter().find(|(_, is_given)| *is_given) {
        return Err(Failure::usage(
            format!("{flag} means nothing for a copy of the whole store"),
            "name what is to be exported, such as `results`",
        ));
    }
    let reader = reader_at(&store_of(global, None)).await?;
    let mut signals = Signals::listen()?;
    let copy = async { Ok(reader.copy_to(to, export.force).await?) };
    unless_stopped(&mut signals, to, copy).await?;
    say!(
        "{} is a copy of {}; bodies stay in {}",
        to.display(),
        reader.path().display(),
        reader.bodies().display()
    );
    Ok(exit::DONE)
}
