//! Which certificates are trusted, and what is offered in a TLS handshake?

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use tracing::warn;

use crate::settings::FetchError;

/// TLS 1.2 and 1.3 with ring, HTTP/2 preferred over HTTP/1.1.
pub(crate) fn config(extra_roots: &[CertificateDer<'static>]) -> Result<ClientConfig, FetchError> {
    let mut roots = system_roots();
    for root in extra_roots {
        roots.add(root.clone()).map_err(FetchError::ExtraRoot)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(FetchError::Tls)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
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
