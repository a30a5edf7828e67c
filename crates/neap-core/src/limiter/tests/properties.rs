//! What holds whatever happens to a limiter, in any order?
//!
//! A limiter goes through starts, answers, dropped permits, waits, new ceilings and restarts with the
//! clock set back or forward by years. What it promises is checked after each; no promise rests on the
//! numbers that the algorithm is tuned by.

use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;
use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::super::*;
use super::{WALL, signal};
use crate::backoff::RETRY_AFTER_MAX;

/// The highest ceiling that a job file may set.
const CEILING_MAX: u32 = 1024;

/// What may happen to a limiter.
#[derive(Debug, Clone)]
enum Event {
    /// A request starts, if one may.
    Start,
    /// One that is in flight ends.
    Report {
        which: usize,
        signal: Signal,
    },
    /// A permit is dropped: nothing is known of its request.
    Drop {
        which: usize,
    },
    Wait {
        ms: u64,
    },
    Ceiling(u32),
    /// The run ends, with what is in flight, and another one begins when the wall clock has moved by so
    /// much.
    Restart {
        clock_ms: i64,
    },
}

/// Events of which no answer asks for a longer pause than this, in seconds.
fn event(longest_pause: u64) -> impl Strategy<Value = Event> {
    let kind = prop_oneof![
        8 => Just(SignalKind::Ok),
        3 => Just(SignalKind::Overload),
        1 => Just(SignalKind::RateLimited),
        1 => Just(SignalKind::Connect),
        1 => Just(SignalKind::Timeout),
        1 => Just(SignalKind::Nothing),
    ];
    let retry_after = prop_oneof![30 => Just(None), 1 => (0..=longest_pause).prop_map(Some)];
    let told = (kind, 1u64..3000, retry_after, any::<bool>());
    let signal = told.prop_map(|(kind, ms, retry_after, is_retry)| Signal {
        retry_after: retry_after.map(Duration::from_secs),
        is_retry,
        ..signal(kind, ms)
    });
    const YEAR_MS: i64 = 365 * 24 * 3_600_000;
    let clock_ms = prop_oneof![
        Just(0),
        0..100_000i64,
        0..3 * 86_400_000i64,
        -50 * YEAR_MS..50 * YEAR_MS,
    ];
    prop_oneof![
        40 => Just(Event::Start),
        36 => (any::<usize>(), signal).prop_map(|(which, signal)| Event::Report { which, signal }),
        3 => any::<usize>().prop_map(|which| Event::Drop { which }),
        30 => prop_oneof![5 => 0u64..400, 1 => 0u64..100_000].prop_map(|ms| Event::Wait { ms }),
        3 => (0..=CEILING_MAX).prop_map(Event::Ceiling),
        3 => (0u32..60).prop_map(Event::Ceiling),
        1 => clock_ms.prop_map(|clock_ms| Event::Restart { clock_ms }),
    ]
}

/// A permit, and how often the limit had changed and been lowered when it was taken.
#[derive(Debug)]
struct Taken {
    permit: Permit,
    changes: usize,
    lowered: usize,
}

/// A limiter in use.
#[derive(Debug)]
struct Use {
    limiter: HostLimiter,
    ceiling: u32,
    now: Time,
    unix: UnixMs,
    out: Vec<Taken>,
    /// Changes of the limit so far, and how often an answer lowered it.
    changes: usize,
    lowered: usize,
    dice: SmallRng,
}

impl Use {
    fn new(seed: u64) -> Use {
        let ceiling = 40;
        let mut limiter = HostLimiter::new(Settings { ceiling }, None, Time::ZERO, WALL);
        drop(limiter.take_changes());
        Use {
            limiter,
            ceiling,
            now: Time::ZERO,
            unix: WALL,
            out: Vec::new(),
            changes: 0,
            lowered: 0,
            dice: SmallRng::seed_from_u64(seed),
        }
    }

    fn after(events: Vec<Event>, seed: u64) -> Result<Use, TestCaseError> {
        let mut used = Use::new(seed);
        for event in events {
            used.happens(event)?;
        }
        Ok(used)
    }

    /// An event happens, and what always holds still does.
    fn happens(&mut self, event: Event) -> TestCaseResult {
        match event {
            Event::Wait { ms } => self.pass(Duration::from_millis(ms)),
            Event::Start => {
                self.start();
            }
            Event::Report { which, signal } => self.report(which, signal)?,
            Event::Drop { which } => self.report(which, Signal::NOTHING)?,
            Event::Ceiling(ceiling) => {
                self.ceiling = ceiling.max(1);
                self.limiter.set_ceiling(ceiling);
                self.changes += self.limiter.take_changes().count();
            }
            Event::Restart { clock_ms } => self.restart(clock_ms),
        }
        let (limit, most) = (self.limiter.limit(), f64::from(self.ceiling));
        prop_assert!((LEAST..=most).contains(&limit), "{limit} of at most {most}");
        prop_assert_eq!(self.limiter.in_flight() as usize, self.out.len());
        prop_assert!((0.0..=1.0).contains(&self.limiter.background()));
        match self.limiter.gate(self.now) {
            Gate::Open => {}
            Gate::Until(at) => prop_assert!(at > self.now, "until {at:?} at {:?}", self.now),
            Gate::Full => prop_assert!(!self.out.is_empty(), "full with nothing in flight"),
        }
        Ok(())
    }

    fn pass(&mut self, wait: Duration) {
        (self.now, self.unix) = (self.now + wait, self.unix + wait);
    }

    fn start(&mut self) -> bool {
        let is_open = self.limiter.gate(self.now) == Gate::Open;
        if is_open {
            let permit = self.limiter.start(self.now);
            self.out.push(Taken {
                permit,
                changes: self.changes,
                lowered: self.lowered,
            });
        }
        is_open
    }

    fn report(&mut self, which: usize, signal: Signal) -> TestCaseResult {
        if self.out.is_empty() {
            return Ok(());
        }
        let taken = self.out.swap_remove(which % self.out.len());
        let before = self.limiter.limit();
        self.limiter
            .report(taken.permit, signal, self.now, &mut self.dice);
        let is_lowered = self.limiter.limit() < before;
        // 1. One decrease a window: what was in flight when the limit was lowered does not lower it again.
        prop_assert!(
            !is_lowered || taken.lowered == self.lowered,
            "{signal:?} of a request that started before the limit was lowered, lowers it again"
        );
        // 2. A failure speaks of no other limit than the one that its request was started under.
        prop_assert!(
            !(is_lowered && signal.kind.is_load_failure()) || taken.changes == self.changes,
            "{signal:?} of a request that started under another limit lowers this one"
        );
        self.changes += self.limiter.take_changes().count();
        self.lowered += usize::from(is_lowered);
        Ok(())
    }

    fn restart(&mut self, clock_ms: i64) {
        let memory = self.limiter.memory(self.now, self.unix);
        let text = serde_json::to_string(&memory).expect("a memory has no maps with odd keys");
        let memory = serde_json::from_str(&text).expect("it was written like this");
        let ceiling = self.ceiling;
        self.unix = UnixMs(self.unix.0 + clock_ms);
        self.now = Time::ZERO;
        self.limiter = HostLimiter::new(Settings { ceiling }, Some(memory), self.now, self.unix);
        self.out.clear();
        // The limit that it begins with is no change.
        drop(self.limiter.take_changes());
    }

    /// Everything comes home, and tells nothing.
    fn drain(&mut self) -> TestCaseResult {
        while !self.out.is_empty() {
            self.happens(Event::Drop { which: 0 })?;
        }
        Ok(())
    }

    /// Waits until a request may start, by what the gate says alone; returns how long that was.
    fn wait_until_open(&mut self) -> Result<Duration, TestCaseError> {
        let from = self.now;
        // Spacing, held slots and probes may follow each other, but not without end.
        for _ in 0..2 * CEILING_MAX {
            match self.limiter.gate(self.now) {
                Gate::Open => return Ok(self.now.since(from)),
                Gate::Until(at) => self.pass(at.since(self.now)),
                Gate::Full => prop_assert!(false, "full with nothing in flight"),
            }
        }
        Err(TestCaseError::fail("a gate that is never open"))
    }
}

fn events(longest_pause: u64, most: usize) -> impl Strategy<Value = Vec<Event>> {
    proptest::collection::vec(event(longest_pause), 1..most)
}

const MINUTE: Duration = Duration::from_secs(60);
/// Longer than any `Retry-After` that is believed.
const DAY: u64 = 30 * 3600;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn bounds_permits_and_one_decrease_a_window(events in events(DAY, 800), seed in any::<u64>()) {
        Use::after(events, seed)?;
    }

    #[test]
    fn a_host_with_nothing_in_flight_is_asked_again(
        events in events(DAY, 400), seed in any::<u64>(),
    ) {
        let mut used = Use::after(events, seed)?;
        used.drain()?;
        let waited = used.wait_until_open()?;
        prop_assert!(waited <= RETRY_AFTER_MAX.mul_f64(1.05) + 10 * MINUTE, "{waited:?}");
    }

    #[test]
    fn a_host_that_asks_for_no_pause_is_asked_within_ten_minutes(
        events in events(0, 400), seed in any::<u64>(),
    ) {
        let mut used = Use::after(events, seed)?;
        used.drain()?;
        let waited = used.wait_until_open()?;
        prop_assert!(waited <= 10 * MINUTE, "{waited:?}");
    }

    #[test]
    fn a_host_that_answers_again_is_asked_steadily_again(
        events in events(DAY, 300), seed in any::<u64>(),
    ) {
        let mut used = Use::after(events, seed)?;
        used.drain()?;
        used.wait_until_open()?;
        let answering_since = used.now;
        for _ in 0..200 {
            used.wait_until_open()?;
            // As many as may start, and all are answered.
            while used.start() {}
            used.pass(Duration::from_millis(100));
            while !used.out.is_empty() {
                used.happens(Event::Report { which: 0, signal: signal(SignalKind::Ok, 100) })?;
            }
        }
        let took = used.now.since(answering_since);
        prop_assert!(took <= 360 * MINUTE, "200 rounds took {took:?}");
        let state = used.limiter.state(used.now);
        prop_assert_eq!(state, State::Steady);
        prop_assert!(used.limiter.has_answered());
    }

    #[test]
    fn no_step_of_the_clock_makes_a_pause_longer_than_a_day(
        events in events(DAY, 200), seed in any::<u64>(), clock_ms in any::<i32>(), years in -100i64..100,
    ) {
        let mut used = Use::after(events, seed)?;
        let clock_ms = i64::from(clock_ms) + years * 365 * 86_400_000;
        used.happens(Event::Restart { clock_ms })?;
        if let State::Held { until } = used.limiter.state(used.now) {
            prop_assert!(until.since(used.now) <= RETRY_AFTER_MAX);
        }
        let waited = used.wait_until_open()?;
        prop_assert!(waited <= RETRY_AFTER_MAX + 10 * MINUTE, "{waited:?}");
        used.start();
        used.happens(Event::Report { which: 0, signal: signal(SignalKind::Ok, 100) })?;
        prop_assert_eq!(used.limiter.only_probed_since(), None, "one answer ends an outage");
    }

    #[test]
    fn the_changes_that_are_taken_lead_from_the_first_limit_to_the_present_one(
        events in events(DAY, 600), seed in any::<u64>(), taken_every in 1usize..40,
    ) {
        let mut used = Use::new(seed);
        used.limiter = HostLimiter::new(Settings { ceiling: 40 }, None, Time::ZERO, WALL);
        let mut told: Vec<Change> = Vec::new();
        let mut out = Vec::new();
        for (number, event) in events.into_iter().enumerate() {
            match event {
                Event::Wait { ms } => used.pass(Duration::from_millis(ms)),
                Event::Start if used.limiter.gate(used.now) == Gate::Open => {
                    out.push(used.limiter.start(used.now));
                }
                Event::Report { which, signal } if !out.is_empty() => {
                    let permit = out.swap_remove(which % out.len());
                    used.limiter.report(permit, signal, used.now, &mut used.dice);
                }
                Event::Ceiling(ceiling) => used.limiter.set_ceiling(ceiling),
                Event::Start | Event::Report { .. } | Event::Drop { .. } | Event::Restart { .. } => {}
            }
            if number % taken_every == 0 {
                told.extend(used.limiter.take_changes());
            }
        }
        told.extend(used.limiter.take_changes());
        prop_assert_eq!((told[0].reason, f64::from(told[0].to)), (Reason::Start, START));
        for pair in told.windows(2) {
            prop_assert_eq!(pair[0].to, pair[1].from, "{:?}", pair);
            prop_assert!(pair[0].at <= pair[1].at, "{:?}", pair);
        }
        let last = told[told.len() - 1];
        prop_assert_eq!((last, last.to), (used.limiter.last_change(), used.limiter.limit() as f32));
    }
}
