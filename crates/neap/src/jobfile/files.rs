//! Which file of URLs is meant, and how is it read?
//!
//! A path alone, or a table with one: `{ path = "a.csv", format = "csv", url = "page_url", keep = ["sku"] }`.

use neap_core::job::ListFile;
use toml::de::{DeTable, DeValue};

use super::fields::kind;
use super::keys::nearest;
use super::problem::Complaint;
use super::reader::string;
use super::{values, words};
use crate::print::escape::quoted;

/// The keys of such a table.
const KEYS: [&str; 4] = ["path", "format", "url", "keep"];

/// Most columns that can be named; a table has no more.
const MAX_KEPT: usize = 1_000;

/// Reads one element of `input.files`.
pub(super) fn file(value: &DeValue<'_>) -> Result<ListFile, Complaint> {
    match value {
        DeValue::String(path) => Ok(ListFile::at(values::path(path)?)),
        DeValue::Table(table) => of_table(table),
        DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_)
        | DeValue::Array(_) => {
            let message = format!("expected a file, found {}", kind(value));
            Err(Complaint::new(message).help(HELP))
        }
    }
}

/// How a file is written.
const HELP: &str =
    r#"write its path, or e.g. { path = "urls.csv", url = "page_url", keep = ["sku"] }"#;

fn of_table(table: &DeTable<'_>) -> Result<ListFile, Complaint> {
    let mut file = ListFile::at("");
    let mut has_path = false;
    for (key, value) in table {
        let value = value.get_ref();
        match key.get_ref().as_ref() {
            "path" => {
                file.path = values::path(string(value)?)?;
                has_path = true;
            }
            "format" => {
                let word = words::word(string(value)?, &words::INPUT_FORMATS)?;
                file.format = Some(word);
            }
            "url" => file.url = Some(values::column(string(value)?)?),
            "keep" => file.keep = Some(columns(value)?),
            other => return Err(unknown(other)),
        }
    }
    if !has_path {
        return Err(Complaint::new("the file has no `path`").help(HELP));
    }
    Ok(file)
}

fn columns(value: &DeValue<'_>) -> Result<Vec<String>, Complaint> {
    let elements = value.as_array().filter(|names| names.len() <= MAX_KEPT);
    let elements = elements.ok_or_else(|| {
        let message = format!("`keep` is an array of at most {MAX_KEPT} names of columns");
        Complaint::new(message).help("put them in brackets: [\"sku\", \"shop\"]")
    })?;
    let read = |name: &toml::Spanned<DeValue<'_>>| values::column(string(name.get_ref())?);
    elements.iter().map(read).collect()
}

fn unknown(key: &str) -> Complaint {
    let help = match nearest(key, KEYS) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("keys of a file: {}", KEYS.join(", ")),
    };
    Complaint::new(format!("unknown key `{}`", quoted(key))).help(help)
}
