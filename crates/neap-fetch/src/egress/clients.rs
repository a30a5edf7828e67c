//! Which client sends a request through a proxy?
//!
//! One for each proxy, made when it is first needed: a client keeps connections by host, so one client
//! for all would send a request through whichever proxy has a connection to its host. All of them share
//! one TLS configuration and one resolver, which are what makes a client large.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::header::{HeaderMap, PROXY_AUTHORIZATION};
use http::{HeaderValue, Request, Uri};
use http_body_util::Empty;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{self, ResponseFuture};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;
use tower::Layer;

use super::Proxy;
use super::connector::{Common, Connector};
use crate::client::{self, Keep};
use crate::dns::{ForConnector, SystemResolver};
use crate::fetcher::MAX_HEADER_FIELDS;
use crate::phases::{NoteConnect, NotingConnector};
use crate::settings::{FetchError, FetchSettings};
use crate::tls;

/// Clients that are kept. A proxy beyond that takes the place of the one that was not used for longest,
/// whose connections end; its next request makes it anew.
const MAX_CLIENTS: usize = 4096;

/// The clients of all proxies.
pub(crate) struct Clients {
    common: Arc<Common>,
    kept_per_host: usize,
    made: Mutex<Made>,
}

#[derive(Default)]
struct Made {
    by_proxy: HashMap<Arc<Proxy>, (Arc<Client>, u64)>,
    /// Counts uses, to tell the oldest.
    uses: u64,
}

/// Sends requests through one proxy.
pub(crate) struct Client {
    client: legacy::Client<NotingConnector<Connector>, Empty<Bytes>>,
    proxy: Arc<Proxy>,
    /// Goes with requests that the proxy reads.
    login: Option<HeaderValue>,
}

impl Clients {
    pub(crate) fn new(
        settings: &FetchSettings,
        tls: &ClientConfig,
        resolver: Arc<SystemResolver>,
    ) -> Result<Clients, FetchError> {
        let timeout = settings.request.connect_timeout;
        let mut tcp = HttpConnector::new_with_resolver(ForConnector(Arc::clone(&resolver)));
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(timeout));
        let agent = HeaderValue::from_str(&settings.user_agent);
        Ok(Clients {
            common: Arc::new(Common {
                tcp,
                resolver,
                tls: Arc::new(tls::through_proxies(tls)),
                proxy_tls: Arc::new(tls::with_proxies(tls)),
                timeout,
                agent: agent.map_err(|_| FetchError::UserAgent)?,
            }),
            kept_per_host: client::kept_per_host(settings.concurrency, Keep::Idle),
            made: Mutex::default(),
        })
    }

    /// The client of a proxy, which keeps its connections.
    pub(crate) fn of(&self, proxy: &Arc<Proxy>) -> Arc<Client> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        made.uses += 1;
        let now = made.uses;
        if let Some((client, used)) = made.by_proxy.get_mut(proxy) {
            *used = now;
            return Arc::clone(client);
        }
        if made.by_proxy.len() >= MAX_CLIENTS {
            let oldest = made.by_proxy.iter().min_by_key(|(_, (_, used))| *used);
            if let Some(oldest) = oldest.map(|(proxy, _)| Arc::clone(proxy)) {
                made.by_proxy.remove(&oldest);
            }
        }
        let client = self.build(proxy, self.kept_per_host);
        let kept = (Arc::clone(&client), now);
        made.by_proxy.insert(Arc::clone(proxy), kept);
        client
    }

    /// A client of the same proxy that makes a new connection.
    pub(crate) fn fresh(&self, client: &Client) -> Arc<Client> {
        self.build(&client.proxy, 0)
    }

    /// As the client of direct requests: nothing is followed, tried again or decoded.
    fn build(&self, proxy: &Arc<Proxy>, kept_per_host: usize) -> Arc<Client> {
        let connector = NoteConnect.layer(Connector {
            common: Arc::clone(&self.common),
            proxy: Arc::clone(proxy),
        });
        let client = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new())
            .pool_max_idle_per_host(kept_per_host)
            .pool_idle_timeout(client::KEPT_FOR)
            .http1_max_headers(MAX_HEADER_FIELDS)
            .http1_allow_obsolete_multiline_headers_in_responses(true)
            .http2_max_header_list_size(client::MAX_HEADER_LIST_BYTES)
            .http2_initial_stream_window_size(client::HTTP2_STREAM_WINDOW)
            .http2_initial_connection_window_size(client::HTTP2_CONNECTION_WINDOW)
            .build(connector);
        Arc::new(Client {
            client,
            login: proxy.credentials.as_ref().map(super::Credentials::header),
            proxy: Arc::clone(proxy),
        })
    }
}

impl Client {
    /// A request for `uri`, with the credentials if it is the proxy that reads it: to an `https` host
    /// they would go through the tunnel.
    pub(crate) fn request(&self, uri: Uri, mut headers: HeaderMap) -> Request<Empty<Bytes>> {
        let is_relayed = super::connector::is_relayed(&self.proxy, &uri);
        if let Some(login) = self.login.as_ref().filter(|_| is_relayed) {
            headers.insert(PROXY_AUTHORIZATION, login.clone());
        }
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        request
    }

    pub(crate) fn send(&self, request: Request<Empty<Bytes>>) -> ResponseFuture {
        self.client.request(request)
    }
}

impl fmt::Debug for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        write!(f, "Clients({} proxies)", made.by_proxy.len())
    }
}

#[cfg(test)]
mod tests {
    use neap_core::job::Request;

    use super::*;
    use crate::egress::Egress;

    fn clients() -> Clients {
        let settings = FetchSettings {
            request: Request::default(),
            user_agent: "tester/1".to_owned(),
            headers: Vec::new(),
            header_hosts: [].into(),
            logins: [].into(),
            concurrency: 4,
            extra_roots: Vec::new(),
        };
        let tls = tls::config(&[]).unwrap();
        Clients::new(&settings, &tls, Arc::default()).unwrap()
    }

    fn client(clients: &Clients, at: &str) -> Arc<Client> {
        clients.of(Egress::parse(at).unwrap().proxy().unwrap())
    }

    #[tokio::test]
    async fn proxies_are_told_apart_by_everything_that_is_written() {
        let clients = clients();
        let texts = [
            "http://h:1",
            "http://h:2",
            "https://h:1",
            "socks5://h:1",
            "http://ann@h:1",
            "http://ann:a@h:1",
            "http://ann:b@h:1",
        ];
        let first: Vec<_> = texts.iter().map(|at| client(&clients, at)).collect();
        for (at, made) in texts.iter().zip(&first) {
            assert!(Arc::ptr_eq(made, &client(&clients, at)), "{at}");
        }
        assert_eq!(format!("{clients:?}"), "Clients(7 proxies)");
    }

    #[tokio::test]
    async fn the_client_that_was_not_used_for_longest_makes_room() {
        let clients = clients();
        let at = |n: usize| format!("http://user-{n}@h:1");
        let made: Vec<_> = (0..MAX_CLIENTS).map(|n| client(&clients, &at(n))).collect();
        client(&clients, &at(0));
        client(&clients, "http://one-more@h:1");
        assert!(Arc::ptr_eq(&made[0], &client(&clients, &at(0))));
        assert!(!Arc::ptr_eq(&made[1], &client(&clients, &at(1))));
        assert_eq!(
            format!("{clients:?}"),
            format!("Clients({MAX_CLIENTS} proxies)")
        );
    }
}
