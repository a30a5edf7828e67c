//! How is one connection served, request after request?

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::asked::{Asked, End};
use crate::book::{Book, Connected, Ticket};
use crate::plan::Plan;
use crate::reply::Then;
use crate::request::{MAX_REQUEST_BYTES, Malformed, Request, parse};
use crate::script::{Chosen, Script};

/// Room for reading: an ordinary request fits many times over.
const READ_BYTES: usize = 8 * 1024;
/// How long a closed connection still reads: closing with unread bytes would reset it, and the
/// client could lose the answer (RFC 9112, section 9.6).
const LINGER: Duration = Duration::from_secs(1);
/// The reply to bytes that are no request.
const BAD_REQUEST: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// What all connections of a site share.
pub(crate) struct Host {
    pub(crate) book: Arc<Book>,
    pub(crate) script: Script,
    /// How connections begin.
    pub(crate) opening: Opening,
    /// After how long they end whatever is going on.
    pub(crate) longest: Option<Duration>,
}

/// What happens on a new connection before the first request.
pub(crate) enum Opening {
    /// Nothing.
    Plain,
    /// A TLS handshake.
    Tls(TlsAcceptor),
    /// Nothing, and nothing after it.
    Mute,
}

/// A byte stream that knows the TCP connection under it.
trait Wire: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    fn tcp(&self) -> &TcpStream;
}

impl Wire for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }
}

impl Wire for TlsStream<TcpStream> {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().0
    }
}

/// The client closed the connection or broke it.
struct Gone;

/// Addresses of both ends of a connection: the site's own, and the client's.
pub(crate) type Ends = (SocketAddr, SocketAddr);

/// Opens a connection as the host does, and serves it until one side ends it or its time is over.
pub(crate) async fn open(stream: TcpStream, ends: Ends, host: Arc<Host>) {
    let longest = host.longest;
    let serving = open_without_end(stream, ends, host);
    match longest {
        // Dropped unfinished, its request counts as abandoned.
        Some(longest) => {
            let _ = tokio::time::timeout(longest, serving).await;
        }
        None => serving.await,
    }
}

async fn open_without_end(stream: TcpStream, ends: Ends, host: Arc<Host>) {
    let connected = host.book.connect();
    match &host.opening {
        Opening::Plain => serve(stream, ends, &host, &connected).await,
        Opening::Tls(acceptor) => match acceptor.accept(stream).await {
            Ok(stream) => serve(stream, ends, &host, &connected).await,
            Err(_) => host.book.note_failed_handshake(),
        },
        Opening::Mute => Line::new(stream).until_gone().await,
    }
}

/// Serves requests until one side ends the connection.
async fn serve<W: Wire>(wire: W, ends: Ends, host: &Host, connected: &Connected) {
    let mut line = Line::new(wire);
    for turn in 1.. {
        // 1. Read a request.
        let request = match line.next_request().await {
            Ok(Some(request)) => request,
            Ok(None) => return,
            Err(Malformed) => {
                host.book.note_malformed();
                let _ = line.write(BAD_REQUEST).await;
                return line.close().await;
            }
        };

        // 2. Note it and choose its reply.
        let is_head = request.method == "HEAD";
        let keeps_alive = request.keeps_alive;
        let mut asked = note(request, ends, connected.number, turn);
        let mut ticket = host.book.arrive(&mut asked);
        let chosen = host.script.choose(&asked);
        ticket.choose(chosen.plan.status);

        // 3. Play it.
        match line.play(&chosen, is_head, &mut ticket).await {
            Ok(()) => {}
            Err(Gone) => return ticket.client_left(),
        }
        let Chosen { plan, seat, .. } = chosen;
        drop(seat);
        ticket.answered();

        // 4. Go on, or end the connection as the reply says.
        match plan.then {
            Then::KeepAlive if keeps_alive => {}
            Then::KeepAlive | Then::Close => return line.close().await,
            Then::Reset => return line.reset(),
            // Played to its end, which is the client's.
            Then::Stall => return,
        }
    }
}

fn note(request: Request, (local, peer): Ends, connection: u64, turn: u64) -> Asked {
    Asked {
        order: 0,
        micros: 0,
        local,
        peer,
        connection,
        turn,
        method: request.method,
        target: request.target,
        headers: request.headers,
        body: request.body,
        in_flight: 0,
        status: None,
        sent: 0,
        end: End::Pending,
    }
}

/// One connection, with the bytes that were read from it and not understood yet.
struct Line<W> {
    wire: W,
    unread: BytesMut,
}

impl<W: Wire> Line<W> {
    fn new(wire: W) -> Line<W> {
        Line {
            wire,
            unread: BytesMut::new(),
        }
    }

    /// The next request, or `None` when the client has ended the connection.
    async fn next_request(&mut self) -> Result<Option<Request>, Malformed> {
        loop {
            if let Some((request, used)) = parse(&self.unread)? {
                self.unread.advance(used);
                return Ok(Some(request));
            }
            if self.read().await.is_err() {
                return Ok(None);
            }
        }
    }

    /// Queues, waits and sends, as decided. With [`Then::Stall`] it only ends as the client leaves.
    async fn play(
        &mut self,
        chosen: &Chosen,
        is_head: bool,
        ticket: &mut Ticket,
    ) -> Result<(), Gone> {
        let plan: &Plan = &chosen.plan;
        let _worker = match &chosen.workers {
            Some(workers) => Some(self.unless_gone(queue(Arc::clone(workers))).await?),
            None => None,
        };
        if !chosen.delay.is_zero() {
            self.unless_gone(tokio::time::sleep(chosen.delay)).await?;
        }
        let mut pieces = plan.pieces(is_head).peekable();
        while let Some((wait, bytes)) = pieces.next() {
            if !wait.is_zero() {
                self.unless_gone(tokio::time::sleep(wait)).await?;
            }
            match plan.then {
                Then::KeepAlive | Then::Close | Then::Reset if pieces.peek().is_none() => {
                    self.write_last(bytes, ticket).await?;
                }
                Then::KeepAlive | Then::Close | Then::Reset | Then::Stall => {
                    self.write(bytes).await?;
                    ticket.sent(bytes.len());
                }
            }
        }
        match plan.then {
            Then::Stall => self.unless_gone(std::future::pending()).await,
            Then::KeepAlive | Then::Close | Then::Reset => Ok(()),
        }
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Gone> {
        self.wire.write_all(bytes).await.map_err(|_| Gone)?;
        self.wire.flush().await.map_err(|_| Gone)
    }

    /// Writes the end of an answer, and with its last byte ends the request.
    async fn write_last(&mut self, bytes: &[u8], ticket: &mut Ticket) -> Result<(), Gone> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let wire = &mut self.wire;
            let write = |context: &mut Context<'_>| {
                ticket.last_write(rest.len(), || {
                    Pin::new(&mut *wire).poll_write(context, rest)
                })
            };
            match poll_fn(write).await {
                Ok(0) | Err(_) => return Err(Gone),
                Ok(n) => rest = &rest[n..],
            }
        }
        self.wire.flush().await.map_err(|_| Gone)
    }

    /// The result of `work`, unless the client leaves first. What the client sends meanwhile is kept
    /// for its turn. A client that closes only its sending side counts as gone.
    async fn unless_gone<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Gone> {
        tokio::pin!(work);
        loop {
            let is_full = self.unread.len() > MAX_REQUEST_BYTES;
            tokio::select! {
                done = &mut work => return Ok(done),
                read = self.read(), if !is_full => read?,
            }
        }
    }

    async fn read(&mut self) -> Result<(), Gone> {
        self.unread.reserve(READ_BYTES);
        match self.wire.read_buf(&mut self.unread).await {
            Ok(0) | Err(_) => Err(Gone),
            Ok(_) => Ok(()),
        }
    }

    /// Ends the connection in order: says so, and reads until the client agrees.
    async fn close(mut self) {
        if self.wire.shutdown().await.is_err() {
            return;
        }
        // A client that never agrees is left.
        let _ = tokio::time::timeout(LINGER, self.until_gone()).await;
    }

    /// Reads, without a look at what, until the client leaves.
    async fn until_gone(&mut self) {
        while self.read().await.is_ok() {
            self.unread.clear();
        }
    }

    /// Ends the connection with a reset.
    fn reset(self) {
        // Fails only for a socket that is closed already.
        let _ = self.wire.tcp().set_zero_linger();
    }
}

/// Waits, first come first served, for one of the host's workers.
async fn queue(workers: Arc<Semaphore>) -> tokio::sync::OwnedSemaphorePermit {
    workers
        .acquire_owned()
        .await
        .expect("the semaphore of a script is never closed")
}
