//! Does the limit find the slots behind a real gateway, nginx or haproxy, that refuses for itself?
//!
//! Where the program is not installed its tests say so and check nothing.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use neap_testkit::{Site, Tree};
use serde_json::Value;

use crate::support::{Place, site_job, with_status};

/// Longest wait for a gateway that starts within a moment unless it is broken.
const PATIENCE: Duration = Duration::from_secs(30);

/// How many requests the hosts behind the gateways serve at once.
const SLOTS: usize = 4;

/// Pages of the hosts behind the gateways. Each takes a tenth of a second or more: where a gateway counts
/// in milliseconds, less would measure how busy the machine is.
const PAGES: usize = 200;

/// A gateway that runs, until this is dropped.
struct Gateway {
    child: Child,
    address: SocketAddr,
}

impl Gateway {
    /// Starts a program in the foreground and waits until it listens; `None`, and a line that says
    /// so, if it is not installed.
    #[track_caller]
    fn start(place: &Place, program: &str, arguments: &[&str], port: u16) -> Option<Gateway> {
        let Some(path) = installed(program) else {
            eprintln!("NOT RUN: {program} is not installed");
            return None;
        };
        let said = File::create(place.path("gateway.err")).unwrap();
        let child = Command::new(path)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(said.try_clone().unwrap())
            .stderr(said)
            .spawn()
            .unwrap();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut gateway = Gateway { child, address };
        let started = Instant::now();
        while TcpStream::connect(address).is_err() {
            let ended = gateway.child.try_wait().unwrap();
            assert!(
                ended.is_none() && started.elapsed() < PATIENCE,
                "{program} does not listen ({ended:?}): {}",
                std::fs::read_to_string(place.path("gateway.err")).unwrap()
            );
            std::thread::yield_now();
        }
        Some(gateway)
    }

    fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // It may have ended by itself; either way nothing of it is left.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where a program is, if it is: servers are often where only root's search path leads.
fn installed(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/usr/local/sbin".into()])
        .map(|directory| directory.join(program))
        .find(|path| path.is_file())
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap().port()
}

/// nginx in one process, without a master whose death its workers would survive.
#[track_caller]
fn nginx(place: &Place, server: &str, location: &str) -> Option<Gateway> {
    let port = free_port();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|what| format!("  {what}_temp_path {what};\n"))
        .concat();
    let config = place.write(
        "nginx.conf",
        &format!(
            "master_process off;\npid nginx.pid;\nevents {{ worker_connections 512; }}\nhttp {{\n\
             {temporary}  access_log off;\n  upstream behind {{ server {server}; }}\n  \
             server {{\n    listen 127.0.0.1:{port};\n    \
             location / {{ proxy_pass http://behind; {location} }}\n  }}\n}}\n"
        ),
    );
    let prefix = format!("{}/", place.path("").display());
    let config = config.to_str().unwrap();
    let arguments = [
        "-g",
        "daemon off;",
        "-e",
        "stderr",
        "-p",
        &prefix,
        "-c",
        config,
    ];
    Gateway::start(place, "nginx", &arguments, port)
}

#[track_caller]
fn haproxy(place: &Place, server: &str, backend: &str) -> Option<Gateway> {
    let port = free_port();
    let config = place.write(
        "haproxy.cfg",
        &format!(
            "global\n  maxconn 512\ndefaults\n  mode http\n  timeout connect 5s\n  \
             timeout client 30s\n  timeout server 30s\n\
             frontend front\n  bind 127.0.0.1:{port}\n  default_backend behind\n\
             backend behind\n  {backend}\n  server one {server}\n"
        ),
    );
    let arguments = ["-db", "-f", config.to_str().unwrap()];
    Gateway::start(place, "haproxy", &arguments, port)
}

/// What stands behind a gateway.
fn behind(latency_ms: u64) -> neap_testkit::Builder {
    Site::builder()
        .tree(Tree::new(PAGES, 6, 500))
        .latency(Duration::from_millis(latency_ms))
}

/// How a crawl went.
#[derive(Debug)]
struct Crawled {
    /// Requests that the gateway refused.
    refused: i64,
    /// The mean of the limit in the second half.
    limit: f64,
}

impl Crawled {
    /// Checks that the limit found the slots at little cost.
    #[track_caller]
    fn check(&self, most_refused: i64) {
        let slots = SLOTS as f64;
        assert!(self.refused <= most_refused, "{self:?}, not {most_refused}");
        assert!(
            (0.5 * slots..=2.0 * slots).contains(&self.limit),
            "{self:?} for {slots} slots"
        );
    }
}

/// Crawls what is behind the gateway, and checks that all of it came and that the store tells how.
/// `status` is what the gateway answers for itself.
#[track_caller]
fn crawl(place: &Place, gateway: &Gateway, status: u16) -> Crawled {
    let base = gateway.base_url();
    let job = site_job(&format!("{base}/"), "[limits]\nper_host = 64\n");
    place.write("site.toml", &job);
    place.neap(&["run", "site.toml"]).expect(0);
    assert_eq!(
        with_status(&place.results(), 200),
        Tree::new(PAGES, 6, 500).urls(&base)
    );

    let refused = place.number("SELECT count(*) FROM attempts WHERE status IN (502, 503, 504)");
    let own = place.number(&format!(
        "SELECT count(*) FROM attempts WHERE status = {status}"
    ));
    let settled = &place.query(
        "SELECT avg(host_limit) AS mean, count(*) AS n FROM attempts WHERE attempt_id >
         (SELECT max(attempt_id) / 2 FROM attempts)",
    )[0];
    let limit = settled["mean"].as_f64().unwrap();
    assert!(own > 0, "the gateway never answered for itself");
    let said = place.neap(&["hosts", "--format", "json"]).expect(0);
    let hosts: Vec<Value> = serde_json::from_str(&said.out).unwrap();
    assert_eq!(hosts.len(), 1, "{hosts:?}");
    let row = &hosts[0];
    assert_eq!(
        (&row["host"], &row["done"], &row["state"]),
        (&base.as_str().into(), &PAGES.into(), &"steady".into())
    );
    assert!(
        (1.0..64.0).contains(&row["limit"].as_f64().unwrap()),
        "{row}"
    );
    let why = place.neap(&["why", &base]).expect(0).out;
    assert!(why.contains(&base), "{why}");
    assert!(
        why.contains(&format!("{PAGES} done, 0 failed, 0 ready")),
        "{why}"
    );
    assert!(why.contains("Its limit changed last"), "{why}");
    place.check_invariants();
    let crawled = Crawled { refused, limit };
    println!("{status} of {PAGES} pages: {crawled:?}");
    crawled
}

#[test]
fn nginx_that_opens_only_a_few_connections_answers_502_to_few() {
    let (place, site) = (Place::new(), behind(100).start());
    let server = format!("{} max_conns={SLOTS}", site.address());
    let Some(gateway) = nginx(&place, &server, "") else {
        return;
    };
    // Sixteen runs on a busy machine: 6 and 7.
    crawl(&place, &gateway, 502).check(20);
    assert!(site.max_in_flight() <= SLOTS);
}

#[test]
fn haproxy_with_a_short_queue_answers_503_to_few() {
    // Of 58 runs 56 had 3 to 8, one 71 and one 129, when refusals were taken for failures without load: so
    // three are made, and the one between the others counts.
    let mut crawls = Vec::new();
    for _ in 0..3 {
        let (place, site) = (Place::new(), behind(100).start());
        let server = format!("{} maxconn {SLOTS}", site.address());
        // Half a service time: a longer queue is one that hides that there are more requests than slots.
        let Some(gateway) = haproxy(&place, &server, "timeout queue 50ms") else {
            return;
        };
        crawls.push(crawl(&place, &gateway, 503));
        assert!(site.max_in_flight() <= SLOTS);
    }
    crawls.sort_by_key(|crawled| crawled.refused);
    crawls[1].check(20);
}

#[test]
fn nginx_that_gives_up_on_a_slow_host_answers_504_and_the_limit_comes_down() {
    // Twice the service time: with eight in flight the last one waits for too long.
    let (place, site) = (Place::new(), behind(200).workers(SLOTS).start());
    let server = site.address().to_string();
    let Some(gateway) = nginx(&place, &server, "proxy_read_timeout 400ms;") else {
        return;
    };
    // Fourteen runs on a busy machine: 20 to 64, the limit was 6.2 to 7.6. The host still works on what nginx
    // gave up, so one step too far costs more requests than the step.
    crawl(&place, &gateway, 504).check(96);
}
