//! What leaves the store in the form of other programs?

mod cdxj;
mod draft;
mod sorted;

pub use draft::{Draft, Replaces};
