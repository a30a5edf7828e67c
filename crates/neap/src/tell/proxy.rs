//! What does a proxy do, and what does it fail for?

use neap_core::UnixMs;
use neap_store::{ProxyCause, ProxyStands, ProxySummary};

use super::Now;
use super::time::{at, span};

/// Kinds of failures that are named, the most frequent.
const KINDS_TOLD: usize = 4;

/// A proxy's state in a few words.
pub(crate) fn proxy_state(proxy: &ProxySummary, now: &Now) -> String {
    let Some((stands, epoch, _)) = &proxy.stands else {
        return match proxy.attempts {
            0 => "not used yet".to_owned(),
            1.. => "used".to_owned(),
        };
    };
    if !stands.is_listed {
        return "no longer listed".to_owned();
    }
    if stands.is_stopped {
        return "pool stopped: wrong credentials".to_owned();
    }
    match &stands.left_out {
        Some((until, why)) => left_out(*until, why, now.is_live(*epoch), now.at),
        None => "used".to_owned(),
    }
}

fn left_out(until: UnixMs, why: &str, is_live: bool, now: UnixMs) -> String {
    let left = until.since(now);
    match (is_live, left.is_zero()) {
        (_, false) => format!("left out until {} ({}): {why}", at(until, now), span(left)),
        (true, true) => format!("tried again with the next request; left out before: {why}"),
        (false, true) => format!("was left out when the run ended: {why}"),
    }
}

/// Requests that a proxy has in flight now.
pub(crate) fn proxy_in_flight(proxy: &ProxySummary, now: &Now) -> u32 {
    let live = |(_, epoch, _): &&(ProxyStands, i64, UnixMs)| now.is_live(*epoch);
    let stands = proxy.stands.as_ref().filter(live);
    stands.map_or(0, |(stands, ..)| stands.in_flight)
}

/// What attempts failed for by a proxy's fault, in short, and what of which nobody knows whose fault it was:
/// `CONNECT 502 x31, proxy timeout x4; perhaps reset x2`.
pub(crate) fn failed_for(causes: &[ProxyCause]) -> String {
    let (its, perhaps): (Vec<_>, Vec<_>) = causes.iter().partition(|cause| cause.is_its_fault);
    let mut parts = Vec::new();
    parts.extend((!its.is_empty()).then(|| kinds(&its)));
    parts.extend((!perhaps.is_empty()).then(|| format!("perhaps {}", kinds(&perhaps))));
    parts.join("; ")
}

fn kinds(causes: &[&ProxyCause]) -> String {
    let told = causes.iter().take(KINDS_TOLD);
    let mut told: Vec<String> = told
        .map(|cause| format!("{} x{}", short(cause), cause.attempts))
        .collect();
    let others: u64 = causes
        .iter()
        .skip(KINDS_TOLD)
        .map(|cause| cause.attempts)
        .sum();
    if others > 0 {
        told.push(format!("other x{others}"));
    }
    told.join(", ")
}

fn short(cause: &ProxyCause) -> String {
    match (cause.connect_status, cause.cause.strip_prefix("http_")) {
        (Some(status), _) => format!("CONNECT {status}"),
        (None, Some(status)) => status.to_owned(),
        (None, None) => cause.cause.replace('_', " "),
    }
}

#[cfg(test)]
mod tests {
    use neap_store::EgressName;

    use super::super::host::tests::{NOON, after_noon, now};
    use super::*;

    fn stands() -> ProxyStands {
        ProxyStands {
            limit: 8.0,
            in_flight: 3,
            left_out: None,
            is_stopped: false,
            is_listed: true,
        }
    }

    fn proxy(stands: Option<ProxyStands>) -> ProxySummary {
        ProxySummary {
            job: "shop".to_owned(),
            name: EgressName {
                pool: "rented".into(),
                proxy: "10.0.3.7:3128".into(),
            },
            attempts: 40,
            ok: 5,
            failures: 35,
            causes: Vec::new(),
            stands: stands.map(|stands| (stands, 3, NOON)),
        }
    }

    #[test]
    fn states_in_a_few_words() {
        let left_out = |seconds| ProxyStands {
            left_out: Some((
                after_noon(seconds),
                "failed several times itself".to_owned(),
            )),
            ..stands()
        };
        let stopped = ProxyStands {
            is_stopped: true,
            ..left_out(60)
        };
        let gone = ProxyStands {
            is_listed: false,
            ..stopped.clone()
        };
        for (stands, live, over) in [
            (Some(stands()), "used", "used"),
            (None, "used", "used"),
            (
                Some(left_out(240)),
                "left out until 12:04:00Z (4 min): failed several times itself",
                "left out until 12:04:00Z (4 min): failed several times itself",
            ),
            (
                Some(left_out(-1)),
                "tried again with the next request; left out before: failed several times itself",
                "was left out when the run ended: failed several times itself",
            ),
            (
                Some(stopped),
                "pool stopped: wrong credentials",
                "pool stopped: wrong credentials",
            ),
            (Some(gone), "no longer listed", "no longer listed"),
        ] {
            assert_eq!(proxy_state(&proxy(stands.clone()), &now(true)), live);
            assert_eq!(proxy_state(&proxy(stands), &now(false)), over);
        }
        let mut unused = proxy(None);
        unused.attempts = 0;
        assert_eq!(proxy_state(&unused, &now(true)), "not used yet");
    }

    #[test]
    fn nothing_is_in_flight_after_the_run() {
        let proxy = proxy(Some(stands()));
        assert_eq!(proxy_in_flight(&proxy, &now(true)), 3);
        assert_eq!(proxy_in_flight(&proxy, &now(false)), 0);
    }

    #[test]
    fn failures_in_short() {
        let kind = |cause: &str, connect_status, attempts| ProxyCause {
            cause: cause.to_owned(),
            connect_status,
            is_its_fault: true,
            attempts,
        };
        let unclear = |attempts| ProxyCause {
            is_its_fault: false,
            ..kind("reset", None, attempts)
        };
        let mut kinds = vec![
            kind("proxy_refused", Some(502), 31),
            kind("proxy_timeout", None, 4),
            kind("http_503", None, 2),
        ];
        let three = "CONNECT 502 x31, proxy timeout x4, 503 x2";
        assert_eq!(failed_for(&kinds), three);
        kinds.extend([
            kind("proxy_auth", Some(407), 1),
            kind("socks", None, 1),
            kind("reset", None, 1),
        ]);
        assert_eq!(
            failed_for(&kinds),
            format!("{three}, CONNECT 407 x1, other x2")
        );
        let both = [kinds[0].clone(), unclear(2)];
        assert_eq!(failed_for(&both), "CONNECT 502 x31; perhaps reset x2");
        assert_eq!(failed_for(&[unclear(1)]), "perhaps reset x1");
        assert_eq!(failed_for(&[]), "");
    }
}
