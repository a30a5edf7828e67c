//! What proxy does a text with `${env:NAME}` in it stand for?
//!
//! Where a reference stands for a user name or a password, the variable holds it as it is: a password of
//! `p@ss/word` needs no `%40` and `%2F`. Anywhere else the variable holds a part of the proxy, or the whole
//! of it, as [`Egress::parse`] reads it: `${env:https_proxy}` is the environment's proxy.

use neap_core::job::{Reference, Template};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::{Egress, ProxyError};

/// What need not be written as `%XX` in a user name or password (RFC 3986, section 2.3).
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// What a reference begins with.
const REFERENCE: &str = "${env:";

/// A text stands for no proxy. The messages repeat no part of it that could be secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// It names a variable of which nothing is known.
    #[error("the environment variable {0} is not set")]
    NotSet(String),
    /// A `${` in it begins something else.
    #[error(
        "`${{` does not begin a reference: write ${{env:NAME}} with a NAME of A-Z, a-z, 0-9 and _"
    )]
    Reference,
    /// With all variables in their places it is no proxy.
    #[error(transparent)]
    Proxy(#[from] ProxyError),
}

impl Egress {
    /// The proxy, with each `${env:NAME}` replaced by what `lookup` says. Where one stands for user name
    /// and password together, a colon parts the two.
    ///
    /// # Errors
    /// A `${` begins no reference, `lookup` knows nothing of a variable, or the result is no proxy.
    pub fn resolve(
        template: &Template,
        lookup: impl Fn(&str) -> Option<String>,
    ) -> Result<Egress, TemplateError> {
        let text = template.0.as_str();
        if !are_whole(text) {
            return Err(TemplateError::Reference);
        }
        let with = |part: &str, lookup: &dyn Fn(&str) -> Option<String>| {
            let part = Template(part.to_owned());
            let of_variable = |reference: Reference<'_>| match reference {
                Reference::Env(name) => lookup(name),
                // `are_whole` let none pass.
                Reference::File(_) => None,
            };
            part.resolve(of_variable).map_err(TemplateError::NotSet)
        };
        let Some(login) = Login::of(text) else {
            return Ok(Egress::parse(&with(text, &lookup)?)?);
        };
        let escaped = |text: &str| utf8_percent_encode(text, ESCAPED).to_string();
        let of_part = |name: &str| lookup(name).map(|value| escaped(&value));
        let of_both = |name: &str| {
            lookup(name).map(|value| match value.split_once(':') {
                Some((user, password)) => format!("{}:{}", escaped(user), escaped(password)),
                None => escaped(&value),
            })
        };
        let (before, after) = (with(login.before, &lookup)?, with(login.after, &lookup)?);
        let told = match login.password {
            None => with(login.user, &of_both)?,
            Some(password) => {
                format!(
                    "{}:{}",
                    with(login.user, &of_part)?,
                    with(password, &of_part)?
                )
            }
        };
        Ok(Egress::parse(&format!("{before}{told}@{after}"))?)
    }

    /// Whether a user name or a password stands in it that no reference is a part of.
    pub fn has_literal_login(template: &Template) -> bool {
        let is_literal = |part: &str| !part.is_empty() && !part.contains(REFERENCE);
        Login::of(&template.0)
            .is_some_and(|login| is_literal(login.user) || login.password.is_some_and(is_literal))
    }
}

/// A text with a user name, taken apart.
struct Login<'a> {
    /// Scheme and `://`.
    before: &'a str,
    user: &'a str,
    password: Option<&'a str>,
    /// What follows the `@`.
    after: &'a str,
}

impl<'a> Login<'a> {
    /// `None` if there is no `@`.
    fn of(text: &'a str) -> Option<Login<'a>> {
        let marks = without_references(text);
        let begin = marks.find("://").map_or(0, |at| at + 3);
        let end = begin + marks[begin..].rfind('@')?;
        let colon = marks[begin..end].find(':').map(|at| begin + at);
        Some(Login {
            before: &text[..begin],
            user: &text[begin..colon.unwrap_or(end)],
            password: colon.map(|at| &text[at + 1..end]),
            after: &text[end + 1..],
        })
    }
}

/// Whether every `${` begins a whole reference.
fn are_whole(text: &str) -> bool {
    let is_name = |name: &str| {
        let is_known = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        !name.is_empty() && name.bytes().all(is_known)
    };
    text.split("${").skip(1).all(|after| {
        let name = after
            .strip_prefix("env:")
            .and_then(|after| after.split_once('}'));
        name.is_some_and(|(name, _)| is_name(name))
    })
}

/// The text with blanks in place of its references, so that every offset stays and their colons do not
/// count.
fn without_references(text: &str) -> String {
    let mut marks = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(REFERENCE) {
        let length = rest[at..].find('}').map_or(rest.len() - at, |end| end + 1);
        marks.push_str(&rest[..at]);
        marks.extend(std::iter::repeat_n(' ', length));
        rest = &rest[at + length..];
    }
    marks.push_str(rest);
    marks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup(name: &str) -> Option<String> {
        let known = [
            ("USER", "ann"),
            ("PASS", "p@ss:w/%23#"),
            ("LOGIN", "ann:p@ss:w/%23#"),
            ("HOST", "p.example"),
            ("https_proxy", "http://ann:p%40ss@p.example:3128"),
            ("NO_PORT", "p.example:hunter2"),
            ("WITH_BREAK", "x\n"),
            ("EMPTY", ""),
        ];
        let found = known.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| (*value).to_owned())
    }

    fn resolve(text: &str) -> Result<Egress, TemplateError> {
        Egress::resolve(&Template(text.to_owned()), lookup)
    }

    #[test]
    fn references_stand_for_what_they_hold() {
        for (text, as_url) in [
            ("http://p.example:1", "http://p.example:1"),
            ("http://a%40b:c@p.example:1", "http://a%40b:c@p.example:1"),
            (
                "http://${env:USER}:${env:PASS}@p.example:1",
                "http://ann:p%40ss%3Aw%2F%2523%23@p.example:1",
            ),
            (
                "socks5h://${env:LOGIN}@p.example:1",
                "socks5h://ann:p%40ss%3Aw%2F%2523%23@p.example:1",
            ),
            (
                "${env:USER}-country-gb:${env:PASS}_x@${env:HOST}:1",
                "http://ann-country-gb:p%40ss%3Aw%2F%2523%23_x@p.example:1",
            ),
            ("http://${env:USER}@p.example:1", "http://ann@p.example:1"),
            ("http://u:${env:EMPTY}@p.example:1", "http://u@p.example:1"),
            ("${env:https_proxy}", "http://ann:p%40ss@p.example:3128"),
            ("https://${env:HOST}", "https://p.example:443"),
            ("${env:WITH_BREAK}", "http://x:80"),
        ] {
            let expected = Egress::parse(as_url).unwrap();
            assert!(resolve(text) == Ok(expected), "{text} is not {as_url}");
        }
    }

    #[test]
    fn what_is_missing_or_wrong_is_told_without_what_the_variables_hold() {
        for (text, part) in [
            ("${env:NOT_THERE}", "variable NOT_THERE is not set"),
            (
                "http://${env:USER}:${env:GONE}@h:1",
                "variable GONE is not set",
            ),
            ("http://ann@${env:GONE}:1", "variable GONE is not set"),
            ("http://${env:NO_PORT}", "no number of a port"),
            ("${env:EMPTY}", "is empty"),
            ("${env:HOST", "does not begin a reference"),
            (
                "http://${env:USER:hunter2@h:1",
                "does not begin a reference",
            ),
            (
                "http://${env:USER:hunter2@h}:1",
                "does not begin a reference",
            ),
            ("http://${USER}:hunter2@h:1", "does not begin a reference"),
            ("http://${env:}:hunter2@h:1", "does not begin a reference"),
            ("http://${file:hunter2}@h:1", "does not begin a reference"),
            ("http://${env:PASS}@", "no host"),
        ] {
            let error = resolve(text).expect_err(text);
            let told = format!("{error} {error:?}");
            assert!(told.contains(part), "{text}: {told}");
            assert!(
                !told.contains("hunter2") && !told.contains("p@ss"),
                "{told}"
            );
        }
    }

    proptest::proptest! {
        #[test]
        fn no_error_repeats_what_was_written_or_what_a_variable_holds(
            parts in proptest::collection::vec(
                proptest::sample::select(vec![
                    "hunter-2", "${env:SECRET}", "${env:GONE}", "${env:", "${", "}", "http://", "socks5://",
                    "://", ":", "@", "/", "#", "?", "%", "[", "]", "p.example", "8080", " ", "é",
                ]),
                0..12,
            ),
        ) {
            let template = Template(parts.concat());
            let known = |name: &str| (name == "SECRET").then(|| "hunter-2:/#".to_owned());
            if let Err(error) = Egress::resolve(&template, known) {
                let told = format!("{error} {error:?}");
                proptest::prop_assert!(!told.contains("hunter-2"), "{}: {told}", template.0);
            }
        }
    }

    #[test]
    fn a_login_that_no_variable_is_a_part_of_is_noticed() {
        for (text, is_literal) in [
            ("direct", false),
            ("http://p.example:1", false),
            ("${env:https_proxy}", false),
            ("http://${env:U}:${env:P}@h:1", false),
            ("http://${env:U}@h:1", false),
            ("http://${env:U}-session-1:${env:P}_gb@h:1", false),
            ("http://:${env:P}@h:1", false),
            ("http://ann@h:1", true),
            ("ann:${env:P}@h:1", true),
            ("http://${env:U}:hunter2@h:1", true),
            ("http://${env:U}:p@ss@h:1", true),
            ("http://a/b#c@h:1", true),
        ] {
            let found = Egress::has_literal_login(&Template(text.to_owned()));
            assert_eq!(found, is_literal, "{text}");
        }
    }
}
