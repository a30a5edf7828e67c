//! A store in a directory of its own, and a run that writes to it.

use std::path::PathBuf;
use std::time::Duration;

use neap_core::classify::{Fault, Outcome};
use neap_core::exchange::{Answer, Exchange, Timings};
use neap_core::job::Job;
use neap_core::verdict::Verdict;
use neap_core::{CanonicalUrl, HostId, JobId, RequestId, UnixMs};
use neap_store::{
    Access, Attempt, Command, Event, JobChange, Lease, Link, Page, Position, Reader, Ready, Record,
    Redirect, RedirectVerdict, Refill, Run, RunLock, Settings, SqliteStore, Submission, Submitted,
    Value, Writer, WriterHandle,
};
use tokio::sync::mpsc::UnboundedReceiver;

/// When everything in these tests happens: 2026-01-01T00:00:00Z.
pub(crate) const NOW: UnixMs = UnixMs(1_767_225_600_000);

pub(crate) struct Crawl {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) store: SqliteStore,
    pub(crate) lock: Option<RunLock>,
    pub(crate) run: Run,
    pub(crate) writer: WriterHandle,
    pub(crate) events: UnboundedReceiver<Event>,
}

/// A new store with a job of these URLs, and a run.
pub(crate) async fn crawl(urls: &[&str]) -> (Crawl, JobId) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("neap.db");
    let store = SqliteStore::open(&path, Access::Create).await.unwrap();
    let submitted = submit(&store, "shop", urls).await;
    (
        Crawl::begin(directory, store, Settings::default()).await,
        submitted.job_id,
    )
}

pub(crate) async fn submit(store: &SqliteStore, name: &str, urls: &[&str]) -> Submitted {
    let urls: Vec<_> = urls.iter().map(|text| url(text)).collect();
    store
        .submit(Submission {
            job: &job(name),
            urls,
        })
        .await
        .unwrap()
}

impl Crawl {
    pub(crate) async fn begin(
        directory: tempfile::TempDir,
        store: SqliteStore,
        settings: Settings,
    ) -> Crawl {
        let lock = store.lock(NOW).await.unwrap();
        let run = store.begin_run(&lock, NOW).await.unwrap();
        let (writer, events) = Writer::spawn(&store, &run, settings).await.unwrap();
        Crawl {
            directory,
            store,
            lock: Some(lock),
            run,
            writer,
            events,
        }
    }

    /// A new run on the same store after this one died without a word.
    pub(crate) async fn killed(mut self) -> Crawl {
        drop(self.lock.take());
        let Crawl {
            directory,
            store,
            writer,
            events,
            ..
        } = self;
        let next = Crawl::begin(directory, store, Settings::default()).await;
        // The old writer ends here; it is superseded and may write nothing.
        drop((writer, events));
        next
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.store.path().to_owned()
    }

    pub(crate) async fn send(&self, command: Command) {
        self.writer.send(command).await.unwrap();
    }

    /// The next event of whatever kind.
    pub(crate) async fn any_event(&mut self) -> Event {
        self.events.recv().await.expect("the writer has not closed")
    }

    /// The next event that is neither about the counts of a job, nor says that a new round replaced it
    /// or how it is now.
    pub(crate) async fn event(&mut self) -> Event {
        loop {
            match self.events.recv().await.expect("the writer has not closed") {
                Event::Broken(error) => panic!("the writer broke: {error:?}"),
                // A new round of a name, as several tests submit it.
                Event::Counts(..)
                | Event::JobChanged(_, JobChange::Replaced)
                | Event::JobFound(_)
                | Event::Announced { .. } => {}
                event => return event,
            }
        }
    }

    /// The next event that is not about ready hosts or due times.
    pub(crate) async fn answer(&mut self) -> Event {
        loop {
            let event = self.event().await;
            if !matches!(event, Event::Ready(_) | Event::NextDue(_)) {
                return event;
            }
        }
    }

    /// All ready requests of a job, in order of host and position.
    pub(crate) async fn ready(&mut self, job: JobId) -> Vec<Ready> {
        self.send(Command::OpenJob(job)).await;
        let mut hosts = Vec::new();
        loop {
            match self.event().await {
                Event::Ready(ready) => hosts.push(ready.host),
                Event::NextDue(_) => break,
                other => panic!("{other:?}"),
            }
        }
        let mut rows = Vec::new();
        for host in hosts {
            rows.append(&mut self.refill(job, host, Position::START, 1000).await.0);
        }
        rows
    }

    pub(crate) async fn refill(
        &mut self,
        job: JobId,
        host: HostId,
        after: Position,
        count: usize,
    ) -> (Vec<Ready>, bool) {
        self.send(Command::Refill(Refill {
            job,
            host,
            after,
            count,
        }))
        .await;
        match self.answer().await {
            Event::Refilled(refilled) => (refilled.rows, refilled.is_exhausted),
            other => panic!("{other:?}"),
        }
    }

    /// The ready request with this URL.
    pub(crate) async fn find(&mut self, job: JobId, text: &str) -> Ready {
        let ready = self.ready(job).await;
        let found = ready.iter().find(|row| row.url == url(text)).cloned();
        found.unwrap_or_else(|| panic!("{text} is not among {ready:?}"))
    }

    pub(crate) async fn lease(&mut self, request: RequestId, is_alone: bool) -> Vec<RequestId> {
        self.send(Command::Lease(vec![Lease { request, is_alone }]))
            .await;
        match self.answer().await {
            Event::Leased { leased, .. } => leased,
            other => panic!("{other:?}"),
        }
    }

    /// Leases the request and records the attempt; whether it was written.
    pub(crate) async fn fetch(&mut self, record: Record) -> bool {
        self.lease(record.request, false).await;
        self.record(record).await
    }

    pub(crate) async fn record(&mut self, record: Record) -> bool {
        self.send(Command::Record(Box::new(record))).await;
        match self.answer().await {
            Event::Recorded(recorded) => recorded.was_in_flight,
            other => panic!("{other:?}"),
        }
    }

    /// What a query says, as text.
    pub(crate) async fn query(&self, sql: &str) -> Vec<Vec<String>> {
        query(&self.path(), sql).await
    }

    /// That the counters of every job are what its rows say.
    pub(crate) async fn assert_counters(&self) {
        let off = self
            .query(
                "SELECT j.job_id, j.ready, j.waiting, j.done, j.failed, j.skipped, c.* FROM jobs j
                 LEFT JOIN (SELECT job_id, sum(state = 0) AS r, sum(state = 4) AS w, sum(state = 2) AS d,
                     sum(state = 3) AS f, sum(state = 5) AS s FROM requests GROUP BY job_id) c
                 USING (job_id)
                 WHERE (j.ready, j.waiting, j.done, j.failed, j.skipped)
                   IS NOT (ifnull(r, 0), ifnull(w, 0), ifnull(d, 0), ifnull(f, 0), ifnull(s, 0))",
            )
            .await;
        assert_eq!(off, Vec::<Vec<String>>::new(), "counters and rows differ");
    }

    pub(crate) async fn close(mut self) -> tempfile::TempDir {
        self.writer.close().await.unwrap();
        while let Some(event) = self.events.recv().await {
            assert!(!matches!(event, Event::Broken(_)), "{event:?}");
        }
        self.directory
    }
}

pub(crate) async fn query(path: &std::path::Path, sql: &str) -> Vec<Vec<String>> {
    let reader = Reader::open(path).await.unwrap();
    let rows = reader.query(sql).await.unwrap().all().await.unwrap();
    let text = |value: &Value| match value {
        Value::Null => "-".to_owned(),
        Value::Integer(number) => number.to_string(),
        Value::Real(number) => number.to_string(),
        Value::Text(text) => text.clone(),
        Value::Blob(bytes) => format!("{bytes:?}"),
    };
    rows.iter()
        .map(|row| row.iter().map(text).collect())
        .collect()
}

pub(crate) fn url(text: &str) -> CanonicalUrl {
    CanonicalUrl::parse(text).unwrap()
}

pub(crate) fn job(name: &str) -> Job {
    Job {
        crawl: neap_core::job::Crawl {
            scope: neap_core::scope::ScopeKind::Host,
            ..Default::default()
        },
        ..Job::named(name)
    }
}

/// A record of a request that got `status` and is done.
pub(crate) fn done(row: &Ready, status: u16) -> Record {
    let outcome = match status {
        300..400 => Outcome::Redirect,
        404 => Outcome::Gone,
        502..=504 => Outcome::Overload,
        _ => Outcome::Success,
    };
    let is_failure = status >= 400;
    Record {
        request: row.request,
        job: row.job,
        host: row.host,
        attempt: Attempt {
            number: row.charged + row.deferrals + row.lost + 1,
            started: NOW,
            timings: Timings {
                total: Duration::from_millis(20),
                ..Timings::default()
            },
            status: Some(status),
            outcome,
            cause: is_failure.then(|| format!("http_{status}")),
            fault: if is_failure {
                Fault::Host
            } else {
                Fault::Nobody
            },
            attribution: None,
            egress: None,
            connect_status: None,
            error: None,
            is_charged: true,
            backoff: None,
            body_bytes: 5,
            limit: 4.5,
            in_flight: 1,
        },
        verdict: Verdict::Done,
        due: None,
        page: Some(Page {
            status,
            content_type: Some("text/html".to_owned()),
            body_bytes: 5,
            fetched: UnixMs(NOW.0 + 123),
            about: None,
        }),
        segment: None,
        links: Vec::new(),
        anchors: Vec::new(),
        skipped_links: Vec::new(),
        redirect: None,
    }
}

/// A record of a request that got a 502 and is asked again `after_ms` after [`NOW`].
pub(crate) fn retry(row: &Ready, after_ms: i64, is_charged: bool) -> Record {
    let mut record = done(row, 502);
    record.page = None;
    record.attempt.is_charged = is_charged;
    record.verdict = Verdict::Retry {
        after: Duration::from_millis(1),
        is_charged,
    };
    record.due = Some(UnixMs(NOW.0 + after_ms));
    record
}

/// A record of a request that was given up after a 502.
pub(crate) fn failed(row: &Ready) -> Record {
    Record {
        verdict: Verdict::Failed,
        page: None,
        ..done(row, 502)
    }
}

pub(crate) fn linking(row: &Ready, links: &[&str]) -> Record {
    let link = |text: &&str| Link {
        url: url(text),
        depth: row.depth + 1,
        priority: 0,
    };
    Record {
        links: links.iter().map(link).collect(),
        ..done(row, 200)
    }
}

pub(crate) fn redirect(row: &Ready, to: &str, verdict: RedirectVerdict) -> Record {
    Record {
        redirect: Some(Redirect {
            url: url(to),
            verdict,
        }),
        ..done(row, 302)
    }
}

pub(crate) fn exchange(headers: &[(&str, &str)], payload: &[u8]) -> Exchange {
    let mut map = http::HeaderMap::new();
    for (name, value) in headers {
        let name: http::HeaderName = name.parse().unwrap();
        map.append(
            name,
            http::HeaderValue::from_bytes(value.as_bytes()).unwrap(),
        );
    }
    let mut sent = http::HeaderMap::new();
    sent.insert("user-agent", http::HeaderValue::from_static("neap/test"));
    Exchange {
        result: Ok(Answer {
            status: 200,
            version: http::Version::HTTP_2,
            headers: map,
            payload: payload.to_vec().into(),
            body: payload.to_vec().into(),
            address: Some("127.0.0.1:80".parse().unwrap()),
        }),
        timings: Timings::default(),
        sent,
        route: Default::default(),
    }
}
