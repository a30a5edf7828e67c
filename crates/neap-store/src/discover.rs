//! How does a URL become a request, once?
//!
//! Host and fingerprint tell requests apart. The host's number comes from a bounded map before the
//! table; the request is inserted unless it is there, and SQLite says which were not.

use std::collections::HashMap;

use neap_core::{CanonicalUrl, HostId, JobId, RequestId};
use sqlx::{Row, SqliteConnection};
use url::Position;

use crate::fingerprint::partition;
use crate::values::{Shape, json_array};

/// A URL to be asked for.
pub(crate) struct Found<'a> {
    pub(crate) job: JobId,
    pub(crate) host: HostId,
    pub(crate) fingerprint: i64,
    pub(crate) priority: i32,
    pub(crate) depth: u32,
    pub(crate) parent: Option<RequestId>,
    pub(crate) url: &'a CanonicalUrl,
}

/// A request that was not there before.
pub(crate) struct New {
    pub(crate) request: RequestId,
    pub(crate) job: JobId,
    pub(crate) host: HostId,
    pub(crate) priority: i32,
}

static INSERT: Shape = Shape::filled(
    "INSERT INTO requests (host_id, fingerprint, job_id, priority, depth, parent_id, url)
     SELECT * FROM (VALUES ",
    "(?,?,?,?,?,?,?)",
    ") WHERE column1 IS NOT NULL ON CONFLICT DO NOTHING",
);

/// Inserts what is not there yet; what that was.
pub(crate) async fn insert(
    connection: &mut SqliteConnection,
    found: &[Found<'_>],
) -> Result<Vec<New>, sqlx::Error> {
    let bind = |row: &Found<'_>, args: &mut crate::values::Args| {
        args.int(row.host.0)
            .int(row.fingerprint)
            .int(row.job.0)
            .int(i64::from(row.priority));
        args.int(i64::from(row.depth))
            .maybe_int(row.parent.map(|parent| parent.0));
        args.text(row.url.as_str());
    };
    // New rows get numbers above all that there are: that tells them apart, and with one text where
    // RETURNING would have a row for each.
    let last: i64 = sqlx::query_scalar("SELECT coalesce(max(request_id), 0) FROM requests")
        .fetch_one(&mut *connection)
        .await?;
    if INSERT.execute(connection, found, bind).await? == 0 {
        return Ok(Vec::new());
    }
    let row = sqlx::query(
        "SELECT json_group_array(json_array(request_id, job_id, host_id, priority))
         FROM requests WHERE request_id > ?",
    )
    .bind(last)
    .fetch_one(connection)
    .await?;
    let new = json_array(&row)?.into_iter();
    Ok(new
        .map(|(request, job, host, priority)| New {
            request: RequestId(request),
            job: JobId(job),
            host: HostId(host),
            priority,
        })
        .collect())
}

static UNHOP: Shape = Shape::new(
    "UPDATE requests SET is_hop = 0 WHERE is_hop = 1 AND (host_id, fingerprint) IN (VALUES ",
    "(?,?)",
    ")",
);

/// Marks what redirects alone had led to as asked for itself. `requests_hop` finds it: only hops are
/// looked through.
pub(crate) async fn unhop(
    connection: &mut SqliteConnection,
    found: &[Found<'_>],
) -> Result<u64, sqlx::Error> {
    UNHOP
        .execute(connection, found, |row, args| {
            args.int(row.host.0).int(row.fingerprint);
        })
        .await
}

static REOPEN: Shape = Shape::new(
    "WITH v (host, fingerprint, priority) AS (VALUES ",
    "(?,?,?)",
    ") UPDATE requests SET state = 0, skip_reason = NULL, cause = NULL, due_ms = 0, priority = v.priority,
     depth = 0, hops = 0, is_hop = 0
     FROM v WHERE requests.host_id = v.host AND requests.fingerprint = v.fingerprint
       AND state = 5 AND (depth > 0 OR hops > 0)",
);
static TO_INPUT: Shape = Shape::new(
    "WITH v (host, fingerprint) AS (VALUES ",
    "(?,?)",
    ") UPDATE requests SET depth = 0, hops = 0, is_hop = 0
     FROM v WHERE requests.host_id = v.host AND requests.fingerprint = v.fingerprint
       AND state IN (0, 4) AND (depth > 0 OR hops > 0)",
);

/// Makes input of what links or redirects alone had led to, and makes it ready if it was skipped; how
/// much that was. Input that was skipped itself stays so, and what is done or failed as well.
pub(crate) async fn adopt(
    connection: &mut SqliteConnection,
    found: &[Found<'_>],
) -> Result<u64, sqlx::Error> {
    let bind = |row: &Found<'_>, args: &mut crate::values::Args| {
        args.int(row.host.0).int(row.fingerprint);
    };
    let reopened = REOPEN.execute(connection, found, |row, args| {
        bind(row, args);
        args.int(i64::from(row.priority));
    });
    let reopened = reopened.await?;
    TO_INPUT.execute(connection, found, bind).await?;
    unhop(connection, found).await?;
    Ok(reopened)
}

/// The host of a canonical URL as [`neap_core::Host::as_str`] writes it, without a copy.
pub(crate) fn host_name(url: &CanonicalUrl) -> &str {
    &url.url()[..Position::BeforePath]
}

/// Numbers of hosts, by name. When it is full it forgets all and learns again from the table.
#[derive(Default)]
pub(crate) struct HostNumbers {
    by_name: HashMap<Box<str>, HostId>,
}

static SELECT_HOSTS: Shape =
    Shape::new("SELECT host_id, name FROM hosts WHERE name IN (", "?", ")");
static INSERT_HOSTS: Shape = Shape::new(
    "INSERT INTO hosts (name, partition) VALUES ",
    "(?,?)",
    " ON CONFLICT DO NOTHING RETURNING host_id, name",
);

impl HostNumbers {
    /// Names that are kept: some 10 MB of them.
    const MOST: usize = 100_000;

    /// Makes sure that all hosts of `urls` have a number.
    pub(crate) async fn learn<'a>(
        &mut self,
        connection: &mut SqliteConnection,
        urls: impl Iterator<Item = &'a CanonicalUrl> + Clone,
    ) -> Result<(), sqlx::Error> {
        if self.by_name.len() > HostNumbers::MOST {
            self.by_name.clear();
        }
        let missing = self.missing(urls.clone());
        let rows = SELECT_HOSTS.fetch(connection, &missing, |name, args| {
            args.text(name);
        });
        self.remember(&rows.await?);
        let missing = self.missing(urls);
        let rows = INSERT_HOSTS.fetch(connection, &missing, |name, args| {
            args.text(name).int(i64::from(partition(name)));
        });
        self.remember(&rows.await?);
        Ok(())
    }

    /// The number of a URL's host, which must have been learned.
    pub(crate) fn get(&self, url: &CanonicalUrl) -> HostId {
        *self
            .by_name
            .get(host_name(url))
            .expect("learn is called with every URL before")
    }

    fn missing<'a>(&self, urls: impl Iterator<Item = &'a CanonicalUrl>) -> Vec<&'a str> {
        let unknown = urls
            .map(host_name)
            .filter(|name| !self.by_name.contains_key(*name));
        let mut names: Vec<&str> = unknown.collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    fn remember(&mut self, rows: &[sqlx::sqlite::SqliteRow]) {
        for row in rows {
            self.by_name
                .insert(row.get::<&str, _>(1).into(), HostId(row.get(0)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_name_is_that_of_the_core() {
        for url in [
            "http://a.example/x?y",
            "https://a.example:8443/",
            "http://[::1]:8080/a",
        ] {
            let url = CanonicalUrl::parse(url).unwrap();
            assert_eq!(host_name(&url), url.host().as_str());
        }
    }
}
