//! Whether a database is Sambad's, asked before anything in it is changed; bringing its schema up to date; and what to say when
//! it cannot be opened.

use std::time::Duration;

use sqlx::Row as _;
use sqlx::migrate::MigrateError;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use tokio::time::timeout;

use super::connector::Connector;
use super::{MIGRATIONS, bounded, failed, sqlstate};
use crate::error::Error;
use crate::maintenance::Schema;

/// Longest wait for a host that does not answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Tables, those among them by which a database of ours is known, and the one that is there first: where a crash came between
/// that one and the others, the database is as good as empty.
const TABLES: &str = "select count(*) filter (where tablename <> '_sqlx_migrations'),
        count(*) filter (where tablename in ('_sqlx_migrations', 'log', 'events', 'users'))
    from pg_catalog.pg_tables where schemaname = current_schema()";
const OUR_TABLES: i64 = 4;
const ENCODING: &str = "select current_setting('server_encoding')";
const HAS_MIGRATIONS: &str = "select to_regclass('_sqlx_migrations') is not null";
const HAS_LOG: &str = "select exists (select 1 from log)";
const SCHEMA: &str = "select coalesce(max(version), 0) from _sqlx_migrations where success";

/// Connects within a bounded time, and not through a pooler that shares connections.
pub(super) async fn connect(connector: &Connector) -> Result<PgConnection, Error> {
    let options = connector.options();
    match timeout(CONNECT_TIMEOUT, connector.connect_checked()).await {
        Ok(connected) => connected.map_err(|error| cannot_open(options, error)),
        Err(elapsed) => Err(cannot_open(options, sqlx::Error::Io(elapsed.into()))),
    }
}

/// Connects to a database that is ours and whole, and tells how its schema stands.
pub(super) async fn connect_ours(connector: &Connector) -> Result<(PgConnection, Schema), Error> {
    let mut connection = connect(connector).await?;
    let options = connector.options();
    let looked = bounded(async { look(&mut connection).await.map_err(|error| cannot_open(options, error)) });
    let schema = match looked.await? {
        Look::Ours(schema) => schema,
        Look::Empty => return Err(internal(format!("database {} is empty", name(options)))),
        Look::Foreign => return Err(foreign(options)),
    };
    if sqlx::query_scalar(HAS_LOG).fetch_one(&mut connection).await.map_err(failed)? {
        return Ok((connection, schema));
    }
    Err(half_copied(options))
}

/// Connects to a database that is ours and whole, and has this version's schema.
pub(super) async fn connect_current(url: &str) -> Result<PgConnection, Error> {
    connect_current_with(&super::connector(url)?).await
}

/// As [`connect_current`], with settings of the caller's.
pub(super) async fn connect_current_with(connector: &Connector) -> Result<PgConnection, Error> {
    let (connection, schema) = connect_ours(connector).await?;
    if schema.is_current() {
        return Ok(connection);
    }
    let what = format!(
        "the schema of {} is from another version: `sambad-server migrate --check` shows which",
        name(connector.options())
    );
    Err(internal(what))
}

/// A copy takes the log's row away first, and writes it back last.
pub(super) fn half_copied(options: &PgConnectOptions) -> Error {
    internal(format!("a copy into database {} is incomplete: run it again", name(options)))
}

/// Brings the schema up to date. Servers that start at once take turns, by an advisory lock; all but the first find it done.
pub(super) async fn migrate(connection: &mut PgConnection, options: &PgConnectOptions) -> Result<Schema, Error> {
    let schema = schema(connection, options).await?;
    let encoding: String = sqlx::query_scalar(ENCODING).fetch_one(&mut *connection).await.map_err(failed)?;
    if encoding != "UTF8" {
        let what = format!("database {} has encoding {encoding}, but Sambad needs UTF8: recreate it", name(options));
        return Err(internal(what));
    }
    if schema.stored < schema.known {
        let migrated = MIGRATIONS.run_direct(None, connection, false).await;
        migrated.map_err(|error| cannot_migrate(options, error))?;
    }
    Ok(schema)
}

/// Tells how the schema stands, and refuses a database that is not ours.
pub(super) async fn look_at_schema(connection: &mut PgConnection, options: &PgConnectOptions) -> Result<Schema, Error> {
    let looked = bounded(async { look(connection).await.map_err(|error| cannot_open(options, error)) });
    match looked.await? {
        Look::Ours(schema) => Ok(schema),
        Look::Empty => Ok(Schema { stored: 0, known: known() }),
        Look::Foreign => Err(foreign(options)),
    }
}

/// Tells how the schema stands, and refuses one that is newer than this version knows, or not ours.
pub(super) async fn schema(connection: &mut PgConnection, options: &PgConnectOptions) -> Result<Schema, Error> {
    let schema = look_at_schema(connection, options).await?;
    if schema.stored > schema.known {
        let Schema { stored, known } = schema;
        let what = format!(
            "database {} has migration {stored}, this version of Sambad knows only {known}: use a newer version",
            name(options)
        );
        return Err(internal(what));
    }
    Ok(schema)
}

enum Look {
    Ours(Schema),
    Empty,
    Foreign,
}

async fn look(connection: &mut PgConnection) -> Result<Look, sqlx::Error> {
    let row = sqlx::query(TABLES).fetch_one(&mut *connection).await?;
    let (others, ours): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
    if others == 0 {
        return Ok(Look::Empty);
    }
    if ours != OUR_TABLES || !sqlx::query_scalar(HAS_MIGRATIONS).fetch_one(&mut *connection).await? {
        return Ok(Look::Foreign);
    }
    let stored = sqlx::query_scalar(SCHEMA).fetch_one(connection).await?;
    Ok(Look::Ours(Schema { stored, known: known() }))
}

fn known() -> i64 {
    MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0)
}

fn internal(what: String) -> Error {
    Error::Internal { what, source: None }
}

fn foreign(options: &PgConnectOptions) -> Error {
    internal(format!("{} is a database of another program: choose another database", name(options)))
}

fn cannot_migrate(options: &PgConnectOptions, error: MigrateError) -> Error {
    let error = match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) if sqlstate(&error).is_some() => {
            return cannot_open(options, error);
        }
        other => other,
    };
    let what = match &error {
        MigrateError::VersionMismatch(version) => {
            format!("migration {version} of database {} differs from the one in this version of Sambad", name(options))
        }
        _ => format!("cannot bring the schema of {} up to date", name(options)),
    };
    Error::Internal { what, source: Some(error.into()) }
}

/// The database as it is called in messages: without its password.
pub(super) fn name(options: &PgConnectOptions) -> String {
    let database = options.get_database().unwrap_or_else(|| options.get_username());
    match options.get_socket() {
        Some(socket) => format!("{database} at {}", socket.display()),
        None => format!("{database} at {}:{}", options.get_host(), options.get_port()),
    }
}

/// Says what keeps the database from being opened, and what would help.
pub(super) fn cannot_open(options: &PgConnectOptions, error: sqlx::Error) -> Error {
    let (name, user) = (name(options), options.get_username());
    let known = match sqlstate(&error).as_deref() {
        Some("28P01") => Some(format!("database {name} rejects user {user}: the password is wrong")),
        Some("28000") => Some(format!("database {name} rejects user {user}: check its pg_hba.conf, and sslmode in the URL")),
        Some("3D000") => Some(format!("database {name} does not exist: create it with `createdb`")),
        Some("42501") => Some(format!(
            "user {user} has no rights on database {name}: make the user its owner, or grant the \
            rights"
        )),
        Some("53300") => Some(format!("database {name} has no connection left: raise its max_connections, or the user's limit")),
        Some("25006" | "55000") => Some(format!("database {name} is a standby: use the URL of the primary")),
        Some("57P03") => Some(format!("database {name} is starting up or shutting down: try again")),
        _ => None,
    };
    match (known, error) {
        // The sentence says it all.
        (Some(what), _) => internal(what),
        (None, sqlx::Error::Io(error)) => {
            Error::Internal { what: format!("database {name} cannot be reached"), source: Some(error.into()) }
        }
        (None, sqlx::Error::Configuration(error)) => {
            Error::Internal { what: format!("cannot open database {name}"), source: Some(error) }
        }
        (None, error) => Error::Internal { what: format!("cannot open database {name}"), source: Some(error.into()) },
    }
}
