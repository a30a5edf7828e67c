//! Who made an answer, whose fault was it, and what is to be done?
//!
//! A 502 may be written by the application, by a gateway of the site, by a CDN, by the proxy that we asked or
//! by its provider, and each of them may be right or wrong to write it. The bytes tell which, often enough; where they do
//! not, the verdict says so and leaves the rest to comparison over time.
//!
//! | file | its question |
//! | --- | --- |
//! | `evidence`, `exchange` | what is known of one exchange? |
//! | `words` | in which words is the verdict told? |
//! | `table` | what follows from what? Read this first |
//! | `facts` | what does the table ask of the evidence? |
//! | `causes`, `action` | what went wrong, and what is to be done? |
//! | `products`, `providers`, `challenges` | whose page, whose field, whose wall is this? |
//! | `proxy_status` | what do the hops say of themselves? |
//! | `reasons` | how is a verdict explained? |
//! | `phrases` | which known phrases does a text have? |
//! | `whole` | is it plain that nothing is wrong? |

mod action;
mod causes;
mod challenges;
mod evidence;
mod exchange;
mod facts;
mod phrases;
mod products;
mod providers;
mod proxy_status;
mod reasons;
mod table;
#[cfg(test)]
mod tests;
mod whole;
mod words;

use std::time::Duration;

use challenges::{CHALLENGES, Challenge};
pub use evidence::{Body, Break, Evidence, Fields, Manner, Reply, latin1};
use facts::Facts;
use table::{ROWS, Row, Whose, Why};
pub use whole::plainly_whole;
pub use words::{Action, Attribution, Cause, Fault, Producer};

/// How long CloudFront keeps an error when nothing tells it otherwise:
/// <https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/HTTPStatusCodes.html>.
const CLOUDFRONT_ERROR_LIFE: Duration = Duration::from_secs(10);

/// How much less sure a proxy's word is when it does not say what went wrong.
const UNSAID: f64 = 0.55;

/// Names the culprit of one exchange, by the first row of the table that holds.
pub fn attribute(evidence: &Evidence) -> Attribution {
    judge(&Facts::of(evidence, None))
}

/// The same as if the pages and the name of one product were not known: how far principles carry is measured so.
pub fn attribute_without(evidence: &Evidence, product: &str) -> Attribution {
    judge(&Facts::of(evidence, Some(product)))
}

/// The names of the products that are known by their pages.
pub fn products() -> impl Iterator<Item = &'static str> {
    products::PRODUCTS.iter().map(|product| product.name)
}

fn judge(facts: &Facts<'_>) -> Attribution {
    let row = ROWS.iter().find(|row| (row.holds)(facts));
    let row = row.expect("the last row always holds");
    let (cause, word) = cause(row, facts);
    let said_by_proxy = causes::fault_reported_by_proxy(cause);
    let fault = match row.fault {
        Whose::Is(fault) => fault,
        Whose::AsProxySays if said_by_proxy == Fault::Unknown => Fault::Host,
        Whose::AsProxySays => said_by_proxy,
        Whose::AsAppSays if matches!(cause, Cause::NotFound | Cause::BadRequest) => Fault::Nobody,
        Whose::AsAppSays => Fault::Host,
    };
    let confidence = match row.fault {
        Whose::AsProxySays if !causes::is_exact(cause) => row.sure.min(UNSAID),
        Whose::AsProxySays | Whose::AsAppSays | Whose::Is(_) => row.sure,
    };
    let action = action::action(fault, cause, confidence, facts.has_proxy());
    Attribution {
        producer: producer(row, facts),
        fault,
        cause,
        confidence,
        action,
        not_before: error_life(facts),
        reasons: reasons::reasons(row, facts, word),
    }
}

/// A wall is its vendor's, which is an edge; but a filter that dresses as a bad gateway stands with the site.
fn producer(row: &Row, facts: &Facts<'_>) -> Producer {
    match challenge(facts) {
        Some(wall) if row.cause == Why::Challenge && wall.vendor.starts_with("a ") => {
            Producer::OriginGateway
        }
        Some(_) | None => row.producer,
    }
}

/// What went wrong, and the phrase that says so if one does.
fn cause(row: &Row, facts: &Facts<'_>) -> (Cause, Option<&'static str>) {
    let status = facts.status();
    let cause = match row.cause {
        Why::Is(cause) => cause,
        Why::Reply => return by_reply(row, facts),
        Why::App => causes::of_app(status, facts.has("retry-after")),
        Why::Provider => facts
            .provider
            .as_ref()
            .map_or(Cause::Unknown, |says| says.cause),
        Why::ProxyStatus => facts
            .status_origin
            .as_ref()
            .map_or(Cause::Unknown, |origin| origin.cause()),
        Why::Socks => causes::of_socks(facts.evidence.socks_reply.unwrap_or(0)),
        Why::Cloudflare => causes::of_cloudflare(status),
        Why::ProxyChain => causes::of_proxy_chain(status).unwrap_or(Cause::Unknown),
        Why::Challenge => challenge(facts).map_or(Cause::Unknown, |wall| wall.cause),
        Why::Break => by_break(facts),
        Why::Body if facts.is_slow_body() => Cause::ReadTimeout,
        Why::Body => Cause::Truncated,
    };
    (cause, None)
}

fn by_reply(row: &Row, facts: &Facts<'_>) -> (Cause, Option<&'static str>) {
    let is_of_proxy = row.producer == Producer::ForwardProxy;
    let status = causes::by_status(facts.status(), facts.elapsed());
    match causes::by_words(facts.seen) {
        // What only a proxy can mean is no cause of a gateway's error.
        Some((cause, word))
            if is_of_proxy || causes::fault_reported_by_proxy(cause) == Fault::Host =>
        {
            (cause, Some(word))
        }
        Some(_) | None if is_of_proxy && status == Cause::Forbidden => (Cause::Policy, None),
        Some(_) | None if is_of_proxy && status == Cause::RateLimit => (Cause::ProxyLimit, None),
        Some(_) | None => (status, None),
    }
}

fn by_break(facts: &Facts<'_>) -> Cause {
    use crate::route::Phase;
    let Some(at) = facts.evidence.broken else {
        return Cause::Unknown;
    };
    match (at.phase, at.manner) {
        (_, Manner::NoName) => Cause::DnsFailure,
        (_, Manner::Refused) => Cause::ConnectRefused,
        (Phase::Connect, Manner::Timeout) => Cause::ConnectTimeout,
        (Phase::Connect, _) => Cause::Unreachable,
        (_, Manner::Timeout) => Cause::ReadTimeout,
        (_, Manner::Closed) if facts.is_slow() => Cause::ReadTimeout,
        (Phase::Tls, _) => Cause::TlsFailure,
        (_, Manner::Closed) => Cause::UpstreamClosed,
        (_, Manner::Reset) => Cause::UpstreamReset,
        (_, Manner::NotHttp | Manner::Protocol) => Cause::InvalidResponse,
        (_, Manner::Unreachable) => Cause::Unreachable,
        (_, Manner::Certificate | Manner::Alert) => Cause::TlsFailure,
        (_, Manner::TooLarge) => Cause::TooLarge,
        (_, Manner::Own) => Cause::OwnNetwork,
        (_, Manner::Other) => Cause::Unknown,
    }
}

/// The wall that the reply is, if it is one. A refused CONNECT is none: no site has spoken yet.
fn challenge(facts: &Facts<'_>) -> Option<&'static Challenge> {
    if !facts.is_answered() || facts.is_refusal() {
        return None;
    }
    CHALLENGES.iter().find(|wall| {
        let has_status = wall.statuses.is_empty() || wall.statuses.contains(&facts.status());
        let has_field = |(name, value)| facts.field_begins(name, value);
        has_status
            && wall.header.is_none_or(has_field)
            && (wall.page.is_empty() || facts.seen.has_all(wall.page))
    })
}

/// How long an error stays in CloudFront's cache from now on; `None` if it is from none or may be gone.
fn error_life(facts: &Facts<'_>) -> Option<Duration> {
    if !facts.is_error() || !facts.field_begins("x-cache", "error from cloudfront") {
        return None;
    }
    let age: u64 = facts
        .field("age")
        .and_then(|age| age.trim().parse().ok())
        .unwrap_or(0);
    let told = facts.field("cache-control").and_then(|value| {
        let mut parts = value.split(',').map(str::trim);
        parts.find_map(|part| part.strip_prefix("max-age=")?.parse().ok())
    });
    let life = told
        .map_or(CLOUDFRONT_ERROR_LIFE, Duration::from_secs)
        .max(CLOUDFRONT_ERROR_LIFE);
    let rest = life.saturating_sub(Duration::from_secs(age));
    (!rest.is_zero()).then_some(rest)
}
