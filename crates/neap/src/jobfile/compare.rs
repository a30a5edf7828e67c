//! What changes when a job file is run again after it was edited?
//!
//! How hard and how patiently a crawl asks may change while its work goes on, and input may be added.
//! What decides *which* pages belong to it, and as whom it asks for them, may not: the pages it has would
//! belong to one crawl and the coming ones to another. That needs a new round (`--fresh`).

pub(super) mod pools;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::fmt::friendly::SpanPrinter;
use neap_core::job::{
    Adaptive, AtMost, Crawl, Expect, Identity, Input, Job, Keep, Limits, Proxy, Rate, Request,
    Retry, Robots, StatusRange, Template, Traps,
};
use neap_core::params::ParamName;
use neap_core::scope::Pattern;

use super::identity::login_text;
use super::rules;
use super::words::{
    BODIES, DURABILITIES, INPUT_FORMATS, JITTERS, LIMIT_KEYS, ORDERS, REQUISITES, ROBOTS_MODES,
    SCOPES, word_for,
};
use crate::print::escape::for_terminal;

/// What differs between the stored job and the file, one line a key: `limits.delay: 0s -> 2s`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Changes {
    /// Holds from the next request on.
    pub(crate) at_once: Vec<String>,
    /// Refused, unless a new round begins.
    pub(crate) refused: Vec<String>,
}

/// Compares the job as stored with the one that was read now.
pub(crate) fn compare(stored: &Job, new: &Job) -> Changes {
    let mut changes = Changes::default();
    let (old_settings, new_settings) = (settings(stored), settings(new));
    for ((key, old), (_, new)) in old_settings.into_iter().zip(new_settings) {
        if old == new {
            continue;
        }
        let line = for_terminal(&format!("{key}: {old} -> {new}")).into_owned();
        match decides_what_is_crawled(key) {
            true => changes.refused.push(line),
            false => changes.at_once.push(line),
        }
    }
    let (refused, at_once) = rules::changes(stored, new);
    let escaped = |lines: Vec<String>| {
        let lines = lines.into_iter();
        lines.map(|line| for_terminal(&line).into_owned())
    };
    changes.refused.extend(escaped(refused));
    changes.at_once.extend(escaped(at_once));
    changes
        .at_once
        .extend(pools::changes(&stored.proxy.pools, &new.proxy.pools));
    changes
        .at_once
        .extend(input_changes(&stored.input, &new.input));
    changes
}

fn decides_what_is_crawled(key: &str) -> bool {
    matches!(
        key,
        "crawl.scope"
            | "crawl.include"
            | "crawl.exclude"
            | "crawl.max_depth"
            | "crawl.sitemaps"
            | "crawl.nofollow"
            | "crawl.drop_params"
            | "crawl.requisites"
            | "crawl.order"
            | "identity.user_agent"
            | "identity.headers"
            | "identity.safe_headers"
            | "identity.auth"
            | "identity.cookies"
            | "identity.cookie_file"
    )
}

/// Every setting of a job in the order of [`super::keys::KEYS`] and as a job file would write it, input
/// and pools excepted. Taken apart by name, so that a new field does not compile until it is compared, too.
pub(crate) fn settings(job: &Job) -> Vec<(&'static str, String)> {
    let Job {
        name,
        description,
        input:
            Input {
                urls: _,
                files: _,
                sitemaps: _,
                format,
                url_column,
            },
        crawl:
            Crawl {
                scope,
                include,
                exclude,
                max_depth,
                max_pages,
                sitemaps,
                nofollow,
                drop_params,
                requisites,
                order,
                traps:
                    Traps {
                        max_url_length,
                        max_repeated_segments,
                        max_query_variants,
                        max_years_ahead,
                        max_near_duplicates,
                        simhash_distance,
                        session_ids,
                    },
            },
        identity:
            Identity {
                user_agent,
                headers,
                safe_headers,
                auth,
                cookies,
                cookie_file,
            },
        request:
            Request {
                connect_timeout,
                read_timeout,
                total_timeout,
                max_body,
                redirects,
                private_addresses,
                name_servers,
                ca_file,
                bind,
            },
        limits:
            Limits {
                concurrency,
                per_host,
                per_host_rate,
                delay,
                key,
                bandwidth,
            },
        retry:
            Retry {
                attempts,
                statuses,
                base,
                max,
                jitter,
                retry_after_max,
                budget,
                swap_proxy_after,
            },
        robots: Robots {
            mode,
            crawl_delay_max,
        },
        proxy: Proxy { pools: _, direct },
        adaptive: Adaptive { give_up_after },
        store:
            Keep {
                path,
                bodies,
                metadata,
                links,
                segment_size,
                durability,
            },
        expect:
            Expect {
                max_failed,
                min_pages,
                statuses: expected,
                max_bytes,
            },
        hosts: _,
    } = job;
    let no_limit = || "no limit".to_owned();
    vec![
        ("name", name.clone()),
        ("description", quoted(description)),
        (
            "input.format",
            format
                .map_or("by name", |format| word_for(format, &INPUT_FORMATS))
                .to_owned(),
        ),
        ("input.url_column", quoted(url_column)),
        ("crawl.scope", word_for(*scope, &SCOPES).to_owned()),
        (
            "crawl.include",
            list(include.iter().map(Pattern::to_string)),
        ),
        (
            "crawl.exclude",
            list(exclude.iter().map(Pattern::to_string)),
        ),
        (
            "crawl.max_depth",
            max_depth.map_or_else(no_limit, |depth| depth.to_string()),
        ),
        (
            "crawl.max_pages",
            max_pages.map_or_else(no_limit, |pages| pages.to_string()),
        ),
        ("crawl.sitemaps", sitemaps.to_string()),
        ("crawl.nofollow", nofollow.to_string()),
        (
            "crawl.drop_params",
            list(drop_params.iter().map(ParamName::to_string)),
        ),
        (
            "crawl.requisites",
            word_for(*requisites, &REQUISITES).to_owned(),
        ),
        ("crawl.order", word_for(*order, &ORDERS).to_owned()),
        ("crawl.traps.max_url_length", max_url_length.to_string()),
        (
            "crawl.traps.max_repeated_segments",
            max_repeated_segments.to_string(),
        ),
        (
            "crawl.traps.max_query_variants",
            max_query_variants.to_string(),
        ),
        ("crawl.traps.max_years_ahead", max_years_ahead.to_string()),
        (
            "crawl.traps.max_near_duplicates",
            max_near_duplicates.to_string(),
        ),
        ("crawl.traps.simhash_distance", simhash_distance.to_string()),
        ("crawl.traps.session_ids", session_ids.to_string()),
        ("identity.user_agent", quoted(user_agent)),
        ("identity.headers", headers_text(headers)),
        ("identity.safe_headers", list(safe_headers.iter().cloned())),
        ("identity.auth", list(auth.iter().map(login_text))),
        ("identity.cookies", cookies.to_string()),
        (
            "identity.cookie_file",
            cookie_file
                .as_deref()
                .map_or_else(|| "none".to_owned(), quoted),
        ),
        ("request.connect_timeout", duration_text(*connect_timeout)),
        ("request.read_timeout", duration_text(*read_timeout)),
        ("request.total_timeout", duration_text(*total_timeout)),
        ("request.max_body", size_text(*max_body)),
        ("request.redirects", redirects.to_string()),
        ("request.private_addresses", private_addresses.to_string()),
        (
            "request.name_servers",
            list(name_servers.iter().map(ToString::to_string)),
        ),
        (
            "request.ca_file",
            ca_file.as_deref().map_or_else(|| "none".to_owned(), quoted),
        ),
        (
            "request.bind",
            bind.map_or_else(|| "any".to_owned(), |bind| bind.to_string()),
        ),
        ("limits.concurrency", concurrency.to_string()),
        ("limits.per_host", per_host.to_string()),
        (
            "limits.per_host_rate",
            per_host_rate.map_or_else(no_limit, rate_text),
        ),
        ("limits.delay", duration_text(*delay)),
        ("limits.key", word_for(*key, &LIMIT_KEYS).to_owned()),
        (
            "limits.bandwidth",
            bandwidth.map_or_else(no_limit, |bytes| format!("{}/s", size_text(bytes))),
        ),
        ("retry.attempts", attempts.to_string()),
        ("retry.statuses", format!("{statuses:?}")),
        ("retry.base", duration_text(*base)),
        ("retry.max", duration_text(*max)),
        ("retry.jitter", word_for(*jitter, &JITTERS).to_owned()),
        ("retry.retry_after_max", duration_text(*retry_after_max)),
        (
            "retry.budget",
            budget.map_or_else(|| "none".to_owned(), |share| share.to_string()),
        ),
        ("retry.swap_proxy_after", swap_proxy_after.to_string()),
        ("robots.mode", word_for(*mode, &ROBOTS_MODES).to_owned()),
        ("robots.crawl_delay_max", duration_text(*crawl_delay_max)),
        ("proxy.direct", direct.to_string()),
        ("adaptive.give_up_after", duration_text(*give_up_after)),
        (
            "store.path",
            path.as_deref().map_or_else(|| "default".to_owned(), quoted),
        ),
        ("store.bodies", word_for(*bodies, &BODIES).to_owned()),
        ("store.metadata", metadata.to_string()),
        ("store.links", links.to_string()),
        ("store.segment_size", size_text(*segment_size)),
        (
            "store.durability",
            word_for(*durability, &DURABILITIES).to_owned(),
        ),
        (
            "expect.max_failed",
            max_failed.map_or_else(no_limit, at_most_text),
        ),
        (
            "expect.min_pages",
            min_pages.map_or_else(|| "none".to_owned(), |pages| pages.to_string()),
        ),
        ("expect.statuses", statuses_text(expected)),
        (
            "expect.max_bytes",
            max_bytes.map_or_else(no_limit, size_text),
        ),
    ]
}

/// A bound as a job file writes it.
pub(crate) fn at_most_text(most: AtMost) -> String {
    match most {
        AtMost::Requests(requests) => requests.to_string(),
        AtMost::Percent(percent) => format!("\"{percent}%\""),
    }
}

/// Statuses as a job file writes them; `any` if none are named.
pub(crate) fn statuses_text(statuses: &[StatusRange]) -> String {
    if statuses.is_empty() {
        return "any".to_owned();
    }
    list(statuses.iter().map(StatusRange::to_string))
}

/// Input is only ever added: what was taken from an earlier version of the file stays in the job.
fn input_changes(stored: &Input, new: &Input) -> Vec<String> {
    let urls = |input: &Input| input.urls.iter().map(ToString::to_string).collect();
    let files = |input: &Input| input.files.iter().map(|file| format!("{file:?}")).collect();
    let sitemaps = |input: &Input| input.sitemaps.iter().map(ToString::to_string).collect();
    let gone = "no longer listed, kept in the job";
    let mut lines = added("input.urls", urls(stored), urls(new), gone);
    lines.extend(added("input.files", files(stored), files(new), gone));
    lines.extend(added(
        "input.sitemaps",
        sitemaps(stored),
        sitemaps(new),
        gone,
    ));
    lines
}

/// How many were added, and how many are gone: `gone` says what that means.
fn added(key: &str, old: BTreeSet<String>, new: BTreeSet<String>, gone: &str) -> Vec<String> {
    let (added, missing) = (new.difference(&old).count(), old.difference(&new).count());
    let mut lines = Vec::new();
    if added > 0 {
        lines.push(format!("{key}: {added} added"));
    }
    if missing > 0 {
        lines.push(format!("{key}: {missing} {gone}"));
    }
    lines
}

/// A duration as a job file writes it.
pub(crate) fn duration_text(duration: Duration) -> String {
    SpanPrinter::new().unsigned_duration_to_string(&duration)
}

/// A size as a job file writes it: exact, in the largest unit that divides it.
pub(crate) fn size_text(bytes: u64) -> String {
    for (unit, name) in [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")] {
        if bytes >= unit && bytes.is_multiple_of(unit) {
            return format!("{} {name}", bytes / unit);
        }
    }
    bytes.to_string()
}

/// A rate as a job file writes it.
pub(crate) fn rate_text(rate: Rate) -> String {
    let unit = match rate.per.as_secs() {
        1 => "s".to_owned(),
        60 => "m".to_owned(),
        3600 => "h".to_owned(),
        _ => duration_text(rate.per),
    };
    format!("{}/{unit}", rate.requests)
}

fn headers_text(headers: &BTreeMap<String, Template>) -> String {
    list(
        headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.0)),
    )
}

fn list(texts: impl Iterator<Item = String>) -> String {
    let quoted: Vec<String> = texts.map(|text| quoted(&text)).collect();
    format!("[{}]", quoted.join(", "))
}

fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}
