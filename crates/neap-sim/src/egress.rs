//! Which proxy does a modelled request take, and which is left out?
//!
//! The real client attributes failures by evidence; here a share per proxy is enough: one whose share
//! of failures stands out from the others' is left out for a while, and its failures say nothing about
//! the host.

use std::time::Duration;

use neap_core::Time;
use rand::Rng;
use rand::rngs::SmallRng;

/// How much of a proxy's counts is left after each further request through it.
const DECAY: f64 = 1.0 - 1.0 / 200.0;
/// A proxy stands out if its share of failures is this much above that of the others.
const EXCESS: f64 = 0.4;
/// Requests through a proxy before it is judged.
const ENOUGH: f64 = 3.0;
/// How long it is left out first; doubles each time, to 64 times.
const LEFT_OUT: Duration = Duration::from_secs(60);

/// The ways out.
#[derive(Debug)]
pub struct Egresses {
    arms: Vec<Arm>,
    attributes: bool,
}

#[derive(Debug, Clone, Default)]
struct Arm {
    requests: f64,
    failures: f64,
    left_out_until: Time,
    times: u32,
}

impl Egresses {
    /// So many proxies; none is the direct way. Without `attributes` no proxy is ever blamed.
    pub fn new(count: usize, attributes: bool) -> Egresses {
        Egresses {
            attributes,
            arms: vec![Arm::default(); count],
        }
    }

    /// A way out for a request, if there is more than the direct one.
    pub fn choose(&self, now: Time, dice: &mut SmallRng) -> Option<usize> {
        let usable: Vec<usize> = (0..self.arms.len())
            .filter(|i| self.arms[*i].left_out_until <= now)
            .collect();
        match usable.len() {
            0 => (!self.arms.is_empty()).then(|| dice.random_range(0..self.arms.len())),
            count => Some(usable[dice.random_range(0..count)]),
        }
    }

    /// Learns from an answer. Says whether a failure is the proxy's own.
    pub fn learn(&mut self, egress: usize, failed: bool, now: Time) -> bool {
        let arm = &mut self.arms[egress];
        arm.requests = arm.requests * DECAY + 1.0;
        arm.failures = arm.failures * DECAY + f64::from(u8::from(failed));
        let others = self.arms.iter().enumerate().filter(|(i, _)| *i != egress);
        let (mut requests, mut failures) = (1.0, 0.0);
        for (_, other) in others {
            requests += other.requests;
            failures += other.failures;
        }
        let arm = &mut self.arms[egress];
        let stands_out = self.attributes
            && arm.requests >= ENOUGH
            && arm.failures / arm.requests > failures / requests + EXCESS;
        if failed && stands_out && arm.left_out_until <= now {
            arm.left_out_until = now + LEFT_OUT * (1 << arm.times.min(6));
            arm.times += 1;
        }
        failed && stands_out
    }
}
