//! How are rows written as CSV and TSV?
//!
//! A spreadsheet runs a cell that starts with `=`, `+`, `-`, `@`, TAB or CR as a formula, which lets a
//! crawled page act on the machine of whoever opens the export (OWASP, "CSV Injection"). Such text gets
//! a leading `'`; numbers do not need it. `raw` leaves the text alone. On a terminal all text is
//! escaped for the terminal as well.

use std::borrow::Cow;
use std::io::{self, Write};

use super::{Place, Value, check_width, escape, hex, real};

/// What stands between two values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Delimiter {
    /// CSV.
    Comma,
    /// TSV.
    Tab,
}

/// Writes rows as CSV or TSV.
pub(super) struct DelimitedWriter<W: Write> {
    writer: csv::Writer<W>,
    columns: usize,
    place: Place,
}

impl<W: Write> DelimitedWriter<W> {
    /// Starts with the header line.
    pub(super) fn new(
        columns: &[&str],
        delimiter: Delimiter,
        place: Place,
        out: W,
    ) -> io::Result<DelimitedWriter<W>> {
        let delimiter = match delimiter {
            Delimiter::Comma => b',',
            Delimiter::Tab => b'\t',
        };
        let writer = csv::WriterBuilder::new()
            .delimiter(delimiter)
            .from_writer(out);
        let mut writer = DelimitedWriter {
            writer,
            columns: columns.len(),
            place,
        };
        let header: Vec<Value> = columns
            .iter()
            .map(|column| Value::Text((*column).to_owned()))
            .collect();
        writer.row(&header)?;
        Ok(writer)
    }

    pub(super) fn row(&mut self, row: &[Value]) -> io::Result<()> {
        check_width(self.columns, row)?;
        let place = self.place;
        let cells = row.iter().map(|value| cell(value, place).into_owned());
        self.writer.write_record(cells).map_err(io_error)
    }

    pub(super) fn finish(mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

fn cell(value: &Value, place: Place) -> Cow<'_, str> {
    match value {
        Value::Null => Cow::Borrowed(""),
        Value::Integer(number) => Cow::Owned(number.to_string()),
        Value::Real(number) => Cow::Owned(real(*number)),
        Value::Blob(bytes) => Cow::Owned(hex(bytes)),
        Value::Text(text) => {
            let is_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
            let safe = if is_formula && !place.is_raw {
                Cow::Owned(format!("'{text}"))
            } else {
                Cow::Borrowed(text.as_str())
            };
            match place.width {
                Some(_) => Cow::Owned(escape::for_terminal(&safe).into_owned()),
                None => safe,
            }
        }
    }
}

/// The error of the writer below, so that a closed pipe is still one.
fn io_error(error: csv::Error) -> io::Error {
    let message = error.to_string();
    if let csv::ErrorKind::Io(error) = error.into_kind() {
        return error;
    }
    io::Error::other(message)
}

#[cfg(test)]
mod tests {
    use super::super::Format;
    use super::super::tests::{printed, text};
    use super::*;

    #[test]
    fn cells_that_a_spreadsheet_would_run_are_quoted() {
        for (value, safe, raw) in [
            (text("=1+1"), "'=1+1", "=1+1"),
            (text("+49 30"), "'+49 30", "+49 30"),
            (text("-5"), "'-5", "-5"),
            (text("@SUM(A1)"), "'@SUM(A1)", "@SUM(A1)"),
            (text("\rx"), "\"'\rx\"", "\"\rx\""),
            (text("\tx"), "'\tx", "\tx"),
            (text("a=b"), "a=b", "a=b"),
            (
                text("a,\"b\"\nc"),
                "\"a,\"\"b\"\"\nc\"",
                "\"a,\"\"b\"\"\nc\"",
            ),
            (Value::Integer(-5), "-5", "-5"),
            (Value::Real(-0.5), "-0.5", "-0.5"),
            (Value::Blob(vec![0xde, 0xad]), "dead", "dead"),
            (Value::Null, "\"\"", "\"\""),
        ] {
            for (is_raw, expected) in [(false, safe), (true, raw)] {
                let place = Place {
                    width: None,
                    is_raw,
                };
                let csv = printed(Format::Csv, place, &["a"], &[vec![value.clone()]]);
                assert_eq!(csv, format!("a\n{expected}\n"), "{value:?}, raw: {is_raw}");
            }
        }
    }

    #[test]
    fn a_header_is_text_as_well() {
        let csv = printed(Format::Csv, Place::default(), &["=cmd", "b"], &[]);
        assert_eq!(csv, "'=cmd,b\n");
    }

    #[test]
    fn tsv_quotes_what_holds_a_tab() {
        let rows = [
            vec![text("a\tb"), Value::Null],
            vec![text("c,d"), Value::Integer(1)],
        ];
        let tsv = printed(Format::Tsv, Place::default(), &["x", "y"], &rows);
        assert_eq!(tsv, "x\ty\n\"a\tb\"\t\nc,d\t1\n");
    }

    #[test]
    fn text_acts_on_no_terminal_and_stays_as_it_is_in_a_file() {
        let rows = [vec![text("\u{1b}[2J")]];
        let on_terminal = Place {
            width: Some(80),
            is_raw: true,
        };
        assert_eq!(
            printed(Format::Csv, on_terminal, &["a"], &rows),
            "a\n\\u{1b}[2J\n"
        );
        assert_eq!(
            printed(Format::Csv, Place::default(), &["a"], &rows),
            "a\n\u{1b}[2J\n"
        );
    }
}
