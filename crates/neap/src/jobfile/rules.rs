//! What does a job file say for some hosts alone?
//!
//! `[[host]]` may stand there many times. A rule is read like the sections that it changes, by the same functions:
//! what it leaves out is what the job says, and a key that holds for the whole job is refused in it.

use std::collections::BTreeMap;
use std::path::Path;

use neap_core::job::{HostPattern, HostRule, Job, Template};

use super::build;
use super::compare::settings;
use super::identity::{Entry, headers_of};
use super::keys::HOSTS;
use super::problem::Complaint;
use super::reader::{Reader, string};
use super::source::Source;
use super::values;
use crate::print::escape::quoted;

/// Reads the rules of a job, of which all else is read; `path` is the job file.
pub(super) fn rules(
    reader: &mut Reader<'_>,
    file: &Source,
    job: &Job,
    path: &Path,
) -> Vec<HostRule> {
    let mut rules: Vec<HostRule> = Vec::new();
    for place in 0..reader.fields.tables(&HOSTS).len() {
        let Some(hosts) = hosts(reader, place, &rules) else {
            continue;
        };
        reader.within = HOSTS.key_in(place, "");
        let rule = rule(reader, hosts, job, path);
        if reader.problems.is_empty() {
            build::check_together(reader, file, &job.under(&rule));
        }
        reader.within.clear();
        rules.push(rule);
    }
    rules
}

/// Which hosts a rule is for; `None` if that is not told.
fn hosts(reader: &mut Reader<'_>, place: usize, before: &[HostRule]) -> Option<HostPattern> {
    let key = HOSTS.key_in(place, "match");
    let spot = reader.fields.tables(&HOSTS)[place].clone();
    if reader.fields.get(&key).is_none() {
        let complaint = Complaint::new("the rule is for no host").help(
            "add `match`: \"shop.example\", \"*.shop.example\" or \"https://shop.example:8443\"",
        );
        reader.problems.value(spot, complaint);
        return None;
    }
    let read = |text: &str| {
        HostPattern::parse(text).map_err(|why| {
            let complaint = Complaint::new(format!("not a pattern of hosts: {why}")).help(
                "write \"shop.example\", \"*.shop.example\" or \"https://shop.example:8443\"",
            );
            match values::has_credentials(text) {
                true => complaint.secret(),
                false => complaint,
            }
        })
    };
    let hosts = reader.text(&key, read)?;
    if before.iter().any(|rule| rule.hosts == hosts) {
        let message = format!(
            "another rule is for `{}` already",
            quoted(&hosts.to_string())
        );
        let complaint =
            Complaint::new(message).help("the first rule that matches a host holds alone");
        reader.problems.value(spot, complaint);
    }
    Some(hosts)
}

fn rule(reader: &mut Reader<'_>, hosts: HostPattern, job: &Job, path: &Path) -> HostRule {
    let user_agent = reader.text("identity.user_agent", values::user_agent);
    HostRule {
        user_agent: user_agent.unwrap_or_else(|| job.identity.user_agent.clone()),
        headers: headers(reader, &hosts, path.parent().unwrap_or(Path::new(""))),
        request: build::request(reader, job.request.clone()),
        limits: build::limits(reader, job.limits.clone()),
        retry: build::retry(reader, job.retry.clone()),
        robots: build::robots(reader, job.robots.clone()),
        pool: pool(reader, job),
        hosts,
    }
}

/// The pool to begin with, which is one that the job uses.
fn pool(reader: &mut Reader<'_>, job: &Job) -> Option<String> {
    let used = neap_core::egress::pools(job);
    reader.text("proxy.pool", |text| {
        let name = values::pool_name(text)?;
        if used.iter().any(|pool| *pool.name == *name) {
            return Ok(name);
        }
        let names: Vec<&str> = used.iter().map(|pool| &*pool.name).collect();
        let help = match names.is_empty() {
            true => "the job has no pools, and goes directly".to_owned(),
            false => format!("pools: {}", names.join(", ")),
        };
        Err(Complaint::new(format!("there is no pool `{name}`")).help(help))
    })
}

fn headers(reader: &mut Reader<'_>, hosts: &HostPattern, dir: &Path) -> BTreeMap<String, Template> {
    let Some(field) = reader.find("identity.headers") else {
        return BTreeMap::new();
    };
    let source = field.key.source.clone();
    let Some(table) = field.value.get_ref().as_table() else {
        let complaint = Complaint::new("expected a table")
            .help("write e.g. `headers = { accept-language = \"de\" }`");
        let spot = field.spot();
        reader.problems.value(spot, complaint);
        return BTreeMap::new();
    };
    let entries = table.iter().map(|(name, value)| Entry {
        name: name.get_ref().to_string(),
        value: string(value.get_ref()).map(str::to_owned),
        key: source.spot(name.span()),
        spot: source.spot(value.span()),
    });
    let entries: Vec<Entry> = entries.collect();
    let spot = |entry: &Entry| (entry.name.to_ascii_lowercase(), entry.spot.clone());
    let spots: BTreeMap<_, _> = entries.iter().map(spot).collect();
    let headers = headers_of(reader, entries, dir);
    let secrets = headers.iter().filter(|(_, value)| value.is_secret());
    for (name, _) in secrets.filter(|_| hosts.one_host().is_none()) {
        let message = format!("`{name}` is a secret, and the rule is for more than one host");
        let complaint = Complaint::new(message)
            .help("let `match` name scheme, host and port: \"https://shop.example\"");
        if let Some(spot) = spots.get(name) {
            reader.problems.value(spot.clone(), complaint);
        }
    }
    headers
}

/// What is different for the hosts of a rule, as `key: value`.
pub(crate) fn differences(job: &Job, rule: &HostRule) -> Vec<String> {
    let under = job.under(rule);
    let mut plain = job.clone();
    plain.input = under.input.clone();
    let pairs = settings(&plain).into_iter().zip(settings(&under));
    let differ = pairs.filter(|((_, base), (_, here))| base != here);
    let mut lines: Vec<String> = differ
        .map(|(_, (key, here))| format!("{key}: {here}"))
        .collect();
    lines.extend(rule.pool.as_ref().map(|pool| format!("proxy.pool: {pool}")));
    lines
}

/// The differences between the rules of the stored job and those of the file, one line each: those of identity,
/// which decide as whom pages are asked for, and the others.
pub(super) fn changes(stored: &Job, new: &Job) -> (Vec<String>, Vec<String>) {
    let told = |job: &Job| -> BTreeMap<String, Vec<String>> {
        let rules = job.hosts.iter();
        rules
            .map(|rule| (rule.hosts.to_string(), differences(job, rule)))
            .collect()
    };
    let (old, new_rules) = (told(stored), told(new));
    let (mut of_identity, mut others) = (Vec::new(), Vec::new());
    let all: std::collections::BTreeSet<&String> = old.keys().chain(new_rules.keys()).collect();
    for hosts in all {
        let empty = Vec::new();
        let (before, after) = (
            old.get(hosts).unwrap_or(&empty),
            new_rules.get(hosts).unwrap_or(&empty),
        );
        let is_in = |lines: &[String], line: &String| lines.contains(line);
        let gone = before
            .iter()
            .filter(|line| !is_in(after, line))
            .map(|line| format!("no longer {line}"));
        let came = after.iter().filter(|line| !is_in(before, line)).cloned();
        for line in gone.chain(came) {
            let is_of_identity = line.contains("identity.");
            let line = format!("host {hosts}: {line}");
            match is_of_identity {
                true => of_identity.push(line),
                false => others.push(line),
            }
        }
    }
    let order = |job: &Job| -> Vec<String> {
        job.hosts
            .iter()
            .map(|rule| rule.hosts.to_string())
            .collect()
    };
    if order(stored) != order(new) {
        let [old, new] = [stored, new].map(|job| order(job).join(", "));
        others.push(format!("host: [{old}] -> [{new}]"));
    }
    (of_identity, others)
}

#[cfg(test)]
mod tests;
