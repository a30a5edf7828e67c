//! Reads: links from HTML, sitemaps, robots.txt, dates in headers.
//!
//! Pure functions from bytes to values: no IO, no clock, no async. Every input comes from a stranger,
//! so nothing here panics, recurses by the depth of its input, or takes more than linear time, and
//! every limit is a documented constant.
//!
//! - [`content_type`]: is a body HTML, and in which charset does its server say it is?
//! - [`mod@links`]: where does a page lead?
//! - [`robots`]: may a crawler ask for a URL, and at what pace?
//! - [`sitemap`]: which pages does a site list itself?
//! - [`dates`]: how long does a server ask to wait, and when did a page change?

mod charset;
pub mod content_type;
pub mod dates;
pub mod links;
pub mod robots;
pub mod sitemap;
mod tags;

pub use links::{PageLinks, links};
pub use robots::Robots;
