//! What is to be done about a verdict?
//!
//! Only a sure verdict acts against somebody. Below [`SURE`] the request is asked again by another way and the comparison
//! tells, so that neither host nor proxy pays for a guess.

use super::words::{Action, Cause, Fault};

/// From here on one answer is enough to act against a proxy.
const SURE: f64 = 0.75;

/// What to do; `has_proxy` says whether there is another party than the host.
pub(super) fn action(fault: Fault, cause: Cause, confidence: f64, has_proxy: bool) -> Action {
    match fault {
        Fault::Nobody => Action::Accept,
        Fault::OwnCredentials => Action::StopPool,
        Fault::OwnNetwork => Action::PauseAll,
        Fault::Unknown => Action::Compare,
        Fault::Proxy if confidence < SURE => Action::Compare,
        Fault::Proxy if cause == Cause::Policy => Action::RetryElsewhere,
        Fault::Proxy if is_limit(cause) => Action::EaseProxy,
        Fault::Proxy if has_proxy => Action::QuarantineProxy,
        Fault::Proxy => Action::RetryPage,
        Fault::Host => against_host(cause, confidence, has_proxy),
    }
}

fn against_host(cause: Cause, confidence: f64, has_proxy: bool) -> Action {
    if has_proxy && confidence < SURE && !is_damage(cause) {
        return Action::Compare;
    }
    match cause {
        Cause::Challenge | Cause::Block => Action::Escalate,
        Cause::Truncated | Cause::Corrupt | Cause::Empty if has_proxy => Action::RetryElsewhere,
        Cause::DnsFailure
        | Cause::ConnectRefused
        | Cause::ConnectTimeout
        | Cause::Unreachable
        | Cause::TlsFailure
        | Cause::NoHealthyUpstream => Action::HoldHost,
        Cause::RateLimit | Cause::Overload | Cause::ReadTimeout | Cause::GatewayError => {
            Action::SlowHost
        }
        Cause::UpstreamClosed | Cause::UpstreamReset | Cause::InvalidResponse => Action::SlowHost,
        Cause::Forbidden | Cause::NotFound | Cause::BadRequest | Cause::Ok | Cause::TooLarge => {
            Action::Accept
        }
        Cause::Truncated | Cause::Corrupt | Cause::Empty | Cause::AppError => Action::RetryPage,
        Cause::ProxyAuth
        | Cause::ProxyQuota
        | Cause::Policy
        | Cause::ProxyLimit
        | Cause::ProxyDown
        | Cause::ProxyBroken
        | Cause::ProxyNoExit
        | Cause::OwnNetwork
        | Cause::Unknown => Action::RetryPage,
    }
}

fn is_limit(cause: Cause) -> bool {
    matches!(
        cause,
        Cause::ProxyLimit | Cause::ProxyQuota | Cause::RateLimit
    )
}

fn is_damage(cause: Cause) -> bool {
    matches!(cause, Cause::Truncated | Cause::Corrupt | Cause::Empty)
}
