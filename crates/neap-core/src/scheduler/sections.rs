//! Do the failures of a host stay within one section of it?
//!
//! A checkout or a search behind a host's gateway may be broken while everything else is fine. To slow the whole
//! host for it would help nobody. A section is the first one or two directories of a path; it is broken by itself
//! if it fails time after time while the rest of the host works.

use crate::canonical::CanonicalUrl;

/// Failures of a section with nothing good in it between them: as many as a limiter takes to be sure of an outage.
const IN_ROW: u16 = 4;
/// Answers that the rest of the host gave meanwhile.
const ELSEWHERE: u32 = 8;
/// Of which so large a share may be failures: a host with more has trouble as a whole.
const AMISS: f64 = 0.1;
/// Failing sections that are followed; the one with the fewest failures gives way.
const MOST: usize = 8;
/// Longest section that is followed, in bytes.
const LONGEST: usize = 100;

/// The sections of one host that fail. Nothing is kept of those that work.
#[derive(Debug, Default)]
pub(super) struct Sections(Vec<Section>);

#[derive(Debug)]
struct Section {
    /// Such as `/checkout/`.
    path: Box<str>,
    /// Failures since it last worked.
    failed: u16,
    /// What the rest of the host did since then.
    elsewhere_worked: u32,
    elsewhere_failed: u32,
}

impl Sections {
    /// A page came, or the host gave another answer that shows that it works.
    pub(super) fn worked(&mut self, url: &CanonicalUrl) {
        if self.0.is_empty() {
            return;
        }
        let path = url.url().path();
        self.0.retain(|section| !section.holds(path));
        for section in &mut self.0 {
            section.elsewhere_worked = section.elsewhere_worked.saturating_add(1);
        }
    }

    /// A page failed in a way that would speak of the host's load. Gives the section that is broken by itself, if
    /// the page is in one.
    pub(super) fn failed(&mut self, url: &CanonicalUrl) -> Option<&str> {
        let path = url.url().path();
        for section in self.0.iter_mut().filter(|section| !section.holds(path)) {
            section.elsewhere_failed = section.elsewhere_failed.saturating_add(1);
        }
        for prefix in prefixes(path) {
            self.follow(prefix);
        }
        let mut own = self.0.iter().filter(|section| section.holds(path));
        own.find(|section| section.is_broken())
            .map(|section| &*section.path)
    }

    fn follow(&mut self, prefix: &str) {
        if let Some(known) = self.0.iter_mut().find(|section| *section.path == *prefix) {
            known.failed = known.failed.saturating_add(1);
            return;
        }
        if self.0.len() >= MOST {
            let places = 0..self.0.len();
            let fewest = places.min_by_key(|place| self.0[*place].failed);
            self.0.swap_remove(fewest.unwrap_or(0));
        }
        self.0.push(Section {
            path: prefix.into(),
            failed: 1,
            elsewhere_worked: 0,
            elsewhere_failed: 0,
        });
    }
}

impl Section {
    fn holds(&self, path: &str) -> bool {
        path.starts_with(&*self.path)
    }

    fn is_broken(&self) -> bool {
        let all = self.elsewhere_worked + self.elsewhere_failed;
        self.failed >= IN_ROW
            && self.elsewhere_worked >= ELSEWHERE
            && f64::from(self.elsewhere_failed) <= AMISS * f64::from(all)
    }
}

/// The first one and the first two directories of a path, with their slashes.
fn prefixes(path: &str) -> impl Iterator<Item = &str> {
    let slashes = path.match_indices('/').skip(1).take(2);
    let ends = slashes.map(|(at, _)| at + 1);
    ends.filter(|end| *end <= LONGEST).map(|end| &path[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(path: &str) -> CanonicalUrl {
        CanonicalUrl::parse(&format!("http://a.example{path}")).unwrap()
    }

    /// Pages that failed (`!`) and that worked, in order; the section that the last one was told to be in.
    fn told(pages: &[&str]) -> Option<String> {
        let mut sections = Sections::default();
        let mut told = None;
        for page in pages {
            match page.strip_prefix('!') {
                Some(path) => told = sections.failed(&url(path)).map(str::to_owned),
                None => sections.worked(&url(page)),
            }
        }
        told
    }

    fn times(page: &str, times: usize) -> Vec<&str> {
        vec![page; times]
    }

    #[test]
    fn a_section_that_fails_while_the_rest_works_is_broken_by_itself() {
        for (pages, expected) in [
            (
                [
                    times("!/checkout/1", 3),
                    times("/p/1", 9),
                    times("!/checkout/2", 1),
                ],
                Some("/checkout/"),
            ),
            (
                [
                    times("!/en/checkout/1", 3),
                    times("/en/p/1", 9),
                    times("!/en/checkout/2", 1),
                ],
                Some("/en/checkout/"),
            ),
            // Too few failures, too few answers, a rest that fails as well, one that worked in between.
            (
                [
                    times("!/checkout/1", 2),
                    times("/p/1", 9),
                    times("!/checkout/2", 1),
                ],
                None,
            ),
            (
                [
                    times("!/checkout/1", 3),
                    times("/p/1", 7),
                    times("!/checkout/2", 1),
                ],
                None,
            ),
            (
                [
                    times("!/checkout/1", 3),
                    [times("/p/1", 9), times("!/q/1", 2)].concat(),
                    times("!/checkout/2", 1),
                ],
                None,
            ),
            (
                [
                    times("!/checkout/1", 3),
                    [times("/p/1", 9), times("/checkout/7", 1)].concat(),
                    times("!/checkout/2", 1),
                ],
                None,
            ),
            // Pages of the root are in no section.
            ([times("!/a", 3), times("/b", 9), times("!/c", 1)], None),
        ] {
            assert_eq!(told(&pages.concat()).as_deref(), expected, "{pages:?}");
        }
    }

    #[test]
    fn what_is_followed_is_bounded() {
        let mut sections = Sections::default();
        for n in 0..1000 {
            sections.failed(&url(&format!("/{n}/x")));
            sections.failed(&url(&format!("/{}/x", "y".repeat(300))));
        }
        assert!(sections.0.len() <= MOST);
        sections.worked(&url("/999/x"));
        assert!(sections.0.iter().all(|section| &*section.path != "/999/"));
    }
}
