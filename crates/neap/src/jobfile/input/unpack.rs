//! What does a file hold, unpacked?
//!
//! Whether it is packed its first bytes say, not its name. Unpacking takes bounded memory, and ends when a
//! file unpacks to far more than a list of URLs ever would.

use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::read::MultiGzDecoder;

use super::Source;

/// Bytes that are unpacked whatever they were packed to.
const FREE_BYTES: u64 = 64 << 20;
/// A file may unpack to so many times its size: gzip makes zeros 1,032 times as small, lists of URLs 5 to
/// 100 times.
const MOST_TIMES: u64 = 500;
/// Largest window of zstd, as a power of two, 128 MiB: what `zstd -d` takes as well.
const WINDOW_LOG: u32 = 27;

/// Reads what a file holds, as it is or unpacked from gzip or zstd; also whether it is packed.
pub(super) fn unpacked(mut raw: Box<dyn Read + Send>) -> io::Result<(Source, bool)> {
    let mut begin = Vec::new();
    raw.by_ref().take(4).read_to_end(&mut begin)?;
    let is_gzip = begin.starts_with(b"\x1f\x8b");
    let is_zstd = begin.starts_with(b"\x28\xb5\x2f\xfd");
    let whole = Cursor::new(begin).chain(raw);
    if !is_gzip && !is_zstd {
        return Ok((Box::new(buffered(whole)), false));
    }
    let packed_bytes = Arc::new(AtomicU64::new(0));
    let packed = BufReader::new(Counted {
        reader: whole,
        bytes: Arc::clone(&packed_bytes),
    });
    let reader: Box<dyn Read + Send> = if is_gzip {
        Box::new(MultiGzDecoder::new(packed))
    } else {
        let mut decoder = zstd::stream::read::Decoder::with_buffer(packed)?;
        decoder.window_log_max(WINDOW_LOG)?;
        Box::new(decoder)
    };
    let bounded = Bounded {
        reader,
        bytes: 0,
        packed_bytes,
    };
    Ok((Box::new(buffered(bounded)), true))
}

fn buffered(reader: impl Read + Send) -> impl BufRead + Send + std::fmt::Debug {
    Quiet(BufReader::with_capacity(64 << 10, reader))
}

/// A reader of which nothing is shown.
struct Quiet<R>(R);

impl<R> std::fmt::Debug for Quiet<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("input")
    }
}

impl<R: Read> Read for Quiet<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl<R: BufRead> BufRead for Quiet<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.0.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.0.consume(amount);
    }
}

/// Counts what is read.
struct Counted<R> {
    reader: R,
    bytes: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.bytes.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

/// Ends with an error when there is far more than what was packed.
struct Bounded<R> {
    reader: R,
    bytes: u64,
    packed_bytes: Arc<AtomicU64>,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.bytes += read as u64;
        let most = MOST_TIMES * self.packed_bytes.load(Ordering::Relaxed);
        if self.bytes > FREE_BYTES.max(most) {
            let message = format!("it unpacks to more than {MOST_TIMES} times its size");
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        Ok(read)
    }
}
