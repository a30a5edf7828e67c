//! How well did a limiter do?
//!
//! Goodput against the oracle's, failures that another limit would have avoided, and how soon nine
//! tenths of the oracle are reached after the start and after each change of the host.

use serde::Serialize;

use crate::algorithm::Choice;
use crate::client::Rules;
use crate::oracle::Best;
use crate::scenario::Scenario;
use crate::simulation::{EndlessError, History, run};

/// The share of the oracle's goodput that counts as having got there.
const THERE: f64 = 0.9;
/// Goodput is looked at over the time in which the oracle gets this many answers, at least a second.
const LOOK: f64 = 20.0;
/// Seconds between two looks.
const STEP: f64 = 0.25;
/// Seconds after a change within which a limit learned before it is not held against a limiter.
const GRACE: f64 = 5.0;

/// One row of the result: means over seeds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Score {
    /// The scenario's name.
    pub scenario: String,
    /// The limiter's name.
    pub algorithm: String,
    /// Whose rules the client kept.
    pub client: String,
    /// The seeds.
    pub seeds: Vec<u64>,
    /// Goodput as a share of the oracle's.
    pub ratio: f64,
    /// Attributable failures per 1000 good answers.
    pub wasted_per_1000: f64,
    /// Seconds until nine tenths of the oracle's goodput after the start; `None` if never.
    pub t90_start_s: Option<f64>,
    /// The same after changes of the host to another living state, mean over them; a change after
    /// which it is never reached counts with its whole length.
    pub t90_change_s: Option<f64>,
    /// Most requests in flight as a multiple of what the host bears, the worst phase.
    pub overshoot: f64,
    /// Requests started while the host was dead.
    pub dead_requests: f64,
    /// Pages lost that would have been answered.
    pub lost_pages: f64,
}

/// Runs a limiter with each seed and takes the means. `is_warm` lets each run begin with what a run
/// before it, with another seed, remembered.
///
/// # Errors
/// When there is more to simulate than can be.
pub fn judge(
    scenario: &Scenario,
    best: &[Best],
    choice: Choice,
    rules: Rules,
    seeds: &[u64],
    is_warm: bool,
) -> Result<Score, EndlessError> {
    let rows: Vec<Row> = seeds
        .iter()
        .map(|seed| {
            let memory = if is_warm {
                run(scenario, choice, rules, seed + 500_000, None, false)?.memory
            } else {
                None
            };
            let history = run(scenario, choice, rules, *seed, memory, true)?;
            Ok(Row::of(scenario, best, &history))
        })
        .collect::<Result<_, EndlessError>>()?;
    let mean = |value: fn(&Row) -> f64| rows.iter().map(value).sum::<f64>() / rows.len() as f64;
    let mean_of = |value: fn(&Row) -> Option<f64>| {
        let values: Option<Vec<f64>> = rows.iter().map(value).collect();
        values.map(|values| values.iter().sum::<f64>() / values.len() as f64)
    };
    Ok(Score {
        scenario: scenario.name.clone(),
        algorithm: choice.to_string(),
        client: rules.to_string(),
        seeds: seeds.to_vec(),
        ratio: mean(|row| row.ratio),
        wasted_per_1000: mean(|row| row.wasted_per_1000),
        t90_start_s: mean_of(|row| row.t90_start_s),
        t90_change_s: mean_of(|row| row.t90_change_s),
        overshoot: mean(|row| row.overshoot),
        dead_requests: mean(|row| row.dead_requests),
        lost_pages: mean(|row| row.lost_pages),
    })
}

struct Row {
    ratio: f64,
    wasted_per_1000: f64,
    t90_start_s: Option<f64>,
    t90_change_s: Option<f64>,
    overshoot: f64,
    dead_requests: f64,
    lost_pages: f64,
}

impl Row {
    fn of(scenario: &Scenario, best: &[Best], history: &History) -> Row {
        let spans: Vec<Span> = spans(scenario, best);
        let possible: f64 = spans
            .iter()
            .map(|s| s.best.goodput * (s.end - s.start))
            .sum();
        let good = history.successes.len() as f64;
        let reached: Vec<Option<f64>> = spans
            .iter()
            .filter(|span| span.best.goodput > 0.0)
            .map(|span| span.time_to_90(&history.successes))
            .collect();
        let changes: Vec<f64> = spans
            .iter()
            .filter(|span| span.best.goodput > 0.0)
            .zip(&reached)
            .filter(|(span, _)| span.start > 0.0)
            .map(|(span, reached)| reached.unwrap_or(span.end - span.start))
            .collect();
        let overshoot = spans
            .iter()
            .filter(|span| span.best.capacity > 0)
            .map(|span| span.overshoot(history))
            .fold(0.0, f64::max);
        Row {
            ratio: good / possible,
            wasted_per_1000: 1000.0 * history.wasted.len() as f64 / good.max(1.0),
            t90_start_s: reached.first().copied().flatten(),
            t90_change_s: (!changes.is_empty())
                .then(|| changes.iter().sum::<f64>() / changes.len() as f64),
            overshoot,
            dead_requests: spans
                .iter()
                .filter(|span| span.best.goodput == 0.0)
                .map(|span| within(&history.starts, span.start, span.end) as f64)
                .sum(),
            lost_pages: history.lost_good as f64,
        }
    }
}

struct Span {
    start: f64,
    end: f64,
    best: Best,
}

fn spans(scenario: &Scenario, best: &[Best]) -> Vec<Span> {
    let starts = scenario.phases.iter().map(|phase| phase.at);
    let ends = scenario.phases.iter().skip(1).map(|phase| phase.at);
    starts
        .zip(ends.chain([scenario.duration]))
        .zip(best)
        .map(|((start, end), best)| Span {
            start: start.min(scenario.duration),
            end: end.min(scenario.duration),
            best: *best,
        })
        .collect()
}

impl Span {
    /// Seconds from the phase's start to the beginning of the first stretch that is good enough.
    fn time_to_90(&self, successes: &[f64]) -> Option<f64> {
        let look = (LOOK / self.best.goodput).max(1.0);
        let mut at = self.start;
        while at + look <= self.end {
            let goodput = within(successes, at, at + look) as f64 / look;
            if goodput >= THERE * self.best.goodput {
                return Some(at - self.start);
            }
            at += STEP;
        }
        None
    }

    fn overshoot(&self, history: &History) -> f64 {
        let from = if self.start > 0.0 {
            self.start + GRACE
        } else {
            0.0
        };
        let most = history
            .trace
            .iter()
            .filter(|sample| (from..self.end).contains(&sample.at))
            .map(|sample| sample.in_flight + 1)
            .max()
            .unwrap_or(0);
        f64::from(most) / f64::from(self.best.capacity)
    }
}

/// How many of these ascending times lie in `from..to`.
fn within(times: &[f64], from: f64, to: f64) -> usize {
    times.partition_point(|at| *at < to) - times.partition_point(|at| *at < from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reaching_nine_tenths_is_measured_from_the_start_of_the_phase() {
        let span = Span {
            start: 10.0,
            end: 40.0,
            best: Best {
                goodput: 100.0,
                capacity: 10,
            },
        };
        let slow = (0..200).map(|i| 10.0 + f64::from(i) / 50.0);
        let fast = (0..2000).map(|i| 14.0 + f64::from(i) / 100.0);
        let successes: Vec<f64> = slow.chain(fast).collect();
        let reached = span.time_to_90(&successes).unwrap();
        assert!((3.7..=4.0).contains(&reached), "{reached}");
        assert_eq!(span.time_to_90(&successes[..200]), None);
    }
}
