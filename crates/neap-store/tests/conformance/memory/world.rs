//! Jobs, hosts, requests and runs, as maps.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Weak};

use neap_core::job::Job;
use neap_core::scope::Scope;
use neap_core::{CanonicalUrl, Host, HostId, JobId, RequestId, UnixMs};
use neap_store::{
    Counts, HostRow, InputRow, JobRow, JobState, LOST_ALONE_MAX, Partitions, Position, Ready,
    Recovered, Steering, StoreError, Submitted,
};

use crate::faults::Fault;
use crate::rig::NOW;

/// Everything that a store knows. A batch is done on a copy, which takes the place of this if all went well.
#[derive(Clone)]
pub(super) struct World {
    most_partitions: u16,
    fault: Option<Fault>,
    /// The one of epoch 1 first.
    pub(super) runs: Vec<RunRow>,
    pub(super) jobs: BTreeMap<JobId, JobEntry>,
    pub(super) hosts: Vec<HostRow>,
    pub(super) requests: Vec<Request>,
    by_url: HashMap<(JobId, String), RequestId>,
    /// What runs found on hosts of others, who have not heard of it.
    pub(super) news: BTreeMap<(JobId, HostId), Position>,
}

#[derive(Clone)]
pub(super) struct RunRow {
    life: Weak<()>,
    pub(super) partitions: Partitions,
    /// It has ended, or another one took over.
    pub(super) is_over: bool,
}

#[derive(Clone)]
pub(super) struct JobEntry {
    pub(super) row: JobRow,
    pub(super) input_hosts: BTreeSet<Host>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Ready,
    Waiting,
    Done,
    Failed,
    Skipped,
}

#[derive(Clone)]
pub(super) struct Request {
    pub(super) row: Ready,
    pub(super) state: State,
    pub(super) is_page: bool,
    /// The run under which it is in flight, and whether alone.
    pub(super) flight: Option<(i64, bool)>,
    lost_alone: i64,
    /// The request whose redirect led here.
    pub(super) redirect_of: Option<RequestId>,
}

impl Request {
    pub(super) fn is_open(&self) -> bool {
        matches!(self.state, State::Ready | State::Waiting)
    }
}

impl World {
    pub(super) fn new(most_partitions: u16, fault: Option<Fault>) -> World {
        World {
            most_partitions,
            fault,
            runs: Vec::new(),
            jobs: BTreeMap::new(),
            hosts: Vec::new(),
            requests: Vec::new(),
            by_url: HashMap::new(),
            news: BTreeMap::new(),
        }
    }

    pub(super) fn has(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    pub(super) fn request(&mut self, request: RequestId) -> Option<&mut Request> {
        self.requests.get_mut(usize::try_from(request.0 - 1).ok()?)
    }

    pub(super) fn host(&mut self, host: HostId) -> Option<&mut HostRow> {
        self.hosts.get_mut(usize::try_from(host.0 - 1).ok()?)
    }

    pub(super) fn known(&self, job: JobId, url: &CanonicalUrl) -> Option<RequestId> {
        self.by_url.get(&(job, url.to_string())).copied()
    }

    pub(super) fn lock_run(&self) -> Result<Arc<()>, StoreError> {
        let living = self.runs.iter().filter(|run| run.lives());
        let owned: usize = living.map(|run| run.partitions.iter().count()).sum();
        let all = Partitions::all().iter().count();
        if owned >= all && !self.has(Fault::SharesPartitions) {
            return Err(StoreError::Held {
                path: PathBuf::from("memory"),
                holder: "another run".to_owned(),
            });
        }
        Ok(Arc::new(()))
    }

    /// Begins a run: its epoch, and what it found.
    pub(super) fn begin(&mut self, lock: &Arc<()>) -> (i64, Recovered) {
        let mut recovered = Recovered::default();
        for epoch in 1..=self.runs.len() {
            let run = &mut self.runs[epoch - 1];
            if !run.is_over && !run.lives() {
                run.is_over = true;
                self.recover(i64::try_from(epoch).expect("a few"), &mut recovered);
            }
        }
        let taken = self.runs.iter().filter(|run| !run.is_over);
        let taken: BTreeSet<_> = taken.flat_map(|run| run.partitions.iter()).collect();
        let is_shared = self.has(Fault::SharesPartitions);
        let free = Partitions::all();
        let free = free.iter().filter(|one| is_shared || !taken.contains(one));
        let run = RunRow {
            life: Arc::downgrade(lock),
            partitions: free.take(usize::from(self.most_partitions)).collect(),
            is_over: false,
        };
        self.runs.push(run);
        (i64::try_from(self.runs.len()).expect("a few"), recovered)
    }

    fn recover(&mut self, epoch: i64, recovered: &mut Recovered) {
        if self.has(Fault::KeepsFlight) {
            return;
        }
        let quarantines = !self.has(Fault::NeverQuarantines);
        for request in &mut self.requests {
            let Some((_, is_alone)) = request.flight.take_if(|(of, _)| *of == epoch) else {
                continue;
            };
            recovered.lost += 1;
            request.row.lost += 1;
            request.lost_alone += i64::from(is_alone);
            if request.lost_alone >= LOST_ALONE_MAX && quarantines {
                recovered.quarantined += 1;
                request.state = State::Failed;
            }
        }
    }

    pub(super) fn submit(&mut self, job: &Job, rows: &[InputRow]) -> Submitted {
        let job_id = JobId(i64::try_from(self.jobs.len()).expect("a few") + 1);
        let before = self.jobs.values_mut().filter(|it| it.row.name == job.name);
        let mut round = 1;
        for entry in before {
            round = round.max(entry.row.round + 1);
            if entry.row.state.is_open() && self.fault != Some(Fault::KeepsOldRounds) {
                entry.row.state = JobState::Replaced;
            }
        }
        let urls = || rows.iter().map(|row| &row.url);
        let row = JobRow {
            job_id,
            name: job.name.clone(),
            round,
            spec: job.clone(),
            scope_roots: Scope::new(&job.crawl, urls()).roots().clone(),
            state: JobState::Unfinished,
            submitted: NOW,
            finished: None,
            counts: Counts::default(),
        };
        let input_hosts = urls().map(CanonicalUrl::host).collect();
        self.jobs.insert(job_id, JobEntry { row, input_hosts });
        let mut added = 0;
        for url in urls() {
            if self.known(job_id, url).is_none() {
                self.insert(job_id, url, 0, 0);
                added += 1;
            }
        }
        Submitted {
            job_id,
            round,
            added,
            already_known: rows.len() as u64 - added,
        }
    }

    /// Makes a ready request.
    pub(super) fn insert(
        &mut self,
        job: JobId,
        url: &CanonicalUrl,
        depth: u32,
        priority: i32,
    ) -> RequestId {
        let host = self.number(&url.host());
        let request = RequestId(i64::try_from(self.requests.len()).expect("a few") + 1);
        let row = Ready {
            request,
            job,
            host,
            url: url.clone(),
            depth,
            hops: 0,
            charged: 0,
            deferrals: 0,
            lost: 0,
            earlier: 0,
            position: Position {
                priority,
                due_ms: 0,
                request,
            },
        };
        self.requests.push(Request {
            row,
            state: State::Ready,
            is_page: false,
            flight: None,
            lost_alone: 0,
            redirect_of: None,
        });
        self.by_url.entry((job, url.to_string())).or_insert(request);
        request
    }

    fn number(&mut self, name: &Host) -> HostId {
        if let Some(known) = self.hosts.iter().find(|host| host.name == *name) {
            return known.host;
        }
        let host = HostId(i64::try_from(self.hosts.len()).expect("a few") + 1);
        self.hosts.push(HostRow {
            host,
            name: name.clone(),
            limiter: None,
            robots: None,
        });
        host
    }

    pub(super) fn unfinished(&self) -> Vec<JobRow> {
        let rows = self.jobs.values().map(|entry| JobRow {
            counts: self.counts(entry.row.job_id),
            ..entry.row.clone()
        });
        rows.filter(|row| row.state == JobState::Unfinished)
            .collect()
    }

    pub(super) fn counts(&self, job: JobId) -> Counts {
        let mut counts = Counts::default();
        for request in self.requests.iter().filter(|it| it.row.job == job) {
            *match request.state {
                State::Ready => &mut counts.ready,
                State::Waiting => &mut counts.waiting,
                State::Done => &mut counts.done,
                State::Failed => &mut counts.failed,
                State::Skipped => &mut counts.skipped,
            } += 1;
            counts.pages += u64::from(request.is_page);
        }
        counts
    }

    pub(super) fn steer(&mut self, job: JobId, wish: Steering) -> bool {
        let Some(entry) = self.jobs.get_mut(&job) else {
            return false;
        };
        let next = match (wish, entry.row.state) {
            (Steering::Pause, JobState::Unfinished) => JobState::Paused,
            (Steering::Continue, JobState::Paused) => JobState::Unfinished,
            (Steering::Cancel, JobState::Unfinished | JobState::Paused) => JobState::Cancelled,
            (Steering::Pause | Steering::Continue | Steering::Cancel, _) => return false,
        };
        entry.row.state = next;
        true
    }

    /// When the first waiting request of these jobs is due.
    pub(super) fn next_due(&self, jobs: &BTreeSet<JobId>) -> Option<UnixMs> {
        let waiting = self
            .requests
            .iter()
            .filter(|request| request.state == State::Waiting && jobs.contains(&request.row.job));
        waiting
            .map(|request| UnixMs(request.row.position.due_ms))
            .min()
    }
}

impl RunRow {
    fn lives(&self) -> bool {
        !self.is_over && self.life.strong_count() > 0
    }
}
