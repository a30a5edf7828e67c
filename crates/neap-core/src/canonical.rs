//! When are two URLs the same request?
//!
//! When their canonical forms are equal. The form is the WHATWG URL parser's (lower-case scheme and
//! host, IDNA, default port and dot segments removed) plus: no fragment, no user name or password, an
//! empty query dropped, percent-escapes of unreserved characters decoded and all others in upper case
//! (RFC 3986, section 6.2.2). The query keeps its order, since order can matter to a server.

use std::fmt;

use serde::{Deserialize, Serialize};
use url::Url;

use crate::host::Host;

/// Longest URL that is followed, in bytes; longer ones are skipped. The limit that sitemaps set
/// (sitemaps.org, "2,048 characters"), doubled.
pub const MAX_URL_BYTES: usize = 4096;

/// The form of an `http` or `https` URL by which requests are told apart, and which is asked for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CanonicalUrl(Url);

/// Why a URL has no canonical form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotFetchable {
    /// Not a URL at all.
    #[error("not a URL")]
    Invalid,
    /// A scheme other than `http` or `https`.
    #[error("only http and https can be fetched")]
    Scheme,
    /// Longer than [`MAX_URL_BYTES`].
    #[error("longer than {MAX_URL_BYTES} bytes")]
    TooLong,
}

impl CanonicalUrl {
    /// Reads an absolute URL.
    ///
    /// # Errors
    /// [`NotFetchable`] says why it is none that can be asked for.
    pub fn parse(text: &str) -> Result<CanonicalUrl, NotFetchable> {
        if text.len() > 4 * MAX_URL_BYTES {
            return Err(NotFetchable::TooLong);
        }
        CanonicalUrl::of(Url::parse(text.trim()).map_err(|_| NotFetchable::Invalid)?)
    }

    /// Reads a link relative to the page (or its `<base>`) that it stands on.
    ///
    /// # Errors
    /// [`NotFetchable`] says why it is none that can be asked for.
    pub fn join(base: &Url, link: &str) -> Result<CanonicalUrl, NotFetchable> {
        if link.len() > 4 * MAX_URL_BYTES {
            return Err(NotFetchable::TooLong);
        }
        CanonicalUrl::of(resolve(base, link).map_err(|_| NotFetchable::Invalid)?)
    }

    /// Gives a parsed URL its canonical form.
    ///
    /// # Errors
    /// [`NotFetchable`] says why it has none.
    pub fn of(mut url: Url) -> Result<CanonicalUrl, NotFetchable> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(NotFetchable::Scheme);
        }
        url.set_fragment(None);
        if !url.username().is_empty() || url.password().is_some() {
            // Cannot fail: an http URL always has a host.
            let _ = url.set_username("");
            let _ = url.set_password(None);
        }
        if let Some(path) = normalised_escapes(url.path()) {
            url.set_path(&path);
        }
        match url.query() {
            Some("") => url.set_query(None),
            Some(query) => {
                if let Some(query) = normalised_escapes(query) {
                    url.set_query(Some(&query));
                }
            }
            None => {}
        }
        if url.as_str().len() > MAX_URL_BYTES {
            return Err(NotFetchable::TooLong);
        }
        Ok(CanonicalUrl(url))
    }

    /// The URL as text, at most [`MAX_URL_BYTES`] long.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The parsed URL.
    pub fn url(&self) -> &Url {
        &self.0
    }

    /// The host that answers for it.
    pub fn host(&self) -> Host {
        Host::of(&self.0).expect("a canonical URL is http or https")
    }
}

/// Resolves a link as browsers do (WHATWG URL). The `url` crate refuses more than two slashes before the name of
/// a host, of which browsers ignore the rest.
///
/// # Errors
/// The link is no URL.
pub fn resolve(base: &Url, link: &str) -> Result<Url, url::ParseError> {
    let link = link.trim();
    let is_slash = |c: char| matches!(c, '/' | '\\');
    let name = link.trim_start_matches(is_slash);
    if link.len() - name.len() > 2 && matches!(base.scheme(), "http" | "https") {
        return base.join(&format!("//{name}"));
    }
    base.join(link)
}

impl fmt::Display for CanonicalUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl TryFrom<String> for CanonicalUrl {
    type Error = NotFetchable;

    fn try_from(text: String) -> Result<CanonicalUrl, NotFetchable> {
        CanonicalUrl::parse(&text)
    }
}

impl From<CanonicalUrl> for String {
    fn from(url: CanonicalUrl) -> String {
        url.0.into()
    }
}

/// Decodes escapes of unreserved characters and writes the others in upper case; `None` if nothing
/// changes. A dot is left escaped: decoded, `%2e%2e` would become a path segment of its own meaning.
fn normalised_escapes(part: &str) -> Option<String> {
    if !part.contains('%') {
        return None;
    }
    let mut out = String::with_capacity(part.len());
    let mut rest = part;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        let escape = rest
            .get(at..at + 3)
            .filter(|e| e[1..].bytes().all(|b| b.is_ascii_hexdigit()));
        let Some(escape) = escape else {
            out.push('%');
            rest = &rest[at + 1..];
            continue;
        };
        let byte = u8::from_str_radix(&escape[1..], 16).expect("two hexadecimal digits");
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&escape.to_ascii_uppercase());
        }
        rest = &rest[at + 3..];
    }
    out.push_str(rest);
    (out != part).then_some(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn canonical_forms() {
        for (given, expected) in [
            ("HTTP://Shop.Example:80/a/../b#top", "http://shop.example/b"),
            ("https://shop.example", "https://shop.example/"),
            ("https://shop.example/?", "https://shop.example/"),
            (
                "https://shop.example/%7euser/%c3%a9",
                "https://shop.example/~user/%C3%A9",
            ),
            ("https://shop.example/a%2Fb", "https://shop.example/a%2Fb"),
            (
                "https://shop.example/?b=2&a=1",
                "https://shop.example/?b=2&a=1",
            ),
            ("https://shop.example/100%", "https://shop.example/100%"),
            ("https://me:secret@shop.example/", "https://shop.example/"),
            (
                "https://bücher.example/ü",
                "https://xn--bcher-kva.example/%C3%BC",
            ),
            (" https://shop.example/x ", "https://shop.example/x"),
        ] {
            assert_eq!(
                CanonicalUrl::parse(given).unwrap().as_str(),
                expected,
                "{given}"
            );
        }
    }

    #[test]
    fn slashes_before_a_name_are_ignored_beyond_two() {
        let base = Url::parse("https://a.example/x/").unwrap();
        for (link, expected) in [
            ("///b.example/y", "https://b.example/y"),
            ("/\\//b.example", "https://b.example/"),
            ("//b.example", "https://b.example/"),
            ("/y//z", "https://a.example/y//z"),
            ("y///z", "https://a.example/x/y///z"),
        ] {
            let found = CanonicalUrl::join(&base, link);
            assert_eq!(
                found.as_ref().map(CanonicalUrl::as_str),
                Ok(expected),
                "{link}"
            );
        }
        assert_eq!(
            CanonicalUrl::join(&base, "////"),
            Err(NotFetchable::Invalid)
        );
    }

    #[test]
    fn what_cannot_be_fetched_says_why() {
        let long = format!("http://a.example/{}", "x".repeat(MAX_URL_BYTES));
        for (given, why) in [
            ("no url", NotFetchable::Invalid),
            ("javascript:alert(1)", NotFetchable::Scheme),
            ("ftp://a.example/", NotFetchable::Scheme),
            (long.as_str(), NotFetchable::TooLong),
        ] {
            assert_eq!(CanonicalUrl::parse(given), Err(why), "{given}");
        }
    }

    proptest! {
        #[test]
        fn a_canonical_form_is_its_own_canonical_form(rest in "[ -~é]{0,60}") {
            if let Ok(once) = CanonicalUrl::parse(&format!("http://a.example/{rest}")) {
                let twice = CanonicalUrl::parse(once.as_str());
                prop_assert_eq!(Ok(once), twice);
            }
        }
    }
}
