//! Which payloads are stored already, as the tables have it?
//!
//! When requests of a later round are handed out, the payloads that the round before got of the same URLs
//! become known, so that a page which did not change is stored once. A payload that is met again
//! gets a row in `originals`, which outlives the round that it came from.

use std::collections::{BTreeMap, HashMap};

use neap_core::{JobId, UnixMs};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use super::Ledger;
use crate::batch::Ready;
use crate::segments::{Original, Place, SHORTEST_PAYLOAD, Sha1Bytes};
use crate::values::Shape;

/// Learns which round came before one that keeps bodies: the newest that was finished, or else the newest.
pub(super) async fn open_job(
    job: JobId,
    ledger: &mut Ledger,
    connection: &mut SqliteConnection,
) -> Result<(), sqlx::Error> {
    let before: Option<i64> = sqlx::query_scalar(
        "SELECT e.job_id FROM jobs j JOIN jobs e ON e.name = j.name AND e.job_id < j.job_id
         WHERE j.job_id = ? AND j.spec ->> '$.store.bodies' = 'all'
         ORDER BY e.state = 1 DESC, e.job_id DESC LIMIT 1",
    )
    .bind(job.0)
    .fetch_optional(connection)
    .await?;
    if let Some(before) = before {
        ledger.rounds_before.insert(job, JobId(before));
    }
    Ok(())
}

static RECALL: Shape = Shape::new(
    "WITH v (host_id, fingerprint, shortest) AS (VALUES ",
    "(?,?,?)",
    ") SELECT p.payload_sha1, coalesce(o.segment_id, p.segment_id),
       coalesce(o.segment_offset, p.segment_offset), coalesce(o.segment_bytes, p.segment_bytes),
       coalesce(o.url, r.url), coalesce(o.fetched_ms, a.started_ms, p.fetched_ms)
     FROM v CROSS JOIN requests r ON r.host_id = v.host_id AND r.fingerprint = v.fingerprint
     CROSS JOIN pages p ON p.request_id = r.request_id
     LEFT JOIN originals o ON o.original_id = p.original_id
     LEFT JOIN attempts a ON a.attempt_id =
       (SELECT max(x.attempt_id) FROM attempts x WHERE x.request_id = r.request_id)
     WHERE p.payload_sha1 IS NOT NULL AND p.segment_id IS NOT NULL AND p.body_bytes >= v.shortest",
);

/// Makes known what the round before stored of these requests' URLs.
pub(super) async fn recall(
    job: JobId,
    rows: &[Ready],
    ledger: &Ledger,
    connection: &mut SqliteConnection,
) -> Result<(), sqlx::Error> {
    let Some(before) = ledger.rounds_before.get(&job) else {
        return Ok(());
    };
    let found = RECALL.fetch(connection, rows, |row, args| {
        args.int(row.host.0)
            .int(ledger.fingerprinter.of(*before, &row.url))
            .int(SHORTEST_PAYLOAD as i64);
    });
    ledger
        .originals
        .remember(found.await?.iter().filter_map(recalled));
    Ok(())
}

fn recalled(row: &SqliteRow) -> Option<(Sha1Bytes, Original)> {
    let sha1 = row.get::<&[u8], _>(0).try_into().ok()?;
    let original = Original {
        place: Place {
            segment: row.get(1),
            offset: row.get::<i64, _>(2).unsigned_abs(),
            bytes: usize::try_from(row.get::<i64, _>(3)).ok()?,
        },
        url: row.get::<&str, _>(4).into(),
        fetched: UnixMs(row.get(5)),
    };
    Some((sha1, original))
}

static KEEP: Shape = Shape::new(
    "INSERT INTO originals (segment_id, segment_offset, segment_bytes, url, fetched_ms) VALUES ",
    "(?,?,?,?,?)",
    " ON CONFLICT (segment_id, segment_offset) DO UPDATE SET segment_bytes = excluded.segment_bytes
     RETURNING original_id, segment_id, segment_offset",
);

/// Gives each of these a row, unless it has one; the numbers of the rows by segment and offset.
pub(super) async fn keep<'a>(
    originals: impl Iterator<Item = &'a Original>,
    connection: &mut SqliteConnection,
) -> Result<HashMap<(i64, u64), i64>, sqlx::Error> {
    let by_place: BTreeMap<(i64, u64), &Original> = originals
        .map(|original| ((original.place.segment, original.place.offset), original))
        .collect();
    let rows: Vec<_> = by_place.into_values().collect();
    let found = KEEP.fetch(connection, &rows, |original, args| {
        args.int(original.place.segment)
            .int(original.place.offset.cast_signed())
            .int(original.place.bytes as i64)
            .text(&original.url)
            .int(original.fetched.0);
    });
    let ids = found.await?;
    Ok(ids
        .iter()
        .map(|row| {
            let place = (row.get(1), row.get::<i64, _>(2).unsigned_abs());
            (place, row.get(0))
        })
        .collect())
}
