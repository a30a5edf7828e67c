//! How is a body read within its limits?
//!
//! Chunk by chunk, decoded as it comes, so that what is too large is noticed while it is read. A body
//! without coding is held once, one with a coding twice, as sent and as decoded.

use bytes::Bytes;
use neap_core::exchange::{Failure, FailureKind, Stage};
use neap_core::job::Request;
use tokio::time::{Instant, timeout_at};

use crate::decode::{DecodeError, Decoder, PIECE_BYTES, append};
use crate::failure::{self, Reached};
use crate::incoming::Incoming;
use crate::memory::{FREE_BYTES, MemoryBudget, Share};
use crate::pace::Pace;
use crate::phases::Phases;

/// Pieces that are decoded before other exchanges get their turn: half a MiB, well under a
/// millisecond.
const PIECES_PER_TURN: usize = 32;

/// How much of a body is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyLimit {
    /// All of it; more than `request.max_body` is [`FailureKind::TooLarge`].
    MaxBody,
    /// All of it, and of more than `request.max_body` up to so many bytes: for documents whose format has a
    /// limit of its own. More is [`FailureKind::TooLarge`].
    AtLeast(u64),
    /// The first so many bytes, as sent and as decoded; the rest is left unread. For robots.txt, of
    /// which the beginning counts (RFC 9309, section 2.5).
    CutAt(u64),
}

/// A body that has been read.
pub(crate) struct Body {
    pub(crate) payload: Bytes,
    pub(crate) decoded: Bytes,
    pub(crate) share: Share,
}

/// Reads one body.
pub(crate) struct Reader<'a> {
    response: Incoming,
    status: u16,
    request: &'a Request,
    phases: &'a Phases,
    memory: &'a MemoryBudget,
    pace: Option<&'a Pace>,
    decoder: Decoder,
    limit: u64,
    is_cut: bool,
    payload: Vec<u8>,
    decoded: Vec<u8>,
    /// What this body may take of the memory budget, once it has asked.
    share: Option<Share>,
}

impl<'a> Reader<'a> {
    /// Looks at the header.
    ///
    /// # Errors
    /// The coding is not known, or the body is announced as larger than the limit.
    pub(crate) fn new(
        response: Incoming,
        request: &'a Request,
        limit: BodyLimit,
        phases: &'a Phases,
        memory: &'a MemoryBudget,
        pace: Option<&'a Pace>,
    ) -> Result<Reader<'a>, Failure> {
        let status = response.status();
        let (limit, is_cut) = match limit {
            BodyLimit::MaxBody => (request.max_body, false),
            BodyLimit::AtLeast(bytes) => (request.max_body.max(bytes), false),
            BodyLimit::CutAt(bytes) => (bytes, true),
        };
        let decoder = Decoder::for_headers(response.headers(), limit)
            .map_err(|error| failure::of_decoding(&error, status))?;
        if let Some(length) = response
            .content_length()
            .filter(|&length| length > limit && !is_cut)
        {
            let detail = format!("body of {length} bytes, the limit is {limit}");
            return Err(failure::new(FailureKind::TooLarge, Some(status), &detail));
        }
        // As announced, so that it does not grow piece by piece; what is not free is asked for first.
        let announced = response.content_length().unwrap_or(0);
        let payload = Vec::with_capacity(announced.min(FREE_BYTES).min(limit) as usize);
        Ok(Reader {
            response,
            status,
            request,
            phases,
            memory,
            pace,
            decoder,
            limit,
            is_cut,
            payload,
            decoded: Vec::new(),
            share: None,
        })
    }

    /// Reads to the end, or to the limit if the body is to be cut there.
    ///
    /// # Errors
    /// Whatever keeps the body from being complete; nothing of it is kept.
    pub(crate) async fn read(mut self) -> Result<Body, Failure> {
        let mut is_whole = true;
        while let Some(chunk) = self.next_chunk().await? {
            if let Some(pace) = self.pace {
                // Our own wait: it is not the host's silence.
                self.phases.waited(pace.take(chunk.len()).await);
            }
            match self.take(&chunk).await {
                Ok(()) => {}
                Err(DecodeError::TooLarge(_)) if self.is_cut => {
                    is_whole = false;
                    break;
                }
                Err(error) => return Err(failure::of_decoding(&error, self.status)),
            }
        }
        if is_whole {
            self.decoder
                .finish()
                .map_err(|error| failure::of_decoding(&error, self.status))?;
        }
        Ok(self.into_body())
    }

    /// Waits for the next part, within the limits of time.
    async fn next_chunk(&mut self) -> Result<Option<Bytes>, Failure> {
        let silent_at = Instant::now() + self.request.read_timeout;
        let total_at = self.phases.total_deadline(self.request.total_timeout);
        match timeout_at(silent_at.min(total_at), self.response.chunk()).await {
            Ok(Ok(chunk)) => Ok(chunk),
            Ok(Err(error)) => {
                self.phases.saw(&error);
                let status = Some(self.status);
                Err(failure::of_client(&error, Reached::Header, status))
            }
            Err(_) => {
                let stage = if silent_at <= total_at {
                    Stage::Body
                } else {
                    Stage::Total
                };
                let detail = format!("after {} bytes of the body", self.payload.len());
                Err(failure::new(
                    FailureKind::Timeout(stage),
                    Some(self.status),
                    &detail,
                ))
            }
        }
    }

    /// Adds a chunk to the payload and decodes it.
    async fn take(&mut self, chunk: &[u8]) -> Result<(), DecodeError> {
        self.make_room(chunk.len()).await;
        let kept = append(&mut self.payload, chunk, self.limit);
        if self.decoder.is_identity() {
            return kept;
        }
        let mut rest = chunk;
        for piece in 1_usize.. {
            self.make_room(PIECE_BYTES).await;
            if !self.decoder.advance(&mut rest, &mut self.decoded)? {
                break;
            }
            if piece.is_multiple_of(PIECES_PER_TURN) {
                tokio::task::yield_now().await;
            }
        }
        kept
    }

    /// Takes the worst case from the memory budget, once, before growing beyond the free bytes.
    async fn make_room(&mut self, more: usize) {
        let held = self.payload.len() + self.decoded.len() + more;
        if self.share.is_some() || held as u64 <= FREE_BYTES {
            return;
        }
        let payload = self
            .response
            .content_length()
            .unwrap_or(self.limit)
            .min(self.limit);
        let decoded = if self.decoder.is_identity() {
            0
        } else {
            self.limit
        };
        let asked = Instant::now();
        self.share = Some(self.memory.take(payload + decoded).await);
        self.phases.waited(asked.elapsed());
        // Exactly what was taken: doubling would hold up to three times as much for a moment.
        // Memory that is never written to is not resident.
        reserve(&mut self.payload, payload);
        reserve(&mut self.decoded, decoded);
    }

    fn into_body(mut self) -> Body {
        self.payload.shrink_to_fit();
        self.decoded.shrink_to_fit();
        let mut share = self.share.unwrap_or_default();
        share.shrink_to((self.payload.len() + self.decoded.len()) as u64);
        let payload = Bytes::from(self.payload);
        let decoded = match self.decoder.is_identity() {
            true => payload.clone(),
            false => Bytes::from(self.decoded),
        };
        Body {
            payload,
            decoded,
            share,
        }
    }
}

fn reserve(buffer: &mut Vec<u8>, total: u64) {
    let total = usize::try_from(total).unwrap_or(usize::MAX);
    buffer.reserve_exact(total.saturating_sub(buffer.len()));
}
