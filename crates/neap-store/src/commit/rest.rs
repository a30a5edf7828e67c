//! How do requests end that are never asked for?
//!
//! Skipped one by one (robots), skipped with the rest of their job (`crawl.max_pages`), or failed with their
//! host. What is in flight meanwhile comes back with its own verdict.

use std::collections::BTreeSet;

use neap_core::scope::SkipReason;
use neap_core::{Epoch, HostId, JobId, RequestId};
use sqlx::{Row, SqliteConnection};

use super::leases::land;
use super::{Changes, State, Trouble};
use crate::batch::{Event, Skipped};
use crate::now;
use crate::values::Shape;

static SELECT: Shape = Shape::new(
    "SELECT r.request_id, r.job_id, r.state FROM requests r
     LEFT JOIN in_flight f ON f.request_id = r.request_id
     WHERE r.state IN (0, 4) AND f.request_id IS NULL AND r.request_id IN (",
    "?",
    ")",
);
static SKIP: Shape = Shape::new(
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
    land(&requests, epoch, connection).await?;
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

/// Fails the open requests of a host.
pub(super) async fn fail_host(
    host: HostId,
    jobs: &[JobId],
    cause: &str,
    connection: &mut SqliteConnection,
    changes: &mut Changes,
) -> Result<(), Trouble> {
    const READY: &str =
        "UPDATE requests SET state = 3, cause = ?1 WHERE host_id = ?2 AND job_id = ?3
        AND state = 0 AND request_id NOT IN (SELECT request_id FROM in_flight)";
    const WAITING: &str =
        "UPDATE requests SET state = 3, cause = ?1 WHERE host_id = ?2 AND job_id = ?3
        AND state = 4 AND request_id NOT IN (SELECT request_id FROM in_flight)";
    let mut requests = 0;
    for job in jobs {
        for (sql, from) in [(READY, State::Ready), (WAITING, State::Waiting)] {
            let query = sqlx::query(sql)
                .bind(cause.to_owned())
                .bind(host.0)
                .bind(job.0);
            let failed = query.execute(&mut *connection).await?.rows_affected();
            let count = failed.cast_signed();
            changes
                .jobs
                .entry(*job)
                .or_default()
                .shift(from, State::Failed, count);
            changes
                .hosts
                .entry(host)
                .or_default()
                .add_final(State::Failed, count);
            requests += failed;
        }
    }
    changes.is_due_changed = true;
    changes.events.push(Event::HostFailed { host, requests });
    Ok(())
}

/// Skips the open requests of a job.
pub(super) async fn skip_rest(
    job: JobId,
    reason: SkipReason,
    connection: &mut SqliteConnection,
    changes: &mut Changes,
) -> Result<(), Trouble> {
    const READY: &str = "UPDATE requests SET state = 5, skip_reason = ?1 WHERE job_id = ?2
        AND state = 0 AND request_id NOT IN (SELECT request_id FROM in_flight)";
    const WAITING: &str = "UPDATE requests SET state = 5, skip_reason = ?1 WHERE job_id = ?2
        AND state = 4 AND request_id NOT IN (SELECT request_id FROM in_flight)";
    let mut requests = 0;
    for (sql, from) in [(READY, State::Ready), (WAITING, State::Waiting)] {
        let query = sqlx::query(sql).bind(reason.code()).bind(job.0);
        let skipped = query.execute(&mut *connection).await?.rows_affected();
        let delta = changes.jobs.entry(job).or_default();
        delta.shift(from, State::Skipped, skipped.cast_signed());
        requests += skipped;
    }
    changes.is_due_changed = true;
    changes.events.push(Event::RestSkipped { job, requests });
    Ok(())
}

/// Marks a job as finished.
pub(super) async fn finish_job(
    job: JobId,
    connection: &mut SqliteConnection,
    changes: &mut Changes,
) -> Result<(), Trouble> {
    sqlx::query("UPDATE jobs SET state = 1, finished_ms = ? WHERE job_id = ? AND state = 0")
        .bind(now().0)
        .bind(job.0)
        .execute(connection)
        .await?;
    changes.events.push(Event::JobFinished(job));
    Ok(())
}
