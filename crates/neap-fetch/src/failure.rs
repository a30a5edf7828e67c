//! What does an error of the layers below mean?
//!
//! An error comes as a chain of causes. The first cause in it that one of the tables below knows
//! decides, from the outside in; what none knows is told by where in the exchange it happened.

use std::error::Error;
use std::io;

use neap_core::exchange::{Failure, FailureKind, Stage};

use crate::decode::DecodeError;
use crate::dns::DnsError;
use crate::egress::Broken;
use crate::incoming::ClientError;

/// Longest detail of a failure, in bytes.
const MAX_DETAIL_BYTES: usize = 300;

/// How far an exchange had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reached {
    /// No connection yet.
    Nothing,
    /// A connection, but not the whole header.
    Connection,
    /// The header, but not the whole body.
    Header,
}

/// What an error of the operating system means while a connection is made.
const WHILE_CONNECTING: [(io::ErrorKind, FailureKind); 3] = [
    (
        io::ErrorKind::ConnectionRefused,
        FailureKind::ConnectRefused,
    ),
    (
        io::ErrorKind::TimedOut,
        FailureKind::Timeout(Stage::Connect),
    ),
    // Only the TLS handshake reads at this point.
    (io::ErrorKind::UnexpectedEof, FailureKind::Tls),
];

/// What it means once there is a connection. A time-out by the system (its own retransmissions)
/// depends on the stage and stands in [`of_io`].
const ONCE_CONNECTED: [(io::ErrorKind, FailureKind); 9] = [
    (io::ErrorKind::ConnectionReset, FailureKind::Reset),
    (io::ErrorKind::ConnectionAborted, FailureKind::Reset),
    (io::ErrorKind::BrokenPipe, FailureKind::Reset),
    (io::ErrorKind::NotConnected, FailureKind::Reset),
    (io::ErrorKind::UnexpectedEof, FailureKind::Reset),
    (io::ErrorKind::ConnectionRefused, FailureKind::Reset),
    (io::ErrorKind::HostUnreachable, FailureKind::Reset),
    (io::ErrorKind::NetworkUnreachable, FailureKind::Reset),
    (io::ErrorKind::NetworkDown, FailureKind::Reset),
];

/// Errors that say that this process or machine has run out of something: `ENFILE` and `EMFILE`
/// (files), `ENOMEM`, `ENOBUFS` and `EADDRNOTAVAIL` (local ports), the last two by Linux and by
/// macOS numbers.
const EXHAUSTION: [i32; 7] = [23, 24, 12, 105, 55, 99, 49];

/// A failure of the client. `status` is the answer's, if its header had come.
pub(crate) fn of_client(error: &ClientError, reached: Reached, status: Option<u16>) -> Failure {
    let reached = if error.is_connect() {
        Reached::Nothing
    } else {
        reached
    };
    let error = error.as_error();
    new(kind_of(error, reached), status, &texts(error))
}

/// Whether the connection was closed before a header came.
pub(crate) fn is_reset(error: &ClientError) -> bool {
    !error.is_connect() && kind_of(error.as_error(), Reached::Connection) == FailureKind::Reset
}

/// What a proxy's connector knows about an error, if it is one of its own.
pub(crate) fn broken<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Broken> {
    causes(error).find_map(|cause| cause.downcast_ref())
}

/// The name of the TLS alert that came, as RFC 8446 writes it.
pub(crate) fn alert(error: &(dyn Error + 'static)) -> Option<String> {
    causes(error).find_map(|cause| {
        let cause: &rustls::Error = cause.downcast_ref()?;
        let rustls::Error::AlertReceived(alert) = cause else {
            return None;
        };
        Some(snake_case(&format!("{alert:?}")))
    })
}

/// Whether the other side reset the connection.
pub(crate) fn was_reset(error: &(dyn Error + 'static)) -> bool {
    let is_reset = |error: &io::Error| error.kind() == io::ErrorKind::ConnectionReset;
    causes(error).any(|cause| match cause.downcast_ref::<h2::Error>() {
        Some(error) => error.get_io().is_some_and(is_reset),
        None => cause.downcast_ref().is_some_and(is_reset),
    })
}

/// `UnknownCA` as `unknown_ca`.
fn snake_case(name: &str) -> String {
    let letters: Vec<char> = name.chars().collect();
    let mut snake = String::new();
    for (at, letter) in letters.iter().enumerate() {
        let follows_small = at > 0 && letters[at - 1].is_lowercase();
        let precedes_small = letters.get(at + 1).is_some_and(|next| next.is_lowercase());
        if letter.is_uppercase() && at > 0 && (follows_small || precedes_small) {
            snake.push('_');
        }
        snake.extend(letter.to_lowercase());
    }
    snake
}

/// A failure to undo the body's codings.
pub(crate) fn of_decoding(error: &DecodeError, status: u16) -> Failure {
    let kind = match error {
        DecodeError::Unknown(_)
        | DecodeError::TooMany(_)
        | DecodeError::Corrupt { .. }
        | DecodeError::Truncated(_) => FailureKind::Decode,
        DecodeError::TooLarge(_) => FailureKind::TooLarge,
    };
    new(kind, Some(status), &error.to_string())
}

/// A failure in neap's own words.
pub(crate) fn new(kind: FailureKind, status: Option<u16>, detail: &str) -> Failure {
    Failure {
        kind,
        status,
        detail: one_line(detail),
    }
}

/// Whether the process has run out of something that it needs for another connection.
pub(crate) fn is_exhaustion(error: &io::Error) -> bool {
    error
        .raw_os_error()
        .is_some_and(|code| EXHAUSTION.contains(&code))
}

pub(crate) fn kind_of(error: &(dyn Error + 'static), reached: Reached) -> FailureKind {
    // An alert that comes behind the handshake, as that of a certificate that is missing, ends the connection: what
    // stands around it says only that.
    let alert = causes(error).find(|cause| cause.is::<rustls::Error>());
    alert
        .into_iter()
        .chain(causes(error))
        .find_map(|cause| of_cause(cause, reached))
        .unwrap_or(match reached {
            Reached::Nothing => FailureKind::Connect,
            Reached::Connection | Reached::Header => FailureKind::Protocol,
        })
}

/// What one cause means by itself, if it means anything.
fn of_cause(cause: &(dyn Error + 'static), reached: Reached) -> Option<FailureKind> {
    if let Some(broken) = cause.downcast_ref::<Broken>() {
        Some(broken.kind)
    } else if let Some(error) = cause.downcast_ref::<DnsError>() {
        Some(match error {
            DnsError::NotFound(_) => FailureKind::DnsNotFound,
            DnsError::Private(_) => FailureKind::PrivateAddress,
            DnsError::Unavailable(_) => FailureKind::Dns,
            DnsError::Internal(_) => FailureKind::Internal,
        })
    } else if let Some(error) = cause.downcast_ref::<rustls::Error>() {
        Some(
            match matches!(error, rustls::Error::InvalidCertificate(_)) {
                true => FailureKind::TlsCertificate,
                false => FailureKind::Tls,
            },
        )
    } else if let Some(error) = cause.downcast_ref::<h2::Error>() {
        of_h2(error, reached)
    } else if let Some(error) = cause.downcast_ref::<hyper::Error>() {
        of_hyper(error)
    } else {
        cause
            .downcast_ref::<io::Error>()
            .and_then(|error| of_io(error, reached))
    }
}

fn of_h2(error: &h2::Error, reached: Reached) -> Option<FailureKind> {
    if let Some(error) = error.get_io() {
        return of_io(error, reached);
    }
    // The peer ended the stream or the connection; or we did, because of what it had sent.
    Some(if error.is_remote() {
        FailureKind::Reset
    } else {
        FailureKind::Protocol
    })
}

fn of_hyper(error: &hyper::Error) -> Option<FailureKind> {
    if error.is_parse_too_large() {
        Some(FailureKind::HeaderTooLarge)
    } else if error.is_parse() {
        Some(FailureKind::Protocol)
    } else if error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
        Some(FailureKind::Reset)
    } else {
        None
    }
}

fn of_io(error: &io::Error, reached: Reached) -> Option<FailureKind> {
    if is_exhaustion(error) {
        return Some(FailureKind::Internal);
    }
    let table = match (reached, error.kind()) {
        (Reached::Connection, io::ErrorKind::TimedOut) => {
            return Some(FailureKind::Timeout(Stage::Header));
        }
        (Reached::Header, io::ErrorKind::TimedOut) => {
            return Some(FailureKind::Timeout(Stage::Body));
        }
        (Reached::Nothing, _) => &WHILE_CONNECTING[..],
        (Reached::Connection | Reached::Header, _) => &ONCE_CONNECTED[..],
    };
    table
        .iter()
        .find(|(known, _)| *known == error.kind())
        .map(|&(_, kind)| kind)
}

/// An error and its causes, the outermost first; chains are a handful long, a bound costs nothing.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| cause_of(error)).take(32)
}

/// The cause of an error. An `io::Error` made from another error passes over that one when asked for
/// its source, so it is looked into.
fn cause_of<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref)
    {
        Some(inner) => Some(inner),
        None => error.source(),
    }
}

/// What each cause says, without repetitions.
pub(crate) fn texts(error: &(dyn Error + 'static)) -> String {
    let mut said = String::new();
    for cause in causes(error) {
        let text = cause.to_string();
        if !said.contains(&text) {
            if !said.is_empty() {
                said.push_str(": ");
            }
            said.push_str(&text);
        }
    }
    said
}

/// One line of at most [`MAX_DETAIL_BYTES`], without control characters.
fn one_line(text: &str) -> String {
    let mut line = String::new();
    for c in text.chars().map(|c| if c.is_control() { ' ' } else { c }) {
        if line.len() + c.len_utf8() > MAX_DETAIL_BYTES {
            break;
        }
        line.push(c);
    }
    line
}

#[cfg(test)]
mod tests {
    use rustls::{AlertDescription, CertificateError};

    use super::*;

    #[test]
    fn causes_and_their_kinds() {
        use FailureKind as Kind;
        use Reached::{Connection, Header, Nothing};
        let io = io::Error::from;
        let system = io::Error::from_raw_os_error;
        let tls = |error: rustls::Error| io::Error::new(io::ErrorKind::InvalidData, error);
        let expired = rustls::Error::InvalidCertificate(CertificateError::Expired);
        let alert = rustls::Error::AlertReceived(AlertDescription::HandshakeFailure);
        let rows: Vec<(Box<dyn Error>, Reached, Kind)> = vec![
            (
                DnsError::NotFound("x".into()).into(),
                Nothing,
                Kind::DnsNotFound,
            ),
            (DnsError::Unavailable("x".into()).into(), Nothing, Kind::Dns),
            (
                DnsError::Internal("x".into()).into(),
                Nothing,
                Kind::Internal,
            ),
            (
                io(io::ErrorKind::ConnectionRefused).into(),
                Nothing,
                Kind::ConnectRefused,
            ),
            (
                io(io::ErrorKind::NetworkUnreachable).into(),
                Nothing,
                Kind::Connect,
            ),
            (
                io(io::ErrorKind::ConnectionReset).into(),
                Nothing,
                Kind::Connect,
            ),
            (
                io(io::ErrorKind::TimedOut).into(),
                Nothing,
                Kind::Timeout(Stage::Connect),
            ),
            (
                io(io::ErrorKind::TimedOut).into(),
                Connection,
                Kind::Timeout(Stage::Header),
            ),
            (
                io(io::ErrorKind::TimedOut).into(),
                Header,
                Kind::Timeout(Stage::Body),
            ),
            (io(io::ErrorKind::UnexpectedEof).into(), Nothing, Kind::Tls),
            (io(io::ErrorKind::UnexpectedEof).into(), Header, Kind::Reset),
            (
                io(io::ErrorKind::ConnectionReset).into(),
                Connection,
                Kind::Reset,
            ),
            (io(io::ErrorKind::BrokenPipe).into(), Header, Kind::Reset),
            (
                io::Error::other("Invalid chunk size line").into(),
                Header,
                Kind::Protocol,
            ),
            (system(24).into(), Nothing, Kind::Internal),
            (system(23).into(), Nothing, Kind::Internal),
            (tls(expired.clone()).into(), Nothing, Kind::TlsCertificate),
            (
                io::Error::other(tls(expired)).into(),
                Nothing,
                Kind::TlsCertificate,
            ),
            (tls(alert).into(), Connection, Kind::Tls),
            (
                h2::Error::from(h2::Reason::PROTOCOL_ERROR).into(),
                Connection,
                Kind::Protocol,
            ),
            ("something new".into(), Nothing, Kind::Connect),
            ("something new".into(), Connection, Kind::Protocol),
        ];
        for (error, reached, kind) in rows {
            assert_eq!(
                kind_of(&*error, reached),
                kind,
                "{error:?} having reached {reached:?}"
            );
        }
    }

    #[test]
    fn a_reset_is_told_from_an_orderly_end() {
        let reset = io::Error::from(io::ErrorKind::ConnectionReset);
        assert!(was_reset(&io::Error::other(reset)));
        assert!(!was_reset(&io::Error::from(io::ErrorKind::UnexpectedEof)));
    }

    #[test]
    fn alerts_have_the_names_of_the_standard() {
        for (description, name) in [
            (AlertDescription::HandshakeFailure, "handshake_failure"),
            (AlertDescription::UnknownCA, "unknown_ca"),
            (AlertDescription::UnknownPSKIdentity, "unknown_psk_identity"),
        ] {
            let error = io::Error::other(rustls::Error::AlertReceived(description));
            assert_eq!(alert(&error).as_deref(), Some(name));
        }
        assert_eq!(alert(&io::Error::other("x")), None);
    }

    #[test]
    fn a_detail_is_one_short_line_that_says_each_thing_once() {
        let inner = io::Error::other("line\none\x1b[31m");
        let outer = io::Error::other(inner);
        let detail = new(FailureKind::Reset, None, &texts(&outer)).detail;
        assert_eq!(detail, "line one [31m");
        let long = new(FailureKind::Reset, None, &"ü".repeat(1000)).detail;
        assert_eq!(long.len(), MAX_DETAIL_BYTES);
    }
}
