//! Who writes?
//!
//! One thread, from the start of a run to its end. It takes what waits, does it in one transaction, makes it
//! durable and then says so: under load the batches grow and each flush to disk serves hundreds of
//! pages, idle each command is committed at once. It is never aborted, so no transaction is cut off
//! half way; it ends with [`Command::Close`], when every handle is gone, or when it cannot write.

use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use neap_core::exchange::Exchange;
use neap_core::job::Durability;
use neap_core::{CanonicalUrl, UnixMs};
use sqlx::SqliteConnection;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::batch::{Command, Event};
use crate::checkpoint::{Checkpointer, close};
use crate::commit::{Heeded, Ledger, Trouble, commit};
use crate::discover::HostNumbers;
use crate::fingerprint::RecentLinks;
use crate::identity::Identity;
use crate::ownership::store_id;
use crate::segments::{Originals, Records, SegmentWriter, directory_of, pack};
use crate::{Run, SqliteStore, StoreError, now};

/// Commands that wait at most; who sends more waits as well, so that memory stays bounded.
const QUEUE: usize = 4096;

/// KiB of bodies and links that wait or are being written, over all commands: 64 MiB, the bodies of some
/// 8,000 pages compressed or of one that is as large as they come. A command that is larger than all of it
/// goes alone.
const QUEUED_KIB: u32 = 64 << 10;

/// What is left between two batches while others write: they ask every millisecond.
const GAP: Duration = Duration::from_millis(3);

/// How the writer works. The default is what was measured to be good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Commands of one transaction at most. Default: 512.
    pub batch_commands: usize,
    /// How long commands are gathered while more keep coming. Default: 10 ms.
    pub batch_time: Duration,
    /// Bytes of the write-ahead log at which it is checkpointed. Default: 64 MiB.
    pub wal_bytes: u64,
    /// How often it is emptied, so that a copy of the main file alone is complete. Default: 5 min.
    pub wal_emptied_every: Duration,
    /// Bytes after which a new segment file is begun. Default: 1 GiB, as WARC 1.1 (annex C) advises.
    pub segment_bytes: u64,
    /// What a power cut may take, unless a job that is opened wants less to be taken. Default: nothing.
    pub durability: Durability,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            batch_commands: 512,
            batch_time: Duration::from_millis(10),
            wal_bytes: 64 << 20,
            wal_emptied_every: Duration::from_secs(300),
            segment_bytes: 1 << 30,
            durability: Durability::Full,
        }
    }
}

/// A command and its share of [`QUEUED_KIB`], which comes back when it is committed.
struct Queued {
    command: Command,
    share: Option<OwnedSemaphorePermit>,
}

/// Starts writers.
#[derive(Debug)]
pub struct Writer;

/// Sends commands to a writer.
#[derive(Debug, Clone)]
pub struct WriterHandle {
    commands: mpsc::Sender<Queued>,
    memory: Arc<Semaphore>,
    originals: Arc<Originals>,
    thread: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl Writer {
    /// Starts the writer of a run. The receiver gets every event, the last of which is [`Event::Closed`] or
    /// [`Event::Broken`].
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be opened once more.
    pub async fn spawn(
        store: &SqliteStore,
        run: &Run,
        settings: Settings,
    ) -> Result<(WriterHandle, mpsc::UnboundedReceiver<Event>), StoreError> {
        let mut connection = store.connect_writer(settings.durability).await?;
        let has_hops: bool =
            sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM requests WHERE is_hop = 1)")
                .fetch_one(&mut connection)
                .await
                .map_err(StoreError::sql(store.path()))?;
        let directory = directory_of(store.path());
        let store_id = store_id(store.path(), &mut connection).await?;
        let originals = Arc::new(Originals::new());
        let ledger = Ledger {
            path: store.path().to_owned(),
            epoch: run.epoch,
            fingerprinter: store.fingerprinter.clone(),
            hosts: HostNumbers::default(),
            recent: RecentLinks::new(),
            segments: SegmentWriter::new(directory, store_id, run.epoch, settings.segment_bytes),
            originals: Arc::clone(&originals),
            stored: Vec::new(),
            rounds_before: Default::default(),
            has_hops,
            jobs: Default::default(),
            sweeps: Default::default(),
            kept_skips: Default::default(),
            proxies: Default::default(),
            heeded: Heeded::new(run.is_for_all),
        };
        let (commands, inbox) = mpsc::channel(QUEUE);
        let (events, outbox) = mpsc::unbounded_channel();
        let store = store.clone();
        let io = StoreError::io(ledger.path.as_path());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .map_err(io)?;
        let work = move || {
            let work = Work {
                ledger,
                connection,
                inbox,
                events,
                settings,
            };
            runtime.block_on(work.run(store));
        };
        let thread = std::thread::Builder::new()
            .name("neap-writer".to_owned())
            .spawn(work);
        let thread =
            thread.map_err(|error| StoreError::io(std::path::Path::new("thread"))(error))?;
        Ok((
            WriterHandle {
                commands,
                memory: Arc::new(Semaphore::new(QUEUED_KIB as usize)),
                originals,
                thread: Arc::new(Mutex::new(Some(thread))),
            },
            outbox,
        ))
    }
}

impl WriterHandle {
    /// Sends a command, waiting while too many or too large ones wait already.
    ///
    /// # Errors
    /// [`StoreError::Stopped`]; the last event says why.
    pub async fn send(&self, command: Command) -> Result<(), StoreError> {
        // A writer that has stopped lets go of all shares, so that nobody waits for them in vain.
        let share = match kib(&command) {
            0 => None,
            kib => {
                let share = Arc::clone(&self.memory).acquire_many_owned(kib.min(QUEUED_KIB));
                Some(share.await.map_err(|_| StoreError::Stopped)?)
            }
        };
        let queued = Queued { command, share };
        let sent = self.commands.send(queued).await;
        sent.map_err(|_| StoreError::Stopped)
    }

    /// Packs an exchange that got an answer as WARC records, for [`Record::segment`](crate::Record): a
    /// payload that is stored already only gets a revisit. `None` if there was no answer. To be called
    /// by the worker that fetched the page, so that compression uses every core.
    pub fn pack(
        &self,
        url: &CanonicalUrl,
        exchange: &Exchange,
        fetched: UnixMs,
        with_metadata: bool,
    ) -> Option<Records> {
        pack(url, exchange, fetched, Some(&self.originals), with_metadata)
    }

    /// Ends the run and waits until everything is written. To be called while the events are still received or
    /// after that; a second call has nothing to do.
    ///
    /// # Errors
    /// [`StoreError::Stopped`] if the writer had stopped by itself; the last event says why.
    pub async fn close(&self) -> Result<(), StoreError> {
        let sent = self.send(Command::Close).await;
        let thread = self
            .thread
            .lock()
            .expect("nobody panics while holding it")
            .take();
        if let Some(thread) = thread {
            let joined = tokio::task::spawn_blocking(move || thread.join()).await;
            joined
                .map_err(|_| StoreError::Stopped)?
                .map_err(|_| StoreError::Stopped)?;
        }
        sent
    }
}

/// What a command takes in memory beyond its own size, in KiB; bodies and links are all that is large.
fn kib(command: &Command) -> u32 {
    let Command::Record(record) = command else {
        return 0;
    };
    let body = record.segment.as_ref().map_or(0, |body| body.bytes.len());
    let links = record.links.iter().map(|link| &link.url);
    let skipped = record.skipped_links.iter().map(|(url, _)| url);
    let anchors = record
        .anchors
        .iter()
        .filter_map(|anchor| anchor.text.as_ref());
    let links = links.chain(skipped).map(|url| url.as_str().len());
    let links: usize = links.chain(anchors.map(String::len)).sum();
    u32::try_from((body + links) >> 10).unwrap_or(u32::MAX)
}

/// Flushes at each commit from now on, if one of the jobs that are opened wants that. It cannot be changed
/// within a transaction.
async fn heed_durability(
    durability: &mut Durability,
    commands: &[Command],
    connection: &mut SqliteConnection,
) -> Result<(), sqlx::Error> {
    for command in commands {
        let Command::OpenJob(job) = command else {
            continue;
        };
        if *durability == Durability::Full {
            break;
        }
        let is_full: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM jobs WHERE job_id = ?
               AND spec ->> '$.store.durability' IS NOT 'normal')",
        )
        .bind(job.0)
        .fetch_one(&mut *connection)
        .await?;
        if is_full {
            sqlx::query("PRAGMA synchronous = FULL")
                .execute(&mut *connection)
                .await?;
            *durability = Durability::Full;
        }
    }
    Ok(())
}

/// The writer's own side.
struct Work {
    ledger: Ledger,
    connection: SqliteConnection,
    inbox: mpsc::Receiver<Queued>,
    events: mpsc::UnboundedSender<Event>,
    settings: Settings,
}

/// How long the last transaction took and when that was.
#[derive(Default)]
struct Pace {
    took: Duration,
    ended: Option<Instant>,
}

impl Pace {
    fn after(started: Instant) -> Pace {
        Pace {
            took: started.elapsed(),
            ended: Some(Instant::now()),
        }
    }

    /// How long to let commands gather: while one transaction follows the other, as long as one takes, so
    /// that what comes in the meantime shares a flush. Half of the time is then spent writing.
    fn wait(&self) -> Duration {
        let is_busy = self.ended.is_some_and(|ended| ended.elapsed() < self.took);
        if is_busy { self.took } else { Duration::ZERO }
    }
}

/// Commands of one transaction, and their shares of the memory until it is committed.
#[derive(Default)]
struct Batch {
    commands: Vec<Command>,
    shares: Vec<OwnedSemaphorePermit>,
}

impl Work {
    async fn run(mut self, store: SqliteStore) {
        let path = self.ledger.path.clone();
        let events = self.events.clone();
        let ended = match self.write_until_closed(&store).await {
            Ok(()) => self.close().await,
            Err(trouble) => {
                self.give_up().await;
                Err(trouble)
            }
        };
        let last = match ended {
            Ok(()) => Event::Closed,
            Err(Trouble::Sql(error)) => Event::Broken(StoreError::sql(&path)(error)),
            Err(Trouble::Store(error)) => Event::Broken(error),
        };
        // Whoever does not listen any more does not need to know.
        let _ = events.send(last);
    }

    /// Leaves everything as it is after a failure. Whoever hears of it can be sure that nothing is taken
    /// any more.
    async fn give_up(mut self) {
        self.inbox.close();
        // It has failed with the transaction, or there was none.
        let _ = sqlx::query("ROLLBACK").execute(&mut self.connection).await;
        // Closing the last connection would flush the log and move it into the database. After a flush that
        // failed, the next one may succeed without having written anything, so the connection stays open
        // until the process ends, and the next run decides by the log's checksums what is in it.
        std::mem::forget(self.connection);
    }

    async fn write_until_closed(&mut self, store: &SqliteStore) -> Result<(), Trouble> {
        let most = self.settings.batch_commands;
        let Settings {
            wal_bytes,
            wal_emptied_every,
            ..
        } = self.settings;
        let mut checkpointer = Checkpointer::new(store, wal_bytes, most, wal_emptied_every).await?;
        let identity = Identity::of(store.path());
        let mut batch = Batch::default();
        let mut pace = Pace::default();
        let mut is_closing = false;
        while !is_closing || !self.ledger.sweeps.is_empty() {
            if !is_closing {
                let until = checkpointer.next_emptying();
                is_closing = self.gather(&mut batch, until, &pace).await;
            }
            // A sweep alone writes as much as a full batch.
            let is_sweeping = !self.ledger.sweeps.is_empty();
            let commands = if is_sweeping {
                most
            } else {
                batch.commands.len()
            };
            let durability = &mut self.settings.durability;
            heed_durability(durability, &batch.commands, &mut self.connection).await?;
            let started = Instant::now();
            let events = commit(&mut self.ledger, &mut self.connection, &mut batch.commands);
            let events = events.await?;
            pace = Pace::after(started);
            let took_us = u64::try_from(pace.took.as_micros()).unwrap_or(u64::MAX);
            tracing::trace!(commands, took_us, "committed");
            identity.check()?;
            for event in events {
                let _ = self.events.send(event);
            }
            batch.shares.clear();
            checkpointer.tick(commands).await?;
            if self.ledger.heeded.others_are_at_it() {
                tokio::time::sleep(GAP).await;
            }
        }
        checkpointer.stop().await?;
        Ok(())
    }

    /// Takes the first command and what waits behind it; whether it is time to close. While there is a
    /// sweep to go on with, it waits for no command, and never longer than `until`.
    async fn gather(&mut self, batch: &mut Batch, until: Option<Instant>, pace: &Pace) -> bool {
        let first = if self.ledger.sweeps.is_empty() {
            let received = match until {
                None => Ok(self.inbox.recv().await),
                Some(at) => tokio::time::timeout_at(at.into(), self.inbox.recv()).await,
            };
            match received {
                Ok(command) => command.ok_or(TryRecvError::Disconnected),
                Err(_) => Err(TryRecvError::Empty),
            }
        } else {
            self.inbox.try_recv()
        };
        if first.as_ref().err() == Some(&TryRecvError::Disconnected) {
            return true;
        }
        let wait = pace.wait().min(self.settings.batch_time);
        let is_worth_it = first.is_ok() && self.inbox.len() < self.settings.batch_commands;
        if is_worth_it && !wait.is_zero() && self.ledger.sweeps.is_empty() {
            tokio::time::sleep(wait).await;
        }
        let started = Instant::now();
        let mut next = first.ok();
        while let Some(Queued { command, share }) = next {
            let is_close = matches!(command, Command::Close);
            batch.commands.push(command);
            batch.shares.extend(share);
            if is_close {
                self.inbox.close();
                return true;
            }
            let is_full = batch.commands.len() >= self.settings.batch_commands
                || started.elapsed() >= self.settings.batch_time;
            next = if is_full {
                None
            } else {
                self.inbox.try_recv().ok()
            };
        }
        false
    }

    async fn close(mut self) -> Result<(), Trouble> {
        self.ledger.segments.seal(&mut self.connection).await?;
        // What is still in flight was called off and not lost: the next run asks it again, and nobody
        // takes it for a request that kills processes.
        sqlx::query("DELETE FROM in_flight WHERE epoch = ?")
            .bind(self.ledger.epoch.0)
            .execute(&mut self.connection)
            .await?;
        sqlx::query("UPDATE runs SET ended_ms = ?, ending = 'closed' WHERE epoch = ?")
            .bind(now().0)
            .bind(self.ledger.epoch.0)
            .execute(&mut self.connection)
            .await?;
        close(self.connection).await?;
        self.ledger.segments.sign_off()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Access, Submission};

    #[tokio::test]
    async fn a_job_that_wants_every_commit_flushed_gets_it_whenever_it_is_opened() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("neap.db");
        let store = SqliteStore::open(&path, Access::Create).await.unwrap();
        let mut ids = Vec::new();
        for durability in [Durability::Normal, Durability::Full] {
            let mut job = crate::testing::job("shop");
            job.store.durability = durability;
            let urls = [CanonicalUrl::parse("http://a.example/").unwrap()];
            let submitted = store.submit(Submission { job: &job, urls }).await.unwrap();
            ids.push(submitted.job_id);
        }
        let mut connection = store.connect_writer(Durability::Normal).await.unwrap();
        let mut durability = Durability::Normal;
        for (job, expected) in [(ids[0], 1), (ids[1], 2), (ids[0], 2)] {
            let commands = [Command::Heed, Command::OpenJob(job)];
            heed_durability(&mut durability, &commands, &mut connection)
                .await
                .unwrap();
            let found: i64 = sqlx::query_scalar("PRAGMA synchronous")
                .fetch_one(&mut connection)
                .await
                .unwrap();
            assert_eq!(found, expected, "{job}");
        }
    }
}
