//! What has happened, and who needs to know?
//!
//! The store's events and the workers' notes, each carried to the scheduler, the rules or the counts.

use std::sync::Arc;

use neap_core::Host;
use neap_core::backoff::RETRY_AFTER_MAX;
use neap_core::order;
use neap_core::scheduler::Ready;
use neap_core::scope::SkipReason;
use neap_store::{Command, Event, HostRow, RobotsAnswer, Skipped};
use tracing::{debug, info};

use super::{Note, Pump, RunError};
use crate::jobs::JobContext;
use crate::robots::Asked;
use crate::sitemaps;

impl Pump {
    pub(super) async fn hear_all(&mut self) -> Result<(), RunError> {
        while let Ok(event) = self.events.try_recv() {
            self.hear(event).await?;
        }
        while let Ok(note) = self.notes.1.try_recv() {
            self.hear_worker(note).await?;
        }
        while self.workers.try_join_next().is_some() {}
        Ok(())
    }

    pub(super) async fn hear(&mut self, event: Event) -> Result<(), RunError> {
        let desk = Arc::clone(&self.shop.desk);
        match event {
            Event::Ready(ready) => {
                let job = self.jobs.get(&ready.job);
                let special = job.and_then(|job| job.special_settings(&ready.host_name));
                let pool = job.and_then(|job| job.job.first_pool(&ready.host_name));
                let pool = pool.map(str::to_owned);
                self.names.insert(ready.host, ready.host_name);
                let scheduler = &mut desk.state().scheduler;
                if let Some(settings) = special {
                    scheduler.set_host_settings(ready.job, ready.host, settings);
                }
                if let (Some(pool), Some(pools)) = (pool, scheduler.pools_mut(ready.job)) {
                    pools.begin_with(ready.host, Some(&pool));
                }
                scheduler.handle_ready(ready.job, ready.host, ready.first);
            }
            Event::Announced { job, next } => {
                desk.state().scheduler.handle_announced(job, next);
            }
            Event::Refilled(refilled) => {
                let last = refilled.rows.last().map(|row| row.position);
                let rows = self.allowed(refilled.rows).await?;
                let is_exhausted = refilled.is_exhausted;
                let scheduler = &mut desk.state().scheduler;
                scheduler.handle_refilled(&refilled.refill, rows, last, is_exhausted);
            }
            Event::Promoted(rows) => {
                let rows = self.allowed(rows).await?;
                desk.state().scheduler.handle_promoted(rows);
            }
            Event::Leased { leased, refused } => {
                self.start_all(&leased);
                // Given up or skipped since they were dispatched: their permits come back by this.
                for request in refused {
                    self.leasing.remove(&request);
                    desk.state().scheduler.handle_recorded(request);
                }
            }
            Event::Recorded(recorded) => {
                self.unrecorded = self.unrecorded.saturating_sub(1);
                desk.state().scheduler.handle_recorded(recorded.request);
            }
            Event::Skipped(requests) => {
                for request in requests {
                    desk.state().scheduler.handle_recorded(request);
                }
            }
            Event::NextDue(due) => {
                let due = due.map(|at| desk.clock.time_of(at));
                desk.state().scheduler.handle_next_due(due);
            }
            Event::Host(row) => self.hear_host(row).await?,
            Event::Counts(job, counts) => {
                if self.jobs.contains_key(&job) {
                    self.counts.insert(job, counts);
                }
            }
            Event::HostFailed { host, requests } => {
                self.shop.tally.given_up(requests);
                self.given_up.push((self.name(host), requests));
            }
            Event::RestSkipped { job, requests } => debug!(%job, requests, "rest skipped"),
            Event::JobChanged(job, change) => self.hear_change(job, change).await?,
            Event::JobFound(found) => self.take_up(*found).await?,
            Event::Closed => {}
            Event::JobFinished(job) => {
                // Its pools go with it; how they stood stays.
                self.store_proxies().await?;
                desk.state().scheduler.remove_job(job);
                self.paused.remove(&job);
                self.finished.insert(job);
            }
            Event::Broken(error) => return Err(error.into()),
        }
        Ok(())
    }

    pub(super) async fn hear_worker(&mut self, note: Note) -> Result<(), RunError> {
        let desk = Arc::clone(&self.shop.desk);
        match note {
            Note::StoreGone(error) => Err(error.into()),
            Note::Robots(host, Asked::Known(answer)) => {
                // Whoever asked it knew what it is called.
                let Some(name) = self.names.get(&host) else {
                    return Ok(());
                };
                let crawl_delay = self.rules.learn(name, &answer, self.jobs.values());
                let sitemaps = self.sitemaps(name, &answer);
                self.send(Command::Robots(answer)).await?;
                self.send_all(sitemaps).await?;
                desk.state().scheduler.handle_robots(host, crawl_delay);
                Ok(())
            }
            Note::Robots(host, Asked::Unreachable(asked)) => {
                let wait = self
                    .rules
                    .wait(host)
                    .max(asked.unwrap_or_default().min(RETRY_AFTER_MAX));
                info!(
                    host = self.name(host),
                    ?wait,
                    "robots.txt unreachable, asked again later"
                );
                desk.state()
                    .scheduler
                    .handle_robots_unreachable(host, wait, desk.clock.now());
                Ok(())
            }
            Note::Robots(host, Asked::Hopeless(cause)) if !self.rules.is_settled(host, cause) => {
                let wait = self.rules.wait(host);
                let scheduler = &mut desk.state().scheduler;
                scheduler.handle_robots_unreachable(host, wait, desk.clock.now());
                Ok(())
            }
            Note::Robots(host, Asked::Hopeless(cause)) => {
                desk.state().scheduler.give_up(host);
                self.fail_host(host, cause.to_string()).await
            }
        }
    }

    async fn hear_host(&mut self, row: HostRow) -> Result<(), RunError> {
        let desk = Arc::clone(&self.shop.desk);
        let memory = row
            .limiter
            .and_then(|(json, _)| serde_json::from_value(json).ok());
        let fresh: Option<RobotsAnswer> = row
            .robots
            .filter(|answer| answer.expires > desk.clock.unix());
        if let Some(answer) = &fresh {
            // Known to the store, unless the last run ended before it heard of them.
            self.send_all(self.sitemaps(&row.name, answer)).await?;
        }
        let robots = fresh.map(|answer| self.rules.learn(&row.name, &answer, self.jobs.values()));
        let (now, unix_now) = (desk.clock.now(), desk.clock.unix());
        let scheduler = &mut desk.state().scheduler;
        scheduler.handle_host(row.host, &row.name, memory, robots, now, unix_now);
        self.names.insert(row.host, row.name);
        Ok(())
    }

    /// Has each job ask for the sitemaps that a robots file names. They are in the store's queue before any
    /// request of the host can go out, so that no job ends without them.
    fn sitemaps(&self, name: &Host, answer: &RobotsAnswer) -> Vec<Command> {
        let found = self.jobs.values().map(|job| Command::Discover {
            job: job.id,
            links: sitemaps::named(job, name, answer),
        });
        found
            .filter(
                |command| !matches!(command, Command::Discover { links, .. } if links.is_empty()),
            )
            .collect()
    }

    async fn send_all(&self, commands: Vec<Command>) -> Result<(), RunError> {
        for command in commands {
            self.send(command).await?;
        }
        Ok(())
    }

    /// Leaves out what robots files forbid, and has it noted; and what nobody can tell yet, which is read
    /// again when it is known.
    async fn allowed(&mut self, rows: Vec<Ready>) -> Result<Vec<Ready>, RunError> {
        let (mut allowed, mut denied) = (Vec::with_capacity(rows.len()), Vec::new());
        for row in rows {
            // The store may tell of jobs that this run does not work on; they are none of its business.
            let Some(job) = self.jobs.get(&row.job) else {
                continue;
            };
            let deny = |reason| Skipped {
                request: row.request,
                job: row.job,
                host: row.host,
                reason,
            };
            match self.rules.allow(job, row.host, &row.url) {
                Some(true) => match still_admits(job, &row) {
                    Ok(()) => allowed.push(row),
                    Err(reason) => denied.push(deny(reason)),
                },
                Some(false) => denied.push(deny(SkipReason::Robots)),
                None => {
                    let scheduler = &mut self.shop.desk.state().scheduler;
                    scheduler.handle_ready(row.job, row.host, row.position);
                }
            }
        }
        if !denied.is_empty() {
            self.send(Command::Skip(denied)).await?;
        }
        Ok(allowed)
    }
}

/// Whether a request that was found on a page is still wanted, by what other pages said since.
fn still_admits(job: &JobContext, row: &Ready) -> Result<(), SkipReason> {
    match row.depth == 0 || order::level(row.position.priority).is_some() {
        true => Ok(()),
        false => job.watch().still_admits(&row.url),
    }
}
