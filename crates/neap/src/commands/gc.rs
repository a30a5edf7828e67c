//! `neap gc`: which old rounds and bodies go, and what does that free?

use neap_core::UnixMs;
use neap_store::{Doomed, GcRule, Removed};

use super::crawl::now;
use super::place::{existing, reader_at, say_if_copy, store_of};
use super::tables::print_rows;
use crate::cli::{Gc, Global};
use crate::exit::{self, Exit};
use crate::failure::Failure;
use crate::print::{Format, Value};
use crate::screen::{bytes, number};

const COLUMNS: [&str; 5] = ["job", "round", "over_at", "requests", "bodies"];

/// Removes old rounds, or shows which would go.
///
/// # Errors
/// Nothing says what is old, there is no store, or a run holds it.
pub(crate) async fn gc(global: &Global, gc: &Gc) -> Result<Exit, Failure> {
    if gc.keep.is_none() && gc.older.is_none() {
        return Err(Failure::usage(
            "which rounds are old?",
            "say `--keep 3` (all but the newest three of each job) or `--older 30d`, and `--dry-run` to see \
             what that removes",
        ));
    }
    let rule = GcRule {
        keep_rounds: gc.keep.unwrap_or(1),
        over_before: gc.older.map(|age| {
            let age = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
            UnixMs(now().0.saturating_sub(age))
        }),
        only_bodies: gc.bodies,
    };
    let path = store_of(global, None);
    if gc.dry_run {
        let reader = reader_at(&path).await?;
        let doomed = reader.doomed(rule).await?;
        print(&doomed)?;
        let removed = reader.would_remove(&doomed).await?;
        say!("would remove {}", summary(removed, rule));
        say_if_copy(&reader);
        return Ok(exit::DONE);
    }
    let store = existing(&path).await?;
    let lock = store.lock_for("neap gc", now()).await?;
    let reader = reader_at(&path).await?;
    let doomed = reader.doomed(rule).await?;
    print(&doomed)?;
    let all: u64 = doomed.iter().map(|round| round.requests).sum();
    let tell = |done: u64| tracing::info!(done, all, "requests removed");
    let removed = store.remove(&lock, &doomed, rule, tell).await?;
    store.empty_log().await?;
    say!("removed {}", summary(removed, rule));
    say_if_copy(&reader);
    if removed.requests > 0 && !rule.only_bodies {
        say!("`neap db vacuum` gives the room of the rows back to the disk");
    }
    Ok(exit::DONE)
}

fn print(doomed: &[Doomed]) -> Result<(), Failure> {
    let whole = |n: u64| Value::Integer(n.try_into().unwrap_or(i64::MAX));
    let rows = doomed.iter().map(|round| {
        vec![
            Value::Text(round.name.clone()),
            whole(u64::from(round.round)),
            Value::Text(neap_store::rfc3339(round.over)),
            whole(round.requests),
            whole(round.bodies),
        ]
    });
    match doomed {
        [] => Ok(()),
        [_, ..] => print_rows(Format::Table, &COLUMNS, rows),
    }
}

fn summary(removed: Removed, rule: GcRule) -> String {
    let rounds = number(removed.rounds, "round");
    let requests = number(removed.requests, "request");
    let what = match rule.only_bodies {
        true => format!("the bodies of {rounds} ({requests})"),
        false => format!("{rounds} with {requests}"),
    };
    format!(
        "{what}, and {} of {} that nothing else refers to",
        number(removed.segments, "segment file"),
        bytes(removed.segment_bytes)
    )
}
