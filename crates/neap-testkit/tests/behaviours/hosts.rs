//! Can there be several hosts, a host that comes back, and one that is not there?

use std::io::ErrorKind;
use std::net::TcpStream;

use neap_testkit::{Refusing, Reply, Site};

use crate::client::{Client, get};

#[test]
fn two_sites_are_two_hosts() {
    let one = Site::bind("127.0.0.2").page("/", Reply::ok("one")).start();
    let two = Site::bind("127.0.0.3").page("/", Reply::ok("two")).start();
    assert!(
        one.url("/a").starts_with("http://127.0.0.2:"),
        "{}",
        one.url("/a")
    );
    assert_eq!(get(&one, "/").body, b"one");
    assert_eq!(get(&two, "/").body, b"two");
    assert_eq!((one.asked(), two.asked()), (1, 1));
}

#[test]
fn one_site_can_have_many_addresses() {
    let site = Site::bind("127.0.0.1")
        .bind("127.0.0.2")
        .bind("127.0.0.3")
        .start();
    let ports: Vec<_> = site
        .addresses()
        .iter()
        .map(std::net::SocketAddr::port)
        .collect();
    assert!(ports.iter().all(|port| *port == ports[0]), "{ports:?}");
    for address in site.addresses() {
        Client::connect_to(*address).get("/");
    }
    let asked: Vec<_> = site.log().iter().map(|asked| asked.local).collect();
    assert_eq!(asked, site.addresses());
}

#[test]
fn a_site_can_come_back_on_its_port() {
    let site = Site::builder().page("/", Reply::ok("before")).start();
    let address = site.address();
    let mut client = Client::connect(&site);
    client.get("/");
    drop(site);
    let (bytes, _) = client.rest();
    assert!(bytes.is_empty(), "{bytes:?}");
    let refused = TcpStream::connect(address).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);

    let site = Site::builder()
        .port(address.port())
        .page("/", Reply::ok("after"))
        .start();
    assert_eq!(site.address(), address);
    assert_eq!(get(&site, "/").body, b"after");
}

#[test]
fn a_site_is_never_reachable_from_elsewhere() {
    for ip in ["0.0.0.0", "::", "192.0.2.1", "localhost", ""] {
        assert!(Site::bind(ip).try_start().is_err(), "{ip}");
    }
}

#[test]
fn a_port_in_use_is_an_error() {
    let site = Site::builder().start();
    assert!(
        Site::builder()
            .port(site.address().port())
            .try_start()
            .is_err()
    );
}

#[test]
fn a_refusing_address_refuses_as_long_as_it_is_held() {
    let refusing = Refusing::take().unwrap();
    for _ in 0..3 {
        let error = TcpStream::connect(refusing.address()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    }
}

#[tokio::test]
async fn a_site_works_inside_a_runtime() {
    let site = Site::builder().page("/", Reply::ok("x")).start();
    let mut stream = tokio::net::TcpStream::connect(site.address())
        .await
        .unwrap();
    let mut answer = Vec::new();
    tokio::io::AsyncWriteExt::write_all(&mut stream, b"GET / HTTP/1.0\r\n\r\n")
        .await
        .unwrap();
    tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut answer)
        .await
        .unwrap();
    assert!(answer.ends_with(b"\r\n\r\nx"), "{answer:?}");
}
