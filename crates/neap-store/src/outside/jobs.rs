//! How are jobs paused, continued and cancelled?
//!
//! The decision is one transaction, and holds from then on, whoever dies. A cancelled job is then emptied in
//! slices, by whoever cancelled it and by the run that works on it, if there is one: both do the same, and
//! what one has done the other finds done. The next run finishes what neither could.

use neap_core::JobId;
use neap_core::scope::SkipReason;

use super::Outside;
use crate::commit::rest::FINISH;
use crate::commit::{Changes, Sweeps, Trouble, counters, sweeps};
use crate::recover::recover_requests;
use crate::{Counts, RunLock, SqliteStore, StoreError, now};

impl SqliteStore {
    /// Has nothing more of an unfinished job asked for until it is continued; what is in flight ends as ever.
    /// Whether that was news.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be written; then nothing has happened.
    pub async fn pause_job(&self, job: JobId) -> Result<bool, StoreError> {
        let sql = "UPDATE jobs SET paused_ms = ?1 WHERE job_id = ?2 AND state = 0
                   AND paused_ms IS NULL AND cancelled_ms IS NULL";
        self.mark(sql, job).await
    }

    /// Lets a paused job go on. Whether that was news.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be written; then nothing has happened.
    pub async fn continue_job(&self, job: JobId) -> Result<bool, StoreError> {
        let sql = "UPDATE jobs SET paused_ms = NULL WHERE job_id = ?2 AND state = 0
                   AND paused_ms IS NOT NULL";
        self.mark(sql, job).await
    }

    /// Decides that nothing more of an unfinished job is asked for; [`SqliteStore::empty_cancelled`] does the
    /// rest. Whether that was news.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be written; then nothing has happened.
    pub async fn cancel_job(&self, job: JobId) -> Result<bool, StoreError> {
        let sql = "UPDATE jobs SET cancelled_ms = ?1 WHERE job_id = ?2 AND state = 0
                   AND cancelled_ms IS NULL";
        self.mark(sql, job).await
    }

    async fn mark(&self, sql: &'static str, job: JobId) -> Result<bool, StoreError> {
        let mut outside = self.outside().await?;
        let query = sqlx::query(sql).bind(now().0).bind(job.0);
        let done = query.execute(outside.begin().await?).await;
        let is_news = done.map_err(|error| outside.error(error))?.rows_affected() > 0;
        outside.commit().await?;
        outside.close().await?;
        Ok(is_news)
    }

    /// Skips every open request of a cancelled job that is not in flight, and finishes the job if that was
    /// all. How the job stands then; what is still open is in flight. `told` hears how many were
    /// skipped so far.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be written; calling it again goes on.
    pub async fn empty_cancelled(
        &self,
        job: JobId,
        mut told: impl FnMut(u64),
    ) -> Result<Counts, StoreError> {
        let before = self.job(job).await?.counts.skipped;
        let mut outside = self.outside().await?;
        let mut sweeps = Sweeps::default();
        sweeps.skip_rest(job, SkipReason::Cancelled);
        loop {
            outside.begin().await?;
            sweep(&mut outside, &mut sweeps).await?;
            finish(&mut outside, job).await?;
            outside.commit().await?;
            if sweeps.is_empty() {
                break;
            }
            outside.rest().await;
            told(self.job(job).await?.counts.skipped.saturating_sub(before));
        }
        outside.close().await?;
        Ok(self.job(job).await?.counts)
    }

    /// Takes over what runs that died had in flight, so that it can be decided upon; a lock says that they
    /// did. The next run finds nothing left of them.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be written; then nothing has happened.
    pub async fn take_over(&self, _lock: &RunLock) -> Result<(), StoreError> {
        let mut outside = self.outside().await?;
        let recovered = recover_requests(outside.begin().await?).await;
        recovered.map_err(|error| outside.error(error))?;
        outside.commit().await?;
        outside.close().await
    }

    /// Finishes cancelled jobs whose rest nobody came to skip.
    pub(crate) async fn finish_cancelled(&self) -> Result<(), StoreError> {
        let mut connection = self.connect().await?;
        let jobs: Vec<i64> = sqlx::query_scalar(
            "SELECT job_id FROM jobs WHERE state = 0 AND cancelled_ms IS NOT NULL",
        )
        .fetch_all(&mut connection)
        .await
        .map_err(StoreError::sql(self.path()))?;
        drop(connection);
        for job in jobs {
            self.empty_cancelled(JobId(job), |_| {}).await?;
        }
        Ok(())
    }
}

async fn sweep(outside: &mut Outside, sweeps: &mut Sweeps) -> Result<(), StoreError> {
    let mut changes = Changes::default();
    sweeps.begin_batch();
    let swept = sweeps::go_on(sweeps, outside.connection(), &mut changes).await;
    match swept {
        Ok(()) => {}
        Err(Trouble::Store(error)) => return Err(error),
        Err(Trouble::Sql(error)) => return Err(outside.error(error)),
    }
    let written = counters::write(&changes, outside.connection()).await;
    written.map(drop).map_err(|error| outside.error(error))
}

/// Finishes a job if nothing of it is open.
pub(super) async fn finish(outside: &mut Outside, job: JobId) -> Result<(), StoreError> {
    let query = sqlx::query(FINISH).bind(now().0).bind(job.0);
    let done = query.execute(outside.connection()).await;
    done.map(drop).map_err(|error| outside.error(error))
}
