//! What is an address that refuses every connection, for as long as a test needs it?

use std::io;
use std::net::SocketAddr;

use tokio::net::TcpSocket;

/// A port that is taken but not listened on: whoever connects is refused at once.
///
/// Better than a port that was free a moment ago, which another test may get.
#[derive(Debug)]
pub struct Refusing {
    address: SocketAddr,
    /// Held so that nobody else gets the port.
    _socket: TcpSocket,
}

impl Refusing {
    /// Takes a port of 127.0.0.1.
    ///
    /// # Errors
    /// No more ports or sockets.
    pub fn take() -> io::Result<Refusing> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        Ok(Refusing {
            address: socket.local_addr()?,
            _socket: socket,
        })
    }

    /// The address that refuses.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL of a path there, which begins with `/`.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}
