//! Is a document a sitemap or a feed, by its root element?

use super::Kind;

/// The kind of a document that begins so; `None` if its root is another element, or if it is none of
/// XML. Declarations, comments and a document type may stand before the root.
pub(super) fn kind(beginning: &[u8]) -> Option<Kind> {
    let mut rest = beginning.trim_ascii_start();
    loop {
        rest = if let Some(inside) = rest.strip_prefix(b"<?") {
            after(inside, b"?>")?
        } else if let Some(inside) = rest.strip_prefix(b"<!--") {
            after(inside, b"-->")?
        } else if let Some(inside) = rest.strip_prefix(b"<!") {
            after_document_type(inside)?
        } else {
            break;
        }
        .trim_ascii_start();
    }
    let name = rest.strip_prefix(b"<")?;
    let end = name
        .iter()
        .position(|byte| byte.is_ascii_whitespace() || matches!(byte, b'>' | b'/'))?;
    let local = name[..end].rsplit(|byte| *byte == b':').next()?;
    match local {
        b"urlset" => Some(Kind::Pages),
        b"sitemapindex" => Some(Kind::Index),
        b"rss" | b"RDF" => Some(Kind::Rss),
        b"feed" => Some(Kind::Atom),
        _ => None,
    }
}

fn after<'a>(text: &'a [u8], end: &[u8]) -> Option<&'a [u8]> {
    let at = memchr::memmem::find(text, end)?;
    Some(&text[at + end.len()..])
}

/// What follows a document type: the `>` that is in no quotes, and in no `[...]`.
fn after_document_type(text: &[u8]) -> Option<&[u8]> {
    let (mut quote, mut depth) = (None, 0i32);
    for (at, &byte) in text.iter().enumerate() {
        match (quote, byte) {
            (Some(open), byte) => quote = (open != byte).then_some(open),
            (None, b'"' | b'\'') => quote = Some(byte),
            (None, b'[') => depth += 1,
            (None, b']') => depth -= 1,
            (None, b'>') if depth <= 0 => return Some(&text[at + 1..]),
            (None, _) => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_known_by_its_root() {
        for (text, expected) in [
            ("<urlset>", Some(Kind::Pages)),
            ("<s:urlset xmlns:s='x'>", Some(Kind::Pages)),
            (
                " \n<?xml version='1.0'?>\n<!-- > --><sitemapindex\n>",
                Some(Kind::Index),
            ),
            (
                "<!DOCTYPE rss [<!ENTITY a \"]>\">]><rss version=2>",
                Some(Kind::Rss),
            ),
            ("<rdf:RDF xmlns:rdf='x'>", Some(Kind::Rss)),
            ("<?xml-stylesheet href='x'?><feed/>", Some(Kind::Atom)),
            ("<!doctype html><html>", None),
            ("<html><urlset>", None),
            ("<urlsets>", None),
            ("<urlset", None),
            ("<!-- <urlset>", None),
            ("<!DOCTYPE urlset [", None),
            ("{\"urlset\": 1}", None),
            ("", None),
        ] {
            assert_eq!(kind(text.as_bytes()), expected, "{text}");
        }
    }
}
