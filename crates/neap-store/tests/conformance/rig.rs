//! A store of any kind with one run on it, which does what a test says.

use neap_core::{CanonicalUrl, HostId, JobId, RequestId, UnixMs};
use neap_store::{
    Command, Counts, Event, InputRow, Lease, Position, Ready, ReadyHost, Record, Refill, Refilled,
    Run, Session, Settings, Store, StoreError, Submitted,
};

use crate::records::job;

/// When everything in these tests happens: 2026-01-01T00:00:00Z.
pub(crate) const NOW: UnixMs = UnixMs(1_767_225_600_000);

/// A kind of store, of which there may be any number.
pub(crate) trait Kind: Sized {
    /// What is tested.
    type Store: Store;

    /// A new, empty one.
    async fn make() -> Self;

    fn store(&self) -> &Self::Store;
}

type SessionOf<K> = <<K as Kind>::Store as Store>::Session;
type LockOf<K> = <<K as Kind>::Store as Store>::Lock;

/// A run on a store.
pub(crate) struct Crawl<K: Kind> {
    pub(crate) kind: K,
    pub(crate) run: Run,
    pub(crate) session: SessionOf<K>,
    lock: LockOf<K>,
}

/// The hosts and positions at which a job has something to do, and what else was said.
pub(crate) fn readied(events: &[Event]) -> Vec<ReadyHost> {
    let ready = events.iter().filter_map(|event| {
        let Event::Ready(ready) = event else {
            return None;
        };
        Some(ready.clone())
    });
    ready.collect()
}

/// The last word on how far a job is.
pub(crate) fn counted(events: &[Event], job: JobId) -> Counts {
    let counts = events.iter().rev().find_map(|event| {
        let Event::Counts(of, counts) = event else {
            return None;
        };
        (*of == job).then_some(*counts)
    });
    counts.expect("how far a job is comes with what changed it")
}

/// Input rows of these URLs.
pub(crate) fn rows(urls: &[&str]) -> Vec<InputRow> {
    urls.iter().map(|text| url(text).into()).collect()
}

pub(crate) fn url(text: &str) -> CanonicalUrl {
    CanonicalUrl::parse(text).unwrap()
}

pub(crate) async fn submit(store: &impl Store, name: &str, urls: &[&str]) -> Submitted {
    store.submit_rows(&job(name), &rows(urls)).await.unwrap()
}

impl<K: Kind> Crawl<K> {
    /// A run on a store that has a job of these URLs, which is not open yet.
    pub(crate) async fn of(kind: K, urls: &[&str]) -> (Crawl<K>, JobId) {
        let job = submit(kind.store(), "shop", urls).await.job_id;
        (Crawl::begin(kind, false).await, job)
    }

    pub(crate) async fn begin(kind: K, is_for_all: bool) -> Crawl<K> {
        let store = kind.store();
        let lock = store.lock(NOW).await.unwrap();
        let run = store.begin(&lock, NOW, is_for_all).await.unwrap();
        let session = store.session(&run, Settings::default()).await.unwrap();
        Crawl {
            kind,
            run,
            session,
            lock,
        }
    }

    /// The next run, after this one died without a word; and the dead one's session, which thinks it lives.
    pub(crate) async fn die(self) -> (Crawl<K>, SessionOf<K>) {
        drop(self.lock);
        (Crawl::begin(self.kind, false).await, self.session)
    }

    /// The next run, after this one ended in peace.
    pub(crate) async fn close(self) -> Crawl<K> {
        self.session.close().await.unwrap();
        drop(self.lock);
        Crawl::begin(self.kind, false).await
    }

    /// Commits a batch and all that it leaves to be done.
    pub(crate) async fn commit(&mut self, mut batch: Vec<Command>) -> Vec<Event> {
        let commands = batch.len();
        let mut events = self.session.commit(&mut batch).await.unwrap();
        assert!(batch.is_empty(), "{batch:?}");
        self.session.look_after(commands).await.unwrap();
        while self.session.has_rest() {
            events.extend(self.session.commit(&mut Vec::new()).await.unwrap());
        }
        events
    }

    /// Opens a job: the hosts that have something to do, once each, and how far it is.
    pub(crate) async fn open(&mut self, job: JobId) -> (Vec<ReadyHost>, Counts) {
        let mut events = self.commit(vec![Command::OpenJob(job)]).await;
        let counts = counted(&events, job);
        let mut hosts = readied(&events);
        while let Some(from) = next_host(&events) {
            events = self.commit(vec![Command::Announce { job, from }]).await;
            hosts.extend(readied(&events));
        }
        (hosts, counts)
    }

    pub(crate) async fn refill(
        &mut self,
        job: JobId,
        host: HostId,
        after: Position,
        count: usize,
    ) -> Refilled {
        let refill = Refill {
            job,
            host,
            after,
            count,
        };
        let mut events = self.commit(vec![Command::Refill(refill)]).await;
        let refilled = events.drain(..).find_map(|event| {
            let Event::Refilled(refilled) = event else {
                return None;
            };
            Some(refilled)
        });
        refilled.expect("a refill is answered")
    }

    /// Everything of a job that can be asked for, host by host.
    pub(crate) async fn ready(&mut self, job: JobId) -> Vec<Ready> {
        let mut rows = Vec::new();
        for host in self.open(job).await.0 {
            rows.extend(
                self.refill(job, host.host, Position::START, 1000)
                    .await
                    .rows,
            );
        }
        rows
    }

    /// The ready request of a URL.
    pub(crate) async fn find(&mut self, job: JobId, text: &str) -> Ready {
        let rows = self.ready(job).await;
        let found = rows.iter().find(|row| row.url == url(text)).cloned();
        found.unwrap_or_else(|| panic!("{text} is not among {rows:#?}"))
    }

    /// Those that are in flight now, and those that are not.
    pub(crate) async fn lease(
        &mut self,
        requests: &[RequestId],
        is_alone: bool,
    ) -> (Vec<RequestId>, Vec<RequestId>) {
        let leases = requests.iter().map(|request| Lease {
            request: *request,
            is_alone,
        });
        let events = self.commit(vec![Command::Lease(leases.collect())]).await;
        let answer = events.into_iter().find_map(|event| {
            let Event::Leased { leased, refused } = event else {
                return None;
            };
            Some((leased, refused))
        });
        answer.expect("a lease is answered")
    }

    /// Whether an attempt was taken, and everything that was said.
    pub(crate) async fn record(&mut self, record: Record) -> (bool, Vec<Event>) {
        let request = record.request;
        let events = self.commit(vec![Command::Record(Box::new(record))]).await;
        let taken = events.iter().find_map(|event| {
            let Event::Recorded(recorded) = event else {
                return None;
            };
            (recorded.request == request).then_some(recorded.was_in_flight)
        });
        (taken.expect("a record is answered"), events)
    }

    /// Leases a request and records what came of it.
    pub(crate) async fn fetch(&mut self, record: Record) -> Vec<Event> {
        let request = record.request;
        let leased = self.lease(&[request], false).await;
        assert_eq!(leased, (vec![request], vec![]));
        let (was_in_flight, events) = self.record(record).await;
        assert!(was_in_flight);
        events
    }

    pub(crate) async fn counts(&mut self, job: JobId) -> Counts {
        self.open(job).await.1
    }
}

/// The host from which more are to be announced.
fn next_host(events: &[Event]) -> Option<HostId> {
    let next = events.iter().find_map(|event| {
        let Event::Announced { next, .. } = event else {
            return None;
        };
        Some(*next)
    });
    next.expect("what was announced is said")
}

/// That a run was told that it is superseded.
pub(crate) fn assert_superseded(done: Result<Vec<Event>, StoreError>) {
    assert!(
        matches!(done, Err(StoreError::Superseded { .. })),
        "{done:?}"
    );
}
