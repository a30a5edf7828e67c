//! How does a turn go, and where does it wait?
//!
//! A lane has at most one turn, and so has a host's robots file. It stands in the ring, or is parked at
//! its host's door until that may be asked, or at its job until that has room for another page.

use super::door::{Demand, Door, DoorId};
use super::host::HostEntry;
use super::lane::Lane;
use super::line::Line;
use super::work::{Dispatch, Hold, Ready};
use super::{LOST_TO_SUSPECT, MAX_BUFFERED, REMEMBERED_HOSTS, Scheduler};
use crate::egress::Pass;
use crate::ids::{HostId, JobId, RequestId};
use crate::limiter::Gate;
use crate::time::Time;

/// A place in the ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    Lane(JobId, HostId),
    Robots(HostId),
}

/// What came of a turn.
enum Tried {
    /// It went out.
    Gone(Dispatch),
    /// It waits for a permit.
    Shut,
    /// It has nothing to ask for, or waits for something else.
    Elsewhere,
}

impl Scheduler {
    // ---- into the ring ------------------------------------------------------------------------

    /// Takes a request into memory, if there is a place for it.
    pub(super) fn take_up(&mut self, row: Ready) {
        let Some(lane) = self.lanes.get_mut(&(row.job, row.host)) else {
            return;
        };
        let is_suspect = row.lost >= LOST_TO_SUSPECT;
        if !(is_suspect || lane.has_place(&row)) || !self.owned.take(&row) {
            return;
        }
        self.buffered += 1;
        if is_suspect {
            self.suspects.push(row);
            return;
        }
        let (host, is_fresh) = (row.host, !row.has_failed());
        lane.push(row);
        if let Some((_, door)) = self.door_mut(host) {
            door.fresh += usize::from(is_fresh);
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
        let door = entry.door.and_then(|door| self.doors.get(door));
        let limit = door.map_or(0.0, |door| door.limiter.limit());
        if lane.is_over() {
            self.lanes.remove(&key);
            if let Some(entry) = self.jobs.get_mut(&job) {
                entry.lanes = entry.lanes.saturating_sub(1);
            }
            return;
        }
        if !entry.serves(job) {
            if lane.has_work() && entry.wants_robots() && !entry.robots_has_turn {
                entry.robots_has_turn = true;
                self.ring.push_back(Turn::Robots(host));
            }
            return;
        }
        if lane.wants_refill(limit as usize) {
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
        let (Turn::Lane(_, host) | Turn::Robots(host)) = turn;
        let door = self.door_mut(host);
        let was_called = door
            .and_then(|(_, door)| door.known_line())
            .is_some_and(|line| line.try_turn(turn));
        let tried = match turn {
            Turn::Robots(host) => self.robots_turn(host, was_called, now),
            Turn::Lane(job, host) => {
                let tried = self.lane_turn(job, host, was_called, now);
                self.call_up(job);
                tried
            }
        };
        // Who found the gate closed has nobody to make room for.
        if !matches!(tried, Tried::Shut)
            && let Some((id, _)) = self.door_mut(host)
        {
            self.call_in(id, now);
        }
        match tried {
            Tried::Gone(dispatch) => Some(dispatch),
            Tried::Shut | Tried::Elsewhere => None,
        }
    }

    fn lane_turn(&mut self, job: JobId, host: HostId, was_called: bool, now: Time) -> Tried {
        let turn = Turn::Lane(job, host);
        match self.next_of_lane(job, host, now) {
            None => Tried::Elsewhere,
            Some(_) if !self.passes(turn, host, was_called, now) => Tried::Shut,
            Some(fresh_first) => {
                let dispatch = self.send_next(job, host, fresh_first, now);
                self.feed(job, host);
                dispatch.map_or(Tried::Elsewhere, Tried::Gone)
            }
        }
    }

    /// Whether the lane has a request that may go but for the gate, and whether one that did not fail goes
    /// first. If not, its turn waits for what it lacks.
    fn next_of_lane(&mut self, job: JobId, host: HostId, now: Time) -> Option<bool> {
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
        let turn = Turn::Lane(job, host);
        let has_only_retries = lane.has_only_retries();
        let (id, door) = self.door_mut(host)?;
        let may_retry = door.may_retry(now);
        let fresh_first = may_retry.is_err() || door.is_only_probed();
        if let (Err(at), true) = (may_retry, has_only_retries) {
            door.line().wait_for_budget(turn);
            self.doors.wake_at(id, at, Hold::Budget);
            return None;
        }
        let request = self.lanes.get(&(job, host))?.peek(fresh_first);
        self.has_way(turn, job, request, host, now)
            .then_some(fresh_first)
    }

    fn send_next(
        &mut self,
        job: JobId,
        host: HostId,
        fresh_first: bool,
        now: Time,
    ) -> Option<Dispatch> {
        let lane = self.lanes.get_mut(&(job, host))?;
        lane.has_turn = false;
        let request = if fresh_first {
            lane.pop_untried()?
        } else {
            lane.pop()?
        };
        self.start(request, false, now)
    }

    fn robots_turn(&mut self, host: HostId, was_called: bool, now: Time) -> Tried {
        let turn = Turn::Robots(host);
        if !self.may_ask_robots(turn, host, now) {
            return Tried::Elsewhere;
        }
        if !self.passes(turn, host, was_called, now) {
            return Tried::Shut;
        }
        self.ask_robots(host, now)
            .map_or(Tried::Elsewhere, Tried::Gone)
    }

    /// Whether a robots file is to be asked for now, but for the gate. If not, its turn waits for what it lacks.
    fn may_ask_robots(&mut self, turn: Turn, host: HostId, now: Time) -> bool {
        let Some(entry) = self.hosts.get_mut(&host) else {
            return false;
        };
        let lanes = &self.lanes;
        let has_work = |job| lanes.get(&(job, host)).is_some_and(Lane::has_work);
        let is_wanted = entry.jobs().any(|job| entry.obeys(job) && has_work(job));
        if !is_wanted || !entry.wants_robots() {
            entry.robots_has_turn = false;
            return false;
        }
        if let Some(at) = entry.robots_held_until(now) {
            if let Some((id, door)) = self.door_mut(host) {
                door.line().wait_for_robots(host, at);
                self.doors.wake_at(id, at, Hold::Robots);
            }
            return false;
        }
        let job = self.robots_job(host, now);
        job.is_some_and(|job| self.has_way(turn, job, None, host, now))
    }

    fn ask_robots(&mut self, host: HostId, now: Time) -> Option<Dispatch> {
        let job = self.robots_job(host, now)?;
        let entry = self.hosts.get_mut(&host)?;
        entry.robots_has_turn = false;
        entry.robots_asked();
        entry.start(now);
        let (id, door) = self.door_mut(host)?;
        let token = door.start(id, host, false, now);
        self.busy += 1;
        Some(Dispatch::Robots { host, job, token })
    }

    /// The job in whose name a robots file is asked for: the first that wants it and has a way out.
    fn robots_job(&self, host: HostId, now: Time) -> Option<JobId> {
        let entry = self.hosts.get(&host)?;
        let has_way = |job: &JobId| self.way(*job, None, host, now) == Pass::Open;
        let open = entry.obeying().find(has_way);
        open.or_else(|| entry.obeying().next())
    }

    /// Whether a host can take a request now, and nobody came before; has the turn wait at its door if not.
    fn passes(&mut self, turn: Turn, host: HostId, was_called: bool, now: Time) -> bool {
        let Some((id, door)) = self.door_mut(host) else {
            return false;
        };
        let is_behind = door
            .known_line()
            .is_some_and(|line| line.is_behind_others(was_called));
        if is_behind {
            door.line().wait_for_permit(turn, false);
            self.call_in(id, now);
            return false;
        }
        let gate = door.gate(now);
        if gate == Gate::Open {
            return true;
        }
        door.line().wait_for_permit(turn, was_called);
        if let Gate::Until(at) = gate {
            self.wake_at(host, at, now);
        }
        false
    }

    /// Sends a request that was in memory.
    pub(super) fn start(&mut self, request: Ready, is_alone: bool, now: Time) -> Option<Dispatch> {
        let (host, is_retry) = (request.host, request.has_failed());
        self.buffered -= 1;
        self.owned.dispatch(request.request);
        self.busy += 1;
        self.pages.reserve();
        self.jobs.get_mut(&request.job)?.pages.reserve();
        self.hosts.get_mut(&host)?.start(now);
        let (id, door) = self.door_mut(host)?;
        // What is sent alone did not stand in a lane.
        door.fresh -= usize::from(!is_retry && !is_alone);
        let token = door.start(id, host, is_retry, now);
        Some(Dispatch::Request {
            request,
            token,
            is_alone,
        })
    }

    // ---- waiting ------------------------------------------------------------------------------

    /// Has the turns at a host's door try again at the time until which its gate is closed.
    pub(super) fn wake_at(&mut self, host: HostId, at: Time, now: Time) {
        if let Some((id, door)) = self.door_mut(host) {
            let hold = door.hold(now);
            self.doors.wake_at(id, at, hold);
        }
    }

    pub(super) fn wake_doors(&mut self, now: Time) {
        while let Some(id) = self.doors.pop_due(now) {
            let line = self.doors.get_mut(id).and_then(Door::known_line);
            if let Some(line) = line {
                let due = std::iter::from_fn(|| line.pop_robots(now));
                self.ring.extend(due.map(Turn::Robots));
                if let Some(at) = line.next_robots() {
                    self.doors.wake_at(id, at, Hold::Robots);
                }
            }
            self.call_in(id, now);
        }
    }

    /// Has all turns at a host's door try again.
    pub(super) fn unpark_host(&mut self, host: HostId) {
        if let Some((_, door)) = self.door_mut(host)
            && let Some(line) = door.known_line()
        {
            let turns = line.dissolve();
            self.ring.extend(turns);
        }
    }

    /// Has a turn that waited for the retry budget of a host's door try again.
    pub(super) fn leave_budget(&mut self, turn: Turn, host: HostId) {
        if let Some((_, door)) = self.door_mut(host)
            && let Some(line) = door.known_line()
            && line.leave_budget(turn)
        {
            self.ring.push_back(turn);
        }
    }

    /// Has the turn at a door that is next try again if it may pass, or sees to it that somebody does so at
    /// the time from which it may. When that turn has gone through, the one behind it is called: all of them
    /// at once would go through the ring for nothing.
    pub(super) fn call_in(&mut self, id: DoorId, now: Time) {
        let Some(door) = self.doors.get_mut(id) else {
            return;
        };
        let is_idle = |line: &mut Line| line.has_called() || line.has_nobody_to_call();
        if door.known_line().is_none_or(is_idle) {
            return;
        }
        let may_retry = door.may_retry(now);
        match door.would_admit(now) {
            Gate::Open => self.ring.extend(door.line().call(may_retry.is_ok())),
            // A report comes.
            Gate::Full => {}
            Gate::Until(at) => {
                let hold = door.hold(now);
                self.doors.wake_at(id, at, hold);
            }
        }
        if let Err(at) = may_retry
            && let Some(door) = self.doors.get_mut(id)
            && door.line().waits_for_budget()
        {
            self.doors.wake_at(id, at, Hold::Budget);
        }
    }

    // ---- doors --------------------------------------------------------------------------------

    /// The door of a host, with its name.
    pub(super) fn door_mut(&mut self, host: HostId) -> Option<(DoorId, &mut Door)> {
        let id = self.hosts.get(&host)?.door?;
        Some((id, self.doors.get_mut(id)?))
    }

    /// Has a host's door do what the host asks of it now, and all hosts of its domain share one if that is
    /// asked.
    pub(super) fn settle(&mut self, host: HostId) {
        let Some(entry) = self.hosts.get(&host) else {
            return;
        };
        let (demand, domain) = (entry.demand(), entry.domain.clone());
        let is_sharing = entry.is_limited_by_domain();
        let Some((id, door)) = self.door_mut(host) else {
            return;
        };
        door.tighten(demand);
        self.note_change(id);
        if is_sharing {
            for other in self.doors.share(&domain, id) {
                self.retire(other);
            }
        }
    }

    /// Moves the hosts of a door to the one that it gives way to, once nothing is in flight behind it.
    pub(super) fn retire(&mut self, id: DoorId) {
        let Some((heir, mut old)) = self.doors.retire(id) else {
            return;
        };
        self.ring.extend(old.line().dissolve());
        for host in old.hosts {
            if let Some(entry) = self.hosts.get_mut(&host) {
                entry.door = Some(heir);
                entry.is_dirty = true;
            }
            self.settle(host);
        }
    }

    /// After a job left: asks of every door what the hosts behind it still want.
    pub(super) fn loosen(&mut self) {
        for (_, door) in self.doors.iter_mut() {
            let hosts = door.hosts.iter().filter_map(|host| self.hosts.get(host));
            if let Some(demand) = hosts.map(|entry| entry.demand()).reduce(Demand::and) {
                door.set_demand(demand);
            }
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
        let Some(entry) = self.hosts.get(&host) else {
            return;
        };
        let Some(door) = entry.door.and_then(|door| self.doors.get(door)) else {
            return;
        };
        let lanes = &self.lanes;
        let is_busy = |job| lanes.get(&(job, host)).is_some_and(Lane::has_work);
        let needs_robots = !entry.jobs().any(|job| !entry.obeys(job) && is_busy(job));
        let hopeless: Vec<HostId> = if door.is_beyond_hope(now) {
            door.hosts.iter().copied().collect()
        } else if entry.is_beyond_hope(needs_robots, door.hosts.len() > 1, now) {
            vec![host]
        } else {
            Vec::new()
        };
        for host in hopeless {
            if self.hosts.get_mut(&host).is_some_and(HostEntry::give_up) {
                self.given_up.push_back(host);
            }
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
        self.unpark_host(host);
    }

    /// Empties a lane. It is gone once its turn comes up, if it has one.
    pub(super) fn drop_lane(&mut self, job: JobId, host: HostId) {
        let mut fresh = 0;
        if let Some(lane) = self.lanes.get_mut(&(job, host)) {
            for row in lane.clear() {
                self.buffered -= 1;
                fresh += usize::from(!row.has_failed());
                self.owned.release(row.request);
            }
        }
        if let Some((_, door)) = self.door_mut(host) {
            door.fresh -= fresh;
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
        let doors = &mut self.doors;
        self.hosts.retain(|host, entry| {
            let Some(id) = entry.door.filter(|_| entry.is_idle()) else {
                return true;
            };
            // Others may keep a shared door busy; it is not forgotten then.
            let is_door_idle = |door: &Door| door.hosts.len() > 1 || door.is_idle(now);
            let is_kept = !doors.get(id).is_none_or(is_door_idle)
                || has_lane(*host, entry)
                || suspects.any(|row| row.host == *host);
            if !is_kept {
                doors.forget(*host, &entry.domain, id);
            }
            is_kept
        });
        self.forget_at = REMEMBERED_HOSTS.max(2 * self.hosts.len());
    }
}

#[cfg(test)]
mod tests;
