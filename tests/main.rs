//! System tests: the real executable against real servers on loopback, and the shape of the source.

// A test says what is wrong by panicking.
#![allow(clippy::unwrap_used)]

mod addresses;
mod classify;
mod commands;
mod crawl;
mod culprits;
mod demo;
mod disk;
mod errors;
mod fetch;
mod gateways;
mod hostile;
mod input;
mod jobs;
mod kill;
mod links;
mod names;
mod outage;
mod outside;
mod people;
mod pools;
mod proxies;
mod requisites;
mod rules;
mod segments;
mod sessions;
mod sitemaps;
mod sockets;
mod squid;
mod stop;
mod stores;
mod support;
mod tidy;
mod traps;
mod upkeep;
