//! What does a word in a job file mean: a duration, a size, a rate, a URL, a pattern?
//!
//! Each function reads the text of one value and complains in words that say what to write instead.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use bytesize::ByteSize;
use jiff::{Span, SpanRelativeTo};
use neap_core::Host;
use neap_core::bandwidth::LEAST_BYTES_PER_SECOND;
use neap_core::canonical::CanonicalUrl;
use neap_core::job::{Rate, StatusRange};
use neap_core::params::ParamName;
use neap_core::scope::Pattern;
use url::Url;

use super::problem::Complaint;
use crate::print::escape::{acts, for_terminal, quoted};

/// Longest `name` of a job or a pool, in characters; the store and file names are made for it.
const MAX_NAME: usize = 100;

/// Longest `description`, in bytes.
const MAX_DESCRIPTION: usize = 4096;

/// Longest `user_agent`, in bytes: many servers refuse a header line beyond 8 KiB, and some far less.
const MAX_USER_AGENT: usize = 512;

/// Longest name of a column, in bytes.
const MAX_COLUMN: usize = 200;

/// Longest path of a file, in bytes: Linux' PATH_MAX.
const MAX_PATH: usize = 4096;

/// Most requests of a rate; far above what a host is asked, and no rate's interval becomes zero.
const MAX_RATE: u32 = 1_000_000;

/// Reads `30s`, `5m`, `1h 30m` or `1d` (24 hours).
pub(super) fn duration(text: &str) -> Result<Duration, Complaint> {
    let advice = r#"write e.g. "30s", "5m", "1h 30m""#;
    let refuse = |why: &str| {
        let message = format!("`{}` is not a duration ({why}); {advice}", quoted(text));
        Err(Complaint::new(message))
    };
    let is_number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let span: Span = match text.parse() {
        Ok(span) => span,
        Err(_) if is_number => return refuse("the unit is missing"),
        Err(_) => return refuse("one is a number and a unit: ms, s, m, h or d"),
    };
    if span.is_negative() {
        return refuse("it is negative");
    }
    if span.get_years() != 0 || span.get_months() != 0 {
        return refuse("months and years differ in length");
    }
    let duration = span.to_duration(SpanRelativeTo::days_are_24_hours());
    match duration.map(Duration::try_from) {
        Ok(Ok(duration)) => Ok(duration),
        Ok(Err(error)) => refuse(&error.to_string()),
        Err(error) => refuse(&error.to_string()),
    }
}

/// Reads `4MiB`, `500 kB` or `4096`, in bytes.
pub(super) fn size(text: &str) -> Result<u64, Complaint> {
    text.trim()
        .parse()
        .map(|ByteSize(bytes)| bytes)
        .map_err(|_: String| {
            let message = format!("`{}` is not a size", quoted(text));
            Complaint::new(message).help(r#"write e.g. "512KiB", "4MiB", or a number of bytes"#)
        })
}

/// Reads `5/s`, `100/m` or `1000/h`.
pub(super) fn rate(text: &str) -> Result<Rate, Complaint> {
    let complaint = || {
        let message = format!("`{}` is not a rate", quoted(text));
        Complaint::new(message).help(format!(
            r#"write e.g. "5/s", "100/m", "1000/h"; 1 to {MAX_RATE} requests"#
        ))
    };
    let (requests, unit) = text.split_once('/').ok_or_else(complaint)?;
    let seconds = match unit.trim() {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return Err(complaint()),
    };
    let digits = requests.trim();
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    match digits.parse() {
        Ok(requests) if is_number && (1..=MAX_RATE).contains(&requests) => Ok(Rate {
            requests,
            per: Duration::from_secs(seconds),
        }),
        Ok(_) | Err(_) => Err(complaint()),
    }
}

/// Reads bytes a second: `5MiB/s`.
pub(super) fn bandwidth(text: &str) -> Result<u64, Complaint> {
    let complaint = || {
        let message = format!("`{}` is not a bandwidth", quoted(text));
        Complaint::new(message).help(r#"write e.g. "5MiB/s" or "500kB/s"; at least "1KiB/s""#)
    };
    let bytes = text.trim().strip_suffix("/s").ok_or_else(complaint)?;
    let bytes = size(bytes).map_err(|_| complaint())?;
    match bytes >= LEAST_BYTES_PER_SECOND {
        true => Ok(bytes),
        false => Err(complaint()),
    }
}

/// Reads an address of this machine.
pub(super) fn address(text: &str) -> Result<IpAddr, Complaint> {
    text.trim().parse().map_err(|_| {
        let message = format!("`{}` is no address", quoted(text));
        Complaint::new(message)
            .help(r#"write an address of this machine: "192.0.2.7" or "2001:db8::7""#)
    })
}

/// Reads the name of a file that is read when a run starts, and makes it one that means the same everywhere.
pub(super) fn file(text: &str, dir: &Path) -> Result<String, Complaint> {
    absolute(&path(text)?, dir)
}

/// Reads a share in percent, 0 to 100.
pub(super) fn percent(text: &str) -> Result<f64, Complaint> {
    let number = text.strip_suffix('%').map(str::trim);
    let is_plain = |text: &&str| {
        text.bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.')
    };
    let percent = number.filter(is_plain).and_then(|text| text.parse().ok());
    percent
        .filter(|percent| (0.0..=100.0).contains(percent))
        .ok_or_else(|| {
            let message = format!("`{}` is not a share", quoted(text));
            Complaint::new(message).help(r#"write e.g. "0.5%"; from 0 % to 100 %"#)
        })
}

/// Reads the address of a name server, with or without a port; without it is 53 (RFC 1035, section 4.2).
pub(super) fn name_server(text: &str) -> Result<SocketAddr, Complaint> {
    let with_port = text.parse().ok();
    let alone = || text.parse().ok().map(|ip: IpAddr| SocketAddr::new(ip, 53));
    with_port.or_else(alone).ok_or_else(|| {
        let message = format!("`{}` is not the address of a name server", quoted(text));
        Complaint::new(message)
            .help(r#"write e.g. "9.9.9.9", "127.0.0.1:5353", "[2620:fe::fe]:53""#)
    })
}

/// What a status looks like.
pub(super) const STATUS_HELP: &str = r#"write e.g. 404, or "2xx" for 200 to 299"#;

/// Reads a status or a class of them.
pub(super) fn status(text: &str) -> Result<StatusRange, Complaint> {
    StatusRange::parse(text).ok_or_else(|| {
        Complaint::new(format!("`{}` is not a status", quoted(text))).help(STATUS_HELP)
    })
}

/// Reads a URL to start from.
pub(super) fn input_url(text: &str) -> Result<CanonicalUrl, Complaint> {
    let url = CanonicalUrl::parse(text).map_err(|error| {
        let complaint = Complaint::new(error.to_string());
        match Url::parse(&format!("https://{text}")) {
            Ok(url) if !text.contains(':') && url.host_str().is_some_and(|h| h.contains('.')) => {
                complaint.help(format!("did you mean `https://{}`?", quoted(text)))
            }
            Ok(_) | Err(_) => complaint.help("write the whole URL, e.g. `https://example.org/`"),
        }
    })?;
    if has_credentials(text) {
        return Err(Complaint::new("a user name or password in a URL")
            .help("jobs are stored; give it to the host by itself, the password from the environment:\n[[identity.auth]]\norigin = \"https://shop.example\"\nuser = \"ann\"\npassword = \"${env:SHOP_PASSWORD}\"")
            .secret());
    }
    Ok(url)
}

/// Whether a URL carries a user name or a password, which its canonical form leaves out.
pub(super) fn has_credentials(url: &str) -> bool {
    Url::parse(url.trim()).is_ok_and(|url| !url.username().is_empty() || url.password().is_some())
}

/// Reads a name of `crawl.drop_params`.
pub(super) fn param_name(text: &str) -> Result<ParamName, Complaint> {
    ParamName::parse(text).map_err(|why| {
        let message = format!("`{}` is no name of a parameter: {why}", quoted(text));
        Complaint::new(message).help(r#"write e.g. "utm_*" or "fbclid""#)
    })
}

/// Reads a pattern of `include` or `exclude`.
pub(super) fn pattern(text: &str) -> Result<Pattern, Complaint> {
    if text.is_empty() {
        return Err(
            Complaint::new("an empty pattern").help(r#"write e.g. "/p/*" or "re:[?&]page="#)
        );
    }
    visible(text)?;
    Pattern::parse(text).map_err(|error| {
        Complaint::new(format!(
            "not a pattern: {}",
            for_terminal(first_line_of_regex_error(&error))
        ))
        .help(r#"a glob on path and query, e.g. "/p/*", or "re:" and a regular expression"#)
    })
}

/// The regex crate draws its own caret over several lines; its last line says what is wrong.
fn first_line_of_regex_error(error: &str) -> &str {
    error
        .trim()
        .lines()
        .last()
        .unwrap_or(error)
        .trim_start_matches("error: ")
}

/// Reads the name of a job.
pub(super) fn name(text: &str) -> Result<String, Complaint> {
    name_for(text, "a job")
}

/// Reads the name of a pool of proxies.
pub(super) fn pool_name(text: &str) -> Result<String, Complaint> {
    name_for(text, "a pool")
}

fn name_for(text: &str, what: &str) -> Result<String, Complaint> {
    let is_known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if !text.is_empty() && text.len() <= MAX_NAME && text.chars().all(is_known) {
        return Ok(text.to_owned());
    }
    Err(
        Complaint::new(format!("not a name for {what}")).help(format!(
            "1 to {MAX_NAME} characters of a-z, A-Z, 0-9, `.`, `_` and `-`"
        )),
    )
}

/// Makes a path that is relative to the directory of the job file one that means the same everywhere.
pub(super) fn absolute(path: &str, dir: &Path) -> Result<String, Complaint> {
    let path = std::path::absolute(dir.join(path))
        .map_err(|error| Complaint::new(format!("no path leads there: {error}")))?;
    path.into_os_string()
        .into_string()
        .map_err(|_| Complaint::new("its directory has a name that is not UTF-8"))
}

/// Reads a host: scheme, name and port, nothing else.
pub(super) fn origin(text: &str) -> Result<Host, Complaint> {
    let complaint = || {
        let message = format!("`{}` is no scheme, host and port", quoted(text));
        Complaint::new(message)
            .help(r#"write e.g. "https://api.example.org" or "http://10.0.0.1:8080""#)
    };
    if has_credentials(text) {
        let message = "a user name or password has no place here, and jobs are stored";
        let help = "write scheme, host and port alone";
        return Err(Complaint::new(message).help(help).secret());
    }
    let url = Url::parse(text.trim()).map_err(|_| complaint())?;
    let is_bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    Host::of(&url).filter(|_| is_bare).ok_or_else(complaint)
}

/// Reads a description.
pub(super) fn description(text: &str) -> Result<String, Complaint> {
    if text.len() > MAX_DESCRIPTION {
        return Err(Complaint::new(format!(
            "a description has at most {MAX_DESCRIPTION} bytes"
        )));
    }
    visible(&text.replace(['\n', '\t'], " "))?;
    Ok(text.to_owned())
}

/// Reads the path of a file.
pub(super) fn path(text: &str) -> Result<String, Complaint> {
    if text.trim().is_empty() || text.len() > MAX_PATH {
        return Err(Complaint::new(format!("a path has 1 to {MAX_PATH} bytes")));
    }
    visible(text)?;
    Ok(text.to_owned())
}

/// Reads the name of a column.
pub(super) fn column(text: &str) -> Result<String, Complaint> {
    if text.trim() != text || text.is_empty() || text.len() > MAX_COLUMN {
        let message =
            format!("a column has a name of 1 to {MAX_COLUMN} bytes, with no blanks around it");
        return Err(Complaint::new(message));
    }
    visible(text)?;
    Ok(text.to_owned())
}

/// Reads a `User-Agent`.
pub(super) fn user_agent(text: &str) -> Result<String, Complaint> {
    let help = r#"e.g. "ExampleBot/1.0 (+https://example.org/bot)"; its first word is looked for in robots.txt"#;
    let is_sendable = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    if text.is_empty() || text.len() > MAX_USER_AGENT || !is_sendable || text.trim() != text {
        let message = format!("a user agent has 1 to {MAX_USER_AGENT} visible ASCII characters");
        return Err(Complaint::new(message).help(help));
    }
    if text.contains("${") {
        return Err(Complaint::new("`${..}` works in the values of `headers` only").help(help));
    }
    Ok(text.to_owned())
}

/// Refuses text that would act on a terminal.
fn visible(text: &str) -> Result<(), Complaint> {
    match text.chars().find(|c| acts(*c)) {
        None => Ok(()),
        Some(c) => Err(Complaint::new(format!(
            "character U+{:04X} is not allowed here",
            u32::from(c)
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, millis) in [
            ("30s", 30_000),
            ("1h 30m", 5_400_000),
            ("1d", 86_400_000),
            ("1w", 604_800_000),
            ("250ms", 250),
            ("1.5s", 1_500),
            ("0s", 0),
            ("2 minutes", 120_000),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for (text, why) in [
            ("20 parsecs", "one is a number and a unit: ms, s, m, h or d"),
            ("20", "the unit is missing"),
            ("", "one is a number and a unit"),
            ("-5s", "it is negative"),
            ("5s ago", "it is negative"),
            ("1 month", "months and years differ"),
            ("2y", "months and years differ"),
            ("99999999999999h", "not a duration"),
        ] {
            let message = duration(text).unwrap_err().message;
            assert!(
                message.contains(why) && message.contains("write e.g."),
                "{text}: {message}"
            );
        }
    }

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("4MiB", 4 << 20),
            ("4 MiB", 4 << 20),
            ("1.5KiB", 1536),
            ("2MB", 2_000_000),
            ("9", 9),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "lots", "-1", "4 lots", "1e3", "NaN"] {
            assert!(
                size(text).unwrap_err().message.contains("is not a size"),
                "{text}"
            );
        }
    }

    #[test]
    fn rates() {
        for (text, requests, seconds) in [("5/s", 5, 1), ("100/m", 100, 60), (" 7 / h ", 7, 3600)] {
            let expected = Rate {
                requests,
                per: Duration::from_secs(seconds),
            };
            assert_eq!(rate(text), Ok(expected), "{text}");
        }
        for text in [
            "5",
            "0/s",
            "-1/s",
            "+1/s",
            "5/d",
            "/s",
            "1.5/s",
            "5/s/s",
            "2000000/s",
            "99999999999/s",
        ] {
            assert!(
                rate(text).unwrap_err().message.contains("is not a rate"),
                "{text}"
            );
        }
    }

    #[test]
    fn input_urls() {
        assert_eq!(
            input_url("https://Shop.Example/a").unwrap().as_str(),
            "https://shop.example/a"
        );
        for (text, message, help) in [
            (
                "shop.example/a",
                "not a URL",
                "did you mean `https://shop.example/a`?",
            ),
            ("nonsense", "not a URL", "write the whole URL"),
            (
                "ftp://a.example/",
                "only http and https",
                "write the whole URL",
            ),
            (
                "https://me:pw@a.example/",
                "user name or password",
                "${env:SHOP_PASSWORD}",
            ),
            (
                "https://me@a.example/",
                "user name or password",
                "${env:SHOP_PASSWORD}",
            ),
        ] {
            let complaint = input_url(text).unwrap_err();
            assert!(complaint.message.contains(message), "{text}: {complaint:?}");
            assert!(
                complaint.help.clone().unwrap().contains(help),
                "{text}: {complaint:?}"
            );
            assert!(!complaint.message.contains("pw"), "{complaint:?}");
        }
    }

    #[test]
    fn patterns() {
        assert!(pattern("/p/*").is_ok() && pattern("re:[?&]x=").is_ok());
        for (text, why) in [
            ("", "an empty pattern"),
            ("re:(", "unclosed group"),
            ("/[a", "not a pattern"),
            ("\u{1b}[2J", "U+001B"),
        ] {
            let complaint = pattern(text).unwrap_err();
            assert!(complaint.message.contains(why), "{text:?}: {complaint:?}");
        }
    }

    #[test]
    fn texts_keep_their_bounds() {
        assert!(name("prices-2026.11_a").is_ok());
        for text in ["", "a b", "ä", "a/b", &"x".repeat(101)] {
            assert!(name(text).is_err(), "{text}");
        }
        assert!(description("Two\nlines").is_ok() && description("\u{1b}").is_err());
        assert!(description(&"x".repeat(MAX_DESCRIPTION + 1)).is_err());
        assert!(path("a/b.txt").is_ok());
        for text in ["", " ", "a\0b", &"x".repeat(MAX_PATH + 1)] {
            assert!(path(text).is_err(), "{text:?}");
        }
        assert!(user_agent("Bot/1.0 (+https://example.org)").is_ok());
        for text in [
            "",
            " Bot",
            "Bot\r\nX: y",
            "Böt",
            "${env:UA}",
            &"x".repeat(513),
        ] {
            assert!(user_agent(text).is_err(), "{text:?}");
        }
    }
}
