//! Who does a site say that it is, and who vouches for it?
//!
//! An [`Authority`] is made for a test and written to a file; a client that is told to trust that
//! file, by `SSL_CERT_FILE` or otherwise, trusts the sites whose [`Identity`] it signed, and should
//! trust no other.

use std::io;
use std::path::Path;
use std::sync::Arc;

use data_encoding::BASE64;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd,
};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::server::danger::ClientCertVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

/// Why making keys and certificates cannot fail here.
const SOUND: &str = "fresh keys and plain host names make a certificate";

/// Characters on a line of PEM (RFC 7468, section 2).
const PEM_LINE_BYTES: usize = 64;

/// A certificate authority that nobody knows but those who are told.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// The certificate and key of a site.
pub struct Identity {
    certificate: CertificateDer<'static>,
    key: KeyPair,
    protocols: Vec<Vec<u8>>,
    /// Who must have signed the certificate that a client shows.
    clients: Option<CertificateDer<'static>>,
}

impl Authority {
    /// A new authority with a new key.
    #[expect(
        clippy::new_without_default,
        reason = "a new one each time is no default value"
    )]
    pub fn new() -> Authority {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(DnType::CommonName, "neap-testkit authority");
        let key = KeyPair::generate().expect(SOUND);
        Authority {
            issuer: CertifiedIssuer::self_signed(params, key).expect(SOUND),
        }
    }

    /// The authority's own certificate as PEM.
    pub fn pem(&self) -> String {
        pem("CERTIFICATE", self.issuer.der())
    }

    /// The authority's own certificate as DER.
    pub fn der(&self) -> Vec<u8> {
        self.issuer.der().to_vec()
    }

    /// Writes the authority's own certificate as PEM.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_pem(&self, file: &Path) -> io::Result<()> {
        std::fs::write(file, self.pem())
    }

    /// A good identity for these host names and addresses. One for other names than the site's own
    /// is how to be somebody else.
    ///
    /// # Panics
    /// If a name cannot stand in a certificate.
    pub fn identity(&self, names: &[&str]) -> Identity {
        self.sign(names, |_| ())
    }

    /// An identity that was good until the year 2001.
    ///
    /// # Panics
    /// If a name cannot stand in a certificate.
    pub fn expired(&self, names: &[&str]) -> Identity {
        self.sign(names, |params| params.not_after = date_time_ymd(2001, 1, 1))
    }

    fn sign(&self, names: &[&str], change: impl Fn(&mut CertificateParams)) -> Identity {
        let mut params = params(names);
        change(&mut params);
        let key = KeyPair::generate().expect(SOUND);
        let certificate = params.signed_by(&key, &self.issuer).expect(SOUND);
        Identity::new(certificate.der().clone(), key)
    }
}

impl Identity {
    /// An identity that nobody vouches for.
    ///
    /// # Panics
    /// If a name cannot stand in a certificate.
    pub fn self_signed(names: &[&str]) -> Identity {
        let key = KeyPair::generate().expect(SOUND);
        let certificate = params(names).self_signed(&key).expect(SOUND);
        Identity::new(certificate.der().clone(), key)
    }

    /// Agrees by ALPN to these protocols instead of `http/1.1`; with none, to whatever the client
    /// likes without a word. A client that offers only others is refused in the handshake. What is
    /// then spoken is HTTP/1.1 in any case.
    #[must_use]
    pub fn alpn(mut self, protocols: &[&str]) -> Identity {
        self.protocols = protocols
            .iter()
            .map(|name| name.as_bytes().to_vec())
            .collect();
        self
    }

    /// Serves only clients that show a certificate which this authority signed.
    #[must_use]
    pub fn asking_for(mut self, authority: &Authority) -> Identity {
        self.clients = Some(authority.issuer.der().clone());
        self
    }

    /// Certificate and key as PEM, for a client to show.
    pub fn client_pem(&self) -> String {
        let key = self.key.serialize_der();
        pem("CERTIFICATE", &self.certificate) + &pem("PRIVATE KEY", &key)
    }

    fn new(certificate: CertificateDer<'static>, key: KeyPair) -> Identity {
        Identity {
            certificate,
            key,
            protocols: Vec::new(),
            clients: None,
        }
        .alpn(&["http/1.1"])
    }

    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.serialize_der()));
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider knows the default versions")
            .with_client_cert_verifier(self.verifier())
            .with_single_cert(vec![self.certificate.clone()], key)
            .expect("the key was made for the certificate");
        config.alpn_protocols.clone_from(&self.protocols);
        TlsAcceptor::from(Arc::new(config))
    }

    /// Whom it serves: everybody, unless it asks for certificates.
    fn verifier(&self) -> Arc<dyn ClientCertVerifier> {
        let Some(authority) = &self.clients else {
            return WebPkiClientVerifier::no_client_auth();
        };
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone()).expect(SOUND);
        let provider = Arc::new(ring::default_provider());
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .expect(SOUND)
    }
}

/// Bytes as PEM (RFC 7468).
fn pem(label: &str, der: &[u8]) -> String {
    let mut pem = format!("-----BEGIN {label}-----\n");
    for line in BASE64.encode(der).as_bytes().chunks(PEM_LINE_BYTES) {
        pem.extend(line.iter().map(|byte| char::from(*byte)));
        pem.push('\n');
    }
    pem + &format!("-----END {label}-----\n")
}

/// A certificate for these names; the first is also its subject, so that no subject is an issuer.
fn params(names: &[&str]) -> CertificateParams {
    let list: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(list).expect("a name fit for a certificate");
    for name in names.iter().take(1) {
        params.distinguished_name.push(DnType::CommonName, *name);
    }
    params
}
