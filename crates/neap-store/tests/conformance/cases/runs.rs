//! What becomes of the work of runs that die, and can two of them be in each other's way?

use std::collections::BTreeSet;

use neap_core::HostId;
use neap_store::{
    Command, Counts, Event, Lease, Ready, Session, Settings, Store, StoreError, Writer,
};

use crate::records::{done, linking};
use crate::rig::{Crawl, Kind, NOW, assert_superseded, readied, submit};

const A: &str = "http://a.example/";
const B: &str = "http://b.example/";

pub(crate) async fn what_a_dead_run_had_in_flight_is_lost_and_asked_again<K: Kind>(kind: K) {
    let (mut crawl, job) = Crawl::of(kind, &[A, "http://a.example/2", B]).await;
    let rows = crawl.ready(job).await;
    crawl
        .lease(&[rows[0].request, rows[1].request], false)
        .await;
    crawl.record(done(&rows[0])).await;
    let epoch = crawl.run.epoch;
    let mut crawl = crawl.die().await.0;
    assert!(epoch < crawl.run.epoch, "{epoch:?} {:?}", crawl.run.epoch);
    assert_eq!(crawl.session.epoch(), crawl.run.epoch);
    assert_eq!(
        (crawl.run.recovered.lost, crawl.run.recovered.quarantined),
        (1, 0)
    );
    let again = crawl.find(job, rows[1].url.as_str()).await;
    assert_eq!((again.charged, again.lost, again.next_attempt()), (0, 1, 2));
    let expected = Counts {
        ready: 2,
        done: 1,
        pages: 1,
        ..Counts::default()
    };
    assert_eq!(crawl.counts(job).await, expected);
    crawl.fetch(done(&again)).await;
    let crawl = crawl.die().await.0;
    assert_eq!(crawl.run.recovered.lost, 0, "nothing was in flight");
}

pub(crate) async fn what_a_closed_run_had_in_flight_is_not_lost<K: Kind>(kind: K) {
    let (mut crawl, job) = Crawl::of(kind, &[A]).await;
    let row = crawl.find(job, A).await;
    crawl.lease(&[row.request], true).await;
    let mut crawl = crawl.close().await;
    assert_eq!(crawl.run.recovered.lost, 0);
    assert_eq!(crawl.find(job, A).await, row);
}

pub(crate) async fn what_is_lost_alone_three_times_is_given_up<K: Kind>(kind: K) {
    let (mut crawl, job) = Crawl::of(kind, &[A, B]).await;
    for time in 1..=4 {
        let row = crawl.find(job, A).await;
        // Once in company, which shows nothing about it.
        crawl.lease(&[row.request], time > 1).await;
        crawl = crawl.die().await.0;
        let recovered = crawl.run.recovered;
        assert_eq!(
            (recovered.lost, recovered.quarantined),
            (1, u64::from(time == 4))
        );
    }
    let counts = crawl.counts(job).await;
    assert_eq!((counts.failed, counts.ready), (1, 1));
}

pub(crate) async fn a_run_that_was_superseded_writes_nothing<K: Kind>(kind: K) {
    let (mut crawl, job) = Crawl::of(kind, &[A, "http://a.example/2", B]).await;
    let rows = crawl.ready(job).await;
    crawl.lease(&[rows[0].request], false).await;
    let (mut crawl, mut dead) = crawl.die().await;
    let before = crawl.counts(job).await;
    let lease = Lease {
        request: rows[1].request,
        is_alone: false,
    };
    for command in [
        Command::Record(Box::new(linking(&rows[0], &["http://c.example/"]))),
        Command::Lease(vec![lease]),
        Command::FinishJob { job },
        Command::Heed,
    ] {
        assert_superseded(dead.commit(&mut vec![command]).await);
    }
    dead.abandon().await;
    assert_eq!(crawl.counts(job).await, before);
    assert_eq!(crawl.ready(job).await.len(), 3, "none is in flight");
    // The request is the new run's: it may record it, and only once.
    let row = crawl.find(job, rows[0].url.as_str()).await;
    crawl.fetch(done(&row)).await;
}

pub(crate) async fn no_two_living_runs_own_the_same_host<K: Kind>(kind: K) {
    let urls: Vec<String> = (0..200).map(|n| format!("http://h{n}.example/")).collect();
    let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
    let (mut first, job) = Crawl::of(kind, &urls).await;
    let of_first = hosts(&mut first, job).await;
    let lock = match first.kind.store().lock(NOW).await {
        Ok(lock) => lock,
        Err(StoreError::Held { .. }) => {
            assert_eq!(of_first.len(), 200, "who is alone owns all");
            return;
        }
        Err(error) => panic!("{error}"),
    };
    let store = first.kind.store();
    let run = store.begin(&lock, NOW, false).await.unwrap();
    let mut second = store.session(&run, Settings::default()).await.unwrap();
    assert_eq!(run.recovered.lost, 0);
    assert!(!first.session.partitions().overlap(&second.partitions()));
    let mut events = Vec::new();
    let mut from = Some(HostId(0));
    let mut batch = vec![Command::OpenJob(job)];
    while let Some(host) = from {
        batch.push(Command::Announce { job, from: host });
        let more = second.commit(&mut batch).await.unwrap();
        from = more
            .iter()
            .rev()
            .find_map(|event| {
                let Event::Announced { next, .. } = event else {
                    return None;
                };
                Some(*next)
            })
            .flatten();
        events.extend(more);
    }
    let ready = readied(&events);
    assert!(
        ready
            .iter()
            .all(|host| second.partitions().hold(&host.host_name))
    );
    let of_second: BTreeSet<HostId> = ready.iter().map(|host| host.host).collect();
    assert!(of_first.is_disjoint(&of_second));
    assert_eq!(of_first.len() + of_second.len(), 200);
    // What one finds of the other's hosts is told to the other.
    let row = first.ready(job).await.swap_remove(0);
    let foreign = &ready[0];
    let link = format!("{}/found", foreign.host_name);
    let events = first.fetch(linking(&row, &[&link])).await;
    assert_eq!(readied(&events), []);
    let events = second.commit(&mut vec![Command::Heed]).await.unwrap();
    let told: Vec<HostId> = readied(&events).iter().map(|ready| ready.host).collect();
    assert_eq!(told, [foreign.host]);
}

pub(crate) async fn a_writer_drives_it_and_says_when_it_is_closed<K: Kind>(kind: K) {
    let job = submit(kind.store(), "shop", &[A]).await.job_id;
    let store = kind.store();
    let lock = store.lock(NOW).await.unwrap();
    let run = store.begin(&lock, NOW, false).await.unwrap();
    let (writer, mut events) = Writer::spawn(store, &run, Settings::default())
        .await
        .unwrap();
    writer.send(Command::OpenJob(job)).await.unwrap();
    let mut heard = Vec::new();
    while !matches!(heard.last(), Some(Event::Announced { .. })) {
        heard.push(events.recv().await.expect("it goes on"));
    }
    let hosts = readied(&heard);
    assert_eq!(hosts.len(), 1);
    writer.close().await.unwrap();
    let mut last = None;
    while let Some(event) = events.recv().await {
        last = Some(event);
    }
    assert!(matches!(last, Some(Event::Closed)), "{last:?}");
    drop(lock);
    let crawl = Crawl::begin(kind, false).await;
    assert_eq!(crawl.run.recovered.lost, 0);
}

/// The hosts that a run is told of, which must be its own.
async fn hosts<K: Kind>(crawl: &mut Crawl<K>, job: neap_core::JobId) -> BTreeSet<HostId> {
    let (hosts, _) = crawl.open(job).await;
    let own = crawl.session.partitions();
    assert!(
        hosts.iter().all(|host| own.hold(&host.host_name)),
        "{hosts:?}"
    );
    let rows: Vec<Ready> = crawl.ready(job).await;
    assert_eq!(rows.len(), hosts.len());
    hosts.iter().map(|host| host.host).collect()
}
