//! How fast does a crawl get on whose pages come from nowhere?
//!
//! The scheduler and the store of a run, with all that goes between them, and in place of the network and
//! the parser a model that has every answer at once. Time is that of the clock.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use miette::{IntoDiagnostic, Result, miette};
use neap_core::classify::{Fault, Outcome};
use neap_core::exchange::Timings;
use neap_core::job::Job;
use neap_core::limiter::{Signal, SignalKind};
use neap_core::scheduler::{Dispatch, JobSettings, Ready, Scheduler, Token};
use neap_core::verdict::Verdict;
use neap_core::{CanonicalUrl, JobId, RequestId, Time, UnixMs};
use neap_store::{
    Attempt, Command, Event, HostMemory, Lease, Link, Page, Record, Settings, SqliteStore,
    Standing, Writer, WriterHandle,
};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use tokio::sync::mpsc::UnboundedReceiver;

use super::meter::{Meter, Reading};

/// Requests in flight.
const IN_FLIGHT: u32 = 256;

/// How often it is written down how the hosts stand: as in a run.
const MEMORIES_EVERY: Duration = Duration::from_secs(2);

/// Makes the links of a page.
pub(super) type Links<'a> = &'a mut dyn FnMut(&CanonicalUrl) -> Vec<CanonicalUrl>;

/// A run of one job on a store.
pub(super) struct Crawl {
    writer: WriterHandle,
    events: UnboundedReceiver<Event>,
    scheduler: Scheduler,
    job: JobId,
    started: Instant,
    leasing: HashMap<RequestId, (Ready, Token)>,
    dice: SmallRng,
    memories_at: Instant,
    log: PathBuf,
    /// The most bytes that the write-ahead log had.
    pub(super) longest_log: u64,
    sent: u64,
    recorded: u64,
}

impl Crawl {
    /// Begins a run and waits until it knows where there is work.
    pub(super) async fn begin(store: &SqliteStore, job_id: JobId, job: &Job) -> Result<Crawl> {
        let lock = store.lock(UnixMs(0)).await.into_diagnostic()?;
        let run = store.begin_run(&lock, UnixMs(0)).await.into_diagnostic()?;
        let spawned = Writer::spawn(store, &run, Settings::default()).await;
        let (writer, events) = spawned.into_diagnostic()?;
        let mut scheduler = Scheduler::new(IN_FLIGHT);
        scheduler.add_job(job_id, JobSettings::of(job, 0));
        let mut log = store.path().as_os_str().to_owned();
        log.push("-wal");
        let mut crawl = Crawl {
            writer,
            events,
            scheduler,
            job: job_id,
            started: Instant::now(),
            leasing: HashMap::new(),
            dice: SmallRng::seed_from_u64(1),
            memories_at: Instant::now() + MEMORIES_EVERY,
            log: log.into(),
            longest_log: 0,
            sent: 0,
            recorded: 0,
        };
        crawl.send(Command::OpenJob(job_id)).await?;
        loop {
            let event = crawl.event().await?;
            let is_last = matches!(event, Event::Counts(..));
            crawl.hear(event, &mut Vec::new());
            if is_last {
                return Ok(crawl);
            }
        }
    }

    /// Asks for `pages` pages, and waits until all of them are recorded.
    pub(super) async fn go_on(
        &mut self,
        pages: u64,
        links: Links<'_>,
        meter: &mut Meter,
    ) -> Result<()> {
        let (sent_at_end, recorded_at_end) = (self.sent + pages, self.recorded + pages);
        let mut leased = Vec::new();
        while self.recorded < recorded_at_end {
            self.ask(sent_at_end).await?;
            let event = self.event().await?;
            self.hear(event, &mut leased);
            while let Ok(event) = self.events.try_recv() {
                self.hear(event, &mut leased);
            }
            let records = meter.aside(|| self.answer(&mut leased, links))?;
            for (record, token) in records {
                let signal = Signal {
                    kind: SignalKind::Ok,
                    latency: Some(Duration::from_millis(30)),
                    ..Signal::NOTHING
                };
                let now = self.now();
                self.scheduler
                    .handle_report(token, signal, now, &mut self.dice);
                self.scheduler.handle_verdict(self.job, true);
                self.scheduler.handle_worker_free();
                self.send(Command::Record(Box::new(record))).await?;
            }
        }
        let log = std::fs::metadata(&self.log).map_or(0, |found| found.len());
        self.longest_log = self.longest_log.max(log);
        Ok(())
    }

    /// Ends the run as one that is stopped.
    pub(super) async fn end(mut self, meter: Meter) -> Result<Reading> {
        self.writer.send(Command::Close).await.into_diagnostic()?;
        while !matches!(self.event().await?, Event::Closed) {}
        self.writer.close().await.ok();
        meter.stop()
    }

    /// Carries out what the scheduler wants done.
    async fn ask(&mut self, sent_at_end: u64) -> Result<()> {
        while let Some(host) = self.scheduler.poll_load() {
            self.send(Command::LoadHost(host)).await?;
        }
        while let Some(refill) = self.scheduler.poll_refill() {
            self.send(Command::Refill(refill)).await?;
        }
        while let Some((job, from)) = self.scheduler.poll_announce() {
            self.send(Command::Announce { job, from }).await?;
        }
        let mut leases = Vec::new();
        while self.sent < sent_at_end
            && let Some(dispatch) = self.scheduler.poll_dispatch(self.now())
        {
            let Dispatch::Request {
                request,
                token,
                is_alone,
            } = dispatch
            else {
                return Err(miette!("the job does not ask for robots files"));
            };
            let lease = Lease {
                request: request.request,
                is_alone,
            };
            self.leasing.insert(request.request, (request, token));
            leases.push(lease);
            self.sent += 1;
        }
        if !leases.is_empty() {
            self.send(Command::Lease(leases)).await?;
        }
        if self.memories_at <= Instant::now() {
            self.memories_at = Instant::now() + MEMORIES_EVERY;
            self.keep_memories().await?;
        }
        Ok(())
    }

    async fn keep_memories(&mut self) -> Result<()> {
        let now = self.now();
        let memories = self.scheduler.take_memories(now, UnixMs(0));
        let rows = memories.into_iter().map(|(view, memory)| HostMemory {
            host: view.host,
            at: UnixMs(0),
            limiter: serde_json::to_value(memory).unwrap_or_default(),
            standing: Standing {
                limit: view.limit,
                in_flight: view.in_flight,
                ..Standing::default()
            },
        });
        let rows = rows.collect();
        self.send(Command::HostMemory(rows)).await
    }

    fn hear(&mut self, event: Event, leased: &mut Vec<(Ready, Token)>) {
        match event {
            Event::Ready(ready) => {
                self.scheduler
                    .handle_ready(ready.job, ready.host, ready.first);
            }
            Event::Announced { job, next } => self.scheduler.handle_announced(job, next),
            Event::Host(row) => {
                let now = self.now();
                self.scheduler
                    .handle_host(row.host, &row.name, None, None, now, UnixMs(0));
            }
            Event::Refilled(refilled) => {
                let last = refilled.rows.last().map(|row| row.position);
                let is_exhausted = refilled.is_exhausted;
                self.scheduler
                    .handle_refilled(&refilled.refill, refilled.rows, last, is_exhausted);
            }
            Event::Leased {
                leased: now_out, ..
            } => {
                leased.extend(
                    now_out
                        .iter()
                        .filter_map(|request| self.leasing.remove(request)),
                );
            }
            Event::Recorded(recorded) => {
                self.recorded += 1;
                self.scheduler.handle_recorded(recorded.request);
            }
            // Nothing waits, fails or is changed by others here.
            Event::Promoted(_)
            | Event::Counts(..)
            | Event::NextDue(_)
            | Event::Skipped(_)
            | Event::HostFailed { .. }
            | Event::RestSkipped { .. }
            | Event::JobFinished(_)
            | Event::JobChanged(..)
            | Event::JobFound(_)
            | Event::Closed
            | Event::Broken(_) => {}
        }
    }

    /// The answers to requests that are out.
    fn answer(
        &mut self,
        leased: &mut Vec<(Ready, Token)>,
        links: Links<'_>,
    ) -> Vec<(Record, Token)> {
        let answers = leased.drain(..);
        answers
            .map(|(row, token)| (record(&row, links(&row.url)), token))
            .collect()
    }

    async fn event(&mut self) -> Result<Event> {
        match self.events.recv().await {
            Some(Event::Broken(error)) => Err(error).into_diagnostic(),
            Some(event) => Ok(event),
            None => Err(miette!("the writer has stopped")),
        }
    }

    async fn send(&self, command: Command) -> Result<()> {
        self.writer.send(command).await.into_diagnostic()
    }

    fn now(&self) -> Time {
        Time::ZERO + self.started.elapsed()
    }
}

fn record(row: &Ready, links: Vec<CanonicalUrl>) -> Record {
    let at = UnixMs(1_767_225_600_000);
    Record {
        request: row.request,
        job: row.job,
        host: row.host,
        attempt: Attempt {
            number: 1,
            started: at,
            timings: Timings {
                first_byte: Some(Duration::from_millis(30)),
                total: Duration::from_millis(35),
                ..Timings::default()
            },
            status: Some(200),
            outcome: Outcome::Success,
            cause: None,
            fault: Fault::Nobody,
            attribution: None,
            egress: None,
            connect_status: None,
            error: None,
            is_charged: true,
            backoff: None,
            body_bytes: 30_000,
            limit: 4.0,
            in_flight: 3,
        },
        verdict: Verdict::Done,
        due: None,
        page: Some(Page {
            status: 200,
            content_type: Some("text/html; charset=utf-8".to_owned()),
            body_bytes: 30_000,
            fetched: at,
            about: None,
        }),
        segment: None,
        links: links
            .into_iter()
            .map(|url| Link {
                url,
                depth: 1,
                priority: 1,
            })
            .collect(),
        anchors: Vec::new(),
        skipped_links: Vec::new(),
        redirect: None,
    }
}
