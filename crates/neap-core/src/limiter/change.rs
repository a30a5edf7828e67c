//! When did a host's limit change last, and why?

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
    /// The host stopped answering right after a raise, which was taken back.
    Outage,
    /// The host answers again after an outage.
    Recovered,
    /// The limit goes back up after an outage.
    Ramp,
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
            Reason::Outage => "outage after a raise",
            Reason::Recovered => "answers again",
            Reason::Ramp => "back up after an outage",
            Reason::Ceiling => "ceiling lowered",
        }
    }
}
