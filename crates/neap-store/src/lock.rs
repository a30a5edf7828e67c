//! Who works on this store?
//!
//! One run at a time holds a lock on `<store>.lock`. The kernel lets go of it when the process dies, however
//! it dies; what is written in the file is for people.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Write};
use std::path::Path;

use neap_core::UnixMs;
use sqlx::Connection;

use crate::open::beside;
use crate::{SqliteStore, StoreError, rfc3339};

/// The right to run on a store; held until it is dropped or the process ends.
#[derive(Debug)]
pub struct RunLock {
    file: File,
}

impl SqliteStore {
    /// Takes the lock for a run that starts at `now`.
    ///
    /// # Errors
    /// [`StoreError::Held`] with what the other run says about itself.
    pub async fn lock(&self, now: UnixMs) -> Result<RunLock, StoreError> {
        let lock = take(self.path()).await?;
        let epoch = format!("epoch {}", self.next_epoch().await?);
        lock.sign(self.path(), &epoch, now)
    }

    /// Takes the same lock for a command that moves or removes what a run would need; `what` names it.
    ///
    /// # Errors
    /// [`StoreError::Held`] with what the holder says about itself.
    pub async fn lock_for(&self, what: &str, now: UnixMs) -> Result<RunLock, StoreError> {
        take(self.path()).await?.sign(self.path(), what, now)
    }

    /// The epoch that the next run will have; sure only while the lock is held.
    async fn next_epoch(&self) -> Result<i64, StoreError> {
        let mut connection = self.connect().await?;
        let sql = || StoreError::sql(self.path());
        let epoch = sqlx::query_scalar("SELECT coalesce(max(epoch), 0) + 1 FROM runs")
            .fetch_one(&mut connection)
            .await
            .map_err(sql())?;
        connection.close().await.map_err(sql())?;
        Ok(epoch)
    }
}

/// Tries to lock, again for a moment: whoever looks whether a run died holds the lock that long.
async fn try_for_a_moment(file: &File) -> Result<(), TryLockError> {
    for _ in 0..10 {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
            answer @ (Ok(()) | Err(TryLockError::Error(_))) => return answer,
        }
    }
    file.try_lock()
}

/// Takes the lock of the store at `path`, unless somebody has it.
pub(crate) async fn take(path: &Path) -> Result<RunLock, StoreError> {
    let lock = beside(path, ".lock");
    let io = || StoreError::io(&lock);
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    let mut file = options.open(&lock).map_err(io())?;
    match try_for_a_moment(&file).await {
        Ok(()) => Ok(RunLock { file }),
        Err(TryLockError::WouldBlock) => Err(StoreError::Held {
            path: path.to_owned(),
            holder: read_holder(&mut file),
        }),
        Err(TryLockError::Error(error)) => Err(io()(error)),
    }
}

/// Whether a run, or a command that keeps runs away, holds the lock of the store at `path`.
pub(crate) fn is_held(path: &Path) -> bool {
    let file = match File::open(beside(path, ".lock")) {
        Ok(file) => file,
        Err(error) => return error.kind() != ErrorKind::NotFound,
    };
    // Shared, so that those who ask do not see each other; who cannot know, takes care.
    file.try_lock_shared().is_err()
}

impl RunLock {
    /// Writes down who has it.
    fn sign(mut self, path: &Path, what: &str, now: UnixMs) -> Result<RunLock, StoreError> {
        let line = format!(
            "{what}, process {}, on {}, since {}\n",
            std::process::id(),
            node(),
            rfc3339(now),
        );
        self.file
            .set_len(0)
            .and_then(|()| self.file.write_all(line.as_bytes()))
            .map_err(StoreError::io(&beside(path, ".lock")))?;
        Ok(self)
    }
}

/// What the holder wrote, in one printable line.
fn read_holder(file: &mut File) -> String {
    /// Longest line that is shown, in bytes.
    const MOST: u64 = 200;
    let mut bytes = Vec::new();
    let read = file.take(MOST).read_to_end(&mut bytes);
    let text = String::from_utf8_lossy(&bytes);
    let line: String = text.trim().chars().filter(|c| !c.is_control()).collect();
    if read.is_err() || line.is_empty() {
        "it does not say which".to_owned()
    } else {
        line
    }
}

/// The name of this machine, for people.
pub(crate) fn node() -> String {
    let name = std::fs::read_to_string(Path::new("/proc/sys/kernel/hostname"));
    let name = name
        .ok()
        .or_else(|| std::env::var("HOSTNAME").ok())
        .unwrap_or_default();
    let name = name.trim();
    if name.is_empty() {
        "an unnamed machine".to_owned()
    } else {
        name.to_owned()
    }
}
