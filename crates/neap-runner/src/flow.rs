//! What is the life of one request?
//!
//! ```text
//!  dispatch ──► ask ──exchange──► classify, attribute ──► tell limiter and pools ──► decide ──► read ──► record
//! ```

use neap_core::classify::{Outcome, classify};
use neap_core::scheduler::Ready;
use neap_core::verdict::{History, Verdict};
use neap_fetch::Egress;
use neap_store::{Command, StoreError, WriterHandle};

use crate::desk::{Desk, Heard, Judged, Permit, Slot};
use crate::jobs::JobContext;
use crate::progress::Tally;
use crate::reading;
use crate::record::{Circumstances, record};
use crate::robots::has_no_address;

/// What a worker needs beside its request.
#[derive(Debug)]
pub(crate) struct Workshop {
    pub(crate) desk: std::sync::Arc<Desk>,
    pub(crate) store: WriterHandle,
    pub(crate) tally: Tally,
}

/// Takes one request from dispatch to its record.
///
/// # Errors
/// The store takes nothing any more; the request stays in flight and the next run takes it over.
pub(crate) async fn flow(
    shop: &Workshop,
    job: &JobContext,
    request: &Ready,
    permit: Permit,
    mut slot: Slot,
) -> Result<(), StoreError> {
    let desk = &shop.desk;
    let circumstances = Circumstances::of(&permit, desk.clock.unix());
    let host = request.url.host();

    // 1. Ask, by the way that was taken. Every failure to get an answer is an exchange too.
    let proxy = permit.proxy();
    let exit = proxy.map(|proxy| job.learned.exits.of(proxy));
    let egress = exit.as_ref().map_or(&Egress::DIRECT, |exit| &exit.egress);
    let limit = reading::limit(request);
    let fetched = job.ask(egress, &request.url, limit, &desk.clock).await;
    let exchange = &fetched.exchange;

    // 2. Say what it means, and who is to blame as far as it tells.
    let retry_after = job.asked_to_wait(&host, exchange, desk.clock.unix());
    let has_failed_before = request.charged + request.deferrals > 0;
    let judgement = classify(exchange, retry_after, has_failed_before);
    let mut attribution = job.learned.exits.attribute(proxy, &request.url, exchange);

    // 3. Tell pools and limiter, before anything that can fail. They know who is charged.
    let Heard {
        judgement,
        host_is_failing,
        section,
    } = permit.report(Judged {
        exchange,
        judgement,
        attribution: &attribution,
        url: &request.url,
        has_failed_before,
    });

    if let Some(section) = section {
        attribution.add_reason(format!(
            "only {section}* fails so, the rest of the host works"
        ));
    }

    // 4. Decide what becomes of the request.
    let history = History {
        charged: request.charged,
        deferrals: request.deferrals,
    };
    if let Some(cause) = judgement.cause.filter(|cause| has_no_address(*cause)) {
        // Its other pages need not find that out one by one.
        desk.state().hopeless.push((request.host, cause));
    }
    let retry = &job.terms(&host).retry;
    let verdict = desk.decide(exchange, &judgement, history, host_is_failing, retry);
    shop.tally
        .count(exchange, &judgement, &verdict, has_failed_before);

    if exit.is_some() {
        desk.learn_of_page(job.id, request, &judgement, &verdict);
    }

    // 5. Read where it leads, and record all of it at once.
    let now = desk.clock.unix();
    let leads = reading::leads(job, request, exchange, &judgement, now);
    let record = record(
        &shop.store,
        job,
        request,
        exchange,
        &judgement,
        attribution,
        exit.as_deref(),
        verdict,
        leads,
        circumstances,
        now,
    );
    shop.store.send(Command::Record(Box::new(record))).await?;
    // Only now: who sees the last page counted may send the order to skip the rest, which must come
    // after this page's links.
    slot.settle(verdict == Verdict::Done && judgement.outcome != Outcome::Redirect);
    Ok(())
}
