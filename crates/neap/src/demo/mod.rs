//! What does neap do when a host is in trouble? A demonstration on this machine.

pub(crate) mod shop;

/// The job that the demo runs; its `input.urls` are replaced by the shop's address.
pub(crate) const JOB_FILE: &str = include_str!("../../../../jobs/demo.toml");
