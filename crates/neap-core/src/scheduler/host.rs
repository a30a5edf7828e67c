//! What does the scheduler know of a host?

use std::collections::BTreeSet;
use std::time::Duration;

use rand::RngCore;

use super::job::JobSettings;
use super::pace::Pace;
use super::quantile::SlowLatency;
use super::turns::Turn;
use super::work::Token;
use crate::ids::{HostId, JobId};
use crate::limiter::{Change, Gate, HostLimiter, Memory, Settings, Signal, State};
use crate::politeness::Politeness;
use crate::time::{Time, UnixMs};

/// A host that never gave any answer is given up after this time: most such hosts are gone for good,
/// and a list of links has many of them.
const NEVER_ANSWERED: Duration = Duration::from_secs(60);

/// A host that takes part in the run.
#[derive(Debug)]
pub(super) struct HostEntry {
    pub(super) limiter: HostLimiter,
    politeness: Politeness,
    last_start: Option<Time>,
    robots: RobotsState,
    /// What its robots file asks for.
    crawl_delay: Duration,
    pub(super) is_loaded: bool,
    jobs: BTreeSet<JobId>,
    obeying: BTreeSet<JobId>,
    terms: Terms,
    is_given_up: bool,
    /// Turns that wait for this host.
    pub(super) parked: Vec<Turn>,
    /// When they are to try again, if not before.
    pub(super) timer: Option<Time>,
    /// The request for its robots file stands in the ring, or is parked.
    pub(super) robots_has_turn: bool,
    /// Something about it changed that is not stored yet.
    pub(super) is_dirty: bool,
    /// The last change of its limit that was told.
    told: Option<Change>,
    pace: Pace,
    slow: SlowLatency,
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
    crawl_delay_max: Duration,
    give_up_after: Duration,
}

impl Terms {
    fn of(settings: &JobSettings) -> Terms {
        Terms {
            per_host: settings.per_host,
            spacing: settings.spacing,
            crawl_delay_max: settings.crawl_delay_max,
            give_up_after: settings.give_up_after,
        }
    }

    fn and(self, other: Terms) -> Terms {
        Terms {
            per_host: self.per_host.min(other.per_host),
            spacing: self.spacing.max(other.spacing),
            crawl_delay_max: self.crawl_delay_max.max(other.crawl_delay_max),
            give_up_after: self.give_up_after.max(other.give_up_after),
        }
    }
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
    /// Requests a second of late.
    pub rate: f64,
    /// Latency to the header that 95 of 100 answers stay below, failures for load not counted; `None`
    /// before the first answer.
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
            limiter: HostLimiter::new(
                Settings {
                    ceiling: settings.per_host,
                },
                None,
                // Nothing is asked of a host before it is loaded, which puts the real one here.
                Time::ZERO,
                UnixMs(0),
            ),
            politeness: Politeness::new(settings.spacing),
            last_start: None,
            robots: RobotsState::Unknown {
                failing_since: None,
                not_before: Time::ZERO,
            },
            crawl_delay: Duration::ZERO,
            is_loaded: false,
            jobs: BTreeSet::new(),
            obeying: BTreeSet::new(),
            terms: Terms::of(settings),
            is_given_up: false,
            parked: Vec::new(),
            timer: None,
            robots_has_turn: false,
            is_dirty: false,
            told: None,
            pace: Pace::default(),
            slow: SlowLatency::default(),
        }
    }

    // ---- jobs and their terms -----------------------------------------------------------------

    /// A job wants something of this host.
    pub(super) fn add_job(&mut self, job: JobId, settings: &JobSettings) {
        self.is_given_up = false;
        if !self.jobs.insert(job) {
            return;
        }
        if settings.obeys_robots {
            self.obeying.insert(job);
        }
        self.terms = self.terms.and(Terms::of(settings));
        self.apply_terms();
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
        let remaining = self.jobs.iter().filter_map(|job| others(*job));
        if let Some(terms) = remaining.map(Terms::of).reduce(Terms::and) {
            self.terms = terms;
            self.apply_terms();
        }
    }

    pub(super) fn jobs(&self) -> impl Iterator<Item = JobId> {
        self.jobs.iter().copied()
    }

    fn apply_terms(&mut self) {
        self.limiter.set_ceiling(self.terms.per_host);
        let by_robots = if self.obeying.is_empty() {
            Duration::ZERO
        } else {
            self.crawl_delay.min(self.terms.crawl_delay_max)
        };
        let spacing = self.terms.spacing.max(by_robots);
        if spacing != self.politeness.spacing() {
            self.politeness = Politeness::new(spacing);
            // The new spacing counts from the last start, or two starts could come together.
            if let Some(last) = self.last_start {
                self.politeness
                    .check(last)
                    .expect("the first start is always allowed");
            }
        }
    }

    // ---- what the store knows, robots ---------------------------------------------------------

    pub(super) fn load(
        &mut self,
        memory: Option<Memory>,
        robots: Option<Option<Duration>>,
        now: Time,
        unix_now: UnixMs,
    ) {
        self.is_loaded = true;
        self.told = None;
        let ceiling = self.terms.per_host;
        self.limiter = HostLimiter::new(Settings { ceiling }, memory, now, unix_now);
        if let Some(crawl_delay) = robots {
            self.robots_known(crawl_delay);
        }
    }

    pub(super) fn obeys(&self, job: JobId) -> bool {
        self.obeying.contains(&job)
    }

    /// Whether requests of a job may be taken from the store: before the robots file is known, it is
    /// not known which of them may be asked.
    pub(super) fn serves(&self, job: JobId) -> bool {
        self.is_loaded && (self.robots == RobotsState::Known || !self.obeys(job))
    }

    pub(super) fn wants_robots(&self) -> bool {
        self.is_loaded
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

    /// Its robots file is asked for, in the name of the job that is returned.
    pub(super) fn robots_asked(&mut self) -> Option<JobId> {
        if let RobotsState::Unknown { failing_since, .. } = self.robots {
            self.robots = RobotsState::Asked { failing_since };
        }
        self.is_dirty = true;
        self.obeying.first().copied()
    }

    pub(super) fn robots_known(&mut self, crawl_delay: Option<Duration>) {
        // What the store itself said is no news to it.
        self.is_dirty |= matches!(self.robots, RobotsState::Asked { .. });
        self.robots = RobotsState::Known;
        self.crawl_delay = crawl_delay.unwrap_or_default();
        self.apply_terms();
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

    // ---- starts -------------------------------------------------------------------------------

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
        self.last_start = Some(now);
        self.pace.start(now);
        self.is_dirty = true;
        Token {
            host,
            permit: self.limiter.start(now),
        }
    }

    /// A request is over: gives its permit back and learns from it.
    pub(super) fn report(
        &mut self,
        token: Token,
        signal: Signal,
        now: Time,
        dice: &mut dyn RngCore,
    ) {
        if let Some(latency) = signal.latency.filter(|_| !signal.kind.is_load_failure()) {
            self.slow.observe(latency);
        }
        self.limiter.report(token.permit, signal, now, dice);
        self.is_dirty = true;
    }

    /// The last change of the limit, if it was not told yet.
    pub(super) fn take_change(&mut self) -> Option<Change> {
        let last = Some(self.limiter.last_change());
        if !self.is_loaded || self.told == last {
            return None;
        }
        self.told = last;
        last
    }

    // ---- its end ------------------------------------------------------------------------------

    /// Whether the host did nothing but fail for so long that it is given up; says so once. A missing
    /// robots file counts only if nothing else is done meanwhile, `needs_robots`.
    pub(super) fn is_beyond_hope(&mut self, needs_robots: bool, now: Time) -> bool {
        let robots_since = match self.robots {
            RobotsState::Unknown { failing_since, .. } | RobotsState::Asked { failing_since } => {
                failing_since.filter(|_| needs_robots)
            }
            RobotsState::Known => None,
        };
        let since = [self.limiter.only_probed_since(), robots_since]
            .into_iter()
            .flatten()
            .min();
        let patience = if self.limiter.has_answered() {
            self.terms.give_up_after
        } else {
            self.terms.give_up_after.min(NEVER_ANSWERED)
        };
        let is_hopeless = since.is_some_and(|since| now.since(since) >= patience);
        is_hopeless && self.give_up()
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

    /// Whether forgetting it loses nothing that the store does not know: nothing is under way, no hold
    /// or delay is running, and what was learned was taken.
    pub(super) fn is_idle(&self, now: Time) -> bool {
        let is_rested = self
            .last_start
            .is_none_or(|last| now.since(last) >= self.politeness.spacing());
        let is_robots_settled = match self.robots {
            RobotsState::Unknown { failing_since, .. } => failing_since.is_none(),
            RobotsState::Asked { .. } => false,
            RobotsState::Known => true,
        };
        self.is_loaded
            && !self.is_dirty
            && is_rested
            && is_robots_settled
            && self.parked.is_empty()
            && self.timer.is_none()
            && !self.robots_has_turn
            && self.limiter.in_flight() == 0
            && self.limiter.state(now) == State::Steady
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

    pub(super) fn view(&self, host: HostId, now: Time) -> HostView {
        HostView {
            host,
            limit: self.limiter.limit(),
            in_flight: self.limiter.in_flight(),
            state: self.limiter.state(now),
            rate: self.pace.per_second(now),
            p95: self.slow.get(),
            waits_for_robots: !self.obeying.is_empty() && self.robots != RobotsState::Known,
            robots_failing: self.robots_failing(now),
            is_given_up: self.is_given_up,
        }
    }
}
