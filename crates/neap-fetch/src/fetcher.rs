//! What happens in one exchange, in order?

use std::pin::pin;
use std::sync::Arc;

use http::header::{HeaderValue, TRANSFER_ENCODING};
use neap_core::address::AddressRule;
use neap_core::canonical::CanonicalUrl;
use neap_core::exchange::{Answer, Exchange, Failure, FailureKind, Stage};
use neap_core::job::Request;
use neap_core::route::Way;
use rustls::ClientConfig;
use tokio::time::{Instant, timeout_at};
use tracing::debug;

use crate::body::{BodyLimit, Reader};
use crate::dns::Resolver;
use crate::egress::Egress;
use crate::engine::{Engine, Opening};
use crate::failure::{self, Reached};
use crate::headers::Headers;
use crate::incoming::{ClientError, Incoming};
use crate::kept::Key;
use crate::memory::{MemoryBudget, Share};
use crate::pace::Pace;
use crate::phases::Phases;
use crate::route;
use crate::settings::{FetchError, FetchSettings};
use crate::sockets::Sockets;
use crate::tls;

/// Most bytes of an answer's header, names, values and separators: what Chromium allows is 256 KiB,
/// Firefox 384 KiB (curl#11582), and pages near it exist.
pub const MAX_HEADER_BYTES: usize = 300 << 10;

/// Most fields of an HTTP/1.1 answer's header. hyper's default of 100 refuses real pages (hyper#3283);
/// each costs 64 bytes that are cleared for every answer.
pub const MAX_HEADER_FIELDS: usize = 256;

/// What is asked for in one exchange.
#[derive(Debug, Clone)]
pub struct Ask<'a> {
    /// Where.
    pub url: &'a CanonicalUrl,
    /// What becomes of a body that is too large.
    pub limit: BodyLimit,
    /// The value of a `Cookie` header for this URL, behind what the job file sends in one. Never recorded.
    pub cookie: Option<HeaderValue>,
}

impl<'a> Ask<'a> {
    /// Asks for a URL with nothing beside it.
    pub fn get(url: &'a CanonicalUrl, limit: BodyLimit) -> Ask<'a> {
        Ask {
            url,
            limit,
            cookie: None,
        }
    }
}

/// Asks for URLs. Clones share their connections.
#[derive(Debug, Clone)]
pub struct Fetcher(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    engine: Engine,
    headers: Headers,
    addresses: AddressRule,
    request: Request,
    pace: Option<Pace>,
    memory: Arc<MemoryBudget>,
    layers: Layers,
}

/// What clients stand on.
#[derive(Debug, Clone)]
struct Layers {
    tls: ClientConfig,
    resolver: Arc<Resolver>,
    sockets: Arc<Sockets>,
}

/// An exchange, and the memory that it holds.
#[derive(Debug)]
pub struct Fetched {
    /// What happened.
    pub exchange: Exchange,
    /// Whether the request went out twice, because the server closed the kept connection that it
    /// was first sent on before a byte of an answer came. That says nothing about the host.
    pub was_resent: bool,
    /// The body's share of the memory budget: to be dropped once the body is somebody else's.
    pub held: Share,
}

impl Fetcher {
    /// Sets up TLS; nothing is sent yet. Memory and sockets are shared with other fetchers.
    ///
    /// # Errors
    /// [`FetchError`] names the setting that cannot be used.
    pub fn new(
        settings: &FetchSettings,
        memory: Arc<MemoryBudget>,
        sockets: Arc<Sockets>,
    ) -> Result<Fetcher, FetchError> {
        let layers = Layers {
            tls: tls::config(&settings.extra_roots)?,
            resolver: Arc::new(Resolver::new(&settings.request)),
            sockets,
        };
        Fetcher::over(layers, settings, memory)
    }

    /// A further fetcher, with connections of its own over the same TLS, resolver, sockets and memory; so
    /// `extra_roots` stay what they are.
    ///
    /// # Errors
    /// As [`Fetcher::new`].
    pub fn beside(&self, settings: &FetchSettings) -> Result<Fetcher, FetchError> {
        Fetcher::over(self.0.layers.clone(), settings, Arc::clone(&self.0.memory))
    }

    fn over(
        layers: Layers,
        settings: &FetchSettings,
        memory: Arc<MemoryBudget>,
    ) -> Result<Fetcher, FetchError> {
        let sockets = Arc::clone(&layers.sockets);
        let tls = tls::showing(&layers.tls, settings.client_certificate.as_ref());
        Ok(Fetcher(Arc::new(Inner {
            engine: Engine::new(settings, &tls, &layers.resolver, sockets)?,
            headers: Headers::new(settings)?,
            addresses: settings.addresses.clone(),
            request: settings.request.clone(),
            pace: settings.pace.clone(),
            memory,
            layers,
        })))
    }

    /// Asks for one URL and reads the answer, whatever its status. Redirects are answers.
    ///
    /// A host that is not of the public internet is not connected to, unless [`FetchSettings::addresses`] has it;
    /// the names of hosts that a proxy resolves are not known to it.
    ///
    /// Every failure is part of the exchange. Waiting for memory (see [`MemoryBudget`]) or for a socket
    /// (see [`Sockets`]) counts in no time-out and no timing. Dropping the future ends the exchange.
    pub async fn fetch(&self, ask: &Ask<'_>) -> Fetched {
        self.fetch_by(&Egress::DIRECT, ask).await
    }

    /// As [`Fetcher::fetch`], but by a way out of one's choice. Connections are kept and used again for
    /// the same egress only.
    pub async fn fetch_by(&self, egress: &Egress, ask: &Ask<'_>) -> Fetched {
        let url = ask.url;
        let host = url.host();
        let phases = Phases::start(self.0.addresses.is_open(url.url()));
        let (result, was_resent) = match self.0.addresses.admits(url.url()) {
            Ok(()) => {
                let key = self.0.engine.key(egress, &host);
                // It is moved some times until it runs, and large.
                let asking = Box::pin(self.0.ask(&key, ask, &phases));
                phases.note(asking).await
            }
            Err(private) => {
                let kind = FailureKind::PrivateAddress;
                (Err(failure::new(kind, None, &private.to_string())), false)
            }
        };
        let sent = self.0.headers.to_record(&host, ask);
        let timings = phases.timings();
        let failure = result.as_ref().err();
        let address = result.as_ref().ok().and_then(|(answer, _)| answer.address);
        let route = route::of(egress, url.url(), failure, address, &phases);
        let (result, held) = match result {
            Ok((answer, held)) => (Ok(answer), held),
            Err(failure) => (Err(failure), Share::default()),
        };
        let mut exchange = Exchange {
            result,
            timings,
            sent,
            route,
        };
        if exchange.route.way == Way::Plain {
            egress.scrub(&mut exchange);
        }
        Fetched {
            exchange,
            was_resent,
            held,
        }
    }
}

/// Why no header came.
enum NoHeader {
    Client(ClientError),
    Timeout(Failure),
}

impl Inner {
    /// The exchange; also whether the request was sent twice.
    async fn ask(
        &self,
        key: &Arc<Key>,
        ask: &Ask<'_>,
        phases: &Phases,
    ) -> (Result<(Answer, Share), Failure>, bool) {
        // 1. Send the request and wait for the answer's header.
        let opening = self.engine.opening(key, phases).await;
        let mut response = self.header(opening, key, ask, phases).await;

        // 2. A kept connection that the server has closed says nothing: ask again on a new one.
        let mut was_resent = false;
        if let Err(NoHeader::Client(error)) = &response
            && failure::is_reset(error)
            && !phases.has_connected()
        {
            debug!(host = %key.host, "kept connection was closed, asking again on a new one");
            was_resent = true;
            phases.connect_again();
            let opening = self.engine.new_opening(phases).await;
            response = self.header(opening, key, ask, phases).await;
        }
        let response = response.map_err(|no_header| match no_header {
            NoHeader::Client(error) => {
                phases.saw(&error);
                failure::of_client(&error, Reached::Connection, None)
            }
            NoHeader::Timeout(failure) => failure,
        });

        // 3. Read the body.
        let result = match response {
            Ok(response) => self.answer(response, ask.limit, phases).await,
            Err(failure) => Err(failure),
        };
        (result, was_resent)
    }

    /// Sends the request and waits for the header, within the limits of time.
    async fn header(
        &self,
        opening: Opening,
        key: &Arc<Key>,
        ask: &Ask<'_>,
        phases: &Phases,
    ) -> Result<Incoming, NoHeader> {
        let limits = &self.request;
        let headers = self.headers.to_send(&key.host, ask);
        let sending = self
            .engine
            .send(opening, key, ask.url.url(), headers, phases);
        let mut sending = pin!(sending);
        loop {
            let silent_at = phases.header_deadline(limits.connect_timeout, limits.read_timeout);
            let total_at = phases.total_deadline(limits.total_timeout);
            match timeout_at(silent_at.min(total_at), &mut sending).await {
                Ok(Ok(response)) => {
                    phases.header_came();
                    phases.note_reason(response.reason());
                    return Ok(response);
                }
                Ok(Err(error)) => return Err(NoHeader::Client(error)),
                // The silence is counted from the connection, which has been made meanwhile.
                Err(_) if Instant::now() < total_at && self.is_moved(silent_at, phases) => {}
                Err(_) => {
                    let stage = if silent_at <= total_at {
                        Stage::Header
                    } else {
                        Stage::Total
                    };
                    let kind = FailureKind::Timeout(stage);
                    let failure = failure::new(kind, None, "no answer within the time-out");
                    return Err(NoHeader::Timeout(failure));
                }
            }
        }
    }

    fn is_moved(&self, silent_at: Instant, phases: &Phases) -> bool {
        let limits = &self.request;
        phases.header_deadline(limits.connect_timeout, limits.read_timeout) > silent_at
    }

    /// Checks the header, then reads the body.
    async fn answer(
        &self,
        response: Incoming,
        limit: BodyLimit,
        phases: &Phases,
    ) -> Result<(Answer, Share), Failure> {
        check_header(&response)?;
        let status = response.status();
        let version = response.version();
        let address = response.address();
        let headers = response.headers().clone();
        let pace = self.pace.as_ref();
        let read = match Reader::new(response, &self.request, limit, phases, &self.memory, pace) {
            Ok(reader) => reader.read().await,
            Err(failure) => Err(failure),
        };
        let body = match read {
            Ok(body) => body,
            Err(failure) => {
                phases.note_begun(headers);
                return Err(failure);
            }
        };
        let answer = Answer {
            status,
            version,
            headers,
            payload: body.payload,
            body: body.decoded,
            address,
        };
        Ok((answer, body.share))
    }
}

/// Refuses what the client lets pass.
fn check_header(response: &Incoming) -> Result<(), Failure> {
    let status = response.status();
    let refuse = |kind, detail: &str| Err(failure::new(kind, Some(status), detail));

    let bytes: usize = response
        .headers()
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 4)
        .sum();
    if bytes > MAX_HEADER_BYTES {
        return refuse(
            FailureKind::HeaderTooLarge,
            &format!("header of {bytes} bytes"),
        );
    }
    // 101 is the only one that gets here, and nobody asked for another protocol.
    if status < 200 {
        return refuse(
            FailureKind::Protocol,
            "switches to a protocol that was not asked for",
        );
    }
    // Nothing but `chunked` was accepted (RFC 9112, section 7.4). The client takes off a last
    // `chunked` and leaves the codings below it, which would then pass for the body.
    let codings = response.headers().get_all(TRANSFER_ENCODING).iter();
    let mut codings = codings.flat_map(|value| value.as_bytes().split(|&byte| byte == b','));
    if let Some(first) = codings.next() {
        let is_chunked = first.trim_ascii().eq_ignore_ascii_case(b"chunked");
        if !is_chunked || codings.next().is_some() {
            return refuse(FailureKind::Protocol, "transfer coding other than chunked");
        }
    }
    Ok(())
}
