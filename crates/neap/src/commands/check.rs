//! `neap check`: is a job file good? Nothing is stored and nothing is fetched.

use std::collections::{BTreeSet, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};

use neap_core::egress::chain;
use neap_core::job::{Job, Login, ProxyPool};
use neap_core::{CanonicalUrl, Host};

use crate::cli::Global;
use crate::exit::{self, Exit};
use crate::failure::{Failure, words};
use crate::jobfile::{self, JobFile, Known};
use crate::print::escape::{for_terminal, quoted};
use crate::screen::{grouped, number};

/// Checks every file, and tells of each; the first bad one does not hide the others.
///
/// # Errors
/// None of its own: what is wrong is printed, and the exit code says that something is.
pub(crate) fn check(
    global: &Global,
    files: &[PathBuf],
    host: Option<&str>,
    overrides: &[String],
) -> Result<Exit, Failure> {
    let host = host.map(read_host).transpose()?;
    let mut exit = exit::DONE;
    for path in files {
        match check_one(path, overrides, host.as_ref(), global.verbose > 0) {
            Ok(line) => crate::print::line(&line)?,
            Err(failure) => {
                say!("{:?}", failure.report);
                exit = failure.exit;
            }
        }
    }
    Ok(exit)
}

/// The host that a person means.
fn read_host(text: &str) -> Result<Host, Failure> {
    let whole = match text.contains("://") {
        true => text.to_owned(),
        false => format!("https://{text}"),
    };
    Host::parse(&whole).ok_or_else(|| {
        Failure::usage(
            format!("`{}` is no host", quoted(text)),
            "write `https://shop.example`, `http://shop.example:8080` or `shop.example`",
        )
    })
}

fn check_one(
    path: &Path,
    overrides: &[String],
    host: Option<&Host>,
    many: bool,
) -> Result<String, Failure> {
    let file = jobfile::read(path, overrides)?;
    let mut hosts = BTreeSet::new();
    let mut seen = Seen::default();
    let mut input = file.input_rows(Known::default(), many)?;
    for row in input.by_ref() {
        let url = row?.url;
        seen.see(&url);
        hosts.insert(url.host());
    }
    super::submit::warn_of_malformed(&file, &input);
    if hosts.is_empty() {
        return Err(super::submit::nothing_to_ask(&file));
    }
    let checked = neap_runner::check_secrets(&file.job, |name| std::env::var(name).ok());
    let is_ready = checked.is_ok();
    let members = checked.unwrap_or_else(|error| {
        let why = words(&error);
        say!(
            "{}: a run would fail: {}",
            file.path.display(),
            for_terminal(&why)
        );
        Vec::new()
    });
    let ways = ways(&file.job, &members);
    let of_host = host.map(|host| of_host(&file.job, host, hosts.contains(host)));
    Ok(told(&file, is_ready, input.rows(), seen.again, &hosts)
        + &ways
        + &of_host.unwrap_or_default())
}

/// What holds for a host, a line each.
fn of_host(job: &Job, host: &Host, is_input: bool) -> String {
    let mut lines = Vec::new();
    match job.rule_for(host) {
        None => lines.push(match job.hosts.is_empty() {
            true => "what the job says for all hosts".to_owned(),
            false => "no [[host]] matches: what the job says for all hosts".to_owned(),
        }),
        Some(place) => {
            let rule = &job.hosts[place];
            lines.push(format!(
                "[[host]] number {}, match = \"{}\", which changes",
                place + 1,
                rule.hosts
            ));
            let changed = jobfile::differences(job, rule).into_iter();
            lines.extend(changed.map(|line| format!("  {line}")));
        }
    }
    let identity = &job.identity;
    let own = identity.headers.keys();
    let mut own = own
        .filter(|name| !identity.safe_headers.contains(*name))
        .peekable();
    if own.peek().is_some() {
        let names: Vec<&str> = own.map(String::as_str).collect();
        let names = names.join(", ");
        lines.push(match is_input {
            true => format!("is sent the headers of the job: {names}"),
            false => format!("is no host of the input, and is not sent {names}"),
        });
    }
    let login = identity.auth.iter().find(|auth| auth.origin == *host);
    lines.extend(login.and_then(|auth| match auth.login.as_ref()? {
        Login::Basic { user, .. } => Some(format!("is sent the password of {}", user.0)),
        Login::Bearer(_) => Some("is sent a bearer token".to_owned()),
    }));
    let certificate = login.and_then(|auth| auth.certificate.as_ref());
    lines.extend(certificate.map(|files| format!("is shown the certificate {}", files.chain)));
    let line = |text: String| format!("\n    {}", for_terminal(&text));
    let told: String = lines.into_iter().map(line).collect();
    format!("\n  {host}{told}")
}

/// Digests of URLs that are remembered, to tell those that occur again: some 100 MB.
const MOST_SEEN: usize = 4_000_000;

/// Which URLs occurred already, and how often one occurred again. Only among the first few million.
#[derive(Default)]
struct Seen {
    urls: HashSet<u64>,
    hasher: RandomState,
    again: u64,
}

impl Seen {
    fn see(&mut self, url: &CanonicalUrl) {
        let digest = self.hasher.hash_one(url.as_str());
        if self.urls.contains(&digest) {
            self.again += 1;
        } else if self.urls.len() < MOST_SEEN {
            self.urls.insert(digest);
        }
    }
}

fn told(file: &JobFile, is_ready: bool, rows: u64, again: u64, hosts: &BTreeSet<Host>) -> String {
    format!(
        "{}  {}   job {}: {} on {}{}",
        file.path.display(),
        if is_ready { "ok" } else { "not ready" },
        file.job.name,
        number(rows - again, "URL"),
        number(hosts.len() as u64, "host"),
        match again {
            0 => String::new(),
            again => format!(" ({} left out)", number(again, "duplicate")),
        },
    )
}

/// Through which pools requests go, in order, with the number of their `members` if that is known. Empty for
/// a job without pools.
fn ways(job: &Job, members: &[usize]) -> String {
    let pools = &job.proxy.pools;
    // The job was read, so its pools are in order.
    let order = chain(pools).unwrap_or_default();
    let named = order
        .iter()
        .map(|place| way(&pools[*place], members.get(*place)));
    let mut ways: Vec<String> = named.collect();
    if ways.is_empty() {
        return String::new();
    }
    if job.proxy.direct {
        ways.push("directly".to_owned());
    }
    format!(", through {}", ways.join(", then "))
}

fn way(pool: &ProxyPool, members: Option<&usize>) -> String {
    let list = pool.file.as_deref().map(Path::new);
    let file = list.and_then(Path::file_name).map(|name| {
        let name = name.to_string_lossy();
        let some = if pool.urls.is_empty() { "" } else { "some " };
        format!("{some}from {}", for_terminal(&name))
    });
    let count = members.map(|members| match members {
        1 => "1 proxy".to_owned(),
        many => format!("{} proxies", grouped(*many as u64)),
    });
    match (count, file) {
        (Some(count), Some(file)) => format!("{} ({count} {file})", pool.name),
        (Some(told), None) | (None, Some(told)) => format!("{} ({told})", pool.name),
        (None, None) => pool.name.clone(),
    }
}
