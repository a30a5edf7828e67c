//! Is there a whole request at the front of these bytes, and what does it say?
//!
//! Strict, because the clients under test are to be right: CRLF everywhere, one framing.

use bytes::Bytes;

/// Longest head of a request: longer than any URL or cookie jar that a test sends.
pub(crate) const MAX_HEAD_BYTES: usize = 1 << 20;
/// Longest request, its body included.
pub(crate) const MAX_REQUEST_BYTES: usize = 8 << 20;

/// A request, read completely.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Bytes,
    /// Whether the client lets the connection stay open after the answer.
    pub(crate) keeps_alive: bool,
}

/// These bytes are no request of HTTP/1.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// The request at the front of `bytes` and its length there; `None` if more bytes are needed.
pub(crate) fn parse(bytes: &[u8]) -> Result<Option<(Request, usize)>, Malformed> {
    let Some(head_end) = find(bytes, b"\r\n\r\n") else {
        return if bytes.len() > MAX_HEAD_BYTES || !may_begin_request(bytes) {
            Err(Malformed)
        } else {
            Ok(None)
        };
    };
    let head = String::from_utf8_lossy(&bytes[..head_end]);
    let mut lines = head.split("\r\n");
    let (method, target, version) = request_line(lines.next().ok_or(Malformed)?)?;
    let headers = lines.map(field).collect::<Result<Vec<_>, _>>()?;

    let rest = &bytes[head_end + 4..];
    let Some((body, body_end)) = body(&headers, rest)? else {
        return if bytes.len() > MAX_REQUEST_BYTES {
            Err(Malformed)
        } else {
            Ok(None)
        };
    };
    let keeps_alive = version == "HTTP/1.1" && !is_listed(&headers, "connection", "close");
    let request = Request {
        method,
        target,
        headers,
        body,
        keeps_alive,
    };
    Ok(Some((request, head_end + 4 + body_end)))
}

/// Whether the first byte can begin a method: told at once, so that a TLS handshake on a plain port
/// is not waited for until it looks like a head.
fn may_begin_request(bytes: &[u8]) -> bool {
    bytes.first().is_none_or(u8::is_ascii_graphic)
}

fn request_line(line: &str) -> Result<(String, String, &str), Malformed> {
    let mut parts = line.split(' ');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(method), Some(target), Some(version), None)
            if !method.is_empty() && !target.is_empty() && version.starts_with("HTTP/1.") =>
        {
            Ok((method.to_owned(), target.to_owned(), version))
        }
        _ => Err(Malformed),
    }
}

fn field(line: &str) -> Result<(String, String), Malformed> {
    let (name, value) = line.split_once(':').ok_or(Malformed)?;
    if name.is_empty() || name.contains([' ', '\t']) {
        return Err(Malformed);
    }
    Ok((name.to_owned(), value.trim_matches([' ', '\t']).to_owned()))
}

/// The body at the front of `rest` and its length there; `None` if more bytes are needed.
fn body(headers: &[(String, String)], rest: &[u8]) -> Result<Option<(Bytes, usize)>, Malformed> {
    if is_listed(headers, "transfer-encoding", "chunked") {
        return chunked_body(rest);
    }
    let Some((_, length)) = headers
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
    else {
        return Ok(Some((Bytes::new(), 0)));
    };
    let length: usize = length.parse().map_err(|_| Malformed)?;
    if length > MAX_REQUEST_BYTES {
        return Err(Malformed);
    }
    Ok(rest
        .get(..length)
        .map(|body| (Bytes::copy_from_slice(body), length)))
}

/// A body in chunks; a trailer section is read and dropped.
fn chunked_body(rest: &[u8]) -> Result<Option<(Bytes, usize)>, Malformed> {
    let mut body = Vec::new();
    let mut at = 0;
    loop {
        let Some(line_length) = find(&rest[at..], b"\r\n") else {
            return Ok(None);
        };
        let line = std::str::from_utf8(&rest[at..at + line_length]).map_err(|_| Malformed)?;
        let digits = line.split(';').next().unwrap_or(line).trim();
        let size = usize::from_str_radix(digits, 16).map_err(|_| Malformed)?;
        if size > MAX_REQUEST_BYTES {
            return Err(Malformed);
        }
        at += line_length + 2;
        if size == 0 {
            // The last chunk's line and an empty line, with or without fields between.
            return Ok(find(&rest[at - 2..], b"\r\n\r\n")
                .map(|trailer| (Bytes::from(body), at - 2 + trailer + 4)));
        }
        let Some(chunk) = rest.get(at..at + size + 2) else {
            return Ok(None);
        };
        if !chunk.ends_with(b"\r\n") {
            return Err(Malformed);
        }
        body.extend_from_slice(&chunk[..size]);
        at += size + 2;
    }
}

/// Whether a comma-separated header field lists this word.
fn is_listed(headers: &[(String, String)], field: &str, word: &str) -> bool {
    headers
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case(field))
        .flat_map(|(_, value)| value.split(','))
        .any(|part| part.trim().eq_ignore_ascii_case(word))
}

fn find(bytes: &[u8], pattern: &[u8]) -> Option<usize> {
    bytes
        .windows(pattern.len())
        .position(|window| window == pattern)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(bytes: &[u8]) -> (Request, usize) {
        parse(bytes).unwrap().expect("the request is whole")
    }

    #[test]
    fn a_request_is_read_in_order_and_as_sent() {
        let bytes = b"GET /a?b=%20 HTTP/1.1\r\nHost: x\r\nX-B:  2 \r\nx-a: 1\r\n\r\nGET /next";
        let (request, used) = whole(bytes);
        assert_eq!(&bytes[used..], b"GET /next");
        assert_eq!(
            (request.method.as_str(), request.target.as_str()),
            ("GET", "/a?b=%20")
        );
        let headers = [("Host", "x"), ("X-B", "2"), ("x-a", "1")];
        assert_eq!(
            request.headers,
            headers.map(|(n, v)| (n.to_owned(), v.to_owned()))
        );
        assert!(request.keeps_alive);
    }

    #[test]
    fn every_shorter_part_of_a_request_asks_for_more() {
        for bytes in [
            &b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello"[..],
            &b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\n\r\n"[..],
        ] {
            for end in 0..bytes.len() {
                assert_eq!(parse(&bytes[..end]), Ok(None), "{end} of {bytes:?}");
            }
            let (request, used) = whole(bytes);
            assert_eq!(used, bytes.len());
            assert_eq!(request.body, "hello");
        }
    }

    #[test]
    fn the_end_of_the_connection_is_seen() {
        for (bytes, keeps_alive) in [
            (&b"GET / HTTP/1.1\r\n\r\n"[..], true),
            (
                &b"GET / HTTP/1.1\r\nConnection: keep-alive, Close\r\n\r\n"[..],
                false,
            ),
            (&b"GET / HTTP/1.0\r\n\r\n"[..], false),
        ] {
            assert_eq!(whole(bytes).0.keeps_alive, keeps_alive, "{bytes:?}");
        }
    }

    #[test]
    fn what_is_no_request_is_refused() {
        for bytes in [
            &b"\x16\x03\x01\x02\x00"[..],
            &b"PRI * HTTP/2.0\r\n\r\n"[..],
            &b"GET /\r\n\r\n"[..],
            &b"GET / a HTTP/1.1\r\n\r\n"[..],
            &b"GET / HTTP/1.1\r\nno colon\r\n\r\n"[..],
            &b"GET / HTTP/1.1\r\nspace : x\r\n\r\n"[..],
            &b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n"[..],
            &b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"[..],
        ] {
            assert_eq!(parse(bytes), Err(Malformed), "{bytes:?}");
        }
    }
}
