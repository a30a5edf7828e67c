//! What does a crawl look like in which nothing is real but the core?
//!
//! A model store, model hosts and an event heap in virtual time, around the loop that a runner has.

mod hosts;
mod store;
mod world;

pub(crate) use hosts::{Host, Robots};
pub(crate) use store::{Kind, Spec, State};
pub(crate) use world::{Sent, World, job, secs};
