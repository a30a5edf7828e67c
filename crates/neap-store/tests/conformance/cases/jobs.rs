//! Do jobs come, change and end as people say, and does a run hear of it?

use std::collections::BTreeSet;

use neap_core::JobId;
use neap_store::{Command, Counts, Event, JobChange, JobState, Steering, Store};

use crate::records::{done, linking, retry};
use crate::rig::{Crawl, Kind, counted, submit};

const A: &str = "http://a.example/";
const B: &str = "http://b.example/";

pub(crate) async fn input_is_announced_host_by_host<K: Kind>(kind: K) {
    let submitted = submit(kind.store(), "shop", &[A, "http://a.example/2", B, A]).await;
    assert_eq!(
        (submitted.round, submitted.added, submitted.already_known),
        (1, 3, 1)
    );
    let rows = kind.store().unfinished().await.unwrap();
    let row = &rows[0];
    assert_eq!((row.job_id, row.name.as_str()), (submitted.job_id, "shop"));
    assert_eq!((row.state, row.counts.ready), (JobState::Unfinished, 3));
    assert_eq!(row.scope_roots.len(), 2, "{:?}", row.scope_roots);
    let mut crawl = Crawl::begin(kind, false).await;
    let job = submitted.job_id;
    let (hosts, counts) = crawl.open(job).await;
    let names: BTreeSet<&str> = hosts.iter().map(|host| host.host_name.as_str()).collect();
    assert_eq!(
        names,
        BTreeSet::from(["http://a.example", "http://b.example"])
    );
    assert_eq!(hosts.len(), 2);
    let expected = Counts {
        ready: 3,
        ..Counts::default()
    };
    assert_eq!(counts, expected);
    let rows = crawl.ready(job).await;
    assert_eq!(rows.len(), 3);
    for host in hosts {
        let first = rows
            .iter()
            .filter(|row| row.host == host.host)
            .map(|row| row.position);
        assert_eq!(first.min(), Some(host.first), "{host:?}");
    }
    assert!(
        rows.iter()
            .all(|row| row.depth == 0 && row.next_attempt() == 1)
    );
}

pub(crate) async fn every_host_is_announced_once_however_many_there_are<K: Kind>(kind: K) {
    let urls: Vec<String> = (0..2100).map(|n| format!("http://h{n}.example/")).collect();
    let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
    let (mut crawl, job) = Crawl::of(kind, &urls).await;
    let (hosts, _) = crawl.open(job).await;
    let ids: BTreeSet<_> = hosts.iter().map(|host| host.host).collect();
    assert_eq!((hosts.len(), ids.len()), (2100, 2100));
}

pub(crate) async fn a_job_is_finished_when_nothing_of_it_is_open<K: Kind>(kind: K) {
    let (mut crawl, job) = Crawl::of(kind, &[A, B]).await;
    let rows = crawl.ready(job).await;
    crawl.fetch(done(&rows[0])).await;
    crawl.fetch(retry(&rows[1], 100, true)).await;
    let events = crawl.commit(vec![Command::FinishJob { job }]).await;
    assert_eq!(changes(&events, job), [JobChange::Reopened], "{events:?}");
    assert_eq!(crawl.kind.store().unfinished().await.unwrap().len(), 1);
    let at = crate::rig::NOW + std::time::Duration::from_millis(100);
    crawl
        .commit(vec![Command::Promote { now: at, most: 9 }])
        .await;
    let row = crawl.find(job, rows[1].url.as_str()).await;
    crawl.fetch(done(&row)).await;
    let events = crawl.commit(vec![Command::FinishJob { job }]).await;
    let is_finished = |event: &Event| matches!(event, Event::JobFinished(of) if *of == job);
    assert!(events.iter().any(is_finished), "{events:?}");
    assert_eq!(crawl.kind.store().unfinished().await.unwrap(), []);
}

pub(crate) async fn a_new_round_takes_the_place_of_an_unfinished_one<K: Kind>(kind: K) {
    let (mut crawl, first) = Crawl::of(kind, &[A]).await;
    let row = crawl.find(first, A).await;
    let second = submit(crawl.kind.store(), "shop", &[A]).await;
    assert_eq!((second.round, second.added), (2, 1));
    let events = crawl.commit(vec![Command::Heed]).await;
    assert_eq!(changes(&events, first), [JobChange::Replaced], "{events:?}");
    let (leased, refused) = crawl.lease(&[row.request], false).await;
    assert_eq!((leased, refused), (vec![], vec![row.request]));
    let rows = crawl.kind.store().unfinished().await.unwrap();
    assert_eq!(
        rows.iter().map(|row| row.job_id).collect::<Vec<_>>(),
        [second.job_id]
    );
}

pub(crate) async fn a_run_for_all_hears_of_what_others_submit_once<K: Kind>(kind: K) {
    for (kind, is_for_all) in [(kind, true), (K::make().await, false)] {
        let own = submit(kind.store(), "own", &[A]).await.job_id;
        let mut crawl = Crawl::begin(kind, is_for_all).await;
        crawl.commit(vec![Command::OpenJob(own)]).await;
        let other = submit(crawl.kind.store(), "other", &[B, A]).await.job_id;
        let mut events = crawl.commit(vec![Command::Heed]).await;
        events.extend(crawl.commit(vec![Command::Heed]).await);
        let found = events.iter().filter_map(|event| {
            let Event::JobFound(found) = event else {
                return None;
            };
            Some((found.row.job_id, found.input_hosts.len()))
        });
        let expected: Vec<(JobId, usize)> = is_for_all.then_some((other, 2)).into_iter().collect();
        assert_eq!(found.collect::<Vec<_>>(), expected, "{is_for_all}");
    }
}

pub(crate) async fn a_paused_job_is_not_asked_for_until_it_is_continued<K: Kind>(kind: K) {
    let (mut crawl, job) = Crawl::of(kind, &[A, "http://a.example/2"]).await;
    let rows = crawl.ready(job).await;
    crawl.lease(&[rows[0].request], false).await;
    let steer = async |crawl: &Crawl<K>, wish| crawl.kind.store().steer(job, wish).await.unwrap();
    assert!(!steer(&crawl, Steering::Continue).await, "it is not paused");
    assert!(steer(&crawl, Steering::Pause).await);
    assert!(!steer(&crawl, Steering::Pause).await, "it is paused");
    let (leased, refused) = crawl.lease(&[rows[1].request], false).await;
    assert_eq!((leased, refused), (vec![], vec![rows[1].request]));
    // What is in flight ends as ever.
    let (was_in_flight, events) = crawl.record(linking(&rows[0], &[B])).await;
    assert!(was_in_flight);
    assert_eq!(counted(&events, job).ready, 2);
    assert_eq!(crawl.kind.store().unfinished().await.unwrap(), []);
    let events = crawl.commit(vec![Command::OpenJob(job)]).await;
    assert_eq!(changes(&events, job), [JobChange::Paused], "{events:?}");
    assert!(steer(&crawl, Steering::Continue).await);
    let events = crawl.commit(vec![Command::Heed]).await;
    assert_eq!(changes(&events, job), [JobChange::Continued], "{events:?}");
    let rows = crawl.ready(job).await;
    assert_eq!(rows.len(), 2);
    let requests: Vec<_> = rows.iter().map(|row| row.request).collect();
    assert_eq!(crawl.lease(&requests, false).await, (requests, vec![]));
}

pub(crate) async fn the_answer_of_a_cancelled_job_counts_and_leads_nowhere<K: Kind>(kind: K) {
    let (mut crawl, job) = Crawl::of(kind, &[A, "http://a.example/2", B]).await;
    let rows = crawl.ready(job).await;
    let requests: Vec<_> = rows.iter().map(|row| row.request).collect();
    crawl.lease(&requests[..2], false).await;
    assert!(
        crawl
            .kind
            .store()
            .steer(job, Steering::Cancel)
            .await
            .unwrap()
    );
    // The run hears of it with the batch that records.
    let record = Command::Record(Box::new(linking(&rows[0], &["http://c.example/"])));
    let events = crawl.commit(vec![record]).await;
    assert_eq!(changes(&events, job), [JobChange::Cancelled], "{events:?}");
    let expected = Counts {
        ready: 2,
        done: 1,
        pages: 1,
        ..Counts::default()
    };
    assert_eq!(counted(&events, job), expected);
    let (was_in_flight, events) = crawl.record(retry(&rows[1], 100, true)).await;
    assert!(was_in_flight);
    let counts = counted(&events, job);
    assert_eq!((counts.waiting, counts.skipped, counts.ready), (0, 1, 1));
    let (leased, _) = crawl.lease(&requests[2..], false).await;
    assert_eq!(leased, []);
}

/// What the run was told of a job.
fn changes(events: &[Event], job: JobId) -> Vec<JobChange> {
    let changes = events.iter().filter_map(|event| {
        let Event::JobChanged(of, change) = event else {
            return None;
        };
        (*of == job).then_some(*change)
    });
    changes.collect()
}
