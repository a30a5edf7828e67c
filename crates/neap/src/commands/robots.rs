//! `neap robots URL...`: may a crawler ask for these URLs, and which line of robots.txt says so?
//!
//! The files are those that the runs of a store have read, or one from a file on this machine; nothing is
//! fetched.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use neap_core::job::DEFAULT_USER_AGENT;
use neap_core::{CanonicalUrl, Host};
use neap_parse::Robots;
use neap_parse::robots::{MAX_ROBOTS_BYTES, product_token};
use neap_store::Reader;
use url::Position;

use super::place::reader;
use super::tables::print_rows;
use crate::cli::Global;
use crate::exit::{self, Exit};
use crate::failure::Failure;
use crate::print::escape::{for_terminal, quoted};
use crate::print::{Format, Value};

/// The columns that are printed.
const COLUMNS: [&str; 5] = ["url", "verdict", "rule", "line", "why"];

/// What is known of a host's robots file.
enum Known {
    /// The file, or that there is none and with which status it is not there.
    Rules(Robots, Option<String>),
    /// Nothing.
    Nothing,
}

/// Prints a verdict for each URL.
///
/// # Errors
/// A text is no URL, the file cannot be read, or there is no store.
pub(crate) async fn robots(
    global: &Global,
    urls: &[String],
    agent: Option<&str>,
    file: Option<&Path>,
    format: Format,
) -> Result<Exit, Failure> {
    let urls: Vec<CanonicalUrl> = urls
        .iter()
        .map(|text| url(text))
        .collect::<Result<_, _>>()?;
    let mut known = BTreeMap::new();
    match file {
        Some(path) => {
            let token = product_token(agent.unwrap_or(DEFAULT_USER_AGENT));
            let body = read(path)?;
            for host in urls.iter().map(CanonicalUrl::host) {
                let rules = Robots::parse(&body, token);
                known.insert(host, Known::Rules(rules, None));
            }
        }
        None => {
            let reader = reader(global).await?;
            let agent = match agent {
                Some(agent) => agent.to_owned(),
                None => newest_agent(&reader).await?,
            };
            for host in urls.iter().map(CanonicalUrl::host) {
                let found = of_host(&reader, &host, product_token(&agent)).await?;
                known.insert(host, found);
            }
        }
    }
    print_rows(format, &COLUMNS, urls.iter().map(|url| row(url, &known)))?;
    Ok(exit::DONE)
}

fn url(text: &str) -> Result<CanonicalUrl, Failure> {
    CanonicalUrl::parse(text).map_err(|error| {
        Failure::usage(
            format!("{} cannot be asked for: {error}", quoted(text)),
            "write the whole URL, such as `https://shop.example/page`",
        )
    })
}

/// The file as far as a robots file is read.
fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let shown = for_terminal(&path.display().to_string()).into_owned();
    let open = || -> std::io::Result<Vec<u8>> {
        let mut body = Vec::new();
        let most = MAX_ROBOTS_BYTES as u64 + 1;
        std::fs::File::open(path)?
            .take(most)
            .read_to_end(&mut body)?;
        Ok(body)
    };
    open().map_err(|error| {
        Failure::usage(
            format!("{shown} cannot be read: {error}"),
            "`--file` takes a robots.txt on this machine; without it the store's are looked up",
        )
    })
}

/// As whom the newest job asks.
async fn newest_agent(reader: &Reader) -> Result<String, Failure> {
    let jobs = reader.jobs().await?;
    let newest = jobs.into_iter().max_by_key(|row| row.job_id);
    Ok(newest.map_or_else(
        || DEFAULT_USER_AGENT.to_owned(),
        |row| row.spec.identity.user_agent,
    ))
}

/// What the store knows of a host.
async fn of_host(reader: &Reader, host: &Host, token: &str) -> Result<Known, Failure> {
    let Some(row) = reader.host(host.as_str()).await? else {
        return Ok(Known::Nothing);
    };
    let Some((status, _)) = row.robots else {
        return Ok(Known::Nothing);
    };
    Ok(match reader.robots_body(row.host).await? {
        Some(body) => Known::Rules(Robots::parse(&body, token), None),
        None => {
            let answer = status.map_or("too many redirects".to_owned(), |status| {
                format!("status {status}")
            });
            Known::Rules(Robots::allow_all(), Some(answer))
        }
    })
}

fn row(url: &CanonicalUrl, known: &BTreeMap<Host, Known>) -> Vec<Value> {
    let text = |text: &str| Value::Text(text.to_owned());
    let target = &url.url()[Position::BeforePath..Position::AfterQuery];
    let (verdict, rule, line, why) = match known.get(&url.host()) {
        None | Some(Known::Nothing) => (
            "unknown",
            Value::Null,
            Value::Null,
            "no run has read the robots.txt of its host".to_owned(),
        ),
        Some(Known::Rules(rules, missing)) => {
            let found = rules.verdict(target);
            let verdict = if found.allowed {
                "allowed"
            } else {
                "forbidden"
            };
            match (found.rule, missing) {
                (Some(rule), _) => {
                    let key = if rule.is_allow { "allow" } else { "disallow" };
                    (
                        verdict,
                        text(&format!("{key}: {}", rule.path)),
                        Value::Integer(i64::from(rule.line)),
                        "the longest rule that matches decides".to_owned(),
                    )
                }
                (None, Some(answer)) => (
                    verdict,
                    Value::Null,
                    Value::Null,
                    format!("there is no robots.txt ({answer})"),
                ),
                (None, None) if target == "/robots.txt" => (
                    verdict,
                    Value::Null,
                    Value::Null,
                    "the file itself may always be asked for".to_owned(),
                ),
                (None, None) => (
                    verdict,
                    Value::Null,
                    Value::Null,
                    "no rule matches".to_owned(),
                ),
            }
        }
    };
    vec![
        text(url.as_str()),
        text(verdict),
        rule,
        line,
        Value::Text(why),
    ]
}
