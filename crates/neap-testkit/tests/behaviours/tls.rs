//! Does a site prove who it is, and is it found out when it cannot?

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use neap_testkit::{Authority, Identity, Reply, Site};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::client::{Client, PATIENCE};

const NAMES: [&str; 2] = ["127.0.0.1", "localhost"];

fn serving(identity: &Identity) -> Site {
    Site::builder()
        .page("/", Reply::ok("sealed"))
        .tls(identity)
        .start()
}

/// A TLS connection of a client that trusts this authority.
fn connect(
    site: &Site,
    authority: &Authority,
    alpn: &[&str],
) -> StreamOwned<ClientConnection, TcpStream> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap())
        .unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let stream = TcpStream::connect(site.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    StreamOwned::new(connection, stream)
}

/// Asks for `/` with HTTP/1.0, so that the answer ends with the connection.
fn get(mut stream: StreamOwned<ClientConnection, TcpStream>) -> io::Result<String> {
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

#[test]
fn a_site_known_to_the_authority_is_trusted() {
    let authority = Authority::new();
    let site = serving(&authority.identity(&NAMES));
    assert!(
        site.url("/").starts_with("https://127.0.0.1:"),
        "{}",
        site.url("/")
    );
    let answer = get(connect(&site, &authority, &["h2", "http/1.1"])).unwrap();
    assert!(answer.ends_with("\r\n\r\nsealed"), "{answer}");
    assert_eq!((site.count("/"), site.failed_handshakes()), (1, 0));
}

#[test]
fn an_impostor_is_found_out() {
    let authority = Authority::new();
    for (identity, problem) in [
        (authority.expired(&NAMES), "Expired"),
        (authority.identity(&["other.test"]), "NotValidForName"),
        (Identity::self_signed(&NAMES), "UnknownIssuer"),
        (Authority::new().identity(&NAMES), "BadSignature"),
    ] {
        let site = serving(&identity);
        let error = get(connect(&site, &authority, &[])).unwrap_err();
        assert!(
            format!("{error:?}").contains(problem),
            "{problem}: {error:?}"
        );
        site.wait_connections(0, PATIENCE).unwrap();
        assert_eq!(
            (site.asked(), site.failed_handshakes()),
            (0, 1),
            "{problem}"
        );
    }
}

#[test]
fn the_protocol_is_agreed_or_the_handshake_fails() {
    let authority = Authority::new();
    let site = serving(&authority.identity(&NAMES));
    let mut stream = connect(&site, &authority, &["h2", "http/1.1"]);
    stream.flush().unwrap();
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock).unwrap();
    }
    assert_eq!(stream.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
    drop(stream);

    let error = get(connect(&site, &authority, &["h2"])).unwrap_err();
    assert!(
        format!("{error:?}").contains("NoApplicationProtocol"),
        "{error:?}"
    );

    let site = serving(&authority.identity(&NAMES).alpn(&[]));
    assert!(get(connect(&site, &authority, &["h2"])).is_ok());
}

#[test]
fn a_connection_can_be_reset_under_tls() {
    let authority = Authority::new();
    let site = Site::builder()
        .page("/", Reply::ok("0123456789").reset_after(3))
        .tls(&authority.identity(&NAMES))
        .start();
    let error = get(connect(&site, &authority, &[])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[test]
fn plain_http_on_a_tls_port_gets_no_answer() {
    let site = serving(&Identity::self_signed(&NAMES));
    let mut client = Client::connect(&site);
    client.ask("/");
    let (answer, _) = client.rest();
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    site.wait_connections(0, PATIENCE).unwrap();
    assert_eq!((site.asked(), site.failed_handshakes()), (0, 1));
}

#[test]
fn a_mute_site_takes_everything_and_says_nothing() {
    let site = Site::builder().mute().start();
    let mut client = Client::connect(&site);
    client.ask("/");
    site.wait_connections(1, PATIENCE).unwrap();
    drop(site);
    assert!(client.rest().0.is_empty());
}

#[test]
fn the_authority_can_be_written_to_a_file() {
    let authority = Authority::new();
    let file = std::env::temp_dir().join(format!("neap-testkit-ca-{}.pem", std::process::id()));
    authority.write_pem(&file).unwrap();
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    assert!(text.starts_with("-----BEGIN CERTIFICATE-----"), "{text}");
    assert_eq!(text, authority.pem());
}
