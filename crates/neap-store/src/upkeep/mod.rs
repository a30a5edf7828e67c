//! How is a store looked after?
//!
//! Looked through, measured, emptied of what is old, made smaller. What only reads may be done while a
//! run goes on; what moves or removes things takes the run's lock.

mod check;
mod gc;
mod room;
mod segments;
mod stats;

pub use check::{Check, Finding};
pub use gc::{Doomed, GcRule, Removed};
pub use room::Emptied;
pub use stats::{Part, PartKind};
