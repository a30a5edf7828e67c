//! Which client sends a request?
//!
//! For direct requests reqwest, which is told to do nothing by itself. For a proxy a client of our own
//! over the same layers below, since reqwest keeps nothing of what a proxy says: no status, header or
//! body of a refused CONNECT, and no reply code of SOCKS5.

use std::sync::Arc;

use http::Uri;
use http::header::HeaderMap;
use hyper_util::client::legacy::connect::capture_connection;
use rustls::ClientConfig;
use url::Url;

use crate::client::{self, Keep};
use crate::dns::SystemResolver;
use crate::egress::{self, Clients, Egress};
use crate::incoming::{ClientError, Incoming};
use crate::phases::Phases;
use crate::settings::{FetchError, FetchSettings};

/// Every client.
#[derive(Debug)]
pub(crate) struct Engines {
    /// Keeps connections.
    direct: reqwest::Client,
    /// Makes a new one for each request.
    direct_fresh: reqwest::Client,
    proxies: Clients,
}

/// The client of one egress.
pub(crate) enum Engine<'a> {
    Direct(&'a reqwest::Client),
    Proxy(Arc<egress::Client>),
}

impl Engines {
    pub(crate) fn new(
        settings: &FetchSettings,
        tls: &ClientConfig,
        resolver: &Arc<SystemResolver>,
    ) -> Result<Engines, FetchError> {
        let direct = |keep| {
            let (tls, resolver) = (tls.clone(), Arc::clone(resolver));
            client::build(&settings.request, settings.concurrency, tls, resolver, keep)
        };
        Ok(Engines {
            direct: direct(Keep::Idle)?,
            direct_fresh: direct(Keep::None)?,
            proxies: Clients::new(settings, tls, Arc::clone(resolver))?,
        })
    }

    /// The client that keeps the connections of this egress.
    pub(crate) fn of(&self, egress: &Egress) -> Engine<'_> {
        match egress.proxy() {
            None => Engine::Direct(&self.direct),
            Some(proxy) => Engine::Proxy(self.proxies.of(proxy)),
        }
    }

    /// A client of the same egress that makes a new connection.
    pub(crate) fn fresh(&self, engine: &Engine<'_>) -> Engine<'_> {
        match engine {
            Engine::Direct(_) => Engine::Direct(&self.direct_fresh),
            Engine::Proxy(client) => Engine::Proxy(self.proxies.fresh(client)),
        }
    }
}

impl Engine<'_> {
    /// Sends a GET and waits for the answer's header.
    pub(crate) async fn send(
        &self,
        url: &Url,
        headers: HeaderMap,
        phases: &Phases,
    ) -> Result<Incoming, ClientError> {
        match self {
            Engine::Direct(client) => client
                .get(url.clone())
                .headers(headers)
                .send()
                .await
                .map(Incoming::Direct)
                .map_err(ClientError::Direct),
            Engine::Proxy(client) => {
                let uri = Uri::try_from(url.as_str()).map_err(ClientError::Url)?;
                let mut request = client.request(uri, headers);
                phases.capture(capture_connection(&mut request));
                client
                    .send(request)
                    .await
                    .map(Incoming::Proxied)
                    .map_err(ClientError::Proxied)
            }
        }
    }
}
