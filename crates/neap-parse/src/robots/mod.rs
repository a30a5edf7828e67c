//! May a crawler ask for this URL, and at what pace?
//!
//! The Robots Exclusion Protocol, RFC 9309, read as Google's parser reads it where the RFC leaves
//! room: the longest matching rule decides, `allow` wins a tie, groups for the same crawler count as
//! one. A file is read once; what is kept of it is the rules that apply to one crawler.
//!
//! Where spellings of one path differ, the cautious reading counts. What a rule forbids, it forbids in
//! every spelling, as RFC 9309 has it (section 2.2.2). What a rule allows, it allows only as far as
//! both the RFC and Google's matcher do, which compares paths as they are written. So
//! `allow: /%62%61%7A` does not open `/baz`. The price: the URLs of a crawl are canonical, with no
//! letter or digit escaped and everything that must be escaped escaped, so an `allow` that escapes
//! letters, or writes a blank or a `'` that URLs escape, opens fewer of them than the RFC says. Marks
//! are spared: `/%7Ename` and `/~name` are one for every rule. Where an `allow` does not match, a
//! shorter rule decides, or none does.
//!
//! Besides, `/robots.txt` is always allowed, as the RFC has it and Google's matcher does not.

mod agent;
mod groups;
mod lines;
mod pattern;
mod spelling;

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::HashSet;
use std::fmt;
use std::time::Duration;

use encoding_rs::{Encoding, UTF_8};
use neap_core::CanonicalUrl;
use url::{Position, Url};

pub use self::agent::product_token;
use self::groups::{Group, Span};
use self::lines::Record;
use self::spelling::Target;

/// Bytes of a robots file that are read; what follows, and a line that the limit cuts, is ignored.
/// The least that RFC 9309, section 2.5 permits, and what Google reads. It bounds the rules of a file
/// to 64,000, since no rule takes less than 8 bytes, and a rule to the 16,663 bytes of its line. The
/// worst files of that size that were tried take 30 ms to match against a URL of 4 KiB (measured):
/// those of long `allow` rules that match in one reading only, so that each is tried in both.
pub const MAX_ROBOTS_BYTES: usize = 500 * 1024;

/// Most sitemaps that are taken from one file: many times what sites name that split theirs by language
/// and year instead of naming an index.
pub const MAX_SITEMAPS: usize = 1_000;

/// Longest crawl delay that is believed; longer ones are read as this. Whoever drives a crawl may
/// set a lower limit.
pub const MAX_CRAWL_DELAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What a host's robots file asks of one crawler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Robots {
    /// The spellings of the rules' paths.
    text: Box<str>,
    /// Most specific first, so that the first that matches decides.
    rules: Box<[Span]>,
    crawl_delay: Option<Duration>,
    is_allowed_otherwise: bool,
}

/// Whether a URL may be asked for, and the rule that says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict<'a> {
    /// Whether the crawler may ask for the URL.
    pub allowed: bool,
    /// The rule that decided; `None` if no rule matched.
    pub rule: Option<Rule<'a>>,
}

/// One rule of a robots file. Displays as `disallow: /private/ (line 3)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule<'a> {
    /// Whether it allows what it matches; it forbids it otherwise.
    pub is_allow: bool,
    /// The path it matches, with `*` and `$`, normalised and percent-encoded: printable ASCII only.
    pub path: &'a str,
    /// The line of the file it stands in, counted from 1.
    pub line: u32,
}

impl Robots {
    /// Reads a robots file for the crawler with this [`product_token`]. Nothing is refused: what
    /// cannot be understood is ignored, as the RFC demands.
    pub fn parse(body: &[u8], product_token: &str) -> Robots {
        let Group {
            text,
            mut rules,
            crawl_delay,
        } = groups::applying(&utf8(readable(body)), product_token);
        rules.sort_by(|a, b| {
            let rank = |rule: &Span| (Reverse(rule.priority), !rule.is_allow);
            rank(a)
                .cmp(&rank(b))
                .then_with(|| a.meaning_in(&text).cmp(&b.meaning_in(&text)))
                .then(a.line.cmp(&b.line))
        });
        rules.dedup_by(|next, kept| next.meaning_in(&text) == kept.meaning_in(&text));
        Robots {
            text: text.into_boxed_str(),
            rules: rules.into_boxed_slice(),
            crawl_delay,
            is_allowed_otherwise: true,
        }
    }

    /// What holds if there is no robots file: everything is allowed.
    pub fn allow_all() -> Robots {
        Robots {
            text: Box::default(),
            rules: Box::default(),
            crawl_delay: None,
            is_allowed_otherwise: true,
        }
    }

    /// What holds if the robots file cannot be reached (RFC 9309, section 2.3.1.4): nothing is
    /// allowed but the file itself.
    pub fn disallow_all() -> Robots {
        Robots {
            is_allowed_otherwise: false,
            ..Robots::allow_all()
        }
    }

    /// Whether the crawler may ask for this URL of the host.
    pub fn allows(&self, url: &Url) -> bool {
        self.allows_target(&url[Position::BeforePath..Position::AfterQuery])
    }

    /// Whether the crawler may send this request target to the host: path and query exactly as they
    /// go over the wire, beginning with a slash and without fragment.
    pub fn allows_target(&self, target: &str) -> bool {
        self.verdict(target).allowed
    }

    /// Whether the crawler may send this request target to the host (see
    /// [`Robots::allows_target`]), and why.
    pub fn verdict(&self, target: &str) -> Verdict<'_> {
        // RFC 9309, section 2.2.2: the file itself is implicitly allowed.
        if target == "/robots.txt" {
            return Verdict {
                allowed: true,
                rule: None,
            };
        }
        if self.rules.is_empty() {
            return Verdict {
                allowed: self.is_allowed_otherwise,
                rule: None,
            };
        }
        let target = Target::read(target);
        let rule = self
            .rules
            .iter()
            .find(|rule| rule.matches(&self.text, &target))
            .map(|rule| self.rule(*rule));
        Verdict {
            allowed: rule.map_or(self.is_allowed_otherwise, |rule| rule.is_allow),
            rule,
        }
    }

    /// Least time between two requests that the file asks for; at most [`MAX_CRAWL_DELAY`].
    pub fn crawl_delay(&self) -> Option<Duration> {
        self.crawl_delay
    }

    fn rule(&self, span: Span) -> Rule<'_> {
        Rule {
            is_allow: span.is_allow,
            path: span.path_in(&self.text),
            line: span.line,
        }
    }
}

/// The sitemaps that a robots file names, to whatever crawler, each once and in order; at most
/// [`MAX_SITEMAPS`]. `url` is the URL of the file, since not all are written in full as the protocol asks.
pub fn sitemaps(body: &[u8], url: &Url) -> Vec<CanonicalUrl> {
    let text = utf8(readable(body));
    let mut seen = HashSet::new();
    let named = lines::records(&text).filter_map(|(_, record)| match record {
        Record::Sitemap(value) if !value.is_empty() => {
            CanonicalUrl::join(url, &String::from_utf8_lossy(value)).ok()
        }
        Record::Sitemap(_)
        | Record::UserAgent(_)
        | Record::Allow(_)
        | Record::Disallow(_)
        | Record::CrawlDelay(_) => None,
    });
    let once = named.filter(|url| seen.insert(url.clone()));
    once.take(MAX_SITEMAPS).collect()
}

impl fmt::Display for Rule<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = if self.is_allow { "allow" } else { "disallow" };
        write!(f, "{key}: {} (line {})", self.path, self.line)
    }
}

/// The part of a body that is read: whole lines only, since a rule that is cut short says something
/// else than its author meant.
fn readable(body: &[u8]) -> &[u8] {
    if body.len() <= MAX_ROBOTS_BYTES {
        return body;
    }
    let text = &body[..MAX_ROBOTS_BYTES];
    &text[..memchr::memrchr2(b'\n', b'\r', text).unwrap_or(0)]
}

/// The text without byte order mark, or with as much of one as it has; UTF-16 becomes UTF-8.
fn utf8(text: &[u8]) -> Cow<'_, [u8]> {
    match Encoding::for_bom(text) {
        Some((encoding, mark)) if encoding != UTF_8 => {
            match encoding.decode_without_bom_handling(&text[mark..]).0 {
                Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
                Cow::Owned(text) => Cow::Owned(text.into_bytes()),
            }
        }
        Some(_) | None => {
            let mark = text
                .iter()
                .zip(b"\xEF\xBB\xBF")
                .take_while(|(found, part)| found == part);
            Cow::Borrowed(&text[mark.count()..])
        }
    }
}

#[cfg(test)]
mod tests;
