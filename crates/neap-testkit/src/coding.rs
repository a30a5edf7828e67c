//! How does a body look in a content coding?

use std::io::{self, Read};

use bytes::Bytes;
use flate2::{Compress, Crc, FlushCompress};

/// Compression level of gzip and deflate; speed matters more than size here.
const DEFLATE_LEVEL: u32 = 6;
/// Quality (of 0-11) and window (log2 bytes) of brotli.
const BROTLI_QUALITY: u32 = 5;
const BROTLI_WINDOW: u32 = 22;
/// Level of zstd, its default.
const ZSTD_LEVEL: i32 = 3;
/// Zeros of a bomb that are packed once and then repeated.
const PART_BYTES: u64 = 1 << 20;
/// Buffer that brotli reads its input through.
const BUFFER_BYTES: usize = 64 * 1024;

/// A content coding of HTTP (RFC 9110, section 8.4.1), and one that is common though wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    /// `gzip`.
    Gzip,
    /// `br` (RFC 7932).
    Brotli,
    /// `zstd` (RFC 8878).
    Zstd,
    /// `deflate` as the RFC has it: in the zlib format.
    Deflate,
    /// `deflate` as some servers have it: without the zlib format around it.
    RawDeflate,
}

impl Coding {
    /// The name that stands in `Content-Encoding`.
    pub fn name(self) -> &'static str {
        match self {
            Coding::Gzip => "gzip",
            Coding::Brotli => "br",
            Coding::Zstd => "zstd",
            Coding::Deflate | Coding::RawDeflate => "deflate",
        }
    }

    /// `body` in this coding.
    pub fn encode(self, body: &[u8]) -> Bytes {
        self.encode_stream(body)
            .expect("memory can always be read and written")
            .into()
    }

    /// A bomb: `unpacked_bytes` zeros in this coding, made without ever holding them unpacked. But for brotli it takes
    /// hardly longer to make a large one than a small one.
    pub fn bomb(self, unpacked_bytes: u64) -> Bytes {
        let whole = unpacked_bytes / PART_BYTES;
        let rest = unpacked_bytes % PART_BYTES;
        let zeros = |bytes: u64| io::repeat(0).take(bytes);
        let encode = |bytes: u64| {
            self.encode_stream(zeros(bytes))
                .expect("zeros can always be read and memory written")
        };
        let repeated =
            |part: &[u8]| part.repeat(usize::try_from(whole).expect("it fits into memory"));
        match self {
            Coding::Brotli => encode(unpacked_bytes),
            // Frames may follow each other (RFC 8878, section 3.1).
            Coding::Zstd => [repeated(&encode(PART_BYTES)), encode(rest)].concat(),
            Coding::RawDeflate => deflated_zeros(whole, rest),
            Coding::Deflate => {
                // Of n zeros the sums of Adler-32 are 1 and n (RFC 1950, section 9).
                let sum = ((unpacked_bytes % 65_521) as u32) << 16 | 1;
                let end = sum.to_be_bytes();
                [&[0x78, 0x9c][..], &deflated_zeros(whole, rest), &end].concat()
            }
            Coding::Gzip => {
                let head = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
                let sum = sum_of_zeros(whole, rest).to_le_bytes();
                let length = (unpacked_bytes as u32).to_le_bytes();
                [&head[..], &deflated_zeros(whole, rest), &sum, &length].concat()
            }
        }
        .into()
    }

    fn encode_stream(self, source: impl Read) -> io::Result<Vec<u8>> {
        let level = flate2::Compression::new(DEFLATE_LEVEL);
        let mut out = Vec::new();
        match self {
            Coding::Gzip => flate2::read::GzEncoder::new(source, level).read_to_end(&mut out)?,
            Coding::Deflate => {
                flate2::read::ZlibEncoder::new(source, level).read_to_end(&mut out)?
            }
            Coding::RawDeflate => {
                flate2::read::DeflateEncoder::new(source, level).read_to_end(&mut out)?
            }
            Coding::Brotli => {
                brotli::CompressorReader::new(source, BUFFER_BYTES, BROTLI_QUALITY, BROTLI_WINDOW)
                    .read_to_end(&mut out)?
            }
            Coding::Zstd => {
                return zstd::encode_all(source, ZSTD_LEVEL);
            }
        };
        Ok(out)
    }
}

/// So many parts of zeros and some more in one stream of deflate: blocks that end at a byte can be repeated, since each refers
/// to nothing but zeros (RFC 1951, section 3.2.3).
fn deflated_zeros(parts: u64, rest: u64) -> Vec<u8> {
    let level = flate2::Compression::new(DEFLATE_LEVEL);
    let blocks = |bytes: u64, last: FlushCompress| {
        let zeros = vec![0; usize::try_from(bytes).expect("no more than a part")];
        let mut out = Vec::with_capacity(64 << 10);
        Compress::new(level, false)
            .compress_vec(&zeros, &mut out, last)
            .expect("there is room for packed zeros");
        out
    };
    let parts = usize::try_from(parts).expect("it fits into memory");
    let mut all = blocks(PART_BYTES, FlushCompress::Sync).repeat(parts);
    all.extend(blocks(rest, FlushCompress::Finish));
    all
}

/// The CRC-32 of so many parts of zeros and some more.
fn sum_of_zeros(parts: u64, rest: u64) -> u32 {
    let of = |bytes: u64| {
        let mut sum = Crc::new();
        sum.update(&vec![
            0;
            usize::try_from(bytes).expect("no more than a part")
        ]);
        sum
    };
    let (part, mut all) = (of(PART_BYTES), Crc::new());
    for _ in 0..parts {
        all.combine(&part);
    }
    all.combine(&of(rest));
    all.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bomb_of_several_parts_unpacks_to_all_of_them() {
        for bytes in [PART_BYTES * 3, PART_BYTES * 2 + 12_345, 7] {
            let read = |mut source: Box<dyn Read>| {
                let mut out = Vec::new();
                source.read_to_end(&mut out).unwrap();
                assert!(out.iter().all(|byte| *byte == 0));
                out.len() as u64
            };
            let bomb = |coding: Coding| io::Cursor::new(coding.bomb(bytes));
            assert_eq!(
                read(Box::new(flate2::read::GzDecoder::new(bomb(Coding::Gzip)))),
                bytes
            );
            assert_eq!(
                read(Box::new(flate2::read::ZlibDecoder::new(bomb(
                    Coding::Deflate
                )))),
                bytes
            );
            assert_eq!(
                read(Box::new(flate2::read::DeflateDecoder::new(bomb(
                    Coding::RawDeflate
                )))),
                bytes
            );
            assert_eq!(
                read(Box::new(zstd::Decoder::new(bomb(Coding::Zstd)).unwrap())),
                bytes
            );
        }
    }
}
