//! Remembers: jobs, requests, attempts and pages in SQLite, bodies in WARC segments; the only SQL.
//!
//! A [`SqliteStore`] is opened, submitted to and locked; a [`Writer`] takes [`Command`]s of the one run that
//! holds the lock and answers with [`Event`]s once they are durable; any number of [`Reader`]s look on.
//! The writer knows no SQLite: it drives whatever is a [`Store`], in batches.

mod batch;
mod blame;
mod checkpoint;
mod commit;
mod discover;
mod drafts;
mod error;
mod export;
mod fingerprint;
mod hosts;
mod identity;
mod jobs;
mod lock;
mod migrate;
mod open;
mod outside;
mod ownership;
mod place;
mod proxies;
mod query;
mod reader;
mod recover;
pub mod segments;
mod session;
mod store;
mod story;
mod submit;
#[cfg(test)]
mod testing;
mod unfinished;
mod upkeep;
mod values;
mod writer;

pub use batch::{
    About, Anchor, AnchorTarget, Attempt, Command, EgressName, Event, FoundJob, HostMemory,
    HostRow, JobChange, KEPT_CHANGES, Lease, LimitChange, Link, MAX_ERROR_BYTES, Page, Position,
    ProxyStanding, Ready, ReadyHost, Record, Recorded, Redirect, RedirectVerdict, Refill, Refilled,
    RobotsAnswer, Skipped, Standing,
};
pub use blame::{BlameBy, Blamed, Faults, Mostly};
pub use error::StoreError;
pub use export::{Draft, Replaces};
pub use hosts::{
    BadSecond, CauseCount, Culprit, HostColumn, HostRows, HostSummary, KeptChange, Liveness,
};
pub use jobs::{Answers, Counts, JobRow, JobState};
pub use lock::RunLock;
pub use migrate::KNOWN_VERSION as STORE_VERSION;
pub use open::{Access, OLDEST_SQLITE, SqliteStore};
pub use outside::Chosen;
pub use proxies::{ProxyCause, ProxyColumn, ProxyStands, ProxySummary};
pub use query::{Rows, Value};
pub use reader::Reader;
pub use recover::{LOST_ALONE_MAX, Recovered, Run};
pub use segments::{Originals, Records, StoredBody, records};
pub use session::SqliteSession;
pub use store::{Partition, Partitions, Session, Steering, Store};
pub use story::{Hop, Meanwhile, SkippedLink, Story, Tried, Verdict};
pub use submit::{InputFile, InputRow, Intake, Submission, Submitted};
pub use upkeep::{Check, Doomed, Emptied, Finding, GcRule, Part, PartKind, Removed};
pub use writer::{Settings, Writer, WriterHandle};

use neap_core::UnixMs;

/// The wall clock. Only rows are stamped with it; nothing is decided by it.
pub(crate) fn now() -> UnixMs {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    UnixMs(since.map_or(0, |since| {
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }))
}

/// A moment as RFC 3339 writes it, in UTC with milliseconds.
pub fn rfc3339(at: UnixMs) -> String {
    let at = jiff::Timestamp::from_millisecond(at.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    format!("{at:.3}")
}
