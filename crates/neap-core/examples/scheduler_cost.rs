//! How many instructions does the scheduler spend on a request, and how much memory on a host?
//!
//! ```text
//! cargo build --release -p neap-core --example scheduler_cost
//! valgrind --tool=callgrind --callgrind-out-file=/dev/null \
//!   --toggle-collect='*scheduler_cost::dispatch*' --toggle-collect='*scheduler_cost::record*' \
//!   target/release/examples/scheduler_cost 16384 300000
//! ```
//!
//! Counted is what happens from the choice of a request to the record of its answer: whose turn it is,
//! the limiter, the verdict, the record. What the store brings is not. What valgrind says was collected,
//! divided by the requests that this says were recorded, is the answer. The arguments are hosts, no
//! more than can be at work at a time, and requests; memory is told where `/proc` is, and means nothing under valgrind.
//! With a third one, `domain`, all hosts share one limit, so that nearly all of their turns wait at one door.

use std::collections::VecDeque;
use std::time::Duration;

use neap_core::job::LimitKey;
use neap_core::limiter::{Signal, SignalKind};
use neap_core::scheduler::{
    Dispatch, JobSettings, MAX_LANES, Position, Ready, Refill, Scheduler, Token,
};
use neap_core::{CanonicalUrl, Host, HostId, JobId, RequestId, Time, UnixMs};
use rand::SeedableRng;
use rand::rngs::SmallRng;

const JOB: JobId = JobId(1);
/// Requests in flight over all hosts.
const IN_FLIGHT: usize = 256;
/// Time between two starts.
const STEP: Duration = Duration::from_micros(800);
/// Requests of a host are numbered from the host's number times this.
const OF_A_HOST: i64 = 1 << 20;

fn main() {
    let key = match std::env::args().nth(3).as_deref() {
        Some("domain") => LimitKey::Domain,
        Some(_) | None => LimitKey::Host,
    };
    let mut numbers = std::env::args().skip(1).map(|text| text.parse::<u32>());
    let (Some(Ok(hosts)), Some(Ok(requests))) = (numbers.next(), numbers.next()) else {
        eprintln!("usage: scheduler_cost HOSTS REQUESTS [domain]");
        std::process::exit(2);
    };
    // Hosts beyond these would wait in the store.
    let hosts = hosts.min(MAX_LANES as u32);
    let before = resident_bytes();
    let mut scheduler = Scheduler::new(IN_FLIGHT as u32);
    scheduler.add_job(JOB, settings(key));
    for host in (1..=hosts).map(|host| HostId(i64::from(host))) {
        scheduler.handle_ready(JOB, host, position(host.0 * OF_A_HOST));
        load(&mut scheduler);
    }
    if let (Some(before), Some(after)) = (before, resident_bytes()) {
        let each = after.saturating_sub(before) / u64::from(hosts.max(1));
        println!("{each} bytes a host with a lane that was not read yet");
    }
    println!("{} requests recorded", crawl(&mut scheduler, requests));
}

fn crawl(scheduler: &mut Scheduler, requests: u32) -> u32 {
    let mut dice = SmallRng::seed_from_u64(1);
    let (mut now, mut recorded) = (Time::ZERO, 0);
    let mut flying = VecDeque::new();
    while recorded < requests {
        now = now + STEP;
        load(scheduler);
        while let Some(refill) = scheduler.poll_refill() {
            bring(scheduler, &refill);
        }
        let mut has_sent = false;
        if let Some(Dispatch::Request { request, token, .. }) = dispatch(scheduler, now) {
            flying.push_back((request.request, token));
            has_sent = true;
        } else if flying.is_empty() {
            // Every host has had all that there is for it.
            break;
        }
        let is_full = flying.len() >= IN_FLIGHT || !has_sent;
        if is_full && let Some((request, token)) = flying.pop_front() {
            record(scheduler, request, token, now, &mut dice);
            recorded += 1;
        }
        // As the run does every two seconds.
        if recorded % 2048 == 0 {
            drop((
                scheduler.take_changes(),
                scheduler.take_memories(now, UnixMs(0)),
            ));
        }
    }
    recorded
}

#[inline(never)]
fn dispatch(scheduler: &mut Scheduler, now: Time) -> Option<Dispatch> {
    scheduler.poll_dispatch(now)
}

#[inline(never)]
fn record(
    scheduler: &mut Scheduler,
    request: RequestId,
    token: Token,
    now: Time,
    dice: &mut SmallRng,
) {
    let signal = Signal {
        kind: SignalKind::Ok,
        latency: Some(STEP * IN_FLIGHT as u32),
        ..Signal::NOTHING
    };
    scheduler.handle_report(token, signal, now, dice);
    scheduler.handle_verdict(JOB, true);
    scheduler.handle_worker_free();
    scheduler.handle_recorded(request);
}

/// What the store knows of hosts: their names.
fn load(scheduler: &mut Scheduler) {
    while let Some(host) = scheduler.poll_load() {
        let name = Host::parse(&format!("http://h{host}.shop.example")).expect("it is a host");
        scheduler.handle_host(host, &name, None, None, Time::ZERO, UnixMs(0));
    }
}

/// What the store has ready: as many as are asked for.
fn bring(scheduler: &mut Scheduler, refill: &Refill) {
    let url = format!("http://h{}.shop.example/", refill.host);
    let url = CanonicalUrl::parse(&url).expect("it can be fetched");
    let first = (refill.after.request.0 + 1).max(refill.host.0 * OF_A_HOST);
    let rows: Vec<Ready> = (first..first + refill.count as i64)
        .map(|number| Ready {
            request: RequestId(number),
            job: JOB,
            host: refill.host,
            url: url.clone(),
            depth: 0,
            hops: 0,
            charged: 0,
            deferrals: 0,
            lost: 0,
            earlier: 0,
            position: position(number),
        })
        .collect();
    let last = rows.last().map(|row| row.position);
    scheduler.handle_refilled(refill, rows, last, false);
}

fn position(number: i64) -> Position {
    Position {
        priority: 0,
        due_ms: 0,
        request: RequestId(number),
    }
}

fn settings(key: LimitKey) -> JobSettings {
    JobSettings {
        per_host: 16,
        spacing: Duration::ZERO,
        key,
        retry_budget: Some(0.2),
        obeys_robots: false,
        crawl_delay_max: Duration::from_secs(30),
        give_up_after: Duration::from_secs(600),
        pages_left: None,
    }
}

/// Memory of this process that is in use.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kilobytes * 1024)
}
