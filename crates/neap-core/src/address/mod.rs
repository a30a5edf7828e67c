//! Which hosts and addresses may a job ask that are not of the public internet?
//!
//! None, since what a page links to, a redirect or a name server says is anybody's word, and behind it may be
//! the machine's own services, the network around it or a cloud's metadata. Two things open them: the job says
//! `request.private_addresses = true`, or its input names such a host: then that name or address at that port is open,
//! and no other.
//!
//! ```text
//!  URL ──► is its host private as it is written? ──► is it one of the input? ──► connect
//!           │ no                                                                   ▲
//!           └──► a name: its addresses, each that is private left out ─────────────┘
//! ```
//!
//! A public name whose addresses are private is refused in the input, too: whoever runs its name server could have
//! it point anywhere, at any moment.

mod ranges;

use std::collections::BTreeSet;
use std::net::IpAddr;

use url::{Host as UrlHost, Url};

use crate::host::Host;
use crate::scope::site;

pub use ranges::{Range, reserved};

/// Names that stand for something at home, by their last labels: RFC 6761 (`localhost`), RFC 6762 (`local`), RFC 8375
/// (`home.arpa`), ICANN's resolution of 2024-07-29 (`internal`), and what the hosts files of Red Hat (`localdomain`) have.
const HOME: [&str; 5] = ["localhost", "local", "internal", "home.arpa", "localdomain"];

/// Which hosts that are not of the public internet a job may ask.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AddressRule {
    allows_all: bool,
    /// Name or address and port of hosts of the input that are private as they are written.
    named: BTreeSet<String>,
}

/// A host is not asked since it is not of the public internet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Private {
    /// Its address.
    #[error("the address is {} ({})", .0.what, .0.source)]
    Address(&'static Range),
    /// Its name, whatever address it has.
    #[error("the name is one of a local network")]
    Name,
}

impl AddressRule {
    /// The rule of a job that has these hosts in its input. `allows_all` is its `request.private_addresses`.
    pub fn new<'a>(allows_all: bool, input: impl IntoIterator<Item = &'a Host>) -> AddressRule {
        let urls = input
            .into_iter()
            .filter_map(|host| Url::parse(host.as_str()).ok());
        let private = urls.filter(|url| by_text(url).is_err());
        AddressRule {
            allows_all,
            named: private.map(|url| key(&url)).collect(),
        }
    }

    /// Whether a URL may be asked for as far as its text tells: its host is public, or a name of which that will be
    /// seen, or the job allows it.
    ///
    /// # Errors
    /// What is private about its host.
    pub fn admits(&self, url: &Url) -> Result<(), Private> {
        match self.is_open(url) {
            true => Ok(()),
            false => by_text(url),
        }
    }

    /// Whether the host of a URL may have a private address.
    pub fn is_open(&self, url: &Url) -> bool {
        self.allows_all || (!self.named.is_empty() && self.named.contains(&key(url)))
    }
}

/// Whether the host of a URL is public as it is written.
fn by_text(url: &Url) -> Result<(), Private> {
    let address = match url.host() {
        Some(UrlHost::Ipv4(address)) => IpAddr::V4(address),
        Some(UrlHost::Ipv6(address)) => IpAddr::V6(address),
        Some(UrlHost::Domain(name)) => match is_at_home(name) {
            true => return Err(Private::Name),
            false => return Ok(()),
        },
        None => return Ok(()),
    };
    match reserved(address) {
        Some(range) => Err(Private::Address(range)),
        None => Ok(()),
    }
}

/// Whether a name means something in the local network alone: one label, or one of the endings that are set aside
/// for that.
pub fn is_at_home(name: &str) -> bool {
    let name = name.trim_end_matches('.');
    let ends_with = |end: &str| {
        let front = name.len().checked_sub(end.len());
        let is_end =
            front.is_some_and(|at| name.as_bytes()[at..].eq_ignore_ascii_case(end.as_bytes()));
        is_end && front.is_some_and(|at| at == 0 || name.as_bytes()[at - 1] == b'.')
    };
    !name.contains('.') || HOME.iter().any(|end| ends_with(end))
}

/// Name and port, the usual ports of `http` and `https` being one; a full stop at the end of a name means nothing.
fn key(url: &Url) -> String {
    let site = site(url);
    match site.rsplit_once(':') {
        Some((name, port)) if url.port().is_some() => {
            format!("{}:{port}", name.trim_end_matches('.'))
        }
        Some(_) | None => site.trim_end_matches('.').to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::canonical::CanonicalUrl;

    fn rule(input: &[&str]) -> AddressRule {
        let hosts: Vec<Host> = input.iter().filter_map(|text| Host::parse(text)).collect();
        assert_eq!(hosts.len(), input.len());
        AddressRule::new(false, &hosts)
    }

    fn is_admitted(rule: &AddressRule, url: &str) -> bool {
        rule.admits(CanonicalUrl::parse(url).unwrap().url()).is_ok()
    }

    #[test]
    fn spellings_of_what_is_private() {
        let nobody = rule(&[]);
        for url in [
            "http://127.0.0.1/",
            "http://127.1/",
            "http://2130706433/",
            "http://0x7f000001/",
            "http://0x7f.1/",
            "http://0177.0.0.1/",
            "http://127.0.0.1./",
            "http://%31%32%37.0.0.1/",
            "http://１２７.０.０.１/",
            "http://127。0。0。1/",
            "http://①②⑦.0.0.1/",
            "http://0/",
            "http://[::1]/",
            "http://[0:0:0:0:0:0:0:1]/",
            "http://[::ffff:127.0.0.1]/",
            "http://[::ffff:7f00:1]/",
            "http://[::127.0.0.1]/",
            "http://[64:ff9b::7f00:1]/",
            "http://[2002:7f00:1::]/",
            "http://user:secret@10.0.0.1/",
            "http://localhost/",
            "http://LOCALHOST./",
            "http://ｌocalhost/",
            "http://a.localhost/",
            "http://localhost.localdomain/",
            "http://printer/",
            "http://printer.local./",
            "http://metadata.google.internal/",
            "http://router.home.arpa/",
        ] {
            assert!(!is_admitted(&nobody, url), "{url}");
            assert!(
                AddressRule::new(true, [])
                    .admits(CanonicalUrl::parse(url).unwrap().url())
                    .is_ok()
            );
        }
        for url in [
            "http://shop.example/",
            "http://1.1.1.1/",
            "http://[2606:4700::1111]/",
            "http://localhost.example/",
            "http://notlocalhost.example/",
            "http://thelocal.example/",
            "http://127.0.0.1.example/",
        ] {
            assert!(is_admitted(&nobody, url), "{url}");
        }
    }

    #[test]
    fn a_host_of_the_input_is_open_alone_and_at_its_port() {
        let named = rule(&[
            "http://127.0.0.1:8080",
            "https://localhost",
            "http://shop.example",
        ]);
        for (url, is_open) in [
            ("http://127.0.0.1:8080/a", true),
            ("http://2130706433:8080/a", true),
            ("https://127.0.0.1:8080/a", true),
            ("http://127.0.0.1/", false),
            ("http://127.0.0.1:8081/", false),
            ("http://127.0.0.2:8080/", false),
            ("http://[::ffff:127.0.0.1]:8080/", false),
            ("http://localhost/", true),
            ("http://localhost./", true),
            ("http://localhost:8080/", false),
            ("http://a.localhost/", false),
        ] {
            assert_eq!(is_admitted(&named, url), is_open, "{url}");
        }
        // A public name may have private addresses only if all may.
        let shop = Url::parse("http://shop.example/").unwrap();
        assert!(named.admits(&shop).is_ok() && !named.is_open(&shop));
    }

    #[test]
    fn what_is_refused_is_named_with_its_source() {
        let url = CanonicalUrl::parse("http://169.254.169.254/latest/meta-data").unwrap();
        let refused = rule(&[]).admits(url.url()).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "the address is metadata service (RFC 3927; EC2, GCE, Azure and others)"
        );
    }
}
