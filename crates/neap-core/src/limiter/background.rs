//! Which share of requests does this host fail whatever its load?
//!
//! Counted at limits that proved good, and decaying, so that it follows a host that changes. It starts
//! from the failures that even healthy hosts have.

/// The share that is assumed before anything is known, and the least that is ever assumed.
const LEAST: f64 = 0.002;
/// The weight of that assumption, in requests.
const PRIOR: f32 = 20.0;
/// Requests that are remembered: twice this many are halved.
const KEPT: f32 = 1500.0;

/// So many requests, and such a share of them at most, show a host without failures of its own.
const CLEAN: (f32, f32) = (100.0, 0.004);

/// Counts of requests at good limits.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Background {
    failed: f32,
    seen: f32,
}

impl Background {
    /// Takes up where another run left off.
    pub(super) fn remembered(share: f64) -> Background {
        let share = share.clamp(0.0, 0.9) as f32;
        Background {
            failed: share * PRIOR,
            seen: PRIOR,
        }
    }

    /// Learns from a window at a good limit.
    pub(super) fn learn(&mut self, failed: u32, seen: u32) {
        self.failed += failed as f32;
        self.seen += seen as f32;
        if self.seen > 2.0 * KEPT {
            self.failed *= 0.5;
            self.seen *= 0.5;
        }
    }

    /// What it would be if it had also learned from these requests. They weigh more than the assumption
    /// that the host is healthy: this is asked to find out if that assumption misled.
    pub(super) fn share_with(&self, failed: u32, seen: u32) -> f64 {
        let failed = f64::from(self.failed) + f64::from(failed);
        let seen = f64::from(self.seen) + f64::from(seen) + 5.0;
        (failed / seen).clamp(LEAST, 0.9)
    }

    /// Starts anew from a window that showed a share which no cut changed, or one that shows that
    /// what was learned before was load.
    pub(super) fn replace(&mut self, failed: u32, seen: u32) {
        *self = Background {
            failed: failed as f32,
            seen: seen as f32,
        };
    }

    /// Failures and requests that were counted, without the assumption.
    pub(super) fn counts(&self) -> (f32, f32) {
        (self.failed, self.seen)
    }

    /// Whether next to nothing fails here without load, as far as enough requests tell.
    pub(super) fn is_clean(&self) -> bool {
        self.seen >= CLEAN.0 && self.failed < CLEAN.1 * self.seen
    }

    /// The share, 0.002 and up.
    pub(super) fn share(&self) -> f64 {
        let failed = f64::from(self.failed) + LEAST * f64::from(PRIOR);
        let seen = f64::from(self.seen + PRIOR);
        (failed / seen).clamp(LEAST, 0.9)
    }
}
