//! Where does a page lead?
//!
//! To what its `<a>` and `<area>` elements, and its `<link>` elements with `rel=next` or
//! `rel=canonical`, point to, resolved against the first `<base>` with a usable address, wherever in
//! the page that stands.

use std::collections::HashSet;

use neap_core::CanonicalUrl;
use neap_core::canonical::NotFetchable;
use url::Url;

use crate::charset;
use crate::tags::{self, Attributes, Name, Tag};

/// Most links that are taken from one page, counted as they are written. Ten times what the largest
/// index pages have; a page with more is a trap or a dump.
pub const MAX_LINKS_PER_PAGE: usize = 10_000;

/// The links of one page.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PageLinks {
    /// What can be fetched, in document order, each once.
    pub links: Vec<CanonicalUrl>,
    /// Links with a scheme that is not fetched, such as `mailto:` or `javascript:`; each is counted
    /// once. They are no fault of the page.
    pub other_schemes: usize,
    /// Links that are no URL or too long; each is counted once.
    pub unusable: usize,
    /// Whether the page had more than [`MAX_LINKS_PER_PAGE`] links; the rest was not looked at.
    pub was_cut: bool,
}

/// Finds the links of an HTML page. Nothing is refused: what a browser would make something of is
/// read as it would.
///
/// `charset` is the one that the `Content-Type` names, see [`crate::content_type::charset`]; a byte
/// order mark overrules it. `page_url` is the URL that the page was answered under.
pub fn links(html: &[u8], charset: Option<&str>, page_url: &Url) -> PageLinks {
    let html = charset::to_utf8(html, charset);
    let mut written = Written::default();
    let mut base = None;
    tags::for_each(&html, |tag, attributes| match tag {
        Tag::A | Tag::Area => written.push(attributes),
        Tag::Link if leads_on(attributes) => written.push(attributes),
        Tag::Base if base.is_none() => base = attributes.get(Name::Href).map(<[u8]>::to_vec),
        Tag::Link | Tag::Base | Tag::Meta => {}
    });
    let base = base.and_then(|href| usable_base(&href, page_url));
    resolve(&written, base.as_ref().unwrap_or(page_url))
}

/// Whether a `<link>` names another page to read, not a part of this one.
fn leads_on(attributes: &Attributes) -> bool {
    attributes.get(Name::Rel).is_some_and(|rel| {
        rel.split(u8::is_ascii_whitespace).any(|word| {
            word.eq_ignore_ascii_case(b"next") || word.eq_ignore_ascii_case(b"canonical")
        })
    })
}

fn usable_base(href: &[u8], page_url: &Url) -> Option<Url> {
    let base = page_url.join(&String::from_utf8_lossy(href)).ok()?;
    matches!(base.scheme(), "http" | "https").then_some(base)
}

/// Links as they are written, in one buffer.
#[derive(Default)]
struct Written {
    text: Vec<u8>,
    ends: Vec<usize>,
}

impl Written {
    fn push(&mut self, attributes: &Attributes) {
        if let Some(href) = attributes.get(Name::Href) {
            self.text.extend_from_slice(href);
            self.ends.push(self.text.len());
        }
    }

    fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut start = 0;
        self.ends.iter().map(move |&end| {
            let link = &self.text[start..end];
            start = end;
            link
        })
    }
}

fn resolve(written: &Written, base: &Url) -> PageLinks {
    let most = written.ends.len().min(MAX_LINKS_PER_PAGE);
    let mut seen = HashSet::with_capacity(most);
    let mut found = PageLinks {
        links: Vec::with_capacity(most),
        ..PageLinks::default()
    };
    for link in written.iter() {
        if seen.contains(link) {
            continue;
        }
        if seen.len() == MAX_LINKS_PER_PAGE {
            found.was_cut = true;
            break;
        }
        seen.insert(link);
        match CanonicalUrl::join(base, &String::from_utf8_lossy(link)) {
            Ok(url) => found.links.push(url),
            Err(NotFetchable::Scheme) => found.other_schemes += 1,
            Err(NotFetchable::Invalid | NotFetchable::TooLong) => found.unusable += 1,
        }
    }
    // Written differently, links may still be the same.
    let mut seen = HashSet::with_capacity(found.links.len());
    let is_first: Vec<bool> = found
        .links
        .iter()
        .map(|url| seen.insert(url.as_str()))
        .collect();
    let mut is_first = is_first.into_iter();
    found.links.retain(|_| is_first.next().unwrap_or(true));
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn page() -> Url {
        Url::parse("https://a.example/shop/list?page=1").unwrap()
    }

    fn found(html: &str) -> Vec<String> {
        let links = links(html.as_bytes(), None, &page()).links;
        links.iter().map(|url| url.as_str().to_owned()).collect()
    }

    #[test]
    fn links_are_resolved_as_a_browser_resolves_them() {
        for (html, expected) in [
            ("<a href=x>", "https://a.example/shop/x"),
            ("<area href='/x'>", "https://a.example/x"),
            (
                "<a href='?page=2&amp;n=3'>",
                "https://a.example/shop/list?page=2&n=3",
            ),
            ("<a href='//b.example'>", "https://b.example/"),
            ("<a href=' \n /x\n/y\t '>", "https://a.example/x/y"),
            ("<a href='#top'>", "https://a.example/shop/list?page=1"),
            ("<a href>", "https://a.example/shop/list?page=1"),
            ("<a href='/ü'>", "https://a.example/%C3%BC"),
            ("<a href='\\x'>", "https://a.example/x"),
            ("<link rel=next href=2>", "https://a.example/shop/2"),
            (
                "<link href=2 rel='x CANONICAL\ny'>",
                "https://a.example/shop/2",
            ),
        ] {
            assert_eq!(found(html), [expected], "{html}");
        }
    }

    #[test]
    fn what_is_no_link_is_not_one() {
        for html in [
            "<link rel=stylesheet href=x>",
            "<link rel='nextpage' href=x>",
            "<link href=x>",
            "<a name=x>",
            "<base href=x>",
            "<img src=x>",
            "",
        ] {
            assert_eq!(
                links(html.as_bytes(), None, &page()),
                PageLinks::default(),
                "{html}"
            );
        }
    }

    #[test]
    fn the_first_base_with_an_address_holds_for_the_whole_page() {
        for (base, expected) in [
            ("<base href=https://b.example/c/>", "https://b.example/c/x"),
            ("<base href=/c/d>", "https://a.example/c/x"),
            (
                "<base target=_top><base href=/c/><base href=/d/>",
                "https://a.example/c/x",
            ),
            (
                "<base href=data:text/plain,/c/>",
                "https://a.example/shop/x",
            ),
            (
                "<base href=javascript:void(0)><base href=/c/>",
                "https://a.example/shop/x",
            ),
            ("<base href='https://'>", "https://a.example/shop/x"),
            ("<base href=http:/c/>", "http://c/x"),
        ] {
            for html in [format!("{base}<a href=x>"), format!("<a href=x>{base}")] {
                assert_eq!(found(&html), [expected], "{html}");
            }
        }
    }

    #[test]
    fn links_come_once_and_in_order_and_the_others_are_counted() {
        let long = "x".repeat(5000);
        let longer = "x".repeat(1 << 20);
        let html = format!(
            "<a href=/b><a href=/a><a href=/b><a href='/b#c'><a href=HTTPS://A.EXAMPLE/a>\
             <a href=mailto:x@y.example><a href=mailto:x@y.example><a href=javascript:x()>\
             <a href='https://'><a href='/{long}'><a href='/{longer}'>"
        );
        let links = links(html.as_bytes(), None, &page());
        let urls: Vec<&str> = links.links.iter().map(CanonicalUrl::as_str).collect();
        assert_eq!(urls, ["https://a.example/b", "https://a.example/a"]);
        assert_eq!(
            (links.other_schemes, links.unusable, links.was_cut),
            (2, 3, false)
        );
    }

    #[test]
    fn a_page_with_too_many_links_is_cut_and_says_so() {
        let numbered = |count: usize| -> String {
            (0..count)
                .map(|number| format!("<a href={number}>"))
                .collect()
        };
        let links = |html: &str| links(html.as_bytes(), None, &page());
        let full = numbered(MAX_LINKS_PER_PAGE) + "<a href=0>";
        assert_eq!(links(&full).links.len(), MAX_LINKS_PER_PAGE);
        assert!(!links(&full).was_cut);
        let over = links(&numbered(MAX_LINKS_PER_PAGE + 1));
        assert_eq!(over.links.len(), MAX_LINKS_PER_PAGE);
        assert!(over.was_cut);
    }

    #[test]
    fn links_are_read_in_the_charset_of_the_page() {
        let expected = ["https://a.example/%C5%82"];
        let utf16: Vec<u8> = "\u{feff}<a href=/ł>"
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        for (html, charset) in [
            ("<a href=/ł>".as_bytes(), None),
            (b"<a href=/\xB3>", Some("iso-8859-2")),
            (b"<meta charset=iso-8859-2><a href=/\xB3>", None),
            (&utf16, None),
            (&utf16[2..], Some("utf-16le")),
        ] {
            let links = links(html, charset, &page()).links;
            let urls: Vec<&str> = links.iter().map(CanonicalUrl::as_str).collect();
            assert_eq!(urls, expected, "{html:?} {charset:?}");
        }
    }

    #[test]
    fn neither_depth_nor_length_is_a_danger() {
        let deep = "<div><p><b><i>".repeat(250_000) + "<a href=/end>";
        assert_eq!(found(&deep), ["https://a.example/end"]);
        let long = format!(
            "<div data-x='{}'><a href=/end>",
            "&amp;<a href=/no>".repeat(100_000)
        );
        assert_eq!(found(&long), ["https://a.example/end"]);
        let open = "<a href=".repeat(100_000);
        assert_eq!(found(&open), [] as [&str; 0]);
    }

    proptest! {
        #[test]
        fn no_page_makes_it_panic(
            html in proptest::collection::vec(any::<u8>(), 0..200),
            charset in proptest::option::of("(utf-8|utf-16le|iso-2022-jp|gbk|x)"),
        ) {
            links(&html, charset.as_deref(), &page());
        }

        #[test]
        fn no_markup_makes_it_panic(
            html in "(<a href=|<base href=|</?(script|svg|title|a|link)|>|/|'|\"|&amp|&#1;|<!--|-->|rel=next|[ -~é]){0,40}",
        ) {
            let found = links(html.as_bytes(), None, &page());
            for url in &found.links {
                prop_assert_eq!(&CanonicalUrl::parse(url.as_str()).unwrap(), url);
            }
        }
    }
}
