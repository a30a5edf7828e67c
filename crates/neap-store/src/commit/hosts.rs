//! What is remembered of a host?
//!
//! What its limiter learned and what its robots file said, so that a resumed crawl need not find out again;
//! and how it stands, so that people can see it while the crawl runs.

use neap_core::{Epoch, HostId, UnixMs};
use sqlx::{Row, SqliteConnection};

use super::records::micros;
use super::refill::parse_host;
use super::{Changes, Trouble};
use crate::StoreError;
use crate::batch::{Event, HostMemory, HostRow, RobotsAnswer};
use crate::values::{Args, Shape};

static UPDATE_MEMORY: Shape = Shape::new(
    "WITH v (id, epoch, limiter, at, lim, in_flight, rate, p95, down, probe, held, given_up, waits,
     failing, next, shares) AS (VALUES ",
    "(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
    // Not a single answer in this run says nothing about the last run's.
    ") UPDATE hosts SET limiter = v.limiter, limiter_ms = v.at, limiter_epoch = v.epoch,
     concurrency_limit = v.lim, in_flight = v.in_flight, requests_per_s = v.rate,
     p95_us = coalesce(v.p95, p95_us), only_probed_since_ms = v.down, next_probe_ms = v.probe,
     held_until_ms = v.held, is_given_up = v.given_up, waits_for_robots = v.waits,
     robots_failing_since_ms = v.failing, robots_next_ms = v.next,
     shares_limit_of = v.shares
     FROM v WHERE hosts.host_id = v.id",
);

/// Keeps how hosts stand and what their limiters learned.
pub(super) async fn keep_memory(
    memories: &[HostMemory],
    epoch: Epoch,
    connection: &mut SqliteConnection,
) -> Result<(), Trouble> {
    let bind = |memory: &HostMemory, args: &mut Args| {
        let standing = &memory.standing;
        args.int(memory.host.0).int(epoch.0);
        args.text(&memory.limiter.to_string()).int(memory.at.0);
        args.real(standing.limit)
            .int(i64::from(standing.in_flight))
            .real(standing.requests_per_s);
        args.maybe_int(standing.p95.map(micros));
        bind_span(standing.only_probed, args);
        args.maybe_int(standing.held_until.map(|at| at.0))
            .int(i64::from(standing.is_given_up))
            .int(i64::from(standing.waits_for_robots));
        bind_span(standing.robots_failing, args);
        args.maybe_int(standing.shares_limit_of.map(|host| host.0));
    };
    UPDATE_MEMORY.execute(connection, memories, bind).await?;
    Ok(())
}

fn bind_span(span: Option<(UnixMs, UnixMs)>, args: &mut Args) {
    args.maybe_int(span.map(|(since, _)| since.0))
        .maybe_int(span.map(|(_, next)| next.0));
}

/// Keeps a robots answer.
pub(super) async fn keep_robots(
    answer: &RobotsAnswer,
    connection: &mut SqliteConnection,
) -> Result<(), Trouble> {
    sqlx::query(
        "UPDATE hosts SET robots_status = ?, robots_body = ?, robots_fetched_ms = ?,
         robots_expires_ms = ? WHERE host_id = ?",
    )
    .bind(answer.status)
    .bind(answer.body.clone())
    .bind(answer.fetched.0)
    .bind(answer.expires.0)
    .bind(answer.host.0)
    .execute(connection)
    .await?;
    Ok(())
}

/// Reads what is known of a host.
pub(super) async fn load(
    host: HostId,
    connection: &mut SqliteConnection,
    changes: &mut Changes,
) -> Result<(), Trouble> {
    let row = sqlx::query(
        "SELECT name, limiter, limiter_ms, robots_status, robots_body, robots_fetched_ms,
         robots_expires_ms FROM hosts WHERE host_id = ?",
    )
    .bind(host.0)
    .fetch_optional(connection)
    .await?;
    let row = row.ok_or_else(|| StoreError::Unexpected(format!("there is no host {host}")))?;
    let moment = |at: usize| row.get::<Option<i64>, _>(at).map(UnixMs);
    let limiter = row
        .get::<Option<&str>, _>(1)
        .map(serde_json::from_str)
        .transpose();
    let limiter = limiter
        .map_err(|error| StoreError::Unexpected(format!("the limiter of host {host}: {error}")))?;
    let robots = moment(5)
        .zip(moment(6))
        .map(|(fetched, expires)| RobotsAnswer {
            host,
            status: row.get(3),
            body: row.get(4),
            fetched,
            expires,
        });
    let name = parse_host(row.get(0))?;
    changes.events.push(Event::Host(HostRow {
        host,
        name,
        limiter: limiter.zip(moment(2)),
        robots,
    }));
    Ok(())
}
