//! Which tests must not run at the same time?
//!
//! Those that judge how a host's load is learned from its answers need the machine to themselves, as far as this
//! program can give it to them; one that keeps both cores busy for long takes it away.

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

static BUSY: RwLock<()> = RwLock::new(());

/// As long as this is held, neither a test that needs quiet runs nor another busy one.
pub(crate) fn busy() -> RwLockWriteGuard<'static, ()> {
    BUSY.write().unwrap_or_else(PoisonError::into_inner)
}

/// As long as this is held, no busy test runs.
pub(crate) fn quiet() -> RwLockReadGuard<'static, ()> {
    BUSY.read().unwrap_or_else(PoisonError::into_inner)
}
