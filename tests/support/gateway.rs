//! How does a test get a real nginx, haproxy or squid? In the foreground, on a free port of loopback.
//!
//! Where the program is not installed there is none, and a line says so.

use std::fs::{self, File, Permissions};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
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

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What is in one of its files.
    #[track_caller]
    pub(crate) fn file(&self, name: &str) -> String {
        fs::read_to_string(self.place.path(name)).unwrap()
    }

    /// Kills it at once: SIGKILL. Its port is closed when this returns.
    pub(crate) fn kill(&mut self) {
        // It may have ended by itself; either way nothing of it is left.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.kill();
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

/// Says OK to one user and password, as squid asks: a line each.
const LOGIN_HELPER: &str = r#"while read -r user password; do
  if [ "$user $password" = "ann right" ]; then echo OK; else echo ERR; fi
done
"#;

/// Lets in the user `ann` with the password `right` only.
pub(crate) const LOGIN: &str = "\
auth_param basic program /bin/sh login.sh
auth_param basic children 1 startup=1
acl known proxy_auth REQUIRED
http_access allow known
";

/// Lets in everybody.
pub(crate) const OPEN: &str = "http_access allow all\n";

/// squid as a forward proxy that keeps nothing: one process, no cache, no disk. `access` is who may use it,
/// [`OPEN`] or [`LOGIN`]; `names` are those of hosts on 127.0.0.1, others it does not find. Each request
/// that it answered is a line of its file `access.log`.
#[track_caller]
pub(crate) fn squid(access: &str, names: &[String]) -> Option<Gateway> {
    let (place, port) = (Place::new(), free_port());
    // It gives up the rights of root, and then needs a place where everybody may write.
    fs::set_permissions(place.path(""), Permissions::from_mode(0o777)).unwrap();
    let hosts: String = names
        .iter()
        .map(|name| format!("127.0.0.1 {name}\n"))
        .collect();
    let hosts = place.write("hosts", &hosts);
    let helper = place.write("login.sh", LOGIN_HELPER);
    let access = access.replace("login.sh", helper.to_str().unwrap());
    let (cache_log, log) = (place.path("cache.log"), place.path("access.log"));
    // Without a limit of its own it reserves memory for each descriptor that the system grants.
    let config = place.write(
        "squid.conf",
        &format!(
            "http_port 127.0.0.1:{port}\nvisible_hostname squid.example\nhosts_file {}\n\
             dns_nameservers 127.0.0.1\npid_filename none\ncoredump_dir none\npinger_enable off\n\
             cache deny all\ncache_mem 0\nmax_filedescriptors 1024\nshutdown_lifetime 0 seconds\n\
             buffered_logs off\ncache_log {}\naccess_log stdio:{}\n{access}http_access deny all\n",
            hosts.display(),
            cache_log.display(),
            log.display(),
        ),
    );
    Gateway::start(
        place,
        "squid",
        &["-N", "-f", config.to_str().unwrap()],
        port,
    )
}
