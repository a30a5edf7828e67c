//! Reads: links from HTML, sitemaps, robots.txt, dates in headers.
//!
//! Pure functions from bytes to values: no IO, no clock, no async. Every input comes from a stranger,
//! so nothing here panics, recurses by the depth of its input, or takes more than linear time, and
//! every limit is a documented constant.
//!
//! - [`content_type`]: is a body HTML, and in which charset does its server say it is?
//! - [`mod@page`]: what does a page say of itself, and where does it lead?
//! - [`mod@links`]: which of its elements are links?
//! - [`directives`]: what does a page ask of crawlers?
//! - [`robots`]: may a crawler ask for a URL, and at what pace?
//! - [`sitemap`]: which pages does a site list itself?
//! - [`cookies`]: what does a `Set-Cookie` say, and what does a file of cookies?
//! - [`dates`]: how long does a server ask to wait, and when did a page change?

mod charset;
pub mod content_type;
pub mod cookies;
pub mod dates;
pub mod directives;
pub mod links;
pub mod page;
pub mod robots;
mod simhash;
pub mod sitemap;
mod srcset;
mod tags;

pub use directives::Directives;
pub use links::{PageLink, PageLinks};
pub use page::{Page, Wanted, page};
pub use robots::Robots;
