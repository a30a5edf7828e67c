//! `https` URLs through an HTTP proxy: CONNECT, then TLS with the host.

use neap_core::exchange::FailureKind;
use neap_core::route::{Phase, Way};
use neap_testkit::{Asking, ForwardProxy, Identity, Manner};

use super::*;
use crate::tls::{Pki, http2, start};

#[tokio::test]
async fn a_tunnel_leads_to_the_host() {
    let secure = Secure::start(|site| site);
    let proxy = secure.proxy().login("ann", "secret").start();
    let exchange = through(&secure.fetcher(), &egress(&proxy.url()), &secure_url("/"))
        .await
        .exchange;
    assert_eq!(&exchange.result.unwrap().body[..], b"secure");
    let route = exchange.route;
    assert_eq!((route.way, route.reached), (Way::Tunnel, Phase::Done));
    assert_eq!(route.tunnel_status, Some(200));
    assert_eq!(route.certificate.unwrap().issuer, "neap-testkit authority");
    let took = route.took;
    assert!(took.connect.is_some() && took.open.is_some() && took.tls.is_some());
    assert_eq!(took.proxy_tls, None);

    let passed = &proxy.passed()[0];
    assert_eq!(
        (passed.asking, &passed.target[..]),
        (Asking::Connect, "shop.example:443")
    );
    assert_eq!(passed.header("host"), Some("shop.example:443"));
    assert!(passed.header("proxy-authorization").is_some());
    assert_eq!(
        passed.header("accept"),
        None,
        "what is asked for is the host's business"
    );
    let host_saw = &secure.site.log()[0];
    assert_eq!(host_saw.target, "/");
    assert!(
        host_saw
            .headers
            .iter()
            .all(|(name, _)| !name.contains("proxy"))
    );
}

#[tokio::test]
async fn any_success_opens_the_tunnel() {
    let secure = Secure::start(|site| site);
    for opening in [
        "HTTP/1.1 201 Created\r\n\r\n",
        "HTTP/1.0 200\r\n\r\n",
        // Such fields mean nothing here (RFC 9110, section 9.3.6).
        "HTTP/1.1 299 Odd\r\nContent-Length: 100\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
    ] {
        let manner = Manner::OpenWith(opening.into());
        let proxy = secure.proxy().manner(manner).start();
        let exchange = through(&secure.fetcher(), &egress(&proxy.url()), &secure_url("/"))
            .await
            .exchange;
        assert_eq!(exchange.result.unwrap().body, "secure", "{opening}");
    }
}

#[tokio::test]
async fn a_refusal_is_kept_with_status_reason_header_and_body() {
    let body = "é".repeat(3000);
    let headers = [
        ("X-Squid-Error", "ERR_CONNECT_FAIL 111"),
        ("Retry-After", "7"),
    ];
    let proxy = ForwardProxy::builder()
        .manner(Manner::answer(503, "Out Of Exits", &headers, &body))
        .start();
    let exchange = through(&fetcher(), &egress(&proxy.url()), &secure_url("/"))
        .await
        .exchange;
    let (failure, route) = failed(exchange);
    assert_eq!(
        (failure.kind, failure.status),
        (FailureKind::ProxyRefused, None)
    );
    assert!(failure.detail.contains("503 Out Of Exits"), "{failure}");
    assert_eq!((route.way, route.reached), (Way::Tunnel, Phase::Open));
    let refusal = route.refusal.unwrap();
    assert_eq!((refusal.status, &refusal.reason[..]), (503, "Out Of Exits"));
    assert_eq!(refusal.headers["retry-after"], "7");
    assert_eq!(refusal.headers["x-squid-error"], "ERR_CONNECT_FAIL 111");
    assert_eq!(refusal.body, body.as_bytes()[..4096]);
}

#[tokio::test]
async fn refusals_of_every_form_are_read() {
    for (answer, status, body) in [
        (
            "HTTP/1.1 594 x\r\n\r\nuntil it closes",
            594,
            "until it closes",
        ),
        ("HTTP/1.1 403 x\r\nContent-Length: 0\r\n\r\n", 403, ""),
        (
            "HTTP/1.1 302 x\r\nContent-Length: 99\r\n\r\nshort",
            302,
            "short",
        ),
        (
            "HTTP/1.1 502 x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
            502,
            "abcde",
        ),
        ("HTTP/1.0 500\n\nbare", 500, "bare"),
        ("HTTP/1.1 999 \r\n\r\n", 999, ""),
    ] {
        let proxy = ForwardProxy::builder()
            .manner(Manner::Say(answer.into()))
            .start();
        let exchange = through(&fetcher(), &egress(&proxy.url()), &secure_url("/"))
            .await
            .exchange;
        let (failure, route) = failed(exchange);
        assert_eq!(
            failure.kind,
            FailureKind::ProxyRefused,
            "{answer}: {failure}"
        );
        let refusal = route.refusal.unwrap();
        assert_eq!(
            (refusal.status, &refusal.body[..]),
            (status, body.as_bytes()),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn wrong_credentials_are_told_from_other_refusals() {
    let secure = Secure::start(|site| site);
    let proxy = secure.proxy().login("ann", "secret").start();
    let fetcher = secure.fetcher();
    for url in [
        proxy.url().replace("ann:secret@", ""),
        proxy.url().replace("secret", "other"),
    ] {
        let (failure, route) = failed(
            through(&fetcher, &egress(&url), &secure_url("/"))
                .await
                .exchange,
        );
        assert_eq!(failure.kind, FailureKind::ProxyAuth, "{failure}");
        let refusal = route.refusal.unwrap();
        assert_eq!((refusal.status, &refusal.body[..]), (407, &b"log in"[..]));
        assert!(refusal.headers.contains_key("proxy-authenticate"));
    }
    // tinyproxy's word for a wrong password.
    proxy.set(Manner::status(401));
    let (failure, _) = failed(
        through(&fetcher, &egress(&proxy.url()), &secure_url("/"))
            .await
            .exchange,
    );
    assert_eq!(failure.kind, FailureKind::ProxyAuth);
}

#[tokio::test]
async fn each_phase_of_a_tunnel_fails_by_a_name_of_its_own() {
    use FailureKind as K;
    let garbage = b"SSH-2.0-OpenSSH_9.2\r\n".to_vec();
    let endless = [b"HTTP/1.1 502 x\r\nX-Pad: ".to_vec(), vec![b'x'; 20_000]].concat();
    for (manner, kind, phase) in [
        (Manner::Close, K::ProxyClosed, Phase::Open),
        (Manner::Reset, K::ProxyClosed, Phase::Open),
        (Manner::Hang, K::ProxyTimeout, Phase::Open),
        (Manner::Say(garbage.clone()), K::ProxyProtocol, Phase::Open),
        (Manner::Say(endless), K::ProxyProtocol, Phase::Open),
        (
            Manner::Say(b"HTTP/1.1 200 O".to_vec()),
            K::ProxyClosed,
            Phase::Open,
        ),
        (Manner::OpenAndClose, K::TunnelClosed, Phase::Tls),
        (Manner::OpenAndReset, K::TunnelClosed, Phase::Tls),
        (Manner::OpenAndHang, K::TunnelTimeout, Phase::Tls),
        (Manner::OpenAndSay(garbage.clone()), K::Tls, Phase::Tls),
        // A whole record of TLS that says "close_notify" first of all.
        (
            Manner::OpenAndSay(vec![21, 3, 3, 0, 2, 2, 40]),
            K::Tls,
            Phase::Tls,
        ),
    ] {
        let proxy = ForwardProxy::builder().manner(manner.clone()).start();
        let exchange = through(&impatient(), &egress(&proxy.url()), &secure_url("/"))
            .await
            .exchange;
        let (failure, route) = failed(exchange);
        assert_eq!(
            (failure.kind, route.reached),
            (kind, phase),
            "{manner:?}: {failure}"
        );
        assert_eq!(route.way, Way::Tunnel);
        let was_reset = matches!(manner, Manner::Reset | Manner::OpenAndReset);
        assert_eq!(route.was_reset, was_reset, "{manner:?}: {failure}");
        let opened = (phase == Phase::Tls).then_some(200);
        assert_eq!(route.tunnel_status, opened, "{manner:?}");
        let has_garbage = route.garbage.as_deref() == Some(&garbage[..]);
        let was_garbage =
            matches!(&manner, Manner::Say(said) | Manner::OpenAndSay(said) if *said == garbage);
        assert_eq!(has_garbage, was_garbage, "{manner:?}: {:?}", route.garbage);
    }
}

#[tokio::test]
async fn an_alert_inside_of_a_tunnel_is_kept() {
    let proxy = ForwardProxy::builder()
        // A fatal handshake_failure.
        .manner(Manner::OpenAndSay(vec![21, 3, 3, 0, 2, 2, 40]))
        .start();
    let exchange = through(&fetcher(), &egress(&proxy.url()), &secure_url("/"))
        .await
        .exchange;
    let (failure, route) = failed(exchange);
    assert_eq!(failure.kind, FailureKind::Tls, "{failure}");
    assert_eq!(route.tls_alert.as_deref(), Some("handshake_failure"));
    assert_eq!(route.garbage, None);
}

#[tokio::test]
async fn a_proxy_that_changes_bytes_breaks_the_hosts_tls() {
    let secure = Secure::start(|site| site);
    let proxy = secure.proxy().manner(Manner::Corrupt).start();
    let exchange = through(&secure.fetcher(), &egress(&proxy.url()), &secure_url("/"))
        .await
        .exchange;
    let (failure, route) = failed(exchange);
    assert_eq!(failure.kind, FailureKind::Tls, "{failure}");
    assert_eq!(route.reached, Phase::Tls);
}

#[tokio::test]
async fn a_certificate_that_is_refused_tells_its_issuer() {
    let secure = Secure::start(|site| site);
    let proxy = secure.proxy().start();
    // Nobody told this one to trust the authority: as if somebody read along.
    let exchange = through(&fetcher(), &egress(&proxy.url()), &secure_url("/"))
        .await
        .exchange;
    let (failure, route) = failed(exchange);
    assert_eq!(failure.kind, FailureKind::TlsCertificate, "{failure}");
    assert_eq!(route.certificate.unwrap().issuer, "neap-testkit authority");
    assert_eq!(route.reached, Phase::Tls);
}

#[tokio::test]
async fn a_proxy_may_speak_tls_itself() {
    let secure = Secure::start(|site| site);
    let identity = secure.authority.identity(&["localhost"]);
    let proxy = secure.proxy().tls(&identity).login("ann", "secret").start();
    let egress = egress(&proxy.url());
    let exchange = through(&secure.fetcher(), &egress, &secure_url("/"))
        .await
        .exchange;
    assert_eq!(&exchange.result.unwrap().body[..], b"secure");
    let took = exchange.route.took;
    assert!(took.proxy_tls.is_some() && took.tls.is_some());

    let stranger = Identity::self_signed(&["localhost"]);
    let proxy = secure.proxy().tls(&stranger).start();
    let untrusted = Egress::parse(&proxy.url()).unwrap();
    let (failure, route) = failed(
        through(&secure.fetcher(), &untrusted, &secure_url("/"))
            .await
            .exchange,
    );
    assert_eq!(failure.kind, FailureKind::ProxyTls, "{failure}");
    assert_eq!(route.reached, Phase::ProxyTls);
}

#[tokio::test]
async fn a_proxy_without_tls_is_told_from_a_host_without_it() {
    let proxy = ForwardProxy::builder().manner(Manner::status(502)).start();
    let egress = egress(&proxy.url().replace("http://", "https://"));
    let (failure, _) = failed(
        through(&fetcher(), &egress, &secure_url("/"))
            .await
            .exchange,
    );
    assert_eq!(failure.kind, FailureKind::ProxyTls, "{failure}");
}

#[tokio::test]
async fn http_2_is_spoken_through_a_tunnel_on_one_connection() {
    let pki = Pki::new();
    let at = start(pki.host("localhost", "h2", |_| ()), http2).await;
    let proxy = ForwardProxy::builder().login("ann", "secret").start();
    let (fetcher, egress) = (pki.trusting_fetcher(), egress(&proxy.url()));
    for was_kept in [false, true] {
        let exchange = through(&fetcher, &egress, &at).await.exchange;
        let answer = exchange.result.unwrap();
        assert_eq!(answer.version, http::Version::HTTP_2);
        assert_eq!(&answer.body[..], b"over two");
        assert_eq!(exchange.route.was_kept, was_kept);
    }
    let refused = through(&fetcher, &egress, &format!("{at}refuse")).await;
    assert!(refused.was_resent);
    assert_eq!(proxy.connections(), 2);
}

#[tokio::test]
async fn a_proxy_that_repeats_the_password_does_not_get_it_recorded() {
    let echo = "you sent Basic YW5uOmh1bnRlcjI=, that is ann:hunter2";
    let proxy = ForwardProxy::builder()
        .manner(Manner::answer(407, "No hunter2", &[("X-Echo", echo)], echo))
        .start();
    let url = proxy.url().replace("http://", "http://ann:hunter2@");
    let exchange = through(&fetcher(), &egress(&url), &secure_url("/"))
        .await
        .exchange;
    let told = format!("{exchange:?}");
    assert!(
        !told.contains("hunter2") && !told.contains("YW5uOmh1"),
        "{told}"
    );
    assert!(told.contains("you sent Basic <redacted>"), "{told}");
}
