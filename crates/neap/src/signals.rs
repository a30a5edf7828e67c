//! What happens on Ctrl-C?
//!
//! The first SIGINT or SIGTERM drains the run, the second aborts it; a submission ends with the first. Should even that hang, on a disk
//! that does not answer for instance, the process ends after [`LAST_RESORT`]: what is recorded is safe
//! at any moment, so nothing is lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use neap_runner::{Stop, Stopper};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::exit::{self, Exit};

/// How long an aborted run may take to close its store.
const LAST_RESORT: Duration = Duration::from_secs(2);

/// Which signal came last.
#[derive(Debug, Clone, Default)]
pub(crate) struct LastSignal {
    was_term: Arc<AtomicBool>,
}

impl LastSignal {
    /// The exit code of a run that was aborted by it.
    pub(crate) fn exit(&self) -> Exit {
        if self.was_term.load(Ordering::Relaxed) {
            exit::ABORTED_TERM
        } else {
            exit::ABORTED_INT
        }
    }
}

/// SIGINT and SIGTERM from the moment on at which it is made: none is lost between two who take them.
#[derive(Debug)]
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Listens from now on.
    ///
    /// # Errors
    /// The operating system does not let us.
    pub(crate) fn listen() -> std::io::Result<Signals> {
        Ok(Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// The next of them, as the exit code of who is ended by it.
    pub(crate) async fn next(&mut self) -> Exit {
        tokio::select! {
            _ = self.interrupt.recv() => exit::ABORTED_INT,
            _ = self.terminate.recv() => exit::ABORTED_TERM,
        }
    }
}

/// Lets a write beyond the limit on the size of files (`ulimit -f`) fail, where its signal would end the process
/// without a word.
///
/// # Errors
/// The operating system does not let us.
pub(crate) fn survive_file_size_limit() -> std::io::Result<()> {
    /// SIGXFSZ, on Linux but for MIPS and on the BSDs.
    const FILE_SIZE_EXCEEDED: i32 = 25;
    // The handler stays when who listens is gone.
    signal(SignalKind::from_raw(FILE_SIZE_EXCEEDED)).map(drop)
}

/// Lets signals stop a run from now on.
pub(crate) fn stop_on_signals(
    mut signals: Signals,
    stopper: Stopper,
    grace: Duration,
) -> LastSignal {
    let last = LastSignal::default();
    let heard = last.clone();
    tokio::spawn(async move {
        loop {
            let was_term = signals.next().await == exit::ABORTED_TERM;
            heard.was_term.store(was_term, Ordering::Relaxed);
            match stopper.next() {
                Stop::No => {}
                Stop::Drain => say!(
                    "stopping: no new requests; those in flight get up to {grace:?}. \
                     Again to abort; nothing is lost either way."
                ),
                Stop::Abort => {
                    say!("aborting: requests in flight will be asked again by the next run.");
                    let exit = heard.exit();
                    tokio::spawn(async move {
                        tokio::time::sleep(LAST_RESORT).await;
                        std::process::exit(i32::from(exit.code));
                    });
                }
            }
        }
    });
    last
}
