//! What did others do to the jobs of the run, and what follows from it?
//!
//! Jobs are paused, continued, cancelled and submitted by other processes, in the store. What they decided
//! holds there already; here the scheduler learns of it.

use std::sync::Arc;

use neap_core::JobId;
use neap_core::scheduler::JobSettings;
use neap_core::scope::SkipReason;
use neap_store::{Command, FoundJob, JobChange};
use tracing::{info, warn};

use super::proxies::JobProxies;
use super::{Pump, RunError};
use crate::jobs::{self, JobContext, Learned, RunJob};

impl Pump {
    pub(super) async fn hear_change(
        &mut self,
        job: JobId,
        change: JobChange,
    ) -> Result<(), RunError> {
        let Some(context) = self.jobs.get(&job).cloned() else {
            return Ok(());
        };
        let desk = Arc::clone(&self.shop.desk);
        info!(job = context.job.name, ?change, "others changed a job");
        match change {
            JobChange::Paused => {
                self.paused.insert(job);
                desk.state().scheduler.pause_job(job);
                Ok(())
            }
            JobChange::Continued => {
                self.paused.remove(&job);
                desk.state().scheduler.continue_job(job);
                self.send(Command::OpenJob(job)).await
            }
            JobChange::Cancelled => {
                self.paused.remove(&job);
                desk.state().scheduler.remove_job(job);
                let reason = SkipReason::Cancelled;
                self.send(Command::SkipRest { job, reason }).await
            }
            JobChange::Replaced => {
                self.paused.remove(&job);
                desk.state().scheduler.remove_job(job);
                // Its requests stay open for ever; the run has nothing more to do with them.
                self.finishing.insert(job);
                self.finished.insert(job);
                Ok(())
            }
            JobChange::Reopened => {
                self.finishing.remove(&job);
                if self.finished.remove(&job) {
                    let pages = self.counts.get(&job).map_or(0, |counts| counts.pages);
                    let settings = JobSettings::of(&context.job, pages);
                    let scheduler = &mut desk.state().scheduler;
                    scheduler.add_job(job, settings);
                    if let Some(proxies) = self.proxies.get_mut(&job) {
                        proxies.begin_anew();
                        proxies.equip(scheduler, &context, desk.clock.now());
                    }
                }
                self.send(Command::OpenJob(job)).await
            }
        }
    }

    /// Takes up a job that was submitted or continued while the run goes on, or a job of its own with the scope
    /// and the hosts of its input that it has now; its limits and proxies stay as they are until the next run. One
    /// that cannot be run is left for another run, which says why.
    pub(super) async fn take_up(&mut self, found: FoundJob) -> Result<(), RunError> {
        let FoundJob { row, input_hosts } = found;
        let (id, name) = (row.job_id, row.name.clone());
        let known = self.jobs.get(&id);
        let is_known = known.is_some();
        if known.is_some_and(|context| context.fits(&row.scope_roots, &input_hosts)) {
            return Ok(());
        }
        let (pages, concurrency) = (row.counts.pages, row.spec.limits.concurrency);
        let settings = JobSettings::of(&row.spec, pages);
        let mut spec = row.spec;
        if let Some(context) = known {
            // The scheduler has the old pools, whose members are filled in by their places.
            spec.proxy = context.job.proxy.clone();
        }
        let job = RunJob {
            id,
            job: spec,
            scope_roots: row.scope_roots,
            input_hosts,
            pages,
        };
        let learned = known.map(|context| context.learned.clone());
        let lookup = &*self.lookup.0;
        let now = self.shop.desk.clock.unix();
        let made = learned
            .map_or_else(|| Learned::begin(&job.job, now), Ok)
            .and_then(|learned| JobContext::new(job, &self.shared, learned, lookup))
            .and_then(|context| {
                let lists = (!is_known).then(|| jobs::proxies(&context.job, lookup));
                Ok((Arc::new(context), lists.transpose()?))
            });
        let (context, lists) = match made {
            Ok(both) => both,
            Err(error) => {
                warn!(job = name, %error, "a job that was found cannot be run");
                return Ok(());
            }
        };
        info!(job = name, is_known, "a job was found and is taken up");
        self.jobs.insert(id, Arc::clone(&context));
        let Some(lists) = lists else {
            return Ok(());
        };
        let proxies = JobProxies::new(lists);
        {
            let desk = &self.shop.desk;
            let scheduler = &mut desk.state().scheduler;
            scheduler.raise_concurrency(concurrency);
            self.shared.raise_concurrency(concurrency);
            scheduler.add_job(id, settings);
            proxies.equip(scheduler, &context, desk.clock.now());
        }
        self.proxies.insert(id, proxies);
        self.send(Command::OpenJob(id)).await
    }

    /// The jobs that are worked on: not those that are paused, at their end, or replaced by a new round.
    pub(super) fn worked_on(&self) -> Vec<JobId> {
        let rests = |job: &JobId| self.paused.contains(job) || self.finished.contains(job);
        let jobs = self.jobs.keys().copied();
        jobs.filter(|job| !rests(job)).collect()
    }

    /// The names of paused jobs, if nothing else is left to do.
    pub(super) fn waits_for(&self) -> Vec<String> {
        let left = |job: &&JobId| !self.finished.contains(job);
        let is_paused = |job: &JobId| self.paused.contains(job);
        if !self.jobs.keys().filter(left).all(is_paused) {
            return Vec::new();
        }
        let names = self.paused.iter().filter_map(|job| self.jobs.get(job));
        names.map(|context| context.job.name.clone()).collect()
    }
}
