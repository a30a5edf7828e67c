//! What must a database be able to do, so that runs can work on it?
//!
//! Two traits. A [`Store`] keeps jobs and lets runs begin; a [`Session`] is one run's own side of it and
//! takes what the run does as batches: a slice of [`Command`]s goes in, is one transaction, and comes back as
//! [`Event`]s. There is no call for a single row, so that a database on another machine costs one way there
//! and back for hundreds of pages.
//!
//! Hosts lie in 1,024 partitions, and a run works on the hosts of those that it owns: no two runs that live
//! own the same one, which is what makes one limiter responsible for a host. Two rules hold them apart:
//!
//! - **Ownership.** A session tells of hosts in its own partitions only, by whatever event. Links may lead to
//!   any host; they are written, and whoever owns their partition hears of them.
//! - **The fence.** A run writes under its epoch. Once another one has taken its partitions over, a batch of
//!   the older run changes nothing and ends with [`StoreError::Superseded`].
//!
//! A run that has nothing to write sends [`Command::Heed`] several times a second: each batch is a sign
//! of life, and a store that lends partitions for a time prolongs the loan with it.
//!
//! One SQLite file belongs to one run at a time, which owns all partitions by a lock on a file. What every
//! implementation must do beyond what the types say stands in `tests/conformance`, which takes any of them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use neap_core::job::Job;
use neap_core::{Epoch, Host, JobId, UnixMs};

use crate::fingerprint::{PARTITIONS, partition};
use crate::segments::Originals;
use crate::{Command, Event, InputRow, JobRow, Run, Settings, StoreError, Submitted};

/// A place that keeps jobs, and lets runs work on them.
pub trait Store {
    /// The sign that a run lives; dropped, it tells that the run is gone.
    type Lock;
    /// One run's side of the store.
    type Session: Session;

    /// Says that a run begins at `now`.
    ///
    /// # Errors
    /// [`StoreError::Held`] if runs that live own everything there is.
    fn lock(&self, now: UnixMs) -> impl Future<Output = Result<Self::Lock, StoreError>>;

    /// Puts a new round of a job into the store, whole or not at all. Unfinished rounds of its name are replaced.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be written; then there is no such job.
    fn submit_rows(
        &self,
        job: &Job,
        rows: &[InputRow],
    ) -> impl Future<Output = Result<Submitted, StoreError>>;

    /// The jobs that a run can take up, the oldest first.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    fn unfinished(&self) -> impl Future<Output = Result<Vec<JobRow>, StoreError>>;

    /// Changes whether a job may be asked for; runs hear of it with their next batch. Whether that was news.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be written; then nothing has happened.
    fn steer(&self, job: JobId, wish: Steering) -> impl Future<Output = Result<bool, StoreError>>;

    /// Begins a run under a new epoch: gives it partitions that no living run owns, and turns what dead runs
    /// left in flight there into lost attempts. With `is_for_all` it hears of every job that others submit.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be written; then nothing has happened.
    fn begin(
        &self,
        lock: &Self::Lock,
        now: UnixMs,
        is_for_all: bool,
    ) -> impl Future<Output = Result<Run, StoreError>>;

    /// Opens the side of a run that has begun.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be opened once more.
    fn session(
        &self,
        run: &Run,
        settings: Settings,
    ) -> impl Future<Output = Result<Self::Session, StoreError>>;
}

/// What a person wants to become of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Steering {
    /// Nothing of it is asked for until it is continued.
    Pause,
    /// A paused job goes on.
    Continue,
    /// Nothing of it is asked for any more.
    Cancel,
}

/// One run's side of a store. Used by one writer, which never drops a future of it half way.
pub trait Session: Send + 'static {
    /// The run's fence.
    fn epoch(&self) -> Epoch;

    /// The partitions that it owns.
    fn partitions(&self) -> Partitions;

    /// Does commands in one transaction, in their order, and goes on with what earlier ones left to be done;
    /// `batch` is empty then. The events are those of this transaction, in the order in which they are to be
    /// heard: first what there is to do, then how far jobs are, then the answers.
    ///
    /// # Errors
    /// Nothing of the batch has happened, and nothing may be committed any more. [`StoreError::Superseded`] if
    /// another run took over.
    fn commit(
        &mut self,
        batch: &mut Vec<Command>,
    ) -> impl Future<Output = Result<Vec<Event>, StoreError>>;

    /// Whether commands of earlier batches are not done yet; the next commit goes on with them, though it may
    /// bring no command.
    fn has_rest(&self) -> bool;

    /// Does what the store itself needs between batches, after the events of one with so many commands
    /// were handed out.
    ///
    /// # Errors
    /// Nothing may be committed any more.
    fn look_after(&mut self, commands: usize) -> impl Future<Output = Result<(), StoreError>>;

    /// How long the store is to be left to others who wrote lately, before the next batch begins; zero if there
    /// are none. `now` is the time of the question.
    fn gap(&self, now: Instant) -> Duration;

    /// When [`Session::look_after`] wants to be called, though there may be no command; `None` if it does not.
    fn next_look(&self) -> Option<Instant>;

    /// Payloads that are stored already, for those who pack pages.
    fn originals(&self) -> Arc<Originals>;

    /// Ends the run: what is still in flight was called off, and is ready for the next run as if nothing had
    /// happened.
    ///
    /// # Errors
    /// What was committed stays; the next run cleans up.
    fn close(self) -> impl Future<Output = Result<(), StoreError>>;

    /// Leaves everything as it is after a failed commit.
    fn abandon(self) -> impl Future<Output = ()>;
}

/// A part of all hosts that is owned as a whole: the hosts of a registrable domain lie in the same one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition(u16);

impl Partition {
    /// How many there are. Fixed for good, as each host's is stored: with 1,024, a run on each of a hundred
    /// machines owns ten, so that their loads even out.
    pub const COUNT: u16 = PARTITIONS;

    /// The partition of a host, the same in every store.
    pub fn of(host: &Host) -> Partition {
        Partition(partition(host.as_str()))
    }

    /// Its number, below [`Partition::COUNT`].
    pub fn number(self) -> u16 {
        self.0
    }
}

/// Partitions that a run owns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Partitions(BTreeSet<Partition>);

impl Partitions {
    /// All that there are.
    pub fn all() -> Partitions {
        Partitions((0..Partition::COUNT).map(Partition).collect())
    }

    /// Whether a host lies in one of them.
    pub fn hold(&self, host: &Host) -> bool {
        self.0.contains(&Partition::of(host))
    }

    /// Whether both have one in common.
    pub fn overlap(&self, other: &Partitions) -> bool {
        !self.0.is_disjoint(&other.0)
    }

    /// Each of them, by number.
    pub fn iter(&self) -> impl Iterator<Item = Partition> {
        self.0.iter().copied()
    }
}

impl FromIterator<Partition> for Partitions {
    fn from_iter<I: IntoIterator<Item = Partition>>(partitions: I) -> Partitions {
        Partitions(partitions.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(name: &str) -> Host {
        Host::parse(name).unwrap()
    }

    #[test]
    fn the_hosts_of_a_domain_share_a_partition_and_all_hosts_have_one() {
        let all = Partitions::all();
        for name in [
            "http://a.shop.example",
            "https://[::1]:8443",
            "http://10.0.0.1",
        ] {
            assert!(all.hold(&host(name)), "{name}");
        }
        let of = |name: &str| Partition::of(&host(name));
        assert_eq!(
            of("http://a.shop.example"),
            of("https://b.shop.example:8443")
        );
        let spread = (0..200).map(|n| of(&format!("http://{n}.example")));
        assert!(spread.collect::<BTreeSet<_>>().len() > 150);
    }

    #[test]
    fn two_halves_have_nothing_in_common_and_hold_every_host_between_them() {
        let half = |is_low: bool| -> Partitions {
            let all = Partitions::all();
            all.iter()
                .filter(|one| (one.number() < 512) == is_low)
                .collect()
        };
        let (low, high) = (half(true), half(false));
        assert!(!low.overlap(&high) && low.overlap(&low));
        for n in 0..100 {
            let host = host(&format!("http://{n}.example"));
            assert_ne!(low.hold(&host), high.hold(&host));
        }
    }
}
