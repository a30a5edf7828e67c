//! How is what happened said in plain sentences?

mod advice;
mod attempt;
mod causes;
mod culprit;
mod host;
mod proxy;
mod request;
mod time;

pub(crate) use advice::{advice, advices};
pub(crate) use causes::{cause, fault, faults, is_cause, producer};
pub(crate) use culprit::{action, diagnosis, producer_short};
pub(crate) use host::{HostStory, MOST_SHARING, in_flight, rate, shares, state, title, why};
pub(crate) use proxy::{failed_for, proxy_in_flight, proxy_state};
pub(crate) use request::{RequestStory, explain, explain_skipped};
pub(crate) use time::span;

pub(crate) use time::at as moment;

use neap_core::UnixMs;
use neap_store::Liveness;

/// The moment at which something is told.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Now {
    /// The wall clock.
    pub(crate) at: UnixMs,
    /// Whether a run works on the store.
    pub(crate) live: Liveness,
}

impl Now {
    /// Whether the run of this epoch is at work, so that what it wrote still holds.
    pub(crate) fn is_live(&self, epoch: i64) -> bool {
        self.live.is_running && self.live.epoch == epoch
    }
}

/// A limit as people read it: `16`, `4.3`, `0.25`.
pub(crate) fn limit(limit: f64) -> String {
    let digits = usize::from(limit < 10.0) + usize::from(limit < 1.0);
    let text = format!("{limit:.digits$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_as_people_read_them() {
        for (given, shown) in [
            (16.0, "16"),
            (10.4, "10"),
            (4.25, "4.2"),
            (4.0, "4"),
            (1.0, "1"),
            (0.25, "0.25"),
            (0.1, "0.1"),
            (100.0, "100"),
        ] {
            assert_eq!(limit(given), shown);
        }
    }
}
