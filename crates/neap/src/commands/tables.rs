//! `neap query`: what does the store say, row by row?

use std::io::{BufWriter, Read};

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
pub(crate) async fn query(global: &Global, sql: &str, format: Format) -> Result<Exit, Failure> {
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
    print_query(global, sql, format).await
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

async fn print_query(global: &Global, sql: &str, format: Format) -> Result<Exit, Failure> {
    let reader = reader(global).await?;
    let mut rows = reader.query(sql).await?;
    let columns = rows.columns().to_vec();
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    let out = BufWriter::new(std::io::stdout());
    let mut writer = match RowWriter::new(format, &columns, Place::stdout(false), out) {
        Ok(writer) => writer,
        Err(error) => return ended(error),
    };
    while let Some(row) = rows.next().await? {
        let row: Vec<Value> = row.into_iter().map(value).collect();
        if let Err(error) = writer.row(&row) {
            return ended(error);
        }
    }
    until_closed(writer.finish())?;
    Ok(exit::DONE)
}

/// Printing ended early: well, if it was the reader who had enough.
fn ended(error: std::io::Error) -> Result<Exit, Failure> {
    until_closed(Err(error))?;
    Ok(exit::DONE)
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
