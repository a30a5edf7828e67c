//! Did a finished crawl bring what was expected of it?

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// `[expect]`: what a finished crawl is expected to have brought.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Expect {
    /// Failed requests, at most. Default: any number.
    pub max_failed: Option<AtMost>,
    /// Pages (answers other than redirects), at least. Default: none.
    pub min_pages: Option<u64>,
    /// Statuses that final answers may have: those of redirects and of requests that failed with an answer,
    /// too. Default, and if empty: any.
    pub statuses: Vec<StatusRange>,
    /// Bytes of the bodies of all final answers, as sent, at most. Default: any number.
    pub max_bytes: Option<u64>,
}

/// So many requests at most, written as a number, or as a share such as `"0.2%"`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AtMost {
    /// A number of requests.
    Requests(u64),
    /// A share of those that have their final answer or failed, in percent, 0 to 100.
    Percent(f64),
}

/// A status, 100 to 999, written `404`; or the hundred of a class, written `2xx`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct StatusRange {
    first: u16,
    last: u16,
}

impl StatusRange {
    /// Reads `404` or `2xx`; `None` if it is neither.
    pub fn parse(text: &str) -> Option<StatusRange> {
        let is_plain = text.len() == 3 && text.is_ascii() && !text.starts_with('0');
        let (class, rest) = text.split_at_checked(1).filter(|_| is_plain)?;
        if rest == "xx" {
            let first = class.parse::<u16>().ok()? * 100;
            return Some(StatusRange {
                first,
                last: first + 99,
            });
        }
        let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
        let status = text.parse().ok().filter(|_| is_number)?;
        Some(StatusRange {
            first: status,
            last: status,
        })
    }

    /// Whether a status is one of them.
    pub fn holds(self, status: u16) -> bool {
        (self.first..=self.last).contains(&status)
    }
}

impl fmt::Display for StatusRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}xx", self.first / 100)
        }
    }
}

impl From<StatusRange> for String {
    fn from(range: StatusRange) -> String {
        range.to_string()
    }
}

impl TryFrom<String> for StatusRange {
    type Error = String;

    fn try_from(text: String) -> Result<StatusRange, String> {
        StatusRange::parse(&text).ok_or_else(|| format!("`{text}` is no status"))
    }
}

/// What a finished crawl brought, as far as something is expected of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Brought {
    /// Requests with a final answer.
    pub done: u64,
    /// Requests that failed.
    pub failed: u64,
    /// Of those done, pages.
    pub pages: u64,
    /// How many final answers had each status, redirects and failures included.
    pub statuses: BTreeMap<u16, u64>,
    /// Bytes of their bodies, as sent.
    pub bytes: u64,
}

/// An expectation that was not met.
#[derive(Debug, Clone, PartialEq)]
pub enum Unmet {
    /// More requests failed than `max_failed` allows; what share it was, in percent.
    Failed(AtMost, f64),
    /// Fewer pages than `min_pages`.
    Pages(u64),
    /// Answers with statuses that are not among `statuses`, and how many of each.
    Statuses(Vec<(u16, u64)>),
    /// More bytes than `max_bytes`.
    Bytes(u64),
}

impl Expect {
    /// Whether nothing is expected.
    pub fn is_empty(&self) -> bool {
        *self == Expect::default()
    }

    /// Whether it takes a look at every answer to tell whether it is met.
    pub fn concerns_answers(&self) -> bool {
        !self.statuses.is_empty() || self.max_bytes.is_some()
    }

    /// What was expected and did not come.
    pub fn unmet(&self, brought: &Brought) -> Vec<Unmet> {
        let ended = brought.done + brought.failed;
        let percent = 100.0 * brought.failed as f64 / ended.max(1) as f64;
        let failed = self.max_failed.filter(|most| match most {
            AtMost::Requests(most) => brought.failed > *most,
            AtMost::Percent(most) => percent > *most,
        });
        let failed = failed.map(|most| Unmet::Failed(most, percent));
        let pages = self.min_pages.filter(|least| brought.pages < *least);
        let others = self.other_statuses(brought);
        let others = (!others.is_empty()).then_some(Unmet::Statuses(others));
        let bytes = self.max_bytes.filter(|most| brought.bytes > *most);
        failed
            .into_iter()
            .chain(pages.map(Unmet::Pages))
            .chain(others)
            .chain(bytes.map(Unmet::Bytes))
            .collect()
    }

    /// Statuses that came and were not expected, if any were.
    fn other_statuses(&self, brought: &Brought) -> Vec<(u16, u64)> {
        let is_expected = |status: u16| {
            self.statuses.is_empty() || self.statuses.iter().any(|it| it.holds(status))
        };
        let came = brought
            .statuses
            .iter()
            .map(|(status, count)| (*status, *count));
        came.filter(|(status, count)| *count > 0 && !is_expected(*status))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn brought(done: u64, failed: u64, pages: u64) -> Brought {
        Brought {
            done,
            failed,
            pages,
            statuses: BTreeMap::from([(200, pages), (301, done - pages), (404, 2)]),
            bytes: 1000,
        }
    }

    #[test]
    fn what_was_expected_and_did_not_come() {
        let nothing = Expect::default;
        let failed = |most| Expect {
            max_failed: Some(most),
            ..nothing()
        };
        let pages = |least| Expect {
            min_pages: Some(least),
            ..nothing()
        };
        let statuses = |texts: &[&str]| Expect {
            statuses: texts
                .iter()
                .filter_map(|text| StatusRange::parse(text))
                .collect(),
            ..nothing()
        };
        let bytes = |most| Expect {
            max_bytes: Some(most),
            ..nothing()
        };
        let (percent, requests) = (AtMost::Percent, AtMost::Requests);
        for (expect, brought, unmet) in [
            (nothing(), brought(0, 9, 0), vec![]),
            (failed(percent(10.0)), brought(9, 1, 9), vec![]),
            (
                failed(percent(9.9)),
                brought(9, 1, 9),
                vec![Unmet::Failed(percent(9.9), 10.0)],
            ),
            (failed(percent(0.0)), brought(0, 0, 0), vec![]),
            (failed(requests(1)), brought(0, 1, 0), vec![]),
            (
                failed(requests(0)),
                brought(3, 1, 3),
                vec![Unmet::Failed(requests(0), 25.0)],
            ),
            (pages(5), brought(9, 0, 5), vec![]),
            (
                Expect {
                    max_failed: Some(percent(100.0)),
                    ..pages(6)
                },
                brought(9, 0, 5),
                vec![Unmet::Pages(6)],
            ),
            (statuses(&["2xx", "301", "404"]), brought(9, 0, 5), vec![]),
            (statuses(&["2xx", "404"]), brought(5, 0, 5), vec![]),
            (
                statuses(&["200"]),
                brought(9, 0, 5),
                vec![Unmet::Statuses(vec![(301, 4), (404, 2)])],
            ),
            (bytes(1000), brought(9, 0, 5), vec![]),
            (bytes(999), brought(9, 0, 5), vec![Unmet::Bytes(999)]),
        ] {
            assert_eq!(expect.unmet(&brought), unmet, "{expect:?} of {brought:?}");
            assert_eq!(expect.is_empty(), expect == nothing());
        }
    }

    #[test]
    fn a_status_or_a_class_is_read_and_written_the_same() {
        for text in ["100", "404", "999", "1xx", "9xx"] {
            let range = StatusRange::parse(text).unwrap();
            assert_eq!(range.to_string(), text);
            let json = serde_json::to_string(&range).unwrap();
            assert_eq!(serde_json::from_str::<StatusRange>(&json).unwrap(), range);
        }
        for text in [
            "", "2", "20", "2000", "0xx", "099", "xxx", "2x0", "+20", "2XX", "20\u{e9}",
        ] {
            assert_eq!(StatusRange::parse(text), None, "{text}");
        }
        let class = StatusRange::parse("2xx").unwrap();
        assert!(class.holds(200) && class.holds(299) && !class.holds(300) && !class.holds(199));
    }
}
