//! How are rows of data printed?
//!
//! [`RowWriter`] takes rows of [`Value`]s from anywhere and writes them as a table for people or in one
//! of the formats that programs read. Rows are data and go to stdout; everything that neap has to say
//! about them goes to stderr.
//!
//! | format | text | NULL | blob |
//! | --- | --- | --- | --- |
//! | `table` | escaped for the terminal | empty | hexadecimal digits |
//! | `markdown` | escaped for the terminal and for Markdown | empty | hexadecimal digits |
//! | `json`, `jsonl` | JSON string, controls as `\uXXXX` | `null` | `{"$base64": true, "encoded": ".."}`, as Datasette writes it |
//! | `csv`, `tsv` | safe for spreadsheets unless raw | empty | hexadecimal digits |

pub(crate) mod chart;
pub(crate) mod escape;

mod delimited;
mod json;
mod markdown;
mod table;

use std::io::{self, IsTerminal, Write};

/// One cell of a row: the five storage classes of SQLite.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    /// No value.
    Null,
    /// A whole number.
    Integer(i64),
    /// A floating-point number.
    Real(f64),
    /// Text, possibly from the wire.
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
}

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// Columns with borders, for people; a new table after every 1,000 rows.
    Table,
    /// One JSON array of objects, written row by row.
    Json,
    /// One JSON object a line.
    Jsonl,
    /// Comma-separated values with a header line (RFC 4180, lines end with LF).
    Csv,
    /// Tab-separated values with a header line; quoted like CSV where a value needs it.
    Tsv,
    /// A GitHub-flavoured Markdown table.
    Markdown,
}

/// What a [`RowWriter`] must know about the place it writes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Place {
    /// Width of the terminal in columns. `None`: not a terminal, so nothing is wrapped, and CSV and
    /// TSV are written as they are.
    pub(crate) width: Option<u16>,
    /// Whether CSV and TSV leave out the quote that keeps spreadsheets from running a cell as a
    /// formula.
    pub(crate) is_raw: bool,
}

impl Place {
    /// What stdout is.
    pub(crate) fn stdout(is_raw: bool) -> Place {
        let stdout = io::stdout();
        let width = stdout.is_terminal().then(|| {
            terminal_size::terminal_size_of(&stdout).map_or(DEFAULT_WIDTH, |(width, _)| width.0)
        });
        Place { width, is_raw }
    }
}

/// Width of a terminal that does not say how wide it is: the VT100's.
const DEFAULT_WIDTH: u16 = 80;

/// Writes rows in one format.
pub(crate) struct RowWriter<W: Write>(Inner<W>);

enum Inner<W: Write> {
    Table(Box<table::TableWriter<W>>),
    Json(json::JsonWriter<W>),
    Delimited(Box<delimited::DelimitedWriter<W>>),
    Markdown(markdown::MarkdownWriter<W>),
}

impl<W: Write> RowWriter<W> {
    /// Starts with the names of the columns, each at most a line long.
    ///
    /// # Errors
    /// Those of `out`, to which the header may be written.
    pub(crate) fn new(
        format: Format,
        columns: &[&str],
        place: Place,
        out: W,
    ) -> io::Result<RowWriter<W>> {
        use delimited::{DelimitedWriter, Delimiter};
        let inner = match format {
            Format::Table => {
                Inner::Table(Box::new(table::TableWriter::new(columns, place.width, out)))
            }
            Format::Json => Inner::Json(json::JsonWriter::array(columns, out)?),
            Format::Jsonl => Inner::Json(json::JsonWriter::lines(columns, out)),
            Format::Csv => {
                Inner::delimited(DelimitedWriter::new(columns, Delimiter::Comma, place, out)?)
            }
            Format::Tsv => {
                Inner::delimited(DelimitedWriter::new(columns, Delimiter::Tab, place, out)?)
            }
            Format::Markdown => Inner::Markdown(markdown::MarkdownWriter::new(columns, out)?),
        };
        Ok(RowWriter(inner))
    }

    /// Writes one row. It has a value for each column.
    ///
    /// # Errors
    /// Those of `out`; `InvalidInput` if the number of values is wrong.
    pub(crate) fn row(&mut self, row: &[Value]) -> io::Result<()> {
        match &mut self.0 {
            Inner::Table(writer) => writer.row(row),
            Inner::Json(writer) => writer.row(row),
            Inner::Delimited(writer) => writer.row(row),
            Inner::Markdown(writer) => writer.row(row),
        }
    }

    /// Writes what is still held back and flushes. Without it the output is not complete.
    ///
    /// # Errors
    /// Those of `out`.
    pub(crate) fn finish(self) -> io::Result<()> {
        match self.0 {
            Inner::Table(writer) => writer.finish(),
            Inner::Json(writer) => writer.finish(),
            Inner::Delimited(writer) => writer.finish(),
            Inner::Markdown(writer) => writer.finish(),
        }
    }
}

impl<W: Write> Inner<W> {
    fn delimited(writer: delimited::DelimitedWriter<W>) -> Inner<W> {
        Inner::Delimited(Box::new(writer))
    }
}

/// Writes a line to stdout; that nobody reads it any more is no failure.
///
/// # Errors
/// Those of stdout, such as a full disk behind it.
pub(crate) fn line(text: &str) -> io::Result<()> {
    until_closed(writeln!(io::stdout(), "{text}"))
}

/// Takes the end of a reader as the end of the work: after `neap query .. | head` has seen enough,
/// writing fails with `BrokenPipe`, which is no failure of neap.
///
/// # Errors
/// Every other one that `printed` holds.
pub(crate) fn until_closed(printed: io::Result<()>) -> io::Result<()> {
    match printed {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Ok(()) | Err(_) => printed,
    }
}

/// A row with the wrong number of values is a bug in what made it.
fn check_width(columns: usize, row: &[Value]) -> io::Result<()> {
    if row.len() == columns {
        return Ok(());
    }
    let message = format!("a row of {} values for {columns} columns", row.len());
    Err(io::Error::new(io::ErrorKind::InvalidInput, message))
}

/// A floating-point number that reads back as the same: `1.0`, `0.1`, `1e300`, `inf`.
fn real(number: f64) -> String {
    serde_json::Number::from_f64(number).map_or_else(|| number.to_string(), |n| n.to_string())
}

/// Bytes as lower-case hexadecimal digits, as SQL's `x'..'` takes them.
fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    pub(super) fn printed(
        format: Format,
        place: Place,
        columns: &[&str],
        rows: &[Vec<Value>],
    ) -> String {
        let mut out = Vec::new();
        let mut writer = RowWriter::new(format, columns, place, &mut out).unwrap();
        for row in rows {
            writer.row(row).unwrap();
        }
        writer.finish().unwrap();
        String::from_utf8(out).unwrap()
    }

    pub(super) fn text(text: &str) -> Value {
        Value::Text(text.to_owned())
    }

    /// Accepts so many bytes, then is a pipe whose reader has gone.
    struct Pipe(usize);

    impl Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.0 < bytes.len() {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            self.0 -= bytes.len();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn every_format_is_called_by_its_name() {
        let names = Format::value_variants()
            .iter()
            .map(|format| format.to_possible_value().unwrap());
        let names: Vec<String> = names.map(|name| name.get_name().to_owned()).collect();
        assert_eq!(names, ["table", "json", "jsonl", "csv", "tsv", "markdown"]);
    }

    #[test]
    fn a_reader_that_has_seen_enough_ends_every_format_quietly() {
        for format in Format::value_variants().iter().copied() {
            let write = || -> io::Result<()> {
                let mut writer = RowWriter::new(format, &["a"], Place::default(), Pipe(20_000))?;
                for _ in 0..20_000 {
                    writer.row(&[text("0123456789")])?;
                }
                writer.finish()
            };
            let written = write();
            let kind = written.as_ref().unwrap_err().kind();
            assert_eq!(kind, io::ErrorKind::BrokenPipe, "{format:?}");
            assert!(until_closed(written).is_ok());
        }
        assert!(until_closed(Err(io::ErrorKind::StorageFull.into())).is_err());
    }

    #[test]
    fn a_row_of_the_wrong_width_is_refused_in_every_format() {
        for format in Format::value_variants().iter().copied() {
            let mut writer =
                RowWriter::new(format, &["a", "b"], Place::default(), io::sink()).unwrap();
            let error = writer.row(&[Value::Null]).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{format:?}");
        }
    }

    #[test]
    fn no_rows_still_make_a_complete_document() {
        for (format, expected) in [
            (Format::Json, "[]\n"),
            (Format::Jsonl, ""),
            (Format::Csv, "a,b\n"),
            (Format::Tsv, "a\tb\n"),
            (Format::Markdown, "| a | b |\n| --- | --- |\n"),
        ] {
            assert_eq!(
                printed(format, Place::default(), &["a", "b"], &[]),
                expected,
                "{format:?}"
            );
        }
        assert!(printed(Format::Table, Place::default(), &["a", "b"], &[]).contains("a"));
    }
}
