//! How is a connection to a host made without a proxy?

use std::error::Error;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use url::{Host, Url};

use crate::connection::About;
use crate::dns::{DnsError, Resolver};
use crate::egress::Wire;
use crate::phases::{may_be_private, note_dns};
use crate::sockets::{Place, Sockets};
use crate::tcp::{self, Socket};

/// What a connection is made with.
pub(crate) struct Direct {
    pub(crate) resolver: Arc<Resolver>,
    pub(crate) tls: Arc<ClientConfig>,
    /// The address of this machine that it comes from.
    pub(crate) from: Option<IpAddr>,
    /// Time for names, TCP and TLS together.
    pub(crate) timeout: Duration,
}

/// Why there is no connection.
pub(crate) type NotConnected = Box<dyn Error + Send + Sync>;

/// A connection that nothing was said over yet.
pub(crate) struct Made {
    pub(crate) wire: Wire,
    pub(crate) is_http2: bool,
    pub(crate) about: About,
}

impl Direct {
    /// Connects to the host of a URL.
    pub(crate) async fn connect(
        &self,
        url: &Url,
        place: Place,
        sockets: &Sockets,
    ) -> Result<Made, NotConnected> {
        let deadline = Instant::now() + self.timeout;
        let host = url.host().ok_or_else(no_host)?;
        let port = url.port_or_known_default().ok_or_else(no_host)?;
        let addresses = self.addresses(&host, port, deadline).await?;
        let (socket, address) =
            tcp::connect(&addresses, self.from, deadline, place, sockets).await?;
        let about = About {
            address: Some(address),
            ..About::default()
        };
        if url.scheme() == "http" {
            return Ok(Made {
                wire: Box::new(socket),
                is_http2: false,
                about,
            });
        }
        let (wire, is_http2) = self.tls(&host, socket, deadline).await?;
        Ok(Made {
            wire,
            is_http2,
            about,
        })
    }

    async fn addresses(
        &self,
        host: &Host<&str>,
        port: u16,
        deadline: Instant,
    ) -> Result<Vec<SocketAddr>, NotConnected> {
        let name = match host {
            Host::Ipv4(ip) => return Ok(vec![SocketAddr::from((*ip, port))]),
            Host::Ipv6(ip) => return Ok(vec![SocketAddr::from((*ip, port))]),
            Host::Domain(name) => name,
        };
        let began = Instant::now();
        let found: Result<Vec<SocketAddr>, DnsError> =
            timeout_at(deadline, self.resolver.permitted(name, may_be_private()))
                .await
                .map_err(|_| out_of_time())?;
        note_dns(began.elapsed());
        let with_port = |mut address: SocketAddr| {
            address.set_port(port);
            address
        };
        Ok(found?.into_iter().map(with_port).collect())
    }

    async fn tls(
        &self,
        host: &Host<&str>,
        socket: Socket,
        deadline: Instant,
    ) -> Result<(Wire, bool), NotConnected> {
        let name = match host {
            Host::Domain(name) => ServerName::try_from((*name).to_owned())?,
            Host::Ipv4(ip) => ServerName::from(IpAddr::V4(*ip)),
            Host::Ipv6(ip) => ServerName::from(IpAddr::V6(*ip)),
        };
        let connector = TlsConnector::from(Arc::clone(&self.tls));
        let stream = timeout_at(deadline, connector.connect(name, socket))
            .await
            .map_err(|_| out_of_time())??;
        let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        Ok((Box::new(stream), is_http2))
    }
}

fn no_host() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "the URL has no host")
}

fn out_of_time() -> io::Error {
    let text = "no connection within the connect time-out";
    io::Error::new(io::ErrorKind::TimedOut, text)
}
