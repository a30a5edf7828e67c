//! What does the simplest possible client see?

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use neap_testkit::Site;

/// Longest wait for anything in these tests, so that a failure is not a hang.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// One connection.
pub(crate) struct Client {
    stream: TcpStream,
    unread: Vec<u8>,
}

/// A well-formed answer with a `Content-Length`.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Client {
    pub(crate) fn connect(site: &Site) -> Client {
        Client::connect_to(site.address())
    }

    pub(crate) fn connect_to(address: SocketAddr) -> Client {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Client {
            stream,
            unread: Vec::new(),
        }
    }

    pub(crate) fn send(&mut self, bytes: &str) {
        self.stream.write_all(bytes.as_bytes()).unwrap();
    }

    /// Sends a GET without waiting for its answer.
    pub(crate) fn ask(&mut self, target: &str) {
        self.send(&format!("GET {target} HTTP/1.1\r\nHost: test\r\n\r\n"));
    }

    /// Sends a GET and reads its answer.
    pub(crate) fn get(&mut self, target: &str) -> Answer {
        self.ask(target);
        self.answer()
    }

    /// Reads a well-formed answer.
    pub(crate) fn answer(&mut self) -> Answer {
        let head = self.head();
        let length = field(&head, "content-length").map_or(0, |value| value.parse().unwrap());
        let body = self.take(length);
        Answer {
            status: head[9..12].parse().unwrap(),
            head,
            body,
        }
    }

    /// Reads up to the empty line after the header fields.
    pub(crate) fn head(&mut self) -> String {
        loop {
            if let Some(end) = self
                .unread
                .windows(4)
                .position(|bytes| bytes == b"\r\n\r\n")
            {
                return String::from_utf8(self.take(end + 4)).unwrap();
            }
            assert!(
                self.read().unwrap() > 0,
                "closed within the head: {:?}",
                self.unread
            );
        }
    }

    /// Reads exactly this many bytes.
    pub(crate) fn take(&mut self, n: usize) -> Vec<u8> {
        while self.unread.len() < n {
            assert!(
                self.read().unwrap() > 0,
                "closed after {} of {n} bytes",
                self.unread.len()
            );
        }
        self.unread.drain(..n).collect()
    }

    /// Reads until the connection ends; how it ended, and what came before.
    pub(crate) fn rest(&mut self) -> (Vec<u8>, io::Result<()>) {
        loop {
            match self.read() {
                Ok(0) => return (std::mem::take(&mut self.unread), Ok(())),
                Ok(_) => {}
                Err(error) => return (std::mem::take(&mut self.unread), Err(error)),
            }
        }
    }

    fn read(&mut self) -> io::Result<usize> {
        let mut buffer = [0; 16 * 1024];
        loop {
            match self.stream.read(&mut buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => {
                    let n = read?;
                    self.unread.extend_from_slice(&buffer[..n]);
                    return Ok(n);
                }
            }
        }
    }
}

/// Asks once on a connection of its own.
pub(crate) fn get(site: &Site, target: &str) -> Answer {
    Client::connect(site).get(target)
}

/// The value of a header field in a head.
pub(crate) fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines()
        .filter_map(|line| line.split_once(": "))
        .find(|(field, _)| field.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
}
