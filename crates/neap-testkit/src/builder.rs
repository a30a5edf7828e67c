//! How is a site described before it starts?

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::IpAddr;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Semaphore;

use crate::asked::Asked;
use crate::book::{Book, Listener};
use crate::connection::{Host, Opening};
use crate::plan::Plan;
use crate::reply::Reply;
use crate::script::{Capacity, Compute, Outage, Route, Script};
use crate::site::Site;
use crate::tls::Identity;
use crate::tree::Tree;

/// A site in the making. Without any call it answers 404 to everything, on 127.0.0.1 and a free
/// port.
#[must_use]
pub struct Builder {
    ips: Vec<String>,
    port: u16,
    opening: Opening,
    keeps_log: bool,
    routes: HashMap<String, Arc<Route>>,
    tree: Option<Tree>,
    fallback: Compute,
    latency: Duration,
    workers: Option<usize>,
    outages: Vec<Outage>,
    capacity: Option<Capacity>,
    first: Vec<(usize, Arc<Plan>)>,
    spared: HashSet<String>,
    listener: Option<Listener>,
    longest: Option<Duration>,
}

impl Default for Builder {
    fn default() -> Builder {
        Builder {
            ips: Vec::new(),
            port: 0,
            opening: Opening::Plain,
            keeps_log: true,
            routes: HashMap::new(),
            tree: None,
            fallback: Arc::new(|_| Reply::status(404)),
            latency: Duration::ZERO,
            workers: None,
            outages: Vec::new(),
            capacity: None,
            first: Vec::new(),
            spared: HashSet::new(),
            listener: None,
            longest: None,
        }
    }
}

/// Where it listens and what it keeps.
impl Builder {
    /// Listens on this loopback address (127.x.y.z or ::1) instead of 127.0.0.1. Each further call
    /// adds an address with the same port, script and log.
    pub fn bind(mut self, ip: &str) -> Builder {
        self.ips.push(ip.to_owned());
        self
    }

    /// Listens on this port instead of a free one.
    pub fn port(mut self, port: u16) -> Builder {
        self.port = port;
        self
    }

    /// Speaks TLS, as whoever this is.
    pub fn tls(mut self, identity: &Identity) -> Builder {
        self.opening = Opening::Tls(identity.acceptor());
        self
    }

    /// Accepts connections and then says nothing, whatever comes: to an `https` URL, a handshake
    /// that is never answered. The last call of `tls` and `mute` counts.
    pub fn mute(mut self) -> Builder {
        self.opening = Opening::Mute;
        self
    }

    /// Keeps counters only, for benchmarks. What needs the log then panics when asked.
    pub fn without_log(mut self) -> Builder {
        self.keeps_log = false;
        self
    }

    /// Has each request told when it has ended, with or without a log.
    pub fn on_end(mut self, listener: impl Fn(&Asked) + Send + Sync + 'static) -> Builder {
        self.listener = Some(Arc::new(listener));
        self
    }

    /// Closes each connection after so long, whatever is going on over it. Default: never.
    pub fn longest_connection(mut self, longest: Duration) -> Builder {
        self.longest = Some(longest);
        self
    }
}

/// What it serves. A path with a query (`/a?b=1`) stands for that target alone, one without for any
/// query. The last call for a path counts.
impl Builder {
    /// Answers this path always alike.
    pub fn page(self, path: &str, reply: Reply) -> Builder {
        self.add(path, Route::Fixed(Arc::new(Plan::new(&reply))))
    }

    /// Answers this path with one reply after the other; the last one stays.
    ///
    /// # Panics
    /// If there is no reply.
    pub fn in_turn(self, path: &str, replies: impl IntoIterator<Item = Reply>) -> Builder {
        let plans: Vec<_> = replies
            .into_iter()
            .map(|reply| Arc::new(Plan::new(&reply)))
            .collect();
        assert!(!plans.is_empty(), "a path needs a reply");
        self.add(path, Route::InTurn(plans, AtomicUsize::new(0)))
    }

    /// Answers this path with what the closure says. It runs on the site's thread: it must not
    /// block, and what it waits for belongs in the reply's delay.
    pub fn route(
        self,
        path: &str,
        compute: impl Fn(&Asked) -> Reply + Send + Sync + 'static,
    ) -> Builder {
        self.add(path, Route::Computed(Arc::new(compute)))
    }

    /// Serves the pages of a generated site.
    pub fn tree(mut self, tree: Tree) -> Builder {
        self.tree = Some(tree);
        self
    }

    /// Answers whatever has no page of its own, instead of 404; under the same terms as
    /// [`Builder::route`].
    pub fn fallback(
        mut self,
        compute: impl Fn(&Asked) -> Reply + Send + Sync + 'static,
    ) -> Builder {
        self.fallback = Arc::new(compute);
        self
    }

    /// Serves this robots file.
    pub fn robots(self, body: impl Into<Bytes>) -> Builder {
        self.robots_reply(Reply::text(body))
    }

    /// Answers this to the question for the robots file.
    pub fn robots_reply(self, reply: Reply) -> Builder {
        self.page("/robots.txt", reply)
    }

    fn add(mut self, path: &str, route: Route) -> Builder {
        self.routes.insert(path.to_owned(), Arc::new(route));
        self
    }
}

/// How the whole host behaves, robots file included unless it is spared. Replies given here come at
/// once, but for their own delay.
impl Builder {
    /// Adds this service time to every page.
    pub fn latency(mut self, latency: Duration) -> Builder {
        self.latency = latency;
        self
    }

    /// Serves at most `n` pages (at least 1) at a time; the others queue, first come first served,
    /// and their latency grows with the load.
    pub fn workers(mut self, n: usize) -> Builder {
        self.workers = Some(n.max(1));
        self
    }

    /// Gives `refusal` to every request that arrives while `n` are being served. It needs pages
    /// that take time, by delay or latency: without, no two are ever served at once.
    pub fn capacity(mut self, n: usize, refusal: Reply) -> Builder {
        self.capacity = Some(Capacity {
            seats: n,
            taken: Arc::new(AtomicUsize::new(0)),
            plan: Arc::new(Plan::new(&refusal)),
        });
        self
    }

    /// Gives `reply` to every request that arrives from `from` until before `to`, both counted from
    /// the first request. May be called again for further outages.
    pub fn outage(mut self, from: Duration, to: Duration, reply: Reply) -> Builder {
        self.outages.push(Outage {
            from,
            to,
            plan: Arc::new(Plan::new(&reply)),
        });
        self
    }

    /// Gives `reply` to the first `n` requests of each URL. A further call speaks of those after
    /// them.
    pub fn first(mut self, n: usize, reply: Reply) -> Builder {
        self.first.push((n, Arc::new(Plan::new(&reply))));
        self
    }

    /// Serves this path always, whatever befalls the host: neither outage nor capacity nor the first
    /// requests concern it.
    pub fn spare(mut self, path: &str) -> Builder {
        self.spared.insert(path.to_owned());
        self
    }
}

impl Builder {
    /// Starts the site; it listens when this returns.
    ///
    /// # Panics
    /// If it cannot start; [`Builder::try_start`] returns the error instead.
    pub fn start(self) -> Site {
        self.try_start()
            .expect("a test site needs a free loopback port and a thread")
    }

    /// Starts the site; it listens when this returns.
    ///
    /// # Errors
    /// An address that is not a loopback address, a port in use, no more threads or sockets.
    pub fn try_start(self) -> io::Result<Site> {
        let ips = loopback_ips(&self.ips)?;
        let script = Script {
            routes: Mutex::new(self.routes),
            tree: self.tree,
            fallback: self.fallback,
            latency: self.latency,
            workers: self.workers.map(|n| Arc::new(Semaphore::new(n))),
            switched: Mutex::new(None),
            outages: self.outages,
            capacity: self.capacity,
            first: self.first,
            spared: self.spared,
            began: OnceLock::new(),
            seen: Mutex::new(HashMap::new()),
        };
        let book = Arc::new(Book::new(self.keeps_log, self.listener));
        Site::run(
            Arc::new(Host {
                book,
                script,
                opening: self.opening,
                longest: self.longest,
            }),
            ips,
            self.port,
        )
    }
}

/// The addresses to listen on. Only loopback: a site that misbehaves must not be reachable.
fn loopback_ips(ips: &[String]) -> io::Result<Vec<IpAddr>> {
    if ips.is_empty() {
        return Ok(vec![IpAddr::from([127, 0, 0, 1])]);
    }
    ips.iter()
        .map(|text| match text.parse::<IpAddr>() {
            Ok(ip) if ip.is_loopback() => Ok(ip),
            Ok(_) | Err(_) => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{text:?} is not a loopback address"),
            )),
        })
        .collect()
}
