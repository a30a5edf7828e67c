//! What do the links of pages say?
//!
//! Each is a row that names its target by what finds the request, so that a link costs some sixty bytes and
//! no look-up. Rows are appended in the order of their pages.

use neap_core::RequestId;
use sqlx::SqliteConnection;

use super::records::Accepted;
use super::{Ledger, Trouble};
use crate::batch::{Anchor, AnchorTarget, Record};
use crate::values::Shape;

/// Links of one page that are kept, the first: ten times what most pages have, and nobody looks for a broken
/// one among more.
const KEPT_LINKS: usize = 1000;

/// A link as it is written down.
struct Row<'a> {
    page: RequestId,
    number: i64,
    /// Host and fingerprint of its target, if that is asked for.
    request: Option<(i64, i64)>,
    /// Its target, if that is not asked for, and why.
    skipped: Option<(&'a str, i64)>,
    anchor: &'a Anchor,
}

static INSERT: Shape = Shape::filled(
    "INSERT INTO found_links (request_id, number, target_host_id, target_fingerprint, url, skip_reason,
     anchor, is_nofollow) SELECT * FROM (VALUES ",
    "(?,?,?,?,?,?,?,?)",
    ") WHERE column1 IS NOT NULL ON CONFLICT DO NOTHING",
);

/// Keeps what the links of recorded pages say.
pub(super) async fn keep(
    accepted: &[Accepted],
    ledger: &mut Ledger,
    connection: &mut SqliteConnection,
) -> Result<(), Trouble> {
    let with_anchors = || {
        accepted
            .iter()
            .filter(|page| !page.record.anchors.is_empty())
    };
    let asked_for = with_anchors().flat_map(|page| &page.record.links);
    let hosts = &mut ledger.hosts;
    hosts
        .learn(connection, asked_for.map(|link| &link.url))
        .await?;
    let mut rows = Vec::new();
    for page in with_anchors() {
        let anchors = page.record.anchors.iter().take(KEPT_LINKS);
        rows.extend(anchors.zip(1..).filter_map(|(anchor, number)| {
            let (request, skipped) = target(page, anchor, ledger)?;
            Some(Row {
                page: page.record.request,
                number,
                request,
                skipped,
                anchor,
            })
        }));
    }
    INSERT
        .execute(connection, &rows, |row, args| {
            args.int(row.page.0).int(row.number);
            args.maybe_int(row.request.map(|(host, _)| host))
                .maybe_int(row.request.map(|(_, fingerprint)| fingerprint));
            args.maybe_text(row.skipped.map(|(url, _)| url))
                .maybe_int(row.skipped.map(|(_, reason)| reason));
            args.maybe_text(row.anchor.text.as_deref())
                .int(i64::from(row.anchor.is_nofollow));
        })
        .await?;
    Ok(())
}

type Target<'a> = (Option<(i64, i64)>, Option<(&'a str, i64)>);

/// What a link leads to; `None` if the record does not have it.
fn target<'a>(page: &'a Accepted, anchor: &Anchor, ledger: &Ledger) -> Option<Target<'a>> {
    let Record {
        links,
        skipped_links,
        ..
    } = &page.record;
    match anchor.target {
        AnchorTarget::AskedFor(place) => {
            let url = &links.get(place)?.url;
            let fingerprint = ledger.fingerprinter.of(page.before.job, url);
            Some((Some((ledger.hosts.get(url).0, fingerprint)), None))
        }
        AnchorTarget::Skipped(place) => {
            let (url, reason) = skipped_links.get(place)?;
            Some((None, Some((url.as_str(), reason.code()))))
        }
    }
}
