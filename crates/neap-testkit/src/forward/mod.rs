//! What is a forward proxy that works, or fails as a script says?
//!
//! One port speaks HTTP (CONNECT, and requests in absolute form) and SOCKS5, as the first byte says. It
//! only ever connects to loopback, and to names that it was told, so that tests can use any.
//!
//! ```
//! use neap_testkit::{ForwardProxy, Manner, Reply, Site};
//!
//! let site = Site::builder().page("/", Reply::ok("hello")).start();
//! let proxy = ForwardProxy::builder()
//!     .name("shop.example", site.address())
//!     .login("ann", "secret")
//!     .start();
//!
//! // ... send `http://shop.example/` through `proxy.url()`, then let it fail:
//! proxy.set(Manner::status(502));
//! assert_eq!(proxy.passed().len(), 0);
//! ```

mod relay;
mod socks;
mod tunnel;

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;

use crate::request::parse;
use crate::script::lock;
use crate::tls::Identity;
use tunnel::Stream;

/// The first byte of SOCKS5.
const SOCKS5: u8 = 5;

/// A running proxy. It stops when dropped, and then its connections are closed.
pub struct ForwardProxy {
    inner: Arc<Inner>,
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// A proxy in the making.
#[derive(Default)]
pub struct ForwardProxyBuilder {
    login: Option<(String, String)>,
    names: HashMap<String, SocketAddr>,
    every_name: Option<IpAddr>,
    manner: Manner,
    stamp: Option<String>,
    acceptor: Option<TlsAcceptor>,
}

/// How a proxy treats a request, once it has read it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Manner {
    /// It relays it.
    #[default]
    Work,
    /// It writes these bytes and closes. To SOCKS5 they are the first thing it says.
    Say(Vec<u8>),
    /// It writes these bytes instead of `200 Connection established`, and opens the tunnel. Other
    /// requests are relayed.
    OpenWith(Vec<u8>),
    /// It closes the connection without a word.
    Close,
    /// It resets the connection without a word.
    Reset,
    /// It says nothing and keeps the connection open.
    Hang,
    /// It says that the way to the host is open, and closes. Other requests get no answer.
    OpenAndClose,
    /// It says that the way to the host is open, and resets. Other requests get no answer.
    OpenAndReset,
    /// It says that the way to the host is open, and nothing more. Other requests get no answer.
    OpenAndHang,
    /// It says that the way to the host is open, and then these bytes instead of the host's.
    OpenAndSay(Vec<u8>),
    /// It relays, but changes every 16th byte that the host sends.
    Corrupt,
    /// It closes after so many bytes of the host's.
    CutAfter(usize),
    /// It replies this code of SOCKS5, 1 to 255. Other requests are relayed.
    SocksReply(u8),
}

impl Manner {
    /// It answers every request with this status and a page that says so.
    pub fn status(status: u16) -> Manner {
        let page = format!("<h1>{status}</h1>");
        Manner::answer(status, "Because", &[("Content-Type", "text/html")], &page)
    }

    /// It answers every request like this.
    pub fn answer(status: u16, reason: &str, headers: &[(&str, &str)], body: &str) -> Manner {
        let mut text = format!("HTTP/1.1 {status} {reason}\r\n");
        for (name, value) in headers {
            text += &format!("{name}: {value}\r\n");
        }
        text += &format!("Content-Length: {}\r\n\r\n{body}", body.len());
        Manner::Say(text.into_bytes())
    }
}

/// How a request came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Asking {
    /// By CONNECT.
    Connect,
    /// In absolute form.
    Absolute,
    /// By SOCKS5.
    Socks5,
}

/// A request that reached the proxy, whatever became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passed {
    /// How it came.
    pub asking: Asking,
    /// Its target: `host:port`, or a whole URL in absolute form.
    pub target: String,
    /// Its header; of SOCKS5 `user` and `password`, if there were any.
    pub headers: Vec<(String, String)>,
}

impl Passed {
    /// The first value of a header, its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut fields = self.headers.iter();
        let found = fields.find(|(field, _)| field.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

/// What all connections share.
pub(crate) struct Inner {
    login: Option<(String, String)>,
    names: HashMap<String, SocketAddr>,
    every_name: Option<IpAddr>,
    stamp: Option<String>,
    acceptor: Option<TlsAcceptor>,
    manner: Mutex<Manner>,
    passed: Mutex<Vec<Passed>>,
    connections: Mutex<u64>,
}

impl ForwardProxyBuilder {
    /// Wants a user name and a password, for HTTP as for SOCKS5.
    #[must_use]
    pub fn login(mut self, user: &str, password: &str) -> ForwardProxyBuilder {
        self.login = Some((user.to_owned(), password.to_owned()));
        self
    }

    /// Connects to `address`, on loopback, for this name and any port.
    #[must_use]
    pub fn name(mut self, name: &str, address: SocketAddr) -> ForwardProxyBuilder {
        self.names.insert(name.to_owned(), address);
        self
    }

    /// Connects to this loopback address for every name that it was not told, and the port asked for.
    #[must_use]
    pub fn every_name(mut self, ip: IpAddr) -> ForwardProxyBuilder {
        self.every_name = Some(ip);
        self
    }

    /// Begins like this; [`ForwardProxy::set`] changes it.
    #[must_use]
    pub fn manner(mut self, manner: Manner) -> ForwardProxyBuilder {
        self.manner = manner;
        self
    }

    /// Leaves this `Via` on every answer that it relays in absolute form.
    #[must_use]
    pub fn stamp(mut self, via: &str) -> ForwardProxyBuilder {
        self.stamp = Some(via.to_owned());
        self
    }

    /// Speaks TLS itself.
    #[must_use]
    pub fn tls(mut self, identity: &Identity) -> ForwardProxyBuilder {
        self.acceptor = Some(identity.acceptor());
        self
    }

    /// Starts the proxy on a free port of 127.0.0.1; it listens when this returns.
    ///
    /// # Panics
    /// If it cannot start: no more ports, sockets or threads.
    pub fn start(self) -> ForwardProxy {
        self.try_start()
            .expect("a test proxy needs a free loopback port and a thread")
    }

    fn try_start(self) -> io::Result<ForwardProxy> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let listener = {
            let _context = runtime.enter();
            TcpListener::from_std(listener)?
        };
        let address = listener.local_addr()?;
        let inner = Arc::new(Inner {
            login: self.login,
            names: self.names,
            every_name: self.every_name,
            stamp: self.stamp,
            acceptor: self.acceptor,
            manner: Mutex::new(self.manner),
            passed: Mutex::default(),
            connections: Mutex::default(),
        });
        let (stop, stopped) = oneshot::channel::<()>();
        let served = Arc::clone(&inner);
        let thread = std::thread::Builder::new()
            .name(format!("proxy {address}"))
            .spawn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        () = accept(listener, &served) => {}
                        _ = stopped => {}
                    }
                });
            })?;
        Ok(ForwardProxy {
            inner,
            address,
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl ForwardProxy {
    /// A proxy in the making.
    pub fn builder() -> ForwardProxyBuilder {
        ForwardProxyBuilder::default()
    }

    /// The address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How to reach it by HTTP, its user name and password included.
    pub fn url(&self) -> String {
        match self.inner.acceptor {
            // A certificate is for a name.
            Some(_) => format!(
                "https://{}localhost:{}",
                self.user_info(),
                self.address.port()
            ),
            None => format!("http://{}{}", self.user_info(), self.address),
        }
    }

    /// How to reach it by SOCKS5, the names of hosts resolved by the proxy.
    pub fn socks_url(&self) -> String {
        format!("socks5h://{}{}", self.user_info(), self.address)
    }

    /// Changes how it treats the requests to come.
    pub fn set(&self, manner: Manner) {
        *lock(&self.inner.manner) = manner;
    }

    /// The requests that reached it, in order.
    pub fn passed(&self) -> Vec<Passed> {
        lock(&self.inner.passed).clone()
    }

    /// The connections that it accepted.
    pub fn connections(&self) -> u64 {
        *lock(&self.inner.connections)
    }

    fn user_info(&self) -> String {
        match &self.inner.login {
            Some((user, password)) => format!("{user}:{password}@"),
            None => String::new(),
        }
    }
}

impl Drop for ForwardProxy {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn accept(listener: TcpListener, inner: &Arc<Inner>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Usually the process is out of sockets.
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        *lock(&inner.connections) += 1;
        let inner = Arc::clone(inner);
        tokio::spawn(async move {
            match &inner.acceptor {
                Some(acceptor) => {
                    if let Ok(stream) = acceptor.clone().accept(stream).await {
                        let _ = serve(Stream::Tls(Box::new(stream)), &inner).await;
                    }
                }
                None => {
                    let _ = serve(Stream::Tcp(stream), &inner).await;
                }
            }
        });
    }
}

/// Serves one connection, request after request, until one side ends it.
async fn serve(mut client: Stream, inner: &Inner) -> io::Result<()> {
    let mut read = Vec::new();
    loop {
        // 1. Read a request.
        let (request, used) = loop {
            if read.first() == Some(&SOCKS5) {
                return socks::serve(client, read, inner).await;
            }
            match parse(&read) {
                Ok(Some(found)) => break found,
                Ok(None) => {}
                Err(_) => return Ok(()),
            }
            if client.read_buf(&mut read).await? == 0 {
                return Ok(());
            }
        };
        read.drain(..used);

        // 2. Note it, and see whether it may pass.
        let is_connect = request.method == "CONNECT";
        let asking = if is_connect {
            Asking::Connect
        } else {
            Asking::Absolute
        };
        lock(&inner.passed).push(Passed {
            asking,
            target: request.target.clone(),
            headers: request.headers.clone(),
        });
        if !inner.admits(&request.headers) {
            let refusal = "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic \
                           realm=\"test\"\r\nContent-Length: 6\r\n\r\nlog in";
            client.write_all(refusal.as_bytes()).await?;
            continue;
        }

        // 3. Treat it as the script says.
        let manner = lock(&inner.manner).clone();
        client = match tunnel::unless_mute(client, &manner).await? {
            Some(client) => client,
            None => return Ok(()),
        };
        if is_connect {
            return tunnel::serve(client, &request.target, &manner, inner).await;
        }
        if matches!(manner, Manner::OpenAndReset) {
            return client.reset();
        }
        if matches!(manner, Manner::OpenAndClose | Manner::OpenAndHang) {
            return tunnel::finish(client, &manner).await;
        }
        if !relay::serve(&mut client, &request, &manner, inner).await? {
            return client.shutdown().await;
        }
    }
}

impl Inner {
    /// Whether the header has the right credentials.
    fn admits(&self, headers: &[(String, String)]) -> bool {
        let Some((user, password)) = &self.login else {
            return true;
        };
        let pair = format!("{user}:{password}");
        let right = format!("Basic {}", data_encoding::BASE64.encode(pair.as_bytes()));
        headers.iter().any(|(name, value)| {
            name.eq_ignore_ascii_case("proxy-authorization") && *value == right
        })
    }

    /// Connects to `host:port`, if that is on loopback.
    async fn connect(&self, target: &str) -> io::Result<TcpStream> {
        let not_found = || io::Error::from(io::ErrorKind::NotFound);
        let (host, port) = target.rsplit_once(':').ok_or_else(not_found)?;
        let port: u16 = port.parse().map_err(|_| not_found())?;
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let known = self.names.get(host).copied();
        let address = known.or_else(|| {
            let ip = match bare.parse::<IpAddr>() {
                Ok(ip) => Some(ip),
                Err(_) if host == "localhost" => Some(Ipv4Addr::LOCALHOST.into()),
                Err(_) => self.every_name,
            };
            ip.map(|ip| SocketAddr::from((ip, port)))
        });
        match address {
            Some(address) if address.ip().is_loopback() => TcpStream::connect(address).await,
            Some(_) => Err(io::ErrorKind::NetworkUnreachable.into()),
            None => Err(not_found()),
        }
    }
}
