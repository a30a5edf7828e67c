//! What may a disk hold after a power cut?
//!
//! Every file has what was flushed of it last, and of what was asked since any part: POSIX orders nothing
//! without a sync. A sector is written whole or not at all, and what lies beside a write stays as it is
//! (SQLite's "powersafe overwrite", <https://sqlite.org/psow.html>). A name that was changed since its
//! directory was flushed last may be as before or as after any of the changes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::log::{Event, FileId, Log, Node};

/// What becomes of what was not flushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// All of it is there: the process died, not the machine.
    Nothing,
    /// None of it.
    Everything,
    /// For each file what came first, the last write of it torn.
    Tail,
    /// Any of the writes, in any combination.
    Writes,
    /// Any of the sectors of any of the writes.
    Sectors,
}

impl Loss {
    /// Each way there is.
    pub const ALL: [Loss; 5] = [
        Loss::Nothing,
        Loss::Everything,
        Loss::Tail,
        Loss::Writes,
        Loss::Sectors,
    ];
}

/// What a disk holds after a power cut: files and directories, relative to the one that was watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    files: BTreeMap<PathBuf, Vec<u8>>,
    directories: BTreeSet<PathBuf>,
}

/// A file while the log is read.
#[derive(Default)]
struct File {
    durable: Vec<u8>,
    /// What was lost in a failed flush: it may be on the disk or not, and no later flush writes it.
    limbo: Vec<Change>,
    pending: Vec<Change>,
}

#[derive(Clone)]
enum Change {
    Write {
        offset: u64,
        bytes: std::sync::Arc<[u8]>,
    },
    Truncate {
        bytes: u64,
    },
}

impl Image {
    pub(crate) fn new(log: &Log, at: usize, loss: Loss, seed: u64) -> Image {
        let mut dice = SmallRng::seed_from_u64(seed);
        let sector = if dice.random() { 512 } else { 4096 };
        let mut files: Vec<File> = Vec::new();
        for durable in &log.files {
            files.push(File {
                durable: durable.clone(),
                ..File::default()
            });
        }
        let mut names = log.names.clone();
        let mut changed: Vec<Vec<(PathBuf, Option<Node>)>> = Vec::new();
        for event in &log.events[..at] {
            match event {
                Event::Write {
                    file,
                    offset,
                    bytes,
                } => of(&mut files, *file).pending.push(Change::Write {
                    offset: *offset,
                    bytes: bytes.clone(),
                }),
                Event::Truncate { file, bytes } => of(&mut files, *file)
                    .pending
                    .push(Change::Truncate { bytes: *bytes }),
                Event::Sync(file) => of(&mut files, *file).flush(&mut dice, loss, sector),
                Event::SyncFailed(file) => {
                    let file = of(&mut files, *file);
                    file.limbo.append(&mut file.pending);
                }
                Event::Names(changes) => changed.push(changes.clone()),
                Event::SyncDirectory(directory) => {
                    changed.retain(|changes| !settle(changes, directory, &mut names));
                }
                Event::Mark(_) => {}
            }
        }
        choose_names(changed, loss, &mut dice, &mut names);
        let contents: Vec<Vec<u8>> = files
            .into_iter()
            .map(|file| file.after_a_cut(&mut dice, loss, sector))
            .collect();
        Image::of_names(&names, &contents)
    }

    /// What can be reached: a file in a directory that is not there is gone.
    fn of_names(names: &BTreeMap<PathBuf, Node>, contents: &[Vec<u8>]) -> Image {
        let mut image = Image {
            files: BTreeMap::new(),
            directories: BTreeSet::new(),
        };
        // A directory comes before what it holds.
        for (path, node) in names {
            let parent = path.parent().unwrap_or(Path::new(""));
            if parent != Path::new("") && !image.directories.contains(parent) {
                continue;
            }
            match node {
                Node::Directory => {
                    image.directories.insert(path.clone());
                }
                Node::File(FileId(id)) => {
                    let bytes = contents.get(*id).cloned().unwrap_or_default();
                    image.files.insert(path.clone(), bytes);
                }
            }
        }
        image
    }

    /// What a file holds; `None` if there is no such file.
    pub fn file(&self, name: &str) -> Option<&[u8]> {
        self.files.get(Path::new(name)).map(Vec::as_slice)
    }

    /// The names of the files.
    pub fn names(&self) -> impl Iterator<Item = &Path> {
        self.files.keys().map(PathBuf::as_path)
    }

    /// Puts the image into a directory.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write_to(&self, directory: &Path) -> std::io::Result<()> {
        for name in &self.directories {
            std::fs::create_dir(directory.join(name))?;
        }
        for (name, bytes) in &self.files {
            std::fs::write(directory.join(name), bytes)?;
        }
        Ok(())
    }
}

fn of(files: &mut Vec<File>, FileId(id): FileId) -> &mut File {
    while files.len() <= id {
        files.push(File::default());
    }
    &mut files[id]
}

impl File {
    /// Makes what is pending durable. What a failed flush lost is on the disk or not, whatever is said now.
    fn flush(&mut self, dice: &mut SmallRng, loss: Loss, sector: u64) {
        for change in std::mem::take(&mut self.limbo) {
            change.apply_in_part(&mut self.durable, dice, loss, sector);
        }
        for change in self.pending.drain(..) {
            change.apply(&mut self.durable);
        }
    }

    fn after_a_cut(mut self, dice: &mut SmallRng, loss: Loss, sector: u64) -> Vec<u8> {
        for change in std::mem::take(&mut self.limbo) {
            change.apply_in_part(&mut self.durable, dice, loss, sector);
        }
        let pending = std::mem::take(&mut self.pending);
        // The first that is not there, if they got to the disk one after another.
        let torn = dice.random_range(0..=pending.len());
        for (number, change) in pending.into_iter().enumerate() {
            match loss {
                Loss::Tail if number < torn => change.apply(&mut self.durable),
                Loss::Tail if number > torn => break,
                Loss::Tail => change.apply_some_sectors(&mut self.durable, dice, sector),
                Loss::Nothing | Loss::Everything | Loss::Writes | Loss::Sectors => {
                    change.apply_in_part(&mut self.durable, dice, loss, sector);
                }
            }
        }
        self.durable
    }
}

impl Change {
    fn apply_in_part(self, to: &mut Vec<u8>, dice: &mut SmallRng, loss: Loss, sector: u64) {
        match loss {
            Loss::Nothing => self.apply(to),
            Loss::Everything => {}
            Loss::Writes if dice.random() => self.apply(to),
            Loss::Writes => {}
            Loss::Sectors | Loss::Tail => self.apply_some_sectors(to, dice, sector),
        }
    }

    fn apply(self, to: &mut Vec<u8>) {
        match self {
            Change::Write { offset, bytes } => put(to, offset, &bytes),
            Change::Truncate { bytes } => to.resize(usize_of(bytes), 0),
        }
    }

    fn apply_some_sectors(self, to: &mut Vec<u8>, dice: &mut SmallRng, sector: u64) {
        match self {
            Change::Write { offset, bytes } => {
                let mut from = 0;
                while from < bytes.len() {
                    let at = offset + from as u64;
                    let in_sector = usize_of(sector - at % sector);
                    let until = (from + in_sector).min(bytes.len());
                    if dice.random() {
                        put(to, at, &bytes[from..until]);
                    }
                    from = until;
                }
            }
            Change::Truncate { .. } if dice.random() => self.apply(to),
            Change::Truncate { .. } => {}
        }
    }
}

/// Writes into a file, which grows if need be; what was never written is zero.
fn put(to: &mut Vec<u8>, offset: u64, bytes: &[u8]) {
    let offset = usize_of(offset);
    let end = offset + bytes.len();
    if to.len() < end {
        to.resize(end, 0);
    }
    to[offset..end].copy_from_slice(bytes);
}

fn usize_of(number: u64) -> usize {
    usize::try_from(number).expect("the files of a test fit into memory")
}

/// Makes changes durable that are in this directory; whether they are now.
fn settle(
    changes: &[(PathBuf, Option<Node>)],
    directory: &Path,
    names: &mut BTreeMap<PathBuf, Node>,
) -> bool {
    let is_in = |(path, _): &(PathBuf, _)| path.parent() == Some(directory);
    if !changes.iter().any(is_in) {
        return false;
    }
    set(changes, names);
    true
}

fn set(changes: &[(PathBuf, Option<Node>)], names: &mut BTreeMap<PathBuf, Node>) {
    for (path, node) in changes {
        match node {
            Some(node) => names.insert(path.clone(), *node),
            None => names.remove(path),
        };
    }
}

/// Takes some of the changes that were not flushed: of each name those up to some moment.
fn choose_names(
    changed: Vec<Vec<(PathBuf, Option<Node>)>>,
    loss: Loss,
    dice: &mut SmallRng,
    names: &mut BTreeMap<PathBuf, Node>,
) {
    let mut stopped: BTreeSet<PathBuf> = BTreeSet::new();
    for changes in changed {
        let is_kept = match loss {
            Loss::Nothing => true,
            Loss::Everything => false,
            Loss::Tail | Loss::Writes | Loss::Sectors => {
                let is_stopped = changes.iter().any(|(path, _)| stopped.contains(path));
                !is_stopped && dice.random()
            }
        };
        if is_kept {
            set(&changes, names);
        } else {
            stopped.extend(changes.into_iter().map(|(path, _)| path));
        }
    }
}
