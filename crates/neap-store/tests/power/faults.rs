//! What happens when the disk refuses: the N-th write, the N-th flush, on each kind of file.
//!
//! `NEAP_FAULTS=1 cargo test -p neap-store --test power` fails each call of a crawl in turn; without it, one
//! of some.

use neap_core::job::Durability;
use neap_disk::{Call, Disk, Fault, Loss};
use neap_store::StoreError;

use crate::check::{Found, found, is_whole, lost};
use crate::crawl::{Ack, crawl};
use crate::cuts::scratch;

/// Images of power cuts that are looked at after each fault.
const CUTS: u64 = 2;

/// What was seen of many faults.
#[derive(Debug, Default)]
struct Seen {
    faults: u64,
    stopped: u64,
    images: u64,
}

#[tokio::test]
async fn a_full_disk_stops_the_run_and_it_goes_on_when_there_is_room() {
    for (name_end, step) in [("neap.db", 25), ("-wal", 53), (".warc.gz", 9)] {
        let fault = Fault {
            call: Call::Write,
            nth: 1,
            is_lasting: true,
            errno: libc::ENOSPC,
            name_end,
        };
        each(fault, step, Durability::Full).await;
    }
}

#[tokio::test]
async fn a_failed_write_stops_the_run_and_it_goes_on_from_there() {
    for (call, name_end, step) in [
        (Call::Write, "neap.db", 25),
        (Call::Write, "-wal", 61),
        (Call::Write, ".warc.gz", 11),
        (Call::Write, "", 97),
        (Call::Truncate, "", 1),
    ] {
        let fault = Fault {
            call,
            nth: 1,
            is_lasting: false,
            errno: libc::EIO,
            name_end,
        };
        each(fault, step, Durability::Full).await;
    }
}

#[tokio::test]
async fn after_a_failed_flush_nothing_is_acknowledged_that_is_not_on_the_disk() {
    for durability in [Durability::Full, Durability::Normal] {
        for (name_end, step) in [
            ("neap.db", 2),
            ("-wal", 7),
            (".warc.gz", 4),
            ("neap.segments", 2),
            ("", 9),
        ] {
            let fault = Fault {
                call: Call::Sync,
                nth: 1,
                is_lasting: false,
                errno: libc::EIO,
                name_end,
            };
            each(fault, step, durability).await;
        }
    }
}

/// Crawls with the first of such calls failing, then with a later one, until a crawl has no more of them.
async fn each(fault: Fault, step: u64, durability: Durability) {
    let given = std::env::var("NEAP_FAULTS").ok();
    let step = given.map_or(step, |text| text.parse().expect("NEAP_FAULTS is a number"));
    let expected = undisturbed(durability).await;
    let mut seen = Seen::default();
    let mut next = fault.clone();
    while one(next.clone(), durability, &expected, &mut seen).await {
        seen.faults += 1;
        next.nth += step;
    }
    println!("{durability:?}, each {step}. of {fault:?}: {seen:?}");
    assert!(seen.stopped > 0, "no fault was noticed");
}

async fn undisturbed(durability: Durability) -> Found {
    let directory = scratch();
    crawl(directory.path(), durability, |_| {}).await.unwrap();
    found(directory.path()).await
}

/// Crawls with a fault, and again without it; whether the fault came to pass.
async fn one(fault: Fault, durability: Durability, expected: &Found, seen: &mut Seen) -> bool {
    let directory = scratch();
    let disk = Disk::below(directory.path());
    let mut acks: Vec<Ack> = Vec::new();
    let what = format!("{fault:?}");
    disk.fail(fault.clone());
    let ended = crawl(directory.path(), durability, |ack| {
        disk.mark(acks.len() as u64);
        acks.push(ack);
    });
    let ended = ended.await;
    if disk.heal().is_empty() {
        ended.unwrap();
        return false;
    }
    let failed_at = disk.log().len();
    match ended {
        Err(error) => {
            seen.stopped += 1;
            is_named(&error, &fault, &directory.path().display().to_string());
        }
        // Nothing that matters failed: a draft was not removed, an empty log not cut.
        Ok(()) => assert_eq!(&found(directory.path()).await, expected, "{what}"),
    }
    assert_eq!(lost(directory.path(), &acks).await, 0, "{what}");

    // The machine still runs, and so does the next run.
    let again = crawl(directory.path(), durability, |ack| {
        disk.mark(acks.len() as u64);
        acks.push(ack);
    });
    again
        .await
        .unwrap_or_else(|error| panic!("{what}: {error}"));
    is_whole(directory.path()).await;
    assert_eq!(&found(directory.path()).await, expected, "{what}");

    // What a failed flush took is seen when the power goes.
    let log = disk.log();
    for cut in 0..CUTS {
        let at = failed_at + (log.len() - failed_at) * cut as usize / CUTS as usize;
        let loss = Loss::ALL[(fault.nth + cut) as usize % Loss::ALL.len()];
        let image = log.image(at, loss, fault.nth);
        let after = scratch();
        image.write_to(after.path()).unwrap();
        let known = log.marks(at).last().map_or(0, |mark| *mark as usize + 1);
        let gone = lost(after.path(), &acks[..known]).await;
        let what = format!("{what}, cut after {at} of {} events, {loss:?}", log.len());
        assert!(
            gone == 0 || durability == Durability::Normal,
            "{what}: {gone} lost"
        );
        if after.path().join("neap.db").exists() {
            is_whole(after.path()).await;
        }
        let ended = crawl(after.path(), durability, |_| {}).await;
        ended.unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(&found(after.path()).await, expected, "{what}");
        seen.images += 1;
    }
    true
}

/// That an error says what happened and where.
fn is_named(error: &StoreError, fault: &Fault, directory: &str) {
    let is_named = match fault.errno {
        libc::ENOSPC => matches!(error, StoreError::Full { .. }),
        _ => matches!(error, StoreError::Disk { .. } | StoreError::Io { .. }),
    };
    let text = error.to_string();
    assert!(
        is_named && text.contains(directory),
        "{fault:?}: {text} ({error:?})"
    );
}
