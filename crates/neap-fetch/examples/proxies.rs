//! What do a thousand proxies cost?
//!
//! ```text
//! cargo run --release -p neap-fetch --example proxies [COUNT]
//! ```
//!
//! First each is asked once while nobody listens, which makes its client and nothing else; then each
//! carries one request to a host over TLS; then nothing is asked, and the sockets are watched going.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use neap_core::address::AddressRule;
use neap_core::canonical::CanonicalUrl;
use neap_core::job::Request;
use neap_fetch::{Ask, BodyLimit, Egress, FetchSettings, Fetcher, MemoryBudget, Sockets};
use neap_testkit::{Authority, ForwardProxy, Refusing, Reply, Site};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

/// Requests in flight at once.
const AT_ONCE: usize = 64;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let count = std::env::args()
        .nth(1)
        .map_or(Ok(1000), |text| text.parse());
    let Ok(count) = count else {
        eprintln!("the number of proxies is no number");
        return ExitCode::FAILURE;
    };
    let authority = Authority::new();
    let site = Site::builder()
        .tls(&authority.identity(&["shop.example"]))
        .page("/", Reply::ok("hello"))
        .without_log()
        .start();
    let proxy = ForwardProxy::builder()
        .name("shop.example", site.address())
        .start();
    let refusing = Refusing::take().expect("a free port");

    let start = Spent::now();
    let fetcher = fetcher(&authority);
    let made = Spent::now();
    println!("one fetcher, its roots read:      {}", made.since(&start));

    let unborn = egresses(count, &format!("@{}", refusing.address()));
    let url = CanonicalUrl::parse("https://shop.example/").expect("a URL");
    let answered = ask(&fetcher, &unborn, &url).await;
    let asked = Spent::now();
    println!(
        "{count} clients, each refused once:  {}; {answered} answered",
        asked.since(&made)
    );

    let alive = egresses(count, &format!("@{}", proxy.address()));
    let before = sockets();
    let answered = ask(&fetcher, &alive, &url).await;
    println!(
        "{count} more, each with a tunnel and TLS, both ends of it: {}; {answered} answered",
        Spent::now().since(&asked)
    );
    let held = sockets();
    println!("sockets held by both ends then:   {}", held - before);
    for second in 1..=25 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        if sockets() <= before + 5 || second == 25 {
            println!(
                "after {second} idle seconds:           {}",
                sockets() - before
            );
            break;
        }
    }
    ExitCode::SUCCESS
}

fn fetcher(authority: &Authority) -> Fetcher {
    let settings = FetchSettings {
        request: Request::default(),
        user_agent: "neap-cost/1".to_owned(),
        headers: Vec::new(),
        header_hosts: [].into(),
        logins: [].into(),
        addresses: AddressRule::new(true, []),
        extra_roots: vec![authority.der().into()],
        client_certificate: None,
        bind: None,
        pace: None,
    };
    let memory = Arc::new(MemoryBudget::default());
    Fetcher::new(&settings, memory, Sockets::new(AT_ONCE)).expect("a fetcher")
}

/// As many proxies, told apart by their user names.
fn egresses(count: usize, at: &str) -> Vec<Egress> {
    (0..count)
        .map(|n| Egress::parse(&format!("http://session-{n}:secret{at}")).expect("a proxy"))
        .collect()
}

/// Asks once by each, and counts the answers.
async fn ask(fetcher: &Fetcher, egresses: &[Egress], url: &CanonicalUrl) -> usize {
    let ask = &Ask::get(url, BodyLimit::MaxBody);
    futures_util::stream::iter(egresses)
        .map(|egress| fetcher.fetch_by(egress, ask))
        .buffer_unordered(AT_ONCE)
        .filter(|fetched| std::future::ready(fetched.exchange.result.is_ok()))
        .count()
        .await
}

/// Open files of this process, where the system tells.
fn sockets() -> i64 {
    let files = std::fs::read_dir("/proc/self/fd");
    files.map_or(0, |files| i64::try_from(files.count()).unwrap_or(i64::MAX))
}

/// Memory of this process, from the line `VmRSS:     1234 kB`.
fn resident_kib() -> i64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
    number.unwrap_or(0)
}

/// What the process has used so far.
struct Spent {
    cpu_us: i64,
    /// Resident now, where the system tells.
    memory_kib: i64,
}

impl Spent {
    fn now() -> Spent {
        let usage = getrusage(UsageWho::RUSAGE_SELF).expect("the system counts");
        Spent {
            cpu_us: usage.user_time().num_microseconds() + usage.system_time().num_microseconds(),
            memory_kib: resident_kib(),
        }
    }

    fn since(&self, earlier: &Spent) -> String {
        format!(
            "{:.3} s of CPU, {:.1} MiB more",
            (self.cpu_us - earlier.cpu_us) as f64 / 1e6,
            (self.memory_kib - earlier.memory_kib) as f64 / 1024.0
        )
    }
}
