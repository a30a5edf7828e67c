//! Are the marks of proxies learned, and those of hosts left to the hosts?

use serde_json::Value;

use super::*;
use crate::attribution::{Fault, Producer, attribute};
use crate::exchange::{Answer, Failure, FailureKind, Timings};
use crate::route::{Certificate, Phase, Route};

const PROXY: ProxyId = ProxyId(7);

/// An answer that came by this way, its header as `name: value` lines.
fn answer(way: Way, status: u16, head: &str) -> Exchange {
    let field = |line: &str| {
        let (name, value) = line.trim().split_once(": ").unwrap();
        let name = http::HeaderName::from_bytes(name.as_bytes()).unwrap();
        (name, http::HeaderValue::from_str(value).unwrap())
    };
    let lines = head.lines().filter(|line| !line.trim().is_empty());
    Exchange {
        result: Ok(Answer {
            status,
            version: http::Version::HTTP_11,
            headers: lines.map(field).collect(),
            payload: "<p>page".into(),
            body: "<p>page".into(),
            address: None,
        }),
        timings: Timings::default(),
        sent: HeaderMap::new(),
        route: Route {
            way,
            reached: Phase::Done,
            ..Route::default()
        },
    }
}

/// The same with a certificate of this issuer.
fn certified(way: Way, issuer: &str) -> Exchange {
    let mut exchange = answer(way, 200, "");
    exchange.route.certificate = Some(Certificate {
        issuer: issuer.to_owned(),
        sha256_prefix: [0; 8],
    });
    exchange
}

/// What is known of an answer's stamp, after good answers of hosts 1, 2, 3, .. with these headers.
fn stamp(learned: &[&str], asked: &str) -> Option<bool> {
    let mut stamps = Stamps::default();
    for (host, head) in (1..).zip(learned) {
        stamps.learn(PROXY, Party(host), &answer(Way::Plain, 200, head));
    }
    let exchange = answer(Way::Plain, 502, asked);
    let mut evidence = Evidence::from(&exchange);
    stamps.apply(PROXY, &exchange, &mut evidence);
    evidence.has_usual_stamp
}

#[test]
fn a_mark_on_the_answers_of_three_hosts_is_the_proxys() {
    let squid = "via: 1.1 vm (squid/5.7)\nx-cache: MISS from vm\nx-cache-lookup: HIT from vm:8201";
    let hit =
        "via: 1.0 shop, 1.1 vm (squid/5.7)\nx-cache: HIT from vm\nx-cache-lookup: HIT from vm:8201";
    let apache = [
        "via: 1.1 localhost:1",
        "via: 1.1 localhost:2",
        "via: 1.1 localhost:3",
    ];
    for (what, learned, asked, expected) in [
        ("too few hosts", &[squid, squid][..], "", None),
        (
            "it is missing",
            &[squid, hit, squid],
            "date: x",
            Some(false),
        ),
        ("it is there", &[squid, hit, squid], squid, Some(true)),
        (
            "a part of it is there",
            &[squid, hit, squid],
            "x-cache: MISS from vm",
            Some(true),
        ),
        (
            "another hop's",
            &[squid, hit, squid],
            "via: 1.1 cdn",
            Some(false),
        ),
        (
            "only the name stays",
            &apache,
            "via: 1.1 elsewhere",
            Some(true),
        ),
        ("and it is missing", &apache, "server: x", Some(false)),
        ("one host's alone", &[squid, "date: x", "date: y"], "", None),
        (
            "an anonymous proxy",
            &["date: x", "date: y", "server: z"],
            "",
            None,
        ),
        (
            "of an unlisted name",
            &["x-proxy-node: 4"; 3],
            "server: x",
            Some(false),
        ),
    ] {
        assert_eq!(stamp(learned, asked), expected, "{what}");
    }
}

#[test]
fn one_host_tells_nothing_however_often_it_answers() {
    let mut stamps = Stamps::default();
    for _ in 0..100 {
        stamps.learn(PROXY, Party(1), &answer(Way::Plain, 200, "via: 1.1 p"));
    }
    let asked = answer(Way::Plain, 502, "");
    let mut evidence = Evidence::from(&asked);
    stamps.apply(PROXY, &asked, &mut evidence);
    assert_eq!(evidence.has_usual_stamp, None);
}

#[test]
fn what_hosts_show_directly_is_no_mark_of_a_proxy() {
    let mut stamps = Stamps::default();
    let cdn = "via: 1.1 varnish\nx-cache: MISS";
    stamps.learn(ProxyId(1), Party(9), &answer(Way::Direct, 200, cdn));
    for host in 1..9 {
        stamps.learn(PROXY, Party(host), &answer(Way::Plain, 200, cdn));
    }
    let asked = answer(Way::Plain, 502, "");
    let mut evidence = Evidence::from(&asked);
    stamps.apply(PROXY, &asked, &mut evidence);
    assert_eq!(evidence.has_usual_stamp, None);
}

#[test]
fn errors_and_tunnels_teach_nothing_and_one_odd_answer_spoils_nothing() {
    let mut stamps = Stamps::default();
    for host in 1..9 {
        stamps.learn(
            PROXY,
            Party(host),
            &answer(Way::Plain, 502, "via: 1.1 error"),
        );
        stamps.learn(
            PROXY,
            Party(host),
            &answer(Way::Tunnel, 200, "via: 1.1 inside"),
        );
    }
    assert!(stamps.proxies.is_empty());
    for n in 0..200 {
        let head = if n == 50 { "date: x" } else { "via: 1.1 p" };
        stamps.learn(PROXY, Party(n % 5), &answer(Way::Plain, 200, head));
    }
    let mut asked = answer(Way::Plain, 502, "date: x");
    for (way, expected) in [(Way::Plain, Some(false)), (Way::Tunnel, None)] {
        asked.route.way = way;
        let mut evidence = Evidence::from(&asked);
        stamps.apply(PROXY, &asked, &mut evidence);
        assert_eq!(evidence.has_usual_stamp, expected, "{way:?}");
        stamps.apply(ProxyId(8), &asked, &mut evidence);
        assert_eq!(
            evidence.has_usual_stamp, expected,
            "another proxy is not known"
        );
    }
}

#[test]
fn a_proxy_may_change_its_mark() {
    let mut stamps = Stamps::default();
    let new = answer(Way::Plain, 200, "via: 1.1 new");
    for n in 0..2_000 {
        stamps.learn(
            PROXY,
            Party(n % 5),
            &answer(Way::Plain, 200, "via: 1.1 old"),
        );
    }
    for n in 0..10_000 {
        stamps.learn(PROXY, Party(n % 5), &new);
    }
    let mut evidence = Evidence::from(&new);
    stamps.apply(PROXY, &new, &mut evidence);
    assert_eq!(evidence.has_usual_stamp, Some(true));
}

#[test]
fn one_issuer_for_every_host_of_one_way_alone_reads_along() {
    let tunnel = |issuer: &str| certified(Way::Tunnel, issuer);
    let known = |stamps: &Stamps, exchange: &Exchange| {
        let mut evidence = Evidence::from(exchange);
        stamps.apply(PROXY, exchange, &mut evidence);
        evidence.is_intercepted
    };
    let mut stamps = Stamps::default();
    for host in 0..9 {
        stamps.learn(PROXY, Party(host), &tunnel("Corp Inspection"));
    }
    let own = tunnel("Corp Inspection");
    assert_eq!(known(&stamps, &own), None, "it may be every host's");
    for host in 10..15 {
        stamps.learn(
            ProxyId(1),
            Party(host),
            &tunnel(["R10", "R11"][host as usize % 2]),
        );
    }
    assert_eq!(known(&stamps, &own), Some(true));
    assert_eq!(known(&stamps, &tunnel("R10")), None);

    // A whole fleet may do it.
    stamps.learn(ProxyId(2), Party(1), &own);
    assert_eq!(known(&stamps, &own), Some(true));
    // But no way without it.
    stamps.learn(
        ProxyId(9),
        Party(30),
        &certified(Way::Direct, "Corp Inspection"),
    );
    assert_eq!(known(&stamps, &own), None);
}

#[test]
fn an_issuer_of_many_is_no_proxys() {
    let mut stamps = Stamps::default();
    let own = certified(Way::Tunnel, "R11");
    for host in 0..9 {
        stamps.learn(PROXY, Party(host), &own);
        stamps.learn(ProxyId(1), Party(host), &certified(Way::Tunnel, "WE1"));
    }
    stamps.learn(ProxyId(1), Party(20), &own);
    let mut evidence = Evidence::from(&own);
    stamps.apply(PROXY, &own, &mut evidence);
    assert_eq!(evidence.is_intercepted, None);
}

#[test]
fn a_certificate_of_the_proxys_own_that_is_not_trusted_is_the_proxys_fault() {
    let mut stamps = Stamps::default();
    let mut refused = certified(Way::Tunnel, "Corp Inspection");
    refused.result = Err(Failure {
        kind: FailureKind::TlsCertificate,
        status: None,
        detail: String::new(),
    });
    refused.route.tunnel_status = Some(200);
    refused.route.reached = Phase::Tls;
    for host in 0..5 {
        stamps.learn(PROXY, Party(host), &refused);
        stamps.learn(ProxyId(1), Party(host), &certified(Way::Tunnel, "R11"));
    }
    let mut evidence = Evidence::from(&refused);
    assert_eq!(attribute(&evidence).fault, Fault::Host);
    stamps.apply(PROXY, &refused, &mut evidence);
    let attribution = attribute(&evidence);
    assert_eq!(attribution.fault, Fault::Proxy, "{attribution:?}");
}

#[test]
fn memory_is_bounded() {
    let mut stamps = Stamps::default();
    for n in 0..20_000_u32 {
        let head = format!("via: 1.1 p{n}\nx-proxy-{n}: {}", "v".repeat(500));
        let party = Party(u64::from(n));
        stamps.learn(ProxyId(n), party, &answer(Way::Plain, 200, &head));
        stamps.learn(PROXY, party, &answer(Way::Plain, 200, &head));
        stamps.learn(ProxyId(n), party, &answer(Way::Direct, 200, &head));
        stamps.learn(
            ProxyId(n),
            party,
            &certified(Way::Tunnel, &format!("CA {n}")),
        );
    }
    assert!(stamps.proxies.len() <= MOST_PROXIES);
    assert!(stamps.direct.len() <= MOST_KNOWN && stamps.issuers.len() <= MOST_KNOWN);
    assert!(stamps.shown.len() <= MOST_SHOWN);
    let longest = |learned: &Learned| learned.marks.len().max(learned.hosts.len());
    assert!(
        stamps
            .proxies
            .values()
            .all(|learned| longest(learned) <= MOST_MARKS)
    );
    let marks = stamps.proxies.values().flat_map(|learned| &learned.marks);
    assert!(
        marks
            .map(|(mark, _)| mark.len())
            .all(|bytes| bytes <= 2 * LONGEST)
    );
}

/// tinyproxy as captured: it stamps what it relays and not what it writes. The page is one that is not known, so that
/// nothing but the stamp tells.
#[test]
fn a_captured_answer_that_lacks_the_stamp_is_the_proxys() {
    let text = include_str!("../../../../../tests/captures.jsonl");
    let captures = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let header = |capture: &Value| {
        let pairs = capture["headers"].as_array().cloned().unwrap_or_default();
        let line = |pair: &Value| Some(format!("{}: {}", pair[0].as_str()?, pair[1].as_str()?));
        pairs.iter().filter_map(line).collect::<Vec<_>>().join("\n")
    };
    let relayed: Vec<String> = captures
        .filter(|capture| capture["stamped"] == true)
        .map(|capture| header(&capture))
        .collect();
    assert!(relayed.len() >= HOSTS, "{relayed:?}");
    let mut stamps = Stamps::default();
    for (host, head) in (1..).zip(&relayed) {
        stamps.learn(PROXY, Party(host), &answer(Way::Plain, 200, head));
    }
    let via = "via: 1.1 tinyproxy (tinyproxy/1.11.1)";
    for (head, expected, producer) in [
        (
            "server: odd/1\ndate: x",
            Some(false),
            Producer::ForwardProxy,
        ),
        (
            &format!("server: odd/1\ndate: x\n{via}"),
            Some(true),
            Producer::OriginApp,
        ),
    ] {
        let own = answer(Way::Plain, 500, head);
        let mut evidence = Evidence::from(&own);
        assert_eq!(
            attribute(&evidence).producer,
            Producer::OriginApp,
            "without its stamps"
        );
        stamps.apply(PROXY, &own, &mut evidence);
        assert_eq!(evidence.has_usual_stamp, expected, "{head}");
        assert_eq!(attribute(&evidence).producer, producer, "{head}");
    }
}
