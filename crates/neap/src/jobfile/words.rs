//! Which words does a setting know, and what do they stand for?

use neap_core::job::{
    Bodies, Durability, InputFormat, Jitter, LimitKey, RobotsMode, Select, Sticky,
};
use neap_core::order::Order;
use neap_core::scope::{Requisites, ScopeKind};

use super::keys::nearest;
use super::problem::Complaint;
use crate::print::escape::quoted;

/// Reads one of the words that a setting knows.
pub(super) fn word<T: Copy>(text: &str, known: &[(&str, T)]) -> Result<T, Complaint> {
    if let Some((_, value)) = known.iter().find(|(name, _)| *name == text) {
        return Ok(*value);
    }
    let names: Vec<String> = known.iter().map(|(name, _)| format!("`{name}`")).collect();
    let message = format!(
        "unknown value `{}`, expected one of {}",
        quoted(text),
        names.join(", ")
    );
    let complaint = Complaint::new(message);
    Err(match nearest(text, known.iter().map(|(name, _)| *name)) {
        Some(near) => complaint.help(format!("did you mean `{near}`?")),
        None => complaint,
    })
}

/// The word for a value, as a job file writes it.
pub(super) fn word_for<T: PartialEq>(value: T, known: &[(&'static str, T)]) -> &'static str {
    known
        .iter()
        .find(|(_, other)| *other == value)
        .map_or("?", |(name, _)| name)
}

/// The words of `crawl.scope`.
pub(super) const SCOPES: [(&str, ScopeKind); 5] = [
    ("page", ScopeKind::Page),
    ("path", ScopeKind::Path),
    ("host", ScopeKind::Host),
    ("domain", ScopeKind::Domain),
    ("any", ScopeKind::Any),
];

/// The words of `crawl.requisites`.
pub(super) const REQUISITES: [(&str, Requisites); 3] = [
    ("none", Requisites::None),
    ("host", Requisites::Host),
    ("any", Requisites::Any),
];

/// The words of `crawl.order`.
pub(super) const ORDERS: [(&str, Order); 2] =
    [("breadth", Order::Breadth), ("depth", Order::Depth)];

/// The words of `input.format`.
pub(super) const INPUT_FORMATS: [(&str, InputFormat); 4] = [
    ("text", InputFormat::Text),
    ("csv", InputFormat::Csv),
    ("tsv", InputFormat::Tsv),
    ("jsonl", InputFormat::Jsonl),
];

/// The words of `retry.jitter`.
pub(super) const JITTERS: [(&str, Jitter); 3] = [
    ("full", Jitter::Full),
    ("equal", Jitter::Equal),
    ("none", Jitter::None),
];

/// The words of `limits.key`.
pub(super) const LIMIT_KEYS: [(&str, LimitKey); 2] =
    [("host", LimitKey::Host), ("domain", LimitKey::Domain)];

/// The words of a pool's `select`.
pub(super) const SELECTS: [(&str, Select); 3] = [
    ("round-robin", Select::RoundRobin),
    ("random", Select::Random),
    ("least-loaded", Select::LeastLoaded),
];

/// The words of a pool's `sticky`.
pub(super) const STICKIES: [(&str, Sticky); 3] = [
    ("none", Sticky::None),
    ("host", Sticky::Host),
    ("session", Sticky::Session),
];

/// The words of `robots.mode`.
pub(super) const ROBOTS_MODES: [(&str, RobotsMode); 3] = [
    ("obey", RobotsMode::Obey),
    ("warn", RobotsMode::Warn),
    ("off", RobotsMode::Off),
];

/// The words of `store.bodies`.
pub(super) const BODIES: [(&str, Bodies); 2] = [("all", Bodies::All), ("none", Bodies::None)];

/// The words of `store.durability`.
pub(super) const DURABILITIES: [(&str, Durability); 2] =
    [("full", Durability::Full), ("normal", Durability::Normal)];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_guessed() {
        assert_eq!(word("host", &SCOPES), Ok(ScopeKind::Host));
        let complaint = word("hots", &SCOPES).unwrap_err();
        assert_eq!(
            complaint.message,
            "unknown value `hots`, expected one of `page`, `path`, `host`, `domain`, `any`"
        );
        assert_eq!(complaint.help.as_deref(), Some("did you mean `host`?"));
        assert_eq!(word("\u{1b}everything", &BODIES).unwrap_err().help, None);
    }

    #[test]
    fn every_word_reads_back() {
        for (name, value) in SCOPES {
            assert_eq!(word_for(value, &SCOPES), name);
        }
        assert_eq!(word_for(Jitter::Equal, &JITTERS), "equal");
    }
}
