//! How does a model host answer?

use std::time::Duration;

use neap_core::Time;
use neap_core::exchange::FailureKind;

use super::store::Kind;

/// A host that serves so many requests at once and answers 502 to the rest.
#[derive(Debug, Clone)]
pub(crate) struct Host {
    pub(crate) capacity: u32,
    pub(crate) service: Duration,
    /// From and to, seconds: 502 to everything.
    pub(crate) outage: Option<(f64, f64)>,
    /// From and to, seconds, and the pause that is asked for: 503 with `Retry-After` to everything.
    pub(crate) pause: Option<(f64, f64, Duration)>,
    /// Nobody listens.
    pub(crate) is_dead: bool,
    /// The domain that it belongs to; one of its own if `None`.
    pub(crate) domain: Option<&'static str>,
    /// One request in so many is answered with 502, whatever the load; 0 for none.
    pub(crate) fails_each: u32,
    pub(crate) answered: u32,
    pub(crate) robots: Robots,
    /// Requests that it works on.
    pub(crate) serving: u32,
}

/// What a host says to its robots file.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Robots {
    Absent,
    CrawlDelay(Duration),
    /// 503 until then, seconds; absent afterwards.
    UnreachableUntil(f64),
}

/// An answer on its way.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reply {
    pub(crate) result: Result<u16, FailureKind>,
    pub(crate) takes: Duration,
    pub(crate) retry_after: Option<Duration>,
    /// It takes up one of the host's places until it is there.
    pub(crate) is_served: bool,
}

impl Host {
    pub(crate) fn new(capacity: u32, service_ms: u64) -> Host {
        Host {
            capacity,
            service: Duration::from_millis(service_ms),
            outage: None,
            pause: None,
            is_dead: false,
            domain: None,
            fails_each: 0,
            answered: 0,
            robots: Robots::Absent,
            serving: 0,
        }
    }

    pub(crate) fn dead() -> Host {
        Host {
            is_dead: true,
            ..Host::new(1, 1)
        }
    }

    pub(crate) fn with_outage(self, from: f64, to: f64) -> Host {
        Host {
            outage: Some((from, to)),
            ..self
        }
    }

    pub(crate) fn with_pause(self, from: f64, to: f64, pause: Duration) -> Host {
        Host {
            pause: Some((from, to, pause)),
            ..self
        }
    }

    pub(crate) fn of_domain(self, domain: &'static str) -> Host {
        Host {
            domain: Some(domain),
            ..self
        }
    }

    pub(crate) fn with_robots(self, robots: Robots) -> Host {
        Host { robots, ..self }
    }

    /// Answers to a request of this kind that was tried `tries` times before.
    pub(crate) fn answer(&mut self, kind: Kind, tries: u32, now: Time) -> Reply {
        self.serve(
            now,
            match kind {
                Kind::Page => 200,
                Kind::Redirect => 301,
                Kind::Gone => 404,
                Kind::Refused => 403,
                Kind::Flaky(times) if tries < times => 500,
                Kind::Flaky(_) => 200,
                Kind::Broken => 500,
            },
        )
    }

    pub(crate) fn answer_robots(&mut self, now: Time) -> Reply {
        self.serve(
            now,
            match self.robots {
                Robots::UnreachableUntil(until) if now.as_secs_f64() < until => 503,
                Robots::UnreachableUntil(_) | Robots::Absent => 404,
                Robots::CrawlDelay(_) => 200,
            },
        )
    }

    pub(crate) fn done(&mut self) {
        self.serving -= 1;
    }

    fn serve(&mut self, now: Time, status: u16) -> Reply {
        let takes = Duration::from_millis(2);
        let now = now.as_secs_f64();
        let is_out = self
            .outage
            .is_some_and(|(from, to)| from <= now && now < to);
        if self.is_dead {
            let result = Err(FailureKind::ConnectRefused);
            return Reply {
                result,
                takes,
                retry_after: None,
                is_served: false,
            };
        }
        if let Some((from, to, pause)) = self.pause
            && from <= now
            && now < to
        {
            return Reply {
                result: Ok(503),
                takes,
                retry_after: Some(pause),
                is_served: false,
            };
        }
        self.answered += 1;
        let is_unlucky = self.fails_each > 0 && self.answered.is_multiple_of(self.fails_each);
        if is_out || is_unlucky || self.serving >= self.capacity {
            return Reply {
                result: Ok(502),
                takes,
                retry_after: None,
                is_served: false,
            };
        }
        self.serving += 1;
        Reply {
            result: Ok(status),
            takes: self.service,
            retry_after: None,
            is_served: true,
        }
    }
}
