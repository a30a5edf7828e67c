//! What is the life of one request?
//!
//! ```text
//!  dispatch ──► ask ──exchange──► classify ──► tell the limiter ──► decide ──► read ──► record
//! ```

use neap_core::UnixMs;
use neap_core::classify::{Outcome, classify};
use neap_core::exchange::Exchange;
use neap_core::scheduler::Ready;
use neap_core::verdict::{History, Verdict};
use neap_fetch::BodyLimit;
use neap_store::{Attempt, Command, Page, Record, StoreError, WriterHandle};

use crate::desk::{Desk, Permit, Slot};
use crate::jobs::JobContext;
use crate::progress::Tally;
use crate::reading::{self, Leads};

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
    let (limit, in_flight, started) = (permit.limit, permit.in_flight, desk.clock.unix());

    // 1. Ask. Every failure to get an answer is an exchange too.
    let fetched = job.fetcher.fetch(&request.url, BodyLimit::MaxBody).await;
    let exchange = &fetched.exchange;

    // 2. Say what it means, for the page and for the host.
    let retry_after = asked_to_wait(exchange, desk.clock.unix());
    let has_failed_before = request.charged + request.deferrals > 0;
    let judgement = classify(exchange, retry_after, has_failed_before);

    // 3. Tell the limiter, before anything that can fail.
    let host_is_failing = permit.report(judgement.signal);

    // 4. Decide what becomes of the request.
    let history = History {
        charged: request.charged,
        deferrals: request.deferrals,
    };
    let retry = &job.job.retry;
    let verdict = desk.decide(exchange, &judgement, history, host_is_failing, retry);
    let was_page = verdict == Verdict::Done && judgement.outcome != Outcome::Redirect;

    // 5. Read where it leads, and record all of it at once.
    let leads = reading::leads(job, request, exchange, &judgement);
    shop.tally
        .count(exchange, &judgement, &verdict, has_failed_before);
    let attempt = Attempt {
        number: request.charged + request.deferrals + request.lost + 1,
        started,
        timings: exchange.timings,
        status: status(exchange),
        outcome: judgement.outcome,
        cause: judgement.cause.map(|cause| cause.to_string()),
        fault: judgement.fault,
        error: error(exchange, &leads),
        is_charged: !matches!(
            verdict,
            Verdict::Retry {
                is_charged: false,
                ..
            }
        ),
        backoff: backoff(&verdict),
        body_bytes: exchange
            .result
            .as_ref()
            .map_or(0, |answer| answer.payload.len() as u64),
        limit,
        in_flight,
    };
    let record = Record {
        request: request.request,
        job: request.job,
        host: request.host,
        attempt,
        verdict,
        due: backoff(&verdict).map(|wait| desk.clock.unix() + wait),
        page: page(exchange, &verdict, desk.clock.unix()),
        segment: segment(job, request, exchange, &verdict, started),
        links: leads.links,
        skipped_links: leads.skipped,
        redirect: leads.redirect,
    };
    shop.store.send(Command::Record(Box::new(record))).await?;
    // Only now: who sees the last page counted may send the order to skip the rest, which must come
    // after this page's links.
    slot.settle(was_page);
    Ok(())
}

/// What the answer's `Retry-After` asks for.
pub(crate) fn asked_to_wait(exchange: &Exchange, now: UnixMs) -> Option<std::time::Duration> {
    let value = exchange.result.as_ref().ok()?.header("retry-after")?;
    neap_parse::dates::retry_after(value, now)
}

fn status(exchange: &Exchange) -> Option<u16> {
    match &exchange.result {
        Ok(answer) => Some(answer.status),
        Err(failure) => failure.status,
    }
}

fn error(exchange: &Exchange, leads: &Leads) -> Option<String> {
    match &exchange.result {
        Ok(_) => leads.bad_location.clone(),
        Err(failure) => Some(failure.detail.clone()),
    }
}

fn backoff(verdict: &Verdict) -> Option<std::time::Duration> {
    match verdict {
        Verdict::Retry { after, .. } => Some(*after),
        Verdict::Done | Verdict::Failed | Verdict::Skipped(_) => None,
    }
}

/// The answer as a row, when it is the last word on this request.
fn page(exchange: &Exchange, verdict: &Verdict, fetched: UnixMs) -> Option<Page> {
    let answer = exchange
        .result
        .as_ref()
        .ok()
        .filter(|_| is_last_word(verdict))?;
    Some(Page {
        status: answer.status,
        content_type: answer.header("content-type").map(str::to_owned),
        body_bytes: answer.payload.len() as u64,
        fetched,
    })
}

/// The answer as WARC records, compressed here so that workers share that work.
fn segment(
    job: &JobContext,
    request: &Ready,
    exchange: &Exchange,
    verdict: &Verdict,
    started: UnixMs,
) -> Option<neap_store::Records> {
    if !job.keeps_bodies() || !is_last_word(verdict) {
        return None;
    }
    neap_store::records(&request.url, exchange, started)
}

fn is_last_word(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Done | Verdict::Failed)
}
