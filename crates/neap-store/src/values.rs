//! How do many rows become few statements?
//!
//! One statement a row costs sqlx a round trip each; a statement for every possible number of rows
//! would never meet a prepared one again. So rows are cut into chunks of 64 and what is left into
//! 32, 16, 8, 4, 2 and 1: seven texts for each statement, all of which stay prepared.

use std::sync::{Arc, OnceLock};

use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Arguments, AssertSqlSafe, SqliteConnection};

/// Rows of the largest statement: larger ones gained nothing measurable, and 64 rows of the widest
/// table stay far below SQLite's 32,766 parameters.
const MOST_ROWS: usize = 64;

/// Statements that one connection keeps prepared: seven sizes of each shape, and the rest.
pub(crate) const PREPARED_STATEMENTS: usize = 400;

/// A statement over any number of rows: a head, one or more times the row, and a tail.
pub(crate) struct Shape {
    head: &'static str,
    row: &'static str,
    tail: &'static str,
    texts: [OnceLock<Arc<str>>; 7],
}

impl Shape {
    pub(crate) const fn new(head: &'static str, row: &'static str, tail: &'static str) -> Shape {
        Shape {
            head,
            row,
            tail,
            texts: [const { OnceLock::new() }; 7],
        }
    }

    /// The text for `rows` rows, a power of two up to [`MOST_ROWS`].
    fn text(&self, rows: usize) -> Arc<str> {
        let size = rows.trailing_zeros() as usize;
        let build = || {
            let rows = vec![self.row; rows].join(",");
            format!("{}{}{}", self.head, rows, self.tail).into()
        };
        self.texts[size].get_or_init(build).clone()
    }

    /// Runs the statement over all rows; how many rows it changed.
    pub(crate) async fn execute<T>(
        &self,
        connection: &mut SqliteConnection,
        rows: &[T],
        bind: impl Fn(&T, &mut Args),
    ) -> Result<u64, sqlx::Error> {
        let mut changed = 0;
        for chunk in chunks(rows) {
            let query = sqlx::query_with(AssertSqlSafe(self.text(chunk.len())), args(chunk, &bind));
            changed += query.execute(&mut *connection).await?.rows_affected();
        }
        Ok(changed)
    }

    /// Runs the statement over all rows; the rows that it returns.
    pub(crate) async fn fetch<T>(
        &self,
        connection: &mut SqliteConnection,
        rows: &[T],
        bind: impl Fn(&T, &mut Args),
    ) -> Result<Vec<SqliteRow>, sqlx::Error> {
        let mut found = Vec::new();
        for chunk in chunks(rows) {
            let query = sqlx::query_with(AssertSqlSafe(self.text(chunk.len())), args(chunk, &bind));
            found.append(&mut query.fetch_all(&mut *connection).await?);
        }
        Ok(found)
    }
}

/// The values of one statement, in the order of its question marks.
pub(crate) struct Args(SqliteArguments);

impl Args {
    pub(crate) fn int(&mut self, value: i64) -> &mut Args {
        self.add(value)
    }

    pub(crate) fn maybe_int(&mut self, value: Option<i64>) -> &mut Args {
        self.add(value)
    }

    pub(crate) fn real(&mut self, value: f64) -> &mut Args {
        self.add(value)
    }

    pub(crate) fn text(&mut self, value: &str) -> &mut Args {
        self.add(Arc::<str>::from(value))
    }

    pub(crate) fn maybe_text(&mut self, value: Option<&str>) -> &mut Args {
        self.add(value.map(Arc::<str>::from))
    }

    pub(crate) fn maybe_blob(&mut self, value: Option<&[u8]>) -> &mut Args {
        self.add(value.map(<[u8]>::to_vec))
    }

    fn add<'t, T: sqlx::Encode<'t, sqlx::Sqlite> + sqlx::Type<sqlx::Sqlite>>(
        &mut self,
        value: T,
    ) -> &mut Args {
        self.0.add(value).expect("numbers and text always encode");
        self
    }
}

fn args<T>(chunk: &[T], bind: &impl Fn(&T, &mut Args)) -> SqliteArguments {
    let mut args = Args(SqliteArguments::default());
    chunk.iter().for_each(|row| bind(row, &mut args));
    args.0
}

/// Cuts rows into chunks whose sizes are powers of two, the largest first.
fn chunks<T>(mut rows: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let size = match rows.len() {
            0 => return None,
            left => MOST_ROWS.min(1 << left.ilog2()),
        };
        let (chunk, rest) = rows.split_at(size);
        rows = rest;
        Some(chunk)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_cut_into_powers_of_two_and_none_is_lost() {
        for (rows, sizes) in [
            (0, vec![]),
            (1, vec![1]),
            (63, vec![32, 16, 8, 4, 2, 1]),
            (64, vec![64]),
            (200, vec![64, 64, 64, 8]),
        ] {
            let all: Vec<usize> = (0..rows).collect();
            let found: Vec<usize> = chunks(&all).map(<[usize]>::len).collect();
            assert_eq!(found, sizes, "{rows} rows");
            assert_eq!(chunks(&all).flatten().copied().collect::<Vec<_>>(), all);
        }
    }

    #[test]
    fn a_text_repeats_its_row() {
        static SHAPE: Shape = Shape::new("VALUES ", "(?)", ";");
        assert_eq!(&*SHAPE.text(4), "VALUES (?),(?),(?),(?);");
        assert_eq!(&*SHAPE.text(1), "VALUES (?);");
    }
}
