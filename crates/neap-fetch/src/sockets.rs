//! How many connections may be open at once, and which one gives way to another?
//!
//! A connection holds a place from before its socket is made until after it is closed, so there are never
//! more sockets than places. Connections that wait for their next request are kept in the order in which
//! they began to wait; when a new one is wanted and no place is free, the one that has waited longest is
//! closed. Those who run out of kept ones too wait for a place, and get the next that is given back.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::connection::Line;
use crate::kept::{Kept, Key};

/// How long a connection waits for its next request: a host that is crawled is asked again within seconds.
/// Servers keep theirs 5 s (Node, Apache) to 75 s (nginx).
const KEPT_FOR: Duration = Duration::from_secs(10);

/// The connections of all fetchers of a run.
pub struct Sockets {
    places: Arc<Semaphore>,
    state: Mutex<State>,
}

struct State {
    limit: usize,
    kept: Kept<Line>,
    /// Those that several exchanges may use at once, while somebody does.
    shared: HashMap<Arc<Key>, Shared>,
    shares: u64,
    /// Who found neither a free place nor a connection to close.
    waiting: usize,
    /// Whether somebody sees to it that what is kept does not stay for ever.
    is_swept: bool,
    clients: u64,
}

/// A connection that is used by `users` exchanges, one at least.
struct Shared {
    line: Line,
    id: u64,
    users: usize,
}

/// A connection for an exchange.
pub(crate) enum Found {
    /// To be given to [`Sockets::keep`] afterwards, or to be dropped.
    Own(Line),
    /// To be given to [`Sockets::release`] afterwards, by this number.
    Shared(Line, u64),
}

/// The right to have one socket. It goes back when the socket is closed.
#[derive(Debug)]
pub(crate) struct Place(#[allow(dead_code, reason = "held, not read")] OwnedSemaphorePermit);

impl Sockets {
    /// At most `limit` connections at once, at least one: to hosts and to proxies, in use and kept.
    pub fn new(limit: usize) -> Arc<Sockets> {
        let limit = limit.clamp(1, Semaphore::MAX_PERMITS);
        Arc::new(Sockets {
            places: Arc::new(Semaphore::new(limit)),
            state: Mutex::new(State {
                limit,
                kept: Kept::new(KEPT_FOR),
                shared: HashMap::new(),
                shares: 0,
                waiting: 0,
                is_swept: false,
                clients: 0,
            }),
        })
    }

    /// Allows more connections; a lower limit changes nothing.
    pub fn raise(&self, limit: usize) {
        let limit = limit.min(Semaphore::MAX_PERMITS);
        let mut state = self.lock();
        if limit > state.limit {
            self.places.add_permits(limit - state.limit);
            state.limit = limit;
        }
    }

    /// Connections that are open now, those included that are being made.
    pub fn open(&self) -> usize {
        let limit = self.lock().limit;
        limit.saturating_sub(self.places.available_permits())
    }

    /// A number for a new fetcher, whose connections are its own.
    pub(crate) fn enter(&self) -> u64 {
        let mut state = self.lock();
        state.clients += 1;
        state.clients
    }

    /// Closes what is kept for a fetcher that is gone.
    pub(crate) fn leave(&self, client: u64) {
        let left = self.lock().kept.remove_client(client);
        left.into_iter().for_each(Line::end);
    }

    /// Waits for a place.
    pub(crate) async fn place(&self) -> Place {
        let mut has_ended_one = false;
        loop {
            let oldest = {
                let mut state = self.lock();
                if let Some(place) = self.free() {
                    return place;
                }
                // The place of a shared connection comes back a moment after its end: one is enough. One that had
                // ended by itself gave its place back then.
                let oldest = match has_ended_one {
                    true => None,
                    false => state.kept.oldest(),
                };
                if oldest.is_none() {
                    state.waiting += 1;
                }
                oldest
            };
            let Some(oldest) = oldest else {
                let _waiting = Waiting(self);
                let permit = Arc::clone(&self.places).acquire_owned().await;
                return Place(permit.expect("the semaphore is never closed"));
            };
            has_ended_one = !oldest.frees_at_once() && !oldest.has_ended();
            oldest.end();
        }
    }

    /// A place, if one can be had without waiting.
    pub(crate) fn spare(&self) -> Option<Place> {
        let oldest = {
            let mut state = self.lock();
            if let Some(place) = self.free() {
                return Some(place);
            }
            state.kept.oldest()?
        };
        oldest.end();
        self.free()
    }

    /// A connection of this kind: one that is shared, or the one that was used last.
    pub(crate) fn take(&self, key: &Key) -> Option<Found> {
        let mut state = self.lock();
        if let Some(shared) = state.shared.get_mut(key) {
            match shared.line.share() {
                Some(line) => {
                    shared.users += 1;
                    return Some(Found::Shared(line, shared.id));
                }
                // It has ended; who uses it still hears of that.
                None => {
                    state.shared.remove(key);
                }
            }
        }
        let line = state.kept.take(key, Instant::now())?;
        match line.share() {
            Some(_) => Some(state.share(Arc::new(key.clone()), line)),
            None => Some(Found::Own(line)),
        }
    }

    /// Lets others use a new connection too, if it can be shared and there is no other of its kind.
    pub(crate) fn admit(&self, key: &Arc<Key>, line: Line) -> Found {
        let mut state = self.lock();
        match line.share().is_some() && !state.shared.contains_key(key) {
            true => state.share(Arc::clone(key), line),
            false => Found::Own(line),
        }
    }

    /// Gives back a shared connection; nobody else may use it by now.
    pub(crate) fn release(self: &Arc<Self>, key: &Arc<Key>, id: u64, most: usize) {
        let unused = {
            let mut state = self.lock();
            match state.shared.get_mut(key) {
                Some(shared) if shared.id == id => {
                    shared.users -= 1;
                    match shared.users {
                        0 => state.shared.remove(key),
                        _ => None,
                    }
                }
                Some(_) | None => None,
            }
        };
        if let Some(shared) = unused {
            self.keep(Arc::clone(key), shared.line, most);
        }
    }

    /// Keeps a connection for the next request, unless there are `most` of its kind or somebody waits for
    /// its place.
    pub(crate) fn keep(self: &Arc<Self>, key: Arc<Key>, line: Line, most: usize) {
        let refused = {
            let mut state = self.lock();
            if state.waiting > 0 {
                Some(line)
            } else {
                let refused = state.kept.put(key, line, Instant::now(), most);
                if !state.is_swept && tokio::runtime::Handle::try_current().is_ok() {
                    state.is_swept = true;
                    tokio::spawn(sweep(Arc::downgrade(self)));
                }
                refused
            }
        };
        if let Some(line) = refused {
            line.end();
        }
    }

    fn free(&self) -> Option<Place> {
        Arc::clone(&self.places).try_acquire_owned().ok().map(Place)
    }

    /// Closes what has waited too long, and says when to look again.
    fn expire(&self) -> Option<Instant> {
        let (expired, next) = {
            let mut state = self.lock();
            let expired = state.kept.expired(Instant::now());
            let next = state.kept.next_expiry();
            state.is_swept = next.is_some();
            (expired, next)
        };
        expired.into_iter().for_each(Line::end);
        next
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Each change under the lock is whole before anything can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The first use of a connection that others may use at the same time.
    fn share(&mut self, key: Arc<Key>, line: Line) -> Found {
        let Some(first) = line.share() else {
            return Found::Own(line);
        };
        self.shares += 1;
        let id = self.shares;
        let users = 1;
        self.shared.insert(key, Shared { line, id, users });
        Found::Shared(first, id)
    }
}

async fn sweep(sockets: Weak<Sockets>) {
    while let Some(next) = sockets.upgrade().and_then(|sockets| sockets.expire()) {
        tokio::time::sleep_until(next).await;
    }
}

/// Counts one who waits for a place, as long as it waits.
struct Waiting<'a>(&'a Sockets);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.lock().waiting -= 1;
    }
}

impl fmt::Debug for Sockets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let limit = self.lock().limit;
        write!(f, "Sockets({} of {limit} open)", self.open())
    }
}
