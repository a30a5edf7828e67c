//! What does a host do, and why?

use std::time::Duration;

use neap_core::UnixMs;
use neap_store::{CauseCount, HostSummary, KeptChange, Standing, Tried};

use super::attempt::{last_failure, seen};
use super::causes::{fault, producer};
use super::time::{ahead, at, span};
use super::{Now, limit};
use crate::print::escape::for_terminal;
use crate::screen::{grouped, number};

/// What was written longer ago than this tells of no present pace: a host that is asked anything is
/// written down every two seconds.
const OF_LATE: Duration = Duration::from_secs(10);

/// Hosts that share a limit and are named; of more it is only said that there are.
const SHARING_TOLD: usize = 5;

/// Hosts that share a limit and are counted.
pub(crate) const MOST_SHARING: u32 = 10_000;

/// Changes of the limit that `why` names, the newest.
const CHANGES_TOLD: usize = 5;

/// A host's state in a few words, and whether all that is to be asked of it is paused.
pub(crate) fn state(host: &HostSummary, now: &Now) -> String {
    let own = own_state(host, now);
    let rests = host.paused > 0 && host.paused == host.ready + host.waiting;
    match (rests, host.standing.is_some() && own != "steady") {
        (false, _) => own,
        (true, false) => "paused".to_owned(),
        (true, true) => format!("paused; {own}"),
    }
}

/// What a host does itself, in a few words.
pub(super) fn own_state(host: &HostSummary, now: &Now) -> String {
    let Some((standing, epoch, _)) = &host.standing else {
        return "not asked yet".to_owned();
    };
    let is_live = now.is_live(*epoch);
    let down = |since: UnixMs| format!("down since {}", at(since, now.at));
    match (standing.is_given_up, standing.only_probed) {
        (true, Some((since, _))) => return format!("given up, {}", down(since)),
        (true, None) => return "given up".to_owned(),
        (false, Some((since, next))) if is_live => {
            let next = ahead(next, now.at);
            return format!("only probed, next {next}, {}", down(since));
        }
        (false, Some((since, _))) => return format!("only probed, {}", down(since)),
        (false, None) => {}
    }
    if let Some(until) = standing.held_until.filter(|until| *until > now.at) {
        return format!("asked for a pause until {}", at(until, now.at));
    }
    if waits_for_robots(host, standing) {
        return match standing.robots_failing {
            Some((since, next)) if is_live => format!(
                "waits for robots.txt, next {}, not to be had since {}",
                ahead(next, now.at),
                at(since, now.at)
            ),
            Some((since, _)) => {
                let since = at(since, now.at);
                format!("waits for robots.txt, not to be had since {since}")
            }
            None => "waits for robots.txt".to_owned(),
        };
    }
    "steady".to_owned()
}

/// Requests that a host has in flight now.
pub(crate) fn in_flight(host: &HostSummary, now: &Now) -> u32 {
    let live = host
        .standing
        .as_ref()
        .filter(|(_, epoch, _)| now.is_live(*epoch));
    live.map_or(0, |(standing, ..)| standing.in_flight)
}

/// Requests a second that a host gets now.
pub(crate) fn rate(host: &HostSummary, now: &Now) -> f64 {
    let live = host
        .standing
        .as_ref()
        .filter(|(_, epoch, written)| now.is_live(*epoch) && now.at.since(*written) <= OF_LATE);
    live.map_or(0.0, |(standing, ..)| standing.requests_per_s)
}

/// A host that has nothing to be asked for needs no rules.
fn waits_for_robots(host: &HostSummary, standing: &Standing) -> bool {
    standing.waits_for_robots && host.ready + host.waiting > 0
}

/// All that is known of a host.
#[derive(Debug)]
pub(crate) struct HostStory {
    /// How it does.
    pub(crate) host: HostSummary,
    /// The paused jobs that have something to ask of it.
    pub(crate) paused: Vec<String>,
    /// The others that share its limit.
    pub(crate) sharing: Vec<String>,
    /// How its limit went, the oldest first.
    pub(crate) changes: Vec<KeptChange>,
    /// How its last attempts ended.
    pub(crate) causes: Vec<CauseCount>,
    /// Its last attempt that somebody is to blame for.
    pub(crate) last_failure: Option<Tried>,
}

/// What happened to a host, why its requests wait and until when.
pub(crate) fn why(story: &HostStory, now: &Now) -> Vec<String> {
    let host = &story.host;
    let mut told = vec![host.name.clone()];
    told.extend(present(host, now));
    told.extend(shares(host, &story.sharing).map(|shares| format!("  It {shares}")));
    told.extend(waits(host, now));
    told.push(requests(host, now));
    told.extend(paused(host, &story.paused));
    told.extend(robots(host, now));
    told.extend(last_attempts(&story.causes));
    told.extend(spoilt(host));
    told.extend(
        story
            .last_failure
            .iter()
            .flat_map(|tried| last_failure(tried, now)),
    );
    told.extend(changes(&story.changes, now));
    told
}

/// With whom a host shares its limit, if it does, as the rest of a sentence that begins with its name.
pub(crate) fn shares(host: &HostSummary, others: &[String]) -> Option<String> {
    let names = listed(others)?;
    let leader = host.shares_limit_with.as_ref().unwrap_or(&host.name);
    Some(format!(
        "shares its limit with {names} (`limits.key = \"domain\"`): together they may have that many \
         requests in flight, and its changes are kept under {leader}."
    ))
}

/// Whose limit is drawn.
pub(crate) fn title(host: &HostSummary, others: &[String]) -> String {
    match listed(others) {
        Some(names) => format!("{}, shared with {names}", host.name),
        None => host.name.clone(),
    }
}

/// Names as people list them, the first few; `None` if there are none.
fn listed(names: &[String]) -> Option<String> {
    let (last, first) = names.split_last()?;
    if names.len() > SHARING_TOLD {
        let more = names.len() - SHARING_TOLD;
        let told = names[..SHARING_TOLD].join(", ");
        return Some(format!("{told} and {} more", grouped(more as u64)));
    }
    Some(match first {
        [] => last.clone(),
        [_, ..] => format!("{} and {last}", first.join(", ")),
    })
}

/// How many requests it may have and has.
fn present(host: &HostSummary, now: &Now) -> Option<String> {
    let (standing, epoch, written) = host.standing.as_ref()?;
    let may = limit(standing.limit);
    let latency = match standing.p95 {
        Some(p95) => format!("; 95 of 100 answers begin within {}", span(p95)),
        None => String::new(),
    };
    Some(if now.is_live(*epoch) {
        format!(
            "  It may have {may} requests in flight and has {}, {:.1} a second of late{latency}.",
            in_flight(host, now),
            rate(host, now),
        )
    } else {
        format!(
            "  It could have {may} requests in flight when a run last asked it, at {}{latency}.",
            at(*written, now.at)
        )
    })
}

/// Why requests to a host wait, and until when; for what the host does, not the request.
pub(super) fn waits(host: &HostSummary, now: &Now) -> Option<String> {
    let Some((standing, epoch, _)) = &host.standing else {
        return Some("  No run has asked it anything yet.".to_owned());
    };
    let is_live = now.is_live(*epoch);
    let ago = |since: UnixMs| {
        let ago = span(now.at.since(since));
        format!("{} ({ago} ago)", at(since, now.at))
    };
    if standing.is_given_up {
        return Some(
            "  It did nothing but fail for longer than `adaptive.give_up_after` and was given up: \
             its requests failed with the cause host_given_up."
                .to_owned(),
        );
    }
    if let Some((since, next)) = standing.only_probed {
        let next = match is_live {
            true => format!("the next probe goes {}", ahead(next, now.at)),
            false => "the next run begins with a probe".to_owned(),
        };
        return Some(format!(
            "  It has done nothing but fail since {}, so it is only probed, one request at a time; \
             {next}, and its other requests wait until it answers.",
            ago(since),
        ));
    }
    if let Some(until) = standing.held_until.filter(|until| *until > now.at) {
        return Some(format!(
            "  It asked for a pause (Retry-After) until {}, {} from now: nothing is sent before.",
            at(until, now.at),
            span(until.since(now.at)),
        ));
    }
    if !waits_for_robots(host, standing) {
        return None;
    }
    Some(match standing.robots_failing {
        Some((since, next)) => {
            let next = match is_live {
                true => format!("; it is asked for again {}", ahead(next, now.at)),
                false => String::new(),
            };
            format!(
                "  Its robots.txt could not be had since {}, and nothing else may be asked before it \
                 is known (RFC 9309){next}.",
                ago(since),
            )
        }
        None => {
            "  Its robots.txt is not known yet, and nothing else may be asked before.".to_owned()
        }
    })
}

fn requests(host: &HostSummary, now: &Now) -> String {
    let sent = u64::from(in_flight(host, now));
    format!(
        "  Requests: {} done, {} failed, {} ready, {} waiting for the end of their own backoff, \
         {} in flight.",
        grouped(host.done),
        grouped(host.failed),
        grouped(host.ready.saturating_sub(sent)),
        grouped(host.waiting),
        grouped(sent),
    )
}

/// What of it waits for a person.
fn paused(host: &HostSummary, jobs: &[String]) -> Option<String> {
    let first = for_terminal(jobs.first()?);
    let jobs: Vec<String> = jobs
        .iter()
        .map(|name| for_terminal(name).into_owned())
        .collect();
    let (whose, what) = match jobs.len() {
        1 => ("job", "it"),
        _ => ("jobs", "that one"),
    };
    Some(format!(
        "  Of these, {} not asked for while the {whose} {} rest{}: `neap continue {first}` lets {what} go on.",
        match host.paused {
            1 => "1 is".to_owned(),
            paused => format!("{} are", grouped(paused)),
        },
        listed(&jobs)?,
        if jobs.len() == 1 { "s" } else { "" },
    ))
}

fn robots(host: &HostSummary, now: &Now) -> Option<String> {
    let (status, expires) = host.robots?;
    let until = at(expires, now.at);
    let what = match status {
        Some(200..300) => "its robots.txt is known".to_owned(),
        Some(status) => format!("its robots.txt was answered {status}, so there are no rules"),
        None => "its robots.txt led nowhere, so there are no rules".to_owned(),
    };
    Some(format!("  Robots: {what}; that holds until {until}."))
}

fn last_attempts(causes: &[CauseCount]) -> Option<String> {
    let total: u64 = causes.iter().map(|count| count.attempts).sum();
    if total == 0 {
        return None;
    }
    let share = |attempts: u64| {
        let percent = 100.0 * attempts as f64 / total as f64;
        format!("{} ({percent:.1} %)", grouped(attempts))
    };
    let told: Vec<String> = causes
        .iter()
        .map(|count| match &count.cause {
            None => format!("{} went well", share(count.attempts)),
            Some(word) => format!("{}: {}", share(count.attempts), ended(word, count)),
        })
        .collect();
    let attempts = number(total, "attempt");
    Some(format!("  Of its last {attempts}: {}.", told.join("; ")))
}

/// Why attempts brought no page, who answered them and whose fault that was.
fn ended(word: &str, count: &CauseCount) -> String {
    let culprit = &count.culprit;
    let mut clauses = vec![seen(word, culprit.connect_status)];
    if let Some(word) = &culprit.fault {
        let who = culprit.producer.as_deref().and_then(producer);
        clauses.extend(who.map(str::to_owned));
        clauses.push(fault(word));
    }
    clauses.join(", ")
}

/// What proxies did to it.
fn spoilt(host: &HostSummary) -> Option<String> {
    let answered = match host.proxy_502 {
        0 => String::new(),
        answers => format!("; {} answered 502 by a proxy", are(answers)),
    };
    let spoilt = host.proxy_failures;
    (spoilt + host.proxy_502 > 0).then(|| {
        format!(
            "  Through proxies, {} of its {} failed by their fault{answered}: `neap proxies` shows them.",
            grouped(spoilt),
            number(host.attempts, "attempt"),
        )
    })
}

fn are(attempts: u64) -> String {
    match attempts {
        1 => "1 was".to_owned(),
        attempts => format!("{} were", grouped(attempts)),
    }
}

fn changes(changes: &[KeptChange], now: &Now) -> Vec<String> {
    let newest = changes.iter().rev().take(CHANGES_TOLD);
    let mut told: Vec<String> = newest
        .map(|change| {
            format!(
                "    {}  {} -> {}  {}",
                at(change.at, now.at),
                limit(change.before),
                limit(change.after),
                change.reason
            )
        })
        .collect();
    if !told.is_empty() {
        told.insert(0, "  Its limit changed last, the newest first:".to_owned());
    }
    told
}

#[cfg(test)]
pub(super) mod tests;
