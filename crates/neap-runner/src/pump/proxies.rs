//! What do the proxies of the jobs do, and who hears of it?
//!
//! Pools are filled when a job begins and whenever a list changes. What the pools decide (a proxy left out, a
//! pool stopped, a probe) is carried out here and told: in the log, in the store, and at the end.

use std::collections::btree_map::Entry;
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

    /// Its pools are new ones: nothing is stopped.
    pub(super) fn begin_anew(&mut self) {
        self.stopped.clear();
        self.is_stopped = false;
    }

    /// A pool has other members, and goes on if it was stopped. Says whether the job had stopped with it.
    fn go_on(&mut self, pool: &str) -> bool {
        self.stopped.retain(|name| &*name.pool != pool);
        std::mem::take(&mut self.is_stopped)
    }

    fn fill(&self, scheduler: &mut Scheduler, job: &JobContext, pool: usize, now: Time) {
        let settings = egress::pools(&job.job);
        let (Some(settings), Some(members)) = (settings.get(pool), self.lists.pools().nth(pool))
        else {
            return;
        };
        let listed: Vec<Member> = members.iter().map(member).collect();
        let numbers = scheduler.set_members(job.id, pool, &listed, now);
        job.learned.exits.set(&settings.name, &numbers, members);
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
            let exit = job.learned.exits.of(proxy);
            let limit = BodyLimit::CutAt(PROBE_BYTES);
            let asking = job.ask(&exit.egress, &probe.url, limit, &desk.clock);
            if let Ok(fetched) = AssertUnwindSafe(asking).catch_unwind().await {
                let exchange = &fetched.exchange;
                let host = probe.url.host();
                let retry_after = job.asked_to_wait(&host, exchange, desk.clock.unix());
                let judgement = classify(exchange, retry_after, true);
                let attribution = job
                    .learned
                    .exits
                    .attribute(Some(proxy), &probe.url, exchange);
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
            if self.finished.contains(job) {
                continue;
            }
            let changed = proxies.lists.changed(&*self.lookup.0);
            let pools = egress::pools(&context.job);
            for pool in changed {
                proxies.fill(&mut desk.state().scheduler, context, pool, desk.clock.now());
                // Who paused it continues it.
                if proxies.go_on(&pools[pool].name) && !self.paused.contains(job) {
                    desk.state().scheduler.continue_job(*job);
                    again.push(*job);
                }
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
    let mut told: BTreeMap<EgressName, ProxyStanding> = BTreeMap::new();
    for view in views {
        let row = standing(job, &view, now, clock);
        match told.entry(row.name.clone()) {
            Entry::Vacant(place) => drop(place.insert(row)),
            // Another user of the same address: the two are one row, here as in the store.
            Entry::Occupied(mut place) => place.get_mut().join(&row),
        }
    }
    let mut rows = Vec::new();
    for row in told.values() {
        let before = proxies.told.remove(&row.name);
        let is_news = |before: ProxyStanding| ProxyStanding { at: now, ..before } != *row;
        if before.is_none_or(is_news) {
            rows.push(row.clone());
        }
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

#[cfg(test)]
mod tests {
    use neap_core::job::Job;

    use super::*;

    fn view(worked: u64) -> ProxyView {
        ProxyView {
            name: "gateway:1".into(),
            pool: "pool".into(),
            worked,
            failed: 1,
            in_flight: 2,
            limit: 4.0,
            is_stopped: false,
            left_out: None,
            rate: 0.0,
        }
    }

    #[test]
    fn a_pool_that_goes_on_is_not_told_of_as_stopped() {
        let lists = ProxyLists::load(&Job::named("job"), |_| None).unwrap();
        let mut proxies = JobProxies::new(lists);
        proxies.stopped = ["one", "two"]
            .map(|pool| EgressName {
                pool: pool.into(),
                proxy: "p:1".into(),
            })
            .to_vec();
        proxies.is_stopped = true;
        assert!(proxies.go_on("one"));
        assert!(!proxies.go_on("one"), "it goes on already");
        assert_eq!(proxies.stopped.len(), 1);
        assert_eq!(&*proxies.stopped[0].pool, "two");
    }

    #[test]
    fn users_of_one_address_are_told_of_together_and_only_when_they_change() {
        let lists = ProxyLists::load(&Job::named("job"), |_| None).unwrap();
        let mut proxies = JobProxies::new(lists);
        let clock = Clock::start();
        let mut tell = |worked: [u64; 3], at: i64| {
            let views = worked.map(view).to_vec();
            let rows = news(JobId(1), Some(views), &mut proxies, UnixMs(at), &clock);
            rows.into_iter()
                .map(|row| (row.worked, row.failed, row.in_flight, row.limit))
                .collect::<Vec<_>>()
        };
        assert_eq!(tell([5, 6, 7], 1), [(18, 3, 6, 12.0)]);
        assert_eq!(tell([5, 6, 7], 2), []);
        assert_eq!(tell([7, 6, 7], 3), [(20, 3, 6, 12.0)]);
    }
}
