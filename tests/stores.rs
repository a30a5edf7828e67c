//! Which stores does neap refuse to touch, and what does it say?

use neap_testkit::{Reply, Site};

use crate::support::{Place, site_job};

/// Commands that read a store, and commands that would write it.
const READING: [&[&str]; 3] = [&["status"], &["query", "SELECT 1"], &["hosts"]];
const WRITING: [&[&str]; 3] = [&["run", "site.toml"], &["resume"], &["submit", "site.toml"]];

/// A place with a job file and the store of a finished crawl.
fn crawled() -> Place {
    let site = Site::builder()
        .page("/", Reply::html("top", [""; 0]))
        .start();
    let place = Place::new();
    place.write("site.toml", &site_job(&site.url("/"), ""));
    place.neap(&["run", "site.toml"]).expect(0);
    place
}

/// Has commands refused, and the store left as it is.
fn refused(place: &Place, commands: &[&[&str]], code: i32, said: &[&str]) {
    let store = place.path("neap.db");
    let before = std::fs::read(&store).unwrap();
    for command in commands {
        let err = place.neap(command).expect(code).err;
        for words in said {
            assert!(
                err.contains(words),
                "{command:?}: {words:?} is not in {err}"
            );
        }
        assert!(
            std::fs::read(&store).unwrap() == before,
            "{command:?} changed it"
        );
    }
}

fn patched(place: &Place, change: impl FnOnce(&mut Vec<u8>)) {
    let store = place.path("neap.db");
    let mut bytes = std::fs::read(&store).unwrap();
    change(&mut bytes);
    std::fs::write(&store, bytes).unwrap();
}

fn put(bytes: &mut [u8], at: usize, number: u32) {
    bytes[at..at + 4].copy_from_slice(&number.to_be_bytes());
}

#[test]
fn a_store_of_a_newer_neap_is_left_to_it() {
    let place = crawled();
    // Where SQLite's header keeps `user_version`.
    patched(&place, |bytes| put(bytes, 60, 9999));
    let said = [
        "neap.db",
        "newer neap",
        "store version 9999",
        "as new as the store",
    ];
    refused(&place, &READING, 8, &said);
    refused(&place, &WRITING, 8, &said);
}

#[test]
fn a_store_of_an_older_neap_is_not_changed_by_reading_it() {
    let place = crawled();
    patched(&place, |bytes| put(bytes, 60, 0));
    refused(
        &place,
        &READING,
        8,
        &["neap.db", "older neap", "neap db migrate"],
    );
}

#[test]
fn the_database_of_another_program_is_left_to_it() {
    let place = crawled();
    // Where SQLite's header keeps `application_id`.
    patched(&place, |bytes| put(bytes, 68, 0x4d50_4258));
    let said = ["neap.db", "of another program", "--db FILE"];
    refused(&place, &READING, 1, &said);
    refused(&place, &WRITING, 1, &said);
}

#[test]
fn a_file_that_is_no_database_is_left_alone_by_every_command() {
    let place = crawled();
    place.write("neap.db", &"somebody's diary\n".repeat(100));
    let said = ["neap.db", "not a SQLite database", "--db FILE"];
    refused(&place, &READING, 1, &said);
    refused(&place, &WRITING, 1, &said);
}

#[test]
fn what_is_no_file_is_neither_opened_nor_replaced() {
    let place = crawled();
    std::fs::create_dir(place.path("directory")).unwrap();
    let made = std::process::Command::new("mkfifo")
        .arg(place.path("pipe"))
        .status()
        .unwrap();
    assert!(made.success());
    for name in ["directory", "pipe"] {
        for command in READING.iter().chain(&WRITING) {
            let arguments = [&["--db", name][..], command].concat();
            let err = place.neap(&arguments).expect(2).err;
            assert!(err.contains("is no regular file"), "{arguments:?}: {err}");
        }
        let to = ["export", "results", "--format", "csv", "--force", "--to"];
        let err = place.neap(&[&to[..], &[name]].concat()).expect(2).err;
        assert!(err.contains("is no regular file"), "{name}: {err}");
        assert!(!std::fs::metadata(place.path(name)).unwrap().is_file());
    }
}

#[test]
fn no_export_and_no_picture_takes_the_place_of_a_store() {
    let place = crawled();
    place.neap(&["export", "--to", "copy.db"]).expect(0);
    std::os::unix::fs::symlink("neap.db", place.path("link.db")).unwrap();
    let rows = ["export", "results", "--format", "csv", "--force", "--to"];
    let index = ["export", "cdxj", "--force", "--to"];
    let whole = ["export", "--force", "--to"];
    for command in [&rows[..], &index[..], &whole[..]] {
        let targets = ["neap.db", "link.db", "copy.db", "neap.db.lock"];
        for target in targets {
            if command == whole && (target == "copy.db" || target.ends_with(".lock")) {
                continue;
            }
            refused(
                &place,
                &[&[command, &[target]].concat()],
                2,
                &["a store or a part"],
            );
        }
    }
    place.neap(&[&whole[..], &["copy.db"]].concat()).expect(0);
    let picture = ["hosts", "--history", "127.0.0.1", "--svg"];
    for target in ["neap.db", "site.toml"] {
        let before = std::fs::read(place.path(target)).unwrap();
        let arguments = [&picture[..], &[target]].concat();
        refused(&place, &[&arguments], 2, &["is no picture"]);
        assert!(std::fs::read(place.path(target)).unwrap() == before);
    }
    for _ in 0..2 {
        place
            .neap(&[&picture[..], &["limit.svg"]].concat())
            .expect(0);
    }
    assert_eq!(place.number("SELECT count(*) FROM jobs"), 1);
}

#[test]
fn an_empty_file_is_filled_by_a_run_and_by_nothing_else() {
    let place = crawled();
    place.write("neap.db", "");
    let said = ["neap.segments holds the bodies", "--db"];
    refused(&place, &[&["submit", "site.toml"]], 1, &said);
    std::fs::remove_dir_all(place.path("neap.segments")).unwrap();
    let said = ["neap.db", "is empty", "neap run FILE"];
    refused(&place, &READING, 2, &said);
    refused(&place, &[&["resume"]], 2, &said);
    place.neap(&["submit", "site.toml"]).expect(0);
    assert_eq!(place.number("SELECT count(*) FROM jobs"), 1);
}

#[test]
fn a_damaged_store_is_named_and_left_as_it_is() {
    type Change = fn(&mut Vec<u8>);
    let damages: [(&str, Change); 3] = [
        ("cut short", |bytes| bytes.truncate(4096)),
        ("cut in a page", |bytes| bytes.truncate(3000)),
        ("overwritten", |bytes| bytes[100..4096].fill(0xa5)),
    ];
    for (what, damage) in damages {
        let place = crawled();
        patched(&place, damage);
        println!("{what}");
        let said = ["neap.db", "is damaged", "keep a copy"];
        refused(&place, &READING, 1, &said);
        refused(&place, &WRITING, 1, &said);
    }
}
