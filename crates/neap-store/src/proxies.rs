//! How does each proxy do, and what does it fail for?
//!
//! The counters that every attempt moves, what the last run wrote about its proxies, and the failures
//! that are their fault. Whether it is still so is for [`Reader::liveness`] to say.

use std::collections::HashMap;

use neap_core::UnixMs;
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, Row};

use crate::batch::EgressName;
use crate::{Reader, StoreError};

/// How a proxy does, or the direct way as a member of a pool.
#[derive(Debug, Clone, PartialEq)]
pub struct ProxySummary {
    /// The name of its job.
    pub job: String,
    /// Its pool and its name.
    pub name: EgressName,
    /// Attempts that went through it.
    pub attempts: u64,
    /// Of these, attempts to which the host answered, whatever it said.
    pub ok: u64,
    /// Of these, attempts that failed by its fault or for our credentials for it.
    pub failures: u64,
    /// What those failed for, and then those of which nobody knows whose fault they were, each the most frequent
    /// first; of old rounds that were removed nothing is known.
    pub causes: Vec<ProxyCause>,
    /// How it stood, under which run, and when; `None` if no run has told of it yet.
    pub stands: Option<(ProxyStands, i64, UnixMs)>,
}

/// How a proxy stood.
#[derive(Debug, Clone, PartialEq)]
pub struct ProxyStands {
    /// Requests that it may have in flight.
    pub limit: f64,
    /// Requests that it had in flight.
    pub in_flight: u32,
    /// Until when it is left out, and why, in words; `None` if it is used.
    pub left_out: Option<(UnixMs, String)>,
    /// Whether nothing of its pool is used, since a proxy of it refused our credentials.
    pub is_stopped: bool,
    /// Whether the newest run of its job has it on a list.
    pub is_listed: bool,
}

/// Attempts through a proxy that failed alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxyCause {
    /// What was seen, in one word.
    pub cause: String,
    /// The status with which it refused CONNECT, if it did.
    pub connect_status: Option<u16>,
    /// Whether it is to blame; otherwise nobody knows who is.
    pub is_its_fault: bool,
    /// How many.
    pub attempts: u64,
}

/// What proxies can be sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyColumn {
    /// The name of the job.
    Job,
    /// The pool.
    Pool,
    /// `host:port`, or `direct`.
    Proxy,
    /// The limit.
    Limit,
    /// Requests in flight.
    InFlight,
    /// Attempts.
    Attempts,
    /// Share of attempts in which it did its part; the lowest first.
    OkShare,
    /// Attempts that failed by its fault.
    Failures,
    /// What these failed for; sorted by how many there are.
    FailedFor,
    /// Pool stopped, left out, used, no longer listed.
    State,
}

impl ProxyColumn {
    /// Every column, in the order in which they are shown.
    pub const ALL: [ProxyColumn; 10] = [
        ProxyColumn::Job,
        ProxyColumn::Pool,
        ProxyColumn::Proxy,
        ProxyColumn::Limit,
        ProxyColumn::InFlight,
        ProxyColumn::Attempts,
        ProxyColumn::OkShare,
        ProxyColumn::Failures,
        ProxyColumn::FailedFor,
        ProxyColumn::State,
    ];

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            ProxyColumn::Job => "job",
            ProxyColumn::Pool => "pool",
            ProxyColumn::Proxy => "proxy",
            ProxyColumn::Limit => "limit",
            ProxyColumn::InFlight => "in_flight",
            ProxyColumn::Attempts => "attempts",
            ProxyColumn::OkShare => "ok_share",
            ProxyColumn::Failures => "failures",
            ProxyColumn::FailedFor => "failed_for",
            ProxyColumn::State => "state",
        }
    }

    /// What comes first: of most columns the largest, since that is what people look for.
    const fn order(self) -> &'static str {
        match self {
            ProxyColumn::Job => "x.job",
            ProxyColumn::Pool => "x.pool",
            ProxyColumn::Proxy => "x.name",
            ProxyColumn::Limit => "x.concurrency_limit DESC",
            ProxyColumn::InFlight => "x.in_flight DESC",
            ProxyColumn::Attempts => "x.attempts DESC",
            ProxyColumn::OkShare => "x.attempts = 0, 1.0 * x.ok / x.attempts",
            ProxyColumn::Failures | ProxyColumn::FailedFor => "x.failures DESC",
            ProxyColumn::State => {
                "NOT is_listed, x.pool_is_stopped DESC, x.left_out_until_ms IS NULL, x.left_out_until_ms"
            }
        }
    }
}

impl Reader {
    /// The proxies of a job, or of all, sorted by a column and then by job, pool and name.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    pub async fn proxies(
        &self,
        job: Option<&str>,
        by: ProxyColumn,
    ) -> Result<Vec<ProxySummary>, StoreError> {
        let sql = || StoreError::sql(self.path());
        let mut causes = self.proxy_causes().await.map_err(sql())?;
        let order = by.order();
        let rows = sqlx::query(AssertSqlSafe(format!(
            "{PROXIES} ORDER BY {order}, x.job, x.pool, x.name"
        )))
        .bind(job.map(str::to_owned))
        .fetch_all(self.pool())
        .await
        .map_err(sql())?;
        let summary = |row: &SqliteRow| ProxySummary {
            causes: causes.remove(&row.get(0)).unwrap_or_default(),
            ..summary(row)
        };
        Ok(rows.iter().map(summary).collect())
    }

    /// What proxies failed for, by their number.
    async fn proxy_causes(&self) -> Result<HashMap<i64, Vec<ProxyCause>>, sqlx::Error> {
        let rows = sqlx::query(AssertSqlSafe(CAUSES))
            .fetch_all(self.pool())
            .await?;
        let mut causes: HashMap<i64, Vec<ProxyCause>> = HashMap::new();
        for row in &rows {
            causes.entry(row.get(0)).or_default().push(ProxyCause {
                cause: row.get::<Option<String>, _>(1).unwrap_or_default(),
                connect_status: row.get(2),
                is_its_fault: row.get(3),
                attempts: row.get::<i64, _>(4).unsigned_abs(),
            });
        }
        Ok(causes)
    }
}

const PROXIES: &str = "SELECT x.proxy_id, x.job, x.pool, x.name, x.attempts, x.ok, x.failures, x.seen_ms, x.epoch,
       x.concurrency_limit, x.in_flight, x.left_out_until_ms, x.left_out_why, x.pool_is_stopped,
       x.is_member AND x.epoch IS (SELECT max(y.epoch) FROM proxies y WHERE y.job = x.job) AS is_listed
     FROM proxies x WHERE ?1 IS NULL OR x.job = ?1";

/// Those that `proxies.failures` counts, and those of which nobody knows whose fault they were.
const CAUSES: &str = "SELECT proxy_id, cause, CASE WHEN connect_status >= 300 THEN connect_status END,
       fault <> 'unknown', count(*)
     FROM attempts
     WHERE fault IS NOT NULL AND proxy_id IS NOT NULL AND (fault IN ('proxy', 'unknown') OR (fault = 'own_credentials'
       AND (cause = 'proxy_auth' OR diagnosis IN ('proxy_auth', 'proxy_quota'))))
     GROUP BY 1, 2, 3, 4 ORDER BY 4 DESC, 5 DESC, 2, 3";

fn summary(row: &SqliteRow) -> ProxySummary {
    let count = |at: usize| row.get::<i64, _>(at).unsigned_abs();
    let moment = |at: usize| row.get::<Option<i64>, _>(at).map(UnixMs);
    let stands = ProxyStands {
        limit: row.get::<Option<f64>, _>(9).unwrap_or_default(),
        in_flight: row.get::<Option<u32>, _>(10).unwrap_or_default(),
        left_out: moment(11).zip(row.get(12)),
        is_stopped: row.get(13),
        is_listed: row.get(14),
    };
    ProxySummary {
        job: row.get(1),
        name: EgressName {
            pool: row.get::<String, _>(2).into(),
            proxy: row.get::<String, _>(3).into(),
        },
        attempts: count(4),
        ok: count(5),
        failures: count(6),
        causes: Vec::new(),
        stands: moment(7)
            .zip(row.get::<Option<i64>, _>(8))
            .map(|(at, epoch)| (stands, epoch, at)),
    }
}
