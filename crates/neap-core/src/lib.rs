//! Decides: what a crawl does next, pure, with time and dice passed in.
//!
//! Nothing here opens a socket, reads a clock, rolls dice of its own or waits. Events go in through
//! methods (`handle_*`), decisions come out as values (`poll_*`), and waiting is a deadline with its
//! reason. The same code that runs a crawl is simulated in virtual time by the tests.

pub mod address;
pub mod attribution;
pub mod backoff;
pub mod bandwidth;
pub mod canonical;
pub mod charge;
pub mod classify;
pub mod cookies;
pub mod egress;
pub mod exchange;
pub mod host;
pub mod ids;
pub mod job;
pub mod limiter;
pub mod order;
pub mod params;
pub mod politeness;
pub mod route;
pub mod scheduler;
pub mod scope;
pub mod surt;
pub mod time;
pub mod traps;
pub mod verdict;

pub use canonical::CanonicalUrl;
pub use exchange::{Answer, Exchange, Failure};
pub use host::Host;
pub use ids::{Epoch, HostId, JobId, RequestId};
pub use time::{Time, UnixMs};
