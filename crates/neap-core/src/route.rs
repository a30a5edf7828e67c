//! Which way did a request take, and what was learned on it about who spoke?
//!
//! A request goes out directly or through a forward proxy, and a proxy that fails looks much like a
//! host that fails. Everything that tells them apart and is not in the answer itself is kept here. It
//! never holds the credentials of a proxy, only its `host:port`.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;

/// The way that a request took, with what was seen of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Route {
    /// How the host was reached.
    pub way: Way,
    /// The proxy's `host:port`; `None` without one.
    pub proxy: Option<String>,
    /// The address that the connection was made to: the proxy's if there is one, else the host's.
    pub address: Option<std::net::SocketAddr>,
    /// How far the exchange came.
    pub reached: Phase,
    /// How long each phase of making the connection took; nothing for one that was kept.
    pub took: Took,
    /// Whether the connection had been made for an earlier request.
    pub was_kept: bool,
    /// The status with which the proxy opened the tunnel: 200 to 299.
    pub tunnel_status: Option<u16>,
    /// What the proxy answered to CONNECT instead of opening the tunnel.
    pub refusal: Option<Box<Refusal>>,
    /// The reply code of a SOCKS5 proxy, 0 for success (RFC 1928, section 6); 255 if it found no way
    /// to log in acceptable (section 3).
    pub socks_reply: Option<u8>,
    /// The certificate that the TLS session ended at, trusted or not; `None` if none was seen on this
    /// exchange. Through a proxy that reads along it is the proxy's.
    pub certificate: Option<Certificate>,
    /// The fatal alert that the other side of the TLS session sent, by its name in RFC 8446.
    pub tls_alert: Option<String>,
    /// The first bytes of what came in place of the protocol that was due: of an answer to CONNECT or
    /// of a TLS handshake; at most 64.
    pub garbage: Option<Bytes>,
    /// Whether the other side broke the connection by a reset, rather than closing it in order.
    pub was_reset: bool,
    /// The header of an answer whose body failed, at most 300 KiB.
    pub begun: Option<Box<HeaderMap>>,
    /// The answer's reason phrase, where it is not the standard one. HTTP/2 has none.
    pub reason: Option<String>,
}

/// How a host is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Way {
    /// Without a proxy.
    #[default]
    Direct,
    /// An HTTP proxy reads and relays the request: for `http` URLs.
    Plain,
    /// An HTTP proxy opens a tunnel with CONNECT: for `https` URLs.
    Tunnel,
    /// A SOCKS5 proxy relays bytes.
    Socks5,
}

impl Way {
    /// The word for it in SQL and messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Way::Direct => "direct",
            Way::Plain => "plain",
            Way::Tunnel => "tunnel",
            Way::Socks5 => "socks5",
        }
    }
}

/// How far an exchange came: the phase that it ended in, well or badly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Phase {
    /// Resolving the name of whom to connect to, or waiting to.
    #[default]
    Dns,
    /// The TCP connection, to the proxy if there is one.
    Connect,
    /// The TLS handshake with the proxy itself.
    ProxyTls,
    /// Asking the proxy for a way to the host: CONNECT, or SOCKS5.
    Open,
    /// The TLS handshake with the host.
    Tls,
    /// The request was sent or being sent, the answer's header had not come.
    Header,
    /// The body.
    Body,
    /// The whole answer came.
    Done,
}

impl Phase {
    /// The word for it in SQL and messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Phase::Dns => "dns",
            Phase::Connect => "connect",
            Phase::ProxyTls => "proxy_tls",
            Phase::Open => "open",
            Phase::Tls => "tls",
            Phase::Header => "header",
            Phase::Body => "body",
            Phase::Done => "done",
        }
    }
}

/// How long the phases of a connection through a proxy took. Directly they are one:
/// [`Timings::connect`](crate::exchange::Timings::connect).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Took {
    /// The TCP connection to the proxy, its name included.
    pub connect: Option<Duration>,
    /// The TLS handshake with the proxy.
    pub proxy_tls: Option<Duration>,
    /// CONNECT or SOCKS5, from the first byte sent to the proxy's word.
    pub open: Option<Duration>,
    /// The TLS handshake with the host.
    pub tls: Option<Duration>,
}

/// What a proxy answered to CONNECT when it did not open the tunnel: its own word, never the host's
/// (RFC 9110, section 9.3.6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The status, 300 and up.
    pub status: u16,
    /// The reason phrase, empty if there was none.
    pub reason: String,
    /// The header, at most 16 KiB.
    pub headers: HeaderMap,
    /// The first 4 KB of the body, or as much as came in time.
    pub body: Bytes,
}

/// Who a TLS session ended at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// Who issued it: the issuer's common name, else its organisation; empty if it names neither.
    pub issuer: String,
    /// The first 8 bytes of the SHA-256 of its DER.
    pub sha256_prefix: [u8; 8],
}

impl Certificate {
    /// The prefix of its SHA-256 in hexadecimal digits.
    pub fn sha256_hex(&self) -> String {
        use fmt::Write;
        let mut hex = String::with_capacity(2 * self.sha256_prefix.len());
        for byte in self.sha256_prefix {
            let _ = write!(hex, "{byte:02x}");
        }
        hex
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_are_in_the_order_in_which_they_happen() {
        let phases = [
            Phase::Dns,
            Phase::Connect,
            Phase::ProxyTls,
            Phase::Open,
            Phase::Tls,
            Phase::Header,
            Phase::Body,
            Phase::Done,
        ];
        assert!(phases.is_sorted());
        assert_eq!(Phase::default(), phases[0]);
    }

    #[test]
    fn a_fingerprint_is_written_in_hexadecimal_digits() {
        let certificate = Certificate {
            issuer: "R11".to_owned(),
            sha256_prefix: [0x0f, 0xa0, 0, 1, 2, 3, 4, 0xff],
        };
        assert_eq!(certificate.sha256_hex(), "0fa00001020304ff");
    }
}
