//! What came back over the wire?
//!
//! An [`Exchange`] is one request and whatever followed: an [`Answer`], or the [`Failure`] to get one. A
//! failure is data and not an error: it is classified, recorded and learned from like an answer.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;

use crate::route::Route;

/// One request and what followed.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// The answer, or why there is none.
    pub result: Result<Answer, Failure>,
    /// How long each phase took.
    pub timings: Timings,
    /// What was sent, as far as it may be recorded: names and values, secrets left out.
    pub sent: HeaderMap,
    /// The way that it took.
    pub route: Route,
}

/// A complete answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status code, 100 to 999.
    pub status: u16,
    /// The protocol that the server spoke.
    pub version: http::Version,
    /// The header, at most 300 KiB in all.
    pub headers: HeaderMap,
    /// The payload as sent, codings such as gzip not undone; at most `request.max_body` bytes.
    pub payload: Bytes,
    /// The payload with all codings undone; at most `request.max_body` bytes. The same memory as
    /// `payload` when there was no coding.
    pub body: Bytes,
    /// The address that answered, when the connection told it.
    pub address: Option<std::net::SocketAddr>,
}

impl Answer {
    /// The first value of a header, if it is printable text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// How long each phase of an exchange took; `None` if it was not reached, or not needed because a
/// connection was reused.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Timings {
    /// Resolving the name.
    pub dns: Option<Duration>,
    /// TCP and TLS, up to a usable connection.
    pub connect: Option<Duration>,
    /// From the start of the exchange to the answer's header.
    pub first_byte: Option<Duration>,
    /// The whole exchange.
    pub total: Duration,
}

impl Timings {
    /// How long the host took to answer: to its header, without making a connection, which says little
    /// about its load; `None` if no header came.
    pub fn waiting(&self) -> Option<Duration> {
        let connecting = self.dns.unwrap_or_default() + self.connect.unwrap_or_default();
        Some(self.first_byte?.saturating_sub(connecting))
    }
}

/// Why there is no complete answer, with the words of the layer that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What kind of failure it was.
    pub kind: FailureKind,
    /// The status, when the header had come before the body failed.
    pub status: Option<u16>,
    /// What the layer that failed said, one line.
    pub detail: String,
}

/// What kept an answer from being complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// The name does not exist.
    DnsNotFound,
    /// The name could not be resolved for another reason; it may be later.
    Dns,
    /// The host is not of the public internet, and the job does not allow it.
    PrivateAddress,
    /// Nobody listens there.
    ConnectRefused,
    /// No connection for another reason: unreachable, reset while connecting.
    Connect,
    /// The TLS certificate is not to be trusted: expired, for another name, unknown issuer.
    TlsCertificate,
    /// The TLS handshake failed for another reason.
    Tls,
    /// Nothing came in time.
    Timeout(Stage),
    /// The connection was closed or reset before the answer was complete.
    Reset,
    /// What came is no HTTP.
    Protocol,
    /// The body, as sent or as decoded, is larger than `request.max_body`.
    TooLarge,
    /// The header is larger than the limit, in bytes or in fields.
    HeaderTooLarge,
    /// The body's coding (gzip, br, zstd, deflate) is broken or unknown.
    Decode,
    /// The proxy's name could not be resolved.
    ProxyDns,
    /// No TCP connection to the proxy: refused, unreachable, not in time.
    ProxyConnect,
    /// The TLS handshake with the proxy itself failed, its certificate included.
    ProxyTls,
    /// The proxy was asked for a way to the host and said nothing in time.
    ProxyTimeout,
    /// The proxy was asked for a way to the host and closed or reset without a word.
    ProxyClosed,
    /// The proxy was asked for a way to the host, and its answer is neither HTTP nor SOCKS5.
    ProxyProtocol,
    /// The proxy answered CONNECT with another status than 2xx.
    ProxyRefused,
    /// The proxy wants credentials, or others than it got: 407, or a SOCKS5 login that failed.
    ProxyAuth,
    /// The SOCKS5 proxy said that it cannot reach the host, or does not want to.
    Socks,
    /// The proxy opened a way to the host, and it was closed before a byte came of the host's TLS.
    TunnelClosed,
    /// The proxy opened a way to the host, and not a byte of the host's TLS came in time.
    TunnelTimeout,
    /// neap's own side failed: no more sockets, a worker that panicked.
    Internal,
}

/// The phase of an exchange in which time ran out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Resolving, connecting, TLS handshake.
    Connect,
    /// Waiting for the answer's header.
    Header,
    /// Reading the body.
    Body,
    /// The exchange as a whole took too long, whatever it was doing.
    Total,
}

impl FailureKind {
    /// The word for it in SQL and messages; also the `cause` of an attempt that failed this way.
    pub const fn as_str(self) -> &'static str {
        match self {
            FailureKind::DnsNotFound => "dns_not_found",
            FailureKind::Dns => "dns",
            FailureKind::PrivateAddress => "private_address",
            FailureKind::ConnectRefused => "connect_refused",
            FailureKind::Connect => "connect",
            FailureKind::TlsCertificate => "tls_certificate",
            FailureKind::Tls => "tls",
            FailureKind::Timeout(Stage::Connect) => "timeout_connect",
            FailureKind::Timeout(Stage::Header) => "timeout_header",
            FailureKind::Timeout(Stage::Body) => "timeout_body",
            FailureKind::Timeout(Stage::Total) => "timeout_total",
            FailureKind::Reset => "reset",
            FailureKind::Protocol => "protocol",
            FailureKind::TooLarge => "too_large",
            FailureKind::HeaderTooLarge => "header_too_large",
            FailureKind::Decode => "decode",
            FailureKind::ProxyDns => "proxy_dns",
            FailureKind::ProxyConnect => "proxy_connect",
            FailureKind::ProxyTls => "proxy_tls",
            FailureKind::ProxyTimeout => "proxy_timeout",
            FailureKind::ProxyClosed => "proxy_closed",
            FailureKind::ProxyProtocol => "proxy_protocol",
            FailureKind::ProxyRefused => "proxy_refused",
            FailureKind::ProxyAuth => "proxy_auth",
            FailureKind::Socks => "socks",
            FailureKind::TunnelClosed => "tunnel_closed",
            FailureKind::TunnelTimeout => "tunnel_timeout",
            FailureKind::Internal => "internal",
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.as_str(), self.detail)
    }
}
