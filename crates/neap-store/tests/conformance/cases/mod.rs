//! What is asked of every store, each case by a new one.

pub(crate) mod attempts;
pub(crate) mod endings;
pub(crate) mod frontier;
pub(crate) mod jobs;
pub(crate) mod runs;
