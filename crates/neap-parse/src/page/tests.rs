//! What is read of a page, and how?

use proptest::prelude::*;

use super::*;

fn read(html: &str) -> Page {
    let url = Url::parse("https://a.example/shop/").unwrap();
    page(html.as_bytes(), None, &url, "neap", Wanted::LINKS)
}

#[test]
fn a_page_says_what_it_is() {
    let page = read(
        "<!doctype html><html lang=de-AT><head><title> Caf\u{e9} &amp;\n Bar </title>\
         <meta name=Description content='The\nbest'><link rel=canonical href='/bar?x=1&amp;y#z'>\
         <base href=/b/><title>no</title></head><body><h1></h1><h1>Welcome <em>to</em> <img alt=us></h1><h1>no</h1>",
    );
    assert_eq!(page.title.as_deref(), Some("Caf\u{e9} & Bar"));
    assert_eq!(page.h1.as_deref(), Some("Welcome to us"));
    assert_eq!(page.description.as_deref(), Some("The best"));
    assert_eq!(page.language.as_deref(), Some("de-at"));
    assert_eq!(
        page.canonical.as_ref().map(CanonicalUrl::as_str),
        Some("https://a.example/bar?x=1&y")
    );
}

#[test]
fn what_is_empty_or_not_meant_is_not_there() {
    for html in [
        "",
        "<title></title><h1> \n </h1><meta name=description content=''>",
        "<html lang=''><link rel=canonical><link rel=canonical href=mailto:x@y.example>",
        "<html lang='x y'><meta http-equiv=content-language content='<b>'>",
        "<script>'<title>x</title>'</script><!-- <h1>x</h1> -->",
        "<meta content=x><meta name=keywords content=x>",
    ] {
        let page = read(html);
        let found = (
            &page.title,
            &page.h1,
            &page.description,
            &page.language,
            &page.canonical,
        );
        assert_eq!(found, (&None, &None, &None, &None, &None), "{html}");
    }
    let page = read("<meta http-equiv=Content-Language content='fr, en'>");
    assert_eq!(page.language.as_deref(), Some("fr"));
}

#[test]
fn a_page_asks_this_crawler_or_all_of_them() {
    for (html, no_index, no_follow) in [
        ("<meta name=robots content='noindex'>", true, false),
        (
            "<META CONTENT='NoFollow, noarchive' NAME=ROBOTS>",
            false,
            true,
        ),
        ("<meta name=neap content=none>", true, true),
        ("<meta name=otherbot content=none>", false, false),
        (
            "<meta name=robots content=noindex><meta name=neap content=nofollow>",
            true,
            true,
        ),
        ("<meta name=robots>", false, false),
    ] {
        let expected = Directives {
            no_index,
            no_follow,
        };
        assert_eq!(read(html).directives, expected, "{html}");
    }
}

#[test]
fn texts_are_kept_up_to_their_limit_and_whole() {
    let page = read(&format!("<title>x{}</title>", "\u{20ac}".repeat(1_000)));
    let title = page.title.unwrap();
    assert!(
        title.len() <= MAX_TEXT_BYTES && title.ends_with('\u{20ac}'),
        "{title}"
    );
    assert!(title.len() > MAX_TEXT_BYTES - 4, "{}", title.len());
}

#[test]
fn a_page_that_is_not_read_for_links_is_read_at_its_beginning() {
    let html = format!(
        "<title>t</title><a href=/x>{}<h1>late</h1>",
        " ".repeat(BEGINNING_BYTES)
    );
    let url = Url::parse("https://a.example/").unwrap();
    let page = page(html.as_bytes(), None, &url, "neap", Wanted::NOTHING);
    assert_eq!((page.title.as_deref(), page.h1), (Some("t"), None));
    assert_eq!(page.links, PageLinks::default());
}

#[test]
fn what_a_page_is_shown_with_is_found() {
    let url = Url::parse("https://a.example/p/").unwrap();
    let requisites = |html: &str| -> Vec<String> {
        let page = page(html.as_bytes(), None, &url, "neap", Wanted::ALL);
        let found = page.requisites.links.iter();
        found
            .map(|found| found.url.url().path().to_owned())
            .collect()
    };
    for (html, expected) in [
        ("<img src=a.png alt=x>", vec!["/p/a.png"]),
        (
            "<img src=a srcset='b 1x, /c 2x'>",
            vec!["/p/a", "/p/b", "/c"],
        ),
        (
            "<picture><source srcset='a, b 2x'><img src=c></picture>",
            vec!["/p/a", "/p/b", "/p/c"],
        ),
        (
            "<video src=a poster=b><track src=c></video>",
            vec!["/p/a", "/p/b", "/p/c"],
        ),
        (
            "<audio><source src=a></audio><embed src=b>",
            vec!["/p/a", "/p/b"],
        ),
        ("<object data=a></object>", vec!["/p/a"]),
        (
            "<script src=a></script><script>src=b</script>",
            vec!["/p/a"],
        ),
        ("<input type=image src=a>", vec!["/p/a"]),
        ("<link rel=StyleSheet href=a>", vec!["/p/a"]),
        ("<link rel='shortcut icon' href=a>", vec!["/p/a"]),
        ("<base href=/q/><img src=a>", vec!["/q/a"]),
        ("<img src=a><img src=a><img src='a#b'>", vec!["/p/a"]),
        (
            "<img src=''><img src><img src=' '><link rel=preload href=x>",
            vec![],
        ),
        ("<img src='data:image/png;base64,AA'>", vec![]),
        ("<a href=x>", vec![]),
    ] {
        assert_eq!(requisites(html), expected, "{html}");
    }
    let page = page(
        b"<a href=/x>words <img src=a> go on</a>",
        None,
        &url,
        "neap",
        Wanted::ALL,
    );
    assert_eq!(page.links.links[0].anchor.as_deref(), Some("words go on"));
}

#[test]
fn a_page_says_the_same_of_itself_with_and_without_its_links() {
    for html in [
        "<title>t</title><body><h1>h</h1><h1>no</h1><a href=/x>",
        "<title>t</title></HEAD><H1>h</H1>",
        "<title>t</title><h1>h</h1><meta name=robots content=noindex><meta name=description content=d>",
        "<script>'<body><h1>no</h1>'</script><title>t</title><h1></h1><h1>h</h1>",
        "<h1>h</h1><title>t</title>",
        "<title>t</title>",
        "<title>t</title></head><body><p>no heading",
        "<html lang=de><title>t</title></head><body><meta name=robots content=noindex><p>no heading",
        "</head><body><title>late</title><p>no heading",
    ] {
        let url = Url::parse("https://a.example/").unwrap();
        let of = |wanted| page(html.as_bytes(), None, &url, "neap", wanted);
        let without_links = Page {
            links: PageLinks::default(),
            simhash: None,
            ..of(Wanted::LINKS)
        };
        assert_eq!(of(Wanted::NOTHING), without_links, "{html}");
    }
}

proptest! {
    #[test]
    fn no_markup_makes_it_panic(
        html in "(<title>|</title>|<h1>|</h1>|<a href=x>|</a>|<meta (name|http-equiv)=(robots|refresh|description) content='[ -~é]{0,9}'>|<html lang=.>|<img alt=x>|[ -~é]){0,40}",
    ) {
        let page = read(&html);
        for text in [page.title, page.h1, page.description].into_iter().flatten() {
            prop_assert!(!text.is_empty() && text.len() <= MAX_TEXT_BYTES);
            prop_assert!(!text.contains(['\n', '\r', '\t']), "{:?}", text);
        }
    }
}
