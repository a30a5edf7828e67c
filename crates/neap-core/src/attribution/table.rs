//! The table: evidence on the left, verdict on the right. The first row that holds counts.
//!
//! Standards and what follows from how HTTP works come first, marks of single products after them, and where neither says
//! anything the last rows say how little is known. A row's confidence is the share of its verdicts on the fault that
//! should be right; rows below .9 never convict alone.

use super::evidence::Manner;
use super::facts::Facts;
use super::products::Role;
use super::words::{Cause, Fault, Producer};
use crate::route::{Phase, Way};

/// One row.
pub(super) struct Row {
    /// What the evidence shows, as a sentence that a person may read.
    pub(super) because: &'static str,
    /// Whether it shows that.
    pub(super) holds: fn(&Facts<'_>) -> bool,
    /// Who wrote the answer then.
    pub(super) producer: Producer,
    /// Whose fault it is.
    pub(super) fault: Whose,
    /// What went wrong.
    pub(super) cause: Why,
    /// How sure the fault is.
    pub(super) sure: f64,
    /// Where this is known from.
    pub(super) source: &'static str,
}

/// How a row says whose fault it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    /// Always this one's.
    Is(Fault),
    /// A proxy speaks: its own, the host's or ours, by what it says. Less sure if it does not say what.
    AsProxySays,
    /// An application answered: errors of the request itself are nobody's fault.
    AsAppSays,
}

/// How a row says what went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// Always this.
    Is(Cause),
    /// By the words, the status and the time of the reply.
    Reply,
    /// By the status alone, given by an application.
    App,
    /// By the provider's own field.
    Provider,
    /// By `Proxy-Status`.
    ProxyStatus,
    /// By the reply of a SOCKS proxy.
    Socks,
    /// By a status of Cloudflare's.
    Cloudflare,
    /// By a status of Apify's proxy-chain.
    ProxyChain,
    /// By the wall that was recognised.
    Challenge,
    /// By how the exchange broke.
    Break,
    /// By how the body ended.
    Body,
}

use Fault::{Host, Nobody, OwnCredentials, OwnNetwork, Unknown};
use Producer::{Edge, ForwardProxy, OriginApp, OriginGateway};
use Whose::{AsAppSays, AsProxySays, Is};

const fn row(
    because: &'static str,
    holds: fn(&Facts<'_>) -> bool,
    verdict: (Producer, Whose, Why, f64),
    source: &'static str,
) -> Row {
    let (producer, fault, cause, sure) = verdict;
    Row {
        because,
        holds,
        producer,
        fault,
        cause,
        sure,
        source,
    }
}

const NONE: Producer = Producer::Nobody;
const PROXY: Whose = Is(Fault::Proxy);
const HOST: Whose = Is(Host);

/// Sources that several rows share.
const CAPTURES: &str = "captures of gateways and proxies";
const RFC9110_CONNECT: &str = "RFC 9110, section 9.3.6";
const RFC9110_VIA: &str = "RFC 9110, section 7.6.3";

/// Every row, in the order in which they are asked.
#[rustfmt::skip]
pub(super) const ROWS: &[Row] = &[
    // --- Our own side ---
    row("our own machine failed", |f| f.broke_by(Manner::Own),
        (NONE, Is(OwnNetwork), Why::Is(Cause::OwnNetwork), 0.95), "neap's own failure"),
    row("more came than we take", |f| f.broke_by(Manner::TooLarge),
        (OriginApp, Is(Nobody), Why::Is(Cause::TooLarge), 0.9), "a bound of neap"),

    // --- The proxy itself: nothing that happens before it has opened a way can be the host's word ---
    row("no connection to the proxy", |f| f.has_proxy() && !f.is_answered() && (f.broke(Phase::Dns, &[]) || f.broke(Phase::Connect, &[]) || f.broke(Phase::ProxyTls, &[])),
        (NONE, PROXY, Why::Is(Cause::ProxyDown), 0.95), "the connection ends at the proxy"),
    row("the SOCKS proxy refused our login", |f| f.evidence.socks_reply == Some(255),
        (ForwardProxy, Is(OwnCredentials), Why::Socks, 0.97), "RFC 1928, section 3; RFC 1929"),
    row("the SOCKS proxy does not allow it", |f| f.evidence.socks_reply == Some(2),
        (ForwardProxy, PROXY, Why::Socks, 0.95), "RFC 1928, section 6"),
    row("the SOCKS proxy does not understand the request", |f| matches!(f.evidence.socks_reply, Some(7..=254)),
        (ForwardProxy, PROXY, Why::Socks, 0.9), "RFC 1928, section 6"),
    row("the SOCKS proxy says that it could not reach the host", |f| matches!(f.evidence.socks_reply, Some(3..=6)),
        (ForwardProxy, AsProxySays, Why::Socks, 0.85), "RFC 1928, section 6"),
    row("the SOCKS proxy failed and does not say why", |f| f.evidence.socks_reply == Some(1),
        (ForwardProxy, AsProxySays, Why::Socks, 0.5), "RFC 1928, section 6; common servers say this of names that do not exist"),
    row("the answer to CONNECT or SOCKS is no such protocol", |f| f.broke(Phase::Open, &[Manner::NotHttp, Manner::Protocol]),
        (NONE, PROXY, Why::Is(Cause::ProxyBroken), 0.95), RFC9110_CONNECT),
    row("CONNECT was answered with a reset", |f| f.broke(Phase::Open, &[Manner::Reset]) && !f.is_answered(),
        (NONE, PROXY, Why::Is(Cause::ProxyBroken), 0.75), CAPTURES),
    row("no answer to CONNECT in time", |f| f.broke(Phase::Open, &[Manner::Timeout]) && !f.is_answered(),
        (NONE, PROXY, Why::Is(Cause::ProxyBroken), 0.5), "a proxy should answer 504; some wait longer for the host than we do for them"),
    row("CONNECT was answered by closing without a word", |f| f.broke(Phase::Open, &[]) && !f.is_answered(),
        (NONE, HOST, Why::Is(Cause::GatewayError), 0.5), "two of five small proxies do so when they cannot reach the host; a dead one may too"),

    // --- The proxy's word: any answer to CONNECT but 2xx ---
    row("the proxy wants other credentials (407)", |f| f.is_refusal() && (f.status() == 407 || f.has("proxy-authenticate")),
        (ForwardProxy, Is(OwnCredentials), Why::Is(Cause::ProxyAuth), 1.0), "RFC 9110, section 15.5.8"),
    row("a provider refused CONNECT in its own words", |f| f.is_refusal() && f.provider.is_some(),
        (ForwardProxy, AsProxySays, Why::Provider, 0.92), "the provider's documents"),
    row("the proxy refused CONNECT and says why in Proxy-Status", |f| f.is_refusal() && f.status_origin.is_some(),
        (ForwardProxy, AsProxySays, Why::ProxyStatus, 0.92), "RFC 9209"),
    row("the proxy wants other credentials (401)", |f| f.is_refusal() && f.status() == 401,
        (ForwardProxy, Is(OwnCredentials), Why::Is(Cause::ProxyAuth), 0.97), RFC9110_CONNECT),
    row("the proxy wants to be paid (402)", |f| f.is_refusal() && f.status() == 402,
        (ForwardProxy, PROXY, Why::Is(Cause::ProxyQuota), 0.93), RFC9110_CONNECT),
    row("the proxy limits us (429)", |f| f.is_refusal() && f.status() == 429,
        (ForwardProxy, PROXY, Why::Is(Cause::ProxyLimit), 0.95), RFC9110_CONNECT),
    row("the proxy does not allow it", |f| f.is_refusal() && matches!(f.status(), 403 | 405 | 451 | 501),
        (ForwardProxy, PROXY, Why::Is(Cause::Policy), 0.95), RFC9110_CONNECT),
    row("the proxy points elsewhere instead of opening a tunnel", |f| f.is_refusal() && f.status() < 400,
        (ForwardProxy, PROXY, Why::Is(Cause::Policy), 0.8), RFC9110_CONNECT),
    row("a status of proxy-chain", |f| f.is_refusal() && super::causes::of_proxy_chain(f.status()).is_some(),
        (ForwardProxy, AsProxySays, Why::ProxyChain, 0.7), "proxy-chain 3.0.1, statuses.js: also given when the target fails"),
    row("the proxy could not open a tunnel to the host", |f| f.is_refusal(),
        (ForwardProxy, AsProxySays, Why::Reply, 0.85), RFC9110_CONNECT),

    // --- The proxy's word on a request that it reads ---
    row("the proxy wants other credentials (407)", |f| (f.is_plain() || f.evidence.way.is_none()) && f.is_error() && (f.status() == 407 || f.has("proxy-authenticate")),
        (ForwardProxy, Is(OwnCredentials), Why::Is(Cause::ProxyAuth), 0.99), "RFC 9110, section 15.5.8"),
    row("a provider answered in its own words", |f| f.may_be_proxy() && f.is_error() && f.provider.is_some(),
        (ForwardProxy, AsProxySays, Why::Provider, 0.92), "the provider's documents"),
    row("Proxy-Status names the last hop as the one that failed", |f| f.is_plain() && f.is_error() && f.status_origin.as_ref().is_some_and(|origin| origin.nearer == 0),
        (ForwardProxy, AsProxySays, Why::ProxyStatus, 0.85), "RFC 9209, section 2"),
    row("Proxy-Status names a hop of the site as the one that failed", |f| f.is_error() && f.status_origin.is_some(),
        (Edge, HOST, Why::ProxyStatus, 0.92), "RFC 9209, section 2"),
    row("the page that tinyproxy shows to a wrong password", |f| f.is_plain() && f.status() == 401 && f.has_page_of(Role::Forward),
        (ForwardProxy, Is(OwnCredentials), Why::Is(Cause::ProxyAuth), 0.95), CAPTURES),
    row("squid says so in X-Squid-Error", |f| f.is_plain() && f.has("x-squid-error") && f.hops() <= 1,
        (ForwardProxy, AsProxySays, Why::Reply, 0.93), "squid, src/errorpage.cc"),
    row("the page of a forward proxy", |f| f.may_be_proxy() && f.has_page_of(Role::Forward),
        (ForwardProxy, AsProxySays, Why::Reply, 0.92), "the product's templates"),
    row("an error under the name of a forward proxy that no hop relayed", |f| f.is_plain() && f.is_error() && f.is_named(Role::Forward) && f.hops() == 0,
        (ForwardProxy, AsProxySays, Why::Reply, 0.85), RFC9110_VIA),
    row("squid's page, relayed by nobody else", |f| f.is_plain() && f.is_page_of("squid") && f.hops() <= 1,
        (ForwardProxy, AsProxySays, Why::Reply, 0.9), "squid, errors/"),
    row("fields that only squid's own errors have", |f| f.is_plain() && f.is_gateway_status() && f.has("mime-version") && f.has("content-language") && f.field_begins("vary", "accept-language"),
        (ForwardProxy, AsProxySays, Why::Reply, 0.88), "squid, src/errorpage.cc"),
    row("fields that only a forward proxy writes, on an error", |f| f.is_plain() && f.is_gateway_status() && (f.has("proxy-agent") || f.has("proxy-connection")) && !f.has_app_marks(),
        (ForwardProxy, AsProxySays, Why::Reply, 0.8), "the names of the fields"),
    row("the error page of a proxy product, with its name and without a Via", |f| f.is_plain() && f.has_page_of(Role::Either) && f.hops() == 0 && f.named.map(|n| n.name) == f.page_of.map(|p| p.name),
        (ForwardProxy, AsProxySays, Why::Reply, 0.7), RFC9110_VIA),
    row("a status of proxy-chain", |f| f.is_plain() && super::causes::of_proxy_chain(f.status()).is_some(),
        (ForwardProxy, AsProxySays, Why::ProxyChain, 0.7), "proxy-chain 3.0.1, statuses.js: also given when the target fails"),
    row("a status of Cloudflare's without its cf-ray, through a proxy: its provider's", |f| f.is_plain() && matches!(f.status(), 520..=527 | 530) && !f.has("cf-ray"),
        (ForwardProxy, PROXY, Why::Is(Cause::ProxyNoExit), 0.7), "documents of Oxylabs, Nimble, NetNut, Zyte"),

    // --- Nothing, or nothing that can be read ---
    row("the proxy shows a certificate of its own for every host, and it is not to be trusted", |f| f.reads_along() && f.broke(Phase::Tls, &[Manner::Certificate]),
        (NONE, PROXY, Why::Is(Cause::ProxyBroken), 0.92), "learned: the one issuer of all hosts by this way, and by no other"),
    row("TLS with the host failed inside the tunnel", |f| f.is_inside_tunnel() && f.broke(Phase::Tls, &[Manner::Alert, Manner::Certificate]),
        (NONE, HOST, Why::Is(Cause::TlsFailure), 0.88), "the other end of TLS is the host"),
    row("the tunnel was closed before the host said anything", |f| f.has_proxy() && f.broke(Phase::Tls, &[]),
        (NONE, HOST, Why::Break, 0.55), "a 2xx to CONNECT does not prove that the host was reached"),
    row("TLS with the host failed", |f| f.broke(Phase::Tls, &[]),
        (NONE, HOST, Why::Is(Cause::TlsFailure), 0.9), "the other end of TLS is the host"),
    row("the host's name could not be resolved", |f| f.broke(Phase::Dns, &[]),
        (NONE, HOST, Why::Is(Cause::DnsFailure), 0.8), "a resolver of ours may fail too"),
    row("no connection to the host", |f| f.broke(Phase::Connect, &[Manner::Refused]),
        (NONE, HOST, Why::Break, 0.9), "RFC 9293, section 3.5.2"),
    row("no connection to the host", |f| f.broke(Phase::Connect, &[]),
        (NONE, HOST, Why::Break, 0.8), "our own network may fail too"),
    row("a head that ends in its midst, through a proxy: what a proxy relays it has read to its end", |f| f.is_plain() && f.is_bare() && f.is_cut() && f.hops() == 0,
        (OriginApp, PROXY, Why::Is(Cause::ProxyBroken), 0.65), RFC9110_VIA),
    row("what came through the proxy is no HTTP", |f| f.is_plain() && f.broke(Phase::Header, &[Manner::NotHttp]),
        (NONE, PROXY, Why::Is(Cause::ProxyBroken), 0.55), "squid, Apache and tinyproxy relay only what they have understood; two of four small proxies relay anything"),
    row("what the host sent is no HTTP", |f| !f.is_answered() && (f.broke_by(Manner::NotHttp) || f.broke_by(Manner::Protocol)),
        (NONE, HOST, Why::Is(Cause::InvalidResponse), 0.9), "RFC 9112, section 2"),
    row("the proxy reset the connection instead of answering 502", |f| f.is_plain() && !f.is_answered() && f.broke(Phase::Header, &[Manner::Reset]),
        (NONE, PROXY, Why::Is(Cause::ProxyBroken), 0.6), CAPTURES),
    row("no answer through the proxy", |f| f.is_plain() && !f.is_answered() && f.evidence.broken.is_some(),
        (NONE, HOST, Why::Break, 0.5), "some proxies say nothing when the host does not"),
    row("the host did not answer inside the tunnel", |f| f.has_proxy() && !f.is_answered() && f.broke(Phase::Header, &[]),
        (NONE, HOST, Why::Break, 0.8), "TLS ended at the host, or bytes were relayed"),
    row("the host did not answer", |f| !f.is_answered() && f.evidence.broken.is_some(),
        (NONE, HOST, Why::Break, 0.9), "nobody else was asked"),

    // --- Walls ---
    row("a wall for robots", |f| super::challenge(f).is_some(),
        (Edge, HOST, Why::Challenge, 0.97), "the vendor's exact mark"),

    // --- Answers that claim success ---
    row("a head that ends in its midst", |f| f.is_bare() && f.is_cut(),
        (OriginApp, HOST, Why::Is(Cause::Truncated), 0.75), "RFC 9112, section 8"),
    row("an answer that was no HTTP: squid made one of it", |f| f.has("x-transformed-from"),
        (OriginApp, HOST, Why::Is(Cause::Corrupt), 0.93), "squid, src/http.cc"),
    row("the body ends before its end", |f| f.is_answered() && !f.is_error() && f.is_cut() && f.has_proxy() && !f.is_inside_tunnel(),
        (OriginApp, HOST, Why::Body, 0.75), "RFC 9112, section 8; the proxy may have cut it"),
    row("the body ends before its end", |f| f.is_answered() && !f.is_error() && f.is_cut(),
        (OriginApp, HOST, Why::Body, 0.88), "RFC 9112, section 8"),
    row("a 200 of bytes that nothing says what they are", |f| f.status() == 200 && f.has_header() && !f.has("content-type") && !f.is_bodiless() && (f.is_binary() || f.is_bare()),
        (OriginApp, HOST, Why::Is(Cause::Corrupt), 0.75), "captures: HTTP/0.9 that became a 200"),
    row("a 200 that says it is a page and has nothing in it", |f| f.status() == 200 && f.is_bodiless() && f.evidence.body.bytes == Some(0) && f.has("content-type") && !f.field_begins("content-length", "0") && !f.has("location"),
        (OriginApp, HOST, Why::Is(Cause::Empty), 0.7), "captures: half a head that became an empty 200"),
    row("a whole answer", |f| f.is_answered() && !f.is_error(),
        (OriginApp, Is(Nobody), Why::Is(Cause::Ok), 0.93), "RFC 9110, section 15"),

    // --- Errors that a CDN wrote ---
    row("a status of Cloudflare's, with its cf-ray", |f| matches!(f.status(), 520..=527 | 530) && f.has("cf-ray"),
        (Edge, HOST, Why::Cloudflare, 0.95), "developers.cloudflare.com, 5xx errors"),
    row("the page of a CDN", |f| f.has_page_of(Role::Edge),
        (Edge, HOST, Why::Reply, 0.92), "the vendor's documents"),
    row("Vercel says so", |f| f.is_error() && f.has("x-vercel-error"),
        (Edge, HOST, Why::Reply, 0.9), "vercel.com/docs/errors"),
    row("a reason phrase of Fastly's own 503", |f| f.status() == 503 && f.has("x-served-by") && f.reply.reason.as_deref().is_some_and(is_fastly),
        (Edge, HOST, Why::Reply, 0.92), "fastly.com/documentation/guides/vcl/errors"),
    row("a squid-like CDN says so", |f| f.has("x-cache-error"),
        (Edge, AsAppSays, Why::Reply, 0.8), "WhatWaf #325"),
    row("an error that Akamai signed and no origin did", |f| f.is_gateway_status() && f.field_begins("server", "akamaighost"),
        (Edge, HOST, Why::Reply, 0.88), "WhatWaf captures"),

    // --- Errors that a gateway of the site wrote ---
    row("the page of a gateway", |f| f.has_page_of(Role::Gateway) || f.has_page_of(Role::Either),
        (OriginGateway, HOST, Why::Reply, 0.92), "the product's own page"),
    row("the page of a framework", |f| f.has_page_of(Role::App),
        (OriginApp, AsAppSays, Why::App, 0.92), "the framework's own page"),
    row("an error without a body, of a gateway whose errors have none", |f| f.is_error() && f.is_bodiless() && f.named.is_some_and(|product| product.is_bodiless) && !f.has("content-type") && !f.has_app_marks(),
        (OriginGateway, HOST, Why::Reply, 0.9), CAPTURES),
    row("a load balancer's own name", |f| f.is_gateway_status() && f.field_begins("server", "awselb"),
        (OriginGateway, HOST, Why::Reply, 0.92), "a target's answer keeps the target's Server"),

    row("a text under the name of a gateway", |f| f.is_gateway_status() && f.is_named(Role::Gateway) && f.named.is_some_and(|product| product.pages.is_empty()) && f.is_tiny() && !f.is_bodiless() && !f.has_app_marks() && !f.is_reason_only(),
        (OriginGateway, HOST, Why::Reply, 0.85), CAPTURES),
    row("through a proxy: a small error that neither a hop nor a date nor a name marks as relayed", |f| f.is_plain() && f.is_error() && f.has_header() && f.is_tiny() && f.hops() == 0 && !["date", "server", "x-powered-by", "set-cookie", "etag", "last-modified"].iter().any(|field| f.has(field)) && !f.is_json(),
        (ForwardProxy, AsProxySays, Why::Reply, 0.7), "RFC 9110, section 6.6.1: origin servers date their answers, and who relays an undated one dates it"),

    // --- Errors of the application ---
    row("marks that only an application leaves", |f| f.is_error() && f.has_app_marks(),
        (OriginApp, AsAppSays, Why::App, 0.92), CAPTURES),
    row("a gateway's name over a page that is none of its own", |f| f.is_error() && f.named.is_some_and(|product| !product.pages.is_empty() && product.role != Role::App) && !f.is_default_page(),
        (OriginApp, AsAppSays, Why::App, 0.9), "Server says who relayed, not who spoke"),
    row("a framework's name", |f| f.is_error() && f.is_named(Role::App),
        (OriginApp, AsAppSays, Why::App, 0.9), "nobody relays under this name"),

    // --- Pages of products that are not known ---
    row("through a proxy: a default error page that no hop relayed", |f| f.is_plain() && f.is_gateway_status() && f.is_default_page() && f.hops() == 0 && f.status() != 500,
        (ForwardProxy, AsProxySays, Why::Reply, 0.6), RFC9110_VIA),
    row("through a proxy: a tiny text on why the host was not reached", |f| f.is_plain() && f.is_gateway_status() && f.is_tiny() && f.hops() == 0 && names_upstream(f),
        (ForwardProxy, AsProxySays, Why::Reply, 0.6), RFC9110_VIA),
    row("a default error page with the status in its title or heading", |f| matches!(f.status(), 502..=504) && f.is_default_page(),
        (OriginGateway, HOST, Why::Reply, 0.9), CAPTURES),
    row("a default error page with the number of the status", |f| f.is_error() && f.is_default_page() && f.says_number(),
        (OriginGateway, AsAppSays, Why::Reply, 0.75), CAPTURES),
    row("a tiny text on why the server behind was not reached", |f| f.is_gateway_status() && f.is_tiny() && names_upstream(f),
        (OriginGateway, HOST, Why::Reply, 0.85), CAPTURES),
    row("an error page that says nothing but its reason", |f| f.is_error() && f.is_default_page(),
        (OriginApp, AsAppSays, Why::App, 0.8), CAPTURES),
    row("an error of nothing but its reason, as Go's servers write it", |f| matches!(f.status(), 502..=504) && f.is_reason_only() && f.field_begins("content-type", "text/plain; charset=utf-8") && !f.reply.body.ends_with('\n'),
        (OriginGateway, HOST, Why::Reply, 0.85), "traefik, pkg/proxy; Go, net/http"),
    row("an error of nothing but its reason", |f| f.is_error() && f.is_reason_only(),
        (OriginApp, AsAppSays, Why::App, 0.85), CAPTURES),
    row("through a proxy: the mark that it leaves on what it relays is missing", |f| f.is_plain() && f.is_error() && f.evidence.has_usual_stamp == Some(false),
        (ForwardProxy, AsProxySays, Why::Reply, 0.7), "learned from its successes"),
    row("an error without a body under a name that is not known", |f| matches!(f.status(), 502..=504) && f.is_bodiless() && f.has("server") && f.named.is_none(),
        (OriginGateway, HOST, Why::Reply, 0.8), "Go, net/http/httputil: reverse proxies write no body"),
    row("an error of the host", |f| f.is_error() && f.evidence.way != Some(Way::Plain),
        (OriginApp, AsAppSays, Why::App, 0.85), "nobody else could have written it"),
    row("an error that came through a proxy", |f| f.is_error(),
        (OriginApp, AsAppSays, Why::App, 0.75), "most errors are the host's"),
    row("nothing is known", |_| true,
        (Producer::Unknown, Is(Unknown), Why::Is(Cause::Unknown), 0.0), "no evidence"),
];

/// Whether this is one of the reason phrases with which Fastly says why it has no answer.
fn is_fastly(reason: &str) -> bool {
    const REASONS: [&str; 9] = [
        "backend read error",
        "first byte timeout",
        "between bytes timeout",
        "all backends failed or unhealthy",
        "backend fetch failed",
        "connection timed out",
        "connection refused",
        "no stale object available",
        "backend unhealthy",
    ];
    REASONS
        .iter()
        .any(|known| reason.eq_ignore_ascii_case(known))
}

/// Whether the words name a failure to reach or understand somebody, which applications rarely put on a page.
fn names_upstream(facts: &Facts<'_>) -> bool {
    super::causes::by_words(facts.seen).is_some_and(|(cause, _)| {
        super::causes::fault_reported_by_proxy(cause) == Host && cause != Cause::Unknown
    })
}
