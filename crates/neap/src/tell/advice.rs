//! What is to be done about failures of a kind?
//!
//! One line each, by the first row of the table that holds: it says what is the matter, what neap does
//! about it by itself, and what a person can do.

use neap_store::Mostly;

use crate::print::escape::for_terminal;
use crate::screen::grouped;

/// A line of advice for those whose fault is `fault` and whose cause or diagnosis is one of `words`; no
/// words stand for all.
struct Row {
    fault: &'static str,
    words: &'static [&'static str],
    advice: &'static str,
}

const fn row(fault: &'static str, words: &'static [&'static str], advice: &'static str) -> Row {
    Row {
        fault,
        words,
        advice,
    }
}

/// Stands for failures of which none went through a proxy.
const DIRECT: &str = "direct";

/// Read from above; `HOST` stands for the host that is most concerned.
#[rustfmt::skip]
const ROWS: &[Row] = &[
    // --- The host's side ---
    row("host", &["challenge"],
        "a wall for robots: asking again does not help; another pool of proxies or a browser may"),
    row("host", &["block"],
        "the site turns away who asks: another pool of proxies, or asking less (`limits.delay`), may help"),
    row("host", &["host_given_up"],
        "the host did nothing but fail and was given up: `neap why HOST`, and `neap retry` when it is back"),
    row("host", &["too_many_redirects"],
        "the site redirects in circles or very often: `neap explain URL` shows where to"),
    row("host", &["http_429", "http_420", "rate_limit"],
        "the site wants to be asked less often: neap waits as it says; `limits.delay` keeps below it"),
    row("host", &["http_401", "http_403", "http_451", "forbidden"],
        "the site does not give this to us: asking again does not help; is it wanted at all, or a login missing?"),
    row("host", &["private_address"],
        "the name leads to an address that is not public: if it is yours, `request.private_addresses` opens it"),
    row("host", &["dns_not_found", "dns_failure"],
        "there is no such name: a slip in the input, or the site is gone"),
    row("host", &["connect_refused", "connect_timeout", "timeout_connect", "connect", "unreachable"],
        "nobody answers at that host and port: neap probes it now and then; `neap why HOST` says since when"),
    row("host", &["tls_certificate"],
        "the certificate is not to be trusted: is the name right? neap does not pass over it"),
    row("host", &["tls", "tls_failure"],
        "the site breaks off TLS: it may want another version, or nothing of this address"),
    row("host", &["timeout_header", "timeout_body", "timeout_total", "read_timeout"],
        "the site is slow: neap asks it less at once by itself; `request.read_timeout` is how long it may be silent"),
    row("host", &["reset", "upstream_closed", "upstream_reset", "truncated"],
        "the site breaks off its answers: neap asks again and slows down by itself; `neap why HOST` tells how it goes"),
    row("host", &["protocol", "decode", "invalid_response", "corrupt"],
        "what the site sends is broken: asked again later, it may be whole"),
    row("host", &["too_large", "header_too_large"],
        "larger than neap takes: `request.max_body` is the bound of a body"),
    row("host", &["empty"],
        "the site says that all is well and sends nothing: asked again later, it may have a page"),
    row("host", &["not_found", "bad_request"],
        "the site does not know or not like these: are the URLs right?"),
    row("host", &["overload", "no_healthy_upstream", "gateway_error", "http_502", "http_503", "http_504",
            "http_520", "http_521", "http_522", "http_523", "http_524"],
        "the site's gateway fails: neap slows down by itself; `neap why HOST` tells how it goes"),
    row("host", &["app_error", "http_500"],
        "the site fails at these pages: neap asked again; `neap retry --cause http_500` does once more"),
    row("host", &[],
        "the site fails: `neap why HOST` tells how it goes"),

    // --- The proxies ---
    row("proxy", &["proxy_limit"],
        "these proxies have too much to do: neap uses them less by itself; more of them carry more"),
    row("proxy", &["policy"],
        "these proxies do not do this by their rules: another pool may"),
    row("proxy", &["proxy_no_exit"],
        "the provider has no way out for these: neap goes by others; another pool or country may have one"),
    row("proxy", &[],
        "these proxies are left alone for a while: `neap proxies` shows which, and until when"),

    // --- Ourselves ---
    row("own_credentials", &["proxy_quota"],
        "the account with the proxies is used up or not paid: renew it, or take another pool"),
    row("own_credentials", &["proxy_auth"],
        "the proxies refuse our user or password: set the right ones; until then their pool is not used"),
    row("own_credentials", &["http_407"],
        "something on the way wants a user and a password as proxies do: set the right ones"),
    row("own_credentials", &[],
        "the site wants a login: set the right user and password in `identity.auth`"),
    row("own_network", &["lost"],
        "a run died while these were in flight: the next one asks them again by itself"),
    row("own_network", &["dns"],
        "names could not be resolved here: look at this machine's network and its DNS"),
    row("own_network", &["internal"],
        "neap's own side failed: too few sockets (`ulimit -n`) or a fault; `limits.concurrency` asks for less"),
    row("own_network", &[],
        "our own network failed: neap waits for it; `neap retry` asks again what was given up"),

    // --- Nobody, or nobody knows ---
    row("nobody", &["too_large"],
        "larger than `request.max_body`: a higher bound takes them"),
    row("nobody", &["quarantined"],
        "the process died of these three times, so they are left alone: a fault of neap's, please report it"),
    row("nobody", &[],
        "answered, but not with a page: `neap explain URL` shows what came"),
    row("unknown", &[DIRECT],
        "the answers do not tell whose fault it is: neap asks again later; `neap explain URL` shows the evidence"),
    row("unknown", &[],
        "the answers do not tell whose fault it is: neap compares other ways; `neap explain URL` shows the evidence"),
];

/// Groups that are named before a line of advice; of more it is only said that there are.
const NAMED: usize = 3;

/// What is to be done about failures most of which are these.
pub(crate) fn advice(mostly: &Mostly) -> String {
    said(row_of(mostly), mostly)
}

/// What is to be done about groups of failures, each with its name: a line for those that are alike.
pub(crate) fn advices<'a>(groups: impl Iterator<Item = (String, &'a Mostly)>) -> Vec<String> {
    let mut alike: Vec<(&Row, &Mostly, Vec<String>)> = Vec::new();
    for (name, mostly) in groups {
        let row = row_of(mostly);
        match alike
            .iter_mut()
            .find(|(known, ..)| std::ptr::eq(*known, row))
        {
            Some((.., names)) => names.push(name),
            None => alike.push((row, mostly, vec![name])),
        }
    }
    let line = |(row, mostly, names): &(&Row, &Mostly, Vec<String>)| {
        let mut named: Vec<_> = names
            .iter()
            .take(NAMED)
            .map(|name| for_terminal(name))
            .collect();
        if names.len() > NAMED {
            named.push(format!("{} more", grouped((names.len() - NAMED) as u64)).into());
        }
        format!("{}: {}", named.join(", "), said(row, mostly))
    };
    alike.iter().map(line).collect()
}

fn row_of(mostly: &Mostly) -> &'static Row {
    let is_one = |word: &Option<String>, words: &[&str]| {
        word.as_deref().is_some_and(|word| words.contains(&word))
    };
    let holds = |row: &&Row| {
        row.fault == mostly.fault
            && (row.words.is_empty()
                || (!mostly.has_proxy && row.words.contains(&DIRECT))
                || is_one(&mostly.diagnosis, row.words)
                || is_one(&mostly.cause, row.words))
    };
    // A word of a later neap is answered like one that tells nothing.
    let unknown = &ROWS[ROWS.len() - 1];
    ROWS.iter().find(holds).unwrap_or(unknown)
}

fn said(row: &Row, mostly: &Mostly) -> String {
    let host = match mostly.host.is_empty() {
        true => "HOST".into(),
        false => for_terminal(&mostly.host),
    };
    row.advice.replace("HOST", &host)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use neap_core::attribution::{Cause, Fault};

    use super::*;

    fn mostly(fault: &str, cause: &str, diagnosis: Option<&str>) -> Mostly {
        Mostly {
            fault: fault.to_owned(),
            cause: Some(cause.to_owned()),
            diagnosis: diagnosis.map(str::to_owned),
            has_proxy: true,
            host: "http://a.example".to_owned(),
        }
    }

    #[test]
    fn each_culprit_and_cause_has_its_line() {
        for (fault, cause, diagnosis, part) in [
            (
                "host",
                "http_502",
                None,
                "gateway fails: neap slows down by itself; `neap why http://a.example`",
            ),
            ("host", "http_503", Some("challenge"), "a wall for robots"),
            (
                "host",
                "proxy_refused",
                Some("connect_refused"),
                "nobody answers",
            ),
            (
                "host",
                "host_given_up",
                None,
                "`neap retry` when it is back",
            ),
            ("host", "http_599", None, "the site fails"),
            (
                "proxy",
                "proxy_refused",
                Some("gateway_error"),
                "`neap proxies` shows which",
            ),
            ("proxy", "http_429", Some("proxy_limit"), "too much to do"),
            (
                "own_credentials",
                "proxy_auth",
                Some("proxy_auth"),
                "their pool is not used",
            ),
            ("own_credentials", "http_401", None, "`identity.auth`"),
            ("own_network", "lost", None, "a run died"),
            ("nobody", "too_large", None, "`request.max_body`"),
            (
                "unknown",
                "http_502",
                Some("gateway_error"),
                "`neap explain URL`",
            ),
            ("a word of tomorrow", "?", None, "`neap explain URL`"),
        ] {
            let said = advice(&mostly(fault, cause, diagnosis));
            assert!(said.contains(part), "{fault} {cause} {diagnosis:?}: {said}");
        }
        let direct = Mostly {
            has_proxy: false,
            ..mostly("unknown", "http_502", None)
        };
        assert!(advice(&direct).contains("asks again later"));
        let nobody = Mostly {
            host: String::new(),
            ..mostly("host", "http_502", None)
        };
        assert!(advice(&nobody).contains("`neap why HOST`"));
    }

    #[test]
    fn what_is_alike_has_one_line_with_the_names_of_the_first() {
        let (bad, slow) = (
            mostly("host", "http_502", None),
            mostly("host", "timeout_header", None),
        );
        let names = ["a", "b", "c", "d", "\u{1b}"].map(str::to_owned);
        let groups = names.into_iter().map(|name| match name.as_str() {
            "b" => (name, &slow),
            _ => (name, &bad),
        });
        let lines = advices(groups);
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(
            lines[0].starts_with("a, c, d, 1 more: the site's gateway fails"),
            "{lines:?}"
        );
        assert!(lines[1].starts_with("b: the site is slow"), "{lines:?}");
        assert_eq!(
            advices([("\u{1b}".to_owned(), &bad)].into_iter())[0][..7],
            *"\\u{1b}:"
        );
    }

    #[test]
    fn every_fault_has_a_last_line_and_no_line_is_hidden_by_one_above() {
        for fault in Fault::ALL {
            let of = |row: &&Row| row.fault == fault.as_str();
            let last = ROWS.iter().rfind(of).unwrap();
            assert_eq!(last.words, [""; 0], "{fault}");
            let mut seen = BTreeSet::new();
            for word in ROWS.iter().filter(of).flat_map(|row| row.words) {
                assert!(seen.insert(word), "{fault}: {word} stands twice");
            }
        }
        // What only a host can do has a line of its own among the host's.
        let general = advice(&mostly("host", "?", None));
        for cause in Cause::ALL {
            let own = matches!(
                cause,
                Cause::Ok
                    | Cause::Unknown
                    | Cause::OwnNetwork
                    | Cause::ProxyAuth
                    | Cause::ProxyQuota
                    | Cause::Policy
                    | Cause::ProxyLimit
                    | Cause::ProxyDown
                    | Cause::ProxyBroken
                    | Cause::ProxyNoExit
            );
            let said = advice(&mostly("host", "?", Some(cause.as_str())));
            assert_eq!(said == general, own, "{cause}: {said}");
        }
    }

    #[test]
    fn keys_that_are_named_exist_and_lines_are_short() {
        for row in ROWS {
            assert!(row.advice.len() <= 120, "{}", row.advice);
            for quoted in row.advice.split('`').skip(1).step_by(2) {
                let is_known = quoted.starts_with("neap ")
                    || quoted == "ulimit -n"
                    || crate::jobfile::is_key(quoted);
                assert!(is_known, "{quoted}");
            }
        }
    }
}
