//! When did a host's limit change, and why?
//!
//! Every change is kept until it is taken, a few at most: what takes them comes after each report.

use serde::Serialize;

use crate::time::Time;

/// One change of a limit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Change {
    /// When.
    pub at: Time,
    /// The limit before, in requests in flight.
    pub from: f32,
    /// The limit after.
    pub to: f32,
    /// Why.
    pub reason: Reason,
}

/// Changes that are kept until they are taken; beyond that the oldest two become one.
const KEPT: usize = 8;

/// The last change, and those before it that were not taken yet.
#[derive(Debug)]
pub(super) struct Changes {
    last: Change,
    is_last_taken: bool,
    /// None, unless the limit changed twice at once: it takes no more room than that in an idle host.
    earlier: Option<Box<Earlier>>,
}

#[derive(Debug, Default)]
struct Earlier(Vec<Change>);

impl Changes {
    pub(super) fn new(first: Change) -> Changes {
        Changes {
            last: first,
            is_last_taken: false,
            earlier: None,
        }
    }

    pub(super) fn last(&self) -> Change {
        self.last
    }

    pub(super) fn push(&mut self, change: Change) {
        if !self.is_last_taken {
            let Earlier(earlier) = &mut **self.earlier.get_or_insert_default();
            earlier.push(self.last);
            if earlier.len() >= KEPT {
                // What is left still begins where the limit was when changes were last taken.
                let oldest = earlier.remove(0);
                earlier[0].from = oldest.from;
            }
        }
        (self.last, self.is_last_taken) = (change, false);
    }

    /// The changes that were not taken yet, the oldest first.
    pub(super) fn take(&mut self) -> impl Iterator<Item = Change> + use<> {
        let is_taken = std::mem::replace(&mut self.is_last_taken, true);
        let last = (!is_taken).then_some(self.last);
        let earlier = self.earlier.take().unwrap_or_default();
        earlier.0.into_iter().chain(last)
    }
}

/// Why a limit changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// It is the first.
    Start,
    /// A higher limit is tried.
    Try,
    /// The higher limit brought failures and was taken back.
    TooHigh,
    /// There were not enough requests to try a higher limit with.
    NotUsed,
    /// More requests failed than usual.
    Overload,
    /// Answers took longer.
    Slow,
    /// Failures that seemed to be no sign of load are tested again.
    Doubt,
    /// The cut showed that load was the cause; the limit is what the host can bear.
    Load,
    /// The failures that are no sign of load were measured.
    Measured,
    /// The cut changed nothing, so it was undone.
    NotLoad,
    /// The host answers again; it had stopped right after a raise, which was taken back.
    Outage,
    /// The host answers again after an outage.
    Recovered,
    /// The limit goes back up after an outage.
    Ramp,
    /// The limit goes back up to what an earlier run learned.
    Warm,
    /// The configured ceiling came down.
    Ceiling,
}

impl Reason {
    /// The reason in words, as `status` shows it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Reason::Start => "start",
            Reason::Try => "more is tried",
            Reason::TooHigh => "more brought failures",
            Reason::NotUsed => "more was not used",
            Reason::Overload => "overload",
            Reason::Slow => "answers took longer",
            Reason::Doubt => "failures or latency are tested for load",
            Reason::Load => "load was the cause",
            Reason::Measured => "failures without load were measured",
            Reason::NotLoad => "load was not the cause",
            Reason::Outage => "answers again after more had stopped it",
            Reason::Recovered => "answers again",
            Reason::Ramp => "back up after an outage",
            Reason::Warm => "back up to what was learned before",
            Reason::Ceiling => "ceiling lowered",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(number: u8) -> Change {
        Change {
            at: Time::from_micros(u64::from(number)),
            from: f32::from(number),
            to: f32::from(number + 1),
            reason: Reason::Try,
        }
    }

    fn taken(changes: &mut Changes) -> Vec<Change> {
        changes.take().collect()
    }

    #[test]
    fn each_change_is_taken_once_and_in_order() {
        let mut changes = Changes::new(change(0));
        assert_eq!(taken(&mut changes), [change(0)]);
        assert_eq!(taken(&mut changes), []);
        changes.push(change(1));
        changes.push(change(2));
        changes.push(change(3));
        assert_eq!(changes.last(), change(3));
        assert_eq!(taken(&mut changes), [change(1), change(2), change(3)]);
        assert_eq!((taken(&mut changes), changes.last()), (vec![], change(3)));
        assert!(changes.earlier.is_none());
    }

    #[test]
    fn of_too_many_changes_the_oldest_become_one_and_none_is_missing_between() {
        let mut changes = Changes::new(change(0));
        for number in 1..50 {
            changes.push(change(number));
        }
        let kept = taken(&mut changes);
        assert_eq!(kept.len(), KEPT);
        assert_eq!((kept[0].from, kept[KEPT - 1]), (0.0, change(49)));
        assert!(kept.windows(2).all(|pair| pair[0].to == pair[1].from));
    }
}
