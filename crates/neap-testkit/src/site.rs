//! Who runs the site, and what can a test ask of it?

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use crate::asked::Asked;
use crate::book::TimedOut;
use crate::builder::Builder;
use crate::connection::{Host, Opening, open};
use crate::plan::Plan;
use crate::reply::Reply;
use crate::script::{Route, lock};

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 4096;
/// How many free ports are tried until one is free on all addresses.
const PORT_TRIES: usize = 16;
/// Wait after a failed accept: usually the process is out of sockets.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// A running host. It stops when dropped, and then its connections are closed.
///
/// It has a thread and a runtime of its own, so all methods can be called from tests with or without
/// a runtime; those that wait block the calling thread.
pub struct Site {
    host: Arc<Host>,
    addresses: Vec<SocketAddr>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Where it is.
impl Site {
    /// A site in the making.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// A site in the making on another loopback address than 127.0.0.1.
    pub fn bind(ip: &str) -> Builder {
        Site::builder().bind(ip)
    }

    /// The first address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.addresses[0]
    }

    /// All addresses it listens on, in the order of the [`Builder::bind`] calls.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The URL of the site without a path, and without a slash at its end.
    pub fn base_url(&self) -> String {
        let scheme = match self.host.opening {
            Opening::Tls(_) => "https",
            Opening::Plain | Opening::Mute => "http",
        };
        format!("{scheme}://{}", self.address())
    }

    /// The URL of a path, which begins with `/`.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base_url())
    }
}

/// What it saw. Counters and log begin anew with [`Site::clear_log`].
impl Site {
    /// All requests in the order of arrival.
    ///
    /// # Panics
    /// If the site was built without a log.
    pub fn log(&self) -> Vec<Asked> {
        self.host.book.log()
    }

    /// How often a path was asked; with a query, that target alone ([`Asked::is_for`]).
    ///
    /// # Panics
    /// If the site was built without a log.
    pub fn count(&self, path: &str) -> usize {
        self.host.book.count(path)
    }

    /// How many requests arrived.
    pub fn asked(&self) -> u64 {
        self.host.book.asked()
    }

    /// How many requests were answered completely, in whatever way the script says.
    pub fn answered(&self) -> u64 {
        self.host.book.answered()
    }

    /// Requests in flight now.
    pub fn in_flight(&self) -> usize {
        self.host.book.in_flight()
    }

    /// The most requests that were in flight at once. Exact: a request leaves flight before its
    /// client can have read the end of its answer.
    pub fn max_in_flight(&self) -> usize {
        self.host.book.max_in_flight()
    }

    /// Connections open now.
    pub fn connections(&self) -> usize {
        self.host.book.connections()
    }

    /// The most connections that were open at once. A connection counts until the site has noticed
    /// its end, so one that replaces another may be counted beside it.
    pub fn max_connections(&self) -> usize {
        self.host.book.max_connections()
    }

    /// Connections accepted over the life of the site.
    pub fn accepted(&self) -> u64 {
        self.host.book.accepted()
    }

    /// How often something came that was no request, such as a TLS handshake on a plain port. It is
    /// answered with 400 and not logged.
    pub fn malformed(&self) -> u64 {
        self.host.book.malformed()
    }

    /// TLS handshakes that failed, whoever broke them off.
    pub fn failed_handshakes(&self) -> u64 {
        self.host.book.failed_handshakes()
    }

    /// Forgets the log and begins all counters anew, [`Site::accepted`] and the order numbers
    /// excepted. Requests in flight now are still counted as such, but not as answered later.
    pub fn clear_log(&self) {
        self.host.book.clear();
    }
}

/// Waiting for it. The condition is looked at after every change, never by polling.
impl Site {
    /// Waits until the log fulfils a condition. The condition runs under the log's lock: it must be
    /// quick and not call the site.
    ///
    /// # Errors
    /// [`TimedOut`] with the end of the log, which is what the test should print.
    ///
    /// # Panics
    /// If the site was built without a log.
    pub fn wait_for(
        &self,
        is_seen: impl FnMut(&[Asked]) -> bool,
        timeout: Duration,
    ) -> Result<(), TimedOut> {
        self.host.book.wait_log(is_seen, timeout)
    }

    /// Waits until at least `n` requests are answered completely; needs no log.
    ///
    /// # Errors
    /// [`TimedOut`] if they are not.
    pub fn wait_answered(&self, n: u64, timeout: Duration) -> Result<(), TimedOut> {
        self.host.book.wait_answered(n, timeout)
    }

    /// Waits until exactly `n` requests are in flight; needs no log.
    ///
    /// # Errors
    /// [`TimedOut`] if they are not.
    pub fn wait_in_flight(&self, n: usize, timeout: Duration) -> Result<(), TimedOut> {
        self.host.book.wait_in_flight(n, timeout)
    }

    /// Waits until exactly `n` connections are open; needs no log.
    ///
    /// # Errors
    /// [`TimedOut`] if they are not.
    pub fn wait_connections(&self, n: usize, timeout: Duration) -> Result<(), TimedOut> {
        self.host.book.wait_connections(n, timeout)
    }
}

/// Changing it while it runs, for requests that arrive from then on.
impl Site {
    /// Gives `reply` to every request until [`Site::recover`]; spared paths excepted.
    pub fn outage_now(&self, reply: Reply) {
        *lock(&self.host.script.switched) = Some(Arc::new(Plan::new(&reply)));
    }

    /// Ends the outage that [`Site::outage_now`] began; scripted ones go on.
    pub fn recover(&self) {
        *lock(&self.host.script.switched) = None;
    }

    /// Answers this path always alike from now on.
    pub fn set_page(&self, path: &str, reply: Reply) {
        let route = Route::Fixed(Arc::new(Plan::new(&reply)));
        lock(&self.host.script.routes).insert(path.to_owned(), Arc::new(route));
    }
}

impl Site {
    /// Listens, and serves on a new thread until the site is dropped.
    pub(crate) fn run(host: Arc<Host>, ips: Vec<IpAddr>, port: u16) -> io::Result<Site> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let listeners = {
            let _context = runtime.enter();
            listen(&ips, port)?
        };
        let addresses = listeners
            .iter()
            .map(TcpListener::local_addr)
            .collect::<io::Result<Vec<SocketAddr>>>()?;
        let (stop, stopped) = oneshot::channel();
        let served = Arc::clone(&host);
        let thread = std::thread::Builder::new()
            .name(format!("site {}", addresses[0]))
            .spawn(move || serve_all(&runtime, listeners, &served, stopped))?;
        Ok(Site {
            host,
            addresses,
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // Fails only if the thread has ended already.
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            // A panic on the thread has been printed there.
            let _ = thread.join();
        }
    }
}

fn serve_all(
    runtime: &Runtime,
    listeners: Vec<TcpListener>,
    host: &Arc<Host>,
    stopped: oneshot::Receiver<()>,
) {
    for listener in listeners {
        runtime.spawn(accept(listener, Arc::clone(host)));
    }
    // The stop is a message or the loss of the sender; either way it is time to go.
    let _ = runtime.block_on(stopped);
}

async fn accept(listener: TcpListener, host: Arc<Host>) {
    loop {
        let Ok((stream, peer)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let Ok(local) = stream.local_addr() else {
            continue;
        };
        // Replies are whole writes: waiting for more would only delay them.
        let _ = stream.set_nodelay(true);
        tokio::spawn(open(stream, (local, peer), Arc::clone(&host)));
    }
}

/// Listens on all addresses with one port.
fn listen(ips: &[IpAddr], port: u16) -> io::Result<Vec<TcpListener>> {
    let mut result = listen_once(ips, port);
    for _ in 1..PORT_TRIES {
        if port != 0 || result.is_ok() {
            break;
        }
        result = listen_once(ips, port);
    }
    result
}

fn listen_once(ips: &[IpAddr], mut port: u16) -> io::Result<Vec<TcpListener>> {
    let mut listeners = Vec::with_capacity(ips.len());
    for ip in ips {
        let socket = if ip.is_ipv4() {
            TcpSocket::new_v4()?
        } else {
            TcpSocket::new_v6()?
        };
        // Lets a site come back on the port of one that was just dropped.
        socket.set_reuseaddr(true)?;
        socket.bind(SocketAddr::new(*ip, port))?;
        let listener = socket.listen(BACKLOG)?;
        port = listener.local_addr()?.port();
        listeners.push(listener);
    }
    Ok(listeners)
}
