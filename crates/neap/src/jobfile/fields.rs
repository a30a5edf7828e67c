//! Which value does each key have, the file and its overrides taken together?
//!
//! The TOML of the file is taken apart into one [`Field`] a known key; unknown ones become problems, all
//! of them at once. Each `--set key=value` then replaces the field it names, so the last one wins. What
//! an override replaces is not looked at any more.

mod tables;

use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::keys;
use super::problem::{Complaint, JobFileError, Problems};
use super::source::{Source, Spot};

/// One key and what was written for it.
#[derive(Debug)]
pub(super) struct Field<'a> {
    /// Where the key stands.
    pub(super) key: Spot,
    /// The value, its offsets in the source of `key`.
    pub(super) value: Spanned<DeValue<'a>>,
}

impl Field<'_> {
    /// Where the value stands.
    pub(super) fn spot(&self) -> Spot {
        self.key.source.spot(self.value.span())
    }
}

/// One `--set key=value`.
#[derive(Debug)]
pub(super) struct Override {
    source: Source,
    /// The text with a key in place of its own that is as long, and valid TOML whatever was meant: so
    /// every offset in it is one in the text. Empty if the text has no key.
    document: String,
}

impl Override {
    /// Reads what stands behind `--set`.
    ///
    /// # Errors
    /// It is empty or holds control characters.
    pub(super) fn read(text: &str) -> Result<Override, JobFileError> {
        let source = Source::of_override(text)?;
        let parts = text
            .split_once('=')
            .filter(|(key, _)| !key.trim().is_empty());
        let document = parts.map(|(key, value)| format!("{}={value}", "k".repeat(key.len())));
        Ok(Override {
            source,
            document: document.unwrap_or_default(),
        })
    }

    /// Its key as written; `None` if it has none.
    fn key(&self) -> Option<&str> {
        self.source.text.get(..self.document.find('=')?)
    }

    /// Its value: TOML, or else plain text.
    fn value(&self) -> Spanned<DeValue<'_>> {
        if let Ok(table) = DeTable::parse(&self.document) {
            let mut entries = table.into_inner().into_iter();
            // A second entry: the value held a line break, so it was no single TOML value.
            if let (Some((_, value)), None) = (entries.next(), entries.next()) {
                return value;
            }
        }
        let begin = self.document.find('=').map_or(0, |at| at + 1);
        let text = &self.document[begin..];
        Spanned::new(trimmed(text, begin), DeValue::String(text.trim().into()))
    }
}

/// Everything that was written, by known key.
#[derive(Debug, Default)]
pub(super) struct Fields<'a> {
    /// By key; that of a value in one of many tables is [`keys::Tables::key_in`]'s.
    fields: BTreeMap<String, Field<'a>>,
    /// Where each of the tables of a key begins.
    tables: BTreeMap<&'static str, Vec<Spot>>,
    /// `identity.headers`, by name as written. Kept apart so that one header can be overridden.
    pub(super) headers: Vec<(String, Field<'a>)>,
    /// Where each section of the file begins.
    sections: BTreeMap<&'static str, Spot>,
}

impl<'a> Fields<'a> {
    /// Takes a job file and its overrides apart. What is wrong with keys goes to `problems`.
    ///
    /// # Errors
    /// The file is no TOML, so that nothing else can be said about it.
    pub(super) fn gather(
        file: &'a Source,
        overrides: &'a [Override],
        problems: &mut Problems,
    ) -> Result<Fields<'a>, JobFileError> {
        let mut fields = Fields::default();
        fields.add_top(file, parse(file)?, problems);
        for given in overrides {
            fields.add_override(given, problems);
        }
        Ok(fields)
    }

    /// What was written for a key of [`keys::KEYS`], or for one of its tables.
    pub(super) fn get(&self, key: &str) -> Option<&Field<'a>> {
        self.fields.get(key)
    }

    /// Where a section begins in the file, if it is there.
    pub(super) fn section(&self, name: &str) -> Option<&Spot> {
        self.sections.get(name)
    }

    fn add_top(&mut self, source: &Source, table: DeTable<'a>, problems: &mut Problems) {
        for (key, value) in table {
            let name = key.get_ref().to_string();
            match keys::sections()
                .into_iter()
                .find(|section| *section == name)
            {
                Some(section) => {
                    let key = source.spot(key.span());
                    self.sections.insert(section, key.clone());
                    self.add_section(section, Field { key, value }, problems);
                }
                None => self.add(
                    "",
                    &name,
                    Field {
                        key: source.spot(key.span()),
                        value,
                    },
                    problems,
                ),
            }
        }
    }

    fn add_section(&mut self, section: &str, field: Field<'a>, problems: &mut Problems) {
        let source = field.key.source.clone();
        let Some(table) = table(field, problems) else {
            return;
        };
        for (key, value) in table {
            let name = key.get_ref().to_string();
            self.add(
                section,
                &name,
                Field {
                    key: source.spot(key.span()),
                    value,
                },
                problems,
            );
        }
    }

    fn add(&mut self, section: &str, name: &str, field: Field<'a>, problems: &mut Problems) {
        match keys::find(section, name) {
            Some("identity.headers") => self.add_headers(field, problems),
            None if (section, name) == ("crawl", "traps") => self.add_traps(field, problems),
            Some(key) => match keys::tables(key) {
                Some(tables) => self.add_tables(tables, field, problems),
                None => {
                    self.fields.insert(key.to_owned(), field);
                }
            },
            None => problems.key(field.key, keys::unknown(section, name)),
        }
    }

    /// Each key of the table is one of the job's.
    fn add_traps(&mut self, field: Field<'a>, problems: &mut Problems) {
        let source = field.key.source.clone();
        for (key, value) in table(field, problems).into_iter().flatten() {
            let name = format!("traps.{}", key.get_ref());
            let key = source.spot(key.span());
            self.add("crawl", &name, Field { key, value }, problems);
        }
    }

    fn add_headers(&mut self, field: Field<'a>, problems: &mut Problems) {
        let source = field.key.source.clone();
        self.headers.clear();
        let Some(table) = table(field, problems) else {
            return;
        };
        for (key, value) in table {
            let name = key.get_ref().to_string();
            self.headers.push((
                name,
                Field {
                    key: source.spot(key.span()),
                    value,
                },
            ));
        }
    }

    fn add_override(&mut self, given: &'a Override, problems: &mut Problems) {
        let source = &given.source;
        let Some(key) = given.key() else {
            let complaint = Complaint::new("not an override")
                .help("write `--set section.key=value`, e.g. `--set limits.concurrency=50`");
            return problems.value(source.spot(0..source.text.len()), complaint);
        };
        let field = Field {
            key: source.spot(trimmed(key, 0)),
            value: given.value(),
        };
        let path: Vec<&str> = key.trim().splitn(3, '.').map(str::trim).collect();
        match path[..] {
            [section] if keys::sections().contains(&section) => {
                self.add_section(section, field, problems);
            }
            [name] => self.add("", name, field, problems),
            ["proxy", "pool", path] => self.add_pool_override(path, field, problems),
            ["identity", "headers", name] => {
                self.headers
                    .retain(|(other, _)| !other.eq_ignore_ascii_case(name));
                self.headers.push((name.to_owned(), field));
            }
            [section, name] if keys::sections().contains(&section) => {
                self.add(section, name, field, problems);
            }
            ["crawl", "traps", name] => {
                self.add("crawl", &format!("traps.{name}"), field, problems);
            }
            [section, ..] => match keys::sections().contains(&section) {
                true => problems.key(field.key, keys::unknown(section, &path[1..].join("."))),
                false => problems.key(field.key, keys::unknown("", section)),
            },
            [] => problems.key(field.key, keys::unknown("", "")),
        }
    }
}

/// The file as TOML. Of several mistakes in its syntax only the first is told: the others usually
/// follow from it.
fn parse(source: &Source) -> Result<DeTable<'_>, JobFileError> {
    let (table, errors) = DeTable::parse_recoverable(&source.text);
    let begin = |error: &toml::de::Error| error.span().map_or(0, |span| span.start);
    match errors.iter().min_by_key(|error| begin(error)) {
        None => Ok(table.into_inner()),
        Some(error) => {
            let spot = source.spot(error.span().unwrap_or(0..0));
            Err(JobFileError::one(spot, Complaint::new(error.message())))
        }
    }
}

/// The extent of a text without the blanks around it, for a text that begins at `begin`.
fn trimmed(text: &str, begin: usize) -> std::ops::Range<usize> {
    let start = begin + text.len() - text.trim_start().len();
    start..start + text.trim().len()
}

fn table<'a>(field: Field<'a>, problems: &mut Problems) -> Option<DeTable<'a>> {
    let spot = field.spot();
    match field.value.into_inner() {
        DeValue::Table(table) => Some(table),
        other @ (DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_)
        | DeValue::Array(_)) => {
            problems.value(
                spot,
                Complaint::new(format!("expected a table, found {}", kind(&other))),
            );
            None
        }
    }
}

/// What a value is, in words.
pub(super) fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}
