//! What does a page say about where to go next?
//!
//! Every link is held against the scope: those inside become requests, those outside are told to the
//! store with the reason. A redirect is a link of its own kind, held against the scope and the number
//! of redirects before it. What a sitemap or feed lists counts as links, too, see [`crate::sitemaps`].

use neap_core::classify::{Judgement, Outcome};
use neap_core::exchange::{Answer, Exchange};
use neap_core::order;
use neap_core::scheduler::Ready;
use neap_core::scope::SkipReason;
use neap_core::{CanonicalUrl, UnixMs};
use neap_fetch::BodyLimit;
use neap_parse::content_type::{charset, is_html};
use neap_parse::sitemap;
use neap_store::{Link, Redirect, RedirectVerdict};

use crate::jobs::JobContext;
use crate::sitemaps;

/// Where an answer leads.
#[derive(Debug, Default)]
pub(crate) struct Leads {
    pub(crate) links: Vec<Link>,
    pub(crate) skipped: Vec<(CanonicalUrl, SkipReason)>,
    pub(crate) redirect: Option<Redirect>,
    /// The answer redirects to something that can never be asked for.
    pub(crate) bad_location: Option<String>,
}

/// How much is read of an answer.
pub(crate) fn limit(request: &Ready) -> BodyLimit {
    match order::level(request.position.priority) {
        Some(_) => BodyLimit::AtLeast(sitemap::MAX_BYTES as u64),
        None => BodyLimit::MaxBody,
    }
}

/// Reads where an answer leads; `now` tells how old is what a sitemap dates.
pub(crate) fn leads(
    job: &JobContext,
    request: &Ready,
    exchange: &Exchange,
    judgement: &Judgement,
    now: UnixMs,
) -> Leads {
    let Ok(answer) = &exchange.result else {
        return Leads::default();
    };
    match judgement.outcome {
        Outcome::Redirect => redirect(job, request, answer),
        Outcome::Success => match sitemaps::listed(job, request, answer, now) {
            Some(leads) => leads,
            None => links(job, request, answer),
        },
        Outcome::Gone
        | Outcome::Refused
        | Outcome::ClientError
        | Outcome::RateLimited
        | Outcome::Overload
        | Outcome::ServerError
        | Outcome::Transient
        | Outcome::Permanent
        | Outcome::Internal => Leads::default(),
    }
}

fn links(job: &JobContext, request: &Ready, answer: &Answer) -> Leads {
    let content_type = answer.header("content-type");
    if !job.scope.follows_links() || !is_html(content_type, &answer.body) {
        return Leads::default();
    }
    let page = neap_parse::links(
        &answer.body,
        content_type.and_then(charset),
        request.url.url(),
    );
    let depth = request.depth.saturating_add(1);
    let priority = order::of_link(depth);
    let mut leads = Leads::default();
    for url in page.links {
        match job.scope.admits(&url, depth) {
            Ok(()) => leads.links.push(Link {
                url,
                depth,
                priority,
            }),
            Err(reason) => leads.skipped.push((url, reason)),
        }
    }
    leads
}

fn redirect(job: &JobContext, request: &Ready, answer: &Answer) -> Leads {
    let location = answer
        .headers
        .get(http::header::LOCATION)
        .map_or(&b""[..], |l| l.as_bytes());
    // Browsers read the header as UTF-8 where it is, whatever the standard says.
    let location = String::from_utf8_lossy(location);
    let url = match CanonicalUrl::join(request.url.url(), &location) {
        Ok(url) => url,
        Err(why) => {
            let bad_location = Some(format!("redirects to {location:.200}: {why}"));
            return Leads {
                bad_location,
                ..Leads::default()
            };
        }
    };
    let admitted = match order::level(request.position.priority) {
        Some(_) => job.scope.admits_sitemap(&url, request.url.url()),
        None => job.scope.admits_redirect(&url),
    };
    let verdict = match admitted {
        Ok(()) if request.hops >= job.job.request.redirects => RedirectVerdict::TooMany,
        Ok(()) => RedirectVerdict::Follow,
        Err(reason) => RedirectVerdict::Refused(reason),
    };
    Leads {
        redirect: Some(Redirect { url, verdict }),
        ..Leads::default()
    }
}
