//! How is a proxy written, and what is said to somebody who wrote it otherwise?

use percent_encoding::percent_decode_str;
use url::{Host, ParseError, Url};

use super::{Credentials, Proxy, Scheme};

/// The port of SOCKS (RFC 1928, section 3).
const SOCKS_PORT: u16 = 1080;

/// Longest user name and password of SOCKS5 (RFC 1929, section 2).
const MAX_SOCKS_BYTES: usize = 255;

/// Longest text of a proxy, in bytes: far more than a name of 253 and two of SOCKS5's 255 bytes take when
/// every byte of them is escaped.
const MAX_BYTES: usize = 4096;

/// What people write that neap does not speak. Only these are repeated to them: before `://` may stand
/// anything, a part of a password too.
const OTHER_SCHEMES: [&str; 10] = [
    "ftp", "h2", "quic", "socks", "socks4", "socks4a", "ss", "ssh", "tcp", "tls",
];

/// A text is no proxy. The messages repeat no part of it that could be secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProxyError {
    /// There is nothing.
    #[error("the proxy is empty: write it as http://host:port")]
    Empty,
    /// It speaks what neap does not.
    #[error("a proxy cannot be reached by {0}://: use http, https, socks5 or socks5h")]
    Scheme(&'static str),
    /// It has no host.
    #[error("the proxy has no host: write it as http://host:port")]
    NoHost,
    /// `host:port:user:password`, as providers list them.
    #[error(
        "the proxy's user and password are in the wrong place: write http://user:password@host:port"
    )]
    Order,
    /// It cannot be taken apart.
    #[error(
        "the proxy cannot be read ({0}): write it as http://user:password@host:port, and in user and \
         password write %40 for @, %3A for :, %2F for /, %23 for #, %3F for ? and %25 for %"
    )]
    Unreadable(&'static str),
    /// It is longer than any proxy is.
    #[error(
        "the proxy is longer than {MAX_BYTES} bytes: write it as http://user:password@host:port"
    )]
    TooLong,
    /// Something stands behind the port.
    #[error("something follows the port of the proxy: write it as http://host:port")]
    Path,
    /// A user name or password that cannot be sent.
    #[error("the proxy's {0}")]
    Credentials(&'static str),
}

/// The proxy, or `None` for `direct`.
pub(super) fn parse(text: &str) -> Result<Option<Proxy>, ProxyError> {
    let text = text.trim();
    if text.is_empty() {
        return Err(ProxyError::Empty);
    }
    if text == "direct" {
        return Ok(None);
    }
    if text.len() > MAX_BYTES {
        return Err(ProxyError::TooLong);
    }
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, rest)) => (scheme_of(scheme)?, rest),
        None => (Scheme::Http, text),
    };
    // The URL standard reads a host only with a scheme that it knows.
    let url = Url::parse(&format!("http://{rest}")).map_err(|error| unreadable(error, rest))?;
    if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
        return Err(match url.username().is_empty() && rest.contains('@') {
            true => ProxyError::Unreadable("a part of the password stands behind the host"),
            false => ProxyError::Path,
        });
    }
    let host = match url.host() {
        Some(Host::Domain(name)) if !name.is_empty() => name.to_owned(),
        Some(Host::Ipv4(address)) => address.to_string(),
        Some(Host::Ipv6(address)) => address.to_string(),
        Some(Host::Domain(_)) | None => return Err(ProxyError::NoHost),
    };
    let port = port(&url, scheme, rest);
    let name = format!("{}:{port}", url.host_str().unwrap_or_default());
    let credentials = credentials(&url, scheme)?;
    Ok(Some(Proxy {
        scheme,
        name,
        host,
        port,
        credentials,
    }))
}

fn scheme_of(scheme: &str) -> Result<Scheme, ProxyError> {
    Ok(match scheme.to_ascii_lowercase().as_str() {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        "socks5" => Scheme::Socks5,
        "socks5h" => Scheme::Socks5h,
        other => {
            let known = OTHER_SCHEMES.into_iter().find(|known| *known == other);
            return Err(known.map_or(
                ProxyError::Unreadable("what precedes :// is none of http, https, socks5, socks5h"),
                ProxyError::Scheme,
            ));
        }
    })
}

fn unreadable(error: ParseError, rest: &str) -> ProxyError {
    let is_listed = !rest.contains('@') && rest.split(':').count() == 4;
    if error == ParseError::EmptyHost {
        ProxyError::NoHost
    } else if is_listed {
        ProxyError::Order
    } else if error == ParseError::InvalidPort {
        ProxyError::Unreadable("what follows the host is no number of a port")
    } else {
        ProxyError::Unreadable("its host is no name and no address")
    }
}

/// The port that is written, also if it is the default one of the scheme that it was read with.
fn port(url: &Url, scheme: Scheme, rest: &str) -> u16 {
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    match url.port() {
        Some(port) => port,
        None if authority.ends_with(":80") => 80,
        None => match scheme {
            Scheme::Http => 80,
            Scheme::Https => 443,
            Scheme::Socks5 | Scheme::Socks5h => SOCKS_PORT,
        },
    }
}

fn credentials(url: &Url, scheme: Scheme) -> Result<Option<Credentials>, ProxyError> {
    let decoded = |text: &str| percent_decode_str(text).collect::<Vec<u8>>();
    let user = decoded(url.username());
    let password = decoded(url.password().unwrap_or_default());
    let refuse = |what| Err(ProxyError::Credentials(what));
    if user.is_empty() && password.is_empty() {
        return Ok(None);
    }
    if scheme.is_socks() {
        if user.is_empty() {
            return refuse("user name is empty, which SOCKS5 cannot send");
        }
        if user.len() > MAX_SOCKS_BYTES || password.len() > MAX_SOCKS_BYTES {
            return refuse("user name or password is longer than the 255 bytes of SOCKS5");
        }
    } else if user.contains(&b':') {
        return refuse("user name contains a colon, which HTTP cannot send");
    }
    Ok(Some(Credentials { user, password }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::egress::Egress;

    #[test]
    fn proxies_as_people_write_them() {
        for (text, debug, has_credentials) in [
            ("http://p.example:3128", "http://p.example:3128", false),
            ("http://p.example:3128/", "http://p.example:3128", false),
            ("p.example:3128", "http://p.example:3128", false),
            ("ann:x@10.0.0.1:3128", "http://10.0.0.1:3128", true),
            ("HTTPS://P.example", "https://p.example:443", false),
            ("https://p.example:80", "https://p.example:80", false),
            ("http://p.example:80", "http://p.example:80", false),
            ("socks5://ann@[::1]:9050", "socks5://[::1]:9050", true),
            ("socks5h://p.example", "socks5h://p.example:1080", false),
            (" direct\n", "direct", false),
        ] {
            let egress = Egress::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(format!("{egress:?}"), format!("Egress({debug})"), "{text}");
            assert_eq!(egress.has_credentials(), has_credentials, "{text}");
        }
    }

    #[test]
    fn credentials_are_decoded_and_sent_as_basic() {
        let proxy = parse("http://ann:p%40ss%3Aw%25@h:1").unwrap().unwrap();
        let credentials = proxy.credentials.unwrap();
        assert_eq!(credentials.password, b"p@ss:w%");
        let header = credentials.header();
        assert_eq!(
            header,
            format!("Basic {}", data_encoding::BASE64.encode(b"ann:p@ss:w%"))
        );
        assert!(header.is_sensitive());
    }

    #[test]
    fn what_is_no_proxy_is_refused_without_repeating_the_password() {
        let long = format!("socks5://u:{}@h:1", "hunter2".repeat(40));
        let longer = format!("http://u:{}@h:1", "hunter2".repeat(600));
        for (text, part) in [
            ("", "is empty"),
            ("ftp://ann:hunter2@h:1", "ftp://"),
            ("hunter2!x://h:1", "none of http"),
            ("hunter2://h:1", "none of http"),
            ("SOCKS4://ann:hunter2@h:1", "socks4://"),
            ("http://", "no host"),
            ("http://ann:hunter2@", "no host"),
            ("h:8080:ann:hunter2", "wrong place"),
            ("http://h:8080:ann:hunter2", "wrong place"),
            ("http://ann:hunter2#x@h:1", "%23"),
            ("http://ann:hunter2/x@h:1", "%2F"),
            ("http://ann:8/hunter2@h:1", "password stands behind"),
            ("http://h:99999", "no number of a port"),
            ("http://ann:hunter2@h:hunter2", "no number of a port"),
            ("http://ann:hunter2@a b:1", "no name and no address"),
            ("http://ann:hunter2@h:1/hunter2", "follows the port"),
            ("http://h:1?hunter2", "follows the port"),
            ("http://a%3Ab:hunter2@h:1", "colon"),
            ("socks5://:hunter2@h:1", "user name is empty"),
            (&long, "255"),
            (&longer, "longer than 4096 bytes"),
        ] {
            let error = parse(text)
                .err()
                .unwrap_or_else(|| panic!("{text} is refused"));
            let told = format!("{error} {error:?}");
            assert!(told.contains(part), "{text}: {told}");
            assert!(!told.contains("hunter2"), "{text}: {told}");
        }
    }
}
