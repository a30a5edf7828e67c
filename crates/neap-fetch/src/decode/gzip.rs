//! gzip (RFC 1952): any number of members, one after another.
//!
//! What follows the last member and is none is ignored, as browsers do: servers pad with zeros and
//! append stray bytes. A member that has begun must be whole, its checksum included.

use flate2::{Decompress, FlushDecompress, Status};

use super::{Coding, Step};

/// The two bytes with which each member begins.
const MAGIC: [u8; 2] = [0x1f, 0x8b];

pub(super) struct Gzip(State);

enum State {
    Member(Decompress),
    /// A member is complete; so many bytes of another one's magic have been seen.
    Between(usize),
    /// The rest is ignored.
    Trailing,
}

impl Gzip {
    pub(super) fn new() -> Gzip {
        Gzip(State::Member(Decompress::new_gzip(15)))
    }

    /// Looks at one byte after a member.
    fn look_for_member(&mut self, seen: usize, byte: u8) -> Result<(), String> {
        self.0 = match (byte == MAGIC[seen], seen + 1 == MAGIC.len()) {
            (false, _) => State::Trailing,
            (true, false) => State::Between(seen + 1),
            (true, true) => {
                let mut member = Decompress::new_gzip(15);
                inflate(&mut member, &MAGIC, &mut [0; 1])?;
                State::Member(member)
            }
        };
        Ok(())
    }
}

impl Coding for Gzip {
    fn name(&self) -> &'static str {
        "gzip"
    }

    fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, String> {
        match &mut self.0 {
            State::Member(member) => {
                let (step, is_end) = inflate(member, input, output)?;
                if is_end {
                    self.0 = State::Between(0);
                }
                Ok(step)
            }
            State::Between(seen) => {
                let seen = *seen;
                let Some(&byte) = input.first() else {
                    return Ok(Step {
                        consumed: 0,
                        produced: 0,
                    });
                };
                self.look_for_member(seen, byte)?;
                Ok(Step {
                    consumed: 1,
                    produced: 0,
                })
            }
            State::Trailing => Ok(Step {
                consumed: input.len(),
                produced: 0,
            }),
        }
    }

    fn is_complete(&self) -> bool {
        match self.0 {
            State::Member(_) => false,
            State::Between(_) | State::Trailing => true,
        }
    }
}

/// One call of zlib; also whether the stream has ended.
pub(super) fn inflate(
    stream: &mut Decompress,
    input: &[u8],
    output: &mut [u8],
) -> Result<(Step, bool), String> {
    let (before_in, before_out) = (stream.total_in(), stream.total_out());
    let status = stream
        .decompress(input, output, FlushDecompress::None)
        .map_err(|error| error.message().unwrap_or("not deflate").to_owned())?;
    let count = |total: u64, before: u64| {
        usize::try_from(total - before).expect("a call handles no more than its slices hold")
    };
    let step = Step {
        consumed: count(stream.total_in(), before_in),
        produced: count(stream.total_out(), before_out),
    };
    match status {
        Status::Ok | Status::BufError => Ok((step, false)),
        Status::StreamEnd => Ok((step, true)),
    }
}
