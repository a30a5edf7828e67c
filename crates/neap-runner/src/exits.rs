//! By which way does a job's request go out?
//!
//! The core knows proxies by number; here a number becomes what a connection is made with, and a name for
//! people and SQL. A proxy that is no longer listed keeps its entry for what is still under way.

use std::sync::{Arc, Mutex, PoisonError, RwLock};

use neap_core::attribution::{Attribution, Evidence, Fault, attribute, plainly_whole};
use neap_core::egress::{Party, ProxyId, Stamps};
use neap_core::exchange::FailureKind;
use neap_core::{CanonicalUrl, Exchange};
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

/// The ways of one job.
#[derive(Debug, Default)]
pub(crate) struct Exits {
    /// By their numbers.
    ways: RwLock<Vec<Arc<Exit>>>,
    /// What proxies leave on what they relay.
    stamps: Mutex<Stamps>,
}

impl Exits {
    /// The members of a pool have these numbers.
    pub(crate) fn set(&self, pool: &Arc<str>, numbers: &[ProxyId], members: &[Egress]) {
        let mut exits = self.ways.write().unwrap_or_else(PoisonError::into_inner);
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
        let exits = self.ways.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&exits[number.index()])
    }

    /// Who is to blame for an exchange, by itself and by what is known of the way that it took; `number` is
    /// `None` without pools.
    pub(crate) fn attribute(
        &self,
        number: Option<ProxyId>,
        url: &CanonicalUrl,
        exchange: &Exchange,
    ) -> Attribution {
        let Some(number) = number else {
            // Why a good page is good is nothing that anybody asks.
            let plain = plainly_whole(exchange);
            return plain.unwrap_or_else(|| attribute(&Evidence::from(exchange)));
        };
        let mut evidence = Evidence::from(exchange);
        let lock = || self.stamps.lock().unwrap_or_else(PoisonError::into_inner);
        lock().apply(number, exchange, &mut evidence);
        let attribution = attribute(&evidence);
        if attribution.fault == Fault::Nobody || has_bad_certificate(exchange) {
            lock().learn(number, Party::of(&url.host()), exchange);
        }
        attribution
    }
}

fn has_bad_certificate(exchange: &Exchange) -> bool {
    let failure = exchange.result.as_ref().err();
    failure.is_some_and(|failure| failure.kind == FailureKind::TlsCertificate)
}
