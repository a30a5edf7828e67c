//! What do the limiters of very many hosts go through in a crawl?
//!
//! Hosts are asked in random order, so that of many hardly a limiter is in a cache when its turn comes.
//! Answers come back after 50 to 400 ms. Of a hundred one is a failure and one no evidence, and a host
//! refuses what it has no slot for.

use std::collections::BTreeMap;
use std::time::Duration;

use neap_core::limiter::{Gate, HostLimiter, Permit, Settings, Signal, SignalKind};
use neap_core::{Time, UnixMs};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

/// Time between two starts: with the latencies below, some 280 requests are in flight.
const STEP: Duration = Duration::from_micros(800);
/// Requests that a host serves at once.
const SLOTS: u32 = 12;

/// Limiters, and what is in flight.
pub(crate) struct Load {
    limiters: Vec<HostLimiter>,
    /// By the time at which it ends and the number of its step.
    flying: BTreeMap<(Time, u64), Flight>,
    steps: u64,
    now: Time,
    dice: SmallRng,
}

/// A request on its way.
struct Flight {
    host: usize,
    permit: Permit,
    signal: Signal,
}

impl Load {
    /// Limiters of so many hosts of which nothing is known.
    pub(crate) fn new(hosts: usize) -> Load {
        let settings = Settings { ceiling: 64 };
        let limiter = || HostLimiter::new(settings, None, Time::ZERO, UnixMs(0));
        Load {
            limiters: (0..hosts).map(|_| limiter()).collect(),
            flying: BTreeMap::new(),
            steps: 0,
            now: Time::ZERO,
            dice: SmallRng::seed_from_u64(1),
        }
    }

    /// One request starts, if the host whose turn it is takes it, and one ends, if its time has come. Says
    /// whether one ended.
    pub(crate) fn step(&mut self) -> bool {
        self.now = self.now + STEP;
        self.steps += 1;
        let host = self.dice.random_range(0..self.limiters.len());
        if let Some(permit) = start(&mut self.limiters[host], self.now) {
            let signal = self.answer(host);
            let took = signal.latency.unwrap_or_default();
            let flight = Flight {
                host,
                permit,
                signal,
            };
            self.flying.insert((self.now + took, self.steps), flight);
        }
        let Some(first) = self.flying.first_entry() else {
            return false;
        };
        if first.key().0 > self.now {
            return false;
        }
        let Flight {
            host,
            permit,
            signal,
        } = first.remove();
        let limiter = &mut self.limiters[host];
        report(limiter, permit, signal, self.now, &mut self.dice);
        // As the scheduler does after each report.
        limiter.take_changes().for_each(drop);
        true
    }

    /// What the host will answer to a request that starts now.
    fn answer(&mut self, host: usize) -> Signal {
        let is_full = self.limiters[host].in_flight() > SLOTS;
        let kind = match self.dice.random_range(0..100u32) {
            0 => SignalKind::Nothing,
            1 => SignalKind::Overload,
            2.. if is_full => SignalKind::Overload,
            2.. => SignalKind::Ok,
        };
        let took = if is_full {
            5
        } else {
            self.dice.random_range(50..400)
        };
        Signal {
            kind,
            latency: Some(Duration::from_millis(took)),
            ..Signal::NOTHING
        }
    }
}

/// What a start costs. A function of its own in the program, so that it can be counted.
#[inline(never)]
pub(crate) fn start(limiter: &mut HostLimiter, now: Time) -> Option<Permit> {
    (limiter.gate(now) == Gate::Open).then(|| limiter.start(now))
}

/// What a report costs; see [`start`].
#[inline(never)]
pub(crate) fn report(
    limiter: &mut HostLimiter,
    permit: Permit,
    signal: Signal,
    now: Time,
    dice: &mut SmallRng,
) {
    limiter.report(permit, signal, now, dice);
}
