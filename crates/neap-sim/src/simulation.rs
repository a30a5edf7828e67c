//! What happens when a limiter meets a host?
//!
//! A heap of events in virtual time: arrivals, answers, workers that finish, timeouts, and the moments
//! at which the limiter asked to be asked again. Events of the same moment happen in the order in which
//! they were planned, so a seed replays a run.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use neap_core::Time;
use neap_core::limiter::{Gate, Memory, Signal, SignalKind};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::algorithm::{Choice, HARD_CAP, Limiter, Ticket};
use crate::client::{Client, Page, Rules};
use crate::egress::Egresses;
use crate::host::{Arrival, Cause, ModelHost, Refusal, RequestIndex};
use crate::scenario::Scenario;

/// Events after which a simulation is stopped as one that does not end.
const MAX_EVENTS: u64 = 60_000_000;

/// A simulation did not come to its end: what it would say of a limiter is worth nothing.
#[derive(Debug, thiserror::Error)]
#[error(
    "{algorithm} with seed {seed} took {events} events up to second {at:.1} of {duration}; \
     a shorter scenario, or a slower host, is needed"
)]
pub struct EndlessError {
    /// The limiter.
    pub algorithm: Choice,
    /// The seed.
    pub seed: u64,
    /// Events until then.
    pub events: u64,
    /// Where it was stopped, in seconds.
    pub at: f64,
    /// Seconds that there were to simulate.
    pub duration: f64,
}

/// What happened.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// When each good answer came, in seconds; ascending.
    pub successes: Vec<f64>,
    /// When each failure came that another limit or way out would have avoided; ascending.
    pub wasted: Vec<f64>,
    /// When each request started; ascending.
    pub starts: Vec<f64>,
    /// The limit and the requests in flight, whenever one of them changed by a report.
    pub trace: Vec<Sample>,
    /// Pages lost after their last attempt that would have been answered.
    pub lost_good: u64,
    /// What the limiter would remember at the end.
    pub memory: Option<Memory>,
}

/// The state at one moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// Seconds from the start.
    pub at: f64,
    /// The limiter's limit.
    pub limit: f64,
    /// Requests in flight.
    pub in_flight: u32,
    /// Why the limit changed last.
    pub reason: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Phase(usize),
    Arrive(RequestIndex),
    Served { request: RequestIndex, life: u32 },
    GatewayGivesUp(RequestIndex),
    ClientGivesUp(RequestIndex),
    Answered { request: RequestIndex, life: u32 },
    Refused(RequestIndex),
    Wake,
}

#[derive(Debug)]
struct Request {
    page: Page,
    started: Time,
    egress: Option<usize>,
    ticket: Option<Ticket>,
    refusal: Option<Refusal>,
    /// The worker's answer went past the edge, which cannot give up waiting for it any more.
    is_answered: bool,
}

/// One run.
#[derive(Debug)]
struct Simulation<'a> {
    scenario: &'a Scenario,
    now: Time,
    events: BinaryHeap<Reverse<(Time, u64, Event)>>,
    planned: u64,
    host: ModelHost,
    client: Client,
    egresses: Egresses,
    limiter: Limiter,
    requests: Vec<Request>,
    in_flight: u32,
    next_wake: Option<Time>,
    host_dice: SmallRng,
    client_dice: SmallRng,
    keeps_trace: bool,
    history: History,
}

/// Runs `choice` against a scenario. The same seed gives the same run.
///
/// # Errors
/// When there is more to simulate than can be.
pub fn run(
    scenario: &Scenario,
    choice: Choice,
    rules: Rules,
    seed: u64,
    memory: Option<Memory>,
    keeps_trace: bool,
) -> Result<History, EndlessError> {
    let mut simulation = start(scenario, choice, rules, seed, memory, keeps_trace);
    match simulation.run(MAX_EVENTS) {
        Ok(()) => Ok(simulation.history),
        Err(events) => Err(EndlessError {
            algorithm: choice,
            seed,
            events,
            at: simulation.now.as_secs_f64(),
            duration: scenario.duration,
        }),
    }
}

fn start(
    scenario: &Scenario,
    choice: Choice,
    rules: Rules,
    seed: u64,
    memory: Option<Memory>,
    keeps_trace: bool,
) -> Simulation<'_> {
    let first = &scenario.phases[0].origin;
    Simulation {
        scenario,
        now: Time::ZERO,
        events: BinaryHeap::new(),
        planned: 0,
        host: ModelHost::new(first.clone()),
        client: Client::new(rules.are_neaps(choice)),
        egresses: Egresses::new(first.egress_502.len(), choice == Choice::Neap),
        limiter: Limiter::new(choice, memory),
        requests: Vec::new(),
        in_flight: 0,
        next_wake: None,
        host_dice: SmallRng::seed_from_u64(seed.wrapping_mul(2)),
        client_dice: SmallRng::seed_from_u64(seed.wrapping_mul(2) + 1),
        keeps_trace,
        history: History::default(),
    }
}

impl Simulation<'_> {
    /// Runs to the end, with so many events at most; the error is their number.
    fn run(&mut self, most: u64) -> Result<(), u64> {
        for (index, phase) in self.scenario.phases.iter().enumerate().skip(1) {
            self.plan(Time::from_secs_f64(phase.at), Event::Phase(index));
        }
        let end = Time::from_secs_f64(self.scenario.duration);
        self.start_requests();
        let mut handled = 0;
        while let Some(Reverse((at, _, event))) = self.events.pop() {
            if at > end {
                break;
            }
            if handled >= most {
                return Err(handled);
            }
            handled += 1;
            self.now = at;
            self.handle(event);
            self.start_requests();
        }
        self.history.lost_good = self.client.lost_good;
        self.history.memory = self.limiter.memory(end);
        Ok(())
    }

    fn plan(&mut self, at: Time, event: Event) {
        self.planned += 1;
        self.events.push(Reverse((at, self.planned, event)));
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Phase(index) => {
                self.host.change(self.scenario.phases[index].origin.clone());
                self.serve();
            }
            Event::Arrive(request) => self.arrive(request),
            Event::Served { request, life } => {
                if life == self.host.life {
                    self.host.finish(request);
                    self.requests[request].is_answered = true;
                    let back = self.half_trip();
                    self.plan(self.now + back, Event::Answered { request, life });
                    self.serve();
                }
            }
            Event::GatewayGivesUp(request) => {
                self.fail(
                    request,
                    Refusal {
                        status: 504,
                        cause: Cause::Load,
                        latency: Duration::ZERO,
                        retry_after: None,
                    },
                );
            }
            Event::ClientGivesUp(request) => {
                let given_up = Refusal {
                    status: 1,
                    cause: self.requests[request]
                        .refusal
                        .map_or(Cause::Load, |refusal| refusal.cause),
                    latency: Duration::ZERO,
                    retry_after: None,
                };
                self.requests[request].refusal = Some(given_up);
                self.end(request);
            }
            Event::Answered { request, life: _ } => {
                if self.requests[request].refusal.is_none() {
                    self.end(request);
                }
            }
            Event::Refused(request) => self.end(request),
            Event::Wake => self.next_wake = None,
        }
    }

    /// Starts what the limiter allows, and plans to ask again when it says when.
    fn start_requests(&mut self) {
        loop {
            match self.limiter.gate(self.now) {
                Gate::Open if self.in_flight < HARD_CAP => self.start(),
                Gate::Open | Gate::Full => return,
                Gate::Until(at) => {
                    let at = at.max(self.now + Duration::from_micros(1));
                    if self.next_wake.is_none_or(|wake| at < wake) {
                        self.next_wake = Some(at);
                        self.plan(at, Event::Wake);
                    }
                    return;
                }
            }
        }
    }

    fn start(&mut self) {
        let poison = self.host.origin().poison;
        let is_probe = self.limiter.is_only_probing(self.now);
        let page = self
            .client
            .next(is_probe, poison, self.now, &mut self.client_dice);
        let egress = self.egresses.choose(self.now, &mut self.client_dice);
        let request = self.requests.len();
        let ticket = self.limiter.start(self.now);
        self.requests.push(Request {
            page,
            started: self.now,
            egress,
            ticket: Some(ticket),
            refusal: None,
            is_answered: false,
        });
        self.in_flight += 1;
        self.history.starts.push(self.now.as_secs_f64());
        let patience = Duration::from_secs_f64(self.host.origin().client_timeout);
        self.plan(self.now + patience, Event::ClientGivesUp(request));
        let failing = egress.map_or(0.0, |e| {
            self.host.origin().egress_502.get(e).copied().unwrap_or(0.0)
        });
        if failing > 0.0 && self.host_dice.random_bool(failing) {
            self.requests[request].refusal = Some(Refusal {
                status: 502,
                cause: Cause::Egress,
                latency: Duration::ZERO,
                retry_after: None,
            });
            self.plan(
                self.now + Duration::from_millis(10),
                Event::Refused(request),
            );
        } else {
            self.plan(self.now + self.half_trip(), Event::Arrive(request));
        }
    }

    fn arrive(&mut self, request: RequestIndex) {
        let is_poison = self.client.is_poison(self.requests[request].page);
        match self
            .host
            .arrive(request, is_poison, self.now, &mut self.host_dice)
        {
            Arrival::Refused(refusal) => self.fail(request, refusal),
            Arrival::Collapsed(refusal, lost) => {
                self.fail(request, refusal);
                for other in lost {
                    self.fail(other, refusal);
                }
            }
            Arrival::Accepted => {
                let timeout = self.host.origin().gateway_timeout;
                if timeout > 0.0 {
                    let at = self.now + Duration::from_secs_f64(timeout);
                    self.plan(at, Event::GatewayGivesUp(request));
                }
                self.serve();
            }
        }
    }

    fn serve(&mut self) {
        while let Some((request, time)) = self.host.serve_next(&mut self.host_dice) {
            let life = self.host.life;
            self.plan(self.now + time, Event::Served { request, life });
        }
    }

    /// The edge answers with a failure, if the request still waits for an answer.
    fn fail(&mut self, request: RequestIndex, refusal: Refusal) {
        let waits = &mut self.requests[request];
        if waits.ticket.is_none() || waits.refusal.is_some() || waits.is_answered {
            return;
        }
        waits.refusal = Some(refusal);
        // Status 1 is no answer at all: the client's own timeout ends the request.
        if refusal.status != 1 {
            let at = self.now + refusal.latency + self.half_trip();
            self.plan(at, Event::Refused(request));
        }
    }

    /// The client has an answer, or gave up waiting for one.
    fn end(&mut self, request: RequestIndex) {
        let Request {
            page,
            started,
            egress,
            ref mut ticket,
            refusal,
            is_answered: _,
        } = self.requests[request];
        let Some(ticket) = ticket.take() else {
            return;
        };
        self.in_flight -= 1;
        let seconds = self.now.as_secs_f64();
        let is_proxys =
            egress.is_some_and(|egress| self.egresses.learn(egress, refusal.is_some(), self.now));
        let mut signal = signal(refusal.as_ref(), self.now.since(started));
        signal.is_retry = self.client.is_retry(page);
        if is_proxys {
            signal = Signal::NOTHING;
        }
        self.limiter
            .report(ticket, signal, self.now, &mut self.client_dice);
        match refusal {
            None => self.history.successes.push(seconds),
            Some(refusal) => {
                let is_failing = is_proxys || self.limiter.is_only_probing(self.now);
                self.client.failed(
                    page,
                    refusal.retry_after,
                    is_failing,
                    self.now,
                    &mut self.client_dice,
                );
                if refusal.cause.is_attributable() {
                    self.history.wasted.push(seconds);
                }
            }
        }
        if self.keeps_trace {
            self.history.trace.push(Sample {
                at: seconds,
                limit: self.limiter.limit(),
                in_flight: self.in_flight,
                reason: self.limiter.reason(self.now),
            });
        }
    }

    fn half_trip(&self) -> Duration {
        Duration::from_secs_f64(self.host.origin().rtt / 2.0)
    }
}

fn signal(refusal: Option<&Refusal>, latency: Duration) -> Signal {
    let Some(refusal) = refusal else {
        return Signal {
            kind: SignalKind::Ok,
            latency: Some(latency),
            retry_after: None,
            is_retry: false,
        };
    };
    let (kind, latency) = match refusal.status {
        0 => (SignalKind::Connect, None),
        1 => (SignalKind::Timeout, None),
        420 | 429 => (SignalKind::RateLimited, Some(latency)),
        502..=504 | 520..=524 => (SignalKind::Overload, Some(latency)),
        _ => (SignalKind::Nothing, Some(latency)),
    };
    Signal {
        kind,
        latency,
        retry_after: refusal.retry_after,
        is_retry: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::parse;

    fn scenario(origin: &str) -> Scenario {
        let text = format!("[[scenario]]\nname='x'\nduration=60.0\norigin={{ {origin} }}");
        parse(&text).unwrap().remove(0)
    }

    fn at_one(origin: &str) -> (usize, usize) {
        let choice = Choice::Fixed(1);
        let history = run(&scenario(origin), choice, Rules::Header, 1, None, false).unwrap();
        (history.successes.len(), history.wasted.len())
    }

    #[test]
    fn an_answer_that_is_past_the_edge_comes_also_if_the_gateway_would_have_given_up_by_now() {
        let origin = "service = 'const', service_mean = 0.97, rtt = 0.1, gateway_timeout = 1.0";
        let (good, wasted) = at_one(origin);
        assert_eq!(wasted, 0);
        assert_eq!(good, 56, "one in 1.07 s");
        let (good, wasted) = at_one(&origin.replace("0.97", "1.03"));
        assert_eq!(good, 0);
        assert_eq!(wasted, 54, "one in 1.1 s");
    }

    #[test]
    fn a_simulation_that_is_cut_off_is_an_error() {
        let scenario = scenario("workers = 4");
        let error = start(&scenario, Choice::Fixed(8), Rules::Header, 1, None, false).run(100);
        assert_eq!(error, Err(100));
    }
}
