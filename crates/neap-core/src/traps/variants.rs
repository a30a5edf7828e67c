//! Are the queries of one path combinations of a few values?
//!
//! Filters of a shop make a million queries of twenty parameters with two values each. Pages of a forum have as many
//! queries, but one of their parameters is a number that hardly repeats. So the queries of a path are counted, and the
//! values of each parameter; where even the most varied one has only a few, they are combinations.

use std::collections::{BTreeMap, BTreeSet};

/// So many queries to one value of the most varied parameter make combinations.
const QUERIES_A_VALUE: usize = 25;

/// Looked at again when the queries have doubled, so often; whoever passes all of them is held for good.
const DOUBLINGS: u32 = 4;

/// Parameters of a query that are looked at.
const MOST_PARAMETERS: usize = 64;

/// The queries of one path.
#[derive(Debug, Default)]
pub(super) struct Variants {
    queries: BTreeSet<u32>,
    values: BTreeMap<u32, BTreeSet<u32>>,
    judged: Judged,
    /// Queries and values that are kept.
    kept: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Judged {
    /// Not yet, or not for the last time; so often found to be good.
    #[default]
    Not,
    Good(u32),
    Combined,
}

impl Variants {
    /// Whether a query is asked for; `most` of them may be combinations of a few values. Without room for more
    /// nothing new is learned of them.
    pub(super) fn admits(
        &mut self,
        query: &str,
        most: usize,
        has_room: bool,
        hash: impl Fn(&str) -> u32,
    ) -> bool {
        let found = hash(query);
        let doublings = match self.judged {
            Judged::Combined => return self.queries.contains(&found),
            Judged::Good(DOUBLINGS) => return true,
            Judged::Good(doublings) => doublings,
            Judged::Not => 0,
        };
        if self.queries.contains(&found) {
            return true;
        }
        let bound = most << doublings;
        if self.queries.len() >= bound {
            return self.judge(doublings + 1);
        }
        if !has_room {
            return true;
        }
        self.queries.insert(found);
        self.kept += 1;
        for part in query.split('&').take(MOST_PARAMETERS) {
            // What has no name is the value of one that has none: `?12345`.
            let (name, value) = part.split_once('=').unwrap_or(("", part));
            let name = hash(name);
            if self.values.len() < MOST_PARAMETERS || self.values.contains_key(&name) {
                let values = self.values.entry(name).or_default();
                // With more of them the verdict is good each time.
                if values.len() <= (most << DOUBLINGS) / QUERIES_A_VALUE {
                    self.kept += usize::from(values.insert(hash(value)));
                }
            }
        }
        true
    }

    /// Says what the queries are, and whether one more is asked for.
    fn judge(&mut self, doublings: u32) -> bool {
        let values = self.values.values().map(BTreeSet::len).max().unwrap_or(0);
        if values * QUERIES_A_VALUE <= self.queries.len() {
            self.judged = Judged::Combined;
            self.values.clear();
            self.kept = self.queries.len();
            return false;
        }
        self.judged = Judged::Good(doublings);
        if doublings == DOUBLINGS {
            self.queries.clear();
            self.values.clear();
            self.kept = 0;
        }
        true
    }

    /// Queries and values that are kept.
    pub(super) fn kept(&self) -> usize {
        self.kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(text: &str) -> u32 {
        text.bytes().fold(2_166_136_261, |hash, byte| {
            (hash ^ u32::from(byte)).wrapping_mul(16_777_619)
        })
    }

    fn admitted(queries: impl Iterator<Item = String>) -> (usize, Variants) {
        let mut variants = Variants::default();
        let mut admits = |query: &String| variants.admits(query, 100, true, hash);
        (queries.filter(|query| admits(query)).count(), variants)
    }

    #[test]
    fn combinations_of_few_values_end() {
        for values in [1, 2, 4] {
            let facets = (0..2_000).map(|n| {
                let of = |place: u32| n / values.max(2_u32).pow(place) % values.max(2);
                (0..12)
                    .map(|place| format!("p{place}={}", of(place)))
                    .collect::<Vec<_>>()
                    .join("&")
            });
            assert_eq!(admitted(facets).0, 100, "{values} values each");
        }
    }

    #[test]
    fn a_parameter_that_hardly_repeats_is_no_combination_and_takes_no_memory_for_ever() {
        let pages = (0..10_000).map(|n| format!("f={}&t={n}", n % 3));
        let (admitted, variants) = admitted(pages);
        assert_eq!(admitted, 10_000);
        assert!(variants.queries.is_empty() && variants.values.is_empty());
    }

    #[test]
    fn a_number_without_a_name_is_no_combination_either() {
        assert_eq!(admitted((0..5_000).map(|n| n.to_string())).0, 5_000);
    }

    #[test]
    fn without_room_nothing_is_kept_and_nothing_held_back() {
        let mut variants = Variants::default();
        for n in 0..5_000 {
            assert!(variants.admits(&format!("a={}", n % 2), 100, false, hash));
        }
        assert_eq!(variants.kept(), 0);
    }

    #[test]
    fn what_was_admitted_stays_so() {
        let (_, mut variants) =
            admitted((0..1_000).map(|n| format!("a={}&b={}&c={}", n % 3, n / 3 % 3, n)));
        assert!(variants.admits("a=0&b=0&c=0", 100, true, hash));
    }
}
