//! How is a body's content coding undone, without trusting what it claims?
//!
//! A body may be coded several times over (RFC 9110, section 8.4). Each coding is one stage, and
//! data runs through all of them in pieces of [`PIECE_BYTES`], so that a bomb is noticed one piece
//! after it passes the limit, whatever it inflates to. The limit counts for the output of every
//! stage: an endless inner layer that decodes to nothing would cost time if not memory.

mod brotli;
mod gzip;
mod zlib;
mod zstandard;

use std::ops::Range;

use http::HeaderMap;
use http::header::CONTENT_ENCODING;

/// Most codings that are undone one after another. Two are seen in the wild, by mistake; curl has
/// allowed five since CVE-2023-23916, browsers no more than are useful.
pub(crate) const MAX_CODINGS: usize = 3;

/// Most bytes that one stage puts out at a time.
pub(crate) const PIECE_BYTES: usize = 16 << 10;

/// Why a body could not be decoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The header names a coding that is not known.
    #[error("content coding {0:?} is not known")]
    Unknown(String),
    /// The header names more of them than are undone.
    #[error("{0} content codings, more than {MAX_CODINGS}")]
    TooMany(usize),
    /// The coded data is wrong.
    #[error("{coding} data is broken: {why}")]
    Corrupt {
        /// The coding.
        coding: &'static str,
        /// What its decoder says.
        why: String,
    },
    /// The coded data ends too early.
    #[error("{0} data ends too early")]
    Truncated(&'static str),
    /// There is more than the limit allows.
    #[error("decoded body is larger than {0} bytes")]
    TooLarge(u64),
}

/// What one call of a coding did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Step {
    /// Bytes taken from the input.
    consumed: usize,
    /// Bytes written to the output.
    produced: usize,
}

/// One content coding, undone piece by piece.
trait Coding: Send {
    /// Its name in messages.
    fn name(&self) -> &'static str;
    /// Decodes from `input` into `output`. Doing neither means that more input is needed.
    fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, String>;
    /// Whether the data may end here.
    fn is_complete(&self) -> bool;
}

/// Undoes the codings of a whole body, as `Content-Encoding` names them.
///
/// # Errors
/// A coding is unknown or broken, or an output would exceed `limit` bytes.
pub fn decode(codings: &str, payload: &[u8], limit: u64) -> Result<Vec<u8>, DecodeError> {
    let mut decoder = Decoder::for_names([codings.as_bytes()].into_iter(), limit)?;
    let (mut input, mut out) = (payload, Vec::new());
    if decoder.is_identity() {
        append(&mut out, payload, limit)?;
        return Ok(out);
    }
    while decoder.advance(&mut input, &mut out)? {}
    decoder.finish()?;
    Ok(out)
}

/// All codings of one body, the outermost first.
pub(crate) struct Decoder {
    stages: Vec<Stage>,
    limit: u64,
}

struct Stage {
    coding: Box<dyn Coding>,
    got_input: bool,
    /// All that it has put out so far.
    total: u64,
    /// Its last output, of which `piece[unread]` is still to be taken by the next stage.
    piece: Box<[u8]>,
    unread: Range<usize>,
}

impl Decoder {
    /// Reads which codings a body has; no output of a stage may exceed `limit` bytes.
    pub(crate) fn for_headers(headers: &HeaderMap, limit: u64) -> Result<Decoder, DecodeError> {
        let values = headers.get_all(CONTENT_ENCODING).iter();
        Decoder::for_names(values.map(|value| value.as_bytes()), limit)
    }

    /// Reads codings from header values that each list some.
    fn for_names<'a>(
        values: impl Iterator<Item = &'a [u8]>,
        limit: u64,
    ) -> Result<Decoder, DecodeError> {
        let mut names = Vec::new();
        for value in values {
            for name in String::from_utf8_lossy(value).split(',') {
                let name = name.trim().to_ascii_lowercase();
                // `none` is no coding's name, but what servers say that mean it; curl agrees.
                if !matches!(name.as_str(), "" | "identity" | "none") {
                    names.push(name);
                }
            }
        }
        if names.len() > MAX_CODINGS {
            return Err(DecodeError::TooMany(names.len()));
        }
        // The header lists codings in the order in which they were applied.
        let stages = names
            .iter()
            .rev()
            .map(|name| Stage::new(name))
            .collect::<Result<_, _>>()?;
        Ok(Decoder { stages, limit })
    }

    /// Whether there is no coding at all.
    pub(crate) fn is_identity(&self) -> bool {
        self.stages.is_empty()
    }

    /// Decodes a little: takes what it can from the front of `input` and appends at most
    /// [`PIECE_BYTES`] to `out`. `false` when nothing more can be done without more input.
    ///
    /// # Errors
    /// With [`DecodeError::TooLarge`], `out` holds the limit exactly, unless an inner stage passed it.
    pub(crate) fn advance(
        &mut self,
        input: &mut &[u8],
        out: &mut Vec<u8>,
    ) -> Result<bool, DecodeError> {
        // The last stage that can do something goes first, so that no stage holds more than a piece.
        for at in (0..self.stages.len()).rev() {
            let (before, from) = self.stages.split_at_mut(at);
            let stage = &mut from[0];
            let progress = match before.last_mut() {
                None => stage.decode(input, self.limit)?,
                Some(previous) => {
                    let mut unread = &previous.piece[previous.unread.clone()];
                    let progress = stage.decode(&mut unread, self.limit)?;
                    previous.unread.start = previous.unread.end - unread.len();
                    progress
                }
            };
            if at + 1 == self.stages.len() {
                self.take_output(out)?;
            }
            if progress {
                return Ok(true);
            }
        }
        match input.is_empty() {
            true => Ok(false),
            false => Err(corrupt(
                self.stages[0].coding.name(),
                "no progress".to_owned(),
            )),
        }
    }

    /// Checks that no stage waits for more. A body without a single byte is complete: answers to
    /// HEAD, 204 and 304 name the coding of the body that they do not have.
    pub(crate) fn finish(&self) -> Result<(), DecodeError> {
        let waiting = self
            .stages
            .iter()
            .find(|s| s.got_input && !s.coding.is_complete());
        match waiting {
            Some(stage) => Err(DecodeError::Truncated(stage.coding.name())),
            None => Ok(()),
        }
    }

    fn take_output(&mut self, out: &mut Vec<u8>) -> Result<(), DecodeError> {
        let last = self.stages.last_mut().expect("advance has just used it");
        let taken = append(out, &last.piece[last.unread.clone()], self.limit);
        last.unread = 0..0;
        taken
    }
}

impl Stage {
    fn new(name: &str) -> Result<Stage, DecodeError> {
        let coding: Box<dyn Coding> = match name {
            "gzip" | "x-gzip" => Box::new(gzip::Gzip::new()),
            "deflate" => Box::new(zlib::Deflate::new()),
            "br" => Box::new(brotli::Brotli::new()),
            "zstd" => Box::new(zstandard::Zstd::new()?),
            unknown => return Err(DecodeError::Unknown(unknown.chars().take(40).collect())),
        };
        let piece = vec![0; PIECE_BYTES].into_boxed_slice();
        Ok(Stage {
            coding,
            got_input: false,
            total: 0,
            piece,
            unread: 0..0,
        })
    }

    /// Decodes from `input` into the piece, if that has been taken; says whether anything happened.
    fn decode(&mut self, input: &mut &[u8], limit: u64) -> Result<bool, DecodeError> {
        if !self.unread.is_empty() {
            return Ok(false);
        }
        self.got_input |= !input.is_empty();
        let step = self.coding.step(input, &mut self.piece);
        let step = step.map_err(|why| corrupt(self.coding.name(), why))?;
        *input = &input[step.consumed..];
        self.unread = 0..step.produced;
        // The output so far, this piece not counted, is over the limit: the piece before was the
        // one that passed it, and what fits of it has been taken.
        if self.total > limit {
            return Err(DecodeError::TooLarge(limit));
        }
        self.total += step.produced as u64;
        Ok(step
            != Step {
                consumed: 0,
                produced: 0,
            })
    }
}

/// Appends what fits below the limit.
pub(crate) fn append(out: &mut Vec<u8>, more: &[u8], limit: u64) -> Result<(), DecodeError> {
    let room = usize::try_from(limit.saturating_sub(out.len() as u64)).unwrap_or(usize::MAX);
    out.extend_from_slice(&more[..more.len().min(room)]);
    match more.len() > room {
        true => Err(DecodeError::TooLarge(limit)),
        false => Ok(()),
    }
}

fn corrupt(coding: &'static str, why: String) -> DecodeError {
    DecodeError::Corrupt { coding, why }
}

#[cfg(test)]
mod tests;
