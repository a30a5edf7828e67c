//! Which limiters are compared?
//!
//! neap's own, as it ships, and three others: a fixed limit, and Netflix' `AIMDLimit` and `Gradient2Limit`
//! (concurrency-limits, commit 78a74b98) at the defaults of their library, except that AIMD may go below 20
//! and above 200.

use std::str::FromStr;
use std::time::Duration;

use neap_core::limiter::{Gate, HostLimiter, Memory, Permit, Settings, Signal, SignalKind, State};
use neap_core::{Time, UnixMs};
use rand::rngs::SmallRng;

/// Requests that the modelled client has in flight at most, whatever the limiter says.
pub const HARD_CAP: u32 = 1024;

/// How often Gradient2 looks (WindowedLimit.java).
const WINDOW: Duration = Duration::from_secs(1);

/// The wall clock at the beginning of a simulated run: 2026-01-01.
const WALL_START: UnixMs = UnixMs(1_767_225_600_000);

/// A limiter by name.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Choice {
    /// [`HostLimiter`].
    Neap,
    /// Always so many.
    Fixed(u32),
    /// Netflix' `AIMDLimit`.
    Aimd,
    /// Netflix' `Gradient2Limit`.
    Gradient2,
}

impl FromStr for Choice {
    type Err = String;

    fn from_str(text: &str) -> Result<Choice, String> {
        match (text, text.strip_prefix("fixed:").map(str::parse)) {
            ("neap", _) => Ok(Choice::Neap),
            ("aimd", _) => Ok(Choice::Aimd),
            ("gradient2", _) => Ok(Choice::Gradient2),
            (_, Some(Ok(limit @ 1..=HARD_CAP))) => Ok(Choice::Fixed(limit)),
            (_, Some(_)) => Err(format!("a fixed limit is 1 to {HARD_CAP}")),
            (_, None) => Err("one of neap, fixed:K, aimd, gradient2".to_owned()),
        }
    }
}

impl std::fmt::Display for Choice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Choice::Neap => f.write_str("neap"),
            Choice::Fixed(limit) => write!(f, "fixed:{limit}"),
            Choice::Aimd => f.write_str("aimd"),
            Choice::Gradient2 => f.write_str("gradient2"),
        }
    }
}

/// A limiter at work.
#[derive(Debug)]
pub enum Limiter {
    /// neap's own.
    Neap(Box<HostLimiter>),
    /// One of the others.
    Other(Other),
}

/// What one request holds.
#[derive(Debug)]
pub enum Ticket {
    /// Of neap's own.
    Neap(Permit),
    /// When it was taken, of one of the others.
    Other(Time),
}

/// A limiter that only knows a number.
#[derive(Debug)]
pub struct Other {
    rule: Choice,
    limit: f64,
    in_flight: u32,
    /// Gradient2's long average of the round trip in seconds, and how many windows warmed it up.
    long_rtt: f64,
    windows: u32,
    /// Gradient2's window: when it ends, the sum of its round trips in seconds, and their number.
    window_end: Time,
    window_sum: f64,
    window_count: u32,
}

impl Limiter {
    /// A limiter that begins at time zero, with what an earlier run remembered.
    pub fn new(choice: Choice, memory: Option<Memory>) -> Limiter {
        let limit = match choice {
            Choice::Neap => {
                let settings = Settings { ceiling: HARD_CAP };
                let limiter = HostLimiter::new(settings, memory, Time::ZERO, wall(Time::ZERO));
                return Limiter::Neap(Box::new(limiter));
            }
            Choice::Fixed(limit) => f64::from(limit),
            Choice::Aimd | Choice::Gradient2 => 20.0,
        };
        Limiter::Other(Other {
            rule: choice,
            limit,
            in_flight: 0,
            long_rtt: 0.0,
            windows: 0,
            window_end: Time::ZERO + WINDOW,
            window_sum: 0.0,
            window_count: 0,
        })
    }

    /// Whether a request may start.
    pub fn gate(&self, now: Time) -> Gate {
        match self {
            Limiter::Neap(limiter) => limiter.gate(now),
            Limiter::Other(other) if other.in_flight < other.limit as u32 => Gate::Open,
            Limiter::Other(_) => Gate::Full,
        }
    }

    /// Starts a request.
    pub fn start(&mut self, now: Time) -> Ticket {
        match self {
            Limiter::Neap(limiter) => Ticket::Neap(limiter.start(now)),
            Limiter::Other(other) => {
                other.in_flight += 1;
                Ticket::Other(now)
            }
        }
    }

    /// Ends one.
    pub fn report(&mut self, ticket: Ticket, signal: Signal, now: Time, dice: &mut SmallRng) {
        match (self, ticket) {
            (Limiter::Neap(limiter), Ticket::Neap(permit)) => {
                limiter.report(permit, signal, now, dice);
            }
            (Limiter::Other(other), Ticket::Other(started)) => {
                other.report(signal.kind, now.since(started), now);
            }
            (Limiter::Neap(_), Ticket::Other(_)) | (Limiter::Other(_), Ticket::Neap(_)) => {
                unreachable!("tickets stay with the limiter that gave them")
            }
        }
    }

    /// The limit.
    pub fn limit(&self) -> f64 {
        match self {
            Limiter::Neap(limiter) => limiter.limit(),
            Limiter::Other(other) => other.limit,
        }
    }

    /// Whether the host as a whole is held for failing, so that pages are not charged.
    pub fn is_only_probing(&self, now: Time) -> bool {
        match self {
            Limiter::Neap(limiter) => match limiter.state(now) {
                State::OnlyProbed { .. } => true,
                State::Steady | State::Held { .. } => false,
            },
            Limiter::Other(_) => false,
        }
    }

    /// Why the limit changed last, or that the host is only probed.
    pub fn reason(&self, now: Time) -> &'static str {
        match self {
            Limiter::Neap(_) if self.is_only_probing(now) => "only probed",
            Limiter::Neap(limiter) => limiter.last_change().reason.as_str(),
            Limiter::Other(_) => "",
        }
    }

    /// What a later run would be told.
    pub fn memory(&self, now: Time) -> Option<Memory> {
        match self {
            Limiter::Neap(limiter) => Some(limiter.memory(now, wall(now))),
            Limiter::Other(_) => None,
        }
    }
}

/// The wall clock at a moment of a simulated run.
pub fn wall(now: Time) -> UnixMs {
    WALL_START + now.since(Time::ZERO)
}

impl Other {
    fn report(&mut self, kind: SignalKind, rtt: Duration, now: Time) {
        let in_flight = f64::from(self.in_flight);
        self.in_flight -= 1;
        let is_drop = kind.is_load_failure();
        match self.rule {
            Choice::Neap | Choice::Fixed(_) => {}
            // AIMDLimit.java: backoffRatio 0.9, timeout 5 s. Its minLimit of 20 and maxLimit of 200
            // would keep it far from small and large hosts; it is compared without them.
            Choice::Aimd => {
                if is_drop || rtt > Duration::from_secs(5) {
                    self.limit = (self.limit * 0.9).floor();
                } else if in_flight * 2.0 >= self.limit {
                    self.limit += 1.0;
                }
                self.limit = self.limit.clamp(1.0, f64::from(HARD_CAP));
            }
            Choice::Gradient2 => {
                self.window_sum += rtt.as_secs_f64();
                self.window_count += 1;
                // WindowedLimit.java: windows of 1 s with at least 10 samples.
                if now >= self.window_end && self.window_count >= 10 {
                    self.gradient2(self.window_sum / f64::from(self.window_count), in_flight);
                    self.window_end = now + WINDOW;
                    (self.window_sum, self.window_count) = (0.0, 0);
                }
            }
        }
    }

    /// Gradient2Limit.java: rttTolerance 1.5, longWindow 600, smoothing 0.2, queue 4, 20 to 200. It
    /// never looks at drops.
    fn gradient2(&mut self, short: f64, in_flight: f64) {
        self.windows += 1;
        if self.windows <= 10 {
            self.long_rtt += (short - self.long_rtt) / f64::from(self.windows);
        } else {
            self.long_rtt += (short - self.long_rtt) * 2.0 / 601.0;
        }
        if self.long_rtt / short > 2.0 {
            self.long_rtt *= 0.95;
        }
        if in_flight < self.limit / 2.0 {
            return;
        }
        let gradient = (1.5 * self.long_rtt / short).clamp(0.5, 1.0);
        let wanted = self.limit * gradient + 4.0;
        self.limit = (self.limit * 0.8 + wanted * 0.2).clamp(20.0, 200.0);
    }
}
