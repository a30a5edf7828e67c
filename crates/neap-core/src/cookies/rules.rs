//! May this host set this cookie, and which hosts and paths is it for?

use url::Url;

use super::{MAX_ATTRIBUTE_BYTES, MAX_COOKIE_BYTES, Refused, SetCookie};

/// What does not depend on other cookies.
pub(super) fn check(url: &Url, cookie: &SetCookie) -> Result<(), Refused> {
    let is_long = |text: &Option<String>| {
        text.as_ref()
            .is_some_and(|text| text.len() > MAX_ATTRIBUTE_BYTES)
    };
    let is_sendable = |text: &str| {
        text.bytes()
            .all(|byte| byte == b'\t' || byte >= 0x20 && byte != 0x7f)
    };
    if cookie.name.is_empty()
        || cookie.name.len() + cookie.value.len() > MAX_COOKIE_BYTES
        || is_long(&cookie.domain)
        || is_long(&cookie.path)
        || !is_sendable(&cookie.name)
        || !is_sendable(&cookie.value)
    {
        return Err(Refused::Unsendable);
    }
    if cookie.is_secure && url.scheme() != "https" {
        return Err(Refused::Insecure);
    }
    let begins = |prefix: &str| {
        let start = cookie.name.as_bytes().get(..prefix.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes()))
    };
    let is_whole_host = cookie.domain.is_none() && cookie.path.as_deref() == Some("/");
    let breaks_host = begins("__Host-") && !(cookie.is_secure && is_whole_host);
    let breaks_secure = begins("__Secure-") && !cookie.is_secure;
    if breaks_host || breaks_secure {
        return Err(Refused::Prefix);
    }
    Ok(())
}

/// Whom a cookie of the host `name` is for, and whether for that host alone.
pub(super) fn domain(name: &str, written: Option<&str>) -> Result<(String, bool), Refused> {
    let host_only = Ok((name.to_owned(), true));
    let Some(written) = written else {
        return host_only;
    };
    let domain = written
        .strip_prefix('.')
        .unwrap_or(written)
        .to_ascii_lowercase();
    if domain.is_empty() {
        return host_only;
    }
    // An address is a host and no domain.
    if is_public(&domain) || is_address(name) {
        return match domain == name {
            true => host_only,
            false => Err(Refused::Domain),
        };
    }
    match domain_matches(name, &domain) {
        true => Ok((domain, false)),
        false => Err(Refused::Domain),
    }
}

/// Whether hosts of strangers lie below a domain. A dot at the end would hide it from the list.
fn is_public(domain: &str) -> bool {
    domain.ends_with('.') || psl::domain_str(domain).is_none()
}

fn is_address(name: &str) -> bool {
    name.starts_with('[') || name.parse::<std::net::Ipv4Addr>().is_ok()
}

/// RFC 6265, section 5.1.3.
pub(super) fn domain_matches(host: &str, domain: &str) -> bool {
    match host.strip_suffix(domain) {
        Some("") => true,
        Some(front) => front.ends_with('.') && !is_address(host),
        None => false,
    }
}

/// RFC 6265, section 5.1.4: the directory of a page.
pub(super) fn default_path(path: &str) -> &str {
    match path.rfind('/') {
        Some(0) | None => "/",
        Some(end) => &path[..end],
    }
}

/// RFC 6265, section 5.1.4.
pub(super) fn path_matches(of_cookie: &str, path: &str) -> bool {
    match path.strip_prefix(of_cookie) {
        Some("") => true,
        Some(rest) => of_cookie.ends_with('/') || rest.starts_with('/'),
        None => false,
    }
}
