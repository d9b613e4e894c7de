//! After a crash: what SQLite found in its log is on disk before anybody is told of it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use sqlx::Connection as _;
use sqlx::sqlite::SqliteConnection;

use super::{DatabaseFile, failed, with_suffix};
use crate::error::Error;

/// Bytes read and written at once.
const CHUNK_BYTES: usize = 1 << 20;

/// Writes the WAL over itself and fsyncs it.
///
/// SQLite takes a complete transaction in the WAL for committed, whether or not the crash came before its fsync. A retry
/// with an idempotency key would be answered from it, and a stream would pass it on, while a power cut could still take it away.
///
/// An fsync alone is not enough where one failed before the crash: the kernel may count as written what is not, and keeps
/// serving it from memory. Written again, it is to be fsynced again. Writing it back into the database would not help: were
/// it cut short, the older part of the WAL that is on disk would hide what was written back.
///
/// Source: "Can Applications Recover from fsync Failures?", Rebello et al., USENIX ATC 2020.
pub(super) async fn make_durable(connection: &mut SqliteConnection, database: &DatabaseFile) -> Result<(), Error> {
    // The lock that writers take: a foreign one would append to the file meanwhile.
    let tx = connection.begin_with("begin immediate").await.map_err(failed)?;
    let wal = with_suffix(database.path(), "-wal");
    let rewritten = tokio::task::spawn_blocking(move || rewrite(&wal)).await;
    rewritten.unwrap_or_else(|error| Err(io::Error::other(error))).map_err(|error| Error::Internal {
        what: format!("cannot make sure that the contents of {database} are on disk"),
        source: Some(error.into()),
    })?;
    tx.rollback().await.map_err(failed)
}

/// No lock of SQLite's is on this file, so that closing it releases none.
fn rewrite(path: &Path) -> io::Result<()> {
    let file = match File::options().read(true).write(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let (mut chunk, mut at) = (vec![0; CHUNK_BYTES], 0);
    loop {
        let read = file.read_at(&mut chunk, at)?;
        if read == 0 {
            return file.sync_all();
        }
        file.write_all_at(&chunk[..read], at)?;
        at += read as u64;
    }
}
