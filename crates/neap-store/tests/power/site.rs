//! What is crawled: a small site that always answers the same, whoever asks and how often.

use std::time::Duration;

use neap_core::classify::{Fault, Outcome};
use neap_core::exchange::{Answer, Exchange, Timings};
use neap_core::job::{Crawl, Job};
use neap_core::scope::{ScopeKind, SkipReason};
use neap_core::verdict::Verdict;
use neap_core::{CanonicalUrl, UnixMs};
use neap_store::{
    Anchor, AnchorTarget, Attempt, Link, Page, Ready, Record, Redirect, RedirectVerdict,
    WriterHandle,
};

/// When everything happens: 2026-01-01T00:00:00Z.
pub(crate) const NOW: UnixMs = UnixMs(1_767_225_600_000);

/// Pages of each host.
const PAGES: u64 = 16;

pub(crate) const HOSTS: [&str; 3] = ["http://a.example", "http://b.example", "http://c.example"];

/// What a page is, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    /// Fails at the first try.
    Shaky,
    Redirect,
    Gone,
    /// Fails at every try that it is given, of which there is one.
    Broken,
}

pub(crate) fn url(text: &str) -> CanonicalUrl {
    CanonicalUrl::parse(text).unwrap()
}

pub(crate) fn seeds() -> Vec<CanonicalUrl> {
    HOSTS.map(|host| url(&format!("{host}/p/0"))).to_vec()
}

pub(crate) fn job() -> Job {
    Job {
        crawl: Crawl {
            scope: ScopeKind::Host,
            ..Default::default()
        },
        ..Job::named("shop")
    }
}

/// The number of a page, and whether it is the target of a redirect.
fn number(url: &CanonicalUrl) -> (u64, bool) {
    let mut parts = url.as_str().rsplit('/');
    let number = parts.next().unwrap().parse().unwrap();
    (number, parts.next() == Some("moved"))
}

fn kind(url: &CanonicalUrl) -> Kind {
    match number(url) {
        (_, true) => Kind::Plain,
        (number, false) => match number % 8 {
            3 => Kind::Shaky,
            4 => Kind::Redirect,
            5 => Kind::Gone,
            6 => Kind::Broken,
            _ => Kind::Plain,
        },
    }
}

/// What a page says: the same at every time, and hard to compress, so that segments and logs grow. Some
/// say the same on every host, so that their payloads are stored once.
pub(crate) fn body(url: &CanonicalUrl) -> Vec<u8> {
    let (number, is_moved) = number(url);
    let is_shared = number % 4 == 2 || number % 4 == 3;
    let (name, least) = if is_shared && !is_moved {
        (number.to_string(), 1024)
    } else {
        (url.as_str().to_owned(), 100)
    };
    let mut state = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, b| {
        (hash ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3)
    });
    let bytes = least + state % 3000;
    (0..bytes)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[0]
        })
        .collect()
}

/// Whether the body of a page is kept: of two pages in three.
pub(crate) fn has_body(url: &CanonicalUrl) -> bool {
    !number(url).0.is_multiple_of(3)
}

/// Whether this try of a request is the last one.
pub(crate) fn is_final(row: &Ready) -> bool {
    !(kind(&row.url) == Kind::Shaky && row.deferrals == 0)
}

fn host_of(url: &CanonicalUrl) -> &str {
    let text = url.as_str();
    HOSTS
        .into_iter()
        .find(|host| text.starts_with(host))
        .unwrap()
}

fn links(url: &CanonicalUrl) -> Vec<CanonicalUrl> {
    let (number, is_moved) = number(url);
    if is_moved {
        return Vec::new();
    }
    let below = [2 * number + 1, 2 * number + 2];
    let below = below.into_iter().filter(|child| *child < PAGES);
    let here = below.map(|child| format!("{}/p/{child}", host_of(url)));
    let there = HOSTS.map(|host| format!("{host}/p/{number}"));
    here.chain(there).map(|text| self::url(&text)).collect()
}

/// What a run records of one try, with records packed by its writer.
pub(crate) fn record(row: &Ready, writer: &WriterHandle) -> Record {
    let kind = kind(&row.url);
    let (status, outcome, cause) = match kind {
        Kind::Plain => (200, Outcome::Success, None),
        Kind::Shaky if is_final(row) => (200, Outcome::Success, None),
        Kind::Redirect => (301, Outcome::Redirect, None),
        Kind::Gone => (404, Outcome::Gone, Some("http_404")),
        Kind::Shaky | Kind::Broken => (502, Outcome::Overload, Some("http_502")),
    };
    let is_retried = !is_final(row);
    let verdict = match kind {
        _ if is_retried => Verdict::Retry {
            after: Duration::from_millis(1),
            is_charged: false,
        },
        Kind::Broken => Verdict::Failed,
        Kind::Plain | Kind::Shaky | Kind::Redirect | Kind::Gone => Verdict::Done,
    };
    let body = body(&row.url);
    let has_page = verdict == Verdict::Done;
    let links = if status == 200 {
        links(&row.url)
    } else {
        Vec::new()
    };
    Record {
        request: row.request,
        job: row.job,
        host: row.host,
        attempt: Attempt {
            number: row.charged + row.deferrals + row.lost + 1,
            started: NOW,
            timings: Timings::default(),
            status: Some(status),
            outcome,
            cause: cause.map(str::to_owned),
            fault: if status == 502 {
                Fault::Host
            } else {
                Fault::Nobody
            },
            attribution: None,
            egress: None,
            connect_status: None,
            error: None,
            is_charged: !is_retried,
            backoff: None,
            body_bytes: body.len() as u64,
            limit: 4.0,
            in_flight: 1,
        },
        verdict,
        due: is_retried.then_some(NOW),
        page: has_page.then(|| Page {
            status,
            content_type: Some("text/html".to_owned()),
            body_bytes: body.len() as u64,
            fetched: NOW,
            about: None,
        }),
        anchors: anchors(links.len(), has_page),
        segment: (has_page && has_body(&row.url))
            .then(|| writer.pack(&row.url, &exchange(status, body), NOW, true))
            .flatten(),
        links: links
            .into_iter()
            .map(|url| Link {
                url,
                depth: row.depth + 1,
                priority: 0,
            })
            .collect(),
        skipped_links: vec![(url("http://elsewhere.example/"), SkipReason::Scope)],
        redirect: (kind == Kind::Redirect).then(|| Redirect {
            url: url(&format!(
                "{}/moved/{}",
                host_of(&row.url),
                number(&row.url).0
            )),
            verdict: RedirectVerdict::Follow,
        }),
    }
}

/// What so many links say, and the one that is skipped.
fn anchors(links: usize, has_page: bool) -> Vec<Anchor> {
    if !has_page {
        return Vec::new();
    }
    let asked_for = (0..links).map(AnchorTarget::AskedFor);
    let skipped = [AnchorTarget::Skipped(0)];
    let anchor = |target| Anchor {
        target,
        text: Some("a link".to_owned()),
        is_nofollow: false,
    };
    asked_for.chain(skipped).map(anchor).collect()
}

fn exchange(status: u16, payload: Vec<u8>) -> Exchange {
    Exchange {
        result: Ok(Answer {
            status,
            version: http::Version::HTTP_11,
            headers: http::HeaderMap::new(),
            payload: payload.clone().into(),
            body: payload.into(),
            address: None,
        }),
        timings: Timings::default(),
        sent: http::HeaderMap::new(),
        route: Default::default(),
    }
}
