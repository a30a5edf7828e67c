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
    let is_no_page = matches!(judgement.outcome, Outcome::Gone | Outcome::ClientError);
    if is_no_page && has_failed_before && charge == Charge::Unknown {
        // Two ways say that there is no such page: it is the host's word, whoever relays it.
        return Judgement {
            fault: Fault::Nobody,
            charge: Charge::Nobody,
            ..judgement
        };
    }
    match charge {
        Charge::Proxy if attribution.cause == Cause::Policy => {
            judgement.outcome = Outcome::Refused;
            judgement.signal = Signal::NOTHING;
            judgement.goes_elsewhere = true;
            return judgement;
        }
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use http::HeaderMap;

    use super::*;
    use crate::attribution::{Action, Producer};
    use crate::classify::classify;
    use crate::egress::{Seen, seen};
    use crate::exchange::{Answer, Timings};
    use crate::route::Route;

    fn exchange(status: u16, way: Way) -> Exchange {
        Exchange {
            result: Ok(Answer {
                status,
                version: http::Version::HTTP_11,
                headers: HeaderMap::new(),
                payload: Bytes::new(),
                body: Bytes::new(),
                address: None,
            }),
            timings: Timings::default(),
            sent: HeaderMap::new(),
            route: Route {
                way,
                ..Route::default()
            },
        }
    }

    fn verdict(fault: Fault, cause: Cause, confidence: f64, action: Action) -> Attribution {
        Attribution {
            producer: Producer::Unknown,
            fault,
            cause,
            confidence,
            action,
            not_before: None,
            reasons: Vec::new(),
        }
    }

    fn judged(status: u16, way: Way, cause: Cause, charge: Charge, has_failed: bool) -> Judgement {
        let exchange = exchange(status, way);
        let judgement = classify(&exchange, Some(Duration::from_secs(9)), has_failed);
        let attribution = verdict(Fault::Host, cause, 0.9, Action::SlowHost);
        charged(judgement, &exchange, &attribution, charge, has_failed)
    }

    #[test]
    fn only_what_the_host_is_charged_for_speaks_of_its_load() {
        use Cause as C;
        use SignalKind as S;
        for (way, cause, charge, kind, fault) in [
            (
                Way::Plain,
                C::GatewayError,
                Charge::Host,
                S::Overload,
                Fault::Host,
            ),
            (
                Way::Tunnel,
                C::ConnectRefused,
                Charge::Host,
                S::Connect,
                Fault::Host,
            ),
            (
                Way::Tunnel,
                C::ReadTimeout,
                Charge::Host,
                S::Timeout,
                Fault::Host,
            ),
            (
                Way::Direct,
                C::GatewayError,
                Charge::Host,
                S::Overload,
                Fault::Host,
            ),
            (
                Way::Direct,
                C::GatewayError,
                Charge::Nobody,
                S::Overload,
                Fault::Host,
            ),
            (
                Way::Plain,
                C::GatewayError,
                Charge::Proxy,
                S::Nothing,
                Fault::Proxy,
            ),
            (
                Way::Plain,
                C::GatewayError,
                Charge::Unknown,
                S::Nothing,
                Fault::Unknown,
            ),
            (
                Way::Plain,
                C::ProxyAuth,
                Charge::Credentials,
                S::Nothing,
                Fault::OwnCredentials,
            ),
        ] {
            let judgement = judged(502, way, cause, charge, false);
            let row = (way, cause, charge);
            assert_eq!(
                (judgement.signal.kind, judgement.fault),
                (kind, fault),
                "{row:?}"
            );
            let is_host = matches!(charge, Charge::Host | Charge::Nobody);
            assert_eq!(judgement.signal.retry_after.is_some(), is_host, "{row:?}");
        }
    }

    #[test]
    fn a_wall_is_no_page_and_goes_another_way_if_there_is_one() {
        for (status, charge, elsewhere) in [
            (200, Charge::Nobody, false),
            (202, Charge::Host, true),
            (403, Charge::Host, true),
        ] {
            let judgement = judged(status, Way::Plain, Cause::Challenge, charge, false);
            assert_eq!(judgement.outcome, Outcome::Refused, "{status}");
            assert_eq!(judgement.goes_elsewhere, elsewhere, "{status}");
            assert_eq!(judgement.signal.kind, SignalKind::Overload, "{status}");
        }
    }

    #[test]
    fn a_proxy_that_bars_a_host_is_no_load_and_the_page_goes_another_way() {
        let judgement = judged(403, Way::Plain, Cause::Policy, Charge::Proxy, false);
        let found = (judgement.outcome, judgement.fault, judgement.signal);
        assert_eq!(found, (Outcome::Refused, Fault::Proxy, Signal::NOTHING));
        assert!(judgement.goes_elsewhere);
    }

    #[test]
    fn a_damaged_page_is_asked_for_once_more_and_then_kept() {
        let once = judged(200, Way::Plain, Cause::Empty, Charge::Unknown, false);
        assert_eq!(once.outcome, Outcome::Transient);
        let twice = judged(200, Way::Plain, Cause::Empty, Charge::Unknown, true);
        assert_eq!(
            (twice.outcome, twice.charge),
            (Outcome::Success, Charge::Nobody)
        );
    }

    #[test]
    fn that_there_is_no_page_is_believed_when_two_ways_say_so() {
        let once = judged(404, Way::Plain, Cause::NotFound, Charge::Unknown, false);
        assert_eq!(once.outcome, Outcome::Transient);
        let twice = judged(404, Way::Plain, Cause::NotFound, Charge::Unknown, true);
        assert_eq!((twice.outcome, twice.fault), (Outcome::Gone, Fault::Nobody));
    }

    #[test]
    fn what_an_exchange_shows_of_its_way_follows_from_what_is_to_be_done() {
        use Action as A;
        let wait = Some(Duration::from_secs(5));
        for (status, way, sure, fault, action, expected) in [
            (200, Way::Plain, 0.9, Fault::Nobody, A::Accept, Seen::Worked),
            (
                502,
                Way::Tunnel,
                0.8,
                Fault::Host,
                A::SlowHost,
                Seen::HostFailed,
            ),
            (
                502,
                Way::Plain,
                0.9,
                Fault::Host,
                A::SlowHost,
                Seen::HostFailed,
            ),
            // A proxy may have a gateway of its own.
            (502, Way::Plain, 0.8, Fault::Host, A::SlowHost, Seen::Unsure),
            (
                500,
                Way::Plain,
                0.8,
                Fault::Host,
                A::RetryPage,
                Seen::HostFailed,
            ),
            (
                502,
                Way::Plain,
                0.5,
                Fault::Unknown,
                A::Compare,
                Seen::Unsure,
            ),
            (
                200,
                Way::Plain,
                0.7,
                Fault::Host,
                A::RetryElsewhere,
                Seen::Unsure,
            ),
            (
                403,
                Way::Plain,
                0.9,
                Fault::Proxy,
                A::RetryElsewhere,
                Seen::Barred,
            ),
            (
                403,
                Way::Plain,
                0.9,
                Fault::Host,
                A::Escalate,
                Seen::Blocked,
            ),
            (
                429,
                Way::Plain,
                0.9,
                Fault::Proxy,
                A::EaseProxy,
                Seen::ProxyBusy(wait),
            ),
            (
                407,
                Way::Plain,
                1.0,
                Fault::OwnCredentials,
                A::StopPool,
                Seen::WrongCredentials,
            ),
            (
                0,
                Way::Plain,
                0.9,
                Fault::OwnNetwork,
                A::PauseAll,
                Seen::Nothing,
            ),
        ] {
            let attribution = verdict(fault, Cause::GatewayError, sure, action);
            let found = seen(&exchange(status, way), &attribution, wait);
            assert_eq!(found, expected, "{status} {action:?}");
        }
        let down = verdict(Fault::Proxy, Cause::ProxyDown, 0.95, A::QuarantineProxy);
        let found = seen(&exchange(502, Way::Plain), &down, None);
        assert_eq!(found, Seen::ProxyFailed(SignalKind::Connect));
    }
}
