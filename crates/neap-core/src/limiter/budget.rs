//! May a higher limit be tried, given what tries cost of late?
//!
//! Each good answer earns a share of a failure, each failure that the background does not explain
//! spends one. Tries are made only from what was earned, so whatever the host is like, about the same
//! share of its requests is wasted on learning.

use crate::time::Time;

/// Failures that one good answer earns: four in a thousand; with those of
/// the settled limit that stays below the ten that are tolerable.
const EARNED: f32 = 0.004;
/// Failures that a new host has in hand: about what finding its limit costs.
const START: f32 = 4.0;
/// Failures in hand after a host turned out to bear far less than before.
const FORGIVEN: f32 = 2.0;
/// Most failures that can be in hand, and most that can be owed.
const BOUNDS: (f32, f32) = (-12.0, 12.0);

/// Failures in hand; negative if owed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Budget(f32);

impl Default for Budget {
    fn default() -> Budget {
        Budget(START)
    }
}

impl Budget {
    /// A good answer came. It also pays for the failures that a background share brings with it.
    pub(super) fn earn(&mut self, background: f64) {
        let usual = background / (1.0 - background);
        self.0 = (self.0 + EARNED + usual as f32).min(BOUNDS.1);
    }

    /// A failure came that a try caused.
    pub(super) fn spend(&mut self) {
        self.0 = (self.0 - 1.0).max(BOUNDS.0);
    }

    /// What was spent was spent by mistake.
    pub(super) fn refund(&mut self) {
        self.0 = self.0.max(START);
    }

    /// The host bears far less than it did: what tries cost at the old limit is not held against those at
    /// the new one, which cost less.
    pub(super) fn forgive(&mut self) {
        self.0 = self.0.max(FORGIVEN);
    }

    /// Whether a try that may cost so many failures is covered.
    pub(super) fn covers(&self, cost: f64) -> bool {
        f64::from(self.0) >= cost.min(f64::from(BOUNDS.1) * 0.75)
    }
}

/// When the next try may be made: each that fails doubles the wait.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// Not before this.
    pub(super) next: Time,
    wait: f32,
    /// Whether that is the end of a pause.
    is_pause: bool,
}

/// Bounds of the wait between two tries in seconds. The upper one bounds how late a host's new strength
/// is noticed.
const WAIT: (f32, f32) = (0.05, 8.0);

/// Half of the first wait in seconds after a try that was in vain.
const IN_VAIN: f32 = 1.0;

impl Default for Patience {
    fn default() -> Patience {
        Patience {
            next: Time::ZERO,
            wait: WAIT.0,
            is_pause: false,
        }
    }
}

impl Patience {
    /// A try failed.
    pub(super) fn failed(&mut self, now: Time) {
        self.wait = (self.wait * 2.0).min(WAIT.1);
        self.next = now + std::time::Duration::from_secs_f32(self.wait);
        self.is_pause = false;
    }

    /// A try failed that would fail again soon: the host did not refuse, it only had no more to give.
    pub(super) fn in_vain(&mut self, now: Time) {
        self.wait = self.wait.max(IN_VAIN);
        self.failed(now);
    }

    /// Nothing speaks against a try any more, except a pause.
    pub(super) fn relax(&mut self) {
        self.wait = WAIT.0;
        if !self.is_pause {
            self.next = Time::ZERO;
        }
    }

    /// The host changed: what failed before may succeed, except what is paused.
    pub(super) fn renew(&mut self) {
        self.wait = WAIT.0;
    }

    /// A try succeeded.
    pub(super) fn succeeded(&mut self) {
        self.wait = (self.wait / 2.0).max(WAIT.0);
    }

    /// No try for so long.
    pub(super) fn pause(&mut self, until: Time) {
        self.next = self.next.max(until);
        self.is_pause = true;
    }

    /// Whether no try at all may be made.
    pub(super) fn is_paused(&self, now: Time) -> bool {
        self.is_pause && now < self.next
    }
}
