//! How much memory may the bodies of all exchanges take together?
//!
//! Each exchange reads its first [`FREE_BYTES`] without asking. Before it grows beyond, it takes what
//! it could need at worst, once, and gives back what it did not need when the body is complete. It
//! never waits while it holds a share, so shares cannot deadlock. Their holders may be slow, but the
//! host's own timeouts end them.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes that the bodies of all exchanges may take together unless told otherwise: thirty-two bodies
/// of the default `request.max_body`, or sixteen if all are coded.
pub const DEFAULT_MEMORY_BYTES: u64 = 512 << 20;

/// Bytes of a body that are read without asking the budget. The median page of the HTTP Archive is
/// 30 kB as sent; with 64 requests in flight this comes to 16 MiB.
pub const FREE_BYTES: u64 = 256 << 10;

/// The unit of the semaphore: a `u32` of KiB counts 4 TiB.
const UNIT_BYTES: u64 = 1 << 10;

/// The bytes that bodies in memory may take together.
#[derive(Debug)]
pub struct MemoryBudget {
    units: Arc<Semaphore>,
    total_units: u32,
}

impl MemoryBudget {
    /// A budget of `bytes`, rounded down to KiB, at least one KiB.
    pub fn new(bytes: u64) -> MemoryBudget {
        let total_units = u32::try_from(bytes / UNIT_BYTES).unwrap_or(u32::MAX).max(1);
        let total_units =
            total_units.min(u32::try_from(Semaphore::MAX_PERMITS).unwrap_or(u32::MAX));
        MemoryBudget {
            units: Arc::new(Semaphore::new(total_units as usize)),
            total_units,
        }
    }

    /// Bytes that nobody holds.
    pub fn free_bytes(&self) -> u64 {
        self.units.available_permits() as u64 * UNIT_BYTES
    }

    /// Waits until `bytes` are free and takes them. More than the whole budget counts as the whole
    /// budget, so that the largest body is read alone rather than never.
    ///
    /// Whoever waits here must not hold a [`Share`] already.
    pub(crate) async fn take(&self, bytes: u64) -> Share {
        let units = u32::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX);
        let permit = Arc::clone(&self.units)
            .acquire_many_owned(units.min(self.total_units))
            .await
            .expect("the semaphore is never closed");
        Share(Some(permit))
    }
}

impl Default for MemoryBudget {
    /// [`DEFAULT_MEMORY_BYTES`].
    fn default() -> MemoryBudget {
        MemoryBudget::new(DEFAULT_MEMORY_BYTES)
    }
}

/// A part of the budget, given back when dropped.
#[derive(Debug, Default)]
pub struct Share(Option<OwnedSemaphorePermit>);

impl Share {
    /// Bytes that this share holds; 0 for a body within [`FREE_BYTES`].
    pub fn bytes(&self) -> u64 {
        self.0
            .as_ref()
            .map_or(0, |permit| permit.num_permits() as u64 * UNIT_BYTES)
    }

    /// Gives back all but `bytes`.
    pub(crate) fn shrink_to(&mut self, bytes: u64) {
        if let Some(permit) = &mut self.0 {
            let keep = usize::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(usize::MAX);
            let excess = permit.num_permits().saturating_sub(keep);
            drop(permit.split(excess));
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_share_comes_back_in_two_steps() {
        let budget = MemoryBudget::new(64 << 10);
        let mut share = budget.take(60 << 10).await;
        assert_eq!(budget.free_bytes(), 4 << 10);
        share.shrink_to(10_000);
        assert_eq!((share.bytes(), budget.free_bytes()), (10 << 10, 54 << 10));
        drop(share);
        assert_eq!(budget.free_bytes(), 64 << 10);
    }

    #[tokio::test]
    async fn what_is_not_free_is_waited_for() {
        let budget = MemoryBudget::new(64 << 10);
        let held = budget.take(40 << 10).await;
        assert!(budget.take(40 << 10).now_or_never().is_none());
        drop(held);
        assert!(budget.take(40 << 10).now_or_never().is_some());
    }

    #[tokio::test]
    async fn more_than_everything_is_everything() {
        let budget = MemoryBudget::new(64 << 10);
        let share = budget.take(u64::MAX).await;
        assert_eq!((share.bytes(), budget.free_bytes()), (64 << 10, 0));
    }
}
