//! Which call fails, and how?

use std::path::{Path, PathBuf};

/// A kind of system call that can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// `write` and `pwrite`.
    Write,
    /// `ftruncate`.
    Truncate,
    /// `fsync` and `fdatasync`, of files and directories.
    Sync,
    /// `open` for writing.
    Open,
}

/// Calls that are to fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Which kind of call.
    pub call: Call,
    /// Which of those that are counted, from 1.
    pub nth: u64,
    /// Whether all later ones fail, too: a disk that is full stays so.
    pub is_lasting: bool,
    /// What the call says: `libc::ENOSPC`, `libc::EIO` and the like.
    pub errno: i32,
    /// Only calls on files whose name ends so are counted.
    pub name_end: &'static str,
}

/// A fault with what has happened of it.
#[derive(Debug)]
pub(crate) struct Armed {
    fault: Fault,
    seen: u64,
    /// The files that the failed calls were about.
    pub(crate) hit: Vec<PathBuf>,
}

impl Armed {
    pub(crate) fn new(fault: Fault) -> Armed {
        Armed {
            fault,
            seen: 0,
            hit: Vec::new(),
        }
    }

    /// Counts a call; what it says if it fails.
    pub(crate) fn strike(&mut self, call: Call, path: &Path) -> Option<i32> {
        let name = path.to_string_lossy();
        if call != self.fault.call || !name.ends_with(self.fault.name_end) {
            return None;
        }
        self.seen += 1;
        let is_due = if self.fault.is_lasting {
            self.seen >= self.fault.nth
        } else {
            self.seen == self.fault.nth
        };
        if !is_due {
            return None;
        }
        self.hit.push(path.to_owned());
        Some(self.fault.errno)
    }
}
