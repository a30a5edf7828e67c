//! What does a scenario file say about a host and how it changes?
//!
//! A scenario is a host's values from the start and phases that override them. A phase overrides the
//! start's values, not those of the phase before it. Everything unknown is refused, so that no key is
//! read and ignored.

use std::path::Path;

use serde::{Deserialize, Serialize};

/// A scenario file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// The file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// Which file.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The text is not a list of scenarios.
    #[error("not a scenario file")]
    Parse(#[from] toml::de::Error),
    /// A value makes no sense.
    #[error("scenario {scenario}: {what}")]
    Value {
        /// Which scenario.
        scenario: String,
        /// What is wrong with it.
        what: String,
    },
}

/// A host, how long it is crawled, and how it changes meanwhile.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// Its name.
    pub name: String,
    /// Seconds that are simulated.
    pub duration: f64,
    /// What holds when, in order of time; the first begins at 0.
    pub phases: Vec<Phase>,
}

/// A host's values from a time on.
#[derive(Debug, Clone, PartialEq)]
pub struct Phase {
    /// Seconds from the start.
    pub at: f64,
    /// The host's values.
    pub origin: Origin,
}

/// How long one request takes a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Service {
    /// Always the mean.
    Const,
    /// Exponential.
    Exp,
    /// Lognormal; `service_sigma` is the sigma of the logarithm.
    Lognormal,
    /// Pareto; `service_sigma` is the exponent alpha, above 1.
    Pareto,
}

/// The values of a modelled host.
///
/// The defaults are those that reproduce the published table of baseline algorithms (see the crate's
/// README): service 0.3 s, round trip 40 ms, a refusal after 50 ms, a dead host's failure after 20 ms.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Origin {
    /// Parallel servers behind the edge.
    pub workers: u32,
    /// The distribution of the time that one request takes a worker.
    pub service: Service,
    /// Its mean, in seconds.
    pub service_mean: f64,
    /// The lognormal's sigma or the Pareto's alpha. Default: 0.4 and 1.5.
    pub service_sigma: Option<f64>,
    /// Places in the queue before the workers.
    pub queue: u32,
    /// What a refused request is answered with; 0 is a connection that fails, 1 no answer.
    pub overload_status: u16,
    /// Seconds until a refused request is answered, +-20 %.
    pub overload_latency: f64,
    /// Seconds after which the edge answers 504 while the worker goes on; 0 is off.
    pub gateway_timeout: f64,
    /// Seconds after which the client gives up while the worker goes on.
    pub client_timeout: f64,
    /// Round trip of the network in seconds, half each way.
    pub rtt: f64,
    /// Service takes 1 + degrade * max(0, (busy + queued) / workers - degrade_knee) times as long.
    pub degrade: f64,
    /// See `degrade`.
    pub degrade_knee: f64,
    /// Above this many requests at once the host goes down; 0 is off.
    pub collapse_at: u32,
    /// It comes back when at most `rest_max` requests arrived within this many seconds.
    pub rest_seconds: f64,
    /// See `rest_seconds`.
    pub rest_max: u32,
    /// Share of requests that fail with 502 whatever the load.
    pub random_502: f64,
    /// Seconds until such a failure is answered.
    pub random_latency: f64,
    /// Share of URLs that are always answered with 502.
    pub poison: f64,
    /// Requests per second that the host allows; 0 is off.
    pub rate: f64,
    /// How many it allows at once.
    pub burst: f64,
    /// What a request beyond the rate is answered with.
    pub rate_status: u16,
    /// The `Retry-After` of that answer in seconds; 0 sends none.
    pub retry_after: f64,
    /// Tokens that each refused request costs.
    pub rate_penalty: f64,
    /// Every arrival fails.
    pub dead: bool,
    /// What a dead host answers with; 0 is a connection that fails, 1 no answer.
    pub dead_status: u16,
    /// Seconds until it does.
    pub dead_latency: f64,
    /// One entry per proxy: the share of requests that it fails itself with 502.
    pub egress_502: Vec<f64>,
}

impl Default for Origin {
    fn default() -> Origin {
        Origin {
            workers: 10,
            service: Service::Lognormal,
            service_mean: 0.3,
            service_sigma: None,
            queue: 0,
            overload_status: 502,
            overload_latency: 0.05,
            gateway_timeout: 0.0,
            client_timeout: 30.0,
            rtt: 0.04,
            degrade: 0.0,
            degrade_knee: 1.0,
            collapse_at: 0,
            rest_seconds: 5.0,
            rest_max: 3,
            random_502: 0.0,
            random_latency: 0.1,
            poison: 0.0,
            rate: 0.0,
            burst: 1.0,
            rate_status: 429,
            retry_after: 0.0,
            rate_penalty: 0.0,
            dead: false,
            dead_status: 502,
            dead_latency: 0.02,
            egress_502: Vec::new(),
        }
    }
}

impl Origin {
    /// The lognormal's sigma or the Pareto's alpha.
    pub fn sigma(&self) -> f64 {
        self.service_sigma.unwrap_or(match self.service {
            Service::Const | Service::Exp | Service::Lognormal => 0.4,
            Service::Pareto => 1.5,
        })
    }

    /// The same host without what no fixed limit can do anything about: faults of proxies, the rate,
    /// outages.
    pub fn stationary(&self) -> Origin {
        Origin {
            rate: 0.0,
            dead: false,
            egress_502: Vec::new(),
            ..self.clone()
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    scenario: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    duration: f64,
    origin: toml::Table,
    #[serde(default)]
    phase: Vec<toml::Table>,
}

/// Reads a scenario file.
///
/// # Errors
/// When the file cannot be read, is not TOML, or holds an unknown key or a value out of range.
pub fn read(path: &Path) -> Result<Vec<Scenario>, ScenarioError> {
    let text = std::fs::read_to_string(path).map_err(|source| ScenarioError::Read {
        path: path.display().to_string(),
        source,
    })?;
    parse(&text)
}

/// Reads scenarios from the text of a file.
///
/// # Errors
/// As [`read`], except for reading.
pub fn parse(text: &str) -> Result<Vec<Scenario>, ScenarioError> {
    let file: File = toml::from_str(text)?;
    file.scenario.into_iter().map(Entry::check).collect()
}

impl Entry {
    fn check(self) -> Result<Scenario, ScenarioError> {
        let wrong = |what: String| ScenarioError::Value {
            scenario: self.name.clone(),
            what,
        };
        if !(self.duration > 0.0 && self.duration <= 100_000.0) {
            return Err(wrong(format!("duration {} s", self.duration)));
        }
        let mut phases = vec![Phase {
            at: 0.0,
            origin: self.origin.clone().try_into()?,
        }];
        for mut overrides in self.phase.clone() {
            let at = match overrides.remove("at") {
                Some(toml::Value::Float(at)) => at,
                Some(toml::Value::Integer(at)) => at as f64,
                other => return Err(wrong(format!("a phase at {other:?}"))),
            };
            if at <= phases.last().map_or(0.0, |phase| phase.at) {
                return Err(wrong(format!("the phase at {at} s is out of order")));
            }
            let mut origin = self.origin.clone();
            origin.extend(overrides);
            phases.push(Phase {
                at,
                origin: origin.try_into()?,
            });
        }
        for phase in &phases {
            phase.origin.check().map_err(wrong)?;
        }
        Ok(Scenario {
            name: self.name,
            duration: self.duration,
            phases,
        })
    }
}

impl Origin {
    fn check(&self) -> Result<(), String> {
        let shares = [self.random_502, self.poison];
        let times = [
            self.overload_latency,
            self.gateway_timeout,
            self.rtt,
            self.degrade,
            self.rest_seconds,
            self.random_latency,
            self.rate,
            self.burst,
            self.retry_after,
            self.rate_penalty,
            self.dead_latency,
        ];
        let checks = [
            (self.workers >= 1, "workers must be at least 1"),
            (self.service_mean > 0.0, "service_mean must be above 0"),
            (self.client_timeout > 0.0, "client_timeout must be above 0"),
            (
                self.service != Service::Pareto || self.sigma() > 1.0,
                "a Pareto without a mean",
            ),
            (
                shares
                    .iter()
                    .chain(&self.egress_502)
                    .all(|s| (0.0..=1.0).contains(s)),
                "a share must be within 0 and 1",
            ),
            (
                times.iter().all(|t| t.is_finite() && *t >= 0.0),
                "times and rates must be 0 or above",
            ),
        ];
        match checks.iter().find(|(is_right, _)| !is_right) {
            Some((_, what)) => Err((*what).to_owned()),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phase_overrides_the_start_and_not_the_phase_before() {
        let text = "[[scenario]]\nname = 'x'\nduration = 60\norigin = { workers = 8, rtt = 0.1 }\n\
                    phase = [{ at = 10, dead = true }, { at = 20.5, workers = 2 }]";
        let scenario = parse(text).unwrap().remove(0);
        let seen: Vec<_> = scenario
            .phases
            .iter()
            .map(|p| (p.at, p.origin.workers, p.origin.dead, p.origin.rtt))
            .collect();
        assert_eq!(
            seen,
            [
                (0.0, 8, false, 0.1),
                (10.0, 8, true, 0.1),
                (20.5, 2, false, 0.1)
            ]
        );
    }

    #[test]
    fn what_is_unknown_or_makes_no_sense_is_refused() {
        for origin in [
            "worker = 3",
            "workers = 0",
            "random_502 = 1.5",
            "rtt = -1.0",
            "service = 'uniform'",
            "service = 'pareto', service_sigma = 1.0",
        ] {
            let text = format!("[[scenario]]\nname='x'\nduration=1.0\norigin={{ {origin} }}");
            assert!(parse(&text).is_err(), "{origin}");
        }
    }
}
