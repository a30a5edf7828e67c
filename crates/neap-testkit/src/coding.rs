//! How does a body look in a content coding?

use std::io::{self, Read};

use bytes::Bytes;

/// Compression level of gzip and deflate; speed matters more than size here.
const DEFLATE_LEVEL: u32 = 6;
/// Quality (of 0-11) and window (log2 bytes) of brotli.
const BROTLI_QUALITY: u32 = 5;
const BROTLI_WINDOW: u32 = 22;
/// Level of zstd, its default.
const ZSTD_LEVEL: i32 = 3;
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

    /// A bomb: `unpacked_bytes` zeros in this coding, made without ever holding them unpacked.
    pub fn bomb(self, unpacked_bytes: u64) -> Bytes {
        self.encode_stream(io::repeat(0).take(unpacked_bytes))
            .expect("zeros can always be read and memory written")
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
