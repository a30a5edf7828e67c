//! Was this payload stored before?
//!
//! A bounded, direct-mapped table of payloads that are in the segments for sure: what was committed lately,
//! and what earlier rounds stored of the requests that are handed out. The writer fills it, workers ask it
//! before they compress. A payload that it does not know is stored once more, which costs room and
//! nothing else.
//!
//! Payloads are told apart by SHA-1. Whoever can make two that collide has to serve both, and only gets a
//! wrong copy of what is theirs.

use std::sync::{Mutex, MutexGuard, PoisonError};

use neap_core::UnixMs;

use super::Place;
use super::member::Sha1Bytes;

/// Payloads below so many bytes are stored each time: a revisit record is hardly smaller.
pub(crate) const SHORTEST_PAYLOAD: usize = 1024;

/// Payloads that are known at most; some 5 MiB with URLs of the usual length.
const PLACES: usize = 1 << 15;

/// Longest URL of an original, in bytes: with all places taken, 16 MiB.
const LONGEST_URL: usize = 512;

/// A payload that is stored, and what a revisit says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Original {
    /// Its response record.
    pub(crate) place: Place,
    /// The URL it was fetched from.
    pub(crate) url: Box<str>,
    /// The date of that record.
    pub(crate) fetched: UnixMs,
}

/// The payloads that are known to be stored.
#[derive(Debug)]
pub struct Originals(Mutex<Places>);

type Places = Vec<Option<Box<(Sha1Bytes, Original)>>>;

impl Default for Originals {
    /// None are known.
    fn default() -> Originals {
        Originals::new()
    }
}

impl Originals {
    pub(crate) fn new() -> Originals {
        Originals(Mutex::new(vec![None; PLACES]))
    }

    /// The record that has this payload, if it is known.
    pub(crate) fn find(&self, sha1: &Sha1Bytes) -> Option<Original> {
        let places = self.places();
        let known = places[place_of(sha1)].as_deref();
        known
            .filter(|(found, _)| found == sha1)
            .map(|(_, original)| original.clone())
    }

    /// Remembers payloads whose records are durable.
    pub(crate) fn remember(&self, stored: impl IntoIterator<Item = (Sha1Bytes, Original)>) {
        let mut places = self.places();
        for (sha1, original) in stored {
            if original.url.len() <= LONGEST_URL {
                places[place_of(&sha1)] = Some(Box::new((sha1, original)));
            }
        }
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        // Each entry is written whole, so that a panic elsewhere leaves nothing half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn place_of(sha1: &Sha1Bytes) -> usize {
    let [a, b, c, d, ..] = *sha1;
    u32::from_le_bytes([a, b, c, d]) as usize % PLACES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_payload_has_a_place_and_never_answers_for_another() {
        let originals = Originals::new();
        let original = |url: &str| Original {
            place: Place {
                segment: 1,
                offset: 2,
                bytes: 3,
            },
            url: url.into(),
            fetched: UnixMs(4),
        };
        let (mut one, mut two) = ([7; 20], [7; 20]);
        (one[19], two[19]) = (1, 2);
        assert_eq!(originals.find(&one), None);
        originals.remember([(one, original("a"))]);
        assert_eq!(originals.find(&one), Some(original("a")));
        assert_eq!(originals.find(&two), None);
        originals.remember([(two, original("b"))]);
        assert_eq!(originals.find(&one), None, "the place is taken");
        let long = "x".repeat(LONGEST_URL + 1);
        originals.remember([(one, original(&long))]);
        assert_eq!(
            originals.find(&two),
            Some(original("b")),
            "what is too long takes none"
        );
    }
}
