//! How does the proxy speak SOCKS5 (RFC 1928, RFC 1929)?

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::tunnel::{self, Stream};
use super::{Asking, Inner, Manner, Passed};
use crate::script::lock;

const GRANTED: [u8; 10] = [5, 0, 0, 1, 127, 0, 0, 1, 0, 0];

/// Serves a connection of which `read` has come already.
pub(super) async fn serve(mut client: Stream, read: Vec<u8>, inner: &Inner) -> io::Result<()> {
    let mut wire = Ahead { read, at: 0 };

    // 1. Agree how to log in, and log in.
    let manner = lock(&inner.manner).clone();
    let [_version, count] = wire.array(&mut client).await?;
    let methods = wire.take(&mut client, count.into()).await?;
    let Some(mut client) = tunnel::unless_mute(client, &manner).await? else {
        return Ok(());
    };
    let headers = match &inner.login {
        None => {
            client.write_all(&[5, 0]).await?;
            Vec::new()
        }
        Some(_) if !methods.contains(&2) => {
            client.write_all(&[5, 0xff]).await?;
            return client.shutdown().await;
        }
        Some((user, password)) => {
            client.write_all(&[5, 2]).await?;
            let [_version, length] = wire.array(&mut client).await?;
            let their_user = wire.text(&mut client, length).await?;
            let [length] = wire.array(&mut client).await?;
            let their_password = wire.text(&mut client, length).await?;
            let is_right = (&their_user, &their_password) == (user, password);
            client.write_all(&[1, u8::from(!is_right)]).await?;
            if !is_right {
                return client.shutdown().await;
            }
            vec![
                ("user".to_owned(), their_user),
                ("password".to_owned(), their_password),
            ]
        }
    };

    // 2. Read where to.
    let [_version, _command, _reserved, kind] = wire.array(&mut client).await?;
    let host = match kind {
        1 => Ipv4Addr::from(wire.array::<4>(&mut client).await?).to_string(),
        4 => format!("[{}]", Ipv6Addr::from(wire.array::<16>(&mut client).await?)),
        _ => {
            let [length] = wire.array(&mut client).await?;
            wire.text(&mut client, length).await?
        }
    };
    let port = u16::from_be_bytes(wire.array(&mut client).await?);
    let target = format!("{host}:{port}");
    lock(&inner.passed).push(Passed {
        asking: Asking::Socks5,
        target: target.clone(),
        headers,
    });

    // 3. Reply, and carry.
    if let Manner::SocksReply(code) = manner {
        client.write_all(&[5, code, 0, 1, 0, 0, 0, 0, 0, 0]).await?;
        return client.shutdown().await;
    }
    match tunnel::open(&mut client, &target, &manner, inner, &GRANTED).await {
        Ok(Some(host)) => tunnel::carry(client, host, &manner).await,
        Ok(None) => tunnel::finish(client, &manner).await,
        Err(error) => {
            let replies = [
                (io::ErrorKind::ConnectionRefused, 5),
                (io::ErrorKind::NotFound, 4),
                (io::ErrorKind::NetworkUnreachable, 3),
            ];
            let known = replies.iter().find(|(kind, _)| *kind == error.kind());
            let code = known.map_or(1, |(_, code)| *code);
            client.write_all(&[5, code, 0, 1, 0, 0, 0, 0, 0, 0]).await?;
            client.shutdown().await
        }
    }
}

/// What was read ahead of its turn.
struct Ahead {
    read: Vec<u8>,
    at: usize,
}

impl Ahead {
    async fn take(&mut self, client: &mut Stream, count: usize) -> io::Result<Vec<u8>> {
        while self.read.len() - self.at < count {
            if client.read_buf(&mut self.read).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        let taken = self.read[self.at..self.at + count].to_vec();
        self.at += count;
        Ok(taken)
    }

    async fn array<const N: usize>(&mut self, client: &mut Stream) -> io::Result<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(&self.take(client, N).await?);
        Ok(array)
    }

    async fn text(&mut self, client: &mut Stream, length: u8) -> io::Result<String> {
        let bytes = self.take(client, length.into()).await?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}
