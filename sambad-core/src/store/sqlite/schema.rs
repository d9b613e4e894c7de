//! How the schema of a file stands, and bringing it up to date while no server runs.

use sqlx::Connection as _;
use sqlx::sqlite::SqliteConnection;

use super::{DatabaseFile, MIGRATIONS, connect_migrated, failed, identity, lock, recovery, write_back, writing};
use crate::error::Error;
use crate::maintenance::Schema;

const HAS_MIGRATIONS: &str = "select exists (select 1 from sqlite_master where name = '_sqlx_migrations')";
const STORED: &str = "select coalesce(max(version), 0) from _sqlx_migrations where success";

/// Tells how the schema stands; a server may run meanwhile. A file that is not there has none.
pub(crate) async fn schema(file: &DatabaseFile) -> Result<Schema, Error> {
    let known = MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0);
    identity::require_ours_or_new(file).await?;
    if file.path().metadata().map_or(0, |found| found.len()) == 0 {
        return Ok(Schema { stored: 0, known });
    }
    let mut connection = identity::connect(file, true).await.map_err(|error| identity::cannot_open(file, error))?;
    let stored = stored(&mut connection).await.map_err(failed)?;
    let _ = connection.close().await;
    Ok(Schema { stored, known })
}

/// Brings the schema up to date, creating the file if there is none, and tells how it stood.
pub(crate) async fn migrate(file: &DatabaseFile) -> Result<Schema, Error> {
    identity::require_ours_or_new(file).await?;
    let _lock = lock(file)?;
    let schema = schema(file).await?;
    let mut connection = connect_migrated(&writing(file), file).await?;
    recovery::make_durable(&mut connection, file).await?;
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
