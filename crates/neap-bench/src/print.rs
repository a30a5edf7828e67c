//! How are the figures shown?

use clap::ValueEnum;
use comfy_table::{Cell, CellAlignment, Table, presets};
use miette::{IntoDiagnostic, Result};
use serde::Serialize;
use serde_json::Value;

/// How the figures are printed.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Table,
    /// An array with an object for each row.
    Json,
}

/// Prints rows; `columns` are the names of their fields, in the order in which they are shown.
pub(crate) fn print<T: Serialize>(format: Format, columns: &[&str], rows: &[T]) -> Result<()> {
    match format {
        Format::Json => println!("{}", serde_json::to_string_pretty(rows).into_diagnostic()?),
        Format::Table => println!("{}", table(columns, rows)?),
    }
    Ok(())
}

fn table<T: Serialize>(columns: &[&str], rows: &[T]) -> Result<Table> {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header(columns);
    for row in rows {
        let row = serde_json::to_value(row).into_diagnostic()?;
        table.add_row(columns.iter().map(|name| cell(&row[name])));
    }
    Ok(table)
}

fn cell(value: &Value) -> Cell {
    let alignment = match value {
        Value::Number(_) => CellAlignment::Right,
        Value::Null | Value::String(_) | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
            CellAlignment::Left
        }
    };
    Cell::new(text(value)).set_alignment(alignment)
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Number(number) => match number.as_f64() {
            Some(float) if number.is_f64() && float.abs() < 10.0 => format!("{float:.4}"),
            Some(float) if number.is_f64() => format!("{float:.0}"),
            Some(_) | None => number.to_string(),
        },
        Value::Bool(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}
