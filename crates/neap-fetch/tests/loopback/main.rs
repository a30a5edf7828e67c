//! Exchanges with hosts on loopback that answer well, late, wrongly or never.

#![expect(clippy::unwrap_used, reason = "all of this is tests, helpers too")]

mod answers;
mod codings;
mod connections;
mod corpora;
mod egress;
mod headers;
mod limits;
mod memory;
mod sockets;
mod support;
mod times;
mod tls;
