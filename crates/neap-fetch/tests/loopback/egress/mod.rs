//! Exchanges through forward proxies that work, or fail in every phase.

mod kept;
mod plain;
mod secrets;
mod socks;
mod squid;
mod tunnels;

use std::time::Duration;

use neap_core::exchange::{Exchange, Failure};
use neap_core::route::Route;
use neap_fetch::{Ask, BodyLimit, Egress, Fetched, Fetcher};
use neap_testkit::{Authority, Builder, ForwardProxy, ForwardProxyBuilder, Reply, Site};

use crate::support::*;

/// Where every test asks: a name that only the proxy knows.
const NAME: &str = "shop.example";

/// Time enough for everything but a proxy that says nothing.
const PATIENCE: Duration = Duration::from_secs(2);

/// Asks through a proxy.
async fn through(fetcher: &Fetcher, egress: &Egress, at: &str) -> Fetched {
    fetcher
        .fetch_by(egress, &Ask::get(&url(at), BodyLimit::MaxBody))
        .await
}

/// What must fail, and the way that it took.
fn failed(exchange: Exchange) -> (Failure, Route) {
    match exchange.result {
        Ok(answer) => panic!("answered {}, {:?}", answer.status, answer.body),
        Err(failure) => (failure, exchange.route),
    }
}

fn egress(text: &str) -> Egress {
    Egress::parse(text).unwrap()
}

/// A fetcher that gives up a connection after [`PATIENCE`].
fn impatient() -> Fetcher {
    let mut request = request();
    request.connect_timeout = PATIENCE;
    fetcher_with(&settings(request))
}

/// A host that speaks TLS, and whom it takes to trust it.
struct Secure {
    authority: Authority,
    site: Site,
}

impl Secure {
    fn start(change: impl Fn(Builder) -> Builder) -> Secure {
        let authority = Authority::new();
        let site = Site::builder()
            .tls(&authority.identity(&[NAME]))
            .page("/", Reply::ok("secure"));
        let site = change(site).start();
        Secure { authority, site }
    }

    fn fetcher(&self) -> Fetcher {
        let mut settings = settings(request());
        settings.extra_roots = vec![self.authority.der().into()];
        fetcher_with(&settings)
    }

    fn proxy(&self) -> ForwardProxyBuilder {
        ForwardProxy::builder().name(NAME, self.site.address())
    }
}

/// The URL of a page of the host by its name.
fn secure_url(path: &str) -> String {
    format!("https://{NAME}{path}")
}
