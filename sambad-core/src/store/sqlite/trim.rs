//! The oldest events go, in small portions.

use sqlx::Row as _;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::write_back::{self, Wal};
use super::{Writer, clock, failed, rows};
use crate::cursor::Seq;
use crate::error::Error;
use crate::retention::{Extent, Oldest, Retention};
use crate::store::Trimmed;
use crate::time::Timestamp;

/// Events deleted in one transaction: a few milliseconds, which is what a batch waits at most.
const TRIM_EVENTS_MAX: u32 = 1024;

const BEGIN: &str = "begin immediate";
const EXTENT: &str = "select head, event_bytes, coalesce((select head + 1 - min(seq) from events), 0) from log";
const OLDEST: &str = "select seq, created_at, octet_length(data) from events order by seq limit ?1";
const DELETE: &str = "delete from events where seq <= ?1";
const SUBTRACT: &str = "update log set event_bytes = event_bytes - ?1";

impl Writer {
    /// Deletes the oldest events that `retention` does not keep, their age counted from the instant `aged`: one portion of them.
    pub(crate) async fn trim(&mut self, retention: Retention, aged: Option<Timestamp>) -> Result<Option<Trimmed>, Error> {
        if retention == Retention::Forever {
            return Ok(None);
        }
        let mut connection = self.take_connection().await?;
        let (trimmed, wal) = trim(&mut connection, retention, aged).await.map_err(failed)?;
        self.keep_connection(connection);
        self.wal = wal;
        Ok(trimmed)
    }
}

/// As with a batch, whoever meets an error drops the connection, and with it the transaction.
async fn trim(
    connection: &mut SqliteConnection,
    retention: Retention,
    aged: Option<Timestamp>,
) -> Result<(Option<Trimmed>, Wal), sqlx::Error> {
    sqlx::query(BEGIN).execute(&mut *connection).await?;
    let row = sqlx::query(EXTENT).fetch_one(&mut *connection).await?;
    let extent =
        Extent { head: Seq(rows::unsigned(&row, 0)?), data_bytes: rows::unsigned(&row, 1)?, events: rows::unsigned(&row, 2)? };
    let oldest = sqlx::query(OLDEST).bind(TRIM_EVENTS_MAX).fetch_all(&mut *connection).await?;
    let oldest = oldest.iter().map(self::oldest).collect::<Result<Vec<Oldest>, _>>()?;
    let resets = clock::resets(&mut *connection).await?;
    let expired = &oldest[..retention.expired(extent, &oldest, &resets, aged)];
    if let Some(last) = expired.last() {
        let bytes: u64 = expired.iter().map(|event| event.data_bytes).sum();
        sqlx::query(DELETE).bind(last.seq.0.cast_signed()).execute(&mut *connection).await?;
        sqlx::query(SUBTRACT).bind(bytes.cast_signed()).execute(&mut *connection).await?;
    }
    let wal = write_back::commit(connection).await?;
    let more = u32::try_from(expired.len()).is_ok_and(|count| count == TRIM_EVENTS_MAX);
    Ok((expired.last().map(|last| Trimmed { first: last.seq.next(), events: expired.len(), more }), wal))
}

fn oldest(row: &SqliteRow) -> Result<Oldest, sqlx::Error> {
    Ok(Oldest {
        seq: Seq(rows::unsigned(row, 0)?),
        created_at: Timestamp::from_micros(row.try_get(1)?),
        data_bytes: rows::unsigned(row, 2)?,
    })
}
