//! What does an exchange show of the way that it took?

use std::time::Duration;

use super::pools::Seen;
use crate::attribution::{Action, Attribution, Cause, Fault, Producer};
use crate::exchange::{Exchange, FailureKind, Stage};
use crate::limiter::SignalKind;
use crate::route::Way;

/// A gateway's error that an HTTP proxy relayed is held against the host alone only if it is so sure: the proxy
/// may have a gateway of its own, and its pages look the same.
const SURE_OF_RELAYED: f64 = 0.85;

/// What an exchange shows of its way, by the verdict on it. `retry_after` is the wait that was asked for.
pub fn seen(exchange: &Exchange, attribution: &Attribution, retry_after: Option<Duration>) -> Seen {
    match attribution.action {
        Action::Accept => Seen::Worked,
        Action::SlowHost | Action::HoldHost | Action::RetryPage => {
            let is_hosts = attribution.fault == Fault::Host;
            if is_hosts && attribution.producer == Producer::ForwardProxy {
                Seen::Told
            } else if is_hosts
                && !(is_relayed(exchange) && attribution.confidence < SURE_OF_RELAYED)
            {
                Seen::HostFailed
            } else {
                Seen::Unsure
            }
        }
        Action::RetryElsewhere if attribution.fault == Fault::Proxy => Seen::Barred,
        Action::RetryElsewhere | Action::Compare => Seen::Unsure,
        Action::Escalate => Seen::Blocked,
        Action::EaseProxy => Seen::ProxyBusy(retry_after),
        Action::QuarantineProxy => Seen::ProxyFailed(load(attribution.cause)),
        Action::StopPool => Seen::WrongCredentials,
        Action::PauseAll => Seen::Nothing,
    }
}

/// Whether not a byte came back from anybody: no name, no connection. Many of these at once are told about
/// our own network, see [`super::network`].
pub fn is_silent(exchange: &Exchange) -> bool {
    let kind = exchange.result.as_ref().err().map(|failure| failure.kind);
    matches!(
        kind,
        Some(FailureKind::Dns | FailureKind::Connect | FailureKind::Timeout(Stage::Connect))
    )
}

/// Whether it is a 502, 503 or 504 that an HTTP proxy could have written as well as relayed.
fn is_relayed(exchange: &Exchange) -> bool {
    let status = exchange.result.as_ref().map_or(0, |answer| answer.status);
    exchange.route.way == Way::Plain && matches!(status, 502..=504)
}

/// What a failure of the proxy says of the proxy's own load.
fn load(cause: Cause) -> SignalKind {
    match cause {
        Cause::ProxyDown => SignalKind::Connect,
        Cause::ReadTimeout | Cause::ConnectTimeout => SignalKind::Timeout,
        Cause::ProxyBroken | Cause::ProxyNoExit | Cause::Overload | Cause::GatewayError => {
            SignalKind::Overload
        }
        Cause::Ok
        | Cause::DnsFailure
        | Cause::ConnectRefused
        | Cause::Unreachable
        | Cause::TlsFailure
        | Cause::UpstreamClosed
        | Cause::UpstreamReset
        | Cause::InvalidResponse
        | Cause::Truncated
        | Cause::Corrupt
        | Cause::Empty
        | Cause::NoHealthyUpstream
        | Cause::TooLarge
        | Cause::AppError
        | Cause::RateLimit
        | Cause::Forbidden
        | Cause::NotFound
        | Cause::BadRequest
        | Cause::Challenge
        | Cause::Block
        | Cause::ProxyAuth
        | Cause::ProxyQuota
        | Cause::Policy
        | Cause::ProxyLimit
        | Cause::OwnNetwork
        | Cause::Unknown => SignalKind::Nothing,
    }
}
