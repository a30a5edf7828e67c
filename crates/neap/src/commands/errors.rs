//! `neap errors`: what failed, whose fault was it, what did it cost, and what is to be done?

use std::collections::BTreeSet;
use std::io::Write;

use neap_core::UnixMs;
use neap_store::{BlameBy, Blamed, Faults, ProxyColumn, ProxySummary, Reader, rfc3339};

use super::hosts::now;
use super::place::of_job;
use super::tables::print_rows;
use crate::cli::Global;
use crate::exit::{self, Exit};
use crate::failure::Failure;
use crate::print::escape::for_terminal;
use crate::print::{Format, Value, until_closed};
use crate::screen::grouped;
use crate::tell::{self, Now};

/// Groups that are shown, those that cost most: as many as a table has rows.
const MOST_GROUPS: u32 = 1_000;

/// Prints what failed in the newest round of a job, or of each.
///
/// # Errors
/// There is no store, or no such job in it.
pub(crate) async fn errors(
    global: &Global,
    job: Option<&str>,
    by: BlameBy,
    format: Format,
) -> Result<Exit, Failure> {
    let (reader, job) = of_job(global, job).await?;
    let now = now(&reader).await?;
    let mut groups = reader.blame(job.as_deref(), by, MOST_GROUPS + 1).await?;
    if groups.len() > MOST_GROUPS as usize {
        groups.truncate(MOST_GROUPS as usize);
        say!(
            "the {} that cost most; `neap query \"SELECT * FROM blame\"` has all",
            grouped(u64::from(MOST_GROUPS))
        );
    }
    if groups.is_empty() {
        let whose = match &job {
            Some(job) => format!("of the newest round of {job} "),
            None => String::new(),
        };
        say!("no attempt {whose}has failed; an answer such as 404 is no failure");
    }
    for pool in stopped_pools(&reader, job.as_deref()).await? {
        say!(
            "the pool {} is stopped, its proxies refuse our user or password: `neap proxies` shows which",
            for_terminal(&pool)
        );
    }
    let shape = match format {
        Format::Table => Shape::Screen,
        Format::Markdown => Shape::Page,
        Format::Json | Format::Jsonl | Format::Csv | Format::Tsv => Shape::Data,
    };
    let rows = groups.iter().map(|group| row(group, by, shape, &now));
    print_rows(format, &columns(by, shape), rows)?;
    if shape == Shape::Screen && !groups.is_empty() {
        print_advice(&groups, by)?;
    }
    Ok(exit::DONE)
}

/// The pools that wrong credentials stopped, a `JOB/POOL` each: what a proxy answers to a request for a robots
/// file is no attempt, so there may be no other sign of it.
async fn stopped_pools(reader: &Reader, job: Option<&str>) -> Result<BTreeSet<String>, Failure> {
    let proxies = reader.proxies(job, ProxyColumn::Pool).await?;
    let is_stopped = |proxy: &&ProxySummary| {
        let stands = proxy.stands.as_ref();
        stands.is_some_and(|(stands, ..)| stands.is_listed && stands.is_stopped)
    };
    let stopped = proxies.iter().filter(is_stopped);
    Ok(stopped
        .map(|proxy| format!("{}/{}", proxy.job, proxy.name.pool))
        .collect())
}

/// For whom rows are: a screen has no room for a column of advice, which stands below the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Screen,
    Page,
    Data,
}

fn columns(by: BlameBy, shape: Shape) -> Vec<&'static str> {
    let common = [by.as_str(), "attempts", "pages_lost", "hosts"];
    let rest: &[&str] = match shape {
        Shape::Screen => &["fault", "last"],
        Shape::Page => &["fault", "last", "advice"],
        Shape::Data => &[
            "host_faults",
            "proxy_faults",
            "own_faults",
            "nobodys_faults",
            "unknown_faults",
            "last_at",
            "advice",
        ],
    };
    [&common[..], rest].concat()
}

fn row(group: &Blamed, by: BlameBy, shape: Shape, now: &Now) -> Vec<Value> {
    let count = |n: u64| Value::Integer(i64::try_from(n).unwrap_or(i64::MAX));
    let mut row = vec![Value::Text(key(group, by))];
    row.extend([group.attempts, group.pages_lost, group.hosts].map(count));
    let last = |told: fn(UnixMs, UnixMs) -> String| match group.last {
        None => Value::Null,
        Some(last) => Value::Text(told(last, now.at)),
    };
    match shape {
        Shape::Screen | Shape::Page => {
            row.push(Value::Text(tell::faults(&group.faults)));
            row.push(last(tell::moment));
        }
        Shape::Data => {
            let Faults {
                host,
                proxy,
                own,
                nobody,
                unknown,
            } = group.faults;
            row.extend([host, proxy, own, nobody, unknown].map(count));
            row.push(last(|at, _| rfc3339(at)));
        }
    }
    if shape != Shape::Screen {
        row.push(Value::Text(tell::advice(&group.mostly)));
    }
    row
}

/// Says below a table what is to be done.
fn print_advice(groups: &[Blamed], by: BlameBy) -> Result<(), Failure> {
    let groups = groups.iter().map(|group| (key(group, by), &group.mostly));
    let lines = tell::advices(groups).join("\n");
    Ok(until_closed(writeln!(std::io::stdout(), "{lines}"))?)
}

/// What the failures have in common, if they do.
fn key(group: &Blamed, by: BlameBy) -> String {
    if !group.key.is_empty() {
        return group.key.clone();
    }
    let nothing = match by {
        BlameBy::Cause | BlameBy::Host => "unknown",
        BlameBy::Proxy => "no proxy",
        BlameBy::Status => "no answer",
    };
    nothing.to_owned()
}
