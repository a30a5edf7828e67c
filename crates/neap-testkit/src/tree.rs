//! What is a whole site of known size, in which every page is found from the first?
//!
//! Page `n` links to its children in a heap with `links_per_page` branches, so every page is reached
//! from `/` by exactly one path down. Pages with fewer children fill up with links to any page.
//! Everything follows from a page's number: the same tree is the same bytes in every process.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::Arc;

use bytes::Bytes;

use crate::reply::Reply;

/// Text that all pages of a tree quote from; long enough that two pages rarely quote alike.
const TEXT_BYTES: usize = 64 * 1024;
/// Length of one quotation, which is a paragraph.
const QUOTE_BYTES: usize = 480;
/// What the text is made of.
const WORDS: [&str; 32] = [
    "tide", "harbour", "crawl", "gentle", "moon", "slack", "water", "ebb", "flood", "current",
    "shore", "anchor", "chart", "depth", "sound", "vessel", "pilot", "quay", "mooring", "swell",
    "a", "the", "of", "and", "over", "under", "with", "until", "before", "after", "never", "again",
];

/// A generated site: `pages` HTML pages, named `/`, `/p/1`, `/p/2` and on.
#[derive(Debug, Clone)]
pub struct Tree {
    pages: usize,
    links_per_page: usize,
    bytes_per_page: usize,
    text: Arc<str>,
}

impl Tree {
    /// A tree of `pages` pages (at least 1) with `links_per_page` links each (at least 1; with 1 it
    /// is a chain). Each page has exactly `bytes_per_page` bytes, or as many as its links need if
    /// that is more.
    pub fn new(pages: usize, links_per_page: usize, bytes_per_page: usize) -> Tree {
        Tree {
            pages: pages.max(1),
            links_per_page: links_per_page.max(1),
            bytes_per_page,
            text: text().into(),
        }
    }

    /// How many pages there are.
    pub fn pages(&self) -> usize {
        self.pages
    }

    /// The paths of all pages in the order of their numbers.
    pub fn paths(&self) -> impl Iterator<Item = String> + '_ {
        (0..self.pages).map(path)
    }

    /// The URLs of all pages: exactly what a crawl of a site from its `/` has to find.
    pub fn urls(&self, base_url: &str) -> BTreeSet<String> {
        self.paths()
            .map(|path| format!("{base_url}{path}"))
            .collect()
    }

    /// The numbers of the pages that page `number` links to, in order.
    pub fn links(&self, number: usize) -> Vec<usize> {
        let first_child = number.saturating_mul(self.links_per_page).saturating_add(1);
        (0..self.links_per_page)
            .map(|i| {
                let child = first_child.saturating_add(i);
                if child < self.pages {
                    child
                } else {
                    self.any_page(number, i)
                }
            })
            .collect()
    }

    /// The body of page `number`.
    pub fn body(&self, number: usize) -> Bytes {
        const END: &str = "</body></html>\n";
        let mut page = String::with_capacity(self.bytes_per_page + 64);
        let written = write!(
            page,
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
             <title>Page {number}</title></head><body>\n<h1>Page {number}</h1>\n"
        )
        .and_then(|()| {
            self.links(number)
                .into_iter()
                .try_for_each(|link| writeln!(page, "<a href=\"{}\">Page {link}</a>", path(link)))
        });
        written.expect("a string takes all that is written");
        self.fill(&mut page, number, END.len());
        page.push_str(END);
        page.into()
    }

    /// The reply to a request target, if it is one of the pages.
    pub(crate) fn reply(&self, target: &str) -> Option<Reply> {
        let body = self.body(self.number(target)?);
        Some(Reply::ok(body).header("content-type", "text/html; charset=utf-8"))
    }

    /// The number of the page with this path, written as the tree writes it.
    fn number(&self, target: &str) -> Option<usize> {
        if target == "/" {
            return Some(0);
        }
        let number: usize = target.strip_prefix("/p/")?.parse().ok()?;
        (number > 0 && number < self.pages && path(number) == target).then_some(number)
    }

    /// Fills a page up with quotations, so that it has its size once `reserved` bytes are added.
    fn fill(&self, page: &mut String, number: usize, reserved: usize) {
        const OPEN: &str = "<p>";
        const CLOSE: &str = "</p>\n";
        let full = self.bytes_per_page.saturating_sub(reserved);
        let mut nth = 0;
        while full.saturating_sub(page.len()) > OPEN.len() + CLOSE.len() {
            let room = full - page.len() - OPEN.len() - CLOSE.len();
            let length = room.min(QUOTE_BYTES);
            let from = mix(number, nth) % (TEXT_BYTES - QUOTE_BYTES);
            page.push_str(OPEN);
            page.push_str(&self.text[from..from + length]);
            page.push_str(CLOSE);
            nth += 1;
        }
        // What is left is too short for a paragraph.
        for _ in page.len()..full {
            page.push('\n');
        }
    }

    fn any_page(&self, number: usize, i: usize) -> usize {
        mix(number, i + self.pages) % self.pages
    }
}

fn path(number: usize) -> String {
    if number == 0 {
        "/".to_owned()
    } else {
        format!("/p/{number}")
    }
}

/// Words without end, cut to length; ASCII, so that it can be cut anywhere.
fn text() -> String {
    let mut text = String::with_capacity(TEXT_BYTES + 16);
    for nth in 0.. {
        if text.len() >= TEXT_BYTES {
            break;
        }
        text.push_str(WORDS[mix(nth, 0) % WORDS.len()]);
        text.push(' ');
    }
    text.truncate(TEXT_BYTES);
    text
}

/// A number that looks random and follows from two others: the output function of SplitMix64
/// (Steele, Lea and Flood, 2014).
fn mix(a: usize, b: usize) -> usize {
    let mut z = (a as u64)
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .wrapping_add(b as u64);
    z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    // Half of the bits are plenty, and the same on 32 and 64 bits.
    ((z ^ (z >> 31)) >> 33) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_is_reached_from_the_first() {
        for (pages, links) in [
            (1, 1),
            (1, 5),
            (2, 1),
            (50, 1),
            (1000, 3),
            (777, 20),
            (5, 50),
        ] {
            let tree = Tree::new(pages, links, 0);
            let mut reached = vec![false; pages];
            let mut open = vec![0];
            while let Some(number) = open.pop() {
                if !std::mem::replace(&mut reached[number], true) {
                    open.extend(tree.links(number));
                }
            }
            assert!(
                reached.iter().all(|is_reached| *is_reached),
                "{pages} pages, {links} links"
            );
        }
    }

    #[test]
    fn every_page_has_its_links_and_its_size() {
        for bytes in [0, 2_000, 2_001, 2_007, 2_490, 10_000] {
            let tree = Tree::new(300, 7, bytes);
            for number in [0, 1, 42, 43, 299] {
                let body = tree.body(number);
                let text = std::str::from_utf8(&body).unwrap();
                assert_eq!(text.matches("<a href=").count(), 7);
                for link in tree.links(number) {
                    assert!(
                        text.contains(&format!("<a href=\"{}\">", path(link))),
                        "{text}"
                    );
                }
                if bytes > 0 {
                    assert_eq!(body.len(), bytes, "page {number}");
                }
            }
        }
    }

    #[test]
    fn a_page_is_the_same_in_every_tree_of_its_shape_and_no_other_page() {
        let (a, b) = (Tree::new(100, 3, 4_000), Tree::new(100, 3, 4_000));
        assert_eq!(a.body(17), b.body(17));
        assert_ne!(a.body(17), a.body(18));
    }

    #[test]
    fn only_its_own_paths_are_pages() {
        let tree = Tree::new(10, 3, 0);
        for (target, number) in [
            ("/", Some(0)),
            ("/p/1", Some(1)),
            ("/p/9", Some(9)),
            ("/p/10", None),
            ("/p/0", None),
            ("/p/01", None),
            ("/p/+1", None),
            ("/p/", None),
            ("/x", None),
            ("/?a", None),
        ] {
            assert_eq!(tree.number(target), number, "{target}");
        }
    }
}
