//! PostgreSQL: one connection that writes, a few that read, and any number of servers beside this one.

mod access;
mod apply;
mod asked;
mod check;
mod clock;
mod connector;
mod copy;
mod identity;
mod life;
mod notices;
mod pool;
mod read;
mod rows;
mod stopped;
mod trim;
mod types;
mod write;

use std::borrow::Cow;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use tokio::time::timeout;
use uuid::Uuid;

pub(super) use self::access::{admins, change};
pub(super) use self::check::{check, repair};
pub(super) use self::clock::reset as reset_clock;
use self::connector::Connector;
pub(super) use self::copy::Side;
pub(crate) use self::notices::Notices;
pub(crate) use self::read::Reader;
pub(super) use self::stopped::{bounds, renew_epoch, users_after, users_with};
pub(crate) use self::write::Writer;
use crate::error::Error;
use crate::limits::Limits;
use crate::maintenance::Schema;

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("migrations/postgres");

/// How long a transaction may wait for its server before PostgreSQL ends it: one that has stopped in the middle, or is cut
/// off, holds the head of the log no longer than this, and all others wait for it meanwhile.
const IDLE_IN_TRANSACTION: &str = "2s";
/// How long a transaction or a read may take, seen from here.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a server that starts waits for another one to make the schema.
const MIGRATION_LOCK: &str = "1min";
/// How long a statement may take, seen from there: what nobody waits for any more ends as well.
const STATEMENT: &str = "10s";

/// Whether `url` names a PostgreSQL database.
pub(super) fn is_url(url: &str) -> bool {
    url.starts_with("postgres://") || url.starts_with("postgresql://")
}

/// Says what is used in place of our own copies of a file.
pub(super) fn has_its_own_backups() -> Error {
    let what = "back up and restore a PostgreSQL database with its own tools, pg_dump or pg_basebackup: see \
        docs/guides/scale-out.md";
    Error::Internal { what: what.into(), source: None }
}

/// Ends what takes too long: a host that vanished answers nothing.
async fn bounded<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    match timeout(ANSWER_TIMEOUT, work).await {
        Ok(done) => done,
        Err(elapsed) => Err(Error::Unavailable(Some(elapsed.into()))),
    }
}

/// Opens the database at `url` and brings its schema up to date.
pub(super) async fn open(url: &str, limits: &Limits) -> Result<(Reader, Writer), Error> {
    let connector = connector(url)?;
    let migrating = connector.clone().with([("lock_timeout", MIGRATION_LOCK)]);
    let mut connection = identity::connect(&migrating).await?;
    identity::migrate(&mut connection, connector.options()).await?;
    let cluster = bounded(life::begin(&mut connection, connector.options())).await?;
    let serving =
        connector.with([("idle_in_transaction_session_timeout", IDLE_IN_TRANSACTION), ("statement_timeout", STATEMENT)]);
    // Whatever is read is found by an index, few rows at a time, in the order in which they are read: one plan each, made once.
    // A plan for a certain user would be made anew for each read, and sort all that this user has where statistics say it is
    // little.
    let reading = serving.clone().named("sambad reader").with([
        ("default_transaction_read_only", "on"),
        ("plan_cache_mode", "force_generic_plan"),
        ("enable_seqscan", "off"),
        ("enable_bitmapscan", "off"),
        ("enable_hashjoin", "off"),
        ("enable_mergejoin", "off"),
    ]);
    let reader = bounded(Reader::open(reading, limits.readers_max, cluster)).await?;
    // By this name a new connection finds what is left of an old one.
    let id = Uuid::now_v7();
    let writing = serving.named(&format!("sambad writer {id}"));
    // Its statements are few, and always the same: planned once, by the indexes, whatever a young table's statistics say.
    let writing = writing.with([
        ("plan_cache_mode", "force_generic_plan"),
        ("enable_seqscan", "off"),
        ("enable_hashjoin", "off"),
        ("enable_mergejoin", "off"),
    ]);
    let writer = bounded(Writer::open(writing, id, limits.clock_settle)).await?;
    Ok((reader, writer))
}

/// Tells how the schema of the database at `url` stands, and changes nothing.
pub(super) async fn schema(url: &str) -> Result<Schema, Error> {
    let connector = connector(url)?;
    let mut connection = identity::connect(&connector).await?;
    identity::look_at_schema(&mut connection, connector.options()).await
}

/// Brings the schema of the database at `url` up to date, and tells how it stood.
pub(super) async fn migrate(url: &str) -> Result<Schema, Error> {
    let connector = connector(url)?;
    let mut connection = identity::connect(&connector).await?;
    identity::migrate(&mut connection, connector.options()).await
}

/// Reads a URL; what cannot be read is not shown, since there may be a password in it.
fn connector(url: &str) -> Result<Connector, Error> {
    let expected = || Error::field("database", "expected postgres://USER:PASSWORD@HOST:PORT/DATABASE");
    let options: PgConnectOptions = url.parse().map_err(|_| expected())?;
    // A password that was not escaped ends where it should not, and the rest of it is taken for a name.
    if options.get_database().is_some_and(|name| name.contains(['@', ':', '/'])) {
        return Err(expected());
    }
    Ok(Connector::from(options).with([
        // What is acknowledged is on disk, whatever the server's own default is.
        ("synchronous_commit", "on"),
        // Whatever the default of the database or of the user is: a batch is written on these terms.
        ("default_transaction_isolation", "read committed"),
        ("jit", "off"),
    ]))
}

/// PostgreSQL's code of an error, if it comes from there.
///
/// Source: <https://www.postgresql.org/docs/15/errcodes-appendix.html>.
fn sqlstate(error: &sqlx::Error) -> Option<Cow<'_, str>> {
    error.as_database_error()?.code()
}

/// A statement failed before COMMIT: nothing was stored.
fn failed(error: sqlx::Error) -> Error {
    match error {
        sqlx::Error::Decode(source) | sqlx::Error::ColumnDecode { source, .. } => {
            Error::Internal { what: "the database holds a value that cannot be read".into(), source: Some(source) }
        }
        other if matches!(sqlstate(&other).as_deref(), Some("26000" | "42P05")) => {
            let what = format!("a connection pooler mixes up prepared statements, and must be in session mode: {other}");
            Error::Unavailable(Some(what.into()))
        }
        other => Error::Unavailable(Some(other.into())),
    }
}
