//! As whom does a crawl ask, and to whom does it show what it knows?
//!
//! A header goes to the hosts of the input URLs unless it is marked as safe, a login to one host alone. Host means
//! scheme, name and port together, so that no redirect, no other port and no plain `http` gets either.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::host::Host;

/// `[identity]`: as whom the crawl asks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Identity {
    /// `User-Agent`; its first word is also the name that robots.txt is read for.
    /// Default: [`DEFAULT_USER_AGENT`].
    pub user_agent: String,
    /// Further request headers, by lower-case name. Sent to the hosts of the input URLs only, unless
    /// they are among `safe_headers`.
    pub headers: BTreeMap<String, Template>,
    /// Those of `headers` that are sent to every host; none of them is a secret. Default: none.
    pub safe_headers: BTreeSet<String>,
    /// Logins, each of a host of its own; no two of one host. Default: none.
    pub auth: Vec<Auth>,
    /// Whether cookies that hosts set are sent back to them, as long as a run lasts. Default: no, unless
    /// there is a `cookie_file`.
    pub cookies: bool,
    /// A file of cookies that each run begins with, in Netscape's format; absolute. Default: none.
    pub cookie_file: Option<String>,
}

/// The `User-Agent` of a job that names none.
pub const DEFAULT_USER_AGENT: &str = concat!("neap/", env!("CARGO_PKG_VERSION"));

impl Default for Identity {
    fn default() -> Identity {
        Identity {
            user_agent: DEFAULT_USER_AGENT.to_owned(),
            headers: BTreeMap::new(),
            safe_headers: BTreeSet::new(),
            auth: Vec::new(),
            cookies: false,
            cookie_file: None,
        }
    }
}

/// `[[identity.auth]]`: how the crawl logs in to one host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Auth {
    /// The only host that is sent it.
    pub origin: Host,
    /// What is sent as `authorization`; may be nothing where there is a certificate.
    pub login: Option<Login>,
    /// What the host is shown if it asks for a certificate.
    #[serde(default)]
    pub certificate: Option<CertificateFiles>,
}

/// A client's certificate and key, in files that are read when a run starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertificateFiles {
    /// PEM of the certificate and those that vouch for it; absolute.
    pub chain: String,
    /// PEM of its key, without a passphrase; absolute.
    pub key: String,
}

/// What logs in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Login {
    /// User name and password (RFC 7617).
    Basic {
        /// The user name; no colon may be in it once it is resolved.
        user: Template,
        /// The password: references only.
        password: Template,
    },
    /// A token (RFC 6750): references only.
    Bearer(Template),
}

/// A text with any number of `${env:NAME}` and `${file:PATH}` references: the value of a request header, the URL of
/// a proxy.
///
/// The references are kept as they are, in the store too, and looked up only when a run starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Template(
    /// The text as written in the job file; paths in it absolute.
    pub String,
);

/// Where a part of a [`Template`] comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reference<'a> {
    /// The environment variable of this name.
    Env(&'a str),
    /// The text of the file at this path.
    File(&'a str),
}

impl<'a> Reference<'a> {
    /// What each kind begins with.
    const BEGINNINGS: [&'static str; 2] = ["${env:", "${file:"];

    /// Reads `env:NAME` or `file:PATH`; `None` for anything else.
    pub fn read(text: &'a str) -> Option<Reference<'a>> {
        match text.split_once(':')? {
            ("env", name) => Some(Reference::Env(name)),
            ("file", path) => Some(Reference::File(path)),
            (_, _) => None,
        }
    }
}

impl Template {
    /// Whether the value comes from elsewhere, so that what is sent is a secret.
    pub fn is_secret(&self) -> bool {
        Reference::BEGINNINGS
            .iter()
            .any(|begin| self.0.contains(begin))
    }

    /// Whether there is anything beside references, which is stored as it is.
    pub fn has_literals(&self) -> bool {
        self.resolve(|_| Some(String::new())) != Ok(String::new())
    }

    /// The value to send, with each reference replaced by what `lookup` says. A `${` that begins none stays.
    ///
    /// # Errors
    /// The name or path of the first reference for which `lookup` knows nothing, or the rest of one that is
    /// never closed.
    pub fn resolve(
        &self,
        lookup: impl Fn(Reference<'_>) -> Option<String>,
    ) -> Result<String, String> {
        let mut out = String::new();
        let mut rest = self.0.as_str();
        while let Some((before, after)) = rest.split_once("${") {
            out.push_str(before);
            let is_one = Reference::read(after).is_some();
            let Some((text, after)) = after.split_once('}').filter(|_| is_one) else {
                if is_one {
                    return Err(after.to_owned());
                }
                out.push_str("${");
                rest = after;
                continue;
            };
            let reference = Reference::read(text);
            let value = reference.and_then(&lookup);
            out.push_str(&value.ok_or_else(|| match reference {
                Some(Reference::Env(name) | Reference::File(name)) => name.to_owned(),
                None => text.to_owned(),
            })?);
            rest = after;
        }
        out.push_str(rest);
        Ok(out)
    }

    /// The same text, every path of a `${file:PATH}` replaced by what `path` makes of it.
    ///
    /// # Errors
    /// What `path` says.
    pub fn with_paths<E>(&self, path: impl Fn(&str) -> Result<String, E>) -> Result<Template, E> {
        const BEGIN: &str = "${file:";
        let mut out = String::new();
        let mut rest = self.0.as_str();
        while let Some((before, after)) = rest.split_once(BEGIN) {
            let (written, after) = after.split_once('}').unwrap_or((after, ""));
            out.push_str(before);
            out.push_str(BEGIN);
            out.push_str(&path(written)?);
            out.push('}');
            rest = after;
        }
        out.push_str(rest);
        Ok(Template(out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_takes_its_secrets_from_the_environment_and_from_files() {
        let lookup = |reference: Reference<'_>| match reference {
            Reference::Env("TOKEN") => Some("abc".to_owned()),
            Reference::Env("EMPTY") => Some(String::new()),
            Reference::File("/run/key") => Some("k:1".to_owned()),
            Reference::Env(_) | Reference::File(_) => None,
        };
        for (text, is_secret, value) in [
            ("plain", false, Ok("plain")),
            (
                "Bearer ${env:TOKEN}-${file:/run/key}!",
                true,
                Ok("Bearer abc-k:1!"),
            ),
            ("${env:EMPTY}", true, Ok("")),
            ("${env:MISSING}", true, Err("MISSING")),
            ("${file:gone}", true, Err("gone")),
            ("${env:TOKEN} ${env:OPEN", true, Err("env:OPEN")),
            ("a ${b} $c", false, Ok("a ${b} $c")),
        ] {
            let template = Template(text.to_owned());
            assert_eq!(template.is_secret(), is_secret, "{text}");
            let resolved = template.resolve(lookup);
            assert_eq!(resolved.as_deref().map_err(String::as_str), value, "{text}");
        }
    }

    #[test]
    fn paths_are_made_whole_and_nothing_else_is_changed() {
        let template = Template("a ${file:x/y}${env:file:x} ${file:z} b".to_owned());
        let whole = template.with_paths(|path| Ok::<_, ()>(format!("/d/{path}")));
        let expected = "a ${file:/d/x/y}${env:file:x} ${file:/d/z} b";
        assert_eq!(whole, Ok(Template(expected.to_owned())));
        assert_eq!(template.with_paths(|_| Err("no")), Err("no"));
    }
}
