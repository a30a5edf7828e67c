//! What differs between the pools of the stored job and those of the file?
//!
//! Which proxies a crawl goes through does not decide which pages belong to it, so all of it may change.

use std::collections::BTreeSet;

use neap_core::job::ProxyPool;

use super::{added, quoted};
use crate::jobfile::words::{SELECTS, STICKIES, word_for};
use crate::print::escape::for_terminal;

/// The differences, one line each.
pub(super) fn changes(stored: &[ProxyPool], new: &[ProxyPool]) -> Vec<String> {
    let mut lines = Vec::new();
    let (old_names, new_names) = (names(stored), names(new));
    for name in old_names.iter().filter(|name| !new_names.contains(name)) {
        lines.push(format!("proxy.pool: {name} is gone"));
    }
    for pool in new {
        match stored.iter().find(|old| old.name == pool.name) {
            Some(old) => lines.extend(changes_of(old, pool)),
            None => lines.push(format!("proxy.pool: {} is new", pool.name)),
        }
    }
    let is_reordered = old_names != new_names && sorted(&old_names) == sorted(&new_names);
    if is_reordered {
        let [old, new] = [old_names, new_names].map(|names| names.join(", "));
        lines.push(format!("proxy.pool: {old} -> {new}"));
    }
    lines
}

fn names(pools: &[ProxyPool]) -> Vec<&str> {
    pools.iter().map(|pool| pool.name.as_str()).collect()
}

fn sorted<'a>(names: &[&'a str]) -> BTreeSet<&'a str> {
    names.iter().copied().collect()
}

fn changes_of(stored: &ProxyPool, new: &ProxyPool) -> Vec<String> {
    let key = |name: &str| format!("proxy.pool.{}.{name}", new.name);
    let urls = |pool: &ProxyPool| pool.urls.iter().map(|url| url.0.clone()).collect();
    let mut lines = added(&key("urls"), urls(stored), urls(new), "no longer listed");
    for ((name, old), (_, new)) in settings(stored).into_iter().zip(settings(new)) {
        if old != new {
            lines.push(for_terminal(&format!("{}: {old} -> {new}", key(name))).into_owned());
        }
    }
    lines
}

/// Every setting of a pool but its proxies. Taken apart by name, so that a new field does not compile until
/// it is compared, too.
pub(in crate::jobfile) fn settings(pool: &ProxyPool) -> [(&'static str, String); 5] {
    let ProxyPool {
        name: _,
        urls: _,
        file,
        select,
        sticky,
        max_per_proxy,
        fallback,
    } = pool;
    let file = file.as_deref().map_or_else(|| "none".to_owned(), quoted);
    let next = || "the next pool".to_owned();
    [
        ("file", file),
        ("select", word_for(*select, &SELECTS).to_owned()),
        ("sticky", word_for(*sticky, &STICKIES).to_owned()),
        ("max_per_proxy", max_per_proxy.to_string()),
        ("fallback", fallback.clone().unwrap_or_else(next)),
    ]
}
