//! What is old enough to go, and how does it go?
//!
//! Whole rounds of jobs that are over, in transactions of a few thousand requests, each of which leaves
//! counters that fit the rows: a gc that is killed goes on when it is called again. A segment file goes
//! when no page is in it and no revisit of a later round refers to it. Rows go before files, so that a
//! crash leaves at most a file that the next run removes.

use neap_core::{JobId, UnixMs};
use sqlx::sqlite::SqliteRow;
use sqlx::{Connection, Row, SqliteConnection};

use crate::segments::directory_of;
use crate::{Reader, RunLock, SqliteStore, StoreError};

/// Requests of one transaction: some 20 MB of log, and a submission waits for no longer than a second.
const CHUNK: i64 = 5_000;

/// Which rounds go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GcRule {
    /// The newest so many rounds of each job stay.
    pub keep_rounds: u32,
    /// Rounds that were over after this stay; `None` to look at the number alone.
    pub over_before: Option<UnixMs>,
    /// Whether only the bodies go and the rows stay.
    pub only_bodies: bool,
}

/// A round that goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doomed {
    /// Its number.
    pub job_id: JobId,
    /// The name of its job.
    pub name: String,
    /// Which round it is.
    pub round: u32,
    /// When it was over.
    pub over: UnixMs,
    /// Its requests.
    pub requests: u64,
    /// Its stored bodies.
    pub bodies: u64,
}

/// What is gone, or would be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Removed {
    /// Rounds.
    pub rounds: u64,
    /// Requests, with all their rows.
    pub requests: u64,
    /// Segment files.
    pub segments: u64,
    /// Their bytes.
    pub segment_bytes: u64,
}

impl Reader {
    /// The rounds that a rule removes, the oldest first.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    pub async fn doomed(&self, rule: GcRule) -> Result<Vec<Doomed>, StoreError> {
        let rows = sqlx::query(DOOMED)
            .bind(i64::from(rule.keep_rounds))
            .bind(rule.over_before.map(|at| at.0))
            .bind(rule.only_bodies)
            .fetch_all(self.pool())
            .await
            .map_err(StoreError::sql(self.path()))?;
        Ok(rows.iter().map(doomed).collect())
    }

    /// What would be gone without these rounds.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    pub async fn would_remove(&self, rounds: &[Doomed]) -> Result<Removed, StoreError> {
        let rows = sqlx::query(UNUSED_SEGMENTS)
            .bind(ids(rounds))
            .fetch_all(self.pool())
            .await
            .map_err(StoreError::sql(self.path()))?;
        let mut removed = Removed {
            rounds: rounds.len() as u64,
            requests: rounds.iter().map(|round| round.requests).sum(),
            ..Removed::default()
        };
        // The files of a copy are its original's, and stay.
        let own = self.shelves().own();
        for row in rows
            .iter()
            .filter(|row| own.join(row.get::<&str, _>(1)).exists())
        {
            removed.segments += 1;
            removed.segment_bytes += row.get::<i64, _>(2).unsigned_abs();
        }
        Ok(removed)
    }
}

impl SqliteStore {
    /// Removes these rounds, or their bodies, and the segment files that nothing refers to. `tell` hears
    /// how many requests are done after each transaction.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be written. What was done stays done; calling it again goes on.
    pub async fn remove(
        &self,
        _lock: &RunLock,
        rounds: &[Doomed],
        rule: GcRule,
        tell: impl FnMut(u64),
    ) -> Result<Removed, StoreError> {
        self.remove_in(CHUNK, rounds, rule, tell).await
    }

    /// As [`SqliteStore::remove`], so many requests at a time.
    async fn remove_in(
        &self,
        chunk: i64,
        rounds: &[Doomed],
        rule: GcRule,
        mut tell: impl FnMut(u64),
    ) -> Result<Removed, StoreError> {
        let sql = || StoreError::sql(self.path());
        let mut connection = self.connect().await?;
        self.check_owner(&mut connection).await?;
        let mut removed = Removed::default();
        let ids = ids(rounds);
        if !rule.only_bodies {
            forget_targets(&ids, chunk, &mut connection)
                .await
                .map_err(sql())?;
        }
        // The newest first: what refers to others goes before them.
        let mut before = i64::MAX;
        loop {
            let removed_chunk = remove_chunk(&ids, before, chunk, rule, &mut connection).await;
            let Some((first, requests)) = removed_chunk.map_err(sql())? else {
                break;
            };
            before = first;
            removed.requests += requests;
            tell(removed.requests);
            self.empty_long_log(&mut connection).await.map_err(sql())?;
        }
        removed.rounds = if rule.only_bodies {
            rounds.len() as u64
        } else {
            remove_jobs(&ids, &mut connection).await.map_err(sql())?
        };
        self.remove_segments(&mut removed, &mut connection).await?;
        connection.close().await.map_err(sql())?;
        Ok(removed)
    }

    /// Keeps the log from growing with everything that is deleted.
    async fn empty_long_log(&self, connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        let progress =
            crate::checkpoint::checkpoint(connection, "PRAGMA wal_checkpoint(NOOP)").await?;
        if progress.log_pages * crate::checkpoint::PAGE_BYTES > 64 << 20 {
            crate::checkpoint::checkpoint(connection, "PRAGMA wal_checkpoint(PASSIVE)").await?;
        }
        Ok(())
    }

    /// Removes the rows and then the files of segments that nothing refers to.
    async fn remove_segments(
        &self,
        removed: &mut Removed,
        connection: &mut SqliteConnection,
    ) -> Result<(), StoreError> {
        let sql = || StoreError::sql(self.path());
        let mut transaction = connection
            .begin_with("BEGIN IMMEDIATE")
            .await
            .map_err(sql())?;
        sqlx::query(
            "DELETE FROM originals WHERE NOT EXISTS
               (SELECT 1 FROM pages WHERE pages.original_id = originals.original_id)",
        )
        .execute(&mut *transaction)
        .await
        .map_err(sql())?;
        let unused = sqlx::query(UNUSED_SEGMENTS)
            .bind("[]")
            .fetch_all(&mut *transaction)
            .await
            .map_err(sql())?;
        for row in &unused {
            sqlx::query("DELETE FROM segments WHERE segment_id = ?")
                .bind(row.get::<i64, _>(0))
                .execute(&mut *transaction)
                .await
                .map_err(sql())?;
        }
        transaction.commit().await.map_err(sql())?;
        for row in &unused {
            let path = directory_of(self.path()).join(row.get::<&str, _>(1));
            match std::fs::remove_file(&path) {
                Ok(()) => {}
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(StoreError::io(&path)(error)),
            }
            removed.segments += 1;
            removed.segment_bytes += row.get::<i64, _>(2).unsigned_abs();
        }
        Ok(())
    }
}

fn ids(rounds: &[Doomed]) -> String {
    let ids: Vec<i64> = rounds.iter().map(|round| round.job_id.0).collect();
    serde_json::json!(ids).to_string()
}

fn doomed(row: &SqliteRow) -> Doomed {
    Doomed {
        job_id: JobId(row.get(0)),
        name: row.get(1),
        round: row.get(2),
        over: UnixMs(row.get(3)),
        requests: row.get::<i64, _>(4).unsigned_abs(),
        bodies: row.get::<i64, _>(5).unsigned_abs(),
    }
}

/// Rounds that are over, beyond the newest ?1 of their job and before ?2. With ?3, only those with bodies.
const DOOMED: &str = "SELECT job_id, name, round, over_ms, requests, bodies FROM
     (SELECT j.job_id, j.name, j.round, j.state, coalesce(j.finished_ms, j.submitted_ms) AS over_ms,
        j.ready + j.waiting + j.done + j.failed + j.skipped AS requests,
        row_number() OVER (PARTITION BY j.name ORDER BY j.round DESC) AS age,
        ifnull(b.bodies, 0) AS bodies
      FROM jobs j LEFT JOIN
        (SELECT r.job_id, count(*) AS bodies FROM pages p JOIN requests r USING (request_id)
         WHERE p.segment_id IS NOT NULL GROUP BY 1) b USING (job_id))
     WHERE state IN (1, 2) AND age > ?1 AND (?2 IS NULL OR over_ms < ?2) AND (NOT ?3 OR bodies > 0)
     ORDER BY job_id";

/// Ended segment files in which no page lies and to which no revisit refers, but for those of the rounds ?1.
const UNUSED_SEGMENTS: &str = "WITH gone (job_id) AS (SELECT value FROM json_each(?1)),
     kept AS NOT MATERIALIZED (SELECT p.segment_id, p.original_id FROM pages p CROSS JOIN requests r USING (request_id)
       WHERE p.segment_id IS NOT NULL AND r.job_id NOT IN (SELECT job_id FROM gone))
     SELECT segment_id, file, file_bytes FROM segments
     WHERE sealed_ms IS NOT NULL AND segment_id NOT IN
       (SELECT segment_id FROM kept UNION
        SELECT o.segment_id FROM originals o
        WHERE o.original_id IN (SELECT original_id FROM kept WHERE original_id IS NOT NULL))
     ORDER BY segment_id";

/// Lets requests of these rounds forget where they redirect to: that is a newer request, mostly, which goes
/// before them. It is the one thing that refers to what is newer.
async fn forget_targets(
    jobs: &str,
    most: i64,
    connection: &mut SqliteConnection,
) -> Result<(), sqlx::Error> {
    let mut before = i64::MAX;
    loop {
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
        let redirects: Vec<i64> = sqlx::query_scalar(
            "SELECT request_id FROM requests
             WHERE request_id < ?2 AND redirect_to IS NOT NULL AND job_id IN
               (SELECT job_id FROM jobs WHERE state IN (1, 2)
                  AND job_id IN (SELECT value FROM json_each(?1)))
             ORDER BY request_id DESC LIMIT ?3",
        )
        .bind(jobs.to_owned())
        .bind(before)
        .bind(most)
        .fetch_all(&mut *transaction)
        .await?;
        let Some(first) = redirects.last().copied() else {
            return Ok(());
        };
        sqlx::query(
            "UPDATE requests SET redirect_to = NULL
             WHERE request_id IN (SELECT value FROM json_each(?))",
        )
        .bind(serde_json::json!(redirects).to_string())
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        before = first;
    }
}

/// Removes the newest requests of these rounds below a number; the lowest of them and how many there were.
async fn remove_chunk(
    jobs: &str,
    before: i64,
    most: i64,
    rule: GcRule,
    connection: &mut SqliteConnection,
) -> Result<Option<(i64, u64)>, sqlx::Error> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    let chunk: Vec<i64> = sqlx::query_scalar(
        // A round that somebody opened again meanwhile stays.
        "SELECT request_id FROM requests WHERE request_id < ?2 AND job_id IN
           (SELECT job_id FROM jobs WHERE state IN (1, 2)
              AND job_id IN (SELECT value FROM json_each(?1)))
         ORDER BY request_id DESC LIMIT ?3",
    )
    .bind(jobs.to_owned())
    .bind(before)
    .bind(most)
    .fetch_all(&mut *transaction)
    .await?;
    let Some(first) = chunk.last().copied() else {
        return Ok(None);
    };
    let requests = serde_json::json!(chunk).to_string();
    let statements: &[&'static str] = match rule.only_bodies {
        true => &[
            "UPDATE pages SET segment_id = NULL, segment_offset = NULL, segment_bytes = NULL,
               original_id = NULL WHERE request_id IN (SELECT value FROM json_each(?))",
        ],
        false => &[
            "DELETE FROM pages WHERE request_id IN (SELECT value FROM json_each(?))",
            "DELETE FROM found_links WHERE request_id IN (SELECT value FROM json_each(?))",
            "DELETE FROM attempts WHERE request_id IN (SELECT value FROM json_each(?))",
            "DELETE FROM inputs WHERE request_id IN (SELECT value FROM json_each(?))",
            "DELETE FROM in_flight WHERE request_id IN (SELECT value FROM json_each(?))",
            "UPDATE skips SET parent_id = NULL WHERE parent_id IN (SELECT value FROM json_each(?))",
            // Counters follow their rows; pages and fetched tell what the round got and stay.
            "UPDATE jobs SET ready = ready - c.r, waiting = waiting - c.w, done = done - c.d,
               failed = failed - c.f, skipped = skipped - c.s
             FROM (SELECT job_id, sum(state = 0) AS r, sum(state = 4) AS w, sum(state = 2) AS d,
                     sum(state = 3) AS f, sum(state = 5) AS s
                   FROM requests WHERE request_id IN (SELECT value FROM json_each(?)) GROUP BY 1) c
             WHERE jobs.job_id = c.job_id",
            "DELETE FROM requests WHERE request_id IN (SELECT value FROM json_each(?))",
        ],
    };
    for statement in statements {
        sqlx::query(*statement)
            .bind(requests.clone())
            .execute(&mut *transaction)
            .await?;
    }
    transaction.commit().await?;
    Ok(Some((first, chunk.len() as u64)))
}

/// Removes the rounds themselves, once none of their requests is left; how many.
async fn remove_jobs(jobs: &str, connection: &mut SqliteConnection) -> Result<u64, sqlx::Error> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    let gone: Vec<i64> = sqlx::query_scalar(
        "SELECT job_id FROM jobs WHERE state IN (1, 2) AND ready + waiting + done + failed + skipped = 0
           AND job_id IN (SELECT value FROM json_each(?))",
    )
    .bind(jobs.to_owned())
    .fetch_all(&mut *transaction)
    .await?;
    let rounds = gone.len() as u64;
    let gone = serde_json::json!(gone).to_string();
    for statement in [
        "DELETE FROM skips WHERE job_id IN (SELECT value FROM json_each(?))",
        "DELETE FROM skip_counts WHERE job_id IN (SELECT value FROM json_each(?))",
        "DELETE FROM input_hosts WHERE job_id IN (SELECT value FROM json_each(?))",
        "DELETE FROM input_files WHERE job_id IN (SELECT value FROM json_each(?))",
        "DELETE FROM jobs WHERE job_id IN (SELECT value FROM json_each(?))",
    ] {
        sqlx::query(statement)
            .bind(gone.clone())
            .execute(&mut *transaction)
            .await?;
    }
    // What is known of a proxy outlives rounds, and goes with the last of its job.
    sqlx::query("DELETE FROM proxies WHERE job NOT IN (SELECT name FROM jobs)")
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(rounds)
}

#[cfg(test)]
mod tests {
    use neap_core::CanonicalUrl;

    use super::*;
    use crate::testing::job;
    use crate::{Access, Submission};

    const RULE: GcRule = GcRule {
        keep_rounds: 1,
        over_before: None,
        only_bodies: false,
    };

    /// A store with two rounds of seven done requests each, the second over; each redirects to the next.
    async fn rounds(path: &std::path::Path) -> SqliteStore {
        let store = SqliteStore::open(path, Access::Create).await.unwrap();
        for _ in 0..2 {
            let urls = (0..7).map(|n| format!("http://a.example/{n}"));
            let urls = urls.map(|url| CanonicalUrl::parse(&url).unwrap());
            let job = &job("shop");
            store.submit(Submission { job, urls }).await.unwrap();
        }
        let mut connection = store.connect().await.unwrap();
        sqlx::raw_sql(
            "UPDATE requests SET state = 2;
             UPDATE requests SET redirect_to = request_id + 1 WHERE request_id % 7 <> 0;
             INSERT INTO pages (request_id, status, fetched_ms, body_bytes)
               SELECT request_id, 301, 0, 0 FROM requests;
             UPDATE jobs SET state = 1, finished_ms = 1, done = ready, ready = 0;",
        )
        .execute(&mut connection)
        .await
        .unwrap();
        store
    }

    async fn findings(path: &std::path::Path) -> Vec<String> {
        let check = Reader::open(path).await.unwrap().check(true).await;
        let findings = check.unwrap().findings.into_iter();
        findings.map(|found| found.what).collect()
    }

    #[tokio::test]
    async fn a_gc_that_is_killed_anywhere_leaves_a_whole_store_and_goes_on_later() {
        for killed_after in [2, 4, 6, 7] {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("neap.db");
            let store = rounds(&path).await;
            assert_eq!(findings(&path).await, [""; 0]);
            let reader = Reader::open(&path).await.unwrap();
            let doomed = reader.doomed(RULE).await.unwrap();
            assert_eq!(doomed.len(), 1);
            let cut_off = {
                let (store, doomed) = (store.clone(), doomed.clone());
                tokio::spawn(async move {
                    let stop = |removed| assert!(removed < killed_after, "as a kill does");
                    store.remove_in(2, &doomed, RULE, stop).await.map(drop)
                })
            };
            assert!(cut_off.await.unwrap_err().is_panic());
            let done: i64 = sqlx::query_scalar("SELECT done FROM jobs WHERE round = 1")
                .fetch_one(reader.pool())
                .await
                .unwrap();
            assert_eq!(done, 7 - i64::try_from(killed_after).unwrap());
            assert_eq!(findings(&path).await, [""; 0], "{killed_after}");

            let left = reader.doomed(RULE).await.unwrap();
            let removed = store.remove_in(2, &left, RULE, |_| {}).await.unwrap();
            assert_eq!((removed.rounds, removed.requests), (1, 7 - killed_after));
            assert_eq!(findings(&path).await, [""; 0], "{killed_after}");
            let rest: (i64, i64) =
                sqlx::query_as("SELECT count(*), count(redirect_to) FROM requests")
                    .fetch_one(reader.pool())
                    .await
                    .unwrap();
            assert_eq!(rest, (7, 6), "the other round is as it was");
        }
    }
}
