//! In which spellings are a rule's path and a request target compared?
//!
//! The same characters can be written in several ways, and matchers differ in which of them they
//! take for the same. Two readings count here:
//!
//! - [`Reading::Normalised`], that of RFC 9309, section 2.2.2: escapes of unreserved characters are
//!   decoded, those of reserved ones kept, and everything else is escaped. `*` and `$` are special in
//!   a rule only (2.2.3), so a `*` or `$` that a target contains is spelled `%2A` or `%24`, which is
//!   also how a rule must write it to mean it.
//! - [`Reading::AsWritten`], that of Google's matcher: what a rule writes without ASCII is escaped,
//!   and a target stands as it is sent. Only the escapes of the marks `-._~` are decoded, on both
//!   sides, because files and links have written `/%7Ename` for `/~name` since there are robots
//!   files.
//!
//! In both, the hexadecimal digits of an escape are in upper case. A rule that forbids needs the
//! first only, so no spelling of a target gets around it. A rule that allows needs both: it never
//! opens more than either reading does.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Which spellings are taken for the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// Those of the same character.
    Normalised,
    /// Those that are written alike, but for the marks.
    AsWritten,
}

/// What [`push_rule`] has written.
pub(super) struct Pushed {
    /// How specific the rule is: its length in octets, runs of `*` counted in full.
    pub(super) priority: u32,
}

/// Appends a rule's path: ASCII, no `*` beside another, `$` only where it stands for the end or for
/// itself.
pub(super) fn push_rule(value: &[u8], reading: Reading, out: &mut String) -> Pushed {
    let start = out.len();
    let mut uncounted = 0;
    let mut last_was_star = false;
    for (at, unit) in units(value, reading) {
        let is_star = unit == Unit::Plain(b'*');
        match unit {
            Unit::Plain(b'*') if last_was_star => uncounted += 1,
            Unit::Plain(b'$') if reading == Reading::Normalised && at + 1 < value.len() => {
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

/// A request target in both readings; the usual one is both as it stands, and costs no copy.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Target<'a> {
    pub(super) normalised: Cow<'a, str>,
    pub(super) as_written: Cow<'a, str>,
}

impl<'a> Target<'a> {
    pub(super) fn read(target: &'a str) -> Target<'a> {
        Target {
            normalised: normalised(target),
            as_written: as_written(target),
        }
    }

    /// Whether a rule that is the same in both readings can tell them apart.
    pub(super) fn differs(&self) -> bool {
        self.normalised != self.as_written
    }
}

fn normalised(target: &str) -> Cow<'_, str> {
    let is_special = |byte: u8| matches!(byte, b'*' | b'$');
    let stays = |byte: u8| is_unreserved(byte) || (is_reserved(byte) && !is_special(byte));
    if target.bytes().all(stays) {
        return Cow::Borrowed(target);
    }
    let mut out = String::with_capacity(target.len());
    for (_, unit) in units(target.as_bytes(), Reading::Normalised) {
        match unit {
            Unit::Plain(byte) if is_special(byte) => push_escape(byte, &mut out),
            Unit::Plain(byte) => out.push(char::from(byte)),
            Unit::Escaped(byte) => push_escape(byte, &mut out),
        }
    }
    Cow::Owned(out)
}

/// What is no ASCII stays as it is, and so matches nothing that a rule spells out.
fn as_written(target: &str) -> Cow<'_, str> {
    let Some(first) = target.find('%') else {
        return Cow::Borrowed(target);
    };
    let mut out = String::with_capacity(target.len());
    out.push_str(&target[..first]);
    for part in target[first + 1..].split('%') {
        let Some(byte) = escaped_byte(part.as_bytes()) else {
            out.push('%');
            out.push_str(part);
            continue;
        };
        if is_mark(byte) {
            out.push(char::from(byte));
        } else {
            push_escape(byte, &mut out);
        }
        out.push_str(&part[2..]);
    }
    Cow::Owned(out)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    /// Stands for itself.
    Plain(u8),
    /// Must be percent-encoded.
    Escaped(u8),
}

/// The characters of a path and where each begins.
fn units(part: &[u8], reading: Reading) -> impl Iterator<Item = (usize, Unit)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at;
        let byte = *part.get(at)?;
        at += 1;
        if byte == b'%'
            && let Some(decoded) = escaped_byte(&part[at..])
        {
            at += 2;
            let is_plain = match reading {
                Reading::Normalised => is_unreserved(decoded),
                Reading::AsWritten => is_mark(decoded),
            };
            return Some((start, unit(decoded, is_plain)));
        }
        let is_plain = match reading {
            // A `%` that escapes nothing stays, on both sides.
            Reading::Normalised => is_unreserved(byte) || is_reserved(byte) || byte == b'%',
            Reading::AsWritten => byte.is_ascii(),
        };
        Some((start, unit(byte, is_plain)))
    })
}

fn unit(byte: u8, is_plain: bool) -> Unit {
    if is_plain {
        Unit::Plain(byte)
    } else {
        Unit::Escaped(byte)
    }
}

/// What the two digits after a `%` stand for.
fn escaped_byte(digits: &[u8]) -> Option<u8> {
    let digit = |at: usize| char::from(*digits.get(at)?).to_digit(16);
    u8::try_from(digit(0)? * 16 + digit(1)?).ok()
}

/// RFC 3986, section 2.3.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || is_mark(byte)
}

/// The unreserved characters that are neither letters nor digits.
fn is_mark(byte: u8) -> bool {
    matches!(byte, b'-' | b'.' | b'_' | b'~')
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

    use super::super::pattern::walk;
    use super::*;

    fn rule(value: &[u8], reading: Reading) -> String {
        let mut out = String::new();
        push_rule(value, reading, &mut out);
        out
    }

    #[test]
    fn each_reading_has_its_own_idea_of_the_same() {
        // Rule, target, whether it matches normalised, whether it matches as written.
        for (value, target, normalised, as_written) in [
            ("/b\u{fc}cher", "/b%C3%BCcher", true, true),
            ("/b\u{fc}cher", "/b%c3%bccher", true, true),
            ("/b\u{fc}cher", "/b\u{fc}cher", true, false),
            ("/b%c3%bccher", "/b%C3%BCcher", true, true),
            ("/b*r", "/b\u{fc}cher", true, true),
            ("/%62%61%7A", "/baz", true, false),
            ("/%62%61%7A", "/%62%61%7a", true, true),
            ("/baz", "/%62%61%7a", true, false),
            ("/%7Ename", "/~name", true, true),
            ("/~name", "/%7ename", true, true),
            ("/%7Ename", "/%7ename", true, true),
            ("/a%2Eb%2D%5F", "/a.b-_", true, true),
            ("/a%2Fb", "/a/b", false, false),
            ("/a%2fb", "/a%2Fb", true, true),
            ("/a%2", "/a%2Fb", true, true),
            ("/a%6", "/a%62", false, true),
            ("/a b", "/a%20b", true, false),
            ("/?q='x'", "/?q='x'", true, true),
            ("/?q='x'", "/?q=%27x%27", true, false),
            ("/100%", "/100%", true, true),
            ("/100%", "/100%25", true, true),
            ("/%3G", "/%3G", true, true),
            ("/%\u{fc}", "/%%C3%BC", true, true),
            ("/x-%2A.html", "/x-*.html", true, false),
            ("/x-%2A.html", "/x-%2a.html", true, true),
            ("/x-%2A.html", "/x-y.html", false, false),
            ("/x-%24", "/x-$", true, false),
            ("/x-$y", "/x-$y", true, true),
            ("/x-$y", "/x-", false, false),
        ] {
            let read = Target::read(target);
            let found = (
                walk(
                    &rule(value.as_bytes(), Reading::Normalised),
                    &read.normalised,
                )
                .is_match,
                walk(
                    &rule(value.as_bytes(), Reading::AsWritten),
                    &read.as_written,
                )
                .is_match,
            );
            assert_eq!(found, (normalised, as_written), "{value} on {target}");
        }
    }

    #[test]
    fn a_rule_weighs_its_normalised_length_with_every_star() {
        for (value, priority) in [
            ("/", 1),
            ("/a**b", 5),
            ("/a$", 3),
            ("/$a", 3),
            ("/%62", 2),
            ("/ü", 7),
        ] {
            let mut out = String::new();
            let pushed = push_rule(value.as_bytes(), Reading::Normalised, &mut out);
            assert_eq!(pushed.priority, priority, "{value}");
        }
    }

    #[test]
    fn the_usual_target_is_not_copied() {
        let usual = Target::read("/shop/a-b_c.html?page=2&sort=up");
        assert!(!usual.differs());
        let is_borrowed = |text: &Cow<'_, str>| matches!(text, Cow::Borrowed(_));
        assert!(is_borrowed(&usual.normalised) && is_borrowed(&usual.as_written));
        for other in ["/%62", "/\u{fc}", "/*", "/$"] {
            assert!(Target::read(other).differs(), "{other}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_become_a_rule_of_ascii(value in proptest::collection::vec(any::<u8>(), 0..64)) {
            let normalised = rule(&value, Reading::Normalised);
            prop_assert!(normalised.bytes().all(|byte| byte.is_ascii_graphic()), "{}", normalised);
            prop_assert!(rule(&value, Reading::AsWritten).is_ascii());
        }

        #[test]
        fn a_target_without_special_characters_is_read_like_a_rule(target in "/([a~%]|%2F|%7e|ü){0,8}") {
            let read = Target::read(&target);
            prop_assert_eq!(&rule(target.as_bytes(), Reading::Normalised), &read.normalised);
            if target.is_ascii() {
                prop_assert_eq!(&rule(target.as_bytes(), Reading::AsWritten), &read.as_written);
            }
        }
    }
}
