//! Does a crawl through proxies tell afterwards who broke what, by every command that is asked?

use std::net::{IpAddr, Ipv4Addr};

use neap_testkit::{ForwardProxy, Manner, Reply, Site};
use serde_json::Value;

use crate::support::{Place, Said};

/// Where the names of all sites lead.
const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// What nothing may repeat.
const SECRET: &str = "hunter2";
/// Good pages of the site.
const PAGES: usize = 60;

#[track_caller]
fn rows(place: &Place, arguments: &[&str]) -> Vec<Value> {
    let arguments = [arguments, &["--format", "json"]].concat();
    let said = place.neap(&arguments).expect(0);
    serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {}", said.out))
}

/// What a proxy says of itself, by RFC 9209: that it is broken.
fn broken() -> Manner {
    let fields = [("Proxy-Status", "p3; error=proxy_internal_error")];
    Manner::answer(502, "Bad Gateway", &fields, "no")
}

/// A site with good pages and one whose gateway fails.
fn site() -> Site {
    let gateway = Reply::status(502)
        .header("Server", "nginx/1.25.3")
        .body("<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n<hr><center>nginx/1.25.3</center>\r\n</body>\r\n</html>\r\n");
    let pages = (0..PAGES).map(|n| (format!("/{n}"), Reply::ok("a page")));
    pages
        .fold(Site::builder(), |site, (path, reply)| {
            site.page(&path, reply)
        })
        .page("/bad", gateway)
        .start()
}

/// A crawl of all of it through these proxies.
fn crawled(site: &Site, proxies: &[&ForwardProxy]) -> (Place, Said) {
    let place = Place::new();
    let host = format!("http://shop.example:{}", site.address().port());
    let mut urls: String = (0..PAGES).map(|n| format!("{host}/{n}\n")).collect();
    urls.push_str(&format!("{host}/bad\n"));
    place.write("urls.txt", &urls);
    let lines: Vec<String> = proxies.iter().map(|proxy| proxy.url()).collect();
    place.write("proxies.txt", &lines.join("\n"));
    place.write(
        "job.toml",
        "neap = 1\nname = \"shop\"\n[input]\nfiles = [\"urls.txt\"]\n[robots]\nmode = \"off\"\n\
         [retry]\nattempts = 2\nbase = \"1ms\"\nbudget = 1.0\n\
         [store]\nbodies = \"none\"\n[[proxy.pool]]\nname = \"rented\"\nfile = \"proxies.txt\"\n",
    );
    let said = place.neap(&["run", "job.toml"]);
    (place, said)
}

/// What a squid says whose own network is broken: that the host refuses connections.
fn liar() -> Manner {
    let fields = [
        ("Server", "squid/5.7"),
        ("X-Squid-Error", "ERR_CONNECT_FAIL 111"),
    ];
    Manner::answer(503, "Service Unavailable", &fields, "no")
}

#[test]
fn a_proxy_that_calls_a_host_down_is_not_believed_where_others_bring_its_pages() {
    let site = site();
    let proxies: Vec<ForwardProxy> = (0..4)
        .map(|_| ForwardProxy::builder().every_name(LOOPBACK).start())
        .collect();
    proxies[0].set(liar());
    let all: Vec<&ForwardProxy> = proxies.iter().collect();
    let (place, said) = crawled(&site, &all);
    let said = said.expect(0);
    let told = "FROM attempts WHERE producer = 'forward_proxy'";
    let all = place.number(&format!("SELECT count(*) {told}"));
    let blamed = place.number(&format!("SELECT count(*) {told} AND fault = 'host'"));
    assert!(
        (1..=20).contains(&all) && blamed <= 4,
        "{blamed} of {all}: {}",
        said.err
    );
    let pages = place.number("SELECT count(*) FROM results WHERE state = 'done'");
    assert_eq!(pages, PAGES as i64, "{}", said.err);
    let found = rows(&place, &["proxies", "shop"]);
    let liar = proxies[0].address().to_string();
    let of_liar = found
        .iter()
        .find(|row| row["proxy"] == liar.as_str())
        .unwrap();
    assert_eq!(of_liar["ok_share"], 0.0, "{of_liar}");
}

#[test]
fn who_broke_what_is_told_by_every_command_that_is_asked() {
    let site = site();
    let proxies: Vec<ForwardProxy> = (0..4)
        .map(|_| ForwardProxy::builder().every_name(LOOPBACK).start())
        .collect();
    proxies[0].set(broken());
    let all: Vec<&ForwardProxy> = proxies.iter().collect();
    let (place, said) = crawled(&site, &all);
    said.expect(0);
    let host = format!("http://shop.example:{}", site.address().port());
    let bad = format!("rented/{}", proxies[0].address());

    // The proxies: one is left out, and for what.
    let found = rows(&place, &["proxies", "shop"]);
    assert_eq!(found.len(), 4, "{found:?}");
    let worst = &found[0];
    assert_eq!(worst["proxy"], proxies[0].address().to_string(), "{worst}");
    assert_eq!(worst["ok_share"], 0.0, "{worst}");
    let failures = worst["failures"].as_u64().unwrap();
    assert_eq!(worst["failed_for"], format!("502 x{failures}"), "{worst}");
    assert!(
        worst["state"].as_str().unwrap().contains("left out"),
        "{worst}"
    );
    for good in &found[1..] {
        assert_eq!(
            (&good["failures"], &good["state"]),
            (&0.into(), &"used".into()),
            "{good}"
        );
        assert_eq!(good["ok_share"], 1.0, "{good}");
    }

    // The host: what it answered itself, and what a proxy answered in its place.
    let row = &rows(&place, &["hosts"])[0];
    let itself = place
        .number("SELECT count(*) FROM attempts WHERE status = 502 AND producer = 'origin_gateway'");
    assert!(itself >= 1);
    assert_eq!(
        (&row["http_502"], &row["proxy_502"]),
        (&itself.into(), &failures.into()),
        "{row}"
    );

    // The failures, by cause and by proxy.
    let by_cause = rows(&place, &["errors"]);
    assert_eq!(
        (by_cause.len(), &by_cause[0]["cause"]),
        (1, &"http_502".into()),
        "{by_cause:?}"
    );
    assert_eq!(by_cause[0]["proxy_faults"], failures, "{by_cause:?}");
    assert_eq!(by_cause[0]["host_faults"], itself, "{by_cause:?}");
    let by_proxy = rows(&place, &["errors", "--by", "proxy"]);
    let of_bad = by_proxy
        .iter()
        .find(|row| row["proxy"] == bad.as_str())
        .unwrap();
    assert_eq!(
        (&of_bad["proxy_faults"], &of_bad["host_faults"]),
        (&failures.into(), &0.into())
    );
    assert!(
        of_bad["advice"]
            .as_str()
            .unwrap()
            .contains("`neap proxies`"),
        "{of_bad}"
    );
    let gateways = &place.query(
        "SELECT sum(by_proxy) AS by_proxy, sum(by_host) AS by_host, sum(pages_lost) AS lost FROM bad_gateways",
    )[0];
    assert_eq!(
        (
            &gateways["by_proxy"],
            &gateways["by_host"],
            &gateways["lost"]
        ),
        (&failures.into(), &itself.into(), &1.into())
    );

    // One page, and the host, in sentences.
    let broken = "SELECT r.url FROM attempts a JOIN requests r USING (request_id) WHERE a.fault = 'proxy' LIMIT 1";
    let url = place.query(broken)[0]["url"].as_str().unwrap().to_owned();
    let explained = place.neap(&["explain", &url]).expect(0).out;
    for part in [
        &format!("through {bad}: answered 502 (Bad Gateway)"),
        "the proxy answered; the proxy's fault",
        "Evidence: Proxy-Status names the last hop as the one that failed",
        "not charged to the page",
    ] {
        assert!(explained.contains(part), "{part:?} is not in\n{explained}");
    }
    let why = place.neap(&["why", &host]).expect(0).out;
    for part in [
        "a gateway of the site answered, the host's fault",
        "the proxy answered, the proxy's fault",
        "`neap proxies` shows them",
        "It failed last at",
    ] {
        assert!(why.contains(part), "{part:?} is not in\n{why}");
    }

    // Only the page of the host failed for good.
    let none = place.neap(&["retry", "shop", "--fault", "proxy"]).expect(0);
    assert!(none.err.contains("nothing to retry"), "{}", none.err);
    let one = place.neap(&["retry", "shop", "--fault", "host"]).expect(0);
    assert!(one.err.contains("1 request is asked again"), "{}", one.err);
    place.check_invariants();
}

#[test]
fn a_pool_that_wrong_credentials_stopped_says_so_and_repeats_none_of_them() {
    let site = site();
    let proxy = ForwardProxy::builder()
        .every_name(LOOPBACK)
        .login("ann", "another")
        .start();
    let place = Place::new();
    let host = format!("http://shop.example:{}", site.address().port());
    place.write(
        "job.toml",
        &format!(
            "neap = 1\nname = \"shop\"\n[input]\nurls = [\"{host}/0\"]\n[robots]\nmode = \"off\"\n\
             [[proxy.pool]]\nname = \"rented\"\nurls = [\"http://${{env:POOL_USER}}:${{env:POOL_PASSWORD}}@{}\"]\n",
            proxy.address()
        ),
    );
    let mut command = place.command(&["run", "job.toml"]);
    command.env("POOL_USER", "ann").env("POOL_PASSWORD", SECRET);
    Said::from(command.output().unwrap()).expect(9);

    let found = rows(&place, &["proxies"]);
    assert_eq!(found.len(), 1, "{found:?}");
    let stopped = "pool stopped: wrong credentials";
    assert_eq!(
        (&found[0]["state"], &found[0]["failed_for"]),
        (&stopped.into(), &"407 x1".into())
    );
    assert_eq!(
        place.query("SELECT state FROM proxy_health")[0]["state"],
        "pool stopped"
    );
    let errors = rows(&place, &["errors"]);
    assert_eq!(
        (&errors[0]["own_faults"], &errors[0]["pages_lost"]),
        (&1.into(), &0.into())
    );
    assert!(
        errors[0]["advice"]
            .as_str()
            .unwrap()
            .contains("user or password"),
        "{errors:?}"
    );
    let row = &rows(&place, &["hosts"])[0];
    assert_eq!(
        (&row["ok_share"], &row["http_502"]),
        (&Value::Null, &0.into()),
        "{row}"
    );
    for name in ["neap.db", "neap.db-wal"] {
        let bytes = std::fs::read(place.path(name)).unwrap_or_default();
        let is_there = bytes
            .windows(SECRET.len())
            .any(|part| part == SECRET.as_bytes());
        assert!(!is_there, "{name}");
    }
}
