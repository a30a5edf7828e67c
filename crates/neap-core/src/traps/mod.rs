//! Is a link one of a site's without end?
//!
//! Calendars, filters that can be combined, sessions in URLs, relative links that grow, servers that answer anything with
//! one page: a crawler that follows them never ends. Some show in the URL alone ([`Traps::admits`]), others only in
//! what was found so far ([`Watch`]). Each guard has a bound in the job file and a reason of its own in `skipped`.
//!
//! | guard | against | in |
//! | --- | --- | --- |
//! | a URL that is too long | whatever grows | `shape` |
//! | a segment that comes again and again | relative links that grow | `shape` |
//! | a month far ahead | calendars | `shape` |
//! | session ids are left out | sessions in URLs | [`crate::params::without_session`] |
//! | many queries made of few values | filters that can be combined | `variants` |
//! | a part of a site whose pages say the same | calendars that go back, sessions, soft 404s | `alike` |
//!
//! Redirects to ever new URLs end by `request.redirects`.

mod alike;
mod shape;
mod variants;

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};

use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher13;
use url::Url;

use crate::canonical::CanonicalUrl;
use crate::scope::SkipReason;
use crate::time::UnixMs;
use alike::Alike;
use variants::Variants;

/// `crawl.traps`: when a link is held for one of a site's without end. Input URLs never are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Traps {
    /// Longest URL of a link, in bytes; 100 to 16,384. Default: 2,000, as sitemaps.org has 2,048 and Internet Explorer
    /// took no more.
    pub max_url_length: u32,
    /// How often one segment may stand in a path; 1 to 100. Default: 3. Nutch's filter refuses the third.
    pub max_repeated_segments: u32,
    /// Different queries of one path whose parameters have hardly any values (one in 25 of the queries, or fewer);
    /// 10 to 100,000. Default: 500.
    pub max_query_variants: u32,
    /// Years from now in which a calendar in the URL may be; 0 to 8,000. Default: 2.
    pub max_years_ahead: u32,
    /// Pages of one part of a site that say what another of them said, before new pages of it are left alone, if nine
    /// in ten do; 10 to 1,000,000. Default: 500.
    pub max_near_duplicates: u32,
    /// How many of 63 bits of their simhash may differ between pages that say the same; 0 to 16. Default: 3 (Manku, Jain
    /// and Das Sarma, Detecting Near-Duplicates for Web Crawling, 2007).
    pub simhash_distance: u32,
    /// Whether links are followed without the session ids in them. Default: yes.
    pub session_ids: bool,
}

impl Default for Traps {
    fn default() -> Traps {
        Traps {
            max_url_length: 2_000,
            max_repeated_segments: 3,
            max_query_variants: 500,
            max_years_ahead: 2,
            max_near_duplicates: 500,
            simhash_distance: 3,
            session_ids: true,
        }
    }
}

impl Traps {
    /// Whether a link is asked for as far as its URL tells, at this moment.
    ///
    /// # Errors
    /// The reason why it is not.
    pub fn admits(&self, url: &CanonicalUrl, now: UnixMs) -> Result<(), SkipReason> {
        if url.as_str().len() > self.max_url_length as usize {
            return Err(SkipReason::LongUrl);
        }
        if shape::most_repeated(url.url()) > self.max_repeated_segments as usize {
            return Err(SkipReason::RepeatingPath);
        }
        let last = year(now) + i64::from(self.max_years_ahead);
        match shape::year_of_calendar(url.url()) {
            Some(found) if i64::from(found) > last => Err(SkipReason::FarDate),
            Some(_) | None => Ok(()),
        }
    }
}

/// The year at a moment, to a day: the mean year of the Gregorian calendar has 365.2425 days.
fn year(now: UnixMs) -> i64 {
    1970 + now.0 / 31_556_952_000
}

/// Parts of sites, and paths with queries, that are watched at most; others go unwatched.
const MOST_WATCHED: usize = 4_096;

/// Queries and values that are kept of all paths together, some 20 MB.
const MOST_KEPT: usize = 1_000_000;

/// Stands for what a redirect says: no simhash, which has 63 bits.
const LED_ON: u64 = u64::MAX;

/// What was found so far, of one job in one run. What is beyond its bounds goes unwatched.
#[derive(Debug)]
pub struct Watch {
    traps: Traps,
    /// Makes hashes that no site can foresee.
    key: u64,
    paths: BTreeMap<u64, Variants>,
    /// What is kept of all paths, in queries and values.
    kept: usize,
    parts: BTreeMap<u64, Alike>,
    /// Whether any part is held for a trap, so that nearly always nothing else is looked at.
    has_trap: bool,
}

impl Watch {
    /// Nothing was found yet. `key` is a number that sites do not know.
    pub fn new(traps: Traps, key: u64) -> Watch {
        Watch {
            traps,
            key,
            paths: BTreeMap::new(),
            kept: 0,
            parts: BTreeMap::new(),
            has_trap: false,
        }
    }

    /// Whether a link that was found is asked for, by what was found before; it counts as found.
    ///
    /// # Errors
    /// The reason why it is not.
    pub fn admits(&mut self, url: &CanonicalUrl) -> Result<(), SkipReason> {
        self.still_admits(url)?;
        let Some(query) = url.url().query() else {
            return Ok(());
        };
        let key = self.hash(&(url.host().as_str(), url.url().path()));
        let hash = |text: &str| fold(hash(self.key, text));
        if self.paths.len() >= MOST_WATCHED && !self.paths.contains_key(&key) {
            return Ok(());
        }
        let variants = self.paths.entry(key).or_default();
        let before = variants.kept();
        let most = self.traps.max_query_variants as usize;
        let is_admitted = variants.admits(query, most, self.kept < MOST_KEPT, hash);
        self.kept = self.kept + variants.kept() - before;
        match is_admitted {
            true => Ok(()),
            false => Err(SkipReason::QueryVariants),
        }
    }

    /// Whether a URL that was found earlier is still asked for, by what was found since.
    ///
    /// # Errors
    /// The reason why it is not.
    pub fn still_admits(&self, url: &CanonicalUrl) -> Result<(), SkipReason> {
        let is_trap = |key: &u64| self.parts.get(key).is_some_and(Alike::is_trap);
        match self.has_trap && self.parts_of(url.url()).iter().any(is_trap) {
            true => Err(SkipReason::NearDuplicates),
            false => Ok(()),
        }
    }

    /// A page was read; `simhash` is that of its text. Says whether a part of its site is held for a trap from now on.
    pub fn saw(&mut self, url: &CanonicalUrl, simhash: u64) -> bool {
        let mut is_news = false;
        for key in self.parts_of(url.url()) {
            if self.parts.len() >= MOST_WATCHED && !self.parts.contains_key(&key) {
                continue;
            }
            let part = self.parts.entry(key).or_default();
            is_news |= part.saw(simhash, &self.traps);
        }
        self.has_trap |= is_news;
        is_news
    }

    /// A URL was itself redirected to, more than once, and redirects again: it brought nothing either. Says what
    /// [`Watch::saw`] says.
    pub fn was_led_on(&mut self, url: &CanonicalUrl) -> bool {
        self.saw(url, LED_ON)
    }

    /// The parts of its site that a URL belongs to, the largest first.
    fn parts_of(&self, url: &Url) -> Vec<u64> {
        let host = url.origin().ascii_serialization();
        let parts = shape::parts(url);
        parts.iter().map(|part| self.hash(&(&host, part))).collect()
    }

    fn hash(&self, what: &impl Hash) -> u64 {
        hash(self.key, what)
    }
}

fn hash(key: u64, what: impl Hash) -> u64 {
    let mut hasher = SipHasher13::new_with_keys(key, !key);
    what.hash(&mut hasher);
    hasher.finish()
}

/// The half of a hash that is kept where many are.
fn fold(hash: u64) -> u32 {
    (hash ^ (hash >> 32)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The 30th of November.
    const IN_2026: UnixMs = UnixMs(1_796_000_000_000);

    fn url(text: &str) -> CanonicalUrl {
        CanonicalUrl::parse(text).unwrap()
    }

    #[test]
    fn the_year_of_a_moment() {
        for (ms, expected) in [(0, 1970), (IN_2026.0, 2026), (1_799_000_000_000, 2027)] {
            assert_eq!(year(UnixMs(ms)), expected);
        }
    }

    #[test]
    fn what_urls_show_by_themselves() {
        let traps = Traps::default();
        let long = format!("http://a.example/{}", "x".repeat(2_000));
        for (link, found) in [
            ("http://a.example/one/two/three", Ok(())),
            (long.as_str(), Err(SkipReason::LongUrl)),
            ("http://a.example/a/b/a/b/a/b/", Ok(())),
            (
                "http://a.example/a/b/a/b/a/b/a",
                Err(SkipReason::RepeatingPath),
            ),
            ("http://a.example/blog/2028/12", Ok(())),
            ("http://a.example/blog/2029/01", Err(SkipReason::FarDate)),
            ("http://a.example/blog/1929/01", Ok(())),
        ] {
            assert_eq!(traps.admits(&url(link), IN_2026), found, "{link}");
        }
        let wide = Traps {
            max_url_length: 16_384,
            max_repeated_segments: 100,
            max_years_ahead: 8_000,
            ..traps
        };
        for link in [
            long.as_str(),
            "http://a.example/a/a/a/a/a/",
            "http://a.example/2149/12",
        ] {
            assert_eq!(wide.admits(&url(link), IN_2026), Ok(()), "{link}");
        }
    }

    #[test]
    fn filters_that_can_be_combined_end_and_pages_with_numbers_do_not() {
        let mut watch = Watch::new(Traps::default(), 7);
        let facet = |n: u32| {
            let named: Vec<String> = (0..20)
                .filter(|bit| n >> bit & 1 == 1)
                .map(|bit| format!("f{bit}=on"))
                .collect();
            url(&format!("http://a.example/shop?{}", named.join("&")))
        };
        let admitted = (1..5_000)
            .filter(|n| watch.admits(&facet(*n)).is_ok())
            .count();
        assert_eq!(admitted, 500);
        assert_eq!(watch.admits(&facet(3)), Ok(()), "it was admitted before");
        assert_eq!(watch.admits(&facet(4_999)), Err(SkipReason::QueryVariants));
        for n in 0..5_000 {
            let topic = format!(
                "http://a.example/topic.php?f={}&t={}&start={}",
                n % 7,
                n / 4,
                n % 4
            );
            assert_eq!(watch.admits(&url(&topic)), Ok(()), "{topic}");
        }
    }

    #[test]
    fn a_part_of_a_site_whose_pages_say_the_same_ends_and_the_rest_does_not() {
        let traps = Traps {
            max_near_duplicates: 50,
            ..Traps::default()
        };
        let mut watch = Watch::new(traps, 7);
        let trap = |n: u32| url(&format!("http://a.example/soft/{n}/x{n}"));
        let mut read = 0;
        while watch.admits(&trap(read)).is_ok() {
            // The numbers of a page change a bit of its hash now and then.
            watch.saw(&trap(read), 0xdead_beef_0000_0000 | u64::from(read % 3));
            let real = url(&format!("http://a.example/real/{read}"));
            assert!(!watch.saw(&real, u64::from(read).wrapping_mul(0x9e37_79b9_7f4a_7c15)));
            assert_eq!(watch.admits(&real), Ok(()));
            read += 1;
        }
        assert!((50..60).contains(&read), "{read}");
        assert_eq!(
            watch.still_admits(&trap(1)),
            Err(SkipReason::NearDuplicates)
        );
        assert_eq!(watch.admits(&url("http://b.example/soft/1/x")), Ok(()));
    }

    #[test]
    fn no_site_makes_it_grow_without_end() {
        let mut watch = Watch::new(Traps::default(), 7);
        for n in 0..3 * MOST_WATCHED {
            let link = url(&format!(
                "http://a.example/x{}y/p?q={n}",
                "a".repeat(n % 97) + &letters(n)
            ));
            watch.admits(&link).unwrap();
            watch.saw(&link, n as u64);
        }
        assert!(watch.paths.len() <= MOST_WATCHED && watch.parts.len() <= MOST_WATCHED);
    }

    fn letters(mut n: usize) -> String {
        let mut text = String::new();
        while n > 0 {
            text.push((b'a' + (n % 26) as u8) as char);
            n /= 26;
        }
        text
    }
}
