//! What does a `Set-Cookie` say, and what does a file of cookies?
//!
//! The header is read as RFC 6265, section 5.2 reads it, which takes nearly everything; whether the host may say so
//! is [`neap_core::cookies`] to decide. Files are those that browsers and curl export (Netscape's `cookies.txt`).

use neap_core::UnixMs;
use neap_core::cookies::SetCookie;
use url::Url;

use crate::dates;

/// Most bytes of a `Set-Cookie` that are read: longer ones have a cookie that is refused for its length.
const MAX_LINE_BYTES: usize = 16 << 10;

/// Reads the value of a `Set-Cookie`; `None` if it has no name.
pub fn set_cookie(header: &str) -> Option<SetCookie> {
    if header.len() > MAX_LINE_BYTES {
        return None;
    }
    let mut parts = header.split(';');
    let (name, value) = parts.next()?.split_once('=')?;
    let (name, value) = (trim(name), trim(value));
    if name.is_empty() {
        return None;
    }
    let mut cookie = SetCookie {
        name: name.to_owned(),
        value: value.to_owned(),
        ..SetCookie::default()
    };
    for part in parts {
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        attribute(&mut cookie, &trim(key).to_ascii_lowercase(), trim(value));
    }
    Some(cookie)
}

/// The last attribute of a name counts; one that says nothing is as if it were not there.
fn attribute(cookie: &mut SetCookie, key: &str, value: &str) {
    match key {
        "expires" => cookie.expires = dates::any_form(value).or(cookie.expires),
        "max-age" => cookie.max_age = seconds(value).or(cookie.max_age),
        "domain" if !value.is_empty() => cookie.domain = Some(value.to_owned()),
        "path" => cookie.path = Some(value.to_owned()),
        "secure" => cookie.is_secure = true,
        _ => {}
    }
}

/// RFC 6265, section 5.2.2: a sign and digits alone. What is too large is as long as can be.
fn seconds(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let most = match text.starts_with('-') {
        true => i64::MIN,
        false => i64::MAX,
    };
    Some(text.parse().unwrap_or(most))
}

fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

/// Why a line of a file is no cookie. Nothing of the line is repeated: it may be a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineError {
    /// It has not seven fields, parted by tabs.
    Fields,
    /// Its domain is no name of a host.
    Domain,
    /// Its second or fourth field is neither `TRUE` nor `FALSE`.
    Flag,
    /// Its time is no number of seconds.
    Time,
}

impl LineError {
    /// Why, in words.
    pub fn as_str(self) -> &'static str {
        match self {
            LineError::Fields => "a cookie has seven fields, parted by tabs",
            LineError::Domain => "the first field is no name of a host",
            LineError::Flag => "the second and the fourth field are TRUE or FALSE",
            LineError::Time => "the fifth field is a time in seconds since 1970",
        }
    }
}

/// Reads a line of a file: the URL that may set the cookie, and the cookie; `None` for blanks and comments.
///
/// # Errors
/// What is wrong with it.
pub fn line(line: &str) -> Result<Option<(Url, SetCookie)>, LineError> {
    // curl and browsers mark cookies that no script sees like this.
    let line = line.strip_prefix("#HttpOnly_").unwrap_or(line);
    if line.trim().is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let fields: Vec<&str> = line.split('\t').collect();
    let (domain, is_wide, path, is_secure, until, name, value) = match fields[..] {
        [domain, wide, path, secure, until, name, value] => {
            (domain, wide, path, secure, until, name, value)
        }
        // An empty value at the end is often left out.
        [domain, wide, path, secure, until, name] => (domain, wide, path, secure, until, name, ""),
        _ => return Err(LineError::Fields),
    };
    let (is_wide, is_secure) = (flag(is_wide)?, flag(is_secure)?);
    let seconds: i64 = until.trim().parse().map_err(|_| LineError::Time)?;
    let host = domain.strip_prefix('.').unwrap_or(domain);
    // The cookie is as its host itself would have set it; only `https` may set what is secure.
    let url = Url::parse(&format!("https://{host}/")).map_err(|_| LineError::Domain)?;
    if url
        .host_str()
        .is_none_or(|name| !name.eq_ignore_ascii_case(host))
    {
        return Err(LineError::Domain);
    }
    let cookie = SetCookie {
        name: name.to_owned(),
        value: value.to_owned(),
        max_age: None,
        // Zero stands for the end of the session.
        expires: (seconds != 0).then(|| UnixMs(seconds.saturating_mul(1000))),
        domain: is_wide.then(|| host.to_owned()),
        path: Some(path.to_owned()),
        is_secure,
    };
    Ok(Some((url, cookie)))
}

fn flag(text: &str) -> Result<bool, LineError> {
    match text {
        "TRUE" => Ok(true),
        "FALSE" => Ok(false),
        _ => Err(LineError::Flag),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_taken_apart() {
        for (header, name, value) in [
            ("a=1", "a", "1"),
            (" a = 1 ; Path=/", "a", "1"),
            ("a=b=c", "a", "b=c"),
            ("a=", "a", ""),
            ("a=\"x y\"", "a", "\"x y\""),
        ] {
            let cookie = set_cookie(header).unwrap();
            assert_eq!(
                (cookie.name.as_str(), cookie.value.as_str()),
                (name, value),
                "{header}"
            );
        }
        for header in ["", "a", "=1", " =1", ";a=1"] {
            assert_eq!(set_cookie(header), None, "{header}");
        }
        assert_eq!(
            set_cookie(&format!("a={}", "x".repeat(MAX_LINE_BYTES))),
            None
        );
    }

    #[test]
    fn attributes_are_read_and_the_last_of_a_name_counts() {
        let cookie = set_cookie(
            "a=1; Domain=x.example; DOMAIN=.y.example; domain=; Path=/p; SECURE; HttpOnly; \
             expires=Thu, 01 Jan 1970 00:00:05 GMT; expires=soon; max-age=-3; max-age=x",
        );
        let cookie = cookie.unwrap();
        assert_eq!(cookie.domain.as_deref(), Some(".y.example"));
        assert_eq!(cookie.path.as_deref(), Some("/p"));
        assert_eq!(cookie.expires, Some(UnixMs(5_000)));
        assert_eq!(cookie.max_age, Some(-3));
        assert!(cookie.is_secure);
        for (text, expected) in [
            ("99999999999999999999", Some(i64::MAX)),
            ("-99999999999999999999", Some(i64::MIN)),
            ("+1", None),
            ("", None),
            ("-", None),
            ("1.5", None),
        ] {
            assert_eq!(seconds(text), expected, "{text}");
        }
    }

    #[test]
    fn lines_of_a_file() {
        for text in ["", "  ", "# Netscape HTTP Cookie File", "#\tx"] {
            assert_eq!(line(text), Ok(None), "{text}");
        }
        let (url, cookie) = line("#HttpOnly_.shop.example\tTRUE\t/a\tTRUE\t2000000000\tsid\tx y")
            .unwrap()
            .unwrap();
        assert_eq!(url.as_str(), "https://shop.example/");
        assert_eq!(cookie.domain.as_deref(), Some("shop.example"));
        assert_eq!(cookie.path.as_deref(), Some("/a"));
        assert_eq!(cookie.expires, Some(UnixMs(2_000_000_000_000)));
        assert_eq!(
            (cookie.name.as_str(), cookie.value.as_str()),
            ("sid", "x y")
        );
        let (_, session) = line("127.0.0.1\tFALSE\t/\tFALSE\t0\tsid").unwrap().unwrap();
        assert_eq!((session.domain, session.expires), (None, None));
        assert_eq!(session.value, "");
        for (text, error) in [
            ("shop.example FALSE / FALSE 0 a b", LineError::Fields),
            (
                "shop.example\tFALSE\t/\tFALSE\t0\ta\tb\tc",
                LineError::Fields,
            ),
            ("shop.example\tno\t/\tFALSE\t0\ta\tb", LineError::Flag),
            ("shop.example\tFALSE\t/\tFALSE\tsoon\ta\tb", LineError::Time),
            ("sh op\tFALSE\t/\tFALSE\t0\ta\tb", LineError::Domain),
            (
                "u@shop.example\tFALSE\t/\tFALSE\t0\ta\tb",
                LineError::Domain,
            ),
            (
                "shop.example/x\tFALSE\t/\tFALSE\t0\ta\tb",
                LineError::Domain,
            ),
            ("\tFALSE\t/\tFALSE\t0\ta\tb", LineError::Domain),
        ] {
            assert_eq!(line(text), Err(error), "{text}");
        }
    }
}
