//! Where are the bodies?
//!
//! In WARC/1.1 files beside the database, one gzip member for each record, so that every WARC tool
//! reads them and one record can be read without the others. The database keeps file, offset and
//! length. Measured: a body in a segment file cost 6.6 us, as a BLOB 29 us and a large database.

mod append;
mod member;
mod originals;
mod owner;
mod read;
mod shelves;
mod warc;

use std::path::{Path, PathBuf};

pub(crate) use append::{Place, SegmentWriter};
pub(crate) use member::Sha1Bytes;
pub use originals::Originals;
pub(crate) use originals::{Original, SHORTEST_PAYLOAD};
pub(crate) use owner::{Owner, SegmentFile, segment_files};
pub use read::StoredBody;
pub(crate) use read::{RecordAt, Stored, read, verify};
pub(crate) use shelves::{BODIES_OF_COPY, Shelves};
pub(crate) use warc::pack;
pub use warc::{Records, records};

/// The directory of a store's segments: `neap.segments/` beside `neap.db`.
pub fn directory_of(store: &Path) -> PathBuf {
    let name = store.file_name().unwrap_or_default();
    let stem = Path::new(name)
        .file_stem()
        .filter(|_| name.as_encoded_bytes().ends_with(b".db"));
    let mut directory = stem.unwrap_or(name).to_owned();
    directory.push(".segments");
    store.with_file_name(directory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_lie_beside_their_store() {
        for (store, directory) in [
            ("neap.db", "neap.segments"),
            ("/data/shop.db", "/data/shop.segments"),
            ("crawl", "crawl.segments"),
            ("a.b.db", "a.b.segments"),
            ("a.sqlite", "a.sqlite.segments"),
        ] {
            assert_eq!(
                directory_of(Path::new(store)),
                Path::new(directory),
                "{store}"
            );
        }
    }
}
