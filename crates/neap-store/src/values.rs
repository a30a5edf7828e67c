//! How do many rows become few statements?
//!
//! The connection is a thread of its own: each statement, and each row that comes back, wakes one thread
//! and then the other, which costs more than SQLite takes for it. A statement for every possible number
//! of rows, on the other hand, would never meet a prepared one again. So rows are cut into chunks of the
//! sizes in [`SIZES`], all of which stay prepared. Where a row of nulls does no harm, the last chunk is
//! filled up with them and nearly always is the only one; a [`Bundle`] sends several statements at once;
//! and rows that are read come back as one text of JSON.

use std::sync::{Arc, OnceLock};

use serde::de::DeserializeOwned;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Arguments, AssertSqlSafe, Row, SqliteConnection};

/// Rows that statements are made for. 128 rows of the widest table stay far below SQLite's 32,766
/// parameters.
const SIZES: [usize; 13] = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 128];

/// Statements that one connection keeps prepared: all sizes of each shape, and the rest.
pub(crate) const PREPARED_STATEMENTS: usize = 600;

/// A statement over any number of rows: a head, one or more times the row, and a tail.
pub(crate) struct Shape {
    head: &'static str,
    row: &'static str,
    tail: &'static str,
    /// Whether rows of nulls change nothing.
    is_filled: bool,
    texts: [OnceLock<Arc<str>>; SIZES.len()],
}

impl Shape {
    pub(crate) const fn new(head: &'static str, row: &'static str, tail: &'static str) -> Shape {
        Shape::of(head, row, tail, false)
    }

    /// A statement to which a row of nulls makes no difference.
    pub(crate) const fn filled(head: &'static str, row: &'static str, tail: &'static str) -> Shape {
        Shape::of(head, row, tail, true)
    }

    const fn of(
        head: &'static str,
        row: &'static str,
        tail: &'static str,
        is_filled: bool,
    ) -> Shape {
        Shape {
            head,
            row,
            tail,
            is_filled,
            texts: [const { OnceLock::new() }; SIZES.len()],
        }
    }

    fn build(&self, rows: usize) -> String {
        let rows = vec![self.row; rows].join(",");
        format!("{}{}{}", self.head, rows, self.tail)
    }

    /// The text for as many rows as [`SIZES`] has at `size`.
    fn text(&self, size: usize) -> Arc<str> {
        self.texts[size]
            .get_or_init(|| self.build(SIZES[size]).into())
            .clone()
    }

    /// Parameters of one row.
    fn width(&self) -> usize {
        self.row.matches('?').count()
    }

    /// Runs the statement over all rows; how many rows it changed.
    pub(crate) async fn execute<T>(
        &self,
        connection: &mut SqliteConnection,
        rows: &[T],
        bind: impl Fn(&T, &mut Args),
    ) -> Result<u64, sqlx::Error> {
        let mut changed = 0;
        for (size, chunk) in chunks(rows, self.is_filled) {
            let args = Args::of::<T>(size, chunk, &[(self, &bind)]);
            let query = sqlx::query_with(AssertSqlSafe(self.text(size)), args.0);
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
        for (size, chunk) in chunks(rows, self.is_filled) {
            let args = Args::of::<T>(size, chunk, &[(self, &bind)]);
            let query = sqlx::query_with(AssertSqlSafe(self.text(size)), args.0);
            found.append(&mut query.fetch_all(&mut *connection).await?);
        }
        Ok(found)
    }

    /// Runs a statement that returns a JSON array over all rows; what is in the arrays.
    pub(crate) async fn fetch_json<T, R: DeserializeOwned>(
        &self,
        connection: &mut SqliteConnection,
        rows: &[T],
        bind: impl Fn(&T, &mut Args),
    ) -> Result<Vec<R>, sqlx::Error> {
        let arrays = self.fetch(connection, rows, bind).await?;
        let mut found = Vec::new();
        for array in &arrays {
            found.append(&mut json_array(array)?);
        }
        Ok(found)
    }
}

/// What a row holds whose only column is a JSON array.
pub(crate) fn json_array<R: DeserializeOwned>(row: &SqliteRow) -> Result<Vec<R>, sqlx::Error> {
    let text: &str = row.try_get(0)?;
    serde_json::from_str(text).map_err(|error| sqlx::Error::Decode(error.into()))
}

/// Adds the values of a row.
pub(crate) type Bind<'a, T> = &'a dyn Fn(&T, &mut Args);

/// Several statements over the same rows, sent together. All of them take rows of nulls.
pub(crate) struct Bundle<const N: usize> {
    shapes: [&'static Shape; N],
    texts: [OnceLock<Arc<str>>; SIZES.len()],
}

impl<const N: usize> Bundle<N> {
    pub(crate) const fn new(shapes: [&'static Shape; N]) -> Bundle<N> {
        Bundle {
            shapes,
            texts: [const { OnceLock::new() }; SIZES.len()],
        }
    }

    fn text(&self, size: usize) -> Arc<str> {
        let build = || {
            self.shapes
                .map(|shape| shape.build(SIZES[size]))
                .join(";\n")
        };
        self.texts[size].get_or_init(|| build().into()).clone()
    }

    /// Runs the statements over all rows, each with its own values of a row; none for a row that a
    /// statement is to leave alone.
    pub(crate) async fn execute<T>(
        &self,
        connection: &mut SqliteConnection,
        rows: &[T],
        bind: [Bind<'_, T>; N],
    ) -> Result<(), sqlx::Error> {
        let parts: Vec<_> = self.shapes.into_iter().zip(bind).collect();
        for (size, chunk) in chunks(rows, true) {
            let args = Args::of(size, chunk, &parts);
            let query = sqlx::query_with(AssertSqlSafe(self.text(size)), args.0);
            query.execute(&mut *connection).await?;
        }
        Ok(())
    }
}

/// The values of one statement, in the order of its question marks.
pub(crate) struct Args(SqliteArguments);

impl Args {
    /// The values of all statements over a chunk that was cut for `size`.
    fn of<T>(size: usize, chunk: &[T], parts: &[(&Shape, Bind<'_, T>)]) -> Args {
        let mut args = Args(SqliteArguments::default());
        for (shape, bind) in parts {
            let (begin, width) = (args.0.len(), shape.width());
            for (row, values) in chunk.iter().enumerate() {
                bind(values, &mut args);
                args.fill(begin + (row + 1) * width);
            }
            args.fill(begin + SIZES[size] * width);
        }
        args
    }

    /// Adds nulls until there are so many values.
    fn fill(&mut self, values: usize) {
        while self.0.len() < values {
            self.add(None::<i64>);
        }
    }

    pub(crate) fn int(&mut self, value: i64) -> &mut Args {
        self.add(value)
    }

    pub(crate) fn maybe_int(&mut self, value: Option<i64>) -> &mut Args {
        self.add(value)
    }

    pub(crate) fn real(&mut self, value: f64) -> &mut Args {
        self.add(value)
    }

    pub(crate) fn maybe_real(&mut self, value: Option<f64>) -> &mut Args {
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

/// Cuts rows into chunks for which there are statements, the largest first, each with the place of its
/// size. What is left for the last may be `filled` up to a size.
fn chunks<T>(mut rows: &[T], filled: bool) -> impl Iterator<Item = (usize, &[T])> {
    std::iter::from_fn(move || {
        let left = rows.len();
        if left == 0 {
            return None;
        }
        let at_least = SIZES
            .iter()
            .position(|&size| size >= left)
            .filter(|_| filled);
        let at_most = || SIZES.iter().rposition(|&size| size <= left);
        let size = at_least.or_else(at_most).expect("one is at most anything");
        let (chunk, rest) = rows.split_at(left.min(SIZES[size]));
        rows = rest;
        Some((size, chunk))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_cut_into_sizes_and_none_is_lost() {
        for (rows, sizes, filled) in [
            (0, vec![], vec![]),
            (1, vec![1], vec![1]),
            (31, vec![24, 6, 1], vec![32]),
            (63, vec![48, 12, 3], vec![64]),
            (64, vec![64], vec![64]),
            (100, vec![64, 32, 4], vec![128]),
            (200, vec![128, 64, 8], vec![128, 128]),
        ] {
            let all: Vec<usize> = (0..rows).collect();
            for (is_filled, expected) in [(false, sizes), (true, filled)] {
                let found: Vec<usize> = chunks(&all, is_filled).map(|(s, _)| SIZES[s]).collect();
                assert_eq!(found, expected, "{rows} rows, filled: {is_filled}");
                let kept = chunks(&all, is_filled).flat_map(|(_, chunk)| chunk);
                assert!(kept.eq(&all));
            }
        }
    }

    #[test]
    fn a_text_repeats_its_row() {
        static SHAPE: Shape = Shape::new("VALUES ", "(?)", "");
        static TWICE: Bundle<2> = Bundle::new([&SHAPE, &SHAPE]);
        assert_eq!(&*SHAPE.text(3), "VALUES (?),(?),(?),(?)");
        assert_eq!(&*SHAPE.text(0), "VALUES (?)");
        assert_eq!(&*TWICE.text(1), "VALUES (?),(?);\nVALUES (?),(?)");
    }

    #[tokio::test]
    async fn rows_of_nulls_fill_a_statement_up() {
        static INSERT: Shape = Shape::filled(
            "INSERT INTO t SELECT * FROM (VALUES ",
            "(?,?)",
            ") WHERE column1 IS NOT NULL",
        );
        static DELETE: Shape = Shape::filled("DELETE FROM t WHERE a IN (", "?", ")");
        static BOTH: Bundle<2> = Bundle::new([&INSERT, &DELETE]);
        static ALL: Shape = Shape::filled(
            "SELECT json_group_array(json_array(a, b)) FROM t WHERE a IN (",
            "?",
            ")",
        );
        use sqlx::Connection;
        let mut connection = SqliteConnection::connect("sqlite::memory:").await.unwrap();
        let create = sqlx::query("CREATE TABLE t (a INTEGER NOT NULL, b TEXT) STRICT");
        create.execute(&mut connection).await.unwrap();
        let rows: Vec<i64> = (0..200).collect();
        let insert = |row: &i64, args: &mut Args| {
            args.int(*row).text("x");
        };
        // Every other row is left alone by the second statement.
        let delete = |row: &i64, args: &mut Args| {
            if row % 2 == 0 {
                args.int(*row);
            }
        };
        BOTH.execute(&mut connection, &rows, [&insert, &delete])
            .await
            .unwrap();
        let found = ALL.fetch_json(&mut connection, &rows, |row, args| {
            args.int(*row);
        });
        let found: Vec<(i64, String)> = found.await.unwrap();
        let odd = (0..100).map(|n| (2 * n + 1, "x".to_owned()));
        assert_eq!(found, odd.collect::<Vec<_>>());
    }
}
