//! Is there a way out for a turn, and who waits until there is one?
//!
//! A job that goes through proxies has pools of them. A turn for which they have no way now stands in the
//! job's line. A request that comes home may make a way free: the first few of the line try again then, and
//! one more for each that went out, since most would find what they found before. All of them try again when
//! nothing of the job is out any more, and at the time that the pools name.

use std::collections::VecDeque;

use rand::RngCore;

use super::Scheduler;
use super::turns::Turn;
use super::work::{Probing, Wake};
use crate::canonical::CanonicalUrl;
use crate::egress::{Ask, Charge, Member, Party, Pass, Pools, ProxyId, Seen, Ticket};
use crate::ids::{HostId, JobId, RequestId};
use crate::limiter::Gate;
use crate::time::Time;

/// Turns that try again when a request comes home. With one proxy a host, some of the line belong to the
/// proxy that is free now; four keep three of four proxies busy in the worst mix, and cost little.
const AT_ONCE: usize = 4;

/// How a job gets out.
#[derive(Debug)]
pub(super) struct Exit {
    pools: Pools,
    waiting: VecDeque<Turn>,
    /// When those that wait try again, if not before.
    wake_at: Option<Time>,
    /// Requests that are out.
    out: usize,
    was_stopped: bool,
}

impl Exit {
    fn new(pools: Pools) -> Exit {
        Exit {
            pools,
            waiting: VecDeque::new(),
            wake_at: None,
            out: 0,
            was_stopped: false,
        }
    }

    fn park(&mut self, turn: Turn, shut: Pass) {
        self.waiting.push_back(turn);
        if let Pass::Until(at) = shut {
            self.wake_at = Some(self.wake_at.map_or(at, |wake| wake.min(at)));
        }
    }

    /// Those that may try again now that something changed: a few, or all if nothing else would call them.
    fn call_up(&mut self, few: usize, ring: &mut VecDeque<Turn>) {
        let count = if self.out == 0 {
            self.waiting.len()
        } else {
            few
        };
        ring.extend(self.waiting.drain(..count.min(self.waiting.len())));
    }
}

impl Scheduler {
    /// A job goes through these pools from now on, and not directly. To be said before it has work.
    pub fn set_pools(&mut self, job: JobId, pools: Pools) {
        if let Some(entry) = self.jobs.get_mut(&job) {
            entry.exit = Some(Exit::new(pools));
        }
    }

    /// The pools of a job; `None` if it goes directly.
    pub fn pools(&self, job: JobId) -> Option<&Pools> {
        let exit = self.jobs.get(&job)?.exit.as_ref();
        exit.map(|exit| &exit.pools)
    }

    /// The pools of a job, to take what they tell.
    pub fn pools_mut(&mut self, job: JobId) -> Option<&mut Pools> {
        self.exit_mut(job).map(|exit| &mut exit.pools)
    }

    /// A pool of a job has these members from now on, see [`Pools::set_members`]. Nothing if the job goes
    /// directly.
    pub fn set_members(
        &mut self,
        job: JobId,
        pool: usize,
        members: &[Member],
        now: Time,
    ) -> Vec<ProxyId> {
        let Some(exit) = self
            .jobs
            .get_mut(&job)
            .and_then(|entry| entry.exit.as_mut())
        else {
            return Vec::new();
        };
        exit.was_stopped = false;
        self.ring.extend(exit.waiting.drain(..));
        exit.pools.set_members(pool, members, now)
    }

    /// Takes the way of something that was just dispatched for a job, at the same moment; `None` if the job
    /// goes directly. Also for a further try of the same, for which there may be no way: `None` then, too.
    pub fn take_way(
        &mut self,
        job: JobId,
        host: HostId,
        request: Option<RequestId>,
        now: Time,
        dice: &mut dyn RngCore,
    ) -> Option<Ticket> {
        let ask = self.ask(host, request);
        let exit = self.jobs.get_mut(&job)?.exit.as_mut()?;
        let ticket = exit.pools.start(&ask, now, dice)?;
        exit.out += 1;
        exit.call_up(1, &mut self.ring);
        Some(ticket)
    }

    /// A request is back by the way that it took; what was seen of the way. Says who is charged.
    pub fn return_way(
        &mut self,
        job: JobId,
        ticket: Ticket,
        seen: Seen,
        now: Time,
        dice: &mut dyn RngCore,
    ) -> Charge {
        let Some(exit) = self.exit_mut(job) else {
            return Charge::Nobody;
        };
        let charge = exit.pools.report(ticket, seen, now, dice);
        self.came_home(job);
        charge
    }

    /// A page of a host came through the pools of a job: it may serve to find out about proxies.
    pub fn handle_page(&mut self, job: JobId, host: HostId, url: &CanonicalUrl, now: Time) {
        let ask = self.ask(host, None);
        if let Some(exit) = self.exit_mut(job) {
            exit.pools.came(&ask, || url.clone(), now);
        }
    }

    /// A request of a job is over: which ways it tried is forgotten.
    pub fn forget_ways(&mut self, job: JobId, request: RequestId) {
        if let Some(exit) = self.exit_mut(job) {
            exit.pools.forget(request);
        }
    }

    /// The next request that is to be sent only to find out about a proxy.
    pub fn poll_probe(&mut self, now: Time) -> Option<Probing> {
        if self.is_draining || self.suspects.is_out || self.busy >= self.concurrency {
            return None;
        }
        if self.network.held_until().is_some() {
            return None;
        }
        let (hosts, doors) = (&self.hosts, &mut self.doors);
        let mut may_ask = |host: HostId| {
            let door = hosts.get(&host).and_then(|entry| entry.door);
            let door = door.and_then(|door| doors.get_mut(door));
            door.is_some_and(|door| door.gate(now) == Gate::Open)
        };
        let (job, probe) = self.jobs.iter_mut().find_map(|(job, entry)| {
            let exit = entry.exit.as_mut().filter(|_| !entry.is_paused)?;
            let probe = exit.pools.poll_probe(now, &mut may_ask)?;
            exit.out += 1;
            Some((*job, probe))
        })?;
        self.busy += 1;
        self.hosts.get_mut(&probe.host)?.start(now);
        let (id, door) = self.door_mut(probe.host)?;
        let token = door.start(id, probe.host, true, now);
        Some(Probing { job, probe, token })
    }

    /// What came of a probe.
    pub fn return_probe(
        &mut self,
        job: JobId,
        ticket: Ticket,
        seen: Seen,
        now: Time,
        dice: &mut dyn RngCore,
    ) {
        if let Some(exit) = self.exit_mut(job) {
            exit.pools.report_probe(ticket, seen, now, dice);
            self.came_home(job);
        }
    }

    /// The next job of which every pool is stopped or empty, so that nothing of it can go out any more; once for
    /// each, until its proxies change.
    pub fn poll_stopped(&mut self) -> Option<JobId> {
        self.jobs.iter_mut().find_map(|(job, entry)| {
            let exit = entry.exit.as_mut()?;
            let is_news = exit.pools.are_all_stopped() && !exit.was_stopped;
            exit.was_stopped |= is_news;
            is_news.then_some(*job)
        })
    }

    // ---- our own network ------------------------------------------------------------------------

    /// An exchange with a host ended, in silence or not. Says whether it is doubtful by now that our own network
    /// works, so that silence tells of nobody.
    pub fn handle_silence(&mut self, host: HostId, was_silent: bool, now: Time) -> bool {
        if was_silent {
            let party = self.party(host);
            self.network.failed(party, now);
        } else {
            self.network.worked();
        }
        !self.network.is_fine()
    }

    /// Whether a canary is to be sent now, to find out if our own network works; says so once.
    pub fn poll_canary(&mut self, now: Time) -> bool {
        !self.is_draining && self.network.poll_canary(now)
    }

    /// What came of that canary.
    pub fn handle_canary(&mut self, worked: bool, now: Time) {
        self.network.handle_canary(worked, now);
    }

    // ---- turns ----------------------------------------------------------------------------------

    /// Whether a job has a way out to a host now; parks the turn in the job's line if not.
    pub(super) fn has_way(
        &mut self,
        turn: Turn,
        job: JobId,
        request: Option<RequestId>,
        host: HostId,
        now: Time,
    ) -> bool {
        match self.way(job, request, host, now) {
            Pass::Open => true,
            shut @ (Pass::Full | Pass::Until(_) | Pass::Never) => {
                if let Some(exit) = self.exit_mut(job) {
                    exit.park(turn, shut);
                }
                false
            }
        }
    }

    /// Whether a job has a way out to a host now.
    pub(super) fn way(
        &self,
        job: JobId,
        request: Option<RequestId>,
        host: HostId,
        now: Time,
    ) -> Pass {
        let Some(pools) = self.pools(job) else {
            return Pass::Open;
        };
        pools.gate(&self.ask(host, request), now)
    }

    /// Has turns try again whose time has come.
    pub(super) fn wake_exits(&mut self, now: Time) {
        for entry in self.jobs.values_mut() {
            let Some(exit) = &mut entry.exit else {
                continue;
            };
            if exit.wake_at.is_some_and(|at| at <= now) {
                exit.wake_at = None;
                self.ring.extend(exit.waiting.drain(..));
            }
        }
    }

    /// The next time at which turns that wait for a way try again.
    pub(super) fn next_exit(&self) -> Option<(Time, Wake)> {
        let exits = self.jobs.iter().filter_map(|(job, entry)| {
            let at = entry.exit.as_ref()?.wake_at?;
            Some((at, Wake::Proxies(*job)))
        });
        exits.min_by_key(|(at, _)| *at)
    }

    /// All of a job's line go back into the ring, as their lanes were emptied.
    pub(super) fn empty_exit(&mut self, job: JobId) {
        if let Some(exit) = self
            .jobs
            .get_mut(&job)
            .and_then(|entry| entry.exit.as_mut())
        {
            self.ring.extend(exit.waiting.drain(..));
        }
    }

    fn came_home(&mut self, job: JobId) {
        if let Some(exit) = self
            .jobs
            .get_mut(&job)
            .and_then(|entry| entry.exit.as_mut())
        {
            exit.out = exit.out.saturating_sub(1);
            exit.call_up(AT_ONCE, &mut self.ring);
        }
    }

    fn exit_mut(&mut self, job: JobId) -> Option<&mut Exit> {
        self.jobs.get_mut(&job)?.exit.as_mut()
    }

    fn ask(&self, host: HostId, request: Option<RequestId>) -> Ask {
        let party = self.party(host);
        Ask {
            host,
            party,
            request,
        }
    }

    fn party(&self, host: HostId) -> Party {
        let known = self.hosts.get(&host).map(|entry| entry.party);
        known.unwrap_or(Party(host.0 as u64))
    }
}
