//! A run as the pump drives it, without the waiting: what is ready is leased, recorded and followed until
//! nothing is left.

use std::path::Path;

use neap_core::job::Durability;
use neap_core::{HostId, JobId, RequestId, UnixMs};
use neap_store::{
    Access, Command, Event, Lease, Position, Ready, Refill, Settings, SqliteStore, StoreError,
    Submission, Writer, WriterHandle,
};
use tokio::sync::mpsc::UnboundedReceiver;

use crate::site::{NOW, is_final, job, record, seeds};

/// Requests that are in flight together.
const TOGETHER: usize = 5;

/// What the store has said is done, and what must be there ever after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ack {
    /// The store is there.
    Made,
    /// The job is in it.
    Submitted(JobId),
    /// The request is in flight; it may be sent now.
    Leased(RequestId),
    /// The attempt with this number is recorded, and it was the last one or not.
    Recorded(RequestId, u32, bool),
}

/// Small batches, logs and segments, so that a small crawl has many of each.
pub(crate) fn settings(durability: Durability) -> Settings {
    Settings {
        batch_commands: 4,
        wal_bytes: 200 << 10,
        segment_bytes: 12 << 10,
        durability,
        ..Settings::default()
    }
}

/// Crawls the site to its end in the store of a directory, which is made if it is not there. Everything
/// that the store acknowledges is told.
pub(crate) async fn crawl(
    directory: &Path,
    durability: Durability,
    mut told: impl FnMut(Ack),
) -> Result<(), StoreError> {
    let store = SqliteStore::open(&directory.join("neap.db"), Access::Create).await?;
    told(Ack::Made);
    let job_id = match store.latest_round("shop").await? {
        Some(row) => row.job_id,
        None => {
            let mut job = job();
            job.store.durability = durability;
            let submission = Submission {
                job: &job,
                urls: seeds(),
            };
            store.submit(submission).await?.job_id
        }
    };
    told(Ack::Submitted(job_id));
    let lock = store.lock(NOW).await?;
    let run = store.begin_run(&lock, NOW).await?;
    let (writer, events) = Writer::spawn(&store, &run, settings(durability)).await?;
    let mut crawler = Crawler {
        job: job_id,
        writer,
        events,
        told: &mut told,
    };
    let ended = crawler.run().await;
    // The thread is waited for whatever happened, so that nothing is written behind the test's back.
    let _ = crawler.writer.close().await;
    drop(lock);
    ended
}

struct Crawler<'a> {
    job: JobId,
    writer: WriterHandle,
    events: UnboundedReceiver<Event>,
    told: &'a mut dyn FnMut(Ack),
}

impl Crawler<'_> {
    async fn run(&mut self) -> Result<(), StoreError> {
        loop {
            let ready = self.ready().await?;
            for rows in ready.chunks(TOGETHER) {
                self.fetch(rows).await?;
            }
            if ready.is_empty() && self.promote().await? == 0 {
                break;
            }
        }
        self.send(Command::FinishJob { job: self.job }).await?;
        while !matches!(self.event().await?, Event::JobFinished(_)) {}
        self.send(Command::Close).await?;
        while !matches!(self.event().await?, Event::Closed) {}
        Ok(())
    }

    /// Has requests noted as in flight, and then all of them recorded at once.
    async fn fetch(&mut self, rows: &[Ready]) -> Result<(), StoreError> {
        let leases = rows.iter().map(|row| Lease {
            request: row.request,
            is_alone: false,
        });
        self.send(Command::Lease(leases.collect())).await?;
        let leased = loop {
            if let Event::Leased { leased, .. } = self.event().await? {
                break leased;
            }
        };
        for request in &leased {
            (self.told)(Ack::Leased(*request));
        }
        let rows: Vec<&Ready> = rows
            .iter()
            .filter(|row| leased.contains(&row.request))
            .collect();
        for row in &rows {
            self.send(Command::Record(Box::new(record(row, &self.writer))))
                .await?;
        }
        let mut left = rows.len();
        while left > 0 {
            if let Event::Recorded(recorded) = self.event().await? {
                assert!(recorded.was_in_flight);
                let mut of_this = rows.iter().filter(|row| row.request == recorded.request);
                let row = of_this.next().unwrap();
                let number = row.charged + row.deferrals + row.lost + 1;
                (self.told)(Ack::Recorded(row.request, number, is_final(row)));
                left -= 1;
            }
        }
        Ok(())
    }

    /// Makes ready what waits; how much that is.
    async fn promote(&mut self) -> Result<usize, StoreError> {
        let now = UnixMs(i64::MAX);
        self.send(Command::Promote { now, most: 100 }).await?;
        loop {
            if let Event::Promoted(rows) = self.event().await? {
                return Ok(rows.len());
            }
        }
    }

    async fn ready(&mut self) -> Result<Vec<Ready>, StoreError> {
        self.send(Command::OpenJob(self.job)).await?;
        let mut hosts: Vec<HostId> = Vec::new();
        loop {
            let event = self.event().await?;
            if let Event::Ready(ready) = event {
                hosts.push(ready.host);
            } else if matches!(event, Event::NextDue(_)) {
                break;
            }
        }
        let mut rows = Vec::new();
        for host in hosts {
            self.send(Command::Refill(Refill {
                job: self.job,
                host,
                after: Position::START,
                count: 1000,
            }))
            .await?;
            loop {
                if let Event::Refilled(mut refilled) = self.event().await? {
                    rows.append(&mut refilled.rows);
                    break;
                }
            }
        }
        Ok(rows)
    }

    async fn send(&mut self, command: Command) -> Result<(), StoreError> {
        if self.writer.send(command).await.is_ok() {
            return Ok(());
        }
        // The last event says why.
        loop {
            self.event().await?;
        }
    }

    async fn event(&mut self) -> Result<Event, StoreError> {
        match self.events.recv().await {
            Some(Event::Broken(error)) => Err(error),
            Some(event) => Ok(event),
            None => Err(StoreError::Stopped),
        }
    }
}
