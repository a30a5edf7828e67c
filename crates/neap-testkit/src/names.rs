//! What is a name server that says what a test wants, and counts what it was asked?
//!
//! It speaks DNS over UDP on a loopback port (RFC 1035, section 4), for addresses alone. A name that it was not told
//! of does not exist.
//!
//! ```
//! use neap_testkit::{Naming, NameServer};
//!
//! let names = NameServer::builder()
//!     .name("shop.example", [Naming::addresses(["127.0.0.1"])])
//!     // Another address each time, the last one from then on.
//!     .name("rebind.example", [Naming::addresses(["1.1.1.1"]), Naming::addresses(["127.0.0.1"])])
//!     .name("flaky.example", [Naming::Failure, Naming::addresses(["127.0.0.1"])])
//!     .start();
//!
//! // ... have a client ask the name server at `names.address()`, then see how often it did:
//! assert_eq!(names.asked("shop.example"), 0);
//! ```

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use crate::script::lock;

/// Types of records (RFC 1035, section 3.2.2; RFC 3596, section 2.1).
const A: u16 = 1;
const AAAA: u16 = 28;

/// Codes of answers (RFC 1035, section 4.1.1).
const NO_ERROR: u8 = 0;
const SERVER_FAILURE: u8 = 2;
const NO_SUCH_NAME: u8 = 3;

/// Bytes of a header, where the question begins.
const HEADER: usize = 12;

/// What is said of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Naming {
    /// It has these addresses, for no longer than this one answer (a time to live of 0).
    Addresses(Vec<IpAddr>),
    /// It does not exist.
    NoSuchName,
    /// The server fails, now.
    Failure,
    /// Nothing.
    Silence,
    /// There is more than an answer has room for, and nothing of it is in this one (RFC 1035, section 4.1.1: TC). Over
    /// TCP this server is not to be asked.
    Truncated,
    /// It is another name for itself.
    Circle,
}

impl Naming {
    /// It has these addresses.
    ///
    /// # Panics
    /// One of them is none.
    pub fn addresses<const N: usize>(addresses: [&str; N]) -> Naming {
        let parsed = addresses.map(|text| text.parse().expect("an address"));
        Naming::Addresses(parsed.to_vec())
    }
}

/// A name server in the making.
#[derive(Debug, Default)]
pub struct NameServerBuilder {
    names: HashMap<String, Vec<Naming>>,
    domains: Vec<(String, Vec<Naming>)>,
}

impl NameServerBuilder {
    /// What it says of a domain and of each name below it that it was told nothing of, as in [`NameServerBuilder::name`].
    ///
    /// # Panics
    /// `says` is empty.
    pub fn below(
        mut self,
        domain: &str,
        says: impl IntoIterator<Item = Naming>,
    ) -> NameServerBuilder {
        let says: Vec<Naming> = says.into_iter().collect();
        assert!(!says.is_empty(), "nothing is said of {domain}");
        self.domains.push((domain.to_ascii_lowercase(), says));
        self
    }

    /// What it says of a name, one thing each time that its IPv4 addresses are asked for, and the last one from then on.
    ///
    /// # Panics
    /// `says` is empty.
    pub fn name(mut self, name: &str, says: impl IntoIterator<Item = Naming>) -> NameServerBuilder {
        let says: Vec<Naming> = says.into_iter().collect();
        assert!(!says.is_empty(), "nothing is said of {name}");
        self.names.insert(name.to_ascii_lowercase(), says);
        self
    }

    /// Begins to answer.
    ///
    /// # Panics
    /// There is no port left.
    pub fn start(self) -> NameServer {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = socket.local_addr().expect("an address");
        let inner = Arc::new(Inner {
            names: self.names,
            domains: self.domains,
            asked: Mutex::default(),
            is_over: AtomicBool::new(false),
        });
        let answering = Arc::clone(&inner);
        NameServer {
            inner,
            address,
            thread: Some(std::thread::spawn(move || answering.serve(&socket))),
        }
    }
}

/// A running name server. It stops when dropped.
#[derive(Debug)]
pub struct NameServer {
    inner: Arc<Inner>,
    address: SocketAddr,
    thread: Option<JoinHandle<()>>,
}

impl NameServer {
    /// One that knows no name yet.
    pub fn builder() -> NameServerBuilder {
        NameServerBuilder::default()
    }

    /// Where it is asked.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How often the IPv4 addresses of a name were asked for.
    pub fn asked(&self, name: &str) -> usize {
        lock(&self.inner.asked).get(name).copied().unwrap_or(0)
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.inner.is_over.store(true, Ordering::Release);
        // Any datagram wakes it up. Without one it would wait for ever, so then it is left alone.
        let woken = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))
            .and_then(|socket| socket.send_to(&[0], self.address));
        if let (Ok(_), Some(thread)) = (woken, self.thread.take()) {
            // Its panic was told of where it happened.
            let _ = thread.join();
        }
    }
}

#[derive(Debug)]
struct Inner {
    names: HashMap<String, Vec<Naming>>,
    domains: Vec<(String, Vec<Naming>)>,
    asked: Mutex<HashMap<String, usize>>,
    is_over: AtomicBool,
}

impl Inner {
    fn serve(&self, socket: &UdpSocket) {
        let mut datagram = [0; 1500];
        while let Ok((length, peer)) = socket.recv_from(&mut datagram) {
            if self.is_over.load(Ordering::Acquire) {
                return;
            }
            let answer =
                Question::read(&datagram[..length]).and_then(|question| self.answer(&question));
            if let Some(answer) = answer {
                // Who asked may be gone.
                let _ = socket.send_to(&answer, peer);
            }
        }
    }

    fn answer(&self, question: &Question<'_>) -> Option<Vec<u8>> {
        let mut asked = lock(&self.asked);
        let times = asked.entry(question.name.clone()).or_default();
        // Both kinds of address are asked for at about the same time: both questions are of one turn.
        let turn = match question.kind {
            A => std::mem::replace(times, *times + 1),
            _ => times.saturating_sub(1),
        };
        let Some(says) = self.says(&question.name) else {
            return Some(question.answer(NO_SUCH_NAME, &[]));
        };
        match says.get(turn).or(says.last())? {
            Naming::Addresses(addresses) => {
                let of_kind = |address: &&IpAddr| match question.kind {
                    A => address.is_ipv4(),
                    AAAA => address.is_ipv6(),
                    _ => false,
                };
                let found: Vec<IpAddr> = addresses.iter().filter(of_kind).copied().collect();
                Some(question.answer(NO_ERROR, &found))
            }
            Naming::NoSuchName => Some(question.answer(NO_SUCH_NAME, &[])),
            Naming::Failure => Some(question.answer(SERVER_FAILURE, &[])),
            Naming::Silence => None,
            Naming::Truncated => Some(question.truncated()),
            Naming::Circle => Some(question.circle()),
        }
    }

    fn says(&self, name: &str) -> Option<&Vec<Naming>> {
        let is_below = |domain: &str| {
            let before = name.strip_suffix(domain);
            before.is_some_and(|before| before.is_empty() || before.ends_with('.'))
        };
        self.names.get(name).or_else(|| {
            let mut domains = self.domains.iter();
            domains.find_map(|(domain, says)| is_below(domain).then_some(says))
        })
    }
}

/// The one question of a message.
struct Question<'a> {
    id: &'a [u8],
    /// As it was asked, to be repeated.
    bytes: &'a [u8],
    name: String,
    kind: u16,
}

impl Question<'_> {
    fn read(message: &[u8]) -> Option<Question<'_>> {
        let mut at = HEADER;
        let mut labels = Vec::new();
        loop {
            let length = usize::from(*message.get(at)?);
            at += 1;
            if length == 0 {
                break;
            }
            let label = message.get(at..at + length)?;
            labels.push(String::from_utf8_lossy(label).to_ascii_lowercase());
            at += length;
        }
        let kind = message.get(at..at + 2)?;
        Some(Question {
            id: &message[..2],
            bytes: message.get(HEADER..at + 4)?,
            name: labels.join("."),
            kind: u16::from_be_bytes([kind[0], kind[1]]),
        })
    }

    /// An answer that says that it is not whole.
    fn truncated(&self) -> Vec<u8> {
        let mut message = self.answer(NO_ERROR, &[]);
        message[2] |= 2;
        message
    }

    /// An answer by which the name is an alias of itself.
    fn circle(&self) -> Vec<u8> {
        let mut message = self.answer(NO_ERROR, &[]);
        message[7] = 1;
        // The name of the question, of the kind CNAME, class IN, time to live 0, and two bytes: that name again.
        message.extend([
            0xc0,
            HEADER as u8,
            0,
            5,
            0,
            1,
            0,
            0,
            0,
            0,
            0,
            2,
            0xc0,
            HEADER as u8,
        ]);
        message
    }

    fn answer(&self, code: u8, addresses: &[IpAddr]) -> Vec<u8> {
        // A response; recursion was wanted and is available; no other bits (RFC 1035, section 4.1.1).
        let count = u16::try_from(addresses.len()).expect("a datagram has room for fewer");
        let mut message = self.id.to_vec();
        message.extend([0x81, 0x80 | code, 0, 1]);
        message.extend(count.to_be_bytes());
        message.extend([0, 0, 0, 0]);
        message.extend(self.bytes);
        for address in addresses {
            let (kind, octets) = match address {
                IpAddr::V4(address) => (A, address.octets().to_vec()),
                IpAddr::V6(address) => (AAAA, address.octets().to_vec()),
            };
            // The name of the question (section 4.1.4), class IN, a time to live of 0.
            message.extend([0xc0, HEADER as u8]);
            message.extend(kind.to_be_bytes());
            message.extend([0, 1, 0, 0, 0, 0, 0, octets.len() as u8]);
            message.extend(octets);
        }
        message
    }
}
