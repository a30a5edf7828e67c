//! Which certificates are trusted, and what is offered in a TLS handshake?

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, WebPkiServerVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tracing::warn;

use crate::certificate;
use crate::pem::ClientCertificate;
use crate::phases::note_certificate;
use crate::settings::FetchError;

/// TLS 1.2 and 1.3 with ring, HTTP/2 preferred over HTTP/1.1.
pub(crate) fn config(extra_roots: &[CertificateDer<'static>]) -> Result<ClientConfig, FetchError> {
    let mut roots = system_roots();
    for root in extra_roots {
        roots.add(root.clone()).map_err(FetchError::ExtraRoot)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier =
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .build()
            .map_err(|error| FetchError::Tls(rustls::Error::General(error.to_string())))?;
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(FetchError::Tls)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(NotingVerifier(verifier)))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// For hosts that are shown this certificate if they ask for one, or none. Sessions are not shared with those who show
/// another.
pub(crate) fn showing(config: &ClientConfig, client: Option<&ClientCertificate>) -> ClientConfig {
    let mut config = config.clone();
    config.client_auth_cert_resolver = match client {
        Some(ClientCertificate(key)) => Arc::new(SingleCertAndKey::from(Arc::clone(key))),
        None => Arc::new(NoCertificate),
    };
    config.resumption = rustls::client::Resumption::default();
    config
}

/// For hosts behind proxies: no session is resumed, so that nothing tells a host that two proxies
/// serve one client, and every connection shows its certificate.
pub(crate) fn through_proxies(config: &ClientConfig) -> ClientConfig {
    let mut config = config.clone();
    config.resumption = rustls::client::Resumption::disabled();
    config
}

/// For proxies that speak TLS themselves, which is HTTP/1.1 for CONNECT. They are shown no certificate: it is for the
/// host behind them.
pub(crate) fn with_proxies(config: &ClientConfig) -> ClientConfig {
    let mut config = config.clone();
    config.client_auth_cert_resolver = Arc::new(NoCertificate);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config
}

/// Has nothing to show.
#[derive(Debug)]
struct NoCertificate;

impl ResolvesClientCert for NoCertificate {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}

/// The usual verifier, and a note of what it was shown: of a certificate that is refused nothing is
/// left afterwards, and its issuer tells who stands between.
#[derive(Debug)]
struct NotingVerifier(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for NotingVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        note_certificate(Some(certificate::read(end_entity)));
        self.0
            .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// What the system trusts (`SSL_CERT_FILE` and `SSL_CERT_DIR` honoured), or Mozilla's list if the
/// system has none, as in a bare container.
fn system_roots() -> RootCertStore {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (added, _unreadable) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        let why = found
            .errors
            .first()
            .map(ToString::to_string)
            .unwrap_or_default();
        warn!(
            why,
            "the system trusts no certificate authority: using Mozilla's list"
        );
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    roots
}
