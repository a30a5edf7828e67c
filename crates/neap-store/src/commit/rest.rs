//! How do requests and jobs end without an answer?
//!
//! A request is skipped, by robots for example, before it is asked for; a job is finished when nothing of
//! it is open.

use std::collections::BTreeSet;

use neap_core::{Epoch, JobId, RequestId};
use sqlx::{Row, SqliteConnection};

use super::{Changes, State, Trouble};
use crate::batch::{Event, JobChange, Skipped};
use crate::now;
use crate::values::Shape;

static LAND: Shape = Shape::filled(
    "DELETE FROM in_flight WHERE (request_id, epoch) IN (VALUES ",
    "(?,?)",
    ")",
);
static SELECT: Shape = Shape::filled(
    "SELECT r.request_id, r.job_id, r.state FROM requests r
     LEFT JOIN in_flight f ON f.request_id = r.request_id
     WHERE r.state IN (0, 4) AND f.request_id IS NULL AND r.request_id IN (",
    "?",
    ")",
);
/// Skips requests, each for a reason.
pub(crate) static SKIP: Shape = Shape::new(
    "WITH v (id, reason) AS (VALUES ",
    "(?,?)",
    ") UPDATE requests SET state = 5, skip_reason = v.reason
     FROM v WHERE requests.request_id = v.id",
);

/// Skips requests, those in flight under this run as well.
pub(super) async fn skip(
    skipped: &[Skipped],
    epoch: Epoch,
    connection: &mut SqliteConnection,
    changes: &mut Changes,
) -> Result<(), Trouble> {
    let requests: Vec<RequestId> = skipped.iter().map(|skipped| skipped.request).collect();
    LAND.execute(connection, &requests, |request, args| {
        args.int(request.0).int(epoch.0);
    })
    .await?;
    let rows = SELECT.fetch(connection, &requests, |request, args| {
        args.int(request.0);
    });
    let rows = rows.await?;
    let mut open = BTreeSet::new();
    for row in &rows {
        let from = if row.get::<i64, _>(2) == 4 {
            State::Waiting
        } else {
            State::Ready
        };
        if open.insert(RequestId(row.get(0))) {
            let job = changes.jobs.entry(JobId(row.get(1))).or_default();
            job.shift(from, State::Skipped, 1);
            changes.is_due_changed |= from == State::Waiting;
        }
    }
    let mut rows: Vec<&Skipped> = skipped.iter().collect();
    rows.retain(|skipped| open.remove(&skipped.request));
    SKIP.execute(connection, &rows, |skipped, args| {
        args.int(skipped.request.0).int(skipped.reason.code());
    })
    .await?;
    let requests = rows.iter().map(|skipped| skipped.request).collect();
    changes.events.push(Event::Skipped(requests));
    Ok(())
}

/// Marks a job as finished, unless others gave it work meanwhile.
pub(super) async fn finish_job(
    job: JobId,
    connection: &mut SqliteConnection,
    changes: &mut Changes,
) -> Result<(), Trouble> {
    sqlx::query(FINISH)
        .bind(now().0)
        .bind(job.0)
        .execute(&mut *connection)
        .await?;
    let state: Option<i64> = sqlx::query_scalar("SELECT state FROM jobs WHERE job_id = ?")
        .bind(job.0)
        .fetch_optional(connection)
        .await?;
    changes.events.push(match state {
        Some(0) => Event::JobChanged(job, JobChange::Reopened),
        Some(_) | None => Event::JobFinished(job),
    });
    Ok(())
}

/// Finishes a job of which nothing is open.
pub(crate) const FINISH: &str = "UPDATE jobs SET state = 1, finished_ms = ?
     WHERE job_id = ? AND state = 0 AND ready + waiting = 0";
