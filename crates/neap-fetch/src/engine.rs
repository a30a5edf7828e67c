//! How does a request get to its host: over which connection, and in which form?

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{HOST, HeaderMap, PROXY_AUTHORIZATION};
use http::{Request, Uri};
use http_body_util::Empty;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use neap_core::host::Host;
use rustls::ClientConfig;
use tokio::time::Instant;
use url::{Position, Url};

use crate::connection::{Asking, Line, Speech};
use crate::direct::Direct;
use crate::dns::Resolver;
use crate::egress::{Connector, Egress};
use crate::fetcher::{MAX_HEADER_BYTES, MAX_HEADER_FIELDS};
use crate::incoming::{ClientError, Incoming};
use crate::kept::Key;
use crate::lease::Lease;
use crate::phases::Phases;
use crate::settings::{FetchError, FetchSettings};
use crate::sockets::{Place, Sockets};

/// Unread bytes that an HTTP/2 server may send ahead on one stream, as many as a body may take
/// without asking the memory budget; and on all streams of one connection together.
const HTTP2_STREAM_WINDOW: u32 = 256 << 10;
const HTTP2_CONNECTION_WINDOW: u32 = 4 << 20;

/// [`MAX_HEADER_BYTES`] as HTTP/2 wants it.
const MAX_HEADER_LIST_BYTES: u32 = MAX_HEADER_BYTES as u32;

/// Makes and keeps connections.
pub(crate) struct Engine {
    /// Tells the connections of this fetcher from others'.
    client: u64,
    sockets: Arc<Sockets>,
    direct: Direct,
    through: Connector,
    speech: Speech,
}

/// What a request is sent over.
pub(crate) enum Opening {
    Kept(Lease),
    New(Place),
}

impl Engine {
    pub(crate) fn new(
        settings: &FetchSettings,
        tls: &ClientConfig,
        resolver: &Arc<Resolver>,
        sockets: Arc<Sockets>,
    ) -> Result<Engine, FetchError> {
        Ok(Engine {
            client: sockets.enter(),
            sockets,
            direct: Direct {
                resolver: Arc::clone(resolver),
                tls: Arc::new(tls.clone()),
                from: settings.bind,
                timeout: settings.request.connect_timeout,
            },
            through: Connector::new(settings, tls, Arc::clone(resolver))?,
            speech: speech(),
        })
    }

    /// What the connections to a host by one way are known by.
    pub(crate) fn key(&self, egress: &Egress, host: &Host) -> Arc<Key> {
        Arc::new(Key {
            client: self.client,
            egress: egress.clone(),
            host: host.clone(),
        })
    }

    /// A kept connection, or else the right to make one, which may have to be waited for.
    pub(crate) async fn opening(&self, key: &Arc<Key>, phases: &Phases) -> Opening {
        match Lease::kept(key, &self.sockets).await {
            Some(lease) => Opening::Kept(lease),
            None => self.new_opening(phases).await,
        }
    }

    /// The right to make a connection.
    pub(crate) async fn new_opening(&self, phases: &Phases) -> Opening {
        let asked = Instant::now();
        let place = self.sockets.place().await;
        phases.waited(asked.elapsed());
        Opening::New(place)
    }

    /// Sends a GET and waits for the answer's header.
    pub(crate) async fn send(
        &self,
        opening: Opening,
        key: &Arc<Key>,
        url: &Url,
        headers: HeaderMap,
        phases: &Phases,
    ) -> Result<Incoming, ClientError> {
        let mut lease = match opening {
            Opening::Kept(lease) => lease,
            // Seldom, and large: a handshake's state would be moved about with every request.
            Opening::New(place) => Box::pin(self.connect(key, url, place, phases)).await?,
        };
        let line = lease.line().expect("it was just taken");
        phases.use_route(line.about.route.clone());
        let request = self.request(line, &key.egress, url, headers)?;
        let about = Arc::clone(&line.about);
        let answer = lease.send(request).await.map_err(ClientError::Exchange)?;
        Ok(Incoming::new(answer, about, lease))
    }

    async fn connect(
        &self,
        key: &Arc<Key>,
        url: &Url,
        place: Place,
        phases: &Phases,
    ) -> Result<Lease, ClientError> {
        phases.begin_to_connect();
        let made = match key.egress.proxy() {
            None => self.direct.connect(url, place, &self.sockets).await,
            Some(proxy) => self
                .through
                .connect(proxy, url, place, &self.sockets)
                .await
                .map_err(Into::into),
        };
        let made = made.map_err(ClientError::Connect)?;
        phases.has_been_connected();
        let line = Line::open(&self.speech, made.wire, made.is_http2, made.about)
            .await
            .map_err(ClientError::Exchange)?;
        Ok(Lease::new(line, key, &self.sockets))
    }

    /// The request in the form that the connection wants.
    fn request(
        &self,
        line: &Line,
        egress: &Egress,
        url: &Url,
        mut headers: HeaderMap,
    ) -> Result<Asking, ClientError> {
        let is_http2 = !line.frees_at_once();
        let whole = &url[..Position::AfterQuery];
        let target = match is_http2 || line.about.is_relayed {
            true => whole,
            false => &url[Position::BeforePath..Position::AfterQuery],
        };
        let uri = Uri::try_from(target).map_err(ClientError::Url)?;
        if is_http2 {
            // The URI has it.
            headers.remove(HOST);
        }
        // To an `https` host the credentials would go through the tunnel.
        let login = egress.proxy().and_then(|proxy| proxy.credentials.as_ref());
        if let Some(login) = login.filter(|_| line.about.is_relayed) {
            headers.insert(PROXY_AUTHORIZATION, login.header());
        }
        let mut request = Request::new(Empty::<Bytes>::new());
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        Ok(request)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.sockets.leave(self.client);
    }
}

fn speech() -> Speech {
    let mut http1 = http1::Builder::new();
    http1
        .max_headers(MAX_HEADER_FIELDS)
        .allow_obsolete_multiline_headers_in_responses(true);
    let mut http2 = http2::Builder::new(TokioExecutor::new());
    http2
        .timer(TokioTimer::new())
        .max_header_list_size(MAX_HEADER_LIST_BYTES)
        .initial_stream_window_size(HTTP2_STREAM_WINDOW)
        .initial_connection_window_size(HTTP2_CONNECTION_WINDOW);
    Speech { http1, http2 }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Engine({:?})", self.sockets)
    }
}
