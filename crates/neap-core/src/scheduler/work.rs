//! What does the scheduler exchange with the store and with the workers?

use super::door::DoorId;
use crate::canonical::CanonicalUrl;
use crate::egress::Probe;
use crate::ids::{HostId, JobId, RequestId};
use crate::limiter::Permit;

/// The place of a ready request among those of its job and host: lower goes first, field by field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Lower is sooner, see [`order`](crate::order).
    pub priority: i32,
    /// When it became due, Unix milliseconds; 0 for a request that never waited.
    pub due_ms: i64,
    /// The request itself, in order of discovery.
    pub request: RequestId,
}

impl Position {
    /// Before every request.
    pub const START: Position = Position {
        priority: i32::MIN,
        due_ms: i64::MIN,
        request: RequestId(i64::MIN),
    };
}

/// A request that may be sent, as the store knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ready {
    /// The request.
    pub request: RequestId,
    /// The job that asks for it.
    pub job: JobId,
    /// The host that is to answer.
    pub host: HostId,
    /// What is asked for.
    pub url: CanonicalUrl,
    /// Links followed from an input URL, 0 for an input URL itself.
    pub depth: u32,
    /// Redirects followed to get here.
    pub hops: u32,
    /// Attempts that were charged.
    pub charged: u32,
    /// Failed attempts that were not charged.
    pub deferrals: u32,
    /// Attempts that ended with the process.
    pub lost: u32,
    /// Attempts before a person had it asked again; they count for nothing any more.
    pub earlier: u32,
    /// Its place.
    pub position: Position,
}

impl Ready {
    /// Whether it was asked before and failed, so that asking it now is a retry.
    pub fn has_failed(&self) -> bool {
        self.charged + self.deferrals > 0
    }

    /// The number of the next attempt, from 1; all that there ever were count.
    pub fn next_attempt(&self) -> u32 {
        self.earlier + self.charged + self.deferrals + self.lost + 1
    }
}

/// A read of ready requests from the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refill {
    /// Of this job.
    pub job: JobId,
    /// And this host.
    pub host: HostId,
    /// Only those behind this position.
    pub after: Position,
    /// So many at most; 1 and up.
    pub count: usize,
}

/// The right to send one request to a host, to be given back to
/// [`Scheduler::handle_report`](super::Scheduler::handle_report) whatever happens.
#[derive(Debug, PartialEq, Eq)]
pub struct Token {
    /// The host that it is for.
    pub host: HostId,
    pub(super) door: DoorId,
    pub(super) permit: Permit,
}

/// Something to send.
#[derive(Debug, PartialEq, Eq)]
pub enum Dispatch {
    /// A request of a job.
    Request {
        /// What is asked for.
        request: Ready,
        /// The right to ask.
        token: Token,
        /// Nothing else is in flight, since this request may have crashed earlier runs.
        is_alone: bool,
    },
    /// The robots file of a host.
    Robots {
        /// The host.
        host: HostId,
        /// A job that wants it; it is asked for in this job's name.
        job: JobId,
        /// The right to ask.
        token: Token,
    },
}

/// A page to be asked for only to find out about a proxy.
#[derive(Debug, PartialEq, Eq)]
pub struct Probing {
    /// The job whose proxy it is.
    pub job: JobId,
    /// What is asked for, and by which way.
    pub probe: Probe,
    /// The right to ask its host.
    pub token: Token,
}

/// What the scheduler waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wake {
    /// A host that may be asked again then, and what keeps it until then. Of hosts that share their
    /// limits, the one that leads them.
    Host(HostId, Hold),
    /// A request that failed and becomes due.
    RetryDue,
    /// A proxy of the job that is tried again then: all are left out.
    Proxies(JobId),
    /// Our own network, which is looked at again then.
    Network,
}

/// What keeps a host from being asked now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// Its delay, its rate, or its limit: it is asked steadily, only not faster.
    Pace,
    /// It asked for a pause.
    Pause,
    /// It does nothing but fail and is only probed.
    Probe,
    /// Its robots file cannot be had, and is asked for again then.
    Robots,
    /// Only retries are left for it, and they flow slowly.
    Budget,
}

impl Hold {
    /// Whether a host that is held so has trouble, and is not just asked at its pace.
    pub const fn is_trouble(self) -> bool {
        match self {
            Hold::Pause | Hold::Probe | Hold::Robots => true,
            Hold::Pace | Hold::Budget => false,
        }
    }
}
