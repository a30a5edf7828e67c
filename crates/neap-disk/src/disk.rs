//! What is watched, and who is told?
//!
//! One registry for the process, since system calls know nothing of tests: directories that are watched, and
//! what each open file is. It is locked around the call itself, so that the log has the order in which
//! the kernel was asked. Nothing in here may write to a file while it holds the lock.

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use crate::fault::{Armed, Call, Fault};
use crate::log::{Event, FileId, Log, Node};

/// A directory that is watched, until this is dropped. Syncs below it cost nothing: they are noted, and
/// the kernel is not asked.
#[derive(Debug)]
pub struct Disk {
    root: PathBuf,
    number: u64,
}

impl Disk {
    /// Watches a directory and all that is below it now or later. What is there now counts as flushed.
    ///
    /// # Panics
    /// The directory cannot be read, or system calls are not seen on this platform: a test that would
    /// see nothing must not pass.
    pub fn below(directory: &Path) -> Disk {
        let root = directory
            .canonicalize()
            .unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
        let mut watched = Watched::new(&root);
        watched.take_in(Path::new(""));
        let number = {
            let mut registry = taken();
            registry.disks += 1;
            watched.number = registry.disks;
            registry.watched.push(watched);
            registry.disks
        };
        let disk = Disk { root, number };
        disk.check();
        disk
    }

    /// Proves that system calls are seen.
    fn check(&self) {
        #[cfg(target_os = "linux")]
        crate::calls::link();
        let probe = self.root.join(".probe");
        let written = std::fs::write(&probe, b"seen");
        written.unwrap_or_else(|error| panic!("{}: {error}", probe.display()));
        let removed = std::fs::remove_file(&probe);
        removed.unwrap_or_else(|error| panic!("{}: {error}", probe.display()));
        let seen = self.with(|watched| std::mem::take(&mut watched.log.events).len());
        assert_eq!(seen, 3, "system calls are not seen on this platform");
    }

    /// Puts a mark into the log.
    pub fn mark(&self, mark: u64) {
        self.with(|watched| watched.log.events.push(Event::Mark(mark)));
    }

    /// Makes calls fail from now on; what failed before does so no more.
    pub fn fail(&self, fault: Fault) {
        self.with(|watched| watched.armed = Some(Armed::new(fault)));
    }

    /// Lets every call succeed again; the files that the failed ones were about.
    pub fn heal(&self) -> Vec<PathBuf> {
        self.with(|watched| watched.armed.take().map(|armed| armed.hit))
            .unwrap_or_default()
    }

    /// Notes nothing from now on, which saves the memory for it.
    pub fn forget(&self) {
        self.with(|watched| {
            watched.is_noting = false;
            watched.log = Log::default();
        });
    }

    /// What was asked so far.
    pub fn log(&self) -> Log {
        self.with(|watched| watched.log.clone())
    }

    fn with<T>(&self, work: impl FnOnce(&mut Watched) -> T) -> T {
        let mut registry = taken();
        let mut all = registry.watched.iter_mut();
        let watched = all.find(|watched| watched.number == self.number);
        work(watched.expect("it is there until this is dropped"))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let mut registry = taken();
        let number = self.number;
        registry.watched.retain(|watched| watched.number != number);
        registry.open.retain(|_, open| open.disk != number);
    }
}

/// Everything that is watched in this process.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    disks: u64,
    watched: Vec<Watched>,
    open: HashMap<i32, Open>,
}

#[derive(Debug)]
struct Watched {
    number: u64,
    root: PathBuf,
    is_noting: bool,
    log: Log,
    /// What is under each name now.
    names: BTreeMap<PathBuf, Node>,
    files: usize,
    armed: Option<Armed>,
}

/// An open file or directory.
#[derive(Debug, Clone)]
pub(crate) struct Open {
    disk: u64,
    path: PathBuf,
    node: Node,
}

static REGISTRY: LazyLock<Mutex<Registry>> = LazyLock::new(Mutex::default);

thread_local! {
    static HAS_IT: Cell<bool> = const { Cell::new(false) };
}

/// The registry, held by this thread.
pub(crate) struct Held(MutexGuard<'static, Registry>);

impl Deref for Held {
    type Target = Registry;

    fn deref(&self) -> &Registry {
        &self.0
    }
}

impl DerefMut for Held {
    fn deref_mut(&mut self) -> &mut Registry {
        &mut self.0
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        HAS_IT.set(false);
    }
}

/// Takes the registry; `None` if this thread has it already, as one that panics with it and says so has.
pub(crate) fn registry() -> Option<Held> {
    if HAS_IT.replace(true) {
        return None;
    }
    // A test that panicked while it held the lock is a failed test; the others go on.
    Some(Held(
        REGISTRY.lock().unwrap_or_else(PoisonError::into_inner),
    ))
}

fn taken() -> Held {
    registry().expect("no method of a disk calls another while it has the registry")
}

impl Watched {
    fn new(root: &Path) -> Watched {
        Watched {
            number: 0,
            root: root.to_owned(),
            is_noting: true,
            log: Log::default(),
            names: BTreeMap::new(),
            files: 0,
            armed: None,
        }
    }

    /// Notes what is in a directory already.
    fn take_in(&mut self, directory: &Path) {
        let path = self.root.join(directory);
        let entries = std::fs::read_dir(&path);
        let entries = entries.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        for entry in entries.flatten() {
            let name = directory.join(entry.file_name());
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                self.names.insert(name.clone(), Node::Directory);
                self.take_in(&name);
            } else {
                let bytes = std::fs::read(entry.path()).unwrap_or_default();
                self.log.files.push(bytes);
                self.names.insert(name, Node::File(FileId(self.files)));
                self.files += 1;
            }
        }
        self.log.names = self.names.clone();
    }

    fn note(&mut self, event: Event) {
        if self.is_noting {
            self.log.events.push(event);
        }
    }

    fn rename(&mut self, changes: Vec<(PathBuf, Option<Node>)>) {
        for (path, node) in &changes {
            match node {
                Some(node) => self.names.insert(path.clone(), *node),
                None => self.names.remove(path),
            };
        }
        self.note(Event::Names(changes));
    }
}

/// Files that no crash leaves anything of: shared memory, which the first who opens it makes anew.
fn is_memory(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().ends_with(b"-shm")
}

impl Registry {
    /// The watched directory that an absolute path lies in, and the rest of the path.
    fn find(&mut self, path: &Path) -> Option<(&mut Watched, PathBuf)> {
        self.watched.iter_mut().find_map(|watched| {
            let rest = path.strip_prefix(&watched.root).ok()?.to_owned();
            Some((watched, rest))
        })
    }

    fn of_open(&mut self, fd: i32) -> Option<(&mut Watched, Open)> {
        let open = self.open.get(&fd)?.clone();
        let mut all = self.watched.iter_mut();
        let watched = all.find(|watched| watched.number == open.disk)?;
        Some((watched, open))
    }

    /// Whether an `open` for writing fails, and with what.
    pub(crate) fn before_open(&mut self, path: &Path) -> Option<i32> {
        let (watched, rest) = self.find(path)?;
        watched.armed.as_mut()?.strike(Call::Open, &rest)
    }

    /// Notes a file that was opened.
    pub(crate) fn opened(&mut self, fd: i32, path: &Path, is_directory: bool, is_truncated: bool) {
        let Some((watched, rest)) = self.find(path) else {
            return;
        };
        if is_memory(&rest) {
            return;
        }
        let node = match watched.names.get(&rest) {
            Some(node) => {
                let node = *node;
                if let (Node::File(file), true) = (node, is_truncated) {
                    watched.note(Event::Truncate { file, bytes: 0 });
                }
                node
            }
            None if is_directory => Node::Directory,
            None => {
                let node = Node::File(FileId(watched.files));
                watched.files += 1;
                watched.rename(vec![(rest.clone(), Some(node))]);
                node
            }
        };
        let disk = watched.number;
        self.open.insert(
            fd,
            Open {
                disk,
                path: rest,
                node,
            },
        );
    }

    pub(crate) fn closed(&mut self, fd: i32) {
        self.open.remove(&fd);
    }

    /// Whether a call on an open file fails, and with what.
    pub(crate) fn before(&mut self, fd: i32, call: Call) -> Option<i32> {
        let (watched, open) = self.of_open(fd)?;
        let errno = watched.armed.as_mut()?.strike(call, &open.path)?;
        if let (Call::Sync, Node::File(file)) = (call, open.node) {
            watched.note(Event::SyncFailed(file));
        }
        Some(errno)
    }

    pub(crate) fn is_watched(&self, fd: i32) -> bool {
        self.open.contains_key(&fd)
    }

    pub(crate) fn wrote(&mut self, fd: i32, offset: u64, bytes: &[u8]) {
        if let Some((watched, open)) = self.of_open(fd)
            && let Node::File(file) = open.node
            && watched.is_noting
        {
            let bytes: Arc<[u8]> = bytes.into();
            watched.note(Event::Write {
                file,
                offset,
                bytes,
            });
        }
    }

    pub(crate) fn truncated(&mut self, fd: i32, bytes: u64) {
        if let Some((watched, open)) = self.of_open(fd)
            && let Node::File(file) = open.node
        {
            watched.note(Event::Truncate { file, bytes });
        }
    }

    pub(crate) fn synced(&mut self, fd: i32) {
        if let Some((watched, open)) = self.of_open(fd) {
            watched.note(match open.node {
                Node::File(file) => Event::Sync(file),
                Node::Directory => Event::SyncDirectory(open.path),
            });
        }
    }

    pub(crate) fn made_directory(&mut self, path: &Path) {
        if let Some((watched, rest)) = self.find(path) {
            watched.rename(vec![(rest, Some(Node::Directory))]);
        }
    }

    pub(crate) fn removed(&mut self, path: &Path) {
        if let Some((watched, rest)) = self.find(path)
            && watched.names.contains_key(&rest)
        {
            watched.rename(vec![(rest, None)]);
        }
    }

    pub(crate) fn linked(&mut self, from: &Path, to: &Path, is_moved: bool) {
        let Some((watched, from)) = self.find(from) else {
            return;
        };
        let to = to.strip_prefix(&watched.root).map(Path::to_owned);
        if let (Some(node), Ok(to)) = (watched.names.get(&from).copied(), to) {
            let mut changes = vec![(to, Some(node))];
            if is_moved {
                changes.push((from, None));
            }
            watched.rename(changes);
        }
    }
}
