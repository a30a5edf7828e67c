//! How does a SOCKS5 proxy give a way to a host (RFC 1928, RFC 1929)?

use std::io;
use std::net::{IpAddr, SocketAddr};

use neap_core::exchange::FailureKind;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::Credentials;
use super::broken::Fault;
use super::wire::Wire;

const VERSION: u8 = 5;
const LOGIN_VERSION: u8 = 1;
const NO_LOGIN: u8 = 0;
const USER_AND_PASSWORD: u8 = 2;
const NOT_ACCEPTABLE: u8 = 0xff;
const CONNECT: u8 = 1;
const ADDRESS_V4: u8 = 1;
const NAME: u8 = 3;
const ADDRESS_V6: u8 = 4;

/// Longest name that the protocol can carry.
const MAX_NAME_BYTES: usize = 255;

/// Where to.
#[derive(Debug, Clone)]
pub(crate) enum Target {
    Address(SocketAddr),
    /// A name that the proxy resolves.
    Name(String, u16),
}

/// Asks for a way to `target`. The reply code goes to `reply` as soon as it has come.
pub(crate) async fn open(
    wire: &mut Wire,
    target: &Target,
    login: Option<&Credentials>,
    reply: &mut Option<u8>,
) -> Result<(), Fault> {
    // 1. Agree how to log in.
    let methods: &[u8] = match login {
        Some(_) => &[VERSION, 2, NO_LOGIN, USER_AND_PASSWORD],
        None => &[VERSION, 1, NO_LOGIN],
    };
    send(wire, methods).await?;
    let [version, method] = read(wire).await?;
    expect(version == VERSION, &[version, method])?;

    // 2. Log in.
    match (method, login) {
        (NO_LOGIN, _) => {}
        (USER_AND_PASSWORD, Some(login)) => log_in(wire, login).await?,
        (NOT_ACCEPTABLE, _) => {
            *reply = Some(NOT_ACCEPTABLE);
            let detail = match login {
                Some(_) => "the SOCKS5 proxy accepts no user name and password",
                None => "the SOCKS5 proxy wants a user name and a password",
            };
            return Err(Fault::new(FailureKind::ProxyAuth, detail));
        }
        (_, Some(_) | None) => return expect(false, &[version, method]),
    }

    // 3. Ask.
    send(wire, &request(target)?).await?;
    let [version, code] = read(wire).await?;
    expect(version == VERSION, &[version, code])?;
    *reply = Some(code);
    if code != 0 {
        let detail = format!("the SOCKS5 proxy replied {code} ({})", meaning(code));
        return Err(Fault::new(FailureKind::Socks, detail));
    }
    let [reserved, kind] = read(wire).await?;
    let bound = match kind {
        ADDRESS_V4 => 4,
        ADDRESS_V6 => 16,
        NAME => usize::from(read::<1>(wire).await?[0]),
        _ => return expect(false, &[version, code, reserved, kind]),
    };
    // The address and port that the proxy uses, which nobody needs.
    let mut unneeded = [0; MAX_NAME_BYTES + 2];
    wire.read_exact(&mut unneeded[..bound + 2])
        .await
        .map_err(closed)?;
    Ok(())
}

async fn log_in(wire: &mut Wire, login: &Credentials) -> Result<(), Fault> {
    let too_long = |_| Fault::new(FailureKind::ProxyAuth, "too long a user name or password");
    let mut message = vec![LOGIN_VERSION];
    for part in [&login.user, &login.password] {
        message.push(u8::try_from(part.len()).map_err(too_long)?);
        message.extend_from_slice(part);
    }
    send(wire, &message).await?;
    let [_version, status] = read(wire).await?;
    match status {
        0 => Ok(()),
        _ => Err(Fault::new(
            FailureKind::ProxyAuth,
            "the SOCKS5 proxy does not accept the user name and password",
        )),
    }
}

fn request(target: &Target) -> Result<Vec<u8>, Fault> {
    let mut message = vec![VERSION, CONNECT, 0];
    let port = match target {
        Target::Address(address) => {
            match address.ip() {
                IpAddr::V4(ip) => {
                    message.push(ADDRESS_V4);
                    message.extend_from_slice(&ip.octets());
                }
                IpAddr::V6(ip) => {
                    message.push(ADDRESS_V6);
                    message.extend_from_slice(&ip.octets());
                }
            }
            address.port()
        }
        Target::Name(name, port) => {
            let length = u8::try_from(name.len()).map_err(|_| {
                let detail = "the host's name is longer than the 255 bytes of SOCKS5";
                Fault::new(FailureKind::DnsNotFound, detail)
            })?;
            message.extend_from_slice(&[NAME, length]);
            message.extend_from_slice(name.as_bytes());
            *port
        }
    };
    message.extend_from_slice(&port.to_be_bytes());
    Ok(message)
}

/// What a reply code means (RFC 1928, section 6).
fn meaning(code: u8) -> &'static str {
    match code {
        1 => "it failed",
        2 => "its rules do not allow this connection",
        3 => "the network is unreachable",
        4 => "the host is unreachable",
        5 => "the host refused the connection",
        6 => "the time to live expired",
        7 => "it does not know the command",
        8 => "it does not know this kind of address",
        _ => "which the protocol does not define",
    }
}

async fn send(wire: &mut Wire, bytes: &[u8]) -> Result<(), Fault> {
    wire.write_all(bytes).await.map_err(closed)?;
    wire.flush().await.map_err(closed)
}

async fn read<const N: usize>(wire: &mut Wire) -> Result<[u8; N], Fault> {
    let mut bytes = [0; N];
    wire.read_exact(&mut bytes).await.map_err(closed)?;
    Ok(bytes)
}

fn closed(error: io::Error) -> Fault {
    let detail = match error.kind() == io::ErrorKind::UnexpectedEof {
        true => "the SOCKS5 proxy closed the connection instead of answering".to_owned(),
        false => format!("the SOCKS5 proxy broke the connection ({error})"),
    };
    Fault::new(FailureKind::ProxyClosed, detail).after(Some(&error))
}

fn expect(is_right: bool, bytes: &[u8]) -> Result<(), Fault> {
    match is_right {
        true => Ok(()),
        false => {
            let detail = "the proxy's answer is not SOCKS5";
            Err(Fault::garbage(FailureKind::ProxyProtocol, detail, bytes))
        }
    }
}
