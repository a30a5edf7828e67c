//! A store that is a few maps.
//!
//! Nothing of it survives the process: what a run that dies leaves behind is what is in the maps when its
//! lock is dropped. It can lend the partitions to several runs at a time, and be told to do one thing wrong.

mod session;
mod world;

use std::sync::{Arc, Mutex, MutexGuard};

use neap_core::job::Job;
use neap_core::{Epoch, JobId, UnixMs};
use neap_store::{
    InputRow, JobRow, Partition, Run, Settings, Steering, Store, StoreError, Submitted,
};

use crate::faults::Fault;
use crate::rig::Kind;
pub(crate) use session::MemorySession;
use world::World;

/// A store for one run at a time, which owns everything.
pub(crate) struct Memory(MemoryStore);

/// A store that gives each run half of the partitions at most.
pub(crate) struct Halves(MemoryStore);

#[derive(Clone)]
pub(crate) struct MemoryStore {
    world: Arc<Mutex<World>>,
}

impl Memory {
    pub(crate) fn with(fault: impl Into<Option<Fault>>) -> Memory {
        Memory(MemoryStore::new(Partition::COUNT, fault.into()))
    }
}

impl Halves {
    pub(crate) fn with(fault: impl Into<Option<Fault>>) -> Halves {
        Halves(MemoryStore::new(Partition::COUNT / 2, fault.into()))
    }
}

impl Kind for Memory {
    type Store = MemoryStore;

    async fn make() -> Memory {
        Memory::with(None)
    }

    fn store(&self) -> &MemoryStore {
        &self.0
    }
}

impl Kind for Halves {
    type Store = MemoryStore;

    async fn make() -> Halves {
        Halves::with(None)
    }

    fn store(&self) -> &MemoryStore {
        &self.0
    }
}

impl MemoryStore {
    fn new(most_partitions: u16, fault: Option<Fault>) -> MemoryStore {
        MemoryStore {
            world: Arc::new(Mutex::new(World::new(most_partitions, fault))),
        }
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world
            .lock()
            .expect("a batch that panics ends its test")
    }
}

impl Store for MemoryStore {
    type Lock = Arc<()>;
    type Session = MemorySession;

    async fn lock(&self, _now: UnixMs) -> Result<Arc<()>, StoreError> {
        self.world().lock_run()
    }

    async fn submit_rows(&self, job: &Job, rows: &[InputRow]) -> Result<Submitted, StoreError> {
        Ok(self.world().submit(job, rows))
    }

    async fn unfinished(&self) -> Result<Vec<JobRow>, StoreError> {
        Ok(self.world().unfinished())
    }

    async fn steer(&self, job: JobId, wish: Steering) -> Result<bool, StoreError> {
        Ok(self.world().steer(job, wish))
    }

    async fn begin(
        &self,
        lock: &Arc<()>,
        _now: UnixMs,
        is_for_all: bool,
    ) -> Result<Run, StoreError> {
        let (epoch, recovered) = self.world().begin(lock);
        Ok(Run {
            epoch: Epoch(epoch),
            is_for_all,
            recovered,
        })
    }

    async fn session(&self, run: &Run, _settings: Settings) -> Result<MemorySession, StoreError> {
        Ok(MemorySession::new(self.clone(), run))
    }
}
