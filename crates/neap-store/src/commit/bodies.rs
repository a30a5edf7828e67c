//! How do the bodies of a batch get to their file, and what is written down of them?

use std::collections::HashMap;

use neap_core::RequestId;
use sqlx::{Row, SqliteConnection};

use super::records::Accepted;
use super::{Ledger, Trouble, originals};
use crate::segments::{Original, Place, Records, Sha1Bytes};
use crate::values::Shape;

/// Where the body of a page is.
pub(super) struct Body {
    pub(super) place: Place,
    pub(super) payload_sha1: Sha1Bytes,
    /// The row of the record that has the payload, if this one is a revisit.
    pub(super) original_id: Option<i64>,
}

/// Appends the bodies of pages that stay.
pub(super) async fn append(
    accepted: &mut [Accepted],
    ledger: &mut Ledger,
    connection: &mut SqliteConnection,
) -> Result<(), Trouble> {
    let found_on = found_on(accepted, connection).await?;
    let met_again = accepted
        .iter()
        .filter_map(|accepted| original(accepted.body_to_keep()?));
    let ids = originals::keep(met_again, connection).await?;
    for accepted in accepted.iter_mut().filter(|accepted| accepted.has_page()) {
        let Some(records) = accepted.record.segment.take() else {
            continue;
        };
        let answer = records.answer.as_ref();
        let via = found_on.get(&accepted.record.request).map(String::as_str);
        let metadata = answer.and_then(|answer| {
            let (depth, hops) = (accepted.before.depth, accepted.before.hops);
            Some(
                answer
                    .metadata
                    .as_ref()?
                    .pack(&answer.url, via, depth, hops),
            )
        });
        let segments = &mut ledger.segments;
        let place = segments
            .append(connection, &records, metadata.as_deref())
            .await?;
        let Some(answer) = records.answer else {
            continue;
        };
        let original_id = answer.original.and_then(|original| {
            ids.get(&(original.place.segment, original.place.offset))
                .copied()
        });
        accepted.body = Some(Body {
            place,
            payload_sha1: answer.payload_sha1,
            original_id,
        });
        if answer.is_original {
            let original = Original {
                place,
                url: answer.url,
                fetched: answer.fetched,
            };
            ledger.stored.push((answer.payload_sha1, original));
        }
    }
    Ok(())
}

impl Accepted {
    /// The records that are going to be appended.
    fn body_to_keep(&self) -> Option<&Records> {
        self.record.segment.as_ref().filter(|_| self.has_page())
    }
}

fn original(records: &Records) -> Option<&Original> {
    records.answer.as_ref()?.original.as_ref()
}

static FOUND_ON: Shape = Shape::new(
    "SELECT r.request_id, p.url FROM requests r CROSS JOIN requests p
     ON p.request_id = coalesce(r.redirect_of, r.parent_id) WHERE r.request_id IN (",
    "?",
    ")",
);

/// The URL that led to each page whose metadata is kept; input URLs have none and are not looked up.
async fn found_on(
    accepted: &[Accepted],
    connection: &mut SqliteConnection,
) -> Result<HashMap<RequestId, String>, sqlx::Error> {
    let has_metadata = |records: &Records| {
        let answer = records.answer.as_ref();
        answer.is_some_and(|answer| answer.metadata.is_some())
    };
    let wanted: Vec<RequestId> = accepted
        .iter()
        .filter(|accepted| accepted.before.depth > 0 || accepted.before.hops > 0)
        .filter(|accepted| accepted.body_to_keep().is_some_and(has_metadata))
        .map(|accepted| accepted.record.request)
        .collect();
    let rows = FOUND_ON.fetch(connection, &wanted, |request, args| {
        args.int(request.0);
    });
    let rows = rows.await?;
    Ok(rows
        .iter()
        .map(|row| (RequestId(row.get(0)), row.get(1)))
        .collect())
}
