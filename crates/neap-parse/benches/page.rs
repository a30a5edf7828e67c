//! What does it cost to read a page of 30 KB?
//!
//! `cargo bench -p neap-parse`. The page has 61 links, a head, text and markup as documentation has them.

// A benchmark says what is wrong by panicking.
#![allow(clippy::unwrap_used)]

use std::fmt::Write;
use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use neap_parse::{Wanted, page, sitemap};
use url::Url;

fn document() -> String {
    let mut html = String::from(
        "<!doctype html><html lang=en><head><meta charset=utf-8><title>A page &amp; its title</title>\
         <meta name=description content='What it is about'><link rel=stylesheet href=/style.css>\
         <link rel=canonical href=/page><script>var a = '<a href=/no>';</script></head><body><h1>Heading</h1>",
    );
    for number in 0..61 {
        write!(
            html,
            "<div class=\"section-{number}\" id=s{number}><h2>Section {number}</h2><p>Some text that tells of \
             things, <em>with</em> emphasis and <code>code</code>, in sentences of the usual length, as they stand in \
             documentation, with a word here and there that nobody needs, until it is long enough. It goes on for \
             a while &ndash; and then <a class=\"link internal\" href=\"/docs/section/{number}.html?x=1&amp;y=2#top\" \
             title=\"Section\">a link to <b>section {number}</b></a> comes.</p>\n<ul><li>One</li><li>Two</li></ul></div>\n"
        )
        .unwrap();
    }
    html.push_str("</body></html>");
    html
}

fn reading(criterion: &mut Criterion) {
    let html = document();
    let url = Url::parse("https://docs.example/page").unwrap();
    assert!(
        (28_000..32_000).contains(&html.len()),
        "{} bytes",
        html.len()
    );
    for (name, charset, wanted) in [
        ("links, texts, title; charset by meta", None, Wanted::LINKS),
        (
            "links, texts, title; charset by header",
            Some("utf-8"),
            Wanted::LINKS,
        ),
        ("the same and requisites", Some("utf-8"), Wanted::ALL),
        ("title alone", Some("utf-8"), Wanted::NOTHING),
    ] {
        criterion.bench_function(&format!("page of 30 KB: {name}"), |bencher| {
            bencher.iter(|| page(black_box(html.as_bytes()), charset, &url, "neap", wanted));
        });
    }
    let entries: String = (0..sitemap::MAX_ENTRIES)
        .map(|n| format!("<url><loc>https://docs.example/section/{n}.html</loc><lastmod>2024-03-01</lastmod></url>\n"))
        .collect();
    let body = format!("<urlset>{entries}</urlset>");
    criterion.bench_function("sitemap of 50,000 entries", |bencher| {
        bencher.iter(|| sitemap::read(black_box(body.as_bytes()), &url, true));
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = reading
}
criterion_main!(benches);
