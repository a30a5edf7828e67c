//! What does a page say of itself and about where to go next?
//!
//! Every link is held against the scope and what the page asks of crawlers: what may be followed becomes
//! a request, the rest is told to the store with the reason. A redirect is a link of its own kind, held against the scope and the number
//! of redirects before it. What a sitemap or feed lists counts as links, too, see [`crate::sitemaps`].

use std::collections::HashSet;

use neap_core::classify::{Judgement, Outcome};
use neap_core::exchange::{Answer, Exchange};
use neap_core::order;
use neap_core::scheduler::Ready;
use neap_core::scope::SkipReason;
use neap_core::{CanonicalUrl, UnixMs};
use neap_fetch::BodyLimit;
use neap_parse::content_type::{charset, is_html};
use neap_parse::{Directives, PageLink, PageLinks, Wanted, sitemap};
use neap_store::{About, Anchor, AnchorTarget, Link, Redirect, RedirectVerdict};

use tracing::warn;

use crate::jobs::JobContext;
use crate::sitemaps;

/// Where an answer leads.
#[derive(Debug, Default)]
pub(crate) struct Leads {
    pub(crate) links: Vec<Link>,
    pub(crate) skipped: Vec<(CanonicalUrl, SkipReason)>,
    /// What the links say.
    pub(crate) anchors: Vec<Anchor>,
    /// What an HTML page says of itself.
    pub(crate) about: Option<Box<About>>,
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
        Outcome::Redirect => redirect(job, request, answer, now),
        Outcome::Success => match sitemaps::listed(job, request, answer, now) {
            Some(leads) => leads,
            None => page(job, request, answer, now),
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

/// What an HTML page says of itself, and its links.
fn page(job: &JobContext, request: &Ready, answer: &Answer, now: UnixMs) -> Leads {
    let content_type = answer.header("content-type");
    if !is_html(content_type, &answer.body) {
        return Leads::default();
    }
    let terms = job.terms(&request.url.host());
    // What a page is shown with is no page, unless it would be one anyway.
    let is_page = !order::is_requisite(request.position.priority)
        || job.scope.admits(&request.url, request.depth).is_ok();
    let wanted = Wanted {
        links: is_page && job.scope.follows_links(),
        requisites: is_page && job.scope.wants_requisites(),
    };
    let page = neap_parse::page(
        &answer.body,
        content_type.and_then(charset),
        request.url.url(),
        &terms.product_token,
        wanted,
    );
    let mut directives = page.directives;
    for value in answer.headers.get_all("x-robots-tag") {
        directives.add_header(
            &String::from_utf8_lossy(value.as_bytes()),
            &terms.product_token,
        );
    }
    if let Some(simhash) = page.simhash
        && job.watch().saw(&request.url, simhash)
    {
        tell_of_trap(job, request);
    }
    let mut leads = links(job, request, page.links, directives, now);
    if wanted.requisites {
        requisites(job, request, page.requisites, now, &mut leads);
    }
    leads.about = Some(Box::new(About {
        title: page.title,
        h1: page.h1,
        description: page.description,
        language: page.language,
        canonical: page.canonical,
        is_noindex: directives.no_index,
        simhash: page.simhash,
    }));
    leads
}

fn tell_of_trap(job: &JobContext, request: &Ready) {
    let (url, job) = (&request.url, &job.job.name);
    warn!(%url, job, "pages of this part of the site say nothing new; new ones are left alone");
}

fn links(
    job: &JobContext,
    request: &Ready,
    found: PageLinks,
    directives: Directives,
    now: UnixMs,
) -> Leads {
    let depth = request.depth.saturating_add(1);
    let priority = order::of_link(job.job.crawl.order, depth);
    let heeds_nofollow = job.job.crawl.nofollow;
    let keeps_anchors = job.job.store.links;
    let mut leads = Leads::default();
    for PageLink {
        url,
        anchor,
        is_nofollow,
    } in found.links
    {
        let is_nofollow = is_nofollow || directives.no_follow;
        let url = job.followed(url);
        // What is out of scope is so whatever the page asks.
        let admitted = job.scope.admits(&url, depth);
        let admitted = admitted.and(match is_nofollow && heeds_nofollow {
            true => Err(SkipReason::NoFollow),
            false => Ok(()),
        });
        // What nobody asks for is no variant.
        let admitted = admitted
            .and_then(|()| job.job.crawl.traps.admits(&url, now))
            .and_then(|()| job.watch().admits(&url));
        let target = match admitted {
            Ok(()) => {
                leads.links.push(Link {
                    url,
                    depth,
                    priority,
                });
                AnchorTarget::AskedFor(leads.links.len() - 1)
            }
            Err(reason) => {
                leads.skipped.push((url, reason));
                AnchorTarget::Skipped(leads.skipped.len() - 1)
            }
        };
        if keeps_anchors {
            leads.anchors.push(Anchor {
                target,
                text: anchor,
                is_nofollow,
            });
        }
    }
    leads
}

/// Adds what a page is shown with to where it leads. It is part of the page: what the page asks of crawlers that
/// follow its links does not hold for it.
fn requisites(job: &JobContext, page: &Ready, found: PageLinks, now: UnixMs, leads: &mut Leads) {
    let linked: HashSet<&CanonicalUrl> = leads.links.iter().map(|link| &link.url).collect();
    let (mut links, mut skipped) = (Vec::new(), Vec::new());
    let found = found.links.into_iter().map(|found| found.url);
    for url in found.filter(|url| !linked.contains(url)) {
        let admitted = job.scope.admits_requisite(&url, page.url.url());
        match admitted.and_then(|()| job.job.crawl.traps.admits(&url, now)) {
            Ok(()) => links.push(Link {
                url,
                depth: page.depth.saturating_add(1),
                priority: order::of_requisite(),
            }),
            Err(reason) => skipped.push((url, reason)),
        }
    }
    leads.links.extend(links);
    leads.skipped.extend(skipped);
}

fn redirect(job: &JobContext, request: &Ready, answer: &Answer, now: UnixMs) -> Leads {
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
    // One redirect after the other that leads on is no site's habit.
    if request.hops >= 2 && job.scope.follows_links() && job.watch().was_led_on(&request.url) {
        tell_of_trap(job, request);
    }
    let priority = request.position.priority;
    let admitted = match order::level(priority) {
        Some(_) => job.scope.admits_sitemap(&url, request.url.url()),
        None if order::is_requisite(priority) => {
            job.scope.admits_requisite(&url, request.url.url())
        }
        None => job.scope.admits_redirect(&url),
    };
    let most = job.terms(&request.url.host()).request.redirects;
    // Who lists a URL wants its answer wherever it moved.
    let admitted = match job.scope.follows_links() {
        true => admitted.and_then(|()| job.job.crawl.traps.admits(&url, now)),
        false => admitted,
    };
    let verdict = match admitted {
        Ok(()) if request.hops >= most => RedirectVerdict::TooMany,
        Ok(()) => RedirectVerdict::Follow,
        Err(reason) => RedirectVerdict::Refused(reason),
    };
    Leads {
        redirect: Some(Redirect { url, verdict }),
        ..Leads::default()
    }
}
