//! What goes into the store while a run writes, and what comes out?
//!
//! Plain data. [`Command`]s go to the writer, which does what is waiting in one transaction; once that
//! is durable the [`Event`]s come back, in order.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use neap_core::attribution::Attribution;
use neap_core::classify::{Fault, Outcome};
use neap_core::exchange::Timings;
pub use neap_core::scheduler::{Position, Ready, Refill};
use neap_core::scope::SkipReason;
use neap_core::verdict::Verdict;
use neap_core::{CanonicalUrl, Host, HostId, JobId, RequestId, UnixMs};

use crate::segments::Records;
use crate::{Counts, JobRow, StoreError};

/// What the writer is asked to do.
#[derive(Debug)]
pub enum Command {
    /// Lets a job take part and announces what is ready for it: [`Event::Ready`] for its first hosts,
    /// [`Event::NextDue`], [`Event::Counts`] and [`Event::Announced`].
    OpenJob(JobId),
    /// Announces more hosts of an opened job: an [`Event::Ready`] for each, and [`Event::Announced`].
    Announce {
        /// The job.
        job: JobId,
        /// The first host that is looked at.
        from: HostId,
    },
    /// Reads ready requests of a host and job. Answered by [`Event::Refilled`].
    Refill(Refill),
    /// Marks requests as in flight. Answered by [`Event::Leased`], after which they may be sent.
    Lease(Vec<Lease>),
    /// Records an attempt and all that follows from it. Answered by [`Event::Recorded`].
    Record(Box<Record>),
    /// Makes requests of opened jobs ready whose wait is over. Answered by [`Event::Promoted`].
    Promote {
        /// Requests due at or before this are promoted.
        now: UnixMs,
        /// At most so many, the longest due first.
        most: usize,
    },
    /// Gives up requests that will not be asked for. Answered by [`Event::Skipped`].
    Skip(Vec<Skipped>),
    /// Makes requests of URLs to which no page led: [`Event::Ready`] tells of those that are new.
    Discover {
        /// The job; nothing happens if it is over, or none of the run.
        job: JobId,
        /// What is to be asked for.
        links: Vec<Link>,
    },
    /// Keeps the answer of a host for its robots file.
    Robots(RobotsAnswer),
    /// Keeps how hosts stand and what their limiters learned.
    HostMemory(Vec<HostMemory>),
    /// Keeps how proxies stand. A run tells of every member of a job's pools at least once: those that its
    /// newest run did not tell of are shown as no longer listed.
    Proxies(Vec<ProxyStanding>),
    /// Keeps how limits went; the newest [`KEPT_CHANGES`] of each host.
    LimitChanges(Vec<LimitChange>),
    /// Fails every open request of a host that is not in flight. Millions of them take several
    /// transactions, with other commands in between; answered by [`Event::HostFailed`] after the last.
    FailHost {
        /// The host.
        host: HostId,
        /// The jobs whose requests fail.
        jobs: Vec<JobId>,
        /// Why, in one word for SQL.
        cause: String,
    },
    /// Skips every open request of a job that is not in flight, as [`Command::FailHost`] does. Answered
    /// by [`Event::RestSkipped`].
    SkipRest {
        /// The job.
        job: JobId,
        /// Why.
        reason: SkipReason,
    },
    /// Marks a job as finished. Answered by [`Event::JobFinished`], or by [`JobChange::Reopened`] if others
    /// gave it work meanwhile.
    FinishJob {
        /// The job.
        job: JobId,
    },
    /// Reads what is known of a host. Answered by [`Event::Host`].
    LoadHost(HostId),
    /// Looks whether others changed jobs; [`Event::JobChanged`] and [`Event::JobFound`] tell of it. So does
    /// every other command: this one is for times in which there is none.
    Heed,
    /// Ends the run: seals the segment, empties the write-ahead log. Answered by [`Event::Closed`],
    /// the last event.
    Close,
}

/// Changes of its limit that are kept for each host, the newest: a limit changes every few seconds while
/// it is searched for and then every few minutes, so these tell of a day or more.
pub const KEPT_CHANGES: i64 = 1000;

/// How a host stands.
#[derive(Debug, Clone, PartialEq)]
pub struct HostMemory {
    /// The host.
    pub host: HostId,
    /// When this was true.
    pub at: UnixMs,
    /// What its limiter wants to know in the next run, as JSON.
    pub limiter: serde_json::Value,
    /// How it stands, for people.
    pub standing: Standing,
}

/// How a host stands, for people.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Standing {
    /// Requests that it may have in flight.
    pub limit: f64,
    /// The host whose limit it shares, and whose changes of it are its own; `None` if it has its own.
    pub shares_limit_of: Option<HostId>,
    /// Requests that it has in flight.
    pub in_flight: u32,
    /// Requests a second of late.
    pub requests_per_s: f64,
    /// Latency to the header that 95 of 100 answers stay below.
    pub p95: Option<Duration>,
    /// Since when it did nothing but fail, so that it is only probed, and when the next probe may go.
    pub only_probed: Option<(UnixMs, UnixMs)>,
    /// Until when it asked to be left alone.
    pub held_until: Option<UnixMs>,
    /// Whether its requests were given up, since it did nothing but fail for too long.
    pub is_given_up: bool,
    /// Whether its robots file is not known, so that nothing else may be asked.
    pub waits_for_robots: bool,
    /// Since when its robots file cannot be had, and when it is asked for next.
    pub robots_failing: Option<(UnixMs, UnixMs)>,
}

/// How a proxy stands, or the direct way as a member of a pool. Those of one job and name in a command, which
/// have the same address and different users, are summed up.
#[derive(Debug, Clone, PartialEq)]
pub struct ProxyStanding {
    /// The job.
    pub job: JobId,
    /// Its pool and name.
    pub name: EgressName,
    /// When this was true.
    pub at: UnixMs,
    /// Exchanges since the run began that worked as far as it is concerned.
    pub worked: u64,
    /// Exchanges since the run began that failed by its fault.
    pub failed: u64,
    /// Requests that it has in flight.
    pub in_flight: u32,
    /// Requests that it may have in flight.
    pub limit: f64,
    /// Until when it is left out, and why, in words; `None` if it is used.
    pub left_out: Option<(UnixMs, &'static str)>,
    /// Whether nothing of its pool is used, since a proxy of it refused our credentials.
    pub is_stopped: bool,
    /// Whether the job file, or the list of its pool, names it.
    pub is_member: bool,
}

impl ProxyStanding {
    /// Takes up how another user of the same address stands: they share a row, as one proxy that bears what they
    /// bear together, and that is left out if all are.
    pub fn join(&mut self, other: &ProxyStanding) {
        self.at = self.at.max(other.at);
        self.worked += other.worked;
        self.failed += other.failed;
        self.in_flight += other.in_flight;
        self.limit += other.limit;
        self.left_out = self.left_out.zip(other.left_out).map(|(a, b)| a.min(b));
        self.is_stopped &= other.is_stopped;
        self.is_member |= other.is_member;
    }
}

/// A change of a host's limit.
#[derive(Debug, Clone, PartialEq)]
pub struct LimitChange {
    /// The host.
    pub host: HostId,
    /// When.
    pub at: UnixMs,
    /// The limit before, in requests in flight.
    pub before: f64,
    /// The limit after.
    pub after: f64,
    /// Why, in words.
    pub reason: &'static str,
}

/// A request to be marked as in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// The request; it must be ready.
    pub request: RequestId,
    /// Whether nothing else is in flight while this one is: what is lost three times that way killed
    /// the process itself, and is quarantined.
    pub is_alone: bool,
}

/// One attempt at a request that is in flight, and all that follows from it. Written as a whole or
/// not at all.
#[derive(Debug, Clone)]
pub struct Record {
    /// The request.
    pub request: RequestId,
    /// Its job.
    pub job: JobId,
    /// Its host.
    pub host: HostId,
    /// What was tried.
    pub attempt: Attempt,
    /// What becomes of the request. The attempt says whether it is charged.
    pub verdict: Verdict,
    /// When it is asked again; only with [`Verdict::Retry`].
    pub due: Option<UnixMs>,
    /// The final answer, if there is one.
    pub page: Option<Page>,
    /// The answer's WARC records, if bodies are kept; made by [`crate::segments::records`].
    pub segment: Option<Records>,
    /// Links that are asked for.
    pub links: Vec<Link>,
    /// Links that are not asked for, and why.
    pub skipped_links: Vec<(CanonicalUrl, SkipReason)>,
    /// What the links say, in the order of the page; empty if that is not kept.
    pub anchors: Vec<Anchor>,
    /// Where the answer redirects to.
    pub redirect: Option<Redirect>,
}

/// One try of a request.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// Counted from 1, uncharged and lost attempts included.
    pub number: u32,
    /// When it started.
    pub started: UnixMs,
    /// How long each phase took.
    pub timings: Timings,
    /// The status, if one came.
    pub status: Option<u16>,
    /// What the exchange means.
    pub outcome: Outcome,
    /// Why it brought no page, in one word for SQL; `None` on success.
    pub cause: Option<String>,
    /// Whose fault it is.
    pub fault: Fault,
    /// Who answered, what it means and on what evidence; `None` of what worked without a proxy.
    pub attribution: Option<Attribution>,
    /// The proxy that it went through, or the direct way as a member of a pool; `None` without pools.
    pub egress: Option<EgressName>,
    /// The status with which a proxy answered CONNECT.
    pub connect_status: Option<u16>,
    /// What the layer that failed said, one line; cut to [`MAX_ERROR_BYTES`].
    pub error: Option<String>,
    /// Whether it counts towards `retry.attempts`.
    pub is_charged: bool,
    /// The wait before the next one.
    pub backoff: Option<Duration>,
    /// Bytes of the payload as sent.
    pub body_bytes: u64,
    /// The limit of the host when it started.
    pub limit: f64,
    /// Requests in flight to the host when it started, itself included.
    pub in_flight: u32,
}

/// A way out of the machine that is a member of a pool.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EgressName {
    /// The pool's name in the job file.
    pub pool: Arc<str>,
    /// The proxy's `host:port`, or `direct`; never its credentials.
    pub proxy: Arc<str>,
}

/// Longest text of an error that is stored, in bytes: what a server or library says is bounded.
pub const MAX_ERROR_BYTES: usize = 500;

/// A final answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The status code.
    pub status: u16,
    /// `Content-Type`, as sent; cut to [`MAX_ERROR_BYTES`].
    pub content_type: Option<String>,
    /// Bytes of the payload as sent.
    pub body_bytes: u64,
    /// When the answer was complete.
    pub fetched: UnixMs,
    /// What it says of itself; `None` if it is no HTML page.
    pub about: Option<Box<About>>,
}

/// What an HTML page says of itself. The caller bounds each text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct About {
    /// Its title.
    pub title: Option<String>,
    /// Its first heading.
    pub h1: Option<String>,
    /// Its description.
    pub description: Option<String>,
    /// Its language tag, in lower case.
    pub language: Option<String>,
    /// The URL that it wants to be known by.
    pub canonical: Option<CanonicalUrl>,
    /// Whether it asks not to be shown among results.
    pub is_noindex: bool,
    /// The simhash of its text, of 63 bits.
    pub simhash: Option<u64>,
}

/// What a link says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anchor {
    /// Where it leads.
    pub target: AnchorTarget,
    /// What is clicked on; the caller bounds it.
    pub text: Option<String>,
    /// Whether it asks crawlers not to follow it.
    pub is_nofollow: bool,
}

/// Which link of a [`Record`] an [`Anchor`] is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnchorTarget {
    /// That of [`Record::links`] at this place.
    AskedFor(usize),
    /// That of [`Record::skipped_links`] at this place.
    Skipped(usize),
}

/// A link that is asked for, unless it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Where it leads.
    pub url: CanonicalUrl,
    /// Links to it from an input URL.
    pub depth: u32,
    /// See [`Position::priority`].
    pub priority: i32,
}

/// Where an answer redirects to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redirect {
    /// The target.
    pub url: CanonicalUrl,
    /// Whether it is asked for.
    pub verdict: RedirectVerdict,
}

/// Whether the target of a redirect is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RedirectVerdict {
    /// Yes, unless it is known already.
    Follow,
    /// No, and why.
    Refused(SkipReason),
    /// No: there were too many before it, and the request that sent us there fails.
    TooMany,
}

/// A request that will not be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Skipped {
    /// The request; open, and not in flight unless under this run.
    pub request: RequestId,
    /// Its job.
    pub job: JobId,
    /// Its host.
    pub host: HostId,
    /// Why.
    pub reason: SkipReason,
}

/// What a host answered for its robots file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RobotsAnswer {
    /// The host.
    pub host: HostId,
    /// The status; `None` if there was no answer.
    pub status: Option<u16>,
    /// The file, if there is one; the caller bounds it.
    pub body: Option<Vec<u8>>,
    /// When it was asked for.
    pub fetched: UnixMs,
    /// Until when it is used.
    pub expires: UnixMs,
}

/// What the writer has done.
#[derive(Debug)]
pub enum Event {
    /// The answer to [`Command::Refill`].
    Refilled(Refilled),
    /// The answer to [`Command::Lease`], or to several of them.
    Leased {
        /// These are in flight now.
        leased: Vec<RequestId>,
        /// These are not: they were not ready any more, or their job may not be asked for.
        refused: Vec<RequestId>,
    },
    /// An attempt is recorded.
    Recorded(Recorded),
    /// A host has new ready requests of a job; once for each host, job and batch.
    Ready(ReadyHost),
    /// Hosts with ready requests of a job were announced.
    Announced {
        /// The job.
        job: JobId,
        /// The first host that was not looked at; `None` if all were.
        next: Option<HostId>,
    },
    /// These waited and are ready now.
    Promoted(Vec<Ready>),
    /// How far a job is now; after each batch that changed it, and with [`Command::OpenJob`].
    Counts(JobId, Counts),
    /// When the first waiting request of all opened jobs is due; after each batch that changed it.
    NextDue(Option<UnixMs>),
    /// These are skipped.
    Skipped(Vec<RequestId>),
    /// The answer to [`Command::LoadHost`].
    Host(HostRow),
    /// So many requests of a host failed.
    HostFailed {
        /// The host.
        host: HostId,
        /// Requests that failed with it.
        requests: u64,
    },
    /// So many requests of a job were skipped.
    RestSkipped {
        /// The job.
        job: JobId,
        /// Requests that were skipped.
        requests: u64,
    },
    /// A job is marked as finished.
    JobFinished(JobId),
    /// Others changed a job of the run.
    JobChanged(JobId, JobChange),
    /// There is a job to be worked on that is not of the run, only for a run that takes all; or a job of the
    /// run as it is now, before [`JobChange::Reopened`].
    JobFound(Box<FoundJob>),
    /// The run has ended.
    Closed,
    /// The store cannot be written. Nothing of this batch or later happened; the writer has stopped.
    Broken(StoreError),
}

/// What others did to a job of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobChange {
    /// Nothing of it may be asked for until it is continued. What is in flight is recorded as ever.
    Paused,
    /// It may be asked for again; [`Command::OpenJob`] announces what there is.
    Continued,
    /// Nothing of it is asked for any more; the rest is to be skipped.
    Cancelled,
    /// A new round took its place; its requests stay as they are.
    Replaced,
    /// There are ready requests that the run does not know of; [`Command::OpenJob`] announces them.
    Reopened,
}

/// A job that others put into the store, continued, or gave work.
#[derive(Debug, Clone, PartialEq)]
pub struct FoundJob {
    /// The job.
    pub row: JobRow,
    /// The hosts of its input URLs.
    pub input_hosts: BTreeSet<Host>,
}

/// Ready requests of a host and job, in order.
#[derive(Debug)]
pub struct Refilled {
    /// What was asked.
    pub refill: Refill,
    /// At most `refill.count` of them; none is in flight.
    pub rows: Vec<Ready>,
    /// Whether there are no more behind the last one.
    pub is_exhausted: bool,
}

/// A host that has ready requests of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadyHost {
    /// The job.
    pub job: JobId,
    /// The host.
    pub host: HostId,
    /// Its name.
    pub host_name: Host,
    /// The first of those that are new (with [`Command::OpenJob`]: of all).
    pub first: Position,
}

/// An attempt that is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recorded {
    /// The request.
    pub request: RequestId,
    /// Its job.
    pub job: JobId,
    /// Its host.
    pub host: HostId,
    /// Whether the request was in flight under this run. If not, nothing was written.
    pub was_in_flight: bool,
}

/// What the store knows of a host.
#[derive(Debug, Clone, PartialEq)]
pub struct HostRow {
    /// The host.
    pub host: HostId,
    /// Its name.
    pub name: Host,
    /// What the limiter learned, and when that was true.
    pub limiter: Option<(serde_json::Value, UnixMs)>,
    /// Its robots answer, however old.
    pub robots: Option<RobotsAnswer>,
}
