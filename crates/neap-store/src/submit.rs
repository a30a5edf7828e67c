//! How does a job get into the store?
//!
//! In slices, so that a run goes on writing meanwhile and a million URLs need no more memory than a
//! thousand. A new job is a draft until its last request is there, and appears in one transaction; what a
//! process that died left of a draft is cleared away by the next one that submits or runs. URLs that are
//! added to a job that is there can be asked for from the slice on that brought them.

use std::collections::BTreeSet;

use neap_core::job::Job;
use neap_core::order::{self, Level};
use neap_core::scope::Scope;
use neap_core::{CanonicalUrl, HostId, JobId};
use sqlx::SqliteConnection;

use crate::discover::{Found, HostNumbers, adopt, insert};
use crate::drafts::Submitting;
use crate::outside::Outside;
use crate::values::Shape;
use crate::{SqliteStore, StoreError, now};

/// Rows of one transaction beside a run, at most: some 50 ms, for which it waits.
const ROWS_BESIDE_A_RUN: usize = 4096;
/// Rows of one transaction without a run. Where hosts come in no order, nearly every row is on a page of the
/// index of its own, and each transaction writes all pages that it touches: with 4,096 rows, 1.7 GB for a
/// million URLs on 20,000 hosts.
const ROWS_AT_ONCE: usize = 32_768;

/// A job to be put into the store.
#[derive(Debug)]
pub struct Submission<'a, I> {
    /// What it asks for.
    pub job: &'a Job,
    /// Where it starts: the URLs of the job file and of the files that it names.
    pub urls: I,
}

/// A URL to start from, and what stood beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputRow {
    /// The URL.
    pub url: CanonicalUrl,
    /// The other columns of its line: a JSON object, whose size the caller bounds. Of a URL that occurs
    /// again the first is kept.
    pub fields: Option<String>,
    /// Whether it is a sitemap or feed whose pages are wanted.
    pub is_sitemap: bool,
}

impl From<CanonicalUrl> for InputRow {
    fn from(url: CanonicalUrl) -> InputRow {
        InputRow {
            url,
            fields: None,
            is_sitemap: false,
        }
    }
}

/// An input file as it was when it was read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct InputFile {
    /// The file, as the job names it.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// When it was changed last, Unix nanoseconds.
    pub modified_ns: i64,
}

/// What became of a submission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Submitted {
    /// The round.
    pub job_id: JobId,
    /// Its number, from 1.
    pub round: u32,
    /// Input URLs that became requests: new ones, and links or redirects that had been skipped.
    pub added: u64,
    /// Input URLs that were requests of the round already, as duplicates within the input are.
    pub already_known: u64,
}

/// A job that takes in its input: a new one, or one that is there.
pub struct Intake {
    outside: Outside,
    store: SqliteStore,
    job_id: JobId,
    job: Job,
    /// The round, if the job is there; a draft otherwise, with the sign that its process lives.
    target: Target,
    hosts: HostNumbers,
    /// What the scope is measured from, as far as the input says that was taken in here.
    roots: BTreeSet<String>,
    added: u64,
    already_known: u64,
}

enum Target {
    Draft(Submitting),
    Round(u32),
}

impl std::fmt::Debug for Intake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Intake")
            .field("job_id", &self.job_id)
            .field("added", &self.added)
            .finish_non_exhaustive()
    }
}

impl SqliteStore {
    /// Begins a new round of a job, of which nothing is seen before [`Intake::complete`].
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be written; then nothing has happened.
    pub async fn begin_job(&self, job: &Job) -> Result<Intake, StoreError> {
        let submitting = self.start_submitting().await?;
        let mut outside = self.outside().await?;
        let drafted = insert_draft(outside.begin().await?, &job.name).await;
        let job_id = drafted.map_err(|error| outside.error(error))?;
        outside.commit().await?;
        Ok(Intake {
            outside,
            store: self.clone(),
            job_id,
            job: job.clone(),
            target: Target::Draft(submitting),
            hosts: HostNumbers::default(),
            roots: BTreeSet::new(),
            added: 0,
            already_known: 0,
        })
    }

    /// Begins to add input to a job, which is unfinished again with the first URL that is new. What the crawl
    /// had found and skipped is asked for now; what is done stays so.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be written or has no such job; then nothing has happened.
    pub async fn begin_addition(&self, job: JobId) -> Result<Intake, StoreError> {
        let row = self.job(job).await?;
        Ok(Intake {
            outside: self.outside().await?,
            store: self.clone(),
            job_id: job,
            job: row.spec,
            target: Target::Round(row.round),
            hosts: HostNumbers::default(),
            roots: BTreeSet::new(),
            added: 0,
            already_known: 0,
        })
    }

    /// Puts a new round of a job into the store. Unfinished earlier rounds of that name are replaced by
    /// it: they keep what they have and are not worked on any more.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be written; then nothing has happened.
    pub async fn submit<I: IntoIterator<Item = CanonicalUrl>>(
        &self,
        submission: Submission<'_, I>,
    ) -> Result<Submitted, StoreError> {
        let intake = self.begin_job(submission.job).await?;
        intake.take_all(submission.urls).await
    }

    /// Adds input URLs to a job, see [`SqliteStore::begin_addition`].
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be written or has no such job; calling it again goes on.
    pub async fn add_input<I: IntoIterator<Item = CanonicalUrl>>(
        &self,
        job: JobId,
        urls: I,
    ) -> Result<Submitted, StoreError> {
        self.begin_addition(job).await?.take_all(urls).await
    }
}

impl Intake {
    /// Takes in URLs, in their order.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be written, [`StoreError::JobOver`] if the job was cancelled or replaced
    /// meanwhile; what was taken in before stays.
    pub async fn add(&mut self, rows: &[InputRow]) -> Result<(), StoreError> {
        let mut rest = rows;
        while !rest.is_empty() {
            let most = if self.outside.has_run() {
                ROWS_BESIDE_A_RUN
            } else {
                ROWS_AT_ONCE
            };
            let (slice, behind) = rest.split_at(most.min(rest.len()));
            rest = behind;
            self.begin().await?;
            let done = self.add_slice(slice).await;
            done.map_err(|error| self.outside.error(error))?;
            self.outside.commit().await?;
            self.outside.rest().await;
        }
        Ok(())
    }

    /// Begins a transaction, unless the job that is added to is over.
    async fn begin(&mut self) -> Result<(), StoreError> {
        self.outside.begin().await?;
        match self.target {
            Target::Draft(_) => Ok(()),
            Target::Round(_) => self.outside.check_takes_work(self.job_id).await,
        }
    }

    /// Whether it is a new job, and not an addition to one.
    pub fn is_new(&self) -> bool {
        matches!(self.target, Target::Draft(_))
    }

    /// URLs that became requests so far.
    pub fn added(&self) -> u64 {
        self.added
    }

    /// Ends it: a new job is there from now on, and takes the place of unfinished rounds of its name. `files`
    /// are those that were read to their end.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be written; a new job is not there then. [`StoreError::JobOver`] if the
    /// job that was added to was cancelled or replaced.
    pub async fn complete(mut self, files: &[InputFile]) -> Result<Submitted, StoreError> {
        self.begin().await?;
        let round = match &self.target {
            Target::Draft(_) => self.insert_job().await,
            Target::Round(round) => Ok(*round),
        };
        let round = round.map_err(|error| self.outside.error(error))?;
        let kept = keep_files(self.outside.connection(), self.job_id, files).await;
        kept.map_err(|error| self.outside.error(error))?;
        self.outside.commit().await?;
        self.outside.close().await?;
        Ok(Submitted {
            job_id: self.job_id,
            round,
            added: self.added,
            already_known: self.already_known,
        })
    }

    /// Gives it up: of a new job nothing stays, of an addition what was taken in.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be written; the next one that submits or runs clears it away.
    pub async fn discard(self) -> Result<(), StoreError> {
        // A transaction that failed ends with its connection.
        drop(self.outside);
        match self.target {
            Target::Round(_) => Ok(()),
            Target::Draft(_alive) => self.store.clear_draft(self.job_id).await,
        }
    }

    async fn take_all(
        mut self,
        urls: impl IntoIterator<Item = CanonicalUrl>,
    ) -> Result<Submitted, StoreError> {
        let mut urls = urls.into_iter().map(InputRow::from);
        loop {
            let rows: Vec<InputRow> = urls.by_ref().take(ROWS_AT_ONCE).collect();
            if rows.is_empty() {
                return self.complete(&[]).await;
            }
            self.add(&rows).await?;
        }
    }

    async fn add_slice(&mut self, rows: &[InputRow]) -> Result<(), sqlx::Error> {
        let urls = || rows.iter().map(|row| &row.url);
        let roots = Scope::new(&self.job.crawl, urls());
        self.roots.extend(roots.roots().iter().cloned());
        let connection = self.outside.connection();
        self.hosts.learn(connection, urls()).await?;
        let found: Vec<Found<'_>> = rows
            .iter()
            .map(
                |InputRow {
                     url, is_sitemap, ..
                 }| Found {
                    job: self.job_id,
                    host: self.hosts.get(url),
                    fingerprint: self.store.fingerprinter.of(self.job_id, url),
                    priority: match is_sitemap {
                        true => order::of_sitemap(Level::TOP),
                        false => 0,
                    },
                    depth: 0,
                    parent: None,
                    url,
                },
            )
            .collect();
        insert_hosts(connection, self.job_id, &found).await?;
        let added = insert(connection, &found).await?.len() as u64;
        keep_fields(connection, rows, &found).await?;
        let known = found.len() as u64 - added;
        let mut reopened = 0;
        if let Target::Round(_) = self.target {
            if known > 0 {
                reopened = adopt(connection, &found).await?;
            }
            count(connection, self.job_id, added, reopened, &self.roots).await?;
        }
        self.added += added + reopened;
        self.already_known += known - reopened;
        Ok(())
    }

    /// Makes a draft a job.
    async fn insert_job(&mut self) -> Result<u32, sqlx::Error> {
        let connection = self.outside.connection();
        let now = now().0;
        sqlx::query("UPDATE jobs SET state = 2, finished_ms = ? WHERE name = ? AND state = 0")
            .bind(now)
            .bind(&self.job.name)
            .execute(&mut *connection)
            .await?;
        let spec =
            serde_json::to_string(&self.job).expect("a job has no keys that JSON cannot write");
        let roots = serde_json::to_string(&self.roots).expect("text is always JSON");
        let round = sqlx::query_scalar(
            "INSERT INTO jobs (job_id, name, round, spec, scope_roots, submitted_ms, ready)
             SELECT ?1, ?2, coalesce(max(round), 0) + 1, ?3, ?4, ?5, ?6 FROM jobs WHERE name = ?2
             RETURNING round",
        )
        .bind(self.job_id.0)
        .bind(&self.job.name)
        .bind(spec)
        .bind(roots)
        .bind(now)
        .bind(self.added.cast_signed())
        .fetch_one(&mut *connection)
        .await?;
        sqlx::query("DELETE FROM drafts WHERE job_id = ?")
            .bind(self.job_id.0)
            .execute(connection)
            .await?;
        Ok(round)
    }
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

static INSERT_FIELDS: Shape = Shape::new(
    "WITH v (host, fingerprint, fields) AS (VALUES ",
    "(?,?,?)",
    ") INSERT INTO inputs (request_id, fields) SELECT r.request_id, v.fields
     FROM v CROSS JOIN requests r ON r.host_id = v.host AND r.fingerprint = v.fingerprint
     WHERE true ON CONFLICT DO NOTHING",
);

/// Keeps what stands beside URLs, whether they are new or not.
async fn keep_fields(
    connection: &mut SqliteConnection,
    rows: &[InputRow],
    found: &[Found<'_>],
) -> Result<(), sqlx::Error> {
    let with_fields = std::iter::zip(rows, found)
        .filter_map(|(row, found)| Some((row.fields.as_deref()?, found)));
    let with_fields: Vec<(&str, &Found<'_>)> = with_fields.collect();
    INSERT_FIELDS
        .execute(connection, &with_fields, |(fields, found), args| {
            args.int(found.host.0).int(found.fingerprint).text(fields);
        })
        .await?;
    Ok(())
}

/// Counts what was added to a job that is there.
async fn count(
    connection: &mut SqliteConnection,
    job: JobId,
    added: u64,
    reopened: u64,
    roots: &BTreeSet<String>,
) -> Result<(), sqlx::Error> {
    if added + reopened == 0 {
        return Ok(());
    }
    let roots = serde_json::to_string(roots).expect("text is always JSON");
    sqlx::query(
        "UPDATE jobs SET ready = ready + ?1 + ?2, skipped = skipped - ?2,
         -- Others may have added to them meanwhile.
         scope_roots = (SELECT json_group_array(value) FROM
           (SELECT value FROM json_each(scope_roots) UNION SELECT value FROM json_each(?3))),
         finished_ms = iif(state = 1, NULL, finished_ms), state = iif(state = 1, 0, state),
         reopened = reopened + 1 WHERE job_id = ?4",
    )
    .bind(added.cast_signed())
    .bind(reopened.cast_signed())
    .bind(roots)
    .bind(job.0)
    .execute(connection)
    .await?;
    Ok(())
}

/// Makes room for a job: its number, and what its requests come after.
async fn insert_draft(connection: &mut SqliteConnection, name: &str) -> Result<JobId, sqlx::Error> {
    let job: i64 = sqlx::query_scalar(
        "INSERT INTO drafts (job_id, name, first_request_id, started_ms)
         SELECT max(coalesce((SELECT max(job_id) FROM jobs), 0),
             coalesce((SELECT max(job_id) FROM drafts), 0)) + 1,
           ?, coalesce((SELECT max(request_id) FROM requests), 0) + 1, ? RETURNING job_id",
    )
    .bind(name.to_owned())
    .bind(now().0)
    .fetch_one(connection)
    .await?;
    Ok(JobId(job))
}

static KEEP_FILES: Shape = Shape::new(
    "INSERT INTO input_files (job_id, file, file_bytes, modified_ns) VALUES ",
    "(?,?,?,?)",
    " ON CONFLICT (job_id, file) DO UPDATE SET file_bytes = excluded.file_bytes,
     modified_ns = excluded.modified_ns",
);

async fn keep_files(
    connection: &mut SqliteConnection,
    job: JobId,
    files: &[InputFile],
) -> Result<(), sqlx::Error> {
    KEEP_FILES
        .execute(connection, files, |file, args| {
            args.int(job.0)
                .text(&file.name)
                .int(i64::try_from(file.bytes).unwrap_or(i64::MAX))
                .int(file.modified_ns);
        })
        .await?;
    Ok(())
}
