//! What do the hops of a request say in `Proxy-Status` (RFC 9209)?
//!
//! A structured list (RFC 9651), the first member nearest to the origin server, the last nearest to us.

use sfv::{BareItem, Item, List, ListEntry, Parser};

use super::evidence::Reply;
use super::words::Cause;

/// What one hop says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hop {
    /// Its name.
    pub(super) name: String,
    /// Why it made the answer itself; `None` if it relayed it.
    pub(super) error: Option<String>,
    /// The status that it received from the next hop.
    pub(super) received_status: Option<i64>,
}

/// The hop that made the answer, and how many are nearer to us than it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Origin {
    /// What it says.
    pub(super) hop: Hop,
    /// Hops between it and us that also speak.
    pub(super) nearer: usize,
}

impl Origin {
    /// What its error means.
    pub(super) fn cause(&self) -> Cause {
        self.hop.error.as_deref().map_or(Cause::Unknown, of_error)
    }
}

/// Who says that it made this answer; `None` if nobody does or the field is no structured list.
pub(super) fn origin(reply: &Reply) -> Option<Origin> {
    let headers = reply.headers.as_ref()?;
    let values: Vec<&str> = headers.all("proxy-status").collect();
    if values.is_empty() {
        return None;
    }
    let list: List = Parser::new(&values.join(",")).parse().ok()?;
    let hops: Vec<Hop> = list.iter().filter_map(hop).collect();
    let at = hops.iter().rposition(|hop| hop.error.is_some())?;
    Some(Origin {
        nearer: hops.len() - 1 - at,
        hop: hops[at].clone(),
    })
}

fn hop(entry: &ListEntry) -> Option<Hop> {
    let ListEntry::Item(Item { bare_item, params }) = entry else {
        return None;
    };
    let parameter = |name: &str| {
        let mut all = params.iter();
        all.find(|(key, _)| key.as_str() == name)
            .map(|(_, value)| value)
    };
    Some(Hop {
        name: text(bare_item)?,
        error: parameter("error").and_then(text),
        received_status: match parameter("received-status") {
            Some(BareItem::Integer(status)) => Some(i64::from(*status)),
            Some(_) | None => None,
        },
    })
}

#[allow(
    clippy::wildcard_enum_match_arm,
    reason = "only tokens and strings are names"
)]
fn text(item: &BareItem) -> Option<String> {
    match item {
        BareItem::Token(token) => Some(token.as_str().to_owned()),
        BareItem::String(string) => Some(string.as_str().to_owned()),
        _ => None,
    }
}

/// What the registered errors mean: RFC 9209, section 2.3.
fn of_error(error: &str) -> Cause {
    match error {
        "dns_timeout" | "dns_error" | "destination_not_found" => Cause::DnsFailure,
        "destination_unavailable" | "destination_ip_unroutable" => Cause::Unreachable,
        "connection_refused" => Cause::ConnectRefused,
        "connection_terminated" => Cause::UpstreamReset,
        "connection_timeout" => Cause::ConnectTimeout,
        "connection_read_timeout" | "connection_write_timeout" | "http_response_timeout" => {
            Cause::ReadTimeout
        }
        "tls_protocol_error" | "tls_certificate_error" | "tls_alert_received" => Cause::TlsFailure,
        "http_response_incomplete" => Cause::UpstreamClosed,
        "http_request_error" => Cause::BadRequest,
        "connection_limit_reached" => Cause::ProxyLimit,
        "destination_ip_prohibited" | "http_request_denied" => Cause::Policy,
        "proxy_internal_response"
        | "proxy_internal_error"
        | "proxy_configuration_error"
        | "proxy_loop_detected" => Cause::ProxyBroken,
        error if error.starts_with("http_") => Cause::InvalidResponse,
        _ => Cause::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[&str]) -> Option<Origin> {
        let fields = values.iter().map(|value| ("Proxy-Status", *value));
        origin(&Reply {
            headers: Some(fields.collect()),
            ..Reply::default()
        })
    }

    #[test]
    fn the_hop_with_an_error_made_the_answer() {
        let found = read(&[
            "\"FooAccelerator\"; error=connection_timeout; received-status=504",
            "ExampleCDN",
        ]);
        let found = found.unwrap();
        assert_eq!(
            (found.hop.name.as_str(), found.nearer),
            ("FooAccelerator", 1)
        );
        assert_eq!(found.cause(), Cause::ConnectTimeout);
        assert_eq!(found.hop.received_status, Some(504));
        let provider =
            read(&["bright; error=destination_ip_unroutable; details=\"client-10060: no\""]);
        assert_eq!(provider.unwrap().cause(), Cause::Unreachable);
    }

    #[test]
    fn hops_that_relayed_and_fields_that_are_no_list_say_nothing() {
        assert_eq!(read(&["cdn; received-status=200"]), None);
        assert_eq!(read(&["<not a list>; error=dns_error"]), None);
        assert_eq!(read(&["(a b); error=dns_error"]), None);
        assert_eq!(read(&[]), None);
    }
}
