//! Who waits at a door, and who tries next?
//!
//! Thousands of hosts may share a door that lets two requests through, so a permit that comes back must not
//! have all of them try again. Turns wait in the order in which they came; one is called at a time, and when
//! it has gone through, the next. A turn that can do nothing with a permit waits by itself: for the retry
//! budget, or for the time at which its host's robots file may be asked for again.

use std::collections::{BTreeSet, VecDeque};

use super::turns::Turn;
use crate::ids::HostId;
use crate::time::Time;

/// The turns that wait at a door.
#[derive(Debug, Default)]
pub(super) struct Line {
    /// For a permit.
    permits: VecDeque<Turn>,
    /// For the retry budget; they have nothing fresh.
    budget: VecDeque<Turn>,
    /// For the time at which the robots file of their host may be asked for.
    robots: BTreeSet<(Time, HostId)>,
    /// Stands in the ring, and goes before those that wait for a permit.
    called: Option<Turn>,
}

impl Line {
    pub(super) fn is_empty(&self) -> bool {
        self.has_nobody_to_call() && self.robots.is_empty() && self.called.is_none()
    }

    /// Whether nobody waits for a permit or the budget.
    pub(super) fn has_nobody_to_call(&self) -> bool {
        self.permits.is_empty() && self.budget.is_empty()
    }

    pub(super) fn has_called(&self) -> bool {
        self.called.is_some()
    }

    /// Whether this turn may not go before others that came earlier.
    pub(super) fn is_behind_others(&self, was_called: bool) -> bool {
        !was_called && !self.permits.is_empty()
    }

    /// Whether turns wait that only the retry budget lets in.
    pub(super) fn waits_for_budget(&self) -> bool {
        !self.budget.is_empty()
    }

    /// A turn found the gate closed. One that was called keeps its place.
    pub(super) fn wait_for_permit(&mut self, turn: Turn, was_called: bool) {
        if was_called {
            self.permits.push_front(turn);
        } else {
            self.permits.push_back(turn);
        }
    }

    /// A turn has only retries, and the budget pays for none.
    pub(super) fn wait_for_budget(&mut self, turn: Turn) {
        self.budget.push_back(turn);
    }

    /// A host's robots file is not to be asked for before then.
    pub(super) fn wait_for_robots(&mut self, host: HostId, at: Time) {
        self.robots.insert((at, host));
    }

    /// Calls the next turn: who waits for the budget first if that pays, since it pays for few. The ring gets
    /// it.
    pub(super) fn call(&mut self, may_retry: bool) -> Option<Turn> {
        let retry = may_retry.then(|| self.budget.pop_front()).flatten();
        self.called = retry.or_else(|| self.permits.pop_front());
        self.called
    }

    /// A turn is tried; whether it is the one that was called.
    pub(super) fn try_turn(&mut self, turn: Turn) -> bool {
        self.called.take_if(|called| *called == turn).is_some()
    }

    /// A turn has something fresh, and need not wait for the budget; whether it did.
    pub(super) fn leave_budget(&mut self, turn: Turn) -> bool {
        let at = self.budget.iter().position(|waiting| *waiting == turn);
        at.and_then(|at| self.budget.remove(at)).is_some()
    }

    /// A host whose robots file may be asked for by now.
    pub(super) fn pop_robots(&mut self, now: Time) -> Option<HostId> {
        let first = self.robots.first().copied().filter(|(at, _)| *at <= now)?;
        self.robots.remove(&first);
        Some(first.1)
    }

    /// When the next robots file may be asked for.
    pub(super) fn next_robots(&self) -> Option<Time> {
        self.robots.first().map(|(at, _)| *at)
    }

    /// Everybody who waits, the one who was called left aside: that one is in the ring.
    pub(super) fn dissolve(&mut self) -> Vec<Turn> {
        let robots = std::mem::take(&mut self.robots);
        let robots = robots.into_iter().map(|(_, host)| Turn::Robots(host));
        let budget = self.budget.drain(..);
        self.permits.drain(..).chain(budget).chain(robots).collect()
    }
}
