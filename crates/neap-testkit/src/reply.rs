//! What does the site answer, and how does it misbehave while it does?

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;

use crate::coding::Coding;

/// Where an endless body ends after all, in bytes on the wire: 1 GiB, more than any client under
/// test may take, and an end for one that takes everything.
pub const ENDLESS_CAP_BYTES: u64 = 1 << 30;

/// Body bytes of one chunk, if a reply is chunked and says no other size.
const CHUNK_BYTES: usize = 8 * 1024;

/// What happens to the connection when the reply's bytes are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// It waits for the next request, unless the request said `Connection: close`.
    KeepAlive,
    /// It is closed in order (FIN), whether the reply said so or not.
    Close,
    /// It is reset (RST). On loopback the client can still read what was sent before.
    Reset,
    /// Nothing, for ever: the request is in flight until the client leaves or the site is dropped.
    Stall,
}

/// One answer, made of good parts and bad ones.
///
/// `Content-Length` or `Transfer-Encoding` is added unless the reply sets one of the two itself,
/// which is also how to lie about it.
#[derive(Debug, Clone)]
pub struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(Cow<'static, str>, Cow<'static, str>)>,
    pub(crate) body: Body,
    /// Body bytes of a chunk, if the body is sent in chunks.
    pub(crate) chunk: Option<usize>,
    /// Sent instead of head and body, if set.
    pub(crate) raw: Option<Vec<Run>>,
    pub(crate) delay: Duration,
    pub(crate) drip: Option<Drip>,
    /// How many bytes after the head are sent, if not all.
    pub(crate) cut: Option<u64>,
    pub(crate) then: Then,
}

/// Bytes that are sent some times over: how a reply of gigabytes fits into little memory.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    pub(crate) bytes: Bytes,
    pub(crate) times: u64,
}

/// The payload of a reply.
#[derive(Debug, Clone)]
pub(crate) enum Body {
    /// These bytes.
    Whole(Bytes),
    /// These bytes again and again, up to [`ENDLESS_CAP_BYTES`].
    Endless(Bytes),
}

/// Sending little by little.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Drip {
    pub(crate) bytes: usize,
    pub(crate) every: Duration,
    pub(crate) includes_head: bool,
}

/// Replies to begin with.
impl Reply {
    /// A good answer, 200, with this body.
    pub fn ok(body: impl Into<Bytes>) -> Reply {
        Reply::status(200).body(body)
    }

    /// An empty answer with this status; any number, also one that HTTP does not know.
    pub fn status(status: u16) -> Reply {
        Reply {
            status,
            headers: Vec::new(),
            body: Body::Whole(Bytes::new()),
            chunk: None,
            raw: None,
            delay: Duration::ZERO,
            drip: None,
            cut: None,
            then: Then::KeepAlive,
        }
    }

    /// A small HTML page with this title and one `<a href>` for each link; both are put in as they
    /// are, without escaping.
    pub fn html<L: AsRef<str>>(title: &str, links: impl IntoIterator<Item = L>) -> Reply {
        let mut page = format!(
            "<!doctype html>\n<html><head><title>{title}</title></head><body>\n<h1>{title}</h1>\n"
        );
        for link in links {
            let link = link.as_ref();
            page.push_str(&format!("<p><a href=\"{link}\">{link}</a></p>\n"));
        }
        page.push_str("</body></html>\n");
        Reply::ok(page).header("content-type", "text/html; charset=utf-8")
    }

    /// A plain text answer.
    pub fn text(body: impl Into<Bytes>) -> Reply {
        Reply::ok(body).header("content-type", "text/plain; charset=utf-8")
    }

    /// A redirect to `location`, sent as it is.
    pub fn redirect(status: u16, location: impl Into<Cow<'static, str>>) -> Reply {
        Reply::status(status).header("location", location)
    }

    /// These bytes instead of a well-formed answer; then the connection is closed.
    pub fn raw(bytes: impl Into<Bytes>) -> Reply {
        let only = Run {
            bytes: bytes.into(),
            times: 1,
        };
        Reply {
            raw: Some(vec![only]),
            then: Then::Close,
            ..Reply::status(0)
        }
    }

    /// No answer: the connection is closed.
    pub fn hang_up() -> Reply {
        Reply::raw(Bytes::new())
    }

    /// No answer: the connection is reset.
    pub fn reset() -> Reply {
        Reply::raw(Bytes::new()).then(Then::Reset)
    }

    /// No answer, and the connection stays open: the client waits until it gives up.
    pub fn silent() -> Reply {
        Reply::raw(Bytes::new()).then(Then::Stall)
    }

    /// A 200 whose chunked body repeats `pattern` without end; after [`ENDLESS_CAP_BYTES`] the
    /// connection is reset.
    ///
    /// # Panics
    /// If `pattern` is empty.
    pub fn endless(pattern: impl Into<Bytes>) -> Reply {
        let pattern = pattern.into();
        assert!(
            !pattern.is_empty(),
            "an endless body needs a pattern to repeat"
        );
        Reply {
            body: Body::Endless(pattern),
            then: Then::Reset,
            ..Reply::status(200)
        }
    }

    /// A 200 with a small body that unpacks to `unpacked_bytes` zeros.
    pub fn bomb(coding: Coding, unpacked_bytes: u64) -> Reply {
        Reply::ok(coding.bomb(unpacked_bytes)).header("content-encoding", coding.name())
    }
}

/// Parts that are added to a reply.
impl Reply {
    /// Adds a header field, sent as it is. The same name may be added again.
    pub fn header(
        mut self,
        name: impl Into<Cow<'static, str>>,
        value: impl Into<Cow<'static, str>>,
    ) -> Reply {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sends these bytes so many times over behind the raw ones so far.
    ///
    /// # Panics
    /// If the reply is none of raw bytes.
    pub fn and_times(mut self, bytes: impl Into<Bytes>, times: u64) -> Reply {
        let raw = self.raw.as_mut().expect("a reply of raw bytes");
        raw.push(Run {
            bytes: bytes.into(),
            times,
        });
        self
    }

    /// Sends these bytes behind the raw ones so far.
    ///
    /// # Panics
    /// If the reply is none of raw bytes.
    pub fn and(self, bytes: impl Into<Bytes>) -> Reply {
        self.and_times(bytes, 1)
    }

    /// Sets the body.
    pub fn body(mut self, body: impl Into<Bytes>) -> Reply {
        self.body = Body::Whole(body.into());
        self
    }

    /// Encodes the body set so far and says so in `Content-Encoding`. Codings stack.
    ///
    /// To lie instead, set the header without this.
    ///
    /// # Panics
    /// If the body is endless.
    pub fn encoded(mut self, coding: Coding) -> Reply {
        match &self.body {
            Body::Whole(body) => self.body = Body::Whole(coding.encode(body)),
            Body::Endless(_) => panic!("an endless body cannot be encoded"),
        }
        let field = "content-encoding";
        match self
            .headers
            .iter_mut()
            .find(|(name, _)| name.eq_ignore_ascii_case(field))
        {
            Some((_, value)) => *value = format!("{value}, {}", coding.name()).into(),
            None => self.headers.push((field.into(), coding.name().into())),
        }
        self
    }

    /// Sends the body with `Transfer-Encoding: chunked` in chunks of 8 KiB.
    pub fn chunked(self) -> Reply {
        self.chunks_of(CHUNK_BYTES)
    }

    /// Sends the body with `Transfer-Encoding: chunked` in chunks of `bytes` (at least 1).
    pub fn chunks_of(mut self, bytes: usize) -> Reply {
        self.chunk = Some(bytes.max(1));
        self
    }

    /// Adds one header field, `x-huge`, with a value of `bytes` bytes.
    pub fn huge_header(self, bytes: usize) -> Reply {
        self.header("x-huge", "h".repeat(bytes))
    }

    /// Adds `n` small header fields, `x-many-0` and on.
    pub fn many_headers(self, n: usize) -> Reply {
        (0..n).fold(self, |reply, i| reply.header(format!("x-many-{i}"), "m"))
    }

    /// Waits this long before the first byte: the simulated service time.
    pub fn delay(mut self, delay: Duration) -> Reply {
        self.delay = delay;
        self
    }

    /// Sends the head at once, and then `bytes` (at least 1) of the body after each `every`.
    pub fn drip(mut self, bytes: usize, every: Duration) -> Reply {
        self.drip = Some(Drip {
            bytes: bytes.max(1),
            every,
            includes_head: false,
        });
        self
    }

    /// Like [`Reply::drip`], with the head dripping too.
    pub fn drip_all(mut self, bytes: usize, every: Duration) -> Reply {
        self.drip = Some(Drip {
            bytes: bytes.max(1),
            every,
            includes_head: true,
        });
        self
    }

    /// Announces the end of the connection (`Connection: close`), and closes it.
    pub fn closing(self) -> Reply {
        self.header("connection", "close").then(Then::Close)
    }

    /// Sends only the first `bytes` after the head of what was promised, then closes.
    pub fn cut_after(self, bytes: u64) -> Reply {
        self.only(bytes).then(Then::Close)
    }

    /// Sends only the first `bytes` after the head of what was promised, then resets.
    pub fn reset_after(self, bytes: u64) -> Reply {
        self.only(bytes).then(Then::Reset)
    }

    /// Sends only the first `bytes` after the head of what was promised, then nothing for ever.
    pub fn stall_after(self, bytes: u64) -> Reply {
        self.only(bytes).then(Then::Stall)
    }

    /// Sets what happens when the bytes are sent. After a complete reply, [`Then::Close`] is the end
    /// of a pooled connection that the client was not told of.
    pub fn then(mut self, then: Then) -> Reply {
        self.then = then;
        self
    }

    fn only(mut self, bytes: u64) -> Reply {
        self.cut = Some(bytes);
        self
    }
}
