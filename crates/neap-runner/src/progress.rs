//! How far is a run?

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use neap_core::classify::{Cause, Judgement, Outcome};
use neap_core::exchange::Exchange;
use neap_core::limiter::State;
use neap_core::scheduler::Wake;
use neap_core::verdict::Verdict;

/// Exchanges whose latency is remembered for the percentiles of the summary; when there are more,
/// every other one is forgotten and only every other one is taken from then on.
const MOST_LATENCIES: usize = 16_384;

/// What a run did so far.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    /// Time since the run began.
    pub elapsed: Duration,
    /// Requests of the run's jobs that have their final answer, or will never have one.
    pub closed: u64,
    /// Requests of the run's jobs that are known, closed or not.
    pub known: u64,
    /// Requests in flight.
    pub in_flight: u32,
    /// Requests that wait to be asked again.
    pub waiting: u64,
    /// Exchanges of this run, robots files not counted.
    pub exchanges: u64,
    /// Of these, exchanges of requests that had failed before.
    pub retries: u64,
    /// Pages: requests that are done, redirects not counted.
    pub pages: u64,
    /// Requests given up.
    pub failed: u64,
    /// Bytes of payload received.
    pub bytes: u64,
    /// Exchanges by outcome in a word, such as `success` or `overload`.
    pub outcomes: BTreeMap<&'static str, u64>,
    /// Exchanges that brought no page, by cause, such as `http_502`.
    pub causes: BTreeMap<String, u64>,
    /// Pages that are no success, such as `http_404`, by the same words.
    pub page_causes: BTreeMap<String, u64>,
    /// Answers with 502, by whose fault they were in a word, such as `host` or `proxy`.
    pub bad_gateways: BTreeMap<&'static str, u64>,
    /// Hosts that are held or slowed, the most notable first, at most ten.
    pub hosts: Vec<HostLine>,
    /// Hosts that take part.
    pub host_count: usize,
    /// Why nothing is sent at present, if all there is to do is wait.
    pub standstill: Option<Standstill>,
    /// Names of the jobs that are paused, if nothing else is left to do.
    pub paused: Vec<String>,
}

/// All that is left to do waits, for a while that is worth telling.
#[derive(Debug, Clone)]
pub struct Standstill {
    /// What is waited for.
    pub wake: Wake,
    /// The host that it is waited for; `None` if it is a request.
    pub host: Option<String>,
    /// For how long.
    pub wait: Duration,
}

/// A host as the progress shows it.
#[derive(Debug, Clone)]
pub struct HostLine {
    /// Its name.
    pub name: String,
    /// Requests that it may have in flight.
    pub limit: f64,
    /// Requests that it has in flight.
    pub in_flight: u32,
    /// What its limiter does.
    pub state: State,
    /// How long until that changes, if it is known.
    pub wait: Option<Duration>,
}

/// Counts what workers do.
#[derive(Debug, Default)]
pub(crate) struct Tally(Mutex<Counts>);

#[derive(Debug, Default, Clone)]
pub(crate) struct Counts {
    pub(crate) exchanges: u64,
    pub(crate) retries: u64,
    pub(crate) pages: u64,
    pub(crate) failed: u64,
    pub(crate) bytes: u64,
    pub(crate) outcomes: BTreeMap<&'static str, u64>,
    pub(crate) causes: BTreeMap<String, u64>,
    pub(crate) page_causes: BTreeMap<String, u64>,
    pub(crate) bad_gateways: BTreeMap<&'static str, u64>,
    latencies_us: Vec<u64>,
    stride: u64,
}

impl Tally {
    pub(crate) fn count(
        &self,
        exchange: &Exchange,
        judgement: &Judgement,
        verdict: &Verdict,
        is_retry: bool,
    ) {
        let mut counts = self.lock();
        counts.exchanges += 1;
        counts.retries += u64::from(is_retry);
        *counts
            .outcomes
            .entry(judgement.outcome.as_str())
            .or_default() += 1;
        if let Some(cause) = judgement.cause {
            let causes = match verdict {
                Verdict::Done => &mut counts.page_causes,
                Verdict::Failed | Verdict::Retry { .. } | Verdict::Skipped(_) => &mut counts.causes,
            };
            *causes.entry(cause.to_string()).or_default() += 1;
        }
        if judgement.cause == Some(Cause::Status(502)) {
            let whose = judgement.fault.as_str();
            *counts.bad_gateways.entry(whose).or_default() += 1;
        }
        if let Ok(answer) = &exchange.result {
            counts.bytes += answer.payload.len() as u64;
        }
        match verdict {
            Verdict::Done => counts.pages += u64::from(judgement.outcome != Outcome::Redirect),
            Verdict::Failed => counts.failed += 1,
            Verdict::Retry { .. } | Verdict::Skipped(_) => {}
        }
        if let Some(latency) = exchange.timings.first_byte {
            counts.remember(latency);
        }
    }

    /// A host was given up with so many requests.
    pub(crate) fn given_up(&self, requests: u64) {
        self.lock().failed += requests;
    }

    pub(crate) fn counts(&self) -> Counts {
        let mut counts = self.lock();
        // The latencies are large and only wanted once, at the end.
        let latencies = std::mem::take(&mut counts.latencies_us);
        let copy = counts.clone();
        counts.latencies_us = latencies;
        copy
    }

    /// Latencies to the first byte at these shares of all exchanges (0.5 for the median).
    pub(crate) fn latencies<const N: usize>(&self, shares: [f64; N]) -> Option<[Duration; N]> {
        let mut counts = self.lock();
        let sorted = &mut counts.latencies_us;
        sorted.sort_unstable();
        let last = sorted.len().checked_sub(1)?;
        Some(shares.map(|share| Duration::from_micros(sorted[(share * last as f64) as usize])))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Counts> {
        self.0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Counts {
    fn remember(&mut self, latency: Duration) {
        if self.exchanges.is_multiple_of(self.stride.max(1)) {
            self.latencies_us
                .push(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
        }
        if self.latencies_us.len() >= MOST_LATENCIES {
            let mut is_odd = false;
            self.latencies_us.retain(|_| {
                is_odd = !is_odd;
                is_odd
            });
            self.stride = self.stride.max(1) * 2;
        }
    }
}
