//! What is a server that does every hostile thing that is known, each at a path of its own?
//!
//! A case is asked for as `/family/case?parameter=value`: `/s/502`, `/c/gzip-bomb?out=1G`, `/t/stall?after=100`. What robots
//! file a host has and what its name leads to is told by the first label of the name, since there a client asks by itself:
//! `robots-html.hostile.internal`, `dns-silence.hostile.internal`. Every name below [`DOMAIN`] leads to it, so that each case
//! can have a host of its own; whoever cannot ask its name server says the name in `Host`.
//!
//! The same seed and the same target give the same bytes. Nothing is endless: a body ends at [`Bounds::bytes`], a connection
//! at [`Bounds::time`]. It stands on loopback alone.
//!
//! The server judges nobody; it keeps what others judge by: the log of all requests, counters, sightings of canaries
//! (values `SECRET-` and hexadecimal digits), and whether somebody connected to the trap, to which only bait leads.

mod call;
mod families;
mod journal;
mod sockets;
mod stands;
mod tally;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::asked::Asked;
use crate::names::NameServer;
use crate::refusing::Refusing;
use crate::site::Site;
use crate::tls::Authority;
use call::Shared;
use journal::Journal;
use sockets::{Blunt, Full};
use stands::Stands;

pub use call::Bounds;
pub use families::USAGE as FAMILIES;
pub use tally::Sighting;

/// The domain of all its hosts: one of those that never are on the public internet, so that a client can be told that they are
/// meant and nothing else of this machine is.
pub const DOMAIN: &str = "hostile.internal";

/// Hosts that one server can stand on: 127.0.0.1 to 127.0.0.20.
pub const MAX_HOSTS: u8 = 20;

/// A hostile server in the making.
#[must_use]
#[derive(Debug, Clone)]
pub struct HostileBuilder {
    seed: u64,
    hosts: u8,
    port: u16,
    bounds: Bounds,
    log: Option<PathBuf>,
}

/// A hostile server that runs. It stops when dropped.
pub struct Hostile {
    site: Site,
    stands: Stands,
    names: NameServer,
    trap: Blunt,
    full: Full,
    refusing: Refusing,
    shared: Arc<Shared>,
}

impl HostileBuilder {
    /// What all that looks random follows from. Default: 1.
    pub fn seed(mut self, seed: u64) -> HostileBuilder {
        self.seed = seed;
        self
    }

    /// How many addresses it stands on, from 127.0.0.1 on, 1 to [`MAX_HOSTS`]. Default: 1.
    pub fn hosts(mut self, hosts: u8) -> HostileBuilder {
        self.hosts = hosts.clamp(1, MAX_HOSTS);
        self
    }

    /// The port for plain HTTP; 0, the default, is a free one.
    pub fn port(mut self, port: u16) -> HostileBuilder {
        self.port = port;
        self
    }

    /// Where what has no end does end.
    pub fn bounds(mut self, bounds: Bounds) -> HostileBuilder {
        self.bounds = bounds;
        self
    }

    /// A file for the log: a JSON object for each request that has ended.
    pub fn log(mut self, file: PathBuf) -> HostileBuilder {
        self.log = Some(file);
        self
    }

    /// Listens and serves.
    ///
    /// # Errors
    /// No free port, no thread, or the file of the log cannot be made.
    pub fn start(self) -> io::Result<Hostile> {
        let authority = Authority::new();
        let trap = Blunt::listen(b"")?;
        let full = Full::listen()?;
        let refusing = Refusing::take()?;
        let shared = Arc::new(Shared::new(self.seed, self.bounds));
        let journal = self.log.as_deref().map(Journal::create).transpose()?;
        let site = self.site(&shared, journal)?;
        let stands = Stands::start(authority, &shared)?;
        let names = families::names(site.address());
        shared.ports(families::Ports {
            site: site.address().port(),
            trap: trap.port(),
            full: full.port(),
            refusing: refusing.address().port(),
            tls: stands.ports(),
        });
        Ok(Hostile {
            site,
            stands,
            names,
            trap,
            full,
            refusing,
            shared,
        })
    }

    fn site(&self, shared: &Arc<Shared>, journal: Option<Journal>) -> io::Result<Site> {
        let mut builder = Site::builder()
            .port(self.port)
            .longest_connection(self.bounds.time)
            .route("/_stats", stats(shared))
            .fallback(replies(shared));
        for host in 1..=self.hosts {
            builder = builder.bind(&format!("127.0.0.{host}"));
        }
        if let Some(journal) = journal {
            builder = builder
                .without_log()
                .on_end(move |asked| journal.note(asked));
        }
        builder.try_start()
    }
}

fn replies(shared: &Arc<Shared>) -> impl Fn(&Asked) -> crate::Reply + Send + Sync + 'static {
    let shared = Arc::clone(shared);
    move |asked| families::reply(&shared, asked)
}

fn stats(shared: &Arc<Shared>) -> impl Fn(&Asked) -> crate::Reply + Send + Sync + 'static {
    let shared = Arc::clone(shared);
    move |_| crate::Reply::ok(shared.stats()).header("content-type", "application/json")
}

impl Hostile {
    /// A server in the making.
    pub fn builder() -> HostileBuilder {
        HostileBuilder {
            seed: 1,
            hosts: 1,
            port: 0,
            bounds: Bounds::default(),
            log: None,
        }
    }

    /// The site that speaks plain HTTP, with its log unless that goes to a file.
    pub fn site(&self) -> &Site {
        &self.site
    }

    /// The name server that knows its hosts.
    pub fn names(&self) -> &NameServer {
        &self.names
    }

    /// The authority that vouches for those of its TLS hosts that are good.
    pub fn authority(&self) -> &Authority {
        self.stands.authority()
    }

    /// The URL of a target under a host name of its own: `http://LABEL.hostile.internal:PORT/...`. A target `tls:CASE` is on the
    /// port of that TLS case, `full:` and `refusing:` on those that accept no connection.
    ///
    /// # Panics
    /// If there is no such TLS case.
    pub fn url(&self, label: &str, target: &str) -> String {
        let host = format!("{label}.{DOMAIN}");
        let at = |scheme: &str, port: u16, path: &str| format!("{scheme}://{host}:{port}{path}");
        match target.split_once(':') {
            Some(("tls", case)) => at("https", self.stands.port(case), "/ok"),
            Some(("full", _)) => at("http", self.full.port(), "/"),
            Some(("refusing", _)) => at("http", self.refusing.address().port(), "/"),
            Some(_) | None => at("http", self.site.address().port(), target),
        }
    }

    /// Where canaries were seen so far, each value once per host and header.
    pub fn sightings(&self) -> Vec<Sighting> {
        self.shared.sightings()
    }

    /// Connections that were made to the trap.
    pub fn trapped(&self) -> u64 {
        self.trap.connections()
    }

    /// All ports, as a JSON object.
    pub fn ports(&self) -> String {
        let tls = self.stands.ports();
        let tls: serde_json::Map<String, serde_json::Value> = tls
            .into_iter()
            .map(|(case, port)| (case.to_owned(), port.into()))
            .collect();
        let addresses: Vec<String> = self
            .site
            .addresses()
            .iter()
            .map(SocketAddr::to_string)
            .collect();
        serde_json::json!({
            "http": addresses, "dns": self.names.address().to_string(), "trap": self.trap.port(),
            "full": self.full.port(), "refusing": self.refusing.address().port(), "tls": tls,
        })
        .to_string()
    }
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds {
            bytes: 8 << 30,
            time: Duration::from_secs(600),
        }
    }
}
