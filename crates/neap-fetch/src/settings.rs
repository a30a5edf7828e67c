//! What must be known before the first request goes out?

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use http::header::{HeaderName, HeaderValue};
use neap_core::address::AddressRule;
use neap_core::host::Host;
use neap_core::job::Request;
use rustls::pki_types::CertificateDer;

use crate::pace::Pace;
use crate::pem::ClientCertificate;

/// What a [`Fetcher`](crate::Fetcher) is made from.
#[derive(Debug, Clone)]
pub struct FetchSettings {
    /// The limits of one exchange.
    pub request: Request,
    /// `User-Agent`, sent to every host; visible ASCII.
    pub user_agent: String,
    /// Further headers of the job file, sent to `header_hosts` only, unless they are safe. None of them may
    /// be `user-agent` or one by which HTTP frames its messages.
    pub headers: Vec<JobHeader>,
    /// The hosts of the input URLs: exactly these scheme, name and port get `headers`. A redirect to
    /// any other does not.
    pub header_hosts: BTreeSet<Host>,
    /// Values of `authorization`, each for exactly this scheme, name and port. It goes before a header of
    /// that name. Never recorded.
    pub logins: BTreeMap<Host, HeaderValue>,
    /// Which hosts may be asked that are not of the public internet. Proxies are not held against it.
    pub addresses: AddressRule,
    /// Certificates to trust besides the system's, in DER; usually none.
    pub extra_roots: Vec<CertificateDer<'static>>,
    /// What every host is shown that asks for a certificate: so only for a fetcher of one host. Proxies are not
    /// shown it. Default: nothing.
    pub client_certificate: Option<ClientCertificate>,
    /// The address of this machine that connections come from, those to proxies included. Hosts of which no
    /// address is of its family cannot be reached. Default: the system chooses.
    pub bind: Option<IpAddr>,
    /// How fast bodies are read, together with all that share it. Default: as fast as they come.
    pub pace: Option<Pace>,
}

/// A request header that the job file asks for.
#[derive(Debug, Clone)]
pub struct JobHeader {
    /// Its name.
    pub name: HeaderName,
    /// The value to send, references to the environment resolved.
    pub value: HeaderValue,
    /// Whether the value came from the environment or a file, so that it may be sent but never recorded.
    pub is_secret: bool,
    /// Whether it is sent to every host.
    pub is_safe: bool,
}

/// A fetcher could not be made.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The user agent cannot be sent as a header.
    #[error("the user agent has characters that a header cannot carry")]
    UserAgent,
    /// The job file names a header that it cannot set.
    #[error("the header {0} cannot be set for requests: neap writes it itself")]
    Header(HeaderName),
    /// An extra root certificate is not one.
    #[error("an extra root certificate cannot be used")]
    ExtraRoot(#[source] rustls::Error),
    /// The TLS configuration was refused.
    #[error("TLS cannot be set up")]
    Tls(#[source] rustls::Error),
}
