//! SQLite: one writer, a few readers, WAL with an fsync per COMMIT.

mod access;
mod asked;
mod backup;
mod check;
mod clock;
mod copy;
mod file;
mod identity;
mod name;
mod private;
mod read;
mod recovery;
mod rows;
mod schema;
mod stopped;
mod trim;
mod write;
mod write_back;

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sqlx::ConnectOptions as _;
use sqlx::migrate::MigrateError;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

pub(super) use self::access::{admins, change};
pub(super) use self::backup::{backup, restore};
pub(super) use self::check::{check, repair};
pub(super) use self::clock::reset as reset_clock;
pub(super) use self::copy::Side;
pub(crate) use self::file::DatabaseFile;
use self::identity::{SQLITE_CORRUPT, SQLITE_FULL, SQLITE_NOTADB, SQLITE_READONLY, cannot_open, primary_code};
pub(super) use self::name::path;
pub(crate) use self::read::Reader;
pub(super) use self::schema::{migrate, schema};
pub(super) use self::stopped::{bounds, renew_epoch, users_after, users_with};
pub(crate) use self::write::Writer;
use crate::error::Error;
use crate::limits::Limits;

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("migrations/sqlite");

/// Longest wait for a lock that a foreign process (a backup, a shell) holds on the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest wait of a read for a free connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// Finds the file that a database's name leads to.
pub(super) fn file(url: &str) -> Result<DatabaseFile, Error> {
    DatabaseFile::find(&name::path(url)?)
}

/// Opens `file`, creating it if there is none, and brings its schema up to date.
pub(super) async fn open(file: DatabaseFile, limits: &Limits) -> Result<(Reader, Writer), Error> {
    identity::require_ours_or_new(&file).await?;
    let lock = Arc::new(lock(&file)?);
    let options = writing(&file)
        // Written back by the writer: see there why not by SQLite.
        .pragma("wal_autocheckpoint", "0")
        // What is left of a WAL that grew beyond it, as soon as it is empty.
        .pragma("journal_size_limit", limits.wal_bytes_max.to_string())
        // The writer's working set is the upper levels of every index; 64 MiB.
        .pragma("cache_size", "-65536");
    let mut connection = connect_migrated(&options, &file).await?;
    identity::require_whole(&mut connection, &file).await?;
    recovery::make_durable(&mut connection, &file).await?;
    let clock = clock::open(&mut connection, limits).await.map_err(failed)?;
    let readers = SqlitePoolOptions::new()
        .max_connections(limits.readers_max)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .test_before_acquire(false)
        // Opened once and kept: a server that has run out of descriptors must not lose those it reads with.
        .idle_timeout(None)
        .max_lifetime(None)
        .min_connections(limits.readers_max)
        .connect_with(options.clone().read_only(true).pragma("cache_size", "-8192"))
        .await
        .map_err(|error| cannot_open(&file, error))?;
    let connections = (options, connection, readers.clone());
    let writer = Writer::new(connections, clock, limits.wal_bytes_max, Arc::clone(&lock));
    Ok((Reader::new(readers, file.into_path(), lock), writer))
}

/// How a file is opened by whoever writes to it and has its lock.
fn writing(file: &DatabaseFile) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(file.path())
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        // Rows that SQLite's thread may be ahead of us: with fewer, a page is read in as many switches of thread.
        .row_buffer_size(1024)
}

/// Opens the file, creating it if there is none, and brings its schema up to date.
async fn connect_migrated(options: &SqliteConnectOptions, file: &DatabaseFile) -> Result<SqliteConnection, Error> {
    private::prepare(file).map_err(|error| cannot_open(file, sqlx::Error::Io(error)))?;
    let mut connection = options.connect().await.map_err(|error| cannot_open(file, error))?;
    MIGRATIONS.run_direct(None, &mut connection, false).await.map_err(|error| cannot_migrate(file, error))?;
    Ok(connection)
}

/// Takes the file for this process: seq is dense because there is one committer.
///
/// A lock file of its own, because SQLite's exclusive mode would shut out our own readers as well.
/// The kernel releases it when the process ends, however it ends.
fn lock(database: &DatabaseFile) -> Result<File, Error> {
    let path = with_suffix(database.path(), ".lock");
    let cannot = |source: std::io::Error| Error::Internal {
        what: format!("cannot create {}", path.display()),
        source: Some(source.into()),
    };
    let file = match private::create_new(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => File::options().write(true).open(&path),
        made => made,
    };
    let file = file.map_err(cannot)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::Internal {
            what: format!("database {database} is in use by another server: stop it, or choose another file"),
            source: None,
        }),
        Err(TryLockError::Error(error)) => Err(cannot(error)),
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}

fn cannot_migrate(file: &DatabaseFile, error: MigrateError) -> Error {
    let what = match &error {
        MigrateError::VersionMissing(version) => {
            format!("database {file} has migration {version}, which this version of Sambad does not know")
        }
        _ => format!("cannot bring the schema of {file} up to date"),
    };
    Error::Internal { what, source: Some(error.into()) }
}

/// A statement failed before COMMIT: nothing was stored.
fn failed(error: sqlx::Error) -> Error {
    if matches!(primary_code(&error), Some(SQLITE_CORRUPT | SQLITE_NOTADB)) {
        let what = "database is damaged: examine it with `sambad-server check`".into();
        return Error::Internal { what, source: Some(error.into()) };
    }
    match Trouble::of(error) {
        Ok(trouble) => Error::Unavailable(Some(trouble.into())),
        Err(error) => failed_otherwise(error),
    }
}

/// COMMIT itself failed.
fn outcome_unknown(error: sqlx::Error) -> Error {
    let source = Trouble::of(error).map_or_else(Into::into, Into::into);
    Error::OutcomeUnknown(Some(source))
}

fn failed_otherwise(error: sqlx::Error) -> Error {
    match error {
        sqlx::Error::Database(database) if database.is_unique_violation() || database.is_foreign_key_violation() => {
            Error::Internal { what: "batch conflicts with stored data".into(), source: Some(database.into()) }
        }
        sqlx::Error::Decode(source) | sqlx::Error::ColumnDecode { source, .. } => {
            Error::Internal { what: "the database holds a value that cannot be read".into(), source: Some(source) }
        }
        other => Error::Unavailable(Some(other.into())),
    }
}

/// A failure with what an operator should know of it.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
struct Trouble {
    what: &'static str,
    source: sqlx::Error,
}

impl Trouble {
    /// Gives back an error of which there is nothing more to be said.
    fn of(source: sqlx::Error) -> Result<Self, sqlx::Error> {
        let what = match primary_code(&source) {
            Some(SQLITE_FULL) => "disk is full: writing resumes once there is space",
            Some(SQLITE_READONLY) => "file system is read-only: writing resumes once it is writable",
            _ => return Err(source),
        };
        Ok(Self { what, source })
    }
}
