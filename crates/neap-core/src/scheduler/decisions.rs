//! What is to be done now: sent, read from the store, given up, or waited for?

use super::host::HostEntry;
use super::suspects::Stage;
use super::work::{Dispatch, Refill, Wake};
use super::{LANES_AT_ONCE, MAX_LANES, REFILL, RESERVE, Scheduler};
use crate::ids::{HostId, JobId};
use crate::time::Time;

impl Scheduler {
    /// The next request to send, if any may go out now.
    pub fn poll_dispatch(&mut self, now: Time) -> Option<Dispatch> {
        self.forget_idle_hosts(now);
        self.wake_doors(now);
        self.wake_exits(now);
        let is_full = self.busy >= self.concurrency || !self.pages.has_room();
        let is_cut_off = self.network.held_until().is_some();
        if self.is_draining || self.suspects.is_out || is_full || is_cut_off {
            return None;
        }
        match self.poll_suspect(now) {
            Stage::Free => {}
            Stage::IsToBeCleared => return None,
            Stage::Taken(dispatch) => return Some(dispatch),
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
        while self.room() > 0 {
            let (job, host) = self.hungry.pop_front()?;
            let room = self.room();
            let limit = self
                .door_mut(host)
                .map_or(0.0, |(_, door)| door.limiter.limit());
            // With very many lanes each gets a small share of the room, so that all get one.
            let share = room / self.lanes.len().max(1);
            let most = REFILL.max(2 * limit as usize).min(room);
            let Some(lane) = self.lanes.get_mut(&(job, host)) else {
                continue;
            };
            if !lane.has_more() {
                lane.is_hungry = false;
                self.feed(job, host);
                continue;
            }
            // A lane that has something left is hungry again after its next turn.
            if room <= RESERVE && !lane.is_empty() {
                lane.is_hungry = false;
                continue;
            }
            let refill = lane.begin_refill(job, host, share.clamp(1, most));
            self.ordered += refill.count;
            return Some(refill);
        }
        None
    }

    /// The next host whose stored state is wanted. A host may be named again: with very many hosts,
    /// those that have nothing to do are forgotten, and a job that comes late must hear what the robots
    /// file says to it.
    pub fn poll_load(&mut self) -> Option<HostId> {
        self.unloaded.pop_front()
    }

    /// The job of which the store should announce more hosts, and the host from which on, if there are lanes
    /// for them.
    pub fn poll_announce(&mut self) -> Option<(JobId, HostId)> {
        let most = self.most_lanes();
        let room = LANES_AT_ONCE.min(most / 2);
        if self.is_draining {
            return None;
        }
        self.jobs.iter_mut().find_map(|(job, entry)| {
            let is_free = !entry.is_announcing && entry.lanes + room <= most;
            let host = entry.left_out.take_if(|_| is_free)?;
            entry.is_announcing = true;
            Some((*job, host))
        })
    }

    /// Lanes that one job may have.
    pub(super) fn most_lanes(&self) -> usize {
        (MAX_LANES / self.jobs.len().max(1)).max(2)
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
        self.drop_host_work(host);
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
        if let Some(at) = self.network.held_until() {
            return Some((at, Wake::Network));
        }
        let held = self.doors.next_timer();
        let held = held.map(|(at, door, hold)| (at, Wake::Host(door.0, hold)));
        let due = self.next_due.map(|at| (at, Wake::RetryDue));
        let exit = self.next_exit();
        let all = [held, due, exit].into_iter().flatten();
        all.min_by_key(|(at, _)| *at)
    }

    /// Until when nothing at all can be sent, and what is waited for, if nothing is in flight, nothing is
    /// awaited from the store, and no host is merely asked at its pace: every host is held, or every
    /// request waits for its retry.
    pub fn standstill(&self) -> Option<(Time, Wake)> {
        let (at, wake) = self.poll_timeout()?;
        let is_trouble = match wake {
            Wake::Host(_, hold) => hold.is_trouble(),
            Wake::RetryDue | Wake::Proxies(_) => true,
            Wake::Network => return (self.busy == 0).then_some((at, wake)),
        };
        let mut jobs = self.jobs.values();
        let is_waiting = self.ring.is_empty()
            && self.hungry.is_empty()
            && self.ordered == 0
            && !jobs.any(|entry| entry.is_announcing);
        let is_idle = is_trouble && self.busy == 0 && is_waiting;
        let is_loaded = || self.hosts.values().all(HostEntry::is_loaded);
        (is_idle && is_loaded()).then_some((at, wake))
    }
}
