//! Through a real squid. Where it is not installed the test says so and checks nothing.

use std::fs::{self, File, Permissions};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use neap_core::exchange::FailureKind;
use neap_core::route::{Phase, Way};
use neap_testkit::{Refusing, Reply, Site};
use tempfile::TempDir;

use super::*;

/// Longest wait for a proxy that starts within a moment unless it is broken.
const START: Duration = Duration::from_secs(60);

/// Says OK to one user and password.
const LOGIN_HELPER: &str = r#"while read -r user password; do
  if [ "$user $password" = "ann secret" ]; then echo OK; else echo ERR; fi
done
"#;

/// A squid that wants a login, until this is dropped.
struct Squid {
    child: Child,
    address: SocketAddr,
    _place: TempDir,
}

impl Squid {
    fn start() -> Option<Squid> {
        let paths = [
            "/usr/sbin/squid",
            "/usr/local/sbin/squid",
            "/opt/homebrew/bin/squid",
        ];
        let Some(program) = paths.iter().find(|path| fs::metadata(path).is_ok()) else {
            eprintln!("NOT RUN: squid is not installed");
            return None;
        };
        let place = TempDir::new().unwrap();
        let file = |name: &str| place.path().join(name).display().to_string();
        // It gives up the rights of root, and then needs a place where everybody may write.
        fs::set_permissions(place.path(), Permissions::from_mode(0o777)).unwrap();
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        fs::write(file("login.sh"), LOGIN_HELPER).unwrap();
        let config = format!(
            "http_port {address}\npid_filename none\ncache_log {}\naccess_log none\ncache deny all\n\
             coredump_dir none\npinger_enable off\nshutdown_lifetime 0 seconds\n\
             auth_param basic program /bin/sh {}\nauth_param basic children 1 startup=1\n\
             acl known proxy_auth REQUIRED\nhttp_access allow known\nhttp_access deny all\n",
            file("cache.log"),
            file("login.sh"),
        );
        fs::write(file("squid.conf"), config).unwrap();
        drop(free);
        let said = File::create(file("said")).unwrap();
        let mut child = Command::new(program)
            .args(["-N", "-f", &file("squid.conf")])
            .stdin(Stdio::null())
            .stdout(said.try_clone().unwrap())
            .stderr(said)
            .spawn()
            .unwrap();
        let began = Instant::now();
        while TcpStream::connect(address).is_err() {
            let ended = child.try_wait().unwrap();
            let log = || [file("said"), file("cache.log")].map(fs::read_to_string);
            assert!(ended.is_none() && began.elapsed() < START, "{:?}", log());
            std::thread::yield_now();
        }
        Some(Squid {
            child,
            address,
            _place: place,
        })
    }

    fn egress(&self, login: &str) -> Egress {
        egress(&format!("http://{login}{}", self.address))
    }
}

impl Drop for Squid {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn squid_relays_tunnels_refuses_and_wants_its_password() {
    let Some(squid) = Squid::start() else {
        return;
    };
    // 1. It relays, and stamps what it relays.
    let authority = Authority::new();
    let plain = Site::builder().page("/", Reply::ok("plain")).start();
    let secure = Site::builder()
        .tls(&authority.identity(&["127.0.0.1"]))
        .page("/", Reply::ok("secure"))
        .start();
    let mut settings = settings(request());
    settings.extra_roots = vec![authority.der().into()];
    let fetcher = fetcher_with(&settings);
    let good = squid.egress("ann:secret@");
    let exchange = through(&fetcher, &good, &plain.url("/")).await.exchange;
    let answer = exchange.result.unwrap();
    assert_eq!(&answer.body[..], b"plain");
    assert!(
        answer.header("via").unwrap().contains("squid"),
        "{:?}",
        answer.headers
    );

    // 2. It opens a tunnel.
    let exchange = through(&fetcher, &good, &secure.url("/")).await.exchange;
    assert_eq!(&exchange.result.unwrap().body[..], b"secure");
    assert_eq!(exchange.route.tunnel_status, Some(200));

    // 3. It says why there is none: the host is not there.
    let refusing = Refusing::take().unwrap();
    let at = refusing.url("/").replace("http://", "https://");
    let (failure, route) = failed(through(&fetcher, &good, &at).await.exchange);
    assert_eq!(failure.kind, FailureKind::ProxyRefused, "{failure}");
    assert_eq!((route.way, route.reached), (Way::Tunnel, Phase::Open));
    let refusal = route.refusal.unwrap();
    assert_eq!(refusal.status, 503);
    let code = refusal.headers["x-squid-error"].to_str().unwrap();
    assert!(code.starts_with("ERR_CONNECT_FAIL"), "{code}");
    let page = String::from_utf8_lossy(&refusal.body);
    assert!(page.contains("ERR_CONNECT_FAIL"), "{page}");

    // 4. It wants the right password, whatever is asked for.
    for login in ["", "ann:other@"] {
        let wrong = squid.egress(login);
        let (failure, route) = failed(through(&fetcher, &wrong, &secure.url("/")).await.exchange);
        assert_eq!(failure.kind, FailureKind::ProxyAuth, "{failure}");
        assert_eq!(route.refusal.unwrap().status, 407);
        let answer = through(&fetcher, &wrong, &plain.url("/"))
            .await
            .exchange
            .result;
        assert_eq!(answer.unwrap().status, 407);
    }
}
