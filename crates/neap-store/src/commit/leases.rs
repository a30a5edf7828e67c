//! Which requests are in flight?
//!
//! One small table, committed before anything is sent, so that a request which kills the process can be
//! told afterwards. The request's own row is not touched.

use std::collections::HashSet;

use neap_core::{Epoch, RequestId, UnixMs};
use sqlx::{Row, SqliteConnection};

use super::{Changes, Trouble};
use crate::batch::{Event, Lease};
use crate::values::Shape;

static LEASE: Shape = Shape::new(
    "WITH v (id, epoch, started, alone) AS (VALUES ",
    "(?,?,?,?)",
    ") INSERT INTO in_flight (request_id, epoch, started_ms, is_alone)
     SELECT v.id, v.epoch, v.started, v.alone FROM v JOIN requests r ON r.request_id = v.id
     WHERE r.state = 0 ON CONFLICT DO NOTHING RETURNING request_id",
);
static LAND: Shape = Shape::new(
    "DELETE FROM in_flight WHERE (request_id, epoch) IN (VALUES ",
    "(?,?)",
    ")",
);

/// Marks ready requests as in flight.
pub(super) async fn lease(
    leases: &[Lease],
    epoch: Epoch,
    now: UnixMs,
    connection: &mut SqliteConnection,
    changes: &mut Changes,
) -> Result<(), Trouble> {
    let rows = LEASE.fetch(connection, leases, |lease, args| {
        args.int(lease.request.0)
            .int(epoch.0)
            .int(now.0)
            .int(i64::from(lease.is_alone));
    });
    let leased: HashSet<RequestId> = rows
        .await?
        .iter()
        .map(|row| RequestId(row.get(0)))
        .collect();
    let asked = leases.iter().map(|lease| lease.request);
    let (leased, refused) = asked.partition(|request| leased.contains(request));
    changes.events.push(Event::Leased { leased, refused });
    Ok(())
}

/// Takes requests of this run out of flight.
pub(super) async fn land(
    requests: &[RequestId],
    epoch: Epoch,
    connection: &mut SqliteConnection,
) -> Result<(), sqlx::Error> {
    LAND.execute(connection, requests, |request, args| {
        args.int(request.0).int(epoch.0);
    })
    .await?;
    Ok(())
}
