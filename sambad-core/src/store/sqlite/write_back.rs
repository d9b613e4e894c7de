//! Writes the WAL back into the database: when it is long enough, and never in silence when the disk fails at it.
//!
//! SQLite would do it by itself after a COMMIT, and keep to itself what became of it. That loses data when the fsync of the
//! database fails: a write-back that a reader cut short counts as done without an fsync of its own; if the fsync of the next
//! one fails, and the kernel drops what it could not write, SQLite does not copy the first part again. Only the first
//! connection to a file reads the WAL from its beginning, so that the core ends there and then.
//!
//! Source: SQLite `wal.c`, `walCheckpoint` (`nBackfill`); "Can Applications Recover from fsync Failures?", Rebello et al.,
//! USENIX ATC 2020.

use std::time::{Duration, Instant};

use sqlx::Row as _;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::identity::extended_code;
use super::{Writer, failed};
use crate::store::WriteBackError;

/// Pages in the WAL that are not written back yet, after which they are: 4 MiB, as SQLite itself would.
const WRITE_BACK_PAGES: u64 = 1000;
const PAGE_BYTES: u64 = 4096;
/// Time before a write-back that failed is tried again.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// Least time between two waits for readers.
const RESTART_PAUSE: Duration = Duration::from_secs(1);

/// SQLite's `SQLITE_IOERR_FSYNC`.
const IOERR_FSYNC: i32 = 1034;

/// Ends a transaction and tells what is in the WAL then, in one trip to SQLite's thread.
const COMMIT: &str = "commit; pragma wal_checkpoint(noop)";
const PASSIVE: &str = "pragma wal_checkpoint(passive)";
/// Waits for an instant in which no reader uses the WAL, so that it can begin anew: readers who begin meanwhile read the file
/// itself, and those who began before are gone within their page. A reader that stays, such as a backup, is not waited for.
/// Three statements with a row each.
const RESTART: &str = "pragma busy_timeout = 100; pragma wal_checkpoint(restart); pragma busy_timeout = 5000";
/// As that one, and the WAL's file is empty then.
const TRUNCATE: &str = "pragma busy_timeout = 100; pragma wal_checkpoint(truncate)";

/// What `pragma wal_checkpoint` tells of the WAL.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wal {
    /// Readers, or another process, kept it from doing all that it was asked for.
    busy: bool,
    pages: u64,
    written_back: u64,
}

impl Wal {
    fn of(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        // -1 when another process is writing it back.
        let pages = |column| row.try_get::<i64, _>(column).map(|pages| u64::try_from(pages).unwrap_or(0));
        Ok(Self { busy: row.try_get(0)?, pages: pages(1)?, written_back: pages(2)? })
    }
}

/// Ends the transaction. An error does not tell whether it was committed.
pub(super) async fn commit(connection: &mut SqliteConnection) -> Result<Wal, sqlx::Error> {
    Wal::of(&sqlx::query(COMMIT).fetch_one(connection).await?)
}

impl Writer {
    /// Whether the WAL is long enough to be written back.
    pub(crate) fn write_back_is_due(&self) -> bool {
        // What a reader that stays kept from being written back is not tried again at once, or nothing else would be done. A
        // WAL that is shorter than at the last try has begun anew since.
        let tried = if self.tried_pages <= self.wal.pages { self.tried_pages } else { 0 };
        let since = self.wal.written_back.max(tried);
        self.wal.pages.saturating_sub(since) >= WRITE_BACK_PAGES && self.write_back_at <= Instant::now()
    }

    /// Writes the WAL back, as far as readers let it; when it has outgrown its bound, waits for them.
    ///
    /// Readers who overlap without end would keep it from beginning anew, and so let it grow without end. After one that
    /// stayed, none is waited for during a second: batches wait as well meanwhile.
    ///
    /// # Errors
    /// After [`WriteBackError::DiskFailed`] the connection is as it was, for the writer to be abandoned.
    pub(crate) async fn write_back(&mut self) -> Result<(), WriteBackError> {
        let now = Instant::now();
        self.write_back_at = now + RETRY_PAUSE;
        let mut connection = self.take_connection().await?;
        let written = self.write_back_by(&mut connection, now).await;
        if !matches!(written, Err(WriteBackError::Failed(_))) {
            self.keep_connection(connection);
        }
        written?;
        self.write_back_at = now;
        Ok(())
    }

    async fn write_back_by(&mut self, connection: &mut SqliteConnection, now: Instant) -> Result<(), WriteBackError> {
        let row = sqlx::query(PASSIVE).fetch_one(&mut *connection).await.map_err(write_back_failed)?;
        self.wal = Wal::of(&row).map_err(failed)?;
        self.tried_pages = self.wal.pages;
        if self.wal.pages * PAGE_BYTES > self.wal_bytes_max && self.restart_at <= now {
            let rows = sqlx::query(RESTART).fetch_all(connection).await.map_err(write_back_failed)?;
            let restarted = rows.get(1).map(Wal::of).transpose().map_err(failed)?.unwrap_or_default();
            if restarted.busy {
                self.restart_at = now + RESTART_PAUSE;
            }
        }
        Ok(())
    }
}

/// Writes everything back, so that the file alone is the whole database. Should that not be possible, the next start does it.
pub(super) async fn finish(connection: &mut SqliteConnection) -> Result<(), WriteBackError> {
    sqlx::query(TRUNCATE).execute(connection).await.map(drop).map_err(write_back_failed)
}

/// It may have been the WAL's fsync that failed, which would lose nothing: what cannot be told apart is treated alike.
fn write_back_failed(error: sqlx::Error) -> WriteBackError {
    if extended_code(&error) == Some(IOERR_FSYNC) {
        return WriteBackError::DiskFailed(failed(error));
    }
    WriteBackError::Failed(failed(error))
}
