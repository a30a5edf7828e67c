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
    /// Nobody listens.
    pub(crate) is_dead: bool,
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
    /// It takes up one of the host's places until it is there.
    pub(crate) is_served: bool,
}

impl Host {
    pub(crate) fn new(capacity: u32, service_ms: u64) -> Host {
        Host {
            capacity,
            service: Duration::from_millis(service_ms),
            outage: None,
            is_dead: false,
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
                is_served: false,
            };
        }
        if is_out || self.serving >= self.capacity {
            return Reply {
                result: Ok(502),
                takes,
                is_served: false,
            };
        }
        self.serving += 1;
        Reply {
            result: Ok(status),
            takes: self.service,
            is_served: true,
        }
    }
}
