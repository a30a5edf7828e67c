//! `neap db`: is the store whole, what takes room in it, and how does it get smaller?

use neap_store::{Part, SqliteStore};

use super::crawl::now;
use super::place::{existing, reader, say_if_copy, store_of};
use super::tables::print_rows;
use crate::cli::{Db, Global};
use crate::exit::{self, Exit};
use crate::failure::Failure;
use crate::print::escape::for_terminal;
use crate::print::{Format, Value, line};
use crate::screen::{bytes, number};

/// Looks after the store.
///
/// # Errors
/// There is no store, a run holds it, or it cannot be read or written.
pub(crate) async fn db(global: &Global, command: &Db) -> Result<Exit, Failure> {
    match command {
        Db::Check { bodies } => check(global, *bodies).await,
        Db::Migrate => migrate(global).await,
        Db::Stats { output } => stats(global, output.format).await,
        Db::Checkpoint => checkpoint(global).await,
        Db::Vacuum => vacuum(global).await,
    }
}

async fn check(global: &Global, with_bodies: bool) -> Result<Exit, Failure> {
    let reader = reader(global).await?;
    let check = reader.check(with_bodies).await?;
    say_if_copy(&reader);
    for finding in &check.findings {
        let kind = if finding.is_damage { "damage" } else { "note" };
        line(&format!("{kind}: {}", for_terminal(&finding.what)))?;
    }
    let path = reader.path().display();
    let mut looked_at = format!(
        "{}, {}",
        number(check.rounds, "round"),
        number(check.segments, "segment file")
    );
    match with_bodies {
        true => looked_at.push_str(&format!(", {} read", number(check.bodies, "body record"))),
        false => looked_at.push_str("; bodies were not read (--bodies reads them)"),
    }
    if check.damages == 0 {
        line(&format!("{path} is whole: {looked_at}"))?;
        return Ok(exit::DONE);
    }
    let told = check
        .findings
        .iter()
        .filter(|found| found.is_damage)
        .count() as u64;
    let untold = match check.damages - told {
        0 => String::new(),
        more => format!(", {more} of them not shown"),
    };
    line(&format!(
        "{path} is damaged: {}{untold}; {looked_at}",
        number(check.damages, "finding")
    ))?;
    Ok(exit::ERROR)
}

async fn migrate(global: &Global) -> Result<Exit, Failure> {
    let path = store_of(global, None);
    let before = SqliteStore::version_at(&path).await?;
    // Opening is what migrates, for every command that writes.
    let store = existing(&path).await?;
    let after = neap_store::STORE_VERSION;
    let path = store.path().display();
    line(&match before == after {
        true => {
            format!("{path} is of version {after}, the one that this neap writes: nothing to do")
        }
        false => format!("{path} is migrated from version {before} to {after}"),
    })?;
    Ok(exit::DONE)
}

const COLUMNS: [&str; 6] = ["name", "kind", "of", "rows", "bytes", "bytes_per_row"];

async fn stats(global: &Global, format: Format) -> Result<Exit, Failure> {
    let reader = reader(global).await?;
    let parts = reader.stats().await?;
    say_if_copy(&reader);
    print_rows(format, &COLUMNS, parts.iter().map(row))?;
    if let Some(per_url) = bytes_per_url(&parts) {
        say!("{per_url:.0} bytes for each request, its indexes included");
    }
    Ok(exit::DONE)
}

fn row(part: &Part) -> Vec<Value> {
    let whole = |n: u64| Value::Integer(n.try_into().unwrap_or(i64::MAX));
    let rounded = |bytes: f64| Value::Real((bytes * 10.0).round() / 10.0);
    let text = |text: &str| Value::Text(text.to_owned());
    vec![
        text(&part.name),
        text(part.kind.as_str()),
        part.table.as_deref().map_or(Value::Null, text),
        part.rows.map_or(Value::Null, whole),
        whole(part.bytes),
        part.bytes_per_row().map_or(Value::Null, rounded),
    ]
}

/// What a URL takes: its row in `requests` and its entries in the indexes of that.
fn bytes_per_url(parts: &[Part]) -> Option<f64> {
    let requests = parts.iter().find(|part| part.name == "requests")?;
    let rows = requests.rows.filter(|rows| *rows > 0)?;
    let indexes = parts
        .iter()
        .filter(|part| part.table.as_deref() == Some("requests"));
    let all: u64 = indexes.map(|part| part.bytes).sum::<u64>() + requests.bytes;
    Some(all as f64 / rows as f64)
}

async fn checkpoint(global: &Global) -> Result<Exit, Failure> {
    let store = existing(&store_of(global, None)).await?;
    let emptied = store.empty_log().await?;
    let path = store.path().display();
    if emptied.is_empty {
        line(&format!("the log is empty, {path} alone is complete"))?;
        return Ok(exit::DONE);
    }
    Err(Failure::error_with(
        format!(
            "{} of the log are written back, but it cannot be emptied: somebody reads an older state of \
             {path}, or a run wrote meanwhile",
            bytes(emptied.done_bytes)
        ),
        "end the query, export or copy that goes on, and run this again",
    ))
}

async fn vacuum(global: &Global) -> Result<Exit, Failure> {
    let path = store_of(global, None);
    let store = existing(&path).await?;
    let lock = store.lock_for("neap db vacuum", now()).await?;
    let size = || std::fs::metadata(&path).map_or(0, |found| found.len());
    // What is in the log belongs to the size before.
    store.empty_log().await?;
    let before = size();
    store.vacuum(&lock).await?;
    store.empty_log().await?;
    line(&format!(
        "{}: {} before, {} now",
        path.display(),
        bytes(before),
        bytes(size())
    ))?;
    Ok(exit::DONE)
}
