//! What comes back, and what if nothing does?

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Response, Version, response};
use hyper::body::{Body, Incoming as Payload};

use crate::connection::About;
use crate::direct::NotConnected;
use crate::lease::Lease;

/// An answer whose header has come.
#[derive(Debug)]
pub(crate) struct Incoming {
    head: response::Parts,
    body: Payload,
    about: Arc<About>,
    lease: Lease,
}

/// Why no answer came, or not the whole of it.
#[derive(Debug)]
pub(crate) enum ClientError {
    /// No connection was made.
    Connect(NotConnected),
    /// It failed over a connection.
    Exchange(hyper::Error),
    /// The URL cannot stand in a request.
    Url(http::uri::InvalidUri),
}

impl Incoming {
    pub(crate) fn new(answer: Response<Payload>, about: Arc<About>, lease: Lease) -> Incoming {
        let (head, body) = answer.into_parts();
        Incoming {
            head,
            body,
            about,
            lease,
        }
    }

    pub(crate) fn status(&self) -> u16 {
        self.head.status.as_u16()
    }

    pub(crate) fn version(&self) -> Version {
        self.head.version
    }

    pub(crate) fn headers(&self) -> &HeaderMap {
        &self.head.headers
    }

    /// The host's address; behind a proxy nobody tells.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.about.address
    }

    /// The reason phrase, where it is not the standard one.
    pub(crate) fn reason(&self) -> Option<String> {
        let reason = self.head.extensions.get::<hyper::ext::ReasonPhrase>()?;
        Some(String::from_utf8_lossy(reason.as_bytes()).into_owned())
    }

    /// How long the rest of the body is, if that is known.
    pub(crate) fn content_length(&self) -> Option<u64> {
        self.body.size_hint().exact()
    }

    /// The next part of the body.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, ClientError> {
        let chunk = self.lease.chunk(&mut self.body).await;
        chunk.map_err(ClientError::Exchange)
    }
}

impl ClientError {
    /// Whether no connection was made.
    pub(crate) fn is_connect(&self) -> bool {
        match self {
            ClientError::Connect(_) => true,
            ClientError::Exchange(_) | ClientError::Url(_) => false,
        }
    }

    pub(crate) fn as_error(&self) -> &(dyn Error + 'static) {
        match self {
            ClientError::Connect(error) => &**error,
            ClientError::Exchange(error) => error,
            ClientError::Url(error) => error,
        }
    }
}
