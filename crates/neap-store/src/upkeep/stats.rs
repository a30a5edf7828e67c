//! What takes how much room?

use std::path::Path;

use sqlx::{AssertSqlSafe, Row};

use crate::open::beside;
use crate::{Reader, StoreError};

/// What a part of the store is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PartKind {
    /// A table, without its indexes.
    Table,
    /// An index.
    Index,
    /// Pages of the database that hold nothing.
    Free,
    /// The write-ahead log.
    Log,
    /// Segment files.
    Segments,
}

impl PartKind {
    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            PartKind::Table => "table",
            PartKind::Index => "index",
            PartKind::Free => "free",
            PartKind::Log => "log",
            PartKind::Segments => "segments",
        }
    }
}

/// A part of the store and its size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its name in the schema, or that of a file.
    pub name: String,
    /// What it is.
    pub kind: PartKind,
    /// The table that an index belongs to.
    pub table: Option<String>,
    /// Rows of a table or index, segment files; `None` for what has none.
    pub rows: Option<u64>,
    /// Bytes that it takes on disk.
    pub bytes: u64,
}

impl Part {
    /// Bytes for each row, if there are any.
    pub fn bytes_per_row(&self) -> Option<f64> {
        let rows = self.rows.filter(|rows| *rows > 0)?;
        Some(self.bytes as f64 / rows as f64)
    }
}

impl Reader {
    /// The parts of the store, the largest of each kind first. Reads the whole database once.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    pub async fn stats(&self) -> Result<Vec<Part>, StoreError> {
        let mut parts = self.schema_parts().await?;
        parts.extend(self.free_pages().await?);
        parts.push(Part {
            name: file_name(&beside(self.path(), "-wal")),
            kind: PartKind::Log,
            table: None,
            rows: None,
            bytes: std::fs::metadata(beside(self.path(), "-wal")).map_or(0, |found| found.len()),
        });
        parts.push(self.segment_files().await?);
        parts.sort_by_key(|part| (part.kind, std::cmp::Reverse(part.bytes)));
        Ok(parts)
    }

    /// Tables and indexes, with their sizes from SQLite's `dbstat`.
    async fn schema_parts(&self) -> Result<Vec<Part>, StoreError> {
        let sql = || StoreError::sql(self.path());
        let rows = sqlx::query(
            "SELECT d.name, m.type, m.tbl_name, d.pgsize FROM dbstat d LEFT JOIN sqlite_schema m ON m.name = d.name WHERE d.aggregate = TRUE",
        )
        .fetch_all(self.pool())
        .await
        .map_err(sql())?;
        let mut parts = Vec::with_capacity(rows.len());
        for row in rows {
            let name: String = row.get(0);
            let is_index = row.get::<Option<&str>, _>(1) == Some("index");
            let table: Option<String> = row.get(2);
            parts.push(Part {
                rows: Some(
                    self.rows_of(&name, is_index.then_some(table.as_deref()).flatten())
                        .await?,
                ),
                kind: if is_index {
                    PartKind::Index
                } else {
                    PartKind::Table
                },
                table: table.filter(|_| is_index),
                bytes: row.get::<i64, _>(3).unsigned_abs(),
                name,
            });
        }
        Ok(parts)
    }

    /// Rows of a table, or entries of an index of `table`, whose condition may leave some out.
    async fn rows_of(&self, name: &str, table: Option<&str>) -> Result<u64, StoreError> {
        let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
        let sql = || StoreError::sql(self.path());
        let text = match table {
            None => format!("SELECT count(*) FROM {}", quoted(name)),
            Some(table) => {
                let index: Option<String> =
                    sqlx::query_scalar("SELECT sql FROM sqlite_schema WHERE name = ?")
                        .bind(name.to_owned())
                        .fetch_one(self.pool())
                        .await
                        .map_err(sql())?;
                // What stands behind WHERE was written by a migration of neap.
                let condition = index
                    .as_deref()
                    .and_then(|index| index.split_once(" WHERE "));
                let condition = condition.map_or("TRUE", |(_, condition)| condition);
                format!("SELECT count(*) FROM {} WHERE {condition}", quoted(table))
            }
        };
        let rows: i64 = sqlx::query_scalar(AssertSqlSafe(text))
            .fetch_one(self.pool())
            .await
            .map_err(sql())?;
        Ok(rows.unsigned_abs())
    }

    async fn free_pages(&self) -> Result<Option<Part>, StoreError> {
        let pages: i64 = sqlx::query_scalar(
            "SELECT freelist_count * page_size FROM pragma_freelist_count, pragma_page_size",
        )
        .fetch_one(self.pool())
        .await
        .map_err(StoreError::sql(self.path()))?;
        Ok((pages > 0).then(|| Part {
            name: file_name(self.path()),
            kind: PartKind::Free,
            table: None,
            rows: None,
            bytes: pages.unsigned_abs(),
        }))
    }

    async fn segment_files(&self) -> Result<Part, StoreError> {
        let rows = sqlx::query("SELECT file, file_bytes FROM segments")
            .fetch_all(self.pool())
            .await
            .map_err(StoreError::sql(self.path()))?;
        let own = self.shelves().own();
        let files = rows
            .iter()
            .filter(|row| own.join(row.get::<&str, _>(0)).exists());
        let bytes: Vec<u64> = files
            .map(|row| row.get::<i64, _>(1).unsigned_abs())
            .collect();
        Ok(Part {
            name: file_name(own),
            kind: PartKind::Segments,
            table: None,
            rows: Some(bytes.len() as u64),
            bytes: bytes.iter().sum(),
        })
    }
}

fn file_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}
