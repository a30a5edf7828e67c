//! Does the run stand still, and what for?
//!
//! When every host is held (only probed, asked for a pause) or every request waits for its retry, the loop
//! sleeps until the scheduler's next deadline. That is as it should be, but who watches wants to know.

use std::time::Duration;

use neap_core::scheduler::Wake;
use tokio::time::Instant;
use tracing::info;

use super::Pump;
use crate::progress::Standstill;

/// A shorter wait is not worth a word; and a standstill that is interrupted for less, by a probe that
/// fails, goes on.
const WORTH_TELLING: Duration = Duration::from_secs(1);

/// A standstill that was logged.
#[derive(Debug, Clone, Copy)]
pub(super) struct Still {
    since: Instant,
    seen: Instant,
}

impl Pump {
    /// Why nothing is sent at present, if all there is to do is wait.
    pub(super) fn standstill(&self) -> Option<Standstill> {
        let desk = &self.shop.desk;
        let (at, wake) = desk.state().scheduler.standstill()?;
        let host = match wake {
            Wake::Host(host, _) => Some(self.name(host)),
            Wake::RetryDue | Wake::Proxies(_) | Wake::Network => None,
        };
        let wait = at.since(desk.clock.now());
        Some(Standstill { wake, host, wait })
    }

    /// Logs when a standstill begins and when it is over.
    pub(super) fn log_standstill(&mut self) {
        let now = Instant::now();
        match (self.standstill(), &mut self.still) {
            (Some(_), Some(still)) => still.seen = now,
            (Some(standstill), None) if standstill.wait >= WORTH_TELLING => {
                let Standstill { wake, host, wait } = standstill;
                info!(?wake, host, ?wait, "every host is held, waiting");
                self.still = Some(Still {
                    since: now,
                    seen: now,
                });
            }
            (None, Some(still)) if now - still.seen >= WORTH_TELLING => {
                info!(after = ?(still.seen - still.since), "requests go out again");
                self.still = None;
            }
            (Some(_) | None, None) | (None, Some(_)) => {}
        }
    }
}
