//! How long did the phases of an exchange take?

use std::time::Duration;

use neap_core::exchange::Exchange;
use neap_core::route::Way;

use crate::screen::short;

/// The phases that were gone through, in their order, with what each took. Together they are about the whole.
pub(super) fn phases(exchange: &Exchange) -> Vec<(&'static str, Duration)> {
    let (timings, route) = (&exchange.timings, &exchange.route);
    let took = &route.took;
    let made: [(&'static str, Option<Duration>); 4] = match route.way {
        Way::Direct => [
            ("dns", timings.dns),
            ("connect", timings.connect),
            ("", None),
            ("", None),
        ],
        Way::Plain | Way::Tunnel | Way::Socks5 => [
            ("proxy", took.connect),
            ("proxy tls", took.proxy_tls),
            (
                if route.way == Way::Socks5 {
                    "socks"
                } else {
                    "CONNECT"
                },
                took.open,
            ),
            ("tls", took.tls),
        ],
    };
    let mut phases: Vec<_> = made
        .into_iter()
        .filter_map(|(name, took)| Some((name, took?)))
        .collect();
    let before: Duration = phases.iter().map(|(_, took)| *took).sum();
    match timings.first_byte {
        Some(first_byte) => {
            phases.push(("wait", first_byte.saturating_sub(before)));
            phases.push(("body", timings.total.saturating_sub(first_byte)));
        }
        None => phases.push(("until it failed", timings.total.saturating_sub(before))),
    }
    phases
}

/// The same in a line: `dns 0.1 ms - connect 22 ms - wait 340 ms - body 88 ms`.
pub(super) fn line(exchange: &Exchange) -> String {
    let mut parts: Vec<String> = phases(exchange)
        .into_iter()
        .map(|(name, took)| format!("{name} {}", short(took)))
        .collect();
    if exchange.route.was_kept {
        parts.insert(0, "kept connection".to_owned());
    }
    parts.join(" - ")
}
