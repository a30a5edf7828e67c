//! Is the file under the store's name still the one that is written?
//!
//! A database that is deleted or moved while it is open is written all the same: what goes into it is lost
//! with its last name, and nobody hears of it. So the writer looks before it says that something is done.

use std::path::{Path, PathBuf};

use crate::StoreError;

/// A file, whatever happens to its name.
#[derive(Debug)]
pub(crate) struct Identity {
    path: PathBuf,
    number: Option<(u64, u64)>,
}

impl Identity {
    /// The file that has this name now.
    pub(crate) fn of(path: &Path) -> Identity {
        Identity {
            path: path.to_owned(),
            number: number(path),
        }
    }

    /// Checks that it still has its name.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        if number(&self.path) == self.number {
            return Ok(());
        }
        Err(StoreError::Moved {
            path: self.path.clone(),
        })
    }
}

/// Device and inode.
#[cfg(unix)]
fn number(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    let found = std::fs::metadata(path).ok()?;
    Some((found.dev(), found.ino()))
}

/// Elsewhere a file that is open keeps its name.
#[cfg(not(unix))]
fn number(_path: &Path) -> Option<(u64, u64)> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(unix)]
    fn a_file_that_takes_the_name_is_another_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("neap.db");
        std::fs::write(&path, "").unwrap();
        let identity = Identity::of(&path);
        std::fs::write(&path, "more").unwrap();
        identity.check().unwrap();
        std::fs::rename(&path, directory.path().join("moved")).unwrap();
        assert!(identity.check().is_err());
        std::fs::write(&path, "").unwrap();
        let error = identity.check().unwrap_err().to_string();
        assert!(error.contains("neap.db was moved or deleted"), "{error}");
        std::fs::rename(directory.path().join("moved"), &path).unwrap();
        identity.check().unwrap();
    }
}
