//! Does each row of the table say what it should, and does nothing else come before it?

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::route::{Phase, Way};

/// Evidence that is made up, with what it must lead to.
struct Case {
    name: &'static str,
    evidence: Evidence,
    /// Producer, fault and cause.
    says: &'static str,
    /// How the row's sentence begins.
    because: &'static str,
}

fn by(way: Way) -> Evidence {
    Evidence {
        way: Some(way),
        ..Evidence::default()
    }
}

fn direct() -> Evidence {
    by(Way::Direct)
}

fn plain() -> Evidence {
    by(Way::Plain)
}

fn tunnel() -> Evidence {
    by(Way::Tunnel)
}

fn socks(reply: u8) -> Evidence {
    Evidence {
        socks_reply: Some(reply),
        ..by(Way::Socks5)
    }
    .broke(Phase::Open, Manner::Other)
}

fn reply(line: &str, headers: &str, body: &str) -> Reply {
    let (status, reason) = line.split_once(' ').unwrap_or((line, ""));
    let pairs = headers.lines().filter_map(|line| line.split_once(':'));
    Reply {
        status: status.parse().ok(),
        reason: Some(reason.to_owned()).filter(|reason| !reason.is_empty()),
        headers: Some(pairs.collect()),
        body: body.to_owned(),
    }
}

impl Evidence {
    fn answer(mut self, line: &str, headers: &str, body: &str) -> Evidence {
        self.body.bytes = Some(body.len() as u64);
        self.body.is_complete.get_or_insert(true);
        self.answer = Some(reply(line, headers, body));
        self
    }

    fn connect(mut self, line: &str, headers: &str, body: &str) -> Evidence {
        self.connect = Some(reply(line, headers, body));
        self
    }

    fn broke(mut self, phase: Phase, manner: Manner) -> Evidence {
        self.broken = Some(Break { phase, manner });
        self
    }

    fn cut(mut self) -> Evidence {
        self.body.is_complete = Some(false);
        self
    }

    fn after(mut self, ms: u64) -> Evidence {
        self.elapsed = Some(Duration::from_millis(ms));
        self
    }
}

const HTML: &str = "content-type: text/html";
const NGINX: &str = "<html><head><title>502 Bad Gateway</title></head><body><center><h1>502 Bad Gateway</h1>\
                     </center><hr><center>nginx/1.22.1</center></body></html>";
const APACHE: &str = "<title>502 Proxy Error</title><h1>Proxy Error</h1><p>The proxy server received an invalid\r\n\
                      response from an upstream server.<br />Reason: <strong>Error reading from remote server";
const NOBODYS: &str =
    "<html><head><title>502 Bad Gateway</title></head><body><h1>Bad Gateway</h1></body></html>";
const TUNNEL: (&str, &str, &str) = ("200 Connection established", "", "");

fn open() -> Evidence {
    tunnel().connect(TUNNEL.0, TUNNEL.1, TUNNEL.2)
}

#[rustfmt::skip]
fn cases() -> Vec<Case> {
    let case = |name, evidence, says, because| Case { name, evidence, says, because };
    vec![
        case("no more sockets", direct().broke(Phase::Connect, Manner::Own), "none own_network own_network", "our own machine"),
        case("a body beyond the bound", direct().broke(Phase::Body, Manner::TooLarge), "origin_app nobody too_large", "more came than we take"),
        // The proxy itself.
        case("the proxy is down", tunnel().broke(Phase::Connect, Manner::Refused), "none proxy proxy_down", "no connection to the proxy"),
        case("a wrong SOCKS login", socks(255), "forward_proxy own_credentials proxy_auth", "the SOCKS proxy refused our login"),
        case("a SOCKS rule", socks(2), "forward_proxy proxy policy", "the SOCKS proxy does not allow it"),
        case("SOCKS without IPv6", socks(8), "forward_proxy proxy proxy_broken", "the SOCKS proxy does not understand"),
        case("SOCKS: refused", socks(5), "forward_proxy host connect_refused", "the SOCKS proxy says"),
        case("SOCKS: something", socks(1), "forward_proxy host gateway_error", "the SOCKS proxy failed"),
        case("noise for CONNECT", tunnel().broke(Phase::Open, Manner::NotHttp), "none proxy proxy_broken", "the answer to CONNECT or SOCKS is no such"),
        case("a reset for CONNECT", tunnel().broke(Phase::Open, Manner::Reset), "none proxy proxy_broken", "CONNECT was answered with a reset"),
        case("silence for CONNECT", tunnel().broke(Phase::Open, Manner::Timeout), "none proxy proxy_broken", "no answer to CONNECT in time"),
        case("an end for CONNECT", tunnel().broke(Phase::Open, Manner::Closed), "none host gateway_error", "CONNECT was answered by closing"),
        // Its answers to CONNECT.
        case("CONNECT 407", tunnel().connect("407 x", "Proxy-Authenticate: Basic", ""), "forward_proxy own_credentials proxy_auth", "the proxy wants other credentials (407)"),
        case("CONNECT 502 of a provider", tunnel().connect("502 x", "x-brd-err-code: policy_20050", ""), "forward_proxy proxy policy", "a provider refused CONNECT"),
        case("CONNECT 502 with Proxy-Status", tunnel().connect("502 x", "proxy-status: p; error=dns_error", ""), "forward_proxy host dns_failure", "the proxy refused CONNECT and says why"),
        case("CONNECT 401", tunnel().connect("401 Unauthorized", "", ""), "forward_proxy own_credentials proxy_auth", "the proxy wants other credentials (401)"),
        case("CONNECT 402", tunnel().connect("402 x", "", ""), "forward_proxy proxy proxy_quota", "the proxy wants to be paid"),
        case("CONNECT 429", tunnel().connect("429 x", "retry-after: 7", ""), "forward_proxy proxy proxy_limit", "the proxy limits us"),
        case("CONNECT 403", tunnel().connect("403 Filtered", "", ""), "forward_proxy proxy policy", "the proxy does not allow it"),
        case("CONNECT 302", tunnel().connect("302 Found", "location: http://login.example/", ""), "forward_proxy proxy policy", "the proxy points elsewhere"),
        case("CONNECT 593", tunnel().connect("593 x", "", ""), "forward_proxy host dns_failure", "a status of proxy-chain"),
        case("CONNECT 503: refused", tunnel().connect("503 x", "x-squid-error: ERR_CONNECT_FAIL 111", ""), "forward_proxy host connect_refused", "the proxy could not open"),
        case("CONNECT 502, no word", tunnel().connect("502 Bad Gateway", "", ""), "forward_proxy host gateway_error", "the proxy could not open"),
        case("CONNECT 503: full", tunnel().connect("503 x", HTML, "Too many connections"), "forward_proxy proxy proxy_limit", "the proxy could not open"),
        // Its answers to a request that it reads.
        case("407 in plain", plain().answer("407 x", "", ""), "forward_proxy own_credentials proxy_auth", "the proxy wants other credentials (407)"),
        case("a provider in plain", plain().answer("502 x", "x-crawlera-error: noslaves", ""), "forward_proxy proxy proxy_no_exit", "a provider answered"),
        case("Proxy-Status of the proxy", plain().answer("502 x", "proxy-status: origin, me; error=proxy_internal_error", ""), "forward_proxy proxy proxy_broken", "Proxy-Status names the last hop"),
        case("Proxy-Status of the site", direct().answer("502 x", "proxy-status: cdn; error=connection_refused", ""), "edge host connect_refused", "Proxy-Status names a hop of the site"),
        case("tinyproxy and a wrong password", plain().answer("401 Unauthorized", "server: tinyproxy/1.11.1\nwww-authenticate: Basic", "Generated by tinyproxy version 1.11.1."), "forward_proxy own_credentials proxy_auth", "the page that tinyproxy shows"),
        case("squid in plain", plain().answer("504 x", "x-squid-error: ERR_READ_TIMEOUT 0\nvia: 1.1 vm (squid/5.7)", ""), "forward_proxy host read_timeout", "squid says so"),
        case("tinyproxy in plain", plain().answer("403 Filtered", "server: tinyproxy/1.11.1", "has been filtered <em>Generated by tinyproxy version 1.11.1.</em>"), "forward_proxy proxy policy", "the page of a forward proxy"),
        case("a name in plain", plain().answer("502 x", "server: mitmproxy 8.1.1", "connect call failed: connection refused"), "forward_proxy host connect_refused", "an error under the name of a forward proxy"),
        case("squid without its name", plain().answer("503 x", HTML, "<title>ERROR: The requested URL could not be retrieved</title> connection refused"), "forward_proxy host connect_refused", "squid's page"),
        case("squid without name and page", plain().answer("502 x", "mime-version: 1.0\ncontent-language: de\nvary: Accept-Language", "<p>Hoppla"), "forward_proxy host gateway_error", "fields that only squid's"),
        case("a Proxy-Agent", plain().answer("502 x", "proxy-agent: p/1", "Bad Gateway"), "forward_proxy host gateway_error", "fields that only a forward proxy writes"),
        case("Apache forwards", plain().answer("502 Proxy Error", "server: Apache/2.4", APACHE), "forward_proxy host upstream_closed", "the error page of a proxy product"),
        case("594 in plain", plain().answer("594 x", "", ""), "forward_proxy host connect_refused", "a status of proxy-chain"),
        case("525 without cf-ray", plain().answer("525 x", "", ""), "forward_proxy proxy proxy_no_exit", "a status of Cloudflare's without"),
        // Nothing that can be read.
        case("a certificate of the proxy's own", Evidence { is_intercepted: Some(true), ..open() }.broke(Phase::Tls, Manner::Certificate), "none proxy proxy_broken", "the proxy shows a certificate of its own"),
        case("a TLS alert inside", open().broke(Phase::Tls, Manner::Alert), "none host tls_failure", "TLS with the host failed inside"),
        case("a tunnel into nothing", open().broke(Phase::Tls, Manner::Closed), "none host tls_failure", "the tunnel was closed"),
        case("a bad certificate", direct().broke(Phase::Tls, Manner::Certificate), "none host tls_failure", "TLS with the host failed"),
        case("no such name", direct().broke(Phase::Dns, Manner::NoName), "none host dns_failure", "the host's name"),
        case("nobody listens", direct().broke(Phase::Connect, Manner::Refused), "none host connect_refused", "no connection to the host (RFC 9293"),
        case("no way", direct().broke(Phase::Connect, Manner::Timeout), "none host connect_timeout", "no connection to the host (our own"),
        case("half a head in plain", plain().answer("200 OK", "", "").cut(), "origin_app proxy proxy_broken", "a head that ends in its midst, through"),
        case("noise in plain", plain().broke(Phase::Header, Manner::NotHttp), "none proxy proxy_broken", "what came through the proxy is no HTTP"),
        case("noise", direct().broke(Phase::Header, Manner::NotHttp), "none host invalid_response", "what the host sent is no HTTP"),
        case("noise in a tunnel", open().broke(Phase::Header, Manner::NotHttp), "none host invalid_response", "what the host sent is no HTTP"),
        case("a reset in plain", plain().broke(Phase::Header, Manner::Reset), "none proxy proxy_broken", "the proxy reset"),
        case("an end in plain", plain().broke(Phase::Header, Manner::Closed), "none host upstream_closed", "no answer through the proxy"),
        case("an end in a tunnel", open().broke(Phase::Header, Manner::Closed), "none host upstream_closed", "the host did not answer inside"),
        case("an end", direct().broke(Phase::Header, Manner::Closed).after(9), "none host upstream_closed", "the host did not answer ("),
        // Walls.
        case("cf-mitigated", direct().answer("403 x", "cf-mitigated: challenge", ""), "edge host challenge", "a wall for robots"),
        case("AWS WAF with 202", direct().answer("202 x", "x-amzn-waf-action: challenge", ""), "edge host challenge", "a wall for robots"),
        case("a wall as 200", direct().answer("200 OK", HTML, "<iframe src=\"/_Incapsula_Resource?CWUDNSAI=9&incident_id=1-2\">"), "edge host challenge", "a wall for robots"),
        case("a wall as 502", direct().answer("502 x", HTML, "Your request has been denied for security reason."), "origin_gateway host block", "a wall for robots"),
        case("a wall in a tunnel", open().answer("403 x", "server: AkamaiGHost", "Reference #18.ef3a2f17"), "edge host block", "a wall for robots"),
        // Claims of success.
        case("half a head", direct().answer("200 OK", "", "").cut(), "origin_app host truncated", "a head that ends in its midst ("),
        case("squid makes HTTP/0.9 a 200", plain().answer("200 OK", "x-transformed-from: HTTP/0.9", "SSH-2.0"), "origin_app host corrupt", "an answer that was no HTTP"),
        case("half a body in plain", plain().answer("200 OK", HTML, "<p>").cut(), "origin_app host truncated", "the body ends before its end (RFC 9112, section 8; the proxy"),
        case("half a body", direct().answer("200 OK", HTML, "<p>").cut(), "origin_app host truncated", "the body ends before its end (RFC 9112, section 8)"),
        case("half a body, slowly", open().answer("200 OK", HTML, "<p>").cut().after(6_000), "origin_app host read_timeout", "the body ends before its end"),
        case("bytes as 200", direct().answer("200 OK", "date: x", "\u{0}\u{1}SSH"), "origin_app host corrupt", "a 200 of bytes"),
        case("an empty page", direct().answer("200 OK", "content-type: text/html\ntransfer-encoding: chunked", ""), "origin_app host empty", "a 200 that says it is a page"),
        case("an empty answer on purpose", direct().answer("200 OK", "content-type: image/gif\ncontent-length: 0", ""), "origin_app nobody ok", "a whole answer"),
        case("a page", direct().answer("200 OK", HTML, "<p>hello"), "origin_app nobody ok", "a whole answer"),
        case("a redirect", open().answer("301 Moved", "location: /", ""), "origin_app nobody ok", "a whole answer"),
        // CDNs.
        case("522 with cf-ray", plain().answer("522 x", "cf-ray: 1-FRA", ""), "edge host connect_timeout", "a status of Cloudflare's, with"),
        case("CloudFront", direct().answer("502 x", "server: CloudFront", "Generated by cloudfront (CloudFront)"), "edge host gateway_error", "the page of a CDN"),
        case("Vercel", direct().answer("504 x", "x-vercel-error: FUNCTION_INVOCATION_TIMEOUT", ""), "edge host read_timeout", "Vercel says so"),
        case("Fastly", direct().answer("503 first byte timeout", "x-served-by: cache-fra1-FRA", "?"), "edge host read_timeout", "a reason phrase of Fastly's"),
        case("a CDN like squid", direct().answer("400 x", "x-cache-error: ERR_INVALID_URL 0", ""), "edge nobody bad_request", "a squid-like CDN"),
        case("Akamai", direct().answer("503 x", "server: AkamaiGHost", "?"), "edge host overload", "an error that Akamai signed"),
        // Gateways.
        case("nginx", direct().answer("502 Bad Gateway", HTML, NGINX), "origin_gateway host gateway_error", "the page of a gateway"),
        case("nginx behind a proxy", plain().answer("502 Bad Gateway", "via: 1.1 p", NGINX), "origin_gateway host gateway_error", "the page of a gateway"),
        case("Apache behind a proxy", plain().answer("502 x", "server: Apache\nvia: 1.1 p", APACHE), "origin_gateway host upstream_closed", "the page of a gateway"),
        case("Apache behind a proxy that hides", plain().answer("502 x", HTML, APACHE), "origin_gateway host upstream_closed", "the page of a gateway"),
        case("gunicorn", direct().answer("500 x", HTML, "<h1><p>Internal Server Error</p></h1>"), "origin_app host app_error", "the page of a framework"),
        case("Caddy", direct().answer("504 x", "server: Caddy\ncontent-length: 0", "").after(2_000), "origin_gateway host read_timeout", "an error without a body, of a gateway"),
        case("h2o", direct().answer("502 Gateway Error", "server: h2o/2.2.5\ncontent-type: text/plain; charset=utf-8", "I/O timeout"), "origin_gateway host connect_timeout", "a text under the name of a gateway"),
        case("proxy-chain and a name that is none", plain().answer("404 Not Found", "content-type: text/plain; charset=utf-8\nconnection: keep-alive", "Not Found"), "forward_proxy host not_found", "through a proxy: a small error"),
        case("an AWS load balancer", direct().answer("503 x", "server: awselb/2.0", "?"), "origin_gateway host overload", "a load balancer's own name"),
        // Applications.
        case("JSON under nginx", direct().answer("502 x", "server: nginx\ncontent-type: application/json", "{}"), "origin_app host app_error", "marks that only an application"),
        case("503 with Retry-After", direct().answer("503 x", "content-type: application/json\nretry-after: 7", "{}"), "origin_app host overload", "marks that only an application"),
        case("404 of an application", direct().answer("404 x", "set-cookie: a=b", "no"), "origin_app nobody not_found", "marks that only an application"),
        case("text under nginx", direct().answer("502 Bad Gateway", "server: nginx\ncontent-type: text/plain", "Bad Gateway\n"), "origin_app host app_error", "a gateway's name over a page"),
        case("uvicorn", direct().answer("500 x", "server: uvicorn", "oops"), "origin_app host app_error", "a framework's name"),
        // What nobody knows.
        case("a page of nobody through a proxy", plain().answer("502 Bad Gateway", "date: x\ncontent-type: text/html", NOBODYS), "forward_proxy host gateway_error", "through a proxy: a default error page"),
        case("a word of nobody through a proxy", plain().answer("500 x", "date: x\ncontent-type: text/plain", "dial tcp: connection refused"), "forward_proxy host connect_refused", "through a proxy: a tiny text"),
        case("a page of nobody", direct().answer("502 Bad Gateway", HTML, NOBODYS), "origin_gateway host gateway_error", "a default error page with the status"),
        case("a 404 of nobody", direct().answer("404 Not Found", HTML, "<title>404 Not Found</title>"), "origin_gateway nobody not_found", "a default error page with the number"),
        case("a word of nobody", direct().answer("502 x", "content-type: text/plain", "upstream: connection refused"), "origin_gateway host connect_refused", "a tiny text on why"),
        case("a 500 of nobody", direct().answer("500 x", HTML, "<title>Internal Server Error</title>"), "origin_app host app_error", "an error page that says nothing"),
        case("Go", direct().answer("502 x", "content-type: text/plain; charset=utf-8", "Bad Gateway"), "origin_gateway host gateway_error", "an error of nothing but its reason, as Go"),
        case("text", direct().answer("502 Bad Gateway", "content-type: text/plain", "Bad Gateway\n"), "origin_app host app_error", "an error of nothing but its reason ("),
        case("a stamp is missing", Evidence { has_usual_stamp: Some(false), ..plain() }.answer("503 x", "date: x", "?"), "forward_proxy host overload", "through a proxy: the mark"),
        case("nothing under a name", direct().answer("502 x", "server: hmm", ""), "origin_gateway host gateway_error", "an error without a body under a name"),
        case("nothing", direct().answer("502 x", "", ""), "origin_app host app_error", "an error of the host"),
        case("nothing through a proxy", plain().answer("502 x", "date: x", ""), "origin_app host app_error", "an error that came through a proxy"),
        case("no evidence", Evidence::default(), "unknown unknown unknown", "nothing is known"),
    ]
}

#[test]
fn each_row_says_what_its_evidence_means() {
    for case in cases() {
        let said = attribute(&case.evidence);
        let words = format!("{} {} {}", said.producer, said.fault, said.cause);
        assert_eq!(words, case.says, "{}: {said:#?}", case.name);
        assert!(
            said.reasons[0].starts_with(case.because),
            "{}: {said:#?}",
            case.name
        );
    }
}

#[test]
fn no_row_is_hidden_by_those_before_it() {
    let reached: BTreeSet<String> = cases()
        .iter()
        .map(|case| attribute(&case.evidence).reasons[0].clone())
        .collect();
    for row in ROWS {
        let reason = format!("{} ({})", row.because, row.source);
        assert!(reached.contains(&reason), "no case reaches: {reason}");
    }
}

#[test]
fn what_a_proxy_refuses_is_never_the_hosts_answer() {
    for status in (300..600).filter(|status| *status != 200) {
        for (headers, body) in [("", ""), (HTML, NGINX), ("cf-mitigated: challenge", "")] {
            let refused = tunnel().connect(&format!("{status} x"), headers, body);
            let said = attribute(&refused);
            assert_eq!(said.producer, Producer::ForwardProxy, "{status}: {said:?}");
        }
    }
}

#[test]
fn inside_a_tunnel_nothing_is_blamed_on_the_proxy_but_what_it_reads() {
    let forged = open().answer(
        "502 x",
        "x-luminati-error: no\nx-squid-error: ERR_ACCESS_DENIED 0",
        "",
    );
    assert_eq!(attribute(&forged).fault, Fault::Host);
    let read = Evidence {
        is_intercepted: Some(true),
        ..forged
    };
    assert_eq!(attribute(&read).producer, Producer::ForwardProxy);
}

#[test]
fn harmless_headers_are_no_walls() {
    for (headers, body) in [
        (
            "content-security-policy: script-src cdnjs.cloudflare.com\ncf-ray: 1-FRA\nserver: cloudflare",
            "<p>hello",
        ),
        (
            "x-cache: Error from cloudfront\nx-amz-cf-pop: TXL50",
            "<p>gone",
        ),
        (
            "x-iinfo: 1\nx-cdn: Imperva",
            "<script src=\"/_Incapsula_Resource?SWJIYLWA=719d\"></script>",
        ),
        (
            "x-served-by: cache-fra1\nx-sucuri-id: 1\nx-azure-ref: 1",
            "challenge captcha access denied just a moment",
        ),
        (
            HTML,
            "<title>Just a moment...</title> what px means, datadome, perimeterx",
        ),
    ] {
        for status in ["200 OK", "403 Forbidden", "503 x"] {
            let said = attribute(&direct().answer(status, headers, body));
            assert!(
                !matches!(said.cause, Cause::Challenge | Cause::Block),
                "{said:#?}"
            );
        }
    }
}

#[test]
fn a_cached_error_is_not_asked_for_before_its_age_allows() {
    let life = |headers: &str| {
        let headers = format!("x-cache: Error from cloudfront\n{headers}");
        attribute(&direct().answer("503 x", &headers, ""))
            .not_before
            .map(|life| life.as_secs())
    };
    assert_eq!(life(""), Some(10));
    assert_eq!(life("age: 7"), Some(3));
    assert_eq!(life("age: 73064"), None);
    assert_eq!(life("cache-control: public, max-age=60\nage: 20"), Some(40));
    let fine = attribute(&direct().answer("200 OK", "x-cache: Error from cloudfront", "<p>"));
    assert_eq!(fine.not_before, None);
}

#[test]
fn only_sure_verdicts_act_against_somebody() {
    for (evidence, expected) in [
        (
            tunnel().broke(Phase::Connect, Manner::Refused),
            Action::QuarantineProxy,
        ),
        (tunnel().connect("407 x", "", ""), Action::StopPool),
        (tunnel().connect("429 x", "", ""), Action::EaseProxy),
        (tunnel().connect("502 x", "", ""), Action::Compare),
        (tunnel().broke(Phase::Open, Manner::Closed), Action::Compare),
        (
            plain().broke(Phase::Header, Manner::Closed),
            Action::Compare,
        ),
        (
            direct().broke(Phase::Connect, Manner::Refused),
            Action::HoldHost,
        ),
        (direct().answer("503 x", HTML, NGINX), Action::SlowHost),
        (
            direct().answer("500 x", "set-cookie: a", ""),
            Action::RetryPage,
        ),
        (
            direct().answer("403 x", "cf-mitigated: challenge", ""),
            Action::Escalate,
        ),
        (
            plain().answer("200 OK", HTML, "<p>").cut(),
            Action::RetryElsewhere,
        ),
        (
            direct().broke(Phase::Connect, Manner::Own),
            Action::PauseAll,
        ),
        (direct().answer("200 OK", HTML, "<p>"), Action::Accept),
    ] {
        let said = attribute(&evidence);
        assert_eq!(said.action, expected, "{said:#?}");
    }
}

#[test]
fn what_is_told_is_short_and_printable() {
    let long = "\u{1b}[31m\u{e9}".repeat(10_000);
    let evidence = direct().answer(
        &format!("502 {long}"),
        &format!("server: {long}\nvia: {long}"),
        &long,
    );
    let said = attribute(&evidence);
    assert!(said.reasons.len() <= Attribution::MAX_REASONS);
    for reason in said.reasons {
        assert!(reason.len() <= Attribution::MAX_REASON);
        assert!(reason.chars().all(|c| !c.is_control()), "{reason:?}");
    }
}

fn any_reply() -> impl Strategy<Value = Reply> {
    let name = prop::sample::select(vec![
        "server",
        "via",
        "x-cache",
        "age",
        "cache-control",
        "proxy-status",
        "content-type",
        "cf-ray",
        "x-squid-error",
        "x-brd-err-code",
        "retry-after",
        "content-length",
        "set-cookie",
    ]);
    let headers = prop::option::of(prop::collection::vec((name, ".{0,30}"), 0..6));
    let body = prop_oneof![
        ".{0,200}",
        "<title>[^<]{0,9}</?(title|h1)?>?.{0,30}",
        Just(NGINX.to_owned())
    ];
    (
        prop::option::of(any::<u16>()),
        prop::option::of(".{0,20}"),
        headers,
        body,
    )
        .prop_map(|(status, reason, headers, body)| Reply {
            status,
            reason,
            headers: headers.map(|pairs| pairs.into_iter().collect()),
            body,
        })
}

fn any_evidence() -> impl Strategy<Value = Evidence> {
    let way = prop::sample::select(vec![Way::Direct, Way::Plain, Way::Tunnel, Way::Socks5]);
    let phase = prop::sample::select(vec![
        Phase::Dns,
        Phase::Connect,
        Phase::ProxyTls,
        Phase::Open,
        Phase::Tls,
        Phase::Header,
        Phase::Body,
    ]);
    let manner = prop::sample::select(vec![
        Manner::NoName,
        Manner::Refused,
        Manner::Closed,
        Manner::Reset,
        Manner::Timeout,
        Manner::NotHttp,
        Manner::Alert,
        Manner::TooLarge,
        Manner::Own,
        Manner::Other,
    ]);
    let broken =
        prop::option::of((phase, manner).prop_map(|(phase, manner)| Break { phase, manner }));
    let seen = (
        prop::option::of(way),
        prop::option::of(any_reply()),
        prop::option::of(any_reply()),
        prop::option::of(any::<u8>()),
        broken,
    );
    let rest = (
        any::<Option<u64>>(),
        any::<Option<bool>>(),
        any::<Option<u32>>(),
        any::<Option<bool>>(),
    );
    (seen, rest).prop_map(
        |((way, answer, connect, socks_reply, broken), (bytes, is_complete, ms, flag))| Evidence {
            way,
            answer,
            connect,
            socks_reply,
            broken,
            body: Body {
                bytes,
                is_complete,
                is_close_delimited: flag,
            },
            first_byte: None,
            elapsed: ms.map(|ms| Duration::from_millis(u64::from(ms))),
            is_intercepted: flag,
            has_usual_stamp: flag,
        },
    )
}

proptest! {
    #[test]
    fn any_evidence_gets_a_verdict_within_bounds(evidence in any_evidence()) {
        let said = attribute(&evidence);
        prop_assert!((0.0..=1.0).contains(&said.confidence), "{said:?}");
        prop_assert!((1..=Attribution::MAX_REASONS).contains(&said.reasons.len()), "{said:?}");
        prop_assert_eq!(&said, &attribute(&evidence), "the same evidence twice");
        let has_proxy = evidence.way != Some(Way::Direct)
            || evidence.connect.is_some()
            || evidence.socks_reply.is_some()
            || evidence.broken.is_some_and(|at| at.phase == Phase::Open)
            || evidence.is_intercepted == Some(true);
        prop_assert!(said.fault != Fault::Proxy || has_proxy, "no proxy was asked: {said:?}");
    }
}
