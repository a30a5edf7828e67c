//! What happens next, over all requests?
//!
//! The only loop. Each turn it hears what the store has done and what workers found out, asks the
//! scheduler for every decision that is due, carries those out, and sleeps until something happens
//! or the scheduler's next deadline comes.

mod carry;
mod close;
mod hear;
mod keep;
mod outside;
mod proxies;
mod still;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use neap_core::scheduler::{JobSettings, Ready, Scheduler};
use neap_core::{Host, HostId, JobId, RequestId};
use neap_store::{Command, Counts, Event, StoreError, WriterHandle};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::certificates::CertificateError;
use crate::clock::Clock;
use crate::desk::{Desk, Permit, Slot};
use crate::flow::Workshop;
use crate::jobs::{self, JobContext, Learned, RunJob, Shared};
use crate::progress::{Progress, Tally};
use crate::proxies::ProxyListError;
use crate::report::{Ended, RunReport};
use crate::robots::{Asked, Rules};
use crate::session::CookieFileError;
use crate::stop::{Stop, Stopper};
use proxies::JobProxies;
use still::Still;

/// How often limiter memories are stored and the progress is told.
const TICK: Duration = Duration::from_millis(200);
/// Every so many ticks the limiters' memories go to the store: every two seconds.
const TICKS_TO_MEMORIES: u32 = 10;

/// How a run behaves.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// Pages after which the run ends; its jobs can be resumed. `None` for no limit.
    pub most_pages: Option<u64>,
    /// Time after which the run ends; its jobs can be resumed. `None` for no limit.
    pub most_time: Option<Duration>,
    /// Time that requests in flight get when the run is stopped.
    pub grace: Duration,
}

impl Default for RunOptions {
    fn default() -> RunOptions {
        RunOptions {
            most_pages: None,
            most_time: None,
            grace: Duration::from_secs(60),
        }
    }
}

/// A run could not begin, or not go on.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A job needs an environment variable that is not set, or a file that is not there or no text of a few KiB.
    #[error("job {job}: {what} needs {reference}, which is not set or cannot be read")]
    NoSecret {
        /// The job.
        job: String,
        /// What needs it: a header, a login.
        what: String,
        /// The variable, or the path of the file.
        reference: String,
    },
    /// What the environment or a file holds cannot be sent.
    #[error(
        "job {job}: {what} has characters that a header cannot carry, or a colon in its user name"
    )]
    BadHeader {
        /// The job.
        job: String,
        /// What cannot be sent: a header, a login.
        what: String,
    },
    /// The proxies of a job cannot be used.
    #[error("job {job}: {source}")]
    Proxies {
        /// The job.
        job: String,
        /// What is wrong with them.
        source: ProxyListError,
    },
    /// The certificates of a job cannot be used.
    #[error("job {job}: {source}")]
    Certificates {
        /// The job.
        job: String,
        /// What is wrong with them.
        source: CertificateError,
    },
    /// The cookies of a job cannot be used.
    #[error("job {job}: {source}")]
    Cookies {
        /// The job.
        job: String,
        /// What is wrong with them.
        source: CookieFileError,
    },
    /// The HTTP client could not be built.
    #[error(transparent)]
    Fetch(#[from] neap_fetch::FetchError),
    /// The store cannot be written any more. What was recorded is safe.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// One run, from its first request to its report.
#[derive(Debug)]
pub struct Pump {
    shop: Arc<Workshop>,
    events: mpsc::UnboundedReceiver<Event>,
    notes: (mpsc::UnboundedSender<Note>, mpsc::UnboundedReceiver<Note>),
    jobs: BTreeMap<JobId, Arc<JobContext>>,
    counts: BTreeMap<JobId, Counts>,
    finishing: BTreeSet<JobId>,
    finished: BTreeSet<JobId>,
    /// Jobs that others paused; the run waits for them to be continued, or to be stopped.
    paused: BTreeSet<JobId>,
    /// What a job needs that is found on the way.
    shared: Shared,
    lookup: Lookup,
    /// Of the jobs that go through proxies.
    proxies: BTreeMap<JobId, JobProxies>,
    /// Requests that went out and of which the store has not said that they are recorded.
    unrecorded: usize,
    names: HashMap<HostId, Host>,
    rules: Rules,
    /// Dispatched, and waiting for the store to have noted it.
    leasing: HashMap<RequestId, (Ready, Permit, Slot)>,
    workers: JoinSet<()>,
    given_up: Vec<(String, u64)>,
    stop: watch::Receiver<Stop>,
    ended: Option<Ended>,
    options: RunOptions,
    /// When workers that are still out after a stop are called off.
    grace_ends: Option<Instant>,
    progress: watch::Sender<Progress>,
    /// The standstill that was logged last and is not over.
    still: Option<Still>,
    started: Instant,
}

type SecretOf = dyn Fn(&str) -> Option<String> + Send + Sync;

/// Looks up the secrets of jobs.
struct Lookup(Box<SecretOf>);

impl std::fmt::Debug for Lookup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Lookup")
    }
}

/// What workers tell the pump.
#[derive(Debug)]
enum Note {
    Robots(HostId, Asked),
    StoreGone(StoreError),
}

impl Pump {
    /// Prepares a run of `jobs` on a store that `writer` writes.
    ///
    /// # Errors
    /// A job's client cannot be built; nothing was sent or stored.
    pub fn new(
        jobs: Vec<RunJob>,
        writer: (WriterHandle, mpsc::UnboundedReceiver<Event>),
        options: RunOptions,
        stopper: &Stopper,
        lookup: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
    ) -> Result<Pump, RunError> {
        let (store, events) = writer;
        let concurrency = jobs
            .iter()
            .map(|run| run.job.limits.concurrency)
            .max()
            .unwrap_or(1);
        let mut scheduler = Scheduler::new(concurrency);
        if let Some(most) = options.most_pages {
            scheduler.limit_pages(most);
        }
        let shared = Shared::new(concurrency);
        let clock = Clock::start();
        let (mut contexts, mut proxies) = (BTreeMap::new(), BTreeMap::new());
        for run in jobs {
            scheduler.add_job(run.id, JobSettings::of(&run.job, run.pages));
            let lists = jobs::proxies(&run.job, &lookup)?;
            let learned = Learned::begin(&run.job, clock.unix())?;
            let context = JobContext::new(run, &shared, learned, &lookup)?;
            let of_job = JobProxies::new(lists);
            of_job.equip(&mut scheduler, &context, clock.now());
            if scheduler.pools(context.id).is_some() {
                proxies.insert(context.id, of_job);
            }
            contexts.insert(context.id, Arc::new(context));
        }
        let desk = Arc::new(Desk::new(scheduler, clock));
        Ok(Pump {
            shop: Arc::new(Workshop {
                desk,
                store,
                tally: Tally::default(),
            }),
            events,
            notes: mpsc::unbounded_channel(),
            jobs: contexts,
            counts: BTreeMap::new(),
            finishing: BTreeSet::new(),
            finished: BTreeSet::new(),
            paused: BTreeSet::new(),
            shared,
            lookup: Lookup(Box::new(lookup)),
            proxies,
            unrecorded: 0,
            names: HashMap::new(),
            rules: Rules::default(),
            leasing: HashMap::new(),
            workers: JoinSet::new(),
            given_up: Vec::new(),
            stop: stopper.watch(),
            ended: None,
            options,
            grace_ends: None,
            progress: watch::Sender::new(Progress::default()),
            still: None,
            started: Instant::now(),
        })
    }

    /// What the run has done so far, told several times a second while it runs.
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// Runs until the jobs are finished or the run is stopped.
    ///
    /// # Errors
    /// The store cannot be written. Everything that was recorded stays, and a next run goes on there.
    pub async fn run(self) -> Result<RunReport, RunError> {
        // As a task beside the workers: a thread that blocks on it would be woken for each of them.
        match tokio::spawn(self.drive()).await {
            Ok(result) => result,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Err(StoreError::Stopped.into()),
            },
        }
    }

    async fn drive(mut self) -> Result<RunReport, RunError> {
        if let Err(error) = self.work().await {
            return Err(self.reason(error).await);
        }
        if let Err(error) = self.close().await {
            return Err(self.reason(error).await);
        }
        Ok(self.into_report())
    }

    /// What ended the run: the writer that takes nothing any more says why in its last event, which may not
    /// have been heard yet.
    async fn reason(&mut self, error: RunError) -> RunError {
        if matches!(error, RunError::Store(StoreError::Stopped)) {
            while let Some(event) = self.events.recv().await {
                if let Event::Broken(cause) = event {
                    return cause.into();
                }
            }
        }
        error
    }

    async fn work(&mut self) -> Result<(), RunError> {
        for job in self.jobs.keys().copied().collect::<Vec<_>>() {
            self.send(Command::OpenJob(job)).await?;
        }
        let mut tick = tokio::time::interval(TICK);
        let mut ticks = 0u32;
        loop {
            self.hear_all().await?;
            self.decide_all().await?;
            if self.is_over() {
                return Ok(());
            }
            let wake = self.next_wake();
            tokio::select! {
                event = self.events.recv() => match event {
                    Some(event) => self.hear(event).await?,
                    None => return Err(StoreError::Stopped.into()),
                },
                Some(note) = self.notes.1.recv() => self.hear_worker(note).await?,
                () = self.shop.desk.bell.notified() => {}
                Some(_) = self.workers.join_next(), if !self.workers.is_empty() => {}
                Ok(()) = self.stop.changed() => self.heed_stop(),
                () = tokio::time::sleep_until(wake) => self.heed_time(),
                _ = tick.tick() => {
                    ticks = ticks.wrapping_add(1);
                    self.send(Command::Heed).await?;
                    if ticks.is_multiple_of(TICKS_TO_MEMORIES) {
                        self.store_memories().await?;
                        self.store_proxies().await?;
                        self.reread_lists().await?;
                    }
                    self.log_standstill();
                    self.tell_progress();
                }
            }
        }
    }

    fn heed_stop(&mut self) {
        let stop = *self.stop.borrow_and_update();
        match stop {
            Stop::No => {}
            Stop::Drain => self.drain(Ended::Drained),
            Stop::Abort => {
                self.drain(Ended::Aborted);
                self.ended = Some(Ended::Aborted);
                self.call_off();
            }
        }
    }

    /// Ends the run when its time is used up, and the workers when the grace after a stop is.
    fn heed_time(&mut self) {
        let now = Instant::now();
        if self.time_is_up().is_some_and(|at| now >= at) {
            self.drain(Ended::LimitReached);
        }
        if self.grace_ends.is_some_and(|at| now >= at) {
            warn!(
                in_flight = self.workers.len(),
                "grace is over; the next run asks these again"
            );
            self.call_off();
            self.grace_ends = None;
        }
    }

    fn time_is_up(&self) -> Option<Instant> {
        self.options.most_time.map(|most| self.started + most)
    }

    /// Lets nothing new go out; what is in flight comes home.
    fn drain(&mut self, why: Ended) {
        if self.ended.is_some() {
            return;
        }
        self.ended = Some(why);
        self.grace_ends = Some(Instant::now() + self.options.grace);
        self.shop.desk.state().scheduler.drain();
        info!(in_flight = self.workers.len(), ?why, "draining");
    }

    fn is_over(&self) -> bool {
        let is_home = self.workers.is_empty() && self.leasing.is_empty();
        let is_settled = self.unrecorded == 0 && self.finishing.len() == self.finished.len();
        is_home
            && match self.ended {
                None if self.is_finished() => true,
                None => self.has_no_more_work() && self.unrecorded == 0,
                Some(Ended::Aborted) => true,
                // The last records may be those that finish a job.
                Some(
                    Ended::Drained | Ended::LimitReached | Ended::Finished | Ended::ProxiesStopped,
                ) => is_settled,
            }
    }

    /// Whether no job of the run has an open request any more.
    fn is_finished(&self) -> bool {
        self.finished.len() == self.jobs.len()
    }

    /// Whether every job of the run is finished, or has no proxy left that it could go through.
    fn has_no_more_work(&self) -> bool {
        let is_over = |job: &JobId| self.finished.contains(job) || self.is_stopped(*job);
        self.jobs.keys().all(is_over)
    }

    /// Calls off what is in flight; the next run asks it again.
    fn call_off(&mut self) {
        self.workers.abort_all();
        self.unrecorded = 0;
    }

    /// The next moment at which there may be something to do without any event.
    fn next_wake(&self) -> Instant {
        let desk = &self.shop.desk;
        let scheduled = desk
            .state()
            .scheduler
            .poll_timeout()
            .map(|(at, _)| desk.clock.instant_of(at));
        let own = if self.ended.is_some() {
            self.grace_ends
        } else {
            self.time_is_up()
        };
        let for_ever = Instant::now() + Duration::from_secs(3600);
        [scheduled, own, Some(for_ever)]
            .into_iter()
            .flatten()
            .min()
            .expect("one is always there")
    }

    async fn send(&self, command: Command) -> Result<(), RunError> {
        Ok(self.shop.store.send(command).await?)
    }

    fn name(&self, host: HostId) -> String {
        self.names
            .get(&host)
            .map_or_else(|| format!("host {host}"), Host::to_string)
    }
}
