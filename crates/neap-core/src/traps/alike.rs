//! Do the pages of a part of a site say what others of them said?
//!
//! Each page is compared with the last [`RECENT`] that said something new, and by equality with many more. When more
//! have said nothing new than the job allows, and nine in ten of the last [`WINDOW`] did, the part is held for a trap. A
//! few pages that are alike (thin pages of a catalogue) never are one, and a part that is mostly good never is.

use std::collections::{BTreeSet, VecDeque};

use super::Traps;

/// Hashes that a page is compared with for likeness. A calendar has at most 28 kinds of months to cycle through.
const RECENT: usize = 64;

/// Hashes that are remembered for equality: a site whose pages come again under other URLs may be large.
const REMEMBERED: usize = 4_096;

/// The last pages, of which nine in ten must say nothing new.
const WINDOW: u32 = 128;
const ALIKE_OF_WINDOW: u32 = WINDOW * 9 / 10;

/// What the pages of one part of a site said.
#[derive(Debug, Default)]
pub(super) struct Alike {
    recent: VecDeque<u64>,
    remembered: BTreeSet<u64>,
    /// The last pages, one bit each, the last one lowest: whether it said nothing new.
    window: u128,
    /// Pages that said nothing new.
    alike: u32,
    is_trap: bool,
}

impl Alike {
    /// Whether new pages of it are to be left alone.
    pub(super) fn is_trap(&self) -> bool {
        self.is_trap
    }

    /// A page was read. Says whether this is what makes a trap of it.
    pub(super) fn saw(&mut self, simhash: u64, traps: &Traps) -> bool {
        let is_near = |known: &u64| (known ^ simhash).count_ones() <= traps.simhash_distance;
        let is_alike = self.remembered.contains(&simhash) || self.recent.iter().any(is_near);
        if !is_alike {
            self.recent.push_back(simhash);
            if self.recent.len() > RECENT {
                self.recent.pop_front();
            }
            if self.remembered.len() < REMEMBERED {
                self.remembered.insert(simhash);
            }
        }
        self.window = self.window << 1 | u128::from(is_alike);
        self.alike = self.alike.saturating_add(u32::from(is_alike));
        let most = traps.max_near_duplicates;
        let is_mostly = self.window.count_ones() >= ALIKE_OF_WINDOW.min(most);
        !self.is_trap && self.alike > most && is_mostly && {
            self.is_trap = true;
            true
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pages_until_trap(simhashes: impl Iterator<Item = u64>) -> Option<usize> {
        let mut alike = Alike::default();
        let traps = Traps::default();
        let mut at = simhashes
            .enumerate()
            .filter(|(_, hash)| alike.saw(*hash, &traps));
        at.next().map(|(at, _)| at + 1)
    }

    fn other(n: u64) -> u64 {
        n.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31)
            ^ n.wrapping_mul(0xd134_2543_de82_ef95)
    }

    #[test]
    fn pages_that_say_the_same_are_a_trap_and_others_are_not() {
        assert_eq!(pages_until_trap(std::iter::repeat_n(1, 5_000)), Some(502));
        // The months of a calendar come again.
        assert_eq!(
            pages_until_trap((0..5_000).map(|n| other(n % 28))),
            Some(28 + 501)
        );
        // A site of 300 pages under ever new sessions.
        assert_eq!(
            pages_until_trap((0..5_000).map(|n| other(n % 300))),
            Some(300 + 501)
        );
        assert_eq!(pages_until_trap((0..5_000).map(other)), None);
        // Every second page is thin.
        assert_eq!(
            pages_until_trap((0..5_000).map(|n| if n % 2 == 0 { 1 } else { other(n) })),
            None
        );
        // A small catalogue of thin pages.
        assert_eq!(pages_until_trap(std::iter::repeat_n(1, 501)), None);
    }
}
