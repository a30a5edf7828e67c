//! What went wrong, by the words, the status and the time of an answer whose author is known?
//!
//! Words never say who wrote an answer. Only when that is known do they say why: a proxy that answers "connection
//! refused" speaks of the host.

use std::time::Duration;

use super::phrases::Seen;
use super::words::{Cause, Fault};

/// Phrases of gateways and proxies, by what they mean; the first that is found counts, so the more exact ones
/// come first. Sources: squid's error templates and `X-Squid-Error`, Apache's mod_proxy, HAProxy, tinyproxy and Envoy as
/// captured; errno texts of libc, Go, Node and Python; names of errors in RFC 9209, section 2.3.
pub(super) const CAUSES: &[(Cause, &[&str])] = &[
    (
        Cause::ProxyAuth,
        &[
            "err_cache_access_denied",
            "proxy authentication required",
            "has not configured it to service requests from you",
            "proxy authentication failed",
            "authentication failed",
            "auth_failed",
        ],
    ),
    (
        Cause::DnsFailure,
        &[
            "err_dns_fail",
            "dns lookup fail",
            "dns failure",
            "dns_error",
            "dns_timeout",
            "dns error",
            "dns resolution",
            "could not resolve",
            "cannot resolve",
            "can't resolve",
            "unable to resolve",
            "failed to resolve",
            "name or service not known",
            "temporary failure in name resolution",
            "name resolution fail",
            "nodename nor servname",
            "no such host",
            "unable to locate the server",
            "no such domain",
            "no such name",
            "host not found",
            "unknown host",
            "nxdomain",
            "enotfound",
            "getaddrinfo",
            "domain name not found",
            "destination_not_found",
        ],
    ),
    (
        Cause::ConnectRefused,
        &[
            "err_connect_fail 111",
            "connection refused",
            "connection_refused",
            "econnrefused",
            "(111)",
            "[errno 111]",
            "actively refused",
        ],
    ),
    (
        Cause::Unreachable,
        &[
            "err_connect_fail 113",
            "err_connect_fail 101",
            "no route to host",
            "network is unreachable",
            "host is unreachable",
            "host unreachable",
            "network unreachable",
            "ehostunreach",
            "enetunreach",
            "destination_ip_unroutable",
            "destination_unavailable",
        ],
    ),
    (
        Cause::TlsFailure,
        &[
            "err_secure_connect_fail",
            "error during ssl handshake",
            "ssl handshake",
            "tls handshake",
            "tls_protocol_error",
            "tls_certificate_error",
            "tls_alert_received",
            "certificate verify failed",
            "handshake failure",
            "tls: failed to verify",
            "tls: first record does not look like",
        ],
    ),
    (
        Cause::ConnectTimeout,
        &[
            "err_connect_fail 110",
            "connection timed out",
            "connection_timeout",
            "connect timed out",
            "connect timeout",
            "timed out while connecting",
            "i/o timeout",
            "etimedout",
            "[errno 110]",
        ],
    ),
    (
        Cause::ReadTimeout,
        &[
            "err_read_timeout",
            "err_lifetime_exp",
            "first byte timeout",
            "upstream request timeout",
            "upstream timed out",
            "response timeout",
            "http_response_timeout",
            "connection_read_timeout",
            "read timeout",
            "read timed out",
            "too much time has passed",
            "the server didn't respond",
            "did not respond in time",
            "did not receive a timely response",
            "timeout awaiting response headers",
            "deadline exceeded",
        ],
    ),
    (
        Cause::UpstreamReset,
        &[
            "err_read_error 104",
            "connection reset",
            "connection_terminated",
            "econnreset",
            "broken pipe",
            "[errno 104]",
        ],
    ),
    (
        Cause::UpstreamClosed,
        &[
            "err_zero_size_object",
            "error reading from remote server",
            "empty reply",
            "unexpected eof",
            "server disconnected",
            "remote end closed",
            "prematurely closed",
            "socket hang up",
            "connection closed before",
            "closed the connection before",
            "no data received from server",
            "no server or forwarder data received",
            "connection termination",
            "http_response_incomplete",
        ],
    ),
    (
        Cause::InvalidResponse,
        &[
            "err_invalid_resp",
            "err_too_big",
            "invalid or incomplete response",
            "received an invalid",
            "could not retrieve all the headers",
            "malformed http",
            "doesn't look like http",
            "did not return the document correctly",
            "http_protocol_error",
            "invalid http",
            "protocol error",
        ],
    ),
    (
        Cause::NoHealthyUpstream,
        &[
            "no healthy upstream",
            "no server is available to handle this request",
            "all backends failed",
            "no available server",
            "err_no_healthy",
        ],
    ),
    (
        Cause::ProxyLimit,
        &[
            "too many connections",
            "maximum number of connections",
            "connection_limit_reached",
            "too many concurrent",
            "rate limit",
            "over-user-limit",
        ],
    ),
    (
        Cause::ProxyNoExit,
        &[
            "no peer",
            "no_peer",
            "no exit",
            "noslaves",
            "no proxies available",
            "no available proxies",
            "session failed",
        ],
    ),
    (
        Cause::ProxyBroken,
        &[
            "proxy_internal_error",
            "proxy_internal_response",
            "proxy_configuration_error",
            "proxy_loop_detected",
            "err_shutting_down",
        ],
    ),
    (
        Cause::Policy,
        &[
            "err_access_denied",
            "err_forwarding_denied",
            "destination_ip_prohibited",
            "http_request_denied",
            "has been filtered",
            "administrative rules",
            "access denied",
            "access to this site is blocked",
            "not allowed by",
            "blocked by",
            "policy_",
        ],
    ),
];

/// From when on an answer is taken for the end of somebody's patience. Refused, closed and invalid answers of captured
/// gateways came after 13 to 15 ms (median), time-outs never before the gateway's own, of which a second is the
/// shortest in use.
pub(super) const SLOW: Duration = Duration::from_secs(1);

/// What the words say; `None` if they say nothing.
pub(super) fn by_words(seen: Seen) -> Option<(Cause, &'static str)> {
    for (cause, phrases) in CAUSES {
        if let Some(phrase) = phrases.iter().find(|phrase| seen.has(phrase)) {
            return Some((*cause, phrase));
        }
    }
    None
}

/// What status and time say of the failure of a gateway or proxy.
pub(super) fn by_status(status: u16, elapsed: Option<Duration>) -> Cause {
    let is_slow = elapsed.is_some_and(|elapsed| elapsed >= SLOW);
    match status {
        401 | 403 | 451 => Cause::Forbidden,
        404 | 410 => Cause::NotFound,
        429 => Cause::RateLimit,
        400..500 => Cause::BadRequest,
        504 => Cause::ReadTimeout,
        500..600 if is_slow => Cause::ReadTimeout,
        503 => Cause::Overload,
        _ => Cause::GatewayError,
    }
}

/// What the status says of the failure of an application.
pub(super) fn of_app(status: u16, asks_to_wait: bool) -> Cause {
    match status {
        401 | 403 | 407 | 451 => Cause::Forbidden,
        404 | 410 => Cause::NotFound,
        429 => Cause::RateLimit,
        400..500 => Cause::BadRequest,
        503 if asks_to_wait => Cause::Overload,
        _ => Cause::AppError,
    }
}

/// Cloudflare's own statuses: <https://developers.cloudflare.com/support/troubleshooting/http-status-codes/>.
pub(super) fn of_cloudflare(status: u16) -> Cause {
    match status {
        520 => Cause::InvalidResponse,
        521 => Cause::ConnectRefused,
        522 => Cause::ConnectTimeout,
        523 => Cause::Unreachable,
        524 => Cause::ReadTimeout,
        525 | 526 => Cause::TlsFailure,
        530 => Cause::DnsFailure,
        _ => Cause::GatewayError,
    }
}

/// Statuses that Apify's proxy-chain gives: its `statuses.js`, version 3.0.1.
pub(super) fn of_proxy_chain(status: u16) -> Option<Cause> {
    match status {
        590 | 592 | 599 => Some(Cause::GatewayError),
        593 => Some(Cause::DnsFailure),
        594 => Some(Cause::ConnectRefused),
        595 => Some(Cause::UpstreamReset),
        596 => Some(Cause::UpstreamClosed),
        597 => Some(Cause::ProxyAuth),
        _ => None,
    }
}

/// What a SOCKS5 reply means: RFC 1928, section 6; 255 is a login that the proxy refused (RFC 1929).
pub(super) fn of_socks(reply: u8) -> Cause {
    match reply {
        0 => Cause::Ok,
        1 => Cause::GatewayError,
        2 => Cause::Policy,
        3 | 4 => Cause::Unreachable,
        5 => Cause::ConnectRefused,
        6 => Cause::ConnectTimeout,
        255 => Cause::ProxyAuth,
        _ => Cause::ProxyBroken,
    }
}

/// Whose fault it is when a forward proxy itself reports this.
pub(super) fn fault_reported_by_proxy(cause: Cause) -> Fault {
    match cause {
        Cause::ProxyAuth => Fault::OwnCredentials,
        Cause::Forbidden
        | Cause::RateLimit
        | Cause::ProxyQuota
        | Cause::Policy
        | Cause::ProxyLimit
        | Cause::ProxyDown
        | Cause::ProxyBroken
        | Cause::ProxyNoExit => Fault::Proxy,
        Cause::OwnNetwork => Fault::OwnNetwork,
        Cause::Ok | Cause::TooLarge => Fault::Nobody,
        Cause::Unknown => Fault::Unknown,
        // That the proxy reached nobody is what it says of the host, also where it does not say why.
        Cause::DnsFailure
        | Cause::ConnectRefused
        | Cause::ConnectTimeout
        | Cause::Unreachable
        | Cause::TlsFailure
        | Cause::UpstreamClosed
        | Cause::UpstreamReset
        | Cause::ReadTimeout
        | Cause::InvalidResponse
        | Cause::Truncated
        | Cause::Corrupt
        | Cause::Empty
        | Cause::Overload
        | Cause::NoHealthyUpstream
        | Cause::GatewayError
        | Cause::AppError
        | Cause::NotFound
        | Cause::BadRequest
        | Cause::Challenge
        | Cause::Block => Fault::Host,
    }
}

/// Whether a cause says why, and not only that.
pub(super) fn is_exact(cause: Cause) -> bool {
    !matches!(
        cause,
        Cause::Unknown
            | Cause::GatewayError
            | Cause::Overload
            | Cause::NotFound
            | Cause::BadRequest
            | Cause::AppError
    )
}
