//! How is a connection to a host made through a proxy, step by step?
//!
//! Each step has a failure of its own, since what failed tells who is to blame: the proxy that is not
//! there, the proxy that says no, or the host behind it. All steps together have the connect time-out.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use neap_core::exchange::{FailureKind, Stage};
use neap_core::route::{Phase, Route, Way};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use url::Url;

use super::broken::{Broken, Fault};
use super::connect::{self, Said};
use super::scrub;
use super::socks::{self, Target};
use super::wire::{Wire, Witness};
use super::{Proxy, Scheme};
use crate::certificate;
use crate::connection::About;
use crate::direct::{Made, NotConnected};
use crate::dns::Resolver;
use crate::failure::{self, Reached};
use crate::phases;
use crate::settings::{FetchError, FetchSettings};
use crate::sockets::{Place, Sockets};
use crate::tcp::{self, Socket};
use crate::tls;

/// Makes connections through proxies.
pub(crate) struct Connector {
    resolver: Arc<Resolver>,
    /// TLS with hosts.
    tls: Arc<ClientConfig>,
    /// TLS with proxies.
    proxy_tls: Arc<ClientConfig>,
    /// The address of this machine that connections come from.
    from: Option<IpAddr>,
    timeout: Duration,
    agent: HeaderValue,
}

impl Connector {
    pub(crate) fn new(
        settings: &FetchSettings,
        tls: &ClientConfig,
        resolver: Arc<Resolver>,
    ) -> Result<Connector, FetchError> {
        let agent = HeaderValue::from_str(&settings.user_agent);
        Ok(Connector {
            resolver,
            tls: Arc::new(tls::through_proxies(tls)),
            proxy_tls: Arc::new(tls::with_proxies(tls)),
            from: settings.bind,
            timeout: settings.request.connect_timeout,
            agent: agent.map_err(|_| FetchError::UserAgent)?,
        })
    }

    /// Connects to the host of a URL through a proxy.
    pub(crate) async fn connect(
        &self,
        proxy: &Proxy,
        url: &Url,
        place: Place,
        sockets: &Sockets,
    ) -> Result<Made, Broken> {
        let mut making = Making {
            deadline: Instant::now() + self.timeout,
            route: Route {
                way: way(proxy.scheme, url.scheme() == "https"),
                proxy: Some(proxy.name.clone()),
                ..Route::default()
            },
            common: self,
            proxy,
            sockets,
        };
        match making.link(url, place).await {
            Ok((wire, is_http2)) => {
                let is_relayed = making.route.way == Way::Plain;
                making.route.reached = Phase::Header;
                phases::note_route(&making.route);
                let about = About {
                    address: None,
                    route: Some(Arc::new(making.route)),
                    is_relayed,
                };
                Ok(Made {
                    wire,
                    is_http2,
                    about,
                })
            }
            Err(fault) => Err(broken(fault, making.route, proxy)),
        }
    }
}

/// The error of a connection that came as far as `route` says.
fn broken(fault: Fault, mut route: Route, proxy: &Proxy) -> Broken {
    route.was_reset = fault.was_reset;
    let scrubbed = |bytes| match &proxy.credentials {
        Some(credentials) => scrub::bytes(bytes, credentials),
        None => bytes,
    };
    route.garbage = fault.garbage.map(scrubbed);
    Broken {
        kind: fault.kind,
        detail: format!("{} (proxy {})", fault.detail, proxy.name),
        route: Box::new(route),
    }
}

/// The way through a proxy that speaks `scheme`.
pub(crate) const fn way(scheme: Scheme, is_https: bool) -> Way {
    match (scheme.is_socks(), is_https) {
        (true, _) => Way::Socks5,
        (false, true) => Way::Tunnel,
        (false, false) => Way::Plain,
    }
}

/// One connection while it is made.
struct Making<'a> {
    common: &'a Connector,
    proxy: &'a Proxy,
    sockets: &'a Sockets,
    deadline: Instant,
    route: Route,
}

impl Making<'_> {
    /// The finished connection, and whether the host agreed to HTTP/2.
    async fn link(&mut self, url: &Url, place: Place) -> Result<(Wire, bool), Fault> {
        let host = url.host_str().unwrap_or_default();
        let port = url.port_or_known_default().unwrap_or_default();

        // 1. Reach the proxy.
        let tcp = self.reach_proxy(place).await?;
        let mut wire: Wire = match self.proxy.scheme {
            Scheme::Https => self.tls_with_proxy(tcp).await?,
            Scheme::Http | Scheme::Socks5 | Scheme::Socks5h => Box::new(tcp),
        };

        // 2. Have it open a way to the host.
        let mut unread = bytes::Bytes::new();
        if self.route.way != Way::Plain {
            self.enter(Phase::Open);
            let began = Instant::now();
            let opened = match self.route.way {
                Way::Socks5 => self.open_socks(&mut wire, host, port).await,
                Way::Tunnel | Way::Plain | Way::Direct => {
                    let opened = self.open_tunnel(&mut wire, host, port).await;
                    opened.map(|bytes| unread = bytes)
                }
            };
            self.route.took.open = Some(began.elapsed());
            opened?;
        }

        // 3. Begin TLS with the host.
        match url.scheme() == "https" {
            true => self.tls_with_host(wire, unread, host).await,
            false => Ok((wire, false)),
        }
    }

    fn enter(&mut self, phase: Phase) {
        self.route.reached = phase;
        phases::note_route(&self.route);
    }

    async fn reach_proxy(&mut self, place: Place) -> Result<Socket, Fault> {
        self.enter(Phase::Connect);
        let began = Instant::now();
        let connected = timeout_at(self.deadline, self.connect_to_proxy(place)).await;
        self.route.took.connect = Some(began.elapsed());
        match connected {
            Ok(Ok((socket, address))) => {
                self.route.address = Some(address);
                Ok(socket)
            }
            Ok(Err(error)) => {
                use FailureKind as K;
                let found = failure::kind_of(&*error, Reached::Nothing);
                let kind = if matches!(found, K::Dns | K::DnsNotFound) {
                    self.enter(Phase::Dns);
                    K::ProxyDns
                } else if found == K::Internal {
                    K::Internal
                } else {
                    K::ProxyConnect
                };
                Err(Fault::new(kind, failure::texts(&*error)))
            }
            Err(_) => Err(Fault::new(
                FailureKind::ProxyConnect,
                "no connection to the proxy within the connect time-out",
            )),
        }
    }

    async fn connect_to_proxy(&self, place: Place) -> Result<(Socket, SocketAddr), NotConnected> {
        let Proxy { host, port, .. } = self.proxy;
        let addresses = match host.parse::<IpAddr>() {
            Ok(ip) => vec![SocketAddr::from((ip, *port))],
            Err(_) => {
                let began = Instant::now();
                let mut found = self.common.resolver.addresses(host).await?;
                phases::note_dns(began.elapsed());
                found.iter_mut().for_each(|address| address.set_port(*port));
                found
            }
        };
        Ok(tcp::connect(
            &addresses,
            self.common.from,
            self.deadline,
            place,
            self.sockets,
        )
        .await?)
    }

    async fn tls_with_proxy(&mut self, tcp: Socket) -> Result<Wire, Fault> {
        self.enter(Phase::ProxyTls);
        let began = Instant::now();
        let wire = Witness::new(Box::new(tcp), bytes::Bytes::new());
        let config = Arc::clone(&self.common.proxy_tls);
        let shaken = shake(config, &self.proxy.host, wire, self.deadline).await;
        self.route.took.proxy_tls = Some(began.elapsed());
        match shaken {
            Ok(stream) => {
                // Its certificate is not the host's.
                phases::note_certificate(None);
                Ok(Box::new(stream))
            }
            Err(shaken) => {
                let detail = format!("TLS with the proxy failed: {}", shaken.detail());
                self.route.tls_alert = shaken.alert();
                Err(
                    Fault::garbage(FailureKind::ProxyTls, detail, shaken.garbage())
                        .after(shaken.error.as_ref()),
                )
            }
        }
    }

    /// Opens a tunnel with CONNECT. The bytes that came too early belong to the host.
    async fn open_tunnel(
        &mut self,
        wire: &mut Wire,
        host: &str,
        port: u16,
    ) -> Result<bytes::Bytes, Fault> {
        let login = self
            .proxy
            .credentials
            .as_ref()
            .map(super::Credentials::header);
        let target = format!("{host}:{port}");
        let request = connect::request(&target, &self.common.agent, login.as_ref());
        match connect::ask(wire, &request, self.deadline).await? {
            Said::Open { status, unread } => {
                self.route.tunnel_status = Some(status);
                Ok(unread)
            }
            Said::Refused(mut refusal) => {
                if let Some(credentials) = &self.proxy.credentials {
                    scrub::refusal(&mut refusal, credentials);
                }
                // Some answer a wrong password with 401 (tinyproxy).
                let kind = match refusal.status {
                    401 | 407 => FailureKind::ProxyAuth,
                    _ => FailureKind::ProxyRefused,
                };
                let detail = format!(
                    "the proxy answered CONNECT with {} {}",
                    refusal.status, refusal.reason
                );
                self.route.refusal = Some(refusal);
                Err(Fault::new(kind, detail.trim_end()))
            }
        }
    }

    async fn open_socks(&mut self, wire: &mut Wire, host: &str, port: u16) -> Result<(), Fault> {
        let target = self.socks_target(host, port).await?;
        let login = self.proxy.credentials.as_ref();
        let reply = &mut self.route.socks_reply;
        let opening = socks::open(wire, &target, login, reply);
        match timeout_at(self.deadline, opening).await {
            Ok(opened) => opened,
            Err(_) => Err(Fault::new(
                FailureKind::ProxyTimeout,
                "the SOCKS5 proxy did not answer in time",
            )),
        }
    }

    async fn socks_target(&self, host: &str, port: u16) -> Result<Target, Fault> {
        if let Ok(address) = bare(host).parse::<IpAddr>() {
            return Ok(Target::Address((address, port).into()));
        }
        match self.proxy.scheme {
            Scheme::Socks5h | Scheme::Http | Scheme::Https => {
                Ok(Target::Name(host.to_owned(), port))
            }
            Scheme::Socks5 => {
                let may_be_private = phases::may_be_private();
                let looking_up = self.common.resolver.permitted(host, may_be_private);
                let found = timeout_at(self.deadline, looking_up).await.map_err(|_| {
                    Fault::new(FailureKind::Dns, "the host's name was not resolved in time")
                })?;
                let found = found.map_err(|error| {
                    let kind = failure::kind_of(&error, Reached::Nothing);
                    Fault::new(kind, format!("the host's name: {error}"))
                })?;
                let first = found.first().map(|address| address.ip());
                let first = first.ok_or_else(|| {
                    Fault::new(FailureKind::DnsNotFound, "the host's name has no address")
                })?;
                Ok(Target::Address((first, port).into()))
            }
        }
    }

    async fn tls_with_host(
        &mut self,
        wire: Wire,
        unread: bytes::Bytes,
        host: &str,
    ) -> Result<(Wire, bool), Fault> {
        self.enter(Phase::Tls);
        let began = Instant::now();
        let wire = Witness::new(wire, unread);
        let shaken = shake(Arc::clone(&self.common.tls), host, wire, self.deadline).await;
        self.route.took.tls = Some(began.elapsed());
        match shaken {
            Ok(stream) => {
                let session = stream.get_ref().1;
                let is_http2 = session.alpn_protocol() == Some(b"h2");
                let chain = session.peer_certificates();
                self.route.certificate = chain
                    .and_then(<[_]>::first)
                    .map(|leaf| certificate::read(leaf));
                Ok((Box::new(stream), is_http2))
            }
            Err(shaken) => {
                self.route.tls_alert = shaken.alert();
                self.route.certificate = phases::noted_certificate();
                let fault = Fault::garbage(shaken.kind(), shaken.detail(), shaken.garbage());
                Err(fault.after(shaken.error.as_ref()))
            }
        }
    }
}

/// Why a handshake came to nothing.
struct NoTls {
    /// `None` when time ran out.
    error: Option<io::Error>,
    /// The first bytes that came.
    first: Vec<u8>,
}

/// Begins TLS with `host` over `wire`.
async fn shake(
    config: Arc<ClientConfig>,
    host: &str,
    wire: Witness,
    deadline: Instant,
) -> Result<TlsStream<Witness>, NoTls> {
    let name = match ServerName::try_from(bare(host).to_owned()) {
        Ok(name) => name,
        Err(error) => {
            return Err(NoTls {
                error: Some(io::Error::new(io::ErrorKind::InvalidInput, error)),
                first: Vec::new(),
            });
        }
    };
    let first = wire.first();
    let shaking = TlsConnector::from(config).connect(name, wire);
    let error = match timeout_at(deadline, shaking).await {
        Ok(Ok(stream)) => return Ok(stream),
        Ok(Err(error)) => Some(error),
        Err(_) => None,
    };
    let first = first.bytes();
    Err(NoTls { error, first })
}

impl NoTls {
    /// What it means inside of a tunnel.
    fn kind(&self) -> FailureKind {
        match (&self.error, self.first.is_empty()) {
            (None, true) => FailureKind::TunnelTimeout,
            (None, false) => FailureKind::Timeout(Stage::Connect),
            (Some(error), is_silent) => {
                let kind = failure::kind_of(error, Reached::Nothing);
                let is_theirs = kind != FailureKind::Internal && !is_about_us(error);
                if is_silent && is_theirs {
                    FailureKind::TunnelClosed
                } else {
                    kind
                }
            }
        }
    }

    fn detail(&self) -> String {
        match (&self.error, self.first.is_empty()) {
            (None, _) => "no TLS session within the connect time-out".to_owned(),
            (Some(error), true) if !is_about_us(error) => {
                format!("closed before a byte came ({error})")
            }
            (Some(error), _) => failure::texts(error),
        }
    }

    fn alert(&self) -> Option<String> {
        failure::alert(self.error.as_ref()?)
    }

    /// What came, unless it is TLS (RFC 8446, section 5.1: content types 20 to 23).
    fn garbage(&self) -> &[u8] {
        match self.first.first() {
            Some(20..=23) | None => &[],
            Some(_) => &self.first,
        }
    }
}

/// Whether the error is of our own making, so that silence says nothing.
fn is_about_us(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::InvalidInput
}

/// An address of a URL without its brackets.
fn bare(host: &str) -> &str {
    host.strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host)
}
