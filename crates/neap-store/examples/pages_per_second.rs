//! How many pages does the writer record, with their links and bodies? Run it as
//! `cargo run --release -p neap-store --example pages_per_second -- [pages] [known requests]`.

use std::time::{Duration, Instant};

use neap_core::classify::{Fault, Outcome};
use neap_core::exchange::{Answer, Exchange, Timings};
use neap_core::job::Job;
use neap_core::verdict::Verdict;
use neap_core::{CanonicalUrl, UnixMs};
use neap_store::{
    Access, Attempt, Command, Event, Lease, Link, Page, Position, Ready, Record, Refill, Settings,
    Store, Submission, Writer, WriterHandle, segments,
};
use tokio::sync::mpsc::UnboundedReceiver;

/// Links of a page, of which one in ten is new.
const LINKS: u64 = 20;
/// Hosts that the requests are spread over.
const HOSTS: u64 = 1000;
/// Requests in flight at a time.
const IN_FLIGHT: usize = 256;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<u64>());
    let pages = arguments.next().transpose()?.unwrap_or(50_000);
    let known = arguments.next().transpose()?.unwrap_or(100_000).max(pages);
    let directory = tempfile::tempdir_in(".")?;
    let path = directory.path().join("neap.db");
    let store = Store::open(&path, Access::Create).await?;
    let job = job()?;

    let (wall, cpu) = (Instant::now(), cpu_time());
    let job_id = store
        .submit(Submission {
            job: &job,
            urls: (0..known).map(url),
        })
        .await?
        .job_id;
    report("submitted URLs", known, wall, cpu);

    for (what, links, with_body) in [
        ("pages alone", 0, false),
        ("pages with links", LINKS, false),
        ("with links and bodies", LINKS, true),
    ] {
        let lock = store.lock(UnixMs(0)).await?;
        let run = store.begin_run(&lock, UnixMs(0)).await?;
        let (writer, mut events) = Writer::spawn(&store, &run, Settings::default()).await?;
        let rows = ready(&writer, &mut events, job_id, pages as usize / 4).await?;
        let (wall, cpu) = (Instant::now(), cpu_time());
        drive(&writer, &mut events, &rows, links, with_body).await?;
        report(what, rows.len() as u64, wall, cpu);
        writer.close().await?;
    }
    let bytes = std::fs::metadata(&path)?.len();
    println!("{:>24}: {bytes} bytes", "database");
    Ok(())
}

/// Reads ready requests of as many hosts as are needed, 32 at a time.
async fn ready(
    writer: &WriterHandle,
    events: &mut UnboundedReceiver<Event>,
    job: neap_core::JobId,
    most: usize,
) -> Result<Vec<Ready>, Box<dyn std::error::Error>> {
    writer.send(Command::OpenJob(job)).await?;
    let mut rows = Vec::new();
    let mut hosts = std::collections::VecDeque::new();
    while let Some(event) = events.recv().await {
        if let Event::Ready(ready) = event {
            hosts.push_back((ready.host, Position::START));
        } else if matches!(event, Event::NextDue(_)) {
            break;
        }
    }
    let wall = Instant::now();
    while let Some((host, after)) = hosts.pop_front().filter(|_| rows.len() < most) {
        writer
            .send(Command::Refill(Refill {
                job,
                host,
                after,
                count: 32,
            }))
            .await?;
        let refilled = loop {
            if let Some(Event::Refilled(refilled)) = events.recv().await {
                break refilled;
            }
        };
        if let Some(last) = refilled.rows.last().filter(|_| !refilled.is_exhausted) {
            hosts.push_back((host, last.position));
        }
        rows.extend(refilled.rows);
    }
    println!(
        "{:>24}: {:.0}/s",
        "requests read",
        rows.len() as f64 / wall.elapsed().as_secs_f64()
    );
    Ok(rows)
}

/// Leases and records every row, with so many in flight at a time.
async fn drive(
    writer: &WriterHandle,
    events: &mut UnboundedReceiver<Event>,
    rows: &[Ready],
    links: u64,
    with_body: bool,
) -> Result<(), Box<dyn std::error::Error>> {
    let mut next = rows.iter();
    let mut left = rows.len();
    let mut free = IN_FLIGHT;
    let by_id: std::collections::HashMap<_, _> =
        rows.iter().map(|row| (row.request, row)).collect();
    while left > 0 {
        let batch: Vec<_> = next.by_ref().take(free.min(64)).collect();
        if !batch.is_empty() {
            free -= batch.len();
            let lease = |row: &&Ready| Lease {
                request: row.request,
                is_alone: false,
            };
            writer
                .send(Command::Lease(batch.iter().map(lease).collect()))
                .await?;
        }
        let event = events.recv().await.ok_or("the writer has stopped")?;
        if let Event::Leased {
            leased: requests, ..
        } = event
        {
            for request in requests {
                let record = record(by_id[&request], links, with_body);
                writer.send(Command::Record(Box::new(record))).await?;
            }
        } else if matches!(event, Event::Recorded(_)) {
            left -= 1;
            free += 1;
        }
    }
    Ok(())
}

fn record(row: &Ready, links: u64, with_body: bool) -> Record {
    let seed = row.request.0.unsigned_abs();
    // Two of twenty links are new; the others stand on fifty more pages of the host. Four lead away.
    let host = seed % HOSTS;
    let section = seed / HOSTS / 50 * 50;
    let link = |n: u64| {
        let is_new = n.is_multiple_of(10);
        let page = if is_new {
            (1 << 32) + seed * 2 + n / 10
        } else {
            (1 << 31) + section + n
        };
        let host = if n < 16 {
            host
        } else {
            (host + section + n) % HOSTS
        };
        Link {
            url: on_host(page, host),
            depth: 1,
            priority: 1,
        }
    };
    let at = UnixMs(1_767_225_600_000);
    Record {
        request: row.request,
        job: row.job,
        host: row.host,
        attempt: Attempt {
            number: 1,
            started: at,
            timings: Timings {
                total: Duration::from_millis(30),
                ..Timings::default()
            },
            status: Some(200),
            outcome: Outcome::Success,
            cause: None,
            fault: Fault::Nobody,
            error: None,
            is_charged: true,
            backoff: None,
            body_bytes: 30_000,
            limit: 4.0,
            in_flight: 3,
        },
        verdict: Verdict::Done,
        due: None,
        page: Some(Page {
            status: 200,
            content_type: Some("text/html; charset=utf-8".to_owned()),
            body_bytes: 30_000,
            fetched: at,
        }),
        segment: with_body
            .then(|| segments::records(&row.url, &exchange(seed), at))
            .flatten(),
        links: (0..links).map(link).collect(),
        skipped_links: Vec::new(),
        redirect: None,
    }
}

/// An answer of 30 KB that compresses about as HTML does.
fn exchange(seed: u64) -> Exchange {
    let words = (0..3000).map(|n| format!("<li>{:x}", (seed + n) * 0x9e37_79b9 % 65_536));
    let payload: bytes::Bytes = words.collect::<String>().into();
    let answer = Answer {
        status: 200,
        version: http::Version::HTTP_11,
        headers: http::HeaderMap::new(),
        body: payload.clone(),
        payload,
        address: None,
    };
    Exchange {
        result: Ok(answer),
        timings: Timings::default(),
        sent: http::HeaderMap::new(),
        route: Default::default(),
    }
}

fn url(n: u64) -> CanonicalUrl {
    on_host(n, n % HOSTS)
}

fn on_host(n: u64, host: u64) -> CanonicalUrl {
    let text = format!(
        "https://www.shop-number-{host}.example/catalogue/section-{}/article-{n}.html",
        n % 97
    );
    CanonicalUrl::parse(&text).expect("a URL made of numbers is valid")
}

fn job() -> Result<Job, serde_json::Error> {
    serde_json::from_str(
        r#"{"name": "bench", "description": "", "input": {}, "crawl": {}, "identity": {}, "request": {},
            "limits": {}, "adaptive": {}, "retry": {}, "robots": {}, "store": {}}"#,
    )
}

/// User and system time of this process; zero where `/proc` does not tell.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks: u64 = after_name
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|text| text.parse::<u64>().ok())
        .sum();
    // Linux counts these in hundredths of a second on every architecture.
    Duration::from_millis(ticks * 10)
}

fn report(what: &str, rows: u64, wall: Instant, cpu: Duration) {
    let (wall, cpu) = (
        wall.elapsed().as_secs_f64(),
        (cpu_time() - cpu).as_secs_f64(),
    );
    println!(
        "{what:>24}: {:.0}/s, {:.0} per CPU second",
        rows as f64 / wall,
        rows as f64 / cpu
    );
}
