//! Does the whole limiter keep its promises, whatever happens to it?

use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::*;

mod properties;

const WALL: UnixMs = UnixMs(1_700_000_000_000);

fn limiter(ceiling: u32, memory: Option<Memory>) -> HostLimiter {
    HostLimiter::new(Settings { ceiling }, memory, Time::ZERO, WALL)
}

fn signal(kind: SignalKind, latency_ms: u64) -> Signal {
    Signal {
        kind,
        latency: Some(Duration::from_millis(latency_ms)),
        retry_after: None,
        is_retry: false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_memory_gives_a_limiter_that_works(
        limit in any::<f64>(), ceiling in proptest::option::of(any::<f64>()),
        background in any::<f64>(), latency_s in any::<f32>(), base in any::<f32>(),
        rate in any::<f32>(), times in any::<[i64; 4]>(),
    ) {
        let memory = Memory {
            saved_at: UnixMs(times[0]),
            limit,
            ceiling,
            background,
            latency_s,
            base_ln: Some(base),
            rate,
            rate_at: UnixMs(times[1]),
            held_until: Some(UnixMs(times[2])),
            failing_since: Some(UnixMs(times[3])),
        };
        let mut limiter = limiter(64, Some(memory));
        let mut dice = SmallRng::seed_from_u64(1);
        let mut now = Time::ZERO;
        let mut answered = 0;
        for _ in 0..2000 {
            match limiter.gate(now) {
                Gate::Open => {
                    let permit = limiter.start(now);
                    now = now + Duration::from_millis(100);
                    limiter.report(permit, signal(SignalKind::Ok, 100), now, &mut dice);
                    answered += 1;
                }
                Gate::Until(at) => now = at,
                Gate::Full => prop_assert!(false, "full with nothing in flight"),
            }
            prop_assert!((LEAST..=64.0).contains(&limiter.limit()), "limit {}", limiter.limit());
        }
        prop_assert!(answered > 500, "{answered} answers");
    }
}

#[test]
fn an_idle_host_takes_less_than_400_bytes() {
    let size = size_of::<HostLimiter>();
    println!("{size} bytes, and nothing on the heap");
    assert!(size < 400, "{size} bytes, and nothing on the heap");
}

#[test]
fn a_hold_asked_for_yesterday_still_holds_today() {
    let mut dice = SmallRng::seed_from_u64(1);
    let mut first = limiter(40, None);
    let permit = first.start(Time::ZERO);
    let told = Signal {
        retry_after: Some(Duration::from_secs(20 * 3600)),
        ..signal(SignalKind::RateLimited, 5)
    };
    let now = Time::from_secs_f64(1.0);
    first.report(permit, told, now, &mut dice);
    let text = serde_json::to_string(&first.memory(now, WALL)).unwrap();

    let memory: Memory = serde_json::from_str(&text).unwrap();
    let later = WALL + Duration::from_secs(12 * 3600);
    let second = HostLimiter::new(Settings { ceiling: 40 }, Some(memory), Time::ZERO, later);
    let Gate::Until(until) = second.gate(Time::ZERO) else {
        panic!("not held: {:?}", second.gate(Time::ZERO));
    };
    let hours = until.as_secs_f64() / 3600.0;
    assert!(
        (8.0..9.1).contains(&hours),
        "8 h are left and up to 5 % more, held for {hours}"
    );
    assert!(matches!(second.state(Time::ZERO), State::Held { .. }));
}

#[test]
fn an_outage_goes_on_in_the_next_run_with_a_probe() {
    let mut dice = SmallRng::seed_from_u64(1);
    let mut first = limiter(40, None);
    let mut now = Time::ZERO;
    while first.only_probed_since().is_none() {
        let permit = first.start(now);
        now = now + Duration::from_millis(700);
        first.report(permit, signal(SignalKind::Connect, 10), now, &mut dice);
    }
    let memory = first.memory(now, WALL);
    let later = WALL + Duration::from_secs(60);
    let mut second = HostLimiter::new(Settings { ceiling: 40 }, Some(memory), Time::ZERO, later);
    assert!(second.only_probed_since().is_some());
    assert_eq!(second.gate(Time::ZERO), Gate::Open);
    let probe = second.start(Time::ZERO);
    assert!(probe.is_probe());
    assert_eq!(second.gate(Time::ZERO), Gate::Full, "one probe at a time");
    second.report(
        probe,
        signal(SignalKind::Ok, 100),
        Time::from_secs_f64(0.1),
        &mut dice,
    );
    assert_eq!(second.only_probed_since(), None);
}

#[test]
fn what_a_host_could_bear_is_taken_up_within_the_hour_and_forgotten_after() {
    let memory = Memory {
        saved_at: WALL,
        limit: 30.0,
        ceiling: Some(40.0),
        background: 0.0,
        latency_s: 0.2,
        base_ln: None,
        rate: 0.0,
        rate_at: WALL,
        held_until: None,
        failing_since: None,
    };
    for (minutes, expected) in [(5, 8.0), (59, 8.0), (61, START)] {
        let now = WALL + Duration::from_secs(minutes * 60);
        let limiter = HostLimiter::new(Settings { ceiling: 100 }, Some(memory), Time::ZERO, now);
        assert_eq!(limiter.limit(), expected, "after {minutes} minutes");
    }
}

#[test]
fn a_warm_start_is_not_called_the_end_of_an_outage() {
    let memory = Memory {
        saved_at: WALL,
        limit: 30.0,
        ceiling: None,
        background: 0.0,
        latency_s: 0.05,
        base_ln: None,
        rate: 0.0,
        rate_at: WALL,
        held_until: None,
        failing_since: None,
    };
    let mut dice = SmallRng::seed_from_u64(1);
    let mut limiter = limiter(100, Some(memory));
    let (mut now, mut reasons) = (Time::ZERO, Vec::new());
    while limiter.limit() < 30.0 {
        let permits: Vec<_> = (0..8).map(|_| limiter.start(now)).collect();
        now = now + Duration::from_millis(50);
        for permit in permits {
            limiter.report(permit, signal(SignalKind::Ok, 50), now, &mut dice);
        }
        reasons.extend(limiter.take_changes().map(|change| change.reason));
        assert!(now < Time::from_secs_f64(60.0), "{reasons:?}");
    }
    assert_eq!(reasons[..2], [Reason::Start, Reason::Warm]);
    assert!(!reasons.contains(&Reason::Ramp), "{reasons:?}");
}

#[test]
fn failures_of_one_page_say_nothing_about_its_host() {
    let mut dice = SmallRng::seed_from_u64(1);
    let mut limiter = limiter(40, None);
    let mut now = Time::ZERO;
    for i in 0..400 {
        assert_eq!(limiter.gate(now), Gate::Open);
        let permit = limiter.start(now);
        now = now + Duration::from_millis(50);
        let is_poison = i % 4 == 0;
        let kind = if is_poison {
            SignalKind::Overload
        } else {
            SignalKind::Ok
        };
        let seen = Signal {
            is_retry: is_poison,
            ..signal(kind, 50)
        };
        let before = limiter.limit();
        limiter.report(permit, seen, now, &mut dice);
        assert!(limiter.limit() >= before, "lowered at request {i}");
    }
}

fn signal_after(kind: SignalKind, retry_after: Option<u64>, is_retry: bool) -> Signal {
    Signal {
        retry_after: retry_after.map(Duration::from_secs),
        is_retry,
        ..signal(kind, 50)
    }
}

fn ask(limiter: &mut HostLimiter, signal: Signal, now: &mut Time, dice: &mut SmallRng) {
    while let Gate::Until(at) = limiter.gate(*now) {
        *now = at;
    }
    let permit = limiter.start(*now);
    *now = *now + Duration::from_millis(50);
    limiter.report(permit, signal, *now, dice);
}

fn answer_well(count: u32, limiter: &mut HostLimiter, now: &mut Time, dice: &mut SmallRng) {
    for _ in 0..count {
        ask(limiter, signal(SignalKind::Ok, 50), now, dice);
    }
}

/// When the next request may start, after the hold that the host asked for.
fn spacing(limiter: &mut HostLimiter, now: &mut Time, dice: &mut SmallRng) -> Duration {
    ask(limiter, signal(SignalKind::Ok, 50), now, dice);
    let before = *now;
    ask(limiter, signal(SignalKind::Ok, 50), now, dice);
    now.since(before)
}

#[test]
fn a_first_refusal_late_in_a_run_does_not_take_the_time_before_for_its_rate() {
    let mut dice = SmallRng::seed_from_u64(1);
    let mut now = Time::from_secs_f64(3600.0);
    let mut limiter = HostLimiter::new(Settings { ceiling: 16 }, None, now, WALL);
    answer_well(10, &mut limiter, &mut now, &mut dice);
    let refusal = signal_after(SignalKind::RateLimited, Some(1), false);
    ask(&mut limiter, refusal, &mut now, &mut dice);
    let wait = spacing(&mut limiter, &mut now, &mut dice);
    assert!(wait < Duration::from_secs(1), "{wait:?} between requests");
}

#[test]
fn a_refusal_of_the_very_first_request_spaces_by_what_it_asks_for() {
    let mut dice = SmallRng::seed_from_u64(1);
    let (mut now, mut limiter) = (Time::ZERO, limiter(16, None));
    let refusal = signal_after(SignalKind::RateLimited, Some(1), false);
    ask(&mut limiter, refusal, &mut now, &mut dice);
    let wait = spacing(&mut limiter, &mut now, &mut dice);
    assert!(wait < Duration::from_secs(3), "{wait:?} between requests");
}

#[test]
fn an_hour_without_requests_is_no_sign_of_a_low_rate() {
    let mut dice = SmallRng::seed_from_u64(1);
    let (mut now, mut limiter) = (Time::ZERO, limiter(16, None));
    answer_well(600, &mut limiter, &mut now, &mut dice);
    now = now + Duration::from_secs(3600);
    answer_well(4, &mut limiter, &mut now, &mut dice);
    let refusal = signal_after(SignalKind::RateLimited, Some(1), false);
    ask(&mut limiter, refusal, &mut now, &mut dice);
    let wait = spacing(&mut limiter, &mut now, &mut dice);
    assert!(wait < Duration::from_secs(1), "{wait:?} between requests");
}

#[test]
fn one_page_that_always_says_later_does_not_hold_its_host() {
    let mut dice = SmallRng::seed_from_u64(1);
    let (mut now, mut limiter) = (Time::ZERO, limiter(16, None));
    answer_well(10, &mut limiter, &mut now, &mut dice);
    let refusal = signal_after(SignalKind::Overload, Some(120), true);
    ask(&mut limiter, refusal, &mut now, &mut dice);
    assert_eq!(limiter.state(now), State::Steady);
}

#[test]
fn a_stopped_host_that_refuses_a_page_is_alive_and_a_probe_without_evidence_waits() {
    let mut dice = SmallRng::seed_from_u64(1);
    let (mut now, mut limiter) = (Time::ZERO, limiter(16, None));
    ask(
        &mut limiter,
        signal(SignalKind::Ok, 50),
        &mut now,
        &mut dice,
    );
    for _ in 0..8 {
        if limiter.only_probed_since().is_none() {
            ask(
                &mut limiter,
                signal_after(SignalKind::Connect, None, true),
                &mut now,
                &mut dice,
            );
        }
    }
    assert!(
        limiter.only_probed_since().is_some(),
        "refused connections count, retried or not"
    );
    ask(&mut limiter, Signal::NOTHING, &mut now, &mut dice);
    assert!(matches!(limiter.gate(now), Gate::Until(at) if at > now + Duration::from_millis(500)));
    ask(
        &mut limiter,
        signal(SignalKind::Alive, 50),
        &mut now,
        &mut dice,
    );
    assert_eq!(limiter.only_probed_since(), None);
}

#[test]
fn a_ramp_ends_at_a_ceiling_that_came_down_meanwhile() {
    let memory = limiter_memory();
    let mut dice = SmallRng::seed_from_u64(1);
    let (mut now, mut limiter) = (Time::ZERO, limiter(64, Some(memory)));
    limiter.set_ceiling(8);
    for _ in 0..300 {
        ask(
            &mut limiter,
            signal(SignalKind::Ok, 50),
            &mut now,
            &mut dice,
        );
        let still = limiter
            .take_changes()
            .filter(|change| change.from == change.to);
        assert!(
            still
                .filter(|change| change.reason != Reason::Start)
                .count()
                == 0
        );
    }
}

fn limiter_memory() -> Memory {
    Memory {
        saved_at: WALL,
        limit: 64.0,
        ceiling: None,
        background: 0.0,
        latency_s: 0.05,
        base_ln: None,
        rate: 0.0,
        rate_at: WALL,
        held_until: None,
        failing_since: None,
    }
}
