//! Who knows the addresses of a name: the hosts file, a standard, or a name server?
//!
//! A name with a full stop in it is asked for as it is. One without belongs to the local network, and the search list of
//! the system's resolver is tried. Both kinds of address are asked for at once, and IPv4 goes first: a host that has both is
//! reached by either, and fewer networks break it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::pin;
use std::time::{Duration, Instant};

use futures_util::future::{Either, select};
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ProtocolConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError as NoAnswer, NetError, NoRecords};
use hickory_resolver::proto::op::{Query, ResponseCode};
use hickory_resolver::proto::rr::{Name, RecordType};
use hickory_resolver::{Hosts, TokioResolver};
use tokio::time::timeout;
use tracing::warn;

use super::DnsError;
use super::known::Heard;

/// How long IPv6 addresses are waited for once there are IPv4 addresses (RFC 8305, section 3, has 50 ms as the
/// recommended resolution delay): some name servers never answer for AAAA.
const RESOLUTION_DELAY: Duration = Duration::from_millis(50);

/// How often a name server is asked once more, over UDP and then TCP.
const ASK_AGAIN: usize = 2;

/// All who know.
pub(super) struct Names {
    hosts: Hosts,
    servers: Result<TokioResolver, NetError>,
    /// See [`RESOLUTION_DELAY`].
    delay: Duration,
}

impl Names {
    /// The hosts file, and these name servers or else the system's. A look-up takes no longer than three quarters of
    /// `patience`, so that a silent name server shows as such and not as a host that does not answer.
    pub(super) fn new(name_servers: &[SocketAddr], patience: Duration) -> Names {
        let hosts = Hosts::from_system().unwrap_or_else(|error| {
            warn!(%error, "the hosts file cannot be read");
            Hosts::default()
        });
        Names::with(hosts, name_servers, patience, RESOLUTION_DELAY)
    }

    /// As [`Names::new`], with this hosts file, and IPv6 addresses are waited for as long as `delay`.
    pub(super) fn with(
        hosts: Hosts,
        name_servers: &[SocketAddr],
        patience: Duration,
        delay: Duration,
    ) -> Names {
        let (config, mut options) = match name_servers.is_empty() {
            true => system(),
            false => (given(name_servers), ResolverOpts::default()),
        };
        let tries = u32::try_from(ASK_AGAIN).unwrap_or(u32::MAX) + 2;
        options.timeout = options.timeout.min(patience / tries);
        options.attempts = ASK_AGAIN;
        // The hosts file is asked here for both kinds of address at once, and answers are kept in `known`.
        options.use_hosts_file = ResolveHosts::Never;
        options.cache_size = 0;
        let provider = TokioRuntimeProvider::default();
        let mut builder = TokioResolver::builder_with_config(config, provider);
        *builder.options_mut() = options;
        Names {
            hosts,
            servers: builder.build(),
            delay,
        }
    }

    /// The addresses of a name and for how long they hold, or why there are none.
    pub(super) async fn ask(&self, name: &str) -> Heard {
        if let Some(addresses) = self.at_hand(name) {
            return (addresses, Some(Duration::MAX));
        }
        // A name that cannot be put into a query (too long a label) does not exist either.
        let query = match Name::from_ascii(name) {
            Ok(query) => query,
            Err(error) => return (Err(DnsError::NotFound(error.to_string())), None),
        };
        match &self.servers {
            Ok(servers) => ask(servers, fully(query), self.delay).await,
            Err(error) => (Err(DnsError::Unavailable(error.to_string())), None),
        }
    }

    /// What need not be asked of anybody.
    fn at_hand(&self, name: &str) -> Option<Result<Vec<IpAddr>, DnsError>> {
        if let Ok(query) = Name::from_ascii(name) {
            let of = |kind| {
                self.hosts
                    .lookup_static_host(&Query::query(query.clone(), kind))
            };
            let found = [of(RecordType::A), of(RecordType::AAAA)];
            let found: Vec<IpAddr> = found.iter().flatten().flat_map(addresses).collect();
            if !found.is_empty() {
                return Some(Ok(found));
            }
        }
        let is_below = |top: &str| {
            let labels = name.trim_end_matches('.').rsplit('.').next();
            labels.is_some_and(|last| last.eq_ignore_ascii_case(top))
        };
        if is_below("localhost") {
            // RFC 6761, section 6.3.
            return Some(Ok(vec![
                Ipv4Addr::LOCALHOST.into(),
                Ipv6Addr::LOCALHOST.into(),
            ]));
        }
        // RFC 6761, section 6.4, and RFC 7686, section 2: nobody is to be asked for these.
        let is_nobodys = is_below("invalid") || is_below("onion");
        is_nobodys.then(|| Err(DnsError::NotFound("no such name can exist".to_owned())))
    }
}

/// What the system is set up with. Without a file it is a name server on this machine (resolv.conf(5)).
fn system() -> (ResolverConfig, ResolverOpts) {
    let here = SocketAddr::from((Ipv4Addr::LOCALHOST, 53));
    match hickory_resolver::system_conf::read_system_conf() {
        Ok((config, options)) if !config.name_servers().is_empty() => (config, options),
        Ok((_, options)) => (given(&[here]), options),
        Err(error) => {
            warn!(%error, "the system's name servers are not known; asking one on this machine");
            (given(&[here]), ResolverOpts::default())
        }
    }
}

fn given(name_servers: &[SocketAddr]) -> ResolverConfig {
    let servers = name_servers.iter().map(|server| {
        let mut ways = [ProtocolConfig::Udp, ProtocolConfig::Tcp].map(ConnectionConfig::new);
        for way in &mut ways {
            way.port = server.port();
        }
        NameServerConfig::new(server.ip(), true, ways.to_vec())
    });
    ResolverConfig::from_parts(None, Vec::new(), servers.collect())
}

/// A name with a full stop in it is meant as it is.
fn fully(mut name: Name) -> Name {
    if name.num_labels() > 1 {
        name.set_fqdn(true);
    }
    name
}

async fn ask(servers: &TokioResolver, name: Name, delay: Duration) -> Heard {
    let four = pin!(servers.lookup(name.clone(), RecordType::A));
    let six = pin!(servers.lookup(name, RecordType::AAAA));
    let (four, six) = match select(four, six).await {
        Either::Left((Ok(four), six)) if addresses(&four).next().is_some() => {
            let six = timeout(delay, six).await;
            (Ok(four), six.unwrap_or(Err(NetError::Timeout)))
        }
        Either::Left((four, six)) => (four, six.await),
        Either::Right((six, four)) => (four.await, six),
    };
    let now = Instant::now();
    let good = || four.iter().chain(&six);
    let found: Vec<IpAddr> = good().flat_map(addresses).collect();
    if !found.is_empty() {
        let holds = good().filter(|lookup| addresses(lookup).next().is_some());
        let holds = holds.map(|lookup| lookup.valid_until().saturating_duration_since(now));
        return (Ok(found), holds.min());
    }
    nothing([four.err(), six.err()])
}

fn addresses(lookup: &Lookup) -> impl Iterator<Item = IpAddr> {
    lookup
        .answers()
        .iter()
        .filter_map(|record| record.data.ip_addr())
}

/// What it means that neither question brought an address.
fn nothing(errors: [Option<NetError>; 2]) -> Heard {
    let errors: Vec<NetError> = errors.into_iter().flatten().collect();
    let missing: Vec<&NoRecords> = errors.iter().filter_map(no_records).collect();
    let holds = missing.iter().filter_map(|none| none.negative_ttl).min();
    let holds = holds.map(|seconds| Duration::from_secs(seconds.into()));
    let is_no_name = missing
        .iter()
        .any(|none| none.response_code == ResponseCode::NXDomain);
    // One question that was answered with nothing says nothing as long as the other was not answered.
    match errors.iter().find(|error| no_records(error).is_none()) {
        Some(error) if !is_no_name => (Err(unanswered(error)), None),
        Some(_) | None => {
            let why = match is_no_name {
                true => "the name does not exist",
                false => "the name has no address",
            };
            (Err(DnsError::NotFound(why.to_owned())), holds)
        }
    }
}

fn no_records(error: &NetError) -> Option<&NoRecords> {
    let NetError::Dns(NoAnswer::NoRecordsFound(none)) = error else {
        return None;
    };
    let is_said = matches!(
        none.response_code,
        ResponseCode::NXDomain | ResponseCode::NoError
    );
    is_said.then_some(none)
}

fn unanswered(error: &NetError) -> DnsError {
    let text = format!("the name server: {error}");
    if let NetError::Io(error) = error
        && crate::failure::is_exhaustion(error)
    {
        return DnsError::Internal(text);
    }
    DnsError::Unavailable(text)
}
