//! Through a SOCKS5 proxy.

use neap_core::exchange::FailureKind;
use neap_core::route::{Phase, Way};
use neap_testkit::{Asking, ForwardProxy, Manner, Reply, Site};

use super::*;

#[tokio::test]
async fn names_go_to_the_proxy_with_socks5h_and_addresses_with_socks5() {
    let site = Site::builder().page("/", Reply::ok("hello")).start();
    let proxy = ForwardProxy::builder().name(NAME, site.address()).start();
    let fetcher = fetcher();
    let by_name = egress(&proxy.socks_url());
    let exchange = through(&fetcher, &by_name, &format!("http://{NAME}/"))
        .await
        .exchange;
    assert_eq!(&exchange.result.unwrap().body[..], b"hello");
    let route = exchange.route;
    assert_eq!((route.way, route.reached), (Way::Socks5, Phase::Done));
    assert_eq!(
        (route.socks_reply, route.address),
        (Some(0), Some(proxy.address()))
    );

    let by_address = egress(&proxy.socks_url().replace("socks5h", "socks5"));
    let at = format!("http://localhost:{}/", site.address().port());
    let exchange = through(&fetcher, &by_address, &at).await.exchange;
    // An order of addresses that has ::1 first meets nobody there.
    if let Err(failure) = exchange.result {
        assert_eq!(failure.kind, FailureKind::Socks, "{failure}");
    }
    let targets: Vec<String> = proxy
        .passed()
        .into_iter()
        .map(|passed| passed.target)
        .collect();
    assert_eq!(targets[0], "shop.example:80");
    let port = site.address().port();
    assert!(
        [format!("127.0.0.1:{port}"), format!("[::1]:{port}")].contains(&targets[1]),
        "{targets:?}"
    );
}

#[tokio::test]
async fn tls_goes_through_socks_with_a_login() {
    let secure = Secure::start(|site| site);
    let proxy = secure.proxy().login("ann", "p%40ss").start();
    // The user information is decoded once.
    let url = proxy.socks_url().replace("p%40ss", "p%2540ss");
    let exchange = through(&secure.fetcher(), &egress(&url), &secure_url("/"))
        .await
        .exchange;
    assert_eq!(&exchange.result.unwrap().body[..], b"secure");
    assert!(exchange.route.certificate.is_some());
    let passed = &proxy.passed()[0];
    assert_eq!(
        (
            passed.asking,
            passed.header("user"),
            passed.header("password")
        ),
        (Asking::Socks5, Some("ann"), Some("p%40ss"))
    );
}

#[tokio::test]
async fn wrong_credentials_are_not_the_hosts_fault() {
    let secure = Secure::start(|site| site);
    let proxy = secure.proxy().login("ann", "secret").start();
    for (url, reply) in [
        (proxy.socks_url().replace("ann:secret@", ""), Some(255)),
        (proxy.socks_url().replace("secret", "other"), None),
    ] {
        let (failure, route) = failed(
            through(&fetcher(), &egress(&url), &secure_url("/"))
                .await
                .exchange,
        );
        assert_eq!(
            (failure.kind, route.socks_reply),
            (FailureKind::ProxyAuth, reply),
            "{failure}"
        );
        assert_eq!(route.reached, Phase::Open);
    }
}

#[tokio::test]
async fn every_reply_code_is_kept() {
    let proxy = ForwardProxy::builder().start();
    for code in (1..=9).chain([255]) {
        proxy.set(Manner::SocksReply(code));
        let (failure, route) = failed(
            through(&fetcher(), &egress(&proxy.socks_url()), &secure_url("/"))
                .await
                .exchange,
        );
        assert_eq!(
            (failure.kind, route.socks_reply),
            (FailureKind::Socks, Some(code))
        );
        assert_eq!((route.way, route.reached), (Way::Socks5, Phase::Open));
    }
}

#[tokio::test]
async fn each_phase_of_socks_fails_by_a_name_of_its_own() {
    use FailureKind as K;
    for (manner, kind) in [
        (Manner::Close, K::ProxyClosed),
        (Manner::Reset, K::ProxyClosed),
        (Manner::Hang, K::ProxyTimeout),
        (Manner::status(400), K::ProxyProtocol),
        (Manner::Say(vec![5]), K::ProxyClosed),
        (Manner::Say(vec![5, 9]), K::ProxyProtocol),
        (Manner::Say(vec![4, 0]), K::ProxyProtocol),
        (Manner::OpenAndClose, K::TunnelClosed),
        (Manner::OpenAndHang, K::TunnelTimeout),
        (
            Manner::OpenAndSay(b"HTTP/1.1 400 x\r\n\r\n".to_vec()),
            K::Tls,
        ),
    ] {
        let proxy = ForwardProxy::builder().manner(manner.clone()).start();
        let (failure, route) = failed(
            through(&impatient(), &egress(&proxy.socks_url()), &secure_url("/"))
                .await
                .exchange,
        );
        assert_eq!(failure.kind, kind, "{manner:?}: {failure}");
        let phase = match route.socks_reply {
            Some(0) => Phase::Tls,
            Some(_) | None => Phase::Open,
        };
        assert_eq!(route.reached, phase, "{manner:?}");
    }
}

#[tokio::test]
async fn a_name_that_does_not_exist_is_not_the_proxys_fault() {
    let proxy = ForwardProxy::builder().start();
    let egress = egress(&proxy.socks_url().replace("socks5h", "socks5"));
    let exchange = through(&fetcher(), &egress, "http://no-such-name.invalid/")
        .await
        .exchange;
    let (failure, _) = failed(exchange);
    let is_dns = matches!(failure.kind, FailureKind::DnsNotFound | FailureKind::Dns);
    assert!(is_dns, "{failure}");
}
