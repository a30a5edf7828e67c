//! May this be written at all?
//!
//! A run writes as long as it is the newest, and records only what it has in flight itself. What
//! comes too late changes nothing.

use std::collections::HashMap;

use neap_core::{Epoch, HostId, JobId, RequestId};
use sqlx::SqliteConnection;

use super::{State, Trouble};
use crate::StoreError;
use crate::batch::Record;
use crate::values::Shape;

/// A request that is in flight under this run, as it is before the attempt is recorded.
pub(super) struct InFlight {
    pub(super) job: JobId,
    pub(super) host: HostId,
    pub(super) state: State,
    pub(super) priority: i32,
    pub(super) depth: u32,
    pub(super) hops: u32,
}

/// Refuses to write for a run that another one has superseded. How many changes others made so far.
pub(super) async fn check_epoch(
    epoch: Epoch,
    connection: &mut SqliteConnection,
) -> Result<i64, Trouble> {
    let (newest, changes): (i64, i64) =
        sqlx::query_as("SELECT coalesce(max(epoch), 0), (SELECT changes FROM controls) FROM runs")
            .fetch_one(connection)
            .await?;
    if newest == epoch.0 {
        return Ok(changes);
    }
    Err(StoreError::Superseded {
        epoch: epoch.0,
        newest,
    }
    .into())
}

static SELECT: Shape = Shape::filled(
    "SELECT json_group_array(json_array(f.request_id, f.epoch, r.job_id, r.host_id, r.state, r.priority,
       r.depth, r.hops))
     FROM in_flight f JOIN requests r ON r.request_id = f.request_id
     WHERE r.state IN (0, 4) AND f.request_id IN (",
    "?",
    ")",
);

/// Which of the records' requests are open and in flight under this run.
pub(super) async fn in_flight(
    records: &[Record],
    epoch: Epoch,
    connection: &mut SqliteConnection,
) -> Result<HashMap<RequestId, InFlight>, sqlx::Error> {
    type Row = (i64, i64, i64, i64, i64, i32, u32, u32);
    let rows = SELECT.fetch_json(connection, records, |record, args| {
        args.int(record.request.0);
    });
    let rows: Vec<Row> = rows.await?;
    let ours = rows.into_iter().filter(|row| row.1 == epoch.0);
    let found = ours.map(|(request, _, job, host, state, priority, depth, hops)| {
        let found = InFlight {
            job: JobId(job),
            host: HostId(host),
            state: if state == 4 {
                State::Waiting
            } else {
                State::Ready
            },
            priority,
            depth,
            hops,
        };
        (RequestId(request), found)
    });
    Ok(found.collect())
}
