//! What is done with a database while no server runs on it.

use std::time::Duration;

use sqlx::Postgres;
use sqlx::postgres::{PgArguments, PgConnectOptions, PgConnection};
use sqlx::query::Query;
use tokio::time::{Instant, sleep};

use super::{failed, identity, rows};
use crate::cursor::LogBounds;
use crate::error::Error;
use crate::model::KnownUser;
use crate::phone::Phone;

/// Sessions of servers, by the names they have here.
const SERVERS: &str = "select count(*) from pg_stat_activity where datname = current_database()
    and (application_name like 'sambad writer %' or application_name = 'sambad reader')";
/// How long the sessions of a server that has just ended may take to end: PostgreSQL notices it a moment later.
const ENDING_MAX: Duration = Duration::from_secs(2);
/// Between two looks at them.
const PAUSE: Duration = Duration::from_millis(20);
const BOUNDS: &str = "select epoch, head, first from log";
/// Another number, whatever the old one: what is added is at least 1 and less than all of its range.
const NEW_EPOCH: &str = "update log set secret = default, epoch = (epoch + 1 + floor(random() * 2147483648)::bigint) & 4294967295
    returning epoch, head, first";

/// Reads the log's bounds, also while servers run.
pub(crate) async fn bounds(url: &str) -> Result<LogBounds, Error> {
    let mut connection = identity::connect_current(url).await?;
    let row = sqlx::query(BOUNDS).fetch_one(&mut connection).await.map_err(failed)?;
    rows::bounds(&row, 0).map_err(failed)
}

const USERS_AFTER: &str = "select id, phone, name from users where phone > $1 order by phone limit $2";
const USERS_WITH: &str = "select id, phone, name from users where phone = any($1)";

/// Reads users in the order of their phones, also while servers run.
pub(crate) async fn users_after(url: &str, after: &str, limit: u32) -> Result<Vec<KnownUser>, Error> {
    known_users(url, sqlx::query(USERS_AFTER).bind(after).bind(i64::from(limit))).await
}

/// Reads the users with these phones, also while servers run.
pub(crate) async fn users_with(url: &str, phones: &[Phone]) -> Result<Vec<KnownUser>, Error> {
    known_users(url, sqlx::query(USERS_WITH).bind(phones.iter().map(Phone::as_str).collect::<Vec<_>>())).await
}

async fn known_users(url: &str, statement: Query<'_, Postgres, PgArguments>) -> Result<Vec<KnownUser>, Error> {
    let mut connection = identity::connect_current(url).await?;
    let found = statement.fetch_all(&mut connection).await.map_err(failed)?;
    found.iter().map(rows::known_user).collect::<Result<_, _>>().map_err(failed)
}

/// Gives the log another epoch. A server that starts meanwhile meets it with its first batch, and stores nothing.
pub(crate) async fn renew_epoch(url: &str) -> Result<LogBounds, Error> {
    let connector = super::connector(url)?;
    let mut connection = identity::connect_current_with(&connector).await?;
    refuse_servers(&mut connection, connector.options()).await?;
    let row = sqlx::query(NEW_EPOCH).fetch_one(&mut connection).await.map_err(failed)?;
    rows::bounds(&row, 0).map_err(failed)
}

/// Refuses a database that servers are connected to, and stay so.
///
/// Not in a transaction: there PostgreSQL shows the sessions of its first look for as long as it lasts.
pub(super) async fn refuse_servers(connection: &mut PgConnection, options: &PgConnectOptions) -> Result<(), Error> {
    let deadline = Instant::now() + ENDING_MAX;
    let sessions = loop {
        match sqlx::query_scalar::<_, i64>(SERVERS).fetch_one(&mut *connection).await.map_err(failed)? {
            0 => return Ok(()),
            sessions if Instant::now() >= deadline => break sessions,
            _ => sleep(PAUSE).await,
        }
    };
    let what = format!("database {} is in use by servers, with {sessions} connections: stop them", identity::name(options));
    Err(Error::Internal { what, source: None })
}
