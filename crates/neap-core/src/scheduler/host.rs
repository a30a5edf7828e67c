//! What does the scheduler know of a host?

use std::collections::BTreeSet;
use std::time::Duration;

use super::Turn;
use super::job::JobSettings;
use super::work::Token;
use crate::ids::{HostId, JobId};
use crate::limiter::{Gate, HostLimiter, Memory, Settings, State};
use crate::politeness::Politeness;
use crate::time::Time;

/// A host that never gave any answer is given up after this time: most such hosts are gone for good,
/// and a list of links has many of them.
const NEVER_ANSWERED: Duration = Duration::from_secs(60);

/// A host that takes part in the run.
#[derive(Debug)]
pub(super) struct HostEntry {
    pub(super) limiter: HostLimiter,
    politeness: Politeness,
    robots: RobotsState,
    is_loaded: bool,
    jobs: BTreeSet<JobId>,
    obeying: BTreeSet<JobId>,
    per_host: u32,
    crawl_delay_max: Duration,
    give_up_after: Duration,
    is_given_up: bool,
    /// Turns that wait for this host.
    pub(super) parked: Vec<Turn>,
    /// Its limiter learned something that is not stored yet.
    pub(super) is_dirty: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RobotsState {
    Unknown { failing_since: Option<Time> },
    Asked { failing_since: Option<Time> },
    Known,
}

/// A host as it stands, for people.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HostView {
    /// The host.
    pub host: HostId,
    /// Requests that it may have in flight.
    pub limit: f64,
    /// Requests that it has in flight.
    pub in_flight: u32,
    /// What its limiter does.
    pub state: State,
    /// Whether its robots file is not known yet, so that nothing else may be asked.
    pub waits_for_robots: bool,
}

impl HostEntry {
    pub(super) fn new(settings: &JobSettings) -> HostEntry {
        HostEntry {
            limiter: HostLimiter::new(
                Settings {
                    ceiling: settings.per_host,
                },
                None,
            ),
            politeness: Politeness::new(settings.spacing),
            robots: RobotsState::Unknown {
                failing_since: None,
            },
            is_loaded: false,
            jobs: BTreeSet::new(),
            obeying: BTreeSet::new(),
            per_host: settings.per_host,
            crawl_delay_max: settings.crawl_delay_max,
            give_up_after: settings.give_up_after,
            is_given_up: false,
            parked: Vec::new(),
            is_dirty: false,
        }
    }

    /// A job wants something of this host. Of several jobs the most careful settings hold.
    pub(super) fn add_job(&mut self, job: JobId, settings: &JobSettings) {
        self.is_given_up = false;
        if !self.jobs.insert(job) {
            return;
        }
        if settings.obeys_robots {
            self.obeying.insert(job);
        }
        self.per_host = self.per_host.min(settings.per_host);
        self.limiter.set_ceiling(self.per_host);
        self.crawl_delay_max = self.crawl_delay_max.max(settings.crawl_delay_max);
        self.give_up_after = self.give_up_after.max(settings.give_up_after);
        self.space_out(settings.spacing);
    }

    pub(super) fn load(&mut self, memory: Option<Memory>, robots: Option<Option<Duration>>) {
        self.is_loaded = true;
        if memory.is_some() {
            self.limiter = HostLimiter::new(
                Settings {
                    ceiling: self.per_host,
                },
                memory,
            );
        }
        if let Some(crawl_delay) = robots {
            self.robots_known(crawl_delay);
        }
    }

    pub(super) fn jobs(&self) -> impl Iterator<Item = JobId> {
        self.jobs.iter().copied()
    }

    /// Whether requests of a job may be taken from the store: before the robots file is known, it is
    /// not known which of them may be asked.
    pub(super) fn serves(&self, job: JobId) -> bool {
        self.is_loaded && (self.robots == RobotsState::Known || !self.obeying.contains(&job))
    }

    pub(super) fn wants_robots(&self) -> bool {
        !self.obeying.is_empty() && matches!(self.robots, RobotsState::Unknown { .. })
    }

    pub(super) fn robots_asked(&mut self) {
        if let RobotsState::Unknown { failing_since } = self.robots {
            self.robots = RobotsState::Asked { failing_since };
        }
    }

    pub(super) fn robots_known(&mut self, crawl_delay: Option<Duration>) {
        self.robots = RobotsState::Known;
        self.space_out(crawl_delay.unwrap_or_default().min(self.crawl_delay_max));
    }

    pub(super) fn robots_failed(&mut self, now: Time) {
        if let RobotsState::Asked { failing_since } | RobotsState::Unknown { failing_since } =
            self.robots
        {
            self.robots = RobotsState::Unknown {
                failing_since: failing_since.or(Some(now)),
            };
        }
    }

    /// Whether a request may start now; takes the politeness right if so.
    pub(super) fn gate(&mut self, now: Time) -> Gate {
        match self.limiter.gate(now) {
            Gate::Open => match self.politeness.check(now) {
                Ok(()) => Gate::Open,
                Err(at) => Gate::Until(at),
            },
            closed @ (Gate::Full | Gate::Until(_)) => closed,
        }
    }

    pub(super) fn start(&mut self, host: HostId, now: Time) -> Token {
        Token {
            host,
            permit: self.limiter.start(now),
        }
    }

    /// Whether the host did nothing but fail for so long that it is given up; says so once.
    pub(super) fn is_beyond_hope(&mut self, now: Time) -> bool {
        let robots_since = match self.robots {
            RobotsState::Unknown { failing_since } | RobotsState::Asked { failing_since } => {
                failing_since
            }
            RobotsState::Known => None,
        };
        let since = [self.limiter.only_probed_since(), robots_since]
            .into_iter()
            .flatten()
            .min();
        let patience = if self.limiter.has_answered() {
            self.give_up_after
        } else {
            self.give_up_after.min(NEVER_ANSWERED)
        };
        let is_hopeless = since.is_some_and(|since| now.since(since) >= patience);
        is_hopeless && !std::mem::replace(&mut self.is_given_up, is_hopeless)
    }

    pub(super) fn view(&self, host: HostId, now: Time) -> HostView {
        HostView {
            host,
            limit: self.limiter.limit(),
            in_flight: self.limiter.in_flight(),
            state: self.limiter.state(now),
            waits_for_robots: self.wants_robots(),
        }
    }

    /// Starts keep at least this distance from now on.
    fn space_out(&mut self, spacing: Duration) {
        if spacing > self.politeness.spacing() {
            self.politeness = Politeness::new(spacing);
        }
    }
}
