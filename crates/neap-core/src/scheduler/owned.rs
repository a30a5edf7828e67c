//! Which requests does the scheduler hold, so that the store's answers must not bring them twice?
//!
//! The store is read while it is written, and its answers come in no certain order: a read may show a
//! request as it was before it was dispatched, and a request that failed may be ready again before
//! word of its record came. The scheduler cannot tell the two apart, so a request that is seen while
//! it is dispatched is looked up once more after its record was committed.

use std::collections::HashMap;

use super::Hasher;
use super::work::{Position, Ready};
use crate::ids::{HostId, JobId, RequestId};

/// Requests that are in memory, dispatched, or recorded but not yet committed.
#[derive(Debug, Default)]
pub(super) struct Owned(HashMap<RequestId, Owning, Hasher>);

#[derive(Debug)]
struct Owning {
    job: JobId,
    host: HostId,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    InMemory,
    Dispatched { seen_at: Option<Position> },
}

impl Owned {
    /// Takes a request into memory, if it is not held already.
    pub(super) fn take(&mut self, row: &Ready) -> bool {
        let mut is_new = false;
        let owning = self.0.entry(row.request).or_insert_with(|| {
            is_new = true;
            Owning {
                job: row.job,
                host: row.host,
                stage: Stage::InMemory,
            }
        });
        match &mut owning.stage {
            Stage::InMemory => {}
            Stage::Dispatched { seen_at } => {
                *seen_at = Some(seen_at.map_or(row.position, |p| p.min(row.position)));
            }
        }
        is_new
    }

    pub(super) fn dispatch(&mut self, request: RequestId) {
        if let Some(owning) = self.0.get_mut(&request) {
            owning.stage = Stage::Dispatched { seen_at: None };
        }
    }

    /// The lane of a request that was dispatched.
    pub(super) fn dispatched(&self, request: RequestId) -> Option<(JobId, HostId)> {
        let owning = self.0.get(&request)?;
        match owning.stage {
            Stage::InMemory => None,
            Stage::Dispatched { .. } => Some((owning.job, owning.host)),
        }
    }

    /// Lets a request go. Returns where it has to be looked up once more, if it was seen meanwhile.
    pub(super) fn release(&mut self, request: RequestId) -> Option<(JobId, HostId, Position)> {
        let owning = self.0.remove(&request)?;
        match owning.stage {
            Stage::InMemory => None,
            Stage::Dispatched { seen_at } => Some((owning.job, owning.host, seen_at?)),
        }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
