//! Which addresses has a name, and if none, does it not exist or can it not be asked now?
//!
//! ```text
//!  name ──► known? ──no──► being asked? ──no──► hosts file, name servers ──► remembered
//!            │ yes             │ yes: wait along                                  │
//!            └─────────────────┴───────────────► those that may be connected to ◄─┘
//! ```
//!
//! What is private ([`neap_core::address`]) is left out at each use, of exactly the addresses that the connection is
//! then made to: a name server that says something else a moment later changes nothing.

mod known;
mod names;

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared, WeakShared};
use neap_core::address::reserved;
use neap_core::job::Request;
use tokio::time::Instant;

use known::Known;
use names::Names;

/// Why a name has no address to connect to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DnsError {
    /// It does not exist, or has no address.
    #[error("{0}")]
    NotFound(String),
    /// It could not be asked; it may be later.
    #[error("{0}")]
    Unavailable(String),
    /// It has only addresses that are not of the public internet.
    #[error("{0}")]
    Private(String),
    /// neap's own process had no socket or thread left to ask with.
    #[error("{0}")]
    Internal(String),
}

/// What is known of a name.
type Answer = Result<Arc<[IpAddr]>, DnsError>;

type LookUp = Shared<BoxFuture<'static, Answer>>;

/// Finds addresses, asks for one name once at a time and remembers what it heard.
pub(crate) struct Resolver {
    names: Arc<Names>,
    known: Arc<Mutex<Known>>,
    under_way: Mutex<HashMap<String, WeakShared<BoxFuture<'static, Answer>>>>,
}

impl Resolver {
    /// A resolver by a job's settings: its name servers, within its time to make a connection.
    pub(crate) fn new(request: &Request) -> Resolver {
        Resolver::of(Names::new(&request.name_servers, request.connect_timeout))
    }

    fn of(names: Names) -> Resolver {
        Resolver {
            names: Arc::new(names),
            known: Arc::default(),
            under_way: Mutex::default(),
        }
    }

    /// All addresses of a name, at least one, with port 0: for proxies, which are where the owner of the job says.
    pub(crate) async fn addresses(&self, name: &str) -> Result<Vec<SocketAddr>, DnsError> {
        self.permitted(name, true).await
    }

    /// The addresses of a host that may be connected to, at least one, with port 0.
    pub(crate) async fn permitted(
        &self,
        name: &str,
        may_be_private: bool,
    ) -> Result<Vec<SocketAddr>, DnsError> {
        permitted(&self.look_up(name).await?, may_be_private)
    }

    /// All that is known of a name, waited for together with whoever else asks.
    fn look_up(&self, name: &str) -> LookUp {
        if let Some(answer) = lock(&self.known).get(name, Instant::now()) {
            return std::future::ready(answer).boxed().shared();
        }
        let mut under_way = lock(&self.under_way);
        let joined = under_way.get(name).and_then(WeakShared::upgrade);
        if let Some(look_up) = joined.filter(|look_up| look_up.peek().is_none()) {
            return look_up;
        }
        under_way.retain(|_, look_up| look_up.upgrade().is_some());
        let (names, known) = (Arc::clone(&self.names), Arc::clone(&self.known));
        let asked = name.to_owned();
        let asking = async move {
            let heard = names.ask(&asked).await;
            lock(&known).learn(&asked, heard, Instant::now())
        };
        let look_up = asking.boxed().shared();
        if let Some(weak) = look_up.downgrade() {
            under_way.insert(name.to_owned(), weak);
        }
        look_up
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Resolver")
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Those of a host's addresses that may be connected to.
fn permitted(addresses: &[IpAddr], may_be_private: bool) -> Result<Vec<SocketAddr>, DnsError> {
    let is_open = |address: &&IpAddr| may_be_private || reserved(**address).is_none();
    let open: Vec<_> = addresses.iter().filter(is_open).collect();
    match (open.is_empty(), addresses.first()) {
        // The connector sets the port.
        (false, _) => Ok(open.into_iter().map(|at| SocketAddr::new(*at, 0)).collect()),
        (true, None) => Err(DnsError::NotFound("the name has no address".to_owned())),
        (true, Some(first)) => {
            let what = reserved(*first).map_or("private", |range| range.what);
            Err(DnsError::Private(format!(
                "its name leads to {first}, which is {what}"
            )))
        }
    }
}

#[cfg(test)]
mod tests;
