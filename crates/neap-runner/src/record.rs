//! What is written down of an attempt?

use std::time::Duration;

use neap_core::UnixMs;
use neap_core::attribution::{Attribution, Cause};
use neap_core::classify::Judgement;
use neap_core::exchange::Exchange;
use neap_core::route::Route;
use neap_core::scheduler::Ready;
use neap_core::verdict::Verdict;
use neap_store::{About, Attempt, Page, Record, WriterHandle};

use crate::desk::Permit;
use crate::exits::Exit;
use crate::jobs::JobContext;
use crate::reading::Leads;

/// How things stood when an attempt began.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Circumstances {
    started: UnixMs,
    limit: f64,
    in_flight: u32,
}

impl Circumstances {
    /// An attempt begins now, under this permit.
    pub(crate) fn of(permit: &Permit, started: UnixMs) -> Circumstances {
        Circumstances {
            started,
            limit: permit.limit,
            in_flight: permit.in_flight,
        }
    }
}

/// The record of an attempt: all of it is written together or not at all.
#[expect(
    clippy::too_many_arguments,
    reason = "each is one step of a request's life"
)]
pub(crate) fn record(
    store: &WriterHandle,
    job: &JobContext,
    request: &Ready,
    exchange: &Exchange,
    judgement: &Judgement,
    attribution: Attribution,
    exit: Option<&Exit>,
    verdict: Verdict,
    leads: Leads,
    circumstances: Circumstances,
    now: UnixMs,
) -> Record {
    let Circumstances {
        started,
        limit,
        in_flight,
    } = circumstances;
    let payload = exchange.result.as_ref().map(|answer| answer.payload.len());
    let attempt = Attempt {
        number: request.next_attempt(),
        started,
        timings: exchange.timings,
        status: status(exchange),
        outcome: judgement.outcome,
        cause: judgement.cause.map(|cause| cause.to_string()),
        fault: judgement.fault,
        // Of what worked directly there is nothing to tell.
        attribution: Some(attribution).filter(|of| exit.is_some() || of.cause != Cause::Ok),
        egress: exit.map(|exit| exit.name.clone()),
        connect_status: connect_status(&exchange.route),
        error: error(exchange, &leads),
        is_charged: is_charged(&verdict),
        backoff: backoff(&verdict),
        body_bytes: payload.unwrap_or(0) as u64,
        limit,
        in_flight,
    };
    Record {
        request: request.request,
        job: request.job,
        host: request.host,
        attempt,
        verdict,
        due: backoff(&verdict).map(|wait| now + wait),
        page: page(exchange, &verdict, leads.about, now),
        segment: segment(store, job, request, exchange, &verdict, started),
        links: leads.links,
        skipped_links: leads.skipped,
        anchors: leads.anchors,
        redirect: leads.redirect,
    }
}

/// The status with which a proxy answered CONNECT.
fn connect_status(route: &Route) -> Option<u16> {
    let refused = route.refusal.as_ref().map(|refusal| refusal.status);
    route.tunnel_status.or(refused)
}

fn is_charged(verdict: &Verdict) -> bool {
    match verdict {
        Verdict::Retry { is_charged, .. } => *is_charged,
        Verdict::Done | Verdict::Failed | Verdict::Skipped(_) => true,
    }
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

fn backoff(verdict: &Verdict) -> Option<Duration> {
    match verdict {
        Verdict::Retry { after, .. } => Some(*after),
        Verdict::Done | Verdict::Failed | Verdict::Skipped(_) => None,
    }
}

/// The answer as a row, when it is the last word on this request.
fn page(
    exchange: &Exchange,
    verdict: &Verdict,
    about: Option<Box<About>>,
    fetched: UnixMs,
) -> Option<Page> {
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
        about,
    })
}

/// The answer as WARC records, compressed here so that workers share that work.
fn segment(
    store: &WriterHandle,
    job: &JobContext,
    request: &Ready,
    exchange: &Exchange,
    verdict: &Verdict,
    started: UnixMs,
) -> Option<neap_store::Records> {
    if !job.keeps_bodies() || !is_last_word(verdict) {
        return None;
    }
    let with_metadata = job.job.store.metadata;
    store.pack(&request.url, exchange, started, with_metadata)
}

fn is_last_word(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Done | Verdict::Failed)
}
