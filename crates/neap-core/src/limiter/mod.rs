//! How many requests may one host have in flight, learned from its answers?
//!
//! A window of clean answers earns more permits, an overload cuts them, and a host that only fails is
//! only probed. Overload is counted once per window, as QUIC counts loss once per recovery period
//! (RFC 9002, section 7.3.2): the failures of requests that were in flight together are one event.
//!
//! ```text
//!   growing ──window with overload──► limit x share of good answers ──► growing, slowly
//!      └───── only failures ─────► only probed ──a probe succeeds──► a quarter of the old limit
//! ```

use std::time::Duration;

use rand::{Rng, RngCore};
use serde::{Deserialize, Serialize};

use crate::time::Time;

/// What one exchange tells about what its host can bear.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Signal {
    /// What happened.
    pub kind: SignalKind,
    /// From the start of the exchange to the answer's header, if there was one.
    pub latency: Option<Duration>,
    /// What the answer's `Retry-After` asks for.
    pub retry_after: Option<Duration>,
    /// Whether the same request failed before: then a failure may be the page's own.
    pub is_retry: bool,
}

impl Signal {
    /// The signal of an exchange that tells nothing, such as one that never took place.
    pub const NOTHING: Signal = Signal {
        kind: SignalKind::Nothing,
        latency: None,
        retry_after: None,
        is_retry: false,
    };
}

/// What happened, as far as load is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SignalKind {
    /// An answer of the host that shows that it works.
    Ok,
    /// A gateway's or server's word for overload: 502, 503, 504.
    Overload,
    /// Too many requests in a time: 429.
    RateLimited,
    /// No connection, or one that was reset.
    Connect,
    /// No answer in time.
    Timeout,
    /// Nothing that concerns load.
    Nothing,
}

impl SignalKind {
    /// Whether it is a failure that may be one of the whole host.
    pub const fn is_load_failure(self) -> bool {
        match self {
            SignalKind::Overload
            | SignalKind::RateLimited
            | SignalKind::Connect
            | SignalKind::Timeout => true,
            SignalKind::Ok | SignalKind::Nothing => false,
        }
    }
}

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
    window: u64,
    is_probe: bool,
}

/// Whether a host takes a further request now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// Yes.
    Open,
    /// No, until a request that is in flight ends.
    Full,
    /// No, until then.
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

/// What outlives a run, as JSON in the store.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    /// The last limit at which the host worked.
    pub limit: f64,
}

/// The limit that a host begins with which nothing is known of.
pub const START: f64 = 2.0;

/// The limit of one host.
#[derive(Debug)]
pub struct HostLimiter {
    settings: Settings,
    limit: f64,
    in_flight: u32,
    window: Window,
    /// The limit at the last overload; growth slows down below it.
    knee: Option<f64>,
    /// No growth before this time: each failed growth doubles the wait.
    grow_at: Time,
    grow_wait: Duration,
    failing: Option<Failing>,
    held_until: Time,
    has_answered: bool,
}

/// What was seen since the limit last changed.
#[derive(Debug, Default)]
struct Window {
    number: u64,
    good: u32,
    overloaded: u32,
}

/// A row of failures without a good answer between them.
#[derive(Debug)]
struct Failing {
    since: Time,
    count: u32,
    /// Set once the host is only probed.
    next_probe: Option<Time>,
    is_probe_out: bool,
    limit_before: f64,
}

/// Failures in a row after which a host is only probed.
const FAILURES_TO_PROBING: u32 = 5;
/// The time between two probes is this share of the age of the outage.
const PROBE_SHARE: f64 = 0.2;
/// Bounds of the time between two probes.
const PROBE_WAIT: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(15));
/// Bounds of the wait before the limit is raised again after it proved too high.
const GROW_WAIT: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

impl HostLimiter {
    /// A limiter for a host of which `memory` is known, or nothing.
    pub fn new(settings: Settings, memory: Option<Memory>) -> HostLimiter {
        let ceiling = f64::from(settings.ceiling.max(1));
        // A remembered limit is taken up at half: the host may have become weaker meanwhile.
        let limit = memory
            .map_or(START, |m| (m.limit / 2.0).max(START))
            .clamp(1.0, ceiling);
        HostLimiter {
            settings,
            limit,
            in_flight: 0,
            window: Window::default(),
            knee: None,
            grow_at: Time::ZERO,
            grow_wait: GROW_WAIT.0,
            failing: None,
            held_until: Time::ZERO,
            has_answered: false,
        }
    }

    /// Whether a request may start now; [`HostLimiter::start`] then takes the permit.
    pub fn gate(&self, now: Time) -> Gate {
        if now < self.held_until {
            return Gate::Until(self.held_until);
        }
        if let Some(Failing {
            next_probe: Some(next),
            is_probe_out,
            ..
        }) = self.failing
        {
            return match (is_probe_out, now < next) {
                (true, _) => Gate::Full,
                (false, true) => Gate::Until(next),
                (false, false) => Gate::Open,
            };
        }
        if self.in_flight < self.limit as u32 {
            Gate::Open
        } else {
            Gate::Full
        }
    }

    /// Takes a permit. Only to be called when [`HostLimiter::gate`] says [`Gate::Open`].
    pub fn start(&mut self, now: Time) -> Permit {
        self.in_flight += 1;
        let mut is_probe = false;
        if let Some(
            failing @ Failing {
                next_probe: Some(_),
                ..
            },
        ) = &mut self.failing
        {
            failing.is_probe_out = true;
            is_probe = true;
        }
        Permit {
            started: now,
            window: self.window.number,
            is_probe,
        }
    }

    /// Gives a permit back and learns from what happened.
    pub fn report(&mut self, permit: Permit, signal: Signal, now: Time, dice: &mut dyn RngCore) {
        self.in_flight -= 1;
        if permit.is_probe
            && let Some(failing) = &mut self.failing
        {
            failing.is_probe_out = false;
        }
        if let Some(wait) = signal.retry_after.filter(|_| signal.kind.is_load_failure()) {
            self.held_until = self
                .held_until
                .max(now + wait.min(crate::backoff::RETRY_AFTER_MAX));
        }
        match signal.kind {
            SignalKind::Nothing => {}
            SignalKind::Ok => self.learn_good(&permit, now),
            SignalKind::Overload
            | SignalKind::RateLimited
            | SignalKind::Connect
            | SignalKind::Timeout => self.learn_failure(&permit, signal, now, dice),
        }
    }

    /// The number of requests that may be in flight, 1 to [`Settings::ceiling`].
    pub fn limit(&self) -> f64 {
        self.limit
    }

    /// The number of requests that are in flight.
    pub fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// Whether the host ever answered with something that shows that it works.
    pub fn has_answered(&self) -> bool {
        self.has_answered
    }

    /// Since when the host did nothing but fail, if it is only probed for that.
    pub fn only_probed_since(&self) -> Option<Time> {
        self.failing
            .as_ref()
            .filter(|failing| failing.next_probe.is_some())
            .map(|f| f.since)
    }

    /// What the limiter does now.
    pub fn state(&self, now: Time) -> State {
        match &self.failing {
            Some(Failing {
                next_probe: Some(next),
                since,
                ..
            }) => State::OnlyProbed {
                next: *next,
                since: *since,
            },
            _ if now < self.held_until => State::Held {
                until: self.held_until,
            },
            _ => State::Steady,
        }
    }

    /// What is worth keeping for the next run.
    pub fn memory(&self) -> Memory {
        Memory {
            limit: self.failing.as_ref().map_or(self.limit, |f| f.limit_before),
        }
    }

    /// Changes the ceiling; a limit above it comes down at once.
    pub fn set_ceiling(&mut self, ceiling: u32) {
        self.settings.ceiling = ceiling.max(1);
        self.limit = self.limit.min(f64::from(self.settings.ceiling));
    }

    fn learn_good(&mut self, permit: &Permit, now: Time) {
        self.has_answered = true;
        if let Some(failing) = self.failing.take()
            && failing.next_probe.is_some()
        {
            self.set_limit((failing.limit_before / 4.0).max(1.0));
            self.grow_at = now;
            return;
        }
        if permit.window != self.window.number {
            return;
        }
        self.window.good += 1;
        let enough = (self.limit as u32).max(4);
        if self.window.good + self.window.overloaded < enough {
            return;
        }
        if self.window.overloaded == 0 && now >= self.grow_at {
            let grown = match self.knee {
                None => self.limit * 1.5,
                Some(knee) if self.limit < 0.8 * knee => self.limit + (knee - self.limit) / 2.0,
                Some(_) => self.limit + (self.limit * 0.05).max(1.0),
            };
            self.set_limit(grown);
        } else {
            self.begin_window();
        }
    }

    fn learn_failure(
        &mut self,
        permit: &Permit,
        signal: Signal,
        now: Time,
        dice: &mut dyn RngCore,
    ) {
        let limit = self.limit;
        let failing = self.failing.get_or_insert(Failing {
            since: now,
            count: 0,
            next_probe: None,
            is_probe_out: false,
            limit_before: limit,
        });
        failing.count += 1;
        let is_probed_already = failing.next_probe.is_some();
        // Failures of requests that all started while the host still worked are one event, however
        // many there are: only what started after the first of them shows that nothing works.
        let starts_after = permit.started >= failing.since || self.limit < 2.0;
        if is_probed_already || (failing.count >= FAILURES_TO_PROBING && starts_after) {
            let age = now.since(failing.since).mul_f64(PROBE_SHARE);
            let wait = age
                .clamp(PROBE_WAIT.0, PROBE_WAIT.1)
                .mul_f64(dice.random_range(0.9..1.1));
            if permit.is_probe || !is_probed_already {
                failing.next_probe = Some(now + wait);
            }
            return;
        }
        if permit.window != self.window.number || signal.is_retry {
            return;
        }
        self.window.overloaded += 1;
        if self.window.overloaded >= 2 {
            let seen = f64::from(self.window.good + self.window.overloaded);
            let share = f64::from(self.window.good) / seen;
            self.knee = Some(limit);
            self.grow_wait = (self.grow_wait * 2).clamp(GROW_WAIT.0, GROW_WAIT.1);
            self.grow_at = now + self.grow_wait;
            self.set_limit((limit * share.clamp(0.25, 0.9)).max(1.0));
        }
    }

    fn set_limit(&mut self, limit: f64) {
        self.limit = limit.clamp(1.0, f64::from(self.settings.ceiling.max(1)));
        self.begin_window();
    }

    fn begin_window(&mut self) {
        self.window = Window {
            number: self.window.number + 1,
            good: 0,
            overloaded: 0,
        };
    }
}
