//! What if a site goes on for ever?

use std::time::Duration;

use crate::reply::Reply;

use super::super::call::Call;

/// Links of a page of a trap.
const LINKS: u64 = 8;

pub(super) fn reply(call: &Call<'_>) -> Option<Reply> {
    let (case, rest) = call.case.split_once('/').unwrap_or((call.case, ""));
    let links: Vec<String> = match case {
        "calendar" => months(rest),
        "session" => (0..LINKS)
            .map(|n| format!("/trap/session?sid={:016x}", call.dice(n)))
            .collect(),
        "path" => ["a", "b"]
            .iter()
            .map(|next| format!("{}/{next}", call.asked.path()))
            .collect(),
        "query" => (0..LINKS)
            .map(|n| format!("/trap/query?n={}", call.number("n", 0) * LINKS + n + 1))
            .collect(),
        "facets" => (0..20)
            .map(|n| format!("/trap/facets?f={:x}", call.number("f", 0) ^ (1 << n)))
            .collect(),
        "soft404" => (0..LINKS)
            .map(|n| format!("/trap/soft404/{:x}", call.dice(n)))
            .collect(),
        "tarpit" => (0..LINKS)
            .map(|n| format!("/trap/tarpit/{:x}", call.dice(n)))
            .collect(),
        _ => return None,
    };
    let page = Reply::html("Nothing to see here", links);
    Some(match case {
        "tarpit" => page.drip(16, Duration::from_millis(200)),
        _ => page,
    })
}

/// The months before and after one.
fn months(rest: &str) -> Vec<String> {
    let (year, month) = rest.split_once('/').unwrap_or(("2026", "1"));
    let year: i64 = year.parse().unwrap_or(2026);
    let month: i64 = month.parse().unwrap_or(1);
    let at = |months: i64| {
        let all = year.saturating_mul(12).saturating_add(month - 1 + months);
        format!(
            "/trap/calendar/{}/{}",
            all.div_euclid(12),
            all.rem_euclid(12) + 1
        )
    };
    vec![at(-1), at(1)]
}
