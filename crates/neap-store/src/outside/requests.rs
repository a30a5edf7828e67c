//! How are requests that were chosen asked again, or not at all?
//!
//! In slices, each with its counters. Every row is looked at again before it changes: what the run took up
//! or ended meanwhile is left as it is.

use std::collections::BTreeMap;

use neap_core::scope::SkipReason;
use neap_core::{HostId, JobId, RequestId};
use sqlx::{Row, SqliteConnection};

use super::Outside;
use super::jobs::finish;
use crate::commit::rest::SKIP;
use crate::commit::{Changes, State, counters};
use crate::values::Shape;
use crate::{SqliteStore, StoreError};

/// Requests that are changed in one transaction: some 50 ms, for which the run waits.
const SLICE: usize = 4096;

static RETRY: Shape = Shape::new(
    "WITH v (id, job) AS (VALUES ",
    "(?,?)",
    ") UPDATE requests SET state = 0, due_ms = 0, earlier = earlier + attempts + deferrals,
     attempts = 0, deferrals = 0, cause = NULL
     FROM v WHERE requests.request_id = v.id AND requests.job_id = v.job AND requests.state = 3
     RETURNING request_id, host_id",
);
static DELETE_PAGES: Shape = Shape::new("DELETE FROM pages WHERE request_id IN (", "?", ")");
static HOPE: Shape = Shape::new(
    "UPDATE hosts SET is_given_up = 0 WHERE is_given_up = 1 AND host_id IN (",
    "?",
    ")",
);
static SELECT_OPEN: Shape = Shape::new(
    "WITH v (id, job) AS (VALUES ",
    "(?,?)",
    ") SELECT r.request_id, r.state FROM v JOIN requests r ON r.request_id = v.id AND r.job_id = v.job
     WHERE r.state IN (0, 4) AND r.request_id NOT IN (SELECT request_id FROM in_flight)",
);

impl SqliteStore {
    /// Has failed requests of a job asked again from the start, and the job with them. Their attempts stay
    /// and are counted on; their rows in `results` and `failures` are gone until they end anew. How many
    /// it were; `told` hears how many so far.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be written, [`StoreError::JobOver`] if the job was cancelled or replaced;
    /// what was told is done.
    pub async fn retry_requests(
        &self,
        job: JobId,
        requests: &[RequestId],
        told: impl FnMut(u64),
    ) -> Result<u64, StoreError> {
        self.retry_in(SLICE, job, requests, told).await
    }

    /// As [`SqliteStore::retry_requests`], so many at a time.
    async fn retry_in(
        &self,
        most: usize,
        job: JobId,
        requests: &[RequestId],
        mut told: impl FnMut(u64),
    ) -> Result<u64, StoreError> {
        let mut outside = self.outside().await?;
        let mut retried = 0;
        for slice in requests.chunks(most) {
            outside.begin().await?;
            outside.check_takes_work(job).await?;
            let done = retry(outside.connection(), job, slice).await;
            retried += done.map_err(|error| outside.error(error))?;
            outside.commit().await?;
            outside.rest().await;
            told(retried);
        }
        outside.close().await?;
        Ok(retried)
    }

    /// Skips open requests of a job that are not in flight, and finishes the job if nothing else of it is
    /// open. How many it were; `told` hears how many so far.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be written; what was told is done.
    pub async fn skip_requests(
        &self,
        job: JobId,
        requests: &[RequestId],
        told: impl FnMut(u64),
    ) -> Result<u64, StoreError> {
        self.skip_in(SLICE, job, requests, told).await
    }

    /// As [`SqliteStore::skip_requests`], so many at a time.
    async fn skip_in(
        &self,
        most: usize,
        job: JobId,
        requests: &[RequestId],
        mut told: impl FnMut(u64),
    ) -> Result<u64, StoreError> {
        let mut outside = self.outside().await?;
        let mut skipped = 0;
        for slice in requests.chunks(most) {
            outside.begin().await?;
            skipped += skip_slice(&mut outside, job, slice).await?;
            outside.commit().await?;
            outside.rest().await;
            told(skipped);
        }
        outside.close().await?;
        Ok(skipped)
    }
}

async fn retry(
    connection: &mut SqliteConnection,
    job: JobId,
    slice: &[RequestId],
) -> Result<u64, sqlx::Error> {
    let rows = RETRY.fetch(connection, slice, |request, args| {
        args.int(request.0).int(job.0);
    });
    let rows = rows.await?;
    let requests: Vec<i64> = rows.iter().map(|row| row.get(0)).collect();
    DELETE_PAGES
        .execute(connection, &requests, |request, args| {
            args.int(*request);
        })
        .await?;
    let mut changes = Changes::default();
    let mut by_host = BTreeMap::<HostId, i64>::new();
    for row in &rows {
        *by_host.entry(HostId(row.get(1))).or_default() += 1;
    }
    let hosts: Vec<HostId> = by_host.keys().copied().collect();
    HOPE.execute(connection, &hosts, |host, args| {
        args.int(host.0);
    })
    .await?;
    for (host, count) in by_host {
        let host = changes.hosts.entry(host).or_default();
        host.add_final(State::Failed, -count);
    }
    let count = i64::try_from(rows.len()).unwrap_or(i64::MAX);
    let delta = changes.jobs.entry(job).or_default();
    delta.shift(State::Failed, State::Ready, count);
    counters::write(&changes, connection).await?;
    if count > 0 {
        sqlx::query(
            "UPDATE jobs SET state = 0, finished_ms = NULL, reopened = reopened + 1 WHERE job_id = ?",
        )
        .bind(job.0)
        .execute(connection)
        .await?;
    }
    Ok(rows.len() as u64)
}

async fn skip_slice(
    outside: &mut Outside,
    job: JobId,
    slice: &[RequestId],
) -> Result<u64, StoreError> {
    let skipped = skip(outside.connection(), job, slice).await;
    let skipped = skipped.map_err(|error| outside.error(error))?;
    finish(outside, job).await?;
    Ok(skipped)
}

async fn skip(
    connection: &mut SqliteConnection,
    job: JobId,
    slice: &[RequestId],
) -> Result<u64, sqlx::Error> {
    let rows = SELECT_OPEN.fetch(connection, slice, |request, args| {
        args.int(request.0).int(job.0);
    });
    let rows = rows.await?;
    let mut changes = Changes::default();
    let delta = changes.jobs.entry(job).or_default();
    let mut open: Vec<i64> = Vec::with_capacity(rows.len());
    for row in &rows {
        let from = match row.get::<i64, _>(1) {
            4 => State::Waiting,
            _ => State::Ready,
        };
        delta.shift(from, State::Skipped, 1);
        open.push(row.get(0));
    }
    SKIP.execute(connection, &open, |request, args| {
        args.int(*request).int(SkipReason::ByHand.code());
    })
    .await?;
    counters::write(&changes, connection).await?;
    Ok(open.len() as u64)
}

#[cfg(test)]
mod tests {
    use neap_core::CanonicalUrl;

    use super::*;
    use crate::testing::job;
    use crate::{Access, JobState, Submission};

    #[tokio::test]
    async fn what_takes_several_slices_is_told_and_counted_after_each() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("neap.db");
        let store = SqliteStore::open(&path, Access::Create).await.unwrap();
        let urls = (0..5).map(|n| format!("http://{n}.example/"));
        let urls = urls.map(|url| CanonicalUrl::parse(&url).unwrap());
        let submission = Submission {
            job: &job("shop"),
            urls,
        };
        let job = store.submit(submission).await.unwrap().job_id;
        let mut connection = store.connect().await.unwrap();
        sqlx::raw_sql(
            "UPDATE requests SET state = 3; UPDATE hosts SET failed = 1, is_given_up = 1;
             UPDATE jobs SET failed = ready, ready = 0, state = 1, finished_ms = 1;",
        )
        .execute(&mut connection)
        .await
        .unwrap();
        let requests: Vec<RequestId> = (1..=5).map(RequestId).collect();
        let mut told = Vec::new();
        let retried = store.retry_in(2, job, &requests, |done| told.push(done));
        assert_eq!(retried.await.unwrap(), 5);
        assert_eq!(told, [2, 4, 5]);
        let row = store.job(job).await.unwrap();
        assert_eq!((row.counts.ready, row.counts.failed), (5, 0));
        assert_eq!(row.state, JobState::Unfinished);
        let hopeless: i64 = sqlx::query_scalar("SELECT sum(failed + is_given_up) FROM hosts")
            .fetch_one(&mut connection)
            .await
            .unwrap();
        assert_eq!(hopeless, 0);

        told.clear();
        let skipped = store.skip_in(2, job, &requests, |done| told.push(done));
        assert_eq!(skipped.await.unwrap(), 5);
        assert_eq!(told, [2, 4, 5]);
        let row = store.job(job).await.unwrap();
        assert_eq!((row.counts.open(), row.counts.skipped), (0, 5));
        assert_eq!(row.state, JobState::Finished, "nothing of it is open");
    }
}
