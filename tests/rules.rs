//! Does a rule for some hosts hold for them, and for no other?

use std::net::Ipv4Addr;

use neap_testkit::{ForwardProxy, Reply, Site};

use crate::support::Place;

/// A site whose robots file forbids everything.
fn site(address: &str) -> Site {
    let site = Site::bind(address)
        .robots("User-agent: *\nDisallow: /\n\nUser-agent: partner\nDisallow: /secret\n")
        .page("/fails", Reply::status(500))
        .page("/moves", Reply::redirect(302, "/target"))
        .page("/target", Reply::ok("moved"))
        .page("/large", Reply::ok("x".repeat(100_000)));
    (0..20)
        .fold(site, |site, n| {
            site.page(&format!("/{n}"), Reply::ok("a page"))
        })
        .workers(1)
        .start()
}

#[test]
fn a_rule_holds_for_its_hosts_alone() {
    let (ruled, free) = (site("127.0.0.2"), site("127.0.0.1"));
    let place = Place::new();
    let pages = (0..20).map(|n| format!("/{n}"));
    let pages: Vec<String> = pages
        .chain(["/fails", "/moves", "/large", "/secret"].map(str::to_owned))
        .collect();
    let urls = |site: &Site| -> Vec<String> {
        pages
            .iter()
            .map(|page| format!("'{}'", site.url(page)))
            .collect()
    };
    let all = [urls(&ruled), urls(&free)].concat().join(", ");
    place.write(
        "job.toml",
        &format!(
            "neap = 1\nname = 'job'\n[input]\nurls = [{all}]\n[retry]\nattempts = 3\nbase = '1ms'\nmax = '2ms'\n\
             [robots]\nmode = 'off'\n[limits]\nper_host = 8\n\
             [[host]]\nmatch = '127.0.0.2'\n\
             identity = {{ user_agent = 'partner/2', headers = {{ x-partner = 'yes' }} }}\n\
             limits.per_host = 1\nretry.attempts = 1\nrobots.mode = 'obey'\n\
             request = {{ redirects = 0, max_body = '10KiB' }}\n"
        ),
    );
    place.neap(&["run", "job.toml"]).expect(0);

    let (of_ruled, of_free) = (ruled.log(), free.log());
    assert_eq!(ruled.count("/robots.txt"), 1);
    assert_eq!(free.count("/robots.txt"), 0);
    for asked in &of_ruled {
        assert_eq!(asked.header("user-agent"), Some("partner/2"));
        assert_eq!(asked.header("x-partner"), Some("yes"));
    }
    for asked in &of_free {
        assert_ne!(asked.header("user-agent"), Some("partner/2"));
        assert_eq!(asked.header("x-partner"), None);
    }
    assert_eq!(ruled.max_in_flight(), 1);
    assert_eq!((ruled.count("/fails"), free.count("/fails")), (1, 3));
    // The robots file is read for the name that the rule gives.
    assert_eq!((ruled.count("/secret"), free.count("/secret")), (0, 1));
    assert_eq!((ruled.count("/0"), ruled.count("/target")), (1, 0));
    assert_eq!(free.count("/target"), 1);
    let large = "SELECT count(*) FROM results WHERE url LIKE '%/large' AND state = 'done'";
    assert_eq!(place.number(large), 1);
    place.check_invariants();

    let fetch =
        |site: &Site, path: &str| place.neap(&["fetch", &site.url(path), "--job", "job.toml"]);
    fetch(&ruled, "/secret").expect(3);
    fetch(&ruled, "/0").expect(0);
    fetch(&free, "/secret").expect(3);
    assert_eq!((ruled.count("/secret"), free.count("/secret")), (0, 2));
    assert_eq!(
        ruled
            .log()
            .last()
            .and_then(|asked| asked.header("x-partner").map(str::to_owned))
            .as_deref(),
        Some("yes")
    );
}

#[test]
fn check_tells_what_holds_for_a_host() {
    let place = Place::new();
    place.write(
        "job.toml",
        "neap = 1\n[input]\nurls = ['https://shop.example/']\n\
         [identity]\nheaders = { x-key = '${env:SHOP_KEY}' }\n\
         [[identity.auth]]\norigin = 'https://api.shop.example'\nbearer = '${env:SHOP_KEY}'\n\
         [[host]]\nmatch = '*.shop.example'\nlimits.delay = '3s'\n",
    );
    let check = |host: &str| {
        let mut command = place.command(&["check", "job.toml", "--host", host]);
        let output = command.env("SHOP_KEY", "hunter2").output().unwrap();
        crate::support::Said::from(output)
    };
    for (host, lines) in [
        (
            "api.shop.example",
            &[
                "https://api.shop.example",
                "[[host]] number 1, match = \"*.shop.example\", which changes",
                "limits.delay: 3s",
                "is no host of the input, and is not sent x-key",
                "is sent a bearer token",
            ][..],
        ),
        (
            "https://shop.example:443",
            &[
                "https://shop.example",
                "no [[host]] matches: what the job says for all hosts",
                "is sent the headers of the job: x-key",
            ],
        ),
    ] {
        let said = check(host).expect(0);
        let told: Vec<&str> = said.out.lines().skip(1).map(str::trim).collect();
        assert_eq!(told, lines, "{}", said.out);
    }
    let said = check("ftp://a.example").expect(2);
    assert!(said.err.contains("is no host"), "{}", said.err);
}

#[test]
fn a_rule_lets_its_hosts_begin_with_another_pool() {
    let site = Site::builder().fallback(|_| Reply::ok("")).start();
    let proxy = || {
        ForwardProxy::builder()
            .every_name(Ipv4Addr::LOCALHOST.into())
            .start()
    };
    let (cheap, dear) = (proxy(), proxy());
    let place = Place::new();
    let port = site.address().port();
    let urls: Vec<String> = ["open", "walled"]
        .iter()
        .flat_map(|name| (0..5).map(move |n| format!("'http://{name}.example:{port}/{n}'")))
        .collect();
    place.write(
        "job.toml",
        &format!(
            "neap = 1\n[input]\nurls = [{}]\n[robots]\nmode = 'off'\n\
             [[proxy.pool]]\nname = 'cheap'\nurls = ['{}']\n[[proxy.pool]]\nname = 'dear'\nurls = ['{}']\n\
             [[host]]\nmatch = 'walled.example'\nproxy.pool = 'dear'\n",
            urls.join(", "),
            cheap.url(),
            dear.url()
        ),
    );
    place.neap(&["run", "job.toml"]).expect(0);
    let to = |proxy: &ForwardProxy, name: &str| {
        let passed = proxy.passed();
        passed
            .iter()
            .filter(|passed| passed.target.contains(name))
            .count()
    };
    assert_eq!((to(&cheap, "open"), to(&cheap, "walled")), (5, 0));
    assert_eq!((to(&dear, "open"), to(&dear, "walled")), (0, 5));
    let url = format!("http://walled.example:{port}/0");
    place.neap(&["fetch", &url, "--job", "job.toml"]).expect(0);
    assert_eq!((to(&cheap, "walled"), to(&dear, "walled")), (0, 6));
}
