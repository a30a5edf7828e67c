//! What was seen of the way that a request took?

use std::net::SocketAddr;

use neap_core::exchange::{Failure, FailureKind, Stage};
use neap_core::route::{Phase, Route, Took, Way};
use url::Url;

use crate::egress::{self, Egress};
use crate::phases::Phases;

/// The way of an exchange that has ended, well or with `failure`. `address` is the host's.
pub(crate) fn of(
    egress: &Egress,
    url: &Url,
    failure: Option<&Failure>,
    address: Option<SocketAddr>,
    phases: &Phases,
) -> Route {
    let mut route = match egress.proxy() {
        None => direct(failure, address, phases),
        Some(proxy) => {
            let way = egress::way(proxy.scheme, url.scheme() == "https");
            through(way, &proxy.name, failure, phases)
        }
    };
    if route.tls_alert.is_none() {
        route.tls_alert = phases.tls_alert();
    }
    route.was_reset |= phases.was_reset();
    route.begun = phases.take_begun().map(Box::new);
    route.reason = phases.reason();
    route
}

fn direct(failure: Option<&Failure>, address: Option<SocketAddr>, phases: &Phases) -> Route {
    let certificate = phases.certificate();
    let has_connected = phases.has_connected();
    let reached = match failure.map(|failure| failure.kind) {
        Some(_) if has_connected => once_connected(failure),
        Some(FailureKind::Dns | FailureKind::DnsNotFound | FailureKind::PrivateAddress) => {
            Phase::Dns
        }
        Some(FailureKind::Tls | FailureKind::TlsCertificate) => Phase::Tls,
        Some(FailureKind::ConnectRefused | FailureKind::Connect)
        | Some(FailureKind::Timeout(Stage::Connect)) => Phase::Connect,
        Some(FailureKind::Timeout(Stage::Total)) if phases.has_begun_to_connect() => Phase::Connect,
        _ => once_connected(failure),
    };
    // Whoever shows a certificate has been connected to.
    let reached = match (&certificate, reached) {
        (Some(_), Phase::Connect) => Phase::Tls,
        (_, reached) => reached,
    };
    Route {
        address,
        reached,
        was_kept: reached >= Phase::Header && !has_connected,
        certificate,
        ..Route::default()
    }
}

fn through(way: Way, name: &str, failure: Option<&Failure>, phases: &Phases) -> Route {
    // 1. The connection that the request was sent on, its own or a kept one.
    if let Some(used) = phases.used_route() {
        let was_kept = !phases.has_connected();
        return Route {
            reached: once_connected(failure),
            was_kept,
            took: if was_kept { Took::default() } else { used.took },
            ..(*used).clone()
        };
    }
    // 2. The one that was begun. 3. None.
    phases.begun_route().unwrap_or_else(|| Route {
        way,
        proxy: Some(name.to_owned()),
        ..Route::default()
    })
}

/// How far an exchange came that had a connection.
fn once_connected(failure: Option<&Failure>) -> Phase {
    match failure {
        None => Phase::Done,
        Some(failure) if failure.status.is_some() => Phase::Body,
        Some(_) => Phase::Header,
    }
}
