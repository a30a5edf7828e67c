//! Which request goes out next?
//!
//! Work stands in lanes, one for each (job, host). Lanes take turns in a ring, one request a turn, so
//! that a host with a million pages does not starve a host with ten. A lane whose host cannot take a
//! request now leaves the ring and comes back when a permit is returned or its time has come, so that
//! a turn is never spent on a host that is known to be held.
//!
//! ```text
//!  store ──handle_ready──► hungry ──poll_refill──► store ──handle_refilled──► buffer
//!                            ▲                                                  │
//!                            └──── running low ◄──── ring ──poll_dispatch──► in flight
//!                                                     ▲  └─► parked at its host ─┘
//!                                                     └── permit returned, time come
//! ```
//!
//! The scheduler is told and asked, it never looks: `handle_*` are events, `poll_*` are decisions, and
//! [`Scheduler::poll_timeout`] is the next moment at which asking again makes sense. At most
//! [`MAX_BUFFERED`] requests are held over all hosts, whatever the size of the frontier.

mod host;
mod job;
mod lane;
mod work;

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::hash::BuildHasherDefault;
use std::time::Duration;

use rand::RngCore;

use crate::ids::{HostId, JobId, RequestId};
use crate::limiter::{Gate, Memory, Signal};
use crate::time::Time;

use host::HostEntry;
pub use host::HostView;
use job::{JobEntry, Quota};
pub use job::JobSettings;
use lane::Lane;
pub use work::{Dispatch, Position, Ready, Refill, Token, Wake};

/// Requests held in memory over all hosts, waiting for their turn; the frontier itself stays in the
/// store.
pub const MAX_BUFFERED: usize = 65_536;

/// Requests that a lane takes from the store at a time; measured as the best trade between reads and
/// memory (8: 181k leases per CPU second, 32: 448k, 128: 493k).
pub const REFILL: usize = 32;

/// A request that was in flight at this many crashes is tried alone, so that it is known whether the
/// crash was its doing.
pub const LOST_TO_SUSPECT: u32 = 2;

type Hasher = BuildHasherDefault<DefaultHasher>;

/// The scheduler of one run: jobs, hosts with their limiters, and the lanes of both.
#[derive(Debug)]
pub struct Scheduler {
    /// Requests in flight over all hosts, at most.
    concurrency: u32,
    /// Workers that are at work: from dispatch until the record was handed over.
    busy: u32,
    jobs: BTreeMap<JobId, JobEntry>,
    hosts: HashMap<HostId, HostEntry, Hasher>,
    lanes: HashMap<(JobId, HostId), Lane, Hasher>,
    /// Whose turn it is.
    ring: VecDeque<Turn>,
    /// Lanes that want requests from the store.
    hungry: VecDeque<(JobId, HostId)>,
    /// Hosts whose stored state is to be loaded.
    unloaded: VecDeque<HostId>,
    /// Hosts that are held until a time.
    timers: BTreeSet<(Time, HostId)>,
    /// Requests that are buffered, in flight, or recorded but not yet committed: a refill that still
    /// sees them in the store must not bring them twice.
    owned: HashSet<RequestId, Hasher>,
    buffered: usize,
    /// Requests that may crash the process, tried one at a time with nothing beside them.
    suspects: VecDeque<Ready>,
    is_suspect_out: bool,
    next_due: Option<Time>,
    given_up: VecDeque<HostId>,
    is_draining: bool,
    /// Pages of this run, over all jobs.
    pages: Quota,
}

/// A place in the ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    Lane(JobId, HostId),
    Robots(HostId),
}

impl Turn {
    const fn host(self) -> HostId {
        match self {
            Turn::Lane(_, host) | Turn::Robots(host) => host,
        }
    }
}

impl Scheduler {
    /// A scheduler that lets at most `concurrency` requests be in flight over all hosts.
    pub fn new(concurrency: u32) -> Scheduler {
        Scheduler {
            concurrency: concurrency.max(1),
            busy: 0,
            jobs: BTreeMap::new(),
            hosts: HashMap::default(),
            lanes: HashMap::default(),
            ring: VecDeque::new(),
            hungry: VecDeque::new(),
            unloaded: VecDeque::new(),
            timers: BTreeSet::new(),
            owned: HashSet::default(),
            buffered: 0,
            suspects: VecDeque::new(),
            is_suspect_out: false,
            next_due: None,
            given_up: VecDeque::new(),
            is_draining: false,
            pages: Quota::default(),
        }
    }

    /// The run fetches this many pages at most, over all its jobs.
    pub fn limit_pages(&mut self, most: u64) {
        self.pages = Quota::new(Some(most));
    }

    // ---- events -------------------------------------------------------------------------------

    /// A job takes part from now on.
    pub fn add_job(&mut self, job: JobId, settings: JobSettings) {
        self.jobs.insert(job, JobEntry::new(settings));
    }

    /// The store holds ready requests of a job for a host, the first of them at `first`.
    pub fn handle_ready(&mut self, job: JobId, host: HostId, first: Position) {
        let Some(entry) = self.jobs.get(&job) else {
            return;
        };
        let settings = entry.settings.clone();
        let known = self.hosts.entry(host).or_insert_with(|| {
            self.unloaded.push_back(host);
            HostEntry::new(&settings)
        });
        known.add_job(job, &settings);
        self.lanes
            .entry((job, host))
            .or_insert_with(|| Lane::new(first))
            .more_from(first);
        self.feed(job, host);
    }

    /// What the store knows of a host that [`Scheduler::poll_load`] named: the limiter's memory, and
    /// the crawl delay of a robots file that is still fresh (`None` if there is no such file).
    pub fn handle_host(
        &mut self,
        host: HostId,
        memory: Option<Memory>,
        robots: Option<Option<Duration>>,
    ) {
        let Some(entry) = self.hosts.get_mut(&host) else {
            return;
        };
        entry.load(memory, robots);
        if entry.wants_robots() {
            self.ring.push_back(Turn::Robots(host));
        }
        self.feed_host(host);
    }

    /// A robots file was read, with this crawl delay.
    pub fn handle_robots(&mut self, host: HostId, crawl_delay: Option<Duration>) {
        let Some(entry) = self.hosts.get_mut(&host) else {
            return;
        };
        entry.robots_known(crawl_delay);
        self.feed_host(host);
    }

    /// A robots file could not be had; it is asked for again after `wait`.
    pub fn handle_robots_unreachable(&mut self, host: HostId, wait: Duration, now: Time) {
        let Some(entry) = self.hosts.get_mut(&host) else {
            return;
        };
        entry.robots_failed(now);
        entry.parked.push(Turn::Robots(host));
        self.timers.insert((now + wait, host));
        self.consider_giving_up(host, now);
    }

    /// The store answered a refill. `rows` are those that may be asked for, `last` the position of the
    /// last row read, `is_exhausted` that there was none behind it.
    pub fn handle_refilled(
        &mut self,
        refill: &Refill,
        rows: Vec<Ready>,
        last: Option<Position>,
        is_exhausted: bool,
    ) {
        let key = (refill.job, refill.host);
        if let Some(lane) = self.lanes.get_mut(&key) {
            lane.refilled(refill, last, is_exhausted);
            for row in rows {
                self.take_up(row, false);
            }
        }
        self.feed(refill.job, refill.host);
    }

    /// Requests whose wait is over were made ready by the store. They go before fresh ones.
    pub fn handle_promoted(&mut self, rows: Vec<Ready>) {
        for row in rows {
            let (job, host, position) = (row.job, row.host, row.position);
            let is_served = self.hosts.get(&host).is_some_and(|entry| entry.serves(job));
            if is_served && self.lanes.contains_key(&(job, host)) && self.buffered < MAX_BUFFERED {
                self.take_up(row, true);
                self.feed(job, host);
            } else {
                self.handle_ready(job, host, position);
            }
        }
    }

    /// When the next waiting request becomes due, as far as the store knows.
    pub fn handle_next_due(&mut self, due: Option<Time>) {
        self.next_due = due;
    }

    /// A request's exchange is over: its permit comes back and the limiter learns. Says whether the
    /// host is now held for failing, so that the failure is not the page's.
    pub fn handle_report(
        &mut self,
        token: Token,
        signal: Signal,
        now: Time,
        dice: &mut dyn RngCore,
    ) -> bool {
        let host = token.host;
        let Some(entry) = self.hosts.get_mut(&host) else {
            return false;
        };
        entry.limiter.report(token.permit, signal, now, dice);
        entry.is_dirty = true;
        let is_failing = entry.limiter.only_probed_since().is_some();
        self.unpark(host);
        if is_failing {
            self.consider_giving_up(host, now);
        }
        is_failing
    }

    /// A worker is free again.
    pub fn handle_worker_free(&mut self) {
        self.busy = self.busy.saturating_sub(1);
        self.is_suspect_out = false;
    }

    /// What became of a dispatched request is decided: whether it was a page in the sense of
    /// `crawl.max_pages`.
    pub fn handle_verdict(&mut self, job: JobId, was_page: bool) {
        self.pages.settle(was_page);
        let Some(entry) = self.jobs.get_mut(&job) else {
            return;
        };
        let had_room = entry.pages.has_room();
        entry.pages.settle(was_page);
        if !had_room && entry.pages.has_room() {
            let waiting: Vec<_> = self
                .lanes
                .keys()
                .filter(|(j, _)| *j == job)
                .copied()
                .collect();
            for (job, host) in waiting {
                self.feed(job, host);
            }
        }
    }

    /// The store committed what became of a request.
    pub fn handle_recorded(&mut self, request: RequestId) {
        self.owned.remove(&request);
    }

    /// A host turned out to be one that can never be asked: it is given up at once.
    pub fn give_up(&mut self, host: HostId) {
        if self.hosts.get_mut(&host).is_some_and(HostEntry::give_up) {
            self.given_up.push_back(host);
        }
    }

    /// Nothing new goes out from now on; what is in flight comes home.
    pub fn drain(&mut self) {
        self.is_draining = true;
    }

    /// A job has no open request any more: forgets it.
    pub fn remove_job(&mut self, job: JobId) {
        self.jobs.remove(&job);
        let of_job: Vec<_> = self
            .lanes
            .keys()
            .filter(|(j, _)| *j == job)
            .copied()
            .collect();
        for (job, host) in of_job {
            self.drop_lane(job, host);
        }
        self.suspects.retain(|suspect| suspect.job != job);
    }

    // ---- decisions ----------------------------------------------------------------------------

    /// The next request to send, if any may go out now.
    pub fn poll_dispatch(&mut self, now: Time) -> Option<Dispatch> {
        self.wake_hosts(now);
        let is_full = self.busy >= self.concurrency || !self.pages.has_room();
        if self.is_draining || self.is_suspect_out || is_full {
            return None;
        }
        match self.poll_suspect(now) {
            Suspect::None => {}
            Suspect::NeedsTheStage => return None,
            Suspect::Goes(dispatch) => return Some(dispatch),
        }
        while let Some(turn) = self.ring.pop_front() {
            if let Some(dispatch) = self.take_turn(turn, now) {
                return Some(dispatch);
            }
        }
        None
    }

    /// The next read that the store is asked for, if a lane wants requests and there is room.
    pub fn poll_refill(&mut self) -> Option<Refill> {
        if self.is_draining {
            return None;
        }
        while self.buffered < MAX_BUFFERED {
            let (job, host) = self.hungry.pop_front()?;
            let limit = self
                .hosts
                .get(&host)
                .map_or(0.0, |entry| entry.limiter.limit());
            // With very many lanes each gets a small share of the room, so that all get one.
            let share = MAX_BUFFERED / self.lanes.len().max(1);
            let lane_limit = REFILL.max(2 * limit as usize);
            let Some(lane) = self.lanes.get_mut(&(job, host)) else {
                continue;
            };
            return Some(lane.begin_refill(job, host, share.clamp(1, lane_limit)));
        }
        None
    }

    /// The next host whose stored state is wanted.
    pub fn poll_load(&mut self) -> Option<HostId> {
        self.unloaded.pop_front()
    }

    /// Whether requests that waited are due, so that the store should make them ready.
    pub fn poll_promote(&mut self, now: Time) -> bool {
        let is_due = !self.is_draining && self.next_due.is_some_and(|due| due <= now);
        if is_due {
            self.next_due = None;
        }
        is_due
    }

    /// The next host that did nothing but fail for too long: its requests are to be failed.
    pub fn poll_given_up(&mut self) -> Option<HostId> {
        let host = self.given_up.pop_front()?;
        let of_host: Vec<_> = self
            .lanes
            .keys()
            .filter(|(_, h)| *h == host)
            .copied()
            .collect();
        for (job, host) in of_host {
            self.drop_lane(job, host);
        }
        Some(host)
    }

    /// The next job that has all the pages it wanted: the rest of its requests is to be skipped.
    pub fn poll_full(&mut self) -> Option<JobId> {
        self.jobs
            .iter_mut()
            .find_map(|(job, entry)| entry.take_full().then_some(*job))
    }

    /// The next moment at which something may be dispatched or promoted that may not be now, and what
    /// it waits for; `None` if only an event can change anything.
    pub fn poll_timeout(&self) -> Option<(Time, Wake)> {
        if self.is_draining {
            return None;
        }
        let held = self
            .timers
            .first()
            .map(|(at, host)| (*at, Wake::Host(*host)));
        let due = self.next_due.map(|at| (at, Wake::RetryDue));
        [held, due].into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    /// Limiter memories that changed since they were last taken.
    pub fn take_memories(&mut self) -> Vec<(HostId, Memory)> {
        let mut changed = Vec::new();
        for (host, entry) in &mut self.hosts {
            if std::mem::take(&mut entry.is_dirty) {
                changed.push((*host, entry.limiter.memory()));
            }
        }
        changed
    }

    /// Whether the run has all the pages that [`Scheduler::limit_pages`] allows.
    pub fn is_out_of_pages(&self) -> bool {
        self.pages.is_used_up()
    }

    // ---- views --------------------------------------------------------------------------------

    /// Workers that are at work.
    pub fn busy(&self) -> u32 {
        self.busy
    }

    /// Requests held in memory, waiting for their turn.
    pub fn buffered(&self) -> usize {
        self.buffered
    }

    /// Every host that takes part, as it stands.
    pub fn hosts(&self, now: Time) -> impl Iterator<Item = HostView> {
        self.hosts
            .iter()
            .map(move |(host, entry)| entry.view(*host, now))
    }

    /// One host, as it stands.
    pub fn host(&self, host: HostId, now: Time) -> Option<HostView> {
        self.hosts.get(&host).map(|entry| entry.view(host, now))
    }

    // ---- how it is done -----------------------------------------------------------------------

    /// Buffers a request, at the front of its lane if it has waited long enough.
    fn take_up(&mut self, row: Ready, goes_first: bool) {
        if !self.owned.insert(row.request) {
            return;
        }
        if row.lost >= LOST_TO_SUSPECT {
            self.suspects.push_back(row);
            return;
        }
        let Some(lane) = self.lanes.get_mut(&(row.job, row.host)) else {
            self.owned.remove(&row.request);
            return;
        };
        self.buffered += 1;
        lane.push(row, goes_first);
    }

    fn feed_host(&mut self, host: HostId) {
        let jobs: Vec<JobId> = self
            .hosts
            .get(&host)
            .map_or(Vec::new(), |e| e.jobs().collect());
        for job in jobs {
            self.feed(job, host);
        }
    }

    /// Puts a lane where it belongs: into the ring if it has requests, among the hungry if it runs low,
    /// away if it has come to its end.
    fn feed(&mut self, job: JobId, host: HostId) {
        let key = (job, host);
        let (Some(lane), Some(entry)) = (self.lanes.get_mut(&key), self.hosts.get_mut(&host))
        else {
            return;
        };
        if !entry.serves(job) {
            return;
        }
        if lane.wants_refill(entry.limiter.limit() as usize) {
            lane.is_hungry = true;
            self.hungry.push_back(key);
        }
        if !lane.is_empty() && !lane.has_turn {
            lane.has_turn = true;
            self.ring.push_back(Turn::Lane(job, host));
        }
        if lane.is_over() {
            self.lanes.remove(&key);
        }
    }

    fn take_turn(&mut self, turn: Turn, now: Time) -> Option<Dispatch> {
        let host = turn.host();
        let entry = self.hosts.get_mut(&host)?;
        if let Turn::Lane(job, _) = turn {
            let lane = self.lanes.get_mut(&(job, host))?;
            if lane.is_empty() || !self.jobs.get(&job).is_some_and(|entry| entry.pages.has_room()) {
                lane.has_turn = false;
                return None;
            }
        }
        match entry.gate(now) {
            Gate::Open => {}
            Gate::Full => {
                entry.parked.push(turn);
                return None;
            }
            Gate::Until(at) => {
                entry.parked.push(turn);
                self.timers.insert((at, host));
                return None;
            }
        }
        let dispatch = match turn {
            Turn::Robots(_) => {
                entry.robots_asked();
                let job = entry.jobs().next()?;
                Dispatch::Robots {
                    host,
                    job,
                    token: entry.start(host, now),
                }
            }
            Turn::Lane(job, _) => {
                let lane = self.lanes.get_mut(&(job, host))?;
                let request = lane.pop()?;
                lane.has_turn = false;
                self.buffered -= 1;
                self.pages.reserve();
                self.jobs.get_mut(&job)?.pages.reserve();
                let token = entry.start(host, now);
                Dispatch::Request {
                    request,
                    token,
                    is_alone: false,
                }
            }
        };
        self.busy += 1;
        if let Turn::Lane(job, _) = turn {
            self.feed(job, host);
        }
        Some(dispatch)
    }

    fn poll_suspect(&mut self, now: Time) -> Suspect {
        for _ in 0..self.suspects.len() {
            let Some(suspect) = self.suspects.pop_front() else {
                break;
            };
            let (job, host) = (suspect.job, suspect.host);
            let has_room = self.jobs.get(&job).is_some_and(|entry| entry.pages.has_room());
            let Some(entry) = self.hosts.get_mut(&host).filter(|_| has_room) else {
                self.suspects.push_back(suspect);
                continue;
            };
            if self.busy > 0 {
                if entry.limiter.gate(now) != Gate::Open {
                    self.suspects.push_back(suspect);
                    continue;
                }
                self.suspects.push_front(suspect);
                return Suspect::NeedsTheStage;
            }
            match entry.gate(now) {
                Gate::Open => {
                    let token = entry.start(host, now);
                    self.busy += 1;
                    self.is_suspect_out = true;
                    self.pages.reserve();
                    if let Some(entry) = self.jobs.get_mut(&job) {
                        entry.pages.reserve();
                    }
                    return Suspect::Goes(Dispatch::Request {
                        request: suspect,
                        token,
                        is_alone: true,
                    });
                }
                Gate::Full => {}
                Gate::Until(at) => {
                    self.timers.insert((at, host));
                }
            }
            self.suspects.push_back(suspect);
        }
        Suspect::None
    }

    fn wake_hosts(&mut self, now: Time) {
        while let Some((at, host)) = self.timers.first().copied().filter(|(at, _)| *at <= now) {
            self.timers.remove(&(at, host));
            self.unpark(host);
        }
    }

    fn unpark(&mut self, host: HostId) {
        if let Some(entry) = self.hosts.get_mut(&host) {
            self.ring.extend(entry.parked.drain(..));
        }
    }

    fn consider_giving_up(&mut self, host: HostId, now: Time) {
        if self
            .hosts
            .get_mut(&host)
            .is_some_and(|entry| entry.is_beyond_hope(now))
        {
            self.given_up.push_back(host);
        }
    }

    fn drop_lane(&mut self, job: JobId, host: HostId) {
        if let Some(lane) = self.lanes.remove(&(job, host)) {
            self.buffered -= lane.len();
            for request in lane.into_requests() {
                self.owned.remove(&request);
            }
        }
    }
}

/// What a suspect wants of the scheduler.
enum Suspect {
    /// There is none that could go now.
    None,
    /// One waits for everything else to come home.
    NeedsTheStage,
    /// One goes, alone.
    Goes(Dispatch),
}
