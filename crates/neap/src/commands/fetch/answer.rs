//! How is the answer written to standard output?

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};

use http::{StatusCode, Version};
use neap_core::exchange::{Answer, Exchange};

use crate::print::escape::for_terminal;
use crate::print::until_closed;

/// Writes the answer, if there is one: its body as a file would hold it, and before it the header if that is wanted.
///
/// # Errors
/// Standard output failed.
pub(super) fn write(exchange: &Exchange, with_head: bool, is_raw: bool) -> io::Result<()> {
    let Ok(answer) = &exchange.result else {
        return Ok(());
    };
    let is_terminal = io::stdout().is_terminal();
    let body = if is_raw {
        &answer.payload
    } else {
        &answer.body
    };
    let write = || {
        let mut out = io::stdout().lock();
        if with_head {
            out.write_all(&head(answer, exchange.route.reason.as_deref(), is_terminal))?;
        }
        out.write_all(body)?;
        out.flush()
    };
    until_closed(write())
}

/// Status and header as they were sent; on a terminal with what acts on it escaped.
fn head(answer: &Answer, reason: Option<&str>, is_terminal: bool) -> Vec<u8> {
    let mut first = version(answer.version).to_owned();
    let _ = write!(first, " {}", answer.status);
    if answer.version < Version::HTTP_2 {
        let standard = || StatusCode::from_u16(answer.status).ok()?.canonical_reason();
        let reason = reason.or_else(standard).unwrap_or_default();
        let _ = write!(first, " {}", for_terminal(reason));
    }
    let mut head = first.into_bytes();
    head.extend(b"\r\n");
    for (name, value) in &answer.headers {
        head.extend(name.as_str().as_bytes());
        head.extend(b": ");
        match is_terminal {
            true => {
                let value = String::from_utf8_lossy(value.as_bytes());
                head.extend(for_terminal(&value).as_bytes());
            }
            false => head.extend(value.as_bytes()),
        }
        head.extend(b"\r\n");
    }
    head.extend(b"\r\n");
    head
}

fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_09 => "HTTP/0.9",
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2",
        Version::HTTP_3 => "HTTP/3",
        _ => "HTTP/1.1",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_written_as_sent_and_does_not_act_on_a_terminal() {
        let bytes = http::HeaderValue::from_bytes(b"a\xff\x9bb").unwrap();
        let answer = Answer {
            status: 502,
            version: Version::HTTP_11,
            headers: [(http::header::SERVER, bytes)].into_iter().collect(),
            payload: Default::default(),
            body: Default::default(),
            address: None,
        };
        assert_eq!(
            head(&answer, None, false),
            b"HTTP/1.1 502 Bad Gateway\r\nserver: a\xff\x9bb\r\n\r\n"
        );
        let shown = head(&answer, Some("\u{9b}31m"), true);
        let shown = String::from_utf8(shown).unwrap();
        assert_eq!(
            shown,
            "HTTP/1.1 502 \\u{9b}31m\r\nserver: a\u{fffd}\u{fffd}b\r\n\r\n"
        );
        let second = Answer {
            version: Version::HTTP_2,
            ..answer
        };
        assert!(head(&second, None, false).starts_with(b"HTTP/2 502\r\n"));
    }
}
