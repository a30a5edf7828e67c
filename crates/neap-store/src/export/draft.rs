//! How is a file written whole or not at all?
//!
//! Under another name beside the one it is to have, which it gets when it is complete and on the disk. What
//! has that name already stays, unless its replacement is asked for; a store, a device or a directory stays in
//! any case.

use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::StoreError;
use crate::open::{beside, inspect, sync_directory};
use crate::place::{clear_log, place_new};
use crate::segments::directory_of;
use crate::unfinished::Unfinished;

/// What stands beside a database under its name.
const BESIDE: [&str; 5] = ["-wal", "-shm", "-journal", ".lock", ".submit"];

/// What a new file may take the place of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replaces {
    /// Of nothing that is there.
    Nothing,
    /// Of a file that is no store and no part of one.
    Files,
    /// Of such a file, and of a copy of a store: one that no run worked on, so that it has neither bodies nor
    /// a lock beside it.
    Copies,
}

/// A file that is not complete yet; gone if it never is.
#[derive(Debug)]
pub struct Draft {
    to: PathBuf,
    unfinished: Unfinished,
    replaces: Replaces,
}

impl Draft {
    /// Begins a file that is to be `to`, or what that leads to if it is a link. What others who died began to
    /// write under that name is cleared away.
    ///
    /// # Errors
    /// [`StoreError::Exists`] if there is something that it may not replace, [`StoreError::OfStore`] and
    /// [`StoreError::NotFile`] for what nothing may replace, [`StoreError::NoDirectory`] if there is no such
    /// directory, [`StoreError::Io`] if it cannot be known.
    pub fn new(to: &Path, replaces: Replaces) -> Result<Draft, StoreError> {
        let to = &followed(to);
        let directory = directory_for(to);
        if !directory.is_dir() {
            return Err(StoreError::NoDirectory {
                path: directory.to_owned(),
            });
        }
        match std::fs::metadata(to) {
            // A link that leads nowhere.
            Err(error) if error.kind() == ErrorKind::NotFound && to.is_symlink() => {
                return Err(StoreError::NotFile {
                    path: to.to_owned(),
                });
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(StoreError::io(to)(error)),
            Ok(_) if replaces == Replaces::Nothing => return Err(exists(to)),
            Ok(found) if !found.is_file() => {
                return Err(StoreError::NotFile {
                    path: to.to_owned(),
                });
            }
            Ok(_) if is_of_store(to, replaces) => {
                return Err(StoreError::OfStore {
                    path: to.to_owned(),
                });
            }
            Ok(_) => {}
        }
        Ok(Draft {
            unfinished: Unfinished::begin(to).map_err(StoreError::io(to))?,
            to: to.to_owned(),
            replaces,
        })
    }

    /// Where it is meanwhile.
    pub fn path(&self) -> &Path {
        self.unfinished.path()
    }

    /// The directory of both.
    pub fn directory(&self) -> &Path {
        directory_for(&self.to)
    }

    /// It, to be written.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn create(&self) -> Result<File, StoreError> {
        let file = self.unfinished.file().try_clone();
        file.map_err(StoreError::io(&self.to))
    }

    /// Gives it its name, now that it is complete.
    ///
    /// # Errors
    /// [`StoreError::Exists`] if something got that name meanwhile, [`StoreError::Leftover`] if it is a database
    /// and a log lies beside that name, [`StoreError::Io`]; then there is nothing new.
    pub fn place(self) -> Result<(), StoreError> {
        let io = || StoreError::io(&self.to);
        self.unfinished.file().sync_all().map_err(io())?;
        let path = self.unfinished.path();
        if is_store(path) {
            clear_log(&self.to)?;
        }
        let placed = match self.replaces {
            Replaces::Files | Replaces::Copies => std::fs::rename(path, &self.to),
            Replaces::Nothing => place_new(path, &self.to),
        };
        match placed {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::AlreadyExists => return Err(exists(&self.to)),
            Err(error) => return Err(io()(error)),
        }
        sync_directory(&self.to).map_err(io())
    }
}

/// Where a name leads, if it is a link.
fn followed(to: &Path) -> PathBuf {
    match to.is_symlink() {
        true => to.canonicalize().unwrap_or_else(|_| to.to_owned()),
        false => to.to_owned(),
    }
}

fn directory_for(to: &Path) -> &Path {
    let parent = to.parent();
    parent
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

fn exists(to: &Path) -> StoreError {
    StoreError::Exists {
        path: to.to_owned(),
    }
}

/// Whether a file is a store, or belongs to one. What its names lead to counts, links included.
fn is_of_store(file: &Path, replaces: Replaces) -> bool {
    let file = file.canonicalize().unwrap_or_else(|_| file.to_owned());
    if is_store(&file) {
        let has_company = beside(&file, ".lock").exists() || directory_of(&file).exists();
        return replaces != Replaces::Copies || has_company;
    }
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let mut databases = BESIDE.iter().filter_map(|suffix| name.strip_suffix(suffix));
    let is_in_segments = file
        .parent()
        .and_then(Path::extension)
        .is_some_and(|ending| ending == "segments");
    is_in_segments || databases.any(|database| is_store(&file.with_file_name(database)))
}

/// Whether this or a newer neap wrote it.
fn is_store(file: &Path) -> bool {
    matches!(inspect(file), Ok(()) | Err(StoreError::Newer { .. }))
}
