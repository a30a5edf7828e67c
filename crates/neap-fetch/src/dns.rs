//! Which addresses has a name, and if none, does it not exist or can it not be asked now?
//!
//! The system resolves (its hosts file, its order of addresses), on tokio's blocking threads. Those
//! are few, so one name is looked up once at a time, however many connections wait for it.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared, WeakShared};

/// Why a name has no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DnsError {
    /// It does not exist, or has no address.
    #[error("{0}")]
    NotFound(String),
    /// It could not be asked; it may be later.
    #[error("{0}")]
    Unavailable(String),
    /// neap's own process had no socket or thread left to ask with.
    #[error("{0}")]
    Internal(String),
}

type LookUp = BoxFuture<'static, Result<Vec<SocketAddr>, DnsError>>;

/// The system's resolver, one look-up per name at a time.
#[derive(Debug, Default)]
pub(crate) struct SystemResolver {
    under_way: Mutex<HashMap<String, WeakShared<LookUp>>>,
}

impl SystemResolver {
    /// The addresses of a name, with port 0.
    pub(crate) async fn addresses(&self, name: &str) -> Result<Vec<SocketAddr>, DnsError> {
        self.join_look_up(name).await
    }

    fn join_look_up(&self, name: &str) -> Shared<LookUp> {
        let mut under_way = self
            .under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let joined = under_way.get(name).and_then(WeakShared::upgrade);
        if let Some(look_up) = joined.filter(|look_up| look_up.peek().is_none()) {
            return look_up;
        }
        under_way.retain(|_, look_up| look_up.upgrade().is_some());
        let look_up = look_up(name.to_owned()).boxed().shared();
        if let Some(weak) = look_up.downgrade() {
            under_way.insert(name.to_owned(), weak);
        }
        look_up
    }
}

async fn look_up(name: String) -> Result<Vec<SocketAddr>, DnsError> {
    // The connector sets the port.
    let found = tokio::net::lookup_host((name, 0))
        .await
        .map_err(|error| kind_of(&error))?;
    let addresses: Vec<SocketAddr> = found.collect();
    match addresses.is_empty() {
        true => Err(DnsError::NotFound("the name has no address".to_owned())),
        false => Ok(addresses),
    }
}

/// The standard library keeps of getaddrinfo's answer only the text of `gai_strerror`, so that is
/// what tells "no such name" from "ask later". The texts of glibc, musl and macOS for `EAI_NONAME`
/// and `EAI_NODATA`; they are not translated unless a program calls `setlocale`, which this does not.
const NOT_FOUND_TEXTS: [&str; 6] = [
    "Name or service not known",
    "No address associated with hostname",
    "Name does not resolve",
    "Name has no usable address",
    "nodename nor servname provided",
    "No such host is known",
];

fn kind_of(error: &io::Error) -> DnsError {
    let text = error.to_string();
    if crate::failure::is_exhaustion(error) {
        return DnsError::Internal(text);
    }
    // A name that cannot be put into a query (too long a label) does not exist either.
    let is_not_found = error.kind() == io::ErrorKind::InvalidInput
        || NOT_FOUND_TEXTS.iter().any(|known| text.contains(known));
    match is_not_found {
        true => DnsError::NotFound(text),
        false => DnsError::Unavailable(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_getaddrinfo() {
        type Kind = fn(String) -> DnsError;
        let front = "failed to lookup address information: ";
        for (text, kind) in [
            ("Name or service not known", DnsError::NotFound as Kind),
            ("No address associated with hostname", DnsError::NotFound),
            (
                "Temporary failure in name resolution",
                DnsError::Unavailable,
            ),
            (
                "Non-recoverable failure in name resolution",
                DnsError::Unavailable,
            ),
            ("Name does not resolve", DnsError::NotFound),
            ("Try again", DnsError::Unavailable),
        ] {
            let text = format!("{front}{text}");
            assert_eq!(kind_of(&io::Error::other(text.clone())), kind(text));
        }
        let no_sockets = io::Error::from_raw_os_error(24);
        assert!(matches!(kind_of(&no_sockets), DnsError::Internal(_)));
    }

    #[tokio::test]
    async fn one_name_is_looked_up_once_at_a_time() {
        let resolver = SystemResolver::default();
        let first = resolver.join_look_up("localhost");
        let second = resolver.join_look_up("localhost");
        assert!(first.ptr_eq(&second));
        let found = second.await.unwrap();
        assert!(
            found.iter().all(|address| address.ip().is_loopback()),
            "{found:?}"
        );
        assert!(
            !resolver.join_look_up("localhost").ptr_eq(&first),
            "answers are not kept"
        );
    }
}
