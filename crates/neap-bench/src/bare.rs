//! What does it cost without neap?
//!
//! The shortest loops that do the same: so many fetches in flight with a plain client, what came of each
//! written as a row if asked to, links read and remembered if it is a crawl. Nothing is polite, durable
//! before it is sent, tried again or explained; that is what neap adds.

use std::collections::{HashSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use html5gum::{Token, Tokenizer};
use miette::{IntoDiagnostic, Result, miette};
use reqwest::Client;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode};
use sqlx::{ConnectOptions, Connection, QueryBuilder, Sqlite, SqliteConnection};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use url::Url;

/// Rows of one transaction at most, and of one statement.
const MOST_ROWS: usize = 512;
const STATEMENT_ROWS: usize = 64;

/// What is fetched, and how.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// A file of URLs, one a line.
    #[arg(long, conflicts_with = "site", required_unless_present = "site")]
    list: Option<PathBuf>,
    /// Where a crawl of one host begins.
    #[arg(long)]
    site: Option<Url>,
    /// Fetches in flight.
    #[arg(long)]
    in_flight: usize,
    /// A database that gets a row for each fetch.
    #[arg(long)]
    record: Option<PathBuf>,
    /// Pages that there must be in the end.
    #[arg(long)]
    expect: usize,
}

/// What is written of a fetch.
#[derive(Debug)]
struct Row {
    url: String,
    status: u16,
    bytes: usize,
    took_us: i64,
}

/// Fetches everything.
pub(crate) fn run(options: &Options) -> Result<()> {
    // reqwest is built without a default.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Runtime::new().into_diagnostic()?;
    let fetched = runtime.block_on(fetch_all(options))?;
    match fetched == options.expect {
        true => Ok(()),
        false => Err(miette!("{fetched} pages instead of {}", options.expect)),
    }
}

async fn fetch_all(options: &Options) -> Result<usize> {
    let recorder = match &options.record {
        Some(path) => Some(Recorder::open(path).await?),
        None => None,
    };
    let rows = recorder.as_ref().map(|recorder| recorder.rows.clone());
    let fetched = match (&options.list, &options.site) {
        (Some(list), _) => fetch_list(list, options.in_flight, rows).await?,
        (None, Some(site)) => crawl(site, options.in_flight, rows).await?,
        (None, None) => 0,
    };
    if let Some(recorder) = recorder {
        recorder.close().await?;
    }
    Ok(fetched)
}

async fn fetch_list(
    list: &Path,
    in_flight: usize,
    rows: Option<mpsc::Sender<Row>>,
) -> Result<usize> {
    let client = Client::new();
    let text = std::fs::read_to_string(list).into_diagnostic()?;
    let urls: Arc<Vec<String>> = Arc::new(text.lines().map(str::to_owned).collect());
    let mut loops = JoinSet::new();
    for first in 0..in_flight {
        let (client, rows, urls) = (client.clone(), rows.clone(), Arc::clone(&urls));
        loops.spawn(async move {
            let mut fetched = 0;
            for url in urls.iter().skip(first).step_by(in_flight) {
                fetch(&client, url, rows.as_ref()).await?;
                fetched += 1;
            }
            reqwest::Result::Ok(fetched)
        });
    }
    let mut fetched = 0;
    while let Some(of_loop) = loops.join_next().await {
        fetched += of_loop.into_diagnostic()?.into_diagnostic()?;
    }
    Ok(fetched)
}

async fn crawl(site: &Url, in_flight: usize, rows: Option<mpsc::Sender<Row>>) -> Result<usize> {
    let client = Client::new();
    let mut seen = HashSet::from([site.to_string()]);
    let mut queue = VecDeque::from([site.clone()]);
    let mut fetches = JoinSet::new();
    loop {
        while fetches.len() < in_flight
            && let Some(url) = queue.pop_front()
        {
            let (client, rows) = (client.clone(), rows.clone());
            fetches.spawn(async move {
                let page = fetch(&client, url.as_str(), rows.as_ref()).await?;
                reqwest::Result::Ok(links(&page, &url))
            });
        }
        let Some(links) = fetches.join_next().await else {
            return Ok(seen.len());
        };
        for link in links.into_diagnostic()?.into_diagnostic()? {
            if link.host() == site.host() && seen.insert(link.to_string()) {
                queue.push_back(link);
            }
        }
    }
}

async fn fetch(
    client: &Client,
    url: &str,
    rows: Option<&mpsc::Sender<Row>>,
) -> reqwest::Result<bytes::Bytes> {
    let started = std::time::Instant::now();
    let response = client.get(url).send().await?;
    let status = response.status().as_u16();
    let body = response.bytes().await?;
    if let Some(rows) = rows {
        let row = Row {
            url: url.to_owned(),
            status,
            bytes: body.len(),
            took_us: i64::try_from(started.elapsed().as_micros()).unwrap_or(i64::MAX),
        };
        // The recorder ends after all loops do.
        let _ = rows.send(row).await;
    }
    Ok(body)
}

fn links(page: &[u8], base: &Url) -> Vec<Url> {
    let mut links = Vec::new();
    for token in Tokenizer::new(page) {
        let Ok(Token::StartTag(tag)) = token else {
            continue;
        };
        if &**tag.name == b"a"
            && let Some(href) = tag.attributes.get(&b"href"[..])
            && let Ok(href) = std::str::from_utf8(href)
            && let Ok(mut url) = base.join(href)
        {
            url.set_fragment(None);
            links.push(url);
        }
    }
    links
}

/// Writes rows in batches.
#[derive(Debug)]
struct Recorder {
    rows: mpsc::Sender<Row>,
    work: tokio::task::JoinHandle<Result<(), sqlx::Error>>,
}

impl Recorder {
    async fn open(path: &Path) -> Result<Recorder> {
        let mut connection = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .disable_statement_logging()
            .connect()
            .await
            .into_diagnostic()?;
        sqlx::query(
            "CREATE TABLE fetches (url TEXT, status INTEGER, bytes INTEGER, took_us INTEGER)",
        )
        .execute(&mut connection)
        .await
        .into_diagnostic()?;
        let (rows, inbox) = mpsc::channel(4096);
        let work = tokio::spawn(write(connection, inbox));
        Ok(Recorder { rows, work })
    }

    async fn close(self) -> Result<()> {
        drop(self.rows);
        self.work.await.into_diagnostic()?.into_diagnostic()
    }
}

async fn write(
    mut connection: SqliteConnection,
    mut inbox: mpsc::Receiver<Row>,
) -> Result<(), sqlx::Error> {
    let mut rows = Vec::with_capacity(MOST_ROWS);
    while inbox.recv_many(&mut rows, MOST_ROWS).await > 0 {
        let mut transaction = connection.begin().await?;
        for rows in rows.chunks(STATEMENT_ROWS) {
            let mut insert = QueryBuilder::<Sqlite>::new("INSERT INTO fetches ");
            insert.push_values(rows, |mut values, row| {
                values
                    .push_bind(&row.url)
                    .push_bind(i64::from(row.status))
                    .push_bind(i64::try_from(row.bytes).unwrap_or(i64::MAX))
                    .push_bind(row.took_us);
            });
            insert.build().execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
        rows.clear();
    }
    connection.close().await
}
