//! What does one job need while it runs?

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use neap_core::address::AddressRule;
use neap_core::exchange::Exchange;
use neap_core::job::{Bodies, Job};
use neap_core::scheduler::JobSettings;
use neap_core::scope::Scope;
use neap_core::traps::Watch;
use neap_core::{CanonicalUrl, Host, JobId, UnixMs, params};
use neap_fetch::{
    Ask, BodyLimit, Egress, FetchError, FetchSettings, Fetched, Fetcher, MemoryBudget, Sockets,
};
use rand::rngs::SmallRng;
use rand::{RngCore, SeedableRng};

use crate::clock::Clock;
use crate::exits::Exits;
use crate::proxies::ProxyLists;
use crate::pump::RunError;
use crate::session::Session;
use crate::terms::{self, AllTerms, HostTerms};

/// A job that takes part in a run, as the store has it.
#[derive(Debug, Clone)]
pub struct RunJob {
    /// The round that is run.
    pub id: JobId,
    /// What its file means.
    pub job: Job,
    /// What links are compared with, see [`Scope::roots`].
    pub scope_roots: BTreeSet<String>,
    /// Hosts of its input URLs: the only ones that its own headers are sent to, and those that it may ask although they
    /// are not of the public internet. Of a job without headers of its own the others may be left out.
    pub input_hosts: BTreeSet<Host>,
    /// Pages that earlier runs fetched.
    pub pages: u64,
}

/// Looks up the secrets of a job's headers and proxies and reads its lists of proxies, to know before
/// anything is stored or sent that they are there. Gives the number of members of each pool, in the order of
/// [`neap_core::egress::pools`].
///
/// # Errors
/// An environment variable that the job names is not set or a file is not there, what it holds is no header value
/// or no proxy, or a list of proxies is none.
pub fn check_secrets(
    job: &Job,
    lookup: impl Fn(&str) -> Option<String>,
) -> Result<Vec<usize>, RunError> {
    terms::check(job, &lookup)?;
    // Nothing is sent yet, so the hour does not matter.
    session(job, UnixMs(0))?;
    let lists = proxies(job, lookup)?;
    Ok(lists.pools().map(<[Egress]>::len).collect())
}

/// The proxies of a job, secrets looked up and lists read.
///
/// # Errors
/// As [`check_secrets`].
pub fn proxies(job: &Job, lookup: impl Fn(&str) -> Option<String>) -> Result<ProxyLists, RunError> {
    ProxyLists::load(job, lookup).map_err(|source| RunError::Proxies {
        job: job.name.clone(),
        source,
    })
}

/// The cookies that a job begins with.
///
/// # Errors
/// Its file of cookies cannot be used.
pub fn session(job: &Job, now: UnixMs) -> Result<Session, RunError> {
    Session::begin(&job.identity, now).map_err(|source| RunError::Cookies {
        job: job.name.clone(),
        source,
    })
}

/// What the fetchers of all jobs share.
#[derive(Debug)]
pub struct Shared {
    memory: Arc<MemoryBudget>,
    sockets: Arc<Sockets>,
}

impl Shared {
    /// As many sockets as requests may be in flight.
    pub fn new(concurrency: u32) -> Shared {
        Shared {
            memory: Arc::new(MemoryBudget::default()),
            sockets: Sockets::new(concurrency as usize),
        }
    }

    /// Follows the scheduler, which never lets fewer requests be in flight than before.
    pub(crate) fn raise_concurrency(&self, concurrency: u32) {
        self.sockets.raise(concurrency as usize);
    }

    pub(crate) fn fetcher(&self, settings: &FetchSettings) -> Result<Fetcher, FetchError> {
        Fetcher::new(
            settings,
            Arc::clone(&self.memory),
            Arc::clone(&self.sockets),
        )
    }
}

/// A job at work.
#[derive(Debug)]
pub(crate) struct JobContext {
    pub(crate) id: JobId,
    pub(crate) job: Job,
    pub(crate) scope: Scope,
    terms: AllTerms,
    pub(crate) learned: Learned,
    /// The hosts that its own headers are sent to; empty if it has none.
    header_hosts: BTreeSet<Host>,
}

/// What a job learns in a run, and keeps when it is made ready anew in it. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Learned {
    pub(crate) session: Session,
    /// The ways out of its pools; empty if it goes directly.
    pub(crate) exits: Arc<Exits>,
    /// What was found of sites without end.
    watch: Arc<Mutex<Watch>>,
}

impl Learned {
    /// What is known at first: no more than what the job's file of cookies holds.
    ///
    /// # Errors
    /// The file cannot be used.
    pub(crate) fn begin(job: &Job, now: UnixMs) -> Result<Learned, RunError> {
        let mut dice = SmallRng::from_os_rng();
        let watch = Watch::new(job.crawl.traps, dice.next_u64());
        Ok(Learned {
            session: session(job, now)?,
            exits: Arc::default(),
            watch: Arc::new(Mutex::new(watch)),
        })
    }
}

impl JobContext {
    /// Gets a job ready to run: its secrets are looked up and its client is built.
    ///
    /// # Errors
    /// An environment variable that the job names is not set, or a header is not one.
    pub(crate) fn new(
        run: RunJob,
        shared: &Shared,
        learned: Learned,
        lookup: impl Fn(&str) -> Option<String>,
    ) -> Result<JobContext, RunError> {
        let RunJob {
            id,
            job,
            scope_roots,
            input_hosts,
            ..
        } = run;
        let addresses = AddressRule::new(job.request.private_addresses, &input_hosts);
        let terms = AllTerms::new(&job, &input_hosts, shared, lookup)?;
        let header_hosts = if job.identity.headers.is_empty() {
            BTreeSet::new()
        } else {
            input_hosts
        };
        Ok(JobContext {
            id,
            scope: Scope::from_roots(&job.crawl, scope_roots).with_addresses(addresses),
            terms,
            learned,
            header_hosts,
            job,
        })
    }

    /// What holds for a host.
    pub(crate) fn terms(&self, host: &Host) -> &HostTerms {
        self.terms.of(&self.job, host)
    }

    /// What the scheduler keeps for a host, if that is not what it keeps for the job.
    pub(crate) fn special_settings(&self, host: &Host) -> Option<JobSettings> {
        let terms = self.terms.of_rule(&self.job, host)?;
        Some(terms.settings.clone())
    }

    /// Asks for a page with the cookies that are for it, and takes those that it sets.
    pub(crate) async fn ask(
        &self,
        egress: &Egress,
        url: &CanonicalUrl,
        limit: BodyLimit,
        clock: &Clock,
    ) -> Fetched {
        let ask = Ask {
            cookie: self.learned.session.cookie(url, clock.unix()),
            ..Ask::get(url, limit)
        };
        let fetcher = &self.terms(&url.host()).fetcher;
        let fetched = fetcher.fetch_by(egress, &ask).await;
        self.learned
            .session
            .learn(url, &fetched.exchange, clock.unix());
        fetched
    }

    /// Whether it goes on as it is with these roots of its scope and these hosts of its input.
    pub(crate) fn fits(
        &self,
        scope_roots: &BTreeSet<String>,
        input_hosts: &BTreeSet<Host>,
    ) -> bool {
        let has_headers = !self.job.identity.headers.is_empty();
        let addresses = AddressRule::new(self.job.request.private_addresses, input_hosts);
        self.scope.roots() == scope_roots
            && *self.scope.addresses() == addresses
            && (!has_headers || self.header_hosts == *input_hosts)
    }

    /// What was found of sites without end, for a moment.
    pub(crate) fn watch(&self) -> MutexGuard<'_, Watch> {
        // It is whole between any two of its methods.
        self.learned
            .watch
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// A URL as links to it are followed: without what makes no other page.
    pub(crate) fn followed(&self, url: CanonicalUrl) -> CanonicalUrl {
        let url = params::without(url, &self.job.crawl.drop_params);
        match self.job.crawl.traps.session_ids {
            true => params::without_session(url),
            false => url,
        }
    }

    /// Whether sitemaps and feeds that are found are read for pages.
    pub(crate) fn takes_sitemaps(&self) -> bool {
        self.job.crawl.sitemaps && self.scope.follows_links()
    }

    /// What the `Retry-After` of a host's answer asks for, as far as the job believes it.
    pub(crate) fn asked_to_wait(
        &self,
        host: &Host,
        exchange: &Exchange,
        now: UnixMs,
    ) -> Option<Duration> {
        let value = exchange.result.as_ref().ok()?.header("retry-after")?;
        let asked = neap_parse::dates::retry_after(value, now)?;
        Some(asked.min(self.terms(host).retry.retry_after_max))
    }

    /// Whether answers go to the segment files.
    pub(crate) fn keeps_bodies(&self) -> bool {
        match self.job.store.bodies {
            Bodies::All => true,
            Bodies::None => false,
        }
    }
}
