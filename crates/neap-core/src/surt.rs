//! Under which key do web archives file a URL?
//!
//! The "Sort-friendly URI Reordering Transform" as the Python module `surt` 0.3.1 does it, which pywb and
//! cdxj-indexer use: host reversed, `www.` and scheme gone, everything in lower case, session numbers
//! and empty queries dropped, query sorted. A key that differs in one byte is one that pywb never finds, so
//! its oddities are kept: escapes are undone until none is left, and `/..` stays at the top.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::bytes::Regex;
use url::Url;

/// Characters that stay as they are, beside letters and digits.
const SAFE: &[u8] = b"_.-~!\"$&'()*+,/:;<=>?@[\\]^`{|}";

/// The SURT key of an `http` or `https` URL, such as `com,example)/path?a=1`.
pub fn surt(url: &Url) -> String {
    let mut key = host_key(url.host_str().unwrap_or_default());
    if let Some(port) = url.port() {
        key.push_str(&format!(":{port}"));
    }
    key.push(')');
    key.push_str(&path_key(url.path()));
    let query = query_key(url.query().unwrap_or_default());
    if !query.is_empty() {
        key.push('?');
        key.push_str(&query);
    }
    key
}

fn host_key(host: &str) -> String {
    let host = host.trim_matches(['[', ']']).to_ascii_lowercase();
    let host = host.replace("..", ".");
    let host = host.trim_matches('.');
    let digits = host.strip_prefix("www").unwrap_or_default();
    let bare = digits.trim_start_matches(|c: char| c.is_ascii_digit());
    let host = bare.strip_prefix('.').unwrap_or(host);
    let parts: Vec<&str> = host.rsplit('.').collect();
    parts.join(",")
}

static PATH_SESSIONS: LazyLock<[Regex; 2]> = LazyLock::new(|| {
    [
        r"(?i-u)^(.*/)\((?:[a-z]\([0-9a-z]{24}\))+\)/([^?]+\.aspx.*)$",
        r"(?i-u)^(.*/)\([0-9a-z]{24}\)/([^?]+\.aspx.*)$",
    ]
    .map(|pattern| Regex::new(pattern).expect("a pattern that a test compiles"))
});

fn path_key(path: &str) -> String {
    let path = normal_path(&unescaped(path.as_bytes()));
    let mut path = escaped(&path).to_ascii_lowercase().into_bytes();
    for pattern in PATH_SESSIONS.iter() {
        path = without(pattern, path);
    }
    if path.len() > 1 && path.ends_with(b"/") {
        path.pop();
    }
    String::from_utf8_lossy(&path).into_owned()
}

/// Segments without empty ones, `.` and `..`, except that the last may be empty and `..` at the top stays.
fn normal_path(path: &[u8]) -> Vec<u8> {
    let mut kept: Vec<&[u8]> = Vec::new();
    for part in path.split(|byte| *byte == b'/').skip(1) {
        match part {
            b"." => {}
            b".." if !kept.is_empty() => {
                kept.pop();
            }
            _ => kept.push(part),
        }
    }
    let mut normal = b"/".to_vec();
    let Some((last, before)) = kept.split_last() else {
        return normal;
    };
    for part in before.iter().filter(|part| !part.is_empty()) {
        normal.extend_from_slice(part);
        normal.push(b'/');
    }
    normal.extend_from_slice(last);
    normal
}

static QUERY_SESSIONS: LazyLock<[Regex; 5]> = LazyLock::new(|| {
    [
        r"(?i-u)^(.*)(?:jsessionid=[0-9a-zA-Z]{32})(?:&(.*))?$",
        r"(?i-u)^(.*)(?:phpsessid=[0-9a-zA-Z]{32})(?:&(.*))?$",
        r"(?i-u)^(.*)(?:sid=[0-9a-zA-Z]{32})(?:&(.*))?$",
        r"(?i-u)^(.*)(?:ASPSESSIONID[a-zA-Z]{8}=[a-zA-Z]{24})(?:&(.*))?$",
        r"(?i-u)^(.*)(?:cfid=[^&]+&cftoken=[^&]+)(?:&(.*))?$",
    ]
    .map(|pattern| Regex::new(pattern).expect("a pattern that a test compiles"))
});

fn query_key(query: &str) -> String {
    if query.is_empty() {
        return String::new();
    }
    let mut query = escaped(&unescaped(query.as_bytes())).into_bytes();
    for pattern in QUERY_SESSIONS.iter() {
        query = without(pattern, query);
    }
    let query = String::from_utf8_lossy(&query).to_ascii_lowercase();
    if query.len() <= 1 {
        return query;
    }
    // By name, then a name without a value before one with, then by value.
    let mut arguments: Vec<(&str, Option<&str>)> = query
        .split('&')
        .map(|argument| match argument.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (argument, None),
        })
        .collect();
    arguments.sort_unstable();
    let written = arguments.iter().map(|(name, value)| match value {
        Some(value) => Cow::Owned(format!("{name}={value}")),
        None => Cow::Borrowed(*name),
    });
    written.collect::<Vec<_>>().join("&")
}

/// What is left when the middle of a match is taken out.
fn without(pattern: &Regex, text: Vec<u8>) -> Vec<u8> {
    let Some(found) = pattern.captures(&text) else {
        return text;
    };
    let group = |at| found.get(at).map_or(&b""[..], |group| group.as_bytes());
    [group(1), group(2)].concat()
}

/// Undoes escapes until none is left, in one pass: what an escape stands for may end another one.
fn unescaped(text: &[u8]) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let mut out: Vec<u8> = Vec::with_capacity(text.len());
    for &byte in text {
        out.push(byte);
        while let [.., b'%', high, low] = out[..]
            && let Some((high, low)) = digit(high).zip(digit(low))
        {
            out.truncate(out.len() - 3);
            out.push((high * 16 + low) as u8);
        }
    }
    out
}

fn escaped(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || SAFE.contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the Python module makes of each.
    const CASES: &[(&str, &str)] = &[
        ("http://www.Example.com/", "com,example)/"),
        (
            "https://example.com:8443/a//b/c/?b=2&a=1&a",
            "com,example:8443)/a/b/c?a&a=1&b=2",
        ),
        ("http://127.0.0.1:8080/x", "1,0,0,127:8080)/x"),
        ("http://[::1]:81/p", "::1:81)/p"),
        (
            "http://example.com/A%20B/%7Euser/?",
            "com,example)/a%20b/~user",
        ),
        (
            "http://www12.example.com/x/?q=%C3%A9&Z",
            "com,example)/x?q=%c3%a9&z",
        ),
        ("http://wwww.e.com/", "com,e,wwww)/"),
        (
            "http://e.com/?jsessionid=0123456789abcdef0123456789abcdef&x=1",
            "com,e)/?x=1",
        ),
        (
            "http://e.com/a/(s(abcdefghijklmnopqrstuvwx))/p.aspx?x",
            "com,e)/a/p.aspx?x",
        ),
        ("http://e.com/a%2523b", "com,e)/a%23b"),
        ("http://e.com/%252e%252e", "com,e)/.."),
        ("http://xn--e1afmkfd.example/x", "example,xn--e1afmkfd)/x"),
        (
            "http://e.com/?a=1&sid=0123456789abcdef0123456789abcdef",
            "com,e)/?&a=1",
        ),
        ("http://e.com/?=&&b", "com,e)/?&=&b"),
        ("http://e.com/%0A", "com,e)/%0a"),
        ("http://e.com/?x", "com,e)/?x"),
        ("http://e.com/a|b", "com,e)/a|b"),
        ("http://e.com/?CFID=1&CFTOKEN=2&z", "com,e)/?z"),
    ];

    /// Undoes each escape once.
    fn unescaped_once(text: &[u8]) -> Vec<u8> {
        let text = text
            .iter()
            .map(|byte| char::from(*byte))
            .collect::<String>();
        let once = regex::Regex::new("%([0-9a-fA-F]{2})").unwrap();
        let byte = |found: &regex::Captures<'_>| {
            let byte = u8::from_str_radix(&found[1], 16).unwrap();
            char::from(byte).to_string()
        };
        let text = once.replace_all(&text, byte).into_owned();
        text.chars().map(|c| c as u8).collect()
    }

    proptest::proptest! {
        #[test]
        fn escapes_of_escapes_end_where_undoing_them_one_by_one_ends(text in "[%%%%2345afA]{0,40}") {
            let mut expected = text.clone().into_bytes();
            loop {
                let once = unescaped_once(&expected);
                if once == expected {
                    break;
                }
                expected = once;
            }
            proptest::prop_assert_eq!(unescaped(text.as_bytes()), expected);
        }
    }

    #[test]
    fn keys_are_those_of_the_python_module() {
        for (url, key) in CASES {
            assert_eq!(surt(&Url::parse(url).unwrap()), *key, "{url}");
        }
    }
}
