//! What comes of requests, as workers record it.

use std::time::Duration;

use neap_core::UnixMs;
use neap_core::classify::{Fault, Outcome};
use neap_core::exchange::Timings;
use neap_core::job::{Crawl, Job};
use neap_core::scope::ScopeKind;
use neap_core::verdict::Verdict;
use neap_store::{Attempt, Link, Page, Ready, Record, Redirect, RedirectVerdict};

use crate::rig::{NOW, url};

pub(crate) fn job(name: &str) -> Job {
    Job {
        crawl: Crawl {
            scope: ScopeKind::Host,
            ..Crawl::default()
        },
        ..Job::named(name)
    }
}

/// A page came.
pub(crate) fn done(row: &Ready) -> Record {
    answered(row, 200, Outcome::Success, Fault::Nobody)
}

/// A page came that links to these.
pub(crate) fn linking(row: &Ready, links: &[&str]) -> Record {
    let link = |text: &&str| link(text, row.depth + 1, 0);
    Record {
        links: links.iter().map(link).collect(),
        ..done(row)
    }
}

pub(crate) fn link(text: &str, depth: u32, priority: i32) -> Link {
    Link {
        url: url(text),
        depth,
        priority,
    }
}

/// A 502 came, and the request is asked again `after_ms` after [`NOW`].
pub(crate) fn retry(row: &Ready, after_ms: i64, is_charged: bool) -> Record {
    let mut record = failed(row);
    record.attempt.is_charged = is_charged;
    record.verdict = Verdict::Retry {
        after: Duration::from_millis(1),
        is_charged,
    };
    record.due = Some(UnixMs(NOW.0 + after_ms));
    record
}

/// A 502 came, and the request is given up.
pub(crate) fn failed(row: &Ready) -> Record {
    Record {
        verdict: Verdict::Failed,
        page: None,
        ..answered(row, 502, Outcome::Overload, Fault::Host)
    }
}

pub(crate) fn redirect(row: &Ready, to: &str, verdict: RedirectVerdict) -> Record {
    Record {
        redirect: Some(Redirect {
            url: url(to),
            verdict,
        }),
        ..answered(row, 302, Outcome::Redirect, Fault::Nobody)
    }
}

fn answered(row: &Ready, status: u16, outcome: Outcome, fault: Fault) -> Record {
    Record {
        request: row.request,
        job: row.job,
        host: row.host,
        attempt: Attempt {
            number: row.next_attempt(),
            started: NOW,
            timings: Timings::default(),
            status: Some(status),
            outcome,
            cause: (status >= 400).then(|| format!("http_{status}")),
            fault,
            attribution: None,
            egress: None,
            connect_status: None,
            error: None,
            is_charged: true,
            backoff: None,
            body_bytes: 5,
            limit: 4.0,
            in_flight: 1,
        },
        verdict: Verdict::Done,
        due: None,
        page: Some(Page {
            status,
            content_type: None,
            body_bytes: 5,
            fetched: NOW,
            about: None,
        }),
        segment: None,
        links: Vec::new(),
        anchors: Vec::new(),
        skipped_links: Vec::new(),
        redirect: None,
    }
}
