//! What is done with a file while no server runs on it.

use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;
use sqlx::{Connection as _, Sqlite};

use super::access::open_current;
use super::backup::{BOUNDS, NEW_EPOCH};
use super::read::KNOWN_USERS;
use super::{DatabaseFile, failed, lock, rows};
use crate::cursor::LogBounds;
use crate::error::Error;
use crate::event::to_json;
use crate::model::KnownUser;
use crate::phone::Phone;

/// Reads the log's bounds, also while a server runs.
pub(crate) async fn bounds(file: &DatabaseFile) -> Result<LogBounds, Error> {
    let mut connection = open_current(file).await?;
    let row = sqlx::query(BOUNDS).fetch_one(&mut connection).await.map_err(failed)?;
    let _ = connection.close().await;
    rows::bounds(&row).map_err(failed)
}

const USERS_AFTER: &str = "select id, phone, name from users where phone > ?1 order by phone limit ?2";

/// Reads users in the order of their phones, also while a server runs.
pub(crate) async fn users_after(file: &DatabaseFile, after: &str, limit: u32) -> Result<Vec<KnownUser>, Error> {
    known_users(file, sqlx::query(USERS_AFTER).bind(after).bind(limit)).await
}

/// Reads the users with these phones, also while a server runs.
pub(crate) async fn users_with(file: &DatabaseFile, phones: &[Phone]) -> Result<Vec<KnownUser>, Error> {
    known_users(file, sqlx::query(KNOWN_USERS).bind(to_json(phones))).await
}

async fn known_users(file: &DatabaseFile, statement: Query<'_, Sqlite, SqliteArguments>) -> Result<Vec<KnownUser>, Error> {
    let mut connection = open_current(file).await?;
    let found = statement.fetch_all(&mut connection).await.map_err(failed)?;
    let _ = connection.close().await;
    found.iter().map(rows::known_user).collect::<Result<_, _>>().map_err(failed)
}

/// Gives the log another epoch.
pub(crate) async fn renew_epoch(file: &DatabaseFile) -> Result<LogBounds, Error> {
    let mut connection = open_current(file).await?;
    let _lock = lock(file)?;
    sqlx::query(NEW_EPOCH).execute(&mut connection).await.map_err(failed)?;
    let row = sqlx::query(BOUNDS).fetch_one(&mut connection).await.map_err(failed)?;
    connection.close().await.map_err(failed)?;
    rows::bounds(&row).map_err(failed)
}
