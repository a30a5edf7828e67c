//! In which charset is a page written?
//!
//! A byte order mark says so, else the `Content-Type`, else a `<meta>` among the first bytes (WHATWG
//! HTML, section 13.2.3.2), else it is UTF-8, with replacement characters for what is none.

use std::borrow::Cow;

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252, X_USER_DEFINED};

use crate::content_type;
use crate::tags::{self, Attributes, Name, Tag};

/// Bytes in which a `<meta>` may name the charset: the HTML standard's.
const PRESCANNED_BYTES: usize = 1024;

/// The page in UTF-8. A page that is written in UTF-8 is returned as it is, faulty bytes included.
pub(crate) fn to_utf8<'a>(html: &'a [u8], declared: Option<&str>) -> Cow<'a, [u8]> {
    let encoding = encoding(html, declared);
    if encoding == UTF_8 {
        return Cow::Borrowed(html);
    }
    match encoding.decode_with_bom_removal(html).0 {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    }
}

fn encoding(html: &[u8], declared: Option<&str>) -> &'static Encoding {
    let by_mark = Encoding::for_bom(html).map(|(encoding, _)| encoding);
    by_mark
        .or_else(|| Encoding::for_label_no_replacement(declared?.as_bytes()))
        .or_else(|| by_meta(html))
        .unwrap_or(UTF_8)
}

/// The charset that the first `<meta>` with a known one names.
fn by_meta(html: &[u8]) -> Option<&'static Encoding> {
    let mut found = None;
    tags::for_each(
        &html[..html.len().min(PRESCANNED_BYTES)],
        |tag, attributes| {
            if tag == Tag::Meta && found.is_none() {
                found = label(attributes).and_then(Encoding::for_label_no_replacement);
            }
        },
    );
    // A page whose `<meta>` could be read is not in UTF-16, whatever it says.
    found.map(|encoding| {
        if encoding == UTF_16BE || encoding == UTF_16LE {
            UTF_8
        } else if encoding == X_USER_DEFINED {
            WINDOWS_1252
        } else {
            encoding
        }
    })
}

fn label(attributes: &Attributes) -> Option<&[u8]> {
    if let Some(charset) = attributes.get(Name::Charset) {
        return Some(charset);
    }
    if !attributes
        .get(Name::HttpEquiv)?
        .eq_ignore_ascii_case(b"content-type")
    {
        return None;
    }
    let content = std::str::from_utf8(attributes.get(Name::Content)?).ok()?;
    // Unlike in a header, single quotes are quotes here.
    let label = content_type::charset(content)?;
    let unquoted = label
        .strip_prefix('\'')
        .and_then(|label| label.strip_suffix('\''));
    Some(unquoted.unwrap_or(label).as_bytes())
}

#[cfg(test)]
mod tests {
    use encoding_rs::{ISO_8859_2, SHIFT_JIS};

    use super::*;

    #[test]
    fn the_mark_comes_before_the_header_and_the_header_before_the_page() {
        let meta = b"<meta charset=iso-8859-2>".as_slice();
        for (html, declared, expected) in [
            (meta, None, ISO_8859_2),
            (meta, Some("Shift_JIS"), SHIFT_JIS),
            (meta, Some("no-such-charset"), ISO_8859_2),
            (b"\xFF\xFE<\0", Some("Shift_JIS"), UTF_16LE),
            (b"\xFE\xFF\0<", None, UTF_16BE),
            (b"\xEF\xBB\xBF<meta charset=iso-8859-2>", None, UTF_8),
            (b"<meta charset=utf-16>", None, UTF_8),
            (b"<meta charset=x-user-defined>", None, WINDOWS_1252),
            (
                b"<meta charset=nonsense><meta charset=iso-8859-2>",
                None,
                ISO_8859_2,
            ),
            (
                b"<META content='text/html; charset=\"iso-8859-2\"' http-equiv=Content-Type>",
                None,
                ISO_8859_2,
            ),
            (
                b"<meta name=x content='text/html; charset=iso-8859-2'>",
                None,
                UTF_8,
            ),
            (b"<!-- <meta charset=iso-8859-2> -->", None, UTF_8),
            (b"", None, UTF_8),
        ] {
            let html_text = String::from_utf8_lossy(html);
            assert_eq!(
                encoding(html, declared),
                expected,
                "{html_text} {declared:?}"
            );
        }
    }

    #[test]
    fn a_charset_named_too_late_is_not_seen() {
        let html = format!("{}<meta charset=iso-8859-2>", " ".repeat(PRESCANNED_BYTES));
        assert_eq!(encoding(html.as_bytes(), None), UTF_8);
    }
    /// Runs html5lib's suite from the folder of outside suites, see `tests/corpora.rs`.
    #[test]
    fn the_prescan_agrees_with_html5lib_but_for_a_known_few() {
        let path = std::env::var_os("NEAP_CORPORA")
            .map(|folder| std::path::Path::new(&folder).join("html_encoding_sniff.jsonl"));
        let Some(text) = path.and_then(|path| std::fs::read_to_string(path).ok()) else {
            println!(
                "html_encoding_sniff: not in NEAP_CORPORA, so only this crate's own cases ran"
            );
            return;
        };
        let (mut ran, mut differ) = (0, Vec::new());
        for line in text.lines() {
            let case: serde_json::Value = serde_json::from_str(line).unwrap();
            let field = |name: &str| case[name].as_str().unwrap().as_bytes();
            let html = data_encoding::BASE64.decode(field("html_b64")).unwrap();
            let expected = Encoding::for_label(field("encoding")).unwrap();
            // The suite's answer for a page that says nothing is that of Western European browsers.
            let found = by_meta(&html).unwrap_or(WINDOWS_1252);
            ran += 1;
            if found != expected {
                let html: String = String::from_utf8_lossy(&html).chars().take(80).collect();
                differ.push((html, expected.name(), found.name()));
            }
        }
        println!("html_encoding_sniff: {} of {ran} pass", ran - differ.len());
        // Those in which the `<meta>` stands in a script, which is not markup here, or too late.
        assert!(differ.len() * 100 <= ran * 15, "{differ:#?}");
    }
}
