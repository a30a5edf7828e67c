//! What proxies does a file list, and may it have changed since?
//!
//! One proxy a line, as a job file writes them, also with `${env:NAME}`. Blank lines and those that begin
//! with `#` are skipped.

use std::fs::{File, Metadata};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime};

use neap_core::job::Template;
use neap_fetch::Egress;

use super::{LineError, ProxyListError};

/// Largest list, in bytes: 160 for each of its lines.
pub const MAX_LIST_BYTES: u64 = 16 << 20;

/// Most lines of a list: providers sell gateways with ten thousands of ports. A member takes 1 KB before it is
/// used (100,000 of them 97 MB, measured with the list read and its pool filled).
pub const MAX_LIST_LINES: usize = 100_000;

/// A file that was changed less than so long before it is read may change again without a new time.
const SETTLED: Duration = Duration::from_secs(2);

/// What some editors put before a text in UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The file of a pool.
#[derive(Debug)]
pub(super) struct List {
    path: String,
    /// As it was when it was read; `None` if it was not there.
    stamp: Option<Stamp>,
    /// What was wrong when it was read last, if it was told already.
    pub(super) complaint: Option<String>,
}

/// What tells one state of a file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    bytes: u64,
    modified: SystemTime,
    /// Whether it had been as it was for [`SETTLED`] when it was looked at.
    is_settled: bool,
}

impl Stamp {
    fn of(found: &Metadata) -> Stamp {
        let modified = found.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        let age = SystemTime::now().duration_since(modified);
        Stamp {
            inode: found.ino(),
            bytes: found.len(),
            modified,
            is_settled: age.is_ok_and(|age| age >= SETTLED),
        }
    }

    /// Whether the file is certain to be as it was at `earlier`.
    fn is_as(self, earlier: Stamp) -> bool {
        let id = |stamp: Stamp| (stamp.inode, stamp.bytes, stamp.modified);
        earlier.is_settled && id(self) == id(earlier)
    }
}

impl List {
    pub(super) fn new(path: &str) -> List {
        List {
            path: path.to_owned(),
            stamp: None,
            complaint: None,
        }
    }

    /// Whether the file may say something else than when it was read last.
    pub(super) fn may_have_changed(&self) -> bool {
        let now = std::fs::metadata(&self.path)
            .ok()
            .map(|found| Stamp::of(&found));
        match (now, self.stamp) {
            (Some(now), Some(then)) => !now.is_as(then),
            (None, None) => false,
            (Some(_), None) | (None, Some(_)) => true,
        }
    }

    /// Reads it; `pool` is what the pool is called.
    ///
    /// # Errors
    /// It is no list, or cannot be read.
    pub(super) fn read(
        &mut self,
        pool: &str,
        lookup: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Vec<Egress>, ProxyListError> {
        let (pool, file) = (|| pool.to_owned(), || self.path.clone());
        self.stamp = None;
        let unreadable = |source| ProxyListError::Unreadable {
            pool: pool(),
            file: file(),
            source,
        };
        let found = std::fs::metadata(&self.path).map_err(unreadable)?;
        self.stamp = Some(Stamp::of(&found));
        // Opening a pipe would wait for somebody to write.
        if !found.is_file() {
            return Err(ProxyListError::NoFile {
                pool: pool(),
                file: file(),
            });
        }
        let mut bytes = Vec::new();
        let opened = File::open(&self.path).map_err(unreadable)?;
        opened
            .take(MAX_LIST_BYTES + 1)
            .read_to_end(&mut bytes)
            .map_err(unreadable)?;
        let is_too_long = || bytes.iter().filter(|byte| **byte == b'\n').count() > MAX_LIST_LINES;
        if bytes.len() as u64 > MAX_LIST_BYTES || is_too_long() {
            return Err(ProxyListError::TooLarge {
                pool: pool(),
                file: file(),
            });
        }
        let proxies =
            proxies(&bytes, lookup).map_err(|(line, source)| ProxyListError::BadLine {
                pool: pool(),
                file: file(),
                line,
                source,
            })?;
        if proxies.is_empty() {
            return Err(ProxyListError::Empty {
                pool: pool(),
                file: file(),
            });
        }
        Ok(proxies)
    }
}

/// The proxies of a list, or the first line that is none and why.
fn proxies(
    bytes: &[u8],
    lookup: &dyn Fn(&str) -> Option<String>,
) -> Result<Vec<Egress>, (usize, LineError)> {
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    let mut proxies = Vec::new();
    for (before, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let at = |error| (before + 1, error);
        let text = std::str::from_utf8(line).map_err(|_| at(LineError::NotUtf8))?;
        let text = text.trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let template = Template(text.to_owned());
        let proxy = Egress::resolve(&template, lookup).map_err(|error| at(error.into()))?;
        proxies.push(proxy);
    }
    Ok(proxies)
}
