//! Does a rule's path match the path of a URL?
//!
//! Both sides are brought into one spelling first, so that comparing bytes is right (RFC 9309,
//! section 2.2.2): escapes of unreserved characters are decoded, those of reserved ones kept, and
//! everything else is escaped. `*` and `$` are special in a rule only (2.2.3), so a `*` or `$` that a
//! URL contains is spelled `%2A` or `%24`, which is also how a rule must write it to mean it.
//!
//! A rule is then literals with `*` between them. The leftmost place of each literal after the one
//! before is always good enough, so matching never goes back: it reads the path once and the rule
//! once, however many `*` there are.

use std::fmt::Write as _;

use memchr::memmem;
use url::Url;

/// What [`push_rule`] has written.
pub(super) struct Pushed {
    /// How specific the rule is: its length in octets, runs of `*` counted in full.
    pub(super) priority: u32,
}

/// Appends the canonical spelling of a rule's path: ASCII, no `*` beside another, `$` only at the end.
pub(super) fn push_rule(value: &[u8], out: &mut String) -> Pushed {
    let start = out.len();
    let mut uncounted = 0;
    let mut last_was_star = false;
    for (at, unit) in units(value) {
        let is_star = unit == Unit::Plain(b'*');
        match unit {
            Unit::Plain(b'*') if last_was_star => uncounted += 1,
            Unit::Plain(b'$') if at + 1 < value.len() => {
                out.push_str("%24");
                uncounted -= 2;
            }
            Unit::Plain(byte) => out.push(char::from(byte)),
            Unit::Escaped(byte) => push_escape(byte, out),
        }
        last_was_star = is_star;
    }
    let length = i64::try_from(out.len() - start).unwrap_or(i64::MAX) + uncounted;
    Pushed {
        priority: u32::try_from(length).unwrap_or(u32::MAX),
    }
}

/// The canonical spelling of a URL's path and query.
pub(super) fn path_of(url: &Url) -> String {
    let mut out = String::with_capacity(url.path().len() + url.query().map_or(0, |q| q.len() + 1));
    push_path(url.path().as_bytes(), &mut out);
    if let Some(query) = url.query() {
        out.push('?');
        push_path(query.as_bytes(), &mut out);
    }
    out
}

fn push_path(part: &[u8], out: &mut String) {
    for (_, unit) in units(part) {
        match unit {
            Unit::Plain(byte @ (b'*' | b'$')) | Unit::Escaped(byte) => push_escape(byte, out),
            Unit::Plain(byte) => out.push(char::from(byte)),
        }
    }
}

/// How a match ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Walk {
    /// Whether the rule matches.
    pub(super) is_match: bool,
    /// Literals looked for; each was looked for once, in what the earlier ones had left of the path.
    pub(super) literals: usize,
}

/// Matches a rule in its canonical spelling against the start of a path in its own.
pub(super) fn walk(rule: &str, path: &str) -> Walk {
    let (rule, is_anchored) = match rule.strip_suffix('$') {
        Some(rule) => (rule, true),
        None => (rule, false),
    };
    let mut parts = rule.split('*').peekable();
    let first = parts.next().unwrap_or_default();
    let mut literals = 1;
    let Some(mut rest) = path.strip_prefix(first) else {
        return Walk {
            is_match: false,
            literals,
        };
    };
    if parts.peek().is_none() {
        return Walk {
            is_match: !is_anchored || rest.is_empty(),
            literals,
        };
    }
    while let Some(literal) = parts.next() {
        literals += 1;
        if is_anchored && parts.peek().is_none() {
            return Walk {
                is_match: rest.ends_with(literal),
                literals,
            };
        }
        let Some(at) = memmem::find(rest.as_bytes(), literal.as_bytes()) else {
            return Walk {
                is_match: false,
                literals,
            };
        };
        rest = &rest[at + literal.len()..];
    }
    Walk {
        is_match: true,
        literals,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    /// Stands for itself.
    Plain(u8),
    /// Must be percent-encoded.
    Escaped(u8),
}

/// The characters of a path and where each begins, in their canonical spelling.
fn units(part: &[u8]) -> impl Iterator<Item = (usize, Unit)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at;
        let byte = *part.get(at)?;
        if byte == b'%'
            && let Some(decoded) = escaped_byte(&part[at..])
        {
            at += 3;
            let unit = if is_unreserved(decoded) {
                Unit::Plain(decoded)
            } else {
                Unit::Escaped(decoded)
            };
            return Some((start, unit));
        }
        at += 1;
        // A `%` that escapes nothing stays, on both sides.
        let unit = if is_unreserved(byte) || is_reserved(byte) || byte == b'%' {
            Unit::Plain(byte)
        } else {
            Unit::Escaped(byte)
        };
        Some((start, unit))
    })
}

fn escaped_byte(text: &[u8]) -> Option<u8> {
    let digit = |at: usize| char::from(*text.get(at)?).to_digit(16);
    u8::try_from(digit(1)? * 16 + digit(2)?).ok()
}

/// RFC 3986, section 2.3.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// RFC 3986, section 2.2, without `'`: URL parsers write it as `%27` in a query, so a rule could
/// never match it if both spellings were not one.
fn is_reserved(byte: u8) -> bool {
    b":/?#[]@!$&()*+,;=".contains(&byte)
}

fn push_escape(byte: u8, out: &mut String) {
    write!(out, "%{byte:02X}").expect("writing to a string does not fail");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rule(value: &str) -> String {
        let mut out = String::new();
        push_rule(value.as_bytes(), &mut out);
        out
    }

    fn is_match(value: &str, path: &str) -> bool {
        let url = Url::parse(&format!("http://a.example{path}")).unwrap();
        walk(&rule(value), &path_of(&url)).is_match
    }

    #[test]
    fn rules_match_as_the_rfc_and_googles_documentation_say() {
        for (value, path, expected) in [
            ("/fish", "/fish", true),
            ("/fish", "/fish.html", true),
            ("/fish", "/Fish", false),
            ("/fish", "/catfish", false),
            ("/fish/", "/fish", false),
            ("/fish*", "/fishheads/yummy.html", true),
            ("/*.php", "/index?f=filename.php/", true),
            ("/*.php", "/windows.PHP", false),
            ("/*.php$", "/folder/filename.php", true),
            ("/*.php$", "/filename.php?parameters", false),
            ("/*.php$", "/a.php/b.php", true),
            ("/fish*.php", "/fishheads/catfish.php?parameters", true),
            ("/a*b*c", "/a-c-b-c", true),
            ("/a*b*c", "/a-c-b", false),
            ("/a*$", "/abc", true),
            ("/$", "/", true),
            ("/$", "/x", false),
            ("/ab*ab$", "/ab", false),
            ("/ab*ab$", "/abab", true),
            ("*.gif$", "/x/y.gif", true),
            ("*", "/", true),
            ("fish", "/fish", false),
        ] {
            assert_eq!(is_match(value, path), expected, "{value} on {path}");
        }
    }

    #[test]
    fn every_spelling_of_a_character_is_the_same_character() {
        for (value, path, expected) in [
            ("/b\u{fc}cher", "/b%C3%BCcher", true),
            ("/b%c3%bccher", "/b\u{fc}cher", true),
            ("/%62%61%7A", "/baz", true),
            ("/baz", "/%62%61%7a", true),
            ("/a%2Fb", "/a/b", false),
            ("/a%2fb", "/a%2Fb", true),
            ("/a b", "/a%20b", true),
            ("/?q='x'", "/?q='x'", true),
            ("/100%", "/100%", true),
            ("/%3G", "/%3G", true),
            ("/x-%2A.html", "/x-*.html", true),
            ("/x-%2A.html", "/x-y.html", false),
            ("/x-%24", "/x-$", true),
            ("/x-$y", "/x-$y", true),
            ("/x-$y", "/x-", false),
        ] {
            assert_eq!(is_match(value, path), expected, "{value} on {path}");
        }
    }

    #[test]
    fn a_rule_weighs_its_canonical_length_with_every_star() {
        for (value, priority) in [
            ("/", 1),
            ("/a**b", 5),
            ("/a$", 3),
            ("/$a", 3),
            ("/%62", 2),
            ("/ü", 7),
        ] {
            let mut out = String::new();
            assert_eq!(
                push_rule(value.as_bytes(), &mut out).priority,
                priority,
                "{value}"
            );
        }
    }

    #[test]
    fn a_hundred_thousand_stars_are_one() {
        let stars = format!("/{}x$", "*".repeat(100_000));
        assert_eq!(rule(&stars), "/*x$");
        let path = format!("/{}", "a".repeat(4096));
        assert_eq!(
            walk(&rule(&stars), &path),
            Walk {
                is_match: false,
                literals: 2
            }
        );
    }

    #[test]
    fn stars_between_letters_cost_one_search_each_and_none_goes_back() {
        // The worst case for matchers that keep every possible position or try them in turn.
        let value = format!("/{}b", "*a".repeat(50_000));
        let path = format!("/{}", "a".repeat(4096));
        let walk = walk(&rule(&value), &path);
        // Each `a` of the path is consumed by one literal, then the next literal is not found.
        assert_eq!(
            walk,
            Walk {
                is_match: false,
                literals: 1 + 4096 + 1
            }
        );
    }

    /// The definition itself: a `*` is any number of characters, tried in turn.
    fn reference(rule: &[u8], path: &[u8]) -> bool {
        match rule {
            [] => true,
            [b'$'] => path.is_empty(),
            [b'*', rest @ ..] => (0..=path.len()).any(|skipped| reference(rest, &path[skipped..])),
            [literal, rest @ ..] => path.first() == Some(literal) && reference(rest, &path[1..]),
        }
    }

    proptest! {
        #[test]
        fn the_matcher_agrees_with_the_definition(
            value in "/[ab*]{0,8}\\$?",
            path in "/[ab]{0,10}",
        ) {
            prop_assert_eq!(is_match(&value, &path), reference(value.as_bytes(), path.as_bytes()));
        }

        #[test]
        fn any_bytes_become_a_printable_rule(value in proptest::collection::vec(any::<u8>(), 0..64)) {
            let mut out = String::new();
            push_rule(&value, &mut out);
            prop_assert!(out.bytes().all(|byte| byte.is_ascii_graphic()), "{}", out);
        }
    }
}
