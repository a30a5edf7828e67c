//! What can be asked for next?
//!
//! Read on the writer's own connection, in order with what it writes, so that an answer is never stale.
//! A cursor goes through the ready requests of one host and job; waiting ones are made ready when they
//! are due. The hosts of a job are announced a slice at a time, as there is room for them.

use std::borrow::Cow;
use std::collections::BTreeSet;

use neap_core::{CanonicalUrl, Host, HostId, JobId, RequestId, UnixMs};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use super::{Changes, Ledger, State, Trouble, originals};
use crate::StoreError;
use crate::batch::{Event, Position, Ready, ReadyHost, Refill, Refilled};
use crate::values::{Shape, json_array};

/// A request as an array of JSON: one text for all rows costs far less than one row after the other.
macro_rules! columns {
    ($before:literal, $after:literal) => {
        concat!(
            $before,
            "json_array(request_id, job_id, host_id, priority, due_ms, depth, hops, attempts, deferrals,
             lost, earlier, url)",
            $after
        )
    };
}

/// The columns of such an array.
type Columns<'a> = (
    i64,
    i64,
    i64,
    i32,
    i64,
    u32,
    u32,
    u32,
    u32,
    u32,
    u32,
    Cow<'a, str>,
);

static PROMOTE: Shape = Shape::filled(
    "UPDATE requests SET state = 0 WHERE request_id IN (",
    "?",
    columns!(") RETURNING json_array(", ")"),
);

/// One read is a value of its own, so that many of them are one statement. A row of nulls reads nothing.
static REFILL: Shape = Shape::filled(
    "VALUES ",
    columns!(
        "((SELECT json_group_array(",
        ") FROM (
          SELECT * FROM requests WHERE state = 0 AND host_id = ? AND job_id = ?
          AND (priority, due_ms, request_id) > (?, ?, ?)
          AND NOT EXISTS (SELECT 1 FROM in_flight f WHERE f.request_id = requests.request_id)
          ORDER BY priority, due_ms, request_id LIMIT coalesce(?, 0))))"
    ),
    "",
);

/// Reads that share a statement at most: each is a query of its own within it.
const REFILLS_AT_ONCE: usize = 32;

/// Reads ready requests behind positions.
pub(super) async fn refill(
    refills: &[Refill],
    ledger: &Ledger,
    connection: &mut SqliteConnection,
    changes: &mut Changes,
) -> Result<(), Trouble> {
    for chunk in refills.chunks(REFILLS_AT_ONCE) {
        let texts = REFILL.fetch(connection, chunk, |refill, args| {
            args.int(refill.host.0).int(refill.job.0);
            args.int(i64::from(refill.after.priority))
                .int(refill.after.due_ms)
                .int(refill.after.request.0);
            args.int(i64::try_from(refill.count).unwrap_or(i64::MAX));
        });
        for (refill, text) in chunk.iter().zip(&texts.await?) {
            let mut rows = ready(text)?;
            rows.sort_unstable_by_key(|row| row.position);
            originals::recall(refill.job, &rows, ledger, connection).await?;
            let is_exhausted = rows.len() < refill.count;
            changes.events.push(Event::Refilled(Refilled {
                refill: *refill,
                rows,
                is_exhausted,
            }));
        }
    }
    Ok(())
}

/// Makes requests of these jobs ready whose wait is over.
pub(super) async fn promote(
    now: UnixMs,
    most: usize,
    jobs: &BTreeSet<JobId>,
    connection: &mut SqliteConnection,
    changes: &mut Changes,
) -> Result<(), Trouble> {
    let mut due = Vec::new();
    for job in jobs {
        let of_job: Vec<(i64, i64)> = sqlx::query_as(
            "SELECT due_ms, request_id FROM requests INDEXED BY requests_waiting
             WHERE state = 4 AND job_id = ? AND due_ms <= ? ORDER BY due_ms LIMIT ?",
        )
        .bind(job.0)
        .bind(now.0)
        .bind(i64::try_from(most).unwrap_or(i64::MAX))
        .fetch_all(&mut *connection)
        .await?;
        due.extend(of_job);
    }
    due.sort_unstable();
    due.truncate(most);
    let rows = PROMOTE
        .fetch(connection, &due, |(_, request), args| {
            args.int(*request);
        })
        .await?;
    let mut rows: Vec<Ready> = rows
        .iter()
        .map(ready)
        .collect::<Result<Vec<_>, _>>()?
        .concat();
    rows.sort_unstable_by_key(|row| (row.position.due_ms, row.request));
    for row in &rows {
        changes
            .jobs
            .entry(row.job)
            .or_default()
            .shift(State::Waiting, State::Ready, 1);
    }
    changes.is_due_changed = true;
    changes.events.push(Event::Promoted(rows));
    Ok(())
}

/// When the first waiting request of these jobs is due.
pub(super) async fn next_due(
    jobs: &BTreeSet<JobId>,
    connection: &mut SqliteConnection,
) -> Result<Option<UnixMs>, sqlx::Error> {
    let mut first: Option<i64> = None;
    for job in jobs {
        let due: Option<i64> = sqlx::query_scalar(
            "SELECT min(due_ms) FROM requests INDEXED BY requests_waiting
             WHERE state = 4 AND job_id = ?",
        )
        .bind(job.0)
        .fetch_one(&mut *connection)
        .await?;
        first = [first, due].into_iter().flatten().min();
    }
    Ok(first.map(UnixMs))
}

/// Hosts that are looked at at a time: the first requests go out while the rest of 100,000 hosts is still to
/// come.
const HOSTS_AT_ONCE: i64 = 1024;

/// Announces the first hosts that have ready requests of a job, and tells how far it is.
pub(super) async fn open_job(
    job: JobId,
    ledger: &mut Ledger,
    connection: &mut SqliteConnection,
    changes: &mut Changes,
) -> Result<(), Trouble> {
    // Its counts are told, though nothing has changed.
    changes.jobs.entry(job).or_default();
    if let Some(change) = ledger.heeded.takes_part(job) {
        changes.events.push(Event::JobChanged(job, change));
        return Ok(());
    }
    ledger.jobs.insert(job);
    originals::open_job(job, ledger, connection).await?;
    changes.is_due_changed = true;
    announce(job, HostId(0), ledger, connection, changes).await
}

/// Each host with the first of its ready requests, which the index alone tells.
const OPEN: &str = "SELECT json_group_array(json_array(host_id, name, json(first))) FROM (
    SELECT h.host_id, h.name,
      (SELECT json_array(priority, due_ms, request_id) FROM requests INDEXED BY requests_ready
       WHERE state = 0 AND host_id = h.host_id AND job_id = ?1
       ORDER BY priority, due_ms, request_id LIMIT 1) AS first
    FROM hosts h WHERE h.host_id >= ?2 ORDER BY h.host_id LIMIT ?3 + 0)";

/// Announces hosts that have ready requests of a job: one look into the index for each that there is.
pub(super) async fn announce(
    job: JobId,
    from: HostId,
    ledger: &Ledger,
    connection: &mut SqliteConnection,
    changes: &mut Changes,
) -> Result<(), Trouble> {
    // Others may have paused or cancelled it meanwhile.
    if !ledger.jobs.contains(&job) {
        changes.events.push(Event::Announced { job, next: None });
        return Ok(());
    }
    let row = sqlx::query(OPEN)
        .bind(job.0)
        .bind(from.0)
        .bind(HOSTS_AT_ONCE)
        .fetch_one(connection)
        .await?;
    type Opened = (i64, String, Option<(i32, i64, i64)>);
    let rows: Vec<Opened> = json_array(&row)?;
    let last = rows.last().filter(|_| rows.len() as i64 == HOSTS_AT_ONCE);
    let next = last.map(|(host, ..)| HostId(host + 1));
    for (host, name, first) in rows {
        let Some((priority, due_ms, request)) = first else {
            continue;
        };
        let first = Position {
            priority,
            due_ms,
            request: RequestId(request),
        };
        let ready = ReadyHost {
            job,
            host: HostId(host),
            host_name: parse_host(&name)?,
            first,
        };
        changes.ready.insert((job, ready.host), ready);
    }
    changes.events.push(Event::Announced { job, next });
    Ok(())
}

/// The host that a row names.
pub(super) fn parse_host(name: &str) -> Result<Host, StoreError> {
    Host::parse(name).ok_or_else(|| StoreError::Unexpected(format!("no host: {name}")))
}

/// The requests in the text of a row.
fn ready(row: &SqliteRow) -> Result<Vec<Ready>, StoreError> {
    let text: &str = row.get(0);
    let rows: Vec<Columns<'_>> = serde_json::from_str(text)
        .map_err(|error| StoreError::Unexpected(format!("{error}: {text:.200}")))?;
    let ready = |columns: Columns<'_>| {
        let (
            request,
            job,
            host,
            priority,
            due_ms,
            depth,
            hops,
            charged,
            deferrals,
            lost,
            earlier,
            url,
        ) = columns;
        let request = RequestId(request);
        Ok(Ready {
            request,
            job: JobId(job),
            host: HostId(host),
            position: Position {
                priority,
                due_ms,
                request,
            },
            depth,
            hops,
            charged,
            deferrals,
            lost,
            earlier,
            url: CanonicalUrl::parse(&url)
                .map_err(|error| StoreError::Unexpected(format!("{error}: {url}")))?,
        })
    };
    rows.into_iter().map(ready).collect()
}

#[cfg(test)]
mod tests {
    use sqlx::AssertSqlSafe;

    use super::*;
    use crate::{Access, SqliteStore};

    #[tokio::test]
    async fn hosts_are_announced_from_the_index_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("neap.db");
        let store = SqliteStore::open(&path, Access::Create).await.unwrap();
        let mut connection = store.connect().await.unwrap();
        let plan = sqlx::query(AssertSqlSafe(format!("EXPLAIN QUERY PLAN {OPEN}")));
        let plan = plan.fetch_all(&mut connection).await.unwrap();
        let steps: Vec<&str> = plan.iter().map(|row| row.get(3)).collect();
        let is_covered = |step: &&str| step.contains("COVERING INDEX requests_ready");
        assert!(steps.iter().any(is_covered), "{steps:#?}");
        let is_slow = |step: &&str| step.contains("TEMP B-TREE");
        assert!(!steps.iter().any(is_slow), "{steps:#?}");
    }
}
