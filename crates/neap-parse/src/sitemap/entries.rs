//! What do the elements of a sitemap or feed say?
//!
//! Names decide, not places: whatever stands in an entry (`<url>`, `<sitemap>`, `<item>`, `<entry>`) and
//! is called as a field is that field. Only elements with the prefix of the root element count (with
//! none in RDF, whose root has one), so that `<image:loc>` is no `<loc>`.

use std::mem;

use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::reader::Reader;
use url::Url;

use super::{Kind, MAX_ENTRIES, Sitemap, Written};
use crate::tags::MAX_VALUE_BYTES;

/// Elements that may be open at a time; a document with more is no sitemap any more. The deepest extension
/// of the protocol has six.
const MAX_DEPTH: u32 = 100;

/// Reads the entries of an XML document up to its end, or up to where it is XML no longer.
pub(super) fn read(text: &str, document: &Url, found: &mut Sitemap) {
    let mut reader = Reader::from_str(text);
    let config = reader.config_mut();
    config.check_end_names = false;
    config.allow_unmatched_ends = true;
    config.allow_dangling_amp = true;
    let mut entries = Entries::new(document, found);
    loop {
        let goes_on = match reader.read_event() {
            Ok(Event::Start(tag)) => entries.start(&tag),
            Ok(Event::Empty(tag)) => entries.start(&tag) && entries.end(tag.name().into_inner()),
            Ok(Event::End(tag)) => entries.end(tag.name().into_inner()),
            Ok(Event::Text(text)) => entries.push(&text),
            Ok(Event::CData(text)) => entries.push(&text),
            Ok(Event::GeneralRef(reference)) => entries.refer(&reference),
            Ok(Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_)) => true,
            Ok(Event::Eof) | Err(_) => false,
        };
        if !goes_on {
            break;
        }
    }
    entries.finish();
}

/// A field whose text is being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Url,
    /// The identifier of an RSS item, which is its URL unless it says otherwise.
    Guid,
    Modified,
    Priority,
}

/// Where the reading of a document stands.
struct Entries<'a, 'f> {
    found: &'f mut Sitemap,
    /// What relative URLs are resolved against; only feeds have such.
    base: Option<Url>,
    document: &'a Url,
    /// The name of the root element, empty before it.
    root: String,
    /// Prefix of the elements that count, with its colon.
    prefix: String,
    depth: u32,
    is_in_entry: bool,
    /// Elements of an Atom `<source>` that are open: it describes another feed.
    in_source: u32,
    field: Option<Field>,
    text: String,
    urls: Vec<String>,
    guid: Option<String>,
    written: Written,
}

impl<'a, 'f> Entries<'a, 'f> {
    fn new(document: &'a Url, found: &'f mut Sitemap) -> Entries<'a, 'f> {
        Entries {
            found,
            base: None,
            document,
            root: String::new(),
            prefix: String::new(),
            depth: 0,
            is_in_entry: false,
            in_source: 0,
            field: None,
            text: String::new(),
            urls: Vec::new(),
            guid: None,
            written: Written::default(),
        }
    }

    fn kind(&self) -> Kind {
        self.found.kind
    }

    /// An element begins; whether the reading goes on.
    fn start(&mut self, tag: &BytesStart<'_>) -> bool {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return false;
        }
        let name = tag.name().into_inner();
        if self.root.is_empty() {
            self.begin(name, tag);
            return true;
        }
        let Some(local) = self.local(name) else {
            return true;
        };
        if self.in_source > 0 || local == "source" && self.kind() == Kind::Atom {
            self.in_source += 1;
            return true;
        }
        if local == self.entry_name() {
            // An entry that was never ended ends here.
            let goes_on = self.end_entry();
            self.is_in_entry = true;
            return goes_on;
        }
        if self.is_in_entry {
            self.field = self.field_of(local, tag);
            self.text.clear();
        }
        true
    }

    /// The root element begins.
    fn begin(&mut self, name: &str, tag: &BytesStart<'_>) {
        let prefix = name.rfind(':').map_or("", |colon| &name[..=colon]);
        name.clone_into(&mut self.root);
        if !name.ends_with("RDF") {
            prefix.clone_into(&mut self.prefix);
        }
        if matches!(self.kind(), Kind::Rss | Kind::Atom) {
            let written = attribute(tag, "xml:base");
            let base = written.and_then(|base| self.document.join(base.trim()).ok());
            self.base = Some(base.unwrap_or_else(|| self.document.clone()));
        }
    }

    fn entry_name(&self) -> &'static str {
        match self.kind() {
            Kind::Pages => "url",
            Kind::Index => "sitemap",
            Kind::Rss => "item",
            Kind::Atom | Kind::Text => "entry",
        }
    }

    fn field_of(&mut self, local: &str, tag: &BytesStart<'_>) -> Option<Field> {
        match (self.kind(), local) {
            (Kind::Pages | Kind::Index, "loc") | (Kind::Rss, "link") => Some(Field::Url),
            (Kind::Pages | Kind::Index, "lastmod")
            | (Kind::Rss, "pubDate")
            | (Kind::Atom, "updated") => Some(Field::Modified),
            (Kind::Pages, "priority") => Some(Field::Priority),
            (Kind::Rss, "guid") => {
                let is_url = attribute(tag, "isPermaLink").is_none_or(|text| text != "false");
                is_url.then_some(Field::Guid)
            }
            (Kind::Atom, "link") => {
                // RFC 4287, section 4.2.7.2: without `rel` it is the page that the entry stands for.
                let is_page = attribute(tag, "rel").is_none_or(|rel| rel == "alternate");
                if is_page && self.urls.len() < MAX_ENTRIES {
                    self.urls.extend(attribute(tag, "href"));
                }
                None
            }
            _ => None,
        }
    }

    /// An element ends; whether the reading goes on.
    fn end(&mut self, name: &str) -> bool {
        self.depth = self.depth.saturating_sub(1);
        if name == self.root {
            return false;
        }
        let Some(local) = self.local(name) else {
            return true;
        };
        if self.in_source > 0 {
            self.in_source -= 1;
            return true;
        }
        if local == self.entry_name() {
            return self.end_entry();
        }
        self.end_field();
        true
    }

    /// The name of an element that counts, without the prefix that they have; `None` of others.
    fn local<'n>(&self, name: &'n str) -> Option<&'n str> {
        let local = name.strip_prefix(self.prefix.as_str());
        local.filter(|local| !local.contains(':'))
    }

    fn push(&mut self, text: &str) -> bool {
        if self.field.is_some() {
            let room = MAX_VALUE_BYTES.saturating_sub(self.text.len());
            self.text.push_str(&text[..text.floor_char_boundary(room)]);
        }
        true
    }

    /// A reference: to a character, to one of the five names that XML has, or to nothing that is known.
    fn refer(&mut self, reference: &BytesRef<'_>) -> bool {
        let name: &str = reference;
        let known = match name {
            "amp" => Some('&'),
            "lt" => Some('<'),
            "gt" => Some('>'),
            "quot" => Some('"'),
            "apos" => Some('\''),
            _ => reference.resolve_char_ref().ok().flatten(),
        };
        match known {
            Some(known) => self.push(known.encode_utf8(&mut [0; 4])),
            // As it stands there: `&page=2;` was meant so, and what a document type declares is not read.
            None => self.push("&") && self.push(name) && self.push(";"),
        }
    }

    fn end_field(&mut self) {
        let Some(field) = self.field.take() else {
            return;
        };
        let text = mem::take(&mut self.text);
        match field {
            Field::Url if text.trim().is_empty() => {}
            Field::Url if self.urls.len() < MAX_ENTRIES => self.urls.push(text),
            Field::Url => self.found.was_cut = true,
            Field::Guid => self.guid = Some(text),
            Field::Modified => self.written.modified = text,
            Field::Priority => self.written.priority = text,
        }
    }

    /// Takes the entry that was open, if there was one; whether there is room for more.
    fn end_entry(&mut self) -> bool {
        self.end_field();
        self.is_in_entry = false;
        let (urls, guid) = (mem::take(&mut self.urls), self.guid.take());
        let written = mem::take(&mut self.written);
        let guid = guid.filter(|guid| urls.is_empty() && guid.trim().starts_with("http"));
        urls.iter()
            .chain(&guid)
            .all(|url| self.found.take(url, self.base.as_ref(), &written))
    }

    /// The document is over, or broke off in an entry.
    fn finish(mut self) {
        self.end_entry();
    }
}

/// The value of an attribute, with its references replaced as far as XML knows them.
fn attribute(tag: &BytesStart<'_>, name: &str) -> Option<String> {
    let mut attributes = tag.attributes();
    let mut attributes = attributes.with_checks(false).flatten();
    let found = attributes.find(|found| found.key.into_inner() == name)?;
    let value: &str = &found.value;
    let known = quick_xml::escape::unescape(value);
    Some(known.map_or_else(|_| value.to_owned(), std::borrow::Cow::into_owned))
}
