//! SQLite: one writer, a few readers, WAL with an fsync per COMMIT.

mod read;
mod rows;
mod write;

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sqlx::ConnectOptions as _;
use sqlx::migrate::MigrateError;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

pub(crate) use self::read::Reader;
pub(crate) use self::write::Writer;
use crate::error::Error;
use crate::limits::Limits;

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("../migrations/sqlite");

/// Longest wait for a lock that a foreign process (a backup, a shell) holds on the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest wait of a read for a free connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// Opens the file at `path`, creating it if there is none, and brings its schema up to date.
pub(super) async fn open(path: &str, limits: &Limits) -> Result<(Reader, Writer), Error> {
    if path.is_empty() || path.starts_with(":memory:") {
        return Err(Error::field("database", "expected sqlite:PATH: what was acknowledged must be on disk"));
    }
    let path = PathBuf::from(path);
    let lock = Arc::new(lock(&path)?);
    let options = SqliteConnectOptions::new()
        .filename(&path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        // Rows that SQLite's thread may be ahead of us: with fewer, a page is read in as many switches of thread.
        .row_buffer_size(1024)
        // What a checkpoint leaves of a WAL that grew under a long read; 64 MiB.
        .pragma("journal_size_limit", "67108864")
        // The writer's working set is the upper levels of every index; 64 MiB.
        .pragma("cache_size", "-65536");
    let mut connection = options.connect().await.map_err(|error| cannot_open(&path, error))?;
    MIGRATIONS.run_direct(None, &mut connection, false).await.map_err(|error| cannot_migrate(&path, error))?;
    let readers = SqlitePoolOptions::new()
        .max_connections(limits.readers_max)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .test_before_acquire(false)
        .connect_lazy_with(options.clone().read_only(true).pragma("cache_size", "-8192"));
    Ok((Reader::new(readers, Arc::clone(&lock)), Writer::new(options, connection, lock)))
}

/// Takes the file for this process: seq is dense because there is one committer.
///
/// A lock file of its own, because SQLite's exclusive mode would shut out our own readers as well.
/// The kernel releases it when the process ends, however it ends.
fn lock(database: &Path) -> Result<File, Error> {
    let mut path = database.as_os_str().to_owned();
    path.push(".lock");
    let path = PathBuf::from(path);
    let cannot = |source: std::io::Error| Error::Internal {
        what: format!("cannot create {}", path.display()),
        source: Some(source.into()),
    };
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(cannot)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::Internal {
            what: format!("database {} is in use by another server: stop it, or choose another file", database.display()),
            source: None,
        }),
        Err(TryLockError::Error(error)) => Err(cannot(error)),
    }
}

fn cannot_open(path: &Path, error: sqlx::Error) -> Error {
    Error::Internal { what: format!("cannot open database {}", path.display()), source: Some(error.into()) }
}

fn cannot_migrate(path: &Path, error: MigrateError) -> Error {
    let what = match &error {
        MigrateError::VersionMissing(version) => {
            format!("database {} has migration {version}, which this version of Sambad does not know", path.display())
        }
        _ => format!("cannot bring the schema of {} up to date", path.display()),
    };
    Error::Internal { what, source: Some(error.into()) }
}

/// A statement failed before COMMIT: nothing was stored.
fn failed(error: sqlx::Error) -> Error {
    match error {
        sqlx::Error::Database(database) if database.is_unique_violation() || database.is_foreign_key_violation() => {
            Error::Internal { what: "batch contradicts what is stored".into(), source: Some(database.into()) }
        }
        sqlx::Error::Decode(source) | sqlx::Error::ColumnDecode { source, .. } => {
            Error::Internal { what: "store holds a value that cannot be read".into(), source: Some(source) }
        }
        other => Error::Unavailable(Some(other.into())),
    }
}
