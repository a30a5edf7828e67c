//! How are requests sent over one connection?
//!
//! HTTP/1.1 is driven by the exchange that uses it, in its own task: nobody is woken but who waits for the
//! answer, and a connection that is dropped is closed at that moment. HTTP/2 is shared by exchanges and so
//! has a task of its own.

use std::fmt;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Empty;
use hyper::body::{Body, Incoming};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use neap_core::route::Route;
use tokio::task::AbortHandle;

use crate::egress::Wire;

/// A request without a body.
pub(crate) type Asking = Request<Empty<Bytes>>;

/// What is known of a connection.
#[derive(Debug, Default)]
pub(crate) struct About {
    /// The host's address; behind a proxy nobody tells.
    pub(crate) address: Option<SocketAddr>,
    /// How it was made, if through a proxy.
    pub(crate) route: Option<Arc<Route>>,
    /// Whether a proxy reads and relays the requests, which are sent to it in absolute form.
    pub(crate) is_relayed: bool,
}

/// A connection for requests.
pub(crate) struct Line {
    pub(crate) about: Arc<About>,
    kind: Kind,
}

enum Kind {
    One(Box<One>),
    Many(Many),
}

/// HTTP/1.1: one request after the other.
struct One {
    sender: http1::SendRequest<Empty<Bytes>>,
    /// `None` once it has ended.
    connection: Option<http1::Connection<TokioIo<Wire>, Empty<Bytes>>>,
}

/// HTTP/2: many requests at once.
struct Many {
    sender: http2::SendRequest<Empty<Bytes>>,
    /// Ends it; nobody has it twice.
    _task: Option<Ending>,
}

/// Ends the task of a connection when dropped.
struct Ending(AbortHandle);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// How connections speak.
#[derive(Debug, Clone)]
pub(crate) struct Speech {
    pub(crate) http1: http1::Builder,
    pub(crate) http2: http2::Builder<TokioExecutor>,
}

impl Line {
    /// Begins to speak over a wire.
    pub(crate) async fn open(
        speech: &Speech,
        wire: Wire,
        is_http2: bool,
        about: About,
    ) -> hyper::Result<Line> {
        let kind = if is_http2 {
            let (sender, connection) = speech.http2.handshake(TokioIo::new(wire)).await?;
            // How it ends is told to those who use it.
            let task = tokio::spawn(async {
                let _ = connection.await;
            });
            let _task = Some(Ending(task.abort_handle()));
            Kind::Many(Many { sender, _task })
        } else {
            let (sender, connection) = speech.http1.handshake(TokioIo::new(wire)).await?;
            let connection = Some(connection);
            Kind::One(Box::new(One { sender, connection }))
        };
        let about = Arc::new(about);
        Ok(Line { about, kind })
    }

    /// The same connection for another exchange, if it can be shared and has not ended. It ends with the
    /// first.
    pub(crate) fn share(&self) -> Option<Line> {
        match &self.kind {
            Kind::One(_) => None,
            Kind::Many(many) if many.sender.is_closed() => None,
            Kind::Many(many) => Some(Line {
                about: Arc::clone(&self.about),
                kind: Kind::Many(Many {
                    sender: many.sender.clone(),
                    _task: None,
                }),
            }),
        }
    }

    /// Whether the next request can be sent: the last one is over, and the other side has not gone.
    pub(crate) async fn is_ready(&mut self) -> bool {
        match &mut self.kind {
            Kind::One(one) => poll_fn(|cx| Poll::Ready(one.is_ready(cx))).await,
            Kind::Many(many) => !many.sender.is_closed(),
        }
    }

    /// Sends a request and waits for the header of its answer.
    pub(crate) async fn send(&mut self, request: Asking) -> hyper::Result<Response<Incoming>> {
        match &mut self.kind {
            Kind::One(one) => one.send(request).await,
            Kind::Many(many) => many.sender.send_request(request).await,
        }
    }

    /// The next part of the body of the answer that was given last.
    pub(crate) async fn chunk(&mut self, body: &mut Incoming) -> hyper::Result<Option<Bytes>> {
        poll_fn(|cx| {
            loop {
                let frame = match &mut self.kind {
                    Kind::One(one) => one.poll_frame(body, cx),
                    Kind::Many(_) => Pin::new(&mut *body).poll_frame(cx),
                };
                match frame {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(None) => return Poll::Ready(Ok(None)),
                    Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                    // Trailers are no part of the body.
                    Poll::Ready(Some(Ok(frame))) => {
                        if let Ok(data) = frame.into_data() {
                            return Poll::Ready(Ok(Some(data)));
                        }
                    }
                }
            }
        })
        .await
    }

    /// Whether its end gives the place back at once, and not a moment later.
    pub(crate) fn frees_at_once(&self) -> bool {
        match &self.kind {
            Kind::One(_) => true,
            Kind::Many(_) => false,
        }
    }

    /// Whether it is known to have ended by itself.
    pub(crate) fn has_ended(&self) -> bool {
        match &self.kind {
            Kind::One(one) => one.connection.is_none(),
            Kind::Many(many) => many.sender.is_closed(),
        }
    }

    /// Closes it, taking leave of the other side as far as that needs no waiting.
    pub(crate) fn end(self) {
        if let Kind::One(one) = self.kind {
            let One { sender, connection } = *one;
            drop(sender);
            let mut cx = Context::from_waker(std::task::Waker::noop());
            if let Some(connection) = connection {
                // Whether or not that is sent, the socket is closed now.
                let _ = pin!(connection).poll(&mut cx);
            }
        }
    }
}

impl One {
    /// Lets the connection read and write. When it ends, whoever waits for it is told by being dropped.
    fn drive(&mut self, cx: &mut Context<'_>) {
        if let Some(connection) = &mut self.connection
            && Pin::new(connection).poll(cx).is_ready()
        {
            self.connection = None;
        }
    }

    fn is_ready(&mut self, cx: &mut Context<'_>) -> bool {
        self.drive(cx);
        self.connection.is_some() && self.sender.is_ready()
    }

    async fn send(&mut self, request: Asking) -> hyper::Result<Response<Incoming>> {
        let mut answer = pin!(self.sender.send_request(request));
        poll_fn(|cx| {
            self.drive(cx);
            answer.as_mut().poll(cx)
        })
        .await
    }

    fn poll_frame(&mut self, body: &mut Incoming, cx: &mut Context<'_>) -> Poll<NextFrame> {
        // Asking comes first: the connection reads only what is asked for.
        if let Poll::Ready(frame) = Pin::new(&mut *body).poll_frame(cx) {
            return Poll::Ready(frame);
        }
        self.drive(cx);
        Pin::new(body).poll_frame(cx)
    }
}

type NextFrame = Option<hyper::Result<hyper::body::Frame<Bytes>>>;

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Line({:?})", self.about)
    }
}
