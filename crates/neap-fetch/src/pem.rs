//! Which certificates and keys are in files of PEM?
//!
//! Errors repeat nothing of a file: one of them may be a key.

use std::fmt;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

/// Why a file of PEM is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PemError {
    /// It is no PEM, or holds no certificate.
    #[error("there is no certificate in it, in PEM")]
    NoCertificate,
    /// It is no PEM, or holds no key without a passphrase.
    #[error("there is no private key without a passphrase in it, in PEM")]
    NoKey,
    /// Key and certificate are not of each other, or of a kind that is not known.
    #[error("the key does not fit the certificate, or is of a kind that is not known")]
    Mismatch,
}

/// Reads certificates, of which there is at least one.
///
/// # Errors
/// [`PemError::NoCertificate`].
pub fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, PemError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) | Err(_) => Err(PemError::NoCertificate),
    }
}

/// A certificate by which a client shows who it is, and its key.
#[derive(Clone)]
pub struct ClientCertificate(pub(crate) Arc<CertifiedKey>);

impl ClientCertificate {
    /// Reads a certificate, those behind it that vouch for it, and its key; all may be in one file.
    ///
    /// # Errors
    /// One of them is missing, or they are not of each other.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<ClientCertificate, PemError> {
        let chain = certificates(chain)?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| PemError::NoKey)?;
        let provider = ring::default_provider();
        CertifiedKey::from_der(chain, key, &provider)
            .map(|key| ClientCertificate(Arc::new(key)))
            .map_err(|_| PemError::Mismatch)
    }
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientCertificate({} certificates)", self.0.cert.len())
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    fn pair() -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["client.example".to_owned()]).unwrap();
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    #[test]
    fn what_is_missing_or_does_not_fit_is_told() {
        let ((chain, key), (_, other)) = (pair(), pair());
        let read = |chain: &str, key: &str| {
            ClientCertificate::from_pem(chain.as_bytes(), key.as_bytes()).map(|_| ())
        };
        let both = format!("{key}{chain}");
        assert_eq!(read(&chain, &key), Ok(()));
        assert_eq!(read(&both, &both), Ok(()));
        assert_eq!(read(&chain, &other), Err(PemError::Mismatch));
        assert_eq!(read(&key, &key), Err(PemError::NoCertificate));
        assert_eq!(read(&chain, &chain), Err(PemError::NoKey));
        assert_eq!(read("nonsense", &key), Err(PemError::NoCertificate));
        assert_eq!(
            certificates(format!("{chain}{chain}").as_bytes())
                .unwrap()
                .len(),
            2
        );
    }
}
