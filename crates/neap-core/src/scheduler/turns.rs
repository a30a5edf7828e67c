//! How does a turn go, and where does it wait?
//!
//! A lane has at most one turn, and so has a host's robots file. It stands in the ring, or is parked at
//! its host until that may be asked, or at its job until that has room for another page.

use super::host::HostEntry;
use super::lane::Lane;
use super::work::{Dispatch, Ready};
use super::{LOST_TO_SUSPECT, MAX_BUFFERED, REMEMBERED_HOSTS, Scheduler};
use crate::ids::{HostId, JobId, RequestId};
use crate::limiter::Gate;
use crate::time::Time;

/// A place in the ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    Lane(JobId, HostId),
    Robots(HostId),
}

impl Scheduler {
    // ---- into the ring ------------------------------------------------------------------------

    /// Takes a request into memory, before fresh ones if it has waited long enough.
    pub(super) fn take_up(&mut self, row: Ready, goes_first: bool) {
        let Some(lane) = self.lanes.get_mut(&(row.job, row.host)) else {
            return;
        };
        if !self.owned.take(&row) {
            return;
        }
        self.buffered += 1;
        if row.lost >= LOST_TO_SUSPECT {
            self.suspects.push(row);
        } else {
            lane.push(row, goes_first);
        }
    }

    pub(super) fn feed_host(&mut self, host: HostId) {
        let entry = self.hosts.get(&host);
        let jobs: Vec<JobId> = entry.map_or(Vec::new(), |entry| entry.jobs().collect());
        for job in jobs {
            self.feed(job, host);
        }
    }

    /// Puts a lane where it belongs: into the ring if it has requests, among the hungry if it runs low,
    /// behind the robots file if that is needed first, away if it has come to its end.
    pub(super) fn feed(&mut self, job: JobId, host: HostId) {
        let key = (job, host);
        let (Some(lane), Some(entry)) = (self.lanes.get_mut(&key), self.hosts.get_mut(&host))
        else {
            return;
        };
        if lane.is_over() {
            self.lanes.remove(&key);
            return;
        }
        if !entry.serves(job) {
            if lane.has_work() && entry.wants_robots() && !entry.robots_has_turn {
                entry.robots_has_turn = true;
                self.ring.push_back(Turn::Robots(host));
            }
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
    }

    /// Requests that may still be taken from the store.
    pub(super) fn room(&self) -> usize {
        MAX_BUFFERED.saturating_sub(self.buffered + self.ordered)
    }

    // ---- out of the ring ----------------------------------------------------------------------

    pub(super) fn take_turn(&mut self, turn: Turn, now: Time) -> Option<Dispatch> {
        match turn {
            Turn::Robots(host) => self.robots_turn(host, now),
            Turn::Lane(job, host) => {
                let dispatch = self.lane_turn(job, host, now);
                self.call_up(job);
                dispatch
            }
        }
    }

    fn lane_turn(&mut self, job: JobId, host: HostId, now: Time) -> Option<Dispatch> {
        let lane = self.lanes.get_mut(&(job, host))?;
        if lane.is_empty() {
            lane.has_turn = false;
            self.feed(job, host);
            return None;
        }
        let room = self.jobs.get_mut(&job)?;
        if !room.pages.has_room() {
            room.parked.push_back(host);
            return None;
        }
        if !self.passes(Turn::Lane(job, host), host, now) {
            return None;
        }
        let lane = self.lanes.get_mut(&(job, host))?;
        lane.has_turn = false;
        let request = lane.pop()?;
        let dispatch = self.start(request, false, now);
        self.feed(job, host);
        dispatch
    }

    fn robots_turn(&mut self, host: HostId, now: Time) -> Option<Dispatch> {
        let entry = self.hosts.get_mut(&host)?;
        let lanes = &self.lanes;
        let has_work = |job| lanes.get(&(job, host)).is_some_and(Lane::has_work);
        let is_wanted = entry.jobs().any(|job| entry.obeys(job) && has_work(job));
        if !is_wanted || !entry.wants_robots() {
            entry.robots_has_turn = false;
            return None;
        }
        if let Some(at) = entry.robots_held_until(now) {
            entry.parked.push(Turn::Robots(host));
            self.wake_host_at(host, at);
            return None;
        }
        if !self.passes(Turn::Robots(host), host, now) {
            return None;
        }
        let entry = self.hosts.get_mut(&host)?;
        entry.robots_has_turn = false;
        let job = entry.robots_asked()?;
        let token = entry.start(host, now);
        self.busy += 1;
        Some(Dispatch::Robots { host, job, token })
    }

    /// Whether a host can take a request now; parks the turn there if not.
    fn passes(&mut self, turn: Turn, host: HostId, now: Time) -> bool {
        let Some(entry) = self.hosts.get_mut(&host) else {
            return false;
        };
        match entry.gate(now) {
            Gate::Open => true,
            Gate::Full => {
                entry.parked.push(turn);
                false
            }
            Gate::Until(at) => {
                entry.parked.push(turn);
                self.wake_host_at(host, at);
                false
            }
        }
    }

    /// Sends a request that was in memory.
    pub(super) fn start(&mut self, request: Ready, is_alone: bool, now: Time) -> Option<Dispatch> {
        let host = request.host;
        self.buffered -= 1;
        self.owned.dispatch(request.request);
        self.busy += 1;
        self.pages.reserve();
        self.jobs.get_mut(&request.job)?.pages.reserve();
        let token = self.hosts.get_mut(&host)?.start(host, now);
        Some(Dispatch::Request {
            request,
            token,
            is_alone,
        })
    }

    // ---- waiting ------------------------------------------------------------------------------

    /// Has a host's turns try again at a time, if they do not earlier.
    pub(super) fn wake_host_at(&mut self, host: HostId, at: Time) {
        let Some(entry) = self.hosts.get_mut(&host) else {
            return;
        };
        if entry.timer.is_some_and(|set| set <= at) {
            return;
        }
        if let Some(later) = entry.timer.replace(at) {
            self.timers.remove(&(later, host));
        }
        self.timers.insert((at, host));
    }

    pub(super) fn wake_hosts(&mut self, now: Time) {
        while let Some((at, host)) = self.timers.first().copied().filter(|(at, _)| *at <= now) {
            self.timers.remove(&(at, host));
            if let Some(entry) = self.hosts.get_mut(&host) {
                entry.timer = None;
            }
            self.unpark(host);
        }
    }

    pub(super) fn unpark(&mut self, host: HostId) {
        if let Some(entry) = self.hosts.get_mut(&host) {
            self.ring.extend(entry.parked.drain(..));
        }
    }

    /// Brings the next lane that waits for a job's pages into the ring, if there is room for one.
    pub(super) fn call_up(&mut self, job: JobId) {
        if let Some(entry) = self.jobs.get_mut(&job)
            && entry.pages.has_room()
            && let Some(host) = entry.parked.pop_front()
        {
            self.ring.push_back(Turn::Lane(job, host));
        }
    }

    // ---- the end ------------------------------------------------------------------------------

    /// Lets go of a request, and looks it up once more if it was seen in the store meanwhile.
    pub(super) fn release(&mut self, request: RequestId) {
        if let Some((job, host, position)) = self.owned.release(request) {
            self.handle_ready(job, host, position);
        }
    }

    pub(super) fn consider_giving_up(&mut self, host: HostId, now: Time) {
        let Some(entry) = self.hosts.get_mut(&host) else {
            return;
        };
        let lanes = &self.lanes;
        let is_busy = |job| lanes.get(&(job, host)).is_some_and(Lane::has_work);
        let needs_robots = !entry.jobs().any(|job| !entry.obeys(job) && is_busy(job));
        if entry.is_beyond_hope(needs_robots, now) {
            self.given_up.push_back(host);
        }
    }

    /// Nothing more of any job goes to a host.
    pub(super) fn drop_host_work(&mut self, host: HostId) {
        let entry = self.hosts.get(&host);
        let jobs: Vec<JobId> = entry.map_or(Vec::new(), |entry| entry.jobs().collect());
        for job in jobs {
            self.drop_lane(job, host);
        }
        self.drop_suspects(|suspect| suspect.host == host);
        self.unpark(host);
    }

    /// Empties a lane. It is gone once its turn comes up, if it has one.
    pub(super) fn drop_lane(&mut self, job: JobId, host: HostId) {
        if let Some(lane) = self.lanes.get_mut(&(job, host)) {
            for row in lane.clear() {
                self.buffered -= 1;
                self.owned.release(row.request);
            }
        }
        self.feed(job, host);
    }

    /// Forgets hosts that have nothing to do, whenever their number has doubled since the last time.
    pub(super) fn forget_idle_hosts(&mut self, now: Time) {
        if self.hosts.len() < self.forget_at {
            return;
        }
        let (lanes, suspects) = (&self.lanes, &self.suspects);
        let has_lane = |host: HostId, entry: &HostEntry| {
            entry.jobs().any(|job| lanes.contains_key(&(job, host)))
        };
        self.hosts.retain(|host, entry| {
            !entry.is_idle(now) || has_lane(*host, entry) || suspects.any(|row| row.host == *host)
        });
        self.forget_at = REMEMBERED_HOSTS.max(2 * self.hosts.len());
    }
}
