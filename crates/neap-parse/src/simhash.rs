//! Does a page say what another one says?
//!
//! A simhash (Charikar, Similarity Estimation Techniques from Rounding Algorithms, 2002): 63 bits, of which the more
//! are equal the more of what two texts are made of is. A text is made of its runs of three words. Words are letters, in
//! lower case as far as they are of ASCII; numbers count for nothing, so that pages that differ by a date or a count say
//! the same.
//!
//! The hash stands in stores, so it must not change.

/// Bits of a hash: as many as a number of SQL has without its sign, so that SQL can count those that differ.
const BITS: usize = 63;

/// Bits that count how often each bit was set: enough for the 16 million words of the largest page.
const PLANES: usize = 24;

/// A text that is being read.
#[derive(Debug, Default)]
pub(crate) struct Simhash {
    /// The word being read, as far as it came; 0 between words.
    word: u64,
    /// The two words before it.
    before: [u64; 2],
    runs: u32,
    words: u32,
    /// Counters of all 64 bits at once: bit `i` of plane `p` is bit `p` of the counter of bit `i`.
    planes: [u64; PLANES],
}

impl Simhash {
    /// The next piece of the text.
    #[inline]
    pub(crate) fn add(&mut self, piece: &[u8]) {
        for &byte in piece {
            if byte.is_ascii_alphabetic() || byte >= 0x80 {
                let word = if self.word == 0 { FIRST } else { self.word };
                self.word = (word ^ u64::from(byte.to_ascii_lowercase())).wrapping_mul(PRIME);
            } else if self.word != 0 {
                self.end_word();
            }
        }
    }

    /// A tag ends a word.
    pub(crate) fn end_word(&mut self) {
        if self.word == 0 {
            return;
        }
        let word = std::mem::take(&mut self.word);
        self.words += 1;
        if self.words >= 3 {
            self.count(run(self.before, word));
        }
        self.before = [self.before[1], word];
    }

    /// The hash of the text; `None` if it has no words.
    pub(crate) fn finish(mut self) -> Option<u64> {
        self.end_word();
        if self.words > 0 && self.runs == 0 {
            // Shorter than a run.
            let [first, second] = self.before;
            self.count(run([0, first], second));
        }
        if self.runs == 0 {
            return None;
        }
        let is_set = |bit: usize| {
            let planes = self.planes.iter().enumerate();
            let times: u32 = planes
                .map(|(p, plane)| ((plane >> bit & 1) as u32) << p)
                .sum();
            2 * times > self.runs
        };
        Some(
            (0..BITS)
                .filter(|bit| is_set(*bit))
                .map(|bit| 1 << bit)
                .sum(),
        )
    }

    fn count(&mut self, hash: u64) {
        if self.runs >> (PLANES - 1) != 0 {
            return;
        }
        self.runs += 1;
        let mut carry = hash;
        for plane in &mut self.planes {
            let before = *plane;
            *plane ^= carry;
            carry &= before;
            if carry == 0 {
                break;
            }
        }
    }
}

/// FNV-1a of 64 bits: offset basis and prime.
const FIRST: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01b3;

/// The hash of three words, by the finalizer of MurmurHash3: FNV's high bits depend on too little.
fn run([first, second]: [u64; 2], third: u64) -> u64 {
    let mut hash = first.rotate_left(17) ^ second.rotate_left(41).wrapping_mul(PRIME) ^ third;
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn simhash(text: &str) -> Option<u64> {
        let mut hash = Simhash::default();
        hash.add(text.as_bytes());
        hash.finish()
    }

    fn distance(one: &str, other: &str) -> u32 {
        (simhash(one).unwrap() ^ simhash(other).unwrap()).count_ones()
    }

    /// A long text that does not repeat itself.
    fn text(seed: u64, words: usize) -> String {
        let mut state = seed;
        let mut next = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            state >> 33
        };
        let letters = |n: u64| {
            (0..5)
                .map(|at| (b'a' + (n >> (4 * at) & 15) as u8) as char)
                .collect::<String>()
        };
        (0..words)
            .map(|_| letters(next()))
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[test]
    fn texts_that_say_nearly_the_same_are_near_and_others_are_far() {
        let page = text(1, 1_000);
        let changed = page.replacen(' ', " entirely ", 1) + " more";
        assert!(
            distance(&page, &changed) <= 3,
            "{}",
            distance(&page, &changed)
        );
        for seed in 2..20 {
            let far = distance(&page, &text(seed, 1_000));
            assert!((16..=48).contains(&far), "{seed}: {far}");
        }
        let half = format!("{} {}", &page[..page.len() / 2], text(99, 500));
        assert!(distance(&page, &half) > 3, "half of it is another's");
    }

    #[test]
    fn numbers_case_and_punctuation_say_nothing() {
        let may = "Events of May 2031: 1 2 3 4 5, none today";
        for same in [
            "events of may 7749: 29 30 31, none today!",
            "EVENTS OF MAY\n\nNONE TODAY",
            "events, of may none today 12:30",
        ] {
            assert_eq!(distance(may, same), 0, "{same}");
        }
        assert_ne!(simhash(may), simhash("Events of June 2031, none today"));
    }

    #[test]
    fn short_texts_have_one_and_empty_ones_none() {
        assert_eq!(simhash(""), None);
        assert_eq!(simhash(" 12 -- 34 "), None);
        assert!(simhash("one").is_some());
        assert_ne!(simhash("one"), simhash("one two"));
        assert_ne!(simhash("one two"), simhash("two one"));
        assert_ne!(simhash("über"), simhash("ober"));
    }

    #[test]
    fn the_hash_of_a_text_stays_what_it_is() {
        assert_eq!(simhash("the gentle tide of a harbour"), Some(EXPECTED));
    }

    const EXPECTED: u64 = 1_302_173_651_609_856_128;
}
