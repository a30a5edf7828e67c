//! What did this process spend since then, and how long did its commits take?

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use miette::{IntoDiagnostic, Result};
use nix::sys::resource::{UsageWho, getrusage};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};

use crate::spent::duration;

/// CPU time of this process from its start on, without what was spent on the making of pages.
#[derive(Debug)]
pub(super) struct Meter {
    begun: Duration,
    wall: Instant,
    aside: Duration,
    wall_aside: Duration,
}

impl Meter {
    pub(super) fn start() -> Result<Meter> {
        take_commits();
        Ok(Meter {
            begun: cpu(UsageWho::RUSAGE_SELF)?,
            wall: Instant::now(),
            aside: Duration::ZERO,
            wall_aside: Duration::ZERO,
        })
    }

    /// Does something on this thread that does not count.
    pub(super) fn aside<T>(&mut self, work: impl FnOnce() -> T) -> Result<T> {
        let (before, wall) = (cpu(UsageWho::RUSAGE_THREAD)?, Instant::now());
        let done = work();
        self.aside += cpu(UsageWho::RUSAGE_THREAD)?.saturating_sub(before);
        self.wall_aside += wall.elapsed();
        Ok(done)
    }

    pub(super) fn stop(self) -> Result<Reading> {
        let spent = cpu(UsageWho::RUSAGE_SELF)?.saturating_sub(self.begun);
        Ok(Reading {
            cpu: spent.saturating_sub(self.aside),
            wall: self.wall.elapsed().saturating_sub(self.wall_aside),
            commits: take_commits(),
        })
    }
}

/// What a [`Meter`] read.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) cpu: Duration,
    pub(super) wall: Duration,
    /// How long each transaction of the writer took.
    commits: Vec<Duration>,
}

impl Reading {
    /// The time that 99 of 100 transactions stayed below.
    pub(super) fn commit_p99(&self) -> Option<Duration> {
        let mut sorted = self.commits.clone();
        sorted.sort_unstable();
        sorted.get(sorted.len() * 99 / 100).copied()
    }
}

fn cpu(who: UsageWho) -> Result<Duration> {
    let usage = getrusage(who).into_diagnostic()?;
    Ok(duration(usage.user_time()) + duration(usage.system_time()))
}

static COMMITS: Mutex<Vec<Duration>> = Mutex::new(Vec::new());

fn take_commits() -> Vec<Duration> {
    std::mem::take(&mut *COMMITS.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Notes how long the store's writer says that its transactions took; hears nothing else.
#[derive(Debug)]
pub(super) struct Listener;

/// The field by which the event is known.
const TOOK: &str = "took_us";

impl Subscriber for Listener {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.enabled(metadata) {
            Interest::always()
        } else {
            Interest::never()
        }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("neap_store") && metadata.fields().field(TOOK).is_some()
    }

    fn event(&self, event: &Event<'_>) {
        event.record(&mut Took);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

struct Took;

impl Visit for Took {
    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == TOOK {
            let mut commits = COMMITS.lock().unwrap_or_else(PoisonError::into_inner);
            commits.push(Duration::from_micros(value));
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
}
