//! Which requests are in flight?
//!
//! One small table, committed before anything is sent, so that a request which kills the process can be
//! told afterwards. The request's own row is not touched.

use std::collections::HashSet;

use neap_core::{Epoch, JobId, UnixMs};
use sqlx::SqliteConnection;

use super::{Changes, Heeded, Trouble};
use crate::batch::{Event, Lease};
use crate::values::{Args, Shape};

static READY: Shape = Shape::filled(
    "SELECT json_group_array(json_array(request_id, job_id)) FROM requests r WHERE state = 0
     AND NOT EXISTS (SELECT 1 FROM in_flight f WHERE f.request_id = r.request_id)
     AND request_id IN (",
    "?",
    ")",
);
static LEASE: Shape = Shape::filled(
    "INSERT INTO in_flight (request_id, epoch, started_ms, is_alone) SELECT * FROM (VALUES ",
    "(?,?,?,?)",
    ") WHERE column1 IS NOT NULL",
);
/// Takes requests out of flight.
pub(super) static LAND: Shape =
    Shape::filled("DELETE FROM in_flight WHERE request_id IN (", "?", ")");

/// Marks ready requests as in flight, but for those of jobs that may not be asked for any more.
pub(super) async fn lease(
    mut leases: Vec<Lease>,
    heeded: &Heeded,
    epoch: Epoch,
    now: UnixMs,
    connection: &mut SqliteConnection,
    changes: &mut Changes,
) -> Result<(), Trouble> {
    let ready = READY.fetch_json(connection, &leases, |lease, args| {
        args.int(lease.request.0);
    });
    let ready: Vec<(i64, i64)> = ready.await?;
    let mut ready: HashSet<i64> = ready
        .into_iter()
        .filter(|(_, job)| heeded.may_be_asked(JobId(*job)))
        .map(|(request, _)| request)
        .collect();
    let mut refused = Vec::new();
    // One that is asked for twice is leased once.
    leases.retain(|lease| {
        let is_ready = ready.remove(&lease.request.0);
        if !is_ready {
            refused.push(lease.request);
        }
        is_ready
    });
    let bind = |lease: &Lease, args: &mut Args| {
        args.int(lease.request.0)
            .int(epoch.0)
            .int(now.0)
            .int(i64::from(lease.is_alone));
    };
    LEASE.execute(connection, &leases, bind).await?;
    let leased = leases.iter().map(|lease| lease.request).collect();
    changes.events.push(Event::Leased { leased, refused });
    Ok(())
}
