//! Which headers go to which host, and which of them may be recorded?
//!
//! The user agent and what neap can read go to every host. The job file's own headers (an API key,
//! a session cookie) go to the hosts of its input URLs only, told apart by scheme, name and port, so
//! that no redirect carries them elsewhere. Values from the environment are never recorded.

use std::collections::BTreeSet;

use http::HeaderMap;
use http::header::{self, HeaderName, HeaderValue};
use neap_core::host::Host;
use url::Url;

use crate::settings::{FetchError, FetchSettings};

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
    everywhere: HeaderMap,
    /// With the job file's own headers.
    at_home: HeaderMap,
    /// As `at_home`, secrets replaced.
    at_home_recorded: HeaderMap,
    home: BTreeSet<Host>,
}

impl Headers {
    pub(crate) fn new(settings: &FetchSettings) -> Result<Headers, FetchError> {
        let user_agent =
            HeaderValue::from_str(&settings.user_agent).map_err(|_| FetchError::UserAgent)?;
        let mut everywhere = HeaderMap::new();
        everywhere.insert(header::USER_AGENT, user_agent);
        everywhere.insert(header::ACCEPT, ACCEPT);
        everywhere.insert(header::ACCEPT_ENCODING, ACCEPT_ENCODING);

        let mut at_home = everywhere.clone();
        let mut at_home_recorded = everywhere.clone();
        for header in &settings.headers {
            if OWN_HEADERS.contains(&header.name) {
                return Err(FetchError::Header(header.name.clone()));
            }
            at_home.insert(&header.name, header.value.clone());
            let recorded = match header.is_secret {
                true => HeaderValue::from_static(REDACTED),
                false => header.value.clone(),
            };
            at_home_recorded.insert(&header.name, recorded);
        }
        Ok(Headers {
            everywhere,
            at_home,
            at_home_recorded,
            home: settings.header_hosts.clone(),
        })
    }

    /// What to send with a request to `host`.
    pub(crate) fn to_send(&self, host: &Host) -> HeaderMap {
        match self.home.contains(host) {
            true => self.at_home.clone(),
            false => self.everywhere.clone(),
        }
    }

    /// What to record of a request for `url`: all that is sent, `host` included, without secrets.
    pub(crate) fn to_record(&self, host: &Host, url: &Url) -> HeaderMap {
        let mut recorded = match self.home.contains(host) {
            true => self.at_home_recorded.clone(),
            false => self.everywhere.clone(),
        };
        if let Ok(value) = HeaderValue::from_str(url.authority()) {
            recorded.insert(header::HOST, value);
        }
        recorded
    }
}

#[cfg(test)]
mod tests {
    use neap_core::job::Request;

    use super::*;
    use crate::settings::JobHeader;

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
                })
                .collect(),
            header_hosts: [Host::parse("https://shop.example").unwrap()].into(),
            concurrency: 4,
            extra_roots: Vec::new(),
        }
    }

    #[test]
    fn job_headers_go_to_the_input_hosts_only() {
        let headers = Headers::new(&settings(&[
            ("x-api-key", "k1", true),
            ("accept", "text/csv", false),
        ]))
        .unwrap();
        for (url, is_home) in [
            ("https://shop.example/a", true),
            ("http://shop.example/a", false),
            ("https://shop.example:8443/a", false),
            ("https://www.shop.example/a", false),
        ] {
            let url = Url::parse(url).unwrap();
            let host = Host::of(&url).unwrap();
            let sent = headers.to_send(&host);
            assert_eq!(sent.contains_key("x-api-key"), is_home, "{url}");
            assert_eq!(sent["accept"] == "text/csv", is_home, "{url}");
            assert_eq!(sent["user-agent"], "tester/1", "{url}");
        }
    }

    #[test]
    fn a_secret_is_sent_and_not_recorded() {
        let headers = Headers::new(&settings(&[
            ("x-api-key", "k1", true),
            ("x-plain", "p", false),
        ]))
        .unwrap();
        let url = Url::parse("https://shop.example/a").unwrap();
        let host = Host::of(&url).unwrap();
        assert_eq!(headers.to_send(&host)["x-api-key"], "k1");
        let recorded = headers.to_record(&host, &url);
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
}
