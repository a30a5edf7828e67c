//! What can be asked for next?
//!
//! Read on the writer's own connection, in order with what it writes, so that an answer is never stale.
//! A cursor goes through the ready requests of one host and job; waiting ones are made ready when they
//! are due.

use std::borrow::Cow;
use std::collections::BTreeSet;

use neap_core::{CanonicalUrl, Host, HostId, JobId, RequestId, UnixMs};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use super::{Changes, Ledger, State, Trouble, originals};
use crate::StoreError;
use crate::batch::{Event, Position, Ready, ReadyHost, Refill, Refilled};
use crate::values::Shape;

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

/// Reads ready requests behind a position.
pub(super) async fn refill(
    refill: Refill,
    ledger: &Ledger,
    connection: &mut SqliteConnection,
    changes: &mut Changes,
) -> Result<(), Trouble> {
    // A bare parameter behind LIMIT makes SQLite prepare the statement anew for each value.
    let array = sqlx::query(columns!(
        "SELECT json_group_array(",
        " ORDER BY priority, due_ms, request_id) FROM (
          SELECT * FROM requests WHERE state = 0 AND host_id = ?1 AND job_id = ?2
          AND (priority, due_ms, request_id) > (?3, ?4, ?5)
          AND NOT EXISTS (SELECT 1 FROM in_flight f WHERE f.request_id = requests.request_id)
          ORDER BY priority, due_ms, request_id LIMIT ?6 + 0)"
    ))
    .bind(refill.host.0)
    .bind(refill.job.0)
    .bind(refill.after.priority)
    .bind(refill.after.due_ms)
    .bind(refill.after.request.0)
    .bind(i64::try_from(refill.count).unwrap_or(i64::MAX))
    .fetch_one(&mut *connection)
    .await?;
    let rows = ready(&array)?;
    let is_exhausted = rows.len() < refill.count;
    originals::recall(refill.job, &rows, ledger, connection).await?;
    changes.events.push(Event::Refilled(Refilled {
        refill,
        rows,
        is_exhausted,
    }));
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

/// Announces every host that has ready requests of a job: one look into the index for each host.
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
    let rows = sqlx::query(
        "SELECT h.host_id, h.name, r.priority, r.due_ms, r.request_id
         FROM hosts h JOIN requests r ON r.request_id =
           (SELECT request_id FROM requests WHERE state = 0 AND host_id = h.host_id AND job_id = ?
            ORDER BY priority, due_ms, request_id LIMIT 1)",
    )
    .bind(job.0)
    .fetch_all(&mut *connection)
    .await?;
    for row in &rows {
        let host = HostId(row.get(0));
        let first = Position {
            priority: row.get(2),
            due_ms: row.get(3),
            request: RequestId(row.get(4)),
        };
        let host_name = parse_host(row.get(1))?;
        changes.ready.insert(
            (job, host),
            ReadyHost {
                job,
                host,
                host_name,
                first,
            },
        );
    }
    changes.is_due_changed = true;
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
