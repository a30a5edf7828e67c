//! How are bodies read no faster than a job allows?

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use neap_core::Time;
use neap_core::bandwidth::Bandwidth;
use tokio::time::{Instant, sleep};

/// The rate at which all fetchers that hold it read bodies together. Clones share it.
#[derive(Debug, Clone)]
pub struct Pace(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    begun: Instant,
    bandwidth: Mutex<Bandwidth>,
}

impl Pace {
    /// So many bytes a second, as sent.
    pub fn new(bytes_per_second: u64) -> Pace {
        Pace(Arc::new(Shared {
            begun: Instant::now(),
            bandwidth: Mutex::new(Bandwidth::new(bytes_per_second)),
        }))
    }

    /// Waits until after bytes that have come more may be read. Says how long that took.
    pub(crate) async fn take(&self, bytes: usize) -> Duration {
        let asked = Instant::now();
        let wait = {
            let now = Time::ZERO + asked.saturating_duration_since(self.0.begun);
            let mut bandwidth = self
                .0
                .bandwidth
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            bandwidth.take(bytes as u64, now)
        };
        if !wait.is_zero() {
            sleep(wait).await;
        }
        asked.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn readers_share_the_rate() {
        let pace = Pace::new(100_000);
        tokio::time::advance(Duration::from_secs(10)).await;
        let begun = Instant::now();
        let reader = |pace: Pace| async move {
            for _ in 0..50 {
                pace.take(10_000).await;
            }
        };
        tokio::join!(reader(pace.clone()), reader(pace.clone()));
        // A million bytes, of which the first quarter of a second's came at once.
        let took = begun.elapsed().as_millis();
        assert!((9_740..=9_760).contains(&took), "{took} ms");
    }
}
