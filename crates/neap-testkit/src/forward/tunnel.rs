//! How are bytes carried between a client and a host, or not?

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::{Inner, Manner};

/// What a client hears when its host is there.
const ESTABLISHED: &[u8] = b"HTTP/1.1 200 Connection established\r\n\r\n";

/// Which of the bytes are changed by a proxy that corrupts.
const CORRUPT_EVERY: usize = 16;

/// The client's side, with or without TLS.
pub(crate) enum Stream {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// Ends the connection with a reset.
    pub(crate) fn reset(self) -> io::Result<()> {
        let tcp = match &self {
            Stream::Tcp(stream) => stream,
            Stream::Tls(stream) => stream.get_ref().0,
        };
        tcp.set_zero_linger()
    }

    /// Waits until the client ends the connection.
    pub(crate) async fn until_gone(mut self) -> io::Result<()> {
        let mut unneeded = [0; 1024];
        while self.read(&mut unneeded).await? > 0 {}
        Ok(())
    }
}

/// Answers a CONNECT and carries what follows.
pub(super) async fn serve(
    mut client: Stream,
    target: &str,
    manner: &Manner,
    inner: &Inner,
) -> io::Result<()> {
    let opening = if let Manner::OpenWith(bytes) = manner {
        bytes
    } else {
        ESTABLISHED
    };
    match open(&mut client, target, manner, inner, opening).await {
        Ok(Some(host)) => carry(client, host, manner).await,
        Ok(None) => finish(client, manner).await,
        Err(_) => {
            let refusal =
                b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 11\r\n\r\nunreachable";
            client.write_all(refusal).await?;
            client.shutdown().await
        }
    }
}

/// Says `opening`, once there is a host; `None` if the manner wants none.
pub(super) async fn open(
    client: &mut Stream,
    target: &str,
    manner: &Manner,
    inner: &Inner,
    opening: &[u8],
) -> io::Result<Option<TcpStream>> {
    let needs_no_host = matches!(
        manner,
        Manner::OpenAndClose | Manner::OpenAndReset | Manner::OpenAndHang | Manner::OpenAndSay(_)
    );
    let host = match needs_no_host {
        true => None,
        false => Some(inner.connect(target).await?),
    };
    client.write_all(opening).await?;
    client.flush().await?;
    Ok(host)
}

/// What a proxy does that has no host.
pub(super) async fn finish(mut client: Stream, manner: &Manner) -> io::Result<()> {
    if matches!(manner, Manner::OpenAndHang) {
        return client.until_gone().await;
    }
    if matches!(manner, Manner::OpenAndReset) {
        // Not before the client has spoken: the opening would be lost with the connection.
        let mut unneeded = [0; 1024];
        let _ = client.read(&mut unneeded).await?;
        return client.reset();
    }
    if let Manner::OpenAndSay(bytes) = manner {
        client.write_all(bytes).await?;
    }
    client.shutdown().await?;
    linger(client).await
}

/// Does what a proxy does that is not going to speak the protocol; gives the client back if it is.
pub(super) async fn unless_mute(mut client: Stream, manner: &Manner) -> io::Result<Option<Stream>> {
    if let Manner::Say(bytes) = manner {
        client.write_all(bytes).await?;
        client.shutdown().await?;
        linger(client).await?;
    } else if matches!(manner, Manner::Close) {
        client.shutdown().await?;
        linger(client).await?;
    } else if matches!(manner, Manner::Reset) {
        client.reset()?;
    } else if matches!(manner, Manner::Hang) {
        client.until_gone().await?;
    } else {
        return Ok(Some(client));
    }
    Ok(None)
}

/// Reads what still comes, so that closing with unread bytes does not reset the connection.
async fn linger(client: Stream) -> io::Result<()> {
    let waited = tokio::time::timeout(Duration::from_secs(1), client.until_gone()).await;
    waited.unwrap_or(Ok(()))
}

/// Carries bytes in both directions until one side ends.
pub(super) async fn carry(client: Stream, host: TcpStream, manner: &Manner) -> io::Result<()> {
    let (mut from_client, mut to_client) = tokio::io::split(client);
    let (mut from_host, mut to_host) = host.into_split();
    let there = async {
        tokio::io::copy(&mut from_client, &mut to_host).await?;
        to_host.shutdown().await
    };
    let back = async {
        let mut came = 0;
        let mut buffer = [0; 4096];
        loop {
            let read = from_host.read(&mut buffer).await?;
            if read == 0 {
                break;
            }
            let bytes = &mut buffer[..read];
            let kept = change(bytes, came, manner);
            came += read;
            to_client.write_all(&bytes[..kept]).await?;
            if kept < read {
                break;
            }
        }
        to_client.shutdown().await
    };
    tokio::select! {
        ended = back => ended,
        Err(error) = there => Err(error),
    }
}

/// Changes the bytes of a host as the manner says, and says how many of them are carried.
pub(super) fn change(bytes: &mut [u8], came: usize, manner: &Manner) -> usize {
    if matches!(manner, Manner::Corrupt) {
        for (at, byte) in bytes.iter_mut().enumerate() {
            if (came + at) % CORRUPT_EVERY == CORRUPT_EVERY - 1 {
                *byte ^= 0x55;
            }
        }
    }
    match manner {
        Manner::CutAfter(limit) => limit.saturating_sub(came).min(bytes.len()),
        Manner::Work
        | Manner::Say(_)
        | Manner::OpenWith(_)
        | Manner::Close
        | Manner::Reset
        | Manner::Hang
        | Manner::OpenAndClose
        | Manner::OpenAndReset
        | Manner::OpenAndHang
        | Manner::OpenAndSay(_)
        | Manner::Corrupt
        | Manner::SocksReply(_) => bytes.len(),
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Stream::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Stream::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
