//! Which proxies do the pools of a job hold now?
//!
//! [`ProxyLists::load`] takes the proxies that the job file names and those of the pools' files, once per
//! run. [`ProxyLists::changed`] looks at the files again: one that changed is read, and one that became
//! bad is told of and changes nothing, so that a half-written list does not stop a crawl.

mod list;

use std::collections::HashSet;

use neap_core::egress::DIRECT_POOL;
use neap_core::job::{Job, ProxyPool};
use neap_fetch::{Egress, TemplateError};
use tracing::{info, warn};

use self::list::List;

pub use self::list::{MAX_LIST_BYTES, MAX_LIST_LINES};

/// Why the proxies of a pool cannot be used. No message repeats a user name, a password, or what a file
/// or a variable holds.
#[derive(Debug, thiserror::Error)]
pub enum ProxyListError {
    /// A proxy that the job file names needs an environment variable that is not set.
    #[error("pool {pool} needs the environment variable {variable}, which is not set")]
    NotSet {
        /// The pool.
        pool: String,
        /// The variable.
        variable: String,
    },
    /// One that the job file names is none once its variables are in their places.
    #[error("pool {pool}, number {number} of its urls: {source}")]
    BadUrl {
        /// The pool.
        pool: String,
        /// Its place among the `urls`, counted from 1.
        number: usize,
        /// What is wrong.
        source: TemplateError,
    },
    /// The file system did not give a list.
    #[error("pool {pool}: cannot read {file}")]
    Unreadable {
        /// The pool.
        pool: String,
        /// Its file.
        file: String,
        /// What it said.
        source: std::io::Error,
    },
    /// A list is a directory, a pipe or a device, which cannot be read again.
    #[error("pool {pool}: {file} is no file: a list is read again when it changes")]
    NoFile {
        /// The pool.
        pool: String,
        /// Its file.
        file: String,
    },
    /// A list is larger than [`MAX_LIST_BYTES`] or longer than [`MAX_LIST_LINES`].
    #[error(
        "pool {pool}: {file} is larger than {} MiB or longer than {MAX_LIST_LINES} lines",
        MAX_LIST_BYTES >> 20
    )]
    TooLarge {
        /// The pool.
        pool: String,
        /// Its file.
        file: String,
    },
    /// A line of a list is no proxy.
    #[error("pool {pool}: {file}:{line}: {source}")]
    BadLine {
        /// The pool.
        pool: String,
        /// Its file.
        file: String,
        /// Counted from 1.
        line: usize,
        /// What is wrong.
        source: LineError,
    },
    /// A list has no proxy in it.
    #[error("pool {pool}: {file} names no proxy: write one a line")]
    Empty {
        /// The pool.
        pool: String,
        /// Its file.
        file: String,
    },
}

/// Why a line of a list is no proxy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// It is no text.
    #[error("the line is not UTF-8")]
    NotUtf8,
    /// It stands for no proxy.
    #[error(transparent)]
    Template(#[from] TemplateError),
}

/// The members of the pools of one job.
#[derive(Debug)]
pub struct ProxyLists {
    job: String,
    pools: Vec<Listed>,
}

/// A pool and its members.
#[derive(Debug)]
struct Listed {
    name: String,
    /// Those that the job file names.
    named: Vec<Egress>,
    list: Option<List>,
    /// All, each once.
    members: Vec<Egress>,
}

impl ProxyLists {
    /// Reads the lists and looks up the secrets of a job's pools.
    ///
    /// # Errors
    /// A variable is not set, a file cannot be read, or a line or URL is no proxy; nothing is kept.
    pub fn load(
        job: &Job,
        lookup: impl Fn(&str) -> Option<String>,
    ) -> Result<ProxyLists, ProxyListError> {
        let mut pools = Vec::with_capacity(job.proxy.pools.len() + 1);
        for pool in &job.proxy.pools {
            pools.push(Listed::load(pool, &lookup)?);
        }
        if job.proxy.direct && !pools.is_empty() {
            pools.push(Listed::direct());
        }
        Ok(ProxyLists {
            job: job.name.clone(),
            pools,
        })
    }

    /// The members of each pool, the pools in the order of [`neap_core::egress::pools`]; none is without
    /// members, and none has one twice.
    pub fn pools(&self) -> impl ExactSizeIterator<Item = &[Egress]> {
        self.pools.iter().map(|pool| &pool.members[..])
    }

    /// Looks at the files, reads those that changed since they were read last, and gives the places of
    /// the pools that have other members now. A file that is gone or holds what is no list leaves its pool as it
    /// is, and one warning in the log. Takes one system call a file where nothing changed.
    pub fn changed(&mut self, lookup: impl Fn(&str) -> Option<String>) -> Vec<usize> {
        let job = &self.job;
        let pools = self.pools.iter_mut().enumerate();
        pools
            .filter_map(|(place, pool)| pool.changed(job, &lookup).then_some(place))
            .collect()
    }
}

impl Listed {
    fn load(
        pool: &ProxyPool,
        lookup: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Listed, ProxyListError> {
        let mut listed = Listed {
            name: pool.name.clone(),
            named: named(pool, lookup)?,
            list: pool.file.as_deref().map(List::new),
            members: Vec::new(),
        };
        let of_file = match &mut listed.list {
            Some(list) => list.read(&listed.name, lookup)?,
            None => Vec::new(),
        };
        listed.members = once_each(&listed.named, of_file);
        Ok(listed)
    }

    /// The pool of `proxy.direct`.
    fn direct() -> Listed {
        Listed {
            name: DIRECT_POOL.to_owned(),
            named: vec![Egress::DIRECT],
            list: None,
            members: vec![Egress::DIRECT],
        }
    }

    /// Whether the pool has other members now.
    fn changed(&mut self, job: &str, lookup: &dyn Fn(&str) -> Option<String>) -> bool {
        let Some(list) = self.list.as_mut().filter(|list| list.may_have_changed()) else {
            return false;
        };
        match list.read(&self.name, lookup) {
            Err(error) => {
                let told = error.to_string();
                if list.complaint.as_ref() != Some(&told) {
                    let pool = &self.name;
                    let proxies = self.members.len();
                    warn!(job, pool, proxies, %error, "the list is bad; the pool stays as it is");
                    list.complaint = Some(told);
                }
                false
            }
            Ok(of_file) => {
                list.complaint = None;
                let members = once_each(&self.named, of_file);
                let has_changed = self.members != members;
                if has_changed {
                    let pool = &self.name;
                    let (before, now) = (self.members.len(), members.len());
                    info!(job, pool, before, now, "the list of proxies was read again");
                    self.members = members;
                }
                has_changed
            }
        }
    }
}

/// The proxies that the job file names.
fn named(
    pool: &ProxyPool,
    lookup: &dyn Fn(&str) -> Option<String>,
) -> Result<Vec<Egress>, ProxyListError> {
    let read = |(place, template)| {
        Egress::resolve(template, lookup).map_err(|error| match error {
            TemplateError::NotSet(variable) => ProxyListError::NotSet {
                pool: pool.name.clone(),
                variable,
            },
            error @ (TemplateError::Reference | TemplateError::Proxy(_)) => {
                ProxyListError::BadUrl {
                    pool: pool.name.clone(),
                    number: place + 1,
                    source: error,
                }
            }
        })
    };
    pool.urls.iter().enumerate().map(read).collect()
}

/// All of them, in order, and each the first time only.
fn once_each(named: &[Egress], of_file: Vec<Egress>) -> Vec<Egress> {
    let mut seen = HashSet::new();
    let all = named.iter().cloned().chain(of_file);
    all.filter(|egress| seen.insert(egress.clone())).collect()
}

#[cfg(test)]
mod tests;
