//! Asks: one HTTP exchange within its limits; the only sockets.
//!
//! [`Fetcher::fetch`] sends one request, directly or by an [`Egress`], and gives back an [`Exchange`](neap_core::exchange::Exchange),
//! whatever happened: a failure is data, to be classified and learned from. Nothing here retries,
//! follows or decides, with one exception: a kept connection that the server closed just as it was
//! used again says nothing about the host, so the request goes out once more on a fresh one.
//!
//! | file | its question |
//! | --- | --- |
//! | `fetcher` | what happens in one exchange, in order? |
//! | `settings`, `headers` | what is asked for, and what is sent to whom? |
//! | `engine`, `connection` | over which connection does a request go, and how? |
//! | `sockets`, `kept`, `lease` | which connections are kept, and which gives way? |
//! | `direct`, `dns`, `tcp`, `tls` | how is a connection made? |
//! | `egress` | and through a proxy? |
//! | `route`, `certificate` | what was seen on the way? |
//! | `phases` | how long did names, connecting and waiting take? |
//! | `incoming`, `body`, `decode`, `memory` | how is a body read without running out of memory? |
//! | `pace` | how are bodies read no faster than a job allows? |
//! | `pem` | which certificates and keys are in files? |
//! | `failure` | what does an error of the layers below mean? |

mod body;
mod certificate;
mod connection;
mod decode;
mod direct;
mod dns;
mod egress;
mod engine;
mod failure;
mod fetcher;
mod headers;
mod incoming;
mod kept;
mod lease;
mod memory;
mod pace;
mod pem;
mod phases;
mod route;
mod settings;
mod sockets;
mod tcp;
mod tls;

pub use body::BodyLimit;
pub use decode::{DecodeError, decode};
pub use egress::{Egress, ProxyError, TemplateError};
pub use fetcher::{Ask, Fetched, Fetcher, MAX_HEADER_BYTES, MAX_HEADER_FIELDS};
pub use headers::REDACTED;
pub use memory::{DEFAULT_MEMORY_BYTES, FREE_BYTES, MemoryBudget, Share};
pub use pace::Pace;
pub use pem::{ClientCertificate, PemError, certificates};
pub use settings::{FetchError, FetchSettings, JobHeader};
pub use sockets::Sockets;

/// A certificate as TLS has it: DER.
pub use rustls::pki_types::CertificateDer;
