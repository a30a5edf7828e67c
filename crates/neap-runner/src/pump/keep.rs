//! What of the hosts is kept, for the next run and for people?
//!
//! Every two seconds: how each host stands of which something changed, what its limiter learned, and how
//! its limit went.

use neap_core::limiter::{Change, Memory, State};
use neap_core::scheduler::HostView;
use neap_core::{HostId, Time, UnixMs};
use neap_store::{Command, HostMemory, LimitChange, Standing};

use super::{Pump, RunError};
use crate::clock::Clock;

impl Pump {
    /// Stores what changed of the hosts since the last time.
    pub(super) async fn store_memories(&self) -> Result<(), RunError> {
        let desk = &self.shop.desk;
        let now: UnixMs = desk.clock.unix();
        let (memories, changes) = {
            let scheduler = &mut desk.state().scheduler;
            let memories = scheduler.take_memories(desk.clock.now(), now);
            (memories, scheduler.take_changes())
        };
        let clock = &desk.clock;
        let rows: Vec<_> = memories
            .iter()
            .filter_map(|(view, memory)| host_memory(view, memory, now, clock))
            .collect();
        if !rows.is_empty() {
            self.send(Command::HostMemory(rows)).await?;
        }
        let changes: Vec<_> = changes
            .iter()
            .map(|(host, change)| limit_change(*host, change, clock))
            .collect();
        if !changes.is_empty() {
            self.send(Command::LimitChanges(changes)).await?;
        }
        Ok(())
    }
}

fn host_memory(view: &HostView, memory: &Memory, now: UnixMs, clock: &Clock) -> Option<HostMemory> {
    Some(HostMemory {
        host: view.host,
        at: now,
        limiter: serde_json::to_value(memory).ok()?,
        standing: standing(view, memory, clock),
    })
}

fn standing(view: &HostView, memory: &Memory, clock: &Clock) -> Standing {
    let span = |(since, next): (Time, Time)| (clock.unix_of(since), clock.unix_of(next));
    let (only_probed, held_until) = match view.state {
        State::Steady => (None, None),
        // The limiter's memory knows of an outage that began before this run.
        State::OnlyProbed { next, since } => {
            let since = memory.failing_since.unwrap_or(clock.unix_of(since));
            (Some((since, clock.unix_of(next))), memory.held_until)
        }
        State::Held { until } => (None, Some(clock.unix_of(until))),
    };
    Standing {
        limit: view.limit,
        shares_limit_of: Some(view.leader).filter(|leader| *leader != view.host),
        in_flight: view.in_flight,
        requests_per_s: view.rate,
        p95: view.p95,
        only_probed,
        held_until,
        is_given_up: view.is_given_up,
        waits_for_robots: view.waits_for_robots,
        robots_failing: view.robots_failing.map(span),
    }
}

fn limit_change(host: HostId, change: &Change, clock: &Clock) -> LimitChange {
    LimitChange {
        host,
        at: clock.unix_of(change.at),
        before: rounded(change.from),
        after: rounded(change.to),
        reason: change.reason.as_str(),
    }
}

/// A limit to four digits after the point, which is more than a limiter means.
fn rounded(limit: f32) -> f64 {
    (f64::from(limit) * 1e4).round() / 1e4
}
