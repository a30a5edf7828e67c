//! How do requests end without an answer, and what stays of a host?

use neap_core::scope::SkipReason;
use neap_core::{HostId, UnixMs};
use neap_store::{
    Command, Counts, Event, HostMemory, HostRow, Ready, RobotsAnswer, Skipped, Standing,
};

use crate::records::{done, retry};
use crate::rig::{Crawl, Kind, NOW, counted, submit};

const A: &str = "http://a.example/";
const B: &str = "http://b.example/";

pub(crate) async fn what_is_skipped_is_not_asked_for<K: Kind>(kind: K) {
    let (mut crawl, job) = Crawl::of(kind, &[A, "http://a.example/2", B]).await;
    let rows = crawl.ready(job).await;
    let skip = |row: &Ready| Skipped {
        request: row.request,
        job,
        host: row.host,
        reason: SkipReason::Robots,
    };
    // One that is ready, and one that is in flight under this run.
    crawl.lease(&[rows[1].request], false).await;
    let both = vec![skip(&rows[0]), skip(&rows[1])];
    let events = crawl.commit(vec![Command::Skip(both.clone())]).await;
    assert_eq!(skipped(&events), [rows[0].request, rows[1].request]);
    let expected = Counts {
        ready: 1,
        skipped: 2,
        ..Counts::default()
    };
    assert_eq!(counted(&events, job), expected);
    let events = crawl.commit(vec![Command::Skip(both)]).await;
    assert_eq!(skipped(&events), [], "they are skipped already");
    let (was_in_flight, _) = crawl.record(done(&rows[1])).await;
    assert!(!was_in_flight);
    assert_eq!(crawl.counts(job).await, expected);
}

pub(crate) async fn a_host_fails_with_all_that_is_not_in_flight<K: Kind>(kind: K) {
    let urls: Vec<String> = (0..12).map(|n| format!("http://a.example/{n}")).collect();
    let mut urls: Vec<&str> = urls.iter().map(String::as_str).collect();
    urls.push(B);
    let (mut crawl, job) = Crawl::of(kind, &urls).await;
    let other = submit(crawl.kind.store(), "other", &[A]).await.job_id;
    crawl.open(other).await;
    let host = crawl.find(job, urls[0]).await.host;
    let rows = crawl.ready(job).await.into_iter();
    let rows: Vec<Ready> = rows.filter(|row| row.host == host).collect();
    crawl.fetch(retry(&rows[0], 50, true)).await;
    crawl.lease(&[rows[1].request], false).await;
    let fail = Command::FailHost {
        host,
        jobs: vec![job],
        cause: "host_given_up".to_owned(),
    };
    let events = crawl.commit(vec![fail]).await;
    let failed = events.iter().find_map(|event| {
        let Event::HostFailed { host, requests } = event else {
            return None;
        };
        Some((*host, *requests))
    });
    assert_eq!(failed, Some((host, 11)), "{events:?}");
    let expected = Counts {
        ready: 2,
        failed: 11,
        ..Counts::default()
    };
    assert_eq!(crawl.counts(job).await, expected);
    // What is in flight comes back with its own verdict; other hosts and jobs are as they were.
    crawl.record(done(&rows[1])).await;
    assert_eq!(crawl.ready(job).await.len(), 1);
    assert_eq!(crawl.ready(other).await.len(), 1);
}

pub(crate) async fn the_rest_of_a_job_is_skipped<K: Kind>(kind: K) {
    let urls: Vec<String> = (0..9)
        .map(|n| format!("http://h{}.example/{n}", n % 3))
        .collect();
    let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
    let (mut crawl, job) = Crawl::of(kind, &urls).await;
    let rows = crawl.ready(job).await;
    crawl.fetch(done(&rows[0])).await;
    crawl.fetch(retry(&rows[1], 50, true)).await;
    crawl.lease(&[rows[2].request], false).await;
    let reason = SkipReason::MaxPages;
    let events = crawl.commit(vec![Command::SkipRest { job, reason }]).await;
    let skipped = events.iter().find_map(|event| {
        let Event::RestSkipped { job, requests } = event else {
            return None;
        };
        Some((*job, *requests))
    });
    assert_eq!(skipped, Some((job, 7)), "{events:?}");
    let expected = Counts {
        ready: 1,
        done: 1,
        skipped: 7,
        pages: 1,
        ..Counts::default()
    };
    assert_eq!(crawl.counts(job).await, expected);
    assert_eq!(crawl.ready(job).await, []);
}

pub(crate) async fn what_was_learned_of_a_host_outlives_the_run<K: Kind>(kind: K) {
    let (mut crawl, job) = Crawl::of(kind, &[A]).await;
    let host = crawl.open(job).await.0[0].host;
    let fresh = load(&mut crawl, host).await;
    assert_eq!(fresh.name.as_str(), "http://a.example");
    assert_eq!((&fresh.limiter, &fresh.robots), (&None, &None));
    let limiter = serde_json::json!({ "limit": 3.5 });
    let robots = RobotsAnswer {
        host,
        status: Some(200),
        body: Some(b"User-agent: *\nDisallow: /x\n".to_vec()),
        fetched: NOW,
        expires: UnixMs(NOW.0 + 86_400_000),
    };
    let memory = HostMemory {
        host,
        at: NOW,
        limiter: limiter.clone(),
        standing: Standing::default(),
    };
    let batch = vec![
        Command::HostMemory(vec![memory]),
        Command::Robots(robots.clone()),
    ];
    crawl.commit(batch).await;
    let mut crawl = crawl.die().await.0;
    let known = load(&mut crawl, host).await;
    assert_eq!(known.limiter, Some((limiter, NOW)));
    assert_eq!(known.robots, Some(robots));
}

async fn load<K: Kind>(crawl: &mut Crawl<K>, host: HostId) -> HostRow {
    let events = crawl.commit(vec![Command::LoadHost(host)]).await;
    let row = events.into_iter().find_map(|event| {
        let Event::Host(row) = event else {
            return None;
        };
        Some(row)
    });
    row.expect("it is answered")
}

fn skipped(events: &[Event]) -> Vec<neap_core::RequestId> {
    let requests = events.iter().find_map(|event| {
        let Event::Skipped(requests) = event else {
            return None;
        };
        Some(requests.clone())
    });
    requests.expect("it is answered")
}
