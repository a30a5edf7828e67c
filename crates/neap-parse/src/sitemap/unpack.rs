//! What text does a body hold, packed or not, in whatever charset?

use std::borrow::Cow;
use std::io::Read;

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE};
use flate2::read::MultiGzDecoder;

use super::MAX_BYTES;

/// Bytes by which it is decided what a document is: room for a declaration, a comment and a document
/// type before the root element.
const BEGINNING_BYTES: usize = 8192;

/// A document of which the beginning has been read.
pub(super) struct Document<'a> {
    body: Source<'a>,
    beginning: Vec<u8>,
    encoding: &'static Encoding,
}

enum Source<'a> {
    Plain(&'a [u8]),
    /// What of the body is unpacked stands in `unpacked`.
    Packed(Box<MultiGzDecoder<&'a [u8]>>, Vec<u8>),
}

/// Looks at the beginning of a body, unpacked as far as needed; `None` if there is nothing.
pub(super) fn open(body: &[u8]) -> Option<Document<'_>> {
    let (source, start) = if body.starts_with(&[0x1F, 0x8B]) {
        let mut decoder = Box::new(MultiGzDecoder::new(body));
        let mut unpacked = Vec::new();
        read_up_to(&mut decoder, BEGINNING_BYTES, &mut unpacked);
        let start = unpacked.clone();
        (Source::Packed(decoder, unpacked), start)
    } else {
        let start = body[..body.len().min(BEGINNING_BYTES)].to_vec();
        (Source::Plain(body), start)
    };
    if start.is_empty() {
        return None;
    }
    let encoding = encoding(&start);
    Some(Document {
        body: source,
        beginning: utf8(&start, encoding).into_owned().into_bytes(),
        encoding,
    })
}

impl Document<'_> {
    /// Its beginning, in UTF-8.
    pub(super) fn beginning(&self) -> &[u8] {
        &self.beginning
    }

    /// All of its text, at most [`MAX_BYTES`] before it is decoded, and whether it was cut. A packed
    /// document that breaks off or goes wrong has what could be unpacked.
    pub(super) fn text(self) -> (String, bool) {
        let bytes = match self.body {
            Source::Plain(body) => Cow::Borrowed(body),
            Source::Packed(mut decoder, mut unpacked) => {
                read_up_to(&mut decoder, MAX_BYTES + 1, &mut unpacked);
                Cow::Owned(unpacked)
            }
        };
        let most = bytes.len().min(MAX_BYTES);
        let text = utf8(&bytes[..most], self.encoding).into_owned();
        (text, bytes.len() > MAX_BYTES)
    }
}

/// Reads until `into` has so many bytes, or there are no more.
fn read_up_to(source: &mut impl Read, most: usize, into: &mut Vec<u8>) {
    let mut buffer = [0; 8192];
    while into.len() < most {
        let room = buffer.len().min(most - into.len());
        match source.read(&mut buffer[..room]) {
            Ok(0) | Err(_) => return,
            Ok(read) => into.extend_from_slice(&buffer[..read]),
        }
    }
}

/// A byte order mark says the charset, else UTF-16 shows itself by its zeros (XML 1.0, appendix F), else
/// the XML declaration names it, else it is UTF-8.
fn encoding(start: &[u8]) -> &'static Encoding {
    if let Some((encoding, _)) = Encoding::for_bom(start) {
        return encoding;
    }
    match start {
        [b'<', 0, ..] => return UTF_16LE,
        [0, b'<', ..] => return UTF_16BE,
        _ => {}
    }
    match declared(start).and_then(Encoding::for_label_no_replacement) {
        // A declaration that could be read is not in UTF-16, whatever it says.
        Some(encoding) if encoding.is_ascii_compatible() => encoding,
        Some(_) | None => UTF_8,
    }
}

/// The `encoding` of an XML declaration.
fn declared(start: &[u8]) -> Option<&[u8]> {
    let inside = start.trim_ascii_start().strip_prefix(b"<?xml")?;
    let inside = &inside[..memchr::memmem::find(inside, b"?>")?];
    let name = b"encoding";
    let rest = &inside[memchr::memmem::find(inside, name)? + name.len()..];
    let rest = rest
        .trim_ascii_start()
        .strip_prefix(b"=")?
        .trim_ascii_start();
    let quote = *rest.first().filter(|byte| matches!(byte, b'"' | b'\''))?;
    let rest = &rest[1..];
    Some(&rest[..memchr::memchr(quote, rest)?])
}

fn utf8<'a>(bytes: &'a [u8], encoding: &'static Encoding) -> Cow<'a, str> {
    encoding.decode_with_bom_removal(bytes).0
}
