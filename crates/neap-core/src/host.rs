//! What is one host, the thing that limits, rate and politeness are kept by?
//!
//! Scheme, name and port of a URL together, which RFC 6454 calls an origin: `https://shop.example`
//! and `http://shop.example` may be two different servers and are treated as such.

use std::fmt;

use serde::{Deserialize, Serialize};
use url::Url;

/// Scheme, name and port of a URL.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Host(String);

impl From<Host> for String {
    fn from(host: Host) -> String {
        host.0
    }
}

impl TryFrom<String> for Host {
    type Error = String;

    fn try_from(text: String) -> Result<Host, String> {
        Host::parse(&text).ok_or_else(|| format!("`{text}` is no host"))
    }
}

impl Host {
    /// Reads the host of an `http` or `https` URL; `None` for every other scheme.
    pub fn of(url: &Url) -> Option<Host> {
        if !matches!(url.scheme(), "http" | "https") {
            return None;
        }
        Some(Host(url.origin().ascii_serialization()))
    }

    /// Reads `https://name` or `http://name:port`, as [`Host::as_str`] writes it.
    pub fn parse(text: &str) -> Option<Host> {
        Host::of(&Url::parse(text).ok()?)
    }

    /// `scheme://name`, with `:port` if it is not the scheme's own; never a trailing slash.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name or address alone, without scheme and port; an IPv6 address keeps its brackets.
    pub fn name(&self) -> &str {
        let rest = self
            .0
            .split_once("://")
            .map_or(self.0.as_str(), |(_, rest)| rest);
        match rest.rfind(':') {
            Some(colon) if !rest[colon..].contains(']') => &rest[..colon],
            Some(_) | None => rest,
        }
    }

    /// The registrable domain by the public suffix list, such as `shop.co.uk` of `https://www.shop.co.uk:8443`.
    /// An address, a name of one label and a public suffix stand for themselves.
    pub fn domain(&self) -> &str {
        let name = self.name().trim_end_matches('.');
        let is_address = name.starts_with('[') || name.parse::<std::net::Ipv4Addr>().is_ok();
        let domain = if is_address {
            None
        } else {
            psl::domain_str(name)
        };
        domain.unwrap_or(name)
    }

    /// The URL of this host's robots file (RFC 9309, section 2.3).
    pub fn robots_url(&self) -> Url {
        Url::parse(&format!("{}/robots.txt", self.0)).expect("a host is the front of a valid URL")
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_scheme_name_and_port() {
        for (url, host, name) in [
            ("http://a.example/x?y#z", "http://a.example", "a.example"),
            ("https://a.example:443/", "https://a.example", "a.example"),
            (
                "https://a.example:8443/",
                "https://a.example:8443",
                "a.example",
            ),
            ("http://[::1]:8080/", "http://[::1]:8080", "[::1]"),
            ("http://[::1]/", "http://[::1]", "[::1]"),
            (
                "http://user:secret@A.example/",
                "http://a.example",
                "a.example",
            ),
        ] {
            let found = Host::of(&Url::parse(url).unwrap()).unwrap();
            assert_eq!((found.as_str(), found.name()), (host, name), "{url}");
            assert_eq!(Host::parse(host), Some(found), "{url}");
        }
    }

    #[test]
    fn a_domain_is_what_can_be_registered() {
        for (host, domain) in [
            ("https://www.shop.co.uk:8443", "shop.co.uk"),
            ("http://shop.co.uk", "shop.co.uk"),
            ("http://a.b.shop.co.uk.", "shop.co.uk"),
            ("https://one.github.io", "one.github.io"),
            ("https://github.io", "github.io"),
            ("http://localhost:8080", "localhost"),
            ("http://127.0.0.1:8080", "127.0.0.1"),
            ("http://[2001:db8::1]", "[2001:db8::1]"),
            ("https://xn--bcher-kva.example", "xn--bcher-kva.example"),
        ] {
            assert_eq!(Host::parse(host).unwrap().domain(), domain, "{host}");
        }
    }

    #[test]
    fn only_http_and_https_have_a_host() {
        for url in [
            "ftp://a.example/",
            "file:///etc/passwd",
            "data:text/plain,x",
            "mailto:a@b",
        ] {
            assert_eq!(Host::of(&Url::parse(url).unwrap()), None, "{url}");
        }
    }
}
