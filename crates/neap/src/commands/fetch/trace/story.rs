//! Who answered, whose fault was it, how sure is that, and on what does it rest?

use neap_core::attribution::Fault;
use neap_core::classify::Outcome;
use neap_core::exchange::Exchange;

use super::gist::short;
use super::{Follows, Told, phases};
use crate::print::escape::for_terminal;
use crate::tell::{action, diagnosis, fault, producer};

/// An attempt in sentences, each line indented.
pub(super) fn story(told: &Told<'_>) -> Vec<String> {
    let attribution = told.attribution;
    let mut lines = vec![for_terminal(told.url.as_str()).into_owned()];
    lines.push(verdict(told));
    lines.extend(
        attribution
            .reasons
            .iter()
            .map(|reason| format!("- {}", for_terminal(reason))),
    );
    if told.judgement.outcome != Outcome::Success {
        lines.push(phases::line(told.exchange));
    }
    lines.extend(whom(told.exchange));
    if let Err(failure) = &told.exchange.result {
        lines.push(format!("\"{}\"", for_terminal(&failure.detail)));
    }
    if attribution.fault != Fault::Nobody {
        lines.push(format!("{}.", action(attribution.action)));
    }
    if let Follows::Again {
        is_charged: false, ..
    } = told.follows
    {
        lines.push("It does not count towards `retry.attempts`.".to_owned());
    }
    if let Follows::GivenUp(why) = told.follows {
        lines.push(format!("Given up: {why}."));
    }
    lines
        .into_iter()
        .map(|line| format!("     {line}"))
        .collect()
}

fn verdict(told: &Told<'_>) -> String {
    let attribution = told.attribution;
    let who = sentence(producer(attribution.producer.as_str()).unwrap_or("nobody answered"));
    match attribution.fault {
        Fault::Nobody => format!("{who}: {}.", diagnosis(attribution.cause)),
        Fault::Unknown => format!(
            "{who}. It cannot be told yet whose fault it is: {}.",
            diagnosis(attribution.cause)
        ),
        Fault::Host | Fault::Proxy | Fault::OwnCredentials | Fault::OwnNetwork => {
            format!(
                "{who}. It is {} ({:.0} % sure): {}.",
                fault(attribution.fault.as_str()),
                attribution.confidence * 100.0,
                diagnosis(attribution.cause)
            )
        }
    }
}

/// A clause as the beginning of a sentence.
fn sentence(clause: &str) -> String {
    let (first, rest) = clause.split_at(clause.len().min(1));
    first.to_ascii_uppercase() + rest
}

/// To whom the connection was made, and who was at its end.
fn whom(exchange: &Exchange) -> Option<String> {
    let route = &exchange.route;
    let mut parts = Vec::new();
    if let Some(address) = route.address {
        let to = if route.proxy.is_some() {
            " (the proxy)"
        } else {
            ""
        };
        parts.push(format!("connected to {address}{to}"));
    }
    if let Some(status) = route.tunnel_status {
        parts.push(format!("the tunnel was opened with {status}"));
    }
    if let Some(reply) = route.socks_reply {
        parts.push(format!("SOCKS5 reply {reply}"));
    }
    if let Some(certificate) = &route.certificate {
        let issuer = match certificate.issuer.as_str() {
            "" => "nobody that it names".to_owned(),
            issuer => format!("\"{}\"", short(issuer)),
        };
        parts.push(format!("certificate issued by {issuer}"));
    }
    if let Some(alert) = &route.tls_alert {
        parts.push(format!("TLS alert {}", short(alert)));
    }
    (!parts.is_empty()).then(|| parts.join("; "))
}
