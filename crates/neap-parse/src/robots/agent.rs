//! Whom does a `user-agent` line address?

/// The name by which robots files address a crawler: the letters, `_` and `-` that its `User-Agent`
/// begins with (RFC 9309, section 2.2.1). `neap/0.1 (+https://…)` gives `neap`.
pub fn product_token(user_agent: &str) -> &str {
    let is_name = |c: char| c.is_ascii_alphabetic() || matches!(c, '_' | '-');
    &user_agent[..user_agent.find(|c| !is_name(c)).unwrap_or(user_agent.len())]
}

/// Whether the line addresses all crawlers: `*`, whatever follows it unless that makes it a word.
pub(super) fn is_everyone(value: &[u8]) -> bool {
    value.first() == Some(&b'*')
        && !value
            .get(1)
            .is_some_and(|c| c.is_ascii_alphanumeric() || matches!(c, b'_' | b'-'))
}

/// Whether the line addresses the crawler with this product token, in any case.
///
/// Only the first name on the line counts, and it ends where a product token ends, so `Neap/1.0` and
/// `neap bot` address `neap`. A first word that equals the token as a whole is taken as well: names
/// with digits are common though they are no product tokens by the RFC.
pub(super) fn is_named(value: &[u8], token: &str) -> bool {
    let token_end = |c: &u8| !(c.is_ascii_alphabetic() || matches!(c, b'_' | b'-'));
    let word_end = |c: &u8| c.is_ascii_whitespace() || *c == b'/';
    let until =
        |end: &dyn Fn(&u8) -> bool| &value[..value.iter().position(end).unwrap_or(value.len())];
    !token.is_empty()
        && (until(&token_end).eq_ignore_ascii_case(token.as_bytes())
            || until(&word_end).eq_ignore_ascii_case(token.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_product_token_is_the_name_before_the_version() {
        for (user_agent, token) in [
            ("neap/0.1 (+https://neap.example)", "neap"),
            ("Mozilla/5.0 (compatible; neap)", "Mozilla"),
            ("my_shop-Bot", "my_shop-Bot"),
            ("bot42/1", "bot"),
            ("42", ""),
            ("ümlaut", ""),
            ("", ""),
        ] {
            assert_eq!(product_token(user_agent), token, "{user_agent}");
        }
    }

    #[test]
    fn a_line_addresses_one_crawler_or_all() {
        for (value, token, named) in [
            ("neap", "neap", true),
            ("NEAP", "neap", true),
            ("neap/1.0", "neap", true),
            ("neap bot", "neap", true),
            ("neap<BR>", "neap", true),
            ("neap-news", "neap", false),
            ("neapolitan", "neap", false),
            ("the neap", "neap", false),
            ("bot42", "bot42", true),
            ("bot42", "bot43", false),
            ("", "neap", false),
            ("", "", false),
            ("*", "neap", false),
        ] {
            assert_eq!(is_named(value.as_bytes(), token), named, "{value} {token}");
        }
        for (value, everyone) in [
            ("*", true),
            ("* all", true),
            ("*<BR>", true),
            ("*bot", false),
            ("", false),
            ("a*", false),
        ] {
            assert_eq!(is_everyone(value.as_bytes()), everyone, "{value}");
        }
    }
}
