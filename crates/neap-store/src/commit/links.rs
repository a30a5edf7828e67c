//! What do pages link to that nobody knew of?
//!
//! Most links of a page stand on every other page of its site: a cache of recent ones answers for them.
//! The rest is sorted as the index is, inserted, and SQLite says what was new.

use std::collections::HashMap;

use neap_core::{HostId, JobId, RequestId};
use sqlx::SqliteConnection;

use super::records::Accepted;
use super::{Changes, Ledger, Trouble};
use crate::batch::Link;
use crate::discover::{Found, insert, unhop};

/// Makes requests of the links of recorded pages.
pub(super) async fn discover(
    accepted: &[Accepted],
    ledger: &mut Ledger,
    connection: &mut SqliteConnection,
    changes: &mut Changes,
) -> Result<(), Trouble> {
    let links = accepted.iter().flat_map(|page| {
        let (job, parent) = (page.before.job, Some(page.record.request));
        page.record
            .links
            .iter()
            .map(move |link| (job, parent, link))
    });
    make(links, ledger, connection, changes).await
}

/// Makes requests of URLs to which no page led.
pub(super) async fn add(
    job: JobId,
    links: &[Link],
    ledger: &mut Ledger,
    connection: &mut SqliteConnection,
    changes: &mut Changes,
) -> Result<(), Trouble> {
    if !ledger.jobs.contains(&job) || ledger.heeded.is_cancelled(job) {
        return Ok(());
    }
    let links = links.iter().map(|link| (job, None, link));
    make(links, ledger, connection, changes).await
}

async fn make<'a>(
    links: impl Iterator<Item = (JobId, Option<RequestId>, &'a Link)>,
    ledger: &mut Ledger,
    connection: &mut SqliteConnection,
    changes: &mut Changes,
) -> Result<(), Trouble> {
    let Ledger {
        fingerprinter,
        recent,
        hosts,
        ..
    } = ledger;
    let unseen: Vec<_> = links
        .filter_map(|(job, parent, link)| {
            let fingerprint = fingerprinter.of(job, &link.url);
            (!recent.replace(fingerprint)).then_some((job, parent, link, fingerprint))
        })
        .collect();
    if unseen.is_empty() {
        return Ok(());
    }
    hosts
        .learn(connection, unseen.iter().map(|(_, _, link, _)| &link.url))
        .await?;
    let found = unseen.iter().map(|(job, parent, link, fingerprint)| Found {
        job: *job,
        host: hosts.get(&link.url),
        fingerprint: *fingerprint,
        priority: link.priority,
        depth: link.depth,
        parent: *parent,
        url: &link.url,
    });
    let mut found: Vec<Found<'_>> = found.collect();
    found.sort_unstable_by_key(|found| (found.host, found.fingerprint));
    let new = insert(connection, &found).await?;
    let urls: HashMap<HostId, _> = found.iter().map(|found| (found.host, found.url)).collect();
    for new in &new {
        changes.note_ready(new, || urls[&new.host]);
    }
    if ledger.has_hops {
        unhop(connection, &found).await?;
    }
    Ok(())
}
