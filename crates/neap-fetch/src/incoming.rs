//! What comes back from either client, the one for direct requests or the one of a proxy?

use std::error::Error;
use std::net::SocketAddr;

use bytes::Bytes;
use http::{Extensions, HeaderMap, Version};
use http_body_util::BodyExt;
use hyper::body::Body;
use hyper_util::client::legacy;

/// An answer whose header has come.
#[derive(Debug)]
pub(crate) enum Incoming {
    Direct(reqwest::Response),
    Proxied(http::Response<hyper::body::Incoming>),
}

/// An error of either client.
#[derive(Debug)]
pub(crate) enum ClientError {
    Direct(reqwest::Error),
    Proxied(legacy::Error),
    ProxiedBody(hyper::Error),
    /// The URL cannot stand in a request.
    Url(http::uri::InvalidUri),
}

impl Incoming {
    pub(crate) fn status(&self) -> u16 {
        match self {
            Incoming::Direct(response) => response.status().as_u16(),
            Incoming::Proxied(response) => response.status().as_u16(),
        }
    }

    pub(crate) fn version(&self) -> Version {
        match self {
            Incoming::Direct(response) => response.version(),
            Incoming::Proxied(response) => response.version(),
        }
    }

    pub(crate) fn headers(&self) -> &HeaderMap {
        match self {
            Incoming::Direct(response) => response.headers(),
            Incoming::Proxied(response) => response.headers(),
        }
    }

    /// The host's address; behind a proxy nobody tells.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        match self {
            Incoming::Direct(response) => response.remote_addr(),
            Incoming::Proxied(_) => None,
        }
    }

    /// The reason phrase, where it is not the standard one.
    pub(crate) fn reason(&self) -> Option<String> {
        let reason = self.extensions().get::<hyper::ext::ReasonPhrase>()?;
        Some(String::from_utf8_lossy(reason.as_bytes()).into_owned())
    }

    /// How long the rest of the body is, if that is known.
    pub(crate) fn content_length(&self) -> Option<u64> {
        match self {
            Incoming::Direct(response) => response.content_length(),
            Incoming::Proxied(response) => response.body().size_hint().exact(),
        }
    }

    /// The next part of the body.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, ClientError> {
        match self {
            Incoming::Direct(response) => response.chunk().await.map_err(ClientError::Direct),
            Incoming::Proxied(response) => loop {
                match response.body_mut().frame().await {
                    None => return Ok(None),
                    Some(Err(error)) => return Err(ClientError::ProxiedBody(error)),
                    // Trailers are no part of the body.
                    Some(Ok(frame)) => {
                        if let Ok(data) = frame.into_data() {
                            return Ok(Some(data));
                        }
                    }
                }
            },
        }
    }

    fn extensions(&self) -> &Extensions {
        match self {
            Incoming::Direct(response) => response.extensions(),
            Incoming::Proxied(response) => response.extensions(),
        }
    }
}

impl ClientError {
    /// Whether no connection was made.
    pub(crate) fn is_connect(&self) -> bool {
        match self {
            ClientError::Direct(error) => error.is_connect(),
            ClientError::Proxied(error) => error.is_connect(),
            ClientError::ProxiedBody(_) | ClientError::Url(_) => false,
        }
    }

    /// The error, without the URL: that stands beside it anyway.
    pub(crate) fn into_error(self) -> Box<dyn Error + Send + Sync> {
        match self {
            ClientError::Direct(error) => error.without_url().into(),
            ClientError::Proxied(error) => error.into(),
            ClientError::ProxiedBody(error) => error.into(),
            ClientError::Url(error) => error.into(),
        }
    }

    pub(crate) fn as_error(&self) -> &(dyn Error + 'static) {
        match self {
            ClientError::Direct(error) => error,
            ClientError::Proxied(error) => error,
            ClientError::ProxiedBody(error) => error,
            ClientError::Url(error) => error,
        }
    }
}
