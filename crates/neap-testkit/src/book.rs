//! What has the site been asked so far, and who waits to see it?
//!
//! Counters and log stand under one lock. Only the site's thread writes; tests read, or sleep on the
//! condition variable until what they wait for has happened.

use std::fmt;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::task::Poll;
use std::time::{Duration, Instant};

use crate::asked::{Asked, End};

/// How many of the last requests a [`TimedOut`] shows.
const SHOWN_ON_TIMEOUT: usize = 10;

/// The counters and the log of one site.
pub(crate) struct Book {
    started: Instant,
    keeps_log: bool,
    /// Who is told of each request that has ended.
    listener: Option<Listener>,
    page: Mutex<Page>,
    changed: Condvar,
}

/// Is told of each request that has ended.
pub(crate) type Listener = Arc<dyn Fn(&Asked) + Send + Sync>;

/// What the lock protects.
#[derive(Default)]
struct Page {
    /// Requests over the site's life; the order number of the last.
    asked: u64,
    /// Order number of the first request counted since the last clearing.
    first: u64,
    log: Vec<Asked>,
    answered: u64,
    in_flight: usize,
    max_in_flight: usize,
    accepted: u64,
    connections: usize,
    max_connections: usize,
    malformed: u64,
    failed_handshakes: u64,
    /// Threads asleep on the condition variable: with none, waking is saved.
    waiting: usize,
}

/// What was waited for did not happen in time.
#[derive(Debug)]
pub struct TimedOut {
    /// How long was waited.
    pub waited: Duration,
    /// Requests that arrived since the log was last cleared.
    pub asked: u64,
    /// Requests answered completely since the log was last cleared.
    pub answered: u64,
    /// The last few lines of the log; empty without a log.
    pub last: Vec<Asked>,
}

impl fmt::Display for TimedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "not seen within {:?}: the site was asked {} times and answered {}; last:",
            self.waited, self.asked, self.answered
        )?;
        for asked in &self.last {
            write!(
                f,
                "\n  #{} {}us {} {} -> {:?} {:?}",
                asked.order, asked.micros, asked.method, asked.target, asked.status, asked.end
            )?;
        }
        Ok(())
    }
}

impl std::error::Error for TimedOut {}

impl Book {
    pub(crate) fn new(keeps_log: bool, listener: Option<Listener>) -> Book {
        let page = Page {
            first: 1,
            ..Page::default()
        };
        Book {
            started: Instant::now(),
            keeps_log,
            listener,
            page: Mutex::new(page),
            changed: Condvar::new(),
        }
    }

    /// Notes the arrival of a request: fills in its order, time and load, and counts it as in flight
    /// until the returned ticket is handed back or dropped.
    pub(crate) fn arrive(self: &Arc<Self>, asked: &mut Asked) -> Ticket {
        asked.micros = self.micros();
        let mut page = self.lock();
        page.asked += 1;
        page.in_flight += 1;
        page.max_in_flight = page.max_in_flight.max(page.in_flight);
        asked.order = page.asked;
        asked.in_flight = page.in_flight;
        if self.keeps_log {
            page.log.push(asked.clone());
        }
        self.wake(&page);
        Ticket {
            book: Arc::clone(self),
            order: asked.order,
            told: self.listener.as_ref().map(|_| Box::new(asked.clone())),
            status: None,
            sent: 0,
            is_open: true,
        }
    }

    /// Notes an accepted connection and gives it its number.
    pub(crate) fn connect(self: &Arc<Self>) -> Connected {
        let mut page = self.lock();
        page.accepted += 1;
        page.connections += 1;
        page.max_connections = page.max_connections.max(page.connections);
        self.wake(&page);
        Connected {
            book: Arc::clone(self),
            number: page.accepted,
        }
    }

    /// Counts bytes that were no request.
    pub(crate) fn note_malformed(&self) {
        let mut page = self.lock();
        page.malformed += 1;
        self.wake(&page);
    }

    /// Counts a TLS handshake that came to nothing.
    pub(crate) fn note_failed_handshake(&self) {
        let mut page = self.lock();
        page.failed_handshakes += 1;
        self.wake(&page);
    }

    pub(crate) fn failed_handshakes(&self) -> u64 {
        self.lock().failed_handshakes
    }

    pub(crate) fn malformed(&self) -> u64 {
        self.lock().malformed
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.lock().in_flight
    }

    pub(crate) fn max_in_flight(&self) -> usize {
        self.lock().max_in_flight
    }

    pub(crate) fn connections(&self) -> usize {
        self.lock().connections
    }

    pub(crate) fn max_connections(&self) -> usize {
        self.lock().max_connections
    }

    pub(crate) fn accepted(&self) -> u64 {
        self.lock().accepted
    }

    pub(crate) fn asked(&self) -> u64 {
        self.lock().asked_since_clearing()
    }

    pub(crate) fn answered(&self) -> u64 {
        self.lock().answered
    }

    pub(crate) fn log(&self) -> Vec<Asked> {
        self.require_log();
        self.lock().log.clone()
    }

    pub(crate) fn count(&self, path: &str) -> usize {
        self.require_log();
        self.lock()
            .log
            .iter()
            .filter(|asked| asked.is_for(path))
            .count()
    }

    /// Forgets the log and lets all counters start anew from what is in flight and connected now.
    pub(crate) fn clear(&self) {
        let mut page = self.lock();
        page.log.clear();
        page.first = page.asked + 1;
        page.answered = 0;
        page.max_in_flight = page.in_flight;
        page.max_connections = page.connections;
        page.malformed = 0;
        page.failed_handshakes = 0;
    }

    pub(crate) fn wait_log(
        &self,
        mut is_seen: impl FnMut(&[Asked]) -> bool,
        timeout: Duration,
    ) -> Result<(), TimedOut> {
        self.require_log();
        self.wait(|page| is_seen(&page.log), timeout)
    }

    pub(crate) fn wait_answered(&self, n: u64, timeout: Duration) -> Result<(), TimedOut> {
        self.wait(|page| page.answered >= n, timeout)
    }

    pub(crate) fn wait_in_flight(&self, n: usize, timeout: Duration) -> Result<(), TimedOut> {
        self.wait(|page| page.in_flight == n, timeout)
    }

    pub(crate) fn wait_connections(&self, n: usize, timeout: Duration) -> Result<(), TimedOut> {
        self.wait(|page| page.connections == n, timeout)
    }

    fn wait(
        &self,
        mut is_seen: impl FnMut(&Page) -> bool,
        timeout: Duration,
    ) -> Result<(), TimedOut> {
        let began = Instant::now();
        let mut page = self.lock();
        while !is_seen(&page) {
            let Some(left) = timeout
                .checked_sub(began.elapsed())
                .filter(|left| !left.is_zero())
            else {
                return Err(page.timed_out(timeout));
            };
            page.waiting += 1;
            page = self
                .changed
                .wait_timeout(page, left)
                .unwrap_or_else(|poisoned| poisoned.into_inner())
                .0;
            page.waiting -= 1;
        }
        Ok(())
    }

    fn micros(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// The page, also if a condition passed to [`Book::wait_log`] panicked under the lock: it only
    /// reads, so the page is whole.
    fn lock(&self) -> MutexGuard<'_, Page> {
        self.page
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn wake(&self, page: &Page) {
        if page.waiting > 0 {
            self.changed.notify_all();
        }
    }

    /// A log that is not kept would make every claim about it true.
    fn require_log(&self) {
        assert!(
            self.keeps_log,
            "this site was built without_log(): it only counts"
        );
    }
}

impl Page {
    fn asked_since_clearing(&self) -> u64 {
        self.asked + 1 - self.first
    }

    fn end(&mut self, order: u64, status: Option<u16>, sent: u64, end: End) {
        self.in_flight -= 1;
        if let Some(asked) = self.line(order) {
            asked.status = status;
            asked.sent = sent;
            asked.end = end;
        }
        match end {
            End::Answered(_) if order >= self.first => self.answered += 1,
            End::Answered(_) | End::Pending | End::ClientLeft(_) | End::Abandoned => {}
        }
    }

    /// The log's line of this order number, unless it was cleared or is not kept.
    fn line(&mut self, order: u64) -> Option<&mut Asked> {
        let index = usize::try_from(order.checked_sub(self.first)?).ok()?;
        self.log.get_mut(index)
    }

    fn timed_out(&self, waited: Duration) -> TimedOut {
        let shown = self.log.len().saturating_sub(SHOWN_ON_TIMEOUT);
        TimedOut {
            waited,
            asked: self.asked_since_clearing(),
            answered: self.answered,
            last: self.log[shown..].to_vec(),
        }
    }
}

/// One request in flight.
pub(crate) struct Ticket {
    book: Arc<Book>,
    order: u64,
    /// For whom it is told when it ends.
    told: Option<Box<Asked>>,
    status: Option<u16>,
    sent: u64,
    is_open: bool,
}

impl Ticket {
    /// Notes the status that is about to be sent.
    pub(crate) fn choose(&mut self, status: Option<u16>) {
        self.status = status;
        if let Some(asked) = self.book.lock().line(self.order) {
            asked.status = status;
        }
    }

    /// Counts bytes of the answer that were written before the last.
    pub(crate) fn sent(&mut self, bytes: usize) {
        self.sent += bytes as u64;
    }

    /// Does the write of the last `left` bytes, and if it takes them all, ends the request as
    /// answered before anyone can look: who has read a whole answer finds it counted.
    pub(crate) fn last_write(
        &mut self,
        left: usize,
        write: impl FnOnce() -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let mut page = self.book.lock();
        let written = write();
        if let Poll::Ready(Ok(n)) = written {
            self.sent += n as u64;
            if n == left {
                self.is_open = false;
                let end = End::Answered(self.book.micros());
                page.end(self.order, self.status, self.sent, end);
                self.book.wake(&page);
                drop(page);
                self.tell(end);
            }
        }
        written
    }

    /// Ends the request, unless its last write did: all of its answer was given.
    pub(crate) fn answered(mut self) {
        self.close(End::Answered(self.book.micros()));
    }

    /// Ends the request, unless its last write did: the client was gone first.
    pub(crate) fn client_left(mut self) {
        self.close(End::ClientLeft(self.book.micros()));
    }

    fn close(&mut self, end: End) {
        if !std::mem::replace(&mut self.is_open, false) {
            return;
        }
        let mut page = self.book.lock();
        page.end(self.order, self.status, self.sent, end);
        self.book.wake(&page);
        drop(page);
        self.tell(end);
    }

    /// Tells who listens how it ended.
    fn tell(&mut self, end: End) {
        if let (Some(listener), Some(mut asked)) = (&self.book.listener, self.told.take()) {
            asked.status = self.status;
            asked.sent = self.sent;
            asked.end = end;
            listener(&asked);
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.close(End::Abandoned);
    }
}

/// One open connection.
pub(crate) struct Connected {
    book: Arc<Book>,
    /// Its number, counted from 1.
    pub(crate) number: u64,
}

impl Drop for Connected {
    fn drop(&mut self) {
        let mut page = self.book.lock();
        page.connections -= 1;
        self.book.wake(&page);
    }
}
