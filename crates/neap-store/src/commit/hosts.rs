//! What is remembered of a host?
//!
//! What its limiter learned and what its robots file said, so that a resumed crawl need not find out again;
//! and how it stands, so that people can see it while the crawl runs.

use std::collections::{HashMap, HashSet};

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

static LOAD: Shape = Shape::filled(
    "SELECT json_group_array(json_array(host_id, name, json(limiter), limiter_ms, robots_status,
       robots_fetched_ms, robots_expires_ms, robots_body IS NOT NULL)) FROM hosts WHERE host_id IN (",
    "?",
    ")",
);
/// What [`LOAD`] brings of each host.
type Loaded = (
    i64,
    String,
    Option<serde_json::Value>,
    Option<i64>,
    Option<u16>,
    Option<i64>,
    Option<i64>,
    i64,
);
/// Files may be long and are no text: they come by themselves.
static LOAD_ROBOTS: Shape = Shape::filled(
    "SELECT host_id, robots_body FROM hosts WHERE host_id IN (",
    "?",
    ")",
);

/// Reads what is known of hosts.
pub(super) async fn load(
    hosts: &[HostId],
    connection: &mut SqliteConnection,
    changes: &mut Changes,
) -> Result<(), Trouble> {
    let bind = |host: &HostId, args: &mut Args| {
        args.int(host.0);
    };
    let loaded: Vec<Loaded> = LOAD.fetch_json(connection, hosts, bind).await?;
    let mut left: HashSet<HostId> = hosts.iter().copied().collect();
    let with_file = loaded.iter().filter(|host| host.7 != 0);
    let with_file: Vec<HostId> = with_file.map(|host| HostId(host.0)).collect();
    let files = LOAD_ROBOTS.fetch(connection, &with_file, bind).await?;
    let mut files: HashMap<i64, Vec<u8>> =
        files.iter().map(|row| (row.get(0), row.get(1))).collect();
    for (host, name, limiter, limiter_ms, status, fetched, expires, _) in loaded {
        let robots = fetched.zip(expires).map(|(fetched, expires)| RobotsAnswer {
            host: HostId(host),
            status,
            body: files.remove(&host),
            fetched: UnixMs(fetched),
            expires: UnixMs(expires),
        });
        left.remove(&HostId(host));
        changes.events.push(Event::Host(HostRow {
            host: HostId(host),
            name: parse_host(&name)?,
            limiter: limiter.zip(limiter_ms.map(UnixMs)),
            robots,
        }));
    }
    match left.into_iter().next() {
        None => Ok(()),
        Some(host) => Err(StoreError::Unexpected(format!("there is no host {host}")).into()),
    }
}
