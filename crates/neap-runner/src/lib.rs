//! Drives: feeds the scheduler, runs the workers, keeps time, shuts down.
//!
//! The core decides and this crate carries: it reads the clock, rolls the dice, spawns and sleeps.
//!
//! | file | its question |
//! | --- | --- |
//! | `flow` | what is the life of one request? |
//! | `pump` | what happens next, over all requests? (the only loop) |
//! | `desk` | how do workers and the pump reach the scheduler? |
//! | `robots` | what may be asked of a host? |
//! | `reading` | what does a page say about where to go next? |
//! | `exits` | by which way does a job's request go out? |
//! | `canary` | does our own network work? |
//! | `sitemaps` | which pages do sitemaps bring, and which sitemaps are asked for? |
//! | `record` | what is written down of an attempt? |
//! | `proxies` | which proxies do the pools of a job hold now? |
//! | `jobs` | what does one job need while it runs? |
//! | `secrets` | what do the secrets of a job hold? |
//! | `terms` | what holds for one host of a job? |
//! | `certificates` | which certificates does a job trust and show? |
//! | `session` | which cookies does a job hold? |
//! | `clock` | what time is it, for the core and for the store? |
//! | `stop` | how does a run end before its work does? |
//! | `progress`, `report` | how far is it, and what came of it? |

mod canary;
mod certificates;
mod clock;
mod desk;
mod exits;
mod flow;
mod jobs;
mod progress;
mod proxies;
mod pump;
mod reading;
mod record;
mod report;
mod robots;
mod secrets;
mod session;
mod sitemaps;
mod stop;
mod terms;

pub use certificates::{CertificateError, MAX_PEM_BYTES};
pub use jobs::{RunJob, Shared, check_secrets, proxies, session};
pub use progress::{HostLine, Progress, Standstill};
pub use proxies::{LineError, MAX_LIST_BYTES, MAX_LIST_LINES, ProxyListError, ProxyLists};
pub use pump::{Pump, RunError, RunOptions};
pub use report::{Ended, RunReport};
pub use session::{CookieFileError, MAX_COOKIE_FILE_BYTES, Session};
pub use stop::{Stop, Stopper};
pub use terms::{AllTerms, HostTerms};
