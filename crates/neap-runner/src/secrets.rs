//! What do the secrets of a job hold, now that it runs?
//!
//! A job names environment variables and files. Both are looked up once, before anything is sent, and what they hold
//! stays in memory: it is neither stored nor repeated in an error.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;

use data_encoding::BASE64;
use http::{HeaderName, HeaderValue};
use neap_core::Host;
use neap_core::job::{Auth, Job, Login, Reference, Template};
use neap_fetch::JobHeader;

use crate::pump::RunError;

/// Most bytes of a file that holds a secret: what most servers take as one line of a header.
const MAX_FILE_BYTES: u64 = 8 << 10;

/// What a job sends beside what everybody does.
#[derive(Debug)]
pub(crate) struct Secrets {
    pub(crate) headers: Vec<JobHeader>,
    pub(crate) logins: BTreeMap<Host, HeaderValue>,
}

impl Secrets {
    /// Looks all of them up.
    ///
    /// # Errors
    /// [`RunError::NoSecret`] and [`RunError::BadHeader`].
    pub(crate) fn of(
        job: &Job,
        lookup: impl Fn(&str) -> Option<String>,
    ) -> Result<Secrets, RunError> {
        let identity = &job.identity;
        let mut headers = Vec::new();
        for (name, value) in &identity.headers {
            let what = || format!("header {name}");
            let sent = resolved(job, &what, value, &lookup)?;
            headers.push(JobHeader {
                name: HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad(job, &what))?,
                value: sendable(&sent, value.is_secret()).ok_or_else(|| bad(job, &what))?,
                is_secret: value.is_secret(),
                is_safe: identity.safe_headers.contains(name),
            });
        }
        let logins = identity.auth.iter().filter_map(|auth| {
            let sent = login(job, auth, auth.login.as_ref()?, &lookup);
            Some(sent.map(|sent| (auth.origin.clone(), sent)))
        });
        let logins: Result<_, RunError> = logins.collect();
        Ok(Secrets {
            headers,
            logins: logins?,
        })
    }
}

/// The value of `authorization` for one host.
fn login(
    job: &Job,
    auth: &Auth,
    login: &Login,
    lookup: &impl Fn(&str) -> Option<String>,
) -> Result<HeaderValue, RunError> {
    let what = || format!("the login of {}", auth.origin);
    let resolved = |template| resolved(job, &what, template, lookup);
    let text = match login {
        Login::Bearer(token) => {
            let token = resolved(token)?;
            if token.trim().is_empty() {
                return Err(bad(job, &what));
            }
            format!("Bearer {token}")
        }
        Login::Basic { user, password } => {
            let (user, password) = (resolved(user)?, resolved(password)?);
            // The first colon ends the name (RFC 7617, section 2): one in it would begin the password.
            if user.contains(':') {
                return Err(bad(job, &what));
            }
            let both = format!("{user}:{password}");
            format!("Basic {}", BASE64.encode(both.as_bytes()))
        }
    };
    sendable(&text, true).ok_or_else(|| bad(job, &what))
}

/// A text as the value of a header, if it can be one.
fn sendable(text: &str, is_secret: bool) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(is_secret);
    Some(value)
}

fn resolved(
    job: &Job,
    what: &impl Fn() -> String,
    template: &Template,
    lookup: &impl Fn(&str) -> Option<String>,
) -> Result<String, RunError> {
    let found = template.resolve(|reference| match reference {
        Reference::Env(name) => lookup(name),
        Reference::File(path) => of_file(path),
    });
    found.map_err(|reference| RunError::NoSecret {
        job: job.name.clone(),
        what: what(),
        reference,
    })
}

/// What a file holds, without the line break at its end; `None` if it is no short text.
fn of_file(path: &str) -> Option<String> {
    // A pipe or a device may never end.
    if !std::fs::metadata(path).ok()?.is_file() {
        return None;
    }
    let mut text = String::new();
    let mut file = File::open(path).ok()?.take(MAX_FILE_BYTES + 1);
    file.read_to_string(&mut text).ok()?;
    if text.len() as u64 > MAX_FILE_BYTES {
        return None;
    }
    let line = text.strip_suffix('\n').unwrap_or(&text);
    Some(line.strip_suffix('\r').unwrap_or(line).to_owned())
}

fn bad(job: &Job, what: &impl Fn() -> String) -> RunError {
    RunError::BadHeader {
        job: job.name.clone(),
        what: what(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A job that logs in to this host.
    fn job(origin: &str, login: Login) -> Job {
        let mut job = Job::named("prices");
        let origin = Host::parse(origin).unwrap();
        job.identity.auth.push(Auth {
            origin,
            login: Some(login),
            certificate: None,
        });
        job
    }

    fn basic(user: &str, password: &str) -> Login {
        let [user, password] = [user, password].map(|text| Template(text.to_owned()));
        Login::Basic { user, password }
    }

    fn lookup(name: &str) -> Option<String> {
        match name {
            "USER" => Some("ann".to_owned()),
            "COLON" => Some("ann:lee".to_owned()),
            "PASSWORD" => Some("p@ss:w/%23#é".to_owned()),
            "BREAK" => Some("hunter2\nx: y".to_owned()),
            _ => None,
        }
    }

    #[test]
    fn a_login_is_written_as_its_scheme_wants_it() {
        let encoded = format!("Basic {}", BASE64.encode("ann:p@ss:w/%23#é".as_bytes()));
        let bearer = |text: &str| Login::Bearer(Template(text.to_owned()));
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("token");
        std::fs::write(&file, "t0ken\r\n").unwrap();
        let from_file = format!("${{file:{}}}", file.display());
        for (login, sent) in [
            (basic("${env:USER}", "${env:PASSWORD}"), encoded.as_str()),
            (basic("ann", "${env:PASSWORD}"), encoded.as_str()),
            (bearer("${env:USER}"), "Bearer ann"),
            (bearer(&from_file), "Bearer t0ken"),
        ] {
            let secrets = Secrets::of(&job("https://api.example", login), lookup).unwrap();
            let host = Host::parse("https://api.example").unwrap();
            let value = &secrets.logins[&host];
            assert_eq!(value, sent);
            assert!(!format!("{secrets:?}").contains(sent), "{secrets:?}");
        }
    }

    #[test]
    fn what_cannot_be_sent_is_told_without_what_it_holds() {
        let place = tempfile::tempdir().unwrap();
        let long = place.path().join("long");
        std::fs::write(&long, "x".repeat(9 << 10)).unwrap();
        let of = |path: &std::path::Path| format!("${{file:{}}}", path.display());
        for (login, why) in [
            (basic("${env:COLON}", "${env:PASSWORD}"), "cannot carry"),
            (basic("ann", "${env:GONE}"), "needs GONE"),
            (
                Login::Bearer(Template("${env:BREAK}".to_owned())),
                "cannot carry",
            ),
            (
                Login::Bearer(Template(of(&place.path().join("no")))),
                "needs /",
            ),
            (Login::Bearer(Template(of(place.path()))), "needs /"),
            (Login::Bearer(Template(of(&long))), "needs /"),
        ] {
            let error = Secrets::of(&job("https://api.example", login), lookup).unwrap_err();
            let told = error.to_string();
            assert!(told.contains(why), "{told}");
            assert!(told.contains("the login of https://api.example"), "{told}");
            assert!(
                !told.contains("hunter2") && !told.contains("p@ss"),
                "{told}"
            );
        }
    }
}
