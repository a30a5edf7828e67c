//! Certificates, and HTTP/2.

use std::sync::Arc;

use bytes::Bytes;
use neap_core::exchange::FailureKind;
use neap_core::route::{Phase, Way};
use neap_fetch::{FetchSettings, Fetcher};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::support::*;

/// An authority, and the settings of a host that it vouches for.
pub(crate) struct Pki {
    authority: CertifiedIssuer<'static, KeyPair>,
}

impl Pki {
    pub(crate) fn new() -> Pki {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Pki { authority }
    }

    pub(crate) fn host(
        &self,
        name: &str,
        alpn: &str,
        change: impl Fn(&mut CertificateParams),
    ) -> TlsAcceptor {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params
            .signed_by(&key, &self.authority)
            .unwrap()
            .der()
            .clone();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        config.alpn_protocols = vec![alpn.as_bytes().to_vec()];
        TlsAcceptor::from(Arc::new(config))
    }

    pub(crate) fn trusting_settings(&self) -> FetchSettings {
        let mut settings = settings(request());
        settings.extra_roots = vec![CertificateDer::from(self.authority.der().to_vec())];
        settings
    }

    pub(crate) fn trusting_fetcher(&self) -> Fetcher {
        fetcher_with(&self.trusting_settings())
    }
}

/// The URL of a host that serves each connection with `serve`.
pub(crate) async fn start<F>(acceptor: TlsAcceptor, serve: fn(TlsStream<TcpStream>) -> F) -> String
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = format!(
        "https://localhost:{}/",
        listener.local_addr().unwrap().port()
    );
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                if let Ok(stream) = acceptor.accept(socket).await {
                    serve(stream).await;
                }
            });
        }
    });
    at
}

async fn http1(mut stream: TlsStream<TcpStream>) {
    let mut asked = Vec::new();
    while !asked.ends_with(b"\r\n\r\n") && stream.read_buf(&mut asked).await.unwrap() > 0 {}
    stream
        .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi")
        .await
        .unwrap();
    stream.shutdown().await.unwrap();
}

/// Says nothing of a length and leaves without saying goodbye.
async fn http1_without_close_notify(mut stream: TlsStream<TcpStream>) {
    let mut asked = Vec::new();
    while !asked.ends_with(b"\r\n\r\n") && stream.read_buf(&mut asked).await.unwrap() > 0 {}
    stream
        .write_all(b"HTTP/1.1 200 OK\r\n\r\nthe first half of")
        .await
        .unwrap();
    let (mut socket, _) = stream.into_inner();
    socket.shutdown().await.unwrap();
}

/// Answers by path: `/refuse` refuses the stream, `/cut` ends it in the middle, `/header` is too
/// large, others get 200.
pub(crate) async fn http2(stream: TlsStream<TcpStream>) {
    let mut connection = h2::server::Builder::new().handshake(stream).await.unwrap();
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        let mut response = http::Response::builder();
        match request.uri().path() {
            "/refuse" => respond.send_reset(h2::Reason::REFUSED_STREAM),
            "/cut" => {
                let response = response.header("content-length", "100").body(()).unwrap();
                let mut body = respond.send_response(response, false).unwrap();
                body.send_data(Bytes::from("the first half"), false)
                    .unwrap();
                body.send_reset(h2::Reason::INTERNAL_ERROR);
            }
            "/header" => {
                for n in 0..10 {
                    response = response.header(format!("x-{n}"), "v".repeat(40_000));
                }
                // The client may refuse it while it is still being sent.
                let _ = respond.send_response(response.body(()).unwrap(), true);
            }
            _ => {
                let mut body = respond
                    .send_response(response.body(()).unwrap(), false)
                    .unwrap();
                body.send_data(Bytes::from("over two"), true).unwrap();
            }
        }
    }
}

#[tokio::test]
async fn a_trusted_host_answers_over_tls() {
    let pki = Pki::new();
    let at = start(pki.host("localhost", "http/1.1", |_| ()), http1).await;
    let answer = answer(&pki.trusting_fetcher(), &at).await;
    assert_eq!(
        (&answer.body[..], answer.version),
        (&b"hi"[..], http::Version::HTTP_11)
    );
}

#[tokio::test]
async fn a_host_that_can_speaks_http_2_on_one_connection() {
    let pki = Pki::new();
    let at = start(pki.host("localhost", "h2", |_| ()), http2).await;
    let fetcher = pki.trusting_fetcher();
    let first = fetch(&fetcher, &at).await.exchange;
    assert!(first.timings.connect.is_some());
    assert!(
        first.sent["host"]
            .to_str()
            .unwrap()
            .starts_with("localhost:")
    );
    let answer = first.result.unwrap();
    assert_eq!(
        (&answer.body[..], answer.version),
        (&b"over two"[..], http::Version::HTTP_2)
    );
    let second = fetch(&fetcher, &at).await.exchange;
    assert_eq!(
        (second.timings.connect, second.result.unwrap().status),
        (None, 200)
    );
}

#[tokio::test]
async fn an_http_2_stream_that_ends_early_is_a_reset() {
    let pki = Pki::new();
    let at = start(pki.host("localhost", "h2", |_| ()), http2).await;
    let fetcher = pki.trusting_fetcher();
    let cut = failure(&fetcher, &format!("{at}cut")).await;
    assert_eq!(cut.kind, FailureKind::Reset, "{cut}");
    // The connection is kept by now: a refused stream is asked for once more on a new one.
    let refused = fetch(&fetcher, &format!("{at}refuse")).await;
    assert_eq!(
        refused.exchange.result.unwrap_err().kind,
        FailureKind::Reset
    );
    assert!(refused.was_resent);
}

#[tokio::test]
async fn an_http_2_header_beyond_the_limit_is_refused_and_does_not_hang() {
    let pki = Pki::new();
    let at = start(pki.host("localhost", "h2", |_| ()), http2).await;
    let failure = failure(&pki.trusting_fetcher(), &format!("{at}header")).await;
    // The protocol has no word for it: the stream is reset with PROTOCOL_ERROR.
    assert_eq!(failure.kind, FailureKind::Protocol, "{failure}");
}

#[tokio::test]
async fn a_certificate_that_is_not_to_be_trusted_is_told_apart() {
    let pki = Pki::new();
    let at = start(pki.host("localhost", "http/1.1", |_| ()), http1).await;
    let unknown = failure(&fetcher(), &at).await;
    assert_eq!(
        unknown.kind,
        FailureKind::TlsCertificate,
        "unknown issuer: {unknown}"
    );

    let at = start(pki.host("other.example", "http/1.1", |_| ()), http1).await;
    let wrong = failure(&pki.trusting_fetcher(), &at).await;
    assert_eq!(
        wrong.kind,
        FailureKind::TlsCertificate,
        "another name: {wrong}"
    );

    let expire = |params: &mut CertificateParams| params.not_after = date_time_ymd(2001, 1, 1);
    let at = start(pki.host("localhost", "http/1.1", expire), http1).await;
    let expired = failure(&pki.trusting_fetcher(), &at).await;
    assert_eq!(
        expired.kind,
        FailureKind::TlsCertificate,
        "expired: {expired}"
    );
}

#[tokio::test]
async fn a_port_without_tls_fails_in_the_handshake() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = format!("https://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        for reply in [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], b""] {
            let (mut socket, _) = listener.accept().await.unwrap();
            let _ = socket.read(&mut [0; 4096]).await;
            let _ = socket.write_all(reply).await;
            let _ = socket.shutdown().await;
        }
    });
    for what in ["plain HTTP", "closed"] {
        let failure = failure(&fetcher(), &at).await;
        assert_eq!(failure.kind, FailureKind::Tls, "{what}: {failure}");
    }
}

#[tokio::test]
async fn a_host_that_offers_no_protocol_of_ours_fails_in_the_handshake() {
    let pki = Pki::new();
    let at = start(pki.host("localhost", "spdy/3", |_| ()), http1).await;
    let failure = failure(&pki.trusting_fetcher(), &at).await;
    assert_eq!(failure.kind, FailureKind::Tls, "{failure}");
}

#[tokio::test]
async fn a_body_that_may_have_been_cut_off_by_someone_else_is_a_reset() {
    let pki = Pki::new();
    let acceptor = pki.host("localhost", "http/1.1", |_| ());
    let at = start(acceptor, http1_without_close_notify).await;
    let failure = failure(&pki.trusting_fetcher(), &at).await;
    assert_eq!(
        (failure.kind, failure.status),
        (FailureKind::Reset, Some(200)),
        "{failure}"
    );
}

#[tokio::test]
async fn the_route_of_a_direct_exchange_tells_whose_certificate_it_saw() {
    let pki = Pki::new();
    let at = start(pki.host("localhost", "http/1.1", |_| ()), http1).await;
    let trusted = fetch(&pki.trusting_fetcher(), &at).await.exchange;
    let route = trusted.route;
    assert_eq!((route.way, route.reached), (Way::Direct, Phase::Done));
    assert_eq!(route.address, trusted.result.unwrap().address);
    let seen = route.certificate.unwrap();
    let refused = fetch(&fetcher(), &at).await.exchange;
    assert_eq!(refused.route.reached, Phase::Tls);
    assert_eq!(refused.route.certificate, Some(seen));

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = format!("https://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let _ = socket.read(&mut [0; 4096]).await;
        // A fatal handshake_failure.
        let _ = socket.write_all(&[21, 3, 3, 0, 2, 2, 40]).await;
        let _ = socket.shutdown().await;
    });
    let route = fetch(&fetcher(), &at).await.exchange.route;
    assert_eq!(route.tls_alert.as_deref(), Some("handshake_failure"));
    assert_eq!((route.reached, route.certificate), (Phase::Tls, None));
}
