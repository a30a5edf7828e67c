//! Which connection is used again, and which one has waited longest?
//!
//! For a host the one that was used last, since a server has had the least time to close it; over all hosts
//! the order in which they began to wait.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use neap_core::host::Host;
use tokio::time::Instant;

use crate::egress::Egress;

/// What a connection can be used for: the requests of one fetcher, to one host, by one way.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) client: u64,
    pub(crate) egress: Egress,
    pub(crate) host: Host,
}

/// Connections that wait for their next request.
#[derive(Debug)]
pub(crate) struct Kept<C> {
    /// Of each kind, the one that waits longest first; with their turns.
    by_key: HashMap<Arc<Key>, Vec<(u64, C)>>,
    /// By turn: who began to wait earlier has a lower one.
    order: BTreeMap<u64, (Arc<Key>, Instant)>,
    turns: u64,
    patience: Duration,
}

impl<C> Kept<C> {
    /// Nothing yet; what comes waits for `patience`.
    pub(crate) fn new(patience: Duration) -> Kept<C> {
        Kept {
            by_key: HashMap::new(),
            order: BTreeMap::new(),
            turns: 0,
            patience,
        }
    }

    /// Takes a connection in, or gives it back if there are `most` of its kind already.
    pub(crate) fn put(
        &mut self,
        key: Arc<Key>,
        connection: C,
        now: Instant,
        most: usize,
    ) -> Option<C> {
        let of_key = self.by_key.entry(Arc::clone(&key)).or_default();
        if of_key.len() >= most {
            if of_key.is_empty() {
                self.by_key.remove(&key);
            }
            return Some(connection);
        }
        self.turns += 1;
        of_key.push((self.turns, connection));
        self.order.insert(self.turns, (key, now));
        None
    }

    /// The connection of this kind that came last, unless it has waited too long.
    pub(crate) fn take(&mut self, key: &Key, now: Instant) -> Option<C> {
        let of_key = self.by_key.get_mut(key)?;
        let (turn, _) = of_key.last()?;
        let (_, since) = self.order.get(turn)?;
        if *since + self.patience <= now {
            return None;
        }
        let (turn, connection) = of_key.pop()?;
        self.order.remove(&turn);
        if of_key.is_empty() {
            self.by_key.remove(key);
        }
        Some(connection)
    }

    /// The connection that has waited longest.
    pub(crate) fn oldest(&mut self) -> Option<C> {
        let (_, (key, _)) = self.order.pop_first()?;
        let of_key = self.by_key.get_mut(&key)?;
        // Turns of one kind are in order, so the first of all is the first of its kind.
        let (_, connection) = of_key.remove(0);
        if of_key.is_empty() {
            self.by_key.remove(&key);
        }
        Some(connection)
    }

    /// All that have waited too long.
    pub(crate) fn expired(&mut self, now: Instant) -> Vec<C> {
        let mut expired = Vec::new();
        while self.next_expiry().is_some_and(|at| at <= now) {
            expired.extend(self.oldest());
        }
        expired
    }

    /// When the next one will have waited too long.
    pub(crate) fn next_expiry(&self) -> Option<Instant> {
        let (_, (_, since)) = self.order.first_key_value()?;
        Some(*since + self.patience)
    }

    /// All connections of one fetcher.
    pub(crate) fn remove_client(&mut self, client: u64) -> Vec<C> {
        let theirs: Vec<Arc<Key>> = self.by_key.keys().cloned().collect();
        let mut removed = Vec::new();
        for key in theirs.into_iter().filter(|key| key.client == client) {
            for (turn, connection) in self.by_key.remove(&key).unwrap_or_default() {
                self.order.remove(&turn);
                removed.push(connection);
            }
        }
        removed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    fn key(client: u64, host: &str) -> Arc<Key> {
        Arc::new(Key {
            client,
            egress: Egress::DIRECT,
            host: Host::parse(host).unwrap(),
        })
    }

    #[test]
    fn the_last_of_a_kind_is_used_and_the_first_of_all_gives_way() {
        let mut kept = Kept::new(PATIENCE);
        let now = Instant::now();
        let (a, b) = (key(1, "http://a.example"), key(1, "http://b.example"));
        for (at, name) in [(&a, "a1"), (&b, "b1"), (&a, "a2"), (&b, "b2")] {
            assert_eq!(kept.put(Arc::clone(at), name, now, 16), None);
        }
        assert_eq!(kept.take(&a, now), Some("a2"));
        assert_eq!(kept.oldest(), Some("a1"));
        assert_eq!(kept.take(&a, now), None);
        assert_eq!(kept.oldest(), Some("b1"));
        assert_eq!(kept.oldest(), Some("b2"));
        assert_eq!(kept.oldest(), None);
        assert!(kept.by_key.is_empty() && kept.order.is_empty());
    }

    #[test]
    fn a_kind_is_host_way_and_fetcher() {
        let mut kept = Kept::new(PATIENCE);
        let now = Instant::now();
        kept.put(key(1, "http://a.example"), "mine", now, 16);
        let mut proxied = Key::clone(&key(1, "http://a.example"));
        proxied.egress = Egress::parse("http://h:1").unwrap();
        for other in [
            &proxied,
            &key(2, "http://a.example"),
            &key(1, "https://a.example"),
        ] {
            assert_eq!(kept.take(other, now), None);
        }
        assert_eq!(kept.take(&key(1, "http://a.example"), now), Some("mine"));
    }

    #[test]
    fn nothing_waits_for_longer_than_it_may() {
        let mut kept = Kept::new(PATIENCE);
        let now = Instant::now();
        let (a, b) = (key(1, "http://a.example"), key(1, "http://b.example"));
        kept.put(Arc::clone(&a), "a", now, 16);
        kept.put(Arc::clone(&b), "b", now + PATIENCE / 2, 16);
        assert_eq!(kept.next_expiry(), Some(now + PATIENCE));
        assert_eq!(kept.take(&a, now + PATIENCE), None);
        assert_eq!(kept.expired(now + PATIENCE), ["a"]);
        assert_eq!(kept.take(&b, now + PATIENCE), Some("b"));
        assert_eq!(kept.next_expiry(), None);
    }

    #[test]
    fn no_more_of_a_kind_are_kept_than_are_wanted() {
        let mut kept = Kept::new(PATIENCE);
        let (now, a) = (Instant::now(), key(1, "http://a.example"));
        assert_eq!(kept.put(Arc::clone(&a), "none", now, 0), Some("none"));
        assert!(kept.by_key.is_empty());
        assert_eq!(kept.put(Arc::clone(&a), "one", now, 1), None);
        assert_eq!(kept.put(Arc::clone(&a), "two", now, 1), Some("two"));
    }

    #[test]
    fn a_fetcher_takes_its_connections_with_it() {
        let mut kept = Kept::new(PATIENCE);
        let now = Instant::now();
        kept.put(key(1, "http://a.example"), "a", now, 16);
        kept.put(key(2, "http://a.example"), "other", now, 16);
        kept.put(key(1, "http://b.example"), "b", now, 16);
        let mut removed = kept.remove_client(1);
        removed.sort_unstable();
        assert_eq!(removed, ["a", "b"]);
        assert_eq!(kept.oldest(), Some("other"));
        assert_eq!(kept.oldest(), None);
    }
}
