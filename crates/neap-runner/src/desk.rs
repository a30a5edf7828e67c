//! How do workers and the pump reach the scheduler?
//!
//! Over one desk: a lock around the scheduler and the dice, held for microseconds and never across a
//! wait. What a worker holds, it holds by guards that give it back whatever happens: a [`Permit`] the
//! host's, a [`Slot`] the worker's place.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use neap_core::JobId;
use neap_core::classify::Judgement;
use neap_core::exchange::Exchange;
use neap_core::job::Retry;
use neap_core::limiter::Signal;
use neap_core::scheduler::{Scheduler, Token};
use neap_core::verdict::{History, Verdict, decide};
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
}

impl Desk {
    pub(crate) fn new(scheduler: Scheduler, clock: Clock) -> Desk {
        let state = State {
            scheduler,
            dice: SmallRng::from_os_rng(),
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

/// The right to have one request in flight to a host. Dropped unused, it goes back as if nothing had
/// happened.
#[derive(Debug)]
pub(crate) struct Permit {
    token: Option<Token>,
    /// The host's limit when the permit was given.
    pub(crate) limit: f64,
    /// Requests in flight to the host then, this one included.
    pub(crate) in_flight: u32,
    desk: Arc<Desk>,
}

impl Permit {
    pub(crate) fn new(token: Token, limit: f64, in_flight: u32, desk: Arc<Desk>) -> Permit {
        Permit {
            token: Some(token),
            limit,
            in_flight,
            desk,
        }
    }

    /// Tells the limiter what happened, and hears whether the whole host is failing.
    pub(crate) fn report(mut self, signal: Signal) -> bool {
        self.give_back(signal)
    }

    fn give_back(&mut self, signal: Signal) -> bool {
        let Some(token) = self.token.take() else {
            return false;
        };
        let now = self.desk.clock.now();
        let is_failing = {
            let State { scheduler, dice } = &mut *self.desk.state();
            scheduler.handle_report(token, signal, now, dice)
        };
        self.desk.bell.notify_one();
        is_failing
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.give_back(Signal::NOTHING);
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
