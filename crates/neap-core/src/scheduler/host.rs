//! What does the scheduler know of a host?

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::door::{Demand, Door, DoorId};
use super::job::JobSettings;
use super::pace::Pace;
use super::patience::Patience;
use super::quantile::SlowLatency;
use super::sections::Sections;
use crate::egress::Party;
use crate::ids::{HostId, JobId};
use crate::job::LimitKey;
use crate::limiter::{START, Signal, State};
use crate::time::Time;

/// A host that takes part in the run.
#[derive(Debug)]
pub(super) struct HostEntry {
    /// What its requests go through; `None` until what the store knows of it is loaded.
    pub(super) door: Option<DoorId>,
    /// Its registrable domain; empty until it is loaded.
    pub(super) domain: Arc<str>,
    /// Whom its failures count for; meaningless until it is loaded.
    pub(super) party: Party,
    robots: RobotsState,
    /// What its robots file asks for.
    crawl_delay: Duration,
    jobs: BTreeSet<JobId>,
    obeying: BTreeSet<JobId>,
    /// Those of them that came when its robots file was known: what the file says to them is not.
    uninformed: BTreeSet<JobId>,
    terms: Terms,
    patience: Patience,
    is_given_up: bool,
    /// The request for its robots file stands in the ring, or is parked.
    pub(super) robots_has_turn: bool,
    /// Something about it changed that is not stored yet.
    pub(super) is_dirty: bool,
    pace: Pace,
    slow: SlowLatency,
    /// Parts of it that fail by themselves.
    pub(super) sections: Sections,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RobotsState {
    Unknown {
        failing_since: Option<Time>,
        /// Not asked for before.
        not_before: Time,
    },
    Asked {
        failing_since: Option<Time>,
    },
    Known,
}

/// What the jobs of a host ask for together: of several jobs the most careful settings hold.
#[derive(Debug, Clone, Copy)]
struct Terms {
    per_host: u32,
    spacing: Duration,
    by_domain: bool,
    retry_budget: Option<f64>,
    crawl_delay_max: Duration,
    give_up_after: Duration,
}

impl Terms {
    fn of(settings: &JobSettings) -> Terms {
        Terms {
            per_host: settings.per_host,
            spacing: settings.spacing,
            by_domain: settings.key == LimitKey::Domain,
            retry_budget: settings.retry_budget,
            crawl_delay_max: settings.crawl_delay_max,
            give_up_after: settings.give_up_after,
        }
    }

    fn and(self, other: Terms) -> Terms {
        Terms {
            per_host: self.per_host.min(other.per_host),
            spacing: self.spacing.max(other.spacing),
            by_domain: self.by_domain || other.by_domain,
            retry_budget: careful_budget(self.retry_budget, other.retry_budget),
            crawl_delay_max: self.crawl_delay_max.max(other.crawl_delay_max),
            give_up_after: self.give_up_after.max(other.give_up_after),
        }
    }
}

/// The smaller of two shares; none is no limit.
pub(super) fn careful_budget(one: Option<f64>, other: Option<f64>) -> Option<f64> {
    [one, other].into_iter().flatten().reduce(f64::min)
}

/// A host as it stands, for people.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HostView {
    /// The host.
    pub host: HostId,
    /// The host whose limit it shares, itself if it shares none: the one of its domain that came first.
    pub leader: HostId,
    /// Requests that it may have in flight, those of all hosts that share its limit together.
    pub limit: f64,
    /// Requests that it has in flight, together with all that share its limit.
    pub in_flight: u32,
    /// What its limiter does.
    pub state: State,
    /// Requests a second of late.
    pub rate: f64,
    /// Latency to the header, connecting left out, that 95 of 100 answers stay below, failures for load
    /// not counted; `None` before the first answer.
    pub p95: Option<Duration>,
    /// Whether its robots file is not known yet, so that nothing else may be asked.
    pub waits_for_robots: bool,
    /// Since when its robots file cannot be had, and when it is asked for next.
    pub robots_failing: Option<(Time, Time)>,
    /// Whether it did nothing but fail for so long that its requests were given up.
    pub is_given_up: bool,
}

impl HostEntry {
    pub(super) fn new(settings: &JobSettings) -> HostEntry {
        HostEntry {
            door: None,
            domain: Arc::from(""),
            party: Party(0),
            robots: RobotsState::Unknown {
                failing_since: None,
                not_before: Time::ZERO,
            },
            crawl_delay: Duration::ZERO,
            jobs: BTreeSet::new(),
            obeying: BTreeSet::new(),
            uninformed: BTreeSet::new(),
            terms: Terms::of(settings),
            patience: Patience::default(),
            is_given_up: false,
            robots_has_turn: false,
            is_dirty: false,
            pace: Pace::default(),
            slow: SlowLatency::default(),
            sections: Sections::default(),
        }
    }

    // ---- jobs and their terms -----------------------------------------------------------------

    /// A job wants something of this host. Says whether it is new here, so that its terms hold, too.
    pub(super) fn add_job(&mut self, job: JobId, settings: &JobSettings) -> bool {
        self.is_given_up = false;
        if !self.jobs.insert(job) {
            return false;
        }
        if settings.obeys_robots {
            self.obeying.insert(job);
            if self.robots == RobotsState::Known {
                self.uninformed.insert(job);
            }
        }
        self.terms = self.terms.and(Terms::of(settings));
        true
    }

    /// A job left; `others` are the settings of those that are still there.
    pub(super) fn remove_job<'a>(
        &mut self,
        job: JobId,
        others: impl Fn(JobId) -> Option<&'a JobSettings>,
    ) {
        if !self.jobs.remove(&job) {
            return;
        }
        self.obeying.remove(&job);
        self.uninformed.remove(&job);
        let remaining = self.jobs.iter().filter_map(|job| others(*job));
        if let Some(terms) = remaining.map(Terms::of).reduce(Terms::and) {
            self.terms = terms;
        }
    }

    pub(super) fn jobs(&self) -> impl Iterator<Item = JobId> {
        self.jobs.iter().copied()
    }

    /// Whether a job wants the hosts of its domain to share a door.
    pub(super) fn is_limited_by_domain(&self) -> bool {
        self.terms.by_domain
    }

    /// What it asks of its door.
    pub(super) fn demand(&self) -> Demand {
        let by_robots = if self.obeying.is_empty() {
            Duration::ZERO
        } else {
            self.crawl_delay.min(self.terms.crawl_delay_max)
        };
        Demand {
            ceiling: self.terms.per_host,
            spacing: self.terms.spacing.max(by_robots),
            retry_budget: self.terms.retry_budget,
            give_up_after: self.terms.give_up_after,
        }
    }

    // ---- what the store knows, robots ---------------------------------------------------------

    pub(super) fn is_loaded(&self) -> bool {
        self.door.is_some()
    }

    pub(super) fn obeys(&self, job: JobId) -> bool {
        self.obeying.contains(&job)
    }

    /// Whether requests of a job may be taken from the store: before it is known what the robots file says
    /// to it, it is not known which of them may be asked.
    pub(super) fn serves(&self, job: JobId) -> bool {
        let is_informed = self.robots == RobotsState::Known && !self.uninformed.contains(&job);
        self.is_loaded() && (is_informed || !self.obeys(job))
    }

    /// Whether its robots file is to be read again as it is stored, for a job that came late.
    pub(super) fn wants_stored_robots(&self) -> bool {
        self.is_loaded() && !self.uninformed.is_empty()
    }

    pub(super) fn wants_robots(&self) -> bool {
        self.is_loaded()
            && !self.obeying.is_empty()
            && matches!(self.robots, RobotsState::Unknown { .. })
    }

    /// When the robots file may be asked for again, if it may not be now.
    pub(super) fn robots_held_until(&self, now: Time) -> Option<Time> {
        match self.robots {
            RobotsState::Unknown { not_before, .. } => Some(not_before).filter(|at| now < *at),
            RobotsState::Asked { .. } | RobotsState::Known => None,
        }
    }

    /// The jobs in whose name its robots file may be asked for.
    pub(super) fn obeying(&self) -> impl Iterator<Item = JobId> {
        self.obeying.iter().copied()
    }

    /// Its robots file is asked for.
    pub(super) fn robots_asked(&mut self) {
        if let RobotsState::Unknown { failing_since, .. } = self.robots {
            self.robots = RobotsState::Asked { failing_since };
        }
        self.is_dirty = true;
    }

    pub(super) fn robots_known(&mut self, crawl_delay: Option<Duration>) {
        // What the store itself said is no news to it.
        self.is_dirty |= matches!(self.robots, RobotsState::Asked { .. });
        self.robots = RobotsState::Known;
        self.uninformed.clear();
        self.crawl_delay = crawl_delay.unwrap_or_default();
    }

    /// The store holds no robots file of it that is still fresh: it is asked for again.
    pub(super) fn robots_are_stale(&mut self) {
        self.uninformed.clear();
        self.robots = RobotsState::Unknown {
            failing_since: None,
            not_before: Time::ZERO,
        };
        self.is_dirty = true;
    }

    pub(super) fn robots_failed(&mut self, wait: Duration, now: Time) {
        if let RobotsState::Asked { failing_since } | RobotsState::Unknown { failing_since, .. } =
            self.robots
        {
            self.robots = RobotsState::Unknown {
                failing_since: failing_since.or(Some(now)),
                not_before: now + wait,
            };
            self.is_dirty = true;
        }
    }

    /// It gave a good answer in an earlier run.
    pub(super) fn has_worked(&mut self) {
        self.patience.has_worked();
    }

    // ---- starts -------------------------------------------------------------------------------

    pub(super) fn start(&mut self, now: Time) {
        self.pace.start(now);
        self.is_dirty = true;
    }

    /// A request is over.
    pub(super) fn report(&mut self, signal: &Signal, now: Time) {
        if let Some(latency) = signal.latency.filter(|_| !signal.kind.is_load_failure()) {
            self.slow.observe(latency);
        }
        self.patience.hear(signal, now);
        self.is_dirty = true;
    }

    // ---- its end ------------------------------------------------------------------------------

    /// Whether the host alone did nothing but fail for so long that it is given up: by its robots file, if
    /// nothing else is done meanwhile (`needs_robots`), or while others that share its door still answer.
    pub(super) fn is_beyond_hope(&self, needs_robots: bool, is_sharing: bool, now: Time) -> bool {
        let robots_since = match self.robots {
            RobotsState::Unknown { failing_since, .. } | RobotsState::Asked { failing_since } => {
                failing_since.filter(|_| needs_robots)
            }
            RobotsState::Known => None,
        };
        let own_since = self.patience.failing_since().filter(|_| is_sharing);
        let since = [robots_since, own_since].into_iter().flatten().min();
        since.is_some_and(|since| {
            self.patience
                .is_used_up(since, self.terms.give_up_after, now)
        })
    }

    /// Gives the host up; says whether that is news.
    pub(super) fn give_up(&mut self) -> bool {
        // Should it be found again, its robots file is asked for again.
        if let RobotsState::Asked { .. } = self.robots {
            self.robots = RobotsState::Unknown {
                failing_since: None,
                not_before: Time::ZERO,
            };
        }
        self.is_dirty = true;
        !std::mem::replace(&mut self.is_given_up, true)
    }

    /// Whether forgetting it loses nothing that the store does not know: what was learned was taken, and
    /// its robots file is settled. What is under way is its door's business.
    pub(super) fn is_idle(&self) -> bool {
        let is_robots_settled = match self.robots {
            RobotsState::Unknown { failing_since, .. } => failing_since.is_none(),
            RobotsState::Asked { .. } => false,
            RobotsState::Known => true,
        };
        self.is_loaded() && !self.is_dirty && is_robots_settled && !self.robots_has_turn
    }

    fn robots_failing(&self, now: Time) -> Option<(Time, Time)> {
        match self.robots {
            RobotsState::Unknown {
                failing_since,
                not_before,
            } => failing_since.map(|since| (since, not_before.max(now))),
            RobotsState::Asked { failing_since } => failing_since.map(|since| (since, now)),
            RobotsState::Known => None,
        }
    }

    /// Whether its pace still goes down, though nothing happens any more.
    pub(super) fn is_fading(&self, now: Time) -> bool {
        /// Requests a second that are shown as none.
        const NONE: f64 = 0.05;
        self.pace.per_second(now) >= NONE
    }

    /// How it stands, with its door if it has one yet.
    pub(super) fn view(&self, host: HostId, door: Option<&Door>, now: Time) -> HostView {
        HostView {
            host,
            leader: self.door.map_or(host, |door| door.0),
            limit: door.map_or(START, |door| door.limiter.limit()),
            in_flight: door.map_or(0, |door| door.limiter.in_flight()),
            state: door.map_or(State::Steady, |door| door.state(now)),
            rate: self.pace.per_second(now),
            p95: self.slow.get(),
            waits_for_robots: !self.obeying.is_empty() && self.robots != RobotsState::Known,
            robots_failing: self.robots_failing(now),
            is_given_up: self.is_given_up,
        }
    }
}
