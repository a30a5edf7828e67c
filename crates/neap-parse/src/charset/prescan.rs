//! Which charset do the first bytes of a page name?
//!
//! "Prescan a byte stream to determine its encoding" (WHATWG HTML, section 13.2.3.2), step by step. It is no
//! tokenizer: what a script writes counts, too, as it does in browsers.

use std::ops::ControlFlow;

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252, X_USER_DEFINED};

/// The charset of the first `<meta>` that names a known one.
pub(super) fn prescan(bytes: &[u8]) -> Option<&'static Encoding> {
    let mut rest = bytes;
    while let Some(at) = memchr::memchr(b'<', rest) {
        rest = &rest[at..];
        rest = if rest.starts_with(b"<!--") {
            // `<!-->` is a comment of its own.
            let end = memchr::memmem::find(&rest[2..], b"-->")?;
            &rest[2 + end + 3..]
        } else if is_meta(rest) {
            let mut attributes = Attributes(&rest[5..]);
            if let Some(encoding) = of_meta(&mut attributes) {
                return Some(encoding);
            }
            attributes.0
        } else if is_tag(rest) {
            let end = rest
                .iter()
                .position(|&byte| is_blank(byte) || byte == b'>')?;
            let mut attributes = Attributes(&rest[end..]);
            while attributes.next().is_some() {}
            attributes.0
        } else if matches!(rest.get(1), Some(b'!' | b'/' | b'?')) {
            &rest[memchr::memchr(b'>', rest)?..]
        } else {
            &rest[1..]
        };
    }
    None
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b'\t' | b'\n' | 0x0C | b'\r' | b' ')
}

fn is_meta(text: &[u8]) -> bool {
    let name = text.get(1..5);
    name.is_some_and(|name| name.eq_ignore_ascii_case(b"meta"))
        && text
            .get(5)
            .is_some_and(|&byte| is_blank(byte) || byte == b'/')
}

fn is_tag(text: &[u8]) -> bool {
    let name = text[1..].strip_prefix(b"/").unwrap_or(&text[1..]);
    name.first().is_some_and(u8::is_ascii_alphabetic)
}

fn of_meta(attributes: &mut Attributes<'_>) -> Option<&'static Encoding> {
    let (mut names, mut got_pragma, mut needs_pragma, mut charset) =
        (Vec::new(), false, None, None);
    while let Some((name, value)) = attributes.next() {
        if names.contains(&name) {
            continue;
        }
        match name.as_slice() {
            b"http-equiv" => got_pragma = value == b"content-type",
            b"content" if charset.is_none() => {
                charset = in_content(&value).and_then(Encoding::for_label);
                needs_pragma = charset.map(|_| true).or(needs_pragma);
            }
            b"charset" => {
                charset = Encoding::for_label(&value);
                needs_pragma = Some(false);
            }
            _ => {}
        }
        names.push(name);
    }
    let is_meant = !needs_pragma? || got_pragma;
    let encoding = charset.filter(|_| is_meant)?;
    // A page whose `<meta>` could be read is not in UTF-16, whatever it says.
    Some(if encoding == UTF_16BE || encoding == UTF_16LE {
        UTF_8
    } else if encoding == X_USER_DEFINED {
        WINDOWS_1252
    } else {
        encoding
    })
}

/// "Extracting a character encoding from a meta element": what stands behind `charset=`.
fn in_content(content: &[u8]) -> Option<&[u8]> {
    let mut rest = content;
    let value = loop {
        let at = memchr::memmem::find(rest, b"charset")?;
        rest = &rest[at + b"charset".len()..];
        if let Some(value) = rest.trim_ascii_start().strip_prefix(b"=") {
            break value.trim_ascii_start();
        }
    };
    match value.first()? {
        quote @ (b'"' | b'\'') => {
            let value = &value[1..];
            Some(&value[..memchr::memchr(*quote, value)?])
        }
        _ => {
            let end = value
                .iter()
                .position(|&byte| is_blank(byte) || byte == b';');
            Some(&value[..end.unwrap_or(value.len())])
        }
    }
}

/// The attributes of a tag, one after another, in lower case; what is left is what follows them.
struct Attributes<'a>(&'a [u8]);

impl Attributes<'_> {
    /// "Get an attribute".
    fn next(&mut self) -> Option<(Vec<u8>, Vec<u8>)> {
        self.skip(|byte| is_blank(byte) || byte == b'/');
        if self.0.first().is_none_or(|&byte| byte == b'>') {
            return None;
        }
        let mut name = Vec::new();
        let has_value = loop {
            match self.0.first()? {
                b'=' if !name.is_empty() => break ControlFlow::Break(true),
                &byte if is_blank(byte) => break ControlFlow::Continue(()),
                b'/' | b'>' => break ControlFlow::Break(false),
                byte => name.push(byte.to_ascii_lowercase()),
            }
            self.0 = &self.0[1..];
        };
        if has_value.is_continue() {
            self.skip(is_blank);
        }
        let has_value = has_value != ControlFlow::Break(false) && self.0.first()? == &b'=';
        if !has_value {
            return Some((name, Vec::new()));
        }
        self.0 = &self.0[1..];
        self.skip(is_blank);
        let value = match *self.0.first()? {
            quote @ (b'"' | b'\'') => {
                let inside = &self.0[1..];
                let end = memchr::memchr(quote, inside)?;
                self.0 = &inside[end + 1..];
                &inside[..end]
            }
            _ => {
                let ends = |&byte: &u8| is_blank(byte) || byte == b'>';
                let end = self.0.iter().position(ends)?;
                let value = &self.0[..end];
                self.0 = &self.0[end..];
                value
            }
        };
        Some((name, value.to_ascii_lowercase()))
    }

    fn skip(&mut self, is_skipped: impl Fn(u8) -> bool) {
        let start = self.0.iter().position(|&byte| !is_skipped(byte));
        self.0 = &self.0[start.unwrap_or(self.0.len())..];
    }
}
