//! What holds for one host of a job: as whom it is asked, how patiently, and by which client?
//!
//! A job has terms of its own, and others for each rule of its file. Which are a host's says
//! [`Job::rule_for`]: the first rule that matches, or none.

use std::collections::{BTreeMap, BTreeSet};

use neap_core::Host;
use neap_core::address::AddressRule;
use neap_core::job::{HostRule, Job, Request, Retry, Robots, RobotsMode};
use neap_core::scheduler::JobSettings;
use neap_fetch::{ClientCertificate, FetchSettings, Fetcher, Pace};

use crate::certificates::{self, CertificateError};
use crate::jobs::Shared;
use crate::pump::RunError;
use crate::secrets::Secrets;

/// What holds for some hosts.
#[derive(Debug)]
pub struct HostTerms {
    /// Asks them.
    pub fetcher: Fetcher,
    /// When they are asked again.
    pub retry: Retry,
    /// The limits of one exchange.
    pub request: Request,
    /// How their robots files are treated.
    pub robots: Robots,
    /// The name that their robots files are read for.
    pub product_token: String,
    /// What the scheduler keeps; pages that were fetched earlier are not taken off.
    pub(crate) settings: JobSettings,
}

impl HostTerms {
    /// Whether their robots files are asked for.
    pub fn obeys_robots(&self) -> bool {
        match self.robots.mode {
            RobotsMode::Obey | RobotsMode::Warn => true,
            RobotsMode::Off => false,
        }
    }

    /// Whether what robots files forbid is asked for all the same.
    pub(crate) fn only_warns(&self) -> bool {
        match self.robots.mode {
            RobotsMode::Warn => true,
            RobotsMode::Obey | RobotsMode::Off => false,
        }
    }
}

/// The terms of all hosts of a job.
#[derive(Debug)]
pub struct AllTerms {
    base: HostTerms,
    /// As the job has its rules.
    rules: Vec<HostTerms>,
    /// Of hosts that are shown a certificate of the job's: each has a client of its own, or others were shown it, too.
    certified: BTreeMap<Host, HostTerms>,
}

impl AllTerms {
    /// Looks the secrets of a job up and builds its clients. Its own headers are for `input_hosts`, which are open to it
    /// even if they are not of the public internet.
    ///
    /// # Errors
    /// A secret is not there, what it holds cannot be sent, or a client cannot be built.
    pub fn new(
        job: &Job,
        input_hosts: &BTreeSet<Host>,
        shared: &Shared,
        lookup: impl Fn(&str) -> Option<String>,
    ) -> Result<AllTerms, RunError> {
        let addresses = AddressRule::new(job.request.private_addresses, input_hosts);
        let of_files = |source| certificates_error(job, source);
        let clients = certificates::clients(job).map_err(of_files)?;
        let roots = certificates::roots(job).map_err(of_files)?;
        let pace = job.limits.bandwidth.map(Pace::new);
        // What the job sends to its hosts, those of one rule or none.
        let settings_for = |rule: Option<&HostRule>| -> Result<FetchSettings, RunError> {
            let settings = match rule {
                None => settings(job, Secrets::of(job, &lookup)?, input_hosts.clone()),
                Some(rule) => settings_of_rule(job, rule, input_hosts, &lookup)?,
            };
            Ok(FetchSettings {
                addresses: addresses.clone(),
                extra_roots: roots.clone(),
                pace: pace.clone(),
                ..settings
            })
        };
        let base = terms(job, shared.fetcher(&settings_for(None)?)?);
        let of_rule = |rule: &HostRule| {
            let fetcher = base.fetcher.beside(&settings_for(Some(rule))?)?;
            Ok(terms(&job.under(rule), fetcher))
        };
        let rules: Result<_, RunError> = job.hosts.iter().map(of_rule).collect();
        let of_client = |(host, client): (Host, ClientCertificate)| {
            let rule = job.rule_for(&host).map(|place| &job.hosts[place]);
            let mut settings = settings_for(rule)?;
            settings.client_certificate = Some(client);
            let fetcher = base.fetcher.beside(&settings)?;
            let terms = match rule {
                Some(rule) => terms(&job.under(rule), fetcher),
                None => terms(job, fetcher),
            };
            Ok((host, terms))
        };
        let certified: Result<_, RunError> = clients.into_iter().map(of_client).collect();
        Ok(AllTerms {
            rules: rules?,
            certified: certified?,
            base,
        })
    }

    /// Those of a host; `job` is the one that they are of.
    pub fn of(&self, job: &Job, host: &Host) -> &HostTerms {
        let certified = self.certified.get(host);
        let ruled = || self.of_rule(job, host);
        certified.or_else(ruled).unwrap_or(&self.base)
    }

    /// Those of a host that a rule is for.
    pub(crate) fn of_rule(&self, job: &Job, host: &Host) -> Option<&HostTerms> {
        self.rules.get(job.rule_for(host)?)
    }
}

/// Looks the secrets of a job and its rules up, to see that they can be sent.
///
/// # Errors
/// As [`AllTerms::new`].
pub(crate) fn check(job: &Job, lookup: impl Fn(&str) -> Option<String>) -> Result<(), RunError> {
    Secrets::of(job, &lookup)?;
    for rule in &job.hosts {
        Secrets::of(&job.under(rule), &lookup)?;
    }
    let of_files = |source| certificates_error(job, source);
    certificates::clients(job).map_err(of_files)?;
    certificates::roots(job).map_err(of_files)?;
    Ok(())
}

fn certificates_error(job: &Job, source: CertificateError) -> RunError {
    RunError::Certificates {
        job: job.name.clone(),
        source,
    }
}

fn terms(job: &Job, fetcher: Fetcher) -> HostTerms {
    HostTerms {
        fetcher,
        retry: job.retry.clone(),
        request: job.request.clone(),
        robots: job.robots.clone(),
        product_token: neap_parse::robots::product_token(&job.identity.user_agent).to_owned(),
        settings: JobSettings::of(job, 0),
    }
}

fn settings(job: &Job, secrets: Secrets, header_hosts: BTreeSet<Host>) -> FetchSettings {
    FetchSettings {
        addresses: AddressRule::new(job.request.private_addresses, &header_hosts),
        request: job.request.clone(),
        user_agent: job.identity.user_agent.clone(),
        headers: secrets.headers,
        header_hosts,
        logins: secrets.logins,
        extra_roots: Vec::new(),
        client_certificate: None,
        bind: job.request.bind,
        pace: None,
    }
}

/// What the client of a rule's hosts is made from. The rule's headers go to all of them, which for secrets is one
/// host; the job's own still go to the hosts of its input alone.
fn settings_of_rule(
    job: &Job,
    rule: &HostRule,
    input_hosts: &BTreeSet<Host>,
    lookup: impl Fn(&str) -> Option<String>,
) -> Result<FetchSettings, RunError> {
    let under = job.under(rule);
    let mut secrets = Secrets::of(&under, lookup)?;
    let mut home = input_hosts.clone();
    let is_rules = |name: &str| rule.headers.contains_key(name);
    match rule.hosts.one_host() {
        Some(host) => {
            if !home.contains(host) {
                let headers = &mut secrets.headers;
                headers.retain(|header| header.is_safe || is_rules(header.name.as_str()));
            }
            home = [host.clone()].into();
        }
        None => {
            for header in &mut secrets.headers {
                header.is_safe |= is_rules(header.name.as_str()) && !header.is_secret;
            }
        }
    }
    Ok(settings(&under, secrets, home))
}

#[cfg(test)]
mod tests {
    use neap_core::job::{HostPattern, Template};

    use super::*;

    #[test]
    fn headers_of_a_rule_go_to_its_hosts_and_those_of_the_job_to_its_input() {
        let mut job = Job::named("prices");
        let template = |text: &str| Template(text.to_owned());
        job.identity.headers = BTreeMap::from([("x-job".to_owned(), template("${env:KEY}"))]);
        for (pattern, name, value) in [
            ("https://api.example", "x-key", "${env:KEY}"),
            ("*.shop.example", "x-plain", "p"),
        ] {
            let mut rule = HostRule::of(HostPattern::parse(pattern).unwrap(), &job);
            rule.headers.insert(name.to_owned(), template(value));
            job.hosts.push(rule);
        }
        let host = |text: &str| Host::parse(text).unwrap();
        let lookup = |_: &str| Some("secret".to_owned());
        for (input, expected) in [
            (
                "https://api.example",
                [("x-job", true), ("x-key", true)].as_slice(),
            ),
            (
                "https://other.example",
                [("x-job", false), ("x-key", true)].as_slice(),
            ),
        ] {
            let input = [host(input)].into();
            let settings = settings_of_rule(&job, &job.hosts[0], &input, lookup).unwrap();
            assert_eq!(settings.header_hosts, [host("https://api.example")].into());
            for (name, is_there) in expected {
                let found = settings.headers.iter().any(|header| header.name == *name);
                assert_eq!(found, *is_there, "{name}");
            }
            assert!(settings.headers.iter().all(|header| !header.is_safe));
            let wide = settings_of_rule(&job, &job.hosts[1], &input, lookup).unwrap();
            assert_eq!(wide.header_hosts, input);
            let safe = wide.headers.iter().filter(|header| header.is_safe);
            assert!(safe.map(|header| header.name.as_str()).eq(["x-plain"]));
        }
    }
}
