//! How are rows written as JSON?
//!
//! Row by row, so that a large result needs no memory: as one array, or as one object a line. Keys keep
//! the order of the columns; a column name that occurs again gets a number, since an object with the
//! same key twice loses one of them in most readers. Characters that would act on a terminal are
//! written as `\uXXXX`, which means the same to a reader. Infinite numbers, which JSON does not know,
//! are written as text.

use std::io::{self, Write};

use super::{Value, check_width, escape, real};

/// Writes rows as JSON objects.
pub(super) struct JsonWriter<W: Write> {
    out: W,
    keys: Vec<String>,
    is_array: bool,
    rows: u64,
}

impl<W: Write> JsonWriter<W> {
    /// One array around all rows.
    pub(super) fn array(columns: &[&str], mut out: W) -> io::Result<JsonWriter<W>> {
        out.write_all(b"[")?;
        Ok(JsonWriter {
            out,
            keys: keys(columns),
            is_array: true,
            rows: 0,
        })
    }

    /// One object a line.
    pub(super) fn lines(columns: &[&str], out: W) -> JsonWriter<W> {
        JsonWriter {
            out,
            keys: keys(columns),
            is_array: false,
            rows: 0,
        }
    }

    pub(super) fn row(&mut self, row: &[Value]) -> io::Result<()> {
        check_width(self.keys.len(), row)?;
        let mut line = String::new();
        if self.is_array {
            line.push_str(if self.rows == 0 { "\n" } else { ",\n" });
        }
        line.push('{');
        for (at, (key, value)) in self.keys.iter().zip(row).enumerate() {
            if at > 0 {
                line.push(',');
            }
            line.push_str(key);
            line.push(':');
            push_value(&mut line, value);
        }
        line.push('}');
        if !self.is_array {
            line.push('\n');
        }
        self.rows += 1;
        self.out.write_all(line.as_bytes())
    }

    pub(super) fn finish(mut self) -> io::Result<()> {
        if self.is_array {
            self.out
                .write_all(if self.rows == 0 { b"]\n" } else { b"\n]\n" })?;
        }
        self.out.flush()
    }
}

/// The columns as JSON strings, each different from the others.
fn keys(columns: &[&str]) -> Vec<String> {
    let mut names: Vec<String> = Vec::with_capacity(columns.len());
    for column in columns {
        let mut name = (*column).to_owned();
        let mut count = 1;
        while names.contains(&name) {
            count += 1;
            name = format!("{column}_{count}");
        }
        names.push(name);
    }
    names.iter().map(|name| string(name)).collect()
}

fn push_value(line: &mut String, value: &Value) {
    match value {
        Value::Null => line.push_str("null"),
        Value::Integer(number) => line.push_str(&number.to_string()),
        Value::Real(number) if number.is_finite() => line.push_str(&real(*number)),
        Value::Real(number) => line.push_str(&string(&real(*number))),
        Value::Text(text) => line.push_str(&string(text)),
        Value::Blob(bytes) => {
            let encoded = data_encoding::BASE64.encode(bytes);
            line.push_str(&format!(r#"{{"$base64":true,"encoded":"{encoded}"}}"#));
        }
    }
}

/// A JSON string. serde_json escapes what JSON demands; the rest of what acts is escaped here.
fn string(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    if !quoted.contains(escape::acts) {
        return quoted;
    }
    let mut safe = String::with_capacity(quoted.len() + 16);
    for c in quoted.chars() {
        if escape::acts(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                safe.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            safe.push(c);
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::super::tests::{printed, text};
    use super::super::{Format, Place};
    use super::*;

    #[test]
    fn every_value_has_its_json_form() {
        let columns = ["n", "i", "r", "t", "b", "inf"];
        let row = vec![
            Value::Null,
            Value::Integer(i64::MIN),
            Value::Real(1.0),
            text("a\"b"),
            Value::Blob(vec![0, 255]),
            Value::Real(f64::INFINITY),
        ];
        let line = concat!(
            r#"{"n":null,"i":-9223372036854775808,"r":1.0,"t":"a\"b","#,
            r#""b":{"$base64":true,"encoded":"AP8="},"inf":"inf"}"#
        );
        let rows = [row.clone(), row];
        let jsonl = printed(Format::Jsonl, Place::default(), &columns, &rows);
        assert_eq!(jsonl, format!("{line}\n{line}\n"));
        let json = printed(Format::Json, Place::default(), &columns, &rows);
        assert_eq!(json, format!("[\n{line},\n{line}\n]\n"));
    }

    #[test]
    fn hostile_text_is_escaped_and_reads_back_as_it_was() {
        let hostile = "\u{1b}[2J\u{9b}\u{7f}\0\n\"\\ \u{202e}\u{e0041}é👍";
        let json = printed(
            Format::Json,
            Place::default(),
            &[hostile],
            &[vec![text(hostile)]],
        );
        assert!(!json.replace('\n', "").contains(escape::acts), "{json:?}");
        let read: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(read, serde_json::json!([{ hostile: hostile }]));
    }

    #[test]
    fn columns_of_the_same_name_are_told_apart() {
        let row = vec![
            Value::Integer(1),
            Value::Integer(2),
            Value::Integer(3),
            Value::Integer(4),
        ];
        let json = printed(
            Format::Jsonl,
            Place::default(),
            &["a", "a", "a_2", "a"],
            &[row],
        );
        assert_eq!(json, "{\"a\":1,\"a_2\":2,\"a_2_2\":3,\"a_3\":4}\n");
    }
}
