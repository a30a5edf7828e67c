//! How are rows written as a Markdown table?
//!
//! Row by row, so the columns are not padded. Text from the wire is escaped twice: for the terminal,
//! and so that it stays text in Markdown (no links, images, HTML or further cells).

use std::io::{self, Write};

use super::{Value, check_width, escape, hex, real};

/// Writes rows as a GitHub-flavoured Markdown table.
pub(super) struct MarkdownWriter<W: Write> {
    out: W,
    columns: usize,
}

impl<W: Write> MarkdownWriter<W> {
    /// Starts with the header.
    pub(super) fn new(columns: &[&str], mut out: W) -> io::Result<MarkdownWriter<W>> {
        write_line(&mut out, columns.iter().map(|column| text(column)))?;
        write_line(&mut out, columns.iter().map(|_| "---".to_owned()))?;
        Ok(MarkdownWriter {
            out,
            columns: columns.len(),
        })
    }

    pub(super) fn row(&mut self, row: &[Value]) -> io::Result<()> {
        check_width(self.columns, row)?;
        write_line(&mut self.out, row.iter().map(cell))
    }

    pub(super) fn finish(mut self) -> io::Result<()> {
        self.out.flush()
    }
}

fn write_line(out: &mut impl Write, cells: impl Iterator<Item = String>) -> io::Result<()> {
    let mut line = String::from("|");
    for cell in cells {
        line.push(' ');
        line.push_str(&cell);
        line.push_str(" |");
    }
    line.push('\n');
    out.write_all(line.as_bytes())
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Integer(number) => number.to_string(),
        Value::Real(number) => real(*number),
        Value::Text(given) => text(given),
        Value::Blob(bytes) => hex(bytes),
    }
}

/// Text in which nothing is Markdown. An underscore stays: inside a word it means nothing, and
/// escaping it would break the URLs that GitHub makes clickable.
fn text(given: &str) -> String {
    let shown = escape::for_terminal(given);
    let mut safe = String::with_capacity(shown.len() + 8);
    for c in shown.chars() {
        if matches!(c, '\\' | '|' | '<' | '>' | '`' | '[' | ']' | '*' | '~') {
            safe.push('\\');
        }
        safe.push(c);
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::super::tests::{printed, text};
    use super::super::{Format, Place};
    use super::*;

    #[test]
    fn text_from_the_wire_stays_text() {
        for (given, shown) in [
            ("a|b", "a\\|b"),
            ("<script>", "\\<script\\>"),
            ("![x](http://a.example/)", "!\\[x\\](http://a.example/)"),
            ("a\nb", "a\\\\u{a}b"),
            (
                "http://a.example/x_y?b=1&c=2",
                "http://a.example/x_y?b=1&c=2",
            ),
        ] {
            let table = printed(
                Format::Markdown,
                Place::default(),
                &["u"],
                &[vec![text(given)]],
            );
            assert_eq!(table, format!("| u |\n| --- |\n| {shown} |\n"), "{given:?}");
        }
    }

    #[test]
    fn other_values_have_their_forms() {
        let row = vec![
            Value::Null,
            Value::Integer(-1),
            Value::Real(0.5),
            Value::Blob(vec![1, 2]),
        ];
        let table = printed(
            Format::Markdown,
            Place::default(),
            &["a", "b", "c", "d"],
            &[row],
        );
        assert!(table.ends_with("|  | -1 | 0.5 | 0102 |\n"), "{table}");
    }
}
