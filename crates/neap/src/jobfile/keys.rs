//! Which keys does a job file have, and which one was meant?

use super::problem::Complaint;
use crate::print::escape;

/// Every key there is, with its section. The order is the one in which the keys are listed to people.
pub(super) const KEYS: [&str; 70] = [
    "neap",
    "name",
    "description",
    "input.urls",
    "input.files",
    "input.sitemaps",
    "input.format",
    "input.url_column",
    "crawl.scope",
    "crawl.include",
    "crawl.exclude",
    "crawl.max_depth",
    "crawl.max_pages",
    "crawl.sitemaps",
    "crawl.nofollow",
    "crawl.drop_params",
    "crawl.requisites",
    "crawl.order",
    "crawl.traps.max_url_length",
    "crawl.traps.max_repeated_segments",
    "crawl.traps.max_query_variants",
    "crawl.traps.max_years_ahead",
    "crawl.traps.max_near_duplicates",
    "crawl.traps.simhash_distance",
    "crawl.traps.session_ids",
    "identity.user_agent",
    "identity.headers",
    "identity.safe_headers",
    "identity.auth",
    "identity.cookies",
    "identity.cookie_file",
    "request.connect_timeout",
    "request.read_timeout",
    "request.total_timeout",
    "request.max_body",
    "request.redirects",
    "request.private_addresses",
    "request.name_servers",
    "request.ca_file",
    "request.bind",
    "limits.concurrency",
    "limits.per_host",
    "limits.per_host_rate",
    "limits.delay",
    "limits.key",
    "limits.bandwidth",
    "retry.attempts",
    "retry.statuses",
    "retry.base",
    "retry.max",
    "retry.jitter",
    "retry.retry_after_max",
    "retry.budget",
    "retry.swap_proxy_after",
    "robots.mode",
    "robots.crawl_delay_max",
    "proxy.direct",
    "proxy.pool",
    "adaptive.give_up_after",
    "store.path",
    "store.bodies",
    "store.metadata",
    "store.links",
    "store.segment_size",
    "store.durability",
    "expect.max_failed",
    "expect.min_pages",
    "expect.statuses",
    "expect.max_bytes",
    "host",
];

/// A key that may stand there many times, each time with keys of its own: `[[proxy.pool]]`.
#[derive(Debug)]
pub(super) struct Tables {
    /// Its whole name.
    pub(super) key: &'static str,
    /// The keys of one of them.
    pub(super) keys: &'static [&'static str],
    /// Most of them.
    pub(super) most: usize,
    /// What one of them is called; many have an `s` more.
    pub(super) one: &'static str,
}

/// Pools of proxies; each is asked in turn whether it helps a host.
pub(super) const POOLS: Tables = Tables {
    key: "proxy.pool",
    keys: &[
        "name",
        "urls",
        "file",
        "select",
        "sticky",
        "max_per_proxy",
        "fallback",
    ],
    most: 32,
    one: "pool",
};

/// Logins, each of one host.
pub(super) const LOGINS: Tables = Tables {
    key: "identity.auth",
    keys: &["origin", "user", "password", "bearer", "certificate", "key"],
    most: 1_000,
    one: "login",
};

/// Rules for some hosts. The keys of their sections stand in a table of the section's name.
pub(super) const HOSTS: Tables = Tables {
    key: "host",
    keys: &[
        "match",
        "identity.user_agent",
        "identity.headers",
        "request.connect_timeout",
        "request.read_timeout",
        "request.total_timeout",
        "request.max_body",
        "request.redirects",
        "limits.per_host",
        "limits.per_host_rate",
        "limits.delay",
        "retry.attempts",
        "retry.statuses",
        "retry.base",
        "retry.max",
        "retry.jitter",
        "retry.retry_after_max",
        "retry.budget",
        "robots.mode",
        "robots.crawl_delay_max",
        "proxy.pool",
    ],
    most: 1_000,
    one: "rule",
};

/// All of them.
const TABLES: [&Tables; 3] = [&POOLS, &LOGINS, &HOSTS];

/// The tables of this name, if that is a key of such.
pub(super) fn tables(key: &str) -> Option<&'static Tables> {
    TABLES.into_iter().find(|tables| tables.key == key)
}

impl Tables {
    /// The name under which a value of one of them is kept; they are counted from 0.
    pub(super) fn key_in(&self, place: usize, name: &str) -> String {
        format!("{}[{place}].{name}", self.key)
    }

    /// The name of a key of one of them, as `keys` has it.
    pub(super) fn find(&self, name: &str) -> Option<&'static str> {
        self.keys.iter().find(|known| **known == name).copied()
    }

    /// Whether they have sections, and this is one.
    pub(super) fn has_section(&self, name: &str) -> bool {
        self.sections().contains(&name)
    }

    fn sections(&self) -> Vec<&'static str> {
        let keys = self.keys.iter().filter_map(|key| key.split_once('.'));
        let mut sections: Vec<&str> = keys.map(|(section, _)| section).collect();
        sections.dedup();
        sections
    }

    /// What to say about a key of one of them that does not exist.
    pub(super) fn unknown(&self, key: &str) -> Complaint {
        let (section, name) = split(key);
        let here = self.keys.iter().filter(|known| split(known).0 == section);
        let here: Vec<&str> = match section {
            "" => here.copied().chain(self.sections()).collect(),
            _ => here.map(|known| split(known).1).collect(),
        };
        let is_of_job = find(section, name).is_some() || sections().contains(&key);
        let help = match nearest(name, here.iter().copied()) {
            _ if is_of_job && self.key == HOSTS.key => {
                format!(
                    "`{key}` holds for the whole job; a rule has {}",
                    here.join(", ")
                )
            }
            Some(near) => format!("did you mean `{near}`?"),
            None if self.key == POOLS.key && key == "direct" => belongs("proxy.direct"),
            None if section.is_empty() => {
                format!("keys of [[{}]]: {}", self.key, here.join(", "))
            }
            None => format!(
                "keys of `{section}` in [[{}]]: {}",
                self.key,
                here.join(", ")
            ),
        };
        Complaint::new(format!("unknown key `{}`", escape::quoted(key))).help(help)
    }
}

/// The names of the sections.
pub(super) fn sections() -> Vec<&'static str> {
    let mut names: Vec<&str> = KEYS
        .iter()
        .filter_map(|key| key.split_once('.'))
        .map(|(s, _)| s)
        .collect();
    names.dedup();
    names
}

/// The whole name of a key, as [`KEYS`] has it. The section of a key that stands in none is empty.
pub(super) fn find(section: &str, key: &str) -> Option<&'static str> {
    KEYS.into_iter()
        .find(|known| split(known) == (section, key))
}

/// Whether there is a key with this whole name.
#[cfg(test)]
pub(crate) fn is_key(name: &str) -> bool {
    KEYS.contains(&name)
}

/// Section and name of one of [`KEYS`].
pub(super) fn split(key: &str) -> (&str, &str) {
    key.split_once('.').unwrap_or(("", key))
}

/// What to say about a key (or section) that does not exist.
pub(super) fn unknown(section: &str, key: &str) -> Complaint {
    let message = format!("unknown key `{}`", escape::quoted(key));
    Complaint::new(message).help(advice(section, key))
}

/// The likeliest reason first: the right key in the wrong place, then a slip of the fingers here, then
/// one elsewhere, then everything that would be right.
fn advice(section: &str, key: &str) -> String {
    if section == "proxy"
        && let Some(key) =
            nearest(key, POOLS.keys.iter().copied()).filter(|near| *near == key || *near == "urls")
    {
        return format!("`{key}` belongs to a pool, which begins with [[proxy.pool]]");
    }
    if let Some(known) = KEYS.into_iter().find(|known| split(known).1 == key) {
        return belongs(known);
    }
    if sections().contains(&key) {
        return format!("[{key}] is a section of its own");
    }
    let here = names(section);
    if let Some(near) = nearest(key, here.iter().copied()) {
        return match sections().contains(&near) && section.is_empty() {
            true => format!("did you mean [{near}]?"),
            false => format!("did you mean `{near}`?"),
        };
    }
    if let Some(near) = nearest(key, KEYS.iter().map(|known| split(known).1)) {
        let known = KEYS
            .into_iter()
            .find(|known| split(known).1 == near)
            .unwrap_or(near);
        return format!("did you mean `{near}`? {}", belongs(known));
    }
    match section {
        "" => format!("known here: {}", here.join(", ")),
        _ => format!("keys of [{section}]: {}", here.join(", ")),
    }
}

/// The names that may stand in a section; at the top these are also the sections.
fn names(section: &str) -> Vec<&'static str> {
    let keys = KEYS
        .into_iter()
        .map(split)
        .filter(|(s, _)| *s == section)
        .map(|(_, name)| name);
    match section {
        "" => keys.chain(sections()).collect(),
        _ => keys.collect(),
    }
}

fn belongs(known: &str) -> String {
    match split(known) {
        ("", name) => format!("`{name}` belongs to the top of the file, before the first section"),
        (section, name) => format!("`{name}` belongs to [{section}]"),
    }
}

/// The candidate that one slip in three characters makes of what was written (Damerau's distance:
/// a letter more, less, other, or two exchanged).
pub(super) fn nearest<'a>(
    written: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    // A key of a megabyte is nobody's slip.
    if written.len() > 64 {
        return None;
    }
    let lower = written.to_lowercase().replace('-', "_");
    let near = candidates
        .into_iter()
        .map(|name| (strsim::osa_distance(&lower, name), name));
    let (slips, name) = near.min_by_key(|(slips, _)| *slips)?;
    (slips <= (name.len() / 3).max(1)).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_advice_fits_the_mistake() {
        for (section, key, expected) in [
            ("limits", "per_host_rte", "did you mean `per_host_rate`?"),
            ("limits", "Per-Host", "did you mean `per_host`?"),
            ("limits", "dealy", "did you mean `delay`?"),
            ("retry", "per_host", "`per_host` belongs to [limits]"),
            (
                "proxy",
                "urls",
                "`urls` belongs to a pool, which begins with [[proxy.pool]]",
            ),
            (
                "proxy",
                "url",
                "`urls` belongs to a pool, which begins with [[proxy.pool]]",
            ),
            ("proxy", "pools", "did you mean `pool`?"),
            ("", "per_host", "`per_host` belongs to [limits]"),
            (
                "limits",
                "name",
                "`name` belongs to the top of the file, before the first section",
            ),
            ("limits", "retry", "[retry] is a section of its own"),
            ("", "limit", "did you mean [limits]?"),
            ("", "nmae", "did you mean `name`?"),
            (
                "crawl",
                "per_hots",
                "did you mean `per_host`? `per_host` belongs to [limits]",
            ),
            (
                "store",
                "zzzz",
                "keys of [store]: path, bodies, metadata, links, segment_size, durability",
            ),
        ] {
            assert_eq!(advice(section, key), expected, "`{key}` in [{section}]");
        }
        assert!(
            advice("", "zzzz")
                .starts_with("known here: neap, name, description, host, input, crawl")
        );
    }

    #[test]
    fn hostile_keys_are_neither_shown_raw_nor_compared_at_length() {
        assert_eq!(unknown("", "\u{1b}[2J").message, "unknown key `\\u{1b}[2J`");
        assert_eq!(nearest(&"name".repeat(1000), ["name"]), None);
    }
}
