//! In which charset is a page written?
//!
//! A byte order mark says so, else the `Content-Type`, else a `<meta>` among the first bytes (WHATWG
//! HTML, section 13.2.3.2). Where nothing says so it is UTF-8, or, if it cannot be that, what it looks like.

mod prescan;

use std::borrow::Cow;

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{Encoding, UTF_8};

use self::prescan::prescan;

/// Bytes in which a `<meta>` may name the charset. The standard's prescan ends after 1024, but a browser that
/// comes across a `<meta>` later begins anew (section 13.2.6.4.4); the last ones of html5lib's suite stand
/// behind 8 KiB.
const PRESCANNED_BYTES: usize = 16 << 10;

/// Bytes from which a charset is guessed that nothing names.
const GUESSED_BYTES: usize = 64 << 10;

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
    let named = by_mark
        .or_else(|| Encoding::for_label_no_replacement(declared?.as_bytes()))
        .or_else(|| prescan(&html[..html.len().min(PRESCANNED_BYTES)]));
    named.unwrap_or_else(|| guess(html))
}

/// What a page is written in that does not say so: UTF-8 if it can be, else what chardetng takes it for,
/// which is what Firefox goes by.
fn guess(html: &[u8]) -> &'static Encoding {
    let html = &html[..html.len().min(GUESSED_BYTES)];
    let is_utf8 = match std::str::from_utf8(html) {
        Ok(_) => true,
        // The last character may be cut.
        Err(error) => error.error_len().is_none(),
    };
    if is_utf8 {
        return UTF_8;
    }
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Deny);
    detector.feed(html, true);
    detector.guess(None, Utf8Detection::Allow)
}

#[cfg(test)]
mod tests {
    use encoding_rs::{ISO_8859_2, SHIFT_JIS, UTF_16BE, UTF_16LE, WINDOWS_1251, WINDOWS_1252};

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
            ("<p>déjà".as_bytes(), None, UTF_8),
            (b"<p>d\xE9j\xE0 vu, Fran\xE7ois, \xE0 bient\xF4t", None, WINDOWS_1252),
            (
                b"<p>\xCF\xF0\xE8\xE2\xE5\xF2, \xEA\xE0\xEA \xE4\xE5\xEB\xE0? \xD5\xEE\xF0\xEE\xF8\xEE",
                None,
                WINDOWS_1251,
            ),
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
    fn the_prescan_agrees_with_html5lib() {
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
            let found = prescan(&html[..html.len().min(PRESCANNED_BYTES)]).unwrap_or(WINDOWS_1252);
            ran += 1;
            if found != expected {
                let html: String = String::from_utf8_lossy(&html).chars().take(80).collect();
                differ.push((html, expected.name(), found.name()));
            }
        }
        println!("html_encoding_sniff: {} of {ran} pass", ran - differ.len());
        assert!(differ.len() * 100 <= ran * 3, "{differ:#?}");
    }
}
