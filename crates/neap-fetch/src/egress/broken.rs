//! Why is there no connection through a proxy, and what was learned of that?

use std::error::Error;
use std::fmt;
use std::io;

use bytes::Bytes;
use neap_core::exchange::FailureKind;
use neap_core::route::Route;

use crate::failure;

/// Bytes that are kept of what is not the protocol that was due.
pub(crate) const GARBAGE_BYTES: usize = 64;

/// A connection through a proxy could not be made. It passes through the client below, whose error has
/// it as a cause.
#[derive(Debug)]
pub(crate) struct Broken {
    pub(crate) kind: FailureKind,
    /// What happened, for people.
    pub(crate) detail: String,
    /// The way so far.
    pub(crate) route: Box<Route>,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl Error for Broken {}

/// What went wrong in one step, before the way so far is added.
pub(crate) struct Fault {
    pub(crate) kind: FailureKind,
    pub(crate) detail: String,
    /// What came instead of the protocol that was due.
    pub(crate) garbage: Option<Bytes>,
    /// Whether it was a reset.
    pub(crate) was_reset: bool,
}

impl Fault {
    pub(crate) fn new(kind: FailureKind, detail: impl Into<String>) -> Fault {
        Fault {
            kind,
            detail: detail.into(),
            garbage: None,
            was_reset: false,
        }
    }

    pub(crate) fn garbage(kind: FailureKind, detail: impl Into<String>, bytes: &[u8]) -> Fault {
        let kept = &bytes[..bytes.len().min(GARBAGE_BYTES)];
        Fault {
            garbage: (!kept.is_empty()).then(|| Bytes::copy_from_slice(kept)),
            ..Fault::new(kind, detail)
        }
    }

    /// The same, after an error of the system.
    pub(crate) fn after(self, error: Option<&io::Error>) -> Fault {
        let was_reset = error.is_some_and(|error| failure::was_reset(error));
        Fault { was_reset, ..self }
    }
}
