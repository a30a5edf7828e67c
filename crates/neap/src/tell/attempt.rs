//! What came of one attempt, who answered, and how is that known?

use neap_store::{EgressName, Tried};

use super::Now;
use super::causes::{cause, fault, producer};
use super::time::{at, span};
use crate::print::escape::for_terminal;

/// An attempt of a request, and below it the evidence on who is to blame.
pub(super) fn attempt(tried: &Tried, now: &Now) -> Vec<String> {
    let (number, started, way) = (tried.number, at(tried.at, now.at), way(tried));
    let mut told = vec![format!(
        "  Attempt {number} at {started}{way}: {}.",
        clauses(tried)
    )];
    told.extend(evidence(tried));
    told
}

/// The last attempt of a host that somebody is to blame for, and below it the evidence on who.
pub(super) fn last_failure(tried: &Tried, now: &Now) -> Vec<String> {
    let (started, way) = (at(tried.at, now.at), way(tried));
    let mut told = vec![format!(
        "  It failed last at {started}{way}: {}.",
        clauses(tried)
    )];
    told.extend(evidence(tried));
    told
}

/// What came of it, what that means, and what follows.
fn clauses(tried: &Tried) -> String {
    let mut clauses = vec![match (&tried.cause, tried.status) {
        (Some(word), _) => seen(word, tried.connect_status),
        (None, Some(status)) => cause(&format!("http_{status}")),
        (None, None) => "no answer".to_owned(),
    }];
    if let Some(took) = tried.took {
        clauses[0].push_str(&format!(" after {}", span(took)));
    }
    clauses.extend(tried.error.as_deref().map(|error| {
        let error = for_terminal(error);
        format!("\"{error}\"")
    }));
    if tried.fault.is_some() {
        let who = tried
            .verdict
            .as_ref()
            .and_then(|verdict| producer(&verdict.producer));
        clauses.extend(who.map(str::to_owned));
    }
    clauses.extend(tried.fault.as_deref().map(|word| whose(word, tried)));
    if tried.cause.is_some() && !tried.is_charged {
        clauses.push("not charged to the page".to_owned());
    }
    if let Some(backoff) = tried.backoff {
        clauses.push(match backoff.is_zero() {
            true => "asked again at once".to_owned(),
            false => format!("to be asked again after {}", span(backoff)),
        });
    }
    clauses.join("; ")
}

/// What was seen, with the status if a proxy refused CONNECT by one.
pub(super) fn seen(word: &str, connect_status: Option<u16>) -> String {
    match connect_status.filter(|status| *status >= 300) {
        Some(status) => format!("{} ({status})", cause(word)),
        None => cause(word),
    }
}

/// How sure an answer through a proxy must make it whose fault it was: below that comparison with others does
/// (README, "Who wrote the 502?").
const SURE: f64 = 0.75;

/// Whose fault it was, and how that is known.
fn whose(word: &str, tried: &Tried) -> String {
    match &tried.verdict {
        Some(verdict)
            if matches!(word, "host" | "proxy")
                && tried.egress.is_some()
                && verdict.confidence < SURE =>
        {
            format!("by comparison with others {}", fault(word))
        }
        Some(verdict) if word != "unknown" && verdict.confidence < 0.995 => {
            format!("{} ({:.0} % sure)", fault(word), 100.0 * verdict.confidence)
        }
        Some(_) | None => fault(word),
    }
}

/// The way that it took, if there were several.
fn way(tried: &Tried) -> String {
    match &tried.egress {
        None => String::new(),
        Some(EgressName { pool, proxy }) if &**proxy == "direct" => {
            format!(" directly (pool {})", for_terminal(pool))
        }
        Some(EgressName { pool, proxy }) => {
            format!(" through {}/{}", for_terminal(pool), for_terminal(proxy))
        }
    }
}

fn evidence(tried: &Tried) -> Option<String> {
    let verdict = tried.verdict.as_ref().filter(|_| tried.fault.is_some())?;
    let reasons: Vec<_> = verdict
        .reasons
        .iter()
        .map(|reason| for_terminal(reason))
        .collect();
    (!reasons.is_empty()).then(|| format!("    Evidence: {}.", reasons.join("; ")))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use neap_store::Verdict;

    use super::super::host::tests::{after_noon, now};
    use super::*;

    fn refused() -> Tried {
        Tried {
            number: 1,
            at: after_noon(-2),
            took: Some(Duration::from_millis(41)),
            status: None,
            cause: Some("proxy_refused".to_owned()),
            fault: Some("proxy".to_owned()),
            error: None,
            is_charged: false,
            backoff: Some(Duration::from_millis(700)),
            egress: Some(EgressName {
                pool: "rented".into(),
                proxy: "10.0.3.7:3128".into(),
            }),
            connect_status: Some(502),
            verdict: Some(Verdict {
                producer: "forward_proxy".to_owned(),
                diagnosis: "proxy_broken".to_owned(),
                confidence: 0.85,
                reasons: vec![
                    "the proxy could not open a tunnel".to_owned(),
                    "Server: \u{1b}x".to_owned(),
                ],
            }),
        }
    }

    fn told(tried: &Tried) -> String {
        attempt(tried, &now(true)).join("\n")
    }

    #[test]
    fn a_proxy_that_refuses_is_named_with_the_evidence() {
        assert_eq!(
            told(&refused()),
            "  Attempt 1 at 11:59:58Z through rented/10.0.3.7:3128: the proxy refused to open a tunnel (502) after 41 ms; the proxy answered; the proxy's fault (85 % sure); not charged to the page; to be asked again after 0.7 s.
    Evidence: the proxy could not open a tunnel; Server: \\u{1b}x."
        );
        let last = last_failure(&refused(), &now(false)).join("\n");
        assert!(
            last.starts_with(
                "  It failed last at 11:59:58Z through rented/10.0.3.7:3128: the proxy refused"
            ),
            "{last}"
        );
    }

    #[test]
    fn what_is_not_known_is_not_told() {
        let mut unknown = refused();
        unknown.fault = Some("unknown".to_owned());
        let said = told(&unknown);
        assert!(said.contains("; nobody knows whose fault; not"), "{said}");

        let mut compared = refused();
        compared.verdict.as_mut().unwrap().confidence = 0.5;
        compared.backoff = Some(Duration::ZERO);
        let said = told(&compared);
        assert!(
            said.contains("; by comparison with others the proxy's fault; not charged to the page; asked again at once."),
            "{said}"
        );
        // Without a proxy there is nobody to compare with.
        (compared.egress, compared.fault) = (None, Some("host".to_owned()));
        assert!(told(&compared).contains("the host's fault (50 % sure)"));

        let mut good = refused();
        (good.cause, good.fault, good.status) = (None, None, Some(200));
        good.connect_status = Some(200);
        good.egress = Some(EgressName {
            pool: "rented".into(),
            proxy: "direct".into(),
        });
        good.backoff = None;
        let said = told(&good);
        assert_eq!(
            said,
            "  Attempt 1 at 11:59:58Z directly (pool rented): answered 200 (OK) after 41 ms."
        );

        let mut of_old = refused();
        (of_old.verdict, of_old.egress, of_old.connect_status) = (None, None, None);
        of_old.cause = Some("http_502".to_owned());
        let said = told(&of_old);
        assert!(
            said.contains("answered 502 (Bad Gateway) after 41 ms; the proxy's fault; not"),
            "{said}"
        );
        assert!(!said.contains("Evidence"), "{said}");
    }
}
