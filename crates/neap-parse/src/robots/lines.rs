//! What does one line of a robots file say?
//!
//! Lines end with LF, CR or CRLF, in any mixture. A record is `key: value`, with a comment from `#`
//! on. Keys are read by their beginning and in any case, common misspellings included, and two words
//! without a colon are a record too: all of it as Google's parser does (robots.cc of
//! google/robotstxt), because people test their files against that one.

use std::iter;

/// Bytes of a line that are read; the rest of a longer one is ignored. Google's limit: eight times
/// the longest URL that browsers used to take (2,083 bytes), less one for the end of a C string.
pub(super) const MAX_LINE_BYTES: usize = 2083 * 8 - 1;

/// A record that means something here, with its value trimmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Record<'a> {
    UserAgent(&'a [u8]),
    Allow(&'a [u8]),
    Disallow(&'a [u8]),
    CrawlDelay(&'a [u8]),
    /// Where a sitemap is; it stands in no group (RFC 9309, section 2.2.4).
    Sitemap(&'a [u8]),
}

/// The records of a file, each with the number of its line, counted from 1.
pub(super) fn records(text: &[u8]) -> impl Iterator<Item = (u32, Record<'_>)> {
    lines(text)
        .zip(1u32..)
        .filter_map(|(line, number)| Some((number, record(line)?)))
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(text);
    iter::from_fn(move || {
        let text = rest?;
        let Some(end) = memchr::memchr2(b'\n', b'\r', text) else {
            rest = None;
            return Some(text);
        };
        let ending = if text[end..].starts_with(b"\r\n") {
            2
        } else {
            1
        };
        rest = Some(&text[end + ending..]);
        Some(&text[..end])
    })
}

fn record(line: &[u8]) -> Option<Record<'_>> {
    let line = &line[..line.len().min(MAX_LINE_BYTES)];
    // A NUL ends the line, as it does for parsers that keep it in a C string.
    let end = memchr::memchr2(b'#', 0, line).unwrap_or(line.len());
    let line = line[..end].trim_ascii();
    let (key, value) = key_and_value(line)?;
    let is = |names: &[&str]| names.iter().any(|name| starts_with_ignore_case(key, name));
    if is(&["user-agent", "useragent", "user agent"]) {
        Some(Record::UserAgent(value))
    } else if is(&["allow"]) {
        Some(Record::Allow(value))
    } else if is(&["disallow", "dissallow", "dissalow", "disalow", "diasllow", "disallaw"])
        // Not in Google's list, but in crawler-commons'.
        || is(&["desallow"])
    {
        Some(Record::Disallow(value))
    } else if is(&["crawl-delay"]) {
        Some(Record::CrawlDelay(value))
    } else if is(&["sitemap", "site-map"]) {
        Some(Record::Sitemap(value))
    } else if is_bare_sitemap(key, line) {
        Some(Record::Sitemap(line))
    } else {
        None
    }
}

/// Whether a line is the URL of a sitemap whose key was forgotten, as crawler-commons takes it.
fn is_bare_sitemap(key: &[u8], line: &[u8]) -> bool {
    let is_url = key.eq_ignore_ascii_case(b"http") || key.eq_ignore_ascii_case(b"https");
    is_url && (line.ends_with(b".xml") || line.ends_with(b".xml.gz"))
}

/// Splits at the first colon, or, if there is none, at the blank between exactly two words.
fn key_and_value(line: &[u8]) -> Option<(&[u8], &[u8])> {
    if let Some(colon) = memchr::memchr(b':', line) {
        return Some((line[..colon].trim_ascii(), line[colon + 1..].trim_ascii()));
    }
    let blank = memchr::memchr2(b' ', b'\t', line)?;
    let value = line[blank..].trim_ascii();
    memchr::memchr2(b' ', b'\t', value)
        .is_none()
        .then_some((&line[..blank], value))
}

fn starts_with_ignore_case(key: &[u8], name: &str) -> bool {
    key.get(..name.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(name.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_as_googles_parser_reads_it() {
        for (line, expected) in [
            ("User-agent: a", Some(Record::UserAgent(b"a"))),
            ("uSeR-aGeNt:a", Some(Record::UserAgent(b"a"))),
            ("useragent: a", Some(Record::UserAgent(b"a"))),
            ("user agent: a", Some(Record::UserAgent(b"a"))),
            ("user-agent a", Some(Record::UserAgent(b"a"))),
            ("  Allow \t:\t/x  # why", Some(Record::Allow(b"/x"))),
            ("Disallow: /a b", Some(Record::Disallow(b"/a b"))),
            ("Disallow: /a:b", Some(Record::Disallow(b"/a:b"))),
            ("Disallow:", Some(Record::Disallow(b""))),
            ("disallow\t/x", Some(Record::Disallow(b"/x"))),
            ("disallow /x /y", None),
            ("disallow", None),
            ("dissallow: /x", Some(Record::Disallow(b"/x"))),
            ("dissalow: /x", Some(Record::Disallow(b"/x"))),
            ("disalow: /x", Some(Record::Disallow(b"/x"))),
            ("diasllow: /x", Some(Record::Disallow(b"/x"))),
            ("disallaw: /x", Some(Record::Disallow(b"/x"))),
            ("desallow: /x", Some(Record::Disallow(b"/x"))),
            ("Crawl-delay: 2", Some(Record::CrawlDelay(b"2"))),
            ("Disallow: /x\0/y", Some(Record::Disallow(b"/x"))),
            (
                "Sitemap: http://a.example/s.xml#x",
                Some(Record::Sitemap(b"http://a.example/s.xml")),
            ),
            ("SITE-MAP:/s.xml", Some(Record::Sitemap(b"/s.xml"))),
            (
                "http://a.example/s.xml",
                Some(Record::Sitemap(b"http://a.example/s.xml")),
            ),
            ("http://a.example/s", None),
            ("#Disallow: /x", None),
            (": /x", None),
            ("", None),
        ] {
            assert_eq!(record(line.as_bytes()), expected, "{line:?}");
        }
    }

    #[test]
    fn lines_are_counted_over_every_kind_of_ending() {
        let text = b"allow: /1\nallow: /2\r\nallow: /3\rallow: /4\r\r\nallow: /6\n\rallow: /8";
        let numbers: Vec<u32> = records(text).map(|(number, _)| number).collect();
        assert_eq!(numbers, [1, 2, 3, 4, 6, 8]);
    }

    #[test]
    fn a_long_line_is_read_up_to_its_limit() {
        let line = [b"allow: /".as_slice(), &vec![b'x'; 100_000]].concat();
        let Some(Record::Allow(value)) = record(&line) else {
            panic!("not read")
        };
        assert_eq!(value.len(), MAX_LINE_BYTES - "allow: ".len());
    }
}
