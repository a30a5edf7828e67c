//! Who is sent which headers.

use http::header::{HeaderName, HeaderValue};
use neap_core::host::Host;
use neap_fetch::{JobHeader, REDACTED};
use neap_testkit::{Reply, Site};

use crate::support::*;

#[tokio::test]
async fn job_headers_reach_the_input_host_and_no_other_port() {
    let home = Site::builder()
        .page("/", Reply::redirect(302, "/elsewhere"))
        .start();
    let elsewhere = Site::builder().page("/", Reply::ok("")).start();
    let mut settings = settings(request());
    settings.headers = [("x-api-key", "canary", true), ("x-plain", "plain", false)]
        .map(|(name, value, is_secret)| JobHeader {
            name: HeaderName::from_static(name),
            value: HeaderValue::from_static(value),
            is_secret,
            is_safe: false,
        })
        .into();
    settings.header_hosts = [Host::parse(&home.base_url()).unwrap()].into();
    let fetcher = fetcher_with(&settings);

    let fetched = fetch(&fetcher, &home.url("/")).await;
    assert_eq!(home.log()[0].header("x-api-key"), Some("canary"));
    assert_eq!(fetched.exchange.sent["x-api-key"], REDACTED);
    assert_eq!(fetched.exchange.sent["x-plain"], "plain");

    let fetched = fetch(&fetcher, &elsewhere.url("/")).await;
    for name in ["x-api-key", "x-plain"] {
        assert_eq!(elsewhere.log()[0].header(name), None);
        assert!(!fetched.exchange.sent.contains_key(name));
    }
    assert_eq!(elsewhere.log()[0].header("user-agent"), Some("neap-test/1"));
}

#[tokio::test]
async fn user_name_and_password_are_not_sent() {
    let site = Site::builder().page("/", Reply::ok("")).start();
    let at = site.url("/").replace("http://", "http://me:secret@");
    answer(&fetcher(), &at).await;
    assert_eq!(site.log()[0].header("authorization"), None);
}

#[tokio::test]
async fn no_referer_is_sent() {
    let site = Site::builder()
        .page("/", Reply::redirect(302, "/next"))
        .page("/next", Reply::ok(""))
        .start();
    let fetcher = fetcher();
    answer(&fetcher, &site.url("/")).await;
    answer(&fetcher, &site.url("/next")).await;
    assert!(
        site.log()
            .iter()
            .all(|asked| asked.header("referer").is_none())
    );
}
