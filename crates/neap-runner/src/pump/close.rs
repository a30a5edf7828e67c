//! How does a run tell where it stands, and how does it end?

use std::time::Duration;

use neap_core::limiter::State;
use neap_core::scheduler::HostView;
use neap_store::{Command, Event, StoreError};

use super::{Pump, RunError};
use crate::progress::{HostLine, Progress};
use crate::report::{Ended, RunReport};

/// Hosts that the progress names.
const MOST_HOST_LINES: usize = 10;

impl Pump {
    pub(super) fn tell_progress(&self) {
        let progress = self.standing();
        self.progress.send_replace(progress);
    }

    /// Hands back what never went out, stores what was learned, and closes the store.
    pub(super) async fn close(&mut self) -> Result<(), RunError> {
        self.store_memories().await?;
        self.store_proxies().await?;
        self.send(Command::Close).await?;
        loop {
            match self.events.recv().await {
                Some(Event::Closed) => break,
                // What else was under way wants nothing done any more.
                Some(event) if is_news(&event) => self.hear(event).await?,
                Some(_) => {}
                None => return Err(StoreError::Stopped.into()),
            }
        }
        self.tell_progress();
        Ok(())
    }

    pub(super) fn into_report(self) -> RunReport {
        RunReport {
            ended: self.ended(),
            progress: self.standing(),
            latency: self.shop.tally.latencies([0.5, 0.95, 0.99]),
            left_out: self.left_out(),
            stopped_pools: self.stopped_pools(),
            given_up: self.given_up,
            jobs: self.jobs.into_keys().collect(),
        }
    }

    /// Why the run ended: if all its work was done in the end, because of that.
    fn ended(&self) -> Ended {
        match self.ended {
            Some(why) if why == Ended::Aborted || !self.is_finished() => why,
            None if !self.is_finished() => Ended::ProxiesStopped,
            Some(_) | None => Ended::Finished,
        }
    }

    fn standing(&self) -> Progress {
        let counts = self.shop.tally.counts();
        let desk = &self.shop.desk;
        let now = desk.clock.now();
        let (in_flight, mut hosts) = {
            let scheduler = &desk.state().scheduler;
            (
                scheduler.busy(),
                scheduler.hosts(now).collect::<Vec<HostView>>(),
            )
        };
        let host_count = hosts.len();
        hosts.sort_by_key(|view| {
            (
                rank(&view.state),
                std::cmp::Reverse(view.in_flight),
                view.host,
            )
        });
        hosts.truncate(MOST_HOST_LINES);
        let line = |view: HostView| HostLine {
            name: self.name(view.host),
            limit: view.limit,
            in_flight: view.in_flight,
            state: view.state,
            wait: wait(&view.state, now),
        };
        Progress {
            elapsed: self.started.elapsed(),
            closed: self.counts.values().map(|c| c.closed()).sum(),
            known: self.counts.values().map(|c| c.closed() + c.open()).sum(),
            in_flight,
            waiting: self.counts.values().map(|c| c.waiting).sum(),
            exchanges: counts.exchanges,
            retries: counts.retries,
            pages: counts.pages,
            failed: counts.failed,
            bytes: counts.bytes,
            outcomes: counts.outcomes,
            causes: counts.causes,
            page_causes: counts.page_causes,
            bad_gateways: counts.bad_gateways,
            hosts: hosts.into_iter().map(line).collect(),
            host_count,
            standstill: self.standstill(),
            paused: self.waits_for(),
        }
    }
}

/// Whether an event tells what came of the run, or that it failed.
fn is_news(event: &Event) -> bool {
    matches!(
        event,
        Event::Recorded(_)
            | Event::Counts(..)
            | Event::JobFinished(_)
            | Event::HostFailed { .. }
            | Event::Broken(_)
    )
}

/// The most notable states come first.
fn rank(state: &State) -> u8 {
    match state {
        State::OnlyProbed { .. } => 0,
        State::Held { .. } => 1,
        State::Steady => 2,
    }
}

fn wait(state: &State, now: neap_core::Time) -> Option<Duration> {
    match state {
        State::OnlyProbed { next: at, .. } | State::Held { until: at } => Some(at.since(now)),
        State::Steady => None,
    }
}
