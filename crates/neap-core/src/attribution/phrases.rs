//! Which of the phrases that any table knows does a text contain?
//!
//! All tables together know some hundred phrases. One automaton (Aho and Corasick, 1975) finds them in one pass,
//! without regard to case, so that the cost of a verdict does not grow with the tables.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, AhoCorasickBuilder, AhoCorasickKind, MatchKind};

use super::causes::CAUSES;
use super::challenges::CHALLENGES;
use super::evidence::Reply;
use super::products::PRODUCTS;
use super::providers::PROVIDERS;

/// The phrases that a text contains.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Seen([u64; WORDS]);

const WORDS: usize = 8;

struct Phrases {
    automaton: AhoCorasick,
    numbers: BTreeMap<&'static str, usize>,
}

static PHRASES: LazyLock<Phrases> = LazyLock::new(|| {
    let pages = PRODUCTS
        .iter()
        .flat_map(|product| product.pages.iter().copied().flatten());
    let challenges = CHALLENGES.iter().flat_map(|challenge| challenge.page);
    let causes = CAUSES.iter().flat_map(|(_, phrases)| phrases.iter());
    let codes = PROVIDERS
        .iter()
        .flat_map(|provider| provider.says.iter().map(|(code, _)| code));
    let mut numbers = BTreeMap::new();
    for phrase in pages.chain(challenges).chain(causes).chain(codes) {
        let next = numbers.len();
        numbers.entry(*phrase).or_insert(next);
    }
    assert!(numbers.len() <= WORDS * 64, "Seen has too few bits");
    let mut texts = vec![""; numbers.len()];
    for (phrase, number) in &numbers {
        texts[*number] = phrase;
    }
    // Every page is looked through: the larger and faster kind, made once.
    let automaton = AhoCorasickBuilder::new()
        .kind(Some(AhoCorasickKind::DFA))
        .ascii_case_insensitive(true)
        .match_kind(MatchKind::Standard)
        .build(texts)
        .expect("some hundred short phrases fit any automaton");
    Phrases { automaton, numbers }
});

impl Seen {
    /// The phrases in the first [`Reply::MAX_BODY`] bytes of a text.
    pub(super) fn of(text: &str) -> Seen {
        let mut seen = Seen::default();
        let text = &text.as_bytes()[..text.len().min(2 * Reply::MAX_BODY)];
        for found in PHRASES.automaton.find_overlapping_iter(text) {
            let number = found.pattern().as_usize();
            seen.0[number / 64] |= 1 << (number % 64);
        }
        seen
    }

    /// Whether a phrase of some table is there; one of no table never is.
    pub(super) fn has(&self, phrase: &str) -> bool {
        match PHRASES.numbers.get(phrase) {
            Some(number) => self.0[number / 64] & (1 << (number % 64)) != 0,
            None => false,
        }
    }

    /// Whether all of some phrases are there; there must be at least one.
    pub(super) fn has_all(&self, phrases: &[&str]) -> bool {
        !phrases.is_empty() && phrases.iter().all(|phrase| self.has(phrase))
    }

    /// What is in either.
    pub(super) fn or(mut self, other: Seen) -> Seen {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine |= theirs;
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phrases_are_found_without_regard_to_case_and_within_each_other() {
        let seen = Seen::of("X-Squid-Error: ERR_CONNECT_FAIL 111; Connection Refused");
        assert!(seen.has("err_connect_fail 111") && seen.has("connection refused"));
        assert!(!seen.has("connection reset") && !seen.has("in no table"));
        assert!(!seen.has_all(&[]));
    }

    #[test]
    fn every_phrase_is_in_lower_case_and_long_enough_to_mean_something() {
        for phrase in PHRASES.numbers.keys() {
            assert_eq!(*phrase, phrase.to_ascii_lowercase());
            assert!(phrase.len() >= 4, "{phrase}");
        }
    }
}
