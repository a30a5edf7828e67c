//! What does the table of hostile cases say, and does a crawl's store agree with a line of it?

use std::collections::BTreeSet;

use neap_testkit::hostile::Hostile;
use serde_json::Value;

use crate::support::Place;

/// A line of the table.
#[derive(Debug)]
pub(super) struct Case {
    /// Its name, which is also the first label of its host unless `label` says another.
    pub(super) name: String,
    /// What is asked for, as [`Hostile::url`] has it.
    pub(super) target: String,
    line: Value,
}

/// All lines.
pub(super) fn cases() -> Vec<Case> {
    let lines = include_str!("cases.jsonl").lines();
    let case = |line: &str| {
        let line: Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let text = |key: &str| {
            line[key]
                .as_str()
                .unwrap_or_else(|| panic!("no {key}: {line}"))
                .to_owned()
        };
        Case {
            name: text("case"),
            target: text("target"),
            line,
        }
    };
    lines.map(case).collect()
}

impl Case {
    /// The first label of its host.
    pub(super) fn label(&self) -> &str {
        self.line["label"].as_str().unwrap_or(&self.name)
    }

    pub(super) fn url(&self, hostile: &Hostile) -> String {
        hostile.url(self.label(), &self.target)
    }

    /// How far links may lead: `page` follows none.
    pub(super) fn scope(&self) -> &str {
        self.line["scope"].as_str().unwrap_or("page")
    }

    /// Whether it is read as a sitemap.
    pub(super) fn is_sitemap(&self) -> bool {
        self.line["sitemap"] == true
    }

    /// What is not as the line says; nothing if all is.
    pub(super) fn differences(&self, place: &Place, hostile: &Hostile) -> Vec<String> {
        let url = self.url(hostile);
        let row = row(place, &url);
        let mut wrong = Vec::new();
        for key in ["state", "status", "redirects"] {
            if let Some(expected) = self.line.get(key).filter(|expected| row[key] != **expected) {
                wrong.push(format!("{key} is {} and not {expected}", row[key]));
            }
        }
        if let Some(reason) = self
            .line
            .get("reason")
            .filter(|reason| row["skip_reason"] != **reason)
        {
            wrong.push(format!(
                "it was skipped for {} and not {reason}",
                row["skip_reason"]
            ));
        }
        // What ended it, where that is no attempt's failure.
        if let Some(cause) = self
            .line
            .get("over")
            .filter(|cause| row["cause"] != **cause)
        {
            wrong.push(format!("it ended for {} and not {cause}", row["cause"]));
        }
        if let Some(text) = self.line["text"].as_str() {
            let body = place.neap(&["body", &url]);
            if body.out != text {
                wrong.push(format!("its body is {:?} and not {text:?}", body.out));
            }
        }
        wrong.extend(self.wrong_attempts(&row));
        wrong.extend(self.wrong_traffic(place, hostile));
        match wrong.is_empty() {
            true => wrong,
            false => vec![format!(
                "{} ({}): {}; {row}",
                self.name,
                self.line["sends"],
                wrong.join("; ")
            )],
        }
    }

    /// The first attempt's cause, and whether there were more.
    fn wrong_attempts(&self, row: &Value) -> Vec<String> {
        let mut wrong = Vec::new();
        let one_or_many = &self.line["cause"];
        let expected: BTreeSet<&str> = match one_or_many.as_array() {
            Some(causes) => causes.iter().filter_map(Value::as_str).collect(),
            None => one_or_many.as_str().into_iter().collect(),
        };
        let cause = row["first_cause"].as_str();
        let is_expected = cause.map_or(expected.is_empty(), |cause| expected.contains(cause));
        if !is_expected {
            wrong.push(format!(
                "the first attempt failed for {cause:?} and not {expected:?}"
            ));
        }
        if let Some(is_retried) = self.line["retried"].as_bool()
            && (row["tries"].as_i64() > Some(1)) != is_retried
        {
            wrong.push(format!("it has {} attempts", row["tries"]));
        }
        wrong
    }

    /// What was found beside it, and how much the server sent.
    fn wrong_traffic(&self, place: &Place, hostile: &Hostile) -> Vec<String> {
        let mut wrong = Vec::new();
        let host = format!("//{}.", self.label());
        let sql = format!(
            "SELECT url FROM requests WHERE url LIKE '%{host}%' AND url <> '{}' AND state_name = 'done'",
            self.url(hostile)
        );
        if let Some(expected) = self.line["found"].as_u64() {
            let found = place.query(&sql).len() as u64;
            if found != expected {
                wrong.push(format!("{found} pages were found and not {expected}"));
            }
        }
        if let Some(expected) = self.line["pages"].as_array() {
            let rows = place.query(&sql);
            let paths = rows.iter().filter_map(|row| {
                let (_, path) = row["url"].as_str()?.split_once("://")?.1.split_once('/')?;
                Some(Value::String(format!("/{path}")))
            });
            let paths: Vec<Value> = paths.collect();
            if paths != *expected {
                wrong.push(format!(
                    "the pages {paths:?} were found and not {expected:?}"
                ));
            }
        }
        if let Some(most) = self.line["sent"].as_u64() {
            let log = hostile.site().log();
            let of_host = log.iter().filter(|asked| {
                let host = asked.header("host").unwrap_or_default();
                host.split('.').next() == Some(self.label())
            });
            let sent = of_host.map(|asked| asked.sent).max().unwrap_or_default();
            if sent > most {
                wrong.push(format!("{sent} bytes were taken, more than {most}"));
            }
        }
        wrong
    }
}

/// What became of a URL.
fn row(place: &Place, url: &str) -> Value {
    let sql = format!(
        "SELECT state, status, redirects, cause, skip_reason, attempts AS tries, final_url, \
         (SELECT group_concat(DISTINCT a.error) FROM attempts a WHERE a.request_id = r.request_id) AS error, \
         (SELECT a.cause FROM attempts a WHERE a.request_id = r.request_id ORDER BY a.number LIMIT 1) AS first_cause \
         FROM results r WHERE url = '{url}'"
    );
    let mut rows = place.query(&sql);
    match rows.len() {
        1 => rows.remove(0),
        n => serde_json::json!({"rows of this URL": n}),
    }
}
