//! Connections through proxies that are kept.

use neap_core::exchange::FailureKind;
use neap_testkit::{ForwardProxy, Manner, Reply, Site};

use super::*;

#[tokio::test]
async fn a_tunnel_is_kept_and_tells_what_it_saw_again() {
    let secure = Secure::start(|site| site);
    let proxy = secure.proxy().start();
    let (fetcher, egress) = (secure.fetcher(), egress(&proxy.url()));
    let first = through(&fetcher, &egress, &secure_url("/")).await.exchange;
    assert!(first.result.is_ok() && !first.route.was_kept);
    let second = through(&fetcher, &egress, &secure_url("/")).await.exchange;
    assert!(second.result.is_ok() && second.route.was_kept);
    assert_eq!(second.timings.connect, None);
    assert_eq!(second.route.took, Default::default());
    assert_eq!(second.route.certificate, first.route.certificate);
    assert_eq!(second.route.tunnel_status, Some(200));
    assert_eq!((proxy.connections(), secure.site.accepted()), (1, 1));
}

#[tokio::test]
async fn each_proxy_has_connections_of_its_own() {
    let secure = Secure::start(|site| site);
    let proxies = [secure.proxy().start(), secure.proxy().start()];
    let fetcher = secure.fetcher();
    for turn in 0..6 {
        let proxy = &proxies[turn % 2];
        let exchange = through(&fetcher, &egress(&proxy.url()), &secure_url("/"))
            .await
            .exchange;
        assert!(exchange.result.is_ok());
        assert_eq!(exchange.route.address, Some(proxy.address()), "turn {turn}");
    }
    assert_eq!(proxies.each_ref().map(ForwardProxy::connections), [1, 1]);
    let answer = through(&fetcher, &Egress::DIRECT, &secure.site.url("/")).await;
    let (failure, route) = failed(answer.exchange);
    assert_eq!(
        failure.kind,
        FailureKind::TlsCertificate,
        "the name is another"
    );
    assert_eq!((route.proxy, route.was_kept), (None, false));
}

#[tokio::test]
async fn a_kept_connection_that_is_closed_as_it_is_used_costs_nothing() {
    for lie in [Reply::hang_up(), Reply::reset()] {
        let secure =
            Secure::start(|site| site.in_turn("/next", [lie.clone(), Reply::ok("after all")]));
        let proxy = secure.proxy().start();
        let (fetcher, egress) = (secure.fetcher(), egress(&proxy.url()));
        let first = through(&fetcher, &egress, &secure_url("/")).await;
        assert!(first.exchange.result.is_ok() && !first.was_resent);
        let second = through(&fetcher, &egress, &secure_url("/next")).await;
        assert_eq!(second.exchange.result.unwrap().body, "after all");
        assert!(second.was_resent && !second.exchange.route.was_kept);
        assert_eq!(proxy.connections(), 2);
        assert_eq!(secure.site.count("/next"), 2);
    }
}

#[tokio::test]
async fn a_request_is_sent_again_only_once_and_only_from_a_kept_connection() {
    let site = Site::builder()
        .page("/first", Reply::ok("x"))
        .page("/", Reply::hang_up())
        .start();
    let proxy = ForwardProxy::builder().name(NAME, site.address()).start();
    let (fetcher, egress) = (fetcher(), egress(&proxy.socks_url()));
    let fetched = through(&fetcher, &egress, &format!("http://{NAME}/")).await;
    assert!(!fetched.was_resent);
    assert_eq!(failed(fetched.exchange).0.kind, FailureKind::Reset);
    assert_eq!(site.count("/"), 1);

    let fetched = through(&fetcher, &egress, &format!("http://{NAME}/first")).await;
    assert!(fetched.exchange.result.is_ok());
    let fetched = through(&fetcher, &egress, &format!("http://{NAME}/")).await;
    assert!(fetched.was_resent);
    assert_eq!(failed(fetched.exchange).0.kind, FailureKind::Reset);
    assert_eq!(site.count("/"), 3);
}

#[tokio::test]
async fn a_refused_tunnel_is_not_asked_for_again() {
    let proxy = ForwardProxy::builder().manner(Manner::status(502)).start();
    let fetched = through(&fetcher(), &egress(&proxy.url()), &secure_url("/")).await;
    assert!(fetched.exchange.result.is_err() && !fetched.was_resent);
    assert_eq!((proxy.passed().len(), proxy.connections()), (1, 1));
}
