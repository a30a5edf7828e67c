//! Does a crawl know what pages say of themselves, which links are broken, and what crawlers are asked?

use std::collections::BTreeSet;

use neap_testkit::{Reply, Site};
use serde_json::{Value, json};

use crate::support::{Place, site_job};

fn html(body: &str) -> Reply {
    Reply::ok(body.to_owned()).header("content-type", "text/html")
}

fn run(place: &Place, site: &Site, more: &str) {
    place.write("site.toml", &site_job(&site.url("/"), more));
    place.neap(&["run", "site.toml"]).expect(0);
}

/// The paths that were asked for, robots.txt excepted.
fn asked(site: &Site) -> BTreeSet<String> {
    let asked = site.log().into_iter().map(|asked| asked.target);
    asked.filter(|target| target != "/robots.txt").collect()
}

#[test]
fn broken_links_are_told_with_the_page_and_the_words_that_lead_there() {
    let site = Site::builder()
        .page(
            "/ok",
            html("<a href='/gone'>again</a><a href=/ok>self</a><a href=mailto:x@y.example>no</a>"),
        )
        .page("/moved", Reply::redirect(302, "/away"))
        .page("/forbidden", Reply::status(403))
        .page("/moved-on", Reply::redirect(302, "/ok"))
        .page("/away", Reply::status(410))
        .start();
    site.set_page(
        "/",
        html(
            "<a href=/ok>fine</a> <a href=/gone>an  old\npage</a> <a href=/moved><img alt='a moved one'></a>\
             <a href=/forbidden></a> <a href=/moved-on>fine, too</a> <a href=https://b.example/>out</a>",
        ),
    );
    let place = Place::new();
    run(&place, &site, "");
    let url = |path: &str| Value::from(site.url(path));
    let broken = place.query(
        "SELECT page, anchor, target, status, cause FROM broken_links ORDER BY page, target",
    );
    assert_eq!(
        broken,
        [
            json!({"page": url("/"), "anchor": null, "target": url("/forbidden"), "status": 403, "cause": "http_403"}),
            json!({"page": url("/"), "anchor": "an old page", "target": url("/gone"), "status": 404, "cause": null}),
            json!({"page": url("/"), "anchor": "a moved one", "target": url("/moved"), "status": 410, "cause": null}),
            json!({"page": url("/ok"), "anchor": "again", "target": url("/gone"), "status": 404, "cause": null}),
        ]
    );
    let out = place.query("SELECT target, anchor, state, skip_reason FROM links WHERE number = 6");
    assert_eq!(
        out,
        [
            json!({"target": "https://b.example/", "anchor": "out", "state": null, "skip_reason": "scope"})
        ]
    );
    assert_eq!(place.number("SELECT count(*) FROM links"), 8);
    place.check_invariants();
    // They go with their round.
    place.neap(&["run", "site.toml"]).expect(0);
    place.neap(&["gc", "--keep", "1"]).expect(0);
    assert_eq!(place.number("SELECT count(*) FROM found_links"), 8);
}

#[test]
fn pages_say_what_they_are_in_columns() {
    let site = Site::builder()
        .page(
            "/",
            html(
                "<html lang=EN><title>Top &amp; first</title><h1>Hello</h1><meta name=description content=D>\
                 <link rel=canonical href='/?'><meta name=robots content=noindex><a href=/latin>x</a><a href=/data>y</a>",
            ),
        )
        .page(
            "/latin",
            Reply::ok(b"<title>Caf\xE9</title>".to_vec())
                .header("content-type", "text/html; charset=iso-8859-1")
                .header("x-robots-tag", "otherbot: noindex"),
        )
        .page("/data", Reply::text("<title>no</title>"))
        .start();
    for scope in ["", "max_depth = 0\n"] {
        let place = Place::new();
        run(&place, &site, scope);
        let sql =
            "SELECT r.url, p.title, p.h1, p.description, p.language, p.canonical, p.is_noindex
                   FROM pages p JOIN requests r USING (request_id) ORDER BY r.url";
        let all = [
            json!({"url": site.url("/"), "title": "Top & first", "h1": "Hello", "description": "D",
                   "language": "en", "canonical": site.url("/"), "is_noindex": 1}),
            json!({"url": site.url("/data"), "title": null, "h1": null, "description": null,
                   "language": null, "canonical": null, "is_noindex": null}),
            json!({"url": site.url("/latin"), "title": "Caf\u{e9}", "h1": null, "description": null,
                   "language": null, "canonical": null, "is_noindex": 0}),
        ];
        // Without links, a page is still read for what it says of itself.
        let expected = if scope.is_empty() {
            &all[..]
        } else {
            &all[..1]
        };
        assert_eq!(place.query(sql), expected, "{scope}");
        let titles = place.query("SELECT title FROM results WHERE depth = 0");
        assert_eq!(titles, [json!({"title": "Top & first"})]);
    }
}

#[test]
fn what_pages_ask_crawlers_not_to_follow_is_left_alone_unless_the_job_says_so() {
    let site = Site::builder()
        .page(
            "/",
            html("<a href=/no rel=nofollow>1</a><a href=/meta>2</a><a href=/header>3</a><a href=/other>4</a>"),
        )
        .page("/meta", html("<meta name=robots content='noarchive, nofollow'><a href=/no-1>"))
        .page("/header", html("<a href=/no-2>").header("x-robots-tag", "none"))
        .page(
            "/other",
            html("<meta name=otherbot content=nofollow><a href=/yes>").header("x-robots-tag", "otherbot: nofollow"),
        )
        .fallback(|_| html("end"))
        .start();
    let followed = ["/", "/header", "/meta", "/other", "/yes"];
    let left = ["/no", "/no-1", "/no-2"];
    let place = Place::new();
    run(&place, &site, "[robots]\nmode = 'off'\n");
    assert_eq!(asked(&site), followed.map(str::to_owned).into());
    let skipped = place.query("SELECT url FROM skipped WHERE reason = 'nofollow' ORDER BY url");
    let expected: Vec<Value> = left
        .iter()
        .map(|path| json!({"url": site.url(path)}))
        .collect();
    assert_eq!(skipped, expected);
    let why = place.neap(&["explain", &site.url("/no")]).expect(0).out;
    assert!(why.contains("asks crawlers not to follow it"), "{why}");
    site.clear_log();
    let place = Place::new();
    run(
        &place,
        &site,
        "nofollow = false\n[robots]\nmode = 'off'\n[store]\nlinks = false\n",
    );
    let all = followed.iter().chain(&left).map(|path| (*path).to_owned());
    assert_eq!(asked(&site), all.collect());
    assert_eq!(place.number("SELECT count(*) FROM links"), 0);
}

#[test]
fn a_job_may_only_be_warned_by_robots_txt() {
    let site = Site::builder()
        .robots("user-agent: *\ndisallow: /private\n")
        .page("/", html("<a href=/private>x</a>"))
        .page("/private", html("y"))
        .start();
    let place = Place::new();
    place.write(
        "site.toml",
        &site_job(&site.url("/"), "[robots]\nmode = 'warn'\n"),
    );
    let said = place.neap(&["run", "site.toml"]).expect(0);
    assert_eq!(asked(&site), ["/", "/private"].map(str::to_owned).into());
    let warned = said
        .err
        .lines()
        .any(|line| line.contains("robots.txt forbids it") && line.contains(&site.url("/private")));
    assert!(warned, "{}", said.err);
    assert_eq!(site.count("/robots.txt"), 1);
}

#[test]
fn robots_names_the_line_that_decides() {
    let place = Place::new();
    let file = place.write(
        "robots.txt",
        "user-agent: *\ndisallow: /private\nallow: /private/open\n\nuser-agent: other\ndisallow: /\n",
    );
    let file = file.to_str().unwrap();
    let urls = [
        "http://a.example/private/x",
        "http://a.example/private/open",
        "http://b.example/",
        "http://a.example/robots.txt",
    ];
    let verdicts = |more: &[&str]| -> Vec<Value> {
        let mut arguments = vec!["robots", "--format", "jsonl"];
        arguments.extend(more.iter().chain(&urls));
        let said = place.neap(&arguments).expect(0);
        said.out
            .lines()
            .map(|line| {
                let row: Value = serde_json::from_str(line).unwrap();
                json!([row["verdict"], row["rule"], row["line"]])
            })
            .collect()
    };
    assert_eq!(
        verdicts(&["--file", file]),
        [
            json!(["forbidden", "disallow: /private", 2]),
            json!(["allowed", "allow: /private/open", 3]),
            json!(["allowed", null, null]),
            json!(["allowed", null, null]),
        ]
    );
    assert_eq!(
        verdicts(&["--file", file, "--as", "Other/2.0 (x)"])[2],
        json!(["forbidden", "disallow: /", 6])
    );
    place.neap(&["robots", urls[0]]).expect(2);
    place
        .neap(&["robots", "--file", "none.txt", urls[0]])
        .expect(2);

    let site = Site::builder()
        .robots("user-agent: tester\ndisallow: /x\n")
        .page("/", html("x"))
        .start();
    run(&place, &site, "[identity]\nuser_agent = 'tester/1'\n");
    let said = place
        .neap(&["robots", &site.url("/x"), "http://a.example/"])
        .expect(0);
    assert!(said.out.contains("disallow: /x"), "{}", said.out);
    assert!(said.out.contains("unknown"), "{}", said.out);
}

#[test]
fn links_are_followed_without_the_parameters_that_the_job_drops() {
    let site = Site::builder()
        .page(
            "/",
            html("<a href='/a?utm_source=x&amp;b=1'>1</a><a href='/a?b=1&amp;gclid=2'>2</a><a href='/a;jsessionid=7?b=1'>3</a>"),
        )
        .fallback(|_| html("end"))
        .start();
    let place = Place::new();
    let more = "drop_params = ['utm_*', 'gclid', 'jsessionid']\n[robots]\nmode = 'off'\n";
    run(&place, &site, more);
    assert_eq!(asked(&site), ["/", "/a?b=1"].map(str::to_owned).into());
    assert_eq!(place.number("SELECT count(DISTINCT target) FROM links"), 1);
}
