//! Which URLs does a sitemap or a feed list, how important are they and when did they change?
//!
//! Read are the three forms of <https://www.sitemaps.org/protocol.html> (a set of URLs, an index of
//! sitemaps, a plain list) and feeds, which the protocol names as sitemaps too: RSS 0.9 to 2.0 and
//! Atom (RFC 4287). Each may be packed with gzip.
//!
//! A document is known by its root element and not by its name or its `Content-Type`, with which
//! servers are careless. So a feed that a page links to is read like a sitemap that robots.txt names,
//! and nothing has to be remembered of a URL but whether it was asked for as a sitemap: then it may
//! also be a plain list, which nothing else tells from other texts.
//!
//! Reading is as lenient as those who write sitemaps are careless: namespaces are not compared, a
//! document that breaks off has what stands before the break, `&` may stand for itself. What a
//! document type declares is ignored, so there is nothing to expand and nothing to include.

mod entries;
mod root;
mod text;
mod unpack;

use neap_core::canonical::NotFetchable;
use neap_core::{CanonicalUrl, UnixMs};
use url::Url;

use crate::dates;

/// Most entries that are read of one document: the protocol's limit.
pub const MAX_ENTRIES: usize = 50_000;

/// Most bytes of one document that are read, unpacked: the protocol's limit, "50MB (52,428,800 bytes)".
pub const MAX_BYTES: usize = 52_428_800;

/// What kind of document it is, by its root element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `<urlset>`: pages.
    Pages,
    /// `<sitemapindex>`: further sitemaps.
    Index,
    /// `<rss>` or `<rdf:RDF>`: what is new.
    Rss,
    /// `<feed>`: what is new.
    Atom,
    /// A URL a line.
    Text,
}

/// What a document lists.
#[derive(Debug, Clone, PartialEq)]
pub struct Sitemap {
    /// What it is.
    pub kind: Kind,
    /// What it lists, in its order, at most [`MAX_ENTRIES`].
    pub entries: Vec<Entry>,
    /// Entries that cannot be fetched: no URL, another scheme than http and https, too long.
    pub unusable: usize,
    /// Whether something was left out: the document is longer than [`MAX_BYTES`] or has more than
    /// [`MAX_ENTRIES`] entries.
    pub was_cut: bool,
}

/// One page, or one sitemap of an index.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Its URL.
    pub url: CanonicalUrl,
    /// When it changed last, as the document says.
    pub modified: Option<UnixMs>,
    /// How important it is among the pages of its site, 0 to 1, as the document says; the protocol's
    /// default is 0.5.
    pub priority: Option<f32>,
}

/// Reads a sitemap or feed; `None` if a body is neither.
///
/// `url` is the URL that it was answered under. `is_asked_for` says that it was asked for as a sitemap,
/// so that it may be a plain list as well.
pub fn read(body: &[u8], url: &Url, is_asked_for: bool) -> Option<Sitemap> {
    let document = unpack::open(body)?;
    match root::kind(document.beginning()) {
        Some(kind) => {
            let (text, was_cut) = document.text();
            let mut found = Sitemap::new(kind, was_cut);
            entries::read(&text, url, &mut found);
            Some(found)
        }
        None if is_asked_for && text::is_list(document.beginning()) => {
            let (text, was_cut) = document.text();
            let mut found = Sitemap::new(Kind::Text, was_cut);
            text::read(&text, &mut found);
            Some(found)
        }
        None => None,
    }
}

impl Sitemap {
    fn new(kind: Kind, was_cut: bool) -> Sitemap {
        Sitemap {
            kind,
            entries: Vec::new(),
            unusable: 0,
            was_cut,
        }
    }

    /// Takes an entry as it is written, relative to `base`; whether there is room for more.
    fn take(&mut self, link: &str, base: Option<&Url>, written: &Written) -> bool {
        if self.entries.len() == MAX_ENTRIES {
            self.was_cut = true;
            return false;
        }
        let url = match base {
            Some(base) => CanonicalUrl::join(base, link),
            None => CanonicalUrl::parse(link),
        };
        match url {
            Ok(url) => self.entries.push(Entry {
                url,
                modified: dates::modified(&written.modified),
                priority: priority(&written.priority),
            }),
            Err(NotFetchable::Invalid | NotFetchable::Scheme | NotFetchable::TooLong) => {
                self.unusable += 1;
            }
        }
        true
    }
}

/// What stands beside a URL.
#[derive(Debug, Default)]
struct Written {
    modified: String,
    priority: String,
}

/// A number from 0 to 1; what lies beyond is taken for the nearer end.
fn priority(text: &str) -> Option<f32> {
    let number: f32 = text.trim().parse().ok()?;
    number.is_finite().then(|| number.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests;
