//! Which links were not asked for?
//!
//! [`KEPT_SKIPS`] of them for each job and reason are kept to look at; how many there were is counted.

use std::collections::BTreeMap;

use neap_core::scope::SkipReason;
use neap_core::{CanonicalUrl, JobId, RequestId};
use sqlx::{Row, SqliteConnection};

use super::records::Accepted;
use super::{Ledger, Trouble};
use crate::values::Shape;

/// Skipped links that are kept for each job and reason. A page can name any number of them, and nobody
/// reads more than these.
const KEPT_SKIPS: i64 = 1000;

/// Skipped links of one job and reason.
#[derive(Default)]
struct Skips<'a> {
    links: i64,
    unseen: Vec<(RequestId, &'a CanonicalUrl)>,
}

static INSERT: Shape = Shape::new(
    "INSERT INTO skips (job_id, reason, parent_id, url) VALUES ",
    "(?,?,?,?)",
    " ON CONFLICT DO NOTHING",
);

/// Keeps and counts the skipped links of recorded pages.
pub(super) async fn keep(
    accepted: &[Accepted],
    ledger: &mut Ledger,
    connection: &mut SqliteConnection,
) -> Result<(), Trouble> {
    for ((job, reason), skips) in gather(accepted, ledger) {
        let reason = reason.code();
        let kept = kept(job, reason, ledger, connection).await?;
        let room = usize::try_from(KEPT_SKIPS - kept)
            .unwrap_or(0)
            .min(skips.unseen.len());
        let inserted = INSERT.execute(connection, &skips.unseen[..room], |(parent, url), args| {
            args.int(job.0).int(reason).int(parent.0).text(url.as_str());
        });
        let inserted = inserted.await?.cast_signed();
        ledger.kept_skips.insert((job, reason), kept + inserted);
        sqlx::query(
            "INSERT INTO skip_counts (job_id, reason, links, kept) VALUES (?, ?, ?, ?)
             ON CONFLICT (job_id, reason) DO UPDATE SET
             links = links + excluded.links, kept = kept + excluded.kept",
        )
        .bind(job.0)
        .bind(reason)
        .bind(skips.links)
        .bind(inserted)
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

fn gather<'a>(
    accepted: &'a [Accepted],
    ledger: &mut Ledger,
) -> BTreeMap<(JobId, SkipReason), Skips<'a>> {
    let mut all = BTreeMap::<_, Skips<'_>>::new();
    for page in accepted {
        let job = page.before.job;
        for (url, reason) in &page.record.skipped_links {
            let skips = all.entry((job, *reason)).or_default();
            skips.links += 1;
            // A salt that no redirect has, so that a skipped link is never taken for a known one.
            let salt = u32::MAX - u32::try_from(reason.code()).unwrap_or(0);
            if !ledger
                .recent
                .replace(ledger.fingerprinter.salted(job, url, salt))
            {
                skips.unseen.push((page.record.request, url));
            }
        }
    }
    all
}

async fn kept(
    job: JobId,
    reason: i64,
    ledger: &Ledger,
    connection: &mut SqliteConnection,
) -> Result<i64, sqlx::Error> {
    if let Some(kept) = ledger.kept_skips.get(&(job, reason)) {
        return Ok(*kept);
    }
    let row = sqlx::query("SELECT kept FROM skip_counts WHERE job_id = ? AND reason = ?")
        .bind(job.0)
        .bind(reason)
        .fetch_optional(connection)
        .await?;
    Ok(row.map_or(0, |row| row.get(0)))
}
