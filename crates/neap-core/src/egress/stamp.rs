//! What does a proxy leave on what it relays, so that its own answers can be told from the host's?
//!
//! A proxy that relays an answer adds fields of its own, such as `Via` (RFC 9110, section 7.6.3), and some add none to
//! errors that they write themselves. A proxy that reads along in tunnels shows certificates of one issuer of its own
//! for every host. Neither can be seen in one answer; here both are learned from the answers of many hosts.
//!
//! ```text
//!  good answers ──learn──► fields that nearly every one has ──────────┐
//!  certificates ──learn──► an issuer of all hosts of one way alone ───┴──apply──► evidence
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use http::HeaderMap;

use super::{Party, ProxyId};
use crate::attribution::{Evidence, latin1};
use crate::exchange::Exchange;
use crate::route::Way;

/// A field is a proxy's once so many hosts showed it: two hosts may have one by chance.
const HOSTS: usize = 3;
/// And if so large a share of the answers has it. A proxy may let one through now and then.
const NEARLY_ALL: f64 = 0.95;
/// Hosts that show a proxy's one issuer before it is believed, and others that do not.
const CERTIFIED: usize = 5;
/// Answers after which the counts are halved, so that a proxy may change.
const REMEMBERED: u32 = 512;
/// Fields that are counted for a proxy; the rarest gives way.
const MOST_MARKS: usize = 12;
/// Longest value that is compared, in characters.
const LONGEST: usize = 80;
/// Proxies of which something is known; the first ones listed are forgotten. Each takes 2 KB at most.
const MOST_PROXIES: usize = 8_192;
/// Fields of direct answers and issuers that are remembered; further ones are never held for a proxy's.
const MOST_KNOWN: usize = 4_096;
/// The last hosts whose issuer is remembered.
const MOST_SHOWN: usize = 64;

/// What is known of the marks that proxies leave.
#[derive(Debug, Default)]
pub struct Stamps {
    proxies: BTreeMap<ProxyId, Learned>,
    /// Marks that hosts leave themselves: seen on direct answers.
    direct: BTreeSet<u64>,
    /// Issuers that were seen, and whether they were by ways that show others too.
    issuers: BTreeMap<u64, bool>,
    /// The last hosts and their issuers.
    shown: Vec<(Party, u64)>,
}

/// What is known of one proxy.
#[derive(Debug, Default)]
struct Learned {
    /// Good answers in plain HTTP.
    answers: u32,
    /// The first hosts that they came from.
    hosts: Vec<Party>,
    /// Marks, and how many of the answers had them.
    marks: Vec<(String, u32)>,
    issuer: Issuer,
}

/// The issuers that a way shows.
#[derive(Debug, Default)]
enum Issuer {
    /// None yet.
    #[default]
    Unknown,
    /// Always this one, for these hosts, the first few.
    One(u64, Vec<Party>),
    /// More than one: nobody reads along with all of them.
    Several,
}

impl Stamps {
    /// Learns from an exchange that went well, and from one whose certificate is not to be trusted. `proxy` is the
    /// way as the pools number it; an exchange without a proxy teaches what hosts do themselves.
    pub fn learn(&mut self, proxy: ProxyId, host: Party, exchange: &Exchange) {
        let is_direct = exchange.route.way == Way::Direct;
        if let Some(issuer) = issuer(exchange) {
            self.learn_issuer((!is_direct).then_some(proxy), host, issuer);
        }
        let Some(headers) = good(exchange) else {
            return;
        };
        match exchange.route.way {
            Way::Direct => {
                for mark in marks(headers) {
                    if self.direct.len() < MOST_KNOWN {
                        self.direct.insert(hash(&mark));
                    }
                }
            }
            Way::Plain => self.learned(proxy).take(host, marks(headers)),
            Way::Tunnel | Way::Socks5 => {}
        }
    }

    /// Adds to the evidence of an exchange what its proxy's marks tell; nothing while too little is known.
    pub fn apply(&self, proxy: ProxyId, exchange: &Exchange, evidence: &mut Evidence) {
        let Some(learned) = self.proxies.get(&proxy) else {
            return;
        };
        if exchange.route.way == Way::Plain
            && let Some(headers) = any(exchange)
        {
            evidence.has_usual_stamp = learned.is_stamped(&self.direct, &marks(headers));
        }
        if let (Issuer::One(own, hosts), Some(shown)) = (&learned.issuer, issuer(exchange))
            && *own == shown
            && hosts.len() >= CERTIFIED
            && self.is_nobody_elses(shown)
        {
            evidence.is_intercepted = Some(true);
        }
    }

    fn learned(&mut self, proxy: ProxyId) -> &mut Learned {
        if self.proxies.len() >= MOST_PROXIES && !self.proxies.contains_key(&proxy) {
            self.proxies.pop_first();
        }
        self.proxies.entry(proxy).or_default()
    }

    fn learn_issuer(&mut self, proxy: Option<ProxyId>, host: Party, issuer: u64) {
        if !self.shown.contains(&(host, issuer)) {
            if self.shown.len() == MOST_SHOWN {
                self.shown.remove(0);
            }
            self.shown.push((host, issuer));
        }
        let is_known = self.issuers.contains_key(&issuer);
        if is_known || self.issuers.len() < MOST_KNOWN {
            self.issuers.entry(issuer).or_default();
        }
        let mixed = match proxy {
            None => vec![issuer],
            Some(proxy) => self.learned(proxy).issuer.take(host, issuer),
        };
        for issuer in mixed {
            if let Some(is_mixed) = self.issuers.get_mut(&issuer) {
                *is_mixed = true;
            }
        }
    }

    /// Whether an issuer was only seen by ways that show nothing else, and enough hosts show others.
    fn is_nobody_elses(&self, issuer: u64) -> bool {
        let others = self.shown.iter().filter(|(_, shown)| *shown != issuer);
        let others: BTreeSet<Party> = others.map(|(host, _)| *host).collect();
        self.issuers.get(&issuer) == Some(&false) && others.len() >= CERTIFIED
    }
}

impl Learned {
    /// Counts the marks of one answer.
    fn take(&mut self, host: Party, marks: Vec<String>) {
        self.answers += 1;
        if self.hosts.len() < HOSTS && !self.hosts.contains(&host) {
            self.hosts.push(host);
        }
        for mark in marks {
            match self.marks.iter_mut().find(|(known, _)| *known == mark) {
                Some((_, times)) => *times += 1,
                None => {
                    if self.marks.len() == MOST_MARKS {
                        let rarest = self.marks.iter().enumerate();
                        let rarest = rarest.min_by_key(|(_, (_, times))| *times);
                        let place = rarest.map_or(0, |(place, _)| place);
                        self.marks.swap_remove(place);
                    }
                    self.marks.push((mark, 1));
                }
            }
        }
        if self.answers >= REMEMBERED {
            self.answers /= 2;
            self.marks.iter_mut().for_each(|(_, times)| *times /= 2);
        }
    }

    /// Whether an answer with these marks bears one of the proxy's; `None` if it leaves none, or too little is known.
    fn is_stamped(&self, direct: &BTreeSet<u64>, found: &[String]) -> Option<bool> {
        if self.hosts.len() < HOSTS {
            return None;
        }
        let least = f64::from(self.answers) * NEARLY_ALL;
        let usual: Vec<&str> = self
            .marks
            .iter()
            .filter(|(mark, times)| f64::from(*times) >= least && !direct.contains(&hash(mark)))
            .map(|(mark, _)| mark.as_str())
            .collect();
        // Where the value is always the same, the name alone says less.
        let has_value = |name: &str| {
            usual
                .iter()
                .any(|mark| name_of(mark) == name && *mark != name)
        };
        let mut telling = usual.iter().filter(|mark| !has_value(mark)).peekable();
        telling.peek()?;
        Some(telling.any(|mark| found.iter().any(|other| other == mark)))
    }
}

impl Issuer {
    /// Takes up one certificate. Gives the issuers of which it is known now that a way shows several.
    fn take(&mut self, host: Party, issuer: u64) -> Vec<u64> {
        match self {
            Issuer::Unknown => {
                *self = Issuer::One(issuer, vec![host]);
                Vec::new()
            }
            Issuer::One(one, hosts) if *one == issuer => {
                if hosts.len() < CERTIFIED && !hosts.contains(&host) {
                    hosts.push(host);
                }
                Vec::new()
            }
            Issuer::One(one, _) => {
                let mixed = vec![*one, issuer];
                *self = Issuer::Several;
                mixed
            }
            Issuer::Several => vec![issuer],
        }
    }
}

/// The header of an answer that is neither an error nor broken off.
fn good(exchange: &Exchange) -> Option<&HeaderMap> {
    let answer = exchange.result.as_ref().ok()?;
    (200..400)
        .contains(&answer.status)
        .then_some(&answer.headers)
}

/// The header of any answer, also of one that was only begun.
fn any(exchange: &Exchange) -> Option<&HeaderMap> {
    match &exchange.result {
        Ok(answer) => Some(&answer.headers),
        Err(_) => exchange.route.begun.as_deref(),
    }
}

fn issuer(exchange: &Exchange) -> Option<u64> {
    let certificate = exchange.route.certificate.as_ref()?;
    (!certificate.issuer.is_empty()).then(|| hash(&certificate.issuer))
}

/// The fields of a header that who relays it may have left: each as its name, and as name and value.
fn marks(headers: &HeaderMap) -> Vec<String> {
    let mut marks = Vec::new();
    for name in headers.keys().filter(|name| is_mark(name.as_str())) {
        let Some(value) = headers.get_all(name).iter().next_back() else {
            continue;
        };
        let value = latin1(value.as_bytes());
        let name = name.as_str();
        marks.push(name.to_owned());
        let value: String = constant(name, &value).chars().take(LONGEST).collect();
        marks.push(format!("{name}: {value}"));
    }
    marks
}

/// Whether a field may be one of caches and proxies, by its name. Vendors' own names mostly have such a part; that the
/// field is on nearly every answer of one way tells the rest.
fn is_mark(name: &str) -> bool {
    name == "via"
        || name.starts_with("x-cache")
        || ["proxy", "squid", "-via"]
            .iter()
            .any(|part| name.contains(part))
}

/// The part of a value that stays the same: of `Via` the hop nearest to us, of squid's `X-Cache` who says it.
fn constant<'a>(name: &str, value: &'a str) -> &'a str {
    let last = value.rsplit(',').next().unwrap_or(value).trim();
    match name {
        "via" => last,
        _ if name.starts_with("x-cache") => last.split_once(" from ").map_or(last, |(_, who)| who),
        _ => value.trim(),
    }
}

/// The name of a mark.
fn name_of(mark: &str) -> &str {
    mark.split(':').next().unwrap_or(mark)
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests;
