//! What does a page say of itself, and where does it lead?
//!
//! One pass over its tags: title, heading, description, language and canonical address, what it asks
//! of crawlers, and its links ([`mod@crate::links`]).

use neap_core::CanonicalUrl;
use url::Url;

use crate::charset;
use crate::directives::Directives;
use crate::links::{PageLinks, Written, usable_base};
use crate::simhash::Simhash;
use crate::srcset;
use crate::tags::{self, Attributes, Name, Tag};

/// Longest title, heading and description that are kept, in bytes of UTF-8; what search engines show of them is
/// a tenth of it.
pub const MAX_TEXT_BYTES: usize = 1_000;

/// Longest language tag that is kept, in bytes: RFC 5646 (section 4.4.1) wants room for 35.
pub const MAX_LANGUAGE_BYTES: usize = 35;

/// Bytes of a page that are read for what it says of itself where its links are not wanted.
const BEGINNING_BYTES: usize = 64 << 10;

/// What a `<link>` says of something that a page is shown with. What is only to be fetched early
/// (`preload`) stands where it is used, too.
const SHOWN_WITH: [&[u8]; 4] = [b"stylesheet", b"icon", b"apple-touch-icon", b"manifest"];

/// What a page says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// The text of its first `<title>`.
    pub title: Option<String>,
    /// The text of its first `<h1>` that has any; of an image in it what stands for that.
    pub h1: Option<String>,
    /// `<meta name=description>`.
    pub description: Option<String>,
    /// The language of its `<html>`, else that of a `<meta http-equiv=content-language>`, in lower case.
    pub language: Option<String>,
    /// `<link rel=canonical>`: the URL that it wants to be known by.
    pub canonical: Option<CanonicalUrl>,
    /// What it asks of crawlers.
    pub directives: Directives,
    /// The simhash of its text, of 63 bits: the fewer differ between two pages, the more of their texts is the same, numbers
    /// apart. `None` if it has no words, or if its links are not wanted.
    pub simhash: Option<u64>,
    /// Where it leads.
    pub links: PageLinks,
    /// What it is shown with: images in all sizes, styles, scripts, sounds, films, icons. What styles and scripts
    /// fetch in turn is not known.
    pub requisites: PageLinks,
}

/// What is wanted of a page besides what it says of itself. If that is nothing, its first 64 KiB are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// Where it leads, and how alike its text is to others.
    pub links: bool,
    /// What it is shown with.
    pub requisites: bool,
}

impl Wanted {
    /// Nothing but what it says of itself.
    pub const NOTHING: Wanted = Wanted {
        links: false,
        requisites: false,
    };
    /// Its links.
    pub const LINKS: Wanted = Wanted {
        links: true,
        requisites: false,
    };
    /// Everything.
    pub const ALL: Wanted = Wanted {
        links: true,
        requisites: true,
    };
}

/// Reads an HTML page. Nothing is refused: what a browser would make something of is read as it would.
///
/// `charset` is the one that the `Content-Type` names, see [`crate::content_type::charset`]; a byte
/// order mark overrules it. `page_url` is the URL that the page was answered under, `product_token` the
/// crawler's name in robots files, by which a page may address it.
pub fn page(
    html: &[u8],
    charset: Option<&str>,
    page_url: &Url,
    product_token: &str,
    wanted: Wanted,
) -> Page {
    if wanted.links || wanted.requisites {
        return read(html, charset, page_url, product_token, wanted);
    }
    let html = &html[..html.len().min(BEGINNING_BYTES)];
    let rest = || read(html, charset, page_url, product_token, wanted);
    // Nearly all pages have said everything by the end of their first heading, or have none.
    let Some(Beginning { end, has_heading }) = beginning(html) else {
        return rest();
    };
    let page = read(&html[..end], charset, page_url, product_token, wanted);
    match page.title.is_some() && page.h1.is_some() == has_heading {
        true => page,
        false => rest(),
    }
}

/// How much of a page says what it says of itself.
struct Beginning {
    end: usize,
    /// Whether there is a heading at its end, or something that looks like one.
    has_heading: bool,
}

/// The page up to the end of its first heading; up to its body if no heading begins anywhere. Only of a page whose
/// head ends, since some say in their bodies what belongs into their heads.
fn beginning(html: &[u8]) -> Option<Beginning> {
    const HEAD_ENDS: [&[u8]; 4] = [b"</head>", b"<body", b"</HEAD>", b"<BODY"];
    const BEGINS: [&[u8]; 2] = [b"<h1", b"<H1"];
    const ENDS: [&[u8]; 2] = [b"</h1>", b"</H1>"];
    const METAS: [&[u8]; 2] = [b"<meta", b"<META"];
    // Each is looked for only before what was found already: the usual spelling comes first in each list.
    let first = |html: &[u8], marks: &[&[u8]]| {
        marks.iter().fold(None, |found, mark| {
            let end = found.map_or(html.len(), |at| html.len().min(at + mark.len()));
            memchr::memmem::find(&html[..end], mark).or(found)
        })
    };
    let head = first(html, &HEAD_ENDS)?;
    if first(html, &BEGINS).is_none() {
        let is_all = first(&html[head..], &METAS).is_none();
        return is_all.then_some(Beginning {
            end: head,
            has_heading: false,
        });
    }
    let end = first(&html[head..], &ENDS)?;
    Some(Beginning {
        end: head + end + ENDS[0].len(),
        has_heading: true,
    })
}

fn read(
    html: &[u8],
    charset: Option<&str>,
    page_url: &Url,
    product_token: &str,
    wanted: Wanted,
) -> Page {
    let html = charset::to_utf8(html, charset);
    let mut reader = Reader::new(product_token, wanted);
    tags::read(&html, &mut reader);
    let base = reader.base.as_deref();
    let base = base.and_then(|href| usable_base(href, page_url));
    let base = base.as_ref().unwrap_or(page_url);
    let canonical = reader.canonical.as_deref();
    Page {
        title: reader.title.into_text(),
        h1: reader.h1.into_text(),
        description: reader.description,
        language: reader.language.or(reader.meta_language),
        canonical: canonical
            .and_then(|href| CanonicalUrl::join(base, &String::from_utf8_lossy(href)).ok()),
        directives: reader.directives,
        simhash: reader.simhash.finish(),
        links: reader.links.resolve(base),
        requisites: reader.requisites.resolve(base),
    }
}

struct Reader<'t> {
    product_token: &'t str,
    wanted: Wanted,
    title: Text,
    h1: Text,
    description: Option<String>,
    language: Option<String>,
    meta_language: Option<String>,
    canonical: Option<Vec<u8>>,
    base: Option<Vec<u8>>,
    directives: Directives,
    simhash: Simhash,
    links: Written,
    requisites: Written,
}

impl<'t> Reader<'t> {
    fn new(product_token: &'t str, wanted: Wanted) -> Reader<'t> {
        Reader {
            product_token,
            wanted,
            title: Text::default(),
            h1: Text::default(),
            description: None,
            language: None,
            meta_language: None,
            canonical: None,
            base: None,
            directives: Directives::default(),
            simhash: Simhash::default(),
            links: Written::default(),
            requisites: Written::default(),
        }
    }

    fn link(&mut self, href: Option<&[u8]>, attributes: &Attributes) {
        if let (true, Some(href)) = (self.wanted.links, href) {
            let is_nofollow = has_word(attributes, b"nofollow");
            self.links.push(href, is_nofollow);
        }
    }

    /// Something that the page is shown with; an attribute that is there and empty names nothing.
    fn requisite(&mut self, address: Option<&[u8]>) {
        let address = address.map(<[u8]>::trim_ascii);
        if let (true, Some(address @ [_, ..])) = (self.wanted.requisites, address) {
            self.requisites.push(address, false);
        }
    }

    fn shows(&mut self, attributes: &Attributes) {
        for name in [Name::Src, Name::Poster, Name::Data] {
            self.requisite(attributes.get(name));
        }
        for address in srcset::addresses(attributes.get(Name::Srcset).unwrap_or_default()) {
            self.requisite(Some(address));
        }
    }

    fn meta(&mut self, attributes: &Attributes) {
        let Some(content) = attributes.get(Name::Content) else {
            return;
        };
        if let Some(name) = attributes.get(Name::OfMeta) {
            if name.eq_ignore_ascii_case(b"description") && self.description.is_none() {
                self.description = one_line(content, MAX_TEXT_BYTES);
            }
            let is_for_us = name.eq_ignore_ascii_case(b"robots")
                || name.eq_ignore_ascii_case(self.product_token.as_bytes());
            if is_for_us {
                self.directives.add_words(&String::from_utf8_lossy(content));
            }
        }
        match attributes.get(Name::HttpEquiv) {
            Some(pragma) if pragma.eq_ignore_ascii_case(b"refresh") => {
                self.link(refresh_target(content), attributes);
            }
            Some(pragma) if pragma.eq_ignore_ascii_case(b"content-language") => {
                self.meta_language = self.meta_language.take().or_else(|| language(content));
            }
            Some(_) | None => {}
        }
    }
}

impl tags::Sink for &mut Reader<'_> {
    fn wants(&self, tag: Tag, name: Name) -> bool {
        match name {
            Name::Src if tag == Tag::Frame => self.wanted.links,
            Name::Src | Name::Srcset | Name::Poster | Name::Data => self.wanted.requisites,
            Name::Href
            | Name::Rel
            | Name::Charset
            | Name::HttpEquiv
            | Name::Content
            | Name::OfMeta
            | Name::Lang
            | Name::Alt => true,
        }
    }

    fn start(&mut self, tag: Tag, attributes: &Attributes) {
        match tag {
            Tag::A | Tag::Area => {
                self.links.end_anchor();
                self.link(attributes.get(Name::Href), attributes);
                if tag == Tag::Area {
                    self.links
                        .add_text(attributes.get(Name::Alt).unwrap_or_default());
                    self.links.end_anchor();
                }
            }
            Tag::Link => {
                let is_canonical = has_word(attributes, b"canonical");
                if is_canonical && self.canonical.is_none() {
                    self.canonical = attributes.get(Name::Href).map(<[u8]>::to_vec);
                }
                if is_canonical || has_word(attributes, b"next") {
                    self.links.end_anchor();
                    self.link(attributes.get(Name::Href), attributes);
                    self.links.end_anchor();
                } else if SHOWN_WITH.iter().any(|word| has_word(attributes, word)) {
                    self.requisite(attributes.get(Name::Href));
                }
            }
            Tag::Frame => {
                self.links.end_anchor();
                self.link(attributes.get(Name::Src), attributes);
                self.links.end_anchor();
            }
            Tag::Shows => self.shows(attributes),
            Tag::Base if self.base.is_none() => {
                self.base = attributes.get(Name::Href).map(<[u8]>::to_vec);
            }
            Tag::Base => {}
            Tag::Meta => self.meta(attributes),
            Tag::Html if self.language.is_none() => {
                self.language = attributes.get(Name::Lang).and_then(language);
            }
            Tag::Html => {}
            Tag::Title => self.title.open(),
            Tag::H1 => self.h1.open(),
            Tag::Img => {
                let alt = attributes.get(Name::Alt).unwrap_or_default();
                self.h1.add(alt);
                self.links.add_text(alt);
                self.shows(attributes);
            }
        }
    }

    fn end(&mut self, tag: Tag) {
        match tag {
            Tag::A => self.links.end_anchor(),
            Tag::Title => self.title.close(),
            Tag::H1 => self.h1.close(),
            Tag::Area
            | Tag::Base
            | Tag::Frame
            | Tag::Html
            | Tag::Img
            | Tag::Link
            | Tag::Meta
            | Tag::Shows => {}
        }
    }

    #[inline]
    fn text(&mut self, piece: &[u8]) {
        self.title.add(piece);
        self.h1.add(piece);
        self.links.add_text(piece);
        if self.wanted.links {
            self.simhash.add(piece);
            self.simhash.end_word();
        }
    }
}

/// Whether `rel` holds a word.
fn has_word(attributes: &Attributes, word: &[u8]) -> bool {
    attributes.get(Name::Rel).is_some_and(|rel| {
        rel.split(u8::is_ascii_whitespace)
            .any(|found| found.eq_ignore_ascii_case(word))
    })
}

/// Where a page that refreshes itself goes then: what stands behind `url=` (WHATWG HTML, section 4.2.5.3).
fn refresh_target(content: &[u8]) -> Option<&[u8]> {
    let is_time = |byte: &u8| byte.is_ascii_digit() || *byte == b'.' || byte.is_ascii_whitespace();
    let after_time = content.iter().position(|byte| !is_time(byte))?;
    let rest = content[after_time..]
        .trim_ascii_start()
        .strip_prefix(b";")
        .or_else(|| content[after_time..].strip_prefix(b","))
        .unwrap_or(&content[after_time..])
        .trim_ascii_start();
    let named = rest
        .get(..3)
        .filter(|name| name.eq_ignore_ascii_case(b"url"));
    let value = named.and_then(|_| rest[3..].trim_ascii_start().strip_prefix(b"="));
    let value = value.unwrap_or(rest).trim_ascii();
    let value = match value.first() {
        Some(quote @ (b'"' | b'\'')) => {
            let inside = &value[1..];
            &inside[..memchr::memchr(*quote, inside).unwrap_or(inside.len())]
        }
        Some(_) | None => value,
    };
    (!value.is_empty()).then_some(value)
}

/// A language tag in lower case; `None` if it is none.
fn language(text: &[u8]) -> Option<String> {
    let tag = text.trim_ascii();
    let tag = tag.split(|byte| *byte == b',').next()?.trim_ascii();
    let is_tag = !tag.is_empty()
        && tag.len() <= MAX_LANGUAGE_BYTES
        && tag
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    is_tag.then(|| String::from_utf8_lossy(tag).to_ascii_lowercase())
}

/// The text of the first element of its kind that has any.
#[derive(Default)]
struct Text {
    is_open: bool,
    bytes: Vec<u8>,
}

impl Text {
    fn open(&mut self) {
        self.is_open = self.bytes.is_empty();
    }

    fn close(&mut self) {
        self.is_open = false;
    }

    #[inline]
    fn add(&mut self, piece: &[u8]) {
        if self.is_open {
            push_blank_once(&mut self.bytes, 0, piece, MAX_TEXT_BYTES);
        }
    }

    fn into_text(self) -> Option<String> {
        one_line(&self.bytes, MAX_TEXT_BYTES)
    }
}

/// Appends a text whose blanks become one each, as far as there is room for so many bytes after `start`.
pub(crate) fn push_blank_once(into: &mut Vec<u8>, start: usize, piece: &[u8], most: usize) {
    for &byte in piece {
        if into.len() - start >= most {
            return;
        }
        if !byte.is_ascii_whitespace() {
            into.push(byte);
        } else if into.len() > start && into.last() != Some(&b' ') {
            into.push(b' ');
        }
    }
}

/// A text on one line, whole characters only; `None` if nothing is left of it.
pub(crate) fn one_line(text: &[u8], most: usize) -> Option<String> {
    let mut line = Vec::with_capacity(text.len().min(most));
    push_blank_once(&mut line, 0, text, most);
    let is_cut = line.len() == most;
    let text = String::from_utf8_lossy(&line);
    // Half a character at the cut is no character.
    let text = if is_cut {
        text.trim_end_matches('\u{FFFD}')
    } else {
        &text
    };
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests;
