//! A fetcher to try, and what it should have seen.

use std::sync::Arc;
use std::time::Duration;

use neap_core::address::AddressRule;
use neap_core::canonical::CanonicalUrl;
use neap_core::exchange::{Answer, Failure, FailureKind};
use neap_core::job::Request;
use neap_fetch::{Ask, BodyLimit, FetchSettings, Fetched, Fetcher, MemoryBudget, Sockets};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

pub(crate) const MIB: u64 = 1 << 20;

/// Sockets that a fetcher of a test may have.
pub(crate) const SOCKETS: usize = 8;

/// Limits that no good exchange on loopback meets.
pub(crate) fn request() -> Request {
    Request {
        connect_timeout: Duration::from_secs(20),
        read_timeout: Duration::from_secs(20),
        total_timeout: Duration::from_secs(60),
        max_body: MIB,
        redirects: 10,
        ..Request::default()
    }
}

pub(crate) fn settings(request: Request) -> FetchSettings {
    FetchSettings {
        request,
        user_agent: "neap-test/1".to_owned(),
        headers: Vec::new(),
        header_hosts: [].into(),
        logins: [].into(),
        addresses: AddressRule::new(true, []),
        extra_roots: Vec::new(),
        client_certificate: None,
        bind: None,
        pace: None,
    }
}

pub(crate) fn fetcher() -> Fetcher {
    fetcher_with(&settings(request()))
}

pub(crate) fn fetcher_with(settings: &FetchSettings) -> Fetcher {
    fetcher_on(&Sockets::new(SOCKETS), settings)
}

/// A fetcher that shares its sockets with others.
pub(crate) fn fetcher_on(sockets: &Arc<Sockets>, settings: &FetchSettings) -> Fetcher {
    let memory = Arc::new(MemoryBudget::default());
    Fetcher::new(settings, memory, Arc::clone(sockets)).unwrap()
}

pub(crate) fn url(text: &str) -> CanonicalUrl {
    CanonicalUrl::parse(text).unwrap()
}

pub(crate) async fn fetch(fetcher: &Fetcher, at: &str) -> Fetched {
    fetcher.fetch(&Ask::get(&url(at), BodyLimit::MaxBody)).await
}

/// Fetches what must be an answer.
pub(crate) async fn answer(fetcher: &Fetcher, at: &str) -> Answer {
    let fetched = fetch(fetcher, at).await;
    fetched
        .exchange
        .result
        .unwrap_or_else(|failure| panic!("{at}: {failure}"))
}

/// Fetches what must be a failure.
pub(crate) async fn failure(fetcher: &Fetcher, at: &str) -> Failure {
    match fetch(fetcher, at).await.exchange.result {
        Ok(answer) => panic!(
            "{at}: answered {}, {} bytes",
            answer.status,
            answer.body.len()
        ),
        Err(failure) => failure,
    }
}

/// Fetches from a host that writes `bytes` to every connection once it has been asked, and closes.
pub(crate) async fn fetch_raw(fetcher: &Fetcher, bytes: impl Into<Vec<u8>>) -> Fetched {
    let at = serve_raw(bytes.into()).await;
    fetch(fetcher, &at).await
}

pub(crate) async fn failure_kind_of_raw(bytes: impl Into<Vec<u8>>) -> FailureKind {
    match fetch_raw(&fetcher(), bytes).await.exchange.result {
        Ok(answer) => panic!("answered {}, {:?}", answer.status, answer.body),
        Err(failure) => failure.kind,
    }
}

/// The URL of a host that writes `bytes` to every connection once it has been asked, and closes it.
pub(crate) async fn serve_raw(bytes: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let bytes = bytes.clone();
            tokio::spawn(async move {
                let mut asked = Vec::new();
                while !asked.ends_with(b"\r\n\r\n") {
                    if socket.read_buf(&mut asked).await.unwrap_or(0) == 0 {
                        return;
                    }
                }
                // The client may have seen enough and left: then nobody misses the rest.
                let _ = socket.write_all(&bytes).await;
                let _ = socket.shutdown().await;
                while socket.read_buf(&mut asked).await.unwrap_or(0) > 0 {}
            });
        }
    });
    at
}
