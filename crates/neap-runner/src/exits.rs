//! By which way does a job's request go out?
//!
//! The core knows proxies by number; here a number becomes what a connection is made with, and a name for
//! people and SQL. A proxy that is no longer listed keeps its entry for what is still under way.

use std::sync::{Arc, PoisonError, RwLock};

use neap_core::egress::ProxyId;
use neap_fetch::Egress;
use neap_store::EgressName;

/// One way out.
#[derive(Debug)]
pub(crate) struct Exit {
    /// What the connection is made with.
    pub(crate) egress: Egress,
    /// What it is called.
    pub(crate) name: EgressName,
}

/// The ways of one job, by their numbers.
#[derive(Debug, Default)]
pub(crate) struct Exits(RwLock<Vec<Arc<Exit>>>);

impl Exits {
    /// The members of a pool have these numbers.
    pub(crate) fn set(&self, pool: &Arc<str>, numbers: &[ProxyId], members: &[Egress]) {
        let mut exits = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for (number, egress) in std::iter::zip(numbers, members) {
            let exit = || {
                Arc::new(Exit {
                    egress: egress.clone(),
                    name: EgressName {
                        pool: Arc::clone(pool),
                        proxy: egress.name().into(),
                    },
                })
            };
            match exits.get_mut(number.index()) {
                Some(known) => *known = exit(),
                None => {
                    // Numbers are given in order, so that the next one is all that can be missing.
                    debug_assert_eq!(exits.len(), number.index());
                    exits.push(exit());
                }
            }
        }
    }

    /// The way of a number.
    pub(crate) fn of(&self, number: ProxyId) -> Arc<Exit> {
        let exits = self.0.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&exits[number.index()])
    }
}
