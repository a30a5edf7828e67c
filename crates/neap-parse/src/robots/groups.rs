//! Which records of a robots file apply to one crawler?
//!
//! Those of every group that names it, taken together, or, if none does, those of every group for
//! `*` (RFC 9309, section 2.2.1). A group is one or more `user-agent` lines and the rules up to the
//! next `user-agent` line. Records other than rules, `crawl-delay` included, do not end a group's
//! list of names (2.2.4).

use std::time::Duration;

use super::MAX_CRAWL_DELAY;
use super::agent;
use super::lines::{self, Record};
use super::pattern::walk;
use super::spelling::{self, Pushed, Reading, Target};

/// A rule as stretches of [`Group::text`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    normalised: Stretch,
    /// That of `normalised` if both readings of the rule are the same, or if it is one that forbids.
    as_written: Stretch,
    pub(super) line: u32,
    pub(super) priority: u32,
    pub(super) is_allow: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stretch {
    start: u32,
    end: u32,
}

impl Stretch {
    fn of(self, text: &str) -> &str {
        &text[self.start as usize..self.end as usize]
    }
}

impl Span {
    /// The rule's normalised path within the text that it was collected with.
    pub(super) fn path_in(self, text: &str) -> &str {
        self.normalised.of(text)
    }

    /// What tells apart the rules that match other targets.
    pub(super) fn meaning_in(self, text: &str) -> (&str, &str, bool) {
        (self.path_in(text), self.as_written.of(text), self.is_allow)
    }

    /// Whether it matches: one that forbids in the normalised reading, one that allows in both.
    pub(super) fn matches(self, text: &str, target: &Target<'_>) -> bool {
        let is_one_reading =
            !self.is_allow || (self.as_written == self.normalised && !target.differs());
        walk(self.path_in(text), &target.normalised).is_match
            && (is_one_reading || walk(self.as_written.of(text), &target.as_written).is_match)
    }
}

/// All that applies to one crawler.
#[derive(Debug, Default)]
pub(super) struct Group {
    /// The spellings of the rules' paths, one after the other.
    pub(super) text: String,
    pub(super) rules: Vec<Span>,
    pub(super) crawl_delay: Option<Duration>,
}

/// Collects what applies to the crawler with this product token.
pub(super) fn applying(text: &[u8], token: &str) -> Group {
    let mut own: Option<Group> = None;
    let mut everyone = Group::default();
    let mut addressee = Addressee::default();
    let mut names_ended = true;
    for (line, record) in lines::records(text) {
        let name = match record {
            Record::UserAgent(name) => name,
            Record::Allow(_) | Record::Disallow(_) | Record::CrawlDelay(_) => {
                names_ended |= !matches!(record, Record::CrawlDelay(_));
                let group = if addressee.is_own {
                    own.as_mut()
                } else if addressee.is_everyone && own.is_none() {
                    // Once a group of its own is seen, those for everyone no longer count.
                    Some(&mut everyone)
                } else {
                    None
                };
                if let Some(group) = group {
                    add(group, line, record);
                }
                continue;
            }
            Record::Sitemap(_) => continue,
        };
        if names_ended {
            addressee = Addressee::default();
            names_ended = false;
        }
        addressee.is_everyone |= agent::is_everyone(name);
        if agent::is_named(name, token) {
            addressee.is_own = true;
            own.get_or_insert_default();
        }
    }
    own.unwrap_or(everyone)
}

/// Whom the group being read addresses.
#[derive(Debug, Clone, Copy, Default)]
struct Addressee {
    is_own: bool,
    is_everyone: bool,
}

fn add(group: &mut Group, line: u32, record: Record<'_>) {
    match record {
        Record::UserAgent(_) | Record::Sitemap(_) => {}
        Record::Allow(path) => {
            add_rule(group, line, true, path);
            // To allow the index file is to allow its folder, as Google has it.
            let folder = path
                .iter()
                .rposition(|byte| *byte == b'/')
                .map_or(0, |slash| slash + 1);
            if folder > 0 && path[folder..].starts_with(b"index.htm") {
                add_rule(group, line, true, &[&path[..folder], b"$"].concat());
            }
        }
        Record::Disallow(path) => add_rule(group, line, false, path),
        Record::CrawlDelay(value) => {
            // Of several the longest: the one that can do no harm.
            group.crawl_delay = group.crawl_delay.max(seconds(value));
        }
    }
}

fn add_rule(group: &mut Group, line: u32, is_allow: bool, path: &[u8]) {
    // Every path begins with a slash, so a rule that begins otherwise matches none (and an empty one
    // is how files say that everything is allowed).
    if !matches!(path.first(), Some(b'/' | b'*')) {
        return;
    }
    let (normalised, Pushed { priority }) = push(path, Reading::Normalised, &mut group.text);
    let as_written = if is_allow {
        let (as_written, _) = push(path, Reading::AsWritten, &mut group.text);
        if as_written.of(&group.text) == normalised.of(&group.text) {
            group.text.truncate(normalised.end as usize);
            normalised
        } else {
            as_written
        }
    } else {
        normalised
    };
    group.rules.push(Span {
        normalised,
        as_written,
        line,
        priority,
        is_allow,
    });
}

fn push(path: &[u8], reading: Reading, text: &mut String) -> (Stretch, Pushed) {
    let offset = |text: &String| {
        u32::try_from(text.len()).expect("at most twelve times the 500 KiB that are read of a file")
    };
    let start = offset(text);
    let pushed = spelling::push_rule(path, reading, text);
    let end = offset(text);
    (Stretch { start, end }, pushed)
}

/// Reads a number of seconds, with or without a fraction, up to the first blank or markup.
fn seconds(value: &[u8]) -> Option<Duration> {
    let end = value
        .iter()
        .position(|byte| byte.is_ascii_whitespace() || *byte == b'<');
    let number = std::str::from_utf8(&value[..end.unwrap_or(value.len())]).ok()?;
    let seconds: f64 = number.parse().ok()?;
    if !seconds.is_finite() || seconds < 0.0 {
        return None;
    }
    Some(Duration::from_secs_f64(
        seconds.min(MAX_CRAWL_DELAY.as_secs_f64()),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crawl_delay_is_a_number_of_seconds_within_a_day() {
        for (value, expected) in [
            ("10", Some(Duration::from_secs(10))),
            ("0.5", Some(Duration::from_millis(500))),
            ("0", Some(Duration::ZERO)),
            ("10 seconds", Some(Duration::from_secs(10))),
            ("10<BR>", Some(Duration::from_secs(10))),
            ("1e300", Some(MAX_CRAWL_DELAY)),
            ("99999999999999999999", Some(MAX_CRAWL_DELAY)),
            ("-1", None),
            ("NaN", None),
            ("inf", None),
            ("1e999", None),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(seconds(value.as_bytes()), expected, "{value}");
        }
    }
}
