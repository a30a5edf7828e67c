//! Brotli (RFC 7932), without its large-window extension: a window is at most 16 MiB, and grows with
//! the output that fills it.

use brotli::enc::StandardAlloc;
use brotli::{BrotliDecompressStream, BrotliResult, BrotliState};

use super::{Coding, Step};

pub(super) struct Brotli {
    state: Box<BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>>,
    is_complete: bool,
}

impl Brotli {
    pub(super) fn new() -> Brotli {
        let (a, b, c) = (
            StandardAlloc::default(),
            StandardAlloc::default(),
            StandardAlloc::default(),
        );
        Brotli {
            state: Box::new(BrotliState::new_strict(a, b, c)),
            is_complete: false,
        }
    }
}

impl Coding for Brotli {
    fn name(&self) -> &'static str {
        "br"
    }

    fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, String> {
        if self.is_complete {
            // Whatever follows is ignored, as in browsers.
            return Ok(Step {
                consumed: input.len(),
                produced: 0,
            });
        }
        let (mut input_left, mut consumed) = (input.len(), 0);
        let (mut output_left, mut produced, mut total) = (output.len(), 0, 0);
        let result = BrotliDecompressStream(
            &mut input_left,
            &mut consumed,
            input,
            &mut output_left,
            &mut produced,
            output,
            &mut total,
            &mut self.state,
        );
        match result {
            BrotliResult::ResultFailure => return Err("not Brotli".to_owned()),
            BrotliResult::ResultSuccess => self.is_complete = true,
            BrotliResult::NeedsMoreInput | BrotliResult::NeedsMoreOutput => {}
        }
        Ok(Step { consumed, produced })
    }

    fn is_complete(&self) -> bool {
        self.is_complete
    }
}
