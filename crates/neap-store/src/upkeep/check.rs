//! Is everything in the store as it must be?
//!
//! SQLite's own checks, then neap's: counters against the rows that they count, states against pages, and
//! the committed ranges of the segment files. Each statement sees one moment of its own, so that a
//! check of hours keeps no run's log from being emptied.

use sqlx::{Row, SqlitePool};

use super::segments;
use crate::{Reader, StoreError};

/// Findings that are told; the others are counted.
const TOLD: usize = 100;

/// Something that is not as it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Whether something is lost or wrong. Otherwise it is what a kill leaves, and the next run clears
    /// it away, or what a copy has lost with its original.
    pub is_damage: bool,
    /// What it is, and where.
    pub what: String,
}

/// What a check looked at and found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Check {
    /// The first hundred findings.
    pub findings: Vec<Finding>,
    /// Findings that are damage, those that are not told included.
    pub damages: u64,
    /// Rounds of jobs whose counters were compared with their rows.
    pub rounds: u64,
    /// Segment files whose length was compared with what is committed.
    pub segments: u64,
    /// Records of bodies that were read and compared with their digests.
    pub bodies: u64,
}

impl Check {
    pub(super) fn damage(&mut self, what: impl Into<String>) {
        self.damages += 1;
        self.note(true, what.into());
    }

    pub(super) fn leftover(&mut self, what: impl Into<String>) {
        self.note(false, what.into());
    }

    fn note(&mut self, is_damage: bool, what: String) {
        if self.findings.len() < TOLD {
            self.findings.push(Finding { is_damage, what });
        }
    }
}

impl Reader {
    /// Looks through the store, and with `with_bodies` reads every stored body.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read at all; what is wrong in it is a finding.
    pub async fn check(&self, with_bodies: bool) -> Result<Check, StoreError> {
        let mut check = Check::default();
        let is_readable = integrity(self.pool(), &mut check)
            .await
            .map_err(StoreError::sql(self.path()))?;
        // Counting in a file whose pages are torn tells nothing that is to be trusted.
        if is_readable {
            self.check_rows(&mut check).await?;
            segments::check(self, with_bodies, &mut check).await?;
        }
        Ok(check)
    }

    async fn check_rows(&self, check: &mut Check) -> Result<(), StoreError> {
        let sql = || StoreError::sql(self.path());
        foreign_keys(self.pool(), check).await.map_err(sql())?;
        check.rounds = count(self.pool(), "SELECT count(*) FROM jobs")
            .await
            .map_err(sql())?;
        for (what, query) in RULES {
            let rows = sqlx::query(query)
                .fetch_all(self.pool())
                .await
                .map_err(sql())?;
            for row in rows {
                check.damage(format!("{what} {}", row.get::<String, _>(0)));
            }
        }
        Ok(())
    }
}

/// SQLite's own check; whether what it found leaves the tables readable.
async fn integrity(pool: &SqlitePool, check: &mut Check) -> Result<bool, sqlx::Error> {
    let rows = sqlx::query("PRAGMA integrity_check(100)")
        .fetch_all(pool)
        .await?;
    let before = check.damages;
    for row in &rows {
        let said: &str = row.get(0);
        if said != "ok" {
            check.damage(format!("SQLite says: {said}"));
        }
    }
    Ok(check.damages == before)
}

async fn foreign_keys(pool: &SqlitePool, check: &mut Check) -> Result<(), sqlx::Error> {
    let rows = sqlx::query(
        // A job that is being submitted has its rows before its own, which is no damage.
        "SELECT k.\"table\", k.parent, count(*) FROM pragma_foreign_key_check k
         WHERE k.parent <> 'jobs' OR NOT EXISTS (SELECT 1 FROM drafts)
           OR (k.\"table\" = 'requests' AND (SELECT job_id FROM requests WHERE request_id = k.rowid)
                NOT IN (SELECT job_id FROM drafts))
         GROUP BY 1, 2",
    )
    .fetch_all(pool)
    .await?;
    for row in rows {
        let (table, parent, rows): (&str, &str, i64) = (row.get(0), row.get(1), row.get(2));
        check.damage(format!(
            "{rows} rows of {table} refer to rows of {parent} that are not there"
        ));
    }
    Ok(())
}

pub(super) async fn count(pool: &SqlitePool, sql: &'static str) -> Result<u64, sqlx::Error> {
    let rows: i64 = sqlx::query_scalar(sql).fetch_one(pool).await?;
    Ok(rows.unsigned_abs())
}

/// What never may be found; each row says where it was.
const RULES: [(&str, &str); 5] = [
    (
        "counters differ from the rows of",
        "SELECT j.name || ', round ' || j.round || ': ready ' || j.ready || ' and ' || ifnull(r, 0)
           || ', waiting ' || j.waiting || ' and ' || ifnull(w, 0)
           || ', done ' || j.done || ' and ' || ifnull(d, 0)
           || ', failed ' || j.failed || ' and ' || ifnull(f, 0)
           || ', skipped ' || j.skipped || ' and ' || ifnull(s, 0)
         FROM jobs j LEFT JOIN
           (SELECT job_id, sum(state = 0) AS r, sum(state = 4) AS w, sum(state = 2) AS d,
              sum(state = 3) AS f, sum(state = 5) AS s FROM requests GROUP BY job_id) c
           USING (job_id)
         WHERE (j.ready, j.waiting, j.done, j.failed, j.skipped)
           IS NOT (ifnull(r, 0), ifnull(w, 0), ifnull(d, 0), ifnull(f, 0), ifnull(s, 0))",
    ),
    (
        "the count of links that were not asked for differs from their rows:",
        "SELECT j.name || ', round ' || j.round || ', reason ' || c.reason || ': ' || c.kept || ' and '
           || ifnull(n, 0)
         FROM skip_counts c JOIN jobs j USING (job_id) LEFT JOIN
           (SELECT job_id, reason, count(*) AS n FROM skips GROUP BY 1, 2) s
           ON s.job_id = c.job_id AND s.reason = c.reason
         WHERE c.kept <> ifnull(n, 0)",
    ),
    (
        "open requests that have a page already:",
        "SELECT count(*) || ' of ' || j.name || ', round ' || j.round || ', such as ' || min(r.url)
         FROM pages p JOIN requests r USING (request_id) JOIN jobs j USING (job_id)
         WHERE r.state IN (0, 4) GROUP BY j.job_id",
    ),
    (
        "done requests that have no page:",
        "SELECT count(*) || ' of ' || j.name || ', round ' || j.round || ', such as ' || min(r.url)
         FROM requests r JOIN jobs j USING (job_id)
         WHERE r.state = 2 AND NOT EXISTS (SELECT 1 FROM pages p WHERE p.request_id = r.request_id)
         GROUP BY j.job_id",
    ),
    (
        "finished rounds with open requests:",
        "SELECT name || ', round ' || round FROM jobs WHERE state = 1 AND ready + waiting > 0",
    ),
];
