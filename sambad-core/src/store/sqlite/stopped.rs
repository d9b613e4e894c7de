//! What is done with a file while no server runs on it.

use sqlx::Connection as _;

use super::access::open_current;
use super::backup::{BOUNDS, NEW_EPOCH};
use super::{DatabaseFile, failed, lock, rows};
use crate::cursor::LogBounds;
use crate::error::Error;

/// Reads the log's bounds, also while a server runs.
pub(crate) async fn bounds(file: &DatabaseFile) -> Result<LogBounds, Error> {
    let mut connection = open_current(file).await?;
    let row = sqlx::query(BOUNDS).fetch_one(&mut connection).await.map_err(failed)?;
    let _ = connection.close().await;
    rows::bounds(&row).map_err(failed)
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
