//! Which bytes does a reply put on the wire, in which steps?
//!
//! Rendering happens once for a page that always answers alike; playing a plan is then one write.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};

use crate::reply::{Body, Drip, ENDLESS_CAP_BYTES, Reply, Run, Then};

/// Bodies up to this size are joined with their head, so that a reply is one write; longer ones are
/// not worth the copy.
const JOINED_BODY_BYTES: usize = 256 * 1024;
/// Least size of the block that an endless body repeats, so that small patterns do not cost a write
/// each.
const ENDLESS_BLOCK_BYTES: usize = 16 * 1024;

/// A reply, rendered.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The status on the wire, as far as there is a status line.
    pub(crate) status: Option<u16>,
    /// Time before the first byte.
    pub(crate) delay: Duration,
    /// The head alone, which is all that a HEAD request gets; empty for raw replies.
    pub(crate) head: Bytes,
    /// Everything, the head included, in order.
    pub(crate) steps: Vec<Step>,
    /// What comes after the last step.
    pub(crate) then: Then,
}

/// Bytes written `times` times over, in pieces of `piece` bytes with a wait of `every` before each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) bytes: Bytes,
    pub(crate) times: u64,
    pub(crate) piece: usize,
    pub(crate) every: Duration,
}

impl Plan {
    pub(crate) fn new(reply: &Reply) -> Plan {
        if let Some(raw) = &reply.raw {
            let step = |run: &Run| {
                let step = Step {
                    times: run.times,
                    ..Step::once(run.bytes.clone())
                };
                match reply.drip {
                    Some(drip) => step.dripping(drip),
                    None => step,
                }
            };
            return Plan {
                status: raw.first().and_then(|run| status_of(&run.bytes)),
                delay: reply.delay,
                head: Bytes::new(),
                steps: raw.iter().map(step).collect(),
                then: reply.then,
            };
        }
        let head = head(reply);
        let mut body = body(reply);
        if let Some(bytes) = reply.cut {
            truncate(&mut body, bytes);
        }
        Plan {
            status: Some(reply.status),
            delay: reply.delay,
            then: reply.then,
            steps: join(&head, body, reply.drip),
            head,
        }
    }
}

impl Plan {
    /// Everything that is written, as waits and the bytes after them; for a HEAD request the head.
    pub(crate) fn pieces(&self, is_head: bool) -> impl Iterator<Item = (Duration, &[u8])> {
        let (head, steps): (&[u8], &[Step]) = if is_head && !self.head.is_empty() {
            (&self.head, &[])
        } else {
            (&[], &self.steps)
        };
        let pieces = steps.iter().flat_map(move |step| {
            (0..step.times)
                .flat_map(move |_| step.bytes.chunks(step.piece))
                .map(move |bytes| (step.every, bytes))
        });
        std::iter::once((Duration::ZERO, head))
            .filter(|(_, head)| !head.is_empty())
            .chain(pieces)
    }
}

impl Step {
    fn once(bytes: Bytes) -> Step {
        Step {
            bytes,
            times: 1,
            piece: usize::MAX,
            every: Duration::ZERO,
        }
    }

    fn dripping(self, drip: Drip) -> Step {
        Step {
            piece: drip.bytes,
            every: drip.every,
            ..self
        }
    }

    fn len(&self) -> u64 {
        self.bytes.len() as u64 * self.times
    }
}

/// Status line and header fields.
fn head(reply: &Reply) -> Bytes {
    let mut head = BytesMut::with_capacity(256);
    let status = reply.status;
    head.put_slice(format!("HTTP/1.1 {status} {}\r\n", reason(status)).as_bytes());
    for (name, value) in &reply.headers {
        for part in [name.as_ref(), ": ", value.as_ref(), "\r\n"] {
            head.put_slice(part.as_bytes());
        }
    }
    if !has_own_framing(reply) {
        head.put_slice(framing(reply).as_bytes());
    }
    head.put_slice(b"\r\n");
    head.freeze()
}

fn has_own_framing(reply: &Reply) -> bool {
    reply.headers.iter().any(|(name, _)| {
        name.eq_ignore_ascii_case("content-length")
            || name.eq_ignore_ascii_case("transfer-encoding")
    })
}

/// The field that says where the body ends. An empty 1xx, 204 or 304 must not have one (RFC 9110,
/// section 8.6).
fn framing(reply: &Reply) -> String {
    let is_bodiless = matches!(reply.status, 100..=199 | 204 | 304);
    match &reply.body {
        Body::Endless(_) => "transfer-encoding: chunked\r\n".to_owned(),
        Body::Whole(_) if reply.chunk.is_some() => "transfer-encoding: chunked\r\n".to_owned(),
        Body::Whole(body) if body.is_empty() && is_bodiless => String::new(),
        Body::Whole(body) => format!("content-length: {}\r\n", body.len()),
    }
}

/// The body as it stands on the wire.
fn body(reply: &Reply) -> Vec<Step> {
    match (&reply.body, reply.chunk) {
        (Body::Whole(body), None) => vec![Step::once(body.clone())],
        (Body::Whole(body), Some(size)) => {
            let mut framed = BytesMut::with_capacity(body.len() + 64);
            for chunk in body.chunks(size) {
                put_chunk(&mut framed, chunk);
            }
            framed.put_slice(b"0\r\n\r\n");
            vec![Step::once(framed.freeze())]
        }
        (Body::Endless(pattern), _) => {
            let copies = ENDLESS_BLOCK_BYTES.div_ceil(pattern.len());
            let mut block = BytesMut::new();
            put_chunk(&mut block, &pattern.repeat(copies));
            let times = ENDLESS_CAP_BYTES / block.len() as u64;
            vec![Step {
                times,
                ..Step::once(block.freeze())
            }]
        }
    }
}

fn put_chunk(out: &mut BytesMut, chunk: &[u8]) {
    out.put_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
    out.put_slice(chunk);
    out.put_slice(b"\r\n");
}

/// Keeps the first `left` bytes of all steps together.
fn truncate(steps: &mut Vec<Step>, mut left: u64) {
    let whole = std::mem::take(steps);
    for step in whole {
        if step.len() <= left {
            left -= step.len();
            steps.push(step);
            continue;
        }
        let times = left / step.bytes.len() as u64;
        let rest = usize::try_from(left % step.bytes.len() as u64)
            .expect("a remainder is smaller than the length in memory");
        let part = step.bytes.slice(..rest);
        steps.push(Step {
            times,
            ..step.clone()
        });
        steps.push(Step {
            bytes: part,
            ..Step::once(Bytes::new())
        });
        return;
    }
}

/// Head and body as steps, in as few writes as the drip allows.
fn join(head: &Bytes, body: Vec<Step>, drip: Option<Drip>) -> Vec<Step> {
    let head_step = Step::once(head.clone());
    if let Some(drip) = drip {
        let first = if drip.includes_head {
            head_step.dripping(drip)
        } else {
            head_step
        };
        let rest = body.into_iter().map(|step| step.dripping(drip));
        return std::iter::once(first).chain(rest).collect();
    }
    match body.as_slice() {
        [only] if only.times == 1 && only.bytes.len() <= JOINED_BODY_BYTES => {
            let mut joined = BytesMut::with_capacity(head.len() + only.bytes.len());
            joined.put_slice(head);
            joined.put_slice(&only.bytes);
            vec![Step::once(joined.freeze())]
        }
        _ => std::iter::once(head_step).chain(body).collect(),
    }
}

/// The status of raw bytes that begin with a status line.
fn status_of(raw: &[u8]) -> Option<u16> {
    let version_and_more = raw.strip_prefix(b"HTTP/1.")?;
    let digits = version_and_more.get(2..5)?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// The usual words for the statuses that tests use; RFC 9110 leaves them free.
fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        204 => "No Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        410 => "Gone",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(reply: &Reply) -> Vec<u8> {
        let mut out = Vec::new();
        for step in Plan::new(reply).steps {
            for _ in 0..step.times {
                out.extend_from_slice(&step.bytes);
            }
        }
        out
    }

    #[test]
    fn a_short_reply_is_one_write() {
        let plan = Plan::new(&Reply::ok("hello").header("x-a", "b"));
        assert_eq!(plan.steps.len(), 1);
        assert_eq!(
            plan.steps[0].bytes,
            "HTTP/1.1 200 OK\r\nx-a: b\r\ncontent-length: 5\r\n\r\nhello"
        );
        assert!(plan.steps[0].bytes.starts_with(&plan.head));
    }

    #[test]
    fn chunks_are_framed_and_ended() {
        let wire = wire(&Reply::ok("abcde").chunks_of(2));
        let text = String::from_utf8(wire).unwrap();
        assert!(
            text.ends_with("\r\n\r\n2\r\nab\r\n2\r\ncd\r\n1\r\ne\r\n0\r\n\r\n"),
            "{text}"
        );
        assert!(!text.contains("content-length"), "{text}");
    }

    #[test]
    fn a_cut_keeps_the_promise_and_not_the_bytes() {
        let text = String::from_utf8(wire(&Reply::ok("abcdef").cut_after(2))).unwrap();
        assert!(text.ends_with("content-length: 6\r\n\r\nab"), "{text}");
    }

    #[test]
    fn an_endless_body_can_be_cut_anywhere() {
        for bytes in [0, 1, 20_000, 100_000] {
            let reply = Reply::endless("ab").cut_after(bytes);
            let head = Plan::new(&reply).head.len() as u64;
            assert_eq!(wire(&reply).len() as u64, head + bytes);
        }
    }

    #[test]
    fn an_endless_body_keeps_its_cap() {
        let total: u64 = Plan::new(&Reply::endless("ab"))
            .steps
            .iter()
            .map(Step::len)
            .sum();
        assert!(
            (ENDLESS_CAP_BYTES / 2..ENDLESS_CAP_BYTES + 1024).contains(&total),
            "{total}"
        );
    }

    #[test]
    fn own_framing_replaces_the_true_one() {
        let text =
            String::from_utf8(wire(&Reply::ok("abc").header("Content-Length", "99"))).unwrap();
        assert_eq!(
            text.to_lowercase().matches("content-length").count(),
            1,
            "{text}"
        );
    }

    #[test]
    fn no_content_has_no_length() {
        for (status, has_length) in [(204, false), (304, false), (200, true), (404, true)] {
            let text = String::from_utf8(wire(&Reply::status(status))).unwrap();
            assert_eq!(text.contains("content-length"), has_length, "{text}");
        }
    }

    #[test]
    fn raw_bytes_name_their_status_if_they_have_one() {
        for (raw, status) in [
            ("HTTP/1.1 407 Proxy\r\n\r\n", Some(407)),
            ("HTTP/1.0 200 OK\r\n\r\n", Some(200)),
            ("HTTP/1.1 2x7", None),
            ("SSH-2.0-OpenSSH\r\n", None),
            ("", None),
        ] {
            assert_eq!(Plan::new(&Reply::raw(raw)).status, status, "{raw:?}");
        }
    }
}
