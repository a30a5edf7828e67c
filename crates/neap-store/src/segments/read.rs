//! How is a stored body read back?
//!
//! One gzip member from a known offset, inflated within bounds, its heads taken apart; for a revisit, which
//! has a header alone, a second one with the payload. Whatever does not fit is [`StoreError::Damaged`]
//! with the file's name, never a wrong body.

use std::borrow::Cow;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::PathBuf;

use bytes::Bytes;
use flate2::read::GzDecoder;
use neap_core::job::MAX_BODY_CEILING;

use super::member::{Sha1Bytes, sha1_of};
use crate::StoreError;

/// Longest heads of a stored response, in bytes: three times what an answer's header may have.
const MAX_HEADS_BYTES: u64 = 1 << 20;

/// A stored answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredBody {
    /// The status code.
    pub status: u16,
    /// Status line and header as stored, without the empty line at its end.
    pub head: String,
    /// The payload as sent.
    pub payload: Bytes,
    /// `Content-Encoding`: the codings that the payload still has.
    pub content_encoding: Option<String>,
    /// `Content-Type`.
    pub content_type: Option<String>,
}

/// A record in a segment file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RecordAt {
    pub(crate) path: PathBuf,
    pub(crate) offset: u64,
    pub(crate) bytes: u64,
}

/// Where an answer is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stored {
    /// Its own record.
    pub(crate) record: RecordAt,
    /// The record with its payload, if its own is a revisit.
    pub(crate) original: Option<RecordAt>,
    /// What the payload must be.
    pub(crate) payload_sha1: Option<Sha1Bytes>,
}

/// Reads a stored answer.
pub(crate) fn read(stored: &Stored) -> Result<StoredBody, StoreError> {
    let (kind, mut body) = read_record(&stored.record)?;
    let has_payload = match &stored.original {
        None => &stored.record,
        Some(original) => {
            body.payload = read_record(original)?.1.payload;
            original
        }
    };
    if stored.original.is_some() != (kind == "revisit") {
        return Err(stored.record.damaged("the record is of another kind"));
    }
    let is_right = stored
        .payload_sha1
        .is_none_or(|sha1| sha1 == sha1_of(&body.payload));
    if is_right {
        Ok(body)
    } else {
        Err(has_payload.damaged("the payload is not the one that was stored"))
    }
}

/// Checks a stored record: that it can be read whole and is of the right kind, and for a response that its
/// payload is the one that was stored.
pub(crate) fn verify(stored: &Stored, is_revisit: bool) -> Result<(), StoreError> {
    if !is_revisit {
        return read(stored).map(drop);
    }
    match read_record(&stored.record)?.0.as_str() {
        "revisit" => Ok(()),
        _ => Err(stored.record.damaged("the record is of another kind")),
    }
}

impl RecordAt {
    fn damaged(&self, what: impl ToString) -> StoreError {
        StoreError::Damaged {
            path: self.path.clone(),
            what: format!("{} (at byte {})", what.to_string(), self.offset),
        }
    }
}

/// Reads one response or revisit record; also its kind.
fn read_record(at: &RecordAt) -> Result<(String, StoredBody), StoreError> {
    let damaged = |what: &str| at.damaged(what);
    let record = inflate(at)?;
    let (warc_head, block) =
        split_head(&record).ok_or_else(|| damaged("there is no WARC record at that place"))?;
    if !warc_head.starts_with("WARC/1.1\r\n") {
        return Err(damaged("there is no WARC record at that place"));
    }
    let block_bytes = header(&warc_head, "content-length").and_then(|text| text.parse().ok());
    let block = block_bytes
        .and_then(|bytes: usize| block.get(..bytes))
        .ok_or_else(|| damaged("the WARC record is cut short"))?;
    let (head, payload) = split_head(block).ok_or_else(|| damaged("the record holds no HTTP"))?;
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    let kind = header(&warc_head, "warc-type").unwrap_or_default();
    let body = StoredBody {
        status: status.ok_or_else(|| damaged("the record holds no HTTP"))?,
        content_encoding: header(&head, "content-encoding").map(str::to_owned),
        content_type: header(&head, "content-type").map(str::to_owned),
        payload: Bytes::copy_from_slice(payload),
        head: head.into_owned(),
    };
    Ok((kind.to_owned(), body))
}

fn inflate(at: &RecordAt) -> Result<Vec<u8>, StoreError> {
    let damaged = |error: std::io::Error| at.damaged(error);
    let mut file = std::fs::File::open(&at.path).map_err(damaged)?;
    file.seek(SeekFrom::Start(at.offset)).map_err(damaged)?;
    let mut record = Vec::new();
    let decoder = GzDecoder::new(BufReader::new(file.take(at.bytes)));
    let most = MAX_BODY_CEILING + MAX_HEADS_BYTES;
    decoder
        .take(most)
        .read_to_end(&mut record)
        .map_err(damaged)?;
    Ok(record)
}

/// Takes a head and what follows its empty line apart. Header values may hold any byte: what is no UTF-8
/// shows as U+FFFD.
fn split_head(bytes: &[u8]) -> Option<(Cow<'_, str>, &[u8])> {
    let end = bytes
        .windows(4)
        .take(MAX_HEADS_BYTES as usize)
        .position(|w| w == b"\r\n\r\n")?;
    Some((String::from_utf8_lossy(&bytes[..end]), &bytes[end + 4..]))
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().skip(1).find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}
