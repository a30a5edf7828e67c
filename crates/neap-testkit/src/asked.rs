//! What was one request, and what became of it?

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;

/// One request as the site received it: a line of its log.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Place in the order of arrival over the whole life of the site, counted from 1.
    pub order: u64,
    /// Arrival of the request's last byte, in microseconds since the site started.
    pub micros: u64,
    /// The site's own address that was asked; tells apart the addresses of a site with several.
    pub local: SocketAddr,
    /// The address that the client came from.
    pub peer: SocketAddr,
    /// Which connection carried the request, counted from 1 in the order they were accepted.
    pub connection: u64,
    /// The how many-th request of its connection it is, counted from 1.
    pub turn: u64,
    /// The method as sent.
    pub method: String,
    /// The request target as sent: path and query, or a whole URL, or `host:port` with CONNECT.
    pub target: String,
    /// Header fields in the order sent, names in the case sent, values without outer white space.
    pub headers: Vec<(String, String)>,
    /// The request's body, decoded if it was sent in chunks.
    pub body: Bytes,
    /// Requests in flight at arrival, this one included; over all addresses of the site.
    pub in_flight: usize,
    /// The status of the answer; `None` before it is chosen, and for answers without a status line.
    pub status: Option<u16>,
    /// Bytes of the answer that the system took, its head included; less than a write at its end may be missing.
    /// Up to some MiB of them may be in buffers and were never read.
    pub sent: u64,
    /// Whether and how the request came to its end.
    pub end: End,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It is in flight.
    Pending,
    /// All that the script says was done, be it a good answer or a broken one, at this many
    /// microseconds since the site started.
    Answered(u64),
    /// The client closed the connection before that, noticed at this many microseconds.
    ClientLeft(u64),
    /// The site gave it up: it was stopped meanwhile, or a closure of its script panicked.
    Abandoned,
}

impl Asked {
    /// The first header field of this name, whatever its case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(field, _)| field.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// The target without its query.
    pub fn path(&self) -> &str {
        path_of(&self.target)
    }

    /// Whether the request is for `path`: the whole target if `path` holds a `?`, else the part
    /// before the query.
    pub fn is_for(&self, path: &str) -> bool {
        if path.contains('?') {
            self.target == path
        } else {
            self.path() == path
        }
    }

    /// Whether the script's answer was given completely.
    pub fn is_answered(&self) -> bool {
        match self.end {
            End::Answered(_) => true,
            End::Pending | End::ClientLeft(_) | End::Abandoned => false,
        }
    }

    /// Arrival as time since the site started.
    pub fn at(&self) -> Duration {
        Duration::from_micros(self.micros)
    }
}

/// The part of a request target before its query.
pub(crate) fn path_of(target: &str) -> &str {
    target.split_once('?').map_or(target, |(path, _)| path)
}
