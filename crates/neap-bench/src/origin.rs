//! Who serves the pages?
//!
//! One thread that does as little as it can: it reads request lines, answers from memory and counts.
//! It is a process of its own, so that its CPU time is nobody's else; whoever started it asks by a line
//! on its standard input for what it counted, and ends it by closing that.

use std::cell::Cell;
use std::io::{BufRead, BufReader, Write};
use std::net::Ipv4Addr;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::rc::Rc;

use clap::Args;
use miette::{Context, IntoDiagnostic, Result, miette};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::site::Site;

/// Hosts on the loopback network: 127.0.0.1 and up, all on one port.
pub(crate) const HOSTS: u8 = 16;

/// Pages kept ready to send; a site with more is written anew for each request.
const MOST_READY: u64 = 4096;

/// How the origin is started.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Pages that links lead to.
    #[arg(long)]
    pages: u64,
    /// Whether every address of the loopback network is a host.
    #[arg(long)]
    everywhere: bool,
}

/// What the origin saw since it was asked last.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct Seen {
    /// Requests answered.
    pub(crate) requests: u64,
    /// Of these, requests for a page.
    pub(crate) pages: u64,
    /// Connections accepted.
    pub(crate) connections: u64,
    /// Connections that were open at once.
    pub(crate) most_open: u64,
}

/// An origin that runs.
#[derive(Debug)]
pub(crate) struct Origin {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
    /// The port of all its hosts.
    pub(crate) port: u16,
}

impl Origin {
    /// Starts the origin of a site of so many pages.
    pub(crate) fn start(pages: u64) -> Result<Origin> {
        Origin::start_with(&["origin", "--pages", &pages.to_string()])
    }

    /// Starts one that is every host of [`Origin::url_anywhere`].
    pub(crate) fn start_everywhere(pages: u64) -> Result<Origin> {
        Origin::start_with(&["origin", "--everywhere", "--pages", &pages.to_string()])
    }

    fn start_with(arguments: &[&str]) -> Result<Origin> {
        let mut child = Command::new(std::env::current_exe().into_diagnostic()?)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .into_diagnostic()
            .wrap_err("the origin cannot be started")?;
        let orders = child.stdin.take().expect("it is piped");
        let answers = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut origin = Origin {
            child,
            orders,
            answers,
            port: 0,
        };
        origin.port = origin.line()?.trim().parse().into_diagnostic()?;
        Ok(origin)
    }

    /// The address of a page, on one of the hosts.
    pub(crate) fn url(&self, host: u64, page: u64) -> String {
        let host = 1 + host % u64::from(HOSTS);
        format!("http://127.0.0.{host}:{}{}", self.port, Site::path(page))
    }

    /// The address of a page, on one of 16 million hosts: those of 127.0.0.0/8.
    pub(crate) fn url_anywhere(&self, host: u64, page: u64) -> String {
        let [_, a, b, c] = (host as u32 + 1).to_be_bytes();
        format!("http://127.{a}.{b}.{c}:{}{}", self.port, Site::path(page))
    }

    /// What it saw since the last time.
    pub(crate) fn seen(&mut self) -> Result<Seen> {
        self.orders.write_all(b"seen\n").into_diagnostic()?;
        serde_json::from_str(&self.line()?).into_diagnostic()
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        match self.answers.read_line(&mut line).into_diagnostic()? {
            0 => Err(miette!("the origin has ended")),
            _ => Ok(line),
        }
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the origin counts while it serves.
#[derive(Debug, Default)]
struct Counts {
    requests: Cell<u64>,
    pages: Cell<u64>,
    connections: Cell<u64>,
    open: Cell<u64>,
    most_open: Cell<u64>,
}

/// Serves until standard input ends.
pub(crate) fn run(options: &Options) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .into_diagnostic()?;
    let served = Rc::new(Served::new(options.pages));
    tokio::task::LocalSet::new().block_on(&runtime, serve(served, options.everywhere))
}

async fn serve(served: Rc<Served>, is_everywhere: bool) -> Result<()> {
    let counts = Rc::new(Counts::default());
    let (port, listeners) = if is_everywhere {
        listen_everywhere()?
    } else {
        listen().await?
    };
    for listener in listeners {
        let (served, counts) = (Rc::clone(&served), Rc::clone(&counts));
        tokio::task::spawn_local(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (served, counts) = (Rc::clone(&served), Rc::clone(&counts));
                tokio::task::spawn_local(async move {
                    counts.opened().await;
                    // A connection that breaks is the other side's affair.
                    let _ = converse(stream, &served, &counts).await;
                    counts.open.set(counts.open.get() - 1);
                });
            }
        });
    }
    println!("{port}");
    let (order, mut orders) = tokio::sync::mpsc::channel(1);
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(std::io::Result::ok) {
            if order.blocking_send(line).is_err() {
                return;
            }
        }
    });
    while orders.recv().await.is_some() {
        println!(
            "{}",
            serde_json::to_string(&counts.take()).into_diagnostic()?
        );
    }
    Ok(())
}

/// One port on every address of the loopback network, and on no other.
fn listen_everywhere() -> Result<(u16, Vec<TcpListener>)> {
    let socket = TcpSocket::new_v4().into_diagnostic()?;
    socket.bind_device(Some(b"lo")).into_diagnostic()?;
    let anywhere = (Ipv4Addr::UNSPECIFIED, 0).into();
    socket.bind(anywhere).into_diagnostic()?;
    let listener = socket.listen(1024).into_diagnostic()?;
    let port = listener.local_addr().into_diagnostic()?.port();
    Ok((port, vec![listener]))
}

/// All hosts on one port that is free on each of them.
async fn listen() -> Result<(u16, Vec<TcpListener>)> {
    for _ in 0..20 {
        let first = TcpListener::bind((Ipv4Addr::new(127, 0, 0, 1), 0)).await;
        let first = first.into_diagnostic()?;
        let port = first.local_addr().into_diagnostic()?.port();
        let mut listeners = vec![first];
        for host in 2..=HOSTS {
            match TcpListener::bind((Ipv4Addr::new(127, 0, 0, host), port)).await {
                Ok(listener) => listeners.push(listener),
                Err(_) => break,
            }
        }
        if listeners.len() == usize::from(HOSTS) {
            return Ok((port, listeners));
        }
    }
    Err(miette!("no port is free on 127.0.0.1 to 127.0.0.{HOSTS}"))
}

impl Counts {
    /// Counts a connection. Ends of others that came before its beginning are heard of first, so that
    /// no more are counted than were open.
    async fn opened(&self) {
        self.connections.set(self.connections.get() + 1);
        self.open.set(self.open.get() + 1);
        if self.open.get() > self.most_open.get() {
            tokio::task::yield_now().await;
            self.most_open
                .set(self.most_open.get().max(self.open.get()));
        }
    }

    fn take(&self) -> Seen {
        Seen {
            requests: self.requests.take(),
            pages: self.pages.take(),
            connections: self.connections.take(),
            most_open: self.most_open.replace(self.open.get()),
        }
    }
}

/// The answers.
#[derive(Debug)]
struct Served {
    site: Site,
    ready: Vec<Vec<u8>>,
}

impl Served {
    fn new(pages: u64) -> Served {
        let site = Site::new(pages);
        let ready = (0..pages.min(MOST_READY))
            .map(|page| answer(&site, page))
            .collect();
        Served { site, ready }
    }
}

fn answer(site: &Site, page: u64) -> Vec<u8> {
    let mut body = String::with_capacity(12_000);
    site.write(page, &mut body);
    let head = format!(
        "HTTP/1.1 200 OK\r\nserver: bench\r\ncontent-type: text/html; charset=utf-8\r\n\
         last-modified: Tue, 03 Nov 2026 08:12:31 GMT\r\nx-page: {page}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body.as_bytes()].concat()
}

const NOT_FOUND: &[u8] = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n";

/// Answers the requests of one connection, one after the other.
async fn converse(mut stream: TcpStream, served: &Served, counts: &Counts) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut received = Vec::with_capacity(4096);
    loop {
        let Some(end) = received.windows(4).position(|at| at == b"\r\n\r\n") else {
            if stream.read_buf(&mut received).await? == 0 {
                return Ok(());
            }
            continue;
        };
        let line = received.split(|&byte| byte == b' ').nth(1);
        let path = line.and_then(|path| std::str::from_utf8(path).ok());
        counts.requests.set(counts.requests.get() + 1);
        let page = path.and_then(Site::page_of);
        counts
            .pages
            .set(counts.pages.get() + u64::from(page.is_some()));
        match page {
            Some(page) => match served.ready.get(page as usize) {
                Some(ready) => stream.write_all(ready).await?,
                None => stream.write_all(&answer(&served.site, page)).await?,
            },
            None => stream.write_all(NOT_FOUND).await?,
        }
        received.drain(..end + 4);
    }
}
