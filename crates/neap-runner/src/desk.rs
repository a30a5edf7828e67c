//! How do workers and the pump reach the scheduler?
//!
//! Over one desk: a lock around the scheduler and the dice, held for microseconds and never across a
//! wait. What a worker holds, it holds by guards that give it back whatever happens: a [`Permit`] the
//! host's, a [`Slot`] the worker's place.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use neap_core::attribution::Attribution;
use neap_core::charge::{charged, uncharged};
use neap_core::classify::{Cause, Judgement, Outcome};
use neap_core::egress::{Charge, ProxyId, Seen, Ticket, is_silent, seen};
use neap_core::exchange::Exchange;
use neap_core::job::Retry;
use neap_core::limiter::{Signal, SignalKind};
use neap_core::scheduler::{Ready, Scheduler, Token};
use neap_core::verdict::{History, Verdict, decide};
use neap_core::{CanonicalUrl, HostId, JobId};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use tokio::sync::Notify;

use crate::clock::Clock;

/// The place where everything that decides is reached.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) clock: Clock,
    /// Rung when a permit or a worker came back, so that the pump looks again.
    pub(crate) bell: Notify,
    state: Mutex<State>,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) scheduler: Scheduler,
    pub(crate) dice: SmallRng,
    /// The address that answered last.
    pub(crate) last_address: Option<SocketAddr>,
    /// Hosts of which a worker found out that they cannot be asked anything, and why.
    pub(crate) hopeless: Vec<(HostId, Cause)>,
}

impl Desk {
    pub(crate) fn new(scheduler: Scheduler, clock: Clock) -> Desk {
        let state = State {
            scheduler,
            dice: SmallRng::from_os_rng(),
            last_address: None,
            hopeless: Vec::new(),
        };
        Desk {
            clock,
            bell: Notify::new(),
            state: Mutex::new(state),
        }
    }

    /// The scheduler and the dice, for a moment.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        // A worker that panicked in here broke nothing that the next one relies on: every method of
        // the scheduler leaves it whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the pools of a job keep of a request that went through them.
    pub(crate) fn learn_of_page(
        &self,
        job: JobId,
        request: &Ready,
        judgement: &Judgement,
        verdict: &Verdict,
    ) {
        let scheduler = &mut self.state().scheduler;
        if judgement.outcome == Outcome::Success {
            scheduler.handle_page(job, request.host, &request.url, self.clock.now());
        }
        match verdict {
            Verdict::Done | Verdict::Failed | Verdict::Skipped(_) => {
                scheduler.forget_ways(job, request.request);
            }
            Verdict::Retry { .. } => {}
        }
    }

    /// What becomes of a request, see [`neap_core::verdict`].
    pub(crate) fn decide(
        &self,
        exchange: &Exchange,
        judgement: &Judgement,
        history: History,
        host_is_failing: bool,
        retry: &Retry,
    ) -> Verdict {
        decide(
            exchange,
            judgement,
            history,
            host_is_failing,
            retry,
            &mut self.state().dice,
        )
    }
}

/// The right to have one request in flight to a host, with the way that it takes if its job has pools. Dropped
/// unused, both go back as if nothing had happened.
#[derive(Debug)]
pub(crate) struct Permit {
    token: Option<Token>,
    job: JobId,
    way: Option<Ticket>,
    /// The way is taken only to find out about it.
    is_probe: bool,
    /// The host's limit when the permit was given.
    pub(crate) limit: f64,
    /// Requests in flight to the host then, this one included.
    pub(crate) in_flight: u32,
    desk: Arc<Desk>,
}

/// What an exchange was judged to mean.
#[derive(Debug)]
pub(crate) struct Judged<'a> {
    pub(crate) exchange: &'a Exchange,
    pub(crate) judgement: Judgement,
    pub(crate) attribution: &'a Attribution,
    pub(crate) url: &'a CanonicalUrl,
    /// Whether the same request failed before.
    pub(crate) has_failed_before: bool,
}

/// What is known once limiter and pools have heard of an exchange.
#[derive(Debug)]
pub(crate) struct Heard {
    /// What the exchange means, by who is charged for it.
    pub(crate) judgement: Judgement,
    /// Whether the whole host is failing.
    pub(crate) host_is_failing: bool,
    /// The section of the host that fails by itself, and that the page is in.
    pub(crate) section: Option<String>,
}

impl Permit {
    pub(crate) fn new(
        token: Token,
        job: JobId,
        way: Option<Ticket>,
        (limit, in_flight): (f64, u32),
        desk: Arc<Desk>,
    ) -> Permit {
        Permit {
            token: Some(token),
            job,
            way,
            is_probe: false,
            limit,
            in_flight,
            desk,
        }
    }

    /// The permit of a request that is sent only to find out about its way.
    pub(crate) fn of_probe(self) -> Permit {
        let mut permit = self;
        permit.is_probe = true;
        permit
    }

    /// The proxy that its way goes through, or the direct way as a member of a pool; `None` without pools.
    pub(crate) fn proxy(&self) -> Option<ProxyId> {
        self.way.as_ref().map(|way| way.proxy)
    }

    /// Tells the pools and the limiter what happened, and hears who is charged and whether the whole host is
    /// failing.
    pub(crate) fn report(mut self, judged: Judged<'_>) -> Heard {
        let desk = Arc::clone(&self.desk);
        let state = &mut *desk.state();
        let mut judgement = self.way_back(&judged, state);
        let mut section = None;
        let host_is_failing = self.token.take().is_some_and(|token| {
            let kind = judgement.signal.kind;
            section = state.scheduler.handle_section(token.host, judged.url, kind);
            if section.is_some() {
                judgement.signal.kind = SignalKind::Alive;
            }
            let now = self.desk.clock.now();
            state
                .scheduler
                .handle_report(token, judgement.signal, now, &mut state.dice)
        });
        self.desk.bell.notify_one();
        Heard {
            judgement,
            host_is_failing,
            section,
        }
    }

    /// Gives the way back alone and takes another one, if there is one: the host is asked once more under the
    /// same permit. Says what the first exchange means.
    pub(crate) fn go_elsewhere(&mut self, judged: &Judged<'_>) -> (Judgement, bool) {
        let desk = Arc::clone(&self.desk);
        let state = &mut *desk.state();
        let judgement = self.way_back(judged, state);
        let host = self.token.as_ref().map(|token| token.host);
        let is_ways = matches!(judgement.charge, Charge::Proxy | Charge::Unknown);
        if let Some(host) = host.filter(|_| is_ways) {
            let now = self.desk.clock.now();
            let dice = &mut state.dice;
            self.way = state.scheduler.take_way(self.job, host, None, now, dice);
        }
        (judgement, self.way.is_some())
    }

    /// Tells the pools what a probe showed, and the limiter what concerns the host.
    pub(crate) fn report_probe(mut self, seen: Seen, signal: Signal) {
        let desk = Arc::clone(&self.desk);
        if let Some(way) = self.way.take() {
            let State {
                scheduler, dice, ..
            } = &mut *desk.state();
            scheduler.return_probe(self.job, way, seen, desk.clock.now(), dice);
        }
        let is_hosts = matches!(seen, Seen::Worked | Seen::HostFailed | Seen::Blocked);
        self.settle(if is_hosts { signal } else { Signal::NOTHING });
    }

    /// Tells the limiter alone what happened; the way is back.
    pub(crate) fn settle(mut self, signal: Signal) {
        if let Some(token) = self.token.take() {
            let State {
                scheduler, dice, ..
            } = &mut *self.desk.state();
            scheduler.handle_report(token, signal, self.desk.clock.now(), dice);
        }
        self.desk.bell.notify_one();
    }

    /// Gives the way back, and says what the exchange means by that.
    fn way_back(&mut self, judged: &Judged<'_>, state: &mut State) -> Judgement {
        let Judged {
            exchange,
            judgement,
            attribution,
            url: _,
            has_failed_before,
        } = judged;
        let now = self.desk.clock.now();
        if let Some(address) = exchange.route.address.filter(|_| exchange.result.is_ok()) {
            state.last_address = Some(address);
        }
        let was_silent = is_silent(exchange);
        let host = self.token.as_ref().map(|token| token.host);
        let is_doubtful =
            host.is_some_and(|host| state.scheduler.handle_silence(host, was_silent, now));
        if was_silent && is_doubtful {
            if let Some(way) = self.way.take() {
                let (job, nothing) = (self.job, Seen::Nothing);
                let dice = &mut state.dice;
                state.scheduler.return_way(job, way, nothing, now, dice);
            }
            return uncharged(*judgement);
        }
        let charge = match self.way.take() {
            None => Charge::Nobody,
            Some(way) => {
                let seen = seen(exchange, attribution, judgement.signal.retry_after);
                let dice = &mut state.dice;
                state.scheduler.return_way(self.job, way, seen, now, dice)
            }
        };
        charged(
            *judgement,
            exchange,
            attribution,
            charge,
            *has_failed_before,
        )
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let State {
            scheduler, dice, ..
        } = &mut *self.desk.state();
        let now = self.desk.clock.now();
        match self.way.take() {
            Some(way) if self.is_probe => {
                scheduler.return_probe(self.job, way, Seen::Nothing, now, dice);
            }
            Some(way) => {
                scheduler.return_way(self.job, way, Seen::Nothing, now, dice);
            }
            None => {}
        }
        let Some(token) = self.token.take() else {
            return;
        };
        scheduler.handle_report(token, Signal::NOTHING, now, dice);
        self.desk.bell.notify_one();
    }
}

/// A worker's place, held from dispatch until what happened was handed to the store.
#[derive(Debug)]
pub(crate) struct Slot {
    /// The job whose page this may become, until it is settled whether it did.
    unsettled: Option<JobId>,
    desk: Arc<Desk>,
}

impl Slot {
    /// The place of a worker on a request of `job`, or on something that is no request of a job.
    pub(crate) fn new(job: Option<JobId>, desk: Arc<Desk>) -> Slot {
        Slot {
            unsettled: job,
            desk,
        }
    }

    /// It is decided whether the request became a page.
    pub(crate) fn settle(&mut self, was_page: bool) {
        if let Some(job) = self.unsettled.take() {
            self.desk.state().scheduler.handle_verdict(job, was_page);
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.settle(false);
        self.desk.state().scheduler.handle_worker_free();
        self.desk.bell.notify_one();
    }
}
