//! Which request may have crashed the process, and when is it tried alone?
//!
//! A request that was in flight at several crashes is not buffered with the others: it waits until
//! nothing else is in flight, and nothing else starts before it is back. A suspect whose host is held
//! lets the others go on until then.

use std::collections::VecDeque;

use super::Scheduler;
use super::work::{Dispatch, Ready};
use crate::egress::Pass;
use crate::limiter::Gate;
use crate::time::Time;

/// Requests that may crash the process.
#[derive(Debug, Default)]
pub(super) struct Suspects {
    waiting: VecDeque<Suspect>,
    /// One of them is in flight.
    pub(super) is_out: bool,
}

#[derive(Debug)]
struct Suspect {
    row: Ready,
    /// Its host is held until then.
    not_before: Time,
}

/// What a suspect wants of the scheduler.
pub(super) enum Stage {
    /// Nothing: there is none that could go now.
    Free,
    /// One waits for everything else to come home.
    IsToBeCleared,
    /// One goes, alone.
    Taken(Dispatch),
}

impl Suspects {
    pub(super) fn push(&mut self, row: Ready) {
        self.waiting.push_back(Suspect {
            row,
            not_before: Time::ZERO,
        });
    }

    pub(super) fn any(&self, wanted: impl Fn(&Ready) -> bool) -> bool {
        self.waiting.iter().any(|suspect| wanted(&suspect.row))
    }
}

impl Scheduler {
    pub(super) fn poll_suspect(&mut self, now: Time) -> Stage {
        for _ in 0..self.suspects.waiting.len() {
            let Some(mut suspect) = self.suspects.waiting.pop_front() else {
                break;
            };
            let host = suspect.row.host;
            match self.suspect_gate(&suspect, now) {
                Some(Gate::Open) if self.busy == 0 => return self.send_alone(suspect.row, now),
                // What is in flight comes home first, a request to the same host like any other.
                Some(Gate::Open | Gate::Full) if self.busy > 0 => {
                    self.suspects.waiting.push_front(suspect);
                    return Stage::IsToBeCleared;
                }
                Some(Gate::Until(at)) => {
                    suspect.not_before = at;
                    self.wake_at(host, at, now);
                }
                Some(Gate::Open | Gate::Full) | None => {}
            }
            self.suspects.waiting.push_back(suspect);
        }
        Stage::Free
    }

    /// Whether a suspect could start; `None` if its job wants no more pages, or has no way out any more.
    fn suspect_gate(&mut self, suspect: &Suspect, now: Time) -> Option<Gate> {
        let row = &suspect.row;
        self.jobs
            .get(&row.job)
            .filter(|entry| entry.pages.has_room())?;
        if now < suspect.not_before {
            return Some(Gate::Until(suspect.not_before));
        }
        match self.way(row.job, Some(row.request), row.host, now) {
            Pass::Open => {}
            Pass::Full => return Some(Gate::Full),
            Pass::Until(at) => return Some(Gate::Until(at)),
            Pass::Never => return None,
        }
        let is_busy = self.busy > 0;
        let (_, door) = self.door_mut(row.host)?;
        // The politeness right is taken only by what starts at once.
        Some(if is_busy {
            door.peek(now)
        } else {
            door.gate(now)
        })
    }

    fn send_alone(&mut self, row: Ready, now: Time) -> Stage {
        self.suspects.is_out = true;
        match self.start(row, true, now) {
            Some(dispatch) => Stage::Taken(dispatch),
            None => Stage::Free,
        }
    }

    /// Forgets suspects of which nothing is wanted any more.
    pub(super) fn drop_suspects(&mut self, is_dropped: impl Fn(&Ready) -> bool) {
        let (dropped, kept) = std::mem::take(&mut self.suspects.waiting)
            .into_iter()
            .partition::<VecDeque<_>, _>(|suspect| is_dropped(&suspect.row));
        self.suspects.waiting = kept;
        self.buffered -= dropped.len();
        for suspect in dropped {
            self.owned.release(suspect.row.request);
        }
    }
}
