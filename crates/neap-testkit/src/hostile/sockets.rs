//! Which ports does the hostile server hold that speak no HTTP?

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::net::TcpSocket;

/// How long a blunt port waits for a client that says nothing.
const PATIENCE: Duration = Duration::from_secs(5);

/// A port that hears something, says the same to everybody, and closes. Connections are counted: one to which only
/// bait leads is a trap.
pub(super) struct Blunt {
    port: u16,
    connections: Arc<AtomicU64>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Blunt {
    /// A port that says these bytes.
    pub(super) fn listen(says: &'static [u8]) -> io::Result<Blunt> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        let connections = Arc::new(AtomicU64::new(0));
        let is_over = Arc::new(AtomicBool::new(false));
        let (counted, over) = (Arc::clone(&connections), Arc::clone(&is_over));
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if over.load(Ordering::Acquire) {
                    return;
                }
                counted.fetch_add(1, Ordering::AcqRel);
                // Who has gone meanwhile hears nothing, which is as well.
                let _ = answer(stream, says);
            }
        });
        Ok(Blunt {
            port,
            connections,
            is_over,
            thread: Some(thread),
        })
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn connections(&self) -> u64 {
        self.connections.load(Ordering::Acquire)
    }
}

/// Hears a first part, so that the client is not reset while it speaks, and answers.
fn answer(mut stream: TcpStream, says: &[u8]) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut heard = [0; 16 << 10];
    let _ = stream.read(&mut heard)?;
    stream.write_all(says)
}

impl Drop for Blunt {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Release);
        // Wakes the thread. If that fails it is left alone.
        let woken = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
        if let (Ok(_), Some(thread)) = (woken, self.thread.take()) {
            // Its panic was told of where it happened.
            let _ = thread.join();
        }
    }
}

/// A port whose queue of connections is full for good: who connects hears nothing.
pub(super) struct Full {
    address: SocketAddr,
    /// Held so that it listens.
    _listener: TcpListener,
    /// Held so that the queue stays full.
    _queue: Vec<TcpStream>,
}

impl Full {
    pub(super) fn listen() -> io::Result<Full> {
        // Sockets of tokio alone take a length of the queue; this runtime is never used again.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()?;
        let _context = runtime.enter();
        let socket = TcpSocket::new_v4()?;
        socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
        let listener = socket.listen(0)?.into_std()?;
        let address = listener.local_addr()?;
        // A queue of 0 takes one connection; the others would wait for ever.
        let queue = vec![TcpStream::connect(address)?];
        Ok(Full {
            address,
            _listener: listener,
            _queue: queue,
        })
    }

    pub(super) fn port(&self) -> u16 {
        self.address.port()
    }
}
