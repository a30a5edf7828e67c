//! What came of a run?

use std::time::Duration;

use neap_core::JobId;
use neap_store::EgressName;

use crate::progress::Progress;

/// Why a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Its jobs have no open request any more.
    Finished,
    /// It was asked to stop and what was in flight came home.
    Drained,
    /// The number of pages or the time that it was given is used up.
    LimitReached,
    /// It was asked to stop at once.
    Aborted,
    /// Jobs were left without a proxy that they could go through: each refused the credentials. Everything else
    /// was done.
    ProxiesStopped,
}

/// What came of a run.
#[derive(Debug, Clone)]
pub struct RunReport {
    /// Why it ended.
    pub ended: Ended,
    /// The jobs that it worked on, those that it took up on its way included.
    pub jobs: Vec<JobId>,
    /// What it did.
    pub progress: Progress,
    /// Latency to the first byte: median, 95th and 99th percentile; `None` without any answer.
    pub latency: Option<[Duration; 3]>,
    /// Proxies that were left out at the end, with the reason.
    pub left_out: Vec<(EgressName, &'static str)>,
    /// Pools that were stopped for wrong credentials, each with the proxy that refused them.
    pub stopped_pools: Vec<EgressName>,
    /// Hosts that were given up, with the number of requests that failed with each.
    pub given_up: Vec<(String, u64)>,
}
