//! The oldest events go, in small portions, by one server at a time.

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{Connection as _, Row as _};

use super::{Writer, clock, failed, rows};
use crate::cursor::Seq;
use crate::error::Error;
use crate::retention::{Extent, Oldest, Retention};
use crate::store::Trimmed;
use crate::time::Timestamp;

/// Events deleted in one transaction: a few milliseconds, which is what a batch of this server waits at most.
const TRIM_EVENTS_MAX: i64 = 1024;

/// Whoever has it trims; the number is of no meaning.
const TAKE_TURN: &str = "select pg_try_advisory_xact_lock(7239815001)";
const EXTENT: &str = "select head, event_bytes, head + 1 - first from log";
const OLDEST: &str = "select seq, created_at, octet_length(data)::bigint from events order by seq limit $1";
const DELETE: &str = "delete from events where seq <= $1";
/// The head row last: other servers wait for it.
const SUBTRACT: &str = "update log set event_bytes = event_bytes - $1, first = $2";

impl Writer {
    /// Deletes the oldest events that `retention` does not keep, their age counted from the instant `aged`: one portion of them, unless another
    /// server is about it.
    pub(crate) async fn trim(&mut self, retention: Retention, aged: Option<Timestamp>) -> Result<Option<Trimmed>, Error> {
        if retention == Retention::Forever {
            return Ok(None);
        }
        let mut connection = self.take_connection().await?;
        let trimmed = super::bounded(trim(&mut connection, retention, aged)).await?;
        self.keep_connection(connection);
        Ok(trimmed)
    }
}

async fn trim(connection: &mut PgConnection, retention: Retention, aged: Option<Timestamp>) -> Result<Option<Trimmed>, Error> {
    let mut tx = connection.begin().await.map_err(failed)?;
    if !sqlx::query_scalar(TAKE_TURN).fetch_one(&mut *tx).await.map_err(failed)? {
        return tx.rollback().await.map(|()| None).map_err(failed);
    }
    let row = sqlx::query(EXTENT).fetch_one(&mut *tx).await.map_err(failed)?;
    let extent = extent(&row).map_err(failed)?;
    let oldest = sqlx::query(OLDEST).bind(TRIM_EVENTS_MAX).fetch_all(&mut *tx).await.map_err(failed)?;
    let oldest = oldest.iter().map(self::oldest).collect::<Result<Vec<Oldest>, _>>().map_err(failed)?;
    let resets = clock::resets(&mut tx).await.map_err(failed)?;
    let expired = &oldest[..retention.expired(extent, &oldest, &resets, aged)];
    let Some(last) = expired.last() else {
        return tx.rollback().await.map(|()| None).map_err(failed);
    };
    let bytes: u64 = expired.iter().map(|event| event.data_bytes).sum();
    let first = last.seq.next();
    sqlx::query(DELETE).bind(last.seq.0.cast_signed()).execute(&mut *tx).await.map_err(failed)?;
    let subtract = sqlx::query(SUBTRACT).bind(bytes.cast_signed()).bind(first.0.cast_signed());
    subtract.execute(&mut *tx).await.map_err(failed)?;
    tx.commit().await.map_err(failed)?;
    let more = i64::try_from(expired.len()).is_ok_and(|count| count == TRIM_EVENTS_MAX);
    Ok(Some(Trimmed { first, events: expired.len(), more }))
}

fn extent(row: &PgRow) -> Result<Extent, sqlx::Error> {
    Ok(Extent { head: Seq(rows::unsigned(row, 0)?), data_bytes: rows::unsigned(row, 1)?, events: rows::unsigned(row, 2)? })
}

fn oldest(row: &PgRow) -> Result<Oldest, sqlx::Error> {
    Ok(Oldest { seq: Seq(rows::unsigned(row, 0)?), created_at: row.try_get(1)?, data_bytes: rows::unsigned(row, 2)? })
}
