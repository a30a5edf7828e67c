//! How does a run end before its work does?
//!
//! In two steps, as people know it from other tools: the first request to stop lets what is in flight
//! come home, the second ends at once. Nothing is lost either way.

use tokio::sync::watch;

/// How far a run is to be stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Stop {
    /// Not at all.
    #[default]
    No,
    /// Nothing new goes out; what is in flight comes home.
    Drain,
    /// What is in flight is dropped and will be asked again by the next run.
    Abort,
}

/// Stops a run, from anywhere.
#[derive(Debug, Clone)]
pub struct Stopper(watch::Sender<Stop>);

impl Default for Stopper {
    fn default() -> Stopper {
        Stopper(watch::Sender::new(Stop::No))
    }
}

impl Stopper {
    /// Goes one step further: from running to draining, from draining to aborting.
    pub fn next(&self) -> Stop {
        self.0.send_modify(|stop| {
            *stop = match stop {
                Stop::No => Stop::Drain,
                Stop::Drain | Stop::Abort => Stop::Abort,
            };
        });
        *self.0.borrow()
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Stop> {
        self.0.subscribe()
    }
}
