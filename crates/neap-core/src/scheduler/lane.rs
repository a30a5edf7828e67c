//! Which requests of one job for one host are in memory, and where does the store go on?

use std::collections::VecDeque;

use super::work::{Position, Ready, Refill};
use crate::ids::{HostId, JobId, RequestId};

/// The requests of one job for one host.
#[derive(Debug)]
pub(super) struct Lane {
    /// Requests that failed before and waited; they go before fresh ones.
    again: VecDeque<Ready>,
    fresh: VecDeque<Ready>,
    /// The store was read up to here.
    cursor: Position,
    /// The store may hold more behind the cursor.
    has_more: bool,
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
        }
    }

    /// Whether it is time to read on: early enough that the host never waits for the store.
    pub(super) fn wants_refill(&self, limit: usize) -> bool {
        self.has_more && self.reading.is_none() && !self.is_hungry && self.len() <= limit.max(8)
    }

    /// Whether the store may hold more. A hungry lane that was cleared has nothing to ask for.
    pub(super) fn has_more(&self) -> bool {
        self.has_more
    }

    pub(super) fn begin_refill(&mut self, job: JobId, host: HostId, count: usize) -> Refill {
        self.is_hungry = false;
        // Cleared now and not when the answer comes, so that what is reported in between is kept.
        self.has_more = false;
        self.reading = Some(Reading {
            count,
            is_void: false,
            recorded: Vec::new(),
            reported: None,
        });
        Refill {
            job,
            host,
            after: self.cursor,
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
        if !reading.is_void {
            self.has_more |= !is_exhausted;
            self.cursor = last.map_or(self.cursor, |last| last.max(self.cursor));
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

    pub(super) fn push(&mut self, row: Ready, goes_first: bool) {
        if goes_first {
            self.again.push_back(row);
        } else {
            self.fresh.push_back(row);
        }
    }

    pub(super) fn pop(&mut self) -> Option<Ready> {
        self.again.pop_front().or_else(|| self.fresh.pop_front())
    }

    /// A request that has not failed yet, if there is one: where the host is in doubt, a page that may be
    /// at fault itself shows nothing.
    pub(super) fn pop_untried(&mut self) -> Option<Ready> {
        self.fresh.pop_front().or_else(|| self.again.pop_front())
    }

    pub(super) fn len(&self) -> usize {
        self.again.len() + self.fresh.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether there is something to do, in memory or in the store.
    pub(super) fn has_work(&self) -> bool {
        !self.is_empty() || self.has_more || self.reading.as_ref().is_some_and(|r| !r.is_void)
    }

    /// Whether nothing is left to do here and nothing refers to it any more.
    pub(super) fn is_over(&self) -> bool {
        !self.has_work() && self.reading.is_none() && !self.is_hungry && !self.has_turn
    }

    /// Drops all work, in memory and in the store; returns what was in memory.
    pub(super) fn clear(&mut self) -> impl Iterator<Item = Ready> {
        self.has_more = false;
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
