//! Which files did somebody who died leave unfinished?
//!
//! A file that is not complete yet has the name that it is to get with `.new-` and 32 digits behind it, and who
//! writes it holds a lock on it. The kernel lets go of the lock when the process dies, however it dies: what
//! has such a name and no lock is wanted by nobody, and goes when the same name is written or opened again.

use std::fs::File;
use std::io::{Error, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::open::beside;

/// What stands between the name that a file is to get and its digits.
const MARK: &str = ".new-";

/// What SQLite may put beside a database, and the database itself last.
const FILES: [&str; 4] = ["-wal", "-shm", "-journal", ""];

/// A file that is not complete yet; gone when it is dropped, unless it got another name.
#[derive(Debug)]
pub(crate) struct Unfinished {
    path: PathBuf,
    file: File,
}

impl Unfinished {
    /// Begins what is to be `to`, an empty file.
    pub(crate) fn begin(to: &Path) -> std::io::Result<Unfinished> {
        sweep(to);
        for _ in 0..3 {
            let path = beside(to, &format!("{MARK}{}", uuid::Uuid::new_v4().simple()));
            let file = File::create_new(&path)?;
            // Where files cannot be locked, those of the dead stay.
            let _ = file.lock();
            // Who clears away may have seen it before it was locked.
            if file.metadata()?.nlink() > 0 {
                return Ok(Unfinished { path, file });
            }
        }
        Err(Error::from(ErrorKind::Interrupted))
    }

    /// Where it is meanwhile.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The open file.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        remove(&self.path);
    }
}

/// Removes what the dead left of files that were to be `to`. What cannot be removed does no harm.
pub(crate) fn sweep(to: &Path) {
    let directory = match to.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    };
    let Some(name) = to.file_name().map(std::ffi::OsStr::to_string_lossy) else {
        return;
    };
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let found = entry.file_name().to_string_lossy().into_owned();
        let digits = found
            .strip_prefix(&*name)
            .and_then(|rest| rest.strip_prefix(MARK));
        let is_digits =
            |text: &str| text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
        if digits.is_some_and(is_digits) && is_nobodys(&entry) {
            remove(&entry.path());
        }
    }
}

/// Whether nobody writes a file that has the name of an unfinished one.
fn is_nobodys(entry: &std::fs::DirEntry) -> bool {
    match entry.metadata() {
        // It has its name already. Not opened, since closing it would undo SQLite's locks of this process.
        Ok(found) if found.is_file() && found.nlink() > 1 => true,
        Ok(found) if found.is_file() => {
            File::open(entry.path()).is_ok_and(|file| file.try_lock().is_ok())
        }
        Ok(_) | Err(_) => false,
    }
}

fn remove(path: &Path) {
    for suffix in FILES {
        // What is not there needs no removing; what stays is no file that anybody looks for.
        let _ = std::fs::remove_file(beside(path, suffix));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_dead_left_goes_and_what_is_being_written_stays() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let live = Unfinished::begin(&at("a.csv")).unwrap();
        let dead = [
            format!("a.csv.new-{}", "0".repeat(32)),
            format!("a.csv.new-{}-wal", "0".repeat(32)),
        ];
        let others = [
            "a.csv.new-1".to_owned(),
            format!("b.csv.new-{}", "0".repeat(32)),
            "a.csv".to_owned(),
        ];
        for name in dead.iter().chain(&others) {
            std::fs::write(at(name), "x").unwrap();
        }
        let linked = format!("a.csv.new-{}", "1".repeat(32));
        std::fs::hard_link(at("a.csv"), at(&linked)).unwrap();
        let second = Unfinished::begin(&at("a.csv")).unwrap();
        for name in dead.iter().chain([&linked]) {
            assert!(!at(name).exists(), "{name} is left");
        }
        for name in &others {
            assert!(at(name).exists(), "{name} is gone");
        }
        assert!(live.path().exists() && second.path().exists());
        let path = live.path().to_owned();
        drop(live);
        assert!(!path.exists());
    }
}
