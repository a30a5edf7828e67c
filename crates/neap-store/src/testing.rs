//! What is a job that the tests of this crate's insides submit?

use neap_core::job::{Crawl, Job};
use neap_core::scope::ScopeKind;

/// A job of this name that asks for nothing unusual.
pub(crate) fn job(name: &str) -> Job {
    Job {
        crawl: Crawl {
            scope: ScopeKind::Host,
            ..Default::default()
        },
        ..Job::named(name)
    }
}
