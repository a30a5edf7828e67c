//! What does an exchange mean, once it is known who is charged for it?
//!
//! [`classify`](crate::classify::classify) says what an answer means if it is the host's. Here it is corrected
//! by who wrote it and who is to blame: what a proxy did says nothing about the host and is not the page's
//! fault; a host's failure that a proxy tells of is as good as one that was met directly; a wall for robots is
//! no page, whatever its status; and a page that came damaged is asked for once more before it is believed.

use crate::attribution::{Attribution, Cause, Fault};
use crate::classify::{Judgement, Outcome};
use crate::egress::Charge;
use crate::exchange::Exchange;
use crate::limiter::{Signal, SignalKind};
use crate::route::Way;

/// Corrects what an exchange means. `has_failed_before` says that the same request failed before.
pub fn charged(
    judgement: Judgement,
    exchange: &Exchange,
    attribution: &Attribution,
    charge: Charge,
    has_failed_before: bool,
) -> Judgement {
    let mut judgement = Judgement {
        fault: fault(attribution, charge),
        charge,
        not_before: attribution.not_before,
        ..judgement
    };
    let is_damaged = is_damaged(exchange, attribution);
    if is_damaged && has_failed_before {
        // Twice the same is what there is; the verdict on it is kept beside it.
        return Judgement {
            charge: Charge::Nobody,
            ..judgement
        };
    }
    match charge {
        Charge::Proxy | Charge::Credentials | Charge::Unknown => {
            judgement.outcome = Outcome::Transient;
            judgement.signal.kind = SignalKind::Nothing;
            judgement.signal.retry_after = None;
            return judgement;
        }
        Charge::Host if exchange.route.way != Way::Direct => {
            judgement.signal.kind = load(attribution.cause);
        }
        Charge::Host | Charge::Nobody => {}
    }
    if is_wall(attribution) {
        judgement.outcome = Outcome::Refused;
        // Fewer requests, as after an overload: a wall goes up for those who ask much.
        judgement.signal.kind = SignalKind::Overload;
        judgement.goes_elsewhere = charge == Charge::Host;
    } else if is_damaged {
        judgement.outcome = Outcome::Transient;
    }
    judgement
}

/// What an exchange means that ended in silence while it is doubtful whether our own network works: nothing, of
/// anybody.
pub fn uncharged(judgement: Judgement) -> Judgement {
    Judgement {
        outcome: Outcome::Internal,
        fault: Fault::OwnNetwork,
        signal: Signal::NOTHING,
        charge: Charge::Nobody,
        ..judgement
    }
}

/// Whether an answer is a wall for robots and not what was asked for.
pub fn is_wall(attribution: &Attribution) -> bool {
    matches!(attribution.cause, Cause::Challenge | Cause::Block)
}

fn fault(attribution: &Attribution, charge: Charge) -> Fault {
    match charge {
        Charge::Host => Fault::Host,
        Charge::Proxy => Fault::Proxy,
        Charge::Credentials => Fault::OwnCredentials,
        Charge::Unknown => Fault::Unknown,
        Charge::Nobody => attribution.fault,
    }
}

/// Whether an answer that claims success does not hold what it should.
fn is_damaged(exchange: &Exchange, attribution: &Attribution) -> bool {
    exchange.result.is_ok() && matches!(attribution.cause, Cause::Corrupt | Cause::Empty)
}

/// What a failure of the host that a proxy told of, or stood in the way of, says of the host's load.
fn load(cause: Cause) -> SignalKind {
    match cause {
        Cause::DnsFailure | Cause::ConnectRefused | Cause::ConnectTimeout | Cause::Unreachable => {
            SignalKind::Connect
        }
        Cause::ReadTimeout => SignalKind::Timeout,
        Cause::UpstreamClosed
        | Cause::UpstreamReset
        | Cause::Overload
        | Cause::NoHealthyUpstream
        | Cause::GatewayError => SignalKind::Overload,
        Cause::RateLimit => SignalKind::RateLimited,
        Cause::AppError
        | Cause::Forbidden
        | Cause::BadRequest
        | Cause::Challenge
        | Cause::Block
        | Cause::InvalidResponse
        | Cause::Truncated
        | Cause::Corrupt
        | Cause::Empty => SignalKind::Alive,
        Cause::Ok | Cause::NotFound => SignalKind::Ok,
        Cause::TlsFailure
        | Cause::TooLarge
        | Cause::ProxyAuth
        | Cause::ProxyQuota
        | Cause::Policy
        | Cause::ProxyLimit
        | Cause::ProxyDown
        | Cause::ProxyBroken
        | Cause::ProxyNoExit
        | Cause::OwnNetwork
        | Cause::Unknown => SignalKind::Nothing,
    }
}
