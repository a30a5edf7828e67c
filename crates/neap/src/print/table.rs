//! How are rows laid out for people?
//!
//! The width of a column depends on every cell in it, so rows are held back: at most [`ROWS`] of them
//! or [`BYTES`] of text. A longer result comes as several tables, each with its header and widths of
//! its own. On a terminal long cells are wrapped to its width; elsewhere lines get as long as they
//! must. Nothing is ever cut off.

use std::io::{self, Write};

use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets};

use super::{Value, check_width, escape, hex, real};

/// Rows of one table; more than anyone reads on a screen, and few enough to lay out at once.
pub(super) const ROWS: usize = 1_000;

/// Bytes of text that one table holds back, besides its last row.
const BYTES: usize = 1 << 20;

/// Writes rows as tables with borders.
pub(super) struct TableWriter<W: Write> {
    out: W,
    header: Vec<String>,
    width: Option<u16>,
    table: Table,
    bytes: usize,
    tables: u64,
}

impl<W: Write> TableWriter<W> {
    /// `width` is the terminal's, in columns; `None` if there is none.
    pub(super) fn new(columns: &[&str], width: Option<u16>, out: W) -> TableWriter<W> {
        let header: Vec<String> = columns
            .iter()
            .map(|column| escape::for_terminal(column).into_owned())
            .collect();
        let table = empty(&header, width);
        TableWriter {
            out,
            header,
            width,
            table,
            bytes: 0,
            tables: 0,
        }
    }

    pub(super) fn row(&mut self, row: &[Value]) -> io::Result<()> {
        check_width(self.header.len(), row)?;
        if self.table.row_count() == ROWS || self.bytes >= BYTES {
            self.write_table()?;
        }
        let mut cells = Vec::with_capacity(row.len());
        for value in row {
            let (text, alignment) = cell(value);
            self.bytes += text.len();
            cells.push(Cell::new(text).set_alignment(alignment));
        }
        self.table.add_row(cells);
        Ok(())
    }

    pub(super) fn finish(mut self) -> io::Result<()> {
        if self.tables == 0 || !self.table.is_empty() {
            self.write_table()?;
        }
        self.out.flush()
    }

    fn write_table(&mut self) -> io::Result<()> {
        let table = std::mem::replace(&mut self.table, empty(&self.header, self.width));
        self.bytes = 0;
        self.tables += 1;
        for line in table.lines() {
            writeln!(self.out, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

fn empty(header: &[String], width: Option<u16>) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::UTF8_FULL_CONDENSED)
        .set_header(header);
    match width {
        Some(width) => {
            table
                .set_content_arrangement(ContentArrangement::Dynamic)
                .set_width(width);
        }
        None => {
            table.set_content_arrangement(ContentArrangement::Disabled);
        }
    }
    table
}

/// Numbers stand to the right, so that their digits line up.
fn cell(value: &Value) -> (String, CellAlignment) {
    match value {
        Value::Null => (String::new(), CellAlignment::Left),
        Value::Integer(number) => (number.to_string(), CellAlignment::Right),
        Value::Real(number) => (real(*number), CellAlignment::Right),
        Value::Text(text) => (escape::for_terminal(text).into_owned(), CellAlignment::Left),
        Value::Blob(bytes) => (hex(bytes), CellAlignment::Left),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{printed, text};
    use super::super::{Format, Place};
    use super::*;

    #[test]
    fn a_small_table_looks_like_this() {
        let rows = [
            vec![text("shop.example"), Value::Integer(9120)],
            vec![text("日本"), Value::Null],
            vec![text("\u{1b}[2J\n"), Value::Real(0.5)],
        ];
        let table = printed(Format::Table, Place::default(), &["host", "done"], &rows);
        assert_eq!(
            table,
            "\
┌────────────────┬──────┐
│ host           ┆ done │
╞════════════════╪══════╡
│ shop.example   ┆ 9120 │
│ 日本           ┆      │
│ \\u{1b}[2J\\u{a} ┆  0.5 │
└────────────────┴──────┘
"
        );
    }

    #[test]
    fn a_terminal_wraps_and_a_file_keeps_long_cells_whole() {
        let long = "x".repeat(300);
        let rows = [vec![text(&long)]];
        let file = printed(Format::Table, Place::default(), &["a"], &rows);
        assert!(file.contains(&long), "{file}");
        let terminal = Place {
            width: Some(40),
            is_raw: false,
        };
        let wrapped = printed(Format::Table, terminal, &["a"], &rows);
        assert!(
            wrapped.lines().all(|line| line.chars().count() <= 40),
            "{wrapped}"
        );
        assert_eq!(wrapped.matches('x').count(), 300, "{wrapped}");
    }

    #[test]
    fn a_long_result_comes_as_several_complete_tables() {
        for (rows, tables) in [(1, 1), (ROWS, 1), (ROWS + 1, 2), (3 * ROWS, 3)] {
            let rows: Vec<_> = (0..rows).map(|n| vec![text(&format!("<{n}>"))]).collect();
            let printed = printed(Format::Table, Place::default(), &["head"], &rows);
            assert_eq!(
                printed.matches("head").count(),
                tables,
                "{} rows",
                rows.len()
            );
            assert_eq!(printed.matches('<').count(), rows.len());
        }
    }

    #[test]
    fn large_cells_are_not_held_back_without_bound() {
        let large = "y".repeat(BYTES);
        let rows = [vec![text(&large)], vec![text("z")]];
        let printed = printed(Format::Table, Place::default(), &["head"], &rows);
        assert_eq!(printed.matches("head").count(), 2);
    }
}
