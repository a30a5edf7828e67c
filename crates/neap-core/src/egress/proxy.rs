//! What does one proxy bear, and is it used at all?
//!
//! How many requests it may have in flight is learned by the limiter that hosts have. It hears only what
//! the proxy itself did: a host that is slow or fails says nothing about the proxy.

use std::sync::Arc;
use std::time::Duration;

use rand::RngCore;

use super::quarantine::{Access, Quarantine};
use crate::limiter::{self, Gate, HostLimiter, Settings, Signal, SignalKind};
use crate::time::{Time, UnixMs};

/// Failures of its own with nothing good between them after which a proxy is left out: one connection
/// may fail by chance.
const OWN_FAILURES: u32 = 3;
/// Failures in a row with hosts that answer others after which a proxy is left out, although fewer hosts took part
/// than the statistics want. A host that fails every other time brings that about by chance once in 1,000.
const LONE_FAILURES: u32 = 10;
/// What the limiter is told of every exchange: how long an answer takes is the host's doing.
const LATENCY: Duration = Duration::from_millis(100);

/// One member of a pool.
#[derive(Debug)]
pub(super) struct Proxy {
    pub(super) name: Arc<str>,
    pub(super) pool: usize,
    pub(super) is_direct: bool,
    /// Its settings as the job file has them, to know it again.
    pub(super) mark: u64,
    ceiling: u32,
    limiter: HostLimiter,
    /// Limiters that it had before; their permits mean nothing any more.
    generation: u32,
    pub(super) in_flight: u32,
    pub(super) quarantine: Quarantine,
    pub(super) why: Option<Why>,
    /// Failures of its own since it last worked.
    own_failures: u32,
    /// Exchanges that worked since it last failed or was suspected.
    pub(super) worked_in_row: u32,
    /// Failures since it last worked with hosts that answered another way just then.
    lone_failures: u32,
    pub(super) worked: u64,
    pub(super) failed: u64,
}

/// Why a proxy was left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// It failed several times itself, beyond doubt.
    Failed,
    /// It fails with hosts that others have no trouble with.
    FailsWithMany,
    /// It did not bring a page that had just come another way.
    FailedProbe,
    /// It was tried again and failed.
    FailedTry,
}

impl Why {
    /// What is said of it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Why::Failed => "failed several times itself",
            Why::FailsWithMany => "fails with hosts that are fine through others",
            Why::FailedProbe => "did not bring a page that had just come another way",
            Why::FailedTry => "was tried again and failed",
        }
    }
}

/// How a proxy stands.
#[derive(Debug, Clone, PartialEq)]
pub struct ProxyView {
    /// Its name: `host:port`, or `direct`.
    pub name: Arc<str>,
    /// The name of its pool.
    pub pool: Arc<str>,
    /// Exchanges that worked as far as it is concerned.
    pub worked: u64,
    /// Exchanges that failed by its fault.
    pub failed: u64,
    /// Requests in flight.
    pub in_flight: u32,
    /// Requests that may be in flight.
    pub limit: f64,
    /// Whether nothing of its pool is used, since a proxy of it refused our credentials.
    pub is_stopped: bool,
    /// Until when it is left out, and why; `None` if it is used.
    pub left_out: Option<(Time, Why)>,
    /// The expected share of exchanges that it spoils, 0 to 1.
    pub rate: f64,
}

/// What a proxy's limiter gave.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Permit {
    permit: limiter::Permit,
    generation: u32,
    pub(super) is_try: bool,
}

impl Proxy {
    pub(super) fn new(
        name: Arc<str>,
        pool: usize,
        is_direct: bool,
        mark: u64,
        ceiling: u32,
        now: Time,
    ) -> Proxy {
        Proxy {
            name,
            pool,
            is_direct,
            mark,
            ceiling,
            limiter: fresh(ceiling, now),
            generation: 0,
            in_flight: 0,
            quarantine: Quarantine::default(),
            why: None,
            own_failures: 0,
            worked_in_row: 0,
            lone_failures: 0,
            worked: 0,
            failed: 0,
        }
    }

    /// Whether it takes a further request now. The direct way takes all: its hosts have limiters.
    pub(super) fn gate(&self, now: Time) -> Gate {
        if self.is_direct {
            return Gate::Open;
        }
        match self.quarantine.access(now) {
            Access::Free => self.limiter.gate(now),
            Access::OneTry => Gate::Open,
            Access::Until(at) => Gate::Until(at),
            Access::Trying => Gate::Full,
        }
    }

    /// Whether it is used, or may be tried, now.
    pub(super) fn is_usable(&self, now: Time) -> bool {
        match self.quarantine.access(now) {
            Access::Free | Access::OneTry => true,
            Access::Until(_) | Access::Trying => false,
        }
    }

    pub(super) fn start(&mut self, now: Time) -> Permit {
        let is_try = self.quarantine.access(now) == Access::OneTry;
        if is_try {
            self.quarantine.start_try();
        }
        self.in_flight += 1;
        Permit {
            permit: self.limiter.start(now),
            generation: self.generation,
            is_try,
        }
    }

    /// Gives a permit back and tells the limiter what the proxy itself did.
    pub(super) fn end(
        &mut self,
        permit: Permit,
        kind: SignalKind,
        retry_after: Option<Duration>,
        now: Time,
        dice: &mut dyn RngCore,
    ) {
        self.in_flight = self.in_flight.saturating_sub(1);
        if permit.generation != self.generation {
            return;
        }
        let signal = Signal {
            kind,
            latency: (kind == SignalKind::Ok).then_some(LATENCY),
            retry_after,
            is_retry: false,
        };
        self.limiter.report(permit.permit, signal, now, dice);
    }

    /// It did its part.
    pub(super) fn did_well(&mut self) {
        self.worked += 1;
        self.worked_in_row = self.worked_in_row.saturating_add(1);
        self.own_failures = 0;
        self.lone_failures = 0;
    }

    /// It may have failed, with a host that answered another way just then, and is no witness against it. Says
    /// whether it did so too often.
    pub(super) fn did_fail_alone(&mut self) -> bool {
        self.lone_failures += 1;
        self.lone_failures >= LONE_FAILURES
    }

    /// It failed itself. Says whether it did so too often.
    pub(super) fn did_fail(&mut self) -> bool {
        self.failed += 1;
        self.worked_in_row = 0;
        self.own_failures += 1;
        self.own_failures >= OWN_FAILURES
    }

    pub(super) fn leave_out(&mut self, why: Why, now: Time) {
        self.quarantine.leave_out(now);
        self.renew(now);
        self.why = Some(why);
    }

    /// A new limiter, as for one of which nothing is known: what the old one learned was of a bad time.
    pub(super) fn renew(&mut self, now: Time) {
        self.own_failures = 0;
        self.lone_failures = 0;
        self.worked_in_row = 0;
        self.generation += 1;
        self.limiter = fresh(self.ceiling, now);
    }

    pub(super) fn limit(&self) -> f64 {
        self.limiter.limit()
    }
}

fn fresh(ceiling: u32, now: Time) -> HostLimiter {
    HostLimiter::new(Settings { ceiling }, None, now, UnixMs(0))
}
