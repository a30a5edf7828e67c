//! What does a request ask the hostile server for, and what does the server know while it answers?

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use crate::asked::{Asked, path_of};
use crate::script::lock;

use super::families::Ports;
use super::tally::{Sighting, Tally};

/// Where what has no end does end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Most bytes of one body, header or part of either. Default: 8 GiB.
    pub bytes: u64,
    /// Longest time of one connection. Default: 600 s.
    pub time: Duration,
}

/// What all requests share.
pub(super) struct Shared {
    seed: u64,
    bounds: Bounds,
    ports: OnceLock<Ports>,
    /// How often each target of each host was asked for.
    turns: Mutex<BTreeMap<(String, String), u64>>,
    tally: Mutex<Tally>,
    /// The current second of each host, and the requests in it.
    seconds: Mutex<BTreeMap<String, (u64, u64)>>,
    /// What was made once, since it takes long, by what it is.
    made: Mutex<BTreeMap<String, bytes::Bytes>>,
    pub(super) scenes: Mutex<super::families::Scenes>,
}

/// One request, taken apart.
pub(super) struct Call<'a> {
    pub(super) asked: &'a Asked,
    pub(super) shared: &'a Shared,
    /// The path behind the family.
    pub(super) case: &'a str,
    query: &'a str,
}

impl Shared {
    pub(super) fn new(seed: u64, bounds: Bounds) -> Shared {
        Shared {
            seed,
            bounds,
            ports: OnceLock::new(),
            turns: Mutex::default(),
            tally: Mutex::default(),
            seconds: Mutex::default(),
            made: Mutex::default(),
            scenes: Mutex::default(),
        }
    }

    pub(super) fn bounds(&self) -> Bounds {
        self.bounds
    }

    /// Tells the ports, once all are known.
    pub(super) fn ports(&self, ports: Ports) {
        // Set once, by who starts the server.
        let _ = self.ports.set(ports);
    }

    pub(super) fn tally(&self) -> std::sync::MutexGuard<'_, Tally> {
        lock(&self.tally)
    }

    pub(super) fn stats(&self) -> String {
        self.tally().to_json()
    }

    pub(super) fn sightings(&self) -> Vec<Sighting> {
        self.tally().sightings()
    }

    /// Forgets everything that was counted, and which turn each target has.
    pub(super) fn reset(&self) {
        *self.tally() = Tally::default();
        lock(&self.turns).clear();
        lock(&self.scenes).clear();
    }

    /// How many requests of a host came in this second, this one included. Of each host the current second is kept.
    pub(super) fn in_second(&self, host: &str, second: u64) -> u64 {
        let mut seconds = lock(&self.seconds);
        let (of, count) = seconds.entry(host.to_owned()).or_insert((second, 0));
        if *of != second {
            (*of, *count) = (second, 0);
        }
        *count += 1;
        *count
    }

    /// What takes long to make is made once.
    pub(super) fn once(&self, what: &str, make: impl FnOnce() -> bytes::Bytes) -> bytes::Bytes {
        if let Some(made) = lock(&self.made).get(what) {
            return made.clone();
        }
        let made = make();
        lock(&self.made).insert(what.to_owned(), made.clone());
        made
    }
}

/// The name in `Host`, without its port, in lower case.
pub(super) fn host_of(asked: &Asked) -> String {
    let host = asked.header("host").unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, port)| {
        match port.bytes().all(|byte| byte.is_ascii_digit()) {
            true => name,
            false => host,
        }
    });
    name.to_ascii_lowercase()
}

impl<'a> Call<'a> {
    /// A request of the family that stands before `case`.
    pub(super) fn new(
        shared: &'a Shared,
        asked: &'a Asked,
        target: &'a str,
    ) -> (&'a str, Call<'a>) {
        let path = path_of(target).trim_start_matches('/');
        let (family, case) = path.split_once('/').unwrap_or((path, ""));
        let query = target.split_once('?').map_or("", |(_, query)| query);
        let call = Call {
            asked,
            shared,
            case,
            query,
        };
        (family, call)
    }

    /// A parameter as text, percent-escapes undone.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        let mut fields = self.query.split('&');
        let value = fields.find_map(|field| {
            let (key, value) = field.split_once('=').unwrap_or((field, ""));
            (key == name).then_some(value)
        })?;
        Some(unescaped(value))
    }

    /// Whether a parameter is there.
    pub(super) fn has(&self, name: &str) -> bool {
        self.text(name).is_some()
    }

    /// A parameter as a number, such as `10`, `64K`, `10M`, `1G` (1024 each), no more than the bound of bytes.
    pub(super) fn number(&self, name: &str, default: u64) -> u64 {
        let written = self.text(name).unwrap_or_default();
        let (digits, shift) = match written.as_bytes().last() {
            Some(b'K' | b'k') => (&written[..written.len() - 1], 10),
            Some(b'M' | b'm') => (&written[..written.len() - 1], 20),
            Some(b'G' | b'g') => (&written[..written.len() - 1], 30),
            Some(_) | None => (&written[..], 0),
        };
        let number: u64 = digits.parse().unwrap_or(default);
        let number = match digits.is_empty() {
            true => default,
            false => number.saturating_mul(1 << shift),
        };
        number.min(self.shared.bounds.bytes)
    }

    /// As [`Call::number`], for what is held in memory here: no more than 64 Mi.
    pub(super) fn small(&self, name: &str, default: usize) -> usize {
        let number = self.number(name, default as u64).min(64 << 20);
        usize::try_from(number).expect("64 Mi is a size")
    }

    /// Most bytes of one thing.
    pub(super) fn most_bytes(&self) -> u64 {
        self.shared.bounds.bytes
    }

    /// The name of the host that is asked.
    pub(super) fn host(&self) -> String {
        host_of(self.asked)
    }

    /// How often this target of this host was asked before.
    pub(super) fn turn(&self) -> u64 {
        let key = (self.host(), self.asked.target.clone());
        let mut turns = lock(&self.shared.turns);
        let turn = turns.entry(key).or_insert(0);
        *turn += 1;
        *turn - 1
    }

    /// A number that follows from the seed, the target and `salt` alone.
    pub(super) fn dice(&self, salt: u64) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.shared.seed, &self.asked.target, salt).hash(&mut hasher);
        hasher.finish()
    }

    pub(super) fn ports(&self) -> &Ports {
        self.shared.ports.get_or_init(Ports::default)
    }

    /// The authority of a host below the domain, at the port of the site.
    pub(super) fn at(&self, label: &str) -> String {
        format!("{label}.{}:{}", super::DOMAIN, self.ports().site)
    }
}

fn unescaped(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escaped = (bytes[at] == b'%')
            .then(|| text.get(at + 1..at + 3))
            .flatten()
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        out.push(escaped.unwrap_or(bytes[at]));
        at += if escaped.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&out).into_owned()
}
