//! What holds for some hosts of a job instead of what it says for all?
//!
//! Of the rules of a job the first that matches a host holds for it, alone and whole. It has every value: those that it
//! does not set are the job's, filled in when the file was read.

use std::collections::BTreeMap;
use std::fmt;

use globset::{GlobBuilder, GlobMatcher};
use serde::{Deserialize, Serialize};

use super::{Input, Job, Limits, Request, Retry, Robots, Template};
use crate::host::Host;

/// Longest pattern of hosts, in bytes: a name has at most 253.
pub const MAX_HOST_PATTERN_BYTES: usize = 500;

/// `[[host]]`: what holds for the hosts that match.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostRule {
    /// Which hosts.
    #[serde(rename = "match")]
    pub hosts: HostPattern,
    /// `User-Agent`, as [`Identity`](super::Identity) has it.
    pub user_agent: String,
    /// Request headers that these hosts are sent beside those of the job, by lower-case name. Secrets only for
    /// one scheme, host and port.
    pub headers: BTreeMap<String, Template>,
    /// The limits of one exchange.
    pub request: Request,
    /// `per_host`, `per_host_rate` and `delay`; the rest is the job's.
    pub limits: Limits,
    /// When and how often a failed request is asked again; `swap_proxy_after` is the job's.
    pub retry: Retry,
    /// How robots.txt is treated.
    pub robots: Robots,
    /// The pool that their requests begin with; they go on behind it as those of all hosts do. Default: the
    /// first of the job.
    #[serde(default)]
    pub pool: Option<String>,
}

impl HostRule {
    /// A rule that changes nothing of a job.
    pub fn of(hosts: HostPattern, job: &Job) -> HostRule {
        HostRule {
            hosts,
            user_agent: job.identity.user_agent.clone(),
            headers: BTreeMap::new(),
            request: job.request.clone(),
            limits: job.limits.clone(),
            retry: job.retry.clone(),
            robots: job.robots.clone(),
            pool: None,
        }
    }
}

impl Job {
    /// The rule that holds for a host, as a place in `hosts`; `None` if the job's own values do.
    pub fn rule_for(&self, host: &Host) -> Option<usize> {
        self.hosts.iter().position(|rule| rule.hosts.matches(host))
    }

    /// The pool that requests to a host begin with, if a rule says so.
    pub fn first_pool(&self, host: &Host) -> Option<&str> {
        self.hosts[self.rule_for(host)?].pool.as_deref()
    }

    /// The job as it is for hosts of one of its rules, without its input; its headers are those of job and rule
    /// together.
    pub fn under(&self, rule: &HostRule) -> Job {
        let mut identity = self.identity.clone();
        identity.user_agent.clone_from(&rule.user_agent);
        identity.headers.extend(rule.headers.clone());
        Job {
            name: self.name.clone(),
            description: self.description.clone(),
            input: Input::default(),
            crawl: self.crawl.clone(),
            identity,
            request: rule.request.clone(),
            limits: rule.limits.clone(),
            adaptive: self.adaptive.clone(),
            retry: rule.retry.clone(),
            robots: rule.robots.clone(),
            proxy: self.proxy.clone(),
            store: self.store.clone(),
            expect: self.expect.clone(),
            hosts: Vec::new(),
        }
    }
}

/// Which hosts: a name (`shop.example`), a glob on names (`*.shop.example`, which leaves `shop.example` out), or one
/// scheme, name and port (`https://api.example:8443`).
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostPattern {
    text: String,
    matcher: Matcher,
}

#[derive(Debug, Clone)]
enum Matcher {
    Host(Host),
    Name(GlobMatcher),
}

impl HostPattern {
    /// Reads a pattern as a job file writes it.
    ///
    /// # Errors
    /// What is wrong with it, in words that repeat nothing of it.
    pub fn parse(text: &str) -> Result<HostPattern, String> {
        if text.len() > MAX_HOST_PATTERN_BYTES {
            return Err(format!("it has more than {MAX_HOST_PATTERN_BYTES} bytes"));
        }
        if text.contains("://") {
            let host = url::Url::parse(text).ok().and_then(|url| {
                let is_bare =
                    url.path() == "/" && url.query().is_none() && url.fragment().is_none();
                let has_login = !url.username().is_empty() || url.password().is_some();
                Host::of(&url).filter(|_| is_bare && !has_login)
            });
            let host = host.ok_or("it is no scheme, host and port")?;
            return Ok(HostPattern {
                text: host.to_string(),
                matcher: Matcher::Host(host),
            });
        }
        let text = text.to_ascii_lowercase();
        let is_of_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._*?[]{},!".contains(&byte);
        if text.is_empty() || !text.bytes().all(is_of_name) {
            return Err(
                "it is no name of a host; write names of other scripts as xn--.., and a port \
                        behind a scheme"
                    .to_owned(),
            );
        }
        let glob = GlobBuilder::new(&text).literal_separator(false).build();
        let glob = glob.map_err(|error| error.kind().to_string())?;
        Ok(HostPattern {
            text,
            matcher: Matcher::Name(glob.compile_matcher()),
        })
    }

    /// Whether it is for this host.
    pub fn matches(&self, host: &Host) -> bool {
        match &self.matcher {
            Matcher::Host(one) => one == host,
            Matcher::Name(glob) => glob.is_match(host.name()),
        }
    }

    /// The scheme, name and port that it is for, if it is for one alone.
    pub fn one_host(&self) -> Option<&Host> {
        match &self.matcher {
            Matcher::Host(one) => Some(one),
            Matcher::Name(_) => None,
        }
    }
}

impl PartialEq for HostPattern {
    fn eq(&self, other: &HostPattern) -> bool {
        self.text == other.text
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl From<HostPattern> for String {
    fn from(pattern: HostPattern) -> String {
        pattern.text
    }
}

impl TryFrom<String> for HostPattern {
    type Error = String;

    fn try_from(text: String) -> Result<HostPattern, String> {
        HostPattern::parse(&text)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn patterns_match_names_or_one_host() {
        for (pattern, host, matches) in [
            ("shop.example", "https://shop.example", true),
            ("Shop.Example", "http://shop.example:8080", true),
            ("shop.example", "https://www.shop.example", false),
            ("*.shop.example", "https://a.b.shop.example", true),
            ("*.shop.example", "https://shop.example", false),
            ("*shop.example", "https://shop.example", true),
            ("{a,b}.example", "http://b.example", true),
            ("127.0.0.*", "http://127.0.0.1:81", true),
            ("https://shop.example", "https://shop.example", true),
            ("https://shop.example:443/", "https://shop.example", true),
            ("https://shop.example", "http://shop.example", false),
            ("https://shop.example", "https://shop.example:8443", false),
            ("http://[::1]:81", "http://[::1]:81", true),
        ] {
            let parsed = HostPattern::parse(pattern).unwrap();
            let host = Host::parse(host).unwrap();
            assert_eq!(parsed.matches(&host), matches, "{pattern} {host}");
            assert_eq!(HostPattern::parse(&parsed.to_string()), Ok(parsed));
        }
        for pattern in [
            "",
            "a b",
            "shop.example:80",
            "shop.example/x",
            "ftp://a.example",
            "https://a.example/x",
            "https://me:pw@a.example",
            "[a",
            "münchen.example",
        ] {
            assert!(HostPattern::parse(pattern).is_err(), "{pattern}");
        }
        assert!(HostPattern::parse(&"a".repeat(MAX_HOST_PATTERN_BYTES + 1)).is_err());
    }

    #[test]
    fn the_first_rule_that_matches_holds_alone() {
        let mut job = Job::named("prices");
        for (pattern, seconds) in [("https://api.shop.example", 1), ("*.shop.example", 2)] {
            let mut rule = HostRule::of(HostPattern::parse(pattern).unwrap(), &job);
            rule.limits.delay = Duration::from_secs(seconds);
            job.hosts.push(rule);
        }
        job.hosts[1].user_agent = "Other/1".to_owned();
        let key = Template("${env:KEY}".to_owned());
        job.hosts[0].headers.insert("x-key".to_owned(), key);
        for (host, seconds, agent, headers) in [
            (
                "https://api.shop.example",
                1,
                super::super::DEFAULT_USER_AGENT,
                1,
            ),
            ("http://api.shop.example", 2, "Other/1", 0),
            (
                "http://other.example",
                0,
                super::super::DEFAULT_USER_AGENT,
                0,
            ),
        ] {
            let rule = job.rule_for(&Host::parse(host).unwrap());
            let effective = rule.map_or(job.clone(), |rule| job.under(&job.hosts[rule]));
            assert_eq!(
                effective.limits.delay,
                Duration::from_secs(seconds),
                "{host}"
            );
            assert_eq!(effective.identity.user_agent, agent, "{host}");
            assert_eq!(effective.identity.headers.len(), headers, "{host}");
        }
        let stored = serde_json::to_string(&job).unwrap();
        assert_eq!(serde_json::from_str::<Job>(&stored).unwrap(), job);
    }
}
