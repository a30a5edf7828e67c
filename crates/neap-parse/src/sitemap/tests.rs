//! Which documents are read, and how?

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;

use super::*;

fn at() -> Url {
    Url::parse("https://a.example/maps/sitemap.xml").unwrap()
}

fn found(body: &[u8]) -> Sitemap {
    read(body, &at(), false)
        .unwrap_or_else(|| panic!("not read: {}", String::from_utf8_lossy(body)))
}

fn urls(sitemap: &Sitemap) -> Vec<&str> {
    let urls = sitemap.entries.iter().map(|entry| entry.url.as_str());
    urls.collect()
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
    packer.write_all(body).unwrap();
    packer.finish().unwrap()
}

fn urlset(entries: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <urlset xmlns=\"http://www.sitemaps.org/schemas/sitemap/0.9\">{entries}</urlset>"
    )
}

#[test]
fn a_set_of_urls_is_read_with_what_stands_beside_them() {
    let body = urlset(
        "<url><loc> https://a.example/1?a=1&amp;b=2\n</loc><lastmod>2024-03-01</lastmod>\
         <changefreq>daily</changefreq><priority>0.8</priority></url>\
         <url><priority>7</priority><loc><![CDATA[https://a.example/2]]></loc></url>\
         <url><loc>https://a.example/&#x33;</loc><priority>high</priority><lastmod>then</lastmod></url>",
    );
    let sitemap = found(body.as_bytes());
    assert_eq!(sitemap.kind, Kind::Pages);
    let entries = sitemap.entries.iter();
    let entries: Vec<_> = entries
        .map(|entry| (entry.url.as_str(), entry.modified, entry.priority))
        .collect();
    assert_eq!(
        entries,
        [
            (
                "https://a.example/1?a=1&b=2",
                Some(UnixMs(1_709_251_200_000)),
                Some(0.8)
            ),
            ("https://a.example/2", None, Some(1.0)),
            ("https://a.example/3", None, None),
        ]
    );
    assert!(!sitemap.was_cut);
}

#[test]
fn an_index_names_sitemaps() {
    let sitemap = found(
        b"<sitemapindex><sitemap><loc>https://a.example/1.xml</loc><lastmod>2024</lastmod></sitemap>\
          <sitemap><loc>https://a.example/2.xml.gz</loc></sitemap></sitemapindex>",
    );
    assert_eq!(sitemap.kind, Kind::Index);
    assert_eq!(
        urls(&sitemap),
        ["https://a.example/1.xml", "https://a.example/2.xml.gz"]
    );
}

#[test]
fn feeds_name_the_pages_of_their_entries_and_not_their_own() {
    for (kind, body, expected) in [
        (
            Kind::Rss,
            "<rss version='2.0'><channel><link>https://a.example/</link><image><link>/i</link></image>\
             <item><link>https://a.example/1</link><guid>https://a.example/no</guid></item>\
             <item><guid>https://a.example/2</guid></item><item><guid isPermaLink='false'>https://a.example/no</guid></item>\
             <item><guid>tag:3</guid></item><item><link>4</link><source url='https://b.example/'>B</source></item>\
             </channel></rss>",
            vec![
                "https://a.example/1",
                "https://a.example/2",
                "https://a.example/maps/4",
            ],
        ),
        (
            Kind::Rss,
            "<rdf:RDF xmlns:rdf='r'><channel><link>https://a.example/</link></channel>\
             <item rdf:about='x'><title>T</title><link>https://a.example/1</link></item></rdf:RDF>",
            vec!["https://a.example/1"],
        ),
        (
            Kind::Atom,
            "<feed xml:base='/b/'><link href='/'/><link rel='self' href='/feed'/>\
             <entry><link href='1'/><link rel='edit' href='no'/><updated>2024-03-01T00:00:00Z</updated>\
             <source><link href='https://b.example/'/><x:y/></source></entry>\
             <entry><link rel='alternate' href='/2?a=1&amp;b=2'></link></entry></feed>",
            vec!["https://a.example/b/1", "https://a.example/2?a=1&b=2"],
        ),
    ] {
        let sitemap = found(body.as_bytes());
        assert_eq!(sitemap.kind, kind, "{body}");
        assert_eq!(urls(&sitemap), expected, "{body}");
    }
}

#[test]
fn a_plain_list_is_read_only_if_a_sitemap_was_asked_for() {
    let list = b"\xEF\xBB\xBFhttps://a.example/1\r\n\nhttps://a.example/2\nnothing\n";
    assert_eq!(read(list, &at(), false), None);
    let sitemap = read(list, &at(), true).unwrap();
    assert_eq!((sitemap.kind, sitemap.unusable), (Kind::Text, 1));
    assert_eq!(
        urls(&sitemap),
        ["https://a.example/1", "https://a.example/2"]
    );
    for other in [
        "",
        "not found",
        "<html>https://a.example/",
        "{}",
        "# x\nhttps://a.example/",
    ] {
        assert_eq!(read(other.as_bytes(), &at(), true), None, "{other}");
    }
}

#[test]
fn packed_documents_are_unpacked_whatever_they_are_called() {
    let body = urlset("<url><loc>https://a.example/1</loc></url>");
    assert_eq!(
        urls(&found(&gzip(body.as_bytes()))),
        ["https://a.example/1"]
    );
    let packed = gzip(body.as_bytes());
    let (start, rest) = body.split_at(120);
    let in_two = [gzip(start.as_bytes()), gzip(rest.as_bytes())].concat();
    assert_eq!(urls(&found(&in_two)), ["https://a.example/1"]);
    let torn = &packed[..packed.len() - 9];
    assert_eq!(urls(&found(torn)), ["https://a.example/1"]);
    assert_eq!(read(&gzip(b"a packed text"), &at(), false), None);
    assert_eq!(read(&packed[..5], &at(), true), None);
}

#[test]
fn documents_are_read_in_their_charset() {
    let body = |declaration: &str| {
        format!("{declaration}<urlset><url><loc>https://a.example/\u{142}</loc></url></urlset>")
    };
    let utf16: Vec<u8> = body("\u{feff}<?xml version='1.0' encoding='utf-16'?>")
        .encode_utf16()
        .flat_map(u16::to_be_bytes)
        .collect();
    let latin2 = encoding_rs::ISO_8859_2
        .encode(&body("<?xml version='1.0' encoding = \"ISO-8859-2\" ?>"))
        .0
        .into_owned();
    for (name, bytes) in [
        ("marked UTF-16", &utf16[..]),
        ("UTF-16 without a mark", &utf16[2..]),
        ("a declared charset", &latin2),
        (
            "UTF-8 that says UTF-16",
            body("<?xml version='1.0' encoding='utf-16'?>").as_bytes(),
        ),
        (
            "a charset that nobody knows",
            body("<?xml version='1.0' encoding='x'?>").as_bytes(),
        ),
        ("UTF-8", body("").as_bytes()),
    ] {
        assert_eq!(urls(&found(bytes)), ["https://a.example/%C5%82"], "{name}");
    }
}

#[test]
fn what_careless_writers_write_is_read_as_they_mean_it() {
    for (entries, expected) in [
        (
            "<url><loc>https://a.example/?a&b=2;c</loc></url>",
            vec!["https://a.example/?a&b=2;c"],
        ),
        (
            "<url><loc>https://a.example/1</url><url><loc>https://a.example/2</loc></url>",
            vec!["https://a.example/1", "https://a.example/2"],
        ),
        (
            "<url><loc>https://a.example/1</loc></url></url><url><loc>https://a.example/2</loc></url>",
            vec!["https://a.example/1", "https://a.example/2"],
        ),
        (
            "<url><loc>https://a.example/1</loc><url><loc>https://a.example/2</loc></url>",
            vec!["https://a.example/1", "https://a.example/2"],
        ),
        (
            "<url><image:image><image:loc>https://a.example/no</image:loc></image:image>\
          <loc>https://a.example/1</loc></url>",
            vec!["https://a.example/1"],
        ),
        ("<url><loc></loc></url><url></url><url/>", vec![]),
        ("<loc>https://a.example/no</loc>", vec![]),
        (
            "<url><loc>/relative</loc></url><url><loc>ftp://a.example/</loc></url>",
            vec![],
        ),
        (
            "<url><loc>https://a.example/1</loc></url><url><loc>https://a.example/2",
            vec!["https://a.example/1", "https://a.example/2"],
        ),
    ] {
        let body = urlset(entries);
        let body = match entries.ends_with('>') {
            true => &body,
            // It breaks off.
            false => body.strip_suffix("</urlset>").unwrap(),
        };
        assert_eq!(urls(&found(body.as_bytes())), expected, "{body}");
    }
    let prefixed = "<s:urlset xmlns:s='x'><s:url><loc>https://a.example/no</loc>\
        <s:loc>https://a.example/1</s:loc></s:url></s:urlset>";
    assert_eq!(urls(&found(prefixed.as_bytes())), ["https://a.example/1"]);
}

#[test]
fn what_a_document_type_declares_is_not_read() {
    let laughs: String = (1..10)
        .map(|n| format!("<!ENTITY l{n} \"{}\">", format!("&l{};", n - 1).repeat(10)))
        .collect();
    let body = format!(
        "<!DOCTYPE urlset [<!ENTITY l0 \"ha\">{laughs}<!ENTITY x SYSTEM \"file:///etc/passwd\">]>\
         <urlset><url><loc>https://a.example/&l9;</loc></url><url><loc>&x;</loc></url>\
         <url><loc>https://a.example/&x;</loc></url></urlset>"
    );
    let sitemap = found(body.as_bytes());
    assert_eq!(
        urls(&sitemap),
        ["https://a.example/&l9;", "https://a.example/&x;"]
    );
    assert_eq!(sitemap.unusable, 1);
}

#[test]
fn a_document_is_read_up_to_its_limits_and_says_so() {
    let numbered: String = (0..=MAX_ENTRIES)
        .map(|number| format!("<url><loc>https://a.example/{number}</loc></url>"))
        .collect();
    let sitemap = found(urlset(&numbered).as_bytes());
    assert_eq!(
        (sitemap.entries.len(), sitemap.was_cut),
        (MAX_ENTRIES, true)
    );
    let last = numbered.rfind("<url>").unwrap();
    let sitemap = found(urlset(&numbered[..last]).as_bytes());
    assert_eq!(
        (sitemap.entries.len(), sitemap.was_cut),
        (MAX_ENTRIES, false)
    );

    let in_one = format!(
        "<url>{}</url>",
        numbered.replace("<url>", "").replace("</url>", "")
    );
    let sitemap = found(urlset(&in_one).as_bytes());
    assert_eq!(
        (sitemap.entries.len(), sitemap.was_cut),
        (MAX_ENTRIES, true)
    );

    let bomb = urlset(&format!(
        "<url><loc>https://a.example/1</loc></url>{}<url><loc>https://a.example/2</loc></url>",
        " ".repeat(MAX_BYTES)
    ));
    let packed = gzip(bomb.as_bytes());
    assert!(packed.len() < MAX_BYTES / 100, "{} bytes", packed.len());
    let sitemap = found(&packed);
    assert_eq!(urls(&sitemap), ["https://a.example/1"]);
    assert!(sitemap.was_cut);
}

#[test]
fn neither_depth_nor_length_is_a_danger() {
    let deep = urlset(&format!(
        "<url><loc>https://a.example/1</loc></url>{}<url><loc>https://a.example/2</loc></url>",
        "<a>".repeat(1_000_000)
    ));
    assert_eq!(urls(&found(deep.as_bytes())), ["https://a.example/1"]);
    let long = urlset(&format!(
        "<url><loc>https://a.example/{}</loc></url>",
        "x".repeat(4 << 20)
    ));
    let sitemap = found(long.as_bytes());
    assert_eq!((sitemap.entries.len(), sitemap.unusable), (0, 1));
}

proptest! {
    #[test]
    fn no_body_makes_it_panic(
        body in proptest::collection::vec(any::<u8>(), 0..200), is_asked_for: bool,
    ) {
        read(&body, &at(), is_asked_for);
    }

    #[test]
    fn no_markup_makes_it_panic(
        root in "(urlset|sitemapindex|rss|feed|s:urlset|rdf:RDF)",
        inside in "(</?(url|loc|item|entry|link|source|guid|s:loc|sitemap)( href='.'| rel=alternate)?/?>|<!\\[CDATA\\[|\\]\\]>|&#?[a-z0-9]*;?|<!--|-->|<\\?|http://a.example/|[ -~é]){0,30}",
    ) {
        let body = format!("<{root}>{inside}</{root}>");
        if let Some(sitemap) = read(body.as_bytes(), &at(), false) {
            for entry in sitemap.entries {
                prop_assert_eq!(CanonicalUrl::parse(entry.url.as_str()), Ok(entry.url));
            }
        }
    }
}
