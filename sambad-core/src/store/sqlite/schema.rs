//! How the schema of a file stands, and bringing it up to date while no server runs.

use std::path::Path;

use sqlx::Connection as _;
use sqlx::sqlite::SqliteConnection;

use super::{MIGRATIONS, connect_migrated, failed, identity, lock, recovery, write_back, writing};
use crate::error::Error;
use crate::maintenance::Schema;

const HAS_MIGRATIONS: &str = "select exists (select 1 from sqlite_master where name = '_sqlx_migrations')";
const STORED: &str = "select coalesce(max(version), 0) from _sqlx_migrations where success";

/// Tells how the schema stands; a server may run meanwhile. A file that is not there has none.
pub(crate) async fn schema(path: &Path) -> Result<Schema, Error> {
    let known = MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0);
    identity::require_ours_or_new(path).await?;
    if std::fs::metadata(path).map_or(0, |file| file.len()) == 0 {
        return Ok(Schema { stored: 0, known });
    }
    let mut connection = identity::connect(path, true).await.map_err(|error| identity::cannot_open(path, error))?;
    let stored = stored(&mut connection).await.map_err(failed)?;
    let _ = connection.close().await;
    Ok(Schema { stored, known })
}

/// Brings the schema up to date, creating the file if there is none, and tells how it stood.
pub(crate) async fn migrate(path: &Path) -> Result<Schema, Error> {
    identity::require_ours_or_new(path).await?;
    let _lock = lock(path)?;
    let schema = schema(path).await?;
    let mut connection = connect_migrated(&writing(path), path).await?;
    recovery::make_durable(&mut connection, path).await?;
    write_back::finish(&mut connection).await?;
    connection.close().await.map_err(failed)?;
    Ok(schema)
}

async fn stored(connection: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
    if !sqlx::query_scalar(HAS_MIGRATIONS).fetch_one(&mut *connection).await? {
        return Ok(0);
    }
    sqlx::query_scalar(STORED).fetch_one(connection).await
}
