//! Which request headers may a job set?
//!
//! A job is stored, so a header that logs in must take its value from the environment or a file. Headers that
//! frame the message or belong to one connection are the HTTP client's: a job that set them could make
//! two servers disagree on where a request ends (RFC 9112, section 11.2).

use std::path::Path;

use neap_core::job::Template;

use super::problem::Complaint;
use super::values::{absolute, path};
use crate::print::escape::quoted;

/// Most headers of a job; Apache takes 100 a request, some of which the client needs.
pub(super) const MAX_HEADERS: usize = 64;

/// Longest name of a header, in bytes.
const MAX_NAME: usize = 100;

/// Longest value as written in the job file, in bytes: the limit that most servers have for one line.
const MAX_VALUE: usize = 8 << 10;

/// Headers that the client sets by itself: framing and hop-by-hop (RFC 9110, section 7.6.1).
const NOT_SETTABLE: [&str; 13] = [
    "accept-encoding",
    "connection",
    "content-length",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Parts of the names of headers that log in.
const CREDENTIAL_PARTS: [&str; 13] = [
    "authorization",
    "cookie",
    "api-key",
    "apikey",
    "token",
    "secret",
    "password",
    "session",
    "credential",
    "x-auth",
    "access-key",
    "jwt",
    "signature",
];

/// Reads the name of a header, in lower case.
pub(super) fn name(text: &str) -> Result<String, Complaint> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if text.is_empty() || text.len() > MAX_NAME || !text.bytes().all(is_token) {
        let message = format!("`{}` is not the name of a header", quoted(text));
        return Err(Complaint::new(message));
    }
    let name = text.to_ascii_lowercase();
    if name == "user-agent" {
        return Err(Complaint::new("`user-agent` has a key of its own")
            .help("write `user_agent = \"..\"` in [identity]"));
    }
    if NOT_SETTABLE.contains(&name.as_str()) {
        return Err(Complaint::new(format!("`{name}` is set by neap itself")).help("remove it"));
    }
    Ok(name)
}

/// Reads the value of the header `name`, which is in lower case; paths in it are relative to `dir`.
pub(super) fn value(name: &str, text: &str, dir: &Path) -> Result<Template, Complaint> {
    let value = Template(text.to_owned());
    let is_credential = CREDENTIAL_PARTS.iter().any(|part| name.contains(part));
    if is_credential && !value.is_secret() {
        let variable = name
            .to_ascii_uppercase()
            .replace(|c: char| !c.is_ascii_alphanumeric(), "_");
        let message = format!("`{name}` may hold a secret, and jobs are stored");
        return Err(Complaint::new(message)
            .help(format!(
                "take it from the environment, \"${{env:{variable}}}\", or from a file, \"${{file:PATH}}\""
            ))
            .secret());
    }
    let is_sendable = text.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\t'));
    if text.len() > MAX_VALUE || !is_sendable || text.trim() != text {
        let message = format!("a header value has at most {MAX_VALUE} visible ASCII characters");
        return Err(Complaint::new(message).help("without blanks at its ends"));
    }
    template(text, dir)
}

/// Reads a text with references to the environment and to files, whose paths are relative to `dir`.
pub(super) fn template(text: &str, dir: &Path) -> Result<Template, Complaint> {
    references(text, &["env", "file"])?;
    Template(text.to_owned()).with_paths(|path| absolute(path, dir))
}

/// Checks that every `${` is a whole reference of one of these kinds: `${env:NAME}`, `${file:PATH}`.
pub(super) fn references(text: &str, kinds: &[&str]) -> Result<(), Complaint> {
    let is_known = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let mut rest = text;
    while let Some((_, after)) = rest.split_once("${") {
        let whole = after.split_once('}').and_then(|(inner, after)| {
            let (kind, name) = inner.split_once(':')?;
            let is_name = match kind {
                "env" => name.bytes().all(is_known),
                // A file is named as anywhere in a job file.
                _ => path(name).is_ok(),
            };
            (kinds.contains(&kind) && !name.is_empty() && is_name).then_some(after)
        });
        rest = whole.ok_or_else(|| {
            let or_file = match kinds.contains(&"file") {
                true => ", or `${file:PATH}`",
                false => "",
            };
            Complaint::new("`${` does not begin a reference").help(format!(
                "write `${{env:NAME}}` with a NAME of A-Z, a-z, 0-9 and `_`{or_file}"
            ))
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(name: &str, text: &str) -> Result<Template, Complaint> {
        super::value(name, text, Path::new("/jobs"))
    }

    #[test]
    fn names() {
        assert_eq!(name("Accept-Language"), Ok("accept-language".to_owned()));
        for (text, why) in [
            ("", "not the name"),
            ("a b", "not the name"),
            ("x:y", "not the name"),
            ("é", "not the name"),
            ("x\r\ny", "not the name"),
            ("User-Agent", "a key of its own"),
            ("Host", "set by neap"),
            ("content-length", "set by neap"),
            ("Connection", "set by neap"),
            ("transfer-encoding", "set by neap"),
            ("accept-encoding", "set by neap"),
            ("te", "set by neap"),
            ("upgrade", "set by neap"),
        ] {
            let message = name(text).unwrap_err().message;
            assert!(message.contains(why), "{text:?}: {message}");
        }
    }

    #[test]
    fn a_header_that_logs_in_comes_from_the_environment() {
        for name in [
            "authorization",
            "cookie",
            "proxy-authorization",
            "x-api-key",
            "x-auth-token",
            "apikey",
        ] {
            let complaint = value(name, "hunter2").unwrap_err();
            assert!(complaint.is_secret, "{name}");
            assert!(!format!("{:?}", (&complaint.message, &complaint.help)).contains("hunter2"));
            assert!(complaint.help.unwrap().contains("${env:"), "{name}");
            assert!(value(name, "Bearer ${env:TOKEN}").is_ok(), "{name}");
        }
        assert!(value("accept-language", "en-GB,en;q=0.7").is_ok());
    }

    #[test]
    fn values() {
        for (text, why) in [
            ("a\r\nx: y", "visible ASCII"),
            ("é", "visible ASCII"),
            (" a", "visible ASCII"),
            ("${env:X", "does not begin a reference"),
            ("${env:}", "does not begin a reference"),
            ("${env:A-B}", "does not begin a reference"),
            ("${file:}", "does not begin a reference"),
            ("${file:x", "does not begin a reference"),
            ("${home:x}", "does not begin a reference"),
            ("${env:A} ${HOME}", "does not begin a reference"),
        ] {
            let message = value("x-test", text).unwrap_err().message;
            assert!(message.contains(why), "{text:?}: {message}");
        }
        assert!(value("x-test", &"x".repeat(MAX_VALUE + 1)).is_err());
        assert!(value("x-test", "${env:A}-${env:B_2}").is_ok());
        let from_file = value("x-test", "k ${file:keys/shop}").unwrap();
        assert_eq!(from_file.0, "k ${file:/jobs/keys/shop}");
    }
}
