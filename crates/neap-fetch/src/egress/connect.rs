//! What does an HTTP proxy say to CONNECT?
//!
//! Any 2xx opens the tunnel (RFC 9110, section 9.3.6). Everything else is the proxy's own word and kept:
//! status, reason, header and the beginning of the body, all of it within bounds, since nobody knows
//! whose proxy that is.

use std::io;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};
use neap_core::exchange::FailureKind;
use neap_core::route::Refusal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout_at};

use super::broken::Fault;
use super::wire::Wire;

/// Most bytes of the header of an answer to CONNECT.
pub(crate) const MAX_HEADER_BYTES: usize = 16 << 10;

/// Most fields of it.
const MAX_FIELDS: usize = 128;

/// Bytes of a refusal's body that are kept. The name of squid's error page stands behind 2 KB of CSS.
pub(crate) const MAX_BODY_BYTES: usize = 4 << 10;

/// How long the body of a refusal is waited for: its header has said most of it.
const BODY_PATIENCE: Duration = Duration::from_secs(1);

/// What a proxy said.
pub(crate) enum Said {
    /// The tunnel is open. The bytes were read too early and belong to it.
    Open {
        status: u16,
        unread: Bytes,
    },
    Refused(Box<Refusal>),
}

/// What to send: the target is `host:port`.
pub(crate) fn request(target: &str, agent: &HeaderValue, login: Option<&HeaderValue>) -> Vec<u8> {
    let mut bytes = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n").into_bytes();
    let fields = [("User-Agent", Some(agent)), ("Proxy-Authorization", login)];
    for (name, value) in fields {
        if let Some(value) = value {
            bytes.extend_from_slice(name.as_bytes());
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(value.as_bytes());
            bytes.extend_from_slice(b"\r\n");
        }
    }
    bytes.extend_from_slice(b"\r\n");
    bytes
}

/// Asks, and reads the answer.
pub(crate) async fn ask(wire: &mut Wire, request: &[u8], deadline: Instant) -> Result<Said, Fault> {
    let mut read = BytesMut::with_capacity(1 << 10);
    let answer = match timeout_at(deadline, header(wire, request, &mut read)).await {
        Ok(answer) => answer?,
        Err(_) => {
            let detail = "the proxy did not answer CONNECT in time";
            return Err(Fault::garbage(FailureKind::ProxyTimeout, detail, &read));
        }
    };
    if (200..300).contains(&answer.status) {
        return Ok(Said::Open {
            status: answer.status,
            unread: read.freeze(),
        });
    }
    let body_deadline = deadline.min(Instant::now() + BODY_PATIENCE);
    let body = body(wire, read, &answer.headers, body_deadline).await;
    Ok(Said::Refused(Box::new(Refusal {
        status: answer.status,
        reason: answer.reason,
        headers: answer.headers,
        body,
    })))
}

/// The header of an answer.
struct Answer {
    status: u16,
    reason: String,
    headers: HeaderMap,
}

/// Sends the request and reads until the end of the header; what follows it stays in `read`.
async fn header(wire: &mut Wire, request: &[u8], read: &mut BytesMut) -> Result<Answer, Fault> {
    let closed = |error: Option<&io::Error>, read: &[u8]| {
        let place = if read.is_empty() {
            "instead of answering CONNECT"
        } else {
            "in its answer to CONNECT"
        };
        let why = error.map(|error| format!(" ({error})")).unwrap_or_default();
        let detail = format!("the proxy closed the connection {place}{why}");
        Fault::garbage(FailureKind::ProxyClosed, detail, read).after(error)
    };
    // A proxy may answer without having read to the end, and close: so the answer is read anyway.
    let sent = async {
        wire.write_all(request).await?;
        wire.flush().await
    };
    let sent = sent.await;
    let mut room = MAX_HEADER_BYTES;
    loop {
        while let Some((answer, used)) = parse(read)? {
            read.advance(used);
            // An interim answer says nothing yet (RFC 9110, section 15.2).
            if answer.status >= 200 {
                return Ok(answer);
            }
        }
        if room == 0 {
            let detail = "the header of the proxy's answer to CONNECT is larger than 16 KiB";
            return Err(Fault::garbage(FailureKind::ProxyProtocol, detail, read));
        }
        match (&mut *wire).take(room as u64).read_buf(read).await {
            Ok(0) => return Err(closed(sent.as_ref().err(), read)),
            Ok(came) => room -= came,
            Err(error) => return Err(closed(Some(&error), read)),
        }
    }
}

/// The header that `bytes` begin with and its length, if all of it is there.
fn parse(bytes: &[u8]) -> Result<Option<(Answer, usize)>, Fault> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut response = httparse::Response::new(&mut fields);
    let parsed = httparse::ParserConfig::default()
        .allow_multiple_spaces_in_response_status_delimiters(true)
        .allow_obsolete_multiline_headers_in_responses(true)
        .allow_spaces_after_header_name_in_responses(true)
        .parse_response(&mut response, bytes);
    let used = match parsed {
        Ok(httparse::Status::Complete(used)) => used,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(error) => {
            let detail = format!("the proxy's answer to CONNECT is no HTTP ({error})");
            return Err(Fault::garbage(FailureKind::ProxyProtocol, detail, bytes));
        }
    };
    let mut headers = HeaderMap::new();
    for field in response.headers.iter() {
        let name = HeaderName::from_bytes(field.name.as_bytes());
        let value = HeaderValue::from_bytes(field.value);
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    let answer = Answer {
        status: response.code.unwrap_or_default(),
        reason: response.reason.unwrap_or_default().to_owned(),
        headers,
    };
    Ok(Some((answer, used)))
}

/// The beginning of a body, as far as it comes.
async fn body(wire: &mut Wire, read: BytesMut, headers: &HeaderMap, deadline: Instant) -> Bytes {
    let is_chunked = headers.contains_key(http::header::TRANSFER_ENCODING);
    let length = headers
        .get(http::header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.trim().parse().ok())
        .filter(|_| !is_chunked);
    let limit = length.map_or(MAX_BODY_BYTES, |length: usize| length.min(MAX_BODY_BYTES));
    let mut body = read;
    while body.len() < limit && !(is_chunked && ends_chunked(&body)) {
        let room = (limit - body.len()) as u64;
        match timeout_at(deadline, (&mut *wire).take(room).read_buf(&mut body)).await {
            Ok(Ok(1..)) => {}
            Ok(Ok(0) | Err(_)) | Err(_) => break,
        }
    }
    body.truncate(limit);
    match is_chunked {
        true => dechunk(&body).into(),
        false => body.freeze(),
    }
}

fn ends_chunked(body: &[u8]) -> bool {
    body == b"0\r\n\r\n" || body.ends_with(b"\r\n0\r\n\r\n")
}

/// What chunks carry, as far as they can be read.
fn dechunk(mut bytes: &[u8]) -> Vec<u8> {
    let mut data = Vec::new();
    while let Ok(httparse::Status::Complete((used, size))) = httparse::parse_chunk_size(bytes) {
        bytes = &bytes[used..];
        let size = usize::try_from(size).unwrap_or(usize::MAX).min(bytes.len());
        if size == 0 {
            break;
        }
        data.extend_from_slice(&bytes[..size]);
        bytes = bytes[size..].strip_prefix(b"\r\n").unwrap_or_default();
    }
    data
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_complete_headers_are_read() {
        let whole = b"HTTP/1.1 200 Connection established\r\nVia: 1.1 p\r\n\r\nrest";
        for end in 0..whole.len() - 5 {
            assert!(matches!(parse(&whole[..end]), Ok(None)), "{end} bytes");
        }
        let (answer, used) = parse(whole).ok().flatten().unwrap();
        assert_eq!((answer.status, &whole[used..]), (200, &b"rest"[..]));
        assert_eq!(answer.reason, "Connection established");
        assert_eq!(answer.headers["via"], "1.1 p");
    }

    #[test]
    fn what_is_no_http_is_noticed_at_its_first_bytes() {
        for bytes in [
            &b"SSH-2.0-OpenSSH_9.2\r\n"[..],
            b"\x05\x00",
            b"<html>",
            b"HTTP/9 200",
        ] {
            let fault = parse(bytes).err().unwrap();
            assert_eq!(fault.kind, FailureKind::ProxyProtocol);
            assert_eq!(fault.garbage.unwrap(), bytes);
        }
    }

    #[test]
    fn chunks_are_joined_as_far_as_they_go() {
        assert_eq!(dechunk(b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n"), b"abcde");
        assert_eq!(dechunk(b"3\r\nabc\r\nff\r\nde"), b"abcde");
        assert_eq!(dechunk(b"ffffffffffffffff\r\nde"), b"de");
        assert_eq!(dechunk(b"<html>"), b"");
    }
}
