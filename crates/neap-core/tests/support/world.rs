//! How does a run go on, in virtual time?
//!
//! The loop is a runner's: hear what happened, carry out every decision, sleep until the next event or
//! `poll_timeout`. Writes to the store go through one queue, reads and acknowledgements overtake each
//! other. The world checks at every step that limits are kept and that the run neither spins nor stalls.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use http::{HeaderMap, HeaderValue};
use neap_core::classify::{Judgement, Outcome, classify};
use neap_core::exchange::{Answer, Exchange, Failure, Timings};
use neap_core::job::{LimitKey, Retry};
use neap_core::limiter::{Memory, Signal};
use neap_core::scheduler::{
    Dispatch, JobSettings, MAX_BUFFERED, Position, Ready, Refill, Scheduler, Token, Wake,
};
use neap_core::verdict::{History, Verdict, decide};
use neap_core::{HostId, JobId, RequestId, Time};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::hosts::{Host, Reply, Robots};
use super::store::{Spec, State, Store};

/// A moment, in seconds.
pub(crate) fn secs(seconds: f64) -> Time {
    Time::from_secs_f64(seconds)
}

/// The settings of a job that asks for nothing in particular.
pub(crate) fn job() -> JobSettings {
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

/// Something that was sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Sent {
    pub(crate) at: Time,
    pub(crate) host: HostId,
    /// `None` for a robots file.
    pub(crate) request: Option<RequestId>,
    pub(crate) job: JobId,
    pub(crate) is_alone: bool,
    /// Requests in flight besides it.
    pub(crate) beside: u32,
}

/// A run.
pub(crate) struct World {
    pub(crate) scheduler: Scheduler,
    pub(crate) store: Store,
    pub(crate) now: Time,
    pub(crate) sent: Vec<Sent>,
    pub(crate) given_up: Vec<HostId>,
    /// Hosts that were only probed at some time.
    pub(crate) probed: BTreeSet<HostId>,
    pub(crate) robots_asked: Vec<(Time, HostId)>,
    /// Pages in the sense of `crawl.max_pages`.
    pub(crate) pages: BTreeMap<JobId, u64>,
    pub(crate) most_in_flight: BTreeMap<HostId, u32>,
    pub(crate) most_busy: u32,
    pub(crate) robots_wait: Duration,
    /// What the store knows of hosts from an earlier run.
    pub(crate) memories: BTreeMap<HostId, Memory>,
    jobs: BTreeMap<JobId, JobSettings>,
    finished: BTreeSet<JobId>,
    hosts: BTreeMap<HostId, Host>,
    /// What the store holds of robots files: the crawl delay of each.
    pub(crate) robots_stored: BTreeMap<HostId, Option<Duration>>,
    /// Jobs that know what the robots file of a host says to them.
    robots_known: BTreeSet<(JobId, HostId)>,
    in_flight: BTreeMap<HostId, u32>,
    /// A request that nothing may be beside.
    alone: Option<RequestId>,
    concurrency: u32,
    retry: Retry,
    dice: SmallRng,
    events: BTreeMap<(Time, u64), Event>,
    number: u64,
    /// A second, and how often nothing but the time woke the run in it.
    wakes: (u64, u32),
    write_at: Time,
    tell_at: Time,
    /// Longest time that the store takes, in milliseconds.
    pub(crate) store_ms: u64,
}

enum Event {
    Read(Refill),
    Refilled(Refill, Vec<Ready>, Option<Position>, bool),
    Write(Write),
    Recorded(RequestId),
    Ready(JobId, HostId, Position),
    Promoted(Vec<Ready>),
    NextDue(Option<Time>),
    Loaded(HostId),
    Leased(Ready, Token),
    Refused(Ready, Token),
    Answered(Option<Ready>, Token, Box<Exchange>, bool),
    Handed(Ready, Verdict, bool),
    JobFinished(JobId),
}

enum Write {
    Lease(Ready, Token),
    Record(RequestId, Verdict),
    Promote,
    FailHost(HostId),
    SkipRest(JobId),
}

impl World {
    pub(crate) fn new(seed: u64, concurrency: u32, hosts: Vec<Host>) -> World {
        let numbered = hosts
            .into_iter()
            .zip(1..)
            .map(|(host, id)| (HostId(id), host));
        World {
            scheduler: Scheduler::new(concurrency),
            store: Store::default(),
            now: Time::ZERO,
            sent: Vec::new(),
            given_up: Vec::new(),
            probed: BTreeSet::new(),
            robots_asked: Vec::new(),
            pages: BTreeMap::new(),
            most_in_flight: BTreeMap::new(),
            most_busy: 0,
            robots_wait: Duration::from_secs(5),
            memories: BTreeMap::new(),
            jobs: BTreeMap::new(),
            finished: BTreeSet::new(),
            hosts: numbered.collect(),
            robots_stored: BTreeMap::new(),
            robots_known: BTreeSet::new(),
            in_flight: BTreeMap::new(),
            alone: None,
            concurrency,
            retry: Retry::default(),
            dice: SmallRng::seed_from_u64(seed),
            events: BTreeMap::new(),
            number: 0,
            wakes: (0, 0),
            write_at: Time::ZERO,
            tell_at: Time::ZERO,
            store_ms: 20,
        }
    }

    /// A job takes part, with these input URLs.
    pub(crate) fn add_job(&mut self, number: i64, settings: JobSettings, input: Vec<Spec>) {
        let job = JobId(number);
        self.scheduler.add_job(job, settings.clone());
        self.jobs.insert(job, settings);
        for (host, first) in self.store.add(job, input) {
            self.later(Event::Ready(job, host, first));
        }
    }

    /// Runs until every job is finished.
    pub(crate) fn run(&mut self) {
        self.run_until(|_| false);
        self.come_home();
        assert_eq!(self.scheduler.buffered(), 0);
        assert_eq!(self.scheduler.busy(), 0);
    }

    /// Runs until every job is finished, or so far.
    pub(crate) fn run_until(&mut self, is_enough: impl Fn(&World) -> bool) {
        let mut steps_in_place = 0;
        while self.finished.len() < self.jobs.len() && !is_enough(self) {
            self.decide_all();
            let event = self.events.first_key_value().map(|((at, _), _)| *at);
            let timeout = self.scheduler.poll_timeout().map(|(at, _)| at);
            let Some(next) = [event, timeout].into_iter().flatten().min() else {
                panic!(
                    "stalled at {} s with {} open",
                    self.now.as_secs_f64(),
                    self.open()
                );
            };
            let is_event = event.is_some_and(|at| at <= next);
            self.count_wake(next);
            steps_in_place = if next > self.now || is_event {
                0
            } else {
                steps_in_place + 1
            };
            assert!(steps_in_place < 3, "spins at {} s", self.now.as_secs_f64());
            assert!(next < secs(1e6), "runs for ever with {} open", self.open());
            self.now = self.now.max(next);
            if is_event && let Some((_, event)) = self.events.pop_first() {
                self.hear(event);
            }
        }
    }

    /// Everything that is under way comes home; nothing is decided any more but what `drain` allows.
    pub(crate) fn come_home(&mut self) {
        loop {
            self.decide_all();
            let Some(((at, _), event)) = self.events.pop_first() else {
                return;
            };
            self.now = self.now.max(at);
            self.hear(event);
        }
    }

    /// What a host is called.
    pub(crate) fn name(&self, host: HostId) -> neap_core::Host {
        let domain = self.hosts[&host].domain.unwrap_or("example");
        let name = format!("http://h{host}.{domain}");
        neap_core::Host::parse(&name).expect("a plain host")
    }

    pub(crate) fn wake(&self) -> Option<(Time, Wake)> {
        self.scheduler.poll_timeout()
    }

    /// Requests that are not finished, over all jobs.
    pub(crate) fn open(&self) -> usize {
        self.jobs.keys().map(|job| self.store.open(*job)).sum()
    }

    /// Requests of a job that ended so.
    pub(crate) fn ended(&self, job: i64, state: State) -> usize {
        let is_it = |row: &&super::store::Row| row.job == JobId(job) && row.state == state;
        self.store.rows.values().filter(is_it).count()
    }

    /// What was sent to a host, robots files left out.
    pub(crate) fn sent_to(&self, host: i64) -> impl Iterator<Item = &Sent> {
        self.sent
            .iter()
            .filter(move |s| s.host == HostId(host) && s.request.is_some())
    }

    /// Checks that a run in which nothing is to do looks up a few times a second only.
    fn count_wake(&mut self, next: Time) {
        let second = next.as_micros() / 1_000_000;
        if second != self.wakes.0 {
            self.wakes = (second, 0);
        }
        let is_idle = self.events.is_empty() && self.scheduler.busy() == 0;
        self.wakes.1 += u32::from(is_idle);
        let most = 25 * self.hosts.len() as u32;
        assert!(
            self.wakes.1 <= most,
            "looks up too often at second {second}"
        );
    }

    // ---- decisions ----------------------------------------------------------------------------

    fn decide_all(&mut self) {
        let mut polls = 0;
        while let Some(host) = self.scheduler.poll_load() {
            self.later(Event::Loaded(host));
            polls += 1;
        }
        if self.scheduler.poll_promote(self.now) {
            self.write(Write::Promote);
        }
        while let Some(refill) = self.scheduler.poll_refill() {
            assert!(refill.count > 0);
            self.later(Event::Read(refill));
            polls += 1;
        }
        while let Some(job) = self.scheduler.poll_full() {
            self.write(Write::SkipRest(job));
            polls += 1;
        }
        while let Some(host) = self.scheduler.poll_given_up() {
            self.given_up.push(host);
            self.write(Write::FailHost(host));
            polls += 1;
        }
        while let Some(dispatch) = self.scheduler.poll_dispatch(self.now) {
            self.send(dispatch);
            polls += 1;
        }
        let lanes = self.jobs.len() * self.hosts.len();
        let most = self.concurrency as usize + 3 * (lanes + self.jobs.len() + self.hosts.len());
        assert!(polls <= most, "{polls} decisions at once");
        assert!(self.scheduler.buffered() <= MAX_BUFFERED);
    }

    fn send(&mut self, dispatch: Dispatch) {
        let beside = self.in_flight.values().sum();
        let (host, job, request, is_alone) = match &dispatch {
            Dispatch::Robots { host, job, .. } => (*host, *job, None, false),
            Dispatch::Request {
                request, is_alone, ..
            } => (request.host, request.job, Some(request.request), *is_alone),
        };
        self.sent.push(Sent {
            at: self.now,
            host,
            request,
            job,
            is_alone,
            beside,
        });
        assert_eq!(self.alone, None, "something was sent beside a suspect");
        self.alone = request.filter(|_| is_alone);
        self.check_limits(host, job, request.is_none());
        match dispatch {
            Dispatch::Robots { host, token, .. } => {
                self.robots_asked.push((self.now, host));
                let model = self.hosts.get_mut(&host).expect("every host is modelled");
                let reply = model.answer_robots(self.now);
                let event = Event::Answered(None, token, exchange(reply), reply.is_served);
                self.at(self.now + reply.takes, event);
            }
            Dispatch::Request { request, token, .. } => self.write(Write::Lease(request, token)),
        }
    }

    /// Counts a start, and checks what must hold at each.
    fn check_limits(&mut self, host: HostId, job: JobId, is_robots: bool) {
        let in_flight = self.in_flight.entry(host).or_default();
        *in_flight += 1;
        let most = self.most_in_flight.entry(host).or_default();
        *most = (*most).max(*in_flight);
        self.most_busy = self.most_busy.max(self.scheduler.busy());
        assert!(self.scheduler.busy() <= self.concurrency);
        assert!(
            *in_flight <= self.jobs[&job].per_host,
            "host {host} is over its ceiling"
        );
        self.check_group(host, job);
        let obeys = self.jobs[&job].obeys_robots;
        assert!(
            !is_robots || obeys,
            "a robots file is asked for in the name of job {job}"
        );
        assert!(
            is_robots || !obeys || self.robots_known.contains(&(job, host)),
            "robots come first"
        );
    }

    /// Checks that hosts which share a limit keep it together.
    fn check_group(&self, host: HostId, job: JobId) {
        if self.hosts[&host].domain.is_none() {
            return;
        }
        let leader = |host| self.scheduler.host(host, self.now).map(|view| view.leader);
        let ours = leader(host);
        let sharing = self
            .in_flight
            .iter()
            .filter(|(host, _)| leader(**host) == ours);
        let together: u32 = sharing.map(|(_, count)| *count).sum();
        let most = self.jobs[&job].per_host;
        assert!(
            together <= most,
            "{host} and those that share with it are over their ceiling"
        );
    }

    // ---- events -------------------------------------------------------------------------------

    fn hear(&mut self, event: Event) {
        match event {
            Event::Read(refill) => {
                let (rows, last, is_exhausted) = self.store.read(&refill);
                self.later(Event::Refilled(refill, rows, last, is_exhausted));
            }
            Event::Refilled(refill, rows, last, is_exhausted) => {
                self.scheduler
                    .handle_refilled(&refill, rows, last, is_exhausted);
            }
            Event::Write(write) => self.commit(write),
            Event::Recorded(request) => self.scheduler.handle_recorded(request),
            Event::Ready(job, host, first) => self.scheduler.handle_ready(job, host, first),
            Event::Promoted(rows) => self.scheduler.handle_promoted(rows),
            Event::NextDue(due) => self.scheduler.handle_next_due(due),
            Event::Loaded(host) => {
                let name = self.name(host);
                let unix_now = neap_core::UnixMs(self.now.as_micros() as i64 / 1000);
                let memory = self.memories.get(&host).copied();
                let robots = self.robots_stored.get(&host).copied();
                if robots.is_some() {
                    self.inform_jobs(host);
                }
                self.scheduler
                    .handle_host(host, &name, memory, robots, self.now, unix_now);
            }
            Event::Leased(request, token) => self.exchange(request, token),
            Event::Refused(request, token) => {
                self.alone = self.alone.filter(|alone| *alone != request.request);
                self.come_back(token, Signal::NOTHING);
                self.scheduler.handle_verdict(request.job, false);
                self.scheduler.handle_worker_free();
                self.scheduler.handle_recorded(request.request);
            }
            Event::Answered(request, token, exchange, is_served) => {
                if is_served {
                    self.hosts
                        .get_mut(&token.host)
                        .expect("every host is modelled")
                        .done();
                }
                match request {
                    Some(request) => self.conclude(request, token, &exchange),
                    None => self.conclude_robots(token, &exchange),
                }
            }
            Event::Handed(request, verdict, was_page) => {
                self.alone = self.alone.filter(|alone| *alone != request.request);
                self.scheduler.handle_verdict(request.job, was_page);
                *self.pages.entry(request.job).or_default() += u64::from(was_page);
                self.write(Write::Record(request.request, verdict));
                self.scheduler.handle_worker_free();
            }
            Event::JobFinished(job) => {
                self.scheduler.remove_job(job);
                self.finished.insert(job);
            }
        }
    }

    fn exchange(&mut self, request: Ready, token: Token) {
        let kind = self.store.rows[&request.request].spec.kind;
        let model = self
            .hosts
            .get_mut(&request.host)
            .expect("every host is modelled");
        let tries = request.charged + request.deferrals;
        let reply = model.answer(kind, tries, self.now);
        let exchange = exchange(reply);
        let event = Event::Answered(Some(request), token, exchange, reply.is_served);
        self.at(self.now + reply.takes, event);
    }

    fn conclude(&mut self, request: Ready, token: Token, exchange: &Exchange) {
        let is_retry = request.charged + request.deferrals > 0;
        let judgement = classify(exchange, asked_to_wait(exchange), is_retry);
        let is_failing = self.come_back(token, judgement.signal);
        let history = History {
            charged: request.charged,
            deferrals: request.deferrals,
        };
        let dice = &mut self.dice;
        let verdict = decide(exchange, &judgement, history, is_failing, &self.retry, dice);
        let was_page = verdict == Verdict::Done && judgement.outcome != Outcome::Redirect;
        let wait = Duration::from_micros(self.dice.random_range(0..2000));
        self.at(self.now + wait, Event::Handed(request, verdict, was_page));
    }

    fn conclude_robots(&mut self, token: Token, exchange: &Exchange) {
        let host = token.host;
        let judgement: Judgement = classify(exchange, asked_to_wait(exchange), false);
        self.come_back(token, judgement.signal);
        match &exchange.result {
            Ok(answer) if answer.status < 500 => {
                let delay = match self.hosts[&host].robots {
                    Robots::CrawlDelay(delay) => Some(delay),
                    Robots::Absent | Robots::UnreachableUntil(_) => None,
                };
                self.robots_stored.insert(host, delay);
                self.inform_jobs(host);
                self.scheduler.handle_robots(host, delay);
            }
            Ok(_) | Err(_) => {
                self.scheduler
                    .handle_robots_unreachable(host, self.robots_wait, self.now);
            }
        }
        self.scheduler.handle_worker_free();
    }

    /// A robots file is read for every job that takes part.
    fn inform_jobs(&mut self, host: HostId) {
        let jobs = self.jobs.keys().map(|job| (*job, host));
        self.robots_known.extend(jobs);
    }

    fn come_back(&mut self, token: Token, signal: Signal) -> bool {
        let host = token.host;
        *self.in_flight.get_mut(&host).expect("it was sent") -= 1;
        let dice = &mut self.dice;
        let is_failing = self.scheduler.handle_report(token, signal, self.now, dice);
        if is_failing {
            self.probed.insert(host);
        }
        is_failing
    }

    // ---- the store's queue --------------------------------------------------------------------

    fn commit(&mut self, write: Write) {
        match write {
            Write::Lease(request, token) => match self.store.lease(request.request) {
                Ok(()) => self.later(Event::Leased(request, token)),
                // The host was given up or the job became full in the very moment.
                Err(State::Failed | State::Skipped) => self.later(Event::Refused(request, token)),
                Err(state) => panic!("{} was sent while it was {state:?}", request.request),
            },
            Write::Record(request, verdict) => {
                let job = self.store.rows[&request].job;
                for (host, first) in self.store.record(request, verdict, self.now) {
                    self.later(Event::Ready(job, host, first));
                }
                self.later(Event::Recorded(request));
                self.tell_next_due();
            }
            Write::Promote => {
                let rows = self.store.promote(self.now, 64);
                self.later(Event::Promoted(rows));
                self.tell_next_due();
            }
            Write::FailHost(host) => self.store.end_all(|row| row.host == host, State::Failed),
            Write::SkipRest(job) => self.store.end_all(|row| row.job == job, State::Skipped),
        }
        let jobs: Vec<JobId> = self.jobs.keys().copied().collect();
        for job in jobs {
            if self.store.open(job) == 0 && !self.finished.contains(&job) {
                self.later(Event::JobFinished(job));
            }
        }
    }

    fn write(&mut self, write: Write) {
        self.write_at = self.write_at.max(self.now + self.store_time());
        self.at(self.write_at, Event::Write(write));
    }

    /// Unlike other answers, these do not overtake each other.
    fn tell_next_due(&mut self) {
        self.tell_at = self.tell_at.max(self.now + self.store_time());
        self.at(self.tell_at, Event::NextDue(self.store.next_due()));
    }

    fn later(&mut self, event: Event) {
        let at = self.now + self.store_time();
        self.at(at, event);
    }

    fn store_time(&mut self) -> Duration {
        Duration::from_micros(self.dice.random_range(0..=self.store_ms * 1000))
    }

    fn at(&mut self, at: Time, event: Event) {
        self.number += 1;
        self.events.insert((at, self.number), event);
    }
}

fn asked_to_wait(exchange: &Exchange) -> Option<Duration> {
    let seconds = exchange.result.as_ref().ok()?.header("retry-after")?;
    Some(Duration::from_secs(seconds.parse().expect("a number")))
}

fn exchange(reply: Reply) -> Box<Exchange> {
    let (result, took) = (reply.result, reply.takes);
    let mut headers = HeaderMap::new();
    if let Some(pause) = reply.retry_after {
        headers.insert(http::header::RETRY_AFTER, pause.as_secs().into());
    }
    if result == Ok(301) {
        headers.insert(
            http::header::LOCATION,
            HeaderValue::from_static("/elsewhere"),
        );
    }
    let answer = |status| Answer {
        status,
        version: http::Version::HTTP_11,
        headers,
        payload: Default::default(),
        body: Default::default(),
        address: None,
    };
    let failure = |kind| Failure {
        kind,
        status: None,
        detail: String::new(),
    };
    Box::new(Exchange {
        result: result.map(answer).map_err(failure),
        timings: Timings {
            first_byte: Some(took),
            total: took,
            ..Timings::default()
        },
        sent: HeaderMap::new(),
        route: Default::default(),
    })
}
