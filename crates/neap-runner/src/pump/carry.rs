//! What does the scheduler want done, and how is it carried out?
//!
//! Every decision that is due now becomes a command to the store or a worker on its way.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use neap_core::classify::{Cause, Fault, Outcome};
use neap_core::egress::Ticket;
use neap_core::exchange::{FailureKind, Timings};
use neap_core::scheduler::{Dispatch, Ready, Token};
use neap_core::scope::SkipReason;
use neap_core::verdict::{MAX_DEFERRALS, Verdict};
use neap_core::{HostId, JobId, RequestId};
use neap_store::{Attempt, Command, Lease, Record};
use tracing::{error, warn};

use super::{Note, Pump, RunError};
use crate::desk::{Desk, Permit, Slot, State};
use crate::flow::{Workshop, flow};
use crate::report::Ended;
use crate::robots::{self, Asked};

/// Requests that are made ready at a time when their wait is over.
const PROMOTE: usize = 1024;

impl Pump {
    /// Asks the scheduler for everything that it wants done now, and does it.
    pub(super) async fn decide_all(&mut self) -> Result<(), RunError> {
        self.finish_jobs().await?;
        self.mind_proxies();
        for command in self.wanted_of_the_store() {
            self.send(command).await?;
        }
        while let Some(host) = self.poll_given_up() {
            self.fail_host(host, "host_given_up".to_owned()).await?;
        }
        for (host, cause) in self.hopeless() {
            self.fail_host(host, cause.to_string()).await?;
        }
        if self.shop.desk.state().scheduler.is_out_of_pages() {
            self.drain(Ended::LimitReached);
        }
        self.dispatch_all().await
    }

    /// A job without open requests is finished.
    async fn finish_jobs(&mut self) -> Result<(), RunError> {
        let done = |counts: &neap_store::Counts| counts.open() == 0;
        let over: Vec<_> = self
            .counts
            .iter()
            .filter(|(_, c)| done(c))
            .map(|(j, _)| *j)
            .collect();
        for job in over {
            if !self.finishing.insert(job) {
                continue;
            }
            self.send(Command::FinishJob { job }).await?;
        }
        Ok(())
    }

    fn wanted_of_the_store(&mut self) -> Vec<Command> {
        let desk = &self.shop.desk;
        let now = desk.clock.now();
        let scheduler = &mut desk.state().scheduler;
        let mut commands = Vec::new();
        while let Some(host) = scheduler.poll_load() {
            commands.push(Command::LoadHost(host));
        }
        if scheduler.poll_promote(now) {
            commands.push(Command::Promote {
                now: desk.clock.unix(),
                most: PROMOTE,
            });
        }
        while let Some(refill) = scheduler.poll_refill() {
            commands.push(Command::Refill(refill));
        }
        while let Some((job, from)) = scheduler.poll_announce() {
            commands.push(Command::Announce { job, from });
        }
        while let Some(job) = scheduler.poll_full() {
            commands.push(Command::SkipRest {
                job,
                reason: SkipReason::MaxPages,
            });
        }
        commands
    }

    /// The hosts that cannot be asked anything and were not given up yet.
    fn hopeless(&mut self) -> Vec<(HostId, Cause)> {
        let State {
            scheduler,
            hopeless,
            ..
        } = &mut *self.shop.desk.state();
        let found = std::mem::take(hopeless).into_iter();
        found.filter(|(host, _)| scheduler.give_up(*host)).collect()
    }

    fn poll_given_up(&mut self) -> Option<HostId> {
        self.shop.desk.state().scheduler.poll_given_up()
    }

    /// Gives a host up: every open request to it fails for that reason.
    pub(super) async fn fail_host(&mut self, host: HostId, cause: String) -> Result<(), RunError> {
        warn!(host = self.name(host), cause, "host given up");
        let jobs = self.worked_on();
        self.send(Command::FailHost { host, jobs, cause }).await
    }

    /// Sends out everything that may go out now. Requests of a job wait for the store to have noted
    /// that they are in flight, so that one which kills the process is known by that.
    async fn dispatch_all(&mut self) -> Result<(), RunError> {
        let mut leases = Vec::new();
        while let Some((dispatch, way)) = self.poll_dispatch() {
            match dispatch {
                Dispatch::Robots { host, job, token } => {
                    let (permit, slot) = self.guards(token, job, way, false);
                    self.ask_robots(host, job, permit, slot);
                }
                Dispatch::Request {
                    request,
                    token,
                    is_alone,
                } => {
                    let (permit, slot) = self.guards(token, request.job, way, true);
                    leases.push(Lease {
                        request: request.request,
                        is_alone,
                    });
                    self.leasing
                        .insert(request.request, (request, permit, slot));
                }
            }
        }
        if leases.is_empty() {
            Ok(())
        } else {
            self.send(Command::Lease(leases)).await
        }
    }

    /// The next thing to send, with the way that it takes; under one lock, since the way was free at that moment.
    fn poll_dispatch(&self) -> Option<(Dispatch, Option<Ticket>)> {
        let desk = &self.shop.desk;
        let now = desk.clock.now();
        let State {
            scheduler, dice, ..
        } = &mut *desk.state();
        let dispatch = scheduler.poll_dispatch(now)?;
        let (job, host, request) = match &dispatch {
            Dispatch::Request { request, .. } => (request.job, request.host, Some(request.request)),
            Dispatch::Robots { job, host, .. } => (*job, *host, None),
        };
        let way = scheduler.take_way(job, host, request, now, dice);
        Some((dispatch, way))
    }

    pub(super) fn guards(
        &self,
        token: Token,
        job: JobId,
        way: Option<Ticket>,
        may_be_page: bool,
    ) -> (Permit, Slot) {
        let desk = &self.shop.desk;
        let view = desk.state().scheduler.host(token.host, desk.clock.now());
        let load = view.map_or((0.0, 0), |view| (view.limit, view.in_flight));
        let permit = Permit::new(token, job, way, load, Arc::clone(desk));
        (
            permit,
            Slot::new(may_be_page.then_some(job), Arc::clone(desk)),
        )
    }

    /// The store has noted these as in flight: off they go.
    pub(super) fn start_all(&mut self, requests: &[RequestId]) {
        for request in requests {
            let Some((request, permit, slot)) = self.leasing.remove(request) else {
                continue;
            };
            let Some(job) = self.jobs.get(&request.job).cloned() else {
                continue;
            };
            if self.ended == Some(Ended::Aborted) {
                continue;
            }
            self.unrecorded += 1;
            let shop = Arc::clone(&self.shop);
            let notes = self.notes.0.clone();
            self.workers.spawn(async move {
                let work = flow(&shop, &job, &request, permit, slot);
                let result = match AssertUnwindSafe(work).catch_unwind().await {
                    Ok(result) => result,
                    Err(_) => shop.store.send(panicked(&shop.desk, &request)).await,
                };
                if let Err(error) = result {
                    // The pump may be gone already, which is why the store is.
                    let _ = notes.send(Note::StoreGone(error));
                }
            });
        }
    }

    fn ask_robots(&mut self, host: HostId, job: JobId, permit: Permit, slot: Slot) {
        let (Some(job), Some(name)) =
            (self.jobs.get(&job).cloned(), self.names.get(&host).cloned())
        else {
            return;
        };
        let shop: Arc<Workshop> = Arc::clone(&self.shop);
        let notes = self.notes.0.clone();
        self.workers.spawn(async move {
            let work = robots::ask(&shop.desk, &job, host, &name, permit);
            let asked = AssertUnwindSafe(work)
                .catch_unwind()
                .await
                .unwrap_or(Asked::Unreachable(None));
            // The pump may be gone already; the next run asks again.
            let _ = notes.send(Note::Robots(host, asked));
            drop(slot);
        });
    }
}

/// The record of an attempt whose worker panicked: neap's own fault, so it is not charged, but not
/// for ever either.
fn panicked(desk: &Desk, request: &Ready) -> Command {
    error!(url = %request.url, "a worker panicked; the request is tried again");
    let is_hopeless = request.deferrals >= MAX_DEFERRALS;
    let wait = std::time::Duration::from_secs(1);
    let verdict = if is_hopeless {
        Verdict::Failed
    } else {
        Verdict::Retry {
            after: wait,
            is_charged: false,
        }
    };
    Command::Record(Box::new(Record {
        request: request.request,
        job: request.job,
        host: request.host,
        attempt: Attempt {
            number: request.next_attempt(),
            started: desk.clock.unix(),
            timings: Timings::default(),
            status: None,
            outcome: Outcome::Internal,
            cause: Some(FailureKind::Internal.as_str().to_owned()),
            fault: Fault::OwnNetwork,
            attribution: None,
            egress: None,
            connect_status: None,
            error: Some("a worker of neap panicked".to_owned()),
            is_charged: is_hopeless,
            backoff: (!is_hopeless).then_some(wait),
            body_bytes: 0,
            limit: 0.0,
            in_flight: 0,
        },
        verdict,
        due: (!is_hopeless).then(|| desk.clock.unix() + wait),
        page: None,
        segment: None,
        links: Vec::new(),
        skipped_links: Vec::new(),
        anchors: Vec::new(),
        redirect: None,
    }))
}
