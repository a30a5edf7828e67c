//! Which way out of the machine does a request take?
//!
//! Directly, or through one forward proxy. A proxy is known to people by its `host:port`; its user name
//! and password go into one header (or one SOCKS5 message) to that proxy and nowhere else: they have no
//! `Debug`, no `Display` and no place in an error.
//!
//! ```text
//!  http URL                https URL
//!  http(s)://proxy         request in absolute form   CONNECT, then TLS with the host
//!  socks5://proxy          SOCKS5, then the request   SOCKS5, then TLS with the host
//! ```

mod broken;
mod connect;
mod connector;
mod parse;
mod scrub;
mod socks;
mod template;
mod wire;

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;

use data_encoding::BASE64;
use http::HeaderValue;
use neap_core::egress::Member;
use neap_core::exchange::Exchange;
use sha2::{Digest, Sha256};

pub(crate) use broken::Broken;
pub(crate) use connector::{Connector, way};
pub use parse::ProxyError;
pub use template::TemplateError;
pub(crate) use wire::Wire;

/// A way out of the machine. Clones are cheap, and clones and equals share their connections.
///
/// ```
/// use neap_fetch::Egress;
///
/// let egress = Egress::parse("socks5h://ann:secret@proxy.example:1080")?;
/// assert_eq!(egress.name(), "proxy.example:1080");
/// assert_eq!(format!("{egress:?}"), "Egress(socks5h://proxy.example:1080)");
/// # Ok::<(), neap_fetch::ProxyError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Egress(Option<Arc<Proxy>>);

impl Egress {
    /// Without a proxy.
    pub const DIRECT: Egress = Egress(None);

    /// Reads what people write: `direct`, or a proxy as `http://`, `https://`, `socks5://` or
    /// `socks5h://`, with or without `user:password@`, then `host:port`. Without a scheme it is an
    /// HTTP proxy. Other characters than letters, digits and `-._~` in a user name or password are
    /// written as `%` and two hexadecimal digits.
    ///
    /// `socks5` resolves the names of hosts here, `socks5h` leaves that to the proxy, as an HTTP
    /// proxy always does.
    ///
    /// # Errors
    /// [`ProxyError`] says what is wrong with it and how to write it instead; it repeats neither user
    /// name nor password.
    pub fn parse(text: &str) -> Result<Egress, ProxyError> {
        parse::parse(text).map(|proxy| Egress(proxy.map(Arc::new)))
    }

    /// Whether no proxy is used.
    pub fn is_direct(&self) -> bool {
        self.0.is_none()
    }

    /// What to call it: the proxy's `host:port`, or `direct`.
    pub fn name(&self) -> &str {
        self.0.as_ref().map_or("direct", |proxy| &proxy.name)
    }

    /// Whether a user name or a password goes to the proxy.
    pub fn has_credentials(&self) -> bool {
        self.0
            .as_ref()
            .is_some_and(|proxy| proxy.credentials.is_some())
    }

    /// A hash of all that it is: scheme, address and credentials; the same in every run. It is made for
    /// telling proxies apart and is not to be written down, since it would let a password be guessed at.
    pub fn mark(&self) -> u64 {
        let mut hasher = Sha256::new();
        if let Some(proxy) = self.proxy() {
            let login = proxy.credentials.as_ref();
            let parts = [
                Some(proxy.scheme.as_str().as_bytes()),
                Some(proxy.name.as_bytes()),
                login.map(|login| &login.user[..]),
                login.map(|login| &login.password[..]),
            ];
            for part in parts.into_iter().flatten() {
                hasher.update((part.len() as u64).to_le_bytes());
                hasher.update(part);
            }
        }
        let digest = hasher.finalize();
        let (first, _) = digest.split_first_chunk().expect("SHA-256 has 32 bytes");
        u64::from_le_bytes(*first)
    }

    /// As a member of a pool.
    pub fn member(&self) -> Member {
        Member {
            name: self.name().into(),
            is_direct: self.is_direct(),
            mark: self.mark(),
        }
    }

    /// Takes the credentials out of what an HTTP proxy may have written.
    pub(crate) fn scrub(&self, exchange: &mut Exchange) {
        let credentials = self.proxy().and_then(|proxy| proxy.credentials.as_ref());
        if let Some(credentials) = credentials {
            scrub::relayed(exchange, credentials);
        }
    }

    pub(crate) fn proxy(&self) -> Option<&Arc<Proxy>> {
        self.0.as_ref()
    }
}

impl fmt::Debug for Egress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            None => f.write_str("Egress(direct)"),
            Some(proxy) => write!(f, "Egress({}://{})", proxy.scheme.as_str(), proxy.name),
        }
    }
}

impl fmt::Display for Egress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Egress {
    type Err = ProxyError;

    fn from_str(text: &str) -> Result<Egress, ProxyError> {
        Egress::parse(text)
    }
}

/// One forward proxy. It has no `Debug` because of the credentials.
#[derive(PartialEq, Eq)]
pub(crate) struct Proxy {
    pub(crate) scheme: Scheme,
    /// `host:port`, an IPv6 address in brackets.
    pub(crate) name: String,
    /// The name or the address, without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) credentials: Option<Credentials>,
}

impl Hash for Proxy {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // Thousands of a provider's proxies differ in nothing but what their user name or password says.
        self.name.hash(state);
        if let Some(credentials) = &self.credentials {
            credentials.user.hash(state);
            credentials.password.hash(state);
        }
    }
}

/// What a proxy speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Scheme {
    /// HTTP over TCP.
    Http,
    /// HTTP over TLS.
    Https,
    /// SOCKS5 with addresses.
    Socks5,
    /// SOCKS5 with names.
    Socks5h,
}

impl Scheme {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
            Scheme::Socks5 => "socks5",
            Scheme::Socks5h => "socks5h",
        }
    }

    pub(crate) const fn is_socks(self) -> bool {
        matches!(self, Scheme::Socks5 | Scheme::Socks5h)
    }
}

/// A user name and a password, decoded.
#[derive(PartialEq, Eq)]
pub(crate) struct Credentials {
    pub(crate) user: Vec<u8>,
    pub(crate) password: Vec<u8>,
}

impl Credentials {
    /// User name and password as the header has them.
    pub(crate) fn token(&self) -> String {
        BASE64.encode(&[&self.user[..], b":", &self.password].concat())
    }

    /// `Proxy-Authorization` (RFC 7617).
    pub(crate) fn header(&self) -> HeaderValue {
        let mut value = HeaderValue::try_from(format!("Basic {}", self.token()))
            .expect("Base64 is visible ASCII");
        value.set_sensitive(true);
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_tells_apart_all_that_a_proxy_is() {
        let texts = [
            "direct",
            "http://h:1",
            "https://h:1",
            "http://h:2",
            "http://i:1",
            "http://a@h:1",
            "http://a:b@h:1",
            "http://ab:@h:1",
            "http://a:c@h:1",
            "http://:ab@h:1",
        ];
        let marks: std::collections::BTreeSet<u64> = texts
            .iter()
            .map(|text| Egress::parse(text).unwrap().mark())
            .collect();
        assert_eq!(marks.len(), texts.len());
        let [one, same] = ["h:1", "HTTP://h:1/"].map(|text| Egress::parse(text).unwrap());
        assert_eq!(one.member(), same.member());
    }

    #[test]
    fn a_mark_is_the_same_in_later_runs() {
        // `printf '\4\0\0\0\0\0\0\0http\3\0\0\0\0\0\0\0h:1' | sha256sum`, the first eight bytes.
        let mark = Egress::parse("http://h:1").unwrap().mark();
        assert_eq!(format!("{:016x}", mark.swap_bytes()), "d1e7f70adf2ba5a5");
    }
}
