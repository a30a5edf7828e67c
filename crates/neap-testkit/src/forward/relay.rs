//! How is a request in absolute form relayed?

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::tunnel::{Stream, change};
use super::{Inner, Manner};
use crate::request::Request;

/// Header fields of a request that are not the host's business.
const NOT_RELAYED: [&str; 3] = ["proxy-authorization", "proxy-connection", "connection"];

/// Relays one request on a connection of its own, and says whether the client's may stay open.
pub(super) async fn serve(
    client: &mut Stream,
    request: &Request,
    manner: &Manner,
    inner: &Inner,
) -> io::Result<bool> {
    // 1. Connect to the host that the target names.
    let Some((authority, path)) = split(&request.target) else {
        client
            .write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
            .await?;
        return Ok(true);
    };
    let Ok(mut host) = inner.connect(&authority).await else {
        client
            .write_all(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 11\r\n\r\nunreachable")
            .await?;
        return Ok(true);
    };

    // 2. Ask it in origin form.
    let mut head = format!(
        "{} {path} HTTP/1.1\r\nConnection: close\r\n",
        request.method
    );
    for (name, value) in &request.headers {
        if !NOT_RELAYED.contains(&name.to_ascii_lowercase().as_str()) {
            head += &format!("{name}: {value}\r\n");
        }
    }
    head += "\r\n";
    host.write_all(head.as_bytes()).await?;
    host.write_all(&request.body).await?;

    // 3. Hand on its answer, stamped.
    let mut answer = Vec::new();
    let whole = host.read_to_end(&mut answer).await;
    let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(false);
    };
    let (head, body) = answer.split_at_mut(end + 2);
    let mut out = String::new();
    let mut is_framed = false;
    for line in String::from_utf8_lossy(head).split_terminator("\r\n") {
        let name = line
            .split(':')
            .next()
            .unwrap_or_default()
            .to_ascii_lowercase();
        is_framed |= name == "content-length" || name == "transfer-encoding";
        if name != "connection" {
            out += line;
            out += "\r\n";
        }
    }
    if let Some(stamp) = &inner.stamp {
        out += &format!("Via: {stamp}\r\n");
    }
    client.write_all(out.as_bytes()).await?;
    let (gap, body) = body.split_at_mut(2);
    client.write_all(gap).await?;
    let kept = change(body, 0, manner);
    client.write_all(&body[..kept]).await?;
    Ok(is_framed && whole.is_ok() && kept == body.len())
}

/// `host:port` and the path of a target in absolute form.
fn split(target: &str) -> Option<(String, String)> {
    let rest = target.strip_prefix("http://")?;
    let at = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(at);
    let path = if path.starts_with('/') {
        path.to_owned()
    } else {
        format!("/{path}")
    };
    let has_port = authority
        .rsplit_once(':')
        .is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let authority = if has_port {
        authority.to_owned()
    } else {
        format!("{authority}:80")
    };
    Some((authority, path))
}
