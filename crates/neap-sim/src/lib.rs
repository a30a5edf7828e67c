//! Models: hosts, clients and oracle in virtual time; judges the core.
//!
//! The limiter that ships is run against modelled hosts that fail in known ways, and compared with the
//! best fixed limit chosen in hindsight. See `README.md` for the model and its defaults.

pub mod algorithm;
pub mod client;
pub mod egress;
pub mod host;
pub mod measure;
pub mod oracle;
pub mod proxies;
pub mod report;
pub mod scenario;
pub mod simulation;
