//! `neap hosts`: how does each host do, and how did the limit of one go?

use std::io::{BufWriter, Read, Write};
use std::path::Path;

use neap_core::UnixMs;
use neap_store::{Draft, HostColumn, HostSummary, KeptChange, Reader, Replaces, rfc3339};

use super::place::reader;
use super::tables::{print_rows, rounded};
use super::which;
use crate::cli::Global;
use crate::exit::{self, Exit};
use crate::failure::Failure;
use crate::print::chart::{Chart, MOST_BARS};
use crate::print::{Format, Place, RowWriter, Value, until_closed};
use crate::tell::{self, Now};

/// The moment at which a store is looked at.
///
/// # Errors
/// The store cannot be read.
pub(super) async fn now(reader: &Reader) -> Result<Now, Failure> {
    Ok(Now {
        at: super::crawl::now(),
        live: reader.liveness().await?,
    })
}

/// Prints every host.
///
/// # Errors
/// There is no store, or it cannot be read.
pub(crate) async fn hosts(
    global: &Global,
    sort: HostColumn,
    format: Format,
) -> Result<Exit, Failure> {
    let reader = reader(global).await?;
    let now = now(&reader).await?;
    let mut hosts = reader.hosts(sort).await?;
    let columns = HostColumn::ALL.map(HostColumn::as_str);
    let out = BufWriter::new(std::io::stdout());
    let mut writer = match RowWriter::new(format, &columns, Place::stdout(false), out) {
        Ok(writer) => writer,
        Err(error) => return ended(error),
    };
    while let Some(host) = hosts.next().await? {
        let row = HostColumn::ALL.map(|column| value(&host, column, &now));
        if let Err(error) = writer.row(&row) {
            return ended(error);
        }
    }
    until_closed(writer.finish())?;
    Ok(exit::DONE)
}

/// Printing ended early: well, if it was the reader who had enough.
fn ended(error: std::io::Error) -> Result<Exit, Failure> {
    until_closed(Err(error))?;
    Ok(exit::DONE)
}

fn value(host: &HostSummary, column: HostColumn, now: &Now) -> Value {
    let count = |n: u64| Value::Integer(i64::try_from(n).unwrap_or(i64::MAX));
    let standing = host.standing.as_ref().map(|(standing, ..)| standing);
    match column {
        HostColumn::Host => Value::Text(host.name.clone()),
        HostColumn::Limit => {
            standing.map_or(Value::Null, |standing| rounded(standing.limit, 100.0))
        }
        HostColumn::InFlight => count(u64::from(tell::in_flight(host, now))),
        HostColumn::Rate => rounded(tell::rate(host, now), 10.0),
        HostColumn::Done => count(host.done),
        HostColumn::Failed => count(host.failed),
        HostColumn::OkShare => match host.attempts.saturating_sub(host.proxy_failures) {
            0 => Value::Null,
            attempts => rounded(host.ok as f64 / attempts as f64, 1e4),
        },
        HostColumn::Http502 => count(host.http_502),
        HostColumn::Proxy502 => count(host.proxy_502),
        HostColumn::Http503 => count(host.http_503),
        HostColumn::Http429 => count(host.http_429),
        HostColumn::Timeouts => count(host.timeouts),
        HostColumn::P95 => match standing.and_then(|standing| standing.p95) {
            Some(p95) => rounded(p95.as_secs_f64() * 1e3, 10.0),
            None => Value::Null,
        },
        HostColumn::Ready => count(
            host.ready
                .saturating_sub(u64::from(tell::in_flight(host, now))),
        ),
        HostColumn::Waiting => count(host.waiting),
        HostColumn::State => Value::Text(tell::state(host, now)),
    }
}

/// Prints how the limit of one host went, and draws it if there is a file to draw into.
///
/// # Errors
/// There is no store or no such host, or the file cannot be written.
pub(crate) async fn history(
    global: &Global,
    text: &str,
    svg: Option<&Path>,
    format: Format,
) -> Result<Exit, Failure> {
    let reader = reader(global).await?;
    let host = which::host(&reader, text).await?;
    let changes = reader.limit_changes(host.limit_host()).await?;
    let sharing = sharing(&reader, &host).await?;
    if let Some(path) = svg {
        let title = tell::title(&host, &sharing);
        let picture = drawn(&reader, &host, &title, &changes).await?;
        put_picture(path, &picture)?;
    }
    if let Some(shares) = tell::shares(&host, &sharing) {
        until_closed(writeln!(std::io::stderr(), "{} {shares}", host.name))?;
    }
    let columns = ["time", "before", "after", "reason", "run", "host"];
    print_rows(format, &columns, changes.iter().map(row))?;
    Ok(exit::DONE)
}

/// Writes a picture into a file, which may take the place of an older picture and of nothing else.
fn put_picture(path: &Path, picture: &str) -> Result<(), Failure> {
    let mut beginning = Vec::new();
    if path.is_file()
        && let Ok(file) = std::fs::File::open(path)
    {
        // What cannot be read is no picture of ours.
        let _ = file.take(PICTURE.len() as u64).read_to_end(&mut beginning);
    }
    let is_picture = beginning == PICTURE;
    if !is_picture && path.exists() {
        return Err(Failure::usage(
            format!("{} is there already, and is no picture", path.display()),
            "name another file for --svg",
        ));
    }
    let draft = Draft::new(
        path,
        match is_picture {
            true => Replaces::Files,
            false => Replaces::Nothing,
        },
    )?;
    draft
        .create()?
        .write_all(picture.as_bytes())
        .map_err(|error| {
            Failure::error(format!("{} cannot be written: {error}", path.display()))
        })?;
    draft.place()?;
    Ok(())
}

/// How a picture begins.
const PICTURE: &[u8] = b"<svg ";

fn row(change: &KeptChange) -> Vec<Value> {
    vec![
        Value::Text(rfc3339(change.at)),
        rounded(change.before, 100.0),
        rounded(change.after, 100.0),
        Value::Text(change.reason.clone()),
        Value::Integer(change.epoch),
        Value::Text(change.host.clone()),
    ]
}

/// The hosts that share a limit with this one; empty if none does.
///
/// # Errors
/// The store cannot be read.
pub(super) async fn sharing(reader: &Reader, host: &HostSummary) -> Result<Vec<String>, Failure> {
    let mut names = reader
        .sharing(host.limit_host(), tell::MOST_SHARING)
        .await?;
    names.retain(|name| *name != host.name);
    Ok(names)
}

/// The picture of a limit, from its first change that was kept to when the host was last looked at.
async fn drawn(
    reader: &Reader,
    host: &HostSummary,
    title: &str,
    changes: &[KeptChange],
) -> Result<String, Failure> {
    let seen = host.standing.as_ref().map(|(_, _, at)| *at);
    let from = changes.first().map(|change| change.at).or(seen);
    let from = from.unwrap_or(UnixMs(0));
    let last = changes.last().map(|change| change.at).max(seen);
    // A second at least, or there would be nothing to draw on.
    let to = UnixMs(last.unwrap_or(from).0.max(from.0 + 1000));
    let step_ms = ((to.0 - from.0) / MOST_BARS).max(1000);
    let leader = host.limit_host();
    let bad = reader.bad_gateways(leader, from, to, step_ms).await?;
    let chart = Chart {
        host: title,
        changes,
        bad: &bad,
        step_ms,
        from,
        to,
    };
    Ok(chart.svg())
}
