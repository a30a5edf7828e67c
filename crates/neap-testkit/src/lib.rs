//! Misbehaves: loopback hosts that answer by a script; knows no other neap crate.
//!
//! A [`Site`] is a real HTTP/1.1 host on a loopback address, on a thread of its own, that answers as
//! its script says: well, late, wrongly, never. It speaks through raw sockets, so that it can break
//! every rule on purpose, and it keeps a log of what it was asked, which is the evidence for how
//! many requests a client had in flight, how far apart they were and what they carried.
//!
//! ```
//! use std::time::Duration;
//! use neap_testkit::{Reply, Site};
//!
//! let site = Site::builder()
//!     .page("/", Reply::html("Shop", ["/offer"]))
//!     .page("/offer", Reply::html("Offer", [""; 0]).delay(Duration::from_millis(20)))
//!     .capacity(4, Reply::status(502))
//!     .start();
//!
//! // ... point a client at `site.url("/")`, then ask what it did:
//! assert_eq!(site.count("/offer"), 0);
//! assert!(site.max_in_flight() <= 4);
//! ```
//!
//! It can speak TLS as an [`Identity`] that an [`Authority`] made for the test has signed or has
//! not, stand on several loopback addresses, serve a generated [`Tree`] of pages, and change while
//! it runs. [`Refusing`] is the host that is not there, and
//! a [`ForwardProxy`] one that stands between a client and a host. A [`NameServer`] tells where hosts are.
//!
//! [`hostile`] has all of that in one server, a path for each way to harm a client; `hostile --help` tells how to use it by hand.
//!
//! One request passes through these files in turn: `connection` reads it (`request`), `book` notes
//! it, `script` chooses the [`Reply`], `plan` has rendered that to bytes and waits, and `connection`
//! plays the plan.

mod asked;
mod book;
mod builder;
mod coding;
mod connection;
mod forward;
pub mod hostile;
mod names;
mod plan;
mod refusing;
mod reply;
mod request;
mod script;
mod site;
mod tls;
mod tree;

pub use asked::{Asked, End};
pub use book::TimedOut;
pub use builder::Builder;
pub use coding::Coding;
pub use forward::{Asking, ForwardProxy, ForwardProxyBuilder, Manner, Passed};
pub use names::{NameServer, NameServerBuilder, Naming};
pub use refusing::Refusing;
pub use reply::{ENDLESS_CAP_BYTES, Reply, Then};
pub use site::Site;
pub use tls::{Authority, Identity};
pub use tree::Tree;
