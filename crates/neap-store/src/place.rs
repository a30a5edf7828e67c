//! How does a complete file get its name, and what must not lie beside it then?
//!
//! By a link, which takes the place of nothing; where there are no links, an empty file claims the name
//! first. A database gets a name only if no log lies beside it: SQLite would replay the log of whatever had
//! that name before into it, and that is the end of both.

use std::fs::{File, remove_file};
use std::io::{Error, ErrorKind};
use std::path::Path;

use crate::StoreError;
use crate::open::beside;

/// Gives a file a name that nothing has. The name it had may be left as well.
pub(crate) fn place_new(file: &Path, to: &Path) -> Result<(), Error> {
    place_by(file, to, |file, to| std::fs::hard_link(file, to))
}

fn place_by(
    file: &Path,
    to: &Path,
    link: impl FnOnce(&Path, &Path) -> Result<(), Error>,
) -> Result<(), Error> {
    match link(file, to) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(error),
        // Not every file system has links.
        Err(_) => {
            File::create_new(to)?;
            let renamed = std::fs::rename(file, to);
            if renamed.is_err() {
                // The claim is empty; what is not there needs no removing.
                let _ = remove_file(to);
            }
            renamed
        }
    }
}

/// Refuses a name beside which a log lies that holds something.
pub(crate) fn refuse_log(database: &Path) -> Result<(), StoreError> {
    for suffix in ["-wal", "-journal"] {
        let log = beside(database, suffix);
        if std::fs::metadata(&log).is_ok_and(|found| found.len() > 0) {
            return Err(StoreError::Leftover {
                path: database.to_owned(),
                log,
            });
        }
    }
    Ok(())
}

/// Makes sure that a database gets this name with nothing beside it, of which it would become a part. An empty
/// log goes: whoever has it open lost the database with its name, and finds that out.
pub(crate) fn clear_log(database: &Path) -> Result<(), StoreError> {
    refuse_log(database)?;
    for suffix in ["-wal", "-journal", "-shm"] {
        let path = beside(database, suffix);
        match remove_file(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(StoreError::io(&path)(error)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_file_is_replaced_with_links_or_without() {
        let no_links = |_: &Path, _: &Path| Err(Error::from(ErrorKind::Unsupported));
        let links = |file: &Path, to: &Path| std::fs::hard_link(file, to);
        for has_links in [true, false] {
            let directory = tempfile::tempdir().unwrap();
            let [file, to] = ["file", "to"].map(|name| directory.path().join(name));
            let place = || match has_links {
                true => place_by(&file, &to, links),
                false => place_by(&file, &to, no_links),
            };
            std::fs::write(&file, "new").unwrap();
            std::fs::write(&to, "old").unwrap();
            let error = place().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{has_links}");
            assert_eq!(std::fs::read(&to).unwrap(), b"old");
            remove_file(&to).unwrap();
            place().unwrap();
            assert_eq!(std::fs::read(&to).unwrap(), b"new", "{has_links}");
        }
    }
}
