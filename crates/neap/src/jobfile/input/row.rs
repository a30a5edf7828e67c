//! What does a line, a record or an object say?
//!
//! Which URL to start from, and what stands beside it. Why it says nothing is told in words that repeat
//! none of it: it may hold a password.

use neap_core::canonical::CanonicalUrl;
use neap_core::job::ListFile;
use neap_store::InputRow;
use serde_json::{Map, Value};

use super::lines::Line;
use super::table::{self, Record};
use crate::jobfile::values::has_credentials;
use crate::print::escape::quoted;
use crate::screen::{grouped, number};

/// Most that is kept beside a URL, in bytes of JSON.
pub(crate) const MAX_FIELDS_BYTES: usize = 16 << 10;

/// A URL on a line; `None` on a blank one and on a comment.
pub(super) fn of_text(line: Line<'_>) -> Result<Option<InputRow>, String> {
    let text = whole(line)?.trim();
    if text.is_empty() || text.starts_with('#') {
        return Ok(None);
    }
    url(text).map(|url| Some(url.into()))
}

/// What is wanted of a row.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    /// The column or member that holds the URL.
    url: String,
    /// The key that names it.
    url_key: &'static str,
    /// Those that are kept beside it; all if there is nothing.
    keep: Option<Vec<String>>,
}

impl Wanted {
    /// What is wanted of the rows of a file; of those that say nothing the URL is in `url_column`.
    pub(super) fn of(file: &ListFile, url_column: &str) -> Wanted {
        let own = file.url.as_ref();
        Wanted {
            url: own.map_or_else(|| url_column.to_owned(), String::clone),
            url_key: if own.is_some() {
                "url"
            } else {
                "input.url_column"
            },
            keep: file.keep.clone(),
        }
    }

    fn keeps(&self, name: &str) -> bool {
        let is_among = |names: &Vec<String>| names.iter().any(|kept| kept == name);
        self.keep.as_ref().is_none_or(is_among)
    }
}

/// A JSON object on a line; `None` on a blank line.
pub(super) fn of_object(line: Line<'_>, wanted: &Wanted) -> Result<Option<InputRow>, String> {
    let text = whole(line)?.trim();
    if text.is_empty() {
        return Ok(None);
    }
    let mut object: Map<String, Value> =
        serde_json::from_str(text).map_err(|_| "not a JSON object".to_owned())?;
    let url = object.remove(&wanted.url);
    object.retain(|name, _| wanted.keeps(name));
    match url {
        Some(Value::String(text)) => row(&text, object).map(Some),
        Some(_) => Err(format!("`{}` is no text", quoted(&wanted.url))),
        None => Err(format!("no `{}`", quoted(&wanted.url))),
    }
}

/// The columns of a table.
#[derive(Debug)]
pub(super) struct Columns {
    names: Vec<String>,
    /// Which of them is the URL.
    url: usize,
    /// Which of them are kept beside it.
    kept: Vec<bool>,
}

impl Columns {
    /// Reads the first record, which names them.
    ///
    /// # Errors
    /// What is wrong with the file, in words that follow its name.
    pub(super) fn of(header: Record<'_>, wanted: &Wanted) -> Result<Columns, String> {
        let Wanted {
            url: url_column,
            url_key,
            keep,
        } = wanted;
        let Record::Whole(text, ends) = header else {
            return Err("has a first line that is too long for names of columns".to_owned());
        };
        let mut names: Vec<String> = Vec::new();
        for (at, field) in table::fields(text, ends).enumerate() {
            let name = std::str::from_utf8(field).map_err(|_| "is not UTF-8".to_owned())?;
            let name = match name.trim() {
                "" => format!("column_{}", at + 1),
                name => name.to_owned(),
            };
            if names.contains(&name) {
                if name == *url_column {
                    return Err(format!(
                        "has two columns `{}` (`{url_key}`), and nobody knows which is meant",
                        quoted(url_column)
                    ));
                }
                // What stands beside a URL is an object: nothing may take the place of another.
                names.push(unlike(&names, &name, at + 1));
            } else {
                names.push(name);
            }
        }
        let url = names.iter().position(|name| name == url_column);
        let found: Vec<_> = names.iter().take(20).map(|name| quoted(name)).collect();
        let missing = keep.iter().flatten().find(|name| !names.contains(name));
        if let Some(name) = missing {
            let found = found.join(", ");
            return Err(format!(
                "has no column `{}` (`keep`) but {found}",
                quoted(name)
            ));
        }
        let url = url.ok_or_else(|| {
            format!(
                "has no column `{}` (`{url_key}`) but {}",
                quoted(url_column),
                found.join(", ")
            )
        })?;
        let kept = names.iter().map(|name| wanted.keeps(name)).collect();
        Ok(Columns { names, url, kept })
    }
}

/// A name for a column whose own is taken: with its number, `sku_3`, or the next one that is free.
fn unlike(names: &[String], name: &str, number: usize) -> String {
    let numbered = (number..).map(|number| format!("{name}_{number}"));
    let mut free = numbered.filter(|name| !names.contains(name));
    free.next().expect("there are more numbers than columns")
}

/// A record of a table.
pub(super) fn of_record(record: Record<'_>, columns: &Columns) -> Result<Option<InputRow>, String> {
    let (text, ends) = match record {
        Record::Whole(text, ends) => (text, ends),
        Record::TooLong(lines) => {
            return Err(format!(
                "longer than {} bytes or {} columns{}; is a quote not closed?",
                table::MAX_RECORD_BYTES,
                table::MAX_COLUMNS,
                match lines {
                    0 | 1 => String::new(),
                    lines => format!(", and so are the next {} lines, as one", grouped(lines - 1)),
                }
            ));
        }
        Record::Unclosed(lines) => {
            return Err(match lines {
                0 | 1 => "a quote that is opened here is not closed".to_owned(),
                lines => format!(
                    "a quote that is opened here is not closed: what follows to the end of the file, {} \
                     lines, is left out as well",
                    grouped(lines - 1)
                ),
            });
        }
    };
    // Who has fewer columns than the first line lacks the last ones; who has more, no one knows which.
    if ends.len() > columns.names.len() || ends.len() <= columns.url {
        return Err(format!(
            "{}, the first line has {}",
            number(ends.len() as u64, "column"),
            columns.names.len()
        ));
    }
    let mut found = None;
    let mut beside = Map::new();
    for (at, field) in table::fields(text, ends).enumerate() {
        let field = std::str::from_utf8(field).map_err(|_| "not UTF-8".to_owned())?;
        if at == columns.url {
            found = Some(field.trim());
        } else if columns.kept[at] {
            beside.insert(columns.names[at].clone(), Value::String(field.to_owned()));
        }
    }
    row(found.unwrap_or_default(), beside).map(Some)
}

fn row(text: &str, beside: Map<String, Value>) -> Result<InputRow, String> {
    let url = url(text)?;
    let fields = (!beside.is_empty()).then(|| Value::Object(beside).to_string());
    if fields
        .as_ref()
        .is_some_and(|fields| fields.len() > MAX_FIELDS_BYTES)
    {
        return Err(format!(
            "more than {MAX_FIELDS_BYTES} bytes beside the URL, as JSON"
        ));
    }
    Ok(InputRow {
        url,
        fields,
        is_sitemap: false,
    })
}

fn whole(line: Line<'_>) -> Result<&str, String> {
    match line {
        Line::Whole(bytes) => std::str::from_utf8(bytes).map_err(|_| "not UTF-8".to_owned()),
        Line::TooLong(most) => Err(format!("longer than {most} bytes")),
    }
}

fn url(text: &str) -> Result<CanonicalUrl, String> {
    if has_credentials(text) {
        return Err("a user name or password in a URL; use [identity] headers".to_owned());
    }
    CanonicalUrl::parse(text).map_err(|error| error.to_string())
}
