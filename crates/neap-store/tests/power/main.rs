//! What a power cut, a full disk or a failing one leaves of a store.
//!
//! `neap-disk` stands under the system calls of this program and notes what SQLite, the segments and the rest
//! of the store ask of the disk. A small crawl is recorded, images of what a power cut may leave at any
//! moment are rebuilt from it, and each is opened, checked and crawled to its end.
//!
//! `NEAP_CRASH_IMAGES=10000 cargo test -p neap-store --test power` checks so many; without it, 500.

// A test says what is wrong by panicking.
#![allow(clippy::unwrap_used)]
#![cfg(target_os = "linux")]

mod check;
mod crawl;
mod cuts;
mod faults;
mod site;
