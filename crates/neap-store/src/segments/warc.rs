//! How is an exchange written as WARC records?
//!
//! As ISO 28500:2017 (WARC/1.1) says: a `response` and a `request` record that name each other, with
//! digests of block and payload. The payload is as it was sent. The header block is rebuilt from the
//! parsed header: names in lower case, HTTP/2 written as HTTP/1.1, `content-length` that of the payload,
//! and `transfer-encoding` under another name, since the chunks are undone. The `warcinfo` says so.

use std::io::Write;
use std::net::IpAddr;

use data_encoding::BASE32;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::HeaderMap;
use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use neap_core::exchange::{Answer, Exchange};
use neap_core::{CanonicalUrl, UnixMs};
use sha1::{Digest, Sha1};
use url::Position;
use uuid::Uuid;

use crate::rfc3339;

/// How hard gzip tries, of 9. Level 6 took 403 us for a 29 KB page where level 1 takes a fifth of that.
const LEVEL: u32 = 1;

/// The finished records of one exchange, each a gzip member of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Records {
    /// The response, then the request.
    pub bytes: Vec<u8>,
    /// Bytes of the response's member, which comes first.
    pub response_bytes: usize,
}

/// Writes the records of an exchange that got an answer; `None` if it got none. Made for the worker that
/// fetched the page, so that compression uses every core.
pub fn records(url: &CanonicalUrl, exchange: &Exchange, fetched: UnixMs) -> Option<Records> {
    let answer = exchange.result.as_ref().ok()?;
    let (response_id, request_id) = (record_id(), record_id());
    let mut bytes = response(url, answer, fetched, &response_id, &request_id);
    let response_bytes = bytes.len();
    bytes.append(&mut request(
        url,
        &exchange.sent,
        fetched,
        &response_id,
        &request_id,
    ));
    Some(Records {
        bytes,
        response_bytes,
    })
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
    let fields = Fields {
        kind: "warcinfo",
        id: record_id(),
        date: rfc3339(written),
        content_type: "application/warc-fields",
        extra: vec![("WARC-Filename", file.to_owned())],
    };
    member(&fields, block.as_bytes(), None)
}

fn response(
    url: &CanonicalUrl,
    answer: &Answer,
    fetched: UnixMs,
    id: &str,
    request_id: &str,
) -> Vec<u8> {
    let mut extra = vec![
        ("WARC-Target-URI", url.to_string()),
        ("WARC-Concurrent-To", request_id.to_owned()),
    ];
    if let Some(address) = answer.address {
        extra.push(("WARC-IP-Address", plain(address.ip()).to_string()));
    }
    let fields = Fields {
        kind: "response",
        id: id.to_owned(),
        date: rfc3339(fetched),
        content_type: "application/http;msgtype=response",
        extra,
    };
    let mut block = response_head(answer);
    let payload_at = block.len();
    block.extend_from_slice(&answer.payload);
    member(&fields, &block, Some(payload_at))
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

fn request(
    url: &CanonicalUrl,
    sent: &HeaderMap,
    fetched: UnixMs,
    response_id: &str,
    id: &str,
) -> Vec<u8> {
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
    let fields = Fields {
        kind: "request",
        id: id.to_owned(),
        date: rfc3339(fetched),
        content_type: "application/http;msgtype=request",
        extra: vec![
            ("WARC-Target-URI", url.to_string()),
            ("WARC-Concurrent-To", response_id.to_owned()),
        ],
    };
    member(&fields, &block, None)
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

struct Fields {
    kind: &'static str,
    id: String,
    date: String,
    content_type: &'static str,
    extra: Vec<(&'static str, String)>,
}

/// Writes one record as one gzip member. `payload_at` says where in the block the payload begins.
fn member(fields: &Fields, block: &[u8], payload_at: Option<usize>) -> Vec<u8> {
    let mut head = format!(
        "WARC/1.1\r\nWARC-Type: {}\r\nWARC-Record-ID: {}\r\nWARC-Date: {}\r\n",
        fields.kind, fields.id, fields.date,
    );
    let mut field = |name: &str, value: &str| {
        head.push_str(name);
        head.push_str(": ");
        head.push_str(value);
        head.push_str("\r\n");
    };
    for (name, value) in &fields.extra {
        field(name, value);
    }
    if let Some(at) = payload_at {
        field("WARC-Payload-Digest", &digest(&block[at..]));
    }
    field("WARC-Block-Digest", &digest(block));
    field("Content-Type", fields.content_type);
    field("Content-Length", &block.len().to_string());
    head.push_str("\r\n");
    compress(&[head.as_bytes(), block, b"\r\n\r\n"])
}

fn compress(parts: &[&[u8]]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::new(LEVEL));
    for part in parts {
        encoder.write_all(part).expect("a vector takes every byte");
    }
    encoder.finish().expect("a vector takes every byte")
}

fn digest(bytes: &[u8]) -> String {
    format!("sha1:{}", BASE32.encode(&Sha1::digest(bytes)))
}

fn record_id() -> String {
    format!("<urn:uuid:{}>", Uuid::new_v4())
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

    #[test]
    fn the_first_record_says_what_was_changed() {
        let mut text = String::new();
        let bytes = warcinfo("a.warc.gz", UnixMs(0));
        std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&bytes[..]), &mut text)
            .unwrap();
        let said = "request headers that hold secrets are written as <redacted>\r\n";
        assert!(text.contains(said), "{text}");
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
