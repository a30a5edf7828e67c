//! Does a rule's path match a request target?
//!
//! Both are in one [`spelling`](super::spelling) by then, so comparing bytes is right. A rule is
//! literals with `*` between them. The leftmost place of each literal after the one before is always
//! good enough, so matching never goes back: it reads the target once and the rule once, however
//! many `*` there are.

use memchr::memmem;

/// How a match ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Walk {
    /// Whether the rule matches.
    pub(super) is_match: bool,
    /// Literals looked for; each was looked for once, in what the earlier ones had left of the target.
    pub(super) literals: usize,
}

/// Matches a rule against the start of a target of the same spelling.
pub(super) fn walk(rule: &str, target: &str) -> Walk {
    let (rule, is_anchored) = match rule.strip_suffix('$') {
        Some(rule) => (rule, true),
        None => (rule, false),
    };
    let mut parts = rule.split('*').peekable();
    let first = parts.next().unwrap_or_default();
    let mut literals = 1;
    let Some(mut rest) = target.strip_prefix(first) else {
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::spelling::{Reading, Target, push_rule};
    use super::*;

    fn rule(value: &str) -> String {
        let mut out = String::new();
        push_rule(value.as_bytes(), Reading::Normalised, &mut out);
        out
    }

    fn is_match(value: &str, target: &str) -> bool {
        walk(&rule(value), &Target::read(target).normalised).is_match
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
    fn a_hundred_thousand_stars_are_one() {
        let stars = format!("/{}x$", "*".repeat(100_000));
        assert_eq!(rule(&stars), "/*x$");
        let target = format!("/{}", "a".repeat(4096));
        assert_eq!(
            walk(&rule(&stars), &target),
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
        let target = format!("/{}", "a".repeat(4096));
        let walk = walk(&rule(&value), &target);
        // Each `a` of the target is consumed by one literal, then the next literal is not found.
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
    }
}
