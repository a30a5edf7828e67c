//! Which jobs are there, and how far are they?

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use neap_core::job::Job;
use neap_core::{Host, JobId, UnixMs};
use sqlx::sqlite::SqliteRow;
use sqlx::{Connection, Row, SqliteExecutor};

use crate::{SqliteStore, StoreError};

/// One round of a job.
#[derive(Debug, Clone, PartialEq)]
pub struct JobRow {
    /// Its number.
    pub job_id: JobId,
    /// Its name.
    pub name: String,
    /// Which round of that name it is, from 1.
    pub round: u32,
    /// What it asks for.
    pub spec: Job,
    /// What its scope is measured from; for [`neap_core::scope::Scope::from_roots`].
    pub scope_roots: BTreeSet<String>,
    /// Whether it is worked on.
    pub state: JobState,
    /// When it was submitted.
    pub submitted: UnixMs,
    /// When it was finished.
    pub finished: Option<UnixMs>,
    /// How far it is.
    pub counts: Counts,
}

/// Whether a round of a job is worked on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobState {
    /// It is, whenever a run takes it up.
    Unfinished,
    /// Not until it is continued.
    Paused,
    /// Nothing is left to do.
    Finished,
    /// Nothing more of it is asked for, since a person said so.
    Cancelled,
    /// A later round took its place before it was finished.
    Replaced,
}

impl JobState {
    /// The word for it in SQL and messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            JobState::Unfinished => "unfinished",
            JobState::Paused => "paused",
            JobState::Finished => "finished",
            JobState::Cancelled => "cancelled",
            JobState::Replaced => "replaced",
        }
    }

    /// Whether work is left that may still be done, now or once it is continued.
    pub const fn is_open(self) -> bool {
        matches!(self, JobState::Unfinished | JobState::Paused)
    }
}

/// Requests of a job by state; together they are all that it has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Can be asked for now; those in flight as well.
    pub ready: u64,
    /// Failed and will be asked for again.
    pub waiting: u64,
    /// Answered for good.
    pub done: u64,
    /// Given up.
    pub failed: u64,
    /// Will not be asked for.
    pub skipped: u64,
    /// Of those done, those whose answer was no redirect.
    pub pages: u64,
}

impl Counts {
    /// Requests that still have to be asked for.
    pub fn open(&self) -> u64 {
        self.ready + self.waiting
    }

    /// Requests of which it is decided what became of them.
    pub fn closed(&self) -> u64 {
        self.done + self.failed + self.skipped
    }

    /// All requests of the job.
    pub fn total(&self) -> u64 {
        self.open() + self.closed()
    }
}

/// The final answers that a job got, redirects and those of requests that failed included.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answers {
    /// How many had each status.
    pub statuses: BTreeMap<u16, u64>,
    /// Bytes of their bodies, as sent.
    pub bytes: u64,
}

impl SqliteStore {
    /// The newest round of a job.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    pub async fn latest_round(&self, name: &str) -> Result<Option<JobRow>, StoreError> {
        let rows = self.read_jobs(LATEST, Some(name)).await?;
        Ok(rows.into_iter().next())
    }

    /// The jobs that a run can take up, the oldest first.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    pub async fn unfinished_jobs(&self) -> Result<Vec<JobRow>, StoreError> {
        self.read_jobs(UNFINISHED, None).await
    }

    /// Every round of every job, the oldest first.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    pub async fn jobs(&self) -> Result<Vec<JobRow>, StoreError> {
        self.read_jobs(ALL, None).await
    }

    /// One round of a job.
    ///
    /// # Errors
    /// [`StoreError::Unexpected`] if there is none with that number.
    pub async fn job(&self, job: JobId) -> Result<JobRow, StoreError> {
        let rows = self.read_jobs(BY_ID, Some(&job.to_string())).await?;
        let none = || StoreError::Unexpected(format!("there is no job {job}"));
        rows.into_iter().next().ok_or_else(none)
    }

    /// Whether a job got anything at all: a page with a status below 300, or 304.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    pub async fn fetched_any(&self, job: JobId) -> Result<bool, StoreError> {
        let mut connection = self.connect().await?;
        let sql = || StoreError::sql(self.path());
        let any = sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM jobs WHERE job_id = ? AND fetched > 0)",
        )
        .bind(job.0)
        .fetch_one(&mut connection)
        .await
        .map_err(sql())?;
        connection.close().await.map_err(sql())?;
        Ok(any)
    }

    /// The final answers that a job got: a look at every request of the store.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    pub async fn answers(&self, job: JobId) -> Result<Answers, StoreError> {
        let mut connection = self.connect().await?;
        let sql = || StoreError::sql(self.path());
        let rows: Vec<(u16, i64, i64)> = sqlx::query_as(
            "SELECT p.status, count(*), sum(p.body_bytes)
             FROM requests r CROSS JOIN pages p ON p.request_id = r.request_id
             WHERE r.job_id = ? GROUP BY p.status",
        )
        .bind(job.0)
        .fetch_all(&mut connection)
        .await
        .map_err(sql())?;
        connection.close().await.map_err(sql())?;
        let mut answers = Answers::default();
        for (status, count, bytes) in rows {
            answers.statuses.insert(status, count.unsigned_abs());
            answers.bytes += bytes.unsigned_abs();
        }
        Ok(answers)
    }

    /// The hosts of a job's input URLs.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    pub async fn input_hosts(&self, job: JobId) -> Result<BTreeSet<Host>, StoreError> {
        let mut connection = self.connect().await?;
        let sql = || StoreError::sql(self.path());
        let hosts = read_input_hosts(&mut connection, job)
            .await
            .map_err(sql())?;
        connection.close().await.map_err(sql())?;
        Ok(hosts)
    }

    /// Of the hosts of a job's input URLs those that may be private as they are written
    /// ([`neap_core::address`]), and some others: a list of 100,000 shops is not read for the sake of the one host
    /// that is.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    pub async fn private_input_hosts(&self, job: JobId) -> Result<BTreeSet<Host>, StoreError> {
        let mut connection = self.connect().await?;
        let sql = || StoreError::sql(self.path());
        let names: Vec<String> = sqlx::query_scalar(PRIVATE_HOSTS)
            .bind(job.0)
            .fetch_all(&mut connection)
            .await
            .map_err(sql())?;
        connection.close().await.map_err(sql())?;
        Ok(names.iter().filter_map(|name| Host::parse(name)).collect())
    }

    /// Replaces what a job asks for; its scope and its requests stay as they are.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be written; then nothing has happened.
    pub async fn update_spec(&self, job: JobId, spec: &Job) -> Result<(), StoreError> {
        let sql = || StoreError::sql(self.path());
        let spec = serde_json::to_string(spec).expect("a job has no keys that JSON cannot write");
        let mut connection = self.connect().await?;
        sqlx::query("UPDATE jobs SET spec = ? WHERE job_id = ?")
            .bind(spec)
            .bind(job.0)
            .execute(&mut connection)
            .await
            .map_err(sql())?;
        connection.close().await.map_err(sql())
    }

    async fn read_jobs(
        &self,
        sql: &'static str,
        key: Option<&str>,
    ) -> Result<Vec<JobRow>, StoreError> {
        let mut connection = self.connect().await?;
        let rows = read(&mut connection, self.path(), sql, key).await?;
        connection
            .close()
            .await
            .map_err(StoreError::sql(self.path()))?;
        Ok(rows)
    }
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT job_id, name, round, spec, scope_roots, state, submitted_ms, finished_ms,
             ready, waiting, done, failed, skipped, pages, state_name FROM jobs ",
            $rest
        )
    };
}
const LATEST: &str = select!("WHERE name = ? ORDER BY round DESC LIMIT 1");
const UNFINISHED: &str =
    select!("WHERE state = 0 AND paused_ms IS NULL AND cancelled_ms IS NULL ORDER BY job_id");
pub(crate) const BY_ID: &str = select!("WHERE job_id = CAST(? AS INTEGER)");
/// Every round of every job.
pub(crate) const ALL: &str = select!("ORDER BY job_id");

/// Reads jobs with one of the texts above.
pub(crate) async fn read(
    executor: impl SqliteExecutor<'_>,
    path: &Path,
    sql: &'static str,
    key: Option<&str>,
) -> Result<Vec<JobRow>, StoreError> {
    let mut query = sqlx::query(sql);
    if let Some(key) = key {
        query = query.bind(key.to_owned());
    }
    let rows = query
        .fetch_all(executor)
        .await
        .map_err(StoreError::sql(path))?;
    rows.iter().map(job_row).collect()
}

fn job_row(row: &SqliteRow) -> Result<JobRow, StoreError> {
    let name: String = row.get(1);
    let unexpected =
        |error: serde_json::Error| StoreError::Unexpected(format!("job {name}: {error}"));
    Ok(JobRow {
        job_id: JobId(row.get(0)),
        round: row.get(2),
        spec: serde_json::from_str(row.get(3)).map_err(unexpected)?,
        scope_roots: serde_json::from_str(row.get(4)).map_err(unexpected)?,
        state: state_named(row.get(14)),
        submitted: UnixMs(row.get(6)),
        finished: row.get::<Option<i64>, _>(7).map(UnixMs),
        counts: counts_at(row, 8),
        name,
    })
}

/// Addresses begin with a digit or a bracket; names of a local network have no full stop or one of a few endings.
const PRIVATE_HOSTS: &str = "SELECT name FROM hosts WHERE host_id IN
     (SELECT host_id FROM input_hosts WHERE job_id = ?)
     AND (name GLOB '*://[0-9[]*' OR name NOT LIKE '%.%' OR name LIKE '%.local%'
          OR name LIKE '%://local%' OR name LIKE '%.internal%' OR name LIKE '%home.arpa%')";

/// The hosts of a job's input URLs.
pub(crate) async fn read_input_hosts(
    executor: impl SqliteExecutor<'_>,
    job: JobId,
) -> Result<BTreeSet<Host>, sqlx::Error> {
    let names: Vec<String> = sqlx::query_scalar(
        "SELECT name FROM hosts WHERE host_id IN
         (SELECT host_id FROM input_hosts WHERE job_id = ?)",
    )
    .bind(job.0)
    .fetch_all(executor)
    .await?;
    Ok(names.iter().filter_map(|name| Host::parse(name)).collect())
}

/// The state that `jobs.state_name` means.
pub(crate) fn state_named(word: &str) -> JobState {
    match word {
        "unfinished" => JobState::Unfinished,
        "paused" => JobState::Paused,
        "finished" => JobState::Finished,
        "cancelled" => JobState::Cancelled,
        _ => JobState::Replaced,
    }
}

/// Six counters that stand side by side in a row, from this column on.
pub(crate) fn counts_at(row: &SqliteRow, first: usize) -> Counts {
    let count = |at: usize| row.get::<i64, _>(first + at).unsigned_abs();
    Counts {
        ready: count(0),
        waiting: count(1),
        done: count(2),
        failed: count(3),
        skipped: count(4),
        pages: count(5),
    }
}
