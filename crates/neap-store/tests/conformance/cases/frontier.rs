//! Is everything that is to be asked for handed out, in its order, when it is due, and once?

use std::collections::BTreeSet;
use std::time::Duration;

use neap_core::UnixMs;
use neap_store::{Command, Event, Position, Ready};

use crate::records::{done, link, linking, retry};
use crate::rig::{Crawl, Kind, NOW, counted, readied};

const A: &str = "http://a.example/";

pub(crate) async fn requests_come_in_order_and_each_once<K: Kind>(kind: K) {
    let urls: Vec<String> = (0..10).map(|n| format!("http://a.example/{n}")).collect();
    let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
    let (mut crawl, job) = Crawl::of(kind, &urls).await;
    let host = crawl.open(job).await.0[0].host;
    let (mut after, mut seen) = (Position::START, Vec::new());
    for round in 0.. {
        let refilled = crawl.refill(job, host, after, 4).await;
        assert!(refilled.rows.len() <= 4);
        let is_last = seen.len() + refilled.rows.len() == 10;
        assert_eq!(refilled.is_exhausted, refilled.rows.len() < 4, "{round}");
        assert!(round < 4, "it does not come to an end: {seen:#?}");
        seen.extend(refilled.rows);
        if is_last {
            break;
        }
        after = seen.last().expect("there are more").position;
    }
    assert!(seen.is_sorted_by_key(|row| row.position), "{seen:#?}");
    let found: BTreeSet<&str> = seen.iter().map(|row| row.url.as_str()).collect();
    assert_eq!(found, BTreeSet::from_iter(urls));
    let behind = crawl.refill(job, host, seen[9].position, 4).await;
    assert!(behind.rows.is_empty() && behind.is_exhausted);
}

pub(crate) async fn what_is_in_flight_is_not_handed_out<K: Kind>(kind: K) {
    let (mut crawl, job) = Crawl::of(kind, &[A, "http://a.example/2"]).await;
    let rows = crawl.ready(job).await;
    let (first, second) = (rows[0].request, rows[1].request);
    // One that is asked for twice at once is leased once.
    assert_eq!(
        crawl.lease(&[first, first], false).await,
        (vec![first], vec![first])
    );
    let refilled = crawl.refill(job, rows[0].host, Position::START, 9).await;
    assert_eq!(requests(&refilled.rows), [second]);
    assert_eq!(
        crawl.lease(&[first, second], false).await,
        (vec![second], vec![first])
    );
    assert_eq!(crawl.ready(job).await, []);
}

pub(crate) async fn links_become_requests_once<K: Kind>(kind: K) {
    let (mut crawl, job) = Crawl::of(kind, &[A, "http://a.example/2"]).await;
    let rows = crawl.ready(job).await;
    let links = [
        A,
        "http://a.example/3",
        "http://b.example/",
        "http://b.example/",
    ];
    let events = crawl.fetch(linking(&rows[0], &links)).await;
    let names: BTreeSet<String> = readied(&events)
        .iter()
        .map(|ready| ready.host_name.to_string())
        .collect();
    let expected = ["http://a.example", "http://b.example"].map(str::to_owned);
    assert_eq!(names, BTreeSet::from(expected));
    assert_eq!(counted(&events, job).total(), 4);
    let events = crawl.fetch(linking(&rows[1], &links)).await;
    assert_eq!(readied(&events), [], "they are known");
    let counts = counted(&events, job);
    assert_eq!((counts.total(), counts.ready, counts.done), (4, 2, 2));
    let found = crawl.find(job, "http://b.example/").await;
    assert_eq!((found.depth, found.hops), (1, 0));
    // Across runs as well.
    let mut crawl = crawl.close().await;
    let found = crawl.find(job, "http://b.example/").await;
    crawl.fetch(linking(&found, &links)).await;
    assert_eq!(crawl.counts(job).await.total(), 4);
}

pub(crate) async fn what_is_more_urgent_goes_first<K: Kind>(kind: K) {
    let (mut crawl, job) = Crawl::of(kind, &[A, "http://a.example/2"]).await;
    let rows = crawl.ready(job).await;
    let mut record = done(&rows[0]);
    record.links = vec![
        link("http://a.example/later", 1, 7),
        link("http://a.example/first", 1, -7),
    ];
    let events = crawl.fetch(record).await;
    // The run must know that something came before what it has read already.
    let ready = readied(&events);
    assert_eq!((ready.len(), ready[0].first.priority), (1, -7));
    let rows = crawl.ready(job).await;
    let order: Vec<&str> = rows.iter().map(|row| row.url.as_str()).collect();
    let expected = ["first", "2", "later"].map(|name| format!("http://a.example/{name}"));
    assert_eq!(order, expected);
}

pub(crate) async fn urls_to_which_no_page_led_become_requests_of_open_jobs<K: Kind>(kind: K) {
    let (mut crawl, job) = Crawl::of(kind, &[A]).await;
    let discover = |path: &str| Command::Discover {
        job,
        links: vec![
            link(&format!("http://a.example/{path}"), 0, -3),
            link(A, 0, 0),
        ],
    };
    crawl.commit(vec![discover("early")]).await;
    assert_eq!(crawl.counts(job).await.total(), 1, "it was not open yet");
    let events = crawl.commit(vec![discover("feed")]).await;
    assert_eq!(readied(&events).len(), 1);
    let found = crawl.find(job, "http://a.example/feed").await;
    assert_eq!((found.depth, found.position.priority), (0, -3));
    assert_eq!(crawl.counts(job).await.total(), 2);
}

pub(crate) async fn retries_wait_until_they_are_due<K: Kind>(kind: K) {
    let (mut crawl, job) = Crawl::of(kind, &[A]).await;
    let row = crawl.find(job, A).await;
    let events = crawl.fetch(retry(&row, 100, true)).await;
    let counts = counted(&events, job);
    assert_eq!((counts.waiting, counts.ready), (1, 0));
    let due = UnixMs(NOW.0 + 100);
    assert_eq!(next_due(&events), Some(Some(due)));
    assert_eq!(crawl.ready(job).await, []);
    assert_eq!(
        crawl.lease(&[row.request], false).await,
        (vec![], vec![row.request])
    );
    let (early, _) = promote(&mut crawl, 99, 9).await;
    assert_eq!(early, []);
    let (rows, events) = promote(&mut crawl, 100, 9).await;
    assert_eq!(next_due(&events), Some(None));
    assert_eq!(requests(&rows), [row.request]);
    assert_eq!(
        (rows[0].charged, rows[0].deferrals, rows[0].next_attempt()),
        (1, 0, 2)
    );
    assert_eq!(crawl.ready(job).await, rows);
    // A failure that is not charged is counted by itself.
    crawl.fetch(retry(&rows[0], 200, false)).await;
    let (rows, _) = promote(&mut crawl, 200, 9).await;
    assert_eq!(
        (rows[0].charged, rows[0].deferrals, rows[0].next_attempt()),
        (1, 1, 3)
    );
}

pub(crate) async fn those_due_longest_are_promoted_first<K: Kind>(kind: K) {
    let urls = [
        "http://a.example/1",
        "http://b.example/2",
        "http://c.example/3",
    ];
    let (mut crawl, job) = Crawl::of(kind, &urls).await;
    for (url, after_ms) in urls.iter().zip([30, 10, 20]) {
        let row = crawl.find(job, url).await;
        crawl.fetch(retry(&row, after_ms, true)).await;
    }
    let (rows, events) = promote(&mut crawl, 1000, 2).await;
    let order: Vec<&str> = rows.iter().map(|row| row.url.as_str()).collect();
    assert_eq!(order, [urls[1], urls[2]]);
    assert_eq!(next_due(&events), Some(Some(UnixMs(NOW.0 + 30))));
    let counts = counted(&events, job);
    assert_eq!((counts.ready, counts.waiting), (2, 1));
}

async fn promote<K: Kind>(
    crawl: &mut Crawl<K>,
    after_ms: u64,
    most: usize,
) -> (Vec<Ready>, Vec<Event>) {
    let now = NOW + Duration::from_millis(after_ms);
    let events = crawl.commit(vec![Command::Promote { now, most }]).await;
    let rows = events.iter().find_map(|event| {
        let Event::Promoted(rows) = event else {
            return None;
        };
        Some(rows.clone())
    });
    (rows.expect("it is answered"), events)
}

/// What was said last of when a request is due.
fn next_due(events: &[Event]) -> Option<Option<UnixMs>> {
    events.iter().rev().find_map(|event| {
        let Event::NextDue(due) = event else {
            return None;
        };
        Some(*due)
    })
}

fn requests(rows: &[Ready]) -> Vec<neap_core::RequestId> {
    rows.iter().map(|row| row.request).collect()
}
