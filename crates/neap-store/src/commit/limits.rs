//! How did the limit of a host go?
//!
//! The newest [`KEPT_CHANGES`] of each host are kept. Changes are numbered for each host, so that both the
//! next number and what is too old are found without counting rows.

use std::collections::BTreeMap;

use neap_core::{Epoch, HostId};
use sqlx::{Row, SqliteConnection};

use super::Trouble;
use crate::batch::{KEPT_CHANGES, LimitChange};
use crate::values::Shape;

static SELECT_LAST: Shape = Shape::new(
    "WITH v (id) AS (VALUES ",
    "(?)",
    ") SELECT v.id, (SELECT coalesce(max(number), 0) FROM limit_changes c WHERE c.host_id = v.id) FROM v",
);
static INSERT: Shape = Shape::new(
    "INSERT INTO limit_changes (host_id, number, epoch, changed_ms, limit_before, limit_after, reason)
     VALUES ",
    "(?,?,?,?,?,?,?)",
    "",
);

/// Keeps changes, in order, and lets go of those that are too old.
pub(super) async fn keep(
    changes: &[LimitChange],
    epoch: Epoch,
    connection: &mut SqliteConnection,
) -> Result<(), Trouble> {
    let mut by_host = BTreeMap::<HostId, Vec<&LimitChange>>::new();
    for change in changes {
        by_host.entry(change.host).or_default().push(change);
    }
    let hosts: Vec<HostId> = by_host.keys().copied().collect();
    let rows = SELECT_LAST
        .fetch(connection, &hosts, |host, args| {
            args.int(host.0);
        })
        .await?;
    let mut numbered = Vec::with_capacity(changes.len());
    for row in &rows {
        let (host, last) = (HostId(row.get(0)), row.get::<i64, _>(1));
        let of_host = by_host.remove(&host).unwrap_or_default();
        let too_old = last + of_host.len() as i64 - KEPT_CHANGES;
        let kept = (last + 1..).zip(of_host);
        numbered.extend(kept.filter(|(number, _)| *number > too_old));
        if too_old > 0 {
            sqlx::query("DELETE FROM limit_changes WHERE host_id = ? AND number <= ?")
                .bind(host.0)
                .bind(too_old)
                .execute(&mut *connection)
                .await?;
        }
    }
    INSERT
        .execute(connection, &numbered, |(number, change), args| {
            args.int(change.host.0)
                .int(*number)
                .int(epoch.0)
                .int(change.at.0);
            args.real(change.before)
                .real(change.after)
                .text(change.reason);
        })
        .await?;
    Ok(())
}
