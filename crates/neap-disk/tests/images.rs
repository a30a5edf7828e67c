//! Do images hold what a power cut may leave, and nothing else?

// A test says what is wrong by panicking.
#![allow(clippy::unwrap_used)]
#![cfg(target_os = "linux")]

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;

use neap_disk::{Call, Disk, Fault, Loss};

fn sync_directory(path: &Path) {
    File::open(path).unwrap().sync_all().unwrap();
}

/// Everything that a file may hold in images of all kinds, `None` if it may be missing.
fn contents(disk: &Disk, name: &str) -> BTreeSet<Option<Vec<u8>>> {
    let log = disk.log();
    let mut found = BTreeSet::new();
    for loss in Loss::ALL {
        for seed in 0..200 {
            let image = log.image(log.len(), loss, seed);
            found.insert(image.file(name).map(<[u8]>::to_vec));
        }
    }
    found
}

#[test]
fn what_is_not_flushed_may_be_missing_and_what_is_stays() {
    let directory = tempfile::tempdir().unwrap();
    let disk = Disk::below(directory.path());
    let mut file = File::create(directory.path().join("a")).unwrap();
    file.write_all(b"one").unwrap();
    let all = contents(&disk, "a");
    let expected = [None, Some(Vec::new()), Some(b"one".to_vec())];
    assert_eq!(all, expected.clone().into());
    file.sync_data().unwrap();
    let synced = [None, Some(b"one".to_vec())];
    assert_eq!(
        contents(&disk, "a"),
        synced.into(),
        "its name is not flushed"
    );
    sync_directory(directory.path());
    assert_eq!(contents(&disk, "a"), [Some(b"one".to_vec())].into());
    file.write_all(b" two").unwrap();
    let both = [Some(b"one".to_vec()), Some(b"one two".to_vec())];
    assert_eq!(contents(&disk, "a"), both.into());
}

#[test]
fn a_write_is_torn_at_sectors_and_nowhere_else() {
    let directory = tempfile::tempdir().unwrap();
    let disk = Disk::below(directory.path());
    let file = File::create(directory.path().join("a")).unwrap();
    file.write_all_at(&[b'.'; 1536], 0).unwrap();
    file.sync_all().unwrap();
    sync_directory(directory.path());
    file.write_all_at(&[b'x'; 1024], 256).unwrap();
    let torn = contents(&disk, "a");
    let kinds: BTreeSet<Vec<u8>> = torn
        .into_iter()
        .map(|bytes| {
            let bytes = bytes.unwrap();
            // One byte of each part of the write that a sector boundary sets off.
            assert_eq!(
                (bytes[255], bytes[1280]),
                (b'.', b'.'),
                "only what was written"
            );
            for part in [256..512, 512..1024, 1024..1280] {
                assert!(bytes[part.clone()].iter().all(|b| *b == bytes[part.start]));
            }
            vec![bytes[256], bytes[512], bytes[1024]]
        })
        .collect();
    assert_eq!(kinds.len(), 8, "every combination: {kinds:?}");
}

#[test]
fn a_flush_that_failed_does_not_count_and_the_next_one_does_not_repair_it() {
    let directory = tempfile::tempdir().unwrap();
    let disk = Disk::below(directory.path());
    let mut file = File::create(directory.path().join("a")).unwrap();
    sync_directory(directory.path());
    disk.fail(Fault {
        call: Call::Sync,
        nth: 1,
        is_lasting: false,
        errno: libc::EIO,
        name_end: "a",
    });
    file.write_all(b"one").unwrap();
    assert_eq!(
        file.sync_data().unwrap_err().raw_os_error(),
        Some(libc::EIO)
    );
    file.sync_data().unwrap();
    let may_be_lost = [Some(Vec::new()), Some(b"one".to_vec())];
    assert_eq!(contents(&disk, "a"), may_be_lost.into());
    file.write_all_at(b"one", 0).unwrap();
    file.sync_data().unwrap();
    assert_eq!(
        contents(&disk, "a"),
        [Some(b"one".to_vec())].into(),
        "written once more"
    );
    assert_eq!(disk.heal(), [Path::new("a")]);
}

#[test]
fn names_are_as_durable_as_their_directory() {
    let directory = tempfile::tempdir().unwrap();
    let below = directory.path().join("below");
    std::fs::write(directory.path().join("old"), b"old").unwrap();
    let disk = Disk::below(directory.path());
    std::fs::create_dir(&below).unwrap();
    std::fs::write(below.join("a"), b"").unwrap();
    sync_directory(&below);
    assert!(
        contents(&disk, "below/a").contains(&None),
        "its directory may be missing"
    );
    sync_directory(directory.path());
    assert_eq!(contents(&disk, "below/a"), [Some(Vec::new())].into());
    std::fs::rename(directory.path().join("old"), directory.path().join("new")).unwrap();
    let log = disk.log();
    for seed in 0..100 {
        let image = log.image(log.len(), Loss::Sectors, seed);
        let names = [image.file("old"), image.file("new")];
        assert!(
            names == [Some(&b"old"[..]), None] || names == [None, Some(&b"old"[..])],
            "renamed or not: {names:?}"
        );
    }
    std::fs::hard_link(directory.path().join("new"), directory.path().join("too")).unwrap();
    std::fs::remove_file(directory.path().join("new")).unwrap();
    sync_directory(directory.path());
    assert_eq!(contents(&disk, "new"), [None].into());
    assert_eq!(contents(&disk, "too"), [Some(b"old".to_vec())].into());
}

#[test]
fn calls_fail_when_they_are_told_to_and_elsewhere_nothing_is_seen() {
    let directory = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let disk = Disk::below(directory.path());
    disk.fail(Fault {
        call: Call::Write,
        nth: 2,
        is_lasting: true,
        errno: libc::ENOSPC,
        name_end: ".wal",
    });
    let mut wal = File::create(directory.path().join("x.wal")).unwrap();
    wal.write_all(b"1").unwrap();
    std::fs::write(directory.path().join("y"), b"1").unwrap();
    std::fs::write(elsewhere.path().join("z.wal"), b"1").unwrap();
    for _ in 0..2 {
        let error = wal.write_all(b"2").unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENOSPC));
    }
    assert_eq!(disk.heal().len(), 2);
    wal.write_all(b"2").unwrap();
    disk.fail(Fault {
        call: Call::Open,
        nth: 1,
        is_lasting: false,
        errno: libc::EROFS,
        name_end: "y",
    });
    let opened = OpenOptions::new()
        .write(true)
        .open(directory.path().join("y"));
    assert_eq!(opened.unwrap_err().raw_os_error(), Some(libc::EROFS));
    File::open(directory.path().join("y")).unwrap();
    let (writes, syncs, _) = disk.log().counts();
    assert_eq!((writes, syncs), (3, 0));
    disk.mark(7);
    let log = disk.log();
    assert_eq!(log.marks(log.len()), [7]);
    assert!(log.marks(log.len() - 1).is_empty());
}
