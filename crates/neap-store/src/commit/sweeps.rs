//! How does one command end millions of requests?
//!
//! A host fails with all its requests, a job is skipped with the rest of its own (`crawl.max_pages`): in
//! slices of [`SLICE`] rows, one for each transaction, so that pages are recorded meanwhile. What is in
//! flight comes back with its own verdict.

use std::collections::VecDeque;
use std::ops::RangeInclusive;

use neap_core::scope::SkipReason;
use neap_core::{HostId, JobId};
use sqlx::SqliteConnection;

use super::{Changes, State, Trouble};
use crate::batch::Event;

/// Rows that are ended in one transaction: some 50 ms, for which others wait.
const SLICE: usize = 10_000;

/// The commands of this kind that are not done yet, the oldest first.
#[derive(Default)]
pub(crate) struct Sweeps {
    waiting: VecDeque<Sweep>,
    /// Rows that this transaction may still end.
    left: usize,
}

/// One command, as far as it is done.
struct Sweep {
    end: End,
    hosts: RangeInclusive<i64>,
    /// Jobs and states that are still looked through.
    steps: VecDeque<(JobId, State)>,
    /// Where the current step goes on, by the order of its rows.
    cursor: Option<i64>,
    requests: u64,
}

/// What becomes of the requests.
enum End {
    Failed { host: HostId, cause: String },
    Skipped { job: JobId, reason: SkipReason },
}

impl Sweeps {
    /// Whether nothing is left to be done.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// To be called once for each transaction.
    pub(crate) fn begin_batch(&mut self) {
        self.left = SLICE;
    }

    /// Fails the open requests of a host.
    pub(super) fn fail_host(&mut self, host: HostId, jobs: &[JobId], cause: String) {
        self.push(End::Failed { host, cause }, host.0..=host.0, jobs);
    }

    /// Skips the open requests of a job.
    pub(crate) fn skip_rest(&mut self, job: JobId, reason: SkipReason) {
        self.push(End::Skipped { job, reason }, 0..=i64::MAX, &[job]);
    }

    fn push(&mut self, end: End, hosts: RangeInclusive<i64>, jobs: &[JobId]) {
        let steps = |job: &JobId| [(*job, State::Ready), (*job, State::Waiting)];
        self.waiting.push_back(Sweep {
            end,
            hosts,
            steps: jobs.iter().flat_map(steps).collect(),
            cursor: None,
            requests: 0,
        });
    }
}

/// Ends as many requests as this transaction may.
pub(crate) async fn go_on(
    sweeps: &mut Sweeps,
    connection: &mut SqliteConnection,
    changes: &mut Changes,
) -> Result<(), Trouble> {
    let Sweeps { waiting, left, .. } = sweeps;
    while *left > 0
        && let Some(sweep) = waiting.front_mut()
    {
        if sweep.steps.is_empty() {
            changes.events.push(sweep.event());
            waiting.pop_front();
        } else {
            *left -= sweep.step(*left, connection, changes).await?;
        }
    }
    Ok(())
}

// Both read their index in its own order: a slice that had to be sorted would be read as a whole.
macro_rules! end {
    ($selected:literal, $order:literal, $key:literal) => {
        concat!(
            "UPDATE requests SET state = ?1, cause = ?2, skip_reason = ?3 WHERE request_id IN (SELECT ",
            $selected,
            " AND r.request_id NOT IN (SELECT request_id FROM in_flight) ORDER BY ",
            $order,
            " LIMIT ?8) RETURNING ",
            $key
        )
    };
}
/// Host by host, since other jobs may have any number of ready requests.
const READY: &str = end!(
    "r.request_id FROM hosts h CROSS JOIN requests r INDEXED BY requests_ready
     WHERE h.host_id BETWEEN max(?4, ?7) AND ?5 AND r.state = 0 AND r.host_id = h.host_id
       AND r.job_id = ?6",
    "h.host_id",
    "host_id"
);
const WAITING: &str = end!(
    "r.request_id FROM requests r INDEXED BY requests_waiting
     WHERE r.state = 4 AND r.job_id = ?6 AND r.due_ms >= ?7 AND r.host_id BETWEEN ?4 AND ?5",
    "r.due_ms",
    "due_ms"
);

impl Sweep {
    /// Ends at most so many requests of the first step; how many it were.
    async fn step(
        &mut self,
        most: usize,
        connection: &mut SqliteConnection,
        changes: &mut Changes,
    ) -> Result<usize, sqlx::Error> {
        let Some((job, from)) = self.steps.front().copied() else {
            return Ok(0);
        };
        let keys = self.end_some(job, from, most, connection).await?;
        self.count(job, from, keys.len(), changes);
        if keys.len() == most {
            self.cursor = keys.iter().copied().max();
        } else if self.cursor.take().is_none() {
            self.steps.pop_front();
        }
        // Otherwise the end is reached, but what came before the cursor meanwhile is still there: the
        // step is done when it finds nothing more from the start.
        Ok(keys.len())
    }

    /// Ends requests; where each of them stood in their order.
    async fn end_some(
        &self,
        job: JobId,
        from: State,
        most: usize,
        connection: &mut SqliteConnection,
    ) -> Result<Vec<i64>, sqlx::Error> {
        let sql = if from == State::Waiting {
            WAITING
        } else {
            READY
        };
        let (state, cause, reason) = match &self.end {
            End::Failed { cause, .. } => (State::Failed, Some(cause.clone()), None),
            End::Skipped { reason, .. } => (State::Skipped, None, Some(reason.code())),
        };
        sqlx::query_scalar(sql)
            .bind(state as i64)
            .bind(cause)
            .bind(reason)
            .bind(self.hosts.start())
            .bind(self.hosts.end())
            .bind(job.0)
            .bind(self.cursor.unwrap_or(i64::MIN))
            .bind(i64::try_from(most).unwrap_or(i64::MAX))
            .fetch_all(connection)
            .await
    }

    fn count(&mut self, job: JobId, from: State, requests: usize, changes: &mut Changes) {
        let count = i64::try_from(requests).unwrap_or(i64::MAX);
        self.requests += requests as u64;
        changes.is_due_changed = true;
        let delta = changes.jobs.entry(job).or_default();
        match self.end {
            End::Skipped { .. } => delta.shift(from, State::Skipped, count),
            End::Failed { host, .. } => {
                delta.shift(from, State::Failed, count);
                let host = changes.hosts.entry(host).or_default();
                host.add_final(State::Failed, count);
            }
        }
    }

    fn event(&self) -> Event {
        let requests = self.requests;
        match self.end {
            End::Failed { host, .. } => Event::HostFailed { host, requests },
            End::Skipped { job, .. } => Event::RestSkipped { job, requests },
        }
    }
}

#[cfg(test)]
mod tests {
    use sqlx::{AssertSqlSafe, Row};

    use super::*;
    use crate::{Access, SqliteStore};

    #[tokio::test]
    async fn a_slice_is_read_in_the_order_of_its_index() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("neap.db");
        let store = SqliteStore::open(&path, Access::Create).await.unwrap();
        let mut connection = store.connect().await.unwrap();
        for sql in [READY, WAITING] {
            let plan = sqlx::query(AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}")));
            let plan = plan.fetch_all(&mut connection).await.unwrap();
            let steps: Vec<&str> = plan.iter().map(|row| row.get(3)).collect();
            let is_slow = |step: &&str| step.contains("TEMP B-TREE") || step.starts_with("SCAN");
            assert!(!steps.iter().any(is_slow), "{steps:#?}");
        }
    }
}
