//! What does a store remember, and how does it answer?

use std::collections::{BTreeMap, BTreeSet};

use neap_core::scheduler::{Position, Ready, Refill};
use neap_core::verdict::Verdict;
use neap_core::{CanonicalUrl, HostId, JobId, RequestId, Time};

/// A request to be found, and what its host says to it.
#[derive(Debug, Clone)]
pub(crate) struct Spec {
    pub(crate) host: i64,
    pub(crate) priority: i32,
    pub(crate) kind: Kind,
    /// Crashes that it was in flight at.
    pub(crate) lost: u32,
    /// Found on it, once it is done.
    pub(crate) links: Vec<Spec>,
}

impl Spec {
    pub(crate) fn page(host: i64) -> Spec {
        Spec {
            host,
            priority: 0,
            kind: Kind::Page,
            lost: 0,
            links: Vec::new(),
        }
    }
}

/// What a host says to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Page,
    Redirect,
    Gone,
    Refused,
    /// 500 so many times, a page afterwards.
    Flaky(u32),
    /// 500 always.
    Broken,
}

/// Where a request stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Ready,
    InFlight,
    Waiting(Time),
    Done,
    Failed,
    Skipped,
}

#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) job: JobId,
    pub(crate) host: HostId,
    pub(crate) spec: Spec,
    pub(crate) state: State,
    pub(crate) charged: u32,
    pub(crate) deferrals: u32,
    position: Position,
}

/// The frontier.
#[derive(Debug, Default)]
pub(crate) struct Store {
    pub(crate) rows: BTreeMap<RequestId, Row>,
    ready: BTreeMap<(JobId, HostId), BTreeSet<Position>>,
    waiting: BTreeSet<(Time, RequestId)>,
    open: BTreeMap<JobId, usize>,
    done: BTreeMap<(JobId, HostId), usize>,
}

impl Store {
    /// Takes in new requests; returns the first position of each lane that got some.
    pub(crate) fn add(&mut self, job: JobId, specs: Vec<Spec>) -> BTreeMap<HostId, Position> {
        let mut firsts = BTreeMap::new();
        for spec in specs {
            let (id, host) = (RequestId(self.rows.len() as i64 + 1), HostId(spec.host));
            let position = Position {
                priority: spec.priority,
                due_ms: 0,
                request: id,
            };
            let first = firsts.entry(host).or_insert(position);
            *first = position.min(*first);
            self.ready.entry((job, host)).or_default().insert(position);
            *self.open.entry(job).or_default() += 1;
            let state = State::Ready;
            let row = Row {
                job,
                host,
                spec,
                state,
                charged: 0,
                deferrals: 0,
                position,
            };
            self.rows.insert(id, row);
        }
        firsts
    }

    /// Requests that are not finished.
    pub(crate) fn open(&self, job: JobId) -> usize {
        self.open.get(&job).copied().unwrap_or(0)
    }

    /// Requests of a job for a host that are done.
    pub(crate) fn done(&self, job: i64, host: i64) -> usize {
        self.done
            .get(&(JobId(job), HostId(host)))
            .copied()
            .unwrap_or(0)
    }

    /// The ready requests behind a position, the position of the last, and whether that was all.
    pub(crate) fn read(&self, refill: &Refill) -> (Vec<Ready>, Option<Position>, bool) {
        use std::ops::Bound::{Excluded, Unbounded};
        let Some(lane) = self.ready.get(&(refill.job, refill.host)) else {
            return (Vec::new(), None, true);
        };
        let mut behind = lane.range((Excluded(refill.after), Unbounded));
        let rows: Vec<Ready> = behind
            .by_ref()
            .take(refill.count)
            .map(|p| self.row(p.request))
            .collect();
        let last = rows.last().map(|row| row.position);
        (rows, last, behind.next().is_none())
    }

    /// Notes a request as in flight, if it is ready; its state as it was otherwise.
    pub(crate) fn lease(&mut self, request: RequestId) -> Result<(), State> {
        let found = self.rows[&request].state;
        if found != State::Ready {
            return Err(found);
        }
        self.set(request, State::InFlight);
        Ok(())
    }

    /// Commits a verdict; returns the first positions of what was found.
    pub(crate) fn record(
        &mut self,
        request: RequestId,
        verdict: Verdict,
        now: Time,
    ) -> BTreeMap<HostId, Position> {
        let row = self
            .rows
            .get_mut(&request)
            .expect("only known requests are recorded");
        assert_eq!(
            row.state,
            State::InFlight,
            "{request} was recorded out of turn"
        );
        let (job, links) = (row.job, row.spec.links.clone());
        match verdict {
            Verdict::Done => {
                self.set(request, State::Done);
                self.add(job, links)
            }
            Verdict::Retry { after, is_charged } => {
                row.charged += u32::from(is_charged);
                row.deferrals += u32::from(!is_charged);
                self.set(request, State::Waiting(now + after));
                BTreeMap::new()
            }
            Verdict::Failed => {
                self.set(request, State::Failed);
                BTreeMap::new()
            }
            Verdict::Skipped(reason) => panic!("{request} was skipped: {reason:?}"),
        }
    }

    /// Makes requests ready whose wait is over.
    pub(crate) fn promote(&mut self, now: Time, most: usize) -> Vec<Ready> {
        let is_due = |(due, _): &&(Time, RequestId)| *due <= now;
        let due: Vec<_> = self
            .waiting
            .iter()
            .take_while(is_due)
            .take(most)
            .copied()
            .collect();
        due.into_iter()
            .map(|(due, request)| {
                self.set(request, State::Ready);
                let row = self.rows.get_mut(&request).expect("what waits is known");
                let lane = self.ready.entry((row.job, row.host)).or_default();
                lane.remove(&row.position);
                row.position.due_ms = due.as_micros() as i64 / 1000;
                lane.insert(row.position);
                self.row(request)
            })
            .collect()
    }

    pub(crate) fn next_due(&self) -> Option<Time> {
        self.waiting.first().map(|(due, _)| *due)
    }

    /// Ends everything of a host or a job that is ready or waiting.
    pub(crate) fn end_all(&mut self, wanted: impl Fn(&Row) -> bool, end: State) {
        let is_idle = |row: &Row| matches!(row.state, State::Ready | State::Waiting(_));
        let ended: Vec<_> = self
            .rows
            .iter()
            .filter(|(_, r)| is_idle(r) && wanted(r))
            .map(|(id, _)| *id)
            .collect();
        for request in ended {
            self.set(request, end);
        }
    }

    fn row(&self, request: RequestId) -> Ready {
        let row = &self.rows[&request];
        let url = format!("http://h{}.example/{request}", row.host);
        Ready {
            request,
            job: row.job,
            host: row.host,
            url: CanonicalUrl::parse(&url).expect("a plain URL"),
            depth: 0,
            hops: 0,
            charged: row.charged,
            deferrals: row.deferrals,
            lost: row.spec.lost,
            earlier: 0,
            position: row.position,
        }
    }

    fn set(&mut self, request: RequestId, state: State) {
        let row = self
            .rows
            .get_mut(&request)
            .expect("only known requests change");
        let lane = self.ready.entry((row.job, row.host)).or_default();
        match row.state {
            State::Ready => assert!(lane.remove(&row.position)),
            State::Waiting(due) => assert!(self.waiting.remove(&(due, request))),
            State::InFlight => {}
            State::Done | State::Failed | State::Skipped => panic!("{request} ended twice"),
        }
        match state {
            State::Ready => assert!(lane.insert(row.position)),
            State::Waiting(due) => assert!(self.waiting.insert((due, request))),
            State::InFlight => {}
            State::Done | State::Failed | State::Skipped => {
                *self.open.get_mut(&row.job).expect("its job is known") -= 1;
                if state == State::Done {
                    *self.done.entry((row.job, row.host)).or_default() += 1;
                }
            }
        }
        row.state = state;
    }
}
