//! Who writes?
//!
//! One thread, from the start of a run to its end. It takes what waits, does it in one transaction, makes it
//! durable and then says so: under load the batches grow and each flush to disk serves hundreds of
//! pages, idle each command is committed at once. It is never aborted, so no transaction is cut off
//! half way; it ends with [`Command::Close`], when every handle is gone, or when it cannot write.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use neap_core::exchange::Exchange;
use neap_core::job::Durability;
use neap_core::{CanonicalUrl, UnixMs};
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::batch::{Command, Event};
use crate::segments::{Originals, Records, pack};
use crate::store::{Session, Store};
use crate::{Run, StoreError};

/// Commands that wait at most; who sends more waits as well, so that memory stays bounded.
const QUEUE: usize = 4096;

/// KiB of bodies and links that wait or are being written, over all commands: 64 MiB, the bodies of some
/// 8,000 pages compressed or of one that is as large as they come. A command that is larger than all of it
/// goes alone.
const QUEUED_KIB: u32 = 64 << 10;

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
    pub async fn spawn<S: Store>(
        store: &S,
        run: &Run,
        settings: Settings,
    ) -> Result<(WriterHandle, mpsc::UnboundedReceiver<Event>), StoreError> {
        let session = store.session(run, settings).await?;
        let originals = session.originals();
        let (commands, inbox) = mpsc::channel(QUEUE);
        let (events, outbox) = mpsc::unbounded_channel();
        let of_thread = || StoreError::io(Path::new("thread"));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .map_err(of_thread())?;
        let work = move || {
            let work = Work {
                session,
                inbox,
                events,
                settings,
            };
            runtime.block_on(work.run());
        };
        let thread = std::thread::Builder::new()
            .name("neap-writer".to_owned())
            .spawn(work)
            .map_err(of_thread())?;
        let handle = WriterHandle {
            commands,
            memory: Arc::new(Semaphore::new(QUEUED_KIB as usize)),
            originals,
            thread: Arc::new(Mutex::new(Some(thread))),
        };
        Ok((handle, outbox))
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

/// The writer's own side.
struct Work<S> {
    session: S,
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

impl<S: Session> Work<S> {
    async fn run(mut self) {
        let events = self.events.clone();
        let ended = match self.write_until_closed().await {
            Ok(()) => self.session.close().await,
            Err(error) => {
                // Whoever hears of it can be sure that nothing is taken any more.
                self.inbox.close();
                self.session.abandon().await;
                Err(error)
            }
        };
        // Whoever does not listen any more does not need to know.
        let _ = events.send(ended.map_or_else(Event::Broken, |()| Event::Closed));
    }

    async fn write_until_closed(&mut self) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        let mut pace = Pace::default();
        let mut is_closing = false;
        while !is_closing || self.session.has_rest() {
            if !is_closing {
                let until = self.session.next_look();
                is_closing = self.gather(&mut batch, until, &pace).await;
            }
            // What is left of earlier commands writes as much as a full batch.
            let commands = if self.session.has_rest() {
                self.settings.batch_commands
            } else {
                batch.commands.len()
            };
            let started = Instant::now();
            let events = self.session.commit(&mut batch.commands).await?;
            pace = Pace::after(started);
            let took_us = u64::try_from(pace.took.as_micros()).unwrap_or(u64::MAX);
            tracing::trace!(commands, took_us, "committed");
            for event in events {
                let _ = self.events.send(event);
            }
            batch.shares.clear();
            self.session.look_after(commands).await?;
            let gap = self.session.gap(Instant::now());
            if !gap.is_zero() {
                tokio::time::sleep(gap).await;
            }
        }
        Ok(())
    }

    /// Takes the first command and what waits behind it; whether it is time to close. While there is a
    /// rest to go on with, it waits for no command, and never longer than `until`.
    async fn gather(&mut self, batch: &mut Batch, until: Option<Instant>, pace: &Pace) -> bool {
        let first = if self.session.has_rest() {
            self.inbox.try_recv()
        } else {
            let received = match until {
                None => Ok(self.inbox.recv().await),
                Some(at) => tokio::time::timeout_at(at.into(), self.inbox.recv()).await,
            };
            match received {
                Ok(command) => command.ok_or(TryRecvError::Disconnected),
                Err(_) => Err(TryRecvError::Empty),
            }
        };
        if first.as_ref().err() == Some(&TryRecvError::Disconnected) {
            return true;
        }
        let wait = pace.wait().min(self.settings.batch_time);
        let is_worth_it = first.is_ok() && self.inbox.len() < self.settings.batch_commands;
        if is_worth_it && !wait.is_zero() && !self.session.has_rest() {
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
}
