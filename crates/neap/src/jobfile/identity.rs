//! As whom does a job file say that its crawl asks?
//!
//! Headers and logins are secrets more often than not, and jobs are stored: a password or a token only ever names the
//! place where it is found.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use neap_core::Host;
use neap_core::job::{Auth, CertificateFiles, Identity, Login, Template};

use super::headers::{self, MAX_HEADERS};
use super::keys::LOGINS;
use super::problem::Complaint;
use super::reader::{Reader, string};
use super::source::Spot;
use super::values;
use crate::print::escape::quoted;

/// Longest user name, password or token as written in the job file, in bytes.
const MAX_LOGIN: usize = 4 << 10;

/// Reads `[identity]`; `path` is the job file, which the files of secrets are relative to.
pub(super) fn identity(reader: &mut Reader<'_>, path: &Path) -> Identity {
    let dir = path.parent().unwrap_or(Path::new(""));
    let user_agent = reader.text("identity.user_agent", values::user_agent);
    let headers = request_headers(reader, dir);
    let cookie_file = reader.text("identity.cookie_file", |text| values::file(text, dir));
    Identity {
        user_agent: user_agent.unwrap_or(Identity::default().user_agent),
        safe_headers: safe_headers(reader, &headers),
        headers,
        auth: logins(reader, dir),
        cookies: keeps_cookies(reader, cookie_file.is_some()),
        cookie_file,
    }
}

/// Whether cookies are kept: a file of them says so, too.
fn keeps_cookies(reader: &mut Reader<'_>, has_file: bool) -> bool {
    let keeps = reader.flag("identity.cookies", has_file);
    if has_file
        && !keeps
        && let Some(field) = reader.fields.get("identity.cookies")
    {
        let complaint = Complaint::new("the job has a `cookie_file` and keeps no cookies")
            .help("remove one of the two");
        reader.problems.value(field.spot(), complaint);
    }
    keeps
}

fn request_headers(reader: &mut Reader<'_>, dir: &Path) -> BTreeMap<String, Template> {
    let entries = reader.fields.headers.iter();
    let entries = entries.map(|(name, field)| Entry {
        name: name.clone(),
        value: string(field.value.get_ref()).map(str::to_owned),
        key: field.key.clone(),
        spot: field.spot(),
    });
    let entries = entries.collect();
    headers_of(reader, entries, dir)
}

/// One header as it was written.
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) value: Result<String, Complaint>,
    /// Where its name stands.
    pub(super) key: Spot,
    /// Where its value stands.
    pub(super) spot: Spot,
}

/// Reads headers; those that are wrong are complained about and left out.
pub(super) fn headers_of(
    reader: &mut Reader<'_>,
    entries: Vec<Entry>,
    dir: &Path,
) -> BTreeMap<String, Template> {
    let mut headers = BTreeMap::new();
    for entry in entries {
        if headers.len() == MAX_HEADERS {
            let complaint = Complaint::new(format!("at most {MAX_HEADERS} headers are taken"));
            reader.problems.value(entry.key, complaint);
            break;
        }
        let name = match headers::name(&entry.name) {
            Ok(name) => name,
            Err(complaint) => {
                reader.problems.value(entry.key, complaint);
                continue;
            }
        };
        let value = entry
            .value
            .and_then(|text| headers::value(&name, &text, dir));
        match value {
            Ok(value) => {
                if headers.insert(name, value).is_some() {
                    let complaint = Complaint::new("the header is set twice")
                        .help("the case of a header's name means nothing");
                    reader.problems.value(entry.key, complaint);
                }
            }
            Err(complaint) => reader.problems.value(entry.spot, complaint),
        }
    }
    headers
}

/// Those headers that every host may see, which no secret is among.
fn safe_headers(reader: &mut Reader<'_>, headers: &BTreeMap<String, Template>) -> BTreeSet<String> {
    let read = |text: &str| {
        let name = headers::name(text)?;
        match headers.get(&name) {
            None => {
                let message = format!("there is no header `{name}` in `identity.headers`");
                Err(Complaint::new(message).help("only headers that are set there can be safe"))
            }
            Some(value) if value.is_secret() => {
                let message = format!("`{name}` is a secret, which is never sent to every host");
                let help = "leave it out: it goes to the hosts of the input URLs";
                Err(Complaint::new(message).help(help))
            }
            Some(_) => Ok(name),
        }
    };
    let names = reader.texts("identity.safe_headers", MAX_HEADERS, read);
    names.into_iter().collect()
}

fn logins(reader: &mut Reader<'_>, dir: &Path) -> Vec<Auth> {
    let mut logins: Vec<Auth> = Vec::new();
    for place in 0..reader.fields.tables(&LOGINS).len() {
        let Some(auth) = login(reader, place, dir) else {
            continue;
        };
        if logins.iter().any(|other| other.origin == auth.origin) {
            let message = format!(
                "another login is for {} already",
                quoted(auth.origin.as_str())
            );
            let complaint = Complaint::new(message).help("each host has one login");
            let spot = reader.fields.tables(&LOGINS)[place].clone();
            reader.problems.value(spot, complaint);
        }
        logins.push(auth);
    }
    logins
}

/// Reads one login; `None` if something is wrong with it.
fn login(reader: &mut Reader<'_>, place: usize, dir: &Path) -> Option<Auth> {
    let key = |name: &str| LOGINS.key_in(place, name);
    let spot = reader.fields.tables(&LOGINS)[place].clone();
    let missing = missing(|name| reader.fields.get(&key(name)).is_some());
    let origin: Option<Host> = reader.text(&key("origin"), values::origin);
    let user = reader.text(&key("user"), |text| user(text, dir));
    let [password, bearer] =
        ["password", "bearer"].map(|name| reader.text(&key(name), |text| secret(name, text, dir)));
    let [chain, private] =
        ["certificate", "key"].map(|name| reader.text(&key(name), |text| values::file(text, dir)));
    if let Some(missing) = missing {
        reader.problems.value(spot, Complaint::new(missing));
        return None;
    }
    let certificate = chain
        .zip(private)
        .map(|(chain, key)| CertificateFiles { chain, key });
    let is_https = |origin: &Host| origin.as_str().starts_with("https://");
    if certificate.is_some() && origin.as_ref().is_some_and(|origin| !is_https(origin)) {
        let complaint = Complaint::new("a certificate is shown to https hosts alone");
        reader.problems.value(spot, complaint);
    }
    let login = match (user, password, bearer) {
        (Some(user), Some(password), None) => Some(Login::Basic { user, password }),
        (None, None, Some(token)) => Some(Login::Bearer(token)),
        (None, None, None) if certificate.is_some() => None,
        // What is wrong was complained about.
        (_, _, _) => return None,
    };
    origin.map(|origin| Auth {
        origin,
        login,
        certificate,
    })
}

/// What keeps the keys of a login from making one.
fn missing(is_there: impl Fn(&str) -> bool) -> Option<&'static str> {
    let [user, password, bearer] = ["user", "password", "bearer"].map(&is_there);
    let [certificate, key] = ["certificate", "key"].map(&is_there);
    if !is_there("origin") {
        return Some("the login says no host; add e.g. `origin = \"https://api.example.org\"`");
    }
    if certificate != key {
        return Some("a login has `certificate` and `key`, or none of them; they may be one file");
    }
    match (user, password, bearer) {
        (true, true, false) | (false, false, true) => None,
        (true, false, false) => Some("the login has a user and no password"),
        (false, true, false) => Some("the login has a password and no user"),
        (false, false, false) if certificate => None,
        (false, false, false) => Some(
            "the login says nothing: it has `user` and `password`, `bearer`, or `certificate` and `key`",
        ),
        (true, _, true) | (false, true, true) => {
            Some("a login has `user` and `password`, or else `bearer`")
        }
    }
}

fn user(text: &str, dir: &Path) -> Result<Template, Complaint> {
    let template = short(text, dir)?;
    if !template.is_secret() && text.contains(':') {
        return Err(Complaint::new("a user name has no colon")
            .help("the first one would begin the password (RFC 7617, section 2)"));
    }
    Ok(template)
}

/// Reads where a password or a token is found.
fn secret(what: &str, text: &str, dir: &Path) -> Result<Template, Complaint> {
    let template = short(text, dir).map_err(Complaint::secret)?;
    if !template.is_secret() || template.has_literals() {
        let message = format!("a {what} is written here, and jobs are stored");
        let help = "take all of it from the environment, \"${env:SHOP_LOGIN}\", or from a file, \"${file:PATH}\"";
        return Err(Complaint::new(message).help(help).secret());
    }
    Ok(template)
}

fn short(text: &str, dir: &Path) -> Result<Template, Complaint> {
    let is_visible = |c: char| !c.is_control();
    if text.is_empty() || text.len() > MAX_LOGIN || !text.chars().all(is_visible) {
        let message = format!("a login has 1 to {MAX_LOGIN} visible characters");
        return Err(Complaint::new(message));
    }
    headers::template(text, dir)
}

/// A login as it is shown: never more than where a secret is found.
pub(super) fn login_text(auth: &Auth) -> String {
    let mut text = auth.origin.to_string();
    match &auth.login {
        None => {}
        Some(Login::Basic { user, password }) => {
            text += &format!(": user {}, password {}", user.0, password.0);
        }
        Some(Login::Bearer(token)) => text += &format!(": bearer {}", token.0),
    }
    if let Some(files) = &auth.certificate {
        text += &format!(": certificate {}, key {}", files.chain, files.key);
    }
    text
}

#[cfg(test)]
mod tests;
