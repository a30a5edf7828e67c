//! One run's side of a store in memory.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use neap_core::classify::Outcome;
use neap_core::scope::SkipReason;
use neap_core::verdict::Verdict;
use neap_core::{Epoch, HostId, JobId, RequestId, UnixMs};
use neap_store::{
    Command, Event, FoundJob, JobChange, JobState, Lease, Link, Originals, Partitions, Position,
    Ready, ReadyHost, Record, Recorded, Redirect, RedirectVerdict, Refill, Refilled, Run, Session,
    StoreError,
};

use super::MemoryStore;
use super::world::{State, World};
use crate::faults::Fault;

/// Hosts that are looked at at a time.
const HOSTS_AT_ONCE: usize = 64;

/// Requests that one batch may end: few, so that there is a rest.
const SLICE: usize = 4;

pub(crate) struct MemorySession {
    store: MemoryStore,
    epoch: Epoch,
    is_for_all: bool,
    partitions: Partitions,
    /// Jobs of the run that may be asked for.
    jobs: BTreeSet<JobId>,
    taking_part: BTreeSet<JobId>,
    offered: BTreeSet<JobId>,
    seen: BTreeMap<JobId, JobState>,
    rest: VecDeque<Sweep>,
}

/// What is left of a command that ends many requests.
struct Sweep {
    end: State,
    host: Option<HostId>,
    jobs: Vec<JobId>,
    done: u64,
}

/// What a batch has to tell.
#[derive(Default)]
struct Told {
    ready: BTreeMap<(JobId, HostId), ReadyHost>,
    jobs: BTreeSet<JobId>,
    is_due_changed: bool,
    answers: Vec<Event>,
}

impl MemorySession {
    pub(super) fn new(store: MemoryStore, run: &Run) -> MemorySession {
        let at = usize::try_from(run.epoch.0 - 1).expect("epochs begin with 1");
        let partitions = store.world().runs[at].partitions.clone();
        MemorySession {
            store,
            epoch: run.epoch,
            is_for_all: run.is_for_all,
            partitions,
            jobs: BTreeSet::new(),
            taking_part: BTreeSet::new(),
            offered: BTreeSet::new(),
            seen: BTreeMap::new(),
            rest: VecDeque::new(),
        }
    }

    fn is_over(&self, world: &World) -> bool {
        let at = usize::try_from(self.epoch.0 - 1).expect("epochs begin with 1");
        world.runs[at].is_over
    }
}

impl Session for MemorySession {
    fn epoch(&self) -> Epoch {
        self.epoch
    }

    fn partitions(&self) -> Partitions {
        self.partitions.clone()
    }

    async fn commit(&mut self, batch: &mut Vec<Command>) -> Result<Vec<Event>, StoreError> {
        let store = self.store.clone();
        let mut world = store.world();
        if self.is_over(&world) && !world.has(Fault::HasNoFence) {
            return Err(StoreError::Superseded {
                epoch: self.epoch.0,
                newest: i64::try_from(world.runs.len()).expect("a few"),
            });
        }
        let mut draft = world.clone();
        let mut told = Told::default();
        self.heed(&draft, &mut told);
        self.hear_news(&mut draft, &mut told);
        self.sweep(&mut draft, &mut told);
        for command in batch.drain(..) {
            self.run(command, &mut draft, &mut told)?;
        }
        *world = draft;
        Ok(told.events(&world, &self.jobs))
    }

    fn has_rest(&self) -> bool {
        !self.rest.is_empty()
    }

    async fn look_after(&mut self, _commands: usize) -> Result<(), StoreError> {
        Ok(())
    }

    fn gap(&self, _now: Instant) -> Duration {
        Duration::ZERO
    }

    fn next_look(&self) -> Option<Instant> {
        None
    }

    fn originals(&self) -> Arc<Originals> {
        Arc::default()
    }

    async fn close(self) -> Result<(), StoreError> {
        let mut world = self.store.world();
        if world.has(Fault::LosesAtClose) {
            return Ok(());
        }
        for request in &mut world.requests {
            request.flight.take_if(|(of, _)| *of == self.epoch.0);
        }
        let at = usize::try_from(self.epoch.0 - 1).expect("epochs begin with 1");
        world.runs[at].is_over = true;
        Ok(())
    }

    async fn abandon(self) {}
}

impl Told {
    fn events(self, world: &World, jobs: &BTreeSet<JobId>) -> Vec<Event> {
        let ready = self.ready.into_values().map(Event::Ready);
        let due = self
            .is_due_changed
            .then(|| Event::NextDue(world.next_due(jobs)));
        let counts = self
            .jobs
            .iter()
            .map(|job| Event::Counts(*job, world.counts(*job)));
        let work = ready.chain(due).chain(counts);
        if world.has(Fault::AnswersFirst) {
            return self.answers.into_iter().chain(work).collect();
        }
        work.chain(self.answers).collect()
    }
}

impl MemorySession {
    /// Tells what others did to jobs.
    fn heed(&mut self, world: &World, told: &mut Told) {
        for (job, entry) in &world.jobs {
            let state = entry.row.state;
            let before = self.seen.insert(*job, state);
            if !self.taking_part.contains(job) {
                let is_wanted = self.is_for_all && state == JobState::Unfinished;
                let is_new = self.offered.insert(*job) || world.has(Fault::FindsJobsAgain);
                if is_wanted && is_new {
                    let found = FoundJob {
                        row: entry.row.clone(),
                        input_hosts: entry.input_hosts.clone(),
                    };
                    told.answers.push(Event::JobFound(Box::new(found)));
                }
                continue;
            }
            if before == Some(state) {
                continue;
            }
            let change = match state {
                JobState::Paused => JobChange::Paused,
                JobState::Cancelled => JobChange::Cancelled,
                JobState::Replaced => JobChange::Replaced,
                JobState::Unfinished => JobChange::Continued,
                // The run itself says so.
                JobState::Finished => continue,
            };
            if change != JobChange::Continued {
                self.jobs.remove(job);
                told.is_due_changed = true;
            }
            told.jobs.insert(*job);
            told.answers.push(Event::JobChanged(*job, change));
        }
    }

    /// Tells what other runs found on hosts of this one.
    fn hear_news(&self, world: &mut World, told: &mut Told) {
        let own = |world: &mut World, host| {
            let host = world.host(host);
            host.is_some_and(|host| self.partitions.hold(&host.name))
        };
        for ((job, host), first) in std::mem::take(&mut world.news) {
            if self.jobs.contains(&job) && own(world, host) {
                self.note(job, host, first, world, told);
            } else {
                world.news.insert((job, host), first);
            }
        }
    }

    fn may_be_asked(&self, job: JobId) -> bool {
        match self.seen.get(&job) {
            None | Some(JobState::Unfinished | JobState::Finished) => true,
            Some(JobState::Paused | JobState::Cancelled | JobState::Replaced) => false,
        }
    }

    /// Tells the owner of a host that it has something new to do.
    fn note(&self, job: JobId, host: HostId, first: Position, world: &mut World, told: &mut Told) {
        told.jobs.insert(job);
        let name = world.host(host).expect("it has a number").name.clone();
        if !self.partitions.hold(&name) && !world.has(Fault::TellsOfForeignHosts) {
            if !world.has(Fault::KeepsNewsToItself) {
                let known = world.news.entry((job, host)).or_insert(first);
                *known = first.min(*known);
            }
            return;
        }
        let ready = told.ready.entry((job, host)).or_insert(ReadyHost {
            job,
            host,
            host_name: name,
            first,
        });
        ready.first = ready.first.min(first);
    }

    fn run(
        &mut self,
        command: Command,
        world: &mut World,
        told: &mut Told,
    ) -> Result<(), StoreError> {
        match command {
            Command::OpenJob(job) => self.open(job, world, told),
            Command::Announce { job, from } => self.announce(job, from, world, told),
            Command::Refill(refill) => self.refill(refill, world, told),
            Command::Lease(leases) => self.lease(leases, world, told),
            Command::Record(record) => self.record(*record, world, told),
            Command::Promote { now, most } => self.promote(now, most, world, told),
            Command::Discover { job, links } => {
                if self.jobs.contains(&job) {
                    self.link(job, links, world, told);
                }
            }
            Command::Skip(skipped) => {
                let mut done = Vec::new();
                for skipped in skipped {
                    let epoch = self.epoch.0;
                    let request = world.request(skipped.request).expect("it is known");
                    request.flight.take_if(|(of, _)| *of == epoch);
                    if request.is_open() && request.flight.is_none() {
                        request.state = State::Skipped;
                        told.jobs.insert(skipped.job);
                        done.push(skipped.request);
                    }
                }
                told.answers.push(Event::Skipped(done));
            }
            Command::FailHost { host, jobs, .. } => {
                self.end(State::Failed, Some(host), jobs, world, told);
            }
            Command::SkipRest { job, .. } => self.end(State::Skipped, None, vec![job], world, told),
            Command::FinishJob { job } => finish(job, world, told),
            Command::Robots(answer) => {
                let host = world.host(answer.host).expect("it is known");
                host.robots = Some(answer);
            }
            Command::HostMemory(memories) => {
                for memory in memories {
                    let host = world.host(memory.host).expect("it is known");
                    host.limiter = Some((memory.limiter, memory.at));
                }
            }
            Command::LoadHost(host) => {
                let forgets = world.has(Fault::ForgetsHosts);
                let unknown = || StoreError::Unexpected(format!("there is no host {host}"));
                let mut row = world.host(host).ok_or_else(unknown)?.clone();
                if forgets {
                    (row.limiter, row.robots) = (None, None);
                }
                told.answers.push(Event::Host(row));
            }
            // Others are heeded with every batch; what only people look at is not kept.
            Command::Heed | Command::Proxies(_) | Command::LimitChanges(_) | Command::Close => {}
        }
        Ok(())
    }

    fn open(&mut self, job: JobId, world: &mut World, told: &mut Told) {
        self.taking_part.insert(job);
        self.offered.insert(job);
        told.jobs.insert(job);
        let change = match self.seen.get(&job) {
            None | Some(JobState::Unfinished | JobState::Finished) => None,
            Some(JobState::Paused) => Some(JobChange::Paused),
            Some(JobState::Cancelled) => Some(JobChange::Cancelled),
            Some(JobState::Replaced) => Some(JobChange::Replaced),
        };
        if let Some(change) = change {
            told.answers.push(Event::JobChanged(job, change));
            told.answers.push(Event::Announced { job, next: None });
            return;
        }
        self.jobs.insert(job);
        told.is_due_changed = true;
        self.announce(job, HostId(0), world, told);
    }

    fn announce(&mut self, job: JobId, from: HostId, world: &mut World, told: &mut Told) {
        let hosts = world.hosts.iter().map(|host| host.host);
        let mut hosts: Vec<HostId> = hosts.filter(|host| *host >= from).collect();
        let next = hosts.get(HOSTS_AT_ONCE).copied();
        hosts.truncate(HOSTS_AT_ONCE);
        let next = next.filter(|_| self.jobs.contains(&job) && !world.has(Fault::AnnouncesFew));
        told.answers.push(Event::Announced { job, next });
        if !self.jobs.contains(&job) {
            return;
        }
        for host in hosts {
            let ready = world
                .requests
                .iter()
                .filter(|it| it.state == State::Ready && it.row.host == host && it.row.job == job);
            let Some(first) = ready.map(|it| it.row.position).min() else {
                continue;
            };
            let name = world.host(host).expect("it is one of them").name.clone();
            if self.partitions.hold(&name) || world.has(Fault::TellsOfForeignHosts) {
                // Who owns it hears of it now.
                world.news.remove(&(job, host));
                self.note(job, host, first, world, told);
            }
        }
    }

    fn refill(&self, refill: Refill, world: &World, told: &mut Told) {
        let mut after = refill.after;
        if world.has(Fault::ForgetsCursor) {
            after = Position::START;
        }
        let hands_out = world.has(Fault::HandsOutFlight);
        let ready = world.requests.iter().filter(|it| {
            it.state == State::Ready
                && (it.row.job, it.row.host) == (refill.job, refill.host)
                && (it.flight.is_none() || hands_out)
                && it.row.position > after
        });
        let mut rows: Vec<Ready> = ready.map(|it| it.row.clone()).collect();
        if !world.has(Fault::ForgetsPriority) {
            rows.sort_by_key(|row| row.position);
        }
        rows.truncate(refill.count);
        told.answers.push(Event::Refilled(Refilled {
            refill,
            is_exhausted: rows.len() < refill.count,
            rows,
        }));
    }

    fn lease(&self, leases: Vec<Lease>, world: &mut World, told: &mut Told) {
        let (mut leased, mut refused) = (Vec::new(), Vec::new());
        let leases_flight = world.has(Fault::LeasesFlight);
        let ignores_pauses = world.has(Fault::IgnoresPauses);
        for lease in leases {
            let ready = world.request(lease.request).filter(|it| {
                it.state == State::Ready
                    && (it.flight.is_none() || leases_flight)
                    && (self.may_be_asked(it.row.job) || ignores_pauses)
            });
            match ready {
                None => refused.push(lease.request),
                Some(request) => {
                    request.flight = Some((self.epoch.0, lease.is_alone));
                    leased.push(lease.request);
                }
            }
        }
        told.answers.push(Event::Leased { leased, refused });
    }

    fn record(&self, record: Record, world: &mut World, told: &mut Told) {
        let anything = world.has(Fault::RecordsAnything);
        let twice = world.has(Fault::RecordsTwice);
        let charges_all = world.has(Fault::ChargesAll);
        let ignores = world.has(Fault::IgnoresCancelling);
        let is_cancelled = self.seen.get(&record.job) == Some(&JobState::Cancelled) && !ignores;
        let request = world.request(record.request).expect("it is known");
        let flight = request.flight.take().filter(|(of, _)| *of == self.epoch.0);
        let was_in_flight = (flight.is_some() && request.is_open()) || anything;
        if twice {
            request.flight = flight;
        }
        told.answers.push(Event::Recorded(Recorded {
            request: record.request,
            job: record.job,
            host: record.host,
            was_in_flight,
        }));
        if !was_in_flight {
            return;
        }
        told.jobs.insert(record.job);
        told.is_due_changed = true;
        if record.attempt.is_charged || charges_all {
            request.row.charged += 1;
        } else {
            request.row.deferrals += 1;
        }
        request.state = match record.verdict {
            Verdict::Done => match record.redirect.as_ref().map(|it| it.verdict) {
                Some(RedirectVerdict::TooMany) => State::Failed,
                None | Some(RedirectVerdict::Follow | RedirectVerdict::Refused(_)) => State::Done,
            },
            Verdict::Retry { .. } if is_cancelled => State::Skipped,
            Verdict::Retry { .. } => State::Waiting,
            Verdict::Failed => State::Failed,
            Verdict::Skipped(_) => State::Skipped,
        };
        if request.state == State::Waiting {
            request.row.position.due_ms = record.due.expect("a retry has a time").0;
        }
        let is_redirect = record.attempt.outcome == Outcome::Redirect;
        request.is_page = request.state == State::Done && !is_redirect;
        let (row, links) = (request.row.clone(), record.links);
        if !is_cancelled {
            self.link(record.job, links, world, told);
        }
        if let Some(redirect) = record.redirect {
            self.redirect(&row, redirect, is_cancelled, world, told);
        }
    }

    /// Makes requests of links that are not known.
    fn link(&self, job: JobId, links: Vec<Link>, world: &mut World, told: &mut Told) {
        for link in links {
            if world.known(job, &link.url).is_some() && !world.has(Fault::RepeatsLinks) {
                continue;
            }
            let new = world.insert(job, &link.url, link.depth, link.priority);
            let row = world.request(new).expect("it is new").row.clone();
            self.note(job, row.host, row.position, world, told);
        }
    }

    fn redirect(
        &self,
        source: &Ready,
        redirect: Redirect,
        is_cancelled: bool,
        world: &mut World,
        told: &mut Told,
    ) {
        let refused = match redirect.verdict {
            RedirectVerdict::TooMany => return,
            RedirectVerdict::Refused(reason) => Some(reason),
            RedirectVerdict::Follow => is_cancelled.then_some(SkipReason::Cancelled),
        };
        let is_known = world.known(source.job, &redirect.url).is_some();
        let is_repeated = world.has(Fault::RepeatsRedirects);
        let is_own_chain = is_in_chain(source.request, &redirect, world);
        if is_known && !is_own_chain && !is_repeated {
            return;
        }
        let priority = source.position.priority;
        let new = world.insert(source.job, &redirect.url, source.depth, priority);
        let request = world.request(new).expect("it is new");
        request.row.hops = source.hops + 1;
        request.redirect_of = Some(source.request);
        let row = request.row.clone();
        if refused.is_some() {
            request.state = State::Skipped;
        } else {
            self.note(row.job, row.host, row.position, world, told);
        }
    }

    fn promote(&self, now: UnixMs, most: usize, world: &mut World, told: &mut Told) {
        let is_early = world.has(Fault::PromotesEarly);
        let is_any = world.has(Fault::PromotesAny);
        let own: Vec<bool> = world
            .hosts
            .iter()
            .map(|it| self.partitions.hold(&it.name))
            .collect();
        let mut due: Vec<_> = world.requests.iter_mut().collect();
        due.retain(|it| {
            it.state == State::Waiting
                && self.jobs.contains(&it.row.job)
                && own[usize::try_from(it.row.host.0 - 1).expect("from 1")]
                && (it.row.position.due_ms <= now.0 || is_early)
        });
        if !is_any {
            due.sort_by_key(|it| (it.row.position.due_ms, it.row.request));
        }
        due.truncate(most);
        let mut rows = Vec::new();
        for request in due {
            request.state = State::Ready;
            told.jobs.insert(request.row.job);
            rows.push(request.row.clone());
        }
        told.is_due_changed = true;
        told.answers.push(Event::Promoted(rows));
    }

    fn end(
        &mut self,
        end: State,
        host: Option<HostId>,
        jobs: Vec<JobId>,
        world: &mut World,
        told: &mut Told,
    ) {
        self.rest.push_back(Sweep {
            end,
            host,
            jobs,
            done: 0,
        });
        self.sweep(world, told);
    }

    /// Goes on with what ends many requests.
    fn sweep(&mut self, world: &mut World, told: &mut Told) {
        let Some(sweep) = self.rest.front_mut() else {
            return;
        };
        let fails_flight = world.has(Fault::FailsFlight);
        let mut left = SLICE;
        for request in &mut world.requests {
            let is_meant = sweep.jobs.contains(&request.row.job)
                && sweep.host.is_none_or(|host| host == request.row.host)
                && request.is_open()
                && (request.flight.is_none() || fails_flight);
            if is_meant && left > 0 {
                left -= 1;
                request.state = sweep.end;
                sweep.done += 1;
                told.jobs.insert(request.row.job);
            }
        }
        told.is_due_changed = true;
        if left > 0 {
            let sweep = self.rest.pop_front().expect("it was there");
            told.answers.push(match sweep.host {
                Some(host) => Event::HostFailed {
                    host,
                    requests: sweep.done,
                },
                None => Event::RestSkipped {
                    job: sweep.jobs[0],
                    requests: sweep.done,
                },
            });
        }
    }
}

fn finish(job: JobId, world: &mut World, told: &mut Told) {
    let is_open = world.counts(job).open() > 0 && !world.has(Fault::FinishesEarly);
    let entry = world.jobs.get_mut(&job).expect("it is known");
    if is_open {
        told.answers
            .push(Event::JobChanged(job, JobChange::Reopened));
        return;
    }
    if entry.row.state == JobState::Unfinished {
        entry.row.state = JobState::Finished;
    }
    told.answers.push(Event::JobFinished(job));
}

/// Whether a redirect leads back to where it came from.
fn is_in_chain(request: RequestId, redirect: &Redirect, world: &mut World) -> bool {
    let mut next = Some(request);
    while let Some(request) = next.and_then(|id| world.request(id)) {
        if request.row.url == redirect.url {
            return true;
        }
        next = request.redirect_of;
    }
    false
}
