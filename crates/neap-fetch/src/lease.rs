//! Who uses a connection now, and what becomes of it afterwards?

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use hyper::body::Incoming;

use crate::connection::{Asking, Line};
use crate::kept::Key;
use crate::sockets::{Found, Sockets};

/// Connections kept of one kind: the default ceiling of requests in flight to one host.
const KEPT_PER_HOST: usize = 16;

/// A connection in use. Dropped before its answer was read to the end it is closed, unless others share it.
pub(crate) struct Lease {
    /// `None` once it was given back.
    found: Option<Found>,
    key: Arc<Key>,
    sockets: Arc<Sockets>,
}

impl Lease {
    /// A connection that was kept, if there is one that can still be used.
    pub(crate) async fn kept(key: &Arc<Key>, sockets: &Arc<Sockets>) -> Option<Lease> {
        while let Some(found) = sockets.take(key) {
            let mut lease = Lease::of(found, key, sockets);
            if lease.line()?.is_ready().await {
                return Some(lease);
            }
        }
        None
    }

    /// A new connection.
    pub(crate) fn new(line: Line, key: &Arc<Key>, sockets: &Arc<Sockets>) -> Lease {
        Lease::of(sockets.admit(key, line), key, sockets)
    }

    fn of(found: Found, key: &Arc<Key>, sockets: &Arc<Sockets>) -> Lease {
        Lease {
            found: Some(found),
            key: Arc::clone(key),
            sockets: Arc::clone(sockets),
        }
    }

    /// The connection, unless it was given back.
    pub(crate) fn line(&mut self) -> Option<&mut Line> {
        match self.found.as_mut()? {
            Found::Own(line) | Found::Shared(line, _) => Some(line),
        }
    }

    /// Sends a request and waits for the header of its answer.
    pub(crate) async fn send(&mut self, request: Asking) -> hyper::Result<Response<Incoming>> {
        let line = self.line().expect("it is given back after the answer");
        line.send(request).await
    }

    /// The next part of a body. After the last one the connection is given back.
    pub(crate) async fn chunk(&mut self, body: &mut Incoming) -> hyper::Result<Option<Bytes>> {
        let Some(line) = self.line() else {
            return Ok(None);
        };
        let chunk = line.chunk(body).await?;
        if chunk.is_none() {
            self.give_back().await;
        }
        Ok(chunk)
    }

    async fn give_back(&mut self) {
        match self.found.take() {
            Some(Found::Own(line)) => {
                keep(Arc::clone(&self.key), line, &self.sockets).await;
            }
            Some(Found::Shared(_, id)) => self.sockets.release(&self.key, id, KEPT_PER_HOST),
            None => {}
        }
    }
}

/// Keeps a connection, unless the other side has said that it closes.
async fn keep(key: Arc<Key>, mut line: Line, sockets: &Arc<Sockets>) {
    if line.is_ready().await {
        sockets.keep(key, line, KEPT_PER_HOST);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(Found::Shared(_, id)) = self.found.take() {
            self.sockets.release(&self.key, id, KEPT_PER_HOST);
        }
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lease({})", self.key.host)
    }
}
