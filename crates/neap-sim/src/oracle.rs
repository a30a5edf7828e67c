//! How much could the best fixed limit have got out of a host, chosen in hindsight?
//!
//! Per phase: the host at rest, without faults of proxies, outages and its rate; every fixed limit is
//! simulated, and of those with at most 10 attributable failures per 1000 good answers the best counts.
//! Its goodput is then capped by the rate.

use crate::algorithm::{Choice, HARD_CAP};
use crate::client::Rules;
use crate::scenario::{Origin, Phase, Scenario};
use crate::simulation::{EndlessError, run};

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

/// The best fixed limit for each phase of a scenario, in the hands of such a client.
///
/// # Errors
/// When there is more to simulate than can be.
pub fn best_per_phase(scenario: &Scenario, rules: Rules) -> Result<Vec<Best>, EndlessError> {
    let mut known: Vec<(Origin, Best)> = Vec::new();
    let mut found = Vec::new();
    for phase in &scenario.phases {
        let origin = phase.origin.stationary();
        let best = match known.iter().find(|(other, _)| *other == origin) {
            Some((_, best)) => *best,
            None => {
                let best = search(&origin, rules)?;
                known.push((origin, best));
                best
            }
        };
        found.push(phase.origin.cap(best));
    }
    Ok(found)
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

fn search(origin: &Origin, rules: Rules) -> Result<Best, EndlessError> {
    let (limit, capacity) = peak(|limit| {
        let (goodput, wasted) = measure(origin, rules, limit, 77, SAMPLES)?;
        Ok((wasted <= WASTED_PER_1000).then_some(goodput))
    })?;
    // Measured anew: the best of many measurements is one that was lucky.
    let (goodput, _) = measure(origin, rules, limit, 78, 4.0 * SAMPLES)?;
    Ok(Best { goodput, capacity })
}

/// The limit with the highest goodput, and the smallest one that gets 98 % of it: coarse steps up until
/// more brings nothing, then every limit between the neighbours of the best one, as the peak may lie on
/// either side of it. `goodput` is `None` where too much is wasted.
fn peak<E>(mut goodput: impl FnMut(u32) -> Result<Option<f64>, E>) -> Result<(u32, u32), E> {
    let mut tried: Vec<(u32, f64)> = Vec::new();
    let mut best = (1, 0.0);
    // The neighbours of the best one.
    let (mut low, mut high) = (1, 2);
    let (mut limit, mut last) = (1, 1);
    let mut without_gain = 0;
    while limit <= HARD_CAP && without_gain < 4 {
        let next = (f64::from(limit) * 1.25).ceil() as u32;
        let found = goodput(limit)?.unwrap_or(0.0);
        tried.push((limit, found));
        without_gain = if found > best.1 * 1.005 {
            0
        } else {
            without_gain + 1
        };
        if found > best.1 {
            best = (limit, found);
            (low, high) = (last, next);
        }
        (last, limit) = (limit, next);
    }
    let step = ((high - low) / 32).max(1);
    for limit in (low + 1..high.min(HARD_CAP + 1)).step_by(step as usize) {
        let found = goodput(limit)?.unwrap_or(0.0);
        tried.push((limit, found));
        if found > best.1 {
            best = (limit, found);
        }
    }
    let is_enough = |(_, found): &&(u32, f64)| *found >= 0.98 * best.1;
    let capacity = tried
        .iter()
        .filter(is_enough)
        .map(|(limit, _)| *limit)
        .min();
    Ok((best.0, capacity.unwrap_or(best.0)))
}

/// Good answers per second and wasted requests per 1000 of them, once things have settled.
fn measure(
    origin: &Origin,
    rules: Rules,
    limit: u32,
    seed: u64,
    samples: f64,
) -> Result<(f64, f64), EndlessError> {
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
    let history = run(&scenario, Choice::Fixed(limit), rules, seed, None, false)?;
    let count = |times: &[f64]| times.iter().filter(|at| **at >= settling).count() as f64;
    let (good, wasted) = (count(&history.successes), count(&history.wasted));
    Ok((
        good / (duration - settling),
        1000.0 * wasted / good.max(1.0),
    ))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn peak_of(goodput: impl Fn(u32) -> f64) -> (u32, u32) {
        let found = |limit| Ok::<_, Infallible>(Some(goodput(limit)));
        peak(found).unwrap_or_else(|never| match never {})
    }

    #[test]
    fn a_peak_is_found_on_either_side_of_the_best_coarse_step() {
        // Coarse steps lie at 38, 48 and 60: below the peak of 44 more is wasted than above.
        let below = |limit: u32| match limit {
            0..=44 => f64::from(limit),
            45.. => 44.0 - 0.5 * f64::from(limit - 44),
        };
        assert_eq!(peak_of(below), (44, 44));
        let above = |limit: u32| match limit {
            0..=51 => f64::from(limit),
            52.. => 51.0 - 2.0 * f64::from(limit - 51),
        };
        assert_eq!(peak_of(above), (51, 50));
    }

    #[test]
    fn limits_that_waste_too_much_do_not_count() {
        let found = |limit: u32| Ok::<_, Infallible>((limit <= 10).then_some(f64::from(limit)));
        let (best, _) = peak(found).unwrap_or_else(|never| match never {});
        assert_eq!(best, 10);
    }
}
