//! Does a link belong to the crawl?
//!
//! Three questions in this order: does it lead no further than the job's scope allows, does it match
//! an `include` pattern (if there are any), does it match no `exclude` pattern.

use std::fmt;

use globset::{GlobBuilder, GlobMatcher};
use regex::Regex;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::address::AddressRule;
use crate::canonical::CanonicalUrl;
use crate::host::Host;
use crate::job::Crawl;

/// How far from the input URLs a link may lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ScopeKind {
    /// The input URLs alone; no link is followed.
    Page,
    /// Below the directory of an input URL, on its host.
    Path,
    /// Everything on the hosts of the input URLs.
    Host,
    /// Everything on the registrable domains of the input URLs (public suffix list).
    Domain,
    /// Everywhere.
    Any,
}

/// Which of the things that a page is shown with are asked for, too: images, styles, scripts, sounds and films.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Requisites {
    /// None of them.
    #[default]
    None,
    /// Those on the host of the page, and those within the scope.
    Host,
    /// All, wherever they are.
    Any,
}

/// Longest pattern in a job file, in bytes; compiled patterns are bounded with it.
pub const MAX_PATTERN_BYTES: usize = 1000;

/// A pattern of `include` or `exclude`: a glob on path and query (`/search*`), or `re:` and a regular
/// expression that is looked for anywhere in the whole URL.
///
/// In a glob `*` stands for any text, `/` included, `?` for itself (queries have one), and `[..]` and
/// `{a,b}` for choices.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pattern {
    text: String,
    matcher: Matcher,
}

#[derive(Debug, Clone)]
enum Matcher {
    Glob(GlobMatcher),
    Regex(Regex),
}

impl Pattern {
    /// Reads a pattern as a job file writes it.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn parse(text: &str) -> Result<Pattern, String> {
        if text.len() > MAX_PATTERN_BYTES {
            return Err(format!("a pattern has at most {MAX_PATTERN_BYTES} bytes"));
        }
        let matcher = match text.strip_prefix("re:") {
            Some(regex) => {
                let regex = regex::RegexBuilder::new(regex).size_limit(1 << 20).build();
                Matcher::Regex(regex.map_err(|error| error.to_string())?)
            }
            None => {
                let escaped = text.replace('?', "[?]");
                let glob = GlobBuilder::new(&escaped).literal_separator(false).build();
                Matcher::Glob(
                    glob.map_err(|error| error.kind().to_string())?
                        .compile_matcher(),
                )
            }
        };
        Ok(Pattern {
            text: text.to_owned(),
            matcher,
        })
    }

    /// Whether a URL matches.
    pub fn matches(&self, url: &Url) -> bool {
        match &self.matcher {
            Matcher::Regex(regex) => regex.is_match(url.as_str()),
            Matcher::Glob(glob) => {
                glob.is_match(&url[url::Position::BeforePath..url::Position::AfterQuery])
            }
        }
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Pattern) -> bool {
        self.text == other.text
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl TryFrom<String> for Pattern {
    type Error = String;

    fn try_from(text: String) -> Result<Pattern, String> {
        Pattern::parse(&text)
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> String {
        pattern.text
    }
}

/// Why a URL that was found is not asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SkipReason {
    /// It leads further than `crawl.scope`.
    Scope,
    /// It matches no `crawl.include`.
    NotIncluded,
    /// It matches `crawl.exclude`.
    Excluded,
    /// It is deeper than `crawl.max_depth`.
    TooDeep,
    /// `crawl.max_pages` was reached before its turn came.
    MaxPages,
    /// robots.txt disallows it.
    Robots,
    /// Its job was cancelled.
    Cancelled,
    /// A person said so.
    ByHand,
    /// The page or the link says that crawlers are not to follow it.
    NoFollow,
    /// Too many indexes lie above the sitemap.
    NestedSitemap,
    /// A sitemap of another site lists it, for which nobody vouches.
    ForeignSitemap,
    /// Its host is not of the public internet, see [`crate::address`].
    PrivateAddress,
    /// It is longer than `crawl.traps.max_url_length`.
    LongUrl,
    /// A segment of its path comes again more often than `crawl.traps.max_repeated_segments`.
    RepeatingPath,
    /// It is a page of a calendar, further ahead than `crawl.traps.max_years_ahead`.
    FarDate,
    /// Its path has `crawl.traps.max_query_variants` queries already that are combinations of few values.
    QueryVariants,
    /// It is in a part of its site of which `crawl.traps.max_near_duplicates` pages said nothing new.
    NearDuplicates,
}

impl SkipReason {
    /// Every reason, in the order of [`SkipReason::code`].
    pub const ALL: [SkipReason; 17] = [
        SkipReason::Scope,
        SkipReason::NotIncluded,
        SkipReason::Excluded,
        SkipReason::TooDeep,
        SkipReason::MaxPages,
        SkipReason::Robots,
        SkipReason::Cancelled,
        SkipReason::ByHand,
        SkipReason::NoFollow,
        SkipReason::NestedSitemap,
        SkipReason::ForeignSitemap,
        SkipReason::PrivateAddress,
        SkipReason::LongUrl,
        SkipReason::RepeatingPath,
        SkipReason::FarDate,
        SkipReason::QueryVariants,
        SkipReason::NearDuplicates,
    ];

    /// The number for it in the store; never reused for another reason.
    pub const fn code(self) -> i64 {
        match self {
            SkipReason::Scope => 0,
            SkipReason::NotIncluded => 1,
            SkipReason::Excluded => 2,
            SkipReason::TooDeep => 3,
            SkipReason::MaxPages => 4,
            SkipReason::Robots => 5,
            SkipReason::Cancelled => 6,
            SkipReason::ByHand => 7,
            SkipReason::NoFollow => 8,
            SkipReason::NestedSitemap => 9,
            SkipReason::ForeignSitemap => 10,
            SkipReason::PrivateAddress => 11,
            SkipReason::LongUrl => 12,
            SkipReason::RepeatingPath => 13,
            SkipReason::FarDate => 14,
            SkipReason::QueryVariants => 15,
            SkipReason::NearDuplicates => 16,
        }
    }

    /// The word for it in SQL and messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            SkipReason::Scope => "scope",
            SkipReason::NotIncluded => "not_included",
            SkipReason::Excluded => "excluded",
            SkipReason::TooDeep => "too_deep",
            SkipReason::MaxPages => "max_pages",
            SkipReason::Robots => "robots",
            SkipReason::Cancelled => "cancelled",
            SkipReason::ByHand => "by_hand",
            SkipReason::NoFollow => "nofollow",
            SkipReason::NestedSitemap => "nested_sitemap",
            SkipReason::ForeignSitemap => "foreign_sitemap",
            SkipReason::PrivateAddress => "private_address",
            SkipReason::LongUrl => "long_url",
            SkipReason::RepeatingPath => "repeating_path",
            SkipReason::FarDate => "far_date",
            SkipReason::QueryVariants => "query_variants",
            SkipReason::NearDuplicates => "near_duplicates",
        }
    }
}

/// The scope of one job.
#[derive(Debug, Clone)]
pub struct Scope {
    kind: ScopeKind,
    roots: std::collections::BTreeSet<String>,
    include: Vec<Pattern>,
    exclude: Vec<Pattern>,
    max_depth: Option<u32>,
    requisites: Requisites,
    addresses: AddressRule,
}

impl Scope {
    /// The scope around a job's input URLs.
    pub fn new<'a>(crawl: &Crawl, input: impl IntoIterator<Item = &'a CanonicalUrl>) -> Scope {
        let roots = match crawl.scope {
            ScopeKind::Page | ScopeKind::Any => Default::default(),
            ScopeKind::Path | ScopeKind::Host | ScopeKind::Domain => input
                .into_iter()
                .map(|url| root(crawl.scope, url.url()))
                .collect(),
        };
        Scope::from_roots(crawl, roots)
    }

    /// The scope around roots that [`Scope::roots`] gave earlier.
    pub fn from_roots(crawl: &Crawl, roots: std::collections::BTreeSet<String>) -> Scope {
        Scope {
            kind: crawl.scope,
            roots,
            include: crawl.include.clone(),
            exclude: crawl.exclude.clone(),
            max_depth: crawl.max_depth,
            requisites: crawl.requisites,
            addresses: AddressRule::default(),
        }
    }

    /// The same scope, but with these hosts open that are not of the public internet. Without it none is.
    pub fn with_addresses(self, addresses: AddressRule) -> Scope {
        Scope { addresses, ..self }
    }

    /// Which hosts are open that are not of the public internet.
    pub fn addresses(&self) -> &AddressRule {
        &self.addresses
    }

    /// What links are compared with: directories, hosts or registrable domains, by kind of scope.
    pub fn roots(&self) -> &std::collections::BTreeSet<String> {
        &self.roots
    }

    /// Whether any link at all can be in scope, so that pages need to be read for links.
    pub fn follows_links(&self) -> bool {
        self.kind != ScopeKind::Page && self.max_depth != Some(0)
    }

    /// Whether a link that was found at `depth` links from the input is asked for.
    ///
    /// # Errors
    /// The reason why it is not.
    pub fn admits(&self, url: &CanonicalUrl, depth: u32) -> Result<(), SkipReason> {
        if !self.reaches(url.url()) {
            return Err(SkipReason::Scope);
        }
        if self.max_depth.is_some_and(|most| depth > most) {
            return Err(SkipReason::TooDeep);
        }
        self.fits_patterns(url)
    }

    /// Whether something is asked for that a page is shown with. It belongs to the page, so neither the depth nor
    /// `include` is asked about it.
    ///
    /// # Errors
    /// The reason why it is not.
    pub fn admits_requisite(&self, url: &CanonicalUrl, page: &Url) -> Result<(), SkipReason> {
        let is_near = match self.requisites {
            Requisites::None => false,
            Requisites::Host => self.is_same_site(url.url(), page) || self.reaches(url.url()),
            Requisites::Any => true,
        };
        if !is_near {
            return Err(SkipReason::Scope);
        }
        self.admits_named(url)
    }

    /// Whether pages need to be read for what they are shown with.
    pub fn wants_requisites(&self) -> bool {
        self.requisites != Requisites::None
    }

    /// Whether a page that a sitemap lists is asked for, if the sitemap was found at `depth`. A job without
    /// links (`scope = "page"`) reads only sitemaps of its input, and what those list is its input, too.
    ///
    /// # Errors
    /// The reason why it is not.
    pub fn admits_listed(&self, url: &CanonicalUrl, depth: u32) -> Result<(), SkipReason> {
        match self.kind {
            ScopeKind::Page => self.fits_patterns(url),
            ScopeKind::Path | ScopeKind::Host | ScopeKind::Domain | ScopeKind::Any => {
                self.admits(url, depth)
            }
        }
    }

    /// Whether a sitemap is asked for to which another document leads: one on the site of that document, as
    /// sitemaps.org has it, or within the scope. `include` is for pages, a sitemap need not match it.
    ///
    /// # Errors
    /// The reason why it is not.
    pub fn admits_sitemap(&self, url: &CanonicalUrl, from: &Url) -> Result<(), SkipReason> {
        if !self.is_same_site(url.url(), from) && !self.reaches(url.url()) {
            return Err(SkipReason::Scope);
        }
        self.admits_named(url)
    }

    /// Whether something is asked for that may be on any host, such as a sitemap that a robots file names, which
    /// vouches for it.
    ///
    /// # Errors
    /// The reason why it is not.
    pub fn admits_named(&self, url: &CanonicalUrl) -> Result<(), SkipReason> {
        self.is_public(url)?;
        self.is_not_excluded(url)
    }

    /// Whether the sitemaps are asked for that the robots file of a host names, wherever they are: if pages of
    /// the host are within the scope.
    pub fn takes_sitemaps_of(&self, host: &Host) -> bool {
        let url = host.robots_url();
        match self.kind {
            ScopeKind::Page => false,
            ScopeKind::Any | ScopeKind::Host | ScopeKind::Domain => self.reaches(&url),
            ScopeKind::Path => {
                let site = format!("{}/", site(&url));
                let mut below = self.roots.range(site.clone()..);
                below.next().is_some_and(|root| root.starts_with(&site))
            }
        }
    }

    /// Whether two URLs are of one host as people mean it: `http` and `https` are one.
    pub fn is_same_site(&self, one: &Url, other: &Url) -> bool {
        site(one) == site(other)
    }

    fn is_public(&self, url: &CanonicalUrl) -> Result<(), SkipReason> {
        self.addresses
            .admits(url.url())
            .map_err(|_| SkipReason::PrivateAddress)
    }

    fn fits_patterns(&self, url: &CanonicalUrl) -> Result<(), SkipReason> {
        self.is_public(url)?;
        self.is_not_excluded(url)?;
        if !self.include.is_empty() && !self.include.iter().any(|p| p.matches(url.url())) {
            return Err(SkipReason::NotIncluded);
        }
        Ok(())
    }

    /// Whether it matches no `exclude`.
    ///
    /// # Errors
    /// It matches one.
    fn is_not_excluded(&self, url: &CanonicalUrl) -> Result<(), SkipReason> {
        match self.exclude.iter().any(|p| p.matches(url.url())) {
            true => Err(SkipReason::Excluded),
            false => Ok(()),
        }
    }

    /// Whether the target of a redirect is asked for. A job without links (`scope = "page"`) asks for a
    /// URL and wants its answer wherever it moved to; every other scope holds for redirects as well.
    ///
    /// # Errors
    /// The reason why it is not.
    pub fn admits_redirect(&self, url: &CanonicalUrl) -> Result<(), SkipReason> {
        match self.kind {
            ScopeKind::Page => self.is_public(url),
            ScopeKind::Path | ScopeKind::Host | ScopeKind::Domain | ScopeKind::Any => {
                self.admits(url, 0)
            }
        }
    }

    /// Whether the scope's roots lead there. Asked for each link, so that few hosts are compared as they are.
    fn reaches(&self, url: &Url) -> bool {
        const FEW_ROOTS: usize = 8;

        match self.kind {
            ScopeKind::Page => false,
            ScopeKind::Any => true,
            ScopeKind::Host if self.roots.len() <= FEW_ROOTS => {
                self.roots.iter().any(|root| is_site_of(root, url))
            }
            ScopeKind::Host | ScopeKind::Domain => self.roots.contains(&root(self.kind, url)),
            ScopeKind::Path => ancestors(url).any(|directory| self.roots.contains(&directory)),
        }
    }
}

/// What a URL is compared by: its directory, host or registrable domain.
fn root(kind: ScopeKind, url: &Url) -> String {
    match kind {
        ScopeKind::Path => ancestors(url).next().unwrap_or_default(),
        ScopeKind::Host => site(url),
        ScopeKind::Domain => {
            let name = url.host_str().unwrap_or_default();
            // An IP address has no domain: it stands for itself.
            let domain = url.domain().and_then(psl::domain_str);
            domain.unwrap_or(name).to_owned()
        }
        ScopeKind::Page | ScopeKind::Any => String::new(),
    }
}

/// The host as people mean it: name and port, where the usual ports of `http` and `https` are one. Sites
/// move from one to the other all the time, and links of both kinds stand on one page.
pub(crate) fn site(url: &Url) -> String {
    let name = url.host_str().unwrap_or_default();
    match url.port() {
        None => name.to_owned(),
        Some(port) => format!("{name}:{port}"),
    }
}

/// Whether [`site`] of a URL is this text, without writing it.
fn is_site_of(text: &str, url: &Url) -> bool {
    let rest = text.strip_prefix(url.host_str().unwrap_or_default());
    match (rest, url.port()) {
        (None, _) => false,
        (Some(rest), None) => rest.is_empty(),
        (Some(rest), Some(port)) => {
            let digits = rest.strip_prefix(':');
            // A port is written without zeros in front, here and there.
            digits.is_some_and(|digits| digits.parse() == Ok(port))
        }
    }
}

/// The directories that a URL lies in, each with its host and a trailing slash, the nearest first.
fn ancestors(url: &Url) -> impl Iterator<Item = String> {
    let (site, path) = (site(url), url.path());
    let slashes = path.char_indices().rev().filter(|(_, c)| *c == '/');
    slashes.map(move |(at, _)| format!("{site}{}", &path[..=at]))
}

#[cfg(test)]
mod tests;
