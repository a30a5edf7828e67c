//! How does one WARC record become one gzip member?
//!
//! Large ones are deflated at level 1 with state that a thread keeps, since setting it up costs as much as
//! compressing a kilobyte. Small ones are stored: of the 510 bytes of a usual request record, level 1
//! leaves 436 and takes 8 to 12 us for it, where storing takes 1.

use std::cell::RefCell;

use data_encoding::BASE32;
use flate2::{Compress, Compression, Crc, FlushCompress, Status};
use sha1::{Digest, Sha1};
use uuid::Uuid;

/// How hard gzip tries, of 9. Level 6 took 403 us for a 29 KB page where level 1 takes a fifth of that.
const LEVEL: u32 = 1;

/// Records up to so many bytes are stored as they are; above, deflate begins to save a third.
const STORED_BYTES: usize = 1024;

/// Header of a gzip member without name and time, from a system that does not matter (RFC 1952).
const GZIP_HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

/// The SHA-1 of a payload, which WARC tools compare.
pub(crate) type Sha1Bytes = [u8; 20];

/// The head of a record, field by field.
pub(super) struct Head(String);

impl Head {
    /// Begins a record of some kind.
    pub(super) fn new(kind: &str, id: &str, date: &str) -> Head {
        let mut head = Head(String::with_capacity(640));
        head.0.push_str("WARC/1.1\r\n");
        head.field("WARC-Type", kind)
            .field("WARC-Record-ID", id)
            .field("WARC-Date", date);
        head
    }

    /// Adds a field; the caller vouches that the value ends no line.
    pub(super) fn field(&mut self, name: &str, value: &str) -> &mut Head {
        for part in [name, ": ", value, "\r\n"] {
            self.0.push_str(part);
        }
        self
    }

    /// Ends the head and packs it with its block. A block that no digest of its payload protects gets
    /// one of its own; for the others the checksum of the gzip member does.
    pub(super) fn pack(mut self, block: &[&[u8]], with_digest: bool) -> Vec<u8> {
        if with_digest {
            let mut sha1 = Sha1::new();
            block.iter().for_each(|part| sha1.update(part));
            self.field("WARC-Block-Digest", &digest_text(&sha1.finalize().into()));
        }
        let bytes: usize = block.iter().map(|part| part.len()).sum();
        self.field("Content-Length", &bytes.to_string());
        self.0.push_str("\r\n");
        let mut parts = Vec::with_capacity(block.len() + 2);
        parts.push(self.0.as_bytes());
        parts.extend_from_slice(block);
        parts.push(b"\r\n\r\n");
        member(&parts)
    }
}

/// A digest as WARC writes it.
pub(crate) fn digest_text(sha1: &Sha1Bytes) -> String {
    format!("sha1:{}", BASE32.encode(sha1))
}

/// The SHA-1 of some bytes.
pub(crate) fn sha1_of(bytes: &[u8]) -> Sha1Bytes {
    Sha1::digest(bytes).into()
}

/// A name for a record that nothing else has.
pub(super) fn record_id() -> String {
    format!("<urn:uuid:{}>", Uuid::new_v4())
}

fn member(parts: &[&[u8]]) -> Vec<u8> {
    let bytes: usize = parts.iter().map(|part| part.len()).sum();
    let mut crc = Crc::new();
    parts.iter().for_each(|part| crc.update(part));
    let mut out = Vec::with_capacity(
        64 + if bytes > STORED_BYTES {
            bytes / 3
        } else {
            bytes
        },
    );
    out.extend_from_slice(&GZIP_HEADER);
    match u16::try_from(bytes) {
        Ok(length) if bytes <= STORED_BYTES => store(parts, length, &mut out),
        Ok(_) | Err(_) => deflate(parts, &mut out),
    }
    out.extend_from_slice(&crc.sum().to_le_bytes());
    out.extend_from_slice(&crc.amount().to_le_bytes());
    out
}

/// One last block without compression (RFC 1951, section 3.2.4).
fn store(parts: &[&[u8]], length: u16, out: &mut Vec<u8>) {
    out.push(1);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&(!length).to_le_bytes());
    parts.iter().for_each(|part| out.extend_from_slice(part));
}

fn deflate(parts: &[&[u8]], out: &mut Vec<u8>) {
    thread_local! {
        static STATE: RefCell<Compress> = RefCell::new(Compress::new(Compression::new(LEVEL), false));
    }
    /// Room that the compressor gets at least, so that it does not come back for every byte.
    const ROOM: usize = 4096;
    STATE.with_borrow_mut(|state| {
        state.reset();
        let mut step = |input: &[u8], flush: FlushCompress| {
            if out.capacity() - out.len() < ROOM {
                out.reserve(out.capacity().max(ROOM));
            }
            let before = state.total_in();
            let status = state.compress_vec(input, out, flush);
            let status = status.expect("deflate takes any input when there is room");
            let taken = usize::try_from(state.total_in() - before).unwrap_or(input.len());
            (taken, status)
        };
        for part in parts {
            let mut rest = *part;
            while !rest.is_empty() {
                rest = &rest[step(rest, FlushCompress::None).0..];
            }
        }
        while step(&[], FlushCompress::Finish).1 != Status::StreamEnd {}
    });
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn every_size_comes_back_as_one_member() {
        let noise: Vec<u8> = (0u32..300_000)
            .map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8)
            .collect();
        for bytes in [0, 1, 1023, 1024, 1025, 65_535, 65_536, 300_000] {
            for content in [&noise[..bytes], &vec![b'a'; bytes][..]] {
                let (one, two) = content.split_at(bytes / 3);
                let packed = member(&[one, two]);
                let mut decoder = flate2::bufread::GzDecoder::new(&packed[..]);
                let mut unpacked = Vec::new();
                decoder.read_to_end(&mut unpacked).unwrap();
                assert!(unpacked == content, "{bytes} bytes");
                assert!(decoder.into_inner().is_empty(), "{bytes} bytes: one member");
            }
        }
    }
}
