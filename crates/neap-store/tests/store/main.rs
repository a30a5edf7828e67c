//! The store as a crawl uses it, on real files.

// A test fails by a panic, and an event that it did not expect is one.
#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm)]

mod blame;
mod bodies;
mod discovery;
mod interleavings;
mod leftovers;
mod opening;
mod outside;
mod people;
mod queries;
mod recovery;
mod revisits;
mod support;
mod upkeep;
mod verdicts;
mod views;
