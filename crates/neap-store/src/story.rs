//! What happened to one URL?
//!
//! Looked up by fingerprint, so that the answer comes at once whatever the size of the store.

use std::time::Duration;

use neap_core::scope::SkipReason;
use neap_core::{CanonicalUrl, HostId, JobId, RequestId, UnixMs};
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, Row};

use crate::batch::EgressName;
use crate::open::read_key;
use crate::{Reader, StoreError};

/// Redirects that lead back into their own chain are looked for up to this hop; `request.redirects` is
/// 20 at most.
const MOST_HOPS: u32 = 20;
/// Attempts of one request that are told, the newest: 20 that were not charged, those that were, and
/// those that were lost with their runs fit in several times.
const MOST_ATTEMPTS: i64 = 200;
/// Rounds and jobs that are looked through, the newest.
const MOST_JOBS: i64 = 1000;

/// What happened to a URL in one round of a job.
#[derive(Debug, Clone, PartialEq)]
pub struct Story {
    /// The request.
    pub request: RequestId,
    /// The round of the job.
    pub job: JobId,
    /// The job's name.
    pub job_name: String,
    /// Which round of it.
    pub round: u32,
    /// The URL.
    pub url: String,
    /// The host that is to answer.
    pub host: HostId,
    /// Links from an input URL.
    pub depth: u32,
    /// The page or redirect it was found on, if it was found.
    pub found_on: Option<String>,
    /// The URL whose redirect led here, if nothing else did.
    pub redirect_of: Option<String>,
    /// Where its redirects lead, one after the other.
    pub chain: Vec<Hop>,
    /// Its attempts, the oldest first; the newest two hundred.
    pub attempts: Vec<Tried>,
    /// What it is now.
    pub now: Meanwhile,
    /// When it was sent, if it is in flight, and under which run.
    pub in_flight_since: Option<(UnixMs, i64)>,
    /// The segment file with its body, where in it and how many bytes, if the body was kept.
    pub body: Option<(String, u64, u64)>,
    /// The status and the time of its final answer, and the bytes of its body as sent.
    pub page: Option<(u16, UnixMs, u64)>,
}

/// What a request is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Meanwhile {
    /// It can be asked for.
    Ready,
    /// It waits for the end of its backoff.
    Waiting {
        /// When that comes.
        until: UnixMs,
    },
    /// Answered for good.
    Done,
    /// Given up, for this reason in one word.
    Failed(Option<String>),
    /// It will not be asked for, for this reason in one word.
    Skipped(String),
}

/// One step of a redirect chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hop {
    /// Where it leads.
    pub url: String,
    /// What that answered, if it did.
    pub status: Option<u16>,
    /// The state of the request there, in one word.
    pub state: String,
}

/// One attempt.
#[derive(Debug, Clone, PartialEq)]
pub struct Tried {
    /// Counted from 1.
    pub number: u32,
    /// When it started.
    pub at: UnixMs,
    /// How long it took.
    pub took: Option<Duration>,
    /// The status, if one came.
    pub status: Option<u16>,
    /// Why it brought no page, in one word.
    pub cause: Option<String>,
    /// Whose fault that was, in one word; `None` for nobody's.
    pub fault: Option<String>,
    /// What the layer that failed said.
    pub error: Option<String>,
    /// Whether it counts towards `retry.attempts`.
    pub is_charged: bool,
    /// The wait after it.
    pub backoff: Option<Duration>,
    /// The way that it took; `None` without pools of proxies.
    pub egress: Option<EgressName>,
    /// The status with which a proxy answered CONNECT.
    pub connect_status: Option<u16>,
    /// Who answered and on what evidence, if that was looked into.
    pub verdict: Option<Verdict>,
}

/// What was found out about an attempt.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// Who wrote the answer, in one word.
    pub producer: String,
    /// What it means, in one word.
    pub diagnosis: String,
    /// How sure the fault is, 0 to 1.
    pub confidence: f64,
    /// What it rests on, most telling first.
    pub reasons: Vec<String>,
}

/// A link that was found and not asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SkippedLink {
    /// The round of the job.
    pub job: JobId,
    /// Why, in one word.
    pub reason: String,
    /// The page it was found on.
    pub found_on: Option<String>,
    /// Links from an input URL to it.
    pub depth: u32,
}

impl Reader {
    /// What happened to a URL, in the newest round first. Empty if no job asks for it.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    pub async fn stories(&self, url: &CanonicalUrl) -> Result<Vec<Story>, StoreError> {
        let sql = || StoreError::sql(self.path());
        let mut connection = self.pool().acquire().await.map_err(sql())?;
        let fingerprinter = read_key(&mut connection, self.path()).await?;
        drop(connection);
        let host: Option<i64> = sqlx::query_scalar("SELECT host_id FROM hosts WHERE name = ?")
            .bind(url.host().as_str().to_owned())
            .fetch_optional(self.pool())
            .await
            .map_err(sql())?;
        let Some(host) = host else {
            return Ok(Vec::new());
        };
        let mut stories = Vec::new();
        for job in self.newest_jobs().await? {
            for hop in 0..=MOST_HOPS {
                let row = sqlx::query(STORY)
                    .bind(host)
                    .bind(fingerprinter.salted(job, url, hop))
                    .bind(url.as_str().to_owned())
                    .fetch_optional(self.pool())
                    .await
                    .map_err(sql())?;
                if let Some(row) = row {
                    let mut story = story(&row);
                    story.chain = self.chain(story.request).await?;
                    story.attempts = self.attempts(story.request).await?;
                    stories.push(story);
                }
            }
        }
        Ok(stories)
    }

    /// Where a URL was found without being asked for, in the newest round first. Only so many links are
    /// kept for each job and reason.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    pub async fn skipped_links(&self, url: &CanonicalUrl) -> Result<Vec<SkippedLink>, StoreError> {
        let reasons = SkipReason::ALL.map(SkipReason::code);
        let rows = sqlx::query(
            "SELECT s.job_id, s.reason_name, p.url, coalesce(p.depth, 0) + 1
             FROM skips s LEFT JOIN requests p ON p.request_id = s.parent_id
             WHERE s.job_id IN (SELECT job_id FROM jobs) AND s.reason IN (SELECT value FROM json_each(?))
               AND s.url = ? ORDER BY s.skip_id DESC",
        )
        .bind(serde_json::json!(reasons).to_string())
        .bind(url.as_str().to_owned())
        .fetch_all(self.pool())
        .await
        .map_err(StoreError::sql(self.path()))?;
        let link = |row: &SqliteRow| SkippedLink {
            job: JobId(row.get(0)),
            reason: row.get::<Option<String>, _>(1).unwrap_or_default(),
            found_on: row.get(2),
            depth: row.get(3),
        };
        Ok(rows.iter().map(link).collect())
    }

    /// URLs of a host that are asked for, so many at most.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    pub async fn urls_of(&self, host_name: &str, most: u32) -> Result<Vec<String>, StoreError> {
        let sql = "SELECT r.url FROM hosts h JOIN requests r ON r.host_id = h.host_id
             WHERE h.name = ? LIMIT ?";
        sqlx::query_scalar(sql)
            .bind(host_name.to_owned())
            .bind(most)
            .fetch_all(self.pool())
            .await
            .map_err(StoreError::sql(self.path()))
    }

    /// The robots file of a host, if it has one.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    pub async fn robots_body(&self, host: HostId) -> Result<Option<Vec<u8>>, StoreError> {
        let body = sqlx::query_scalar("SELECT robots_body FROM hosts WHERE host_id = ?")
            .bind(host.0)
            .fetch_optional(self.pool())
            .await
            .map_err(StoreError::sql(self.path()))?;
        Ok(body.flatten())
    }

    async fn newest_jobs(&self) -> Result<Vec<JobId>, StoreError> {
        let jobs: Vec<i64> =
            sqlx::query_scalar("SELECT job_id FROM jobs ORDER BY job_id DESC LIMIT ?")
                .bind(MOST_JOBS)
                .fetch_all(self.pool())
                .await
                .map_err(StoreError::sql(self.path()))?;
        Ok(jobs.into_iter().map(JobId).collect())
    }

    async fn chain(&self, request: RequestId) -> Result<Vec<Hop>, StoreError> {
        let rows = sqlx::query(
            "WITH RECURSIVE chain (id, next, hop) AS (
                 SELECT request_id, redirect_to, 0 FROM requests WHERE request_id = ?1
                 UNION ALL
                 SELECT n.request_id, n.redirect_to, hop + 1
                 FROM chain JOIN requests n ON n.request_id = chain.next WHERE hop < ?2)
             SELECT r.url, p.status, r.state_name FROM chain
             JOIN requests r ON r.request_id = chain.id
             LEFT JOIN pages p ON p.request_id = chain.id WHERE hop > 0 ORDER BY hop",
        )
        .bind(request.0)
        .bind(MOST_HOPS)
        .fetch_all(self.pool())
        .await
        .map_err(StoreError::sql(self.path()))?;
        let hop = |row: &SqliteRow| Hop {
            url: row.get(0),
            status: row.get(1),
            state: row.get(2),
        };
        Ok(rows.iter().map(hop).collect())
    }

    async fn attempts(&self, request: RequestId) -> Result<Vec<Tried>, StoreError> {
        let rows = sqlx::query(AssertSqlSafe(format!(
            "SELECT {TRIED} WHERE a.request_id = ? ORDER BY a.attempt_id DESC LIMIT ?"
        )))
        .bind(request.0)
        .bind(MOST_ATTEMPTS)
        .fetch_all(self.pool())
        .await
        .map_err(StoreError::sql(self.path()))?;
        Ok(rows.iter().rev().map(tried).collect())
    }
}

const STORY: &str = "SELECT r.request_id, r.job_id, j.name, j.round, r.url, r.host_id, r.depth,
        parent.url, source.url, r.state, r.due_ms, r.cause, r.skip_reason_name,
        f.started_ms, f.epoch, p.status, p.fetched_ms, p.body_bytes,
        s.file, p.segment_offset, p.segment_bytes
    FROM requests r
    JOIN jobs j ON j.job_id = r.job_id
    LEFT JOIN requests parent ON parent.request_id = r.parent_id
    LEFT JOIN requests source ON source.request_id = r.redirect_of
    LEFT JOIN in_flight f ON f.request_id = r.request_id
    LEFT JOIN pages p ON p.request_id = r.request_id
    LEFT JOIN segments s ON s.segment_id = p.segment_id
    WHERE r.host_id = ?1 AND r.fingerprint = ?2 AND r.url = ?3";

fn story(row: &SqliteRow) -> Story {
    let size = |at: usize| row.get::<i64, _>(at).unsigned_abs();
    Story {
        request: RequestId(row.get(0)),
        job: JobId(row.get(1)),
        job_name: row.get(2),
        round: row.get(3),
        url: row.get(4),
        host: HostId(row.get(5)),
        depth: row.get(6),
        found_on: row.get(7),
        redirect_of: row.get(8),
        chain: Vec::new(),
        attempts: Vec::new(),
        now: match row.get::<i64, _>(9) {
            0 => Meanwhile::Ready,
            2 => Meanwhile::Done,
            3 => Meanwhile::Failed(row.get(11)),
            4 => Meanwhile::Waiting {
                until: UnixMs(row.get(10)),
            },
            // The schema's CHECK leaves only 5.
            _ => Meanwhile::Skipped(row.get::<Option<String>, _>(12).unwrap_or_default()),
        },
        in_flight_since: row
            .get::<Option<i64>, _>(13)
            .map(|at| (UnixMs(at), row.get(14))),
        page: row
            .get::<Option<u16>, _>(15)
            .map(|status| (status, UnixMs(row.get(16)), size(17))),
        body: row
            .get::<Option<String>, _>(18)
            .map(|file| (file, size(19), size(20))),
    }
}

/// What is told of an attempt.
pub(crate) const TRIED: &str = "a.number, a.started_ms, a.duration_us, a.status, a.cause, a.fault, a.error,
    a.is_charged, a.backoff_ms, x.pool, x.name, a.connect_status, a.producer, a.diagnosis, a.confidence, a.evidence
    FROM attempts a LEFT JOIN proxies x ON x.proxy_id = a.proxy_id";

/// What [`TRIED`] brings.
pub(crate) fn tried(row: &SqliteRow) -> Tried {
    let micros = |us: i64| Duration::from_micros(us.unsigned_abs());
    let millis = |ms: i64| Duration::from_millis(ms.unsigned_abs());
    Tried {
        number: row.get(0),
        at: UnixMs(row.get(1)),
        took: row.get::<Option<i64>, _>(2).map(micros),
        status: row.get(3),
        cause: row.get(4),
        fault: row.get(5),
        error: row.get(6),
        is_charged: row.get(7),
        backoff: row.get::<Option<i64>, _>(8).map(millis),
        egress: egress(row),
        connect_status: row.get(11),
        verdict: verdict(row),
    }
}

fn egress(row: &SqliteRow) -> Option<EgressName> {
    Some(EgressName {
        pool: row.get::<Option<String>, _>(9)?.into(),
        proxy: row.get::<Option<String>, _>(10)?.into(),
    })
}

fn verdict(row: &SqliteRow) -> Option<Verdict> {
    let reasons: Option<String> = row.get(15);
    Some(Verdict {
        producer: row.get::<Option<String>, _>(12)?,
        diagnosis: row.get::<Option<String>, _>(13)?,
        confidence: row.get::<Option<f64>, _>(14).unwrap_or_default(),
        // The schema's CHECK leaves only JSON; what is no list of texts is none that was written here.
        reasons: serde_json::from_str(reasons.as_deref().unwrap_or("[]")).unwrap_or_default(),
    })
}
