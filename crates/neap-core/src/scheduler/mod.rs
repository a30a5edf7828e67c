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
//!                                                     ▲  └─► parked at its door ─┘
//!                                                     └── permit returned, time come
//! ```
//!
//! The scheduler is told and asked, it never looks: `handle_*` are events, `poll_*` are decisions, and
//! [`Scheduler::poll_timeout`] is the next moment at which asking again makes sense. At most
//! [`MAX_BUFFERED`] requests of [`MAX_LANES`] lanes are held, whatever the size of the frontier.

mod budget;
mod decisions;
mod door;
mod doors;
mod exit;
mod host;
mod job;
mod lane;
mod line;
mod owned;
mod pace;
mod patience;
mod quantile;
mod sections;
mod suspects;
mod turns;
mod work;

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::BuildHasherDefault;
use std::time::Duration;

use rand::RngCore;

use crate::canonical::CanonicalUrl;
use crate::egress::Party;
use crate::egress::network::Network;
use crate::host::Host;
use crate::ids::{HostId, JobId, RequestId};
use crate::limiter::{Change, Memory, Signal, SignalKind};
use crate::time::{Time, UnixMs};

pub use budget::RetryBudget;
use door::{Door, DoorId};
use doors::Doors;
use host::HostEntry;
pub use host::HostView;
pub use job::JobSettings;
use job::{JobEntry, Quota};
use lane::Lane;
use owned::Owned;
use patience::has_worked;
use suspects::Suspects;
use turns::Turn;
pub use work::{Dispatch, Hold, Position, Probing, Ready, Refill, Token, Wake};

/// Requests held in memory over all hosts, waiting for their turn; the frontier itself stays in the
/// store.
pub const MAX_BUFFERED: usize = 65_536;

/// Requests that a lane takes from the store at a time; measured as the best trade between reads and
/// memory (8: 181k leases per CPU second, 32: 448k, 128: 493k).
pub const REFILL: usize = 32;

/// Room for requests of lanes that have none: slow hosts that came first cannot fill all of it.
const RESERVE: usize = MAX_BUFFERED / 4;

/// Lanes that are at work at a time, over all jobs. Hosts beyond them wait in the store and come in, in their
/// order, as lanes come to their end: memory does not grow with the hosts of a crawl. Far more than can be in
/// flight, so that hosts that are held leave enough others.
pub const MAX_LANES: usize = 16_384;

/// Lanes that are free when the store is asked for more hosts.
const LANES_AT_ONCE: usize = 1024;

/// A request that was in flight at this many crashes is tried alone, so that it is known whether the
/// crash was its doing.
pub const LOST_TO_SUSPECT: u32 = 2;

/// Hosts that are remembered, at least: beyond that, those with nothing to do are forgotten, and loaded
/// from the store again when they are needed. Two kilobytes each with a lane, `examples/scheduler_cost.rs`.
const REMEMBERED_HOSTS: usize = 16_384;

type Hasher = BuildHasherDefault<DefaultHasher>;

/// Changes of limits that wait to be taken. Further ones wait in their limiters.
pub const MAX_CHANGES: usize = 10_000;

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
    /// What hosts are entered through.
    doors: Doors,
    owned: Owned,
    /// Requests held in memory, waiting for their turn.
    buffered: usize,
    /// Requests that the store was asked for and has not brought yet, at most.
    ordered: usize,
    suspects: Suspects,
    next_due: Option<Time>,
    given_up: VecDeque<HostId>,
    is_draining: bool,
    /// Changes of limits that nobody has taken yet.
    changes: Vec<(HostId, Change)>,
    /// Pages of this run, over all jobs.
    pages: Quota,
    /// Whether our own network works, as far as is known.
    network: Network,
    /// Idle hosts are forgotten once there are so many hosts.
    forget_at: usize,
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
            doors: Doors::default(),
            owned: Owned::default(),
            buffered: 0,
            ordered: 0,
            suspects: Suspects::default(),
            next_due: None,
            given_up: VecDeque::new(),
            is_draining: false,
            changes: Vec::new(),
            pages: Quota::default(),
            network: Network::default(),
            forget_at: REMEMBERED_HOSTS,
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

    /// A job asks for something else of one of its hosts. To be said before the host is
    /// [ready](Scheduler::handle_ready) for the first time; the limits of the whole job stay.
    pub fn set_host_settings(&mut self, job: JobId, host: HostId, settings: JobSettings) {
        if let Some(entry) = self.jobs.get_mut(&job) {
            entry.set_special(host, settings);
        }
    }

    /// The store holds ready requests of a job for a host, the first of them at `first`.
    pub fn handle_ready(&mut self, job: JobId, host: HostId, first: Position) {
        let most = self.most_lanes();
        let is_known = self.lanes.contains_key(&(job, host));
        let Some(entry) = self.jobs.get_mut(&job).filter(|entry| !entry.is_paused) else {
            return;
        };
        if !is_known {
            if entry.lanes >= most {
                entry.leave_out(host);
                return;
            }
            entry.lanes += 1;
        }
        let known = self.hosts.entry(host).or_insert_with(|| {
            self.unloaded.push_back(host);
            HostEntry::new(entry.settings_for(host))
        });
        let is_new = known.add_job(job, entry.settings_for(host));
        if is_new {
            if known.wants_stored_robots() {
                self.unloaded.push_back(host);
            }
            self.settle(host);
        }
        let lane = self
            .lanes
            .entry((job, host))
            .or_insert_with(|| Lane::new(first));
        lane.more_from(first);
        self.feed(job, host);
    }

    /// The store announced hosts of a job by [`Scheduler::handle_ready`], those before `next` or all of them.
    pub fn handle_announced(&mut self, job: JobId, next: Option<HostId>) {
        if let Some(entry) = self.jobs.get_mut(&job) {
            entry.is_announcing = false;
            if let Some(host) = next {
                entry.leave_out(host);
            }
        }
    }

    /// What the store knows of a host that [`Scheduler::poll_load`] named: its name, the limiter's memory,
    /// and the crawl delay of a robots file that is still fresh (`None` if there is no such file), which all
    /// jobs that take part know from now on. `now` and `unix_now` are the same moment.
    pub fn handle_host(
        &mut self,
        host: HostId,
        name: &Host,
        memory: Option<Memory>,
        robots: Option<Option<Duration>>,
        now: Time,
        unix_now: UnixMs,
    ) {
        let Some(entry) = self.hosts.get_mut(&host) else {
            return;
        };
        if entry.is_loaded() {
            self.inform_late_jobs(host, robots);
            return;
        }
        entry.domain = name.domain().into();
        entry.party = Party::of(name);
        if let Some(crawl_delay) = robots {
            entry.robots_known(crawl_delay);
        }
        if memory.as_ref().is_some_and(has_worked) {
            entry.has_worked();
        }
        let (demand, moment) = (entry.demand(), (now, unix_now));
        let id = self.doors.admit(host, &entry.domain, demand, moment);
        entry.door = Some(id);
        if let (Some(door), Some(memory)) = (self.doors.get_mut(id), memory) {
            door.remember(memory, now, unix_now);
        }
        self.settle(host);
        self.feed_host(host);
    }

    /// What the store says of a host's robots file to jobs that came after it was known.
    fn inform_late_jobs(&mut self, host: HostId, robots: Option<Option<Duration>>) {
        let is_late = |entry: &&mut HostEntry| entry.wants_stored_robots();
        let Some(entry) = self.hosts.get_mut(&host).filter(is_late) else {
            return;
        };
        match robots {
            Some(crawl_delay) => entry.robots_known(crawl_delay),
            None => entry.robots_are_stale(),
        }
        self.settle(host);
        self.feed_host(host);
    }

    /// A robots file was read, with this crawl delay; all jobs that take part know what it says.
    pub fn handle_robots(&mut self, host: HostId, crawl_delay: Option<Duration>) {
        let Some(entry) = self.hosts.get_mut(&host) else {
            return;
        };
        entry.robots_known(crawl_delay);
        self.settle(host);
        self.feed_host(host);
    }

    /// A robots file could not be had; it is asked for again after `wait`.
    pub fn handle_robots_unreachable(&mut self, host: HostId, wait: Duration, now: Time) {
        let Some(entry) = self.hosts.get_mut(&host) else {
            return;
        };
        entry.robots_failed(wait, now);
        self.feed_host(host);
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
        let Some(lane) = self.lanes.get_mut(&(refill.job, refill.host)) else {
            return;
        };
        let had_only_retries = lane.has_only_retries();
        let Some(reading) = lane.end_refill(last, is_exhausted) else {
            return;
        };
        self.ordered -= reading.count;
        if !reading.is_void {
            for row in rows {
                self.take_up(row);
            }
            // Its turn may wait for the retry budget, and have something fresh now.
            if had_only_retries {
                self.leave_budget(Turn::Lane(refill.job, refill.host), refill.host);
            }
        }
        for request in reading.recorded {
            self.release(request);
        }
        self.feed(refill.job, refill.host);
    }

    /// Requests whose wait is over were made ready by the store. They go before fresh ones.
    pub fn handle_promoted(&mut self, rows: Vec<Ready>) {
        for row in rows {
            let (job, host, position) = (row.job, row.host, row.position);
            let is_served = self.hosts.get(&host).is_some_and(|entry| entry.serves(job));
            let has_lane = self.lanes.get(&(job, host)).is_some_and(Lane::has_work);
            if is_served && has_lane && self.room() > 0 {
                self.take_up(row);
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
        let (host, id) = (token.host, token.door);
        if let Some(entry) = self.hosts.get_mut(&host) {
            entry.report(&signal, now);
        }
        let Some(door) = self.doors.get_mut(id) else {
            return false;
        };
        door.report(token, signal, now, dice);
        let is_failing = door.is_only_probed();
        if signal.retry_after.is_some() {
            // What must not be forgotten is stored with every host that it concerns.
            for host in &door.hosts {
                if let Some(entry) = self.hosts.get_mut(host) {
                    entry.is_dirty = true;
                }
            }
        }
        self.note_change(id);
        self.retire(id);
        self.call_in(id, now);
        if signal.kind.is_load_failure() {
            self.consider_giving_up(host, now);
        }
        is_failing
    }

    /// A page of a host ended like this. If it failed as a whole host would, but only the section of the host that
    /// it is in fails so, gives that section, such as `/checkout/`: the host is not to be slowed for it.
    pub fn handle_section(
        &mut self,
        host: HostId,
        url: &CanonicalUrl,
        kind: SignalKind,
    ) -> Option<String> {
        let sections = &mut self.hosts.get_mut(&host)?.sections;
        match kind {
            SignalKind::Ok => {
                sections.worked(url);
                None
            }
            SignalKind::Overload | SignalKind::Timeout => sections.failed(url).map(str::to_owned),
            SignalKind::RateLimited
            | SignalKind::Connect
            | SignalKind::Alive
            | SignalKind::Nothing => None,
        }
    }

    /// A worker is free again.
    pub fn handle_worker_free(&mut self) {
        self.busy = self.busy.saturating_sub(1);
        self.suspects.is_out = false;
    }

    /// What became of a dispatched request is decided: whether it was a page in the sense of
    /// `crawl.max_pages`.
    pub fn handle_verdict(&mut self, job: JobId, was_page: bool) {
        self.pages.settle(was_page);
        let Some(entry) = self.jobs.get_mut(&job) else {
            return;
        };
        entry.pages.settle(was_page);
        self.call_up(job);
    }

    /// The store committed what became of a request.
    pub fn handle_recorded(&mut self, request: RequestId) {
        let Some((job, host)) = self.owned.dispatched(request) else {
            return;
        };
        // A read that began before may still bring the request as it was then.
        let lane = self.lanes.get_mut(&(job, host));
        if !lane.is_some_and(|lane| lane.keeps_recorded(request)) {
            self.release(request);
        }
    }

    /// A host turned out to be one that can never be asked: nothing more goes to it.
    /// [`Scheduler::poll_given_up`] does not name it. Says whether it was not given up before.
    pub fn give_up(&mut self, host: HostId) -> bool {
        let is_news = self.hosts.get_mut(&host).is_some_and(HostEntry::give_up);
        if is_news {
            self.drop_host_work(host);
        }
        is_news
    }

    /// Nothing new goes out from now on; what is in flight comes home.
    pub fn drain(&mut self) {
        self.is_draining = true;
    }

    /// A job has no open request any more: forgets it.
    pub fn remove_job(&mut self, job: JobId) {
        self.pause_job(job);
        if self.jobs.remove(&job).is_none() {
            return;
        }
        for (host, entry) in &mut self.hosts {
            entry.remove_job(job, |other| {
                self.jobs.get(&other).map(|entry| entry.settings_for(*host))
            });
        }
        self.loosen();
    }

    /// Nothing more of a job is asked for until [`Scheduler::continue_job`]; what is in flight comes home.
    /// What it asks of its hosts goes on to hold.
    pub fn pause_job(&mut self, job: JobId) {
        if let Some(entry) = self.jobs.get_mut(&job) {
            entry.is_paused = true;
            entry.left_out = None;
            self.drop_job_work(job);
        }
    }

    /// A job that was paused takes part again: what the store announces of it from now on is asked for.
    pub fn continue_job(&mut self, job: JobId) {
        if let Some(entry) = self.jobs.get_mut(&job) {
            entry.is_paused = false;
        }
    }

    /// Lets at least so many requests be in flight over all hosts.
    pub fn raise_concurrency(&mut self, concurrency: u32) {
        self.concurrency = self.concurrency.max(concurrency);
    }

    /// Forgets what is in memory of a job.
    fn drop_job_work(&mut self, job: JobId) {
        let waiting = self
            .jobs
            .get_mut(&job)
            .map(|entry| std::mem::take(&mut entry.parked));
        let waiting = waiting.unwrap_or_default().into_iter();
        self.ring.extend(waiting.map(|host| Turn::Lane(job, host)));
        self.empty_exit(job);
        let of_job = self.lanes.keys().filter(|(j, _)| *j == job);
        for (job, host) in of_job.copied().collect::<Vec<_>>() {
            self.drop_lane(job, host);
            self.unpark_host(host);
        }
        self.drop_suspects(|suspect| suspect.job == job);
    }

    // ---- what it tells ------------------------------------------------------------------------

    /// Hosts of which something changed since they were last taken, as they stand and with what their
    /// limiters remember. What hosts of a domain learned together comes with each that was asked since, and
    /// with all of them if one asked for a pause: the first that a later run loads brings the limit back,
    /// and each of them the pause. `now` and `unix_now` are the same moment.
    pub fn take_memories(&mut self, now: Time, unix_now: UnixMs) -> Vec<(HostView, Memory)> {
        let mut changed = Vec::new();
        for (host, entry) in &mut self.hosts {
            let door = entry.door.and_then(|door| self.doors.get(door));
            let is_news = entry.is_dirty || entry.is_fading(now);
            if let Some(door) = door.filter(|_| is_news) {
                entry.is_dirty = false;
                let view = entry.view(*host, Some(door), now);
                changed.push((view, door.memory(now, unix_now)));
            }
        }
        changed
    }

    /// Whether the run has all the pages that [`Scheduler::limit_pages`] allows.
    pub fn is_out_of_pages(&self) -> bool {
        self.pages.is_used_up()
    }

    /// Changes of limits since they were last taken, each with the host whose limit it is, and in order for
    /// each host; of hosts that share one, that is the one that leads them ([`HostView::leader`]).
    /// [`MAX_CHANGES`] at most, the rest the next time.
    pub fn take_changes(&mut self) -> Vec<(HostId, Change)> {
        let taken = std::mem::take(&mut self.changes);
        if taken.len() >= MAX_CHANGES {
            for (id, door) in self.doors.iter_mut() {
                note(&mut self.changes, id, door);
            }
        }
        taken
    }

    fn note_change(&mut self, id: DoorId) {
        if let Some(door) = self.doors.get_mut(id) {
            note(&mut self.changes, id, door);
        }
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
            .map(move |(host, entry)| self.view(*host, entry, now))
    }

    /// One host, as it stands.
    pub fn host(&self, host: HostId, now: Time) -> Option<HostView> {
        let entry = self.hosts.get(&host)?;
        Some(self.view(host, entry, now))
    }

    fn view(&self, host: HostId, entry: &HostEntry, now: Time) -> HostView {
        let door = entry.door.and_then(|door| self.doors.get(door));
        entry.view(host, door, now)
    }
}

/// Notes what changed of the limit of a door, if there is room.
fn note(noted: &mut Vec<(HostId, Change)>, id: DoorId, door: &mut Door) {
    if noted.len() < MAX_CHANGES {
        noted.extend(door.limiter.take_changes().map(|change| (id.0, change)));
    }
}
