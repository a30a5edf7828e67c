//! How does each host do, and how did its limit go?
//!
//! What the last run wrote about its hosts every two seconds, with the counters that every attempt
//! moves. Whether it is still so is for [`Reader::liveness`] to say.

use std::time::Duration;

use neap_core::{HostId, UnixMs};
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, Row};

use crate::batch::{KEPT_CHANGES, Standing};
use crate::lock::node;
use crate::story::{TRIED, tried};
use crate::{Reader, Rows, StoreError, Tried, Value};

/// Attempts, of all hosts, that are looked through for the last ones of one host: there is no index
/// for them, since it would cost every crawl more than these few looks.
const LOOKED_THROUGH: i64 = 200_000;

/// How a host does.
#[derive(Debug, Clone, PartialEq)]
pub struct HostSummary {
    /// Its number.
    pub host: HostId,
    /// Scheme, name and port.
    pub name: String,
    /// How it stood, under which run, and when; `None` if no run has asked it anything.
    pub standing: Option<(Standing, i64, UnixMs)>,
    /// The name of the host whose limit it shares, see [`Standing::shares_limit_of`].
    pub shares_limit_with: Option<String>,
    /// Requests that can be asked for now, those in flight included.
    pub ready: u64,
    /// Requests that wait for the end of their backoff.
    pub waiting: u64,
    /// Of both, those whose job is paused.
    pub paused: u64,
    /// Requests that are answered for good.
    pub done: u64,
    /// Requests that were given up.
    pub failed: u64,
    /// Attempts at its requests.
    pub attempts: u64,
    /// Of these, attempts that brought a page, a redirect, or word that there is no such page.
    pub ok: u64,
    /// Attempts that it answered with 502 itself, or something in front of it did that belongs to it.
    pub http_502: u64,
    /// Attempts that a proxy answered with 502, to CONNECT or in its place.
    pub proxy_502: u64,
    /// Attempts that failed by a proxy's fault or for our credentials for it; no other counter but `attempts`
    /// has them.
    pub proxy_failures: u64,
    /// Attempts that were answered 503.
    pub http_503: u64,
    /// Attempts that were answered 429.
    pub http_429: u64,
    /// Attempts that ended in a timeout.
    pub timeouts: u64,
    /// The status of its robots file, and until when that is used; the status is `None` if there is no
    /// usable file.
    pub robots: Option<(Option<u16>, UnixMs)>,
}

impl HostSummary {
    /// The host whose changes of the limit are those of this one: mostly itself.
    pub fn limit_host(&self) -> HostId {
        let shared = self.standing.as_ref();
        shared
            .and_then(|(standing, ..)| standing.shares_limit_of)
            .unwrap_or(self.host)
    }
}

/// What hosts can be sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostColumn {
    /// Scheme, name and port.
    Host,
    /// The limit.
    Limit,
    /// Requests in flight.
    InFlight,
    /// Requests a second.
    Rate,
    /// Requests done.
    Done,
    /// Requests given up.
    Failed,
    /// Share of attempts that went well, of those that no proxy spoilt; the lowest first.
    OkShare,
    /// Attempts that it answered with 502.
    Http502,
    /// Attempts that a proxy answered with 502.
    Proxy502,
    /// Attempts that were answered 503.
    Http503,
    /// Attempts that were answered 429.
    Http429,
    /// Attempts that ended in a timeout.
    Timeouts,
    /// Latency to the header.
    P95,
    /// Requests that can be asked for.
    Ready,
    /// Requests that wait for the end of their backoff.
    Waiting,
    /// Given up, only probed, asked for a pause, waits for robots.txt, steady.
    State,
}

impl HostColumn {
    /// Every column, in the order in which they are shown.
    pub const ALL: [HostColumn; 16] = [
        HostColumn::Host,
        HostColumn::Limit,
        HostColumn::InFlight,
        HostColumn::Rate,
        HostColumn::Done,
        HostColumn::Failed,
        HostColumn::OkShare,
        HostColumn::Http502,
        HostColumn::Proxy502,
        HostColumn::Http503,
        HostColumn::Http429,
        HostColumn::Timeouts,
        HostColumn::P95,
        HostColumn::Ready,
        HostColumn::Waiting,
        HostColumn::State,
    ];

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            HostColumn::Host => "host",
            HostColumn::Limit => "limit",
            HostColumn::InFlight => "in_flight",
            HostColumn::Rate => "rate",
            HostColumn::Done => "done",
            HostColumn::Failed => "failed",
            HostColumn::OkShare => "ok_share",
            HostColumn::Http502 => "http_502",
            HostColumn::Proxy502 => "proxy_502",
            HostColumn::Http503 => "http_503",
            HostColumn::Http429 => "http_429",
            HostColumn::Timeouts => "timeouts",
            HostColumn::P95 => "p95_ms",
            HostColumn::Ready => "ready",
            HostColumn::Waiting => "waiting",
            HostColumn::State => "state",
        }
    }

    /// What comes first: of most columns the largest, since that is what people look for.
    const fn order(self) -> &'static str {
        match self {
            HostColumn::Host => "h.name",
            HostColumn::Limit => "h.concurrency_limit DESC",
            HostColumn::InFlight => "h.in_flight DESC",
            HostColumn::Rate => "h.requests_per_s DESC",
            HostColumn::Done => "h.done DESC",
            HostColumn::Failed => "h.failed DESC",
            HostColumn::OkShare => {
                "h.attempts = h.proxy_failures, 1.0 * h.ok / (h.attempts - h.proxy_failures)"
            }
            HostColumn::Http502 => "h.http_502 DESC",
            HostColumn::Proxy502 => "h.proxy_502 DESC",
            HostColumn::Http503 => "h.http_503 DESC",
            HostColumn::Http429 => "h.http_429 DESC",
            HostColumn::Timeouts => "h.timeouts DESC",
            HostColumn::P95 => "h.p95_us DESC",
            HostColumn::Ready => "ready DESC",
            HostColumn::Waiting => "waiting DESC",
            HostColumn::State => {
                "h.is_given_up DESC, h.only_probed_since_ms IS NULL, h.only_probed_since_ms,
                 h.held_until_ms DESC, h.waits_for_robots DESC"
            }
        }
    }
}

/// The columns of a summary, in the order in which [`summary`] reads them.
const COLUMNS: &str = "h.host_id, h.name, h.limiter_ms, h.limiter_epoch, h.concurrency_limit,
    h.in_flight, h.requests_per_s, h.p95_us, h.only_probed_since_ms, h.next_probe_ms,
    h.held_until_ms, h.is_given_up, h.waits_for_robots, h.robots_failing_since_ms,
    h.robots_next_ms, h.robots_status, h.robots_expires_ms, h.done, h.failed, h.attempts, h.ok,
    h.http_502, h.http_503, h.http_429, h.timeouts, h.shares_limit_of,
    (SELECT name FROM hosts leader WHERE leader.host_id = h.shares_limit_of),
    (SELECT count(*) FROM requests r WHERE r.state = 0 AND r.host_id = h.host_id) AS ready,
    coalesce(w.waiting, 0) AS waiting,
    CASE WHEN EXISTS (SELECT 1 FROM jobs WHERE state_name = 'paused') THEN
      (SELECT count(*) FROM requests r WHERE r.state = 0 AND r.host_id = h.host_id
       AND r.job_id IN (SELECT job_id FROM jobs WHERE state_name = 'paused')) ELSE 0 END
      + coalesce(w.paused, 0),
    h.proxy_502, h.proxy_failures
    FROM hosts h LEFT JOIN (SELECT host_id, count(*) AS waiting,
        sum(job_id IN (SELECT job_id FROM jobs WHERE state_name = 'paused')) AS paused
      FROM requests INDEXED BY requests_waiting WHERE state = 4 GROUP BY host_id) w
    ON w.host_id = h.host_id";

/// Hosts, read as they are taken.
#[derive(Debug)]
pub struct HostRows(Rows);

impl HostRows {
    /// The next host; `None` after the last.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read, after which there are no more.
    pub async fn next(&mut self) -> Result<Option<HostSummary>, StoreError> {
        Ok(self.0.next().await?.map(|row| summary(&row)))
    }
}

/// Whether a run works on the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Liveness {
    /// The newest run; 0 if there was none.
    pub epoch: i64,
    /// Whether it is still at work, as far as can be told: a run that was killed on another machine
    /// seems to be.
    pub is_running: bool,
    /// Whether it takes up every job that it finds.
    pub is_for_all: bool,
    /// When it said that it ended.
    pub ended: Option<UnixMs>,
}

/// A change of a limit that was kept.
#[derive(Debug, Clone, PartialEq)]
pub struct KeptChange {
    /// The name of the host that it is kept under: of those that share a limit, the one that led them then.
    pub host: String,
    /// Counted from 1 for each host.
    pub number: i64,
    /// The run.
    pub epoch: i64,
    /// When.
    pub at: UnixMs,
    /// The limit before, in requests in flight.
    pub before: f64,
    /// The limit after.
    pub after: f64,
    /// Why, in words.
    pub reason: String,
}

/// Attempts of a host that were answered 502, in one stretch of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadSecond {
    /// When the stretch begins.
    pub at: UnixMs,
    /// Attempts that started in it and were answered 502.
    pub answers: u64,
}

/// Attempts of a host that ended alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CauseCount {
    /// Why they brought no page, in one word; `None` if they did.
    pub cause: Option<String>,
    /// Whose doing that was, as far as it is known.
    pub culprit: Culprit,
    /// How many.
    pub attempts: u64,
}

/// Whose doing a failure was.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Culprit {
    /// Whose fault, in one word; `None` for nobody's.
    pub fault: Option<String>,
    /// Who wrote the answer, in one word; `None` if nothing is known of that.
    pub producer: Option<String>,
    /// The status with which a proxy answered CONNECT, if that was none of success.
    pub connect_status: Option<u16>,
}

impl Reader {
    /// Every host, sorted by a column and then by name.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    pub async fn hosts(&self, by: HostColumn) -> Result<HostRows, StoreError> {
        let order = by.order();
        let sql = format!("SELECT {COLUMNS} ORDER BY {order}, h.name");
        Ok(HostRows(self.query(&sql).await?))
    }

    /// One host by its whole name, such as `https://a.example:8443`.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    pub async fn host(&self, name: &str) -> Result<Option<HostSummary>, StoreError> {
        let id: Option<i64> = sqlx::query_scalar("SELECT host_id FROM hosts WHERE name = ?")
            .bind(name.to_owned())
            .fetch_optional(self.pool())
            .await
            .map_err(StoreError::sql(self.path()))?;
        let Some(id) = id else { return Ok(None) };
        let sql = format!("SELECT {COLUMNS} WHERE h.host_id = {id}");
        HostRows(self.query(&sql).await?).next().await
    }

    /// The whole names of hosts with this name, of any scheme and port; a hundred at most.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    pub async fn hosts_named(&self, name: &str) -> Result<Vec<String>, StoreError> {
        let sql = "SELECT name FROM hosts WHERE name IN ('http://' || ?1, 'https://' || ?1)
             OR substr(name, 1, length(?1) + 8) = 'http://' || ?1 || ':'
             OR substr(name, 1, length(?1) + 9) = 'https://' || ?1 || ':'
             ORDER BY name LIMIT 100";
        self.names(sqlx::query_scalar(sql).bind(name.to_owned()))
            .await
    }

    /// The names of the paused jobs that have something to ask of a host.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    pub async fn paused_jobs(&self, host: HostId) -> Result<Vec<String>, StoreError> {
        let sql = "SELECT name FROM jobs j WHERE state_name = 'paused' AND (
               EXISTS (SELECT 1 FROM requests r
                 WHERE r.state = 0 AND r.host_id = ?1 AND r.job_id = j.job_id)
               OR EXISTS (SELECT 1 FROM requests r INDEXED BY requests_waiting
                 WHERE r.state = 4 AND r.job_id = j.job_id AND r.host_id = ?1))
             ORDER BY name";
        self.names(sqlx::query_scalar(sql).bind(host.0)).await
    }

    /// The whole names of hosts, so many at most.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    pub async fn host_names(&self, most: u32) -> Result<Vec<String>, StoreError> {
        let sql = "SELECT name FROM hosts ORDER BY name LIMIT ?";
        self.names(sqlx::query_scalar(sql).bind(most)).await
    }

    /// How the limit of a host went, as far as it was kept; the oldest first. Of hosts that share a limit, the
    /// one that leads them is to be asked for ([`HostSummary::limit_host`]): what was kept under any of them is
    /// told, since another one may have led them in an earlier run. The newest [`KEPT_CHANGES`] at most.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    pub async fn limit_changes(&self, host: HostId) -> Result<Vec<KeptChange>, StoreError> {
        let rows = sqlx::query(
            "SELECT * FROM
               (SELECT number, epoch, changed_ms, limit_before, limit_after, reason, name, c.host_id
                FROM limit_changes c JOIN hosts h USING (host_id)
                WHERE c.host_id = ?1 OR h.shares_limit_of = ?1
                ORDER BY epoch DESC, changed_ms DESC, c.host_id DESC, number DESC LIMIT ?2)
             ORDER BY epoch, changed_ms, host_id, number",
        )
        .bind(host.0)
        .bind(KEPT_CHANGES)
        .fetch_all(self.pool())
        .await
        .map_err(StoreError::sql(self.path()))?;
        let change = |row: &SqliteRow| KeptChange {
            number: row.get(0),
            epoch: row.get(1),
            at: UnixMs(row.get(2)),
            before: row.get(3),
            after: row.get(4),
            reason: row.get(5),
            host: row.get(6),
        };
        Ok(rows.iter().map(change).collect())
    }

    /// The names of the hosts that share the limit of this one, which leads them, itself among them; so many
    /// at most.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    pub async fn sharing(&self, leader: HostId, most: u32) -> Result<Vec<String>, StoreError> {
        let sql = "SELECT name FROM hosts WHERE host_id = ? OR shares_limit_of = ?
             ORDER BY name LIMIT ?";
        let query = sqlx::query_scalar(sql).bind(leader.0).bind(leader.0);
        self.names(query.bind(most)).await
    }

    /// How often a host, or one that shares its limit, itself answered 502 between two moments, in stretches of `step_ms` (1 and up) from the
    /// first moment on; stretches without any are left out.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    pub async fn bad_gateways(
        &self,
        host: HostId,
        from: UnixMs,
        to: UnixMs,
        step_ms: i64,
    ) -> Result<Vec<BadSecond>, StoreError> {
        let rows = sqlx::query(
            "SELECT (started_ms - ?2) / ?4 AS step, count(*) FROM attempts
             WHERE fault IN ('host', 'unknown') AND cause = 'http_502' AND producer IS NOT 'forward_proxy'
               AND host_id IN (SELECT host_id FROM hosts WHERE host_id = ?1 OR shares_limit_of = ?1)
               AND started_ms BETWEEN ?2 AND ?3
             GROUP BY step ORDER BY step",
        )
        .bind(host.0)
        .bind(from.0)
        .bind(to.0)
        .bind(step_ms.max(1))
        .fetch_all(self.pool())
        .await
        .map_err(StoreError::sql(self.path()))?;
        let stretch = |row: &SqliteRow| BadSecond {
            at: UnixMs(from.0 + row.get::<i64, _>(0) * step_ms.max(1)),
            answers: row.get::<i64, _>(1).unsigned_abs(),
        };
        Ok(rows.iter().map(stretch).collect())
    }

    /// How the last attempts of a host ended, `most` at most, the most frequent end first. Attempts that
    /// lie far back are not looked for.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    pub async fn last_causes(
        &self,
        host: HostId,
        most: u32,
    ) -> Result<Vec<CauseCount>, StoreError> {
        let rows = sqlx::query(
            "SELECT cause, count(*), fault, producer, refused FROM (
                 SELECT cause, fault, iif(cause IS NULL, NULL, producer) AS producer,
                   CASE WHEN connect_status >= 300 THEN connect_status END AS refused
                 FROM (SELECT * FROM attempts ORDER BY attempt_id DESC LIMIT ?3)
                 WHERE host_id = ?1 ORDER BY attempt_id DESC LIMIT ?2)
             GROUP BY cause, fault, producer, refused ORDER BY 2 DESC, 1, 3, 4, 5",
        )
        .bind(host.0)
        .bind(most)
        .bind(LOOKED_THROUGH)
        .fetch_all(self.pool())
        .await
        .map_err(StoreError::sql(self.path()))?;
        let count = |row: &SqliteRow| CauseCount {
            cause: row.get(0),
            attempts: row.get::<i64, _>(1).unsigned_abs(),
            culprit: Culprit {
                fault: row.get(2),
                producer: row.get(3),
                connect_status: row.get(4),
            },
        };
        Ok(rows.iter().map(count).collect())
    }

    /// The last attempt of a host that somebody is to blame for.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    pub async fn last_failure(&self, host: HostId) -> Result<Option<Tried>, StoreError> {
        let sql = format!(
            "SELECT {TRIED} WHERE a.attempt_id =
               (SELECT max(attempt_id) FROM attempts WHERE host_id = ? AND fault IS NOT NULL)"
        );
        let row = sqlx::query(AssertSqlSafe(sql))
            .bind(host.0)
            .fetch_optional(self.pool())
            .await
            .map_err(StoreError::sql(self.path()))?;
        Ok(row.as_ref().map(tried))
    }

    /// Whether a run works on the store.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    pub async fn liveness(&self) -> Result<Liveness, StoreError> {
        let row = sqlx::query(
            "SELECT epoch, node, pid, ended_ms, ending, is_for_all FROM runs
             ORDER BY epoch DESC LIMIT 1",
        )
        .fetch_optional(self.pool())
        .await
        .map_err(StoreError::sql(self.path()))?;
        let Some(row) = row else {
            return Ok(Liveness {
                epoch: 0,
                is_running: false,
                is_for_all: false,
                ended: None,
            });
        };
        let has_ended =
            row.get::<Option<i64>, _>(3).is_some() || row.get::<Option<&str>, _>(4).is_some();
        Ok(Liveness {
            epoch: row.get(0),
            is_running: !has_ended && !is_dead(row.get(1), row.get(2)),
            is_for_all: row.get(5),
            ended: row.get::<Option<i64>, _>(3).map(UnixMs),
        })
    }

    async fn names<'q>(
        &self,
        query: sqlx::query::QueryScalar<'q, sqlx::Sqlite, String, sqlx::sqlite::SqliteArguments>,
    ) -> Result<Vec<String>, StoreError> {
        query
            .fetch_all(self.pool())
            .await
            .map_err(StoreError::sql(self.path()))
    }
}

/// Whether a process of this machine is surely gone. Its lock would tell as well, but whoever tries
/// a lock keeps others from it for that moment.
fn is_dead(on: &str, pid: i64) -> bool {
    let processes = std::path::Path::new("/proc/self");
    on == node() && processes.exists() && !processes.with_file_name(pid.to_string()).exists()
}

fn summary(row: &[Value]) -> HostSummary {
    let whole = |at: usize| match row.get(at) {
        Some(Value::Integer(number)) => Some(*number),
        Some(Value::Real(_) | Value::Text(_) | Value::Blob(_) | Value::Null) | None => None,
    };
    let real = |at: usize| match row.get(at) {
        Some(Value::Real(number)) => *number,
        Some(Value::Integer(_) | Value::Text(_) | Value::Blob(_) | Value::Null) | None => 0.0,
    };
    let count = |at: usize| whole(at).unwrap_or(0).unsigned_abs();
    let moment = |at: usize| whole(at).map(UnixMs);
    let standing = Standing {
        limit: real(4),
        shares_limit_of: whole(25).map(HostId),
        in_flight: u32::try_from(count(5)).unwrap_or(u32::MAX),
        requests_per_s: real(6),
        p95: whole(7).map(|us| Duration::from_micros(us.unsigned_abs())),
        only_probed: moment(8).zip(moment(9)),
        held_until: moment(10),
        is_given_up: count(11) == 1,
        waits_for_robots: count(12) == 1,
        robots_failing: moment(13).zip(moment(14)),
    };
    let text = |at: usize| match row.get(at) {
        Some(Value::Text(text)) => Some(text.clone()),
        Some(Value::Real(_) | Value::Integer(_) | Value::Blob(_) | Value::Null) | None => None,
    };
    let robots_status = whole(15).and_then(|status| u16::try_from(status).ok());
    HostSummary {
        host: HostId(whole(0).unwrap_or(0)),
        name: text(1).unwrap_or_default(),
        shares_limit_with: text(26),
        standing: moment(2)
            .zip(whole(3))
            .map(|(at, epoch)| (standing, epoch, at)),
        robots: moment(16).map(|expires| (robots_status, expires)),
        done: count(17),
        failed: count(18),
        attempts: count(19),
        ok: count(20),
        http_502: count(21),
        http_503: count(22),
        http_429: count(23),
        timeouts: count(24),
        ready: count(27),
        waiting: count(28),
        paused: count(29),
        proxy_502: count(30),
        proxy_failures: count(31),
    }
}
