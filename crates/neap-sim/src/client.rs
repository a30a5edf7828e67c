//! What does the modelled client ask for next, and what becomes of a failed request?
//!
//! The backlog has no end. A failed request comes back after a wait with full jitter; failures while
//! the host is only probed are not charged; after the sixth charged attempt the page is lost.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use neap_core::Time;
use neap_core::backoff::backoff;
use neap_core::job::{Jitter, Retry};
use neap_core::scheduler::RetryBudget;
use neap_core::verdict::MAX_DEFERRALS;
use rand::Rng;
use rand::rngs::SmallRng;

/// A page, by number in order of its first request.
pub type Page = usize;

/// The pages and their waits.
#[derive(Debug)]
pub struct Client {
    retry: Retry,
    pages: Vec<History>,
    waiting: BinaryHeap<Reverse<(Time, Page)>>,
    /// What neap's scheduler lets retries have beside fresh pages; other clients know no such thing.
    budget: Option<RetryBudget>,
    /// Pages given up after their last attempt.
    pub lost: u64,
    /// Of these, pages that would have been answered.
    pub lost_good: u64,
}

#[derive(Debug, Clone, Copy)]
struct History {
    charged: u8,
    deferrals: u8,
    is_poison: bool,
}

impl Client {
    /// A client with six attempts a page and waits of U(0, min(60, 2^n)) seconds after its
    /// n-th charged failure, counted from 0. With a budget retries stay within their share of the traffic
    /// (`retry.budget` of a job file), as in the scheduler that ships.
    pub fn new(has_budget: bool) -> Client {
        Client {
            budget: has_budget.then(RetryBudget::default),
            retry: Retry {
                attempts: 6,
                base: Duration::from_secs(1),
                max: Duration::from_secs(60),
                jitter: Jitter::Full,
                ..Retry::default()
            },
            pages: Vec::new(),
            waiting: BinaryHeap::new(),
            lost: 0,
            lost_good: 0,
        }
    }

    /// The next page: one whose wait is over, else a new one. A probe takes a new page, of which
    /// nothing bad is known.
    pub fn next(&mut self, is_probe: bool, poison: f64, now: Time, dice: &mut SmallRng) -> Page {
        let is_due = self
            .waiting
            .peek()
            .is_some_and(|Reverse((due, _))| *due <= now);
        let is_retry = !is_probe && is_due && self.may_retry(now);
        if let Some(budget) = &mut self.budget {
            budget.start(self.retry.budget, is_retry, now);
        }
        if is_retry {
            let Reverse((_, page)) = self.waiting.pop().expect("it was just looked at");
            return page;
        }
        self.pages.push(History {
            charged: 0,
            deferrals: 0,
            is_poison: poison > 0.0 && dice.random_bool(poison),
        });
        self.pages.len() - 1
    }

    fn may_retry(&self, now: Time) -> bool {
        let check = |budget: &RetryBudget| budget.check(self.retry.budget, true, now).is_ok();
        self.budget.as_ref().is_none_or(check)
    }

    /// Whether a page always fails.
    pub fn is_poison(&self, page: Page) -> bool {
        self.pages[page].is_poison
    }

    /// Whether a page failed before.
    pub fn is_retry(&self, page: Page) -> bool {
        let history = self.pages[page];
        history.charged > 0 || history.deferrals > 0
    }

    /// A page failed: it waits, or is lost. Says whether it waits.
    pub fn failed(
        &mut self,
        page: Page,
        retry_after: Option<Duration>,
        host_is_failing: bool,
        now: Time,
        dice: &mut SmallRng,
    ) -> bool {
        let history = &mut self.pages[page];
        if host_is_failing && u32::from(history.deferrals) < MAX_DEFERRALS {
            history.deferrals += 1;
        } else {
            history.charged += 1;
        }
        if u32::from(history.charged) >= self.retry.attempts {
            self.lost += 1;
            self.lost_good += u64::from(!history.is_poison);
            return false;
        }
        let attempts = u32::from(history.charged).max(1);
        let wait = backoff(&self.retry, attempts, retry_after, dice);
        self.waiting.push(Reverse((now + wait, page)));
        true
    }
}
