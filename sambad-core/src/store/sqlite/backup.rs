//! Copies a database, there and back.
//!
//! `vacuum into` reads one snapshot, so that the copy is consistent with its log however much is written meanwhile. It writes
//! a file without a WAL, dense, that gets its name only once it is on disk: a copy is whole or not there.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _};

use super::file::PARTIAL;
use super::{DatabaseFile, failed, identity, lock, private, rows, with_suffix};
use crate::cursor::LogBounds;
use crate::error::Error;

const COPY: &str = "vacuum into ?1";
const QUICK_CHECK: &str = "pragma quick_check(1)";
pub(super) const BOUNDS: &str = "select epoch, head, coalesce((select min(seq) from events), head + 1) from log";
/// Another number, whatever the old one: what is added is at least 1 and less than all of its range.
pub(super) const NEW_EPOCH: &str = "update log set epoch = (epoch + 1 + (random() & 2147483647)) & 4294967295";

/// Copies the database in `file` into the new file `to`, while a server may run on it. Gives the copy's bounds.
pub(crate) async fn backup(file: &DatabaseFile, to: &Path) -> Result<LogBounds, Error> {
    refuse_existing(to)?;
    let mut connection = identity::open_read_only(file).await?;
    let partial = copy(&mut connection, to).await?;
    let _ = connection.close().await;
    let bounds = inspect(&partial, None).await?;
    put_in_place(&partial, to)?;
    Ok(bounds)
}

/// Makes the new database `file` of the backup `from`, with an epoch of its own: whoever has a cursor of the old life may
/// have seen events that the copy does not have, and is told to resync. Gives the new database's bounds.
pub(crate) async fn restore(from: &Path, file: &DatabaseFile) -> Result<LogBounds, Error> {
    let _lock = lock(file)?;
    let path = file.path();
    refuse_existing(path)?;
    // SQLite would take what is left of another database's WAL for this one's.
    refuse_existing(&with_suffix(path, "-wal"))?;
    let from = DatabaseFile::find_at_rest(from)?;
    require_whole_log(&from)?;
    let mut connection = identity::open_read_only(&from).await?;
    let partial = copy(&mut connection, path).await?;
    let _ = connection.close().await;
    let bounds = inspect(&partial, Some(NEW_EPOCH)).await?;
    put_in_place(&partial, path)?;
    Ok(bounds)
}

/// Refuses a database whose log lies beside another of its names. A backup has no log, and may have several names, as a rotation
/// of backups gives them.
fn require_whole_log(from: &DatabaseFile) -> Result<(), Error> {
    if from.links()? > 1 && from.has_log() {
        let what = format!(
            "{from} is not a backup and has several names (hard links): restore a file that `sambad-server \
            backup` made"
        );
        return Err(Error::Internal { what, source: None });
    }
    Ok(())
}

fn refuse_existing(path: &Path) -> Result<(), Error> {
    if path.symlink_metadata().is_err() {
        return Ok(());
    }
    let what = format!("{} exists: move it away, or choose another file", path.display());
    Err(Error::Internal { what, source: None })
}

/// Copies into a file beside `to`; one that a copy left which did not end is replaced.
async fn copy(connection: &mut SqliteConnection, to: &Path) -> Result<PathBuf, Error> {
    // Absolute: SQLite takes a path that begins with `file:` for a URL.
    let to = std::path::absolute(to).map_err(|error| cannot_write(to, error))?;
    let partial = with_suffix(&to, PARTIAL);
    match std::fs::remove_file(&partial) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(cannot_write(&partial, error)),
        _ => {}
    }
    let name = partial.to_str().ok_or_else(|| Error::field("file", "expected a path in UTF-8"))?;
    // SQLite fills an empty file as it would a new one.
    private::create_new(&partial).map_err(|error| cannot_write(&partial, error))?;
    let copied = sqlx::query(COPY).bind(name).execute(connection).await;
    copied.map_err(|error| {
        let _ = std::fs::remove_file(&partial);
        Error::Internal { what: format!("cannot copy the database to {}", partial.display()), source: Some(error.into()) }
    })?;
    Ok(partial)
}

/// Looks whether the copy is sound, after `change` if there is one, and reads its bounds.
async fn inspect(partial: &Path, change: Option<&'static str>) -> Result<LogBounds, Error> {
    let options = SqliteConnectOptions::new()
        .filename(partial)
        .journal_mode(SqliteJournalMode::Delete)
        .synchronous(SqliteSynchronous::Full);
    let mut connection = options.connect().await.map_err(failed)?;
    if let Some(change) = change {
        sqlx::query(change).execute(&mut connection).await.map_err(failed)?;
    }
    let sound: String = sqlx::query_scalar(QUICK_CHECK).fetch_one(&mut connection).await.map_err(failed)?;
    if sound != "ok" {
        let what = format!("the copy is damaged: {sound}; run `sambad-server check` on the source");
        return Err(Error::Internal { what, source: None });
    }
    let row = sqlx::query(BOUNDS).fetch_one(&mut connection).await.map_err(failed)?;
    let bounds = rows::bounds(&row).map_err(failed)?;
    connection.close().await.map_err(failed)?;
    Ok(bounds)
}

/// The file first, then its name: after a power cut there is a whole copy or none.
fn put_in_place(partial: &Path, to: &Path) -> Result<(), Error> {
    let placed = || {
        File::open(partial)?.sync_all()?;
        // A rename would replace a file that was made meanwhile.
        std::fs::hard_link(partial, to)?;
        match std::fs::remove_file(partial) {
            // Whoever found both names took this one away.
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder)?.sync_all()
    };
    placed().map_err(|error| cannot_write(to, error))
}

fn cannot_write(path: &Path, error: io::Error) -> Error {
    Error::Internal { what: format!("cannot write {}", path.display()), source: Some(error.into()) }
}
