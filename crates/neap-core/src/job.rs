//! What does a job ask for, once its file has been read and found good?
//!
//! [`Job`] is what a job file means: every value checked, every default filled in. It is stored as JSON
//! beside the job, so that a crawl resumes without its file. A secret is never part of it: what comes from the
//! environment or a file is kept as the name of the variable or the path of the file.

mod expect;
mod identity;
mod rules;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::expect::{AtMost, Brought, Expect, StatusRange, Unmet};
pub use self::identity::{
    Auth, CertificateFiles, DEFAULT_USER_AGENT, Identity, Login, Reference, Template,
};
pub use self::rules::{HostPattern, HostRule, MAX_HOST_PATTERN_BYTES};
use crate::canonical::CanonicalUrl;
pub use crate::egress::{Select, Sticky};
use crate::order::Order;
use crate::params::ParamName;
use crate::scope::{Pattern, Requisites, ScopeKind};
pub use crate::traps::Traps;

/// A job, checked and complete.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Job {
    /// What `status`, `resume` and SQL call it; 1 to 100 characters of `a-z A-Z 0-9 . _ -`.
    pub name: String,
    /// A sentence for people; may be empty.
    pub description: String,
    /// Where the crawl starts.
    pub input: Input,
    /// Which links are followed.
    pub crawl: Crawl,
    /// As whom the crawl asks.
    pub identity: Identity,
    /// The limits of one exchange.
    pub request: Request,
    /// How many requests at once, and how fast.
    pub limits: Limits,
    /// How the crawl adapts to what hosts can bear.
    pub adaptive: Adaptive,
    /// When and how often a failed request is asked again.
    pub retry: Retry,
    /// How robots.txt is treated.
    pub robots: Robots,
    /// Through which proxies the crawl goes.
    #[serde(default)]
    pub proxy: Proxy,
    /// What is kept.
    pub store: Keep,
    /// What the crawl is expected to bring.
    #[serde(default)]
    pub expect: Expect,
    /// What holds for some hosts instead; the first that matches, see [`Job::rule_for`].
    #[serde(default, rename = "host")]
    pub hosts: Vec<HostRule>,
}

impl Job {
    /// A job of this name of which nothing else is said: everything has its default, and there is no input.
    pub fn named(name: impl Into<String>) -> Job {
        Job {
            name: name.into(),
            description: Default::default(),
            input: Default::default(),
            crawl: Default::default(),
            identity: Default::default(),
            request: Default::default(),
            limits: Default::default(),
            adaptive: Default::default(),
            retry: Default::default(),
            robots: Default::default(),
            proxy: Default::default(),
            store: Default::default(),
            expect: Default::default(),
            hosts: Vec::new(),
        }
    }
}

/// `[input]`: where the crawl starts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Input {
    /// URLs written in the job file.
    pub urls: Vec<CanonicalUrl>,
    /// Files of URLs.
    pub files: Vec<ListFile>,
    /// Sitemaps and feeds whose pages belong to the input. Default: none.
    pub sitemaps: Vec<CanonicalUrl>,
    /// The format of all files. Default: what the name of each says, or else `text`.
    pub format: Option<InputFormat>,
    /// The column or member that holds the URL; the others are kept beside it. Default: `url`.
    pub url_column: String,
}

impl Default for Input {
    fn default() -> Input {
        Input {
            urls: Vec::new(),
            files: Vec::new(),
            sitemaps: Vec::new(),
            format: None,
            url_column: "url".to_owned(),
        }
    }
}

/// A file of URLs, and how it is read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "WrittenFile", into = "WrittenFile")]
pub struct ListFile {
    /// The file as written in the job file, relative to it; `-` is standard input.
    pub path: String,
    /// Its format. Default: [`Input::format`].
    pub format: Option<InputFormat>,
    /// The column or member that holds the URL. Default: [`Input::url_column`].
    pub url: Option<String>,
    /// The columns or members that are kept beside the URL. Default: all others.
    pub keep: Option<Vec<String>>,
}

impl ListFile {
    /// A file of which nothing else is said.
    pub fn at(path: impl Into<String>) -> ListFile {
        ListFile {
            path: path.into(),
            format: None,
            url: None,
            keep: None,
        }
    }
}

/// How a file is written and stored: as its path alone, if nothing else is said of it.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum WrittenFile {
    Path(String),
    Table {
        path: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        format: Option<InputFormat>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        url: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        keep: Option<Vec<String>>,
    },
}

impl From<WrittenFile> for ListFile {
    fn from(written: WrittenFile) -> ListFile {
        match written {
            WrittenFile::Path(path) => ListFile::at(path),
            WrittenFile::Table {
                path,
                format,
                url,
                keep,
            } => ListFile {
                path,
                format,
                url,
                keep,
            },
        }
    }
}

impl From<ListFile> for WrittenFile {
    fn from(file: ListFile) -> WrittenFile {
        if file == ListFile::at(file.path.as_str()) {
            return WrittenFile::Path(file.path);
        }
        WrittenFile::Table {
            path: file.path,
            format: file.format,
            url: file.url,
            keep: file.keep,
        }
    }
}

/// The format of a file of URLs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InputFormat {
    /// One URL a line.
    Text,
    /// A table with names of columns in its first line, separated by commas.
    Csv,
    /// A table with names of columns in its first line, separated by tabs.
    Tsv,
    /// A JSON object a line.
    Jsonl,
}

/// `[crawl]`: which links are followed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Crawl {
    /// How far from the input URLs a link may lead. Default: `page`, that is no link is followed.
    pub scope: ScopeKind,
    /// If not empty, a link must match one of these. Default: empty.
    pub include: Vec<Pattern>,
    /// A link that matches one of these is not followed. Default: empty.
    pub exclude: Vec<Pattern>,
    /// Links to follow one after another from an input URL, which has depth 0. Default: no limit.
    pub max_depth: Option<u32>,
    /// Pages (answers other than redirects) after which the job is finished. Default: no limit.
    pub max_pages: Option<u64>,
    /// Whether sitemaps that robots.txt names, and sitemaps and feeds that pages link to, are read for
    /// pages; only with a scope that follows links. Default: yes.
    pub sitemaps: bool,
    /// Whether links are left alone that say `rel=nofollow`, and those of pages that say `nofollow` in a
    /// `<meta name=robots>` or `X-Robots-Tag`. Default: yes.
    pub nofollow: bool,
    /// Parameters that links are followed without. Default: none.
    pub drop_params: Vec<ParamName>,
    /// Which parts of pages are asked for besides: images, styles and the like. Default: none.
    pub requisites: Requisites,
    /// Which links are followed first. Default: those nearest to the input.
    pub order: Order,
    /// When a link is held for one of a site's without end.
    pub traps: Traps,
}

impl Default for Crawl {
    fn default() -> Crawl {
        Crawl {
            scope: ScopeKind::Page,
            include: Vec::new(),
            exclude: Vec::new(),
            max_depth: None,
            max_pages: None,
            sitemaps: true,
            nofollow: true,
            drop_params: Vec::new(),
            requisites: Requisites::default(),
            order: Order::default(),
            traps: Traps::default(),
        }
    }
}

/// `[request]`: the limits of one exchange.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Request {
    /// Longest time to a usable connection: names, TCP and TLS. Default: 10 s.
    pub connect_timeout: Duration,
    /// Longest silence of the server, before its answer and within it. Default: 30 s.
    pub read_timeout: Duration,
    /// Longest time for the whole exchange. Default: 2 min.
    pub total_timeout: Duration,
    /// Largest body, in bytes, as sent and as decoded; 1 to [`MAX_BODY_CEILING`]. Default: 16 MiB.
    pub max_body: u64,
    /// Redirects to follow one after another from a URL, 0 to 20. Default: 10, as browsers allow 20
    /// and Scrapy 20, and hardly a site needs more than 5.
    pub redirects: u32,
    /// Whether hosts may be asked that are not of the public internet, see [`crate::address`]. Default: no, but
    /// for those that the input names.
    pub private_addresses: bool,
    /// Name servers to ask, at most [`MAX_NAME_SERVERS`]. Default: none, that is the system's.
    pub name_servers: Vec<SocketAddr>,
    /// A file of certificates of authorities that are trusted besides the system's; absolute. Default: none.
    pub ca_file: Option<String>,
    /// The address of this machine that connections come from. Default: the system chooses.
    pub bind: Option<IpAddr>,
}

/// Most `request.name_servers`: resolv.conf(5) has 3, and more than two are hardly ever asked.
pub const MAX_NAME_SERVERS: usize = 8;

/// Largest `request.max_body`, in bytes: a body is held in memory until it is recorded.
pub const MAX_BODY_CEILING: u64 = 256 << 20;

impl Default for Request {
    fn default() -> Request {
        Request {
            connect_timeout: Duration::from_secs(10),
            read_timeout: Duration::from_secs(30),
            total_timeout: Duration::from_secs(120),
            max_body: 16 << 20,
            redirects: 10,
            private_addresses: false,
            name_servers: Vec::new(),
            ca_file: None,
            bind: None,
        }
    }
}

/// `[limits]`: how many requests at once, and how fast.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Requests in flight over all hosts, 1 to 10,000. Default: 64.
    pub concurrency: u32,
    /// Ceiling of the requests in flight to one host, 1 to 1,024; the learned limit stays below it.
    /// Default: 16.
    pub per_host: u32,
    /// Highest rate of requests to one host. Default: no limit.
    pub per_host_rate: Option<Rate>,
    /// Shortest time between the starts of two requests to one host. Default: none.
    pub delay: Duration,
    /// What the limits of a host, learned and configured, are kept by. Default: `host`.
    pub key: LimitKey,
    /// Bytes of bodies a second over all hosts, as sent; at least
    /// [`LEAST_BYTES_PER_SECOND`](crate::bandwidth::LEAST_BYTES_PER_SECOND). Default: no limit.
    pub bandwidth: Option<u64>,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            concurrency: 64,
            per_host: 16,
            per_host_rate: None,
            delay: Duration::ZERO,
            key: LimitKey::Host,
            bandwidth: None,
        }
    }
}

/// What the limits of a host are kept by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LimitKey {
    /// Each host (scheme, name and port) by itself.
    Host,
    /// All hosts of one registrable domain together, see [`Host::domain`](crate::Host::domain): for shops
    /// and forums whose many subdomains are served by the same few machines.
    Domain,
}

/// So many requests in such a time, written `5/s`, `100/m` or `1000/h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    /// Requests, 1 and up.
    pub requests: u32,
    /// The time they are spread over; above zero.
    pub per: Duration,
}

/// `[adaptive]`: how the crawl adapts to what hosts can bear.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Adaptive {
    /// A host that did nothing but fail for so long is given up, with all its requests; at least 1 s.
    /// A host that never answered at all in this run is given up after a minute, if that is shorter.
    /// Default: 10 min.
    pub give_up_after: Duration,
}

impl Default for Adaptive {
    fn default() -> Adaptive {
        Adaptive {
            give_up_after: Duration::from_secs(600),
        }
    }
}

/// `[retry]`: when and how often a failed request is asked again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retry {
    /// Attempts at one request, the first included, 1 to 100. Default: 6.
    pub attempts: u32,
    /// Statuses that are tried again. Default: [`DEFAULT_RETRY_STATUSES`].
    pub statuses: Vec<u16>,
    /// Upper bound of the first backoff. Default: 1 s.
    pub base: Duration,
    /// Upper bound of every backoff. Default: 5 min.
    pub max: Duration,
    /// How the backoff is drawn. Default: `full`.
    pub jitter: Jitter,
    /// Longest `Retry-After` that is believed, of a page and of its whole host; a longer one is cut to
    /// it. At most [`RETRY_AFTER_MAX`](crate::backoff::RETRY_AFTER_MAX). Default: 1 h.
    pub retry_after_max: Duration,
    /// Retries are at most this share of the requests to a host while it has fresh ones, 0 to 1; `None`
    /// for no limit. Default: 0.2, as in Finagle's RetryBudget.
    pub budget: Option<f64>,
    /// Failures of a request through one proxy after which it takes another one, and after as many more
    /// another pool; 1 to 100. Default: 2.
    pub swap_proxy_after: u32,
}

/// Statuses that are usually temporary: RFC 9110 (408, 500, 502, 503, 504), RFC 6585 (429) and
/// Cloudflare's own for an origin that it cannot reach (520 to 524).
pub const DEFAULT_RETRY_STATUSES: [u16; 11] =
    [408, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524];

impl Default for Retry {
    fn default() -> Retry {
        Retry {
            attempts: 6,
            statuses: DEFAULT_RETRY_STATUSES.to_vec(),
            base: Duration::from_secs(1),
            max: Duration::from_secs(300),
            jitter: Jitter::Full,
            retry_after_max: Duration::from_secs(3600),
            budget: Some(0.2),
            swap_proxy_after: 2,
        }
    }
}

/// How a backoff is drawn from its upper bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Jitter {
    /// Anywhere between zero and the bound ("Exponential Backoff And Jitter", AWS, 2015).
    Full,
    /// Half of the bound, plus anywhere up to the other half.
    Equal,
    /// The bound itself.
    None,
}

/// `[robots]`: how robots.txt is treated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Robots {
    /// Whether it is obeyed. Default: `obey`.
    pub mode: RobotsMode,
    /// Longest crawl delay that is honoured; a longer one is cut to it. Default: 30 s.
    pub crawl_delay_max: Duration,
}

impl Default for Robots {
    fn default() -> Robots {
        Robots {
            mode: RobotsMode::Obey,
            crawl_delay_max: Duration::from_secs(30),
        }
    }
}

/// Whether robots.txt is obeyed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RobotsMode {
    /// Asked for and obeyed, with its crawl delay (RFC 9309).
    Obey,
    /// Asked for and its crawl delay kept; what it forbids is asked for all the same, and the log tells of
    /// it.
    Warn,
    /// Not asked for.
    Off,
}

/// `[proxy]`: through which proxies the crawl goes. Without a pool it goes directly.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Proxy {
    /// The pools. Requests begin with the first one. Default: none.
    #[serde(rename = "pool")]
    pub pools: Vec<ProxyPool>,
    /// Whether requests go directly once the pools do not help any more. Default: no.
    pub direct: bool,
}

/// `[[proxy.pool]]`: proxies that are used alike.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProxyPool {
    /// What messages and SQL call it; 1 to 100 characters of `a-z A-Z 0-9 . _ -`, no other pool's.
    pub name: String,
    /// Its proxies; a user name and a password only as `${env:NAME}`.
    pub urls: Vec<Template>,
    /// A file with further proxies, one a line; absolute once the job is submitted. It is read again when it
    /// changes.
    pub file: Option<String>,
    /// How the next proxy is taken. Default: `round-robin`.
    pub select: Select,
    /// What stays with one proxy. Default: `none`.
    pub sticky: Sticky,
    /// Requests in flight through one proxy, at most; 1 to 1,024. Default: 8.
    pub max_per_proxy: u32,
    /// The pool to go on with where this one does not help. Default: the next one in the file that does
    /// not come before it, see [`chain`](crate::egress::chain()).
    pub fallback: Option<String>,
}

/// `max_per_proxy` of a pool that says none: half of what one host may get by default, since a proxy serves
/// others as well.
pub const DEFAULT_MAX_PER_PROXY: u32 = 8;

impl ProxyPool {
    /// A pool of this name without proxies, which has every default.
    pub fn named(name: impl Into<String>) -> ProxyPool {
        ProxyPool {
            name: name.into(),
            urls: Vec::new(),
            file: None,
            select: Select::default(),
            sticky: Sticky::default(),
            max_per_proxy: DEFAULT_MAX_PER_PROXY,
            fallback: None,
        }
    }
}

/// `[store]`: what is kept, and where.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Keep {
    /// The store, relative to the job file. Default: `neap.db` in the current directory.
    pub path: Option<String>,
    /// Which bodies are kept. Default: `all`.
    pub bodies: Bodies,
    /// Whether each kept body has a `metadata` record that says what led to it. Default: yes.
    pub metadata: bool,
    /// Whether the links of pages are kept with their texts, where a scope follows links. Default: yes.
    pub links: bool,
    /// Bytes after which a new segment file is begun, 64 KiB to 1 TiB; of several jobs in one run the
    /// smallest holds. Default: 1 GiB, as WARC 1.1 (annex C) advises.
    pub segment_size: u64,
    /// What a power cut may take. Default: `full`, nothing that was recorded.
    pub durability: Durability,
}

impl Default for Keep {
    fn default() -> Keep {
        Keep {
            path: None,
            bodies: Bodies::All,
            metadata: true,
            links: true,
            segment_size: 1 << 30,
            durability: Durability::Full,
        }
    }
}

/// What a power cut may take. A killed process loses nothing either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// Nothing: every commit is flushed to the disk before it counts.
    Full,
    /// The newest commits, and with them the pages of which they told; they are asked for again. What
    /// is left is whole.
    Normal,
}

/// Which bodies are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Bodies {
    /// Every answer goes to a WARC segment file.
    All,
    /// None: only what SQL holds.
    None,
}
