//! Which of a job's URLs is asked for first?
//!
//! Each request has a [`priority`](crate::scheduler::Position::priority), lower sooner:
//!
//! ```text
//!  -5         what a page is shown with, so that pages are complete before there are more of them
//!  -4 .. -1   sitemaps, an index before those it names: most is found by them
//!   0         input URLs
//!   3 .. 17   pages that a sitemap lists: as links of depth 1, sooner if the sitemap says that they matter
//!             or changed of late
//!  10 d       links of depth d, so that a crawl is breadth first
//! ```
//!
//! Where a job wants depth first, links of depth d have 10 (1,000,000 - d), and what a sitemap lists stands around
//! those of depth 1.
//!
//! That a request was asked for as a sitemap or as part of a page is told by its priority and by nothing else, so it
//! needs no column, and its redirects and retries keep it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Which links are followed first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// Those nearest to the input.
    #[default]
    Breadth,
    /// Those farthest from it: a branch of the site is done before the next begins.
    Depth,
}

/// What one link more from the input counts.
const STEP: i32 = 10;

/// A depth that no link counts for where the deepest go first: those of two less and more are all the same.
const BOTTOM: u32 = 1_000_000;

/// What a page is shown with.
const REQUISITE: i32 = -5;

/// How much a sitemap's word on importance counts at most: half a step, so that its least important pages
/// stand between the links of the input and theirs.
const IMPORTANCE: f32 = 5.0;

/// Below an index lie sitemaps, and those are not indexes, says the protocol; some are. So many indexes
/// may lie above a sitemap.
pub const MAX_INDEXES: u8 = 3;

/// How many indexes name a sitemap one below the other; 0 to [`MAX_INDEXES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Level(u8);

impl Level {
    /// A sitemap that the job file, a robots file or a page names.
    pub const TOP: Level = Level(0);

    /// Of a sitemap that one of this level names; `None` if it lies too deep to be asked for.
    pub fn below(self) -> Option<Level> {
        (self.0 < MAX_INDEXES).then_some(Level(self.0 + 1))
    }
}

/// The priority of a link of depth 1 or more.
pub fn of_link(order: Order, depth: u32) -> i32 {
    let steps = match order {
        Order::Breadth => depth,
        Order::Depth => BOTTOM - depth.min(BOTTOM - 2),
    };
    i32::try_from(steps)
        .unwrap_or(i32::MAX)
        .saturating_mul(STEP)
}

/// The priority of something that a page is shown with.
pub fn of_requisite() -> i32 {
    REQUISITE
}

/// Whether a request with this priority was asked for since a page is shown with it.
pub fn is_requisite(priority: i32) -> bool {
    priority == REQUISITE
}

/// The priority of a sitemap.
pub fn of_sitemap(level: Level) -> i32 {
    i32::from(level.0) - i32::from(MAX_INDEXES) - 1
}

/// The level of a request with this priority; `None` if it was not asked for as a sitemap.
pub fn level(priority: i32) -> Option<Level> {
    let level = u8::try_from(priority + i32::from(MAX_INDEXES) + 1).ok()?;
    (level <= MAX_INDEXES).then_some(Level(level))
}

/// The priority of a page that a sitemap lists.
///
/// `importance` is what the sitemap says, 0 to 1, by default the protocol's 0.5. `age` is how long ago the
/// page changed, as the sitemap says.
pub fn of_listed(order: Order, importance: Option<f32>, age: Option<Duration>) -> i32 {
    let importance = importance.unwrap_or(0.5).clamp(0.0, 1.0);
    #[expect(clippy::cast_possible_truncation, reason = "a number from -5 to 5")]
    let by_importance = (IMPORTANCE - 2.0 * IMPORTANCE * importance).round() as i32;
    let days = age.map(|age| age.as_secs() / (24 * 3600));
    // Old pages are there tomorrow; new ones are what a site tells of by its sitemap.
    let by_age = match days {
        Some(0) => -2,
        Some(1..=7) => -1,
        Some(8..=365) | None => 0,
        Some(366..=1826) => 1,
        Some(1827..) => 2,
    };
    of_link(order, 1) + by_importance + by_age
}

#[cfg(test)]
mod tests {
    use super::*;

    fn days(days: u64) -> Option<Duration> {
        Some(Duration::from_secs(days * 24 * 3600))
    }

    #[test]
    fn a_sitemap_is_known_by_its_priority_and_goes_first() {
        let mut level = Some(Level::TOP);
        let mut found = Vec::new();
        while let Some(at) = level {
            assert_eq!(super::level(of_sitemap(at)), Some(at));
            found.push(of_sitemap(at));
            level = at.below();
        }
        assert_eq!(found, [-4, -3, -2, -1]);
        let link = of_link(Order::Breadth, 1);
        for other in [i32::MIN + 4, of_requisite(), 0, 1, link, i32::MAX - 4] {
            assert_eq!(super::level(other), None, "{other}");
        }
    }

    #[test]
    fn what_belongs_to_a_page_is_known_by_its_priority() {
        assert!(is_requisite(of_requisite()));
        assert!(!is_requisite(of_sitemap(Level::TOP)) && !is_requisite(0));
    }

    #[test]
    fn links_go_depth_first_if_a_job_wants_that() {
        let link = |depth| of_link(Order::Depth, depth);
        let listed = |importance| of_listed(Order::Depth, Some(importance), None);
        assert!(link(1) > link(2) && link(2) > link(1000) && link(1000) > link(BOTTOM - 2));
        assert!(link(u32::MAX) > of_listed(Order::Breadth, Some(0.0), days(2000)));
        assert!(link(2) < listed(1.0) && listed(1.0) < link(1) && link(1) < listed(0.0));
    }

    #[test]
    fn links_go_breadth_first_and_listed_pages_by_what_is_said_of_them() {
        let link = |depth| of_link(Order::Breadth, depth);
        assert_eq!([0, 1, 2].map(link), [0, 10, 20]);
        assert_eq!(link(u32::MAX), i32::MAX);
        for (importance, age, expected) in [
            (None, None, 10),
            (Some(0.5), None, 10),
            (Some(1.0), None, 5),
            (Some(0.8), None, 7),
            (Some(0.0), None, 15),
            (Some(1.0), days(0), 3),
            (None, days(1), 9),
            (None, days(8), 10),
            (None, days(400), 11),
            (Some(0.0), days(2000), 17),
        ] {
            assert_eq!(
                of_listed(Order::Breadth, importance, age),
                expected,
                "{importance:?} {age:?}"
            );
        }
    }
}
