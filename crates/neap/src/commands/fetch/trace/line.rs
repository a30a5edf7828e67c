//! What is an attempt in one line?

use http::HeaderMap;
use neap_core::classify::Outcome;
use neap_core::exchange::{Answer, Exchange};

use super::gist::{gist, short};
use super::{Follows, Told, phases};
use crate::commands::fetch::asker::What;
use crate::screen::{grouped, short as brief};
use crate::tell::{cause, producer_short, span};

/// Header fields that tell who answered or why, most telling first.
const TELLING: [&str; 12] = [
    "proxy-status",
    "x-squid-error",
    "cf-mitigated",
    "cf-ray",
    "via",
    "x-cache",
    "server",
    "retry-after",
    "proxy-authenticate",
    "www-authenticate",
    "content-type",
    "location",
];

/// Of these so many are shown.
const MOST_FIELDS: usize = 3;

/// `#1 502 proxy   10.0.3.7:3128   CONNECT -> 502 Bad Gateway, via: 1.1 p3   41 ms   again in 0.7 s`.
pub(super) fn line(told: &Told<'_>) -> String {
    let exchange = told.exchange;
    let status = status(exchange).map_or_else(|| "-".to_owned(), |status| status.to_string());
    let who = producer_short(told.attribution.producer);
    let way = told.way;
    let what = match told.what {
        What::Page => "",
        What::Robots => "robots.txt: ",
    };
    let mut parts = vec![
        format!(" #{:<2} {status:<3} {who:<7} {way:<21}", told.number),
        format!("{what}{}", seen(told)),
    ];
    if !matches!(told.judgement.outcome, Outcome::Success) {
        parts.push(brief(exchange.timings.total));
    }
    parts.extend(follows(told.follows));
    parts.join("   ")
}

/// What comes next, if anything.
fn follows(follows: Follows<'_>) -> Option<String> {
    match follows {
        Follows::Nothing => None,
        Follows::GivenUp(_) => Some("given up".to_owned()),
        Follows::Again { after, other, .. } => {
            let when = match after.is_zero() {
                true => "again at once".to_owned(),
                false => format!("again in {}", span(after)),
            };
            let by = other.map_or_else(String::new, |way| format!(" by {way}"));
            Some(format!("{when}{by}"))
        }
    }
}

/// The status of the answer, or of the one that refused the tunnel.
pub(super) fn status(exchange: &Exchange) -> Option<u16> {
    match &exchange.result {
        Ok(answer) => Some(answer.status),
        Err(failure) => {
            let refusal = exchange.route.refusal.as_ref();
            failure
                .status
                .or_else(|| refusal.map(|refusal| refusal.status))
        }
    }
}

/// What was seen that matters.
fn seen(told: &Told<'_>) -> String {
    let exchange = told.exchange;
    if let Some(refusal) = &exchange.route.refusal {
        let reason = short(&refusal.reason);
        let mut parts = vec![
            format!("CONNECT -> {} {reason}", refusal.status)
                .trim_end()
                .to_owned(),
        ];
        parts.extend(told_by(&refusal.headers, &refusal.body));
        return parts.join(", ");
    }
    match &exchange.result {
        Ok(answer) => match told.judgement.outcome {
            Outcome::Success => format!("{} - {}", phases::line(exchange), size(answer)),
            Outcome::Redirect => format!("-> {}", short(answer.header("location").unwrap_or("?"))),
            Outcome::Gone
            | Outcome::Refused
            | Outcome::ClientError
            | Outcome::RateLimited
            | Outcome::Overload
            | Outcome::ServerError
            | Outcome::Transient
            | Outcome::Permanent
            | Outcome::Internal => told_by(&answer.headers, &answer.body).join(", "),
        },
        Err(failure) => cause(failure.kind.as_str()),
    }
}

/// What a header and a body tell of who wrote them.
fn told_by(headers: &HeaderMap, body: &[u8]) -> Vec<String> {
    let value = |name: &&'static str| {
        let value = headers.get(*name)?;
        let value = String::from_utf8_lossy(value.as_bytes());
        Some(format!("{name}: {}", short(&value)))
    };
    let mut parts: Vec<String> = TELLING.iter().filter_map(value).take(MOST_FIELDS).collect();
    parts.extend(gist(body).map(|words| format!("body \"{words}\"")));
    if parts.is_empty() {
        parts.push("an answer that says nothing".to_owned());
    }
    parts
}

/// The bytes of a body: `41,220 B`, or `41,220 B br -> 188,031 B`.
pub(super) fn size(answer: &Answer) -> String {
    let sent = grouped(answer.payload.len() as u64);
    match answer.headers.get("content-encoding") {
        None => format!("{sent} B"),
        Some(coding) => format!(
            "{sent} B {} -> {} B",
            short(&String::from_utf8_lossy(coding.as_bytes())),
            grouped(answer.body.len() as u64)
        ),
    }
}
