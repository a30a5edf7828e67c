//! Which headers go to which host, and which of them may be recorded?
//!
//! The user agent, what neap can read and what the job file marks as safe go to every host. The job file's other
//! headers (an API key, a session cookie) go to the hosts of its input URLs only and a login to its one host, told
//! apart by scheme, name and port, so that no redirect carries them elsewhere. Logins and values from the
//! environment or from files are never recorded.

use std::collections::{BTreeMap, BTreeSet};

use http::HeaderMap;
use http::header::{self, HeaderName, HeaderValue};
use neap_core::host::Host;
use url::Url;

use crate::fetcher::Ask;
use crate::settings::{FetchError, FetchSettings, JobHeader};

/// What stands in a record instead of a secret value.
pub const REDACTED: &str = "<redacted>";

/// What is asked for: pages first, then anything.
const ACCEPT: HeaderValue =
    HeaderValue::from_static("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8");

/// The codings that `decode` undoes.
const ACCEPT_ENCODING: HeaderValue = HeaderValue::from_static("gzip, br, zstd, deflate");

/// Headers that a job file cannot set: those by which HTTP/1.1 frames a message and names its
/// receiver (RFC 9110, section 7.6.1; RFC 9112, section 6), and the user agent, which has its own key.
const OWN_HEADERS: [HeaderName; 11] = [
    header::HOST,
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::TE,
    header::TRAILER,
    header::UPGRADE,
    header::EXPECT,
    header::PROXY_AUTHORIZATION,
    HeaderName::from_static("proxy-connection"),
    header::USER_AGENT,
];

/// The request headers of a job.
#[derive(Debug)]
pub(crate) struct Headers {
    everywhere: Pair,
    /// With the job file's own headers.
    at_home: Pair,
    home: BTreeSet<Host>,
    logins: BTreeMap<Host, HeaderValue>,
}

/// Headers as they are sent, and as they are recorded: secrets replaced.
#[derive(Debug, Clone, Default)]
struct Pair {
    sent: HeaderMap,
    recorded: HeaderMap,
}

impl Pair {
    fn insert(&mut self, name: HeaderName, value: HeaderValue, is_secret: bool) {
        let recorded = match is_secret {
            true => HeaderValue::from_static(REDACTED),
            false => value.clone(),
        };
        self.sent.insert(&name, value);
        self.recorded.insert(name, recorded);
    }
}

impl Headers {
    pub(crate) fn new(settings: &FetchSettings) -> Result<Headers, FetchError> {
        let user_agent =
            HeaderValue::from_str(&settings.user_agent).map_err(|_| FetchError::UserAgent)?;
        let mut everywhere = Pair::default();
        // Keeps the place of the name that each request has, which is the first (RFC 9110, section 7.2).
        everywhere.insert(header::HOST, HeaderValue::from_static(""), false);
        everywhere.insert(header::USER_AGENT, user_agent, false);
        everywhere.insert(header::ACCEPT, ACCEPT, false);
        everywhere.insert(header::ACCEPT_ENCODING, ACCEPT_ENCODING, false);

        let (safe, own): (Vec<_>, Vec<_>) = settings.headers.iter().partition(|h| h.is_safe);
        let add = |to: &mut Pair, headers: &[&JobHeader]| {
            for header in headers {
                if OWN_HEADERS.contains(&header.name) {
                    return Err(FetchError::Header(header.name.clone()));
                }
                to.insert(header.name.clone(), header.value.clone(), header.is_secret);
            }
            Ok(())
        };
        add(&mut everywhere, &safe)?;
        let mut at_home = everywhere.clone();
        add(&mut at_home, &own)?;
        Ok(Headers {
            everywhere,
            at_home,
            home: settings.header_hosts.clone(),
            logins: settings.logins.clone(),
        })
    }

    /// What to send to `host` when it is asked.
    pub(crate) fn to_send(&self, host: &Host, ask: &Ask<'_>) -> HeaderMap {
        let mut sent = named(&self.of(host).sent, ask.url.url());
        if let Some(login) = self.logins.get(host) {
            sent.insert(header::AUTHORIZATION, login.clone());
        }
        if let Some(cookie) = &ask.cookie {
            let all = both(sent.get(header::COOKIE), cookie);
            sent.insert(header::COOKIE, all);
        }
        sent
    }

    /// What to record of it: all that is sent, without secrets.
    pub(crate) fn to_record(&self, host: &Host, ask: &Ask<'_>) -> HeaderMap {
        let mut recorded = named(&self.of(host).recorded, ask.url.url());
        if self.logins.contains_key(host) {
            let redacted = HeaderValue::from_static(REDACTED);
            recorded.insert(header::AUTHORIZATION, redacted);
        }
        if ask.cookie.is_some() {
            let redacted = HeaderValue::from_static(REDACTED);
            recorded.insert(header::COOKIE, redacted);
        }
        recorded
    }

    fn of(&self, host: &Host) -> &Pair {
        match self.home.contains(host) {
            true => &self.at_home,
            false => &self.everywhere,
        }
    }
}

/// The headers with the name of the URL's host in its place.
fn named(headers: &HeaderMap, url: &Url) -> HeaderMap {
    let mut headers = headers.clone();
    if let Ok(value) = HeaderValue::from_str(url.authority()) {
        headers.insert(header::HOST, value);
    }
    headers
}

/// Two values of `Cookie` in one: a request has one such header (RFC 6265, section 5.4).
fn both(of_job: Option<&HeaderValue>, cookie: &HeaderValue) -> HeaderValue {
    let joined = of_job.map(|of_job| [of_job.as_bytes(), b"; ", cookie.as_bytes()].concat());
    let mut value = joined
        .and_then(|bytes| HeaderValue::from_bytes(&bytes).ok())
        .unwrap_or_else(|| cookie.clone());
    value.set_sensitive(true);
    value
}

#[cfg(test)]
mod tests {
    use neap_core::CanonicalUrl;
    use neap_core::address::AddressRule;
    use neap_core::job::Request;

    use super::*;
    use crate::BodyLimit;

    fn url(text: &str) -> CanonicalUrl {
        CanonicalUrl::parse(text).unwrap()
    }

    fn ask(url: &CanonicalUrl) -> Ask<'_> {
        Ask::get(url, BodyLimit::MaxBody)
    }

    fn settings(headers: &[(&'static str, &'static str, bool)]) -> FetchSettings {
        FetchSettings {
            request: Request::default(),
            user_agent: "tester/1".to_owned(),
            headers: headers
                .iter()
                .map(|&(name, value, is_secret)| JobHeader {
                    name: HeaderName::from_static(name),
                    value: HeaderValue::from_static(value),
                    is_secret,
                    is_safe: name.starts_with("x-safe"),
                })
                .collect(),
            header_hosts: [Host::parse("https://shop.example").unwrap()].into(),
            logins: BTreeMap::new(),
            addresses: AddressRule::default(),
            extra_roots: Vec::new(),
            client_certificate: None,
            bind: None,
            pace: None,
        }
    }

    #[test]
    fn job_headers_go_to_the_input_hosts_only() {
        let headers = Headers::new(&settings(&[
            ("x-api-key", "k1", true),
            ("accept", "text/csv", false),
            ("x-safe-language", "de", false),
        ]))
        .unwrap();
        for (url, is_home) in [
            ("https://shop.example/a", true),
            ("http://shop.example/a", false),
            ("https://shop.example:8443/a", false),
            ("https://www.shop.example/a", false),
        ] {
            let url = self::url(url);
            let sent = headers.to_send(&url.host(), &ask(&url));
            assert_eq!(sent.contains_key("x-api-key"), is_home, "{url}");
            assert_eq!(sent["accept"] == "text/csv", is_home, "{url}");
            assert_eq!(sent["user-agent"], "tester/1", "{url}");
            assert_eq!(sent["x-safe-language"], "de", "{url}");
        }
    }

    #[test]
    fn a_secret_is_sent_and_not_recorded() {
        let headers = Headers::new(&settings(&[
            ("x-api-key", "k1", true),
            ("x-plain", "p", false),
        ]))
        .unwrap();
        let url = url("https://shop.example/a");
        assert_eq!(headers.to_send(&url.host(), &ask(&url))["x-api-key"], "k1");
        let recorded = headers.to_record(&url.host(), &ask(&url));
        assert_eq!(recorded["x-api-key"], REDACTED);
        assert_eq!(recorded["x-plain"], "p");
        assert_eq!(recorded["host"], "shop.example");
    }

    #[test]
    fn a_job_file_cannot_set_the_headers_of_http_itself() {
        for name in [
            "host",
            "content-length",
            "transfer-encoding",
            "connection",
            "user-agent",
        ] {
            let refused = Headers::new(&settings(&[(name, "x", false)]));
            assert!(matches!(refused, Err(FetchError::Header(_))), "{name}");
        }
    }

    #[test]
    fn a_login_goes_to_its_host_alone_and_before_a_header() {
        let mut settings = settings(&[("authorization", "Bearer k1", true)]);
        let host = |url: &str| Host::parse(url).unwrap();
        let other = host("https://api.example:8443");
        settings.header_hosts.insert(other.clone());
        let login = HeaderValue::from_static("Basic eDp5");
        settings.logins.insert(other.clone(), login);
        let headers = Headers::new(&settings).unwrap();
        for (at, sent) in [
            ("https://api.example:8443", Some("Basic eDp5")),
            ("https://api.example", None),
            ("http://api.example:8443", None),
            ("https://shop.example", Some("Bearer k1")),
        ] {
            let url = url(at);
            let found = headers.to_send(&host(at), &ask(&url));
            let found = found
                .get("authorization")
                .map(|value| value.to_str().unwrap());
            assert_eq!(found, sent, "{at}");
            let recorded = headers.to_record(&host(at), &ask(&url));
            let recorded = recorded
                .get("authorization")
                .map(|value| value.to_str().unwrap());
            assert_eq!(recorded, sent.map(|_| REDACTED), "{at}");
        }
    }

    #[test]
    fn cookies_stand_behind_those_of_the_job_and_are_not_recorded() {
        let headers = Headers::new(&settings(&[("cookie", "k=1", true)])).unwrap();
        for (at, sent) in [
            ("https://shop.example/", "k=1; sid=2"),
            ("https://other.example/", "sid=2"),
        ] {
            let url = url(at);
            let ask = Ask {
                cookie: Some(HeaderValue::from_static("sid=2")),
                ..ask(&url)
            };
            let found = headers.to_send(&url.host(), &ask);
            assert_eq!(found["cookie"], sent);
            assert!(found["cookie"].is_sensitive());
            assert_eq!(headers.to_record(&url.host(), &ask)["cookie"], REDACTED);
        }
    }
}
