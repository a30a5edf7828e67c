//! What do pages link to that nobody knew of?
//!
//! Most links of a page stand on every other page of its site: a cache of recent ones answers for them.
//! The rest is sorted as the index is, inserted, and SQLite says what was new.

use std::collections::HashMap;

use neap_core::HostId;
use sqlx::SqliteConnection;

use super::records::Accepted;
use super::{Changes, Ledger, Trouble};
use crate::discover::{Found, insert, unhop};

/// Makes requests of the links of recorded pages.
pub(super) async fn discover(
    accepted: &[Accepted],
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
    let links = accepted
        .iter()
        .flat_map(|page| page.record.links.iter().map(move |link| (page, link)));
    let unseen: Vec<_> = links
        .filter_map(|(page, link)| {
            let fingerprint = fingerprinter.of(page.before.job, &link.url);
            (!recent.replace(fingerprint)).then_some((page, link, fingerprint))
        })
        .collect();
    if unseen.is_empty() {
        return Ok(());
    }
    hosts
        .learn(connection, unseen.iter().map(|(_, link, _)| &link.url))
        .await?;
    let found = unseen.iter().map(|(page, link, fingerprint)| Found {
        job: page.before.job,
        host: hosts.get(&link.url),
        fingerprint: *fingerprint,
        priority: link.priority,
        depth: link.depth,
        parent: Some(page.record.request),
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
