//! Is a body HTML, and in which charset does its server say it is?
//!
//! The server's word counts. Only if it said nothing, or nothing that means anything, the first bytes
//! are looked at, with the HTML part of the WHATWG MIME Sniffing Standard (section 7.1).

/// Bytes of a body that are looked at: the standard's length of a resource header.
const MAX_SNIFFED_BYTES: usize = 1445;

/// What HTML begins with; each must be followed by a blank or `>`.
const HTML_STARTS: [&str; 17] = [
    "<!doctype html",
    "<html",
    "<head",
    "<script",
    "<iframe",
    "<h1",
    "<div",
    "<font",
    "<table",
    "<a",
    "<style",
    "<title",
    "<b",
    "<body",
    "<br",
    "<p",
    "<!--",
];

/// Whether a body is HTML or XHTML, by its `Content-Type` or, without one, by its first bytes.
pub fn is_html(content_type: Option<&str>, body: &[u8]) -> bool {
    let essence = content_type.map(essence).unwrap_or_default();
    let is = |name: &str| essence.eq_ignore_ascii_case(name);
    if is("text/html") || is("application/xhtml+xml") {
        return true;
    }
    // Values that servers send when they do not know (MIME Sniffing Standard, section 5.1).
    let is_unknown =
        !essence.contains('/') || is("unknown/unknown") || is("application/unknown") || is("*/*");
    is_unknown && looks_like_html(body)
}

/// The `charset` parameter of a `Content-Type`, as written, without quotes; `None` if there is none
/// or if it is empty.
pub fn charset(content_type: &str) -> Option<&str> {
    let (_, mut rest) = content_type.split_once(';')?;
    loop {
        let equals = rest.find(['=', ';'])?;
        let name = rest[..equals].trim();
        let after = &rest[equals + 1..];
        if rest.as_bytes()[equals] == b';' {
            rest = after;
            continue;
        }
        let (value, more) = parameter_value(after);
        if name.eq_ignore_ascii_case("charset") && !value.is_empty() {
            return Some(value);
        }
        rest = more;
    }
}

/// A parameter's value and what follows its semicolon.
fn parameter_value(text: &str) -> (&str, &str) {
    let (value, rest) = match text.trim_start().strip_prefix('"') {
        Some(quoted) => {
            let (value, rest) = quoted.split_once('"').unwrap_or((quoted, ""));
            (value, rest.split_once(';').map_or("", |(_, more)| more))
        }
        None => text.split_once(';').unwrap_or((text, "")),
    };
    (value.trim(), rest)
}

fn essence(content_type: &str) -> &str {
    content_type.split(';').next().unwrap_or_default().trim()
}

fn looks_like_html(body: &[u8]) -> bool {
    let body = &body[..body.len().min(MAX_SNIFFED_BYTES)];
    let text = body
        .strip_prefix(b"\xEF\xBB\xBF")
        .unwrap_or(body)
        .trim_ascii_start();
    HTML_STARTS.iter().any(|start| {
        text.get(..start.len())
            .is_some_and(|found| found.eq_ignore_ascii_case(start.as_bytes()))
            && matches!(text.get(start.len()), Some(b' ' | b'>'))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_server_says_what_is_html_and_else_the_first_bytes_do() {
        for (content_type, body, expected) in [
            (Some("text/html"), "", true),
            (Some("Text/HTML; charset=utf-8"), "", true),
            (Some("application/xhtml+xml"), "", true),
            (Some("text/plain"), "<html>", false),
            (Some("application/json"), "<html>", false),
            (Some("text/htmlx"), "<html>", false),
            (None, "<!DOCTYPE html>", true),
            (None, "\u{feff} \r\n\t<html lang=de>", true),
            (None, "<!-- x --><p>", true),
            (None, "<P>x", true),
            (None, "<article>", false),
            (None, "<htmlx>", false),
            (None, "<html", false),
            (None, "{\"a\": \"<html>\"}", false),
            (None, "", false),
            (Some(""), "<html>", true),
            (Some("html"), "<html>", true),
            (Some("*/*"), "<html>", true),
            (Some("unknown/unknown"), "plain", false),
        ] {
            assert_eq!(
                is_html(content_type, body.as_bytes()),
                expected,
                "{content_type:?} {body}"
            );
        }
    }

    #[test]
    fn a_charset_is_found_among_parameters() {
        for (content_type, expected) in [
            ("text/html", None),
            ("text/html; charset=utf-8", Some("utf-8")),
            ("text/html;CHARSET = ISO-8859-1 ", Some("ISO-8859-1")),
            ("text/html; charset=\"utf-8\"", Some("utf-8")),
            ("text/html; q=\"a;charset=x\"; charset=y", Some("y")),
            ("text/html; nothing; charset=y; z", Some("y")),
            ("text/html; charset=; charset=y", Some("y")),
            ("text/html; charset=", None),
            ("text/html; charset=\"utf-8", Some("utf-8")),
            ("text/html; xcharset=y", None),
            ("charset=y", None),
        ] {
            assert_eq!(charset(content_type), expected, "{content_type}");
        }
    }

    proptest! {
        #[test]
        fn no_header_makes_it_panic(header in "[\\PC;=\"]{0,40}") {
            charset(&header);
            is_html(Some(&header), header.as_bytes());
        }
    }
}
