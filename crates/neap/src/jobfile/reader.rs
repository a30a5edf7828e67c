//! What is the value of a key, or its default?
//!
//! One method a kind of value. Each checks type and range, notes what is wrong, and then goes on with
//! the default, so that all problems of a file are found in one go. No job is made if there are any.

use std::ops::RangeInclusive;
use std::time::Duration;

use neap_core::job::{AtMost, ListFile, StatusRange};
use toml::Spanned;
use toml::de::{DeArray, DeInteger, DeValue};

use super::compare::{duration_text, size_text};
use super::fields::{Field, Fields, kind};
use super::files;
use super::problem::{Complaint, Problems};
use super::source::{Source, Spot};
use super::values;

/// Reads values of keys.
pub(super) struct Reader<'a> {
    pub(super) fields: Fields<'a>,
    pub(super) problems: Problems,
    /// What stands before each key: nothing, or `host[0].` for the rule that is read.
    pub(super) within: String,
}

impl<'a> Reader<'a> {
    /// What was written for a key.
    pub(super) fn find(&self, key: &str) -> Option<&Field<'a>> {
        match self.within.as_str() {
            "" => self.fields.get(key),
            within => self.fields.get(&format!("{within}{key}")),
        }
    }

    /// A text that `read` understands; `None` if the key is missing.
    pub(super) fn text<T>(
        &mut self,
        key: &str,
        read: impl FnOnce(&str) -> Result<T, Complaint>,
    ) -> Option<T> {
        self.value(key, |value| read(string(value)?))
    }

    /// A whole number within a range; `None` if the key is missing.
    pub(super) fn integer(&mut self, key: &str, range: RangeInclusive<i64>) -> Option<i64> {
        self.value(key, |value| integer(value, &range))
    }

    /// A whole number within a range that fits into 32 bits.
    pub(super) fn u32(&mut self, key: &str, range: RangeInclusive<u32>, default: u32) -> u32 {
        let range = i64::from(*range.start())..=i64::from(*range.end());
        let number = self.integer(key, range);
        number
            .and_then(|number| u32::try_from(number).ok())
            .unwrap_or(default)
    }

    /// A duration within a range.
    pub(super) fn duration(
        &mut self,
        key: &str,
        range: RangeInclusive<Duration>,
        default: Duration,
    ) -> Duration {
        let read = |text: &str| {
            let duration = values::duration(text)?;
            if range.contains(&duration) {
                return Ok(duration);
            }
            let [least, most] = [range.start(), range.end()].map(|bound| duration_text(*bound));
            Err(Complaint::new(format!(
                "{} is out of range: {least} to {most}",
                duration_text(duration)
            )))
        };
        self.text(key, read).unwrap_or(default)
    }

    /// A size in bytes within a range, as text with a unit or as a number.
    pub(super) fn size(&mut self, key: &str, range: RangeInclusive<u64>, default: u64) -> u64 {
        self.maybe_size(key, range).unwrap_or(default)
    }

    /// A size in bytes as [`Reader::size`] reads it; `None` if the key is missing.
    pub(super) fn maybe_size(&mut self, key: &str, range: RangeInclusive<u64>) -> Option<u64> {
        self.value(key, |value| {
            let size = match value {
                DeValue::Integer(digits) => {
                    u64::try_from(number(digits)?).map_err(|_| Complaint::new("a negative size"))?
                }
                DeValue::String(text) => values::size(text)?,
                DeValue::Float(_)
                | DeValue::Boolean(_)
                | DeValue::Datetime(_)
                | DeValue::Array(_)
                | DeValue::Table(_) => return Err(expected("a size", value)),
            };
            if range.contains(&size) {
                return Ok(size);
            }
            let [size, least, most] = [size, *range.start(), *range.end()].map(size_text);
            Err(Complaint::new(format!(
                "{size} is out of range: {least} to {most}"
            )))
        })
    }

    /// Yes or no.
    pub(super) fn flag(&mut self, key: &str, default: bool) -> bool {
        let flag = self.value(key, |value| {
            value.as_bool().ok_or_else(|| {
                expected("a boolean", value).help("write true or false, without quotes")
            })
        });
        flag.unwrap_or(default)
    }

    /// A share between 0 and 1, or the word `none` for no limit.
    pub(super) fn share(&mut self, key: &str, default: Option<f64>) -> Option<f64> {
        let share = self.value(key, |value| {
            let written = match value {
                DeValue::Integer(digits) => digits.as_str(),
                DeValue::Float(digits) => digits.as_str(),
                DeValue::String(text) if text == "none" => return Ok(None),
                DeValue::String(_)
                | DeValue::Boolean(_)
                | DeValue::Datetime(_)
                | DeValue::Array(_)
                | DeValue::Table(_) => {
                    let help = "write a number from 0 to 1, or \"none\"";
                    return Err(expected("a share", value).help(help));
                }
            };
            match written.parse() {
                Ok(share) if (0.0..=1.0).contains(&share) => Ok(Some(share)),
                Ok(_) | Err(_) => Err(Complaint::new(format!("{written} is out of range: 0 to 1"))),
            }
        });
        share.unwrap_or(default)
    }

    /// A number of requests, or a share of them as text with a percent sign; `None` if the key is missing.
    pub(super) fn at_most(&mut self, key: &str) -> Option<AtMost> {
        self.value(key, |value| match value {
            DeValue::Integer(digits) => u64::try_from(number(digits)?)
                .map(AtMost::Requests)
                .map_err(|_| Complaint::new("a negative number of requests")),
            DeValue::String(text) => values::percent(text).map(AtMost::Percent),
            DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_)
            | DeValue::Table(_) => Err(expected("a number or a share", value)
                .help(r#"write a number of requests, or a share such as "0.5%""#)),
        })
    }

    /// An array of texts, each understood by `read`; empty if the key is missing.
    pub(super) fn texts<T>(
        &mut self,
        key: &str,
        most: usize,
        read: impl Fn(&str) -> Result<T, Complaint>,
    ) -> Vec<T> {
        self.array(key, most, |element| read(string(element)?))
            .unwrap_or_default()
    }

    /// An array of whole numbers within a range; `None` if the key is missing.
    pub(super) fn integers(
        &mut self,
        key: &str,
        most: usize,
        range: RangeInclusive<i64>,
    ) -> Option<Vec<i64>> {
        self.array(key, most, |element| integer(element, &range))
    }

    /// An array of files of URLs; empty if the key is missing.
    pub(super) fn files(&mut self, key: &str, most: usize) -> Vec<ListFile> {
        self.array(key, most, files::file).unwrap_or_default()
    }

    /// An array of statuses, each a number or a text such as `2xx`; empty if the key is missing.
    pub(super) fn statuses(&mut self, key: &str, most: usize) -> Vec<StatusRange> {
        let read = |value: &DeValue<'_>| match value {
            DeValue::Integer(digits) => values::status(digits.as_str()),
            DeValue::String(text) => values::status(text),
            DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_)
            | DeValue::Table(_) => Err(expected("a status", value).help(values::STATUS_HELP)),
        };
        self.array(key, most, read).unwrap_or_default()
    }

    /// Where the elements of an array stand.
    pub(super) fn element_spots(&self, key: &str) -> Vec<Spot> {
        let Some(field) = self.find(key) else {
            return Vec::new();
        };
        let spot = |element: &Spanned<DeValue<'_>>| field.key.source.spot(element.span());
        let elements = array(field.value.get_ref());
        elements
            .map(|elements| elements.iter().map(spot).collect())
            .unwrap_or_default()
    }

    /// Notes what is wrong with the first of `keys` that was written, and otherwise with the file as a
    /// whole: two defaults never contradict each other, but an override may have a default as its peer.
    pub(super) fn complain(&mut self, keys: &[&str], file: &Source, complaint: Complaint) {
        let spot = keys.iter().find_map(|key| self.find(key)).map(Field::spot);
        let spot = spot.unwrap_or_else(|| file.spot(0..0));
        self.problems.value(spot, complaint);
    }

    fn value<T>(
        &mut self,
        key: &str,
        read: impl FnOnce(&DeValue<'_>) -> Result<T, Complaint>,
    ) -> Option<T> {
        let field = self.find(key)?;
        match read(field.value.get_ref()) {
            Ok(value) => Some(value),
            Err(complaint) => {
                let spot = field.spot();
                self.problems.value(spot, complaint);
                None
            }
        }
    }

    fn array<T>(
        &mut self,
        key: &str,
        most: usize,
        read: impl Fn(&DeValue<'_>) -> Result<T, Complaint>,
    ) -> Option<Vec<T>> {
        let field = self.find(key)?;
        let (mut values, mut problems) = (Vec::new(), Vec::new());
        match array(field.value.get_ref()) {
            Ok(elements) if elements.len() <= most => {
                for element in elements {
                    match read(element.get_ref()) {
                        Ok(value) => values.push(value),
                        Err(complaint) => {
                            problems.push((field.key.source.spot(element.span()), complaint));
                        }
                    }
                }
            }
            Ok(elements) => {
                let message = format!("{} values, at most {most} are taken", elements.len());
                let spot = field.spot();
                self.problems.value(spot, Complaint::new(message));
                return None;
            }
            Err(complaint) => {
                let spot = field.spot();
                self.problems.value(spot, complaint);
                return None;
            }
        }
        for (spot, complaint) in problems {
            self.problems.value(spot, complaint);
        }
        Some(values)
    }
}

/// The text of a value.
pub(super) fn string<'v>(value: &'v DeValue<'_>) -> Result<&'v str, Complaint> {
    value
        .as_str()
        .ok_or_else(|| expected("a string", value).help("put it in quotes: \"..\""))
}

fn array<'v, 'a>(value: &'v DeValue<'a>) -> Result<&'v DeArray<'a>, Complaint> {
    value
        .as_array()
        .ok_or_else(|| expected("an array", value).help("put it in brackets: [..]"))
}

fn integer(value: &DeValue<'_>, range: &RangeInclusive<i64>) -> Result<i64, Complaint> {
    let digits = value
        .as_integer()
        .ok_or_else(|| expected("an integer", value))?;
    let number = number(digits)?;
    if range.contains(&number) {
        return Ok(number);
    }
    let message = match *range.end() {
        i64::MAX => format!("{number} is out of range: {} or more", range.start()),
        most => format!("{number} is out of range: {} to {most}", range.start()),
    };
    Err(Complaint::new(message))
}

fn number(digits: &DeInteger<'_>) -> Result<i64, Complaint> {
    i64::from_str_radix(digits.as_str(), digits.radix())
        .map_err(|_| Complaint::new("the number has more than 64 bits"))
}

fn expected(what: &str, found: &DeValue<'_>) -> Complaint {
    Complaint::new(format!("expected {what}, found {}", kind(found)))
}
