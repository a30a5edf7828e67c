//! How is a file written whole or not at all?
//!
//! Under another name beside the one it is to have, which it gets when it is complete and on the disk. What
//! has that name already stays, unless its replacement is asked for.

use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::StoreError;
use crate::open::{beside, sync_directory};

/// A file that is not complete yet; gone if it never is.
#[derive(Debug)]
pub struct Draft {
    to: PathBuf,
    path: PathBuf,
    is_forced: bool,
}

impl Draft {
    /// Begins a file that is to be `to`; `is_forced` lets it take the place of one that is there.
    ///
    /// # Errors
    /// [`StoreError::Exists`] if there is one and it may not, [`StoreError::Io`] if it cannot be known.
    pub fn new(to: &Path, is_forced: bool) -> Result<Draft, StoreError> {
        if !is_forced && to.try_exists().map_err(StoreError::io(to))? {
            return Err(exists(to));
        }
        Ok(Draft {
            path: beside(to, &format!(".new-{}", uuid::Uuid::new_v4().simple())),
            to: to.to_owned(),
            is_forced,
        })
    }

    /// Where it is meanwhile.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The directory of both.
    pub fn directory(&self) -> &Path {
        let parent = self.to.parent();
        parent
            .filter(|parent| !parent.as_os_str().is_empty())
            .unwrap_or(Path::new("."))
    }

    /// Opens it to be written.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn create(&self) -> Result<File, StoreError> {
        File::create_new(&self.path).map_err(StoreError::io(&self.to))
    }

    /// Gives it its name, now that it is complete.
    ///
    /// # Errors
    /// [`StoreError::Exists`] if something got that name meanwhile, [`StoreError::Io`]; then there is
    /// nothing new.
    pub fn place(self) -> Result<(), StoreError> {
        let io = || StoreError::io(&self.to);
        File::open(&self.path)
            .and_then(|file| file.sync_all())
            .map_err(io())?;
        // A link never takes the place of a file.
        let placed = match self.is_forced {
            true => std::fs::rename(&self.path, &self.to),
            false => std::fs::hard_link(&self.path, &self.to),
        };
        match placed {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::AlreadyExists => return Err(exists(&self.to)),
            // Not every file system has links.
            Err(_) => std::fs::rename(&self.path, &self.to).map_err(io())?,
        }
        sync_directory(&self.to).map_err(io())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // After a rename there is nothing left; whatever else is, nobody wants.
        let _ = std::fs::remove_file(&self.path);
    }
}

fn exists(to: &Path) -> StoreError {
    StoreError::Exists {
        path: to.to_owned(),
    }
}
