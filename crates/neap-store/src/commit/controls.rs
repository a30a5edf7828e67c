//! What did others do to the jobs meanwhile?
//!
//! Whoever changes jobs from outside counts that in `controls`, in the same transaction. The writer reads
//! the number with every batch, in the transaction that writes: so a job that was cancelled before a
//! record is one for that record, whoever came first to the disk.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use neap_core::JobId;
use neap_core::scope::SkipReason;
use neap_core::verdict::Verdict;
use sqlx::{Row, SqliteConnection};

use super::{Changes, Ledger, Trouble};
use crate::JobState;
use crate::batch::{AnchorTarget, Event, FoundJob, JobChange, Record, RedirectVerdict};
use crate::jobs::{self, state_named};

/// How often it is told that others made requests ready: each time every host is looked at.
const BETWEEN_REOPENINGS: Duration = Duration::from_secs(1);

/// How long after a change of others more of them are expected.
pub(crate) const OTHERS_ARE_AT_IT: Duration = Duration::from_secs(1);

/// What was seen of the jobs when others had last changed something.
#[derive(Default)]
pub(crate) struct Heeded {
    changes: Option<i64>,
    seen: BTreeMap<JobId, Seen>,
    /// Jobs of the run.
    taking_part: BTreeSet<JobId>,
    /// Jobs that were found, or would be: once each.
    offered: BTreeSet<JobId>,
    /// Whether the run wants to hear of jobs that are not its own.
    takes_all: bool,
    /// Jobs with requests that the run does not know of, and when it was told last that there are some.
    reopened: BTreeSet<JobId>,
    told: Option<Instant>,
    others_wrote: Option<Instant>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Seen {
    state: JobState,
    reopened: i64,
}

impl Heeded {
    pub(crate) fn new(takes_all: bool) -> Heeded {
        Heeded {
            takes_all,
            ..Heeded::default()
        }
    }

    /// From now on a job is one of the run's. What others did to it before, if it may not be asked for.
    pub(super) fn takes_part(&mut self, job: JobId) -> Option<JobChange> {
        self.taking_part.insert(job);
        self.offered.insert(job);
        match self.state(job)? {
            JobState::Unfinished | JobState::Finished => None,
            JobState::Paused => Some(JobChange::Paused),
            JobState::Cancelled => Some(JobChange::Cancelled),
            JobState::Replaced => Some(JobChange::Replaced),
        }
    }

    /// Whether requests of a job may go out.
    pub(super) fn may_be_asked(&self, job: JobId) -> bool {
        match self.state(job) {
            None | Some(JobState::Unfinished | JobState::Finished) => true,
            Some(JobState::Paused | JobState::Cancelled | JobState::Replaced) => false,
        }
    }

    pub(super) fn is_cancelled(&self, job: JobId) -> bool {
        self.state(job) == Some(JobState::Cancelled)
    }

    fn state(&self, job: JobId) -> Option<JobState> {
        Some(self.seen.get(&job)?.state)
    }

    /// Whether others have written lately, so that it is kind to leave them a gap.
    pub(crate) fn others_are_at_it(&self, now: Instant) -> bool {
        let since = |at| now.saturating_duration_since(at);
        self.others_wrote
            .is_some_and(|at| since(at) < OTHERS_ARE_AT_IT)
    }

    /// What a job of the run has become, if that is news.
    fn news(&mut self, job: JobId, now: Seen) -> Option<JobChange> {
        let before = self.seen.insert(job, now)?;
        if before.reopened != now.reopened {
            self.reopened.insert(job);
        }
        match (before.state, now.state) {
            (before, now) if before == now => None,
            (_, JobState::Paused) => Some(JobChange::Paused),
            (_, JobState::Cancelled) => Some(JobChange::Cancelled),
            (_, JobState::Replaced) => Some(JobChange::Replaced),
            (JobState::Paused, JobState::Unfinished) => Some(JobChange::Continued),
            // Open again after it was finished: by that its work has come, too.
            (_, JobState::Unfinished) => {
                self.reopened.insert(job);
                None
            }
            // The run itself says so, or will.
            (_, JobState::Finished) => None,
        }
    }
}

/// Tells what others changed, if they did: `changes` is how often they have so far.
pub(super) async fn heed(
    changes: i64,
    ledger: &mut Ledger,
    connection: &mut SqliteConnection,
    all: &mut Changes,
) -> Result<(), Trouble> {
    if ledger.heeded.changes != Some(changes) {
        let is_first = ledger.heeded.changes.replace(changes).is_none();
        if !is_first {
            ledger.heeded.others_wrote = Some(Instant::now());
        }
        look(ledger, connection, all).await?;
    }
    let heeded = &mut ledger.heeded;
    let is_early = heeded
        .told
        .is_some_and(|told| told.elapsed() < BETWEEN_REOPENINGS);
    if !heeded.reopened.is_empty() && !is_early {
        heeded.told = Some(Instant::now());
        for job in std::mem::take(&mut heeded.reopened) {
            // Its scope may be a wider one now.
            offer(job, ledger, connection, all).await?;
            all.events.push(Event::JobChanged(job, JobChange::Reopened));
        }
    }
    Ok(())
}

/// Reads how all jobs are.
async fn look(
    ledger: &mut Ledger,
    connection: &mut SqliteConnection,
    all: &mut Changes,
) -> Result<(), Trouble> {
    let rows = sqlx::query("SELECT job_id, state_name, reopened FROM jobs")
        .fetch_all(&mut *connection)
        .await?;
    for row in &rows {
        let job = JobId(row.get(0));
        let now = Seen {
            state: state_named(row.get(1)),
            reopened: row.get(2),
        };
        let news = ledger.heeded.news(job, now);
        if ledger.heeded.taking_part.contains(&job) {
            // How far it is may be what others changed.
            all.jobs.entry(job).or_default();
            if let Some(change) = news {
                if change != JobChange::Continued {
                    ledger.jobs.remove(&job);
                    all.is_due_changed = true;
                }
                all.events.push(Event::JobChanged(job, change));
            }
        } else {
            ledger.heeded.reopened.remove(&job);
            let is_wanted = ledger.heeded.takes_all && now.state == JobState::Unfinished;
            if is_wanted && ledger.heeded.offered.insert(job) {
                offer(job, ledger, connection, all).await?;
            }
        }
    }
    Ok(())
}

async fn offer(
    job: JobId,
    ledger: &Ledger,
    connection: &mut SqliteConnection,
    all: &mut Changes,
) -> Result<(), Trouble> {
    let key = job.to_string();
    let rows = jobs::read(&mut *connection, &ledger.path, jobs::BY_ID, Some(&key)).await?;
    let input_hosts = jobs::read_input_hosts(connection, job).await?;
    let found = rows
        .into_iter()
        .next()
        .map(|row| FoundJob { row, input_hosts });
    all.events
        .extend(found.map(|found| Event::JobFound(Box::new(found))));
    Ok(())
}

/// Makes a record one of a job that was cancelled meanwhile: the answer counts, and nothing follows from it.
pub(super) fn cancel(record: &mut Record) {
    let skipped = record.skipped_links.len();
    for anchor in &mut record.anchors {
        if let AnchorTarget::AskedFor(place) = anchor.target {
            anchor.target = AnchorTarget::Skipped(skipped + place);
        }
    }
    let links = record
        .links
        .drain(..)
        .map(|link| (link.url, SkipReason::Cancelled));
    record.skipped_links.extend(links);
    match record.verdict {
        Verdict::Retry { .. } => record.verdict = Verdict::Skipped(SkipReason::Cancelled),
        Verdict::Done | Verdict::Failed | Verdict::Skipped(_) => {}
    }
    if let Some(redirect) = &mut record.redirect
        && redirect.verdict == RedirectVerdict::Follow
    {
        redirect.verdict = RedirectVerdict::Refused(SkipReason::Cancelled);
    }
}
