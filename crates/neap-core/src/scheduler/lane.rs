//! Which requests of one job for one host are in memory, and where does the store go on?

use std::collections::VecDeque;

use super::work::{Position, Ready, Refill};
use crate::ids::{HostId, JobId, RequestId};

/// The requests of one job for one host.
#[derive(Debug)]
pub(super) struct Lane {
    buffer: VecDeque<Ready>,
    /// The store was read up to here.
    cursor: Position,
    /// The store may hold more behind the cursor.
    has_more: bool,
    is_refilling: bool,
    /// It is among those that want requests from the store.
    pub(super) is_hungry: bool,
    /// It stands in the ring, or is parked at its host.
    pub(super) has_turn: bool,
}

impl Lane {
    /// A lane whose first ready request stands at `first`.
    pub(super) fn new(first: Position) -> Lane {
        Lane {
            buffer: VecDeque::new(),
            cursor: before(first),
            has_more: true,
            is_refilling: false,
            is_hungry: false,
            has_turn: false,
        }
    }

    /// The store holds ready requests from `first` on, maybe behind what was read.
    pub(super) fn more_from(&mut self, first: Position) {
        self.has_more = true;
        if first <= self.cursor {
            self.cursor = before(first);
        }
    }

    /// Whether it is time to read on: early enough that the host never waits for the store.
    pub(super) fn wants_refill(&self, limit: usize) -> bool {
        self.has_more && !self.is_refilling && !self.is_hungry && self.buffer.len() <= limit.max(8)
    }

    pub(super) fn begin_refill(&mut self, job: JobId, host: HostId, count: usize) -> Refill {
        self.is_hungry = false;
        self.is_refilling = true;
        // Cleared now and not when the answer comes, so that what is reported in between is kept.
        self.has_more = false;
        Refill {
            job,
            host,
            after: self.cursor,
            count,
        }
    }

    pub(super) fn refilled(&mut self, refill: &Refill, last: Option<Position>, is_exhausted: bool) {
        self.is_refilling = false;
        self.has_more |= !is_exhausted;
        // A cursor that was set back meanwhile stays where it was set.
        if self.cursor == refill.after
            && let Some(last) = last
        {
            self.cursor = last;
        }
    }

    pub(super) fn push(&mut self, row: Ready, goes_first: bool) {
        if goes_first {
            self.buffer.push_front(row);
        } else {
            self.buffer.push_back(row);
        }
    }

    pub(super) fn pop(&mut self) -> Option<Ready> {
        self.buffer.pop_front()
    }

    pub(super) fn len(&self) -> usize {
        self.buffer.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// Whether nothing is left to do here.
    pub(super) fn is_over(&self) -> bool {
        self.buffer.is_empty()
            && !self.has_more
            && !self.is_refilling
            && !self.is_hungry
            && !self.has_turn
    }

    pub(super) fn into_requests(self) -> impl Iterator<Item = RequestId> {
        self.buffer.into_iter().map(|row| row.request)
    }
}

/// The position just before this one.
fn before(position: Position) -> Position {
    Position {
        request: RequestId(position.request.0.saturating_sub(1)),
        ..position
    }
}
