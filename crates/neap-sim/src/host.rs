//! How does a modelled host answer, and when?
//!
//! A host is an edge and its workers. The edge refuses what is beyond the rate, beyond the queue, or
//! comes while the host is down; the workers serve the rest in order of arrival. A request that the
//! edge or the client gave up on is served all the same: that is the work under overload which nobody
//! waits for.

use std::collections::VecDeque;
use std::time::Duration;

use neap_core::Time;
use rand::Rng;
use rand::rngs::SmallRng;

use crate::scenario::{Origin, Service};

/// A request, by number in order of its start.
pub type RequestIndex = usize;

/// Why a request failed, as only the model can know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Refused, or timed out, because of the load.
    Load,
    /// Beyond the rate.
    Rate,
    /// The host was dead.
    Dead,
    /// The proxy failed.
    Egress,
    /// By chance, whatever the load.
    Chance,
    /// This page always fails.
    Poison,
}

impl Cause {
    /// Whether another limit or another way out would have avoided it.
    pub const fn is_attributable(self) -> bool {
        match self {
            Cause::Load | Cause::Rate | Cause::Dead | Cause::Egress => true,
            Cause::Chance | Cause::Poison => false,
        }
    }
}

/// A failure answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Refusal {
    /// The status; 0 is a connection that fails, 1 no answer at all.
    pub status: u16,
    /// Why.
    pub cause: Cause,
    /// From now until the edge answers.
    pub latency: Duration,
    /// The answer's `Retry-After`.
    pub retry_after: Option<Duration>,
}

/// What the edge does with an arrival.
#[derive(Debug, Clone, PartialEq)]
pub enum Arrival {
    /// It is refused.
    Refused(Refusal),
    /// It waits for a worker, or has one.
    Accepted,
    /// It brought the host down: it and all of these fail.
    Collapsed(Refusal, Vec<RequestIndex>),
}

/// A modelled host.
#[derive(Debug)]
pub struct ModelHost {
    origin: Origin,
    queued: VecDeque<RequestIndex>,
    serving: Vec<RequestIndex>,
    tokens: f64,
    tokens_at: Time,
    /// The arrivals of the last `rest_seconds`, kept while the host is able to collapse.
    arrivals: VecDeque<Time>,
    is_down: bool,
    /// Counts collapses: what a worker finishes of an earlier life is void.
    pub life: u32,
}

impl ModelHost {
    /// A host at rest.
    pub fn new(origin: Origin) -> ModelHost {
        ModelHost {
            tokens: origin.burst,
            origin,
            queued: VecDeque::new(),
            serving: Vec::new(),
            tokens_at: Time::ZERO,
            arrivals: VecDeque::new(),
            is_down: false,
            life: 0,
        }
    }

    /// The values that hold now.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Takes other values; what runs goes on.
    pub fn change(&mut self, origin: Origin) {
        self.tokens = self.tokens.min(origin.burst);
        self.origin = origin;
    }

    /// Decides about an arrival. The failures that need no load come first, as an edge has them.
    pub fn arrive(
        &mut self,
        request: RequestIndex,
        is_poison: bool,
        now: Time,
        dice: &mut SmallRng,
    ) -> Arrival {
        let is_down = self.origin.collapse_at > 0 && self.is_resting(now);
        let origin = &self.origin;
        if origin.dead {
            return refused(origin.dead_status, Cause::Dead, origin.dead_latency);
        }
        if is_down {
            let latency = origin.overload_latency * dice.random_range(0.8..1.2);
            return refused(origin.overload_status, Cause::Load, latency);
        }
        if origin.rate > 0.0 && !self.takes_token(now) {
            let origin = &self.origin;
            let mut refusal = refusal(origin.rate_status, Cause::Rate, 0.005);
            refusal.retry_after =
                (origin.retry_after > 0.0).then(|| Duration::from_secs_f64(origin.retry_after));
            return Arrival::Refused(refusal);
        }
        let origin = &self.origin;
        if is_poison {
            return refused(502, Cause::Poison, origin.random_latency);
        }
        if origin.random_502 > 0.0 && dice.random_bool(origin.random_502) {
            return refused(502, Cause::Chance, origin.random_latency);
        }
        let latency = origin.overload_latency * dice.random_range(0.8..1.2);
        let overload = refusal(origin.overload_status, Cause::Load, latency);
        let present = (self.serving.len() + self.queued.len()) as u32;
        if self.origin.collapse_at > 0 && present + 1 > self.origin.collapse_at {
            self.is_down = true;
            self.life += 1;
            let mut lost: Vec<RequestIndex> = self.serving.drain(..).collect();
            lost.extend(self.queued.drain(..));
            return Arrival::Collapsed(overload, lost);
        }
        if present >= self.origin.workers.saturating_add(self.origin.queue) {
            return Arrival::Refused(overload);
        }
        self.queued.push_back(request);
        Arrival::Accepted
    }

    /// The next request that a free worker takes up, and how long it takes.
    pub fn serve_next(&mut self, dice: &mut SmallRng) -> Option<(RequestIndex, Duration)> {
        if self.serving.len() >= self.origin.workers as usize {
            return None;
        }
        let present = (self.serving.len() + self.queued.len()) as f64;
        let request = self.queued.pop_front()?;
        self.serving.push(request);
        let load = present / f64::from(self.origin.workers);
        let slowdown = 1.0 + self.origin.degrade * (load - self.origin.degrade_knee).max(0.0);
        Some((
            request,
            Duration::from_secs_f64(draw_service(&self.origin, dice) * slowdown),
        ))
    }

    /// A worker is done with a request.
    pub fn finish(&mut self, request: RequestIndex) {
        if let Some(place) = self.serving.iter().position(|r| *r == request) {
            self.serving.swap_remove(place);
        }
    }

    fn takes_token(&mut self, now: Time) -> bool {
        let refilled = now.since(self.tokens_at).as_secs_f64() * self.origin.rate;
        self.tokens = (self.tokens + refilled).min(self.origin.burst.max(1.0));
        self.tokens_at = now;
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return true;
        }
        self.tokens -= self.origin.rate_penalty;
        false
    }

    /// Whether the host is down after a collapse. It comes up when few enough arrivals came of late, of
    /// whatever kind.
    fn is_resting(&mut self, now: Time) -> bool {
        let rest = Duration::from_secs_f64(self.origin.rest_seconds);
        while self
            .arrivals
            .front()
            .is_some_and(|at| now.since(*at) > rest)
        {
            self.arrivals.pop_front();
        }
        if self.is_down && self.arrivals.len() <= self.origin.rest_max as usize {
            self.is_down = false;
        }
        self.arrivals.push_back(now);
        self.is_down
    }
}

fn refused(status: u16, cause: Cause, seconds: f64) -> Arrival {
    Arrival::Refused(refusal(status, cause, seconds))
}

fn refusal(status: u16, cause: Cause, seconds: f64) -> Refusal {
    Refusal {
        status,
        cause,
        latency: Duration::from_secs_f64(seconds),
        retry_after: None,
    }
}

fn draw_service(origin: &Origin, dice: &mut SmallRng) -> f64 {
    let mean = origin.service_mean;
    let uniform = 1.0 - dice.random::<f64>();
    match origin.service {
        Service::Const => mean,
        Service::Exp => -mean * uniform.ln(),
        Service::Lognormal => {
            let sigma = origin.sigma();
            // Box and Muller, 1958.
            let angle = std::f64::consts::TAU * dice.random::<f64>();
            let normal = (-2.0 * uniform.ln()).sqrt() * angle.cos();
            mean * (sigma * normal - sigma * sigma / 2.0).exp()
        }
        Service::Pareto => {
            let alpha = origin.sigma();
            mean * (alpha - 1.0) / alpha * uniform.powf(-1.0 / alpha)
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn service_times_have_the_mean_that_was_asked_for() {
        let mut dice = SmallRng::seed_from_u64(3);
        for (service, sigma) in [
            (Service::Const, 0.0),
            (Service::Exp, 0.0),
            (Service::Lognormal, 0.8),
            (Service::Pareto, 2.5),
        ] {
            let origin = Origin {
                service,
                service_sigma: Some(sigma),
                service_mean: 0.3,
                ..Origin::default()
            };
            let draws = 200_000;
            let sum: f64 = (0..draws).map(|_| draw_service(&origin, &mut dice)).sum();
            let mean = sum / f64::from(draws);
            assert!((0.29..0.31).contains(&mean), "{service:?}: {mean}");
        }
    }

    #[test]
    fn a_collapsed_host_stays_down_until_it_is_left_alone() {
        let origin = Origin {
            workers: 2,
            queue: 2,
            collapse_at: 3,
            rest_seconds: 5.0,
            rest_max: 1,
            ..Origin::default()
        };
        let (mut host, mut dice) = (ModelHost::new(origin), SmallRng::seed_from_u64(1));
        let mut arrive =
            |request, seconds| host.arrive(request, false, Time::from_secs_f64(seconds), &mut dice);
        for request in 0..3 {
            assert_eq!(arrive(request, 0.0), Arrival::Accepted);
        }
        assert!(matches!(arrive(3, 0.1), Arrival::Collapsed(_, lost) if lost == [0, 1, 2]));
        for (request, seconds) in [(4, 2.0), (5, 4.0), (6, 6.0)] {
            assert!(
                matches!(arrive(request, seconds), Arrival::Refused(_)),
                "{seconds}"
            );
        }
        assert_eq!(arrive(7, 10.0), Arrival::Accepted, "one arrival in 5 s");
    }

    #[test]
    fn refused_requests_cost_tokens_where_the_host_punishes() {
        let origin = Origin {
            rate: 1.0,
            burst: 1.0,
            rate_penalty: 1.0,
            ..Origin::default()
        };
        let (mut host, mut dice) = (ModelHost::new(origin), SmallRng::seed_from_u64(1));
        let mut arrive =
            |request, seconds| host.arrive(request, false, Time::from_secs_f64(seconds), &mut dice);
        assert_eq!(arrive(0, 0.0), Arrival::Accepted);
        assert!(matches!(arrive(1, 0.5), Arrival::Refused(_)));
        assert!(
            matches!(arrive(2, 1.2), Arrival::Refused(_)),
            "the refusal cost a token"
        );
        assert_eq!(arrive(3, 3.9), Arrival::Accepted);
    }
}
