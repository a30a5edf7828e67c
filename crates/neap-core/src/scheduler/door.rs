//! May a request start now, and who waits until it may?
//!
//! A door is what all starts on a host go through: its limiter, the spacing of starts and the retry
//! budget, with the turns that wait for them. A host has a door of its own, or shares one with the other
//! hosts of its domain; the scheduler never needs to know which.

use std::collections::BTreeSet;
use std::time::Duration;

use rand::RngCore;

use super::budget::RetryBudget;
use super::host::careful_budget;
use super::line::Line;
use super::patience::{Patience, has_worked};
use super::work::{Hold, Token};
use crate::backoff::RETRY_AFTER_MAX;
use crate::ids::HostId;
use crate::limiter::{Gate, HostLimiter, Memory, Settings, Signal, State};
use crate::politeness::Politeness;
use crate::time::{Time, UnixMs};

/// The name of a door: the host that it was made for, which leads those that share it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct DoorId(pub(super) HostId);

/// What the hosts behind a door ask of it: of several the most careful holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Demand {
    pub(super) ceiling: u32,
    pub(super) spacing: Duration,
    pub(super) retry_budget: Option<f64>,
    pub(super) give_up_after: Duration,
}

impl Demand {
    pub(super) fn and(self, other: Demand) -> Demand {
        Demand {
            ceiling: self.ceiling.min(other.ceiling),
            spacing: self.spacing.max(other.spacing),
            retry_budget: careful_budget(self.retry_budget, other.retry_budget),
            give_up_after: self.give_up_after.max(other.give_up_after),
        }
    }
}

/// What starts go through.
#[derive(Debug)]
pub(super) struct Door {
    pub(super) limiter: HostLimiter,
    politeness: Politeness,
    last_start: Option<Time>,
    budget: RetryBudget,
    patience: Patience,
    demand: Demand,
    /// A host that came to share this door was asked to be left alone until then.
    held_until: Time,
    /// Its limiter goes on from an earlier run.
    has_memory: bool,
    /// The latency that an earlier run stored, in seconds; 0 if none did.
    known_latency_s: f32,
    /// The hosts behind it.
    pub(super) hosts: BTreeSet<HostId>,
    /// It is given up for that one as soon as nothing is in flight; until then nothing starts.
    pub(super) gives_way_to: Option<DoorId>,
    /// Turns that wait for it; made when there is the first.
    line: Option<Box<Line>>,
    /// When they are to try again, if not before, and why not now.
    pub(super) timer: Option<(Time, Hold)>,
    /// Requests in memory that never failed, over all its lanes.
    pub(super) fresh: usize,
}

impl Door {
    pub(super) fn new(demand: Demand, now: Time, unix_now: UnixMs) -> Door {
        Door {
            limiter: limiter(demand, None, now, unix_now),
            politeness: Politeness::new(demand.spacing),
            last_start: None,
            budget: RetryBudget::default(),
            patience: Patience::default(),
            demand,
            held_until: Time::ZERO,
            has_memory: false,
            known_latency_s: 0.0,
            hosts: BTreeSet::new(),
            gives_way_to: None,
            line: None,
            timer: None,
            fresh: 0,
        }
    }

    // ---- what is asked of it, what is known -----------------------------------------------------

    /// One more host or job asks something of it.
    pub(super) fn tighten(&mut self, demand: Demand) {
        self.set_demand(self.demand.and(demand));
    }

    pub(super) fn set_demand(&mut self, demand: Demand) {
        self.demand = demand;
        self.limiter.set_ceiling(demand.ceiling);
        if demand.spacing != self.politeness.spacing() {
            self.politeness = Politeness::new(demand.spacing);
            // The new spacing counts from the last start, or two starts could come together.
            if let Some(last) = self.last_start {
                self.politeness
                    .check(last)
                    .expect("the first start is always allowed");
            }
        }
    }

    /// Takes up what an earlier run learned of one of its hosts. The first that is known counts, as long
    /// as nothing has been learned here; a pause that a host asked for counts always.
    pub(super) fn remember(&mut self, memory: Memory, now: Time, unix_now: UnixMs) {
        let pause = memory
            .held_until
            .map_or(Duration::ZERO, |at| at.since(unix_now));
        self.hold_until(now + pause.min(RETRY_AFTER_MAX));
        self.patience.pause(pause);
        if has_worked(&memory) {
            self.patience.has_worked();
            self.known_latency_s = memory.latency_s;
        }
        if self.last_start.is_none() && !self.has_memory {
            self.limiter = limiter(self.demand, Some(memory), now, unix_now);
            self.has_memory = true;
        }
    }

    /// Nothing starts before then.
    pub(super) fn hold_until(&mut self, until: Time) {
        self.held_until = self.held_until.max(until);
    }

    /// The hosts behind another door come through this one from now on. What they asked for holds, also if
    /// they were only probed meanwhile; a pause that is over by now does no harm.
    pub(super) fn take_over(&mut self, other: &Door) {
        self.hosts.extend(&other.hosts);
        self.fresh += other.fresh;
        self.hold_until(other.held_until.max(other.limiter.held_until()));
        self.patience.join(&other.patience);
    }

    // ---- starts -------------------------------------------------------------------------------

    /// Whether a request may start now; takes the politeness right if so.
    pub(super) fn gate(&mut self, now: Time) -> Gate {
        match self.peek(now) {
            Gate::Open => match self.politeness.check(now) {
                Ok(()) => Gate::Open,
                Err(at) => Gate::Until(at),
            },
            closed @ (Gate::Full | Gate::Until(_)) => closed,
        }
    }

    /// The turns that wait for it.
    pub(super) fn line(&mut self) -> &mut Line {
        self.line.get_or_insert_default()
    }

    /// The turns that wait for it, if any ever did.
    pub(super) fn known_line(&mut self) -> Option<&mut Line> {
        self.line.as_deref_mut()
    }

    /// Whether a turn that is called now would find the gate open; nothing is taken.
    pub(super) fn would_admit(&self, now: Time) -> Gate {
        let rested = self.last_start.map(|last| last + self.politeness.spacing());
        match (self.peek(now), rested) {
            (Gate::Open, Some(rested)) if now < rested => Gate::Until(rested),
            (gate @ (Gate::Open | Gate::Full | Gate::Until(_)), _) => gate,
        }
    }

    /// Whether a request may start now, spacing left aside.
    pub(super) fn peek(&self, now: Time) -> Gate {
        if self.gives_way_to.is_some() {
            Gate::Full
        } else if now < self.held_until {
            Gate::Until(self.held_until)
        } else {
            self.limiter.gate(now)
        }
    }

    /// Why the gate is closed until some time.
    pub(super) fn hold(&self, now: Time) -> Hold {
        match self.state(now) {
            State::Steady => Hold::Pace,
            State::Held { .. } => Hold::Pause,
            State::OnlyProbed { .. } => Hold::Probe,
        }
    }

    /// Whether a request that failed before may go now.
    ///
    /// # Errors
    /// When to ask again.
    pub(super) fn may_retry(&self, now: Time) -> Result<(), Time> {
        if self.is_only_probed() {
            return Ok(());
        }
        let share = self.demand.retry_budget;
        self.budget.check(share, self.fresh > 0, now)
    }

    pub(super) fn start(&mut self, id: DoorId, host: HostId, is_retry: bool, now: Time) -> Token {
        self.last_start = Some(now);
        let permit = self.limiter.start(now);
        if !permit.is_probe() {
            self.budget.start(self.demand.retry_budget, is_retry, now);
        }
        Token {
            host,
            door: id,
            permit,
        }
    }

    /// A request is over: its permit comes back and the limiter learns.
    pub(super) fn report(
        &mut self,
        token: Token,
        signal: Signal,
        now: Time,
        dice: &mut dyn RngCore,
    ) {
        self.patience.hear(&signal, now);
        self.limiter.report(token.permit, signal, now, dice);
    }

    /// What is worth keeping for the next run.
    pub(super) fn memory(&self, now: Time, unix_now: UnixMs) -> Memory {
        let mut memory = self.limiter.memory(now, unix_now);
        // Too old for the limiter, it still says that the host worked.
        if !has_worked(&memory) {
            memory.latency_s = self.known_latency_s;
        }
        let held = self.held_until.since(now);
        if !held.is_zero() {
            memory.held_until = memory.held_until.max(Some(unix_now + held));
        }
        memory
    }

    // ---- how it stands --------------------------------------------------------------------------

    pub(super) fn is_only_probed(&self) -> bool {
        self.limiter.only_probed_since().is_some()
    }

    /// What its limiter does.
    pub(super) fn state(&self, now: Time) -> State {
        match self.limiter.state(now) {
            State::OnlyProbed { next, since } => State::OnlyProbed {
                next: next.max(self.held_until),
                since,
            },
            State::Held { until } => State::Held {
                until: until.max(self.held_until),
            },
            State::Steady if now < self.held_until => State::Held {
                until: self.held_until,
            },
            State::Steady => State::Steady,
        }
    }

    /// Whether nothing but failures came through it for so long that all its hosts are given up.
    pub(super) fn is_beyond_hope(&self, now: Time) -> bool {
        let since = [
            self.limiter.only_probed_since(),
            self.patience.paused_since(),
        ];
        let since = since.into_iter().flatten().min();
        since.is_some_and(|since| {
            self.patience
                .is_used_up(since, self.demand.give_up_after, now)
        })
    }

    /// Whether no turn waits for it.
    pub(super) fn has_nobody_waiting(&self) -> bool {
        self.line.as_ref().is_none_or(|line| line.is_empty())
    }

    /// Whether forgetting it loses nothing that the store does not know: nothing is under way, and no hold
    /// or delay is running.
    pub(super) fn is_idle(&self, now: Time) -> bool {
        let is_rested = self
            .last_start
            .is_none_or(|last| now.since(last) >= self.politeness.spacing());
        is_rested
            && self.has_nobody_waiting()
            && self.timer.is_none()
            && self.limiter.in_flight() == 0
            && self.state(now) == State::Steady
    }
}

fn limiter(demand: Demand, memory: Option<Memory>, now: Time, unix_now: UnixMs) -> HostLimiter {
    let ceiling = demand.ceiling;
    HostLimiter::new(Settings { ceiling }, memory, now, unix_now)
}
