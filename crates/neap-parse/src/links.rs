//! Where does a page lead?
//!
//! To what its `<a>` and `<area>` elements, its frames, its `<link>` elements with `rel=next` or `rel=canonical`, and a
//! `<meta http-equiv=refresh>` point to, resolved against the first `<base>` with a usable address, wherever
//! in the page that stands. What a page is shown with is collected in the same way, apart from its links.

use std::collections::HashMap;

use neap_core::CanonicalUrl;
use neap_core::canonical::{NotFetchable, resolve};
use url::Url;

use crate::page::{one_line, push_blank_once};

/// Most links that are taken from one page, counted as they are written. Ten times what the largest
/// index pages have; a page with more is a trap or a dump.
pub const MAX_LINKS_PER_PAGE: usize = 10_000;

/// Most links that are looked at, those to one URL counted each: pages name a few of theirs again and again.
const MAX_WRITTEN: usize = 4 * MAX_LINKS_PER_PAGE;

/// Longest text of a link that is kept, in bytes of UTF-8: a line or two, by which people find it.
pub const MAX_ANCHOR_BYTES: usize = 200;

/// The links of one page.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PageLinks {
    /// What can be fetched, in document order, each once.
    pub links: Vec<PageLink>,
    /// Links with a scheme that is not fetched, such as `mailto:` or `javascript:`; each is counted
    /// once. They are no fault of the page.
    pub other_schemes: usize,
    /// Links that are no URL or too long; each is counted once.
    pub unusable: usize,
    /// Whether the page had more than [`MAX_LINKS_PER_PAGE`] links; the rest was not looked at.
    pub was_cut: bool,
}

/// One link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageLink {
    /// Where it leads.
    pub url: CanonicalUrl,
    /// What a reader clicks on, on one line; of an image what stands for it. Of several links to one URL the
    /// first text.
    pub anchor: Option<String>,
    /// Whether every link to this URL says `rel=nofollow`.
    pub is_nofollow: bool,
}

/// The address that a `<base>` gives to links, if it can.
pub(crate) fn usable_base(href: &[u8], page_url: &Url) -> Option<Url> {
    let base = resolve(page_url, &String::from_utf8_lossy(href)).ok()?;
    matches!(base.scheme(), "http" | "https").then_some(base)
}

/// Links as they are written, in one buffer: each address and then its text.
#[derive(Default)]
pub(crate) struct Written {
    text: Vec<u8>,
    links: Vec<WrittenLink>,
    is_anchor_open: bool,
}

struct WrittenLink {
    /// Where its address begins, and where that ends and its text begins.
    href_start: usize,
    href_end: usize,
    is_nofollow: bool,
}

impl Written {
    /// A link begins; text that follows is its own until it ends.
    pub(crate) fn push(&mut self, href: &[u8], is_nofollow: bool) {
        // One more than is looked at, so that it is seen that there were more.
        if self.links.len() > MAX_WRITTEN {
            self.is_anchor_open = false;
            return;
        }
        let href_start = self.text.len();
        self.text.extend_from_slice(href);
        self.links.push(WrittenLink {
            href_start,
            href_end: self.text.len(),
            is_nofollow,
        });
        self.is_anchor_open = true;
    }

    /// Adds to the text of the link that is open, if there is one.
    #[inline]
    pub(crate) fn add_text(&mut self, piece: &[u8]) {
        if self.is_anchor_open
            && let Some(link) = self.links.last()
        {
            push_blank_once(&mut self.text, link.href_end, piece, MAX_ANCHOR_BYTES);
        }
    }

    /// The link that is open ends.
    pub(crate) fn end_anchor(&mut self) {
        self.is_anchor_open = false;
    }

    /// Each address, its text, and whether it is not to be followed.
    fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8], bool)> {
        let starts = self.links.iter().skip(1).map(|link| link.href_start);
        let ends = starts.chain([self.text.len()]);
        self.links.iter().zip(ends).map(|(link, end)| {
            let href = &self.text[link.href_start..link.href_end];
            (href, &self.text[link.href_end..end], link.is_nofollow)
        })
    }

    /// The links that can be fetched, each once.
    pub(crate) fn resolve(&self, base: &Url) -> PageLinks {
        let most = self.links.len().min(MAX_LINKS_PER_PAGE);
        let mut places: HashMap<&[u8], Option<usize>> = HashMap::with_capacity(most);
        let mut found = PageLinks {
            links: Vec::with_capacity(most),
            was_cut: self.links.len() > MAX_WRITTEN,
            ..PageLinks::default()
        };
        for (href, anchor, is_nofollow) in self.iter() {
            if let Some(place) = places.get(href) {
                if let Some(known) = place.and_then(|place| found.links.get_mut(place)) {
                    known.take_in(|| one_line(anchor, MAX_ANCHOR_BYTES), is_nofollow);
                }
                continue;
            }
            if places.len() == MAX_LINKS_PER_PAGE {
                found.was_cut = true;
                break;
            }
            let place = match CanonicalUrl::join(base, &String::from_utf8_lossy(href)) {
                Ok(url) => {
                    let anchor = one_line(anchor, MAX_ANCHOR_BYTES);
                    found.links.push(PageLink {
                        url,
                        anchor,
                        is_nofollow,
                    });
                    Some(found.links.len() - 1)
                }
                Err(NotFetchable::Scheme) => {
                    found.other_schemes += 1;
                    None
                }
                Err(NotFetchable::Invalid | NotFetchable::TooLong) => {
                    found.unusable += 1;
                    None
                }
            };
            places.insert(href, place);
        }
        found.links = once(found.links);
        found
    }
}

impl PageLink {
    /// Takes in another link to the same URL.
    fn take_in(&mut self, anchor: impl FnOnce() -> Option<String>, is_nofollow: bool) {
        if self.anchor.is_none() {
            self.anchor = anchor();
        }
        self.is_nofollow &= is_nofollow;
    }
}

/// Written differently, links may still be the same.
fn once(links: Vec<PageLink>) -> Vec<PageLink> {
    let mut first_of = HashMap::with_capacity(links.len());
    let firsts: Vec<usize> = links
        .iter()
        .enumerate()
        .map(|(at, link)| *first_of.entry(link.url.as_str()).or_insert(at))
        .collect();
    let mut kept: Vec<PageLink> = Vec::with_capacity(first_of.len());
    // Where each first one went to.
    let mut places = vec![0; firsts.len()];
    for (at, (mut link, first)) in links.into_iter().zip(firsts).enumerate() {
        if first == at {
            places[at] = kept.len();
            kept.push(link);
        } else {
            let anchor = link.anchor.take();
            kept[places[first]].take_in(|| anchor, link.is_nofollow);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::page::{Wanted, page as read};

    fn links(html: &[u8], charset: Option<&str>, url: &Url) -> PageLinks {
        read(html, charset, url, "neap", Wanted::LINKS).links
    }

    fn page() -> Url {
        Url::parse("https://a.example/shop/list?page=1").unwrap()
    }

    fn found(html: &str) -> Vec<String> {
        let links = links(html.as_bytes(), None, &page()).links;
        links.iter().map(|link| link.url.to_string()).collect()
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
            ("<iframe src=2></iframe>", "https://a.example/shop/2"),
            (
                "<frameset><frame src=2></frameset>",
                "https://a.example/shop/2",
            ),
            (
                "<meta http-equiv=Refresh content='5; URL=\"/x\" '>",
                "https://a.example/x",
            ),
            (
                "<meta http-equiv=refresh content='0;/x'>",
                "https://a.example/x",
            ),
            (
                "<meta http-equiv=refresh content='0.5, url = x'>",
                "https://a.example/shop/x",
            ),
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
            "<meta http-equiv=refresh content=5>",
            "<meta name=refresh content='5;url=/x'>",
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
        let urls: Vec<&str> = links.links.iter().map(|link| link.url.as_str()).collect();
        assert_eq!(urls, ["https://a.example/b", "https://a.example/a"]);
        assert_eq!(
            (links.other_schemes, links.unusable, links.was_cut),
            (2, 3, false)
        );
    }

    #[test]
    fn a_link_has_the_text_that_is_clicked_on() {
        let html = "<a href=/1> Buy\n <b>one</b> &amp; two<script>no</script></a>no\
                    <a href=/2><img src=x alt='An image'></a><a href=/3></a>no\
                    <a href=/4>four<a href=/5>five</a><area href=/6 alt=six>no\
                    <a href=/3>later</a><a href='/1#x'>again</a><link rel=next href=/7>no\
                    <a name=x>no</a>";
        let found = links(html.as_bytes(), None, &page());
        let found: Vec<_> = found
            .links
            .iter()
            .map(|link| (link.url.url().path(), link.anchor.as_deref()))
            .collect();
        assert_eq!(
            found,
            [
                ("/1", Some("Buy one & two")),
                ("/2", Some("An image")),
                ("/3", Some("later")),
                ("/4", Some("four")),
                ("/5", Some("five")),
                ("/6", Some("six")),
                ("/7", None),
            ]
        );
        let long = format!("<a href=/>{}</a>", "\u{e9}".repeat(1000));
        let anchor = links(long.as_bytes(), None, &page())
            .links
            .remove(0)
            .anchor
            .unwrap();
        assert_eq!(anchor, "\u{e9}".repeat(MAX_ANCHOR_BYTES / 2));
        let cut = format!("<a href=/>x{}</a>", "\u{e9}".repeat(1000));
        let anchor = links(cut.as_bytes(), None, &page())
            .links
            .remove(0)
            .anchor
            .unwrap();
        assert_eq!(
            anchor,
            format!("x{}", "\u{e9}".repeat(MAX_ANCHOR_BYTES / 2 - 1))
        );
    }

    #[test]
    fn a_link_is_followed_if_one_of_its_kind_may_be() {
        let html = "<a href=/1 rel='ugc NOFOLLOW'>1</a><a href=/2 rel=nofollow><a href=/2>\
                    <a href=/3><a href='/3#x' rel=nofollow><a href=/4 rel=nofollows>";
        let found = links(html.as_bytes(), None, &page()).links;
        let found: Vec<bool> = found.iter().map(|link| link.is_nofollow).collect();
        assert_eq!(found, [true, false, false, false]);
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
            let urls: Vec<&str> = links.iter().map(|link| link.url.as_str()).collect();
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
            for PageLink { url, .. } in found.links {
                prop_assert_eq!(CanonicalUrl::parse(url.as_str()).unwrap(), url);
            }
        }
    }
}
