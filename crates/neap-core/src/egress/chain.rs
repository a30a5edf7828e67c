//! Which pools does a job use, and in which order?
//!
//! Requests begin with the first pool of the job file. Behind a pool comes the one that its `fallback`
//! names, and otherwise the next one in the file that does not come earlier. The direct way, if the job
//! allows it, comes last, as a pool of its own.

use super::pool::{PoolSettings, Select, Sticky};
use crate::job::{Job, ProxyPool};

/// What the pool is called that holds nothing but the direct way of `proxy.direct`.
pub const DIRECT_POOL: &str = "direct";

/// Requests in flight by the direct way of `proxy.direct`: the most that any pool may have for a member,
/// since limits of hosts and job hold there as well.
const DIRECT_MOST: u32 = 1_024;

/// Why pools cannot be put in order.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// A pool that is none is to come behind one.
    #[error("there is no pool `{fallback}`")]
    Unknown {
        /// The place of the pool in the list whose `fallback` it is.
        pool: usize,
        /// What it names.
        fallback: String,
    },
    /// A pool is to come behind one that comes behind it.
    #[error("requests have come by the pool `{fallback}` already")]
    Cycle {
        /// The place of the pool in the list whose `fallback` it is.
        pool: usize,
        /// What it names.
        fallback: String,
    },
    /// A pool comes behind none.
    #[error("no request ever reaches the pool")]
    Unreached {
        /// Its place in the list.
        pool: usize,
    },
}

/// The pools of a job in the order of its file, each with the one to go on with; behind them the direct
/// way if the job allows it. Empty if the job has no pools, and so goes directly.
pub fn pools(job: &Job) -> Vec<PoolSettings> {
    let listed = &job.proxy.pools;
    let (chain, _) = walk(listed);
    let settings = |(place, pool): (usize, &ProxyPool)| {
        let position = chain.iter().position(|link| *link == place);
        PoolSettings {
            name: pool.name.as_str().into(),
            select: pool.select,
            sticky: pool.sticky,
            max_per_proxy: pool.max_per_proxy,
            fallback: position.and_then(|at| chain.get(at + 1).copied()),
        }
    };
    let mut all: Vec<PoolSettings> = listed.iter().enumerate().map(settings).collect();
    if let Some(last) = chain.last().filter(|_| job.proxy.direct) {
        all[*last].fallback = Some(all.len());
        all.push(PoolSettings {
            name: DIRECT_POOL.into(),
            select: Select::RoundRobin,
            sticky: Sticky::None,
            max_per_proxy: DIRECT_MOST,
            fallback: None,
        });
    }
    all
}

/// Puts pools in the order in which requests go through them, by their places in the list.
///
/// # Errors
/// A `fallback` names no pool or one that came already, or a pool is never reached.
pub fn chain(pools: &[ProxyPool]) -> Result<Vec<usize>, ChainError> {
    let (chain, stopped) = walk(pools);
    if let Some(error) = stopped {
        return Err(error);
    }
    match (0..pools.len()).find(|pool| !chain.contains(pool)) {
        Some(pool) => Err(ChainError::Unreached { pool }),
        None => Ok(chain),
    }
}

/// The order as far as it goes, and why it goes no further.
fn walk(pools: &[ProxyPool]) -> (Vec<usize>, Option<ChainError>) {
    let mut chain: Vec<usize> = Vec::with_capacity(pools.len());
    let mut next = (!pools.is_empty()).then_some(0);
    while let Some(pool) = next {
        chain.push(pool);
        next = match &pools[pool].fallback {
            None => (pool + 1..pools.len()).find(|later| !chain.contains(later)),
            Some(name) => match pools.iter().position(|other| other.name == *name) {
                Some(named) if !chain.contains(&named) => Some(named),
                found => {
                    let fallback = name.clone();
                    let error = match found {
                        Some(_) => ChainError::Cycle { pool, fallback },
                        None => ChainError::Unknown { pool, fallback },
                    };
                    return (chain, Some(error));
                }
            },
        };
    }
    (chain, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pools as `name` or `name>fallback`.
    fn listed(text: &str) -> Vec<ProxyPool> {
        let pool = |text: &str| {
            let (name, fallback) = match text.split_once('>') {
                Some((name, fallback)) => (name, Some(fallback.to_owned())),
                None => (text, None),
            };
            ProxyPool {
                fallback,
                ..ProxyPool::named(name)
            }
        };
        text.split_whitespace().map(pool).collect()
    }

    #[test]
    fn pools_come_in_the_order_of_their_fallbacks() {
        for (text, expected) in [
            ("", Ok(vec![])),
            ("a", Ok(vec![0])),
            ("a b c", Ok(vec![0, 1, 2])),
            ("a>c b c>b", Ok(vec![0, 2, 1])),
            ("a>c b c>b d", Ok(vec![0, 2, 1, 3])),
            ("a>c c b", Ok(vec![0, 1, 2])),
            ("a>a", Err("by the pool `a` already")),
            ("a b>a", Err("by the pool `a` already")),
            ("a>c b", Err("no pool `c`")),
            ("a>c b c", Err("no request ever reaches")),
        ] {
            let found = chain(&listed(text));
            match expected {
                Ok(order) => assert_eq!(found, Ok(order), "{text}"),
                Err(part) => {
                    let told = found.expect_err(text).to_string();
                    assert!(told.contains(part), "{text}: {told}");
                }
            }
        }
    }

    #[test]
    fn an_error_names_the_pool_by_its_place() {
        assert_eq!(
            chain(&listed("a b>a")),
            Err(ChainError::Cycle {
                pool: 1,
                fallback: "a".to_owned()
            })
        );
        assert_eq!(
            chain(&listed("a>c b c")),
            Err(ChainError::Unreached { pool: 1 })
        );
    }

    fn fallbacks(text: &str, direct: bool) -> Vec<(String, Option<usize>)> {
        let mut job = Job::named("j");
        job.proxy.pools = listed(text);
        job.proxy.direct = direct;
        let settings = pools(&job).into_iter();
        settings
            .map(|pool| (pool.name.to_string(), pool.fallback))
            .collect()
    }

    #[test]
    fn the_direct_way_comes_behind_the_last_pool() {
        let named = |all: &[(&str, Option<usize>)]| -> Vec<(String, Option<usize>)> {
            all.iter()
                .map(|(name, next)| ((*name).to_owned(), *next))
                .collect()
        };
        assert_eq!(
            fallbacks("a b", false),
            named(&[("a", Some(1)), ("b", None)])
        );
        assert_eq!(
            fallbacks("a>c b c>b", true),
            named(&[
                ("a", Some(2)),
                ("b", Some(3)),
                ("c", Some(1)),
                ("direct", None)
            ])
        );
        assert_eq!(fallbacks("", true), named(&[]));
    }

    #[test]
    fn settings_are_those_of_the_job() {
        let mut job = Job::named("j");
        job.proxy.pools = vec![ProxyPool {
            select: Select::Random,
            sticky: Sticky::Session,
            max_per_proxy: 50,
            ..ProxyPool::named("a")
        }];
        assert_eq!(
            pools(&job),
            [PoolSettings {
                name: "a".into(),
                select: Select::Random,
                sticky: Sticky::Session,
                max_per_proxy: 50,
                fallback: None,
            }]
        );
    }
}
