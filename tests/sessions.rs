//! Do the secrets of a job stay between it and the hosts that they are for?

use std::collections::BTreeSet;
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

use flate2::read::MultiGzDecoder;
use neap_testkit::{Asked, Authority, ForwardProxy, Manner, Passed, Reply, Site};

use crate::support::{Place, Said};

/// Where the names of all hosts lead.
const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Where the secrets of the job are found: its names, and what they hold.
const CANARIES: [(&str, &str); 7] = [
    ("HEADER", "SECRET-0a-header"),
    ("COOKIE", "SECRET-0b-cookie"),
    ("USER", "SECRET-0c-user"),
    ("PASSWORD", "SECRET-0d-password"),
    ("TOKEN", "SECRET-0e-token"),
    ("PROXY_USER", "SECRET-1b-proxy"),
    ("PROXY_PASSWORD", "SECRET-0f-proxy"),
];

/// What the file of a secret holds.
const FILE_CANARY: &str = "SECRET-1a-file";

/// What the file of cookies holds.
const COOKIE_CANARY: &str = "SECRET-1c-cookie";

/// The password of a proxy that the list of a pool has.
const LIST_CANARY: &str = "SECRET-2a-list";

/// Everything that must be seen nowhere else: the secrets, and those that are sent in base64.
fn canaries() -> Vec<String> {
    let base64 = |text: &str| data_encoding::BASE64.encode(text.as_bytes());
    let [user, password] = ["SECRET-0c-user", "SECRET-0d-password"];
    let mut all: Vec<String> = CANARIES
        .iter()
        .map(|(_, value)| (*value).to_owned())
        .collect();
    all.push(FILE_CANARY.to_owned());
    all.push(LIST_CANARY.to_owned());
    all.push(COOKIE_CANARY.to_owned());
    all.push(base64(&format!("first-user:{LIST_CANARY}")));
    all.push(base64(&format!("{user}:{password}")));
    all.push(base64("SECRET-1b-proxy:SECRET-0f-proxy"));
    all
}

/// Whether one of the secrets is in these bytes; which.
fn found_in(bytes: &[u8]) -> Vec<String> {
    let holds = |canary: &String| {
        bytes
            .windows(canary.len())
            .any(|part| part == canary.as_bytes())
    };
    canaries().into_iter().filter(holds).collect()
}

fn headers_of(asked: &Asked) -> String {
    format!("{} {:?} {:?}", asked.target, asked.headers, asked.body)
}

/// The names of a site's requests that carry a secret.
fn leaks_of(name: &str, log: &[Asked]) -> Vec<String> {
    let leaks = log.iter().flat_map(|asked| {
        let found = found_in(headers_of(asked).as_bytes()).into_iter();
        found.map(|canary| format!("{canary} at {name}{}", asked.target))
    });
    leaks.collect()
}

/// The bytes of every file below a directory; what is packed with gzip, unpacked.
fn every_file(below: &Path, out: &mut Vec<(String, Vec<u8>)>) {
    for entry in std::fs::read_dir(below).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            every_file(&path, out);
            continue;
        }
        let name = path.display().to_string();
        let bytes = std::fs::read(&path).unwrap();
        if bytes.starts_with(&[0x1f, 0x8b]) {
            let mut unpacked = Vec::new();
            MultiGzDecoder::new(&bytes[..])
                .read_to_end(&mut unpacked)
                .unwrap();
            out.push((format!("{name} unpacked"), unpacked));
        }
        out.push((name, bytes));
    }
}

/// The world of the test: one host that the secrets are for, and six that differ from it in one thing.
struct World {
    /// `http://shop.example:PORT` and, by the redirects of its pages, the way to all others.
    home: Site,
    /// By what differs.
    others: Vec<(&'static str, Site)>,
    authority: Authority,
}

impl World {
    fn start() -> World {
        let authority = Authority::new();
        let identity = authority.identity(&["shop.example"]);
        let echo = |site: neap_testkit::Builder| {
            site.fallback(|_| Reply::html("Elsewhere", [""; 0])).start()
        };
        let scheme = echo(Site::builder().tls(&identity));
        let port = echo(Site::builder());
        let host = echo(Site::builder());
        let home = Site::builder()
            .fallback(|_| Reply::html("Home", [""; 0]))
            .start();
        let at = |name: &str, address: SocketAddr| format!("http://{name}:{}", address.port());
        let shop = at("shop.example", home.address());
        let back = Site::builder()
            .page("/hop", Reply::redirect(302, format!("{shop}/back-home")))
            .start();
        let sub = echo(Site::builder());
        for (path, target) in [
            (
                "/scheme",
                format!("https://shop.example:{}/in", scheme.address().port()),
            ),
            (
                "/port",
                format!("{}/in", at("shop.example", port.address())),
            ),
            (
                "/host",
                format!("{}/in", at("evil.example", host.address())),
            ),
            (
                "/sub",
                format!("{}/in", at("www.shop.example", sub.address())),
            ),
            (
                "/chain",
                format!("{}/hop", at("hop.example", back.address())),
            ),
        ] {
            home.set_page(path, Reply::redirect(302, target.clone()));
            home.set_page(&format!("{path}-link"), Reply::html("Link", [target]));
        }
        World {
            home,
            others: vec![
                ("scheme", scheme),
                ("port", port),
                ("host", host),
                ("subdomain", sub),
                ("chain", back),
            ],
            authority,
        }
    }

    fn shop(&self) -> String {
        format!("http://shop.example:{}", self.home.address().port())
    }

    /// A job of every page that leads elsewhere, whose secrets are written as `identity`.
    fn job(&self, identity: &str) -> String {
        let shop = self.shop();
        let pages = ["scheme", "port", "host", "sub", "chain"];
        let urls = pages
            .iter()
            .flat_map(|page| [format!("'{shop}/{page}'"), format!("'{shop}/{page}-link'")]);
        let urls: Vec<String> = urls.collect();
        format!(
            "neap = 1\nname = 'job'\n[input]\nurls = [{}]\n[crawl]\nscope = 'any'\n{identity}\n\
             [robots]\nmode = 'off'\n[retry]\nbase = '1ms'\nmax = '10ms'\nswap_proxy_after = 1\n\
             [[proxy.pool]]\nname = 'first'\nfile = 'first.txt'\n\
             [[proxy.pool]]\nname = 'second'\nurls = ['http://${{env:PROXY_USER}}:${{env:PROXY_PASSWORD}}@127.0.0.1:{{second}}']\n",
            urls.join(", ")
        )
    }
}

/// Runs a job and everything that tells of it; all that was said.
fn told(place: &Place, authority: &Path, shop: &str) -> Vec<String> {
    let run = |arguments: &[&str]| {
        let mut command = place.command(arguments);
        for (name, value) in CANARIES {
            command.env(name, value);
        }
        let output = command
            .env("SSL_CERT_FILE", authority)
            .env("NEAP_LOG", "trace")
            .output()
            .unwrap();
        Said::from(output)
    };
    let url = format!("{shop}/host");
    let mut all = Vec::new();
    for (arguments, code) in [
        (&["check", "job.toml"][..], 0),
        (&["-vv", "run", "job.toml"], 0),
        (&["explain", &url], 0),
        (&["why", shop], 0),
        (&["errors"], 0),
        (&["proxies"], 0),
        (&["export", "attempts", "--to", "attempts.csv"], 0),
        (&["export", "results", "--to", "results.jsonl"], 0),
        (&["query", "SELECT spec FROM jobs"], 0),
        (&["body", &url, "--head"], 0),
    ] {
        let said = run(arguments).expect(code);
        all.push(format!("{arguments:?}: {}\n{}", said.out, said.err));
    }
    all
}

/// The headers that must have reached the home host, or else the test shows nothing.
fn seen_at_home(world: &World, name: &str) -> BTreeSet<String> {
    let log = world.home.log();
    let values = log.iter().filter_map(|asked| asked.header(name));
    values.map(str::to_owned).collect()
}

fn no_leak_in(place: &Place, said: &[String], source: &[&str]) {
    let mut files = Vec::new();
    every_file(&place.path("."), &mut files);
    assert!(files.iter().any(|(name, _)| name.ends_with("unpacked")));
    let is_source = |name: &str| source.iter().any(|source| name.ends_with(source));
    for (name, bytes) in files.iter().filter(|(name, _)| !is_source(name)) {
        assert_eq!(found_in(bytes), [""; 0], "{name}");
    }
    for text in said {
        assert_eq!(found_in(text.as_bytes()), [""; 0], "{text}");
    }
}

/// Runs the world's job with these secrets. `sent` is what the home host must have been sent.
/// `also` are the others that may see it.
fn nothing_leaks(identity: &str, sent: &[(&str, &str)], also: &[&str]) {
    let world = World::start();
    let proxy = || ForwardProxy::builder().every_name(LOOPBACK);
    // The first gives up soon, so that what was sent through it goes through the other one, too.
    let first = proxy().login("first-user", LIST_CANARY).start();
    let second = proxy().login("SECRET-1b-proxy", "SECRET-0f-proxy").start();
    let place = Place::new();
    let job = world.job(identity);
    let port = second.address().port().to_string();
    let job = job.replace("{second}", &port);
    place.write("job.toml", &job.replace("{shop}", &world.shop()));
    place.write("first.txt", &first.url());
    let cookies = format!("shop.example\tFALSE\t/\tFALSE\t0\tsid\t{COOKIE_CANARY}\n");
    place.write("cookies.txt", &cookies);
    place.write("token.txt", &format!("{FILE_CANARY}\n"));
    let authority = place.path("authority.pem");
    world.authority.write_pem(&authority).unwrap();
    first.set(Manner::Close);
    let said = told(&place, &authority, &world.shop());

    for (name, value) in sent {
        let seen = seen_at_home(&world, name);
        assert!(seen.contains(*value), "{name}: {seen:?}");
    }
    for (name, site) in &world.others {
        let log = site.log();
        assert!(!log.is_empty(), "nothing led to {name}");
        if also.contains(name) {
            assert_ne!(leaks_of(name, &log), [""; 0]);
            continue;
        }
        assert_eq!(leaks_of(name, &log), [""; 0]);
    }
    let logins = |passed: &[Passed]| -> BTreeSet<String> {
        let values = passed
            .iter()
            .filter_map(|passed| passed.header("proxy-authorization"));
        values.map(str::to_owned).collect()
    };
    let (by_first, by_second) = (first.passed(), second.passed());
    assert!(!by_first.is_empty() && !by_second.is_empty());
    assert!(
        logins(&by_first).is_disjoint(&logins(&by_second)),
        "a login went to another proxy"
    );
    // What may see it at other ports is told by their own logs.
    let home = match also {
        [] => format!("{}/", world.shop()),
        _ => "http://shop.example:".to_owned(),
    };
    for passed in by_first.iter().chain(&by_second) {
        let mut headers = passed.headers.clone();
        headers.retain(|(name, _)| !name.eq_ignore_ascii_case("proxy-authorization"));
        let is_home = passed.target.starts_with(&home);
        let found = found_in(format!("{headers:?}").as_bytes());
        assert!(
            is_home || found.is_empty(),
            "{found:?} with {}",
            passed.target
        );
    }
    let to_site = world.home.log();
    assert!(
        to_site
            .iter()
            .all(|asked| asked.header("proxy-authorization").is_none())
    );
    no_leak_in(&place, &said, &["token.txt", "first.txt", "cookies.txt"]);
}

#[test]
fn headers_from_the_environment_and_from_files_reach_their_host_alone() {
    nothing_leaks(
        "[identity.headers]\nx-api-key = '${env:HEADER}'\ncookie = 'sid=${env:COOKIE}'\n\
         x-token = '${file:token.txt}'",
        &[
            ("x-api-key", "SECRET-0a-header"),
            ("cookie", "sid=SECRET-0b-cookie"),
            ("x-token", FILE_CANARY),
        ],
        &[],
    );
}

#[test]
fn cookies_of_a_file_and_those_that_are_set_reach_their_host_alone() {
    nothing_leaks(
        "[identity]\ncookie_file = 'cookies.txt'",
        &[("cookie", "sid=SECRET-1c-cookie")],
        // Cookies do not tell schemes and ports of a name apart (RFC 6265, section 8.5).
        &["scheme", "port"],
    );
}

#[test]
fn a_user_and_a_password_reach_their_host_alone() {
    let login = "SECRET-0c-user:SECRET-0d-password";
    let sent = format!("Basic {}", data_encoding::BASE64.encode(login.as_bytes()));
    let identity =
        "[[identity.auth]]\norigin = '{shop}'\nuser = '${env:USER}'\npassword = '${env:PASSWORD}'";
    nothing_leaks(identity, &[("authorization", &sent)], &[]);
}

#[test]
fn a_token_reaches_its_host_alone_and_goes_before_a_header() {
    let identity = "[identity]\nheaders = { authorization = 'x ${env:HEADER}' }\n\
         [[identity.auth]]\norigin = '{shop}'\nbearer = '${env:TOKEN}'";
    nothing_leaks(
        identity,
        &[("authorization", "Bearer SECRET-0e-token")],
        &[],
    );
}

#[test]
fn a_wall_that_wants_its_cookie_back_is_passed_and_others_see_none() {
    // As many sites do: without the cookie every page sets it and leads to itself.
    let site = Site::builder()
        .fallback(|asked| match asked.header("cookie") {
            Some(cookie) if cookie.contains("pass=1") => Reply::html("In", [""; 0]),
            Some(_) | None => Reply::redirect(302, asked.target.clone())
                .header("Set-Cookie", "pass=1; Path=/; Max-Age=600"),
        })
        .start();
    let other = Site::bind("127.0.0.2").fallback(|_| Reply::ok("")).start();
    for (cookies, pages) in [("true", 4), ("false", 0)] {
        let place = Place::new();
        let urls: Vec<String> = (0..4)
            .map(|n| format!("'{}'", site.url(&format!("/{n}"))))
            .collect();
        place.write(
            "job.toml",
            &format!(
                "neap = 1\n[input]\nurls = [{}, '{}']\n[request]\nredirects = 3\n\
                 [robots]\nmode = 'off'\n[identity]\ncookies = {cookies}\n",
                urls.join(", "),
                other.url("/")
            ),
        );
        place.neap(&["run", "job.toml"]).expect(0);
        let passed =
            place.number("SELECT count(*) FROM results WHERE status = 200 AND url LIKE '%/_'");
        assert_eq!(passed, pages, "cookies = {cookies}");
        let at = site.url("/0");
        let said = place.neap(&["fetch", &at, "--job", "job.toml"]);
        assert_eq!(said.code == Some(0), pages > 0, "{}", said.err);
    }
    assert!(
        other
            .log()
            .iter()
            .all(|asked| asked.header("cookie").is_none())
    );
}

/// A site that serves those alone whom its authority vouches for, and what they need in `place`.
fn closed_site(place: &Place, ip: &str, authority: &Authority, clients: &Authority) -> Site {
    let client = clients.identity(&["client.example"]).client_pem();
    place.write("client.pem", &client);
    place.write("ca.pem", &authority.pem());
    let identity = authority.identity(&[ip]).asking_for(clients);
    Site::bind(ip)
        .tls(&identity)
        .page("/", Reply::ok("in"))
        .start()
}

#[test]
fn a_certificate_opens_its_host_and_is_shown_to_no_other() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let place = Place::new();
    let one = closed_site(&place, "127.0.0.1", &authority, &clients);
    let other = closed_site(&place, "127.0.0.2", &authority, &clients);
    let file = |login: &str, ca: &str| {
        format!(
            "neap = 1\n[input]\nurls = ['{}', '{}']\n[robots]\nmode = 'off'\n[retry]\nattempts = 1\n\
             [adaptive]\ngive_up_after = '1s'\n{ca}\n{login}",
            one.url("/"),
            other.url("/")
        )
    };
    let ca = "[request]\nca_file = 'ca.pem'";
    let login = format!(
        "[[identity.auth]]\norigin = '{}'\ncertificate = 'client.pem'\nkey = 'client.pem'\n",
        one.base_url().trim_end_matches('/')
    );
    for (login, ca, opened) in [(login.as_str(), ca, 1), ("", ca, 0), (&login, "", 0)] {
        place.write("job.toml", &file(login, ca));
        let db = format!("{opened}{}{}.db", login.len(), ca.len());
        place.neap(&["--db", &db, "run", "job.toml"]);
        assert_eq!(one.count("/"), opened);
        assert_eq!(
            other.asked(),
            0,
            "the certificate was shown to another host"
        );
        one.clear_log();
    }
    place.write("job.toml", &file(&login, ca));
    for (text, why) in [
        ("nonsense", "there is no certificate in it"),
        (&clients.pem(), "there is no private key"),
    ] {
        place.write("client.pem", text);
        let said = place.neap(&["check", "job.toml"]);
        assert!(said.err.contains(why), "{}", said.err);
    }
}

#[test]
fn requests_come_from_the_address_that_the_job_names() {
    let site = Site::builder()
        .fallback(|asked| Reply::ok(format!("{}", asked.peer)))
        .start();
    let place = Place::new();
    place.write(
        "job.toml",
        &format!(
            "neap = 1\n[input]\nurls = ['{}']\n[robots]\nmode = 'off'\n[request]\nbind = '127.0.0.5'\n",
            site.url("/")
        ),
    );
    place.neap(&["run", "job.toml"]).expect(0);
    let said = place.neap(&["body", &site.url("/")]).expect(0);
    assert!(said.out.starts_with("127.0.0.5:"), "{}", said.out);
}
