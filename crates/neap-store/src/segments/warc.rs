//! How is an exchange written as WARC records?
//!
//! As ISO 28500:2017 (WARC/1.1) says: a `response` and a `request` record that name each other, and a
//! `metadata` record that says how the page was found. The payload is as it was sent; one that is stored
//! already becomes a `revisit` record with its header alone. The header block is rebuilt from the parsed
//! header: names in lower case, HTTP/2 written as HTTP/1.1, `content-length` that of the payload, and
//! `transfer-encoding` under another name, since the chunks are undone. The `warcinfo` says so.

use std::net::IpAddr;
use std::time::Duration;

use http::HeaderMap;
use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use neap_core::exchange::{Answer, Exchange};
use neap_core::{CanonicalUrl, UnixMs};
use url::Position;

use super::member::{Head, Sha1Bytes, digest_text, record_id, sha1_of};
use super::originals::{Original, Originals, SHORTEST_PAYLOAD};
use crate::rfc3339;

/// What `WARC-Profile` says of a revisit.
const SAME_PAYLOAD: &str = "http://netpreserve.org/warc/1.1/revisit/identical-payload-digest";

/// The records of one exchange, each a gzip member of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Records {
    /// The response or revisit, then the request.
    pub bytes: Vec<u8>,
    /// Bytes of the first member.
    pub first_bytes: usize,
    pub(crate) answer: Option<Packed>,
}

/// What the writer must know of packed records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Packed {
    pub(crate) url: Box<str>,
    pub(crate) fetched: UnixMs,
    pub(crate) payload_sha1: Sha1Bytes,
    /// The record that has the payload, if it was stored before.
    pub(crate) original: Option<Original>,
    /// Whether the payload is long enough to be looked for again.
    pub(crate) is_original: bool,
    /// The `metadata` record, without what only the store knows.
    pub(crate) metadata: Option<Metadata>,
}

/// A `metadata` record about a response, to be packed once it is known where its page was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Metadata {
    date: String,
    response_id: String,
    fetch_time: Duration,
}

/// Writes the records of an exchange that got an answer; `None` if it got none.
pub fn records(url: &CanonicalUrl, exchange: &Exchange, fetched: UnixMs) -> Option<Records> {
    pack(url, exchange, fetched, None, false)
}

/// As [`records`], with a revisit for a payload that is known and a `metadata` record if it is wanted.
pub(crate) fn pack(
    url: &CanonicalUrl,
    exchange: &Exchange,
    fetched: UnixMs,
    originals: Option<&Originals>,
    with_metadata: bool,
) -> Option<Records> {
    let answer = exchange.result.as_ref().ok()?;
    let date = rfc3339(fetched);
    let (response_id, request_id) = (record_id(), record_id());
    let payload_sha1 = sha1_of(&answer.payload);
    let is_long = answer.payload.len() >= SHORTEST_PAYLOAD;
    let original = originals
        .filter(|_| is_long)
        .and_then(|originals| originals.find(&payload_sha1));

    let kind = original.as_ref().map_or("response", |_| "revisit");
    let mut head = Head::new(kind, &response_id, &date);
    head.field("WARC-Target-URI", url.as_str())
        .field("WARC-Concurrent-To", &request_id);
    if let Some(address) = answer.address {
        head.field("WARC-IP-Address", &plain(address.ip()).to_string());
    }
    head.field("WARC-Payload-Digest", &digest_text(&payload_sha1));
    if let Some(original) = &original {
        head.field("WARC-Profile", SAME_PAYLOAD)
            .field("WARC-Refers-To-Target-URI", &original.url)
            .field("WARC-Refers-To-Date", &rfc3339(original.fetched));
    }
    head.field("Content-Type", "application/http;msgtype=response");
    let block = response_head(answer);
    let mut bytes = match &original {
        None => head.pack(&[&block, &answer.payload], false),
        Some(_) => head.pack(&[&block], true),
    };
    let first_bytes = bytes.len();
    let mut head = Head::new("request", &request_id, &date);
    head.field("WARC-Target-URI", url.as_str())
        .field("WARC-Concurrent-To", &response_id)
        .field("Content-Type", "application/http;msgtype=request");
    bytes.append(&mut head.pack(&[&request_head(url, &exchange.sent)], true));
    Some(Records {
        bytes,
        first_bytes,
        answer: Some(Packed {
            url: url.as_str().into(),
            fetched,
            payload_sha1,
            is_original: is_long && original.is_none(),
            original,
            metadata: with_metadata.then_some(Metadata {
                date,
                response_id,
                fetch_time: exchange.timings.total,
            }),
        }),
    })
}

impl Metadata {
    /// Packs the record, in the field names of WARC/1.1 (section 6.7) and Heritrix: the URL that led to the
    /// page, links and redirects on the way to it, and how long it took.
    pub(crate) fn pack(&self, url: &str, via: Option<&str>, depth: u32, hops: u32) -> Vec<u8> {
        let mut block = String::new();
        if let Some(via) = via {
            block.push_str(&format!("via: {via}\r\n"));
        }
        block.push_str(&format!(
            "linksFromInput: {depth}\r\nredirects: {hops}\r\nfetchTimeMs: {}\r\n",
            self.fetch_time.as_millis()
        ));
        let mut head = Head::new("metadata", &record_id(), &self.date);
        head.field("WARC-Target-URI", url)
            .field("WARC-Concurrent-To", &self.response_id)
            .field("Content-Type", "application/warc-fields");
        head.pack(&[block.as_bytes()], true)
    }
}

/// The first record of every file: who wrote it, and how.
pub(crate) fn warcinfo(file: &str, written: UnixMs) -> Vec<u8> {
    let block = concat!(
        "software: neap/",
        env!("CARGO_PKG_VERSION"),
        "\r\nformat: WARC File Format 1.1\r\n",
        "conformsTo: https://iipc.github.io/warc-specifications/specifications/warc-format/warc-1.1/\r\n",
        "description: header blocks are rebuilt from parsed headers: names are in lower case, HTTP/2 is ",
        "written as HTTP/1.1, content-length is that of the payload, transfer-encoding is called ",
        "x-archive-orig-transfer-encoding; the values of request headers that hold secrets are written as ",
        "<redacted>\r\n"
    );
    let mut head = Head::new("warcinfo", &record_id(), &rfc3339(written));
    head.field("WARC-Filename", file)
        .field("Content-Type", "application/warc-fields");
    head.pack(&[block.as_bytes()], true)
}

/// An IPv4 address as such, where a socket for both kinds writes it as IPv6.
fn plain(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

fn response_head(answer: &Answer) -> Vec<u8> {
    let reason = http::StatusCode::from_u16(answer.status).ok();
    let reason = reason
        .and_then(|status| status.canonical_reason())
        .unwrap_or("Unknown");
    let mut head = format!("HTTP/1.1 {} {reason}\r\n", answer.status).into_bytes();
    for (name, value) in &answer.headers {
        if name == CONTENT_LENGTH {
            continue;
        }
        let renamed = name == TRANSFER_ENCODING;
        let name = if renamed {
            "x-archive-orig-transfer-encoding"
        } else {
            name.as_str()
        };
        push_field(&mut head, name, value.as_bytes());
    }
    push_field(
        &mut head,
        "content-length",
        answer.payload.len().to_string().as_bytes(),
    );
    head.extend_from_slice(b"\r\n");
    head
}

fn request_head(url: &CanonicalUrl, sent: &HeaderMap) -> Vec<u8> {
    let target = &url.url()[Position::BeforePath..Position::AfterQuery];
    let mut block = format!("GET {target} HTTP/1.1\r\n").into_bytes();
    if !sent.contains_key(HOST) {
        let host = &url.url()[Position::BeforeHost..Position::AfterPort];
        push_field(&mut block, "host", host.as_bytes());
    }
    for (name, value) in sent {
        push_field(&mut block, name.as_str(), value.as_bytes());
    }
    block.extend_from_slice(b"\r\n");
    block
}

/// Writes one header field. What could end it early becomes a space.
fn push_field(head: &mut Vec<u8>, name: &str, value: &[u8]) {
    head.extend_from_slice(name.as_bytes());
    head.extend_from_slice(b": ");
    let harmless = |byte: &u8| {
        if matches!(byte, b'\r' | b'\n' | 0) {
            b' '
        } else {
            *byte
        }
    };
    head.extend(value.iter().map(harmless));
    head.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_cannot_end_the_head_or_begin_another() {
        let mut head = Vec::new();
        push_field(&mut head, "x", b"a\r\nset-cookie: evil\0");
        assert_eq!(head, b"x: a  set-cookie: evil \r\n");
    }

    fn text(bytes: &[u8]) -> String {
        let mut text = String::new();
        std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(bytes), &mut text).unwrap();
        text
    }

    #[test]
    fn the_first_record_says_what_was_changed() {
        let text = text(&warcinfo("a.warc.gz", UnixMs(0)));
        let said = "request headers that hold secrets are written as <redacted>\r\n";
        assert!(text.contains(said), "{text}");
    }

    #[test]
    fn metadata_says_what_led_to_a_page() {
        let metadata = Metadata {
            date: rfc3339(UnixMs(0)),
            response_id: "<urn:uuid:1>".to_owned(),
            fetch_time: Duration::from_micros(12_345),
        };
        let found = text(&metadata.pack("http://a.example/x", Some("http://a.example/"), 2, 1));
        for line in [
            "WARC-Type: metadata",
            "WARC-Concurrent-To: <urn:uuid:1>",
            "Content-Type: application/warc-fields",
            "via: http://a.example/",
            "linksFromInput: 2",
            "redirects: 1",
            "fetchTimeMs: 12",
        ] {
            assert!(found.lines().any(|found| found == line), "{line}: {found}");
        }
        let of_input = text(&metadata.pack("http://a.example/", None, 0, 0));
        assert!(!of_input.contains("via:"), "{of_input}");
    }

    #[test]
    fn an_ipv4_address_is_written_as_such() {
        assert_eq!(
            plain("::ffff:127.0.0.1".parse().unwrap()).to_string(),
            "127.0.0.1"
        );
        assert_eq!(plain("::1".parse().unwrap()).to_string(), "::1");
    }
}
