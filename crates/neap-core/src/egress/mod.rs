//! Which way out does a request take, and whose failure was it?
//!
//! A job may go out through pools of proxies. A pool takes one of its proxies for each request, learns
//! how much each can take, leaves out those that turn out bad and tries them again later; a pool that no
//! longer helps a host gives way to the next. What one answer cannot tell, statistics over all of them do.
//!
//! ```text
//!  request ─► pools ─► pool ─► proxy ──exchange──► seen ─► blame: proxy, host or both?
//!               ▲ level of the host  ▲ limiter,      │ ─► pairs: only these two?
//!               │                    │ quarantine    │ ─► network: all at once?
//!               └────────────────────┴───────────────┴─► probe: would asking once more tell?
//! ```
//!
//! | file | its question |
//! | --- | --- |
//! | `chain` | which pools does a job use, and in which order? |
//! | `pools` | which proxy does a request take, and what is learned from what came of it? |
//! | `pool` | which of the proxies of one pool is next? |
//! | `proxy` | what does one proxy bear, and is it used at all? |
//! | `seen` | what does an exchange show of the way that it took? |
//! | `stamp` | what does a proxy leave on what it relays? |
//! | `ways` | which pool works for a host, and what has a request tried? |
//! | `quarantine` | when is a bad proxy tried again? |
//! | `blame`, `arm`, `beta` | on whom does a failure fall? |
//! | `pairs` | does one host refuse one proxy? |
//! | `network` | is it our own network? |
//! | `probe` | is one more request worth it to find out? |

mod arm;
mod beta;
pub mod blame;
mod chain;
mod lately;
pub mod network;
pub mod pairs;
mod pool;
mod pools;
pub mod probe;
mod proxy;
pub mod quarantine;
mod reached;
mod seen;
mod stamp;
mod ways;

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

use crate::host::Host;

pub use chain::{ChainError, DIRECT_POOL, chain, pools};
pub use pool::{Member, PoolSettings, Select, Sticky};
pub use pools::{Ask, Charge, Event, Pass, Pools, Probe, Seen, Ticket};
pub use proxy::{ProxyView, Why};
pub use seen::{is_silent, seen};
pub use stamp::Stamps;

/// A proxy of a job, or its direct way if that is a member of a pool; never given to another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProxyId(
    /// Counted from 0 over all pools of the job.
    pub u32,
);

impl ProxyId {
    /// Its place in a list of all.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// Whom a host's failures are counted for: all hosts of a registrable domain, since they tend to break
/// together. A host by address, or with a name of one label, stands for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Party(
    /// A hash, the same in every run.
    pub u64,
);

impl Party {
    /// The party that a host belongs to.
    pub fn of(host: &Host) -> Party {
        let domain = host.domain();
        let is_domain = domain.contains('.') && domain.parse::<std::net::Ipv4Addr>().is_err();
        let mut hasher = DefaultHasher::new();
        let name = if is_domain { domain } else { host.as_str() };
        name.hash(&mut hasher);
        Party(hasher.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_of_a_domain_are_one_party_and_addresses_are_not() {
        let party = |text| Party::of(&Host::parse(text).unwrap());
        assert_eq!(
            party("https://a.shop.co.uk"),
            party("http://b.shop.co.uk:8080")
        );
        assert_ne!(party("https://shop.co.uk"), party("https://other.co.uk"));
        assert_ne!(party("http://127.0.0.1:81"), party("http://127.0.0.1:82"));
        assert_ne!(party("http://localhost:81"), party("http://localhost:82"));
        assert_ne!(party("http://[::1]:81"), party("http://[::1]:82"));
    }
}
