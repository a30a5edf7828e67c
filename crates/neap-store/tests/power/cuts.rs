//! What a power cut leaves, at any moment and in any way.

use std::path::Path;

use neap_core::job::Durability;
use neap_disk::{Disk, Image, Log, Loss};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::check::{Found, found, is_whole, lost};
use crate::crawl::{Ack, crawl};

/// Of so many images one has its recovery cut off as well.
const TWICE: u64 = 5;

/// A crawl, what was asked of the disk for it, and what was acknowledged.
struct Recorded {
    log: Log,
    acks: Vec<Ack>,
    found: Found,
}

/// What was seen of many images.
#[derive(Debug, Default)]
struct Seen {
    images: u64,
    cut_twice: u64,
    without_store: u64,
    with_loss: u64,
    most_lost: usize,
}

#[tokio::test]
async fn a_power_cut_takes_nothing_that_was_acknowledged_under_full() {
    let seen = cut(Durability::Full, images() * 3 / 5, 1).await;
    println!("full: {seen:?}");
    assert_eq!((seen.with_loss, seen.most_lost), (0, 0));
}

#[tokio::test]
async fn a_power_cut_leaves_a_whole_store_under_normal() {
    let seen = cut(Durability::Normal, images() * 2 / 5, 2).await;
    println!("normal: {seen:?}");
    // If nothing were ever lost, these images would show nothing about full either.
    assert!(seen.with_loss > 0, "{seen:?}");
}

fn images() -> u64 {
    let given = std::env::var("NEAP_CRASH_IMAGES").ok();
    given.map_or(500, |text| {
        text.parse().expect("NEAP_CRASH_IMAGES is a number")
    })
}

/// A directory in memory, where there is one: images are written, read and thrown away.
pub(crate) fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let made = tempfile::Builder::new()
        .prefix("neap-power-")
        .tempdir_in(memory);
    made.or_else(|_| tempfile::tempdir()).unwrap()
}

/// Crawls from what is in a directory while everything is noted.
async fn record(directory: &Path, durability: Durability, acked: &[Ack]) -> Recorded {
    let disk = Disk::below(directory);
    let mut acks = acked.to_vec();
    let ended = crawl(directory, durability, |ack| {
        disk.mark(acks.len() as u64);
        acks.push(ack);
    });
    ended.await.unwrap();
    let log = disk.log();
    drop(disk);
    let found = found(directory).await;
    Recorded { log, acks, found }
}

async fn cut(durability: Durability, images: u64, seed: u64) -> Seen {
    let directory = scratch();
    let recorded = record(directory.path(), durability, &[]).await;
    println!(
        "{durability:?}: {} events, of which (writes, syncs, syncs of directories) = {:?}; {} acknowledged",
        recorded.log.len(),
        recorded.log.counts(),
        recorded.acks.len()
    );
    let mut dice = SmallRng::seed_from_u64(seed);
    let mut seen = Seen::default();
    for _ in 0..images {
        let seed = dice.random();
        let image = Cut::new(&recorded, &mut dice, seed);
        let kept = Keep::new(&image);
        let careless = Disk::below(kept.path());
        careless.forget();
        let acks = image.acks(&recorded, 0);
        image.check(kept.path(), acks, &mut seen).await;
        seen.images += 1;
        if seen.images.is_multiple_of(TWICE) {
            drop(careless);
            let again = record(kept.path(), durability, acks).await;
            image.check_end(kept.path(), &recorded.found).await;
            cut_again(
                &again,
                durability,
                acks,
                &recorded.found,
                &mut dice,
                &mut seen,
            )
            .await;
        } else {
            let ended = crawl(kept.path(), durability, |_| {}).await;
            ended.unwrap_or_else(|error| panic!("{image:?}: {error}"));
            image.check_end(kept.path(), &recorded.found).await;
        }
        kept.remove();
    }
    seen
}

/// One image.
struct Cut {
    at: usize,
    loss: Loss,
    seed: u64,
    image: Image,
}

impl std::fmt::Debug for Cut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Cut {
            at,
            loss,
            seed,
            image,
        } = self;
        write!(f, "after event {at}, {loss:?}, seed {seed}: ")?;
        f.debug_list().entries(image.names()).finish()
    }
}

impl Cut {
    fn new(recorded: &Recorded, dice: &mut SmallRng, seed: u64) -> Cut {
        let at = dice.random_range(0..=recorded.log.len());
        let loss = Loss::ALL[dice.random_range(0..Loss::ALL.len())];
        Cut {
            at,
            loss,
            seed,
            image: recorded.log.image(at, loss, seed),
        }
    }

    /// What was acknowledged before the cut; `before` of it before the recording began.
    fn acks<'a>(&self, recorded: &'a Recorded, before: usize) -> &'a [Ack] {
        let marks = recorded.log.marks(self.at);
        let count = marks.last().map_or(before, |mark| *mark as usize + 1);
        &recorded.acks[..count]
    }

    async fn check(&self, directory: &Path, acks: &[Ack], seen: &mut Seen) {
        let lost = lost(directory, acks).await;
        seen.most_lost = seen.most_lost.max(lost);
        seen.with_loss += u64::from(lost > 0);
        if directory.join("neap.db").exists() {
            is_whole(directory).await;
        } else {
            seen.without_store += 1;
        }
    }

    async fn check_end(&self, directory: &Path, expected: &Found) {
        is_whole(directory).await;
        assert_eq!(&found(directory).await, expected, "{self:?}");
    }
}

/// Cuts the run that recovered from an image, too. `acks` is what was acknowledged before the first cut.
async fn cut_again(
    again: &Recorded,
    durability: Durability,
    acks: &[Ack],
    expected: &Found,
    dice: &mut SmallRng,
    seen: &mut Seen,
) {
    let seed = dice.random();
    let image = Cut::new(again, dice, seed);
    let kept = Keep::new(&image);
    let careless = Disk::below(kept.path());
    careless.forget();
    let since = image.acks(again, acks.len());
    // Under normal the first cut may have taken some.
    let counted = match durability {
        Durability::Full => since,
        Durability::Normal => &since[acks.len()..],
    };
    image.check(kept.path(), counted, seen).await;
    crawl(kept.path(), durability, |_| {}).await.unwrap();
    image.check_end(kept.path(), expected).await;
    seen.cut_twice += 1;
    kept.remove();
}

/// A directory that stays if a check of it fails, for whoever wants to look.
struct Keep(Option<tempfile::TempDir>, String);

impl Keep {
    /// Writes an image into a directory of its own.
    fn new(cut: &Cut) -> Keep {
        let kept = Keep(Some(scratch()), format!("{cut:?}"));
        cut.image.write_to(kept.path()).unwrap();
        kept
    }

    fn path(&self) -> &Path {
        let directory = self.0.as_ref();
        directory.expect("it is there until it is removed").path()
    }

    fn remove(mut self) {
        drop(self.0.take());
    }
}

impl Drop for Keep {
    fn drop(&mut self) {
        if let Some(directory) = self.0.take() {
            println!("kept in {}: {}", directory.keep().display(), self.1);
        }
    }
}
