//! Which cookies does a job hold while it runs?
//!
//! One jar a job and run, in memory: it begins with the job's file of cookies, takes what answers set and gives it to
//! the requests that it is for. Nothing of it is stored, so the next run begins with the file again.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::HeaderValue;
use http::header::SET_COOKIE;
use neap_core::cookies::Jar;
use neap_core::exchange::Exchange;
use neap_core::job::Identity;
use neap_core::{CanonicalUrl, UnixMs};
use neap_parse::cookies;
use tracing::debug;

/// Largest file of cookies, in bytes.
pub const MAX_COOKIE_FILE_BYTES: u64 = 8 << 20;

/// Why a file of cookies cannot be used. No message repeats what is in it.
#[derive(Debug, thiserror::Error)]
pub enum CookieFileError {
    /// The file system did not give it, or it is no text.
    #[error("cannot read the cookie file {file}")]
    Unreadable {
        /// The file.
        file: String,
        /// What it said.
        source: io::Error,
    },
    /// It is a directory, a pipe, a device, or larger than [`MAX_COOKIE_FILE_BYTES`].
    #[error("the cookie file {file} is no file, or larger than {} MiB", MAX_COOKIE_FILE_BYTES >> 20)]
    NoFile {
        /// The file.
        file: String,
    },
    /// A line of it is no cookie.
    #[error("{file}:{line}: {why}")]
    BadLine {
        /// The file.
        file: String,
        /// Counted from 1.
        line: usize,
        /// What is wrong.
        why: &'static str,
    },
}

/// The cookies of one job; those of a job that keeps none are always empty. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Session(Option<Arc<Mutex<Jar>>>);

impl Session {
    /// A jar with what the job's file of cookies holds; none if the job wants none.
    ///
    /// # Errors
    /// The file cannot be used.
    pub fn begin(identity: &Identity, now: UnixMs) -> Result<Session, CookieFileError> {
        if !identity.cookies {
            return Ok(Session(None));
        }
        let mut jar = Jar::default();
        if let Some(file) = &identity.cookie_file {
            load(&mut jar, file, now)?;
        }
        Ok(Session(Some(Arc::new(Mutex::new(jar)))))
    }

    /// What a request for `url` sends as `Cookie`.
    pub fn cookie(&self, url: &CanonicalUrl, now: UnixMs) -> Option<HeaderValue> {
        let text = self.jar()?.header(url.url(), now)?;
        // The jar takes nothing that no header carries.
        HeaderValue::from_bytes(text.as_bytes()).ok()
    }

    /// Takes what an answer sets, whatever its status.
    pub fn learn(&self, url: &CanonicalUrl, exchange: &Exchange, now: UnixMs) {
        let (Some(mut jar), Ok(answer)) = (self.jar(), &exchange.result) else {
            return;
        };
        for header in answer.headers.get_all(SET_COOKIE) {
            let text = String::from_utf8_lossy(header.as_bytes());
            let Some(cookie) = cookies::set_cookie(&text) else {
                continue;
            };
            if let Err(refused) = jar.set(url.url(), cookie, now) {
                debug!(%url, ?refused, "a cookie was refused");
            }
        }
    }

    fn jar(&self) -> Option<MutexGuard<'_, Jar>> {
        let jar = self.0.as_ref()?;
        // Every method of the jar leaves it whole.
        Some(jar.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn load(jar: &mut Jar, file: &str, now: UnixMs) -> Result<(), CookieFileError> {
    let unreadable = |source| CookieFileError::Unreadable {
        file: file.to_owned(),
        source,
    };
    let found = std::fs::metadata(file).map_err(unreadable)?;
    if !found.is_file() || found.len() > MAX_COOKIE_FILE_BYTES {
        let file = file.to_owned();
        return Err(CookieFileError::NoFile { file });
    }
    let open = File::open(file).map_err(unreadable)?;
    let lines = BufReader::new(open.take(MAX_COOKIE_FILE_BYTES)).lines();
    for (number, line) in (1..).zip(lines) {
        let line = line.map_err(unreadable)?;
        let bad = |why| CookieFileError::BadLine {
            file: file.to_owned(),
            line: number,
            why,
        };
        let read = cookies::line(&line).map_err(|error| bad(error.as_str()))?;
        if let Some((url, cookie)) = read {
            jar.set(&url, cookie, now)
                .map_err(|_| bad("no host may set this cookie"))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMs = UnixMs(1_000_000);

    fn begin(text: &[u8]) -> Result<Session, CookieFileError> {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("cookies.txt");
        std::fs::write(&file, text).unwrap();
        let identity = Identity {
            cookies: true,
            cookie_file: Some(file.display().to_string()),
            ..Identity::default()
        };
        Session::begin(&identity, NOW)
    }

    fn sent(session: &Session, url: &str) -> Option<String> {
        let value = session.cookie(&CanonicalUrl::parse(url).unwrap(), NOW)?;
        Some(value.to_str().unwrap().to_owned())
    }

    #[test]
    fn a_run_begins_with_the_cookies_of_the_file() {
        let session = begin(
            b"# Netscape HTTP Cookie File\n\n.shop.example\tTRUE\t/\tFALSE\t0\tsid\t1\n\
              #HttpOnly_api.example\tFALSE\t/v1\tTRUE\t4000000000\tkey\t2\r\n\
              old.example\tFALSE\t/\tFALSE\t1\tgone\t3\n",
        )
        .unwrap();
        for (url, cookie) in [
            ("http://shop.example/", Some("sid=1")),
            ("https://www.shop.example:8443/x", Some("sid=1")),
            ("https://api.example/v1/x", Some("key=2")),
            ("http://api.example/v1/x", None),
            ("https://api.example/", None),
            ("http://old.example/", None),
        ] {
            assert_eq!(sent(&session, url).as_deref(), cookie, "{url}");
        }
        let none = Session::begin(&Identity::default(), NOW).unwrap();
        assert_eq!(sent(&none, "http://shop.example/"), None);
    }

    #[test]
    fn a_bad_file_is_told_by_its_line_and_shows_nothing_of_it() {
        for (text, why) in [
            (
                &b"# x\na.example FALSE / FALSE 0 sid hunter2\n"[..],
                "cookies.txt:2: a cookie has seven",
            ),
            (
                b".a.example\tTRUE\t/\tFALSE\t0\t__Secure-sid\thunter2\n",
                "cookies.txt:1: no host may",
            ),
            (
                b"a.example\tFALSE\t/\tFALSE\t0\tsid\thunter2\xff\n",
                "cannot read the cookie file",
            ),
        ] {
            let told = begin(text).unwrap_err().to_string();
            assert!(told.contains(why), "{told}");
            assert!(!told.contains("hunter2"), "{told}");
        }
    }
}
