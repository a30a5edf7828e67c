//! Whose are the segment files in a directory?
//!
//! A small file beside them names their store by its id, and the last run that had them. By that a store finds
//! out that the directory is another's, or that it is itself older than its files: a copy from before, which
//! was put back. Nothing that it does not know may be cut or removed then.

use std::fs::{File, read_dir};
use std::io::{ErrorKind, Result, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::open::sync_directory;

/// The file beside the segments; hidden, so that `neap.segments/*` are WARC files and nothing else.
const NAME: &str = ".store.json";

/// Whose the files are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Owner {
    /// `store_id` in the store's `store_meta`.
    pub(crate) store_id: String,
    /// The last run of that store.
    pub(crate) epoch: i64,
    /// Whether that run said itself that it was over.
    pub(crate) has_ended: bool,
}

impl Owner {
    /// The owner of the files in a directory, if that is told.
    pub(crate) fn read(directory: &Path) -> Result<Option<Owner>> {
        match std::fs::read(directory.join(NAME)) {
            Ok(text) => Ok(serde_json::from_slice(&text).ok()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Tells it in a directory, durably: as a whole or not at all.
    pub(crate) fn write(&self, directory: &Path) -> Result<()> {
        let draft = directory.join(format!("{NAME}.new"));
        let text = serde_json::to_string(self).expect("names and numbers are always JSON");
        let mut file = File::create(&draft)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        let path = directory.join(NAME);
        std::fs::rename(&draft, &path)?;
        sync_directory(&path)
    }
}

/// A segment file and the run that began it, both by its name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SegmentFile {
    pub(crate) name: String,
    pub(crate) epoch: i64,
}

/// The files in a directory that have a name as a run gives it; none if there is no directory.
pub(crate) fn segment_files(directory: &Path) -> Result<Vec<SegmentFile>> {
    let entries = match read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().into_string().unwrap_or_default();
        let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
        if let Some(epoch) = epoch_of(&name).filter(|_| is_file) {
            files.push(SegmentFile { name, epoch });
        }
    }
    files.sort_unstable();
    Ok(files)
}

/// The run that gave a file its name.
fn epoch_of(name: &str) -> Option<i64> {
    let numbers = name.strip_prefix("neap-")?.strip_suffix(".warc.gz")?;
    let (epoch, file) = numbers.split_once('-')?;
    let is_number =
        |text: &str, digits| text.len() >= digits && text.bytes().all(|b| b.is_ascii_digit());
    if is_number(epoch, 6) && is_number(file, 5) {
        epoch.parse().ok()
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_read_off_the_names_that_it_gives() {
        for (name, epoch) in [
            ("neap-000001-00001.warc.gz", Some(1)),
            ("neap-1234567-123456.warc.gz", Some(1_234_567)),
            ("neap-notes-00001.warc.gz", None),
            ("neap-000001-00002.warc.gz.bak", None),
            ("other-000001-00002.warc.gz", None),
            ("neap-1-2.warc.gz", None),
            ("neap-99999999999999999999-00001.warc.gz", None),
        ] {
            assert_eq!(epoch_of(name), epoch, "{name}");
        }
    }

    #[test]
    fn a_torn_owner_is_none() {
        let directory = tempfile::tempdir().unwrap();
        let owner = Owner {
            store_id: "a".to_owned(),
            epoch: 7,
            has_ended: true,
        };
        assert_eq!(Owner::read(directory.path()).unwrap(), None);
        owner.write(directory.path()).unwrap();
        assert_eq!(Owner::read(directory.path()).unwrap(), Some(owner));
        std::fs::write(directory.path().join(NAME), "{\"store_id\"").unwrap();
        assert_eq!(Owner::read(directory.path()).unwrap(), None);
    }
}
