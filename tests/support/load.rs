//! Which tests must not run at the same time?
//!
//! One that judges how a host's load is learned from its answers needs the machine to itself as far as this
//! program can give it that; one that keeps both cores busy for long takes it away.

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

static BUSY: RwLock<()> = RwLock::new(());

/// As long as this is held, no test that needs quiet runs.
pub(crate) fn busy() -> RwLockReadGuard<'static, ()> {
    BUSY.read().unwrap_or_else(PoisonError::into_inner)
}

/// As long as this is held, no test that says that it is busy runs.
pub(crate) fn quiet() -> RwLockWriteGuard<'static, ()> {
    BUSY.write().unwrap_or_else(PoisonError::into_inner)
}
