//! How is the HTTP client set up?

use std::sync::Arc;
use std::time::Duration;

use neap_core::job::Request;
use reqwest::redirect;
use rustls::ClientConfig;

use crate::dns::SystemResolver;
use crate::fetcher::{MAX_HEADER_BYTES, MAX_HEADER_FIELDS};
use crate::phases::NoteConnect;
use crate::settings::FetchError;

/// Idle connections kept per host: the default ceiling of requests in flight to one host.
const KEPT_PER_HOST: usize = 16;

/// How long an idle connection is kept. The client has no bound over all hosts, so this is what
/// keeps sockets about the concurrency limit: a host that is crawled is asked again within seconds,
/// one that is not leaves its sockets behind. Servers keep them 5 s (Node, Apache) to 75 s (nginx).
pub(crate) const KEPT_FOR: Duration = Duration::from_secs(10);

/// Unread bytes that an HTTP/2 server may send ahead on one stream, as many as a body may take
/// without asking the memory budget; and on all streams of one connection together.
pub(crate) const HTTP2_STREAM_WINDOW: u32 = 256 << 10;
pub(crate) const HTTP2_CONNECTION_WINDOW: u32 = 4 << 20;

/// [`MAX_HEADER_BYTES`] as HTTP/2 wants it.
pub(crate) const MAX_HEADER_LIST_BYTES: u32 = MAX_HEADER_BYTES as u32;

/// Whether connections are kept for the next request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keep {
    /// Kept and used again.
    Idle,
    /// Each request makes its own.
    None,
}

/// Idle connections to keep per host.
pub(crate) fn kept_per_host(concurrency: usize, keep: Keep) -> usize {
    match keep {
        Keep::Idle => concurrency.clamp(1, KEPT_PER_HOST),
        Keep::None => 0,
    }
}

/// A client that does exactly what it is told: it follows no redirect, retries nothing, decodes
/// nothing, uses no proxy of the environment and adds no header but `host`.
pub(crate) fn build(
    request: &Request,
    concurrency: usize,
    tls: ClientConfig,
    resolver: Arc<SystemResolver>,
    keep: Keep,
) -> Result<reqwest::Client, FetchError> {
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .no_proxy()
        .dns_resolver(resolver)
        .connector_layer(NoteConnect)
        .connect_timeout(request.connect_timeout)
        .tcp_nodelay(true)
        .pool_max_idle_per_host(kept_per_host(concurrency, keep))
        .pool_idle_timeout(KEPT_FOR)
        .http1_max_headers(MAX_HEADER_FIELDS)
        .http1_allow_obsolete_multiline_headers_in_responses(true)
        .http2_max_header_list_size(MAX_HEADER_LIST_BYTES)
        .http2_initial_stream_window_size(HTTP2_STREAM_WINDOW)
        .http2_initial_connection_window_size(HTTP2_CONNECTION_WINDOW)
        .build()
        .map_err(FetchError::Client)
}
