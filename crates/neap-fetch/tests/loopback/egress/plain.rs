//! `http` URLs through an HTTP proxy: requests in absolute form.

use neap_core::exchange::{FailureKind, Stage};
use neap_core::route::{Phase, Way};
use neap_testkit::{Asking, ForwardProxy, Manner, Refusing, Reply, Site};

use super::*;

fn site() -> Site {
    Site::builder().page("/a?b=c", Reply::ok("hello")).start()
}

fn at(path: &str) -> String {
    format!("http://{NAME}{path}")
}

#[tokio::test]
async fn a_request_is_relayed_in_absolute_form() {
    let site = site();
    let proxy = ForwardProxy::builder()
        .name(NAME, site.address())
        .stamp("1.1 tester")
        .start();
    let egress = egress(&proxy.url());
    let fetched = through(&fetcher(), &egress, &at("/a?b=c")).await;
    let answer = fetched.exchange.result.unwrap();
    assert_eq!((&answer.body[..], answer.address), (&b"hello"[..], None));
    assert_eq!(answer.header("via"), Some("1.1 tester"));

    let route = fetched.exchange.route;
    assert_eq!((route.way, route.reached), (Way::Plain, Phase::Done));
    assert_eq!(route.proxy.as_deref(), Some(egress.name()));
    assert_eq!(route.address, Some(proxy.address()));
    assert!(route.took.connect.is_some() && route.took.open.is_none());
    assert!(!route.was_kept && fetched.exchange.timings.connect.is_some());

    let passed = &proxy.passed()[0];
    assert_eq!(
        (passed.asking, &passed.target[..]),
        (Asking::Absolute, "http://shop.example/a?b=c")
    );
    assert_eq!(passed.header("host"), Some(NAME));
    assert_eq!(passed.header("user-agent"), Some("neap-test/1"));
    assert!(passed.header("accept-encoding").is_some());
    assert_eq!(passed.header("proxy-authorization"), None);
    assert_eq!(site.log()[0].target, "/a?b=c");
}

#[tokio::test]
async fn what_a_proxy_answers_itself_is_an_answer() {
    let proxy = ForwardProxy::builder()
        .manner(Manner::answer(
            594,
            "Upstream Said No",
            &[("X-Squid-Error", "x 0")],
            "sorry",
        ))
        .start();
    let exchange = through(&fetcher(), &egress(&proxy.url()), &at("/"))
        .await
        .exchange;
    let answer = exchange.result.unwrap();
    assert_eq!((answer.status, &answer.body[..]), (594, &b"sorry"[..]));
    assert_eq!(answer.header("x-squid-error"), Some("x 0"));
    assert_eq!(exchange.route.reason.as_deref(), Some("Upstream Said No"));
}

#[tokio::test]
async fn a_login_is_sent_to_the_proxy_and_not_to_the_host() {
    let site = site();
    let proxy = ForwardProxy::builder()
        .name(NAME, site.address())
        .login("ann", "secret")
        .start();
    let fetcher = fetcher();
    let fetched = through(&fetcher, &egress(&proxy.url()), &at("/a?b=c")).await;
    assert_eq!(fetched.exchange.result.unwrap().status, 200);
    let host_saw = &site.log()[0];
    assert!(
        host_saw
            .headers
            .iter()
            .all(|(name, _)| !name.contains("proxy"))
    );

    let wrong = egress(&proxy.url().replace("secret", "other"));
    let answer = through(&fetcher, &wrong, &at("/a?b=c"))
        .await
        .exchange
        .result;
    assert_eq!(answer.unwrap().status, 407);
}

#[tokio::test]
async fn an_error_that_repeats_the_password_does_not_get_it_recorded() {
    let echo = "you sent Basic YW5uOmh1bnRlcjI=, that is ann:hunter2";
    let answer = |status, body| Manner::answer(status, "No hunter2", &[("X-Echo", echo)], body);
    let proxy = ForwardProxy::builder().manner(answer(407, echo)).start();
    let ann = egress(&proxy.url().replace("http://", "http://ann:hunter2@"));
    let fetcher = fetcher();
    let exchange = through(&fetcher, &ann, &at("/")).await.exchange;
    let told = format!("{exchange:?}");
    assert!(
        !told.contains("hunter2") && !told.contains("YW5uOmh1"),
        "{told}"
    );
    let answered = exchange.result.unwrap();
    let clean = "you sent Basic <redacted>, that is ann:<redacted>";
    assert_eq!(answered.body, clean);
    assert_eq!(answered.payload, clean);

    // A page may have the word, and keeps it; what was sent is nobody's word.
    proxy.set(answer(200, echo));
    let page = through(&fetcher, &ann, &at("/")).await.exchange.result;
    let kept = "you sent Basic <redacted>, that is ann:hunter2";
    assert_eq!(page.unwrap().body, kept);
    let bare = egress(&proxy.url());
    let page = through(&fetcher, &bare, &at("/")).await.exchange.result;
    assert_eq!(page.unwrap().body, echo, "it was sent nothing");
}

#[tokio::test]
async fn a_proxy_that_is_not_there_is_told_from_a_host_that_is_not() {
    let refusing = Refusing::take().unwrap();
    for scheme in ["http", "https", "socks5", "socks5h"] {
        let egress = egress(&format!("{scheme}://{}", refusing.address()));
        for at in [at("/"), secure_url("/")] {
            let (failure, route) = failed(through(&fetcher(), &egress, &at).await.exchange);
            assert_eq!(failure.kind, FailureKind::ProxyConnect, "{failure}");
            assert_eq!(route.reached, Phase::Connect, "{failure}");
            assert!(failure.detail.contains(egress.name()), "{failure}");
        }
    }
    let unknown = egress("http://no-such-name.invalid:3128");
    let (failure, route) = failed(through(&fetcher(), &unknown, &at("/")).await.exchange);
    assert_eq!(failure.kind, FailureKind::ProxyDns, "{failure}");
    assert_eq!(route.reached, Phase::Dns);
}

#[tokio::test]
async fn a_relaying_proxy_that_fails_after_the_request() {
    let site = site();
    for (manner, kind) in [
        (Manner::Close, FailureKind::Reset),
        (Manner::Reset, FailureKind::Reset),
        (
            Manner::Say(b"SSH-2.0-OpenSSH\r\n".to_vec()),
            FailureKind::Protocol,
        ),
        (Manner::CutAfter(3), FailureKind::Reset),
    ] {
        let proxy = ForwardProxy::builder()
            .name(NAME, site.address())
            .manner(manner.clone())
            .start();
        let fetched = through(&fetcher(), &egress(&proxy.url()), &at("/a?b=c")).await;
        assert!(!fetched.was_resent, "{manner:?}: the connection was new");
        let (failure, route) = failed(fetched.exchange);
        assert_eq!(
            (failure.kind, route.way),
            (kind, Way::Plain),
            "{manner:?}: {failure}"
        );
        let reached = match failure.status {
            Some(_) => Phase::Body,
            None => Phase::Header,
        };
        assert_eq!(route.reached, reached, "{manner:?}");
        assert_eq!(route.was_reset, manner == Manner::Reset, "{manner:?}");
        assert_eq!(
            route.begun.is_some(),
            failure.status.is_some(),
            "{manner:?}"
        );
    }
}

#[tokio::test]
async fn a_relaying_proxy_that_says_nothing() {
    let proxy = ForwardProxy::builder().manner(Manner::Hang).start();
    let mut request = request();
    request.read_timeout = PATIENCE / 10;
    let fetcher = fetcher_with(&settings(request));
    let exchange = through(&fetcher, &egress(&proxy.url()), &at("/"))
        .await
        .exchange;
    let (failure, route) = failed(exchange);
    assert_eq!(failure.kind, FailureKind::Timeout(Stage::Header));
    assert_eq!((route.way, route.reached), (Way::Plain, Phase::Header));
    assert_eq!(route.address, Some(proxy.address()));
}

#[tokio::test]
async fn an_answer_that_a_proxy_has_corrupted_is_not_what_the_host_sent() {
    let body = "x".repeat(1000);
    let site = Site::builder()
        .page(
            "/",
            Reply::ok(body.clone()).encoded(neap_testkit::Coding::Gzip),
        )
        .start();
    let proxy = ForwardProxy::builder()
        .name(NAME, site.address())
        .manner(Manner::Corrupt)
        .start();
    let (failure, _) = failed(
        through(&fetcher(), &egress(&proxy.url()), &at("/"))
            .await
            .exchange,
    );
    assert_eq!(failure.kind, FailureKind::Decode, "{failure}");
}

#[tokio::test]
async fn limits_hold_through_a_proxy() {
    let site = Site::builder()
        .page("/large", Reply::ok("x".repeat(2 << 20)))
        .page("/unknown_length", Reply::ok("x".repeat(2 << 20)).chunked())
        .page("/header", Reply::ok("x").huge_header(350 << 10))
        .page("/fields", Reply::ok("x").many_headers(300))
        .page("/redirect", Reply::redirect(302, "/large"))
        .page(
            "/coded",
            Reply::ok("coded").encoded(neap_testkit::Coding::Brotli),
        )
        .start();
    let proxy = ForwardProxy::builder().name(NAME, site.address()).start();
    let (fetcher, egress) = (fetcher(), egress(&proxy.url()));
    for (path, kind) in [
        ("/large", FailureKind::TooLarge),
        ("/unknown_length", FailureKind::TooLarge),
        ("/header", FailureKind::HeaderTooLarge),
        ("/fields", FailureKind::HeaderTooLarge),
    ] {
        let (failure, _) = failed(through(&fetcher, &egress, &at(path)).await.exchange);
        assert_eq!(failure.kind, kind, "{path}: {failure}");
    }
    let answer = through(&fetcher, &egress, &at("/redirect"))
        .await
        .exchange
        .result;
    assert_eq!(answer.unwrap().status, 302, "redirects are answers");
    let answer = through(&fetcher, &egress, &at("/coded"))
        .await
        .exchange
        .result
        .unwrap();
    assert_eq!(&answer.body[..], b"coded");
    assert_ne!(answer.payload, answer.body);
}
