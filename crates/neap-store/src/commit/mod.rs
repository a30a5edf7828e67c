//! How does a batch of commands become one transaction?
//!
//! Commands are done in order, but those that come in numbers (lease, record, refill, promote, load) are gathered
//! until one of another kind comes, and each family of them takes a few statements for all its rows.
//! Counters are summed up and written once. The events are handed out only after the commit.

mod anchors;
mod bodies;
mod controls;
pub(crate) mod counters;
mod guard;
mod hosts;
mod leases;
mod limits;
mod links;
mod originals;
pub(crate) mod proxies;
mod records;
mod redirects;
mod refill;
pub(crate) mod rest;
mod skips;
pub(crate) mod sweeps;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use neap_core::{CanonicalUrl, Epoch, HostId, JobId, UnixMs};
use sqlx::{Connection, SqliteConnection};

use crate::batch::{Command, Event, Lease, Position, ReadyHost, Record, Refill};
use crate::discover::{HostNumbers, New};
use crate::fingerprint::{Fingerprinter, RecentLinks};
use crate::segments::{Original, Originals, SegmentWriter, Sha1Bytes};
use crate::{StoreError, now};

pub(crate) use controls::Heeded;
#[cfg(test)]
pub(crate) use controls::OTHERS_ARE_AT_IT;
pub(crate) use proxies::ProxyNumbers;
pub(crate) use redirects::LONGEST_CHAIN;
pub(crate) use sweeps::Sweeps;

/// Why a batch was not committed.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// SQLite failed.
    Sql(sqlx::Error),
    /// Something else did.
    Store(StoreError),
}

impl Trouble {
    /// The same as an error of the store at `path`.
    pub(crate) fn at(self, path: &Path) -> StoreError {
        match self {
            Trouble::Sql(error) => StoreError::sql(path)(error),
            Trouble::Store(error) => error,
        }
    }
}

impl From<sqlx::Error> for Trouble {
    fn from(error: sqlx::Error) -> Trouble {
        Trouble::Sql(error)
    }
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Trouble {
        Trouble::Store(error)
    }
}

/// States of a request, as `requests.state` numbers them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum State {
    Ready = 0,
    Done = 2,
    Failed = 3,
    Waiting = 4,
    Skipped = 5,
}

/// What the writer keeps in memory from batch to batch; all of it can be learned again.
pub(crate) struct Ledger {
    pub(crate) path: PathBuf,
    pub(crate) epoch: Epoch,
    pub(crate) fingerprinter: Fingerprinter,
    pub(crate) hosts: HostNumbers,
    pub(crate) recent: RecentLinks,
    pub(crate) segments: SegmentWriter,
    /// Payloads that need not be stored again.
    pub(crate) originals: Arc<Originals>,
    /// Those that this transaction stores; known once it is durable.
    pub(crate) stored: Vec<(Sha1Bytes, Original)>,
    /// The round before, of jobs that have one and keep bodies.
    pub(crate) rounds_before: HashMap<JobId, JobId>,
    /// Whether any request is only a redirect's target, so that links must be looked up among them.
    pub(crate) has_hops: bool,
    /// Jobs that the run works on; requests of others are left alone.
    pub(crate) jobs: BTreeSet<JobId>,
    /// Commands whose rows are not all done.
    pub(crate) sweeps: Sweeps,
    /// Rows in `skips` by job and reason, as far as they were needed.
    pub(crate) kept_skips: HashMap<(JobId, i64), i64>,
    /// The numbers of proxies, as far as they were needed.
    pub(crate) proxies: ProxyNumbers,
    /// What others did to jobs, as far as it was heeded.
    pub(crate) heeded: Heeded,
}

/// What a transaction has done so far, for the counters and for those who wait for news.
#[derive(Default)]
pub(crate) struct Changes {
    pub(crate) jobs: BTreeMap<JobId, counters::JobDelta>,
    pub(crate) hosts: BTreeMap<HostId, counters::HostDelta>,
    proxies: BTreeMap<i64, counters::ProxyDelta>,
    ready: BTreeMap<(JobId, HostId), ReadyHost>,
    is_due_changed: bool,
    events: Vec<Event>,
}

/// Commands that come in numbers and are done together.
#[derive(Default)]
struct Group {
    leases: Vec<Lease>,
    records: Vec<Record>,
    refills: Vec<Refill>,
    promotes: Vec<(UnixMs, usize)>,
    loads: Vec<HostId>,
}

/// Does a batch of commands in one transaction; the events to be sent now that it is durable.
pub(crate) async fn commit(
    ledger: &mut Ledger,
    connection: &mut SqliteConnection,
    batch: &mut Vec<Command>,
) -> Result<Vec<Event>, Trouble> {
    let mut changes = Changes::default();
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    let outside = guard::check_epoch(ledger.epoch, &mut transaction).await?;
    controls::heed(outside, ledger, &mut transaction, &mut changes).await?;
    ledger.sweeps.begin_batch();
    sweeps::go_on(&mut ledger.sweeps, &mut transaction, &mut changes).await?;
    let mut group = Group::default();
    for command in batch.drain(..) {
        if let Some(command) = group.take(command) {
            group.run(ledger, &mut transaction, &mut changes).await?;
            run_single(command, ledger, &mut transaction, &mut changes).await?;
        }
    }
    group.run(ledger, &mut transaction, &mut changes).await?;
    let counts = counters::write(&changes, &mut transaction).await?;
    let next_due = if changes.is_due_changed {
        Some(Event::NextDue(
            refill::next_due(&ledger.jobs, &mut transaction).await?,
        ))
    } else {
        None
    };
    ledger.segments.flush(&mut transaction).await?;
    transaction.commit().await?;
    ledger.originals.remember(ledger.stored.drain(..));
    // News of work comes before the answers: whoever hears that the last request was recorded must
    // already know of the links it led to.
    let ready = changes.ready.into_values().map(Event::Ready);
    Ok(ready
        .chain(next_due)
        .chain(counts)
        .chain(changes.events)
        .collect())
}

impl Group {
    /// Gathers a command, or gives it back if it is of a kind that is done by itself.
    fn take(&mut self, command: Command) -> Option<Command> {
        match command {
            Command::Lease(mut leases) => self.leases.append(&mut leases),
            Command::Record(record) => self.records.push(*record),
            Command::Refill(refill) => self.refills.push(refill),
            Command::Promote { now, most } => self.promotes.push((now, most)),
            Command::LoadHost(host) => self.loads.push(host),
            other @ (Command::OpenJob(_)
            | Command::Announce { .. }
            | Command::Skip(_)
            | Command::Discover { .. }
            | Command::Robots(_)
            | Command::HostMemory(_)
            | Command::Proxies(_)
            | Command::LimitChanges(_)
            | Command::FailHost { .. }
            | Command::SkipRest { .. }
            | Command::FinishJob { .. }
            | Command::Heed
            | Command::Close) => return Some(other),
        }
        None
    }

    async fn run(
        &mut self,
        ledger: &mut Ledger,
        connection: &mut SqliteConnection,
        changes: &mut Changes,
    ) -> Result<(), Trouble> {
        let Group {
            leases,
            records,
            refills,
            promotes,
            loads,
        } = std::mem::take(self);
        if !leases.is_empty() {
            leases::lease(
                leases,
                &ledger.heeded,
                ledger.epoch,
                now(),
                connection,
                changes,
            )
            .await?;
        }
        if !records.is_empty() {
            records::record(records, ledger, connection, changes).await?;
        }
        refill::refill(&refills, ledger, connection, changes).await?;
        for (now, most) in promotes {
            refill::promote(now, most, &ledger.jobs, connection, changes).await?;
        }
        hosts::load(&loads, connection, changes).await?;
        Ok(())
    }
}

async fn run_single(
    command: Command,
    ledger: &mut Ledger,
    connection: &mut SqliteConnection,
    changes: &mut Changes,
) -> Result<(), Trouble> {
    match command {
        Command::OpenJob(job) => refill::open_job(job, ledger, connection, changes).await,
        Command::Announce { job, from } => {
            refill::announce(job, from, ledger, connection, changes).await
        }
        Command::Skip(skipped) => rest::skip(&skipped, ledger.epoch, connection, changes).await,
        Command::Discover { job, links } => {
            links::add(job, &links, ledger, connection, changes).await
        }
        Command::Robots(answer) => hosts::keep_robots(&answer, connection).await,
        Command::HostMemory(memories) => {
            hosts::keep_memory(&memories, ledger.epoch, connection).await
        }
        Command::Proxies(standings) => {
            proxies::keep_standings(&standings, ledger.epoch, &mut ledger.proxies, connection).await
        }
        Command::LimitChanges(changes) => limits::keep(&changes, ledger.epoch, connection).await,
        Command::FailHost { host, jobs, cause } => {
            // What others did to a job may not have come to the run's ears yet.
            let jobs = jobs.into_iter().filter(|job| ledger.jobs.contains(job));
            ledger
                .sweeps
                .fail_host(host, &jobs.collect::<Vec<_>>(), cause);
            sweeps::go_on(&mut ledger.sweeps, connection, changes).await
        }
        Command::SkipRest { job, reason } => {
            ledger.sweeps.skip_rest(job, reason);
            sweeps::go_on(&mut ledger.sweeps, connection, changes).await
        }
        Command::FinishJob { job } => rest::finish_job(job, connection, changes).await,
        // What others did is heeded with every batch; the writer closes after it; gathered commands never
        // come here.
        Command::Heed
        | Command::Close
        | Command::Lease(_)
        | Command::Record(_)
        | Command::Refill(_)
        | Command::Promote { .. }
        | Command::LoadHost(_) => Ok(()),
    }
}

impl Changes {
    /// Notes requests that were not there before and are ready. `url_of` names a URL of their host.
    fn note_ready<'a>(&mut self, new: &New, url_of: impl Fn() -> &'a CanonicalUrl) {
        self.jobs.entry(new.job).or_default().add(State::Ready, 1);
        let first = Position {
            priority: new.priority,
            due_ms: 0,
            request: new.request,
        };
        let ready = self
            .ready
            .entry((new.job, new.host))
            .or_insert_with(|| ReadyHost {
                job: new.job,
                host: new.host,
                host_name: url_of().host(),
                first,
            });
        ready.first = ready.first.min(first);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Access, SqliteStore};

    #[tokio::test]
    async fn states_have_their_words_in_sql() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("neap.db");
        let store = SqliteStore::open(&path, Access::Create).await.unwrap();
        let mut connection = store.connect().await.unwrap();
        for code in 0..9 {
            let state = [
                State::Ready,
                State::Done,
                State::Failed,
                State::Waiting,
                State::Skipped,
            ]
            .into_iter()
            .find(|state| *state as i64 == code);
            let word: Option<String> = sqlx::query_scalar(
                "INSERT INTO requests (job_id, host_id, fingerprint, state, url)
                 VALUES (1, 1, ?1, ?1, '') RETURNING state_name",
            )
            .bind(code)
            .fetch_one(&mut connection)
            .await
            .ok();
            let expected = state.map(|state| format!("{state:?}").to_lowercase());
            assert_eq!(word, expected, "state {code}");
        }
    }
}
