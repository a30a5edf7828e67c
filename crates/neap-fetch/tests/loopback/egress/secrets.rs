//! Credentials go to their proxy and nowhere else.

use data_encoding::BASE64;
use neap_testkit::{ForwardProxy, Manner, Refusing, Reply, Site};

use super::*;

const PASSWORD: &str = "hunter2canary";

/// Everything that says it, plain or encoded.
fn canaries() -> [String; 3] {
    [
        PASSWORD.to_owned(),
        BASE64.encode(format!("ann:{PASSWORD}").as_bytes()),
        format!("{:?}", PASSWORD.as_bytes()),
    ]
}

fn assert_clean(what: &str, text: &str) {
    for canary in canaries() {
        assert!(!text.contains(&canary), "{what} tells {canary}: {text}");
    }
}

#[tokio::test]
async fn no_exchange_tells_the_credentials() {
    let secure = Secure::start(|site| site);
    let plain = Site::builder().page("/", Reply::ok("x")).start();
    let refusing = Refusing::take().unwrap();
    let good = secure.proxy().login("ann", PASSWORD).start();
    let wrong = secure.proxy().login("ann", "other").start();
    let manners = [
        Manner::Work,
        Manner::Close,
        Manner::Reset,
        Manner::status(502),
        Manner::status(407),
        Manner::Say(b"garbage\r\n\r\n".to_vec()),
        Manner::OpenAndClose,
        Manner::OpenAndSay(b"garbage\r\n\r\n".to_vec()),
        Manner::SocksReply(2),
    ];
    let fetcher = secure.fetcher();
    for proxy in [good.address(), wrong.address(), refusing.address()] {
        for scheme in ["http", "https", "socks5", "socks5h"] {
            let egress = egress(&format!("{scheme}://ann:{PASSWORD}@{proxy}"));
            assert_clean("the egress", &format!("{egress:?} {egress}"));
            for manner in &manners {
                good.set(manner.clone());
                for at in [secure_url("/"), plain.url("/")] {
                    let fetched = through(&fetcher, &egress, &at).await;
                    assert_clean(
                        &format!("{scheme} {manner:?} {at}"),
                        &format!("{fetched:?}"),
                    );
                    if let Err(failure) = &fetched.exchange.result {
                        assert_clean("the failure", &failure.to_string());
                    }
                }
            }
        }
    }
    assert_clean("the fetcher", &format!("{fetcher:?}"));
    for asked in secure.site.log().iter().chain(&plain.log()) {
        assert_clean("what a host was sent", &format!("{:?}", asked.headers));
    }
}

#[tokio::test]
async fn a_proxy_gets_the_credentials_of_no_other() {
    let site = Site::builder().page("/", Reply::ok("x")).start();
    let proxy = ForwardProxy::builder().start();
    let fetcher = fetcher();
    let url = proxy.url();
    for (user, expected) in [("ann:one@", "ann:one"), ("", ""), ("bob:two@", "bob:two")] {
        let egress = egress(&url.replace("http://", &format!("http://{user}")));
        let exchange = through(&fetcher, &egress, &site.url("/")).await.exchange;
        assert!(exchange.result.is_ok());
        let passed = proxy.passed();
        let sent = passed.last().unwrap().header("proxy-authorization");
        let basic = format!("Basic {}", BASE64.encode(expected.as_bytes()));
        assert_eq!(sent, Some(&basic[..]).filter(|_| !expected.is_empty()));
    }
    assert_eq!(proxy.connections(), 3, "one for each of them");
}
