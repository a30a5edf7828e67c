//! How does somebody's own SQL run, and only read?
//!
//! The connection cannot write (`mode=ro`, `query_only`); beyond that, only one statement at a time is
//! taken and only of a kind that reads, so that nobody attaches another file or leaves the connection
//! changed for the next. Rows come one by one, with the types that SQLite gave them.

use std::path::Path;
use std::time::{Duration, Instant};

use futures_util::TryStreamExt;
use sqlx::sqlite::{SqliteRow, SqliteValueRef};
use sqlx::{
    AssertSqlSafe, Column, Executor, Row, SqlSafeStr, Sqlite, SqliteConnection, Statement,
    TypeInfo, ValueRef,
};
use tokio::sync::mpsc;

use crate::{Reader, StoreError};

/// Rows that are read ahead of whoever takes them.
const READ_AHEAD: usize = 64;

/// Instructions of SQLite's machine between two looks at the clock: some tenths of a millisecond.
const STEPS: i32 = 10_000;

/// One value of a row.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Nothing.
    Null,
    /// A whole number.
    Integer(i64),
    /// A number with a fraction.
    Real(f64),
    /// Text; what is no UTF-8 shows as U+FFFD.
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
}

/// The rows of a query, read as they are taken.
#[derive(Debug)]
pub struct Rows {
    columns: Vec<String>,
    rows: mpsc::Receiver<Result<Vec<Value>, StoreError>>,
}

impl Rows {
    /// The names of the columns, known before the first row.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// The next row; `None` after the last.
    ///
    /// # Errors
    /// [`StoreError::BadQuery`] with SQLite's words, after which there are no more rows.
    pub async fn next(&mut self) -> Result<Option<Vec<Value>>, StoreError> {
        self.rows.recv().await.transpose()
    }

    /// All rows that are left.
    ///
    /// # Errors
    /// As [`Rows::next`].
    pub async fn all(mut self) -> Result<Vec<Vec<Value>>, StoreError> {
        let mut all = Vec::new();
        while let Some(row) = self.next().await? {
            all.push(row);
        }
        Ok(all)
    }
}

impl Reader {
    /// Runs one reading statement.
    ///
    /// # Errors
    /// [`StoreError::Refused`] if it is more or something else; [`StoreError::BadQuery`] with SQLite's words
    /// if SQLite does not take it.
    pub async fn query(&self, sql: &str) -> Result<Rows, StoreError> {
        self.query_within(sql, None).await
    }

    /// As [`Reader::query`], ended after a time whether SQLite works or whoever takes the rows does not: a
    /// query that goes on keeps the log of a run from being emptied.
    ///
    /// # Errors
    /// As [`Reader::query`]; [`StoreError::TooLong`] takes the place of the next row.
    pub async fn query_within(
        &self,
        sql: &str,
        limit: Option<Duration>,
    ) -> Result<Rows, StoreError> {
        check(sql)?;
        let deadline = limit.map(|limit| (limit, Instant::now() + limit));
        let path = self.path().to_owned();
        let mut connection = self
            .pool()
            .acquire()
            .await
            .map_err(StoreError::sql(&path))?;
        let text = AssertSqlSafe(sql.to_owned()).into_sql_str();
        let statement = connection.prepare(text).await.map_err(bad_query(&path))?;
        let columns = statement
            .columns()
            .iter()
            .map(|column| column.name().to_owned())
            .collect();
        drop(statement);
        let (sender, rows) = mpsc::channel(READ_AHEAD);
        let sql = sql.to_owned();
        if let Some((_, at)) = deadline {
            let mut handle = connection.lock_handle().await.map_err(bad_query(&path))?;
            handle.set_progress_handler(STEPS, move || Instant::now() < at);
        }
        tokio::spawn(async move {
            let read = read(&path, &sql, &mut connection, &sender);
            let is_late = match deadline {
                None => read.await,
                // The rows are not taken, so that SQLite is not asked to go on and does not look at the time.
                Some((_, at)) => tokio::time::timeout_at(at.into(), read)
                    .await
                    .unwrap_or(true),
            };
            if let Some((limit, _)) = deadline.filter(|_| is_late) {
                let _ = sender.send(Err(StoreError::TooLong { limit })).await;
            }
            if let Ok(mut handle) = connection.lock_handle().await {
                handle.remove_progress_handler();
            }
        });
        Ok(Rows { columns, rows })
    }
}

/// Sends the rows of a statement on; whether it was stopped in between.
async fn read(
    path: &Path,
    sql: &str,
    connection: &mut SqliteConnection,
    sender: &mpsc::Sender<Result<Vec<Value>, StoreError>>,
) -> bool {
    let mut found = sqlx::query(AssertSqlSafe(sql.to_owned()))
        .persistent(false)
        .fetch(&mut *connection);
    loop {
        let row = match found.try_next().await {
            Ok(Some(row)) => Ok(values(&row)),
            Ok(None) => return false,
            Err(error) if is_interrupt(&error) => return true,
            Err(error) => Err(bad_query(path)(error)),
        };
        let is_last = row.is_err();
        if sender.send(row).await.is_err() || is_last {
            return false;
        }
    }
}

/// Whether SQLite ended because the time was over: `SQLITE_INTERRUPT`.
fn is_interrupt(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    code.as_deref() == Some("9")
}

/// Tells queries that are wrong from stores that are.
pub(crate) fn bad_query(path: &Path) -> impl Fn(sqlx::Error) -> StoreError + '_ {
    move |error| {
        let error = StoreError::sql(path)(error);
        if let StoreError::ReadOnly { .. } = error {
            return StoreError::Refused("a query can only read".to_owned());
        }
        if let StoreError::Sql { source, .. } = &error {
            let words = source.as_database_error().map(|error| error.message());
            return StoreError::BadQuery(words.map_or_else(|| source.to_string(), str::to_owned));
        }
        error
    }
}

fn values(row: &SqliteRow) -> Vec<Value> {
    (0..row.len())
        .map(|at| row.try_get_raw(at).map_or(Value::Null, value))
        .collect()
}

fn value(raw: SqliteValueRef<'_>) -> Value {
    use sqlx::Decode;

    if raw.is_null() {
        return Value::Null;
    }
    let kind = raw.type_info().name().to_owned();
    let bytes = |raw| <Vec<u8> as Decode<'_, Sqlite>>::decode(raw).unwrap_or_default();
    match kind.as_str() {
        "INTEGER" => <i64 as Decode<'_, Sqlite>>::decode(raw).map_or(Value::Null, Value::Integer),
        "REAL" => <f64 as Decode<'_, Sqlite>>::decode(raw).map_or(Value::Null, Value::Real),
        "TEXT" => Value::Text(String::from_utf8_lossy(&bytes(raw)).into_owned()),
        _ => Value::Blob(bytes(raw)),
    }
}

/// Refuses what is not one statement that reads, or waits for values that nobody gives it.
pub(crate) fn check(sql: &str) -> Result<(), StoreError> {
    check_statement(sql)?;
    check_parameters(sql)
}

/// Refuses parameters (<https://sqlite.org/lang_expr.html#parameters>): what is not bound is NULL, so that a
/// condition with one silently finds nothing.
pub(crate) fn check_parameters(sql: &str) -> Result<(), StoreError> {
    let code = without_comments(sql);
    let mut before = ' ';
    for c in code.chars() {
        // A name may go on with a dollar sign, and with anything beyond ASCII.
        let is_in_name =
            before.is_ascii_alphanumeric() || matches!(before, '_' | '$') || !before.is_ascii();
        if matches!(c, '?' | ':' | '@') || (c == '$' && !is_in_name) {
            return Err(StoreError::Refused(format!(
                "`{c}` outside of quotes stands for a value that nobody gives; text goes into single quotes"
            )));
        }
        before = c;
    }
    Ok(())
}

/// Refuses what is not one statement that reads.
pub(crate) fn check_statement(sql: &str) -> Result<(), StoreError> {
    let refuse = |why: String| Err(StoreError::Refused(why));
    let code = without_comments(sql);
    let first: String = code
        .trim_start()
        .chars()
        .take_while(char::is_ascii_alphabetic)
        .collect();
    let first = first.to_ascii_uppercase();
    if !matches!(first.as_str(), "SELECT" | "WITH" | "VALUES" | "EXPLAIN") {
        let found = if first.is_empty() {
            "something else".to_owned()
        } else {
            first
        };
        return refuse(format!(
            "a query begins with SELECT, WITH, VALUES or EXPLAIN, not {found}"
        ));
    }
    match code.split_once(';') {
        Some((_, rest))
            if !rest
                .trim_matches(|c: char| c == ';' || c.is_whitespace())
                .is_empty() =>
        {
            refuse("one query at a time".to_owned())
        }
        Some(_) | None => Ok(()),
    }
}

/// The statement with each comment and each quoted text replaced by a space, so that what is left is
/// keywords, names and signs (<https://sqlite.org/lang_comment.html>).
fn without_comments(sql: &str) -> String {
    let mut code = String::new();
    let mut rest = sql;
    while let Some(c) = rest.chars().next() {
        let skipped = match c {
            '-' if rest.starts_with("--") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |at| at + 2),
            '\'' | '"' | '`' => rest[1..].find(c).map_or(rest.len(), |at| at + 2),
            '[' => rest.find(']').map_or(rest.len(), |at| at + 1),
            _ => 0,
        };
        code.push(if skipped > 0 { ' ' } else { c });
        rest = &rest[skipped.max(c.len_utf8())..];
    }
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_one_reading_statement() {
        for (sql, is_taken) in [
            ("SELECT 1", true),
            (" -- why\n select ';' /* ; */ ; -- end", true),
            ("WITH x AS (SELECT 1) SELECT * FROM x;;", true),
            ("SELECT \"a;b\", [c;d], `e;f`, 'it''s; so'", true),
            ("EXPLAIN QUERY PLAN SELECT 1", true),
            ("VALUES (1)", true),
            ("SELECT 1; SELECT 2", false),
            ("SELECT 1; /* x */ DROP TABLE jobs", false),
            ("ATTACH 'x.db' AS x", false),
            ("PRAGMA query_only = 0", false),
            ("INSERT INTO jobs VALUES (1)", false),
            ("/* SELECT */ DELETE FROM jobs", false),
            ("", false),
            ("--", false),
            ("SELECT url FROM results WHERE url = ?", false),
            ("SELECT ?1, 1", false),
            ("SELECT :name", false),
            ("SELECT @name", false),
            ("SELECT 1+$name", false),
            ("SELECT '?' AS \"a:b\", [@], a$b -- ?", true),
            ("SELECT input ->> '$.sku?' FROM results", true),
        ] {
            assert_eq!(check(sql).is_ok(), is_taken, "{sql}");
        }
    }
}
