//! How does a test get a real nginx or haproxy? In the foreground, on a free port of loopback.
//!
//! Where the program is not installed there is none, and a line says so.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::Place;

/// Longest wait for a gateway that starts within a moment unless it is broken.
const PATIENCE: Duration = Duration::from_secs(30);

/// A gateway that runs, until this is dropped.
pub(crate) struct Gateway {
    child: Child,
    address: SocketAddr,
    /// Where its files are.
    place: Place,
}

impl Gateway {
    /// Starts a program in the foreground and waits until it listens; `None`, and a line that says
    /// so, if it is not installed.
    #[track_caller]
    fn start(place: Place, program: &str, arguments: &[&str], port: u16) -> Option<Gateway> {
        let Some(path) = installed(program) else {
            eprintln!("NOT RUN: {program} is not installed");
            return None;
        };
        let said = File::create(place.path("said")).unwrap();
        let child = Command::new(path)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(said.try_clone().unwrap())
            .stderr(said)
            .spawn()
            .unwrap();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut gateway = Gateway {
            child,
            address,
            place,
        };
        let started = Instant::now();
        while TcpStream::connect(address).is_err() {
            let ended = gateway.child.try_wait().unwrap();
            assert!(
                ended.is_none() && started.elapsed() < PATIENCE,
                "{program} does not listen ({ended:?}): {}",
                gateway.file("said")
            );
            std::thread::yield_now();
        }
        Some(gateway)
    }

    pub(crate) fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What is in one of its files.
    #[track_caller]
    fn file(&self, name: &str) -> String {
        fs::read_to_string(self.place.path(name)).unwrap()
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

/// nginx in one process, without a master whose death its workers would survive. `server` is what stands
/// behind it, as in its `upstream`.
#[track_caller]
pub(crate) fn nginx(server: &str, location: &str) -> Option<Gateway> {
    let (place, port) = (Place::new(), free_port());
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

/// haproxy in one process, in front of `server`: an address and its options.
#[track_caller]
pub(crate) fn haproxy(server: &str, backend: &str) -> Option<Gateway> {
    let (place, port) = (Place::new(), free_port());
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
