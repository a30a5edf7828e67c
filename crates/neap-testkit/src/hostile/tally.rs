//! What does the hostile server count, and where did it see canaries?

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::asked::Asked;

use super::call::host_of;

/// What every canary begins with.
const CANARY: &str = "SECRET-";

/// Paths that are counted by themselves; those beyond are counted together, since a client may ask for any number.
const MAX_PATHS: usize = 10_000;

/// A canary that was sent to a host.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sighting {
    /// The canary: `SECRET-` and what follows of hexadecimal digits.
    pub value: String,
    /// The name of the host, as the client said it.
    pub host: String,
    /// The header that carried it, in lower case; `target` for the request line and `body` for the body.
    pub place: String,
    /// The target of the first request that carried it so.
    pub target: String,
}

/// The counters.
#[derive(Debug, Default)]
pub(super) struct Tally {
    asked: u64,
    max_in_flight: usize,
    paths: BTreeMap<String, u64>,
    hosts: BTreeMap<String, u64>,
    sightings: BTreeMap<(String, String, String), String>,
}

impl Tally {
    pub(super) fn note(&mut self, asked: &Asked) {
        self.asked += 1;
        self.max_in_flight = self.max_in_flight.max(asked.in_flight);
        let host = host_of(asked);
        count(&mut self.paths, asked.path());
        count(&mut self.hosts, &host);
        let headers = asked.headers.iter();
        let mut places: Vec<(String, &str)> = headers
            .map(|(name, value)| (name.to_ascii_lowercase(), value.as_str()))
            .collect();
        places.push(("target".to_owned(), &asked.target));
        let body = String::from_utf8_lossy(&asked.body);
        places.push(("body".to_owned(), &body));
        for (place, text) in places {
            for value in canaries(text) {
                let key = (value, host.clone(), place.clone());
                self.sightings
                    .entry(key)
                    .or_insert_with(|| asked.target.clone());
            }
        }
    }

    pub(super) fn sightings(&self) -> Vec<Sighting> {
        let sightings = self.sightings.iter();
        sightings
            .map(|((value, host, place), target)| Sighting {
                value: value.clone(),
                host: host.clone(),
                place: place.clone(),
                target: target.clone(),
            })
            .collect()
    }

    pub(super) fn to_json(&self) -> String {
        let seen: Vec<Value> = self
            .sightings()
            .into_iter()
            .map(|seen| {
                json!({"value": seen.value, "host": seen.host, "place": seen.place, "target": seen.target})
            })
            .collect();
        json!({
            "asked": self.asked, "max_in_flight": self.max_in_flight, "paths": self.paths, "hosts": self.hosts,
            "canaries": seen,
        })
        .to_string()
    }
}

fn count(counts: &mut BTreeMap<String, u64>, name: &str) {
    let name = match counts.len() < MAX_PATHS || counts.contains_key(name) {
        true => name,
        false => "others",
    };
    *counts.entry(name.to_owned()).or_insert(0) += 1;
}

/// All canaries in a text.
fn canaries(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, _) in text.match_indices(CANARY) {
        let digits = text[at + CANARY.len()..]
            .bytes()
            .take_while(u8::is_ascii_hexdigit)
            .count();
        if digits > 0 {
            found.insert(text[at..at + CANARY.len() + digits].to_owned());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canaries_are_found_wherever_they_stand() {
        let found = canaries("Bearer SECRET-0a, sid=SECRET-ff00; SECRET-x SECRET-0a");
        assert_eq!(
            found,
            ["SECRET-0a".to_owned(), "SECRET-ff00".to_owned()].into()
        );
    }
}
