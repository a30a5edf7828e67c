//! What do the proxies of the jobs do, and who hears of it?
//!
//! Pools are filled when a job begins and whenever a list changes. What the pools decide (a proxy left out, a
//! pool stopped, a probe) is carried out here and told: in the log, in the store, and at the end.

use std::collections::{BTreeMap, HashMap};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use neap_core::JobId;
use neap_core::classify::classify;
use neap_core::egress::{self, Event, Member, Pools, ProxyView, seen};
use neap_core::scheduler::{Probing, Scheduler};
use neap_core::{Host, HostId, Time, UnixMs};
use neap_fetch::{BodyLimit, Egress};
use neap_store::{Command, EgressName, ProxyStanding};
use tracing::{info, warn};

use super::{Pump, RunError};
use crate::canary;
use crate::clock::Clock;
use crate::desk::Desk;
use crate::jobs::JobContext;
use crate::proxies::ProxyLists;

/// Bytes of a page that is asked for only to find out about a proxy: whether it comes is all that is wanted.
const PROBE_BYTES: u64 = 64 << 10;

/// What a run knows of the proxies of a job.
#[derive(Debug)]
pub(super) struct JobProxies {
    lists: ProxyLists,
    /// How its proxies stood when that was stored last.
    told: BTreeMap<EgressName, ProxyStanding>,
    /// The pools that wrong credentials stopped, with the proxy that said so.
    pub(super) stopped: Vec<EgressName>,
    /// Nothing of the job goes out any more.
    pub(super) is_stopped: bool,
}

impl JobProxies {
    pub(super) fn new(lists: ProxyLists) -> JobProxies {
        JobProxies {
            lists,
            told: BTreeMap::new(),
            stopped: Vec::new(),
            is_stopped: false,
        }
    }

    /// Gives the scheduler the pools of a job that it has just been told of; nothing if it has none.
    pub(super) fn equip(&self, scheduler: &mut Scheduler, job: &JobContext, now: Time) {
        let settings = egress::pools(&job.job);
        if settings.is_empty() {
            return;
        }
        let swap_after = job.job.retry.swap_proxy_after;
        scheduler.set_pools(job.id, Pools::new(settings, swap_after));
        for pool in 0..self.lists.pools().len() {
            self.fill(scheduler, job, pool, now);
        }
    }

    fn fill(&self, scheduler: &mut Scheduler, job: &JobContext, pool: usize, now: Time) {
        let settings = egress::pools(&job.job);
        let (Some(settings), Some(members)) = (settings.get(pool), self.lists.pools().nth(pool))
        else {
            return;
        };
        let listed: Vec<Member> = members.iter().map(member).collect();
        let numbers = scheduler.set_members(job.id, pool, &listed, now);
        job.exits.set(&settings.name, &numbers, members);
    }
}

fn member(egress: &Egress) -> Member {
    Member {
        name: egress.name().into(),
        is_direct: egress.is_direct(),
        mark: egress.mark(),
    }
}

impl Pump {
    // ---- each turn --------------------------------------------------------------------------------

    /// Hears what the pools decided, and sends what they want to be asked.
    pub(super) fn mind_proxies(&mut self) {
        if !self.proxies.is_empty() {
            self.hear_pools();
            self.stop_jobs();
            while let Some(probing) = self.poll_probe() {
                self.send_probe(probing);
            }
        }
        let desk = &self.shop.desk;
        if desk.state().scheduler.poll_canary(desk.clock.now()) {
            self.send_canary();
        }
    }

    fn hear_pools(&mut self) {
        for (job, proxies) in &mut self.proxies {
            let desk = &self.shop.desk;
            let events = desk
                .state()
                .scheduler
                .pools_mut(*job)
                .map(Pools::take_events);
            for event in events.into_iter().flatten() {
                tell(&event, &self.names, desk);
                match event {
                    Event::Stopped { pool, proxy } => {
                        proxies.stopped.push(EgressName { pool, proxy });
                    }
                    Event::LeftOut { .. } | Event::Back { .. } | Event::Apart { .. } => {}
                }
            }
        }
    }

    /// A job without any way out stops here, and waits for the next run or for other proxies.
    fn stop_jobs(&mut self) {
        let desk = &self.shop.desk;
        loop {
            // A lock that a loop's condition takes is held for the whole turn.
            let Some(job) = desk.state().scheduler.poll_stopped() else {
                break;
            };
            if let (Some(proxies), Some(context)) =
                (self.proxies.get_mut(&job), self.jobs.get(&job))
            {
                warn!(
                    job = context.job.name,
                    "no proxy can be used any more; the job stops"
                );
                proxies.is_stopped = true;
                desk.state().scheduler.pause_job(job);
            }
        }
    }

    fn poll_probe(&self) -> Option<Probing> {
        let desk = &self.shop.desk;
        desk.state().scheduler.poll_probe(desk.clock.now())
    }

    /// Asks for a page only to find out about a proxy.
    fn send_probe(&mut self, probing: Probing) {
        let Probing { job, probe, token } = probing;
        let (permit, slot) = self.guards(token, job, Some(probe.ticket), false);
        let permit = permit.of_probe();
        let (Some(job), Some(proxy)) = (self.jobs.get(&job).cloned(), permit.proxy()) else {
            return;
        };
        let desk = Arc::clone(&self.shop.desk);
        self.workers.spawn(async move {
            let exit = job.exits.of(proxy);
            let limit = BodyLimit::CutAt(PROBE_BYTES);
            let asking = job.fetcher.fetch_by(&exit.egress, &probe.url, limit);
            if let Ok(fetched) = AssertUnwindSafe(asking).catch_unwind().await {
                let exchange = &fetched.exchange;
                let retry_after = job.asked_to_wait(exchange, desk.clock.unix());
                let judgement = classify(exchange, retry_after, true);
                let attribution = job.exits.attribute(Some(proxy), &probe.url, exchange);
                let seen = seen(exchange, &attribution, retry_after);
                permit.report_probe(seen, judgement.signal);
            }
            drop(slot);
        });
    }

    /// Finds out whether our own network works.
    fn send_canary(&mut self) {
        let desk = Arc::clone(&self.shop.desk);
        self.workers.spawn(async move {
            let last = desk.state().last_address;
            let works = canary::works(last).await;
            if !works {
                warn!("our own network seems to be down; everything waits until it is back");
            }
            let now = desk.clock.now();
            desk.state().scheduler.handle_canary(works, now);
            desk.bell.notify_one();
        });
    }

    // ---- every two seconds --------------------------------------------------------------------------

    /// Reads the lists that changed, and has those proxies used from now on.
    pub(super) async fn reread_lists(&mut self) -> Result<(), RunError> {
        let desk = Arc::clone(&self.shop.desk);
        let mut again = Vec::new();
        for (job, proxies) in &mut self.proxies {
            let Some(context) = self.jobs.get(job) else {
                continue;
            };
            let changed = proxies.lists.changed(&*self.lookup.0);
            for pool in &changed {
                let scheduler = &mut desk.state().scheduler;
                proxies.fill(scheduler, context, *pool, desk.clock.now());
            }
            if !changed.is_empty() && std::mem::take(&mut proxies.is_stopped) {
                desk.state().scheduler.continue_job(*job);
                again.push(*job);
            }
        }
        for job in again {
            self.send(Command::OpenJob(job)).await?;
        }
        Ok(())
    }

    /// Stores how the proxies stand of which something changed since the last time.
    pub(super) async fn store_proxies(&mut self) -> Result<(), RunError> {
        let desk = &self.shop.desk;
        let now = desk.clock.unix();
        let mut rows = Vec::new();
        for (job, proxies) in &mut self.proxies {
            let views = desk
                .state()
                .scheduler
                .pools(*job)
                .map(|pools| pools.views(desk.clock.now()));
            rows.extend(news(*job, views, proxies, now, &desk.clock));
        }
        if !rows.is_empty() {
            self.send(Command::Proxies(rows)).await?;
        }
        Ok(())
    }

    // ---- at the end -----------------------------------------------------------------------------------

    /// Whether a job stopped since none of its proxies can be used any more.
    pub(super) fn is_stopped(&self, job: JobId) -> bool {
        self.proxies
            .get(&job)
            .is_some_and(|proxies| proxies.is_stopped)
    }

    /// The proxies that were left out when their job ended, or now, with the reason.
    pub(super) fn left_out(&self) -> Vec<(EgressName, &'static str)> {
        let proxies = self.proxies.values();
        let rows = proxies.flat_map(|proxies| proxies.told.values());
        let left_out = rows.filter_map(|row| Some((row.name.clone(), row.left_out?.1)));
        left_out.collect()
    }

    /// The pools that wrong credentials stopped, each with the proxy that said so.
    pub(super) fn stopped_pools(&self) -> Vec<EgressName> {
        let stopped = self.proxies.values().flat_map(|proxies| &proxies.stopped);
        stopped.cloned().collect()
    }
}

/// What is to be stored of the proxies of a job: those that stand otherwise than was told last, and those that
/// are no longer listed.
fn news(
    job: JobId,
    views: Option<Vec<ProxyView>>,
    proxies: &mut JobProxies,
    now: UnixMs,
    clock: &Clock,
) -> Vec<ProxyStanding> {
    // A job that is finished has no pools any more; how they stood last is what stays.
    let Some(views) = views else {
        return Vec::new();
    };
    let mut told = BTreeMap::new();
    let mut rows = Vec::new();
    for view in views {
        let row = standing(job, &view, now, clock);
        let before = proxies.told.remove(&row.name);
        if before.is_none_or(|before| ProxyStanding { at: now, ..before } != row) {
            rows.push(row.clone());
        }
        told.insert(row.name.clone(), row);
    }
    let gone = std::mem::replace(&mut proxies.told, told);
    rows.extend(gone.into_values().map(|row| ProxyStanding {
        at: now,
        is_member: false,
        ..row
    }));
    rows
}

fn standing(job: JobId, view: &ProxyView, now: UnixMs, clock: &Clock) -> ProxyStanding {
    ProxyStanding {
        job,
        name: name(view),
        at: now,
        worked: view.worked,
        failed: view.failed,
        in_flight: view.in_flight,
        limit: view.limit,
        left_out: view
            .left_out
            .map(|(until, why)| (clock.unix_of(until), why.as_str())),
        is_stopped: view.is_stopped,
        is_member: true,
    }
}

fn name(view: &ProxyView) -> EgressName {
    EgressName {
        pool: Arc::clone(&view.pool),
        proxy: Arc::clone(&view.name),
    }
}

/// Says what pools decided.
fn tell(event: &Event, names: &HashMap<HostId, Host>, desk: &Desk) {
    match event {
        Event::LeftOut {
            proxy,
            pool,
            until,
            why,
        } => {
            let wait = until.since(desk.clock.now());
            info!(%pool, %proxy, ?wait, why = why.as_str(), "proxy left out");
        }
        Event::Back { proxy, pool } => info!(%pool, %proxy, "proxy used again"),
        Event::Stopped { pool, proxy } => {
            warn!(%pool, %proxy, "the proxy refused the user name or the password; its pool is stopped");
        }
        Event::Apart { proxy, host } => {
            let host = names.get(host).map(ToString::to_string);
            info!(%proxy, host, "the host refuses this proxy; the two are kept apart");
        }
    }
}
