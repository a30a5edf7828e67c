//! What is remembered of a host?
//!
//! What its limiter learned and what its robots file said, so that a resumed crawl need not find out again.

use neap_core::{HostId, UnixMs};
use sqlx::{Row, SqliteConnection};

use super::refill::parse_host;
use super::{Changes, Trouble};
use crate::StoreError;
use crate::batch::{Event, HostRow, RobotsAnswer};
use crate::values::Shape;

static UPDATE_MEMORY: Shape = Shape::new(
    "WITH v (id, limiter, at) AS (VALUES ",
    "(?,?,?)",
    ") UPDATE hosts SET limiter = v.limiter, limiter_ms = v.at FROM v WHERE hosts.host_id = v.id",
);

/// Keeps what the limiter learned.
pub(super) async fn keep_memory(
    memories: &[(HostId, serde_json::Value, UnixMs)],
    connection: &mut SqliteConnection,
) -> Result<(), Trouble> {
    UPDATE_MEMORY
        .execute(connection, memories, |(host, limiter, at), args| {
            args.int(host.0).text(&limiter.to_string()).int(at.0);
        })
        .await?;
    Ok(())
}

/// Keeps a robots answer.
pub(super) async fn keep_robots(
    answer: &RobotsAnswer,
    connection: &mut SqliteConnection,
    changes: &mut Changes,
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
    changes.events.push(Event::RobotsKept(answer.host));
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
