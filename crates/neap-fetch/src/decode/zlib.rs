//! `deflate`: zlib (RFC 1950) by the letter of RFC 9110, raw DEFLATE (RFC 1951) by what servers send.
//!
//! The first two bytes tell them apart as they do in browsers: a zlib header names method 8, a
//! window of at most 32 KiB, and is a multiple of 31. Raw data would begin like that only with a
//! stored block whose padding is not zero, which no encoder writes.

use flate2::Decompress;

use super::gzip::inflate;
use super::{Coding, Step};

pub(super) struct Deflate(State);

enum State {
    /// The first byte, if it has come.
    Sniffing(Option<u8>),
    Inflating(Decompress),
    /// Whatever follows is ignored.
    Complete,
}

impl Deflate {
    pub(super) fn new() -> Deflate {
        Deflate(State::Sniffing(None))
    }
}

impl Coding for Deflate {
    fn name(&self) -> &'static str {
        "deflate"
    }

    fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, String> {
        match &mut self.0 {
            State::Sniffing(first) => {
                let Some(&byte) = input.first() else {
                    return Ok(Step {
                        consumed: 0,
                        produced: 0,
                    });
                };
                let Some(first) = *first else {
                    self.0 = State::Sniffing(Some(byte));
                    return Ok(Step {
                        consumed: 1,
                        produced: 0,
                    });
                };
                // The second byte stays in the input; the first goes in again here.
                let mut stream = Decompress::new(is_zlib(first, byte));
                let (step, _) = inflate(&mut stream, &[first], output)?;
                self.0 = State::Inflating(stream);
                let more = self.step(input, &mut output[step.produced..])?;
                Ok(Step {
                    consumed: more.consumed,
                    produced: step.produced + more.produced,
                })
            }
            State::Inflating(stream) => {
                let (step, is_end) = inflate(stream, input, output)?;
                if is_end {
                    self.0 = State::Complete;
                }
                Ok(step)
            }
            State::Complete => Ok(Step {
                consumed: input.len(),
                produced: 0,
            }),
        }
    }

    fn is_complete(&self) -> bool {
        match self.0 {
            State::Sniffing(_) | State::Inflating(_) => false,
            State::Complete => true,
        }
    }
}

/// RFC 1950, section 2.2.
fn is_zlib(first: u8, second: u8) -> bool {
    first & 0x0f == 8 && first >> 4 <= 7 && u16::from_be_bytes([first, second]).is_multiple_of(31)
}
