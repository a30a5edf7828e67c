//! What does an exchange mean: for the page, for the host, and whose fault was it?
//!
//! One table each for statuses and for failures to get an answer. A 502, 503 or 504 speaks of the
//! host's load; a 429 of its rate; a 404, a 403 or the 500 of one page says nothing of either.

use std::time::Duration;

pub use crate::attribution::Fault;
use crate::egress::Charge;
use crate::exchange::{Exchange, FailureKind, Stage};
use crate::limiter::{Signal, SignalKind};

/// What an exchange means for the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// A page: 2xx, or a status in the 3xx range that names no target.
    Success,
    /// The page is elsewhere: 301, 302, 303, 307, 308 with a `Location`.
    Redirect,
    /// There is no such page: 404, 410.
    Gone,
    /// The server will not give it to us: 401, 403, 407, 451. Asking again does not help.
    Refused,
    /// Another 4xx: the request itself is not to the server's liking.
    ClientError,
    /// Asked too often: 429, and 420 as some still say it.
    RateLimited,
    /// A gateway without a working server behind it, or a server that says it is overloaded:
    /// 502, 503, 504, and 520 to 524 (Cloudflare).
    Overload,
    /// The server failed at this page: 500 and the other 5xx.
    ServerError,
    /// No complete answer, for a reason that may pass.
    Transient,
    /// No complete answer, for a reason that will not pass by itself.
    Permanent,
    /// neap's own side failed; neither the page nor the host is to blame.
    Internal,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Outcome; 11] = [
        Outcome::Success,
        Outcome::Redirect,
        Outcome::Gone,
        Outcome::Refused,
        Outcome::ClientError,
        Outcome::RateLimited,
        Outcome::Overload,
        Outcome::ServerError,
        Outcome::Transient,
        Outcome::Permanent,
        Outcome::Internal,
    ];

    /// The number for it in the store; never reused for another outcome.
    pub const fn code(self) -> i64 {
        match self {
            Outcome::Success => 0,
            Outcome::Redirect => 1,
            Outcome::Gone => 2,
            Outcome::Refused => 3,
            Outcome::ClientError => 4,
            Outcome::RateLimited => 5,
            Outcome::Overload => 6,
            Outcome::ServerError => 7,
            Outcome::Transient => 8,
            Outcome::Permanent => 9,
            Outcome::Internal => 10,
        }
    }

    /// The word for it in SQL and messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Outcome::Success => "success",
            Outcome::Redirect => "redirect",
            Outcome::Gone => "gone",
            Outcome::Refused => "refused",
            Outcome::ClientError => "client_error",
            Outcome::RateLimited => "rate_limited",
            Outcome::Overload => "overload",
            Outcome::ServerError => "server_error",
            Outcome::Transient => "transient",
            Outcome::Permanent => "permanent",
            Outcome::Internal => "internal",
        }
    }
}

/// What an exchange means, all in all.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Judgement {
    /// For the request.
    pub outcome: Outcome,
    /// In one word, for SQL: `http_502`, `timeout_header`, ...; `None` on success.
    pub cause: Option<Cause>,
    /// Whose fault it is.
    pub fault: Fault,
    /// What the limiter learns from it.
    pub signal: Signal,
    /// Who is charged for a failure, where several could be; `Nobody` where only the host could, or there was none.
    pub charge: Charge,
    /// Whether another way may bring what this one did not, so that the request is asked again whatever the status.
    pub goes_elsewhere: bool,
    /// Asking the same again is useless for so long.
    pub not_before: Option<Duration>,
}

/// Why an attempt brought no page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
    /// This status.
    Status(u16),
    /// No complete answer.
    Failure(FailureKind),
}

impl std::fmt::Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Cause::Status(status) => write!(f, "http_{status}"),
            Cause::Failure(kind) => f.write_str(kind.as_str()),
        }
    }
}

/// Says what an exchange means. `retry_after` is what its `Retry-After` header asks for; `is_retry`
/// whether the same request failed before.
pub fn classify(exchange: &Exchange, retry_after: Option<Duration>, is_retry: bool) -> Judgement {
    let (outcome, cause, fault, kind) = match &exchange.result {
        Ok(answer) => {
            let has_location = answer.headers.contains_key(http::header::LOCATION);
            let (outcome, fault) = by_status(answer.status, has_location);
            let cause = is_failure(outcome).then_some(Cause::Status(answer.status));
            (outcome, cause, fault, load_signal(outcome))
        }
        Err(failure) => {
            let (outcome, fault, kind) = by_failure(failure.kind);
            (outcome, Some(Cause::Failure(failure.kind)), fault, kind)
        }
    };
    let signal = Signal {
        kind,
        latency: exchange.timings.waiting(),
        retry_after,
        is_retry,
    };
    Judgement {
        outcome,
        cause,
        fault,
        signal,
        charge: Charge::Nobody,
        goes_elsewhere: false,
        not_before: None,
    }
}

fn by_status(status: u16, has_location: bool) -> (Outcome, Fault) {
    match status {
        301 | 302 | 303 | 307 | 308 if has_location => (Outcome::Redirect, Fault::Nobody),
        0..=399 => (Outcome::Success, Fault::Nobody),
        404 | 410 => (Outcome::Gone, Fault::Nobody),
        401 | 407 => (Outcome::Refused, Fault::OwnCredentials),
        403 | 451 => (Outcome::Refused, Fault::Host),
        420 | 429 => (Outcome::RateLimited, Fault::Host),
        400..=499 => (Outcome::ClientError, Fault::Nobody),
        502..=504 | 520..=524 => (Outcome::Overload, Fault::Host),
        500.. => (Outcome::ServerError, Fault::Host),
    }
}

const fn is_failure(outcome: Outcome) -> bool {
    !matches!(outcome, Outcome::Success | Outcome::Redirect)
}

fn load_signal(outcome: Outcome) -> SignalKind {
    match outcome {
        Outcome::Success | Outcome::Redirect | Outcome::Gone => SignalKind::Ok,
        Outcome::Overload => SignalKind::Overload,
        Outcome::RateLimited => SignalKind::RateLimited,
        Outcome::Refused | Outcome::ClientError | Outcome::ServerError => SignalKind::Alive,
        Outcome::Transient | Outcome::Permanent | Outcome::Internal => SignalKind::Nothing,
    }
}

fn by_failure(kind: FailureKind) -> (Outcome, Fault, SignalKind) {
    use FailureKind as K;
    match kind {
        K::DnsNotFound => (Outcome::Permanent, Fault::Host, SignalKind::Connect),
        K::PrivateAddress => (Outcome::Permanent, Fault::Host, SignalKind::Nothing),
        K::Dns => (Outcome::Transient, Fault::OwnNetwork, SignalKind::Connect),
        K::ConnectRefused | K::Connect => (Outcome::Transient, Fault::Host, SignalKind::Connect),
        K::Timeout(Stage::Connect) => (Outcome::Transient, Fault::Host, SignalKind::Connect),
        K::Timeout(Stage::Header | Stage::Body | Stage::Total) => {
            (Outcome::Transient, Fault::Host, SignalKind::Timeout)
        }
        K::Reset => (Outcome::Transient, Fault::Host, SignalKind::Connect),
        K::Tls => (Outcome::Transient, Fault::Host, SignalKind::Nothing),
        K::TlsCertificate => (Outcome::Permanent, Fault::Host, SignalKind::Nothing),
        K::Protocol | K::Decode => (Outcome::Transient, Fault::Host, SignalKind::Nothing),
        K::TooLarge | K::HeaderTooLarge => (Outcome::Permanent, Fault::Nobody, SignalKind::Nothing),
        K::ProxyAuth => (
            Outcome::Transient,
            Fault::OwnCredentials,
            SignalKind::Nothing,
        ),
        K::ProxyDns
        | K::ProxyConnect
        | K::ProxyTls
        | K::ProxyTimeout
        | K::ProxyClosed
        | K::ProxyProtocol
        | K::ProxyRefused
        | K::Socks
        | K::TunnelClosed
        | K::TunnelTimeout => (Outcome::Transient, Fault::Proxy, SignalKind::Nothing),
        K::Internal => (Outcome::Internal, Fault::OwnNetwork, SignalKind::Nothing),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_each_status_means() {
        use Outcome as O;
        use SignalKind as S;
        for (status, location, outcome, fault, signal) in [
            (200, false, O::Success, Fault::Nobody, S::Ok),
            (204, false, O::Success, Fault::Nobody, S::Ok),
            (301, true, O::Redirect, Fault::Nobody, S::Ok),
            (308, true, O::Redirect, Fault::Nobody, S::Ok),
            (302, false, O::Success, Fault::Nobody, S::Ok),
            (304, false, O::Success, Fault::Nobody, S::Ok),
            (404, false, O::Gone, Fault::Nobody, S::Ok),
            (410, false, O::Gone, Fault::Nobody, S::Ok),
            (401, false, O::Refused, Fault::OwnCredentials, S::Alive),
            (403, false, O::Refused, Fault::Host, S::Alive),
            (400, false, O::ClientError, Fault::Nobody, S::Alive),
            (429, false, O::RateLimited, Fault::Host, S::RateLimited),
            (500, false, O::ServerError, Fault::Host, S::Alive),
            (502, false, O::Overload, Fault::Host, S::Overload),
            (503, false, O::Overload, Fault::Host, S::Overload),
            (504, false, O::Overload, Fault::Host, S::Overload),
            (522, false, O::Overload, Fault::Host, S::Overload),
            (599, false, O::ServerError, Fault::Host, S::Alive),
            (999, false, O::ServerError, Fault::Host, S::Alive),
        ] {
            let (found, found_fault) = by_status(status, location);
            assert_eq!(
                (found, found_fault, load_signal(found)),
                (outcome, fault, signal),
                "{status}"
            );
        }
    }

    #[test]
    fn what_fails_at_a_proxy_says_nothing_about_the_load_of_the_host() {
        use FailureKind as K;
        for kind in [
            K::ProxyDns,
            K::ProxyConnect,
            K::ProxyTls,
            K::ProxyTimeout,
            K::ProxyClosed,
            K::ProxyProtocol,
            K::ProxyRefused,
            K::Socks,
            K::TunnelClosed,
            K::TunnelTimeout,
        ] {
            let expected = (Outcome::Transient, Fault::Proxy, SignalKind::Nothing);
            assert_eq!(by_failure(kind), expected, "{kind:?}");
        }
        let (outcome, fault, signal) = by_failure(K::ProxyAuth);
        assert_eq!(
            (outcome, fault, signal),
            (
                Outcome::Transient,
                Fault::OwnCredentials,
                SignalKind::Nothing
            )
        );
    }

    #[test]
    fn making_a_connection_is_no_latency_of_the_host() {
        let ms = Duration::from_millis;
        for (dns, connect, first_byte, latency) in [
            (None, None, Some(ms(80)), Some(ms(80))),
            (Some(ms(20)), Some(ms(50)), Some(ms(150)), Some(ms(80))),
            (None, Some(ms(50)), Some(ms(49)), Some(ms(0))),
            (Some(ms(20)), Some(ms(50)), None, None),
        ] {
            let exchange = Exchange {
                result: Err(crate::exchange::Failure {
                    kind: FailureKind::Reset,
                    status: None,
                    detail: String::new(),
                }),
                timings: crate::exchange::Timings {
                    dns,
                    connect,
                    first_byte,
                    total: ms(200),
                },
                sent: http::HeaderMap::new(),
                route: Default::default(),
            };
            let judgement = classify(&exchange, None, false);
            assert_eq!(judgement.signal.latency, latency, "{:?}", exchange.timings);
        }
    }

    #[test]
    fn codes_and_words_of_outcomes_are_unique() {
        let codes: std::collections::BTreeSet<_> = Outcome::ALL.iter().map(|o| o.code()).collect();
        let words: std::collections::BTreeSet<_> =
            Outcome::ALL.iter().map(|o| o.as_str()).collect();
        assert_eq!(
            (codes.len(), words.len()),
            (Outcome::ALL.len(), Outcome::ALL.len())
        );
    }
}
