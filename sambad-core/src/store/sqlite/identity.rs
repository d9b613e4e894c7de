//! Whether a file is a database of Sambad's, asked before anything in it is changed; and what to say when it cannot be opened.

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _};

use super::{DatabaseFile, private};
use crate::error::Error;

/// Tables, those among them by which a database of ours is known, and the one that is there first: where a crash came between
/// that one and the others, the file is as good as empty.
const TABLES: &str = "select count(*) filter (where name <> '_sqlx_migrations'),
        count(*) filter (where name in ('_sqlx_migrations', 'log', 'events', 'users'))
    from sqlite_master where type = 'table'";
const OUR_TABLES: i64 = 4;
const HAS_LOG: &str = "select exists (select 1 from log)";
const JOURNAL_MODE: &str = "pragma journal_mode";

/// Refuses a file that another program keeps its data in. A file that is not there, or is empty, is nobody's.
pub(super) async fn require_ours_or_new(file: &DatabaseFile) -> Result<(), Error> {
    match file.path().metadata() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return require_folder(file),
        Err(error) => return Err(cannot_open(file, sqlx::Error::Io(error))),
        Ok(found) if found.len() == 0 => return Ok(()),
        Ok(_) => file.require_unopened_elsewhere().await?,
    }
    let ours = match look(file, true).await {
        // A crash left a transaction to be rolled back, which is writing; whose file it is, SQLite's rules say that it is due.
        Err(error) if primary_code(&error) == Some(SQLITE_READONLY) => look(file, false).await,
        looked => looked,
    };
    match ours.map_err(|error| cannot_open(file, error))? {
        Some(false) => Err(foreign(file)),
        Some(true) | None => Ok(()),
    }
}

async fn look(file: &DatabaseFile, read_only: bool) -> Result<Option<bool>, sqlx::Error> {
    let mut connection = connect(file, read_only).await?;
    let ours = is_ours(&mut connection).await?;
    if ours == Some(true) && keeps_wal(&mut connection).await {
        private::restrict_all(file);
    }
    let _ = connection.close().await;
    Ok(ours)
}

/// Opens a database of ours to look at it.
pub(super) async fn open_read_only(file: &DatabaseFile) -> Result<SqliteConnection, Error> {
    open(file, true).await
}

/// Opens a database of ours as it is, without bringing its schema up to date.
pub(super) async fn open_existing(file: &DatabaseFile) -> Result<SqliteConnection, Error> {
    open(file, false).await
}

async fn open(file: &DatabaseFile, read_only: bool) -> Result<SqliteConnection, Error> {
    if !file.path().exists() {
        return Err(Error::Internal { what: format!("database {file} does not exist"), source: None });
    }
    file.require_unopened_elsewhere().await?;
    let opened = async {
        let mut connection = connect(file, read_only).await?;
        Ok((is_ours(&mut connection).await?, connection))
    };
    match opened.await.map_err(|error| cannot_open(file, error))? {
        (Some(true), mut connection) => {
            // Before anything is written. A backup that is read has nothing beside it, and may have been handed to others.
            if !read_only || keeps_wal(&mut connection).await {
                private::restrict_all(file);
            }
            require_whole(&mut connection, file).await?;
            Ok(connection)
        }
        _ => Err(foreign(file)),
    }
}

/// Refuses a database that a copy is not done with: it takes the log's row away first, and writes it back last.
pub(super) async fn require_whole(connection: &mut SqliteConnection, file: &DatabaseFile) -> Result<(), Error> {
    // Where it cannot be asked, the file is damaged, of which whoever goes on says more.
    match sqlx::query_scalar(HAS_LOG).fetch_one(connection).await {
        Ok(false) => {
            let what = format!("a copy into database {file} is incomplete: run it again");
            Err(Error::Internal { what, source: None })
        }
        _ => Ok(()),
    }
}

async fn keeps_wal(connection: &mut SqliteConnection) -> bool {
    sqlx::query_scalar::<_, String>(JOURNAL_MODE).fetch_one(connection).await.is_ok_and(|mode| mode == "wal")
}

pub(super) async fn connect(file: &DatabaseFile, read_only: bool) -> Result<SqliteConnection, sqlx::Error> {
    let options = SqliteConnectOptions::new().filename(file.path()).read_only(read_only).busy_timeout(super::BUSY_TIMEOUT);
    // As the server's: a table that is read from end to end must not be handed over row by row.
    options.row_buffer_size(1024).connect().await
}

/// Whether the tables are ours; `None` when there are none.
async fn is_ours(connection: &mut SqliteConnection) -> Result<Option<bool>, sqlx::Error> {
    let (others, ours): (i64, i64) = sqlx::query_as(TABLES).fetch_one(connection).await?;
    Ok((others > 0).then_some(ours == OUR_TABLES))
}

fn foreign(file: &DatabaseFile) -> Error {
    let what = format!("{file} is a database of another program: choose another file");
    Error::Internal { what, source: None }
}

fn require_folder(file: &DatabaseFile) -> Result<(), Error> {
    let folder = file.path().parent().filter(|folder| !folder.as_os_str().is_empty());
    match folder {
        Some(folder) if !folder.is_dir() => {
            let what = format!("cannot create database {}: folder {} does not exist", file.path().display(), folder.display());
            Err(Error::Internal { what, source: None })
        }
        _ => Ok(()),
    }
}

/// Says what keeps the database from being opened, and what would help.
pub(super) fn cannot_open(file: &DatabaseFile, error: sqlx::Error) -> Error {
    let what = match primary_code(&error) {
        Some(SQLITE_NOTADB) => format!("{file} is not an SQLite database: choose another file"),
        Some(SQLITE_CORRUPT) => format!("database {file} is damaged: restore the last backup"),
        Some(SQLITE_READONLY) => format!("database {file} cannot be written: the file or its file system is read-only"),
        Some(SQLITE_CANTOPEN) => {
            format!("cannot open database {file}: the folder must be writable, and the file readable and writable")
        }
        Some(SQLITE_FULL) => format!("cannot open database {file}: the disk is full"),
        _ => format!("cannot open database {file}"),
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
