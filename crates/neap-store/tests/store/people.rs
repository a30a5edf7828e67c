//! How hosts stand, how their limits went, and what happened to a URL.

use std::time::Duration;

use neap_core::scope::SkipReason;
use neap_core::{HostId, UnixMs};
use neap_store::{
    Command, HostColumn, HostMemory, HostSummary, KEPT_CHANGES, LimitChange, Liveness, Meanwhile,
    Reader, RedirectVerdict, Standing,
};

use crate::support::{Crawl, NOW, crawl, done, failed, linking, redirect, retry, url};

fn change(host: HostId, number: i64) -> LimitChange {
    LimitChange {
        host,
        at: UnixMs(NOW.0 + number),
        before: number as f64,
        after: number as f64 + 1.0,
        reason: "more is tried",
    }
}

async fn reader(crawl: &Crawl) -> Reader {
    Reader::open(&crawl.path()).await.unwrap()
}

/// Waits until everything that was sent is durable.
async fn settled(crawl: &mut Crawl, host: HostId) {
    crawl.send(Command::LoadHost(host)).await;
    crawl.answer().await;
}

async fn all(reader: &Reader, by: HostColumn) -> Vec<HostSummary> {
    let mut rows = reader.hosts(by).await.unwrap();
    let mut hosts = Vec::new();
    while let Some(host) = rows.next().await.unwrap() {
        hosts.push(host);
    }
    hosts
}

#[tokio::test]
async fn of_each_host_the_newest_changes_are_kept() {
    let (mut crawl, job) = crawl(&["http://a.example/", "http://b.example/"]).await;
    let rows = crawl.ready(job).await;
    let (a, b) = (rows[0].host, rows[1].host);
    // In batches that fit, that go over the bound, and that are larger than it.
    let mut sent = 0;
    for size in [1, KEPT_CHANGES - 2, 5, KEPT_CHANGES + 500] {
        let mut batch: Vec<_> = (sent + 1..=sent + size).map(|n| change(a, n)).collect();
        batch.insert(batch.len() / 2, change(b, sent));
        sent += size;
        crawl.send(Command::LimitChanges(batch)).await;
        settled(&mut crawl, a).await;
        let kept = reader(&crawl).await.limit_changes(a).await.unwrap();
        let numbers: Vec<i64> = kept.iter().map(|change| change.number).collect();
        let first = (sent - KEPT_CHANGES).max(0) + 1;
        assert_eq!(numbers, (first..=sent).collect::<Vec<_>>());
        let newest = kept.last().unwrap();
        assert_eq!(newest.at, UnixMs(NOW.0 + sent));
        assert_eq!(
            (newest.before, newest.after),
            (sent as f64, sent as f64 + 1.0)
        );
        assert_eq!((newest.reason.as_str(), newest.epoch), ("more is tried", 1));
    }
    let of_b = reader(&crawl).await.limit_changes(b).await.unwrap();
    assert_eq!(of_b.len(), 4, "the other host has its own thousand");
}

#[tokio::test]
async fn a_host_is_read_as_it_was_written_and_shown_in_rfc_3339() {
    let (mut crawl, job) = crawl(&["http://a.example/1", "http://b.example/"]).await;
    let rows = crawl.ready(job).await;
    let host = rows[0].host;
    let at = |seconds: i64| UnixMs(NOW.0 + 1000 * seconds);
    let standing = Standing {
        limit: 4.25,
        shares_limit_of: Some(rows[1].host),
        in_flight: 3,
        requests_per_s: 12.5,
        p95: Some(Duration::from_micros(380_500)),
        only_probed: Some((at(-60), at(3))),
        held_until: Some(at(90)),
        is_given_up: false,
        waits_for_robots: true,
        robots_failing: Some((at(-5), at(5))),
    };
    let memory = HostMemory {
        host,
        at: NOW,
        limiter: serde_json::json!({}),
        standing,
    };
    crawl.send(Command::HostMemory(vec![memory.clone()])).await;
    crawl.fetch(retry(&rows[0], 100, true)).await;
    let reader = reader(&crawl).await;
    let found = reader.host("http://a.example").await.unwrap().unwrap();
    assert_eq!(found.standing, Some((standing, 1, NOW)));
    assert_eq!((found.waiting, found.ready, found.http_502), (1, 0, 1));
    assert_eq!(found.limit_host(), rows[1].host);
    assert_eq!(found.shares_limit_with.as_deref(), Some("http://b.example"));
    // What is kept under either of them is what both went by.
    let leader = found.limit_host();
    let changes = vec![change(host, 1), change(leader, 2), change(host, 3)];
    crawl.send(Command::LimitChanges(changes)).await;
    settled(&mut crawl, host).await;
    let kept = reader.limit_changes(leader).await.unwrap();
    let under: Vec<&str> = kept.iter().map(|change| change.host.as_str()).collect();
    let (a, b) = ("http://a.example", "http://b.example");
    assert_eq!(under, [a, b, a]);
    assert_eq!(reader.sharing(leader, 9).await.unwrap(), [a, b]);
    assert_eq!(reader.sharing(leader, 1).await.unwrap(), [a]);
    assert_eq!(reader.sharing(host, 9).await.unwrap(), [a], "it leads none");
    let sql = "SELECT concurrency_limit, in_flight, requests_per_s, p95_ms, only_probed_since,
        next_probe_at, held_until, waits_for_robots, as_of FROM host_health WHERE as_of IS NOT NULL";
    assert_eq!(
        crawl.query(sql).await,
        [[
            "4.25",
            "3",
            "12.5",
            "380.5",
            "2025-12-31T23:59:00.000Z",
            "2026-01-01T00:00:03.000Z",
            "2026-01-01T00:01:30.000Z",
            "1",
            "2026-01-01T00:00:00.000Z"
        ]]
    );
    // A run without an answer of its own keeps what the last one knew of the latency.
    let quiet = HostMemory {
        standing: Standing {
            limit: 2.0,
            ..Standing::default()
        },
        ..memory
    };
    crawl.send(Command::HostMemory(vec![quiet])).await;
    settled(&mut crawl, host).await;
    let found = reader.host("http://a.example").await.unwrap().unwrap();
    let (now, ..) = found.standing.unwrap();
    assert_eq!((now.limit, now.only_probed), (2.0, None));
    assert_eq!(now.p95, standing.p95);
    assert_eq!(reader.host("http://c.example").await.unwrap(), None);
}

#[tokio::test]
async fn what_is_in_flight_ends_with_the_run() {
    let (mut crawl, job) = crawl(&["http://a.example/1"]).await;
    let host = crawl.ready(job).await[0].host;
    let memory = HostMemory {
        host,
        at: NOW,
        limiter: serde_json::json!({}),
        standing: Standing {
            in_flight: 7,
            requests_per_s: 3.0,
            ..Standing::default()
        },
    };
    crawl.send(Command::HostMemory(vec![memory])).await;
    settled(&mut crawl, host).await;
    let sql = "SELECT in_flight, requests_per_s FROM host_health";
    assert_eq!(crawl.query(sql).await, [["7", "3"]]);
    let live = reader(&crawl).await.liveness().await.unwrap();
    assert_eq!((live.epoch, live.is_running), (1, true));
    let path = crawl.path();
    let _directory = crawl.close().await;
    assert_eq!(crate::support::query(&path, sql).await, [["0", "0"]]);
    let live = Reader::open(&path).await.unwrap().liveness().await.unwrap();
    assert!(!live.is_running && live.ended.is_some(), "{live:?}");
}

#[tokio::test]
async fn a_run_whose_process_is_gone_is_not_at_work() {
    let (crawl, _) = crawl(&["http://a.example/1"]).await;
    let reader = reader(&crawl).await;
    let mut connection = sqlx_connection(&crawl).await;
    // No process has this number: it is above what Linux gives out (PID_MAX_LIMIT, 4,194,304).
    sqlx::query("UPDATE runs SET pid = 4194305")
        .execute(&mut connection)
        .await
        .unwrap();
    let live = reader.liveness().await.unwrap();
    assert_eq!(
        live,
        Liveness {
            is_for_all: false,
            epoch: 1,
            is_running: !std::path::Path::new("/proc/self").exists(),
            ended: None
        }
    );
}

async fn sqlx_connection(crawl: &Crawl) -> sqlx::SqliteConnection {
    use sqlx::Connection;

    let url = format!("sqlite://{}", crawl.path().display());
    sqlx::SqliteConnection::connect(&url).await.unwrap()
}

#[tokio::test]
async fn hosts_come_in_every_order_that_is_asked_for() {
    let (mut crawl, job) = crawl(&["http://a.example/", "http://b.example/"]).await;
    let rows = crawl.ready(job).await;
    crawl.fetch(done(&rows[0], 200)).await;
    crawl.fetch(failed(&rows[1])).await;
    let reader = reader(&crawl).await;
    for by in HostColumn::ALL {
        let hosts = all(&reader, by).await;
        let first = hosts[0].name.as_str();
        let expected = match by {
            HostColumn::OkShare | HostColumn::Failed | HostColumn::Http502 => "http://b.example",
            HostColumn::Host
            | HostColumn::Limit
            | HostColumn::InFlight
            | HostColumn::Rate
            | HostColumn::Done
            | HostColumn::Proxy502
            | HostColumn::Http503
            | HostColumn::Http429
            | HostColumn::Timeouts
            | HostColumn::P95
            | HostColumn::Ready
            | HostColumn::Waiting
            | HostColumn::State => "http://a.example",
        };
        assert_eq!((hosts.len(), first), (2, expected), "{by:?}");
    }
}

#[tokio::test]
async fn hosts_are_found_by_their_bare_name() {
    let (crawl, _) = crawl(&[
        "http://a.example/",
        "https://a.example/",
        "https://a.example:8443/",
        "http://a.example.org/",
        "http://aa.example/",
    ])
    .await;
    let named = reader(&crawl).await.hosts_named("a.example").await.unwrap();
    let expected = [
        "http://a.example",
        "https://a.example",
        "https://a.example:8443",
    ];
    assert_eq!(named, expected);
    for hostile in ["%", "*", "a.example'", ""] {
        let named = reader(&crawl).await.hosts_named(hostile).await.unwrap();
        assert!(named.is_empty(), "{hostile:?}: {named:?}");
    }
}

#[tokio::test]
async fn bad_gateways_are_counted_by_stretches_of_time() {
    let (mut crawl, job) = crawl(&[
        "http://a.example/1",
        "http://a.example/2",
        "http://a.example/3",
    ])
    .await;
    let rows = crawl.ready(job).await;
    for (row, ms) in rows.iter().zip([0, 900, 5100]) {
        let mut record = failed(row);
        record.attempt.started = UnixMs(NOW.0 + ms);
        crawl.fetch(record).await;
    }
    let reader = reader(&crawl).await;
    let to = UnixMs(NOW.0 + 10_000);
    let bad = reader
        .bad_gateways(rows[0].host, NOW, to, 1000)
        .await
        .unwrap();
    let found: Vec<_> = bad.iter().map(|s| (s.at.0 - NOW.0, s.answers)).collect();
    assert_eq!(found, [(0, 2), (5000, 1)]);
    let causes = reader.last_causes(rows[0].host, 2).await.unwrap();
    assert_eq!(causes.len(), 1);
    assert_eq!(
        (causes[0].cause.as_deref(), causes[0].attempts),
        (Some("http_502"), 2)
    );
}

#[tokio::test]
async fn a_story_tells_all_that_happened_to_a_url() {
    let (mut crawl, job) = crawl(&["http://a.example/"]).await;
    let top = crawl.find(job, "http://a.example/").await;
    crawl.fetch(retry(&top, 0, false)).await;
    let reader = reader(&crawl).await;
    let story = &reader.stories(&url("http://a.example/")).await.unwrap()[0];
    assert_eq!(story.now, Meanwhile::Waiting { until: NOW });
    assert_eq!((story.job_name.as_str(), story.round), ("shop", 1));
    crawl.send(Command::Promote { now: NOW, most: 9 }).await;
    crawl.answer().await;

    let top = crawl.find(job, "http://a.example/").await;
    let mut record = linking(&top, &["http://a.example/old"]);
    record.skipped_links = vec![(url("http://b.example/"), SkipReason::Scope)];
    crawl.fetch(record).await;
    let old = crawl.find(job, "http://a.example/old").await;
    crawl
        .fetch(redirect(
            &old,
            "http://a.example/new",
            RedirectVerdict::Follow,
        ))
        .await;
    let new = crawl.find(job, "http://a.example/new").await;
    crawl.lease(new.request, false).await;

    let story = |text: &'static str| {
        let reader = reader.clone();
        async move { reader.stories(&url(text)).await.unwrap().remove(0) }
    };
    let top = story("http://a.example/").await;
    assert_eq!(
        (&top.now, top.page.map(|page| page.0)),
        (&Meanwhile::Done, Some(200))
    );
    let tried: Vec<_> = top
        .attempts
        .iter()
        .map(|a| (a.number, a.status, a.cause.as_deref(), a.is_charged))
        .collect();
    assert_eq!(
        tried,
        [
            (1, Some(502), Some("http_502"), false),
            (2, Some(200), None, true)
        ]
    );
    let old = story("http://a.example/old").await;
    assert_eq!(old.found_on.as_deref(), Some("http://a.example/"));
    assert_eq!(old.chain.len(), 1);
    assert_eq!(old.chain[0].url, "http://a.example/new");
    let new = story("http://a.example/new").await;
    assert_eq!(new.redirect_of.as_deref(), Some("http://a.example/old"));
    assert!(new.in_flight_since.is_some() && new.attempts.is_empty());

    let skipped = reader
        .skipped_links(&url("http://b.example/"))
        .await
        .unwrap();
    assert_eq!(skipped.len(), 1);
    assert_eq!(skipped[0].reason, "scope");
    assert_eq!(skipped[0].found_on.as_deref(), Some("http://a.example/"));
    for unknown in ["http://a.example/x", "http://c.example/"] {
        assert_eq!(reader.stories(&url(unknown)).await.unwrap(), []);
    }
}

#[tokio::test]
async fn a_url_that_its_own_redirects_led_back_to_has_two_stories() {
    let (mut crawl, job) = crawl(&["http://a.example/wall"]).await;
    let wall = crawl.find(job, "http://a.example/wall").await;
    crawl
        .fetch(redirect(
            &wall,
            "http://a.example/wall",
            RedirectVerdict::Follow,
        ))
        .await;
    let stories = reader(&crawl)
        .await
        .stories(&url("http://a.example/wall"))
        .await
        .unwrap();
    assert_eq!(stories.len(), 2);
    assert_eq!(stories[0].chain.len(), 1);
}
