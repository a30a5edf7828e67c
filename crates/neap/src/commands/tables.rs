//! `neap query`: what does the store say, row by row?

use std::io::{BufWriter, Read, Write};
use std::time::Duration;

use neap_store::Rows;

use super::place::reader;
use crate::cli::Global;
use crate::exit::{self, Exit};
use crate::failure::Failure;
use crate::print::{Format, Place, RowWriter, Value, until_closed};

/// Longest statement that is read from standard input, in bytes; SQLite's own limit is 1,000,000.
const MAX_SQL_BYTES: u64 = 1 << 20;

/// Runs a statement that cannot change anything.
///
/// # Errors
/// There is no store, or the statement is none that reads.
pub(crate) async fn query(
    global: &Global,
    sql: &str,
    time_limit: Duration,
    format: Format,
) -> Result<Exit, Failure> {
    let from_stdin;
    let sql = if sql == "-" {
        let mut text = String::new();
        std::io::stdin()
            .lock()
            .take(MAX_SQL_BYTES)
            .read_to_string(&mut text)?;
        from_stdin = text;
        &from_stdin
    } else {
        sql
    };
    print_query(global, sql, time_limit, format).await
}

/// Prints rows that are there already.
///
/// # Errors
/// Standard output cannot be written.
pub(crate) fn print_rows(
    format: Format,
    columns: &[&str],
    rows: impl Iterator<Item = Vec<Value>>,
) -> Result<(), Failure> {
    let print = || {
        let out = BufWriter::new(std::io::stdout().lock());
        let mut writer = RowWriter::new(format, columns, Place::stdout(false), out)?;
        for row in rows {
            writer.row(&row)?;
        }
        writer.finish()
    };
    Ok(until_closed(print())?)
}

async fn print_query(
    global: &Global,
    sql: &str,
    time_limit: Duration,
    format: Format,
) -> Result<Exit, Failure> {
    let reader = reader(global).await?;
    let mut rows = reader.query_within(sql, Some(time_limit)).await?;
    write_rows(&mut rows, format, Place::stdout(false), std::io::stdout()).await?;
    Ok(exit::DONE)
}

/// Writes the rows of a query as they come; how many. Whoever reads them may have enough at any time.
///
/// # Errors
/// The query fails, or `out` cannot be written.
pub(super) async fn write_rows(
    rows: &mut Rows,
    format: Format,
    place: Place,
    out: impl Write,
) -> Result<u64, Failure> {
    let columns = rows.columns().to_vec();
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    let mut written = 0;
    let mut writer = match RowWriter::new(format, &columns, place, BufWriter::new(out)) {
        Ok(writer) => writer,
        Err(error) => return ended(error, written),
    };
    while let Some(row) = rows.next().await? {
        let row: Vec<Value> = row.into_iter().map(value).collect();
        if let Err(error) = writer.row(&row) {
            return ended(error, written);
        }
        written += 1;
    }
    until_closed(writer.finish())?;
    Ok(written)
}

/// Writing ended early: well, if it was the reader who had enough.
fn ended(error: std::io::Error, written: u64) -> Result<u64, Failure> {
    until_closed(Err(error))?;
    Ok(written)
}

/// A number to so many parts of one.
pub(super) fn rounded(number: f64, parts: f64) -> Value {
    Value::Real((number * parts).round() / parts)
}

fn value(value: neap_store::Value) -> Value {
    match value {
        neap_store::Value::Null => Value::Null,
        neap_store::Value::Integer(number) => Value::Integer(number),
        neap_store::Value::Real(number) => Value::Real(number),
        neap_store::Value::Text(text) => Value::Text(text),
        neap_store::Value::Blob(bytes) => Value::Blob(bytes),
    }
}
