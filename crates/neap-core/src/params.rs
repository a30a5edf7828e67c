//! Which parameters of a URL say nothing about the page?
//!
//! Those that a job lists: they tell from where a visitor came, and each makes another URL of the same page.

use std::fmt;

use serde::{Deserialize, Serialize};
use url::Url;

use crate::canonical::CanonicalUrl;

/// Longest name in a job file, in bytes.
pub const MAX_NAME_BYTES: usize = 100;

/// A name of parameters that are dropped, in lower case; `*` at its end stands for any rest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ParamName(String);

impl ParamName {
    /// Reads a name as a job file writes it.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn parse(text: &str) -> Result<ParamName, String> {
        let name = text.strip_suffix('*').unwrap_or(text);
        if text.is_empty() {
            return Err("an empty name".to_owned());
        }
        if text.len() > MAX_NAME_BYTES {
            return Err(format!("a name has at most {MAX_NAME_BYTES} bytes"));
        }
        let is_name = |c: char| c.is_ascii_graphic() && !"*?&=#;/%".contains(c);
        if !name.chars().all(is_name) {
            return Err("a name is written as in the URL, with `*` at its end alone".to_owned());
        }
        Ok(ParamName(text.to_ascii_lowercase()))
    }

    fn matches(&self, name: &str) -> bool {
        match self.0.strip_suffix('*') {
            Some(start) => name
                .get(..start.len())
                .is_some_and(|front| front.eq_ignore_ascii_case(start)),
            None => name.eq_ignore_ascii_case(&self.0),
        }
    }
}

impl fmt::Display for ParamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for ParamName {
    type Error = String;

    fn try_from(text: String) -> Result<ParamName, String> {
        ParamName::parse(&text)
    }
}

impl From<ParamName> for String {
    fn from(name: ParamName) -> String {
        name.0
    }
}

/// Names of parameters that hold a session whatever their value: of Java, PHP, ASP and ColdFusion, and as they are written out.
const SESSIONS: [&str; 5] = [
    "jsessionid",
    "phpsessid",
    "aspsessionid",
    "cftoken",
    "oscsid",
];

/// Names that hold a session if their value looks like one: many digits and letters.
const PERHAPS_SESSIONS: [&str; 8] = [
    "sid",
    "sess",
    "session",
    "sessionid",
    "session_id",
    "session-id",
    "zenid",
    "s",
];

/// Shortest value that looks like a session: 64 bits in hexadecimal.
const SESSION_BYTES: usize = 16;

/// The URL without the session ids in it: each visit has others, and they make no other page.
pub fn without_session(url: CanonicalUrl) -> CanonicalUrl {
    without_parts(url, |part| {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        let is_one_of = |names: &[&str]| names.iter().any(|known| name.eq_ignore_ascii_case(known));
        let looks_random = || {
            value.len() >= SESSION_BYTES
                && value
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
                && value.bytes().any(|byte| byte.is_ascii_digit())
        };
        is_one_of(&SESSIONS) || (is_one_of(&PERHAPS_SESSIONS) && looks_random())
    })
}

/// The URL without these parameters, in its query (`?utm_source=x`) and in its path (`;jsessionid=x`). What is
/// left keeps its order and spelling.
pub fn without(url: CanonicalUrl, names: &[ParamName]) -> CanonicalUrl {
    if names.is_empty() {
        return url;
    }
    let is_dropped = |part: &str| {
        let name = part.split('=').next().unwrap_or(part);
        names.iter().any(|dropped| dropped.matches(name))
    };
    without_parts(url, is_dropped)
}

fn without_parts(url: CanonicalUrl, is_dropped: impl Fn(&str) -> bool) -> CanonicalUrl {
    let query = url
        .url()
        .query()
        .and_then(|query| kept(query, '&', &is_dropped));
    let path = url.url().path();
    let path = path
        .contains(';')
        .then(|| path_without(path, &is_dropped))
        .flatten();
    if query.is_none() && path.is_none() {
        return url;
    }
    let mut shorter: Url = url.url().clone();
    if let Some(query) = query {
        shorter.set_query(Some(&query));
    }
    if let Some(path) = path {
        shorter.set_path(&path);
    }
    // Shorter than one that is canonical: it stays so.
    CanonicalUrl::of(shorter).unwrap_or(url)
}

/// The parts that are kept; `None` if all are.
fn kept(text: &str, separator: char, is_dropped: impl Fn(&str) -> bool) -> Option<String> {
    if !text.split(separator).any(&is_dropped) {
        return None;
    }
    let kept: Vec<&str> = text
        .split(separator)
        .filter(|part| !is_dropped(part))
        .collect();
    Some(kept.join(&separator.to_string()))
}

/// The path without parameters of its segments; `None` if it has none of these.
fn path_without(path: &str, is_dropped: impl Fn(&str) -> bool) -> Option<String> {
    let mut is_changed = false;
    let segments: Vec<String> = path
        .split('/')
        .map(|segment| {
            // What stands before the first semicolon is the segment's name and no parameter.
            let Some((name, params)) = segment.split_once(';') else {
                return segment.to_owned();
            };
            match kept(params, ';', &is_dropped) {
                None => segment.to_owned(),
                Some(rest) => {
                    is_changed = true;
                    let mark = if rest.is_empty() { "" } else { ";" };
                    format!("{name}{mark}{rest}")
                }
            }
        })
        .collect();
    is_changed.then(|| segments.join("/"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names() -> Vec<ParamName> {
        ["utm_*", "fbclid", "JSESSIONID"]
            .map(|name| ParamName::parse(name).unwrap())
            .to_vec()
    }

    #[test]
    fn listed_parameters_are_dropped_and_the_rest_stays_as_it_is() {
        for (given, expected) in [
            ("/a?utm_source=x&b=1&UTM_medium=y", "/a?b=1"),
            ("/a?utm_source=x", "/a"),
            ("/a?fbclid", "/a"),
            ("/a?b=2&a=1&fbclid=x&a=1", "/a?b=2&a=1&a=1"),
            ("/a?myfbclid=1&fbclids=2", "/a?myfbclid=1&fbclids=2"),
            ("/a?b=utm_source", "/a?b=utm_source"),
            ("/a?&&fbclid=1", "/a?&"),
            ("/a;jsessionid=1/b;x=1;jsessionid=2?c=%20", "/a/b;x=1?c=%20"),
            ("/utm_x/fbclid", "/utm_x/fbclid"),
            ("/;jsessionid=1", "/"),
        ] {
            let url = |path: &str| CanonicalUrl::parse(&format!("http://a.example{path}")).unwrap();
            assert_eq!(without(url(given), &names()), url(expected), "{given}");
            assert_eq!(without(url(given), &[]), url(given));
        }
    }

    #[test]
    fn a_bad_name_is_refused_in_words() {
        for bad in ["", "a b", "a=b", "*a", "a*b", "\u{e4}", &"x".repeat(101)] {
            assert!(ParamName::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(ParamName::parse("UTM_*").unwrap().to_string(), "utm_*");
        assert!(ParamName::parse("*").is_ok());
    }

    proptest! {
        #[test]
        fn what_is_left_is_canonical_and_has_none_of_them(rest in "[a-z/?&=;_%ü]{0,60}") {
            let url = CanonicalUrl::parse(&format!("http://a.example/{rest}")).unwrap();
            let once = without(url, &names());
            prop_assert_eq!(&CanonicalUrl::parse(once.as_str()).unwrap(), &once);
            prop_assert_eq!(without(once.clone(), &names()), once);
        }
    }
}
