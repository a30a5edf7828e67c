//! Does `neap fetch` bring one URL, and say who is to blame if it does not?

use neap_testkit::{
    Asking, Authority, Coding, ForwardProxy, Identity, Manner, Refusing, Reply, Site,
};
use serde_json::Value;

use crate::support::{Place, Said};

/// A password that must never be seen.
const PASSWORD: &str = "hunter22";

/// Waits that no test notices.
const QUICK: [&str; 2] = ["--set", "retry.base=1ms"];

fn fetch(place: &Place, url: &str, more: &[&str]) -> Said {
    place.neap(&[&["fetch", url], &QUICK[..], more].concat())
}

/// The attempts that `--format json` tells of.
fn attempts(said: &Said) -> Vec<Value> {
    let lines = said.out.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// How attempts ended: status of the answer, who wrote it, whose fault it was, what went wrong.
fn told(attempts: &[Value]) -> Vec<String> {
    let word = |attempt: &Value, name: &str| {
        let value = &attempt[name];
        value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned)
    };
    let names = ["status", "producer", "fault", "diagnosis"];
    let told = attempts
        .iter()
        .map(|of| names.map(|name| word(of, name)).join(" "));
    told.collect()
}

/// Fails the test unless all of these are in the text, in this order.
#[track_caller]
fn assert_in_order(text: &str, parts: &[&str]) {
    let mut rest = text;
    for part in parts {
        let Some(at) = rest.find(part) else {
            panic!("{part:?} is not in its place in\n{text}");
        };
        rest = &rest[at + part.len()..];
    }
}

/// A site that speaks TLS as `shop.example`, and the file of who vouches for it.
fn shop(place: &Place, page: Reply) -> (Site, String) {
    let authority = Authority::new();
    authority.write_pem(&place.path("roots.pem")).unwrap();
    let site = Site::builder()
        .tls(&authority.identity(&["shop.example"]))
        .page("/", page)
        .start();
    let url = format!("https://shop.example:{}/", site.address().port());
    (site, url)
}

fn fetch_trusting(place: &Place, url: &str, more: &[&str]) -> Said {
    let mut command = place.command(&[&["fetch", url], &QUICK[..], more].concat());
    let roots = place.path("roots.pem");
    command.env("SSL_CERT_FILE", roots).output().unwrap().into()
}

#[test]
fn a_page_goes_to_standard_output_and_nothing_is_said() {
    let site = Site::builder()
        .page("/", Reply::text("hello\n").encoded(Coding::Gzip))
        .start();
    let place = Place::new();
    let said = fetch(&place, &site.url("/"), &[]).expect(0);
    assert_eq!((said.out.as_str(), said.err.as_str()), ("hello\n", ""));
    assert_eq!(site.count("/robots.txt"), 0, "a person is no robot");
    assert!(!place.path("neap.db").exists());

    let said = fetch(&place, &site.url("/"), &["--head"]).expect(0);
    assert_in_order(
        &said.out,
        &[
            "HTTP/1.1 200 OK\r\n",
            "content-encoding: gzip\r\n",
            "\r\n\r\nhello\n",
        ],
    );
    let raw = place
        .command(&["fetch", &site.url("/"), "--raw"])
        .output()
        .unwrap();
    assert_eq!(raw.stdout[..2], [0x1f, 0x8b], "as it was sent");
}

#[test]
fn a_502_is_asked_again_and_the_trace_says_whose_it_was() {
    let gateway = Reply::status(502)
        .header("server", "nginx/1.24.0")
        .header("content-type", "text/html")
        .body("<html><head><title>502 Bad Gateway</title></head><hr><center>nginx/1.24.0</center>");
    let site = Site::builder()
        .in_turn("/", [gateway, Reply::text("hello")])
        .start();
    let place = Place::new();
    let said = fetch(&place, &site.url("/"), &["--trace"]).expect(0);
    assert_eq!(said.out, "hello");
    assert_in_order(
        &said.err,
        &[
            "#1  502 gateway direct",
            "server: nginx/1.24.0",
            "body \"502 Bad Gateway\"",
            "again in ",
            "A gateway of the site answered. It is the host's fault (92 % sure)",
            "- the page of a gateway",
            "- the page is nginx's",
            "connect ",
            "A crawl sends the host less at once",
            "#2  200 host    direct",
            "5 B",
        ],
    );
    assert_eq!(site.count("/"), 2);
}

#[test]
fn who_always_fails_is_given_up_and_its_body_is_written_all_the_same() {
    let site = Site::builder()
        .page(
            "/",
            Reply::status(502)
                .header("content-type", "text/html")
                .body("<p>down"),
        )
        .page("/gone", Reply::status(404).body("not here"))
        .start();
    let place = Place::new();
    let three = ["--set", "retry.attempts=3"];
    let said = fetch(&place, &site.url("/"), &three).expect(3);
    assert_eq!((said.out.as_str(), site.count("/")), ("<p>down", 3));
    assert_in_order(
        &said.err.replace("\n  │ ", " "),
        &[
            "no page of ",
            "answered 502 (Bad Gateway), after 3 attempts",
            "the host's fault",
            "--trace",
        ],
    );
    let said = fetch(&place, &site.url("/gone"), &three).expect(3);
    assert_eq!((said.out.as_str(), site.count("/gone")), ("not here", 1));
    assert!(
        said.err.contains("answered 404 (Not Found)"),
        "{}",
        said.err
    );
}

#[test]
fn nobody_who_listens_is_said_so() {
    let nobody = Refusing::take().unwrap();
    let said = fetch(&Place::new(), &nobody.url("/"), &["--format", "json"]).expect(3);
    let attempts = attempts(&said);
    assert_eq!(told(&attempts), vec!["null none host connect_refused"; 6]);
    let next: Vec<_> = attempts
        .iter()
        .map(|of| of["next"].as_str().unwrap())
        .collect();
    assert_eq!(
        next,
        ["retry", "retry", "retry", "retry", "retry", "failed"]
    );
}

#[test]
fn a_proxy_that_refuses_the_tunnel_gives_way_to_the_next() {
    let place = Place::new();
    let (site, url) = shop(&place, Reply::text("hello"));
    let status = ("Proxy-Status", "p3; error=proxy_internal_error");
    let bad = ForwardProxy::builder()
        .manner(Manner::answer(502, "Bad Gateway", &[status], "no"))
        .start();
    let good = ForwardProxy::builder()
        .name("shop.example", site.address())
        .start();
    let both = ["--proxy", &bad.url(), "--proxy", &good.url(), "--trace"];
    let said = fetch_trusting(&place, &url, &both).expect(0);
    assert_eq!(said.out, "hello");
    let to_good = format!("again at once by {}", good.address());
    assert_in_order(
        &said.err,
        &[
            "#1  502 proxy ",
            &bad.address().to_string(),
            "CONNECT -> 502 Bad Gateway, proxy-status: p3; error=proxy_internal_error, body \"no\"",
            &to_good,
            "The proxy answered. It is the proxy's fault",
            "CONNECT ",
            "#2  200 host ",
            &good.address().to_string(),
            "tls ",
            "the tunnel was opened with 200; certificate issued by \"neap-testkit authority\"",
        ],
    );
    assert_eq!((bad.passed().len(), site.asked()), (1, 1));
}

#[test]
fn a_dead_proxy_gives_way_and_alone_is_left_out() {
    let site = Site::builder().page("/", Reply::text("hello")).start();
    let dead = Refusing::take().unwrap();
    let proxy = format!("ann:{PASSWORD}@{}", dead.address());
    let place = Place::new();
    let json = ["--format", "json", "--proxy", &proxy];
    let said = fetch(
        &place,
        &site.url("/"),
        &[&json[..], &["--proxy", "direct"]].concat(),
    );
    let said = said.expect(0);
    let of_both = attempts(&said);
    assert_eq!(
        told(&of_both),
        ["null none proxy proxy_down", "200 origin_app nobody ok"]
    );
    assert_eq!(
        (&of_both[0]["backoff_ms"], &of_both[0]["next_way"]),
        (&0.into(), &"direct".into())
    );

    let said = fetch(&place, &site.url("/"), &[&json[..], &["--trace"]].concat()).expect(3);
    assert_eq!(
        told(&attempts(&said)),
        vec!["null none proxy proxy_down"; 3]
    );
    assert!(
        said.err
            .contains("is left out: it failed several times itself"),
        "{}",
        said.err
    );
    assert!(said.err.contains("the proxy's fault"), "{}", said.err);
    assert!(!(said.out + &said.err).contains(PASSWORD));
    assert_eq!(site.asked(), 1);
}

#[test]
fn a_wrong_password_is_tried_once_and_never_shown() {
    let place = Place::new();
    let (site, https) = shop(&place, Reply::text("hello"));
    let proxy = ForwardProxy::builder()
        .login("ann", "right")
        .name("shop.example", site.address())
        .start();
    let wrong = format!("http://ann:{PASSWORD}@{}", proxy.address());
    let http = "http://shop.example/";
    for (url, number) in [(https.as_str(), 1), (http, 2)] {
        let said = fetch_trusting(&place, url, &["--trace", "--proxy", &wrong]).expect(9);
        assert_in_order(
            &said.err,
            &[
                "given up",
                "our credentials' fault",
                "the proxy wants other credentials",
                "no page of ",
            ],
        );
        assert_eq!(proxy.passed().len(), number, "an account may be locked");
        assert!(!(said.out + &said.err).contains(PASSWORD));
    }

    // The next proxy has a password of its own, here from the environment.
    let right = format!("http://ann:${{env:PROXY_PASSWORD}}@{}", proxy.address());
    let both = ["--proxy", &wrong, "--proxy", &right, "-v"];
    let mut command = place.command(&[&["fetch", &https], &QUICK[..], &both].concat());
    command.env("PROXY_PASSWORD", "right");
    command.env("SSL_CERT_FILE", place.path("roots.pem"));
    let said = Said::from(command.output().unwrap()).expect(0);
    assert_eq!(said.out, "hello");
    assert_in_order(&said.err, &["#1  407 proxy", "#2  200 host"]);
    assert!(
        proxy
            .passed()
            .iter()
            .all(|passed| passed.asking != Asking::Socks5)
    );
}

#[test]
fn the_pools_of_a_job_are_used_in_their_order() {
    let site = Site::builder().page("/", Reply::text("hello")).start();
    let proxy = |manner| {
        let proxy = ForwardProxy::builder()
            .login("ann", PASSWORD)
            .manner(manner);
        proxy.name("shop.example", site.address()).start()
    };
    let (cheap, dear) = (proxy(Manner::Close), proxy(Manner::Work));
    let place = Place::new();
    place.write(
        "cheap.txt",
        &format!("# one a line\nann:{PASSWORD}@{}\n", cheap.address()),
    );
    place.write(
        "job.toml",
        &format!(
            "neap = 1\n[input]\nurls = [\"http://shop.example/\"]\n[robots]\nmode = \"off\"\n\
             [retry]\nbase = \"1ms\"\nswap_proxy_after = 1\n\
             [[proxy.pool]]\nname = \"cheap\"\nfile = \"cheap.txt\"\n\
             [[proxy.pool]]\nname = \"dear\"\nurls = [\"socks5h://${{env:LOGIN}}@{}\"]\n",
            dear.address()
        ),
    );
    let url = "http://shop.example/";
    let ask = |more: &[&str]| {
        let mut command = place.command(&[&["fetch", url, "--job", "job.toml"], more].concat());
        Said::from(
            command
                .env("LOGIN", format!("ann:{PASSWORD}"))
                .output()
                .unwrap(),
        )
    };
    let said = ask(&["-v"]).expect(0);
    assert_eq!(said.out, "hello");
    let (by_cheap, by_dear) = (
        format!("nobody  cheap/{}", cheap.address()),
        format!("host    dear/{}", dear.address()),
    );
    assert_in_order(&said.err, &["#1", &by_cheap, "200", &by_dear, "socks "]);
    assert!(!said.err.contains(PASSWORD));
    assert_eq!(dear.passed()[0].asking, Asking::Socks5);

    // The command line wins, and a pool that lacks its secret is said so before anything is sent.
    let passed = dear.passed().len();
    let dead = Refusing::take().unwrap().address().to_string();
    ask(&["--proxy", &dead]).expect(3);
    assert_eq!(dear.passed().len(), passed);
    let said = fetch(&place, url, &["--job", "job.toml"]).expect(2);
    assert!(said.err.contains("variable LOGIN"), "{}", said.err);
}

#[test]
fn a_long_wait_is_announced() {
    let busy = Reply::status(503).header("retry-after", "600");
    let site = Site::builder().page("/", busy).start();
    let place = Place::new();
    let mut running = place.start(&["fetch", &site.url("/")]);
    running.hear("neap waits 10 min before it asks again");
    running.kill();
    assert_eq!(site.count("/"), 1);
}

#[test]
fn redirects_are_followed_hop_by_hop_and_no_further_than_allowed() {
    let second = Site::builder()
        .page("/b", Reply::redirect(308, "/c"))
        .page("/c", Reply::text("here"))
        .start();
    let first = Site::builder()
        .page("/a", Reply::redirect(302, second.url("/b")))
        .page("/odd", Reply::redirect(302, "javascript:alert(1)"))
        .start();
    let place = Place::new();
    place.write(
        "job.toml",
        "neap = 1\n[input]\nurls = [\"http://x.example/\"]\n[robots]\nmode = \"off\"\n\
         [request]\nprivate_addresses = true\n[identity]\nheaders = { x-token = \"${env:TOKEN}\" }\n",
    );
    let arguments = ["fetch", &first.url("/a"), "--job", "job.toml", "--trace"];
    let mut command = place.command(&arguments);
    let said = Said::from(command.env("TOKEN", PASSWORD).output().unwrap()).expect(0);
    assert_eq!(said.out, "here");
    let (to_b, at_c) = (format!("-> {}", second.url("/b")), second.url("/c"));
    assert_in_order(
        &said.err,
        &["#1  302", &to_b, "#2  308", "-> /c", "#3  200", &at_c],
    );
    assert!(!said.err.contains(PASSWORD));
    assert_eq!(first.log()[0].header("x-token"), Some(PASSWORD));
    assert!(
        second
            .log()
            .iter()
            .all(|asked| asked.header("x-token").is_none())
    );

    let allowed = "request.private_addresses=true";
    let one = ["--set", "request.redirects=1", "--set", allowed];
    let said = fetch(&place, &first.url("/a"), &one).expect(3);
    assert!(said.err.contains("`request.redirects` = 1"), "{}", said.err);
    let said = fetch(&place, &first.url("/odd"), &[]).expect(3);
    assert!(said.err.contains("only http and https"), "{}", said.err);
}

#[test]
fn a_certificate_that_nobody_vouches_for_is_no_reason_to_ask_again() {
    let site = Site::builder()
        .tls(&Identity::self_signed(&["127.0.0.1"]))
        .page("/", Reply::text("hello"))
        .start();
    let said = fetch(&Place::new(), &site.url("/"), &["--trace"]).expect(3);
    assert_in_order(
        &said.err,
        &[
            "#1  -   nobody",
            "its TLS certificate is not to be trusted",
            "given up",
            "the host's fault",
            "TLS with the host failed",
            "certificate issued by",
        ],
    );
    assert_eq!((site.accepted(), said.out.as_str()), (1, ""));
}

#[test]
fn what_a_server_says_does_not_act_on_the_terminal() {
    let hostile = "HTTP/1.1 502 \u{9b}2J\r\nServer: \u{9b}31mevil\r\nContent-Length: 16\r\n\r\n\
                   \u{1b}]0;owned\u{7}\u{202e}txt";
    let site = Site::builder().page("/", Reply::raw(hostile)).start();
    let said = fetch(&Place::new(), &site.url("/"), &["--trace"]).expect(3);
    let acts = |c: char| c.is_control() && c != '\n';
    assert!(!said.err.contains(acts), "{:?}", said.err);
    assert!(!said.err.contains('\u{202e}'), "{:?}", said.err);
    assert!(said.err.contains("\\u{1b}]0;owned"), "{}", said.err);
    let place = Place::new();
    let said = fetch(&place, &format!("{}\u{1b}[2J", site.url("/")), &["--trace"]).expect(3);
    assert!(!said.err.contains(acts), "{:?}", said.err);
}

#[test]
fn attempts_as_json_have_what_the_trace_tells() {
    let site = Site::builder()
        .in_turn(
            "/",
            [
                Reply::status(503).header("retry-after", "0"),
                Reply::text("hello"),
            ],
        )
        .start();
    let said = fetch(&Place::new(), &site.url("/"), &["--format", "json"]).expect(0);
    let attempts = attempts(&said);
    assert_eq!(attempts.len(), 2);
    let first = &attempts[0];
    for (name, value) in [
        ("number", Value::from(1)),
        ("asked_for", "page".into()),
        ("url", site.url("/").into()),
        ("way", "direct".into()),
        ("status", 503.into()),
        ("outcome", "overload".into()),
        ("cause", "http_503".into()),
        ("fault", "host".into()),
        ("next", "retry".into()),
    ] {
        assert_eq!(first[name], value, "{name} of {first}");
    }
    assert!(first["phases_ms"]["wait"].is_number(), "{first}");
    assert!(
        first["headers"]
            .as_array()
            .unwrap()
            .contains(&serde_json::json!(["retry-after", "0"]))
    );
    assert_eq!(
        (&attempts[1]["next"], &attempts[1]["body_bytes"]),
        (&"done".into(), &5.into())
    );
    fetch(
        &Place::new(),
        &site.url("/"),
        &["--format", "json", "--raw"],
    )
    .expect(2);
}

#[test]
fn a_wall_for_robots_is_no_page_though_it_says_200() {
    let wall = Reply::ok("<title>Just a moment...</title>")
        .header("content-type", "text/html")
        .header("cf-mitigated", "challenge");
    let site = Site::builder().page("/", wall).start();
    let place = Place::new();
    let said = fetch(&place, &site.url("/"), &["--trace"]).expect(3);
    assert_in_order(
        &said.err,
        &["a test for robots stands before the page", "no page of "],
    );
    assert_eq!(site.count("/"), 1, "the same way meets the same wall");
    let proxy = ForwardProxy::builder().start();
    let said = fetch(
        &place,
        &site.url("/"),
        &["--proxy", "direct", "--proxy", &proxy.url()],
    );
    said.expect(3);
    assert!(!proxy.passed().is_empty(), "another way may not");
}

#[test]
fn a_job_that_obeys_robots_is_held_to_them() {
    let site = Site::builder()
        .robots("User-agent: *\nDisallow: /private\n")
        .page("/private", Reply::text("secret"))
        .page("/open", Reply::redirect(302, "/private"))
        .start();
    let place = Place::new();
    place.write(
        "job.toml",
        "neap = 1\n[input]\nurls = [\"http://x.example/\"]\n",
    );
    let job = ["--job", "job.toml", "-v"];
    for path in ["/private", "/open"] {
        let said = fetch(&place, &site.url(path), &job).expect(3);
        assert_in_order(
            &said.err,
            &[
                "robots.txt: ",
                "forbids",
                "disallow: /private (line 2)",
                "--ignore-robots",
            ],
        );
        assert_eq!(said.out, "");
    }
    assert_eq!((site.count("/private"), site.count("/robots.txt")), (0, 2));
    let said = fetch(
        &place,
        &site.url("/private"),
        &[&job[..], &["--ignore-robots"]].concat(),
    );
    assert_eq!(said.expect(0).out, "secret");

    site.set_page("/robots.txt", Reply::status(503));
    let said = fetch(&place, &site.url("/other"), &job).expect(3);
    assert!(said.err.contains("RFC 9309"), "{}", said.err);
    site.set_page("/robots.txt", Reply::status(404));
    assert_eq!(
        fetch(&place, &site.url("/private"), &job).expect(0).out,
        "secret"
    );
}

#[test]
fn what_cannot_be_asked_for_is_said_before_anything_is_sent() {
    let place = Place::new();
    let by_proxy = |proxy: &str| fetch(&place, "http://x.example/", &["--proxy", proxy]);
    for (said, part) in [
        (fetch(&place, "shop", &[]), "not a URL"),
        (
            fetch(&place, "ftp://x.example/", &[]),
            "only http and https",
        ),
        (
            fetch(&place, &format!("http://ann:{PASSWORD}@x.example/"), &[]),
            "user name or password",
        ),
        (by_proxy(&format!("ftp://ann:{PASSWORD}@h:1")), "ftp://"),
        (by_proxy(&format!("h:8080:ann:{PASSWORD}")), "wrong place"),
        (by_proxy("http://ann:${env:NOT_SET}@h:1"), "NOT_SET"),
        (
            fetch(&place, "http://x.example/", &["--job", "none.toml"]),
            "none.toml",
        ),
        (
            fetch(&place, "http://x.example/", &["--set", "retry.bose=1s"]),
            "`base`",
        ),
    ] {
        let said = said.expect(2);
        assert!(said.err.contains(part), "{part:?} is not in\n{}", said.err);
        assert!(said.err.contains("help:"), "{}", said.err);
        assert!(!(said.out + &said.err).contains(PASSWORD));
    }
}
