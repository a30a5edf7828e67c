//! Which door does a host go through?
//!
//! Its own, unless a job that asks it keeps its limits by domain: then all hosts of the domain that take
//! part go through the door of the one that came first, whichever jobs ask them. From then on they share
//! it as long as any of them is remembered. A host that already has requests in flight changes doors once
//! they are home, so that no limit is exceeded meanwhile.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::Hasher;
use super::door::{Demand, Door, DoorId};
use super::work::Hold;
use crate::ids::HostId;
use crate::time::{Time, UnixMs};

/// All doors, and which of them hosts of one domain share.
#[derive(Debug, Default)]
pub(super) struct Doors {
    doors: HashMap<DoorId, Door, Hasher>,
    domains: HashMap<Arc<str>, Domain, Hasher>,
    /// Doors whose turns are to try again at a time, each once.
    timers: BTreeSet<(Time, DoorId)>,
}

/// Hosts of one registrable domain.
#[derive(Debug, Default)]
struct Domain {
    hosts: BTreeSet<HostId>,
    /// The door that all of them go through.
    shared: Option<DoorId>,
}

impl Doors {
    pub(super) fn get(&self, id: DoorId) -> Option<&Door> {
        self.doors.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: DoorId) -> Option<&mut Door> {
        self.doors.get_mut(&id)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (DoorId, &mut Door)> {
        self.doors.iter_mut().map(|(id, door)| (*id, door))
    }

    // ---- who goes through which -----------------------------------------------------------------

    /// The door of a host that was just loaded.
    pub(super) fn admit(
        &mut self,
        host: HostId,
        domain: &Arc<str>,
        demand: Demand,
        (now, unix_now): (Time, UnixMs),
    ) -> DoorId {
        let of_domain = self.domains.entry(Arc::clone(domain)).or_default();
        of_domain.hosts.insert(host);
        let id = of_domain.shared.unwrap_or(DoorId(host));
        let door = self.doors.entry(id);
        let door = door.or_insert_with(|| Door::new(demand, now, unix_now));
        door.hosts.insert(host);
        door.tighten(demand);
        id
    }

    /// From now on the hosts of a domain share one door, the first one's. Returns the doors that give way
    /// to it.
    pub(super) fn share(&mut self, domain: &str, first: DoorId) -> Vec<DoorId> {
        let Some(of_domain) = self.domains.get_mut(domain) else {
            return Vec::new();
        };
        if of_domain.shared.is_some() {
            return Vec::new();
        }
        of_domain.shared = Some(first);
        let others = of_domain.hosts.iter().map(|host| DoorId(*host));
        let others: Vec<DoorId> = others.filter(|door| *door != first).collect();
        for other in &others {
            if let Some(door) = self.doors.get_mut(other) {
                door.gives_way_to = Some(first);
            }
        }
        others
    }

    /// Lets a door go that gives way to another, if nothing is in flight behind it. Returns it, for what
    /// waits there.
    pub(super) fn retire(&mut self, id: DoorId) -> Option<(DoorId, Door)> {
        let door = self.doors.get(&id)?;
        let heir_id = door
            .gives_way_to
            .filter(|_| door.limiter.in_flight() == 0)?;
        let door = self.doors.remove(&id)?;
        if let Some((at, _)) = door.timer {
            self.timers.remove(&(at, id));
        }
        let heir = self.doors.get_mut(&heir_id)?;
        heir.take_over(&door);
        Some((heir_id, door))
    }

    /// Forgets a host, and its door with it if that was the last one behind it.
    pub(super) fn forget(&mut self, host: HostId, domain: &str, id: DoorId) {
        let mut has_heirs = false;
        if let Some(of_domain) = self.domains.get_mut(domain) {
            of_domain.hosts.remove(&host);
            let is_empty = of_domain.hosts.is_empty();
            // Hosts of the domain may still be about to come through it.
            has_heirs = !is_empty && of_domain.shared == Some(id);
            if is_empty {
                self.domains.remove(domain);
            }
        }
        if let Some(door) = self.doors.get_mut(&id) {
            door.hosts.remove(&host);
            if door.hosts.is_empty() && !has_heirs {
                self.doors.remove(&id);
            }
        }
    }

    // ---- timers ---------------------------------------------------------------------------------

    /// Has the turns that wait for a door try again at a time, if they do not earlier.
    pub(super) fn wake_at(&mut self, id: DoorId, at: Time, hold: Hold) {
        let Some(door) = self.doors.get_mut(&id) else {
            return;
        };
        if door.timer.is_some_and(|(set, _)| set <= at) {
            return;
        }
        if let Some((later, _)) = door.timer.replace((at, hold)) {
            self.timers.remove(&(later, id));
        }
        self.timers.insert((at, id));
    }

    /// The next door whose time has come.
    pub(super) fn pop_due(&mut self, now: Time) -> Option<DoorId> {
        let (at, id) = self.timers.first().copied().filter(|(at, _)| *at <= now)?;
        self.timers.remove(&(at, id));
        if let Some(door) = self.doors.get_mut(&id) {
            door.timer = None;
        }
        Some(id)
    }

    /// The next time at which a door is to be tried again, and why not now.
    pub(super) fn next_timer(&self) -> Option<(Time, DoorId, Hold)> {
        let (at, id) = self.timers.first().copied()?;
        let (_, hold) = self.doors.get(&id)?.timer?;
        Some((at, id, hold))
    }

    #[cfg(test)]
    pub(super) fn timer_count(&self) -> usize {
        self.timers.len()
    }
}
