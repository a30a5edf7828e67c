//! What does the scheduler know of a job?

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use super::exit::Exit;
use crate::ids::HostId;
use crate::job::{Job, LimitKey, RobotsMode};

/// What a job asks of the scheduler.
#[derive(Debug, Clone, PartialEq)]
pub struct JobSettings {
    /// Ceiling of requests in flight to one host, 1 and up.
    pub per_host: u32,
    /// Shortest time between two starts on one host; zero for none.
    pub spacing: Duration,
    /// What limit, spacing and retry budget are kept by.
    pub key: LimitKey,
    /// Largest share of retries among the requests to a host, 0 to 1; `None` for no limit.
    pub retry_budget: Option<f64>,
    /// Whether robots files are asked for before anything else.
    pub obeys_robots: bool,
    /// Longest crawl delay that is honoured.
    pub crawl_delay_max: Duration,
    /// A host that does nothing but fail for so long is given up.
    pub give_up_after: Duration,
    /// Pages still to be fetched; `None` for no limit.
    pub pages_left: Option<u64>,
}

impl JobSettings {
    /// What a job file asks for, when `pages` pages were fetched already.
    pub fn of(job: &Job, pages: u64) -> JobSettings {
        let by_rate = job
            .limits
            .per_host_rate
            .map_or(Duration::ZERO, |r| r.per / r.requests.max(1));
        JobSettings {
            per_host: job.limits.per_host,
            spacing: job.limits.delay.max(by_rate),
            key: job.limits.key,
            retry_budget: job.retry.budget,
            obeys_robots: match job.robots.mode {
                RobotsMode::Obey | RobotsMode::Warn => true,
                RobotsMode::Off => false,
            },
            crawl_delay_max: job.robots.crawl_delay_max,
            give_up_after: job.adaptive.give_up_after,
            pages_left: job.crawl.max_pages.map(|most| most.saturating_sub(pages)),
        }
    }
}

/// A job that takes part in the run.
#[derive(Debug)]
pub(super) struct JobEntry {
    settings: JobSettings,
    /// What holds for some hosts instead.
    special: HashMap<HostId, JobSettings>,
    pub(super) pages: Quota,
    was_full: bool,
    /// Nothing of it is asked for until it is continued.
    pub(super) is_paused: bool,
    /// Hosts whose lanes of this job wait for room among its pages. While there is room, one of them
    /// at least is in the ring: each turn that leaves room behind calls up the next.
    pub(super) parked: VecDeque<HostId>,
    /// Its lanes.
    pub(super) lanes: usize,
    /// The first host for which there was no lane: the store is asked for it, and for those behind it, again.
    pub(super) left_out: Option<HostId>,
    /// The store was asked for that.
    pub(super) is_announcing: bool,
    /// How it gets out; `None` directly.
    pub(super) exit: Option<Exit>,
}

impl JobEntry {
    pub(super) fn new(settings: JobSettings) -> JobEntry {
        let pages = Quota::new(settings.pages_left);
        JobEntry {
            settings,
            special: HashMap::new(),
            pages,
            was_full: false,
            is_paused: false,
            parked: VecDeque::new(),
            lanes: 0,
            left_out: None,
            is_announcing: false,
            exit: None,
        }
    }

    /// What holds for a host.
    pub(super) fn settings_for(&self, host: HostId) -> &JobSettings {
        self.special.get(&host).unwrap_or(&self.settings)
    }

    /// Something else holds for a host.
    pub(super) fn set_special(&mut self, host: HostId, settings: JobSettings) {
        self.special.insert(host, settings);
    }

    pub(super) fn leave_out(&mut self, host: HostId) {
        self.left_out = Some(self.left_out.map_or(host, |first| first.min(host)));
    }

    /// Whether the job has all its pages; says so once.
    pub(super) fn take_full(&mut self) -> bool {
        let is_full = self.pages.is_used_up();
        is_full && !std::mem::replace(&mut self.was_full, is_full)
    }
}

/// Pages that may still be fetched. A request that is under way may turn out to be one, so it holds a
/// place until that is decided: the limit is met exactly.
#[derive(Debug, Default)]
pub(super) struct Quota {
    left: Option<u64>,
    undecided: u64,
}

impl Quota {
    /// So many pages; `None` for no limit.
    pub(super) fn new(left: Option<u64>) -> Quota {
        Quota { left, undecided: 0 }
    }

    /// Whether one more request could still become a page that is wanted.
    pub(super) fn has_room(&self) -> bool {
        self.left.is_none_or(|left| self.undecided < left)
    }

    pub(super) fn reserve(&mut self) {
        self.undecided += 1;
    }

    pub(super) fn settle(&mut self, was_page: bool) {
        self.undecided = self.undecided.saturating_sub(1);
        if was_page && let Some(left) = &mut self.left {
            *left = left.saturating_sub(1);
        }
    }

    /// Whether all pages are there, with nothing under way.
    pub(super) fn is_used_up(&self) -> bool {
        self.left == Some(0) && self.undecided == 0
    }
}
