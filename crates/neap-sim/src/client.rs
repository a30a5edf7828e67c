//! What does the modelled client ask for next, and what becomes of a failed request?
//!
//! The backlog has no end. A failed request comes back after a wait with full jitter; after the sixth
//! charged attempt the page is lost. neap's scheduler has three rules more: failures while the host is only
//! probed are not charged, a probe takes a page that did not fail before, and retries stay within their
//! budget. A plain client, as a scenario file's header describes it, knows none of them.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::str::FromStr;
use std::time::Duration;

use neap_core::Time;
use neap_core::backoff::backoff;
use neap_core::job::{Jitter, Retry};
use neap_core::scheduler::RetryBudget;
use neap_core::verdict::MAX_DEFERRALS;
use rand::Rng;
use rand::rngs::SmallRng;

use crate::algorithm::Choice;

/// A page, by number in order of its first request.
pub type Page = usize;

/// Whose rules clients keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Rules {
    /// Each its own: neap's limiter is used by neap's scheduler, the others and the oracle by a plain client.
    #[default]
    Own,
    /// A plain client for all.
    Header,
    /// neap's scheduler for all.
    Neap,
}

impl Rules {
    /// Whether they are those of neap's scheduler, for this limiter.
    pub fn are_neaps(self, choice: Choice) -> bool {
        match self {
            Rules::Own => choice == Choice::Neap,
            Rules::Header => false,
            Rules::Neap => true,
        }
    }
}

impl FromStr for Rules {
    type Err = String;

    fn from_str(text: &str) -> Result<Rules, String> {
        match text {
            "own" => Ok(Rules::Own),
            "header" => Ok(Rules::Header),
            "neap" => Ok(Rules::Neap),
            _ => Err("one of own, header, neap".to_owned()),
        }
    }
}

impl std::fmt::Display for Rules {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Rules::Own => "own",
            Rules::Header => "header",
            Rules::Neap => "neap",
        })
    }
}

/// The pages and their waits.
#[derive(Debug)]
pub struct Client {
    retry: Retry,
    /// It keeps the rules of neap's scheduler.
    is_neap: bool,
    pages: Vec<History>,
    waiting: BinaryHeap<Reverse<(Time, Page)>>,
    /// What neap's scheduler lets retries have beside fresh pages.
    budget: RetryBudget,
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
    /// n-th charged failure, counted from 0; `is_neap` for the rules of the scheduler that ships.
    pub fn new(is_neap: bool) -> Client {
        Client {
            is_neap,
            budget: RetryBudget::default(),
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

    /// The next page: one whose wait is over, else a new one. A probe of neap's takes a new page, of
    /// which nothing bad is known.
    pub fn next(&mut self, is_probe: bool, poison: f64, now: Time, dice: &mut SmallRng) -> Page {
        let is_due = self
            .waiting
            .peek()
            .is_some_and(|Reverse((due, _))| *due <= now);
        let is_retry = is_due && (!self.is_neap || (!is_probe && self.may_retry(now)));
        self.budget.start(self.retry.budget, is_retry, now);
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
        self.budget.check(self.retry.budget, true, now).is_ok()
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
        if self.is_neap && host_is_failing && u32::from(history.deferrals) < MAX_DEFERRALS {
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
