//! What failed, whose fault was it, and what did it cost?
//!
//! Failed attempts of the newest rounds, grouped by what is asked for. Requests that were given up without
//! an attempt that somebody is to blame for, since their host was, are counted with them.

use neap_core::UnixMs;
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, Row};

use crate::{Reader, StoreError};

/// What failures are grouped by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlameBy {
    /// What was seen, in one word; with the status if a proxy refused CONNECT.
    Cause,
    /// The host.
    Host,
    /// The pool and the proxy.
    Proxy,
    /// The status that was answered, by the host, in its place or to CONNECT.
    Status,
}

impl BlameBy {
    /// Every one.
    pub const ALL: [BlameBy; 4] = [
        BlameBy::Cause,
        BlameBy::Host,
        BlameBy::Proxy,
        BlameBy::Status,
    ];

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            BlameBy::Cause => "cause",
            BlameBy::Host => "host",
            BlameBy::Proxy => "proxy",
            BlameBy::Status => "status",
        }
    }

    /// What rows of `failed` have in common.
    const fn key(self) -> &'static str {
        match self {
            BlameBy::Cause => "coalesce(f.cause || ' (CONNECT ' || f.refused || ')', f.cause, '')",
            BlameBy::Host => "(SELECT h.name FROM hosts h WHERE h.host_id = f.host_id)",
            BlameBy::Proxy => {
                "coalesce((SELECT x.pool || '/' || x.name FROM proxies x WHERE x.proxy_id = f.proxy_id), '')"
            }
            BlameBy::Status => "coalesce('CONNECT ' || f.refused, CAST(f.status AS TEXT), '')",
        }
    }
}

/// Failures that have something in common.
#[derive(Debug, Clone, PartialEq)]
pub struct Blamed {
    /// What they have in common; empty for no proxy, no answer or no cause.
    pub key: String,
    /// Attempts that failed.
    pub attempts: u64,
    /// Requests that were given up, whatever for in the end, and had such a failure.
    pub pages_lost: u64,
    /// Hosts that they were to reach.
    pub hosts: u64,
    /// Whose fault they were.
    pub faults: Faults,
    /// When the last such attempt began; `None` if there was no attempt.
    pub last: Option<UnixMs>,
    /// What most of them are; of those of whom nobody knows whose fault they were, a third counts.
    pub mostly: Mostly,
}

/// How many failures are whose fault; a request that was given up without an attempt counts as one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Faults {
    /// The host's, or of something in front of it that belongs to it.
    pub host: u64,
    /// The proxy's.
    pub proxy: u64,
    /// Ours: credentials, machine, network.
    pub own: u64,
    /// Nobody's.
    pub nobody: u64,
    /// Nobody knows whose.
    pub unknown: u64,
}

/// What most failures of a group are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mostly {
    /// Whose fault, in one word.
    pub fault: String,
    /// What was seen, in one word.
    pub cause: Option<String>,
    /// What it means, in one word.
    pub diagnosis: Option<String>,
    /// Whether they went through a proxy.
    pub has_proxy: bool,
    /// The host that most of all failures of the group were to reach.
    pub host: String,
}

impl Reader {
    /// What failed in the newest round of a job, or of each, what cost most pages first; `most` groups at most.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    pub async fn blame(
        &self,
        job: Option<&str>,
        by: BlameBy,
        most: u32,
    ) -> Result<Vec<Blamed>, StoreError> {
        let rows = sqlx::query(AssertSqlSafe(grouped(by)))
            .bind(job.map(str::to_owned))
            .bind(most)
            .fetch_all(self.pool())
            .await
            .map_err(StoreError::sql(self.path()))?;
        Ok(rows.iter().map(blamed).collect())
    }
}

/// Times that a failure tells more of what is to be done if it is known whose fault it was.
const KNOWN: u32 = 3;

/// Every failure, read once: attempts that somebody is to blame for, and requests that were given up without one. A weight
/// says how many attempts it is, or one for a request that was not attempted.
const FAILED: &str = "meant (job_id) AS
       (SELECT max(job_id) FROM jobs WHERE ?1 IS NULL OR name = ?1 GROUP BY name),
     failed AS MATERIALIZED (
       SELECT a.request_id, a.host_id, a.proxy_id, a.fault, a.cause, a.diagnosis, a.status,
         CASE WHEN a.connect_status >= 300 THEN a.connect_status END AS refused, a.started_ms,
         r.state = 3 AS is_lost, 1 AS attempts, 1 AS weight
       FROM attempts a CROSS JOIN requests r ON r.request_id = a.request_id
       WHERE a.fault IS NOT NULL AND r.job_id IN (SELECT job_id FROM meant)
       UNION ALL
       SELECT r.request_id, r.host_id, NULL,
         iif(r.cause IN ('host_given_up', 'too_many_redirects', 'dns_not_found',
           'private_address', 'tls_certificate'), 'host', 'nobody'), r.cause, NULL, NULL, NULL, NULL,
         1, n, max(n, 1)
       FROM (SELECT *, earlier + attempts + deferrals + lost AS n FROM requests WHERE state = 3) r
       WHERE r.job_id IN (SELECT job_id FROM meant) AND NOT EXISTS
         (SELECT 1 FROM attempts a WHERE a.request_id = r.request_id AND a.fault IS NOT NULL))";

fn grouped(by: BlameBy) -> String {
    let key = by.key();
    // Of a maximum's row SQLite gives the other columns too: of most failures the kind and the place.
    format!(
        "WITH {FAILED},
         groups AS (
           SELECT {key} AS key, sum(attempts) AS attempts,
             count(DISTINCT CASE WHEN is_lost THEN request_id END) AS pages_lost,
             count(DISTINCT host_id) AS hosts, max(started_ms) AS last_ms,
             sum(iif(fault = 'host', weight, 0)) AS by_host, sum(iif(fault = 'proxy', weight, 0)) AS by_proxy,
             sum(iif(fault IN ('own_credentials', 'own_network'), weight, 0)) AS by_us,
             sum(iif(fault = 'nobody', weight, 0)) AS by_nobody, sum(weight) AS weight
           FROM failed f GROUP BY 1 ORDER BY pages_lost DESC, attempts DESC, 1 LIMIT ?2),
         kinds AS (
           SELECT key, fault, cause, diagnosis, has_proxy, max(n) FROM
             (SELECT {key} AS key, fault, cause, diagnosis, proxy_id IS NOT NULL AS has_proxy,
                sum(weight) * iif(fault = 'unknown', 1, {KNOWN}) AS n
              FROM failed f GROUP BY 1, 2, 3, 4, 5) GROUP BY key),
         places AS (
           SELECT key, host_id, max(n) FROM
             (SELECT {key} AS key, host_id, sum(weight) AS n FROM failed f GROUP BY 1, 2) GROUP BY key)
         SELECT g.key, g.attempts, pages_lost, hosts, last_ms, by_host, by_proxy, by_us, by_nobody,
           g.weight - by_host - by_proxy - by_us - by_nobody, fault, cause, diagnosis, has_proxy, h.name
         FROM groups g JOIN kinds USING (key) JOIN places p USING (key) LEFT JOIN hosts h ON h.host_id = p.host_id
         ORDER BY pages_lost DESC, g.attempts DESC, g.key"
    )
}

fn blamed(row: &SqliteRow) -> Blamed {
    let count = |at: usize| row.get::<i64, _>(at).unsigned_abs();
    Blamed {
        key: row.get::<Option<String>, _>(0).unwrap_or_default(),
        attempts: count(1),
        pages_lost: count(2),
        hosts: count(3),
        last: row.get::<Option<i64>, _>(4).map(UnixMs),
        faults: Faults {
            host: count(5),
            proxy: count(6),
            own: count(7),
            nobody: count(8),
            unknown: count(9),
        },
        mostly: Mostly {
            fault: row.get(10),
            cause: row.get(11),
            diagnosis: row.get(12),
            has_proxy: row.get(13),
            host: row.get::<Option<String>, _>(14).unwrap_or_default(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Access, SqliteStore};

    #[tokio::test]
    async fn only_what_failed_is_looked_through() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("neap.db");
        let store = SqliteStore::open(&path, Access::Create).await.unwrap();
        let mut connection = store.connect().await.unwrap();
        for by in BlameBy::ALL {
            let plan = format!("EXPLAIN QUERY PLAN {}", grouped(by));
            let plan = sqlx::query(AssertSqlSafe(plan)).fetch_all(&mut connection);
            let plan = plan.await.unwrap();
            let steps: Vec<&str> = plan.iter().map(|row| row.get(3)).collect();
            let scans = |what: &str| steps.iter().filter(|step| step.starts_with(what)).count();
            assert_eq!(
                scans("SCAN a USING INDEX attempts_at_fault"),
                1,
                "{steps:#?}"
            );
            assert_eq!(
                scans("SCAN requests USING INDEX requests_failed"),
                1,
                "{steps:#?}"
            );
            assert_eq!((scans("SCAN a"), scans("SCAN r")), (1, 1), "{steps:#?}");
        }
    }
}
