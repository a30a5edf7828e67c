//! What do the words mean that stand in `cause`, `fault` and `skip_reason`?

use hyper::StatusCode;
use neap_store::Faults;

use crate::print::escape::for_terminal;

/// Why an attempt brought no page, or a request was given up, as the end of a sentence about it.
pub(crate) fn cause(word: &str) -> String {
    if let Some(status) = word.strip_prefix("http_") {
        return answered(status);
    }
    let told = match word {
        "dns_not_found" => "its name does not exist",
        "private_address" => {
            "it is not on the public internet, and `request.private_addresses` does not allow that"
        }
        "dns" => "its name could not be resolved",
        "connect_refused" => "nobody listens there",
        "connect" => "no connection could be made",
        "tls_certificate" => "its TLS certificate is not to be trusted",
        "tls" => "the TLS handshake failed",
        "timeout_connect" => "no connection within `request.connect_timeout`",
        "timeout_header" => "no answer in time",
        "timeout_body" => "its body stopped coming",
        "timeout_total" => "it took too long as a whole",
        "reset" => "the connection was closed before the answer was complete",
        "protocol" => "what came was no HTTP",
        "too_large" => "its body is larger than `request.max_body`",
        "header_too_large" => "its header is too large",
        "decode" => "its coding is broken or unknown",
        "proxy_dns" => "the proxy's name could not be resolved",
        "proxy_connect" => "no connection to the proxy could be made",
        "proxy_tls" => "the TLS handshake with the proxy failed",
        "proxy_timeout" => "the proxy said nothing in time",
        "proxy_closed" => "the proxy closed the connection without a word",
        "proxy_protocol" => "what the proxy answered is neither HTTP nor SOCKS5",
        "proxy_refused" => "the proxy refused to open a tunnel",
        "proxy_auth" => "the proxy wants other credentials",
        "socks" => "the proxy could not reach the host",
        "tunnel_closed" => "the proxy's tunnel was closed before the host spoke",
        "tunnel_timeout" => "nothing came through the proxy's tunnel in time",
        "internal" => "neap's own side failed",
        "lost" => "the run ended while it was in flight",
        "quarantined" => "the process died of it three times",
        "host_given_up" => "its host did nothing but fail for too long and was given up",
        "too_many_redirects" => "there were more redirects than `request.redirects`",
        other => return for_terminal(other).into_owned(),
    };
    told.to_owned()
}

/// Whether a word is a cause that a request can fail for.
pub(crate) fn is_cause(word: &str) -> bool {
    match word.strip_prefix("http_") {
        Some(status) => status.len() == 3 && status.parse().is_ok_and(|code: u16| code >= 100),
        None => cause(word) != word && !word.contains(|c: char| c.is_control()),
    }
}

fn answered(status: &str) -> String {
    let known = status
        .parse()
        .ok()
        .and_then(|code| StatusCode::from_u16(code).ok());
    match known.and_then(|code| code.canonical_reason()) {
        Some(reason) => format!("answered {status} ({reason})"),
        None => format!("answered {}", for_terminal(status)),
    }
}

/// Whose fault a failure was, as a clause.
pub(crate) fn fault(word: &str) -> String {
    match word {
        "host" => "the host's fault".to_owned(),
        "proxy" => "the proxy's fault".to_owned(),
        "own_credentials" => "our credentials' fault".to_owned(),
        "own_network" => "the fault of our own machine or network".to_owned(),
        "unknown" => "nobody knows whose fault".to_owned(),
        "nobody" => "nobody's fault".to_owned(),
        other => for_terminal(other).into_owned(),
    }
}

/// Who wrote an answer, as a clause; `None` if nobody did or that is not known.
pub(crate) fn producer(word: &str) -> Option<&'static str> {
    match word {
        "origin_app" => Some("the site itself answered"),
        "origin_gateway" => Some("a gateway of the site answered"),
        "edge" => Some("the site's CDN answered"),
        "forward_proxy" => Some("the proxy answered"),
        "unknown" => Some("it cannot be told who answered"),
        _ => None,
    }
}

/// Whose fault failures are, by share: `host 62 %, proxy 38 %`.
pub(crate) fn faults(faults: &Faults) -> String {
    let parts = [
        ("host", faults.host),
        ("proxy", faults.proxy),
        ("our own", faults.own),
        ("nobody", faults.nobody),
        ("unknown", faults.unknown),
    ];
    let total: u64 = parts.iter().map(|(_, attempts)| attempts).sum();
    let share = |attempts: u64| match 100.0 * attempts as f64 / total as f64 {
        share if share < 1.0 => "< 1".to_owned(),
        share if share > 99.0 && attempts < total => "> 99".to_owned(),
        share => format!("{share:.0}"),
    };
    let mut parts: Vec<_> = parts
        .into_iter()
        .filter(|(_, attempts)| *attempts > 0)
        .collect();
    parts.sort_by_key(|(_, attempts)| std::cmp::Reverse(*attempts));
    match &parts[..] {
        [(whose, _)] => (*whose).to_owned(),
        parts => {
            let told = parts
                .iter()
                .map(|(whose, attempts)| format!("{whose} {} %", share(*attempts)));
            told.collect::<Vec<_>>().join(", ")
        }
    }
}

#[cfg(test)]
mod tests {
    use neap_core::attribution::Producer;
    use neap_core::exchange::{FailureKind as K, Stage};

    use super::*;

    #[test]
    fn statuses_are_told_with_their_names() {
        assert_eq!(cause("http_502"), "answered 502 (Bad Gateway)");
        assert_eq!(cause("http_523"), "answered 523");
        assert_eq!(cause("http_\u{1b}"), "answered \\u{1b}");
    }

    #[test]
    fn whoever_answers_is_named() {
        for word in Producer::ALL {
            assert_eq!(
                producer(word.as_str()).is_none(),
                *word == Producer::Nobody,
                "{word}"
            );
        }
    }

    #[test]
    fn shares_of_faults_are_told_the_largest_first() {
        let none = Faults::default();
        for (given, told) in [
            (Faults { host: 7, ..none }, "host"),
            (
                Faults {
                    host: 3,
                    proxy: 5,
                    ..none
                },
                "proxy 62 %, host 38 %",
            ),
            (
                Faults {
                    own: 1,
                    unknown: 999,
                    ..none
                },
                "unknown > 99 %, our own < 1 %",
            ),
            (none, ""),
        ] {
            assert_eq!(faults(&given), told);
        }
    }

    #[test]
    fn every_kind_of_failure_has_words() {
        for kind in [
            K::DnsNotFound,
            K::PrivateAddress,
            K::Dns,
            K::ConnectRefused,
            K::Connect,
            K::TlsCertificate,
            K::Tls,
            K::Timeout(Stage::Connect),
            K::Timeout(Stage::Header),
            K::Timeout(Stage::Body),
            K::Timeout(Stage::Total),
            K::Reset,
            K::Protocol,
            K::TooLarge,
            K::HeaderTooLarge,
            K::Decode,
            K::ProxyDns,
            K::ProxyConnect,
            K::ProxyTls,
            K::ProxyTimeout,
            K::ProxyClosed,
            K::ProxyProtocol,
            K::ProxyRefused,
            K::ProxyAuth,
            K::Socks,
            K::TunnelClosed,
            K::TunnelTimeout,
            K::Internal,
        ] {
            let told = cause(kind.as_str());
            assert!(told.contains(' '), "{told}");
        }
    }
}
