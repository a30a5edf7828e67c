//! What was asked of the disk, in order?

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use crate::image::{Image, Loss};

/// A file, whatever names it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct FileId(pub(crate) usize);

/// What may be found under a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Node {
    File(FileId),
    Directory,
}

/// One thing that was asked of the disk. Paths are relative to the directory that is watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    Write {
        file: FileId,
        offset: u64,
        bytes: Arc<[u8]>,
    },
    Truncate {
        file: FileId,
        bytes: u64,
    },
    Sync(FileId),
    /// The kernel said that it could not, and has forgotten that there was something to be flushed.
    SyncFailed(FileId),
    /// Names that were changed together: each with what is there now.
    Names(Vec<(PathBuf, Option<Node>)>),
    SyncDirectory(PathBuf),
    /// Something the test wants to find again.
    Mark(u64),
}

/// What was asked of a disk from the beginning to the end of a recording.
#[derive(Debug, Clone, Default)]
pub struct Log {
    /// What was there before.
    pub(crate) files: Vec<Vec<u8>>,
    pub(crate) names: BTreeMap<PathBuf, Node>,
    pub(crate) events: Vec<Event>,
}

impl Log {
    /// How many things were asked. A power cut can come after each.
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// Whether nothing was asked.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// What a power cut after the first `at` events may leave. The same seed gives the same image.
    pub fn image(&self, at: usize, loss: Loss, seed: u64) -> Image {
        Image::new(self, at, loss, seed)
    }

    /// The marks among the first `at` events, in order.
    pub fn marks(&self, at: usize) -> Vec<u64> {
        let before = self.events.iter().take(at);
        before
            .filter_map(|event| match event {
                Event::Mark(mark) => Some(*mark),
                Event::Write { .. }
                | Event::Truncate { .. }
                | Event::Sync(_)
                | Event::SyncFailed(_)
                | Event::Names(_)
                | Event::SyncDirectory(_) => None,
            })
            .collect()
    }

    /// How many events of each kind there are: writes, syncs of files, syncs of directories.
    pub fn counts(&self) -> (usize, usize, usize) {
        let mut counts = (0, 0, 0);
        for event in &self.events {
            match event {
                Event::Write { .. } | Event::Truncate { .. } => counts.0 += 1,
                Event::Sync(_) | Event::SyncFailed(_) => counts.1 += 1,
                Event::SyncDirectory(_) => counts.2 += 1,
                Event::Names(_) | Event::Mark(_) => {}
            }
        }
        counts
    }
}
