//! What does an exchange of ours tell about who is to blame?

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use super::evidence::{Body, Break, Evidence, Fields, Manner, Reply, latin1};
use crate::exchange::{Answer, Exchange, Failure, FailureKind, Stage};
use crate::route::{Phase, Route, Way};

impl From<&Exchange> for Evidence {
    fn from(exchange: &Exchange) -> Evidence {
        let route = &exchange.route;
        let (answer, body, broken) = match &exchange.result {
            Ok(answer) => (Some(whole(answer, route)), length(&answer.body), None),
            Err(failure) => (
                begun(failure, route),
                Body::default(),
                Some(broken(failure, route)),
            ),
        };
        Evidence {
            way: Some(route.way),
            answer,
            body,
            connect: connect(route),
            socks_reply: route.socks_reply,
            broken,
            first_byte: exchange.timings.first_byte,
            elapsed: Some(exchange.timings.total),
            is_intercepted: None,
            has_usual_stamp: None,
        }
    }
}

fn whole(answer: &Answer, route: &Route) -> Reply {
    let standard = || StatusCode::from_u16(answer.status).ok()?.canonical_reason();
    let has_reason = answer.version < http::Version::HTTP_2;
    let reason = route
        .reason
        .clone()
        .or_else(|| standard().map(str::to_owned));
    Reply {
        status: Some(answer.status),
        reason: reason.filter(|_| has_reason),
        headers: Some(Fields::from(&answer.headers)),
        body: prefix(&answer.body),
    }
}

/// An answer of which only the header is known, since its body failed.
fn begun(failure: &Failure, route: &Route) -> Option<Reply> {
    Some(Reply {
        status: Some(failure.status?),
        reason: route.reason.clone(),
        headers: route.begun.as_deref().map(Fields::from),
        body: String::new(),
    })
}

fn length(body: &Bytes) -> Body {
    Body {
        bytes: Some(body.len() as u64),
        is_complete: Some(true),
        is_close_delimited: None,
    }
}

fn connect(route: &Route) -> Option<Reply> {
    if let Some(refusal) = &route.refusal {
        return Some(Reply {
            status: Some(refusal.status),
            reason: Some(refusal.reason.clone()),
            headers: Some(Fields::from(&refusal.headers)),
            body: prefix(&refusal.body),
        });
    }
    if let Some(garbage) = &route.garbage
        && route.reached == Phase::Open
    {
        return Some(Reply {
            status: None,
            reason: None,
            headers: Some(Fields::from(&HeaderMap::new())),
            body: prefix(garbage),
        });
    }
    Some(Reply {
        status: Some(route.tunnel_status?),
        ..Reply::default()
    })
}

fn prefix(body: &[u8]) -> String {
    latin1(&body[..body.len().min(Reply::MAX_BODY)])
}

fn broken(failure: &Failure, route: &Route) -> Break {
    let closed = match route.was_reset {
        true => Manner::Reset,
        false => Manner::Closed,
    };
    let (phase, manner) = match failure.kind {
        FailureKind::DnsNotFound | FailureKind::Dns | FailureKind::PrivateAddress => {
            (Phase::Dns, Manner::NoName)
        }
        FailureKind::ConnectRefused => (Phase::Connect, Manner::Refused),
        FailureKind::Connect => (Phase::Connect, Manner::Unreachable),
        FailureKind::TlsCertificate => (Phase::Tls, Manner::Certificate),
        FailureKind::Tls if route.tls_alert.is_some() => (Phase::Tls, Manner::Alert),
        FailureKind::Tls => (Phase::Tls, Manner::Other),
        FailureKind::Timeout(stage) => (timed_out(stage, route), Manner::Timeout),
        FailureKind::Reset if failure.status.is_some() => (Phase::Body, closed),
        FailureKind::Reset => (Phase::Header, closed),
        FailureKind::Protocol if failure.status.is_some() => (Phase::Body, Manner::Protocol),
        FailureKind::Protocol => (Phase::Header, Manner::NotHttp),
        FailureKind::Decode => (Phase::Body, Manner::Protocol),
        FailureKind::TooLarge => (Phase::Body, Manner::TooLarge),
        FailureKind::HeaderTooLarge => (Phase::Header, Manner::TooLarge),
        FailureKind::ProxyDns => (Phase::Dns, Manner::NoName),
        FailureKind::ProxyConnect => (Phase::Connect, Manner::Refused),
        FailureKind::ProxyTls => (Phase::ProxyTls, Manner::Other),
        FailureKind::ProxyTimeout => (Phase::Open, Manner::Timeout),
        FailureKind::ProxyClosed => (Phase::Open, closed),
        FailureKind::ProxyProtocol => (Phase::Open, Manner::NotHttp),
        FailureKind::ProxyRefused | FailureKind::ProxyAuth | FailureKind::Socks => {
            (Phase::Open, Manner::Other)
        }
        FailureKind::TunnelClosed => (Phase::Tls, closed),
        FailureKind::TunnelTimeout => (Phase::Tls, Manner::Timeout),
        FailureKind::Internal => (route.reached, Manner::Own),
    };
    Break { phase, manner }
}

/// The phase of a time-out: what was reached, where the way tells it, else what the stage says.
fn timed_out(stage: Stage, route: &Route) -> Phase {
    match stage {
        Stage::Connect if route.way == Way::Direct => Phase::Connect,
        Stage::Connect => route.reached,
        Stage::Header => Phase::Header,
        Stage::Body => Phase::Body,
        Stage::Total => route.reached,
    }
}
