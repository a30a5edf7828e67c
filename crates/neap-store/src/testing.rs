//! What is a job that the tests of this crate's insides submit?

use neap_core::job::{Crawl, Job};
use neap_core::scope::ScopeKind;

/// A job of this name that asks for nothing unusual.
pub(crate) fn job(name: &str) -> Job {
    Job {
        name: name.to_owned(),
        description: String::new(),
        input: Default::default(),
        crawl: Crawl {
            scope: ScopeKind::Host,
            ..Default::default()
        },
        identity: Default::default(),
        request: Default::default(),
        limits: Default::default(),
        retry: Default::default(),
        robots: Default::default(),
        adaptive: Default::default(),
        store: Default::default(),
        expect: Default::default(),
    }
}
