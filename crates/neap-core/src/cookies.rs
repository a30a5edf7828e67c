//! Which cookies does a crawl send back, and to whom?
//!
//! A jar keeps what hosts set, by the rules of RFC 6265 and the prefixes and the care for `Secure` of its successor
//! (draft-ietf-httpbis-rfc6265bis). It is bounded in every way, since any host may fill it, and it knows the public
//! suffix list, so that no host sets a cookie for all of `co.uk`. Time is a parameter.
//!
//! Cookies do not tell ports apart, and `http` from `https` only where they are `Secure`: that is what browsers do and
//! what sites count on.

mod rules;

use std::collections::{BTreeMap, HashMap};

use url::Url;

use crate::host::Host;
use crate::time::UnixMs;

/// Most bytes of a cookie, name and value together (rfc6265bis, section 5.6).
pub const MAX_COOKIE_BYTES: usize = 4096;

/// Longest path or domain of a cookie, in bytes (rfc6265bis, section 5.6).
pub const MAX_ATTRIBUTE_BYTES: usize = 1024;

/// Most cookies of one registrable domain: what RFC 6265, section 6.1 wants at least. The one that was used
/// longest ago makes room.
pub const MAX_PER_DOMAIN: usize = 50;

/// Most cookies of a jar; RFC 6265 wants 3,000 at least. The domain that was asked longest ago makes room.
pub const MAX_COOKIES: usize = 20_000;

/// Most bytes of all cookies of a jar, names and values.
pub const MAX_JAR_BYTES: usize = 16 << 20;

/// Most bytes of a `Cookie` header: what most servers take as one line. Cookies beyond it are left out.
pub const MAX_HEADER_BYTES: usize = 8 << 10;

/// What a `Set-Cookie` says, nothing of it believed yet.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct SetCookie {
    /// The name; not empty.
    pub name: String,
    /// The value; may be empty.
    pub value: String,
    /// For how many seconds it is kept. Goes before `expires`; zero and less means not at all.
    pub max_age: Option<i64>,
    /// Until when it is kept. Default: as long as the jar.
    pub expires: Option<UnixMs>,
    /// The domain whose hosts get it, as written. Default: only the host that set it.
    pub domain: Option<String>,
    /// What paths begin with that get it. Default: the directory of the page that set it.
    pub path: Option<String>,
    /// Whether only `https` gets it.
    pub is_secure: bool,
}

// A value may be a session: it is shown nowhere.
impl std::fmt::Debug for SetCookie {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SetCookie")
            .field("name", &self.name)
            .field("domain", &self.domain)
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// Why a cookie was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// It has no name, is too long, or has characters that no header carries.
    Unsendable,
    /// Its domain is not the host's or above it, or is a public suffix.
    Domain,
    /// It is `Secure` and came by `http`, or would replace one that is.
    Insecure,
    /// Its name begins with `__Secure-` or `__Host-`, and it is not what that promises.
    Prefix,
}

/// The cookies of one crawl.
#[derive(Default)]
pub struct Jar {
    /// By registrable domain.
    domains: HashMap<String, Shelf>,
    /// The domains by when they were asked or set last.
    by_use: BTreeMap<u64, String>,
    /// Counts every use.
    uses: u64,
    count: usize,
    bytes: usize,
}

/// The cookies of one registrable domain.
#[derive(Default)]
struct Shelf {
    used: u64,
    cookies: Vec<Cookie>,
}

/// A cookie that was taken.
struct Cookie {
    name: String,
    value: String,
    /// `None`: as long as the jar.
    expires: Option<UnixMs>,
    /// A host name, or a domain whose hosts all get it.
    domain: String,
    is_host_only: bool,
    path: String,
    is_secure: bool,
    /// When it was set first: its place in the order of those that are alike.
    created: u64,
    used: u64,
}

impl std::fmt::Debug for Jar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Jar")
            .field("count", &self.count)
            .finish_non_exhaustive()
    }
}

impl Jar {
    /// Takes what the answer of `url` sets.
    ///
    /// # Errors
    /// Why it was not taken; the jar is as it was.
    pub fn set(&mut self, url: &Url, cookie: SetCookie, now: UnixMs) -> Result<(), Refused> {
        rules::check(url, &cookie)?;
        let name = host_name(url);
        let (domain, is_host_only) = rules::domain(&name, cookie.domain.as_deref())?;
        let path = match cookie.path {
            Some(path) if path.starts_with('/') => path,
            Some(_) | None => rules::default_path(url.path()).to_owned(),
        };
        let expires = match cookie.max_age {
            Some(seconds) if seconds <= 0 => Some(UnixMs(i64::MIN)),
            Some(seconds) => Some(UnixMs(now.0.saturating_add(seconds.saturating_mul(1000)))),
            None => cookie.expires,
        };
        self.uses += 1;
        let cookie = Cookie {
            name: cookie.name,
            value: cookie.value,
            expires,
            domain,
            is_host_only,
            path,
            is_secure: cookie.is_secure,
            created: self.uses,
            used: self.uses,
        };
        self.put(registrable(url), cookie, url.scheme() == "https", now)
    }

    /// The value of the `Cookie` header of a request for `url`; `None` if there is nothing to send.
    pub fn header(&mut self, url: &Url, now: UnixMs) -> Option<String> {
        let key = registrable(url);
        self.touch(&key)?;
        let uses = self.uses;
        let shelf = self.domains.get_mut(&key)?;
        let name = host_name(url);
        let is_https = url.scheme() == "https";
        let mut sent: Vec<&mut Cookie> = shelf
            .cookies
            .iter_mut()
            .filter(|cookie| cookie.lives_at(now) && (is_https || !cookie.is_secure))
            .filter(|cookie| cookie.is_for(&name) && rules::path_matches(&cookie.path, url.path()))
            .collect();
        // RFC 6265, section 5.4: longer paths first, then the older ones.
        sent.sort_by_key(|cookie| (std::cmp::Reverse(cookie.path.len()), cookie.created));
        let mut header = String::new();
        for cookie in sent {
            let more = cookie.name.len() + cookie.value.len() + 3;
            if header.len() + more > MAX_HEADER_BYTES {
                continue;
            }
            cookie.used = uses;
            if !header.is_empty() {
                header += "; ";
            }
            header += &cookie.name;
            header.push('=');
            header += &cookie.value;
        }
        (!header.is_empty()).then_some(header)
    }

    /// Cookies that are kept, those whose time is over included until their place is needed.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Puts a cookie in the place of the one that is alike, if there is one.
    fn put(
        &mut self,
        key: String,
        mut cookie: Cookie,
        is_https: bool,
        now: UnixMs,
    ) -> Result<(), Refused> {
        let shelf = self.domains.entry(key.clone()).or_default();
        let would_hide = |old: &Cookie| {
            old.is_secure && old.name == cookie.name && old.overlaps(&cookie) && old.lives_at(now)
        };
        let is_refused = !is_https && shelf.cookies.iter().any(would_hide);
        let alike = shelf.cookies.iter().position(|old| old.is_like(&cookie));
        if is_refused {
            self.touch(&key);
            return Err(Refused::Insecure);
        }
        if let Some(place) = alike {
            let old = shelf.cookies.swap_remove(place);
            cookie.created = old.created;
            self.count -= 1;
            self.bytes -= old.bytes();
        }
        if cookie.lives_at(now) {
            self.count += 1;
            self.bytes += cookie.bytes();
            shelf.cookies.push(cookie);
        }
        self.touch(&key);
        self.make_room(&key, now);
        Ok(())
    }

    /// Notes that a domain was used; `None` if it has no cookies.
    fn touch(&mut self, key: &str) -> Option<()> {
        let shelf = self.domains.get_mut(key)?;
        self.by_use.remove(&shelf.used);
        if shelf.cookies.is_empty() {
            self.domains.remove(key);
            return None;
        }
        self.uses += 1;
        shelf.used = self.uses;
        self.by_use.insert(self.uses, key.to_owned());
        Some(())
    }

    /// Keeps the bounds after a cookie of this domain was put in.
    fn make_room(&mut self, key: &str, now: UnixMs) {
        if let Some(shelf) = self.domains.get_mut(key)
            && shelf.cookies.len() > MAX_PER_DOMAIN
        {
            let worst = |cookie: &Cookie| (cookie.lives_at(now), cookie.used);
            let cookies = shelf.cookies.iter().enumerate();
            let place = cookies.min_by_key(|(_, cookie)| worst(cookie));
            if let Some((place, _)) = place {
                let gone = shelf.cookies.swap_remove(place);
                self.count -= 1;
                self.bytes -= gone.bytes();
            }
        }
        while self.count > MAX_COOKIES || self.bytes > MAX_JAR_BYTES {
            let Some((_, oldest)) = self.by_use.pop_first() else {
                return;
            };
            let gone = self.domains.remove(&oldest).unwrap_or_default();
            self.count -= gone.cookies.len();
            self.bytes -= gone.cookies.iter().map(Cookie::bytes).sum::<usize>();
        }
    }
}

impl Cookie {
    fn bytes(&self) -> usize {
        self.name.len() + self.value.len()
    }

    fn lives_at(&self, now: UnixMs) -> bool {
        self.expires.is_none_or(|until| until.0 > now.0)
    }

    fn is_for(&self, host: &str) -> bool {
        match self.is_host_only {
            true => self.domain == host,
            false => rules::domain_matches(host, &self.domain),
        }
    }

    /// Whether the other one takes its place (RFC 6265, section 5.3, step 11).
    fn is_like(&self, other: &Cookie) -> bool {
        (&self.name, &self.domain, &self.path) == (&other.name, &other.domain, &other.path)
    }

    /// Whether some page gets both.
    fn overlaps(&self, other: &Cookie) -> bool {
        let is_below = |one: &str, other: &str| rules::domain_matches(one, other);
        (is_below(&self.domain, &other.domain) || is_below(&other.domain, &self.domain))
            && rules::path_matches(&self.path, &other.path)
    }
}

/// The name of a URL's host.
fn host_name(url: &Url) -> String {
    Host::of(url)
        .map(|host| host.name().to_owned())
        .unwrap_or_default()
}

/// What cookies of a URL are kept by.
fn registrable(url: &Url) -> String {
    Host::of(url)
        .map(|host| host.domain().to_owned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests;
