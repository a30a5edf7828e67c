//! Which requests of one job for one host are in memory, and where does the store go on?

use std::collections::VecDeque;

use super::REFILL;
use super::work::{Position, Ready, Refill};
use crate::ids::{HostId, JobId, RequestId};

/// Retries that a lane holds in memory, at most. They may have to wait for their budget, and must not take
/// up the memory of others meanwhile; the store keeps the rest.
const MOST_AGAIN: usize = 2 * REFILL;

/// The requests of one job for one host.
#[derive(Debug)]
pub(super) struct Lane {
    /// Requests that failed before and waited; they go before fresh ones, if their budget allows it.
    again: VecDeque<Ready>,
    fresh: VecDeque<Ready>,
    /// The store was read up to here.
    cursor: Position,
    /// The store may hold more behind the cursor.
    has_more: bool,
    /// The store holds something that goes before all that is in memory.
    is_overtaken: bool,
    /// Retries for which there was no place were passed over, none of them at or before this.
    passed: Option<Position>,
    reading: Option<Reading>,
    /// It is among those that want requests from the store.
    pub(super) is_hungry: bool,
    /// It stands in the ring, or is parked at its host or its job. A lane is not removed before that
    /// turn comes up, so that there is never a second one.
    pub(super) has_turn: bool,
}

/// A refill that is under way. The store answers what it saw at some moment in between, so whatever
/// happens meanwhile has to be kept until then.
#[derive(Debug)]
pub(super) struct Reading {
    /// Requests that were asked for, at most.
    pub(super) count: usize,
    /// It looks for retries that were passed over, before the cursor.
    is_behind: bool,
    /// The lane was cleared: what comes is of no use.
    pub(super) is_void: bool,
    /// Requests whose records were committed; the answer may still show them as they were before.
    pub(super) recorded: Vec<RequestId>,
    /// The first position at which more was reported; the answer may not show it yet.
    reported: Option<Position>,
}

impl Lane {
    /// A lane whose first ready request stands at `first`.
    pub(super) fn new(first: Position) -> Lane {
        Lane {
            again: VecDeque::new(),
            fresh: VecDeque::new(),
            cursor: before(first),
            has_more: true,
            is_overtaken: false,
            passed: None,
            reading: None,
            is_hungry: false,
            has_turn: false,
        }
    }

    /// The store holds ready requests from `first` on, maybe behind what was read.
    pub(super) fn more_from(&mut self, first: Position) {
        self.has_more = true;
        if let Some(reading) = &mut self.reading {
            reading.reported = Some(reading.reported.map_or(first, |p| p.min(first)));
        } else if first <= self.cursor {
            self.cursor = before(first);
            self.is_overtaken |= self.fresh.front().is_some_and(|row| first < row.position);
        }
    }

    /// Whether it is time to read on: early enough that the host never waits for the store.
    pub(super) fn wants_refill(&self, limit: usize) -> bool {
        let wants_fresh = self.has_more && (self.is_overtaken || self.fresh.len() <= limit.max(8));
        let is_free = self.reading.is_none() && !self.is_hungry;
        is_free && (wants_fresh || self.wants_passed())
    }

    fn wants_passed(&self) -> bool {
        self.passed.is_some() && self.again.len() < MOST_AGAIN / 2
    }

    /// Whether the store may hold more. A hungry lane that was cleared has nothing to ask for.
    pub(super) fn has_more(&self) -> bool {
        self.has_more || self.passed.is_some()
    }

    pub(super) fn begin_refill(&mut self, job: JobId, host: HostId, count: usize) -> Refill {
        self.is_hungry = false;
        let needs_fresh = self.has_more && (self.is_overtaken || self.fresh.is_empty());
        let behind = match self.wants_passed() && !needs_fresh {
            true => self.passed.take(),
            false => None,
        };
        if behind.is_none() {
            // Cleared now and not when the answer comes, so that what is reported in between is kept.
            self.has_more = false;
            self.is_overtaken = false;
        }
        self.reading = Some(Reading {
            count,
            is_behind: behind.is_some(),
            is_void: false,
            recorded: Vec::new(),
            reported: None,
        });
        Refill {
            job,
            host,
            after: behind.unwrap_or(self.cursor),
            count,
        }
    }

    /// The store answered; `None` if it was not asked.
    pub(super) fn end_refill(
        &mut self,
        last: Option<Position>,
        is_exhausted: bool,
    ) -> Option<Reading> {
        let reading = self.reading.take()?;
        match (reading.is_void, reading.is_behind) {
            (true, _) => {}
            (false, false) => {
                self.has_more |= !is_exhausted;
                self.cursor = last.map_or(self.cursor, |last| last.max(self.cursor));
            }
            (false, true) => {
                // What may be behind the cursor anyway is found by reading on there.
                let is_left = |last: &Position| *last < self.cursor || !self.has_more;
                if let Some(last) = last.filter(|last| !is_exhausted && is_left(last)) {
                    self.pass_over_after(last);
                }
            }
        }
        if let Some(first) = reading.reported {
            self.more_from(first);
        }
        Some(reading)
    }

    /// A record was committed; says whether a refill is under way that may not have seen that.
    pub(super) fn keeps_recorded(&mut self, request: RequestId) -> bool {
        if let Some(reading) = &mut self.reading {
            reading.recorded.push(request);
        }
        self.reading.is_some()
    }

    /// Whether there is a place for a request; if not, it is left in the store for later.
    pub(super) fn has_place(&mut self, row: &Ready) -> bool {
        let is_full = row.has_failed() && self.again.len() >= MOST_AGAIN;
        if is_full {
            self.pass_over_after(before(row.position));
        }
        !is_full
    }

    fn pass_over_after(&mut self, position: Position) {
        self.passed = Some(self.passed.map_or(position, |p| p.min(position)));
    }

    /// Takes in a request that was read from the store; what goes before others stands before them.
    pub(super) fn push(&mut self, row: Ready) {
        if row.has_failed() {
            self.again.push_back(row);
            return;
        }
        let later = self.fresh.iter().rev();
        let later = later.take_while(|known| known.position > row.position);
        let place = self.fresh.len() - later.count();
        self.fresh.insert(place, row);
    }

    /// The next request, a retry first.
    pub(super) fn pop(&mut self) -> Option<Ready> {
        self.again.pop_front().or_else(|| self.fresh.pop_front())
    }

    /// Whether there is something in memory, and all of it failed before.
    pub(super) fn has_only_retries(&self) -> bool {
        self.fresh.is_empty() && !self.again.is_empty()
    }

    /// A request that has not failed yet, if there is one: where the host is in doubt, a page that may be
    /// at fault itself shows nothing.
    pub(super) fn pop_untried(&mut self) -> Option<Ready> {
        self.fresh.pop_front().or_else(|| self.again.pop_front())
    }

    /// The request that [`Lane::pop`] or [`Lane::pop_untried`] would take.
    pub(super) fn peek(&self, fresh_first: bool) -> Option<RequestId> {
        let (first, then) = if fresh_first {
            (&self.fresh, &self.again)
        } else {
            (&self.again, &self.fresh)
        };
        first
            .front()
            .or_else(|| then.front())
            .map(|row| row.request)
    }

    pub(super) fn len(&self) -> usize {
        self.again.len() + self.fresh.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether there is something to do, in memory or in the store.
    pub(super) fn has_work(&self) -> bool {
        !self.is_empty() || self.has_more() || self.reading.as_ref().is_some_and(|r| !r.is_void)
    }

    /// Whether nothing is left to do here and nothing refers to it any more.
    pub(super) fn is_over(&self) -> bool {
        !self.has_work() && self.reading.is_none() && !self.is_hungry && !self.has_turn
    }

    /// Drops all work, in memory and in the store; returns what was in memory.
    pub(super) fn clear(&mut self) -> impl Iterator<Item = Ready> {
        self.has_more = false;
        self.is_overtaken = false;
        self.passed = None;
        if let Some(reading) = &mut self.reading {
            reading.is_void = true;
            reading.reported = None;
        }
        self.again.drain(..).chain(self.fresh.drain(..))
    }
}

/// The position just before this one.
fn before(position: Position) -> Position {
    Position {
        request: RequestId(position.request.0.saturating_sub(1)),
        ..position
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(request: i64) -> Position {
        Position {
            priority: 0,
            due_ms: 0,
            request: RequestId(request),
        }
    }

    fn read(lane: &mut Lane) -> Position {
        lane.begin_refill(JobId(1), HostId(1), 32).after
    }

    #[test]
    fn what_is_reported_during_a_read_is_read_next() {
        let mut lane = Lane::new(at(10));
        assert_eq!(read(&mut lane), at(9));
        lane.more_from(at(15));
        lane.end_refill(Some(at(20)), true);
        assert!(lane.wants_refill(1));
        assert_eq!(read(&mut lane), at(14), "15 may have come after the read");
        lane.end_refill(Some(at(20)), true);
        assert!(lane.is_over());
    }

    #[test]
    fn what_is_reported_before_the_cursor_sets_it_back() {
        let mut lane = Lane::new(at(10));
        read(&mut lane);
        lane.end_refill(Some(at(20)), true);
        lane.more_from(at(30));
        assert_eq!(read(&mut lane), at(20));
        lane.more_from(at(3));
        lane.end_refill(Some(at(30)), false);
        assert_eq!(read(&mut lane), at(2));
    }

    #[test]
    fn a_lane_that_was_cleared_is_over_only_when_its_read_came_back() {
        let mut lane = Lane::new(at(1));
        read(&mut lane);
        assert_eq!(lane.clear().count(), 0);
        assert!(!lane.has_work() && !lane.is_over());
        let reading = lane.end_refill(Some(at(5)), false);
        assert!(reading.is_some_and(|r| r.is_void));
        assert!(lane.is_over());
    }

    #[test]
    fn a_lane_that_was_cleared_and_gets_new_work_reads_it() {
        let mut lane = Lane::new(at(1));
        read(&mut lane);
        lane.clear().for_each(drop);
        lane.more_from(at(3));
        lane.end_refill(Some(at(5)), true);
        assert!(lane.wants_refill(1));
        assert!(read(&mut lane) < at(3));
    }
}
