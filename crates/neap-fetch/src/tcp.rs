//! How is a TCP connection made to a host with several addresses?
//!
//! In the order in which the resolver has them, families in turns (RFC 8305, section 4). Each has its share
//! of the time; the next one begins early beside it where a second socket may be had (section 5), so that a
//! family that leads nowhere costs a moment and not half of the time.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, sleep, timeout_at};
use tracing::debug;

use crate::sockets::{Place, Sockets};

/// Head start of an address before the next one (RFC 8305, section 8, "Connection Attempt Delay").
const HEAD_START: Duration = Duration::from_millis(250);

/// A TCP stream and its place, which is given back after the stream is closed.
#[derive(Debug)]
pub(crate) struct Socket {
    stream: TcpStream,
    _place: Place,
}

/// Connects to one of `addresses`, and says to which; from an address of this machine if there is one given, and
/// then only to those of its family.
///
/// # Errors
/// The error of the address that failed first, or [`io::ErrorKind::TimedOut`].
pub(crate) async fn connect(
    addresses: &[SocketAddr],
    from: Option<IpAddr>,
    deadline: Instant,
    place: Place,
    sockets: &Sockets,
) -> io::Result<(Socket, SocketAddr)> {
    let is_reachable = |to: &&SocketAddr| from.is_none_or(|from| from.is_ipv6() == to.is_ipv6());
    let addresses: Vec<SocketAddr> = addresses.iter().filter(is_reachable).copied().collect();
    if let [address] = addresses[..] {
        let tried = try_one(address, from, deadline, place).await;
        return tried.map_err(|(error, _)| error);
    }
    let mut waiting = in_turns(&addresses);
    let mut under_way = FuturesUnordered::new();
    let mut first_error = None;
    let mut free = Some(place);
    loop {
        if let Some(place) = free.take()
            && let Some(address) = waiting.pop_front()
        {
            let now = Instant::now();
            let sharers = u32::try_from(waiting.len()).unwrap_or(u32::MAX - 1) + 1;
            let share = deadline.saturating_duration_since(now) / sharers;
            under_way.push(try_one(address, from, now + share, place));
        }
        tokio::select! {
            Some(tried) = under_way.next() => match tried {
                Ok(made) => return Ok(made),
                Err((error, place)) => {
                    first_error.get_or_insert(error);
                    free = Some(place);
                }
            },
            () = sleep(HEAD_START), if !waiting.is_empty() => free = sockets.spare(),
            else => return Err(first_error.unwrap_or_else(no_address)),
        }
    }
}

async fn try_one(
    address: SocketAddr,
    from: Option<IpAddr>,
    until: Instant,
    place: Place,
) -> Result<(Socket, SocketAddr), (io::Error, Place)> {
    match timeout_at(until, open(address, from)).await {
        Ok(Ok(stream)) => {
            // Requests are whole writes: to wait for more would only delay them.
            if let Err(error) = stream.set_nodelay(true) {
                debug!(%address, %error, "the socket waits before it sends");
            }
            let socket = Socket {
                stream,
                _place: place,
            };
            Ok((socket, address))
        }
        Ok(Err(error)) => Err((error, place)),
        Err(_) => {
            let text = "no connection within the connect time-out";
            Err((io::Error::new(io::ErrorKind::TimedOut, text), place))
        }
    }
}

async fn open(address: SocketAddr, from: Option<IpAddr>) -> io::Result<TcpStream> {
    let Some(from) = from else {
        return TcpStream::connect(address).await;
    };
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.bind(SocketAddr::new(from, 0))?;
    socket.connect(address).await
}

fn no_address() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "no address to connect to")
}

/// The same addresses, those of the first one's family and of the other in turns.
fn in_turns(addresses: &[SocketAddr]) -> VecDeque<SocketAddr> {
    let is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (mut first, mut other): (VecDeque<_>, VecDeque<_>) = addresses
        .iter()
        .copied()
        .partition(|address| address.is_ipv6() == is_v6);
    let mut turns = VecDeque::with_capacity(addresses.len());
    while !first.is_empty() || !other.is_empty() {
        turns.extend(first.pop_front());
        turns.extend(other.pop_front());
    }
    turns
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(20)
    }

    #[test]
    fn families_take_turns_and_the_systems_first_choice_begins() {
        let [a4, b4, a6, b6, c6] = ["1.1.1.1:1", "2.2.2.2:1", "[::1]:1", "[::2]:1", "[::3]:1"]
            .map(|text| text.parse::<SocketAddr>().unwrap());
        assert_eq!(in_turns(&[a6, b6, c6, a4, b4]), [a6, a4, b6, b4, c6]);
        assert_eq!(in_turns(&[a4, b4]), [a4, b4]);
    }

    #[tokio::test]
    async fn an_address_that_refuses_leaves_its_place_to_the_next() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let open = listener.local_addr().unwrap();
        // Nobody listens on port 1 of the loopback network.
        let closed = "127.0.0.1:1".parse().unwrap();
        let sockets = Sockets::new(1);
        let place = sockets.place().await;
        let (socket, address) = connect(&[closed, open], None, soon(), place, &sockets)
            .await
            .unwrap();
        assert_eq!((address, sockets.open()), (open, 1));
        drop(socket);
        assert_eq!(sockets.open(), 0);
    }

    #[tokio::test]
    async fn the_first_error_is_told_and_the_place_is_free_again() {
        let closed = ["127.0.0.1:1", "127.0.0.2:1"].map(|text| text.parse().unwrap());
        let sockets = Sockets::new(1);
        for addresses in [&closed[..], &closed[..1]] {
            let place = sockets.place().await;
            let error = connect(addresses, None, soon(), place, &sockets).await;
            let kind = error.unwrap_err().kind();
            assert_eq!(kind, io::ErrorKind::ConnectionRefused);
            assert_eq!(sockets.open(), 0);
        }
    }

    #[tokio::test]
    async fn a_connection_comes_from_the_address_that_was_asked_for() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let to = listener.local_addr().unwrap();
        let from: IpAddr = "127.0.0.3".parse().unwrap();
        let sockets = Sockets::new(1);
        let other: SocketAddr = "[::1]:1".parse().unwrap();
        let place = sockets.place().await;
        let made = connect(&[other, to], Some(from), soon(), place, &sockets).await;
        let (_socket, _) = made.unwrap();
        let (_, peer) = listener.accept().await.unwrap();
        assert_eq!(peer.ip(), from);
        let more = Sockets::new(1);
        let place = more.place().await;
        let none = connect(&[other], Some(from), soon(), place, &more).await;
        assert_eq!(none.unwrap_err().kind(), io::ErrorKind::NotConnected);
    }
}
