//! Zstandard (RFC 8878): any number of frames, one after another.

use zstd::stream::raw::{DParameter, Decoder, Operation};

use super::{Coding, DecodeError, Step, corrupt};

/// Largest window, as a power of two: 8 MiB, what RFC 9659 demands that a decoder of the content
/// coding `zstd` supports and that an encoder does not exceed.
const WINDOW_LOG_MAX: u32 = 23;

pub(super) struct Zstd {
    decoder: Decoder<'static>,
    is_between_frames: bool,
}

impl Zstd {
    pub(super) fn new() -> Result<Zstd, DecodeError> {
        let set_up = || {
            let mut decoder = Decoder::new()?;
            decoder.set_parameter(DParameter::WindowLogMax(WINDOW_LOG_MAX))?;
            Ok(decoder)
        };
        let decoder = set_up().map_err(|e: std::io::Error| corrupt("zstd", e.to_string()))?;
        Ok(Zstd {
            decoder,
            is_between_frames: true,
        })
    }
}

impl Coding for Zstd {
    fn name(&self) -> &'static str {
        "zstd"
    }

    fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, String> {
        if input.is_empty() && self.is_between_frames {
            // Asked again, the decoder would say that it waits for another frame.
            return Ok(Step {
                consumed: 0,
                produced: 0,
            });
        }
        let status = self
            .decoder
            .run_on_buffers(input, output)
            .map_err(|error| error.to_string())?;
        self.is_between_frames = status.remaining == 0;
        Ok(Step {
            consumed: status.bytes_read,
            produced: status.bytes_written,
        })
    }

    fn is_complete(&self) -> bool {
        self.is_between_frames
    }
}
