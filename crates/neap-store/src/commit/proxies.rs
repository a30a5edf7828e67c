//! Which proxies does a job go through, and how do they stand?
//!
//! A row for each is made when the first attempt goes through it or when the run first tells of it. Its number
//! is kept in memory, since most attempts go through a proxy that is known.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use neap_core::{Epoch, JobId};
use sqlx::SqliteConnection;

use super::Trouble;
use crate::batch::{EgressName, ProxyStanding};
use crate::values::{Args, Shape};

/// Numbers that are kept in memory: some 10 MB. Beyond that all are forgotten and asked for again.
const MOST_KNOWN: usize = 65_536;

/// The numbers of the proxies that were met lately.
#[derive(Debug, Default)]
pub(crate) struct ProxyNumbers(HashMap<(JobId, EgressName), i64>);

impl ProxyNumbers {
    /// The number of a proxy; `None` if it is not known, which [`ProxyNumbers::learn`] changes.
    pub(super) fn get(&self, job: JobId, name: &EgressName) -> Option<i64> {
        self.0.get(&(job, name.clone())).copied()
    }

    /// Makes rows for those that have none, and learns the numbers of all.
    pub(super) async fn learn<'a>(
        &mut self,
        wanted: impl Iterator<Item = (JobId, &'a EgressName)>,
        connection: &mut SqliteConnection,
    ) -> Result<(), Trouble> {
        let wanted: BTreeSet<(JobId, &EgressName)> = wanted.collect();
        let unknown = |(job, name): &(JobId, &EgressName)| self.get(*job, name).is_none();
        let new: Vec<_> = wanted.iter().copied().filter(unknown).collect();
        if new.is_empty() {
            return Ok(());
        }
        let (names, has_room) = match self.0.len() + new.len() <= MOST_KNOWN {
            true => (new, true),
            false => (wanted.into_iter().collect(), false),
        };
        if !has_room {
            self.0.clear();
        }
        INSERT.execute(connection, &names, bind_name).await?;
        let found: Vec<(i64, String, String, i64)> =
            SELECT.fetch_json(connection, &names, bind_name).await?;
        for (job, pool, proxy, number) in found {
            let name = EgressName {
                pool: pool.into(),
                proxy: proxy.into(),
            };
            self.0.insert((JobId(job), name), number);
        }
        Ok(())
    }
}

static INSERT: Shape = Shape::filled(
    "WITH v (job_id, pool, name) AS (VALUES ",
    "(?,?,?)",
    ") INSERT INTO proxies (job, pool, name)
     SELECT j.name, v.pool, v.name FROM v JOIN jobs j ON j.job_id = v.job_id WHERE true
     ON CONFLICT (job, pool, name) DO NOTHING",
);
static SELECT: Shape = Shape::filled(
    "WITH v (job_id, pool, name) AS (VALUES ",
    "(?,?,?)",
    ") SELECT json_group_array(json_array(v.job_id, x.pool, x.name, x.proxy_id))
     FROM v JOIN jobs j ON j.job_id = v.job_id
     JOIN proxies x ON x.job = j.name AND x.pool = v.pool AND x.name = v.name",
);

fn bind_name((job, name): &(JobId, &EgressName), args: &mut Args) {
    args.int(job.0).text(&name.pool).text(&name.proxy);
}

static UPDATE_STANDING: Shape = Shape::filled(
    "WITH v (id, at, epoch, worked, failed, in_flight, lim, until, why, stopped, member) AS (VALUES ",
    "(?,?,?,?,?,?,?,?,?,?,?)",
    ") UPDATE proxies SET seen_ms = v.at, epoch = v.epoch, worked = v.worked, failed = v.failed,
     in_flight = v.in_flight, concurrency_limit = v.lim, left_out_until_ms = v.until, left_out_why = v.why,
     pool_is_stopped = v.stopped, is_member = v.member FROM v WHERE proxies.proxy_id = v.id",
);

/// Keeps how proxies stand.
pub(super) async fn keep_standings(
    standings: &[ProxyStanding],
    epoch: Epoch,
    numbers: &mut ProxyNumbers,
    connection: &mut SqliteConnection,
) -> Result<(), Trouble> {
    let named = standings
        .iter()
        .map(|standing| (standing.job, &standing.name));
    numbers.learn(named, connection).await?;
    let mut rows: BTreeMap<i64, ProxyStanding> = BTreeMap::new();
    for standing in standings {
        let Some(number) = numbers.get(standing.job, &standing.name) else {
            continue;
        };
        match rows.entry(number) {
            Entry::Vacant(row) => drop(row.insert(standing.clone())),
            Entry::Occupied(mut row) => row.get_mut().join(standing),
        }
    }
    let rows: Vec<(i64, ProxyStanding)> = rows.into_iter().collect();
    let bind = |(number, standing): &(i64, ProxyStanding), args: &mut Args| {
        args.int(*number).int(standing.at.0).int(epoch.0);
        args.int(standing.worked.cast_signed())
            .int(standing.failed.cast_signed());
        args.int(i64::from(standing.in_flight)).real(standing.limit);
        args.maybe_int(standing.left_out.map(|(until, _)| until.0))
            .maybe_text(standing.left_out.map(|(_, why)| why));
        args.int(i64::from(standing.is_stopped))
            .int(i64::from(standing.is_member));
    };
    UPDATE_STANDING.execute(connection, &rows, bind).await?;
    Ok(())
}
