//! Where does a redirect lead?
//!
//! To a request of its own: the one that is known already, or a new one that names where it came from.
//! A redirect back into its own chain is asked for once more under a fingerprint of its own, since
//! cookie walls send a client round before they let it in; the runner's limit of hops ends the rest.

use neap_core::scope::SkipReason;
use neap_core::{CanonicalUrl, RequestId};
use sqlx::{Row, SqliteConnection};

use super::records::Accepted;
use super::{Changes, Ledger, State, Trouble};
use crate::batch::RedirectVerdict;
use crate::discover::New;
use crate::values::Shape;

/// Longest chain that is looked through; `request.redirects` is 20 at most.
pub(crate) const LONGEST_CHAIN: i64 = 32;

static UPDATE_SOURCES: Shape = Shape::new(
    "WITH v (id, target) AS (VALUES ",
    "(?,?)",
    ") UPDATE requests SET redirect_to = v.target FROM v WHERE requests.request_id = v.id",
);

/// Finds or makes the targets of recorded redirects.
pub(super) async fn follow(
    accepted: &[Accepted],
    ledger: &mut Ledger,
    connection: &mut SqliteConnection,
    changes: &mut Changes,
) -> Result<(), Trouble> {
    let mut targets = Vec::new();
    for source in accepted {
        let Some(redirect) = &source.record.redirect else {
            continue;
        };
        let refused = match redirect.verdict {
            RedirectVerdict::Follow => None,
            RedirectVerdict::Refused(reason) => Some(reason),
            RedirectVerdict::TooMany => continue,
        };
        let target = target(source, &redirect.url, refused, ledger, connection, changes).await?;
        targets.push((source.record.request, target));
    }
    UPDATE_SOURCES
        .execute(connection, &targets, |(source, target), args| {
            args.int(source.0).int(target.0);
        })
        .await?;
    Ok(())
}

/// The request that a redirect leads to.
async fn target(
    source: &Accepted,
    url: &CanonicalUrl,
    refused: Option<SkipReason>,
    ledger: &mut Ledger,
    connection: &mut SqliteConnection,
    changes: &mut Changes,
) -> Result<RequestId, Trouble> {
    let job = source.before.job;
    let hops = source.before.hops + 1;
    ledger.hosts.learn(connection, std::iter::once(url)).await?;
    let host = ledger.hosts.get(url);
    let is_own_chain = is_in_chain(source.record.request, url, connection).await?;
    let fingerprint = match is_own_chain {
        true => ledger.fingerprinter.salted(job, url, hops),
        false => ledger.fingerprinter.of(job, url),
    };
    let known: Option<i64> =
        sqlx::query_scalar("SELECT request_id FROM requests WHERE host_id = ? AND fingerprint = ?")
            .bind(host.0)
            .bind(fingerprint)
            .fetch_optional(&mut *connection)
            .await?;
    if let Some(known) = known {
        return Ok(RequestId(known));
    }
    let state = if refused.is_some() {
        State::Skipped
    } else {
        State::Ready
    };
    let request: i64 = sqlx::query_scalar(
        "INSERT INTO requests (host_id, fingerprint, job_id, state, priority, depth, hops, is_hop,
             skip_reason, parent_id, redirect_of, url)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 1, ?8, ?9, ?9, ?10) RETURNING request_id",
    )
    .bind(host.0)
    .bind(fingerprint)
    .bind(job.0)
    .bind(state as i64)
    .bind(source.before.priority)
    .bind(source.before.depth)
    .bind(hops)
    .bind(refused.map(SkipReason::code))
    .bind(source.record.request.0)
    .bind(url.as_str())
    .fetch_one(connection)
    .await?;
    ledger.has_hops = true;
    let new = New {
        request: RequestId(request),
        job,
        host,
        priority: source.before.priority,
    };
    match state {
        State::Ready => changes.note_ready(&new, || url),
        State::Done | State::Failed | State::Waiting | State::Skipped => {
            changes.jobs.entry(job).or_default().add(state, 1);
        }
    }
    Ok(new.request)
}

/// Whether a URL is that of a request or of one whose redirect led to it.
async fn is_in_chain(
    request: RequestId,
    url: &CanonicalUrl,
    connection: &mut SqliteConnection,
) -> Result<bool, sqlx::Error> {
    let row = sqlx::query(
        "WITH RECURSIVE chain (before, url, hop) AS (
             SELECT redirect_of, url, 0 FROM requests WHERE request_id = ?1
             UNION ALL
             SELECT r.redirect_of, r.url, hop + 1
             FROM chain JOIN requests r ON r.request_id = chain.before WHERE hop < ?2)
         SELECT EXISTS (SELECT 1 FROM chain WHERE url = ?3)",
    )
    .bind(request.0)
    .bind(LONGEST_CHAIN)
    .bind(url.as_str())
    .fetch_one(connection)
    .await?;
    Ok(row.get(0))
}
