//! How many requests may one host have in flight, learned from its answers?
//!
//! A window of clean answers earns more permits, an overload cuts them, and every change is an
//! experiment: a raise that brings failures is taken back, a cut that changes nothing is undone. A host
//! that only fails is only probed, and a host that asks to be left alone is left alone.
//!
//! ```text
//!   answer ──► rate: told to wait?      ── holds the host, spaces its requests
//!          ──► breaker: does it live?   ── stops the host, probes it
//!          ──► window ──► control: raise, keep, cut?  ── moves the limit
//!   start  ◄── gate: hold, probe, limit, held slots, fraction of a slot
//! ```
//!
//! Overload is counted once per window, as QUIC counts loss once per recovery period (RFC 9002,
//! section 7.3.2). Below whole numbers a limit is a share of time: at 2.4 two requests are always in
//! flight, and a third one for four tenths of the time.

mod background;
mod breaker;
mod budget;
mod change;
mod control;
mod evidence;
mod growth;
mod held;
mod latency;
mod memory;
mod overload;
mod rate;
mod signal;
#[cfg(test)]
mod tests;
mod window;

use std::time::Duration;

use rand::RngCore;

use crate::time::{Time, UnixMs};

pub use change::{Change, Reason};
pub use control::{LEAST, START};
pub use memory::Memory;
pub use signal::{Signal, SignalKind};

use background::Background;
use breaker::{Breaker, Failed, Turn};
use control::Control;
use held::HeldSlots;
use latency::Latency;
use rate::Rate;

/// The limits of a limiter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// The limit never rises above this; 1 to 1,024.
    pub ceiling: u32,
}

/// The right to have one request in flight. Given back by [`HostLimiter::report`].
#[derive(Debug, PartialEq, Eq)]
pub struct Permit {
    started: Time,
    window: u32,
    is_probe: bool,
}

impl Permit {
    /// Whether this request finds out if a failing host answers again. A page that did not fail before
    /// is the best one for it.
    pub fn is_probe(&self) -> bool {
        self.is_probe
    }
}

/// Whether a host takes a further request now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// Yes.
    Open,
    /// No, until a request that is in flight ends.
    Full,
    /// No, until then, or until a request that is in flight ends.
    Until(Time),
}

/// What a host's limiter does at present.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Requests flow, up to the limit.
    Steady,
    /// The host is only probed, one request at a time.
    OnlyProbed {
        /// When the next probe may start.
        next: Time,
        /// Since when the host did nothing but fail.
        since: Time,
    },
    /// The host asked for a pause.
    Held {
        /// When it ends.
        until: Time,
    },
}

/// A fraction of a slot smaller than this is none; the least limit is one.
const LEAST_FRACTION: f64 = 0.019;
/// A failed request keeps its slot no longer than this.
const HELD_AT_MOST: Duration = Duration::from_secs(5);

/// So many failures with nothing good between them, and those of retries hold their slots, too: a host that
/// refuses within milliseconds would be asked hundreds of times a second.
const SPINNING: u8 = 3;

/// A retry that succeeds shows that retries are no worse than other requests here, and so that one which
/// fails is evidence like theirs: so many failures may be vouched for. Where pages are at fault, retries fail
/// nearly always, and none is.
const VOUCHED: u8 = 4;

/// The limit of one host.
#[derive(Debug)]
pub struct HostLimiter {
    control: Control,
    breaker: Breaker,
    rate: Rate,
    held: HeldSlots,
    in_flight: u32,
    has_answered: bool,
    /// Failures since the last good answer.
    failed_in_row: u8,
    /// Retries that succeeded and of which none was set against one that failed.
    vouched: u8,
    /// When the fraction of a slot was used last.
    fraction_used: Time,
}

impl HostLimiter {
    /// A limiter for a host of which `memory` is known, or nothing. `now` and `unix_now` are the same
    /// moment.
    pub fn new(
        settings: Settings,
        memory: Option<Memory>,
        now: Time,
        unix_now: UnixMs,
    ) -> HostLimiter {
        let most = f64::from(settings.ceiling.max(1));
        let fresh = memory.filter(|memory| memory.is_fresh(unix_now));
        // Taken up at half and carefully: the host may have become weaker meanwhile.
        let start = fresh.map_or(START, |memory| (memory.limit / 2.0).min(8.0));
        let ceiling = fresh.and_then(|memory| memory.ceiling);
        let mut limiter = HostLimiter {
            control: Control::new(start, most, ceiling, now),
            breaker: Breaker::default(),
            rate: Rate::new(now),
            held: HeldSlots::default(),
            in_flight: 0,
            has_answered: false,
            failed_in_row: 0,
            vouched: 0,
            fraction_used: Time::ZERO,
        };
        if let Some(memory) = fresh {
            limiter.control.background = Background::remembered(memory.background);
            limiter.control.latency = Latency::remembered(memory.latency_s, memory.base_ln);
            limiter.control.ramp_to(memory.limit.min(most));
        }
        if let Some(memory) = memory {
            let hold = memory.hold_left(unix_now);
            let age = unix_now.since(memory.rate_at);
            limiter.rate = Rate::remembered(now, hold, memory.rate, age);
            if let Some(age) = memory.failing_for(unix_now) {
                limiter.breaker = Breaker::stopped(now, age);
            }
        }
        limiter
    }

    /// Whether a request may start now; [`HostLimiter::start`] then takes the permit.
    pub fn gate(&self, now: Time) -> Gate {
        if now < self.rate.not_before() {
            return Gate::Until(self.rate.not_before());
        }
        match self.breaker.next_probe() {
            Some(None) => return Gate::Full,
            Some(Some(next)) if now < next => return Gate::Until(next),
            Some(Some(_)) => return Gate::Open,
            None => {}
        }
        let taken = self.in_flight + self.held.count(now);
        let whole = self.control.limit as u32;
        if taken < whole {
            return Gate::Open;
        }
        let fraction_at = (taken == whole).then(|| self.fraction_free_at()).flatten();
        if fraction_at.is_some_and(|at| at <= now) {
            return Gate::Open;
        }
        match (self.held.next_free(now), fraction_at) {
            (Some(free), Some(fraction)) => Gate::Until(free.min(fraction)),
            (Some(at), None) | (None, Some(at)) => Gate::Until(at),
            (None, None) => Gate::Full,
        }
    }

    /// When the fraction of a slot is free: a slot is in use for a latency, so one that may be in use
    /// for a fraction of the time is taken once in latency / fraction.
    fn fraction_free_at(&self) -> Option<Time> {
        let fraction = self.control.limit.fract();
        if self.fraction_used == Time::ZERO {
            return (fraction >= LEAST_FRACTION).then_some(Time::ZERO);
        }
        let latency = self.control.latency.smoothed();
        (fraction >= LEAST_FRACTION).then(|| self.fraction_used + latency.div_f64(fraction))
    }

    /// Takes a permit. Only to be called when [`HostLimiter::gate`] says [`Gate::Open`].
    pub fn start(&mut self, now: Time) -> Permit {
        self.held.release(now);
        self.rate.start(now);
        let is_probe = self.breaker.start();
        let taken = self.in_flight + self.held.count(now);
        let whole = self.control.limit as u32;
        if taken >= whole && !is_probe {
            self.fraction_used = now;
        }
        self.in_flight += 1;
        let window = &mut self.control.window;
        window.started += 1;
        window.was_full |= taken + 1 >= whole;
        Permit {
            started: now,
            window: window.number,
            is_probe,
        }
    }

    /// Gives a permit back and learns from what happened.
    pub fn report(&mut self, permit: Permit, signal: Signal, now: Time, dice: &mut dyn RngCore) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.held.release(now);
        let is_current = permit.window == self.control.window.number;
        let told_to_wait = signal.retry_after.filter(|_| signal.kind.is_load_failure());
        // A page that always says "later" while others are answered speaks of itself.
        let is_of_page = signal.is_retry && self.vouched == 0 && self.failed_in_row == 0;
        match signal.kind {
            SignalKind::Nothing => self.learn_nothing(&permit, now),
            SignalKind::Alive => self.learn_alive(&permit, now),
            SignalKind::Ok => {
                if signal.is_retry {
                    self.vouched = (self.vouched + 1).min(VOUCHED);
                }
                self.learn_good(&permit, signal.latency, now);
            }
            SignalKind::RateLimited | SignalKind::Overload
                if is_of_page && told_to_wait.is_some() =>
            {
                self.learn_nothing(&permit, now);
            }
            SignalKind::RateLimited => self.learn_rate(&permit, told_to_wait, now, dice),
            SignalKind::Overload | SignalKind::Connect | SignalKind::Timeout => {
                if told_to_wait.is_some() {
                    self.learn_rate(&permit, told_to_wait, now, dice);
                } else {
                    let is_vouched = signal.is_retry && self.vouched > 0;
                    self.vouched -= u8::from(is_vouched);
                    // Who accepts no connection is down, whichever page was asked for.
                    let is_host = signal.kind == SignalKind::Connect;
                    let is_retry = signal.is_retry && !is_vouched && !is_host;
                    self.learn_failure(&permit, is_retry, now, dice);
                }
            }
        }
        // What was in flight before the limit last changed is no reason to change it again.
        if is_current && self.breaker.stopped_since().is_none() {
            self.control.judge(now);
        }
    }

    /// The number of requests that may be in flight, [`LEAST`] to [`Settings::ceiling`].
    pub fn limit(&self) -> f64 {
        self.control.limit
    }

    /// The number of requests that are in flight.
    pub fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// Whether the host ever answered with something that shows that it works.
    pub fn has_answered(&self) -> bool {
        self.has_answered
    }

    /// Until when the host asked to be left alone; a moment that is past if it did not.
    pub fn held_until(&self) -> Time {
        self.rate.held_until()
    }

    /// Since when the host did nothing but fail, if it is only probed for that.
    pub fn only_probed_since(&self) -> Option<Time> {
        self.breaker.stopped_since()
    }

    /// When the limit changed last, and why.
    pub fn last_change(&self) -> Change {
        self.control.changes.last()
    }

    /// Every change of the limit since they were last taken, the oldest first; with the first of them the
    /// limit began. Of more than eight the oldest are told as one.
    pub fn take_changes(&mut self) -> impl Iterator<Item = Change> + use<> {
        self.control.changes.take()
    }

    /// Share of requests that this host is known to fail whatever its load, 0 to 1.
    pub fn background(&self) -> f64 {
        self.control.background.share()
    }

    /// What the limiter does now.
    pub fn state(&self, now: Time) -> State {
        match (self.breaker.next_probe(), self.breaker.stopped_since()) {
            (Some(next), Some(since)) => State::OnlyProbed {
                next: next.unwrap_or(now).max(self.rate.held_until()),
                since,
            },
            _ if now < self.rate.held_until() => State::Held {
                until: self.rate.held_until(),
            },
            _ => State::Steady,
        }
    }

    /// What is worth keeping for the next run. `now` and `unix_now` are the same moment.
    pub fn memory(&self, now: Time, unix_now: UnixMs) -> Memory {
        let (latency_s, base_ln) = self.control.latency.memory();
        let ago = |age: Duration| {
            let age = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
            UnixMs(unix_now.0.saturating_sub(age))
        };
        let hold = self.rate.held_until().since(now);
        let (rate, rate_age) = self.rate.found(now).unwrap_or_default();
        Memory {
            saved_at: unix_now,
            limit: self.control.good_limit(),
            ceiling: self.control.lasting_ceiling(),
            background: self.control.background.share(),
            latency_s,
            base_ln,
            rate,
            rate_at: ago(rate_age),
            held_until: (!hold.is_zero()).then(|| unix_now + hold),
            failing_since: self
                .breaker
                .stopped_since()
                .map(|_| ago(self.breaker.age(now))),
        }
    }

    /// Changes the ceiling; a limit above it comes down at once.
    pub fn set_ceiling(&mut self, ceiling: u32) {
        self.control.set_most(f64::from(ceiling.max(1)));
    }

    fn learn_nothing(&mut self, permit: &Permit, now: Time) {
        if permit.is_probe {
            self.breaker.forget_probe(permit.started, now);
        }
        self.forget(permit);
    }

    /// The host refused this page or failed at it, and so it is there.
    fn learn_alive(&mut self, permit: &Permit, now: Time) {
        self.forget(permit);
        let since = self.breaker.stopped_since().unwrap_or(now);
        if permit.is_probe && self.breaker.answered(permit.started, true, 0.0) == Turn::Recovered {
            self.control.recovered(since, now);
        }
    }

    /// The request is no evidence about the limit.
    fn forget(&mut self, permit: &Permit) {
        let window = &mut self.control.window;
        if permit.window == window.number {
            window.started = window.started.saturating_sub(1);
        }
    }

    fn learn_rate(
        &mut self,
        permit: &Permit,
        retry_after: Option<Duration>,
        now: Time,
        dice: &mut dyn RngCore,
    ) {
        self.forget(permit);
        let has_only_refused = self.rate.refused(permit.started, retry_after, now, dice);
        if permit.is_probe {
            let seen = self.failed(permit, false, now);
            self.breaker.failed(seen, dice);
        } else if has_only_refused && self.breaker.stopped_since().is_none() {
            self.breaker.stop(now, self.control.latency.smoothed());
        }
    }

    fn learn_good(&mut self, permit: &Permit, latency: Option<Duration>, now: Time) {
        self.has_answered = true;
        self.failed_in_row = 0;
        let latency = latency.unwrap_or_else(|| now.since(permit.started));
        self.control.latency.observe(latency);
        let background = self.control.background.share();
        self.control.earn(permit.window);
        self.rate.accepted(now);
        let since = self.breaker.stopped_since().unwrap_or(now);
        match self
            .breaker
            .answered(permit.started, permit.is_probe, background)
        {
            Turn::Recovered => {
                self.control.recovered(since, now);
                return;
            }
            Turn::FalseAlarm => self.control.was_alive(now),
            Turn::None | Turn::Stopped => {}
        }
        let window = &mut self.control.window;
        if permit.window == window.number {
            window.good += 1;
            window.latency.add(latency);
        }
    }

    fn learn_failure(
        &mut self,
        permit: &Permit,
        is_retry: bool,
        now: Time,
        dice: &mut dyn RngCore,
    ) {
        let seen = self.failed(permit, is_retry, now);
        if self.breaker.failed(seen, dice) == Turn::Stopped
            && let Some(since) = self.breaker.stopped_since()
            && self.control.is_broken_by_step(since)
        {
            self.breaker.let_rest();
        }
        self.failed_in_row = self.failed_in_row.saturating_add(1);
        if is_retry {
            // The page may be at fault: no evidence, and no slot is held for it, unless nothing but
            // failures comes.
            self.forget(permit);
            if self.failed_in_row >= SPINNING {
                self.control.spend(permit.window);
                self.hold_slot(permit, now);
            }
            return;
        }
        self.control.spend(permit.window);
        let window = &mut self.control.window;
        if permit.window != window.number {
            return;
        }
        window.failed += 1;
        let usual = self.control.background.share() * f64::from(window.started);
        if f64::from(window.failed) > 1.0 + 2.0 * usual {
            self.hold_slot(permit, now);
        }
    }

    /// A failed request keeps its slot until a good answer would have come.
    fn hold_slot(&mut self, permit: &Permit, now: Time) {
        let latency = self.control.latency.smoothed().min(HELD_AT_MOST);
        let until = permit.started + latency;
        if until > now {
            self.held.hold(until, now);
        }
    }

    fn failed(&self, permit: &Permit, is_retry: bool, now: Time) -> Failed {
        Failed {
            started: permit.started,
            now,
            is_probe: permit.is_probe,
            is_retry,
            limit: self.control.limit,
            background: self.control.background.share(),
            latency: self.control.latency.smoothed(),
        }
    }
}
