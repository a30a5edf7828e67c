//! What is known of one exchange that may tell who is to blame for it?
//!
//! Everything is optional, since captures, engines and protocols see different things: HTTP/2 has no reason phrase,
//! a reused connection no handshake. What is not known says nothing; it is never taken for "no".

use std::time::Duration;

use http::HeaderMap;

use crate::route::{Phase, Way};

/// What a client can see of one exchange.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Evidence {
    /// By which way the request went out.
    pub way: Option<Way>,
    /// The answer, as far as it came: the one inside the tunnel where there is one.
    pub answer: Option<Reply>,
    /// How the answer's body ended.
    pub body: Body,
    /// What the proxy answered to CONNECT, as far as it came. A tunnel that opened has a 2xx here.
    pub connect: Option<Reply>,
    /// The reply of a SOCKS5 proxy (RFC 1928, section 6): 0 is success.
    pub socks_reply: Option<u8>,
    /// Where and how the exchange broke; `None` if it did not, or if only the body was cut.
    pub broken: Option<Break>,
    /// From the start of the exchange to the first byte of the answer.
    pub first_byte: Option<Duration>,
    /// The whole exchange.
    pub elapsed: Option<Duration>,
    /// Whether the certificate inside the tunnel is another one than this host shows on other ways: somebody reads
    /// the tunnel.
    pub is_intercepted: Option<bool>,
    /// Whether the mark that this proxy leaves on every answer it relays, learned from its successes, is there.
    pub has_usual_stamp: Option<bool>,
}

/// One answer's head and the beginning of its body.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reply {
    /// The status code; `None` if what came is no HTTP.
    pub status: Option<u16>,
    /// The reason phrase, where the protocol has one.
    pub reason: Option<String>,
    /// The header. `None` if it is not known, which a capture may say.
    pub headers: Option<Fields>,
    /// The beginning of the body with its codings undone, byte by byte as Latin-1: at most [`Reply::MAX_BODY`]
    /// bytes are looked at.
    pub body: String,
}

impl Reply {
    /// How much of a body is looked at. The page of one product names its error after 2 KB of style sheet.
    pub const MAX_BODY: usize = 4 * 1024;
}

/// A header: names and values, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fields(Vec<(String, String)>);

impl Fields {
    /// Most fields that are kept; more than any server sends and few enough to look through.
    pub const MAX: usize = 256;

    /// An empty header.
    pub const fn new() -> Fields {
        Fields(Vec::new())
    }

    /// Adds a field; beyond [`Fields::MAX`] it is dropped.
    pub fn push(&mut self, name: &str, value: &str) {
        if self.0.len() < Fields::MAX {
            let name = name.trim().to_ascii_lowercase();
            self.0.push((name, value.trim().to_owned()));
        }
    }

    /// The first value of a field; `name` in lower case.
    pub fn get(&self, name: &str) -> Option<&str> {
        let mut all = self.iter();
        all.find(|(found, _)| *found == name)
            .map(|(_, value)| value)
    }

    /// Every value of a field, in order; `name` in lower case.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let named = self.iter().filter(move |(found, _)| *found == name);
        named.map(|(_, value)| value)
    }

    /// Whether there is such a field; `name` in lower case.
    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// All fields: names in lower case, and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// How many fields there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<&HeaderMap> for Fields {
    fn from(headers: &HeaderMap) -> Fields {
        let mut fields = Fields::new();
        for (name, value) in headers {
            fields.push(name.as_str(), &latin1(value.as_bytes()));
        }
        fields
    }
}

impl<N: AsRef<str>, V: AsRef<str>> FromIterator<(N, V)> for Fields {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Fields {
        let mut fields = Fields::new();
        for (name, value) in pairs {
            fields.push(name.as_ref(), value.as_ref());
        }
        fields
    }
}

/// How the body of an answer ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Body {
    /// Its length, in bytes.
    pub bytes: Option<u64>,
    /// Whether it came to the end that its framing announced.
    pub is_complete: Option<bool>,
    /// Whether nothing announces its end but the end of the connection.
    pub is_close_delimited: Option<bool>,
}

/// Where and how an exchange broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Break {
    /// The phase in which it broke.
    pub phase: Phase,
    /// What happened.
    pub manner: Manner,
}

/// How an exchange broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Manner {
    /// The name does not exist, or cannot be resolved.
    NoName,
    /// Nobody listens.
    Refused,
    /// There is no way to the address.
    Unreachable,
    /// The connection was closed in order.
    Closed,
    /// The connection was reset.
    Reset,
    /// Nothing came in time.
    Timeout,
    /// What came is no HTTP.
    NotHttp,
    /// The certificate is not to be trusted.
    Certificate,
    /// The other side sent a TLS alert.
    Alert,
    /// The bytes break a rule of the protocol.
    Protocol,
    /// More came than we take.
    TooLarge,
    /// It was our own machine: no more sockets, say.
    Own,
    /// Anything else.
    Other,
}

/// Bytes as text, each one as the character of its number.
pub fn latin1(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        // Most of what is looked at: one copy and not a character at a time.
        Ok(text) if text.is_ascii() => text.to_owned(),
        Ok(_) | Err(_) => bytes.iter().map(|&byte| char::from(byte)).collect(),
    }
}
