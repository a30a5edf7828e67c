//! Is this file a store, and may this program write it?
//!
//! The file's own header is read before SQLite is let near it, so that whatever turns out to be something
//! else is left exactly as it was. A new store is built under another name and linked into place when
//! it is complete: there is no moment at which half a store can be found.

use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use neap_core::job::Durability;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, SqliteConnection};

use crate::StoreError;
use crate::checkpoint::truncate;
use crate::fingerprint::Fingerprinter;
use crate::lock::{RunLock, take};
use crate::migrate::{APPLICATION_ID, KNOWN_VERSION, MIGRATIONS, migrate, version};
use crate::ownership::refuse_segments;
use crate::place::{clear_log, place_new, refuse_log};
use crate::unfinished::{Unfinished, sweep};
use crate::values::PREPARED_STATEMENTS;

/// The oldest SQLite that is used: earlier ones can damage a database when a write-ahead log is reset
/// while another connection reads (<https://sqlite.org/wal.html#walresetbug>).
pub const OLDEST_SQLITE: &str = "3.51.3";

/// How long a connection waits for another one that writes. The longest transaction is that of a submission
/// without a run, some 32,768 rows on as many pages: seconds on a slow disk. A migration may take longer.
const BUSY_TIMEOUT: Duration = Duration::from_secs(60);

/// Whether a store is created where there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// A missing or empty file becomes a store.
    Create,
    /// Only what is there is opened.
    Existing,
}

/// A store that can be written.
#[derive(Clone)]
pub struct SqliteStore {
    path: PathBuf,
    pub(crate) fingerprinter: Fingerprinter,
    /// Whether there was nothing before it was opened.
    is_new: bool,
}

impl std::fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The key stays out of logs.
        f.debug_struct("SqliteStore")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl SqliteStore {
    /// Opens the store at `path`, migrating it if an earlier neap wrote it.
    ///
    /// # Errors
    /// The variant says why it cannot be opened; unless it is about the file system, the file is as it
    /// was before.
    pub async fn open(path: &Path, access: Access) -> Result<SqliteStore, StoreError> {
        check_sqlite().await?;
        let is_new = !path.exists();
        match (inspect(path), access) {
            (Ok(()), _) => sweep(path),
            (Err(StoreError::Missing { .. } | StoreError::Empty { .. }), Access::Create) => {
                create(path).await?;
            }
            (Err(error), _) => return Err(error),
        }
        let mut connection = connect(path, Durability::Full).await?;
        let found = version(&mut connection)
            .await
            .map_err(StoreError::sql(path))?;
        if found > KNOWN_VERSION {
            return Err(newer(path, found));
        }
        if found < KNOWN_VERSION {
            // A run of the older neap may go on, whose tables must not change under it.
            let _lock = take(path).await?;
            migrate(&mut connection, MIGRATIONS)
                .await
                .map_err(StoreError::sql(path))?;
        }
        let fingerprinter = read_key(&mut connection, path).await?;
        connection.close().await.map_err(StoreError::sql(path))?;
        Ok(SqliteStore {
            path: path.to_owned(),
            fingerprinter,
            is_new,
        })
    }

    /// Removes the store if this is who created it and nothing was ever submitted to it.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read or removed.
    pub async fn remove_unused(self, lock: RunLock) -> Result<(), StoreError> {
        if !self.is_new {
            return Ok(());
        }
        // Nobody submits from here on: who waits for the lock finds no store.
        let submitting = self.open_submit_lock()?;
        if submitting.try_lock().is_err() || self.is_used().await? {
            return Ok(());
        }
        for suffix in ["", "-wal", "-shm", ".submit", ".lock"] {
            let path = beside(&self.path, suffix);
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(StoreError::io(&path)(error));
                }
                Ok(()) | Err(_) => {}
            }
        }
        drop((submitting, lock));
        Ok(())
    }

    async fn is_used(&self) -> Result<bool, StoreError> {
        let sql = || StoreError::sql(&self.path);
        let mut connection = self.connect().await?;
        let is_used = sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM jobs) OR EXISTS (SELECT 1 FROM drafts) OR EXISTS (SELECT 1 FROM runs)",
        )
        .fetch_one(&mut connection)
        .await
        .map_err(sql())?;
        connection.close().await.map_err(sql())?;
        Ok(is_used)
    }

    /// The version of the store at `path`, which is left as it is: [`STORE_VERSION`](crate::STORE_VERSION) if
    /// this program wrote it.
    ///
    /// # Errors
    /// As [`SqliteStore::open`].
    pub async fn version_at(path: &Path) -> Result<i64, StoreError> {
        inspect(path)?;
        let options = SqliteConnectOptions::new().filename(path).read_only(true);
        let sql = || StoreError::sql(path);
        let mut connection = options.connect().await.map_err(sql())?;
        let found = version(&mut connection).await.map_err(sql())?;
        connection.close().await.map_err(sql())?;
        Ok(found)
    }

    /// The database file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A connection of its own that may write; whatever it commits survives a power cut.
    pub(crate) async fn connect(&self) -> Result<SqliteConnection, StoreError> {
        connect(&self.path, Durability::Full).await
    }

    /// A connection for the writer of a run.
    pub(crate) async fn connect_writer(
        &self,
        durability: Durability,
    ) -> Result<SqliteConnection, StoreError> {
        connect(&self.path, durability).await
    }
}

/// Checks what a file is without changing it.
pub(crate) fn inspect(path: &Path) -> Result<(), StoreError> {
    /// Start of every SQLite database, and where its header keeps two numbers
    /// (<https://sqlite.org/fileformat.html>, section 1.3).
    const MAGIC: &[u8] = b"SQLite format 3\0";
    const USER_VERSION_AT: usize = 60;
    const APPLICATION_ID_AT: usize = 68;

    // Opening a pipe would wait for its other end, and a new store would take a device's place.
    if std::fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        return Err(StoreError::NotFile {
            path: path.to_owned(),
        });
    }
    let mut header = Vec::new();
    match std::fs::File::open(path) {
        Ok(file) => file
            .take(100)
            .read_to_end(&mut header)
            .map_err(StoreError::io(path))?,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Err(StoreError::Missing {
                path: path.to_owned(),
            });
        }
        Err(error) => return Err(StoreError::io(path)(error)),
    };
    if header.is_empty() {
        return Err(StoreError::Empty {
            path: path.to_owned(),
        });
    }
    if header.len() < 100 || !header.starts_with(MAGIC) {
        return Err(StoreError::NotSqlite {
            path: path.to_owned(),
        });
    }
    let number = |at: usize| {
        let bytes = header[at..at + 4]
            .try_into()
            .expect("four bytes of a hundred");
        i64::from(i32::from_be_bytes(bytes))
    };
    if number(APPLICATION_ID_AT) != APPLICATION_ID {
        return Err(StoreError::Foreign {
            path: path.to_owned(),
        });
    }
    if number(USER_VERSION_AT) > KNOWN_VERSION {
        return Err(newer(path, number(USER_VERSION_AT)));
    }
    Ok(())
}

/// Builds a store under another name and gives it its own once it is complete.
async fn create(path: &Path) -> Result<(), StoreError> {
    // Before anything is written: what is not the new store's own is told at once.
    refuse_log(path)?;
    refuse_segments(path)?;
    let draft = Unfinished::begin(path).map_err(StoreError::io(path))?;
    let sql = StoreError::sql(path);
    let built = async {
        let options = SqliteConnectOptions::new()
            .filename(draft.path())
            .create_if_missing(true)
            // It never changes its journal, so that no power cut leaves one that only a writer can undo.
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full);
        let mut connection = options.connect().await?;
        migrate(&mut connection, MIGRATIONS).await?;
        let key = data_encoding::HEXLOWER.encode(uuid::Uuid::new_v4().as_bytes());
        sqlx::query("INSERT INTO store_meta (name, value) VALUES ('fingerprint_key', ?)")
            .bind(key)
            .execute(&mut connection)
            .await?;
        // All of it must be in the one file that gets the name; closing would not say if it failed.
        truncate(&mut connection).await?;
        connection.close().await
    };
    built.await.map_err(sql)?;
    place(draft.path(), path).await
}

/// Gives a complete draft its name, unless another process was faster. Meanwhile nobody else does so, and no run
/// goes on: one whose store was moved away writes to the log of that name.
async fn place(draft: &Path, path: &Path) -> Result<(), StoreError> {
    let io = || StoreError::io(path);
    let is_there = || std::fs::metadata(path).is_ok_and(|found| found.len() > 0);
    std::fs::File::open(draft)
        .and_then(|draft| draft.sync_all())
        .map_err(io())?;
    let _lock = match take(path).await {
        Ok(lock) => lock,
        Err(StoreError::Held { .. }) if is_there() => return Ok(()),
        Err(error) => return Err(error),
    };
    if is_there() {
        return Ok(());
    }
    clear_log(path)?;
    refuse_segments(path)?;
    let placed = if path.exists() {
        std::fs::rename(draft, path)
    } else {
        place_new(draft, path)
    };
    placed.and_then(|()| sync_directory(path)).map_err(io())
}

/// Makes the name of a new file as durable as its content.
pub(crate) fn sync_directory(file: &Path) -> std::io::Result<()> {
    let directory = match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    };
    std::fs::File::open(directory)?.sync_all()
}

/// A path with something added to its last part.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(suffix);
    path.with_file_name(name)
}

async fn connect(path: &Path, durability: Durability) -> Result<SqliteConnection, StoreError> {
    let synchronous = match durability {
        // The log is flushed at each commit.
        Durability::Full => SqliteSynchronous::Full,
        // The log is flushed before it goes back into the database; that keeps the database whole.
        Durability::Normal => SqliteSynchronous::Normal,
    };
    SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(synchronous)
        .busy_timeout(BUSY_TIMEOUT)
        .foreign_keys(false)
        .pragma("cache_size", "-65536")
        .pragma("temp_store", "MEMORY")
        .pragma("wal_autocheckpoint", "0")
        .statement_cache_capacity(PREPARED_STATEMENTS)
        .disable_statement_logging()
        .connect()
        .await
        .map_err(StoreError::sql(path))
}

async fn check_sqlite() -> Result<(), StoreError> {
    let memory = Path::new(":memory:");
    let sql = || StoreError::sql(memory);
    let mut connection = SqliteConnection::connect("sqlite::memory:")
        .await
        .map_err(sql())?;
    let found: String = sqlx::query_scalar("SELECT sqlite_version()")
        .fetch_one(&mut connection)
        .await
        .map_err(sql())?;
    connection.close().await.map_err(sql())?;
    if version_numbers(&found) < version_numbers(OLDEST_SQLITE) {
        return Err(StoreError::SqliteTooOld {
            found,
            needed: OLDEST_SQLITE,
        });
    }
    Ok(())
}

fn version_numbers(version: &str) -> Vec<u32> {
    version
        .split('.')
        .map(|part| part.parse().unwrap_or(0))
        .collect()
}

/// Reads the key of a store's fingerprints.
pub(crate) async fn read_key(
    connection: &mut SqliteConnection,
    path: &Path,
) -> Result<Fingerprinter, StoreError> {
    let key: String =
        sqlx::query_scalar("SELECT value FROM store_meta WHERE name = 'fingerprint_key'")
            .fetch_one(connection)
            .await
            .map_err(StoreError::sql(path))?;
    let key = data_encoding::HEXLOWER.decode(key.as_bytes()).ok();
    let key = key.and_then(|key| <[u8; 16]>::try_from(key).ok());
    let broken = || StoreError::Unexpected("the fingerprint key is not 16 bytes".to_owned());
    Ok(Fingerprinter::new(key.ok_or_else(broken)?))
}

pub(crate) fn newer(path: &Path, version: i64) -> StoreError {
    StoreError::Newer {
        path: path.to_owned(),
        version,
        known: KNOWN_VERSION,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_older_store_is_migrated_unless_a_run_holds_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("neap.db");
        let mut connection = connect_new(&path).await;
        migrate(&mut connection, &MIGRATIONS[..1]).await.unwrap();
        sqlx::raw_sql(
            "INSERT INTO store_meta VALUES ('fingerprint_key', '000102030405060708090a0b0c0d0e0f');
             INSERT INTO pages (request_id, status, fetched_ms, body_bytes) VALUES (1, 200, 0, 5);",
        )
        .execute(&mut connection)
        .await
        .unwrap();
        connection.close().await.unwrap();

        let lock = take(&path).await.unwrap();
        let held = SqliteStore::open(&path, Access::Existing).await;
        assert!(matches!(held, Err(StoreError::Held { .. })), "{held:?}");
        assert_eq!(SqliteStore::version_at(&path).await.unwrap(), 1);
        drop(lock);
        SqliteStore::open(&path, Access::Existing).await.unwrap();
        assert_eq!(SqliteStore::version_at(&path).await.unwrap(), KNOWN_VERSION);
        let mut connection = connect_new(&path).await;
        let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM pages WHERE payload_sha1 IS NULL")
            .fetch_one(&mut connection)
            .await
            .unwrap();
        assert_eq!(rows, 1);
    }

    #[tokio::test]
    async fn faults_of_an_older_store_get_the_words_of_today_and_are_blamed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("neap.db");
        let mut connection = connect_new(&path).await;
        migrate(&mut connection, &MIGRATIONS[..4]).await.unwrap();
        sqlx::raw_sql(
            "INSERT INTO store_meta VALUES ('fingerprint_key', '000102030405060708090a0b0c0d0e0f');
             INSERT INTO jobs (job_id, name, round, spec, scope_roots, submitted_ms, failed)
               VALUES (1, 'shop', 1, '{}', '[]', 0, 1);
             INSERT INTO hosts (host_id, name, partition, attempts, ok) VALUES (1, 'http://a.example', 0, 4, 1);
             INSERT INTO runs (epoch, node, pid, started_ms) VALUES (1, 'n', 1, 0);
             INSERT INTO requests (request_id, job_id, host_id, fingerprint, state, cause, url)
               VALUES (1, 1, 1, 1, 3, 'http_502', 'http://a.example/');
             INSERT INTO attempts (request_id, host_id, epoch, number, started_ms, status, outcome, cause, fault,
                 is_charged)
               VALUES (1, 1, 1, 1, 0, 401, 3, 'http_401', 'credentials', 1),
                 (1, 1, 1, 2, 0, NULL, 10, 'lost', 'own', 0), (1, 1, 1, 3, 0, 200, 0, NULL, NULL, 1),
                 (1, 1, 1, 4, 0, 502, 6, 'http_502', 'host', 1);",
        )
        .execute(&mut connection)
        .await
        .unwrap();
        connection.close().await.unwrap();
        SqliteStore::open(&path, Access::Existing).await.unwrap();
        let reader = crate::Reader::open(&path).await.unwrap();
        let check = reader.check(true).await.unwrap();
        assert_eq!(check.findings, []);
        let mut connection = connect_new(&path).await;
        let blame = "SELECT cause, fault, attempts, pages_lost FROM blame ORDER BY cause";
        let blame: Vec<(String, String, i64, i64)> = sqlx::query_as(blame)
            .fetch_all(&mut connection)
            .await
            .unwrap();
        let row = |cause: &str, fault: &str| (cause.to_owned(), fault.to_owned(), 1, 1);
        assert_eq!(
            blame,
            [
                row("http_401", "own_credentials"),
                row("http_502", "host"),
                row("lost", "own_network"),
            ]
        );
        // Without proxies every gateway is the host's.
        let gateways =
            "SELECT answers, by_host, by_proxy, by_unknown, proxy_faults FROM bad_gateways";
        let gateways: Vec<(i64, i64, i64, i64, i64)> = sqlx::query_as(gateways)
            .fetch_all(&mut connection)
            .await
            .unwrap();
        assert_eq!(gateways, [(1, 1, 0, 0, 0)]);
        let health: (i64, f64) = sqlx::query_as("SELECT attempts, ok_share FROM host_health")
            .fetch_one(&mut connection)
            .await
            .unwrap();
        assert_eq!(health, (4, 0.25));
    }

    async fn connect_new(path: &Path) -> SqliteConnection {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .foreign_keys(false);
        options.create_if_missing(true).connect().await.unwrap()
    }

    #[tokio::test]
    async fn the_linked_sqlite_is_new_enough() {
        check_sqlite().await.unwrap();
        assert!(version_numbers("3.40.1") < version_numbers(OLDEST_SQLITE));
        assert!(version_numbers("3.100.0") > version_numbers(OLDEST_SQLITE));
    }
}
