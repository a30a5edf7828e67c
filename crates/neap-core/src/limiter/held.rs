//! Which slots stay taken after their request failed?
//!
//! A refusal comes back within milliseconds, a page takes much longer: without a hold the slots of
//! refused requests would spin, and a host with 2 ms refusals would get thousands of requests a second.
//! A held slot is free again when a good answer would have come.

use std::collections::VecDeque;

use crate::time::Time;

/// The slots and when each is free again, ascending. Boxed, since most hosts hold none: those take no more
/// room than this.
#[derive(Debug, Default)]
pub(super) struct HeldSlots(Option<Box<Slots>>);

#[derive(Debug, Default)]
struct Slots(VecDeque<Time>);

impl HeldSlots {
    /// How many slots are held now.
    pub(super) fn count(&self, now: Time) -> u32 {
        self.0.as_ref().map_or(0, |slots| slots.held(now).len()) as u32
    }

    /// When the next one is free.
    pub(super) fn next_free(&self, now: Time) -> Option<Time> {
        self.0.as_ref()?.held(now).next()
    }

    /// Holds one until then. Times out of order wait for those before them; they differ by less than
    /// one latency.
    pub(super) fn hold(&mut self, until: Time, now: Time) {
        self.release(now);
        let Slots(slots) = &mut **self.0.get_or_insert_default();
        let until = slots.back().map_or(until, |last| until.max(*last));
        slots.push_back(until);
    }

    /// Frees the slots whose time has come, and their memory with the last of them.
    pub(super) fn release(&mut self, now: Time) {
        let Some(Slots(slots)) = self.0.as_deref_mut() else {
            return;
        };
        while slots.front().is_some_and(|until| *until <= now) {
            slots.pop_front();
        }
        if slots.is_empty() {
            self.0 = None;
        }
    }
}

impl Slots {
    /// Those that are still held.
    fn held(&self, now: Time) -> impl ExactSizeIterator<Item = Time> {
        let first = self.0.partition_point(|until| *until <= now);
        self.0.range(first..).copied()
    }
}
