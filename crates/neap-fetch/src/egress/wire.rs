//! What carries the bytes of a connection?
//!
//! TCP, TLS over TCP, TLS over TLS over TCP: whatever it is, it is a [`Wire`].

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::broken::GARBAGE_BYTES;

/// Bytes in both directions.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Duplex for T {}

/// Any of them.
pub(crate) type Wire = Box<dyn Duplex>;

/// A wire that remembers the first bytes that came, and gives back some that were read too early.
pub(crate) struct Witness {
    wire: Wire,
    unread: Bytes,
    first: First,
    room: usize,
}

/// The first bytes that came over a wire, at most [`GARBAGE_BYTES`]; outlives it.
#[derive(Clone, Default)]
pub(crate) struct First(Arc<Mutex<Vec<u8>>>);

impl First {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<u8>> {
        // A panic elsewhere cannot leave plain bytes half written.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Witness {
    pub(crate) fn new(wire: Wire, unread: Bytes) -> Witness {
        Witness {
            wire,
            unread,
            first: First::default(),
            room: GARBAGE_BYTES,
        }
    }

    pub(crate) fn first(&self) -> First {
        self.first.clone()
    }
}

impl AsyncRead for Witness {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buf.filled().len();
        let polled = if this.unread.has_remaining() {
            let ready = this.unread.len().min(buf.remaining());
            buf.put_slice(&this.unread.split_to(ready));
            Poll::Ready(Ok(()))
        } else {
            Pin::new(&mut this.wire).poll_read(cx, buf)
        };
        if this.room > 0 {
            let came = &buf.filled()[before..];
            let kept = came.len().min(this.room);
            this.first.lock().extend_from_slice(&came[..kept]);
            this.room -= kept;
        }
        polled
    }
}

impl AsyncWrite for Witness {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.wire).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.wire).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.wire).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.wire).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.wire.is_write_vectored()
    }
}
