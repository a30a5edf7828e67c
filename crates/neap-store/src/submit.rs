//! How does a job get into the store?
//!
//! In one transaction: the job with its spec, and a request for each input URL, in the order in which
//! they were given. Either all of it is there afterwards or nothing.

use std::collections::BTreeSet;

use neap_core::job::Job;
use neap_core::scope::Scope;
use neap_core::{CanonicalUrl, HostId, JobId};
use sqlx::{Connection, SqliteConnection};

use crate::discover::{Found, HostNumbers, adopt, insert};
use crate::values::Shape;
use crate::{Store, StoreError, now};

/// URLs that are inserted at a time: enough for full statements, and little memory.
const URLS_AT_ONCE: usize = 1024;

/// A job to be put into the store.
#[derive(Debug)]
pub struct Submission<'a, I> {
    /// What it asks for.
    pub job: &'a Job,
    /// Where it starts: the URLs of the job file and of the files that it names.
    pub urls: I,
}

/// What became of a submission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Submitted {
    /// The new round.
    pub job_id: JobId,
    /// Its number, from 1.
    pub round: u32,
    /// Input URLs that became requests: new ones, and links or redirects that had been skipped.
    pub added: u64,
    /// Input URLs that were requests of the round already, as duplicates within the input are.
    pub already_known: u64,
}

impl Store {
    /// Puts a new round of a job into the store. Unfinished earlier rounds of that name are replaced by
    /// it: they keep what they have and are not worked on any more.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be written; then nothing has happened.
    pub async fn submit<I: IntoIterator<Item = CanonicalUrl>>(
        &self,
        submission: Submission<'_, I>,
    ) -> Result<Submitted, StoreError> {
        let sql = || StoreError::sql(self.path());
        let mut connection = self.connect().await?;
        let mut transaction = connection
            .begin_with("BEGIN IMMEDIATE")
            .await
            .map_err(sql())?;
        let (job_id, round) = insert_job(&mut transaction, submission.job)
            .await
            .map_err(sql())?;
        let input = self
            .insert_input(&mut transaction, job_id, submission.job, submission.urls)
            .await
            .map_err(sql())?;
        transaction.commit().await.map_err(sql())?;
        connection.close().await.map_err(sql())?;
        let Input {
            added,
            already_known,
            ..
        } = input;
        Ok(Submitted {
            job_id,
            round,
            added,
            already_known,
        })
    }

    /// Adds input URLs to a job, which is unfinished again if one of them is new. What the crawl had
    /// found and skipped is asked for now; what is done stays so.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be written or has no such job; then nothing has happened.
    pub async fn add_input<I: IntoIterator<Item = CanonicalUrl>>(
        &self,
        job: JobId,
        urls: I,
    ) -> Result<Submitted, StoreError> {
        let sql = || StoreError::sql(self.path());
        let row = self.job(job).await?;
        let mut connection = self.connect().await?;
        let mut transaction = connection
            .begin_with("BEGIN IMMEDIATE")
            .await
            .map_err(sql())?;
        let input = self
            .insert_input(&mut transaction, job, &row.spec, urls)
            .await
            .map_err(sql())?;
        if input.added > 0 {
            sqlx::query(
                "UPDATE jobs SET state = 0, finished_ms = NULL WHERE job_id = ? AND state = 1",
            )
            .bind(job.0)
            .execute(&mut *transaction)
            .await
            .map_err(sql())?;
        }
        transaction.commit().await.map_err(sql())?;
        connection.close().await.map_err(sql())?;
        let Input {
            added,
            already_known,
            ..
        } = input;
        Ok(Submitted {
            job_id: job,
            round: row.round,
            added,
            already_known,
        })
    }

    /// Inserts input URLs, and extends what the job's scope is measured from.
    async fn insert_input(
        &self,
        connection: &mut SqliteConnection,
        job_id: JobId,
        job: &Job,
        urls: impl IntoIterator<Item = CanonicalUrl>,
    ) -> Result<Input, sqlx::Error> {
        let mut urls = urls.into_iter();
        let mut hosts = HostNumbers::default();
        let mut roots = read_roots(connection, job_id).await?;
        let mut input = Input {
            added: 0,
            reopened: 0,
            already_known: 0,
        };
        loop {
            let chunk: Vec<CanonicalUrl> = urls.by_ref().take(URLS_AT_ONCE).collect();
            if chunk.is_empty() {
                break;
            }
            roots.extend(Scope::new(&job.crawl, &chunk).roots().iter().cloned());
            hosts.learn(connection, chunk.iter()).await?;
            let found: Vec<Found<'_>> = chunk
                .iter()
                .map(|url| self.found(job_id, url, &hosts))
                .collect();
            insert_hosts(connection, job_id, &found).await?;
            let added = insert(connection, &found).await?.len() as u64;
            input.added += added;
            input.already_known += found.len() as u64 - added;
            if added < found.len() as u64 {
                input.reopened += adopt(connection, &found).await?;
            }
        }
        let roots = serde_json::to_string(&roots).expect("text is always JSON");
        sqlx::query(
            "UPDATE jobs SET ready = ready + ?1 + ?2, skipped = skipped - ?2, scope_roots = ?3
             WHERE job_id = ?4",
        )
        .bind(input.added.cast_signed())
        .bind(input.reopened.cast_signed())
        .bind(roots)
        .bind(job_id.0)
        .execute(connection)
        .await?;
        input.added += input.reopened;
        input.already_known -= input.reopened;
        Ok(input)
    }

    fn found<'a>(&self, job: JobId, url: &'a CanonicalUrl, hosts: &HostNumbers) -> Found<'a> {
        Found {
            job,
            host: hosts.get(url),
            fingerprint: self.fingerprinter.of(job, url),
            priority: 0,
            depth: 0,
            parent: None,
            url,
        }
    }
}

struct Input {
    /// Those reopened are counted with the new ones in the end.
    added: u64,
    /// Requests that had been skipped as links or as targets of redirects.
    reopened: u64,
    already_known: u64,
}

static INSERT_HOSTS: Shape = Shape::new(
    "INSERT INTO input_hosts (job_id, host_id) VALUES ",
    "(?,?)",
    " ON CONFLICT DO NOTHING",
);

async fn insert_hosts(
    connection: &mut SqliteConnection,
    job: JobId,
    found: &[Found<'_>],
) -> Result<(), sqlx::Error> {
    let hosts: BTreeSet<HostId> = found.iter().map(|found| found.host).collect();
    let hosts: Vec<HostId> = hosts.into_iter().collect();
    INSERT_HOSTS
        .execute(connection, &hosts, |host, args| {
            args.int(job.0).int(host.0);
        })
        .await?;
    Ok(())
}

async fn insert_job(
    connection: &mut SqliteConnection,
    job: &Job,
) -> Result<(JobId, u32), sqlx::Error> {
    sqlx::query("UPDATE jobs SET state = 2 WHERE name = ? AND state = 0")
        .bind(&job.name)
        .execute(&mut *connection)
        .await?;
    let spec = serde_json::to_string(job).expect("a job has no keys that JSON cannot write");
    let (job_id, round) = sqlx::query_as(
        "INSERT INTO jobs (name, round, spec, scope_roots, submitted_ms)
         SELECT ?1, coalesce(max(round), 0) + 1, ?2, '[]', ?3 FROM jobs WHERE name = ?1
         RETURNING job_id, round",
    )
    .bind(&job.name)
    .bind(spec)
    .bind(now().0)
    .fetch_one(connection)
    .await?;
    Ok((JobId(job_id), round))
}

async fn read_roots(
    connection: &mut SqliteConnection,
    job: JobId,
) -> Result<BTreeSet<String>, sqlx::Error> {
    let roots: String = sqlx::query_scalar("SELECT scope_roots FROM jobs WHERE job_id = ?")
        .bind(job.0)
        .fetch_one(connection)
        .await?;
    serde_json::from_str(&roots).map_err(|error| sqlx::Error::Decode(Box::new(error)))
}
