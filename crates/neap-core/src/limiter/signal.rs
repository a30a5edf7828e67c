//! What does one exchange tell about what its host can bear?

use std::time::Duration;

/// What one exchange tells about what its host can bear.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Signal {
    /// What happened.
    pub kind: SignalKind,
    /// From the request to the answer's header, if there was one; without what resolving and connecting took.
    pub latency: Option<Duration>,
    /// What the answer's `Retry-After` asks for.
    pub retry_after: Option<Duration>,
    /// Whether the same request failed before: then a failure may be the page's own.
    pub is_retry: bool,
}

impl Signal {
    /// The signal of an exchange that tells nothing, such as one that never took place.
    pub const NOTHING: Signal = Signal {
        kind: SignalKind::Nothing,
        latency: None,
        retry_after: None,
        is_retry: false,
    };
}

/// What happened, as far as load is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SignalKind {
    /// An answer of the host that shows that it works.
    Ok,
    /// A gateway's or server's word for overload: 502, 503, 504.
    Overload,
    /// Too many requests in a time: 429.
    RateLimited,
    /// No connection, or one that was reset.
    Connect,
    /// No answer in time.
    Timeout,
    /// An answer that shows that the host is there, and nothing of its load: a page refused, or failed.
    Alive,
    /// Nothing that concerns load.
    Nothing,
}

impl SignalKind {
    /// Whether it is a failure that may be one of the whole host.
    pub const fn is_load_failure(self) -> bool {
        match self {
            SignalKind::Overload
            | SignalKind::RateLimited
            | SignalKind::Connect
            | SignalKind::Timeout => true,
            SignalKind::Ok | SignalKind::Alive | SignalKind::Nothing => false,
        }
    }
}
