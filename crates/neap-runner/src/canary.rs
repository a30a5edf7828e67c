//! Does our own network work?
//!
//! Asked when exchanges with many hosts end in silence at once. Whoever answered last is asked for a connection;
//! before anybody did, it is only looked whether there is a way out of the machine at all, which sends nothing.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

/// Longest time for the connection.
const PATIENCE: Duration = Duration::from_secs(5);

/// Addresses that are set aside for documents (RFC 5737, RFC 3849): routed like any other, and nobody's.
const ANYWHERE: [&str; 2] = ["192.0.2.1:9", "[2001:db8::1]:9"];

/// Whether the network works, as far as `last`, the address that answered last, tells.
pub(crate) async fn works(last: Option<SocketAddr>) -> bool {
    match last {
        Some(address) => connects(address).await,
        None => has_route().await,
    }
}

/// Whether an address answers to a connection, be it with a refusal.
async fn connects(address: SocketAddr) -> bool {
    match timeout(PATIENCE, TcpStream::connect(address)).await {
        Ok(Ok(_)) => true,
        Ok(Err(error)) => matches!(
            error.kind(),
            ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset
        ),
        Err(_) => false,
    }
}

/// Whether the machine knows a way out. A UDP socket that is connected sends nothing.
async fn has_route() -> bool {
    for (here, there) in [("0.0.0.0:0", ANYWHERE[0]), ("[::]:0", ANYWHERE[1])] {
        if let Ok(socket) = UdpSocket::bind(here).await
            && socket.connect(there).await.is_ok()
        {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_that_answers_shows_that_the_network_works() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        assert!(works(Some(address)).await);
        drop(listener);
        assert!(works(Some(address)).await, "a refusal is an answer");
    }
}
