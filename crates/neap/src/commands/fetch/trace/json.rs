//! What do programs hear of an attempt?
//!
//! Words and units are those of the store's table `attempts`.

use http::HeaderMap;
use neap_core::exchange::Exchange;
use serde_json::{Value, json};

use super::line::status;
use super::{Follows, Told, phases};
use crate::commands::fetch::asker::What;

/// An attempt as an object.
pub(super) fn object(told: &Told<'_>) -> Value {
    let (exchange, judgement, attribution) = (told.exchange, told.judgement, told.attribution);
    let route = &exchange.route;
    let answer = exchange.result.as_ref().ok();
    let failure = exchange.result.as_ref().err();
    let (next, backoff, next_way) = match told.follows {
        Follows::Nothing => ("done", None, None),
        Follows::GivenUp(_) => ("failed", None, None),
        Follows::Again { after, other, .. } => (
            "retry",
            Some(after.as_millis()),
            Some(other.unwrap_or(told.way)),
        ),
    };
    let backoff = backoff.map(|millis| u64::try_from(millis).unwrap_or(u64::MAX));
    json!({
        "number": told.number,
        "asked_for": match told.what {
            What::Page => "page",
            What::Robots => "robots",
        },
        "url": told.url.as_str(),
        "way": told.way,
        "way_kind": route.way.as_str(),
        "address": route.address.map(|address| address.to_string()),
        "was_kept": route.was_kept,
        "status": answer.map(|answer| answer.status).or(failure.and_then(|failure| failure.status)),
        "connect_status": route.tunnel_status.or(route.refusal.as_ref().and(status(exchange))),
        "socks_reply": route.socks_reply,
        "reached": route.reached.as_str(),
        "outcome": judgement.outcome.as_str(),
        "cause": judgement.cause.map(|cause| cause.to_string()),
        "error": failure.map(|failure| failure.detail.as_str()),
        "producer": attribution.producer,
        "fault": attribution.fault,
        "diagnosis": attribution.cause,
        "confidence": attribution.confidence,
        "action": attribution.action,
        "evidence": attribution.reasons,
        "certificate_issuer": route.certificate.as_ref().map(|of| of.issuer.as_str()),
        "headers": headers(exchange),
        "body_bytes": answer.map(|answer| answer.payload.len()),
        "decoded_bytes": answer.map(|answer| answer.body.len()),
        "phases_ms": phases(exchange),
        "duration_ms": millis(exchange.timings.total),
        "is_charged": !matches!(told.follows, Follows::Again { is_charged: false, .. }),
        "next": next,
        "backoff_ms": backoff,
        "next_way": next_way,
    })
}

fn phases(exchange: &Exchange) -> Value {
    let of =
        |(name, took): (&str, std::time::Duration)| (name.replace(' ', "_"), json!(millis(took)));
    Value::Object(phases::phases(exchange).into_iter().map(of).collect())
}

/// With three digits behind the point.
fn millis(took: std::time::Duration) -> f64 {
    took.as_micros() as f64 / 1e3
}

/// Names and values of the answer, of one that was begun, or of the refusal.
fn headers(exchange: &Exchange) -> Option<Vec<[String; 2]>> {
    let route = &exchange.route;
    let refused = route.refusal.as_ref().map(|refusal| &refusal.headers);
    let headers: &HeaderMap = match &exchange.result {
        Ok(answer) => &answer.headers,
        Err(_) => route.begun.as_deref().or(refused)?,
    };
    let pair = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        [name.as_str().to_owned(), value]
    };
    Some(headers.iter().map(pair).collect())
}
