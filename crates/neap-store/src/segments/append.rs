//! How do records get to a segment file, and when is that safe?
//!
//! Appended while the transaction is open, flushed before it is committed, and only then pointed at: a
//! crash leaves at most a tail that belongs to nothing, which the next run cuts off.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::PathBuf;

use neap_core::Epoch;
use sqlx::SqliteConnection;

use super::owner::Owner;
use super::warc::{Records, warcinfo};
use crate::StoreError;
use crate::commit::Trouble;
use crate::now;
use crate::open::sync_directory;

/// Where a response is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) segment: i64,
    pub(crate) offset: u64,
    pub(crate) bytes: usize,
}

/// Appends records to the segments of one run.
pub(crate) struct SegmentWriter {
    directory: PathBuf,
    owner: Owner,
    limit_bytes: u64,
    written: u32,
    open: Option<OpenSegment>,
}

struct OpenSegment {
    id: i64,
    path: PathBuf,
    file: File,
    bytes: u64,
    is_flushed: bool,
}

impl SegmentWriter {
    /// `store_id` is that of the store, whose run `epoch` is.
    pub(crate) fn new(
        directory: PathBuf,
        store_id: String,
        epoch: Epoch,
        limit_bytes: u64,
    ) -> SegmentWriter {
        SegmentWriter {
            directory,
            owner: Owner {
                store_id,
                epoch: epoch.0,
                has_ended: false,
            },
            limit_bytes,
            written: 0,
            open: None,
        }
    }

    /// Appends the records of one exchange, to a new file if the current one is full: a file is larger than
    /// its limit by those of one page at most.
    pub(crate) async fn append(
        &mut self,
        connection: &mut SqliteConnection,
        records: &Records,
        metadata: Option<&[u8]>,
    ) -> Result<Place, Trouble> {
        if self
            .open
            .as_ref()
            .is_some_and(|open| open.bytes >= self.limit_bytes)
        {
            self.seal(connection).await?;
        }
        let open = match self.open.take() {
            Some(open) => open,
            None => self.begin(connection).await?,
        };
        let open = self.open.insert(open);
        let offset = open.bytes;
        open.append(&records.bytes)?;
        if let Some(metadata) = metadata {
            open.append(metadata)?;
        }
        Ok(Place {
            segment: open.id,
            offset,
            bytes: records.first_bytes,
        })
    }

    /// Makes all that was appended durable and notes how long the file is. To be called before each
    /// commit.
    pub(crate) async fn flush(&mut self, connection: &mut SqliteConnection) -> Result<(), Trouble> {
        let Some(open) = self.open.as_mut().filter(|open| !open.is_flushed) else {
            return Ok(());
        };
        open.file.sync_data().map_err(StoreError::io(&open.path))?;
        open.is_flushed = true;
        sqlx::query("UPDATE segments SET file_bytes = ? WHERE segment_id = ?")
            .bind(open.bytes.cast_signed())
            .bind(open.id)
            .execute(connection)
            .await?;
        Ok(())
    }

    /// Flushes and closes the current file; nothing is appended to it any more.
    pub(crate) async fn seal(&mut self, connection: &mut SqliteConnection) -> Result<(), Trouble> {
        self.flush(connection).await?;
        let Some(open) = self.open.take() else {
            return Ok(());
        };
        sqlx::query("UPDATE segments SET sealed_ms = ? WHERE segment_id = ?")
            .bind(now().0)
            .bind(open.id)
            .execute(connection)
            .await?;
        Ok(())
    }

    async fn begin(&mut self, connection: &mut SqliteConnection) -> Result<OpenSegment, Trouble> {
        self.written += 1;
        let name = format!("neap-{:06}-{:05}.warc.gz", self.owner.epoch, self.written);
        let path = self.directory.join(&name);
        self.make_directory()?;
        // Epochs are never used twice, so that nothing has this name; if something does, it is not ours.
        let file = File::create_new(&path).map_err(StoreError::io(&path))?;
        sync_directory(&path).map_err(StoreError::io(&path))?;
        let id = sqlx::query_scalar(
            "INSERT INTO segments (file, epoch, file_bytes) VALUES (?, ?, 0) RETURNING segment_id",
        )
        .bind(&name)
        .bind(self.owner.epoch)
        .fetch_one(connection)
        .await?;
        let mut open = OpenSegment {
            id,
            path,
            file,
            bytes: 0,
            is_flushed: false,
        };
        open.append(&warcinfo(&name, now()))?;
        Ok(open)
    }

    /// Makes the directory of the segments, its name as durable as what will lie in it, and tells whose they are.
    fn make_directory(&self) -> Result<(), StoreError> {
        let io = || StoreError::io(&self.directory);
        match std::fs::create_dir(&self.directory) {
            Ok(()) => sync_directory(&self.directory).map_err(io())?,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(io()(error)),
        }
        match Owner::read(&self.directory).map_err(io())? {
            Some(owner) if owner.store_id == self.owner.store_id => Ok(()),
            Some(_) => Err(StoreError::OtherSegments {
                directory: self.directory.clone(),
            }),
            None => self.owner.write(&self.directory).map_err(io()),
        }
    }

    /// Tells that the run is over, after all that it wrote is durable.
    pub(crate) fn sign_off(self) -> Result<(), StoreError> {
        if !self.directory.exists() {
            return Ok(());
        }
        let owner = Owner {
            has_ended: true,
            ..self.owner
        };
        owner
            .write(&self.directory)
            .map_err(StoreError::io(&self.directory))
    }
}

impl OpenSegment {
    fn append(&mut self, bytes: &[u8]) -> Result<(), Trouble> {
        self.is_flushed = false;
        self.file
            .write_all(bytes)
            .map_err(StoreError::io(&self.path))?;
        self.bytes += bytes.len() as u64;
        Ok(())
    }
}
