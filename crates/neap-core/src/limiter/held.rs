//! Which slots stay taken after their request failed?
//!
//! A refusal comes back within milliseconds, a page takes much longer: without a hold the slots of
//! refused requests would spin, and a host with 2 ms refusals would get thousands of requests a second.
//! A held slot is free again when a good answer would have come.

use std::collections::VecDeque;

use crate::time::Time;

/// The slots and when each is free again, ascending.
#[derive(Debug, Default)]
pub(super) struct HeldSlots(VecDeque<Time>);

impl HeldSlots {
    /// How many slots are held now.
    pub(super) fn count(&self, now: Time) -> u32 {
        (self.0.len() - self.0.partition_point(|until| *until <= now)) as u32
    }

    /// When the next one is free.
    pub(super) fn next_free(&self, now: Time) -> Option<Time> {
        self.0
            .get(self.0.partition_point(|until| *until <= now))
            .copied()
    }

    /// Holds one until then. Times out of order wait for those before them; they differ by less than
    /// one latency.
    pub(super) fn hold(&mut self, until: Time, now: Time) {
        self.release(now);
        let until = self.0.back().map_or(until, |last| until.max(*last));
        self.0.push_back(until);
    }

    /// Frees the slots whose time has come, and their memory with the last of them.
    pub(super) fn release(&mut self, now: Time) {
        while self.0.front().is_some_and(|until| *until <= now) {
            self.0.pop_front();
        }
        if self.0.is_empty() && self.0.capacity() > 0 {
            self.0 = VecDeque::new();
        }
    }
}
