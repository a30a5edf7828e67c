//! Which pages do sitemaps and feeds bring, and which sitemaps are asked for?
//!
//! Those of the job file, those that the robots file of a host within the scope names, wherever they are,
//! and those of their indexes are asked for as sitemaps, which is told by their priority
//! ([`neap_core::order`]). Any other answer that turns out to be one is read as well, if the job follows
//! links. They are requests like all others: robots files, limits and retries hold for them, and each is
//! a row.
//!
//! What they list is held against the scope. A sitemap that a page links to may list its own site
//! alone, as sitemaps.org has it. Who names one in a robots file vouches for it: such a sitemap may be
//! on another host than its pages. Which of several hosts named it is not kept, so that the scope alone
//! decides.

use neap_core::exchange::Answer;
use neap_core::order::{self, Level};
use neap_core::scheduler::Ready;
use neap_core::scope::SkipReason;
use neap_core::{Host, UnixMs};
use neap_parse::robots;
use neap_parse::sitemap::{self, Entry, Kind, Sitemap};
use neap_store::{Link, RobotsAnswer};
use tracing::debug;

use crate::jobs::JobContext;
use crate::reading::Leads;

/// Where a sitemap or feed leads; `None` if the answer is none, or if the job reads none.
pub(crate) fn listed(
    job: &JobContext,
    request: &Ready,
    answer: &Answer,
    now: UnixMs,
) -> Option<Leads> {
    let level = order::level(request.position.priority);
    if level.is_none() && !job.takes_sitemaps() {
        return None;
    }
    let page = request.url.url();
    let sitemap = sitemap::read(&answer.body, page, level.is_some())?;
    let Sitemap {
        kind,
        entries,
        unusable,
        was_cut,
    } = sitemap;
    debug!(url = %request.url, ?kind, entries = entries.len(), unusable, was_cut, "read a sitemap");
    // A feed tells of pages as a page does, so it may tell of any.
    let may_list_any = level.is_some() || matches!(kind, Kind::Rss | Kind::Atom);
    let mut leads = Leads::default();
    for mut entry in entries {
        if kind != Kind::Index {
            entry.url = job.followed(entry.url);
        }
        let placed = match kind {
            Kind::Index => below(job, request, level.unwrap_or(Level::TOP), &entry),
            Kind::Pages | Kind::Text | Kind::Rss | Kind::Atom => {
                let is_foreign = !job.scope.is_same_site(entry.url.url(), page);
                match is_foreign && !may_list_any {
                    true => Err(SkipReason::ForeignSitemap),
                    false => page_of(job, request, level, &entry, now),
                }
            }
        };
        match placed {
            Ok((depth, priority)) => leads.links.push(Link {
                url: entry.url,
                depth,
                priority,
            }),
            Err(reason) => leads.skipped.push((entry.url, reason)),
        }
    }
    Some(leads)
}

/// Depth and priority of a sitemap that an index names.
fn below(
    job: &JobContext,
    index: &Ready,
    level: Level,
    entry: &Entry,
) -> Result<(u32, i32), SkipReason> {
    job.scope.admits_sitemap(&entry.url, index.url.url())?;
    let level = level.below().ok_or(SkipReason::NestedSitemap)?;
    Ok((index.depth, order::of_sitemap(level)))
}

/// Depth and priority of a page that a sitemap lists. One that was asked for as a sitemap is as far from the
/// input as what named it says; one that was found as a page is a link before those that it lists.
fn page_of(
    job: &JobContext,
    sitemap: &Ready,
    level: Option<Level>,
    entry: &Entry,
    now: UnixMs,
) -> Result<(u32, i32), SkipReason> {
    let depth = sitemap.depth.saturating_add(u32::from(level.is_none()));
    job.scope.admits_listed(&entry.url, depth)?;
    let age = entry.modified.map(|modified| now.since(modified));
    let order = job.job.crawl.order;
    Ok((depth, order::of_listed(order, entry.priority, age)))
}

/// The sitemaps that a robots file names, as far as a job asks for them.
pub(crate) fn named(job: &JobContext, host: &Host, answer: &RobotsAnswer) -> Vec<Link> {
    let Some(body) = &answer.body else {
        return Vec::new();
    };
    if !(job.takes_sitemaps()
        && job.terms(host).obeys_robots()
        && job.scope.takes_sitemaps_of(host))
    {
        return Vec::new();
    }
    let urls = robots::sitemaps(body, &host.robots_url()).into_iter();
    let urls = urls.filter(|url| job.scope.admits_named(url).is_ok());
    urls.map(|url| Link {
        url,
        depth: 1,
        priority: order::of_sitemap(Level::TOP),
    })
    .collect()
}
