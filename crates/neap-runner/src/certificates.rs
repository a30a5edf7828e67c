//! Which certificates does a job trust, and which does it show to whom?
//!
//! They are in files of PEM, which are read once, before anything is sent. Errors name the file and repeat nothing of it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};

use neap_core::Host;
use neap_core::job::Job;
use neap_fetch::{CertificateDer, ClientCertificate, PemError, certificates};

/// Largest file of PEM, in bytes: the authorities of a whole system take a quarter of it.
pub const MAX_PEM_BYTES: u64 = 1 << 20;

/// Why a file of certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The file system did not give it.
    #[error("cannot read {file}")]
    Unreadable {
        /// The file.
        file: String,
        /// What it said.
        source: io::Error,
    },
    /// It is a directory, a pipe, a device, or larger than [`MAX_PEM_BYTES`].
    #[error("{file} is no file, or larger than {} KiB", MAX_PEM_BYTES >> 10)]
    NoFile {
        /// The file.
        file: String,
    },
    /// What it holds is not what it should be.
    #[error("{file}: {source}")]
    Pem {
        /// The file; of certificate and key that of the key.
        file: String,
        /// What is wrong.
        source: PemError,
    },
}

/// The authorities that a job trusts besides the system's.
///
/// # Errors
/// `request.ca_file` cannot be used.
pub(crate) fn roots(job: &Job) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let Some(file) = &job.request.ca_file else {
        return Ok(Vec::new());
    };
    certificates(&read(file)?).map_err(|source| CertificateError::Pem {
        file: file.clone(),
        source,
    })
}

/// The certificate that each host of a job's logins is shown.
///
/// # Errors
/// One of their files cannot be used.
pub(crate) fn clients(job: &Job) -> Result<BTreeMap<Host, ClientCertificate>, CertificateError> {
    let mut clients = BTreeMap::new();
    for auth in &job.identity.auth {
        let Some(files) = &auth.certificate else {
            continue;
        };
        let (chain, key) = (read(&files.chain)?, read(&files.key)?);
        let certificate = ClientCertificate::from_pem(&chain, &key).map_err(|source| {
            let file = match source {
                PemError::NoCertificate => &files.chain,
                PemError::NoKey | PemError::Mismatch => &files.key,
            };
            CertificateError::Pem {
                file: file.clone(),
                source,
            }
        })?;
        clients.insert(auth.origin.clone(), certificate);
    }
    Ok(clients)
}

fn read(path: &str) -> Result<Vec<u8>, CertificateError> {
    let file = || path.to_owned();
    let unreadable = |source| CertificateError::Unreadable {
        file: file(),
        source,
    };
    let found = std::fs::metadata(path).map_err(unreadable)?;
    if !found.is_file() || found.len() > MAX_PEM_BYTES {
        return Err(CertificateError::NoFile { file: file() });
    }
    let mut bytes = Vec::new();
    let open = File::open(path).map_err(unreadable)?;
    open.take(MAX_PEM_BYTES)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    Ok(bytes)
}
