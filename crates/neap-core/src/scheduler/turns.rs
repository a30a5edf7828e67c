//! How does a turn go, and where does it wait?
//!
//! A lane has at most one turn, and so has a host's robots file. It stands in the ring, or is parked at
//! its host's door until that may be asked, or at its job until that has room for another page.

use super::door::{Demand, Door, DoorId};
use super::host::HostEntry;
use super::lane::Lane;
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
        let turn = Turn::Lane(job, host);
        let has_only_retries = lane.has_only_retries();
        let (id, door) = self.door_mut(host)?;
        let may_retry = door.may_retry(now);
        let fresh_first = may_retry.is_err() || door.is_only_probed();
        if let (Err(at), true) = (may_retry, has_only_retries) {
            door.parked.push(turn);
            self.doors.wake_at(id, at, Hold::Budget);
            return None;
        }
        let request = self.lanes.get(&(job, host))?.peek(fresh_first);
        if !self.has_way(turn, job, request, host, now) || !self.passes(turn, host, now) {
            return None;
        }
        let lane = self.lanes.get_mut(&(job, host))?;
        lane.has_turn = false;
        let request = if fresh_first {
            lane.pop_untried()?
        } else {
            lane.pop()?
        };
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
            let (id, door) = self.door_mut(host)?;
            door.parked.push(Turn::Robots(host));
            self.doors.wake_at(id, at, Hold::Robots);
            return None;
        }
        let turn = Turn::Robots(host);
        let job = self.robots_job(host, now)?;
        if !self.has_way(turn, job, None, host, now) || !self.passes(turn, host, now) {
            return None;
        }
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

    /// Whether a host can take a request now; parks the turn at its door if not.
    fn passes(&mut self, turn: Turn, host: HostId, now: Time) -> bool {
        let Some((_, door)) = self.door_mut(host) else {
            return false;
        };
        let gate = door.gate(now);
        if gate == Gate::Open {
            return true;
        }
        door.parked.push(turn);
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
        while let Some(door) = self.doors.pop_due(now) {
            self.unpark(door);
        }
    }

    /// Has all turns at a door try again.
    pub(super) fn unpark(&mut self, id: DoorId) {
        if let Some(door) = self.doors.get_mut(id) {
            self.ring.extend(door.parked.drain(..));
        }
    }

    pub(super) fn unpark_host(&mut self, host: HostId) {
        if let Some((id, _)) = self.door_mut(host) {
            self.unpark(id);
        }
    }

    /// After a report: has the turns at a door try again if they may pass. With many hosts behind one
    /// door, nearly all would go through the ring for nothing otherwise.
    pub(super) fn let_in(&mut self, id: DoorId, now: Time) {
        let Some(door) = self.doors.get(id) else {
            return;
        };
        match door.peek(now) {
            Gate::Open => self.unpark(id),
            Gate::Full => {}
            Gate::Until(at) => {
                let hold = door.hold(now);
                if !door.parked.is_empty() {
                    self.doors.wake_at(id, at, hold);
                }
            }
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
        let Some((heir, old)) = self.doors.retire(id) else {
            return;
        };
        self.ring.extend(old.parked);
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
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    use super::*;
    use crate::CanonicalUrl;
    use crate::job::LimitKey;
    use crate::limiter::{HostLimiter, Reason, Signal, SignalKind};
    use crate::scheduler::{JobSettings, MAX_CHANGES, MAX_LANES, Position, Refill, Wake};
    use crate::{Host, UnixMs};

    const JOB: JobId = JobId(1);
    const HOST: HostId = HostId(1);
    /// The number of a request that may have crashed the process.
    const SUSPECT: i64 = 1_000_000;

    fn settings() -> JobSettings {
        JobSettings {
            per_host: 16,
            spacing: Duration::ZERO,
            key: LimitKey::Host,
            retry_budget: Some(0.2),
            obeys_robots: false,
            crawl_delay_max: Duration::from_secs(30),
            give_up_after: Duration::from_secs(600),
            pages_left: None,
        }
    }

    fn row(job: JobId, host: HostId, number: i64) -> Ready {
        let request = RequestId(number);
        Ready {
            request,
            job,
            host,
            url: CanonicalUrl::parse("http://a.example/").unwrap(),
            depth: 0,
            hops: 0,
            charged: 0,
            deferrals: 0,
            lost: if number == SUSPECT {
                LOST_TO_SUSPECT
            } else {
                0
            },
            earlier: 0,
            position: Position {
                priority: 0,
                due_ms: 0,
                request,
            },
        }
    }

    /// A scheduler that is about to read the first request of each of these jobs for one host.
    fn with_jobs(jobs: i64, settings: &JobSettings) -> (Scheduler, Vec<Refill>) {
        let mut scheduler = Scheduler::new(64);
        for job in (1..=jobs).map(JobId) {
            scheduler.add_job(job, settings.clone());
            scheduler.handle_ready(job, HOST, row(job, HOST, job.0).position);
        }
        load(&mut scheduler, HOST);
        let refills = std::iter::from_fn(|| scheduler.poll_refill()).collect();
        (scheduler, refills)
    }

    fn load(scheduler: &mut Scheduler, host: HostId) {
        let name = Host::parse(&format!("http://h{host}.example")).unwrap();
        scheduler.handle_host(host, &name, None, None, Time::ZERO, UnixMs(0));
    }

    fn bring(scheduler: &mut Scheduler, refill: &Refill, numbers: impl Iterator<Item = i64>) {
        let rows: Vec<_> = numbers.map(|n| row(refill.job, refill.host, n)).collect();
        let last = rows.last().map(|row| row.position);
        scheduler.handle_refilled(refill, rows, last, true);
    }

    fn assert_nothing_is_left(scheduler: &Scheduler) {
        assert!(scheduler.lanes.is_empty(), "{:?}", scheduler.lanes);
        assert!(scheduler.owned.is_empty(), "{:?}", scheduler.owned);
        assert_eq!((scheduler.buffered, scheduler.ordered), (0, 0));
        assert!(scheduler.ring.is_empty() && scheduler.hungry.is_empty());
        let mut doors = scheduler.hosts.values().filter_map(|host| host.door);
        let door = |id| scheduler.doors.get(id).unwrap();
        assert!(doors.all(|id| door(id).parked.is_empty() && door(id).fresh == 0));
    }

    #[test]
    fn a_host_has_one_timer_however_many_lanes_wait_for_it() {
        let spaced = JobSettings {
            spacing: Duration::from_secs(1),
            ..settings()
        };
        let (mut scheduler, refills) = with_jobs(20, &spaced);
        for refill in &refills {
            bring(&mut scheduler, refill, std::iter::once(refill.job.0));
        }
        for millis in 0..3000 {
            let now = Time::from_micros(millis * 1000);
            while scheduler.poll_dispatch(now).is_some() {}
            assert!(scheduler.doors.timer_count() <= 1, "{:?}", scheduler.doors);
            assert_eq!(
                scheduler.doors.get(DoorId(HOST)).unwrap().timer.is_some(),
                scheduler.doors.next_timer().is_some()
            );
        }
        assert!(scheduler.busy() >= 2);
    }

    #[test]
    fn a_paused_job_sends_nothing_until_it_is_continued_and_announced_again() {
        let (mut scheduler, refills) = with_jobs(2, &settings());
        bring(&mut scheduler, &refills[0], [1, SUSPECT].into_iter());
        scheduler.pause_job(JOB);
        // A read that was under way, and news of work: neither is for a paused job.
        let (mut other, paused) = (refills[1], refills[0]);
        bring(&mut scheduler, &other, std::iter::once(2));
        scheduler.handle_ready(JOB, HOST, row(JOB, HOST, 3).position);
        scheduler.handle_promoted(vec![row(JOB, HOST, 4)]);
        let sent = |scheduler: &mut Scheduler| match scheduler.poll_dispatch(Time::ZERO)? {
            Dispatch::Request { request, .. } => Some(request.request.0),
            Dispatch::Robots { .. } => None,
        };
        assert_eq!(sent(&mut scheduler), Some(2), "the other job goes on");
        assert_eq!(sent(&mut scheduler), None);
        assert!(scheduler.poll_refill().is_none());
        scheduler.continue_job(JOB);
        assert!(
            scheduler.poll_refill().is_none(),
            "nothing is announced yet"
        );
        scheduler.handle_ready(JOB, HOST, row(JOB, HOST, 1).position);
        other = scheduler.poll_refill().unwrap();
        assert_eq!((other.job, other.host), (JOB, paused.host));
        assert!(
            other.after < row(JOB, HOST, 1).position,
            "from the first on"
        );
        bring(&mut scheduler, &other, [1, 3].into_iter());
        assert_eq!(sent(&mut scheduler), Some(1));
    }

    #[test]
    fn the_earliest_of_two_times_wakes_a_host() {
        let (mut scheduler, _) = with_jobs(1, &settings());
        for seconds in [5.0, 1.0, 9.0] {
            let at = Time::from_secs_f64(seconds);
            scheduler.doors.wake_at(DoorId(HOST), at, Hold::Pace);
        }
        assert_eq!(
            scheduler.poll_timeout(),
            Some((Time::from_secs_f64(1.0), Wake::Host(HOST, Hold::Pace)))
        );
        scheduler.wake_doors(Time::from_secs_f64(1.0));
        assert_eq!(scheduler.poll_timeout(), None);
    }

    #[test]
    fn room_for_a_page_passes_by_a_lane_whose_host_is_held() {
        let mut scheduler = Scheduler::new(64);
        let narrow = JobSettings {
            per_host: 1,
            ..settings()
        };
        let one_page = JobSettings {
            pages_left: Some(1),
            ..narrow.clone()
        };
        scheduler.add_job(JOB, one_page);
        scheduler.add_job(JobId(2), narrow);
        let lanes = [(JOB, 1), (JOB, 2), (JOB, 3), (JobId(2), 2)];
        for (number, (job, host)) in (1..).zip(lanes) {
            let host = HostId(host);
            scheduler.handle_ready(job, host, row(job, host, number).position);
            load(&mut scheduler, host);
            let refill = scheduler.poll_refill().unwrap();
            bring(&mut scheduler, &refill, std::iter::once(number));
        }
        let sent = |scheduler: &mut Scheduler| {
            let dispatch = scheduler.poll_dispatch(Time::ZERO)?;
            match dispatch {
                Dispatch::Request { request, .. } => Some((request.job, request.host)),
                Dispatch::Robots { .. } => None,
            }
        };
        assert_eq!(sent(&mut scheduler), Some((JOB, HOST)));
        assert_eq!(sent(&mut scheduler), Some((JobId(2), HostId(2))));
        assert_eq!(sent(&mut scheduler), None, "job 1 may have its page");
        scheduler.handle_verdict(JOB, false);
        assert_eq!(
            sent(&mut scheduler),
            Some((JOB, HostId(3))),
            "host 2 is full"
        );
    }

    #[test]
    fn work_that_is_dropped_leaves_nothing_behind() {
        let drops: [fn(&mut Scheduler); 3] = [
            |scheduler| scheduler.give_up(HOST),
            |scheduler| scheduler.remove_job(JOB),
            |scheduler| {
                scheduler.given_up.push_back(HOST);
                assert_eq!(scheduler.poll_given_up(), Some(HOST));
            },
        ];
        for drop_work in drops {
            // In the ring; parked at its host; and with a refill under way.
            for (spacing, polls, is_reading) in [(0, 0, false), (9, 2, false), (0, 0, true)] {
                let spaced = JobSettings {
                    spacing: Duration::from_secs(spacing),
                    ..settings()
                };
                let (mut scheduler, refills) = with_jobs(1, &spaced);
                let rows = || (1..9).chain([SUSPECT]);
                if !is_reading {
                    bring(&mut scheduler, &refills[0], rows());
                }
                for _ in 0..polls {
                    if let Some(Dispatch::Request { request, .. }) =
                        scheduler.poll_dispatch(Time::ZERO)
                    {
                        scheduler.handle_worker_free();
                        scheduler.handle_recorded(request.request);
                    }
                }
                drop_work(&mut scheduler);
                if is_reading {
                    bring(&mut scheduler, &refills[0], rows());
                }
                assert!(scheduler.poll_dispatch(Time::ZERO).is_none());
                assert!(scheduler.poll_refill().is_none());
                assert_nothing_is_left(&scheduler);
            }
        }
    }

    #[test]
    fn a_lane_that_was_dropped_and_comes_back_has_one_turn() {
        let (mut scheduler, refills) = with_jobs(1, &settings());
        bring(&mut scheduler, &refills[0], 1..9);
        scheduler.give_up(HOST);
        scheduler.handle_ready(JOB, HOST, row(JOB, HOST, 20).position);
        let refill = scheduler.poll_refill().unwrap();
        bring(&mut scheduler, &refill, 20..30);
        assert_eq!(scheduler.ring, [Turn::Lane(JOB, HOST)]);
    }

    #[test]
    fn what_a_refill_brings_of_dropped_work_is_not_sent() {
        let (mut scheduler, refills) = with_jobs(1, &settings());
        scheduler.give_up(HOST);
        scheduler.handle_ready(JOB, HOST, row(JOB, HOST, 20).position);
        bring(&mut scheduler, &refills[0], 1..9);
        assert!(scheduler.poll_dispatch(Time::ZERO).is_none());
        let refill = scheduler.poll_refill().unwrap();
        assert!(refill.after < row(JOB, HOST, 20).position);
    }

    #[test]
    fn a_read_that_began_before_the_record_does_not_bring_a_request_back() {
        let (mut scheduler, refills) = with_jobs(1, &settings());
        bring(&mut scheduler, &refills[0], 1..2);
        assert!(scheduler.poll_dispatch(Time::ZERO).is_some());
        scheduler.handle_ready(JOB, HOST, row(JOB, HOST, 0).position);
        let refill = scheduler.poll_refill().unwrap();
        scheduler.handle_recorded(RequestId(1));
        bring(&mut scheduler, &refill, 0..2);
        let sent: Vec<_> = std::iter::from_fn(|| scheduler.poll_dispatch(Time::ZERO)).collect();
        assert!(matches!(&sent[..], [Dispatch::Request { request, .. }] if request.request.0 == 0));
    }

    #[test]
    fn a_request_that_is_ready_again_before_word_of_its_record_is_looked_up() {
        let (mut scheduler, refills) = with_jobs(1, &settings());
        bring(&mut scheduler, &refills[0], 1..2);
        assert!(scheduler.poll_dispatch(Time::ZERO).is_some());
        scheduler.handle_promoted(vec![row(JOB, HOST, 1)]);
        let early = scheduler.poll_refill();
        if let Some(refill) = early {
            bring(&mut scheduler, &refill, 1..2);
        }
        scheduler.handle_recorded(RequestId(1));
        let refill = scheduler.poll_refill().expect("it is looked up once more");
        assert!(refill.after < row(JOB, HOST, 1).position);
        bring(&mut scheduler, &refill, 1..2);
        assert!(scheduler.poll_dispatch(Time::ZERO).is_some());
    }

    #[test]
    fn what_a_host_takes_in_tables() {
        let sizes = [
            ("limiter", size_of::<HostLimiter>()),
            ("door", size_of::<Door>()),
            ("host", size_of::<HostEntry>()),
            ("lane", size_of::<Lane>()),
        ];
        println!("bytes: {sizes:?}");
        let entry: usize = sizes[1..3].iter().map(|(_, bytes)| bytes).sum();
        assert!(entry <= 1024, "{sizes:?}");
    }

    #[test]
    fn hosts_beyond_the_lanes_wait_in_the_store_and_have_their_turn() {
        let (mut scheduler, mut dice) = (Scheduler::new(64), SmallRng::seed_from_u64(1));
        scheduler.add_job(JOB, settings());
        let hosts = 3 * MAX_LANES as i64;
        let announce = |scheduler: &mut Scheduler, from: i64| {
            // More than there may be room for.
            let until = (from + 2000).min(hosts + 1);
            for number in from..until {
                let host = HostId(number);
                scheduler.handle_ready(JOB, host, row(JOB, host, number).position);
                load(scheduler, host);
            }
            let next = (until <= hosts).then_some(HostId(until));
            scheduler.handle_announced(JOB, next);
        };
        announce(&mut scheduler, 1);
        let (mut seen, mut most, mut now) = (BTreeSet::new(), 0, Time::ZERO);
        while seen.len() < hosts as usize {
            while let Some((_, from)) = scheduler.poll_announce() {
                announce(&mut scheduler, from.0);
            }
            most = most.max(scheduler.lanes.len());
            while let Some(refill) = scheduler.poll_refill() {
                let host = refill.host.0;
                bring(&mut scheduler, &refill, host..=host);
            }
            now = now + Duration::from_millis(1);
            let Some(Dispatch::Request { request, token, .. }) = scheduler.poll_dispatch(now)
            else {
                panic!("{} of {hosts} hosts had their turn", seen.len());
            };
            assert!(seen.insert(request.host), "each once");
            scheduler.handle_report(token, Signal::NOTHING, now, &mut dice);
            scheduler.handle_worker_free();
            scheduler.handle_recorded(request.request);
        }
        assert!((MAX_LANES - 2000..=MAX_LANES).contains(&most), "{most}");
        assert!(scheduler.poll_announce().is_none());
    }

    #[test]
    fn idle_hosts_are_forgotten_and_others_are_not() {
        let (mut scheduler, mut dice) = (Scheduler::new(64), SmallRng::seed_from_u64(1));
        scheduler.add_job(JOB, settings());
        let mut most = 0;
        for number in 1..=3 * REMEMBERED_HOSTS as i64 {
            let host = HostId(number);
            scheduler.handle_ready(JOB, host, row(JOB, host, number).position);
            load(&mut scheduler, host);
            let refill = scheduler.poll_refill().unwrap();
            bring(&mut scheduler, &refill, number..=number);
            let now = Time::from_micros(number as u64 * 1000);
            let Some(Dispatch::Request { token, .. }) = scheduler.poll_dispatch(now) else {
                panic!("host {number} has its turn");
            };
            // The first host never answers.
            if number > 1 {
                let kind = SignalKind::Ok;
                let signal = Signal {
                    kind,
                    ..Signal::NOTHING
                };
                scheduler.handle_report(token, signal, now, &mut dice);
                scheduler.handle_worker_free();
            }
            if number % 100 == 0 {
                scheduler.take_memories(now, UnixMs(0));
            }
            most = most.max(scheduler.hosts.len());
        }
        assert!(most <= REMEMBERED_HOSTS, "{most}");
        assert!(scheduler.hosts.contains_key(&HostId(1)));
    }

    #[test]
    fn every_change_of_a_limit_is_told_once_from_the_start_on() {
        let (mut scheduler, refills) = with_jobs(1, &settings());
        let reasons = |scheduler: &mut Scheduler| -> Vec<_> {
            let changes = scheduler.take_changes().into_iter();
            changes.map(|(_, change)| change.reason).collect()
        };
        assert_eq!(reasons(&mut scheduler), [Reason::Start]);
        assert_eq!(reasons(&mut scheduler), []);
        bring(&mut scheduler, &refills[0], 1..2);
        // Another job allows the host one request at a time.
        let careful = JobSettings {
            per_host: 1,
            ..settings()
        };
        scheduler.add_job(JobId(2), careful);
        scheduler.handle_ready(JobId(2), HOST, row(JobId(2), HOST, 2).position);
        assert_eq!(reasons(&mut scheduler), [Reason::Ceiling]);
        assert_eq!(scheduler.host(HOST, Time::ZERO).unwrap().limit, 1.0);
    }

    #[test]
    fn changes_for_which_there_is_no_room_are_told_the_next_time() {
        let (mut scheduler, hosts) = (Scheduler::new(64), MAX_CHANGES as i64 + 5);
        scheduler.add_job(JOB, settings());
        for number in 1..=hosts {
            let host = HostId(number);
            scheduler.handle_ready(JOB, host, row(JOB, host, number).position);
            load(&mut scheduler, host);
        }
        let first = scheduler.take_changes();
        assert_eq!(first.len(), MAX_CHANGES);
        let rest = scheduler.take_changes();
        assert_eq!((rest.len(), scheduler.take_changes().len()), (5, 0));
        let told: BTreeSet<_> = first.iter().chain(&rest).map(|(host, _)| *host).collect();
        assert_eq!(told.len() as i64, hosts, "each of them once");
    }

    #[test]
    fn a_host_is_written_down_whenever_something_changed() {
        let (mut scheduler, refills) = with_jobs(1, &settings());
        let mut dice = SmallRng::seed_from_u64(1);
        let taken = |scheduler: &mut Scheduler, now| scheduler.take_memories(now, UnixMs(0));
        assert_eq!(taken(&mut scheduler, Time::ZERO), []);
        bring(&mut scheduler, &refills[0], 1..2);
        let Some(Dispatch::Request { token, .. }) = scheduler.poll_dispatch(Time::ZERO) else {
            panic!("it has its turn");
        };
        let (view, _) = taken(&mut scheduler, Time::ZERO).remove(0);
        assert_eq!((view.in_flight, view.rate > 0.0, view.p95), (1, true, None));
        let now = Time::from_secs_f64(0.3);
        let signal = Signal {
            kind: SignalKind::Ok,
            latency: Some(Duration::from_millis(250)),
            ..Signal::NOTHING
        };
        scheduler.handle_report(token, signal, now, &mut dice);
        let (view, _) = taken(&mut scheduler, now).remove(0);
        assert_eq!(
            (view.in_flight, view.p95),
            (0, Some(Duration::from_millis(250)))
        );
        // Its pace goes down by itself, and is written down until it is none.
        let (view, _) = taken(&mut scheduler, now).remove(0);
        assert!(view.rate > 0.05, "{view:?}");
        let later = Time::from_secs_f64(60.0);
        assert_eq!(taken(&mut scheduler, later), []);
    }
}
