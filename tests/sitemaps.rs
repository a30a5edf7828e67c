//! Does a crawl find the pages that a site lists itself, and is a hostile list no danger?

use std::collections::BTreeSet;
use std::io::Write;
use std::time::Duration;

use neap_testkit::{Reply, Site};

use crate::support::{Place, site_job, with_status};

fn page() -> Reply {
    Reply::html("page", [""; 0])
}

fn xml(body: String) -> Reply {
    Reply::ok(body).header("content-type", "application/xml")
}

fn urlset<U: AsRef<str>>(urls: impl IntoIterator<Item = U>) -> String {
    let urls: String = urls
        .into_iter()
        .map(|url| format!("<url><loc>{}</loc></url>", url.as_ref()))
        .collect();
    format!("<?xml version='1.0'?><urlset>{urls}</urlset>")
}

fn index<U: AsRef<str>>(urls: impl IntoIterator<Item = U>) -> String {
    let urls: String = urls
        .into_iter()
        .map(|url| format!("<sitemap><loc>{}</loc></sitemap>", url.as_ref()))
        .collect();
    format!("<sitemapindex>{urls}</sitemapindex>")
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(body).unwrap();
    packer.finish().unwrap()
}

#[test]
fn pages_that_nothing_links_to_are_found_by_the_sitemaps_that_robots_txt_names() {
    let cdn = Site::builder()
        .page("/robots.txt", Reply::status(404))
        .start();
    let away = Site::builder().page("/", page()).start();
    let site = Site::builder()
        .page("/", Reply::html("top", ["/linked"]))
        .page("/linked", page())
        .page("/packed", page())
        .page("/plain", page())
        .page("/from-cdn", page())
        .start();
    site.set_page(
        "/robots.txt",
        Reply::text(format!(
            "user-agent: *\ndisallow: /private\nsitemap: /index.xml\nsitemap: {}\n",
            cdn.url("/map.xml")
        )),
    );
    let children = ["/packed.xml.gz", "/list.txt"].map(|path| site.url(path));
    site.set_page("/index.xml", xml(index(children)));
    let packed = urlset([site.url("/packed"), site.url("/private/x"), away.url("/")]);
    let packed = gzip(packed.as_bytes());
    let packed = Reply::ok(packed).header("content-type", "application/gzip");
    site.set_page("/packed.xml.gz", packed);
    site.set_page("/list.txt", Reply::text(site.url("/plain")));
    cdn.set_page("/map.xml", xml(urlset([site.url("/from-cdn")])));

    let place = Place::new();
    place.write(
        "site.toml",
        &site_job(&site.url("/"), "[request]\nprivate_addresses = true"),
    );
    place.neap(&["run", "site.toml"]).expect(0);
    let paths = [
        "/",
        "/linked",
        "/packed",
        "/plain",
        "/from-cdn",
        "/index.xml",
        "/packed.xml.gz",
        "/list.txt",
    ];
    let mut expected: BTreeSet<String> = paths.map(|path| site.url(path)).into();
    expected.insert(cdn.url("/map.xml"));
    assert_eq!(with_status(&place.results(), 200), expected);
    for path in paths {
        assert_eq!(site.count(path), 1, "{path}");
    }
    assert_eq!((site.count("/private/x"), away.asked()), (0, 0));
    for (url, reason) in [(site.url("/private/x"), "robots"), (away.url("/"), "scope")] {
        let sql =
            format!("SELECT count(*) FROM skipped WHERE url = '{url}' AND reason = '{reason}'");
        assert_eq!(place.number(&sql), 1, "{url}");
    }
    for (path, origin) in [
        ("/", "a URL of its input"),
        ("/index.xml", "a sitemap that a robots.txt names"),
        ("/packed", "/packed.xml.gz"),
    ] {
        let told = place.neap(&["explain", &site.url(path)]).expect(0).out;
        assert!(told.contains(origin), "{told}");
    }
    place.check_invariants();
}

#[test]
fn a_job_may_be_the_pages_of_its_sitemaps_and_no_others() {
    let other = Site::builder().page("/o", page()).start();
    let site = Site::builder()
        .robots("sitemap: /never.xml\n")
        .page("/a", Reply::html("a", ["/never"]))
        .page("/old/b", page())
        .page("/feed", page())
        .page("/moved.xml", Reply::redirect(301, "/map.xml"))
        .start();
    let listed = ["/a", "/old/b"].map(|path| site.url(path));
    let listed = listed.into_iter().chain([other.url("/o")]);
    site.set_page("/map.xml", xml(urlset(listed)));
    let feed = format!(
        "<feed><entry><link href='{}'/></entry></feed>",
        site.url("/feed")
    );
    site.set_page("/new.atom", xml(feed));
    let place = Place::new();
    let job = format!(
        "neap = 1\nname = 'listed'\n[input]\nsitemaps = ['{}', '{}']\n[crawl]\nexclude = ['/old/*']\n\
         [request]\nprivate_addresses = true\n",
        site.url("/moved.xml"),
        site.url("/new.atom"),
    );
    place.write("listed.toml", &job);
    let said = place.neap(&["check", "listed.toml"]).expect(0);
    assert!(said.out.contains("2 URLs on 1 host"), "{}", said.out);
    place.neap(&["run", "listed.toml"]).expect(0);
    let pages = [site.url("/a"), site.url("/feed"), other.url("/o")];
    let maps = ["/moved.xml", "/new.atom"].map(|path| site.url(path));
    let expected: BTreeSet<String> = pages.into_iter().chain(maps).collect();
    assert_eq!(with_status(&place.results(), 200), expected);
    assert_eq!(site.count("/map.xml"), 1);
    assert_eq!(
        place.number("SELECT count(*) FROM skipped WHERE reason = 'excluded'"),
        1
    );
    place.check_invariants();
}

#[test]
fn what_a_sitemap_calls_important_goes_first() {
    let site = Site::builder().fallback(|_| page()).start();
    let listed: String = (0..10)
        .map(|n| {
            let url = site.url(&format!("/{n}"));
            format!("<url><loc>{url}</loc><priority>0.{n}</priority></url>")
        })
        .collect();
    site.set_page("/map.xml", xml(format!("<urlset>{listed}</urlset>")));
    let place = Place::new();
    let job = format!(
        "neap = 1\nname = 'listed'\n[input]\nsitemaps = ['{}']\n[limits]\nper_host = 1\n",
        site.url("/map.xml"),
    );
    place.write("listed.toml", &job);
    place.neap(&["run", "listed.toml"]).expect(0);
    let asked: Vec<String> = site.log().into_iter().map(|asked| asked.target).collect();
    let pages: Vec<String> = (0..10).rev().map(|n| format!("/{n}")).collect();
    assert_eq!(asked[2..], pages, "after robots.txt and the sitemap");
}

#[test]
fn feeds_and_sitemaps_that_pages_link_to_are_read_unless_the_job_says_no() {
    let other = Site::builder().page("/", page()).start();
    let site = Site::builder()
        .robots("sitemap: /named.xml\n")
        .page("/", Reply::html("top", ["/feed", "/map.xml"]))
        .page("/news", page())
        .page("/listed", page())
        .start();
    let feed = format!(
        "<rss><channel><item><link>{}</link></item></channel></rss>",
        site.url("/news")
    );
    site.set_page("/feed", Reply::ok(feed).header("content-type", "text/html"));
    let listed = [site.url("/listed"), other.url("/")];
    site.set_page("/map.xml", xml(urlset(listed)));
    site.set_page("/named.xml", xml(urlset([site.url("/named")])));
    for (more, found) in [
        (
            "scope = \"any\"",
            vec!["/listed", "/named", "/named.xml", "/news"],
        ),
        ("scope = \"any\"\nsitemaps = false", vec![]),
    ] {
        let place = Place::new();
        let job = site_job(&site.url("/"), "").replace("scope = \"host\"", more);
        place.write("site.toml", &job);
        place.neap(&["run", "site.toml"]).expect(0);
        let found = found.into_iter().chain(["/", "/feed", "/map.xml"]);
        let expected: BTreeSet<String> = found.map(|path| site.url(path)).collect();
        let results: BTreeSet<String> = place.results().into_keys().collect();
        assert_eq!(results, expected, "{more}");
        // What a sitemap that nobody vouches for lists of other sites is left alone.
        assert_eq!(other.asked(), 0);
        place.check_invariants();
    }
}

#[test]
fn sitemaps_that_never_end_do_end() {
    let site = Site::builder()
        .robots(
            "sitemap: /self.xml\nsitemap: /deep/0.xml\nsitemap: /bomb.xml.gz\nsitemap: /laughs.xml\n\
             sitemap: /torn.xml.gz\n",
        )
        .page("/", page())
        .page("/before-the-bomb", page())
        .page("/torn", page())
        .start();
    let own = [site.url("/self.xml"), site.url("/self.xml?again")];
    site.set_page("/self.xml", xml(index(&own)));
    site.set_page("/self.xml?again", xml(index(&own)));
    for depth in 0..10 {
        let below = site.url(&format!("/deep/{}.xml", depth + 1));
        site.set_page(&format!("/deep/{depth}.xml"), xml(index([below])));
    }
    let bomb = urlset([site.url("/before-the-bomb")]) + &" ".repeat(60 << 20);
    site.set_page("/bomb.xml.gz", Reply::ok(gzip(bomb.as_bytes())));
    let laughs: String = (1..10)
        .map(|n| format!("<!ENTITY l{n} '{}'>", format!("&l{};", n - 1).repeat(10)))
        .collect();
    let laughs = format!(
        "<!DOCTYPE urlset [<!ENTITY l0 'ha'>{laughs}]><urlset><url><loc>{}&l9;</loc></url></urlset>",
        site.url("/")
    );
    site.set_page("/laughs.xml", xml(laughs));
    let torn = gzip(urlset([site.url("/torn")]).as_bytes());
    site.set_page("/torn.xml.gz", Reply::ok(torn[..torn.len() - 9].to_vec()));

    let place = Place::new();
    place.write("site.toml", &site_job(&site.url("/"), ""));
    place.neap(&["run", "site.toml"]).expect(0);
    let results = place.results();
    for path in ["/", "/before-the-bomb", "/torn"] {
        assert_eq!(results.get(&site.url(path)), Some(&200), "{path}");
    }
    // Three indexes above a sitemap are followed, a fourth is not.
    assert!(
        results.contains_key(&site.url("/deep/3.xml")),
        "{results:?}"
    );
    assert_eq!(site.count("/deep/4.xml"), 0);
    let skipped = format!(
        "SELECT count(*) FROM skipped WHERE url = '{}'",
        site.url("/deep/4.xml")
    );
    assert_eq!(place.number(&skipped), 1);
    assert!(site.asked() <= 20, "{:?}", site.log());
    place.check_invariants();
}

#[test]
fn a_killed_run_loses_no_page_that_a_sitemap_lists() {
    let pages: Vec<String> = (0..60).map(|n| format!("/page/{n}")).collect();
    let mut builder = Site::builder()
        .robots("sitemap: /index.xml\n")
        .page("/", page())
        .latency(Duration::from_millis(5));
    for path in &pages {
        builder = builder.page(path, page());
    }
    let site = builder.start();
    let children: Vec<String> = (0..6).map(|n| site.url(&format!("/{n}.xml"))).collect();
    site.set_page("/index.xml", xml(index(&children)));
    for (child, listed) in pages.chunks(10).enumerate() {
        let listed = listed.iter().map(|path| site.url(path));
        site.set_page(&format!("/{child}.xml"), xml(urlset(listed)));
    }
    let place = Place::new();
    place.write(
        "site.toml",
        &site_job(&site.url("/"), "[limits]\nper_host = 2\n"),
    );
    // After the robots file alone, the index, some of its sitemaps, and some of the pages.
    for answered in [1, 2, 4, 9, 20] {
        let run = place.start(&["run", "site.toml"]);
        site.wait_answered(answered, Duration::from_secs(30))
            .unwrap();
        run.kill();
    }
    place.neap(&["run", "site.toml"]).expect(0);
    let found = with_status(&place.results(), 200);
    let missing: Vec<&String> = pages
        .iter()
        .filter(|path| !found.contains(&site.url(path)))
        .collect();
    assert_eq!(missing, [""; 0]);
    assert_eq!(found.len(), pages.len() + children.len() + 2);
    place.check_invariants();
}
