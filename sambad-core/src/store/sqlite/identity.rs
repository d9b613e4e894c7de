//! Whether a file is a database of Sambad's, asked before anything in it is changed; and what to say when it cannot be opened.

use std::path::Path;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _};

use crate::error::Error;

/// Tables, those among them by which a database of ours is known, and the one that is there first: where a crash came between
/// that one and the others, the file is as good as empty.
const TABLES: &str = "select count(*) filter (where name <> '_sqlx_migrations'),
        count(*) filter (where name in ('_sqlx_migrations', 'log', 'events', 'users'))
    from sqlite_master where type = 'table'";
const OUR_TABLES: i64 = 4;
const HAS_LOG: &str = "select exists (select 1 from log)";

/// Refuses a file that another program keeps its data in. A file that is not there, or is empty, is nobody's.
pub(super) async fn require_ours_or_new(path: &Path) -> Result<(), Error> {
    match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return require_folder(path),
        Err(error) => return Err(cannot_open(path, sqlx::Error::Io(error))),
        Ok(file) if file.len() == 0 => return Ok(()),
        Ok(_) => {}
    }
    let ours = match look(path, true).await {
        // A crash left a transaction to be rolled back, which is writing; whose file it is, SQLite's rules say that it is due.
        Err(error) if primary_code(&error) == Some(SQLITE_READONLY) => look(path, false).await,
        looked => looked,
    };
    match ours.map_err(|error| cannot_open(path, error))? {
        Some(false) => Err(foreign(path)),
        Some(true) | None => Ok(()),
    }
}

async fn look(path: &Path, read_only: bool) -> Result<Option<bool>, sqlx::Error> {
    let mut connection = connect(path, read_only).await?;
    let ours = is_ours(&mut connection).await?;
    let _ = connection.close().await;
    Ok(ours)
}

/// Opens a database of ours to look at it.
pub(super) async fn open_read_only(path: &Path) -> Result<SqliteConnection, Error> {
    open(path, true).await
}

/// Opens a database of ours as it is, without bringing its schema up to date.
pub(super) async fn open_existing(path: &Path) -> Result<SqliteConnection, Error> {
    open(path, false).await
}

async fn open(path: &Path, read_only: bool) -> Result<SqliteConnection, Error> {
    if !path.exists() {
        return Err(Error::Internal { what: format!("there is no database {}", path.display()), source: None });
    }
    let opened = async {
        let mut connection = connect(path, read_only).await?;
        Ok((is_ours(&mut connection).await?, connection))
    };
    match opened.await.map_err(|error| cannot_open(path, error))? {
        (Some(true), mut connection) => {
            require_whole(&mut connection, path).await?;
            Ok(connection)
        }
        _ => Err(foreign(path)),
    }
}

/// Refuses a database that a copy is not done with: it takes the log's row away first, and writes it back last.
pub(super) async fn require_whole(connection: &mut SqliteConnection, path: &Path) -> Result<(), Error> {
    // Where it cannot be asked, the file is damaged, of which whoever goes on says more.
    match sqlx::query_scalar(HAS_LOG).fetch_one(connection).await {
        Ok(false) => {
            let what = format!("a copy into database {} has not ended: run it again", path.display());
            Err(Error::Internal { what, source: None })
        }
        _ => Ok(()),
    }
}

pub(super) async fn connect(path: &Path, read_only: bool) -> Result<SqliteConnection, sqlx::Error> {
    let options = SqliteConnectOptions::new().filename(path).read_only(read_only).busy_timeout(super::BUSY_TIMEOUT);
    // As the server's: a table that is read from end to end must not be handed over row by row.
    options.row_buffer_size(1024).connect().await
}

/// Whether the tables are ours; `None` when there are none.
async fn is_ours(connection: &mut SqliteConnection) -> Result<Option<bool>, sqlx::Error> {
    let (others, ours): (i64, i64) = sqlx::query_as(TABLES).fetch_one(connection).await?;
    Ok((others > 0).then_some(ours == OUR_TABLES))
}

fn foreign(path: &Path) -> Error {
    let what = format!("{} is a database of another program: choose another file", path.display());
    Error::Internal { what, source: None }
}

fn require_folder(path: &Path) -> Result<(), Error> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    match folder {
        Some(folder) if !folder.is_dir() => {
            let what = format!("cannot create database {}: there is no folder {}", path.display(), folder.display());
            Err(Error::Internal { what, source: None })
        }
        _ => Ok(()),
    }
}

/// Says what keeps the database from being opened, and what would help.
pub(super) fn cannot_open(path: &Path, error: sqlx::Error) -> Error {
    let path = path.display();
    let what = match primary_code(&error) {
        Some(SQLITE_NOTADB) => format!("{path} is no SQLite database: choose another file"),
        Some(SQLITE_CORRUPT) => format!("database {path} is damaged: restore the last backup"),
        Some(SQLITE_READONLY) => format!("database {path} cannot be written: the file or its file system is read-only"),
        Some(SQLITE_CANTOPEN) => {
            format!("cannot open database {path}: the folder must be writable, and the file readable and writable")
        }
        Some(SQLITE_FULL) => format!("cannot open database {path}: the disk is full"),
        _ => format!("cannot open database {path}"),
    };
    Error::Internal { what, source: Some(error.into()) }
}

pub(super) const SQLITE_READONLY: i32 = 8;
pub(super) const SQLITE_CORRUPT: i32 = 11;
pub(super) const SQLITE_FULL: i32 = 13;
const SQLITE_CANTOPEN: i32 = 14;
pub(super) const SQLITE_NOTADB: i32 = 26;

/// SQLite's result code without its extension.
///
/// Source: <https://sqlite.org/rescode.html>, "Primary Result Codes versus Extended Result Codes".
pub(super) fn primary_code(error: &sqlx::Error) -> Option<i32> {
    extended_code(error).map(|code| code & 0xff)
}

/// SQLite's result code as it is.
pub(super) fn extended_code(error: &sqlx::Error) -> Option<i32> {
    error.as_database_error()?.code()?.parse().ok()
}
