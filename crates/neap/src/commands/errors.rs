//! `neap errors`: what failed, whose fault was it, what did it cost, and what is to be done?

use neap_store::{BlameBy, Blamed, Faults, rfc3339};

use super::hosts::now;
use super::place::of_job;
use super::tables::print_rows;
use crate::cli::Global;
use crate::exit::{self, Exit};
use crate::failure::Failure;
use crate::print::{Format, Value};
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
    let is_for_people = match format {
        Format::Table | Format::Markdown => true,
        Format::Json | Format::Jsonl | Format::Csv | Format::Tsv => false,
    };
    let common = [by.as_str(), "attempts", "pages_lost", "hosts"];
    let rest: &[&str] = match is_for_people {
        true => &["fault", "last", "advice"],
        false => &[
            "host_faults",
            "proxy_faults",
            "own_faults",
            "nobodys_faults",
            "unknown_faults",
            "last_at",
            "advice",
        ],
    };
    let columns = [&common[..], rest].concat();
    let row = |group: &Blamed| row(group, by, is_for_people, &now);
    print_rows(format, &columns, groups.iter().map(row))?;
    Ok(exit::DONE)
}

fn row(group: &Blamed, by: BlameBy, is_for_people: bool, now: &Now) -> Vec<Value> {
    let count = |n: u64| Value::Integer(i64::try_from(n).unwrap_or(i64::MAX));
    let mut row = vec![key(group, by)];
    row.extend([group.attempts, group.pages_lost, group.hosts].map(count));
    if is_for_people {
        row.push(Value::Text(tell::faults(&group.faults)));
        row.push(
            group
                .last
                .map_or(Value::Null, |last| Value::Text(tell::moment(last, now.at))),
        );
    } else {
        let Faults {
            host,
            proxy,
            own,
            nobody,
            unknown,
        } = group.faults;
        row.extend([host, proxy, own, nobody, unknown].map(count));
        row.push(
            group
                .last
                .map_or(Value::Null, |last| Value::Text(rfc3339(last))),
        );
    }
    row.push(Value::Text(tell::advice(&group.mostly)));
    row
}

/// What the failures have in common, if they do.
fn key(group: &Blamed, by: BlameBy) -> Value {
    if !group.key.is_empty() {
        return Value::Text(group.key.clone());
    }
    let nothing = match by {
        BlameBy::Cause | BlameBy::Host => "unknown",
        BlameBy::Proxy => "no proxy",
        BlameBy::Status => "no answer",
    };
    Value::Text(nothing.to_owned())
}
