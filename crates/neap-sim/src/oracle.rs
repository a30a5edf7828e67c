//! How much could the best fixed limit have got out of a host, chosen in hindsight?
//!
//! Per phase: the host at rest, without faults of proxies, outages and its rate; every fixed limit is
//! simulated, and of those with at most 10 attributable failures per 1000 good answers the best counts.
//! Its goodput is then capped by the rate.

use crate::algorithm::{Choice, HARD_CAP};
use crate::scenario::{Origin, Phase, Scenario};
use crate::simulation::run;

/// Attributable failures per 1000 good answers that the oracle allows itself.
const WASTED_PER_1000: f64 = 10.0;
/// Good answers that one simulation aims at: their rate is then known to about one per cent.
const SAMPLES: f64 = 6000.0;
/// Bounds of the simulated time in seconds.
const SIMULATED: (f64, f64) = (8.0, 300.0);

/// What the best fixed limit gets.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Best {
    /// Good answers per second; 0 while the host is dead.
    pub goodput: f64,
    /// The smallest limit that gets 98 % of it: what the host bears.
    pub capacity: u32,
}

/// The best fixed limit for each phase of a scenario.
pub fn best_per_phase(scenario: &Scenario) -> Vec<Best> {
    let mut known: Vec<(Origin, Best)> = Vec::new();
    let mut found = Vec::new();
    for phase in &scenario.phases {
        let origin = phase.origin.stationary();
        let best = match known.iter().find(|(other, _)| *other == origin) {
            Some((_, best)) => *best,
            None => {
                let best = search(&origin);
                known.push((origin, best));
                best
            }
        };
        found.push(phase.origin.cap(best));
    }
    found
}

impl Origin {
    fn cap(&self, best: Best) -> Best {
        if self.dead {
            return Best {
                goodput: 0.0,
                capacity: 0,
            };
        }
        if self.rate > 0.0 && self.rate < best.goodput {
            let share = self.rate / best.goodput;
            return Best {
                goodput: self.rate,
                capacity: (f64::from(best.capacity) * share).ceil() as u32,
            };
        }
        best
    }
}

/// Coarse steps up until more brings nothing, then every limit between the best one's neighbours.
fn search(origin: &Origin) -> Best {
    let mut tried: Vec<(u32, f64)> = Vec::new();
    let mut limit = 1;
    let mut without_gain = 0;
    while limit <= HARD_CAP && without_gain < 4 {
        let best = tried.iter().fold(0.0, |best: f64, (_, g)| best.max(*g));
        let (goodput, wasted) = measure(origin, limit, 77, SAMPLES);
        if wasted <= WASTED_PER_1000 {
            tried.push((limit, goodput));
        }
        let is_gain = wasted <= WASTED_PER_1000 && goodput > best * 1.005;
        without_gain = if is_gain { 0 } else { without_gain + 1 };
        limit = (f64::from(limit) * 1.25).ceil() as u32;
    }
    let coarse = tried.iter().copied().fold(
        (1, 0.0),
        |best, next| if next.1 > best.1 { next } else { best },
    );
    let (low, high) = (coarse.0, (f64::from(coarse.0) * 1.25).ceil() as u32);
    let step = ((high - low) / 16).max(1);
    let mut best = coarse;
    for limit in (low..high).step_by(step as usize) {
        let (goodput, wasted) = measure(origin, limit, 77, SAMPLES);
        tried.push((
            limit,
            if wasted <= WASTED_PER_1000 {
                goodput
            } else {
                0.0
            },
        ));
        if wasted <= WASTED_PER_1000 && goodput > best.1 {
            best = (limit, goodput);
        }
    }
    let capacity = tried
        .iter()
        .filter(|(_, goodput)| *goodput >= 0.98 * best.1)
        .map(|(limit, _)| *limit)
        .min()
        .unwrap_or(best.0);
    // Measured anew: the best of many measurements is one that was lucky.
    let (goodput, _) = measure(origin, best.0, 78, 4.0 * SAMPLES);
    Best { goodput, capacity }
}

/// Good answers per second and wasted requests per 1000 of them, once things have settled.
fn measure(origin: &Origin, limit: u32, seed: u64, samples: f64) -> (f64, f64) {
    let cycle = origin.service_mean + origin.rtt;
    let rate = f64::from(limit.min(origin.workers * 2)) / cycle;
    let settling = (10.0 * cycle).max(if origin.poison > 0.0 { 60.0 } else { 0.5 });
    let duration = (samples / rate).clamp(SIMULATED.0.min(2000.0 * cycle), SIMULATED.1) + settling;
    let scenario = Scenario {
        name: "oracle".to_owned(),
        duration,
        phases: vec![Phase {
            at: 0.0,
            origin: origin.clone(),
        }],
    };
    let history = run(&scenario, Choice::Fixed(limit), seed, None, false);
    let count = |times: &[f64]| times.iter().filter(|at| **at >= settling).count() as f64;
    let (good, wasted) = (count(&history.successes), count(&history.wasted));
    (
        good / (duration - settling),
        1000.0 * wasted / good.max(1.0),
    )
}
